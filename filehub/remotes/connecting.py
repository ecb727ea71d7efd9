"""
From a L{Location} to a L{Remote} that is connected and logged in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from filehub.errors import FileHubError
from filehub.protocols.ftp.client import FTPClient, Refused
from filehub.protocols.rfc913 import client as rfc913
from filehub.protocols.rfc913.client import RFC913Client
from filehub.protocols.rfc913.wire import Code
from filehub.protocols.tftp.client import TFTPClient
from filehub.remotes.base import Remote
from filehub.remotes.ftp import FTPRemote
from filehub.remotes.local import LocalRemote
from filehub.remotes.passwords import PasswordSources
from filehub.remotes.rfc913 import RFC913Remote
from filehub.remotes.tftp import TFTPRemote
from filehub.remotes.url import Location
from filehub.transfer.tlsclient import ServerTrust


class LoginRefused(FileHubError):
    """The server does not let us in."""

    summary = "login refused"


@dataclass(frozen=True)
class Connector:
    """
    How connections are made.

    @ivar reactor: the reactor.
    @ivar trust: which TLS servers to believe.
    @ivar timeout: seconds for connecting.
    @ivar blksize: octets in a block that TFTP servers are asked for.
    @ivar windowsize: blocks in a window that they are asked for.
    """

    reactor: Any
    passwords: PasswordSources
    trust: ServerTrust
    timeout: float = 30.0
    blksize: int = 1428
    windowsize: int = 16

    async def connect(self, location: Location) -> Remote:
        """
        A new connection, whatever the location speaks.

        @raise LoginRefused: and L{ConnectFailed}, L{ProtectionRequired}.
        """
        if location.isLocal:
            return LocalRemote()
        if location.scheme == "tftp":
            client = TFTPClient(
                self.reactor,
                location.host,
                location.port,
                timeout=self.timeout,
                blksize=self.blksize,
                window=self.windowsize,
            )
            return TFTPRemote(client, netascii=location.netascii)
        if location.scheme == "rfc913":
            return await self._connectRFC913(location)
        return await self._connectFTP(location)

    async def _connectRFC913(self, location: Location) -> Remote:
        login = self.passwords.loginFor(location)
        client = await RFC913Client.connect(
            self.reactor, location.host, location.port, timeout=self.timeout
        )
        try:
            try:
                await client.login(*login)
            except rfc913.MoreNeeded:
                # The password was believed and an account is wanted on top.
                account = None if login.account else self.passwords.accountFor(location)
                if account is None:
                    raise
                reply = await client.command("ACCT", account)
                if reply.code is not Code.LOGGED_IN:
                    raise rfc913.MoreNeeded(reply) from None
        except rfc913.Refused as refusal:
            client.abort()
            raise LoginRefused(f"{location.host}: {refusal}") from None
        except BaseException:
            client.abort()
            raise
        return RFC913Remote(client)

    async def _connectFTP(self, location: Location) -> Remote:
        tls = {"ftp": "off", "ftpes": "explicit", "ftps": "implicit"}[location.scheme]
        login = self.passwords.loginFor(location)
        client = await FTPClient.connect(
            self.reactor,
            location.host,
            location.port,
            tls=tls,
            trust=self.trust,
            timeout=self.timeout,
        )
        try:
            await client.login(*login)
        except Refused as refusal:
            client.abort()
            raise LoginRefused(f"{location.host}: {refusal}") from None
        except BaseException:
            client.abort()
            raise
        return FTPRemote(client)
