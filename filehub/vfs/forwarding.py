"""
A file system that is another one: the base of those that change a little.
"""

from __future__ import annotations

from collections.abc import Coroutine
from contextlib import AbstractContextManager
from copy import copy
from typing import Any, ClassVar, Final

from zope.interface import Interface, implementer

from filehub.attributes import (
    AttributeChanges,
    Disposition,
    FileAttributes,
    Ownership,
    SpaceUsage,
)
from filehub.interfaces import (
    ICaseFolding,
    IChecksums,
    IDescriptorBacked,
    IDirectoryHandle,
    IFileSystem,
    IRandomAccess,
    IReadHandle,
    IServerSideCopy,
    ISpaceUsage,
    ISymbolicLinks,
    IWriteHandle,
)
from filehub.paths import VirtualPath
from filehub.views import ICreationMask, ICreationOwner

CAPABILITIES: Final = (
    IRandomAccess,
    ISymbolicLinks,
    ISpaceUsage,
    IServerSideCopy,
    IChecksums,
    ICaseFolding,
)


@implementer(IFileSystem)
class ForwardingFileSystem:
    """
    Every method goes to C{inner} as it is, one line each; override those that shall
    not.  It can be adapted to a capability if C{inner} can.

    @cvar capabilities: the ones that may be passed on.
    """

    capabilities: ClassVar[tuple[type[Interface], ...]] = CAPABILITIES

    def __init__(self, inner: IFileSystem) -> None:
        self.inner = inner

    def __conform__(self, interface: type[Interface]) -> Any:
        """Adaptation: a capability is there if the inner file system has it."""
        known = interface in (ICreationMask, ICreationOwner) or interface in self.capabilities
        return self if known and interface(self.inner, None) is not None else None

    def masked(self, withheld: int) -> IFileSystem:
        """See L{ICreationMask.masked}."""
        view = copy(self)
        view.inner = ICreationMask(self.inner).masked(withheld)
        return view

    def ownedBy(self, ownership: Ownership | None) -> IFileSystem:
        """See L{ICreationOwner.ownedBy}."""
        view = copy(self)
        view.inner = ICreationOwner(self.inner).ownedBy(ownership)
        return view

    # Plain methods that hand on the inner coroutine: nothing is wrapped twice.

    def resolve(
        self, path: VirtualPath, *, followFinal: bool = True
    ) -> Coroutine[Any, Any, VirtualPath]:
        """See L{IFileSystem.resolve}."""
        return self.inner.resolve(path, followFinal=followFinal)

    def stat(self, path: VirtualPath) -> Coroutine[Any, Any, FileAttributes]:
        """See L{IFileSystem.stat}."""
        return self.inner.stat(path)

    def enterDirectory(self, path: VirtualPath) -> Coroutine[Any, Any, None]:
        """See L{IFileSystem.enterDirectory}."""
        return self.inner.enterDirectory(path)

    def openDirectory(self, path: VirtualPath) -> Coroutine[Any, Any, IDirectoryHandle]:
        """See L{IFileSystem.openDirectory}."""
        return self.inner.openDirectory(path)

    def makeDirectory(self, path: VirtualPath) -> Coroutine[Any, Any, None]:
        """See L{IFileSystem.makeDirectory}."""
        return self.inner.makeDirectory(path)

    def removeDirectory(self, path: VirtualPath) -> Coroutine[Any, Any, None]:
        """See L{IFileSystem.removeDirectory}."""
        return self.inner.removeDirectory(path)

    def removeFile(self, path: VirtualPath) -> Coroutine[Any, Any, None]:
        """See L{IFileSystem.removeFile}."""
        return self.inner.removeFile(path)

    def rename(
        self, source: VirtualPath, target: VirtualPath, *, replace: bool
    ) -> Coroutine[Any, Any, None]:
        """See L{IFileSystem.rename}."""
        return self.inner.rename(source, target, replace=replace)

    def setAttributes(
        self, path: VirtualPath, changes: AttributeChanges
    ) -> Coroutine[Any, Any, None]:
        """See L{IFileSystem.setAttributes}."""
        return self.inner.setAttributes(path, changes)

    def openForReading(self, path: VirtualPath) -> Coroutine[Any, Any, IReadHandle]:
        """See L{IFileSystem.openForReading}."""
        return self.inner.openForReading(path)

    def openForWriting(
        self, path: VirtualPath, disposition: Disposition, *, sizeHint: int | None = None
    ) -> Coroutine[Any, Any, IWriteHandle]:
        """See L{IFileSystem.openForWriting}."""
        return self.inner.openForWriting(path, disposition, sizeHint=sizeHint)

    # --- capabilities ---

    def openForUpdate(
        self, path: VirtualPath, offset: int, *, sizeHint: int | None = None
    ) -> Coroutine[Any, Any, IWriteHandle]:
        """See L{IRandomAccess.openForUpdate}."""
        return IRandomAccess(self.inner).openForUpdate(path, offset, sizeHint=sizeHint)

    def readLink(self, path: VirtualPath) -> Coroutine[Any, Any, str]:
        """See L{ISymbolicLinks.readLink}."""
        return ISymbolicLinks(self.inner).readLink(path)

    def makeLink(self, path: VirtualPath, target: str) -> Coroutine[Any, Any, None]:
        """See L{ISymbolicLinks.makeLink}."""
        return ISymbolicLinks(self.inner).makeLink(path, target)

    def space(self, path: VirtualPath) -> Coroutine[Any, Any, SpaceUsage]:
        """See L{ISpaceUsage.space}."""
        return ISpaceUsage(self.inner).space(path)

    def copy(
        self, source: VirtualPath, target: VirtualPath, *, replace: bool
    ) -> Coroutine[Any, Any, None]:
        """See L{IServerSideCopy.copy}."""
        return IServerSideCopy(self.inner).copy(source, target, replace=replace)

    def digest(
        self, path: VirtualPath, algorithm: str, offset: int = 0, length: int | None = None
    ) -> Coroutine[Any, Any, bytes]:
        """See L{IChecksums.digest}."""
        return IChecksums(self.inner).digest(path, algorithm, offset, length)

    def foldCase(self, path: VirtualPath) -> Coroutine[Any, Any, VirtualPath]:
        """See L{ICaseFolding.foldCase}."""
        return ICaseFolding(self.inner).foldCase(path)


@implementer(IWriteHandle)
class ForwardingWriteHandle:
    """
    The same for a file that is being written; there is a descriptor if C{inner} has one.
    """

    def __init__(self, inner: IWriteHandle) -> None:
        self.position: int = inner.position
        self.inner = inner

    def __conform__(self, interface: type[Interface]) -> Any:
        """Adaptation: see above."""
        if interface is IDescriptorBacked and IDescriptorBacked(self.inner, None) is not None:
            return self
        return None

    def lease(self) -> AbstractContextManager[int]:
        """See L{IDescriptorBacked.lease}."""
        lent: AbstractContextManager[int] = IDescriptorBacked(self.inner).lease()
        return lent

    async def writeAt(self, offset: int, data: bytes) -> None:
        """See L{IWriteHandle.writeAt}."""
        await self.inner.writeAt(offset, data)

    async def commit(self) -> FileAttributes:
        """See L{IWriteHandle.commit}."""
        return await self.inner.commit()

    async def abort(self) -> None:
        """See L{IWriteHandle.abort}."""
        await self.inner.abort()
