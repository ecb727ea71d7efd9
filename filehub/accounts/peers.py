"""
The door for clients that are known by nothing but their address.

TFTP has a login for each file, and files may be small.  There is nothing to guess and
mostly nothing to wait for, so it takes no Deferred.  Nothing of an answer is kept:
networks, accounts, and what says whether they may be used now are asked each time.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import Interface, implementer

from filehub.accounts.checkers import NetworkChecker
from filehub.accounts.realm import FileHubRealm
from filehub.credentials import ConnectionInfo
from filehub.interfaces import IFileAccount
from filehub.logins import IAddressLogin, LoginPortal


@implementer(IAddressLogin)
class PeerPortal:
    """A L{LoginPortal} in front of another one."""

    def __init__(self, portal: LoginPortal, networks: NetworkChecker, realm: FileHubRealm) -> None:
        """
        @param networks: whose account it is.
        @param realm: the portal's own.
        """
        self._portal = portal
        self._networks = networks
        self._realm = realm

    def login(self, credentials: Any, mind: Any, *interfaces: type[Interface]) -> Deferred[Any]:
        """See L{LoginPortal.login}."""
        return self._portal.login(credentials, mind, *interfaces)

    async def accountAt(self, connection: ConnectionInfo) -> IFileAccount:
        """See L{IAddressLogin.accountAt}."""
        name = self._networks.accountAt(connection.peer.host)
        return await self._realm.accountFor(name, connection)


__all__ = ["PeerPortal"]
