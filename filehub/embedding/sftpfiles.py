"""
Files, attributes and errors the way that conch's SFTP has them.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any, Final, TypeVar

from twisted.conch.interfaces import ISFTPFile
from twisted.conch.ssh.filetransfer import (
    FX_FAILURE,
    FX_FILE_ALREADY_EXISTS,
    FX_NO_SUCH_FILE,
    FX_OP_UNSUPPORTED,
    FX_PERMISSION_DENIED,
    FXF_APPEND,
    FXF_CREAT,
    FXF_EXCL,
    FXF_TRUNC,
    SFTPError,
)
from twisted.internet.defer import Deferred, DeferredLock
from zope.interface import implementer

from filehub.attributes import (
    AttributeChanges,
    DirectoryEntry,
    Disposition,
    FileAttributes,
    FileType,
)
from filehub.embedding.pacing import pay
from filehub.errors import (
    AlreadyExists,
    FileHubError,
    NotFound,
    OperationNotSupported,
    PermissionDenied,
)
from filehub.interfaces import (
    IFileAccount,
    IRandomAccess,
    IReadHandle,
    IWriteHandle,
)
from filehub.paths import VirtualPath, encodeName

_T = TypeVar("_T")

#: Bytes that are read at a time, whatever a client asks for.
_CHUNK: Final = 1 << 18
#: The first that fits.
_CODES: Final[tuple[tuple[type[FileHubError], int], ...]] = (
    (NotFound, FX_NO_SUCH_FILE),
    (PermissionDenied, FX_PERMISSION_DENIED),
    (AlreadyExists, FX_FILE_ALREADY_EXISTS),
    (OperationNotSupported, FX_OP_UNSUPPORTED),
    (FileHubError, FX_FAILURE),
)
_KINDS: Final = {
    FileType.REGULAR: stat.S_IFREG,
    FileType.DIRECTORY: stat.S_IFDIR,
    FileType.SYMLINK: stat.S_IFLNK,
    FileType.OTHER: 0,
}


def translated(error: FileHubError) -> SFTPError:
    """The same in the protocol's words."""
    code = next(code for base, code in _CODES if isinstance(error, base))
    # The protocol's texts are ASCII in conch.
    text = str(error).encode("ascii", "backslashreplace").decode("ascii")
    return SFTPError(code, text)  # type: ignore[no-untyped-call]


def running(work: Coroutine[Any, Any, _T]) -> Deferred[_T]:
    """What conch waits for; L{FileHubError}s become L{SFTPError}s."""

    async def run() -> _T:
        try:
            return await work
        except FileHubError as error:
            raise translated(error) from None

    return Deferred.fromCoroutine(run())


def unsupported() -> SFTPError:
    """The refusal of what storage here cannot do."""
    return translated(OperationNotSupported())


def _mode(found: FileAttributes) -> int:
    usual = 0o755 if found.isDirectory else 0o644
    return _KINDS[found.type] | (usual if found.mode is None else found.mode)


def packed(found: FileAttributes) -> dict[str, int]:
    """Attributes in conch's form; times are seconds since the epoch."""
    modified = max(0, int(found.modified))
    accessed = modified if found.accessed is None else max(0, int(found.accessed))
    return {
        "size": found.size,
        "permissions": _mode(found),
        "atime": accessed,
        "mtime": modified,
    }


def changes(attributes: Mapping[str, Any]) -> AttributeChanges:
    """
    What a client wants to have changed.  Owners are not its to choose; that it names them
    is no mistake.

    @raise SFTPError: a length.
    """
    if "size" in attributes:
        raise unsupported()
    mode = attributes.get("permissions")
    return AttributeChanges(
        mode=None if mode is None else mode & 0o777,
        modified=attributes.get("mtime"),
        accessed=attributes.get("atime"),
    )


def row(entry: DirectoryEntry) -> tuple[bytes, bytes, dict[str, int]]:
    """Name, line of C{ls -l}, and attributes."""
    found = entry.attributes
    name = encodeName(entry.name)
    moment = time.strftime("%b %d %H:%M", time.gmtime(max(0.0, found.modified)))
    line = (
        f"{stat.filemode(_mode(found))} {found.links or 1:4} {found.owner or 'ftp':8}"
        f" {found.group or 'ftp':8} {found.size:12} {moment} "
    )
    return name, line.encode("utf-8", "replace") + name, packed(found)


class Listing:
    """What conch reads a directory from."""

    def __init__(self, rows: list[tuple[bytes, bytes, dict[str, int]]]) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[tuple[bytes, bytes, dict[str, int]]]:
        return iter(self._rows)

    def close(self) -> None:
        """Nothing is open any more."""


@implementer(ISFTPFile)
class ReadFile:
    """See L{ISFTPFile}: one that is read."""

    def __init__(self, handle: IReadHandle, account: IFileAccount) -> None:
        self._handle = handle
        self._account = account

    def readChunk(self, offset: int, length: int) -> Deferred[bytes]:
        """See L{ISFTPFile}."""

        async def work() -> bytes:
            data: bytes = await self._handle.readAt(offset, min(length, _CHUNK))
            await pay(self._account.limits.download, len(data))
            return data

        return running(work())

    def writeChunk(self, offset: int, data: bytes) -> None:
        """See L{ISFTPFile}."""
        raise translated(PermissionDenied())

    def getAttrs(self) -> dict[str, int]:
        """See L{ISFTPFile}."""
        return packed(self._handle.attributes)

    def setAttrs(self, attrs: Mapping[str, Any]) -> None:
        """See L{ISFTPFile}."""
        raise unsupported()

    def close(self) -> Deferred[None]:
        """See L{ISFTPFile}."""
        return running(self._handle.close())

    abort = close


@implementer(ISFTPFile)
class WriteFile:
    """
    See L{ISFTPFile}: one that is written.  It is opened with the first bytes, as only
    their place says whether an upload is continued.
    """

    def __init__(self, account: IFileAccount, path: VirtualPath, flags: int) -> None:
        self._account = account
        self._path = path
        self._flags = flags
        self._lock = DeferredLock()
        self._handle: IWriteHandle | None = None
        self._size = 0
        self._isOver = False
        self._wanted: Mapping[str, Any] = {}

    async def open(self, offset: int | None = None) -> IWriteHandle:
        """
        @param offset: of the first bytes; L{None}: none came yet.
        """
        if self._handle is None:
            files, flags = self._account.fileSystem, self._flags
            if flags & FXF_EXCL:
                handle = await files.openForWriting(self._path, Disposition.CREATE)
            elif flags & FXF_APPEND:
                handle = await files.openForWriting(self._path, Disposition.APPEND)
            elif flags & FXF_TRUNC or not offset:
                handle = await files.openForWriting(self._path, Disposition.REPLACE)
            else:
                random = IRandomAccess(files, None)
                if random is None:
                    raise OperationNotSupported(self._path)
                handle = await random.openForUpdate(self._path, offset)
            self._handle = handle
            self._size = handle.position
        assert self._handle is not None
        return self._handle

    def readChunk(self, offset: int, length: int) -> None:
        """See L{ISFTPFile}."""
        raise unsupported()

    def writeChunk(self, offset: int, data: bytes) -> Deferred[None]:
        """See L{ISFTPFile}."""
        return self._lock.run(lambda: running(self._write(offset, data)))

    async def _write(self, offset: int, data: bytes) -> None:
        if self._isOver:
            raise OperationNotSupported(self._path, "it is closed")
        handle = await self.open(offset)
        await pay(self._account.limits.upload, len(data))
        where = self._size if self._flags & FXF_APPEND else offset
        await handle.writeAt(where, data)
        self._size = max(self._size, where + len(data))

    def getAttrs(self) -> dict[str, int]:
        """See L{ISFTPFile}."""
        return {"size": self._size, "permissions": stat.S_IFREG | 0o644}

    def setAttrs(self, attrs: Mapping[str, Any]) -> None:
        """See L{ISFTPFile}.  Once it is whole."""
        changes(attrs)
        self._wanted = {**self._wanted, **attrs}

    def close(self) -> Deferred[None]:
        """See L{ISFTPFile}."""
        return self._lock.run(lambda: running(self._close()))

    async def _close(self) -> None:
        if self._isOver:
            return
        self._isOver = True
        if self._handle is None and not self._flags & FXF_CREAT:
            return
        handle = await self.open()
        await handle.commit()
        if self._wanted:
            await self._account.fileSystem.setAttributes(self._path, changes(self._wanted))

    def abort(self) -> Deferred[None]:
        """Nobody closes it any more: it is not published."""
        return self._lock.run(lambda: running(self._abort()))

    async def _abort(self) -> None:
        self._isOver = True
        if self._handle is not None:
            await self._handle.abort()
