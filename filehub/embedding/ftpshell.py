"""
An account for Twisted's own FTP server (L{twisted.protocols.ftp}).

Everything goes through the account's file system, so its rules, quotas and events are the
same as over FileHub's own protocols; so are its rates.  What belongs to sessions (caps,
bans, delays, time limits) is that server's business, and so is that it takes a broken
upload for a whole one: its data connection does not say how it ended.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.protocols import ftp
from twisted.python.components import registerAdapter
from twisted.python.filepath import Permissions
from zope.interface import implementer

from filehub.attributes import Disposition, FileAttributes
from filehub.embedding.pacing import pay
from filehub.errors import (
    AlreadyExists,
    FileHubError,
    FileTooLarge,
    InvalidName,
    IsADirectory,
    NoSpace,
    NotADirectory,
    NotFound,
    PeerGone,
    PermissionDenied,
    QuotaExceeded,
)
from filehub.interfaces import IFileAccount, IReadHandle, IWriteHandle
from filehub.paths import ROOT, VirtualPath, encodeName

_T = TypeVar("_T")

#: Bytes that are read at a time.
_CHUNK: Final = 1 << 16
#: Bytes that wait for storage until the client has to wait too.
_HIGH: Final = 1 << 20


class ActionNotTaken(ftp.FTPCmdError):
    """For what Twisted's server has no error of its own."""

    errorCode = ftp.REQ_ACTN_NOT_TAKEN


class NoRoom(ftp.FTPCmdError):
    """A full disk, a quota, a file that is too large."""

    errorCode = ftp.EXCEEDED_STORAGE_ALLOC


#: The first that fits.
_ERRORS: Final[tuple[tuple[type[FileHubError], type[Exception]], ...]] = (
    (NotFound, ftp.FileNotFoundError),
    (InvalidName, ftp.FileNotFoundError),
    (PermissionDenied, ftp.PermissionDeniedError),
    (AlreadyExists, ftp.FileExistsError),
    (IsADirectory, ftp.IsADirectoryError),
    (NotADirectory, ftp.IsNotADirectoryError),
    (NoSpace, NoRoom),
    (QuotaExceeded, NoRoom),
    (FileTooLarge, NoRoom),
    (FileHubError, ActionNotTaken),
)


def _translated(error: FileHubError, path: VirtualPath) -> Exception:
    kind = next(known for base, known in _ERRORS if isinstance(error, base))
    return kind(str(error) if kind is ActionNotTaken else str(path))


def _running(work: Coroutine[Any, Any, _T], path: VirtualPath) -> Deferred[_T]:
    async def run() -> _T:
        try:
            return await work
        except FileHubError as error:
            raise _translated(error, path) from None

    return Deferred.fromCoroutine(run())


def _pathOf(segments: Sequence[str | bytes]) -> VirtualPath:
    path = ROOT
    for each in segments:
        try:
            path = path.child(_nameOf(each))
        except FileHubError as error:
            raise ftp.FileNotFoundError(str(each)) from error  # type: ignore[no-untyped-call]
    return path


def _nameOf(segment: str | bytes) -> str:
    """The server reads commands as Latin-1 unless told otherwise; clients send UTF-8."""
    if isinstance(segment, bytes):
        return segment.decode("utf-8", "surrogateescape")
    try:
        return segment.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return segment


_FACTS: Final[dict[str, Callable[[FileAttributes], Any]]] = {
    "size": lambda found: found.size,
    "directory": lambda found: found.isDirectory,
    "permissions": lambda found: Permissions(
        (0o755 if found.isDirectory else 0o644) if found.mode is None else found.mode
    ),
    "hardlinks": lambda found: 1 if found.links is None else found.links,
    "modified": lambda found: found.modified,
    "owner": lambda found: found.owner or "ftp",
    "group": lambda found: found.group or "ftp",
}


def _factsOf(found: FileAttributes, keys: Sequence[str]) -> list[Any]:
    return [_FACTS[key](found) for key in keys]


@implementer(ftp.IFTPShell)
class AccountShell:
    """
    See L{ftp.IFTPShell}.  C{/} is the root of the account's mounts, as everywhere.
    """

    def __init__(self, account: IFileAccount) -> None:
        self._account = account
        self._files = account.fileSystem

    def makeDirectory(self, path: Sequence[str]) -> Deferred[None]:
        """See L{ftp.IFTPShell}."""
        where = _pathOf(path)
        return _running(self._files.makeDirectory(where), where)

    def removeDirectory(self, path: Sequence[str]) -> Deferred[None]:
        """See L{ftp.IFTPShell}."""
        where = _pathOf(path)
        return _running(self._files.removeDirectory(where), where)

    def removeFile(self, path: Sequence[str]) -> Deferred[None]:
        """See L{ftp.IFTPShell}."""
        where = _pathOf(path)
        return _running(self._files.removeFile(where), where)

    def rename(self, fromPath: Sequence[str], toPath: Sequence[str]) -> Deferred[None]:
        """See L{ftp.IFTPShell}.  Nothing is overwritten."""
        source, target = _pathOf(fromPath), _pathOf(toPath)
        return _running(self._files.rename(source, target, replace=False), target)

    def access(self, path: Sequence[str]) -> Deferred[None]:
        """See L{ftp.IFTPShell}."""
        where = _pathOf(path)
        return _running(self._files.enterDirectory(where), where)

    def stat(self, path: Sequence[str], keys: Sequence[str] = ()) -> Deferred[list[Any]]:
        """See L{ftp.IFTPShell}."""
        where = _pathOf(path)

        async def work() -> list[Any]:
            return _factsOf(await self._files.stat(where), keys)

        return _running(work(), where)

    def list(
        self, path: Sequence[str], keys: Sequence[str] = ()
    ) -> Deferred[Sequence[tuple[bytes, Sequence[Any]]]]:
        """See L{ftp.IFTPShell}."""
        where = _pathOf(path)
        return _running(self._list(where, keys), where)

    async def _list(
        self, where: VirtualPath, keys: Sequence[str]
    ) -> Sequence[tuple[bytes, Sequence[Any]]]:
        found = await self._files.stat(where)
        if not found.isDirectory:
            return [(encodeName(where.name), _factsOf(found, keys))]
        rows: list[tuple[bytes, Sequence[Any]]] = []
        directory = await self._files.openDirectory(where)
        try:
            while page := await directory.nextPage():
                rows += [(encodeName(each.name), _factsOf(each.attributes, keys)) for each in page]
        finally:
            await directory.close()
        return rows

    def openForReading(self, path: Sequence[str]) -> Deferred[ReadFile]:
        """See L{ftp.IFTPShell}."""
        where = _pathOf(path)

        async def work() -> ReadFile:
            handle = await self._files.openForReading(where)
            return ReadFile(handle, where, self._account)

        return _running(work(), where)

    def openForWriting(self, path: Sequence[str]) -> Deferred[WriteFile]:
        """See L{ftp.IFTPShell}.  The old file stands until the new one is whole."""
        where = _pathOf(path)

        async def work() -> WriteFile:
            handle = await self._files.openForWriting(where, Disposition.REPLACE)
            return WriteFile(handle, where, self._account)

        return _running(work(), where)


@implementer(ftp.IReadFile, IPushProducer)
class ReadFile:
    """See L{ftp.IReadFile}."""

    def __init__(self, handle: IReadHandle, path: VirtualPath, account: IFileAccount) -> None:
        self._handle = handle
        self._path = path
        self._account = account
        self._paused: Deferred[None] | None = None
        self._isStopped = False

    def send(self, consumer: IConsumer) -> Deferred[None]:
        """See L{ftp.IReadFile}."""
        return _running(self._send(consumer), self._path)

    async def _send(self, consumer: IConsumer) -> None:
        consumer.registerProducer(self, True)
        offset = 0
        try:
            while data := await self._handle.readAt(offset, _CHUNK):
                await pay(self._account.limits.download, len(data))
                if self._paused is not None:
                    await self._paused
                if self._isStopped:
                    raise PeerGone
                consumer.write(data)
                offset += len(data)
        finally:
            consumer.unregisterProducer()
            await self._handle.close()

    def pauseProducing(self) -> None:
        """See L{IPushProducer}."""
        if self._paused is None and not self._isStopped:
            self._paused = Deferred()

    def resumeProducing(self) -> None:
        """See L{IPushProducer}."""
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.callback(None)

    def stopProducing(self) -> None:
        """See L{IPushProducer}."""
        self._isStopped = True
        self.resumeProducing()


@implementer(ftp.IWriteFile, IConsumer)
class WriteFile:
    """See L{ftp.IWriteFile}; the consumer is this object."""

    def __init__(self, handle: IWriteHandle, path: VirtualPath, account: IFileAccount) -> None:
        self._handle = handle
        self._path = path
        self._account = account
        self._position = handle.position
        self._producer: Any = None
        self._isPaused = False
        self._waiting: list[bytes] = []
        self._size = 0
        self._writing: Deferred[None] | None = None
        self._error: BaseException | None = None

    def receive(self) -> Deferred[IConsumer]:
        """See L{ftp.IWriteFile}."""
        ready: Deferred[IConsumer] = Deferred()
        ready.callback(self)
        return ready

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See L{IConsumer}."""
        self._producer = producer

    def unregisterProducer(self) -> None:
        """See L{IConsumer}."""
        self._producer = None

    def write(self, data: bytes) -> None:
        """See L{IConsumer}."""
        if self._error is not None:
            return
        self._waiting.append(data)
        self._size += len(data)
        if self._size >= _HIGH and not self._isPaused and self._producer is not None:
            self._isPaused = True
            self._producer.pauseProducing()
        if self._writing is None:
            self._writing = Deferred()
            Deferred.fromCoroutine(self._store()).addErrback(self._failed).addBoth(self._idle)

    async def _store(self) -> None:
        while self._waiting:
            data, self._waiting, self._size = b"".join(self._waiting), [], 0
            await pay(self._account.limits.upload, len(data))
            await self._handle.writeAt(self._position, data)
            self._position += len(data)
            if self._isPaused and self._producer is not None:
                self._isPaused = False
                self._producer.resumeProducing()

    def _failed(self, failure: Any) -> None:
        self._error = failure.value
        self._waiting.clear()
        if self._producer is not None:
            # Nobody has to send what nobody can store; close() says why.
            self._producer.stopProducing()

    def _idle(self, _: object) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.callback(None)

    def close(self) -> Deferred[None]:
        """See L{ftp.IWriteFile}."""
        return _running(self._close(), self._path)

    async def _close(self) -> None:
        while self._writing is not None:
            await self._writing
        if self._error is not None:
            await self._handle.abort()
            raise self._error
        await self._handle.commit()


registerAdapter(AccountShell, IFileAccount, ftp.IFTPShell)  # type: ignore[no-untyped-call]

__all__ = ["AccountShell", "ActionNotTaken", "NoRoom", "ReadFile", "WriteFile"]
