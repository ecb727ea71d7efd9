"""
Who comes in: addresses in our own form, and places where nobody counts them.
"""

from __future__ import annotations

from twisted.internet.interfaces import IAddress

from filehub.credentials import Address, ConnectionInfo
from filehub.interfaces import IFileAccount
from filehub.networks import canonicalHost


def addressOf(address: IAddress) -> Address:
    """The form in which the rest of the program knows addresses."""
    host = getattr(address, "host", "127.0.0.1")
    try:
        if host.startswith("::ffff:"):
            host = canonicalHost(host)
    except ValueError:
        pass
    return Address(host, getattr(address, "port", 0))


class UncountedSlot:
    """A place in a server without limits; see L{ISessionSlot}."""

    __slots__ = ("connection",)

    def __init__(self, connection: ConnectionInfo) -> None:
        self.connection = connection

    def secured(self) -> None:
        """The control channel is encrypted now."""
        known = self.connection
        self.connection = ConnectionInfo(
            known.protocol, known.sessionId, known.peer, known.local, True
        )

    def loggedIn(self, account: IFileAccount) -> None:
        """There are no limits."""

    def loggedOut(self) -> None:
        """There are no limits."""

    def doing(self, activity: str) -> None:
        """Nobody looks."""

    def leave(self, reason: str) -> None:
        """There are no limits."""


__all__ = ["UncountedSlot", "addressOf"]
