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

from collections.abc import Mapping
from typing import Any, Final

from twisted.conch.avatar import ConchUser
from twisted.conch.interfaces import IConchUser, ISFTPServer
from twisted.conch.ssh.filetransfer import (
    FXF_APPEND,
    FXF_CREAT,
    FXF_EXCL,
    FXF_READ,
    FXF_TRUNC,
    FXF_WRITE,
    FileTransferServer,
)
from twisted.conch.ssh.session import SSHSession
from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.python.components import registerAdapter
from twisted.python.failure import Failure
from zope.interface import implementer

from filehub.embedding.sftpfiles import (
    Listing,
    ReadFile,
    WriteFile,
    changes,
    packed,
    row,
    running,
    translated,
    unsupported,
)
from filehub.errors import (
    FileHubError,
    LimitExceeded,
)
from filehub.interfaces import (
    IFileAccount,
    ISymbolicLinks,
)
from filehub.paths import VirtualPath, decodeName, encodeName

#: Names of a directory that is listed: they are in memory until it is closed.
MAXIMUM_NAMES: Final = 50_000


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
            raise translated(error) from None
        return path

    def gotVersion(self, otherVersion: int, extData: Mapping[bytes, bytes]) -> dict[str, bytes]:
        """See L{ISFTPServer}."""
        return {}

    def openFile(self, filename: bytes, flags: int, attrs: Mapping[str, Any]) -> Deferred[Any]:
        """See L{ISFTPServer}.  One that is read and written at once is not supported."""
        path = self._path(filename)
        if not flags & FXF_WRITE:
            return running(self._read(path))
        if flags & FXF_READ:
            raise unsupported()
        return running(self._write(path, flags))

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
        return running(self._files.removeFile(self._path(filename)))

    def renameFile(self, oldpath: bytes, newpath: bytes) -> Deferred[None]:
        """See L{ISFTPServer}.  Nothing is overwritten."""
        source, target = self._path(oldpath), self._path(newpath)
        return running(self._files.rename(source, target, replace=False))

    def makeDirectory(self, path: bytes, attrs: Mapping[str, Any]) -> Deferred[None]:
        """See L{ISFTPServer}."""
        return running(self._files.makeDirectory(self._path(path)))

    def removeDirectory(self, path: bytes) -> Deferred[None]:
        """See L{ISFTPServer}."""
        return running(self._files.removeDirectory(self._path(path)))

    def openDirectory(self, path: bytes) -> Deferred[Listing]:
        """See L{ISFTPServer}."""
        return running(self._list(self._path(path)))

    async def _list(self, path: VirtualPath) -> Listing:
        rows: list[tuple[bytes, bytes, dict[str, int]]] = []
        directory = await self._files.openDirectory(path)
        try:
            while page := await directory.nextPage():
                rows += map(row, page)
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
            return packed(await self._files.stat(found))

        return running(work())

    def setAttrs(self, path: bytes, attrs: Mapping[str, Any]) -> Deferred[None]:
        """See L{ISFTPServer}."""
        return running(self._files.setAttributes(self._path(path), changes(attrs)))

    def _links(self) -> ISymbolicLinks:
        links = ISymbolicLinks(self._files, None)
        if links is None:
            raise unsupported()
        return links

    def readLink(self, path: bytes) -> Deferred[bytes]:
        """See L{ISFTPServer}."""
        links = self._links()
        where = self._path(path)

        async def work() -> bytes:
            return encodeName(await links.readLink(where))

        return running(work())

    def makeLink(self, linkPath: bytes, targetPath: bytes) -> Deferred[None]:
        """See L{ISFTPServer}."""
        return running(self._links().makeLink(self._path(linkPath), decodeName(targetPath)))

    def realPath(self, path: bytes) -> bytes:
        """See L{ISFTPServer}."""
        return self._path(path).encode()

    def extendedRequest(self, extendedName: bytes, extendedData: bytes) -> bytes:
        """See L{ISFTPServer}."""
        raise unsupported()


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
