"""
A folder of this machine as a tree.  POSIX only; at its best on Linux.

What the system calls do is in C{_openat}, what becomes of uploads in C{_drafts}.
Here is where each verb is carried out: what the kernel can answer from its caches
is asked on the calling thread, all else is one hop to a worker.
"""

from __future__ import annotations

import math
import os
import stat
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Final, Literal

from zope.interface import implementer

from filehub.attributes import (
    AttributeChanges,
    DirectoryEntry,
    Disposition,
    FileAttributes,
    Ownership,
)
from filehub.errors import (
    ConfigurationError,
    FileHubError,
    InvalidName,
    NotADirectory,
    NotFound,
    OperationNotSupported,
)
from filehub.interfaces import (
    IDirectoryHandle,
    IFileSystem,
    IReadHandle,
    IStorage,
    IWriteHandle,
)
from filehub.paths import VirtualPath, decodeName, encodeName
from filehub.usage import IMeasurable, Measure
from filehub.vfs import _openat
from filehub.vfs._digests import Digests
from filehub.vfs._drafts import Partial, WritePolicy
from filehub.vfs._facts import Facts
from filehub.vfs._localdirectory import Listing, LocalDirectoryHandle
from filehub.vfs._localfile import LocalWriteHandle
from filehub.vfs._localview import LocalView
from filehub.vfs._openat import Names
from filehub.vfs._openfile import InPlace, OpenFile
from filehub.vfs._oserrors import errorFor
from filehub.vfs._staging import Staging
from filehub.vfs._syscalls import CachedOpen, cachedOpenWorks, fileSystemKind
from filehub.vfs._uploads import Uploads
from filehub.vfs.measuring import measureFolder
from filehub.vfs.ownership import makeDirectory as makeOwnedDirectory
from filehub.vfs.workers import Workers
from filehub.views import IAtOnce, ICreationMask, ICreationOwner

LinkPolicy = Literal["refuse", "within-root"]

_HIDDEN: Final = frozenset([decodeName(_openat.STAGING)])
_NOTHING: Final[frozenset[str]] = frozenset()


@implementer(IStorage, IMeasurable)
class LocalTree:
    """
    One folder, of which every account gets its own view.

    @param root: the folder.  Links in this path are followed, once, now.
    @param links: C{"refuse"} never follows one; C{"within-root"} lets
        L{IFileSystem.resolve} follow them, with the folder as C{/}.
    @param partial: what a broken upload leaves; see C{_drafts}.
    @param partialLifetime: seconds that a part is kept for its owner.
    @param fsync: C{"commit"}: an upload is acknowledged when the disk has it.
    @param fileMode: permission bits of new files, whatever the umask.
    @param directoryMode: the same for directories.
    @param clock: seconds since the epoch, to judge the age of parts.
    @param inPlace: whether work that is not expected to wait for a disk may be done on
        the calling thread; else every verb is a hop to a worker.

    @raise ConfigurationError: the folder cannot be used; one line says why.
    """

    def __init__(
        self,
        root: str | Path,
        workers: Workers,
        *,
        links: LinkPolicy = "refuse",
        partial: Partial = "owner",
        partialLifetime: float = 86400.0,
        fsync: Literal["off", "commit"] = "off",
        fileMode: int = 0o640,
        directoryMode: int = 0o750,
        clock: Callable[[], float] = time.time,
        inPlace: bool = True,
    ) -> None:
        self.folder = Path(root)
        self.workers = workers
        self.links = links
        self.directoryMode = directoryMode & 0o777
        descriptor = _openUsable(self.folder)
        #: Everything happens relative to this.
        self.root = OpenFile(descriptor, workers, whenClosed=self._rootClosed)
        kind = fileSystemKind(descriptor)
        inMemory = kind == "memory"
        self.inPlace = InPlace(
            cached=inPlace and kind != "other" and cachedOpenWorks(descriptor, inMemory=inMemory),
            bet=inPlace and kind != "other" and fsync == "off",
        )
        self.cachedRead = CachedOpen(_openat.READ, inMemory=inMemory)
        self.cachedPath = CachedOpen(os.O_PATH | os.O_NOFOLLOW, inMemory=inMemory)
        self.cachedDirectory = CachedOpen(
            os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY, inMemory=inMemory
        )
        # A file in memory is always at hand (and tmpfs does not know the flag).
        self.readFlags: int | None = 0 if inMemory else getattr(os, "RWF_NOWAIT", None)
        self.scratch = memoryview(bytearray(256 * 1024))
        self.facts = Facts()
        self.digests = Digests(clock)
        self.staging = Staging(self.root, partialLifetime, clock)
        self.policy = WritePolicy(
            partial=partial,
            sync=fsync == "commit",
            mode=fileMode & 0o777,
            procLinks=hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd"),
            distant=kind == "other",
        )
        self.uploads = Uploads(self.root, self.staging, self.policy)

    def viewFor(self, owner: str) -> LocalFileSystem:
        """See L{IStorage.viewFor}."""
        return LocalFileSystem(self, owner)

    async def sweep(self) -> None:
        """
        See L{IStorage.sweep}.  To be called at the start too: it puts right what a
        crash left.
        """
        await self.root.work(self.staging.sweep)

    async def measure(
        self, path: VirtualPath, owners: Collection[str], without: Collection[VirtualPath] = ()
    ) -> Measure:
        """See L{IMeasurable.measure}."""
        names, root = _openat.encodeNames(path), self.root
        others = frozenset(_openat.encodeNames(each) for each in without)
        try:
            return await root.work(
                measureFolder, root.descriptor, self.staging, names, tuple(owners), others
            )
        except OSError as error:
            raise errorFor(error, path) from error

    async def partSize(self, owner: str, path: VirtualPath) -> int | None:
        """See L{IMeasurable.partSize}."""
        names = _openat.encodeNames(path)
        if not names:
            return None
        try:
            return (await self.root.work(self.staging.statPart, owner, names)).st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            raise errorFor(error, path) from error

    async def close(self) -> None:
        """See L{IStorage.close}.  Work that is under way, and uploads, still end well."""
        self.root.close(small=True)

    def _rootClosed(self) -> None:
        self.staging.close()


def _openUsable(root: Path) -> int:
    try:
        descriptor = _openat.openRoot(str(root))
    except OSError as error:
        raise ConfigurationError(f"cannot serve {root}: {error.strerror}") from error
    try:
        os.close(_openat.reopenForListing(descriptor))
    except OSError as error:
        os.close(descriptor)
        raise ConfigurationError(f"cannot read {root}: {error.strerror}") from error
    return descriptor


@implementer(IFileSystem, ICreationMask, ICreationOwner, IAtOnce)
class LocalFileSystem(LocalView):
    """
    A L{LocalTree} as one account sees it.  An account's own part of a broken upload
    can be seen (C{stat}, C{openDirectory}), continued, replaced and removed; it
    cannot be read, renamed or copied, for it is no file yet.
    """

    def masked(self, withheld: int) -> LocalFileSystem:
        """See L{ICreationMask.masked}."""
        return LocalFileSystem(self._tree, self._owner, withheld | self._withheld, self._ownership)

    def ownedBy(self, ownership: Ownership | None) -> LocalFileSystem:
        """See L{ICreationOwner.ownedBy}."""
        return LocalFileSystem(self._tree, self._owner, self._withheld, ownership)

    async def resolve(self, path: VirtualPath, *, followFinal: bool = True) -> VirtualPath:
        """See L{IFileSystem.resolve}."""
        tree = self._tree
        if tree.links == "refuse" or not path.segments:
            return path
        if tree.inPlace.cached:
            found = tree.cachedPath(tree.root.descriptor, _openat.joined(_openat.encodeNames(path)))
            if found >= 0:
                linked = stat.S_ISLNK(os.fstat(found).st_mode)
                os.close(found)
                if not (linked and followFinal):
                    return path
        return await self._hop(path, _openat.resolve, tree.root.descriptor, path, followFinal)

    async def stat(self, path: VirtualPath) -> FileAttributes:
        """See L{IFileSystem.stat}."""
        names = self._seen(path)
        tree = self._tree
        if tree.inPlace.cached:
            found = tree.cachedPath(tree.root.descriptor, _openat.joined(names))
            if found >= 0:
                status = os.fstat(found)
                os.close(found)
                if tree.facts.known(status):
                    return tree.facts.attributes(status)
            elif found == _openat.MISSING and not tree.staging.mayHaveParts(
                self._owner, names[:-1]
            ):
                raise NotFound(path)
        return await self._hop(path, self._stat, names)

    def _stat(self, names: Names) -> FileAttributes:
        tree = self._tree
        try:
            status = _openat.statPath(tree.root.descriptor, names)
        except FileNotFoundError:
            if not names:
                raise
            status = tree.staging.statPart(self._owner, names)
        return tree.facts.attributes(status)

    async def enterDirectory(self, path: VirtualPath) -> None:
        """See L{IFileSystem.enterDirectory}."""
        if not (await self.stat(path)).isDirectory:
            raise NotADirectory(path)

    async def openDirectory(self, path: VirtualPath) -> IDirectoryHandle:
        """See L{IFileSystem.openDirectory}."""
        names = self._seen(path)
        listing, first = await self._open(path, discardListing, self._list, names)
        return LocalDirectoryHandle(listing, first, path, self._tree.workers)

    def _list(self, names: Names) -> tuple[Listing, list[DirectoryEntry]]:
        tree = self._tree
        directory = _openat.openDirectory(tree.root.descriptor, names)
        try:
            readable = _openat.reopenForListing(directory)
        finally:
            os.close(directory)
        hasParts = tree.staging.mayHaveParts(self._owner, names)
        listing = Listing(
            readable,
            tree.facts.attributes,
            hidden=_NOTHING if names else _HIDDEN,
            tellTargets=tree.links != "refuse",
            extra=(lambda published: self._parts(names, published)) if hasParts else None,
        )
        try:
            return listing, listing.page()
        except BaseException:
            listing.close()
            raise

    def _parts(self, names: Names, published: int) -> Iterator[DirectoryEntry]:
        tree = self._tree
        for name, status in tree.staging.parts(self._owner, names, published):
            yield DirectoryEntry(decodeName(name), tree.facts.attributes(status))

    async def makeDirectory(self, path: VirtualPath) -> None:
        """See L{IFileSystem.makeDirectory}."""
        names = self._made(path)
        root, mode = self._tree.root.descriptor, self._tree.directoryMode & ~self._withheld
        if self._ownership is None:
            await self._hop(path, _openat.makeDirectory, root, names, mode)
        else:
            await self._hop(path, makeOwnedDirectory, root, names, mode, self._ownership)

    async def removeDirectory(self, path: VirtualPath) -> None:
        """See L{IFileSystem.removeDirectory}."""
        names = self._seen(path)
        await self._hop(path, _openat.removeDirectory, self._tree.root.descriptor, names)

    async def removeFile(self, path: VirtualPath) -> None:
        """See L{IFileSystem.removeFile}."""
        names = self._seen(path)
        await self._hop(path, self._removeFile, names)

    def _removeFile(self, names: Names) -> None:
        try:
            _openat.removeFile(self._tree.root.descriptor, names)
        except FileNotFoundError:
            self._tree.staging.removePart(self._owner, names)

    async def rename(self, source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """See L{IFileSystem.rename}."""
        tree = self._tree
        old, new = self._seen(source), self._made(target)
        try:
            await tree.root.work(_openat.rename, tree.root.descriptor, old, new, replace)
        except FileExistsError as error:
            raise errorFor(error, target) from error
        except OSError as error:
            raise errorFor(error, source) from error

    async def setAttributes(self, path: VirtualPath, changes: AttributeChanges) -> None:
        """See L{IFileSystem.setAttributes}."""
        names = self._seen(path)
        mode = None if changes.mode is None else changes.mode & 0o777
        times = (_nanoseconds(path, changes.accessed), _nanoseconds(path, changes.modified))
        await self._hop(path, _openat.setAttributes, self._tree.root.descriptor, names, mode, times)

    async def openForReading(self, path: VirtualPath) -> IReadHandle:
        """See L{IFileSystem.openForReading}."""
        names = self._seen(path)
        tree = self._tree
        if tree.inPlace.cached and names:
            found = tree.cachedRead(tree.root.descriptor, _openat.joined(names))
            if found >= 0:
                status = os.fstat(found)
                if stat.S_ISREG(status.st_mode) and tree.facts.known(status):
                    return self._reader(path, found, tree.facts.attributes(status))
                os.close(found)
            elif found == _openat.MISSING:
                raise NotFound(path)
        opened = await self._open(path, discardOpened, self._openForReading, names)
        return self._reader(path, *opened)

    def _openForReading(self, names: Names) -> tuple[int, FileAttributes]:
        tree = self._tree
        descriptor, status = _openat.openRegularPath(tree.root.descriptor, names, _openat.READ)
        try:
            return descriptor, tree.facts.attributes(status)
        except BaseException:
            os.close(descriptor)
            raise

    async def openForWriting(
        self, path: VirtualPath, disposition: Disposition, *, sizeHint: int | None = None
    ) -> IWriteHandle:
        """See L{IFileSystem.openForWriting}."""
        names = self._made(path)
        if disposition is not Disposition.APPEND and self._tree.inPlace.bet and names:
            try:
                handle = self._begun(path, names, disposition, sizeHint)
            except OSError as error:
                raise errorFor(error, path) from error
            if handle is not None:
                return handle
        return await self._prepared(
            path, self._uploads.begin, self._owner, names, disposition, sizeHint
        )

    def _begun(
        self, path: VirtualPath, names: Names, disposition: Disposition, sizeHint: int | None
    ) -> LocalWriteHandle | None:
        """A new draft, on the calling thread, if the directory is at hand."""
        tree = self._tree
        directory = tree.cachedDirectory(tree.root.descriptor, _openat.joined(names[:-1]))
        if directory < 0:
            return None
        place = self._uploads.placeIn(self._owner, names, directory)
        try:
            draft = tree.inPlace.run(self._uploads.beginAt, place, disposition, sizeHint)
        except BaseException:
            os.close(directory)
            raise
        return self._writer(path, draft)

    def readAtOnce(self, path: VirtualPath, most: int) -> bytes | None:
        """See L{IAtOnce.readAtOnce}."""
        tree = self._tree
        flags, scratch = tree.readFlags, tree.scratch
        if flags is None or not tree.inPlace.cached or not path.segments:
            return None
        if most >= len(scratch) or _openat.isReserved(path):
            return None
        try:
            found = tree.cachedRead(tree.root.descriptor, encodeName("/".join(path.segments)))
        except InvalidName:
            return None
        if found < 0:
            return None
        try:
            status = os.fstat(found)
            size = status.st_size
            if size > most or not stat.S_ISREG(status.st_mode):
                return None
            # Asked for one byte more, it would tell that it has grown meanwhile.
            if os.preadv(found, [scratch[: size + 1]], 0, flags) != size:
                return None
            return bytes(scratch[:size])
        except OSError:
            return None
        finally:
            os.close(found)

    def replaceAtOnce(self, path: VirtualPath) -> IWriteHandle | None:
        """See L{IAtOnce.replaceAtOnce}."""
        if not self._tree.inPlace.bet or not path.segments or _openat.isReserved(path):
            return None
        try:
            return self._begun(path, _openat.encodeNames(path), Disposition.REPLACE, None)
        except (OSError, FileHubError):
            return None


def discardListing(opened: tuple[Listing, list[DirectoryEntry]]) -> None:
    """Nobody waits for it any more."""
    opened[0].close()


def discardOpened(opened: tuple[int, FileAttributes]) -> None:
    """Nobody waits for it any more."""
    os.close(opened[0])


def _nanoseconds(path: VirtualPath, seconds: float | None) -> int | None:
    """
    @raise OperationNotSupported: a time that no file system can hold.
    """
    if seconds is None:
        return None
    if not math.isfinite(seconds) or abs(seconds) >= 1 << 33:
        raise OperationNotSupported(path, "time out of range")
    # In two parts: as one float, the product would not keep its last digits.
    whole = math.floor(seconds)
    return whole * 1_000_000_000 + round((seconds - whole) * 1_000_000_000)
