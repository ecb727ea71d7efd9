"""
An account for conch's SFTP: what SSH clients may do is move files, and nothing else.

Everything goes through the account's file system, so its rules, quotas and events are the
same as over FileHub's own protocols; so are its rates.  Keys, logins and sessions are
conch's business.  Relative names begin at the account's home.

A file that is written appears under its name when the client closes it; if the connection
is lost first, what was there stands (with L{Subsystem}, which L{AccountUser} offers;
conch's own subsystem cannot tell the one from the other).
"""

from __future__ import annotations

import stat
import time
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any, Final, TypeVar

from twisted.conch.avatar import ConchUser
from twisted.conch.interfaces import IConchUser, ISFTPFile, ISFTPServer
from twisted.conch.ssh.filetransfer import (
    FX_FAILURE,
    FX_FILE_ALREADY_EXISTS,
    FX_NO_SUCH_FILE,
    FX_OP_UNSUPPORTED,
    FX_PERMISSION_DENIED,
    FXF_APPEND,
    FXF_CREAT,
    FXF_EXCL,
    FXF_READ,
    FXF_TRUNC,
    FXF_WRITE,
    FileTransferServer,
    SFTPError,
)
from twisted.conch.ssh.session import SSHSession
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.protocol import connectionDone
from twisted.python.components import registerAdapter
from twisted.python.failure import Failure
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
    LimitExceeded,
    NotFound,
    OperationNotSupported,
    PermissionDenied,
)
from filehub.interfaces import (
    IFileAccount,
    IRandomAccess,
    IReadHandle,
    ISymbolicLinks,
    IWriteHandle,
)
from filehub.paths import VirtualPath, decodeName, encodeName

_T = TypeVar("_T")

#: Bytes that are read at a time, whatever a client asks for.
_CHUNK: Final = 1 << 18
#: Names of a directory that is listed: they are in memory until it is closed.
MAXIMUM_NAMES: Final = 50_000

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


def _translated(error: FileHubError) -> SFTPError:
    code = next(code for base, code in _CODES if isinstance(error, base))
    # The protocol's texts are ASCII in conch.
    text = str(error).encode("ascii", "backslashreplace").decode("ascii")
    return SFTPError(code, text)  # type: ignore[no-untyped-call]


def _running(work: Coroutine[Any, Any, _T]) -> Deferred[_T]:
    async def run() -> _T:
        try:
            return await work
        except FileHubError as error:
            raise _translated(error) from None

    return Deferred.fromCoroutine(run())


def _unsupported() -> SFTPError:
    return _translated(OperationNotSupported())


def _mode(found: FileAttributes) -> int:
    usual = 0o755 if found.isDirectory else 0o644
    return _KINDS[found.type] | (usual if found.mode is None else found.mode)


def _packed(found: FileAttributes) -> dict[str, int]:
    modified = max(0, int(found.modified))
    accessed = modified if found.accessed is None else max(0, int(found.accessed))
    return {
        "size": found.size,
        "permissions": _mode(found),
        "atime": accessed,
        "mtime": modified,
    }


def _changes(attributes: Mapping[str, Any]) -> AttributeChanges:
    """Owners are not the client's to choose; that it names them is no mistake."""
    if "size" in attributes:
        raise _unsupported()
    mode = attributes.get("permissions")
    return AttributeChanges(
        mode=None if mode is None else mode & 0o777,
        modified=attributes.get("mtime"),
        accessed=attributes.get("atime"),
    )


def _row(entry: DirectoryEntry) -> tuple[bytes, bytes, dict[str, int]]:
    found = entry.attributes
    name = encodeName(entry.name)
    moment = time.strftime("%b %d %H:%M", time.gmtime(max(0.0, found.modified)))
    line = (
        f"{stat.filemode(_mode(found))} {found.links or 1:4} {found.owner or 'ftp':8}"
        f" {found.group or 'ftp':8} {found.size:12} {moment} "
    )
    return name, line.encode("utf-8", "replace") + name, _packed(found)


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

        return _running(work())

    def writeChunk(self, offset: int, data: bytes) -> None:
        """See L{ISFTPFile}."""
        raise _translated(PermissionDenied())

    def getAttrs(self) -> dict[str, int]:
        """See L{ISFTPFile}."""
        return _packed(self._handle.attributes)

    def setAttrs(self, attrs: Mapping[str, Any]) -> None:
        """See L{ISFTPFile}."""
        raise _unsupported()

    def close(self) -> Deferred[None]:
        """See L{ISFTPFile}."""
        return _running(self._handle.close())

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
        raise _unsupported()

    def writeChunk(self, offset: int, data: bytes) -> Deferred[None]:
        """See L{ISFTPFile}."""
        return self._lock.run(lambda: _running(self._write(offset, data)))

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
        _changes(attrs)
        self._wanted = {**self._wanted, **attrs}

    def close(self) -> Deferred[None]:
        """See L{ISFTPFile}."""
        return self._lock.run(lambda: _running(self._close()))

    async def _close(self) -> None:
        if self._isOver:
            return
        self._isOver = True
        if self._handle is None and not self._flags & FXF_CREAT:
            return
        handle = await self.open()
        await handle.commit()
        if self._wanted:
            await self._account.fileSystem.setAttributes(self._path, _changes(self._wanted))

    def abort(self) -> Deferred[None]:
        """Nobody closes it any more: it is not published."""
        return self._lock.run(lambda: _running(self._abort()))

    async def _abort(self) -> None:
        self._isOver = True
        if self._handle is not None:
            await self._handle.abort()


@implementer(ISFTPServer)
class AccountFiles:
    """
    See L{ISFTPServer}.

    @ivar avatar: the account.
    """

    def __init__(self, account: IFileAccount) -> None:
        self.avatar = account
        self._files = account.fileSystem

    def _path(self, name: bytes) -> VirtualPath:
        try:
            path: VirtualPath = self.avatar.home.join(decodeName(name))
        except FileHubError as error:
            raise _translated(error) from None
        return path

    def gotVersion(self, otherVersion: int, extData: Mapping[bytes, bytes]) -> dict[str, bytes]:
        """See L{ISFTPServer}."""
        return {}

    def openFile(self, filename: bytes, flags: int, attrs: Mapping[str, Any]) -> Deferred[Any]:
        """See L{ISFTPServer}.  One that is read and written at once is not supported."""
        path = self._path(filename)
        if not flags & FXF_WRITE:
            return _running(self._read(path))
        if flags & FXF_READ:
            raise _unsupported()
        return _running(self._write(path, flags))

    async def _read(self, path: VirtualPath) -> ReadFile:
        return ReadFile(await self._files.openForReading(path), self.avatar)

    async def _write(self, path: VirtualPath, flags: int) -> WriteFile:
        file = WriteFile(self.avatar, path, flags)
        if flags & (FXF_EXCL | FXF_APPEND | FXF_TRUNC):
            await file.open()
        elif not flags & FXF_CREAT:
            await self._files.stat(path)
        return file

    def removeFile(self, filename: bytes) -> Deferred[None]:
        """See L{ISFTPServer}."""
        return _running(self._files.removeFile(self._path(filename)))

    def renameFile(self, oldpath: bytes, newpath: bytes) -> Deferred[None]:
        """See L{ISFTPServer}.  Nothing is overwritten."""
        source, target = self._path(oldpath), self._path(newpath)
        return _running(self._files.rename(source, target, replace=False))

    def makeDirectory(self, path: bytes, attrs: Mapping[str, Any]) -> Deferred[None]:
        """See L{ISFTPServer}."""
        return _running(self._files.makeDirectory(self._path(path)))

    def removeDirectory(self, path: bytes) -> Deferred[None]:
        """See L{ISFTPServer}."""
        return _running(self._files.removeDirectory(self._path(path)))

    def openDirectory(self, path: bytes) -> Deferred[Listing]:
        """See L{ISFTPServer}."""
        return _running(self._list(self._path(path)))

    async def _list(self, path: VirtualPath) -> Listing:
        rows: list[tuple[bytes, bytes, dict[str, int]]] = []
        directory = await self._files.openDirectory(path)
        try:
            while page := await directory.nextPage():
                rows += map(_row, page)
                if len(rows) > MAXIMUM_NAMES:
                    raise LimitExceeded("too many names in this directory")
        finally:
            await directory.close()
        return Listing(rows)

    def getAttrs(self, path: bytes, followLinks: bool) -> Deferred[dict[str, int]]:
        """See L{ISFTPServer}."""
        where = self._path(path)

        async def work() -> dict[str, int]:
            found = await self._files.resolve(where) if followLinks else where
            return _packed(await self._files.stat(found))

        return _running(work())

    def setAttrs(self, path: bytes, attrs: Mapping[str, Any]) -> Deferred[None]:
        """See L{ISFTPServer}."""
        return _running(self._files.setAttributes(self._path(path), _changes(attrs)))

    def _links(self) -> ISymbolicLinks:
        links = ISymbolicLinks(self._files, None)
        if links is None:
            raise _unsupported()
        return links

    def readLink(self, path: bytes) -> Deferred[bytes]:
        """See L{ISFTPServer}."""
        links = self._links()
        where = self._path(path)

        async def work() -> bytes:
            return encodeName(await links.readLink(where))

        return _running(work())

    def makeLink(self, linkPath: bytes, targetPath: bytes) -> Deferred[None]:
        """See L{ISFTPServer}."""
        return _running(self._links().makeLink(self._path(linkPath), decodeName(targetPath)))

    def realPath(self, path: bytes) -> bytes:
        """See L{ISFTPServer}."""
        return self._path(path).encode()

    def extendedRequest(self, extendedName: bytes, extendedData: bytes) -> bytes:
        """See L{ISFTPServer}."""
        raise _unsupported()


class Subsystem(FileTransferServer):
    """conch's subsystem, except that a lost connection publishes nothing."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Half an upload is none."""
        files, self.openFiles = self.openFiles, {}
        for file in files.values():
            file.abort().addErrback(self._unclosable)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def _unclosable(self, failure: Failure) -> None:
        self._log.failure("a file could not be closed", failure)


class FilesOnly(SSHSession):
    """A channel for subsystems: there is no shell and no command here."""

    def request_shell(self, data: bytes) -> int:
        """Refused."""
        return 0

    def request_exec(self, data: bytes) -> int:
        """Refused."""
        return 0

    def request_pty_req(self, data: bytes) -> int:
        """Refused."""
        return 0


@implementer(IConchUser)
class AccountUser(ConchUser):
    """
    See L{IConchUser}.

    @ivar account: whose it is.
    """

    def __init__(self, account: IFileAccount) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.account = account
        self.channelLookup[b"session"] = FilesOnly
        self.subsystemLookup[b"sftp"] = Subsystem


registerAdapter(AccountUser, IFileAccount, IConchUser)  # type: ignore[no-untyped-call]
registerAdapter(AccountFiles, IFileAccount, ISFTPServer)  # type: ignore[no-untyped-call]
registerAdapter(  # type: ignore[no-untyped-call]
    lambda user: AccountFiles(user.account), AccountUser, ISFTPServer
)

__all__ = ["AccountFiles", "AccountUser", "FilesOnly", "Listing", "Subsystem"]
