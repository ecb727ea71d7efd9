"""
What the guard refused and what changed, told to the observers.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from zope.interface import Interface, implementer

from filehub.accounts.guard import CAPABILITIES, Denial
from filehub.attributes import AttributeChanges, Disposition, FileAttributes, SpaceUsage
from filehub.credentials import ConnectionInfo
from filehub.events import Denied, NameChanged
from filehub.interfaces import (
    ICaseFolding,
    IChecksums,
    IDirectoryHandle,
    IEventSink,
    IFileSystem,
    IRandomAccess,
    IReadHandle,
    IServerSideCopy,
    ISpaceUsage,
    ISymbolicLinks,
    IWriteHandle,
)
from filehub.paths import VirtualPath
from filehub.views import IAtOnce, ICreationMask, ILiteralView

_T = TypeVar("_T")


@implementer(IFileSystem)
class AuditedFileSystem:
    """
    The outermost layer: every denial becomes a L{Denied} event with the rule that
    decided, every change of names a L{NameChanged}.  (Transfers are told by the
    protocols, which know how they ended.)
    """

    def __init__(
        self, inner: IFileSystem, sink: IEventSink, connection: ConnectionInfo, account: str
    ) -> None:
        self._inner = inner
        self._sink = sink
        self._connection = connection
        self._account = account

    def __conform__(self, interface: type[Interface]) -> Any:
        """Adaptation: a capability is there if the inner file system has it."""
        if interface is IAtOnce:
            # Neither are there denials, nor are names changed.
            return IAtOnce(self._inner, None)
        known = interface in (ILiteralView, ICreationMask) or interface in CAPABILITIES
        return self if known and interface(self._inner, None) is not None else None

    def literalView(self) -> AuditedFileSystem:
        """See L{ILiteralView.literalView}."""
        return self._around(ILiteralView(self._inner).literalView())

    def masked(self, withheld: int) -> AuditedFileSystem:
        """See L{ICreationMask.masked}."""
        return self._around(ICreationMask(self._inner).masked(withheld))

    def _around(self, inner: IFileSystem) -> AuditedFileSystem:
        return AuditedFileSystem(inner, self._sink, self._connection, self._account)

    async def _told(self, verb: str, work: Coroutine[Any, Any, _T]) -> _T:
        try:
            return await work
        except Denial as denial:
            path = denial.path if denial.path is not None else VirtualPath()
            event = Denied(self._connection, self._account, verb, path, denial.reason)
            self._sink.emit(event)
            raise

    def _changed(self, verb: str, path: VirtualPath, target: VirtualPath | None = None) -> None:
        self._sink.emit(NameChanged(self._connection, self._account, verb, path, target))

    async def resolve(self, path: VirtualPath, *, followFinal: bool = True) -> VirtualPath:
        """See L{IFileSystem.resolve}."""
        return await self._told("resolve", self._inner.resolve(path, followFinal=followFinal))

    async def stat(self, path: VirtualPath) -> FileAttributes:
        """See L{IFileSystem.stat}."""
        return await self._told("stat", self._inner.stat(path))

    async def enterDirectory(self, path: VirtualPath) -> None:
        """See L{IFileSystem.enterDirectory}."""
        await self._told("enterDirectory", self._inner.enterDirectory(path))

    async def openDirectory(self, path: VirtualPath) -> IDirectoryHandle:
        """See L{IFileSystem.openDirectory}."""
        return await self._told("openDirectory", self._inner.openDirectory(path))

    async def makeDirectory(self, path: VirtualPath) -> None:
        """See L{IFileSystem.makeDirectory}."""
        await self._told("makeDirectory", self._inner.makeDirectory(path))
        self._changed("makeDirectory", path)

    async def removeDirectory(self, path: VirtualPath) -> None:
        """See L{IFileSystem.removeDirectory}."""
        await self._told("removeDirectory", self._inner.removeDirectory(path))
        self._changed("removeDirectory", path)

    async def removeFile(self, path: VirtualPath) -> None:
        """See L{IFileSystem.removeFile}."""
        await self._told("removeFile", self._inner.removeFile(path))
        self._changed("removeFile", path)

    async def rename(self, source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """See L{IFileSystem.rename}."""
        await self._told("rename", self._inner.rename(source, target, replace=replace))
        self._changed("rename", source, target)

    async def setAttributes(self, path: VirtualPath, changes: AttributeChanges) -> None:
        """See L{IFileSystem.setAttributes}."""
        await self._told("setAttributes", self._inner.setAttributes(path, changes))
        self._changed("setAttributes", path)

    async def openForReading(self, path: VirtualPath) -> IReadHandle:
        """See L{IFileSystem.openForReading}."""
        return await self._told("openForReading", self._inner.openForReading(path))

    async def openForWriting(
        self, path: VirtualPath, disposition: Disposition, *, sizeHint: int | None = None
    ) -> IWriteHandle:
        """See L{IFileSystem.openForWriting}."""
        work = self._inner.openForWriting(path, disposition, sizeHint=sizeHint)
        return await self._told("openForWriting", work)

    async def openForUpdate(
        self, path: VirtualPath, offset: int, *, sizeHint: int | None = None
    ) -> IWriteHandle:
        """See L{IRandomAccess.openForUpdate}."""
        work = IRandomAccess(self._inner).openForUpdate(path, offset, sizeHint=sizeHint)
        return await self._told("openForUpdate", work)

    async def readLink(self, path: VirtualPath) -> str:
        """See L{ISymbolicLinks.readLink}."""
        return await self._told("readLink", ISymbolicLinks(self._inner).readLink(path))

    async def makeLink(self, path: VirtualPath, target: str) -> None:
        """See L{ISymbolicLinks.makeLink}."""
        await self._told("makeLink", ISymbolicLinks(self._inner).makeLink(path, target))
        self._changed("makeLink", path)

    async def space(self, path: VirtualPath) -> SpaceUsage:
        """See L{ISpaceUsage.space}."""
        return await self._told("space", ISpaceUsage(self._inner).space(path))

    async def copy(self, source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """See L{IServerSideCopy.copy}."""
        work = IServerSideCopy(self._inner).copy(source, target, replace=replace)
        await self._told("copy", work)
        self._changed("copy", source, target)

    async def digest(
        self, path: VirtualPath, algorithm: str, offset: int = 0, length: int | None = None
    ) -> bytes:
        """See L{IChecksums.digest}."""
        work = IChecksums(self._inner).digest(path, algorithm, offset, length)
        return await self._told("digest", work)

    async def foldCase(self, path: VirtualPath) -> VirtualPath:
        """See L{ICaseFolding.foldCase}."""
        return await self._told("foldCase", ICaseFolding(self._inner).foldCase(path))
