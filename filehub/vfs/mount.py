"""
Several trees in one.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from zope.interface import Interface, implementer

from filehub.attributes import (
    AttributeChanges,
    DirectoryEntry,
    Disposition,
    FileAttributes,
    FileType,
    Ownership,
    SpaceUsage,
)
from filehub.errors import (
    AlreadyExists,
    CrossDevice,
    FileHubError,
    FileSystemError,
    IsADirectory,
    NotADirectory,
    NotFound,
    OperationNotSupported,
    PermissionDenied,
    TooManyLinks,
)
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
from filehub.views import IAtOnce, ICreationMask, ICreationOwner

_T = TypeVar("_T")

#: How often a resolved path may lead into yet another mount.
_MAXIMUM_CROSSINGS: Final = 40

_CAPABILITIES: Final = (
    IRandomAccess,
    ISymbolicLinks,
    ISpaceUsage,
    IServerSideCopy,
    IChecksums,
    ICaseFolding,
)

#: Of a directory that exists only because something is mounted below it.
_SYNTHESISED: Final = FileAttributes(FileType.DIRECTORY, 0, 0.0, mode=0o555)


class _Mount(NamedTuple):
    point: VirtualPath
    fileSystem: IFileSystem


@implementer(IFileSystem)
class MountTable:
    """
    A file system made of others.  The longest mount point above a path decides which
    one has it.  Directories on the way to a mount point exist even where no mount has
    them; they can be listed and nothing else.

    It provides a capability if any of its mounts does, and says
    L{OperationNotSupported} for the paths of those that do not.

    @param mounts: mount points and what is there.  L{ROOT} need not be among them.
    """

    def __init__(self, mounts: Mapping[VirtualPath, IFileSystem]) -> None:
        self._mounts = {
            point.segments: _Mount(point, fileSystem) for point, fileSystem in mounts.items()
        }
        self._deepest = max((len(segments) for segments in self._mounts), default=0)
        #: For each directory on the way: the names that lead on to mount points.
        self._onTheWay: dict[tuple[str, ...], set[str]] = {}
        for segments in self._mounts:
            for length in range(len(segments)):
                self._onTheWay.setdefault(segments[:length], set()).add(segments[length])
        self._onTheWay.setdefault((), set())

    def __conform__(self, interface: type[Interface]) -> Any:
        """Adaptation: a capability is there if any of the mounts has it."""
        if interface in _CAPABILITIES or interface in (ICreationMask, ICreationOwner, IAtOnce):
            for mount in self._mounts.values():
                if interface(mount.fileSystem, None) is not None:
                    return self
        return None

    def masked(self, withheld: int) -> MountTable:
        """See L{ICreationMask.masked}.  Mounts without permission bits stay as they are."""
        views = {}
        for point, fileSystem in self._mounts.values():
            able = ICreationMask(fileSystem, None)
            views[point] = fileSystem if able is None else able.masked(withheld)
        return MountTable(views)

    def ownedBy(self, ownership: Ownership | None) -> MountTable:
        """See L{ICreationOwner.ownedBy}.  Mounts without owners stay as they are."""
        views = {}
        for point, fileSystem in self._mounts.values():
            able = ICreationOwner(fileSystem, None)
            views[point] = fileSystem if able is None else able.ownedBy(ownership)
        return MountTable(views)

    # --- which mount ---

    def _lookUp(self, path: VirtualPath) -> _Mount | None:
        segments = path.segments
        for length in range(min(len(segments), self._deepest), -1, -1):
            mount = self._mounts.get(segments[:length])
            if mount is not None:
                return mount
        return None

    def _find(self, path: VirtualPath) -> tuple[IFileSystem, VirtualPath, VirtualPath]:
        """
        The file system, its mount point, and the path in it.

        @raise NotFound: nothing is mounted there or above.
        """
        mount = self._lookUp(path)
        if mount is None:
            raise NotFound(path)
        point = mount.point
        return mount.fileSystem, point, path.relativeTo(point) if point.segments else path

    def _isFixed(self, path: VirtualPath) -> bool:
        """Is this a mount point, or on the way to one?"""
        return path.segments in self._onTheWay or path.segments in self._mounts

    async def _at(self, point: VirtualPath, call: Coroutine[Any, Any, _T]) -> _T:
        """The result of a mount, with the paths in its errors as seen from here."""
        if not point.segments:
            return await call
        try:
            return await call
        except FileSystemError as error:
            if error.path is None:
                raise
            raise type(error)(error.path.below(point), error.detail) from error

    def _capability(
        self, path: VirtualPath, capability: type[Interface]
    ) -> tuple[Any, VirtualPath, VirtualPath]:
        fileSystem, point, inner = self._find(path)
        adapted = capability(fileSystem, None)
        if adapted is None:
            raise OperationNotSupported(path)
        return adapted, point, inner

    # --- IFileSystem ---

    async def resolve(self, path: VirtualPath, *, followFinal: bool = True) -> VirtualPath:
        """See L{IFileSystem.resolve}."""
        for _ in range(_MAXIMUM_CROSSINGS):
            mount = self._lookUp(path)
            if mount is None:
                return path
            point = mount.point
            call = mount.fileSystem.resolve(path.relativeTo(point), followFinal=followFinal)
            resolved = (await self._at(point, call)).below(point)
            if self._lookUp(resolved) is mount:
                return resolved
            # A link led to where something else is mounted.
            path = resolved
        raise TooManyLinks(path)

    async def stat(self, path: VirtualPath) -> FileAttributes:
        """See L{IFileSystem.stat}."""
        try:
            fileSystem, point, inner = self._find(path)
            return await self._at(point, fileSystem.stat(inner))
        except (NotFound, NotADirectory):
            if path.segments in self._onTheWay:
                return _SYNTHESISED
            raise

    async def enterDirectory(self, path: VirtualPath) -> None:
        """See L{IFileSystem.enterDirectory}."""
        if path.segments in self._onTheWay:
            return
        fileSystem, point, inner = self._find(path)
        await self._at(point, fileSystem.enterDirectory(inner))

    async def openDirectory(self, path: VirtualPath) -> IDirectoryHandle:
        """See L{IFileSystem.openDirectory}."""
        names = self._onTheWay.get(path.segments)
        try:
            fileSystem, point, inner = self._find(path)
            handle = await self._at(point, fileSystem.openDirectory(inner))
        except (NotFound, NotADirectory):
            if names is None:
                raise
            handle = None
        if not names and handle is not None:
            return handle
        entries = [await self._entryFor(path.child(name)) for name in sorted(names or ())]
        return _MergedDirectory(entries, handle)

    async def _entryFor(self, path: VirtualPath) -> DirectoryEntry:
        try:
            attributes = await self.stat(path)
        except FileHubError:
            # What is mounted there has trouble; its mount point is there all the same.
            attributes = _SYNTHESISED
        return DirectoryEntry(path.name, attributes)

    async def makeDirectory(self, path: VirtualPath) -> None:
        """See L{IFileSystem.makeDirectory}."""
        if self._isFixed(path):
            raise AlreadyExists(path)
        fileSystem, point, inner = self._changed(path)
        await self._at(point, fileSystem.makeDirectory(inner))

    def _changed(self, path: VirtualPath) -> tuple[IFileSystem, VirtualPath, VirtualPath]:
        """
        As L{_find}, for a change of names.

        @raise PermissionDenied: the directory exists only on the way to a mount.
        """
        if path.parent.segments in self._onTheWay and self._lookUp(path) is None:
            raise PermissionDenied(path)
        return self._find(path)

    async def removeDirectory(self, path: VirtualPath) -> None:
        """See L{IFileSystem.removeDirectory}."""
        if self._isFixed(path):
            raise PermissionDenied(path)
        fileSystem, point, inner = self._find(path)
        await self._at(point, fileSystem.removeDirectory(inner))

    async def removeFile(self, path: VirtualPath) -> None:
        """See L{IFileSystem.removeFile}."""
        if self._isFixed(path):
            raise IsADirectory(path)
        fileSystem, point, inner = self._find(path)
        await self._at(point, fileSystem.removeFile(inner))

    async def rename(self, source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """See L{IFileSystem.rename}."""
        if self._isFixed(source):
            raise PermissionDenied(source)
        if not target.segments:
            raise PermissionDenied(target)
        if self._isFixed(target):
            raise AlreadyExists(target)
        fileSystem, point, old = self._find(source)
        _, targetPoint, new = self._changed(target)
        if point != targetPoint:
            raise CrossDevice(source)
        await self._at(point, fileSystem.rename(old, new, replace=replace))

    async def setAttributes(self, path: VirtualPath, changes: AttributeChanges) -> None:
        """See L{IFileSystem.setAttributes}."""
        fileSystem, point, inner = self._changed(path)
        await self._at(point, fileSystem.setAttributes(inner, changes))

    async def openForReading(self, path: VirtualPath) -> IReadHandle:
        """See L{IFileSystem.openForReading}."""
        if self._isFixed(path):
            raise IsADirectory(path)
        fileSystem, point, inner = self._find(path)
        return await self._at(point, fileSystem.openForReading(inner))

    async def openForWriting(
        self, path: VirtualPath, disposition: Disposition, *, sizeHint: int | None = None
    ) -> IWriteHandle:
        """See L{IFileSystem.openForWriting}."""
        if self._isFixed(path):
            raise IsADirectory(path)
        fileSystem, point, inner = self._changed(path)
        call = fileSystem.openForWriting(inner, disposition, sizeHint=sizeHint)
        return await self._at(point, call)

    def _atOnce(self, path: VirtualPath) -> tuple[Any, VirtualPath]:
        """What has this path, and the path in it."""
        mount = None if self._isFixed(path) else self._lookUp(path)
        if mount is None:
            return None, path
        point = mount.point
        inner = path.relativeTo(point) if point.segments else path
        return IAtOnce(mount.fileSystem, None), inner

    def readAtOnce(self, path: VirtualPath, most: int) -> bytes | None:
        """See L{IAtOnce.readAtOnce}."""
        files, inner = self._atOnce(path)
        return None if files is None else files.readAtOnce(inner, most)

    def replaceAtOnce(self, path: VirtualPath) -> IWriteHandle | None:
        """See L{IAtOnce.replaceAtOnce}."""
        files, inner = self._atOnce(path)
        return None if files is None else files.replaceAtOnce(inner)

    # --- capabilities ---

    async def openForUpdate(
        self, path: VirtualPath, offset: int, *, sizeHint: int | None = None
    ) -> IWriteHandle:
        """See L{IRandomAccess.openForUpdate}."""
        if self._isFixed(path):
            raise IsADirectory(path)
        random, point, inner = self._capability(path, IRandomAccess)
        handle: IWriteHandle = await self._at(
            point, random.openForUpdate(inner, offset, sizeHint=sizeHint)
        )
        return handle

    async def readLink(self, path: VirtualPath) -> str:
        """See L{ISymbolicLinks.readLink}."""
        links, point, inner = self._capability(path, ISymbolicLinks)
        text: str = await self._at(point, links.readLink(inner))
        return text

    async def makeLink(self, path: VirtualPath, target: str) -> None:
        """See L{ISymbolicLinks.makeLink}."""
        if self._isFixed(path):
            raise AlreadyExists(path)
        links, point, inner = self._capability(path, ISymbolicLinks)
        await self._at(point, links.makeLink(inner, target))

    async def space(self, path: VirtualPath) -> SpaceUsage:
        """See L{ISpaceUsage.space}."""
        usage, point, inner = self._capability(path, ISpaceUsage)
        result: SpaceUsage = await self._at(point, usage.space(inner))
        return result

    async def copy(self, source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """See L{IServerSideCopy.copy}."""
        copies, point, old = self._capability(source, IServerSideCopy)
        if self._isFixed(target):
            raise IsADirectory(target)
        _, targetPoint, new = self._changed(target)
        if point != targetPoint:
            raise CrossDevice(source)
        await self._at(point, copies.copy(old, new, replace=replace))

    async def digest(
        self, path: VirtualPath, algorithm: str, offset: int = 0, length: int | None = None
    ) -> bytes:
        """See L{IChecksums.digest}."""
        sums, point, inner = self._capability(path, IChecksums)
        result: bytes = await self._at(point, sums.digest(inner, algorithm, offset, length))
        return result

    async def foldCase(self, path: VirtualPath) -> VirtualPath:
        """See L{ICaseFolding.foldCase}.  The names of mount points count too."""
        folded = VirtualPath(each.casefold() for each in path.segments)
        for mount in sorted(self._mounts.values(), key=lambda each: _preference(each.point, path)):
            below = VirtualPath(each.casefold() for each in mount.point.segments)
            folding = ICaseFolding(mount.fileSystem, None)
            if folding is None or not folded.isWithin(below):
                continue
            rest = VirtualPath(path.segments[len(below.segments) :])
            try:
                found: VirtualPath = (await folding.foldCase(rest)).below(mount.point)
            except NotFound:
                continue
            if self._lookUp(found) is mount:
                return found
        raise NotFound(path)


def _preference(point: VirtualPath, path: VirtualPath) -> tuple[int, bool, tuple[str, ...]]:
    """The deepest mount first, and of those the one that is spelt as it was asked for."""
    return -len(point.segments), not path.isWithin(point), point.segments


@implementer(IDirectoryHandle)
class _MergedDirectory:
    """Mount points first, then what else is in the directory that they are in."""

    def __init__(self, entries: list[DirectoryEntry], handle: IDirectoryHandle | None) -> None:
        self._first: list[DirectoryEntry] | None = entries
        self._names = {entry.name for entry in entries}
        self._handle = handle

    async def nextPage(self) -> Sequence[DirectoryEntry]:
        """See L{IDirectoryHandle.nextPage}."""
        if self._first:
            first, self._first = self._first, None
            return first
        while self._handle is not None:
            page = await self._handle.nextPage()
            shown = [entry for entry in page if entry.name not in self._names]
            # A page of hidden entries only is not the end.
            if shown or not page:
                return shown
        return ()

    async def close(self) -> None:
        """See L{IDirectoryHandle.close}."""
        self._first = None
        if self._handle is not None:
            await self._handle.close()


def mounted(mounts: Mapping[VirtualPath, IFileSystem]) -> IFileSystem:
    """
    These mounts as one file system.  A single one at the root needs no table, and no
    path of it pays for one.
    """
    if list(mounts) == [ROOT]:
        return mounts[ROOT]
    return MountTable(mounts)
