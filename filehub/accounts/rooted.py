"""
A folder of an account's file system as if it were all of it.

What the account may do is decided below, by rules that name paths of the whole tree; a
root takes away what lies outside of it.  Links that lead out of it lead nowhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from zope.interface import Interface, directlyProvides, implementer, providedBy

from filehub.accounts.guard import CAPABILITIES
from filehub.attributes import AttributeChanges, Disposition, FileAttributes, SpaceUsage
from filehub.errors import FileSystemError, NotFound, PermissionDenied
from filehub.interfaces import (
    ICaseFolding,
    IChecksums,
    IDirectoryHandle,
    IFileSystem,
    IRandomAccess,
    IReadHandle,
    IServerSideCopy,
    ISpaceUsage,
    ISymbolicLinks,
    IWriteHandle,
)
from filehub.paths import ROOT, VirtualPath
from filehub.views import ICreationMask, ILiteralView

_T = TypeVar("_T")


class _Upload:
    """A write handle whose errors name the path as it is called outside."""

    def __init__(self, inner: IWriteHandle, told: Callable[[Awaitable[Any]], Any]) -> None:
        directlyProvides(self, providedBy(inner))
        self._inner = inner
        self._told = told

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def writeAt(self, offset: int, data: bytes) -> None:
        """See L{IWriteHandle.writeAt}."""
        await self._told(self._inner.writeAt(offset, data))

    async def commit(self) -> FileAttributes:
        """See L{IWriteHandle.commit}."""
        attributes: FileAttributes = await self._told(self._inner.commit())
        return attributes


@implementer(IFileSystem)
class RootedFileSystem:
    """
    Paths here are paths below C{root} there, also those in errors.  It can be adapted to
    what the inner file system can.
    """

    def __init__(self, inner: IFileSystem, root: VirtualPath) -> None:
        self._inner = inner
        self._root = root

    def __conform__(self, interface: type[Interface]) -> Any:
        """Adaptation: a capability is there if the inner file system has it."""
        if interface in (ILiteralView, ICreationMask) or interface in CAPABILITIES:
            return self if interface(self._inner, None) is not None else None
        return None

    def literalView(self) -> RootedFileSystem:
        """See L{ILiteralView.literalView}."""
        return RootedFileSystem(ILiteralView(self._inner).literalView(), self._root)

    def masked(self, withheld: int) -> RootedFileSystem:
        """See L{ICreationMask.masked}."""
        return RootedFileSystem(ICreationMask(self._inner).masked(withheld), self._root)

    # --- going in and coming out

    async def _told(self, awaited: Awaitable[_T]) -> _T:
        """The result; an error names the path as it is called here."""
        try:
            return await awaited
        except FileSystemError as error:
            path = error.path
            if path is not None:
                error.path = path.relativeTo(self._root) if path.isWithin(self._root) else None
            raise

    async def _inside(self, path: VirtualPath, *, follow: bool = True) -> VirtualPath:
        """
        The path there.

        @raise NotFound: a link on the way leads out.
        """
        there = path.below(self._root)
        canonical = await self._told(self._inner.resolve(there, followFinal=follow))
        if not canonical.isWithin(self._root):
            raise NotFound(path)
        return there

    @staticmethod
    def _keepRoot(path: VirtualPath) -> None:
        if not path.segments:
            raise PermissionDenied(path)

    # --- IFileSystem

    async def resolve(self, path: VirtualPath, *, followFinal: bool = True) -> VirtualPath:
        """See L{IFileSystem.resolve}."""
        there = path.below(self._root)
        canonical = await self._told(self._inner.resolve(there, followFinal=followFinal))
        if not canonical.isWithin(self._root):
            raise NotFound(path)
        return canonical.relativeTo(self._root)

    async def stat(self, path: VirtualPath) -> FileAttributes:
        """See L{IFileSystem.stat}."""
        return await self._told(self._inner.stat(await self._inside(path, follow=False)))

    async def enterDirectory(self, path: VirtualPath) -> None:
        """See L{IFileSystem.enterDirectory}."""
        await self._told(self._inner.enterDirectory(await self._inside(path)))

    async def openDirectory(self, path: VirtualPath) -> IDirectoryHandle:
        """See L{IFileSystem.openDirectory}."""
        return await self._told(self._inner.openDirectory(await self._inside(path)))

    async def makeDirectory(self, path: VirtualPath) -> None:
        """See L{IFileSystem.makeDirectory}."""
        await self._told(self._inner.makeDirectory(await self._inside(path, follow=False)))

    async def removeDirectory(self, path: VirtualPath) -> None:
        """See L{IFileSystem.removeDirectory}."""
        self._keepRoot(path)
        await self._told(self._inner.removeDirectory(await self._inside(path, follow=False)))

    async def removeFile(self, path: VirtualPath) -> None:
        """See L{IFileSystem.removeFile}."""
        await self._told(self._inner.removeFile(await self._inside(path, follow=False)))

    async def rename(self, source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """See L{IFileSystem.rename}."""
        self._keepRoot(source)
        self._keepRoot(target)
        here = await self._inside(source, follow=False)
        there = await self._inside(target, follow=False)
        await self._told(self._inner.rename(here, there, replace=replace))

    async def setAttributes(self, path: VirtualPath, changes: AttributeChanges) -> None:
        """See L{IFileSystem.setAttributes}."""
        await self._told(self._inner.setAttributes(await self._inside(path), changes))

    async def openForReading(self, path: VirtualPath) -> IReadHandle:
        """See L{IFileSystem.openForReading}."""
        return await self._told(self._inner.openForReading(await self._inside(path)))

    async def openForWriting(
        self, path: VirtualPath, disposition: Disposition, *, sizeHint: int | None = None
    ) -> IWriteHandle:
        """See L{IFileSystem.openForWriting}."""
        there = await self._inside(path)
        opening = self._inner.openForWriting(there, disposition, sizeHint=sizeHint)
        return self._upload(await self._told(opening))

    def _upload(self, handle: IWriteHandle) -> IWriteHandle:
        upload: Any = _Upload(handle, self._told)
        return upload  # type: ignore[no-any-return]

    # --- capabilities

    async def openForUpdate(
        self, path: VirtualPath, offset: int, *, sizeHint: int | None = None
    ) -> IWriteHandle:
        """See L{IRandomAccess.openForUpdate}."""
        there, inner = await self._inside(path), IRandomAccess(self._inner)
        opening = inner.openForUpdate(there, offset, sizeHint=sizeHint)
        return self._upload(await self._told(opening))

    async def readLink(self, path: VirtualPath) -> str:
        """See L{ISymbolicLinks.readLink}."""
        there = await self._inside(path, follow=False)
        target = await self._told(ISymbolicLinks(self._inner).readLink(there))
        absolute = ROOT.join(target)
        if target.startswith("/") and absolute.isWithin(self._root):
            return str(absolute.relativeTo(self._root))
        return target

    async def makeLink(self, path: VirtualPath, target: str) -> None:
        """See L{ISymbolicLinks.makeLink}."""
        if target.startswith("/"):
            target = str(ROOT.join(target).below(self._root))
        there = await self._inside(path, follow=False)
        await self._told(ISymbolicLinks(self._inner).makeLink(there, target))

    async def space(self, path: VirtualPath) -> SpaceUsage:
        """See L{ISpaceUsage.space}."""
        room = await self._told(ISpaceUsage(self._inner).space(await self._inside(path)))
        if not room.quotas:
            return room
        # Of what lies above only that it holds is told.
        return room._replace(
            quotas=tuple(
                each._replace(
                    path=each.path.relativeTo(self._root)
                    if each.path.isWithin(self._root)
                    else ROOT
                )
                for each in room.quotas
            )
        )

    async def copy(self, source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """See L{IServerSideCopy.copy}."""
        here, there = await self._inside(source), await self._inside(target)
        await self._told(IServerSideCopy(self._inner).copy(here, there, replace=replace))

    async def digest(
        self, path: VirtualPath, algorithm: str, offset: int = 0, length: int | None = None
    ) -> bytes:
        """See L{IChecksums.digest}."""
        there, inner = await self._inside(path), IChecksums(self._inner)
        return await self._told(inner.digest(there, algorithm, offset, length))

    async def foldCase(self, path: VirtualPath) -> VirtualPath:
        """See L{ICaseFolding.foldCase}."""
        there = path.below(self._root)
        found = await self._told(ICaseFolding(self._inner).foldCase(there))
        if not found.isWithin(self._root):
            raise NotFound(path)
        return found.relativeTo(self._root)


__all__ = ["RootedFileSystem"]
