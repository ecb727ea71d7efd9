"""
Asking a portal for an account, on behalf of a client that may hang up meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from twisted.cred.credentials import ICredentials
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import Interface

from filehub.credentials import ConnectionInfo
from filehub.interfaces import IFileAccount

#: Bytes of a user name; longer ones never reach a checker.
MAXIMUM_USER: Final = 256
#: Bytes of a password: hashing more would only serve an attacker.
MAXIMUM_PASSWORD: Final = 1024


class LoginPortal(Protocol):
    """A L{twisted.cred.portal.Portal}, or what stands in front of one."""

    def login(
        self, credentials: ICredentials, mind: Any, *interfaces: type[Interface]
    ) -> Deferred[Any]:
        """See L{twisted.cred.portal.Portal.login}."""


class IAddressLogin(Interface):
    """On portals: a login that takes no Deferred, for who is known by his address only."""

    async def accountAt(connection: ConnectionInfo) -> IFileAccount:
        """
        The account that C{login} with an L{IPeerAddress<filehub.credentials.IPeerAddress>}
        gives; there is nothing to log out of.

        @raise LoginFailed: as C{login} does.
        """


class IPromptLogin(Interface):
    """On portals: a login that takes no Deferred unless something has to be waited for."""

    async def admit(credentials: ICredentials, connection: ConnectionInfo) -> Granted:
        """
        What C{login} for an L{IFileAccount} gives.  If it is cancelled, an account that
        comes later is logged out again.

        @raise LoginFailed: and the rest, as C{login} does.
        """


#: What a portal answers with: interface, account, logout.
Granted = tuple[Any, IFileAccount, Callable[[], Any]]

_log: Final = Logger()


def askPortal(
    portal: LoginPortal, credentials: ICredentials, connection: ConnectionInfo
) -> Awaitable[Granted]:
    """
    L{Portal.login}, except that an account is logged out again if by the time it
    comes nobody waits for it any more.
    """
    if IPromptLogin.providedBy(portal):
        admitting: Awaitable[Granted] = portal.admit(credentials, connection)
        return admitting
    login = portal.login(credentials, connection, IFileAccount)
    if login.called and not login.paused:
        # As nearly always: nobody has to wait.
        return login
    waiting: Deferred[Granted] = Deferred(lambda _: None)

    def granted(result: Granted) -> None:
        if waiting.called:
            discard(result[2])
        else:
            waiting.callback(result)

    def refused(reason: Failure) -> None:
        if not waiting.called:
            waiting.errback(reason)

    login.addCallbacks(granted, refused)
    return waiting


def discard(logout: Callable[[], Any]) -> None:
    """Log out; a failure of that is ours, not the client's."""
    try:
        logout()
    except Exception:
        _log.failure("logging out of an account failed")
