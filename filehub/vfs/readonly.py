"""
A view in which nothing can be changed, whatever the account's rules say.
"""

from __future__ import annotations

from typing import ClassVar, NoReturn

from zope.interface import Interface

from filehub.attributes import AttributeChanges, Disposition
from filehub.errors import PermissionDenied
from filehub.interfaces import ICaseFolding, IChecksums, ISpaceUsage, ISymbolicLinks
from filehub.paths import VirtualPath
from filehub.vfs.forwarding import ForwardingFileSystem


class ReadOnlyFileSystem(ForwardingFileSystem):
    """Reads go through, changes raise L{PermissionDenied}."""

    #: Links can be read.
    capabilities: ClassVar[tuple[type[Interface], ...]] = (
        ISymbolicLinks,
        ISpaceUsage,
        IChecksums,
        ICaseFolding,
    )

    async def makeDirectory(self, path: VirtualPath) -> None:
        """Denied."""
        _refuse(path)

    async def removeDirectory(self, path: VirtualPath) -> None:
        """Denied."""
        _refuse(path)

    async def removeFile(self, path: VirtualPath) -> None:
        """Denied."""
        _refuse(path)

    async def rename(self, source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """Denied."""
        _refuse(source)

    async def setAttributes(self, path: VirtualPath, changes: AttributeChanges) -> None:
        """Denied."""
        _refuse(path)

    async def openForWriting(
        self, path: VirtualPath, disposition: Disposition, *, sizeHint: int | None = None
    ) -> NoReturn:
        """Denied."""
        _refuse(path)

    async def openForUpdate(
        self, path: VirtualPath, offset: int, *, sizeHint: int | None = None
    ) -> NoReturn:
        """Denied."""
        _refuse(path)

    async def makeLink(self, path: VirtualPath, target: str) -> None:
        """Denied."""
        _refuse(path)

    async def copy(self, source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """Denied."""
        _refuse(target)


def _refuse(path: VirtualPath) -> NoReturn:
    raise PermissionDenied(path, "read-only file system")
