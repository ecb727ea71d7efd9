"""
Files of this machine as a L{Remote}, and as the other end of a download.

The C{filehub} command is the only thing in its process, so local files are read and
written in place.  A download is written beside its name, with C{.part} behind it, and
gets its name when it is whole.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from zope.interface import implementer

from filehub.attributes import FileAttributes, FileType
from filehub.errors import (
    AlreadyExists,
    DirectoryNotEmpty,
    FileHubError,
    NotFound,
    PermissionDenied,
    StorageUnavailable,
)
from filehub.interfaces import IReadHandle, IWriteHandle
from filehub.remotes.base import Entry
from filehub.transfer.progress import Progress

_STEP = 256 * 1024


def _translated(error: OSError) -> FileHubError:
    """Local paths are the user's own, so they may be named."""
    text = f"{error.filename}: {error.strerror}"
    kinds: dict[int | None, type[FileHubError]] = {
        errno.ENOENT: NotFound,
        errno.EACCES: PermissionDenied,
        errno.EPERM: PermissionDenied,
        errno.EEXIST: AlreadyExists,
        errno.ENOTEMPTY: DirectoryNotEmpty,
    }
    kind = kinds.get(error.errno, StorageUnavailable)
    return kind(None, text)  # type: ignore[call-arg, unused-ignore]


@implementer(IReadHandle)
class LocalReadHandle:
    """See L{IReadHandle}."""

    def __init__(self, path: Path) -> None:
        """
        @raise FileHubError: it cannot be read.
        """
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            status = os.fstat(self._descriptor)
        except OSError as error:
            raise _translated(error) from None
        self.attributes = FileAttributes(FileType.REGULAR, status.st_size, status.st_mtime)

    async def readAt(self, offset: int, length: int) -> bytes:
        """See L{IReadHandle.readAt}."""
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as error:
            raise _translated(error) from None

    async def close(self) -> None:
        """See L{IReadHandle.close}."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@implementer(IWriteHandle)
class LocalWriteHandle:
    """
    See L{IWriteHandle}.  An abort keeps C{NAME.part}, for a later C{--continue}.
    """

    def __init__(self, path: Path, *, resume: bool = False) -> None:
        """
        @param resume: go on with what an earlier attempt left: C{NAME.part}, or a
            file of that name.
        @raise FileHubError: it cannot be written.
        """
        self._path = path
        self._part = path.with_name(path.name + ".part")
        try:
            if resume and not self._part.exists() and path.exists():
                path.rename(self._part)
            mode = os.O_WRONLY | os.O_CREAT | (0 if resume else os.O_TRUNC)
            self._descriptor = os.open(self._part, mode, 0o666)
            self.position = os.fstat(self._descriptor).st_size
        except OSError as error:
            raise _translated(error) from None

    async def writeAt(self, offset: int, data: bytes) -> None:
        """See L{IWriteHandle.writeAt}."""
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._descriptor, view, offset)
                offset += written
                view = view[written:]
        except OSError as error:
            raise _translated(error) from None

    async def commit(self) -> FileAttributes:
        """See L{IWriteHandle.commit}."""
        try:
            size = os.fstat(self._descriptor).st_size
            os.close(self._descriptor)
            self._descriptor = -1
            self._part.replace(self._path)
        except OSError as error:
            raise _translated(error) from None
        return FileAttributes(FileType.REGULAR, size, 0.0)

    async def abort(self) -> None:
        """See L{IWriteHandle.abort}."""
        if self._descriptor >= 0:
            empty = os.fstat(self._descriptor).st_size == 0
            os.close(self._descriptor)
            self._descriptor = -1
            if empty:
                self._part.unlink(missing_ok=True)

    def setModified(self, seconds: float) -> None:
        """Give the file its original's time, before L{commit}."""
        os.utime(self._descriptor, (seconds, seconds))


class LocalRemote:
    """See L{Remote}."""

    resumesDownloads = True
    resumesUploads = True
    hasDirectories = True

    async def entry(self, path: str) -> Entry | None:
        """See L{Remote.entry}."""
        try:
            return _entry(Path(path).name, os.stat(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _translated(error) from None

    async def list(self, path: str) -> list[Entry]:
        """See L{Remote.list}."""
        try:
            with os.scandir(path or ".") as found:
                return [_entry(each.name, each.stat(follow_symlinks=False)) for each in found]
        except OSError as error:
            raise _translated(error) from None

    async def get(self, path: str, target: IWriteHandle, offset: int, progress: Progress) -> int:
        """See L{Remote.get}."""
        source = LocalReadHandle(Path(path))
        position: int = target.position
        try:
            return await _copy(source, target, offset, position, progress)
        finally:
            await source.close()

    async def put(self, path: str, source: IReadHandle, offset: int, progress: Progress) -> int:
        """See L{Remote.put}."""
        target = LocalWriteHandle(Path(path), resume=offset > 0)
        try:
            moved = await _copy(source, target, offset, offset, progress)
            await target.commit()
        except BaseException:
            await target.abort()
            raise
        return moved

    async def removeFile(self, path: str) -> None:
        """See L{Remote.removeFile}."""
        try:
            os.unlink(path)
        except OSError as error:
            raise _translated(error) from None

    async def removeDirectory(self, path: str) -> None:
        """See L{Remote.removeDirectory}."""
        try:
            os.rmdir(path)
        except OSError as error:
            raise _translated(error) from None

    async def makeDirectory(self, path: str) -> None:
        """See L{Remote.makeDirectory}."""
        try:
            os.mkdir(path)
        except OSError as error:
            raise _translated(error) from None

    async def rename(self, source: str, target: str) -> None:
        """See L{Remote.rename}."""
        try:
            os.rename(source, target)
        except OSError as error:
            raise _translated(error) from None

    async def home(self) -> str:
        """See L{Remote.home}."""
        return os.getcwd()

    def abort(self) -> None:
        """See L{Remote.abort}."""

    async def close(self) -> None:
        """See L{Remote.close}."""


async def _copy(
    source: IReadHandle, target: IWriteHandle, offset: int, position: int, progress: Progress
) -> int:
    start = position
    while data := await source.readAt(offset, _STEP):
        await target.writeAt(position, data)
        offset += len(data)
        position += len(data)
        progress.nbytes += len(data)
    return position - start


def _entry(name: str, status: os.stat_result) -> Entry:
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link"}
    kind = kinds.get(stat.S_IFMT(status.st_mode), "other")
    return Entry(name, kind, status.st_size, status.st_mtime)
