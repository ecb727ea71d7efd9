"""
A view in which nothing can be changed, whatever the account's rules say.
"""

from __future__ import annotations

from typing import Any, Final

from zope.interface import Interface, implementer

from filehub.attributes import AttributeChanges, Disposition, FileAttributes, SpaceUsage
from filehub.errors import PermissionDenied
from filehub.interfaces import (
    IChecksums,
    IDirectoryHandle,
    IFileSystem,
    IReadHandle,
    ISpaceUsage,
    ISymbolicLinks,
    IWriteHandle,
)
from filehub.paths import VirtualPath

#: What can be had without changing anything.
_CAPABILITIES: Final = (ISymbolicLinks, ISpaceUsage, IChecksums)


def _refusal(path: VirtualPath) -> PermissionDenied:
    return PermissionDenied(path, "read-only file system")


@implementer(IFileSystem)
class ReadOnlyFileSystem:
    """Reads go through, changes raise L{PermissionDenied}."""

    def __init__(self, inner: IFileSystem) -> None:
        self._inner = inner

    def __conform__(self, interface: type[Interface]) -> Any:
        """Adaptation: a capability is there if the inner file system has it."""
        if interface in _CAPABILITIES and interface(self._inner, None) is not None:
            return self
        return None

    async def resolve(self, path: VirtualPath, *, followFinal: bool = True) -> VirtualPath:
        """See L{IFileSystem.resolve}."""
        return await self._inner.resolve(path, followFinal=followFinal)

    async def stat(self, path: VirtualPath) -> FileAttributes:
        """See L{IFileSystem.stat}."""
        return await self._inner.stat(path)

    async def openDirectory(self, path: VirtualPath) -> IDirectoryHandle:
        """See L{IFileSystem.openDirectory}."""
        return await self._inner.openDirectory(path)

    async def makeDirectory(self, path: VirtualPath) -> None:
        """See L{IFileSystem.makeDirectory}."""
        raise _refusal(path)

    async def removeDirectory(self, path: VirtualPath) -> None:
        """See L{IFileSystem.removeDirectory}."""
        raise _refusal(path)

    async def removeFile(self, path: VirtualPath) -> None:
        """See L{IFileSystem.removeFile}."""
        raise _refusal(path)

    async def rename(self, source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """See L{IFileSystem.rename}."""
        raise _refusal(source)

    async def setAttributes(self, path: VirtualPath, changes: AttributeChanges) -> None:
        """See L{IFileSystem.setAttributes}."""
        raise _refusal(path)

    async def openForReading(self, path: VirtualPath) -> IReadHandle:
        """See L{IFileSystem.openForReading}."""
        return await self._inner.openForReading(path)

    async def openForWriting(
        self, path: VirtualPath, disposition: Disposition, *, sizeHint: int | None = None
    ) -> IWriteHandle:
        """See L{IFileSystem.openForWriting}."""
        raise _refusal(path)

    async def readLink(self, path: VirtualPath) -> str:
        """See L{ISymbolicLinks.readLink}."""
        return await ISymbolicLinks(self._inner).readLink(path)

    async def makeLink(self, path: VirtualPath, target: str) -> None:
        """See L{ISymbolicLinks.makeLink}."""
        raise _refusal(path)

    async def space(self, path: VirtualPath) -> SpaceUsage:
        """See L{ISpaceUsage.space}."""
        return await ISpaceUsage(self._inner).space(path)

    async def digest(
        self, path: VirtualPath, algorithm: str, offset: int = 0, length: int | None = None
    ) -> bytes:
        """See L{IChecksums.digest}."""
        return await IChecksums(self._inner).digest(path, algorithm, offset, length)
