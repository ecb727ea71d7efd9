"""
From a L{Location} to a L{Remote} that is connected and logged in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from filehub.errors import FileHubError
from filehub.protocols.ftp.client import FTPClient, Refused
from filehub.remotes.base import Remote
from filehub.remotes.ftp import FTPRemote
from filehub.remotes.local import LocalRemote
from filehub.remotes.passwords import PasswordSources
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
    """

    reactor: Any
    passwords: PasswordSources
    trust: ServerTrust
    timeout: float = 30.0

    async def connect(self, location: Location) -> Remote:
        """
        A new connection, whatever the location speaks.

        @raise LoginRefused: and L{ConnectFailed}, L{ProtectionRequired}.
        """
        if location.isLocal:
            return LocalRemote()
        return await self._connectFTP(location)

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
