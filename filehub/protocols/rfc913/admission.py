"""
A session's place among all, for a factory that no registry was given.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, Final

from twisted.internet.interfaces import IAddress
from zope.interface import implementer

from filehub.credentials import Address, ConnectionInfo
from filehub.interfaces import IFileAccount, ISessionSlot
from filehub.paths import VirtualPath

_ids: Final = itertools.count(1)


def addressOf(address: IAddress) -> Address:
    """
    The address of a transport's end; of one that has none, such as a UNIX socket, a
    name in its place.
    """
    known: Any = address
    host, port = getattr(known, "host", None), getattr(known, "port", None)
    if host is None or port is None:
        return Address(str(getattr(known, "name", None) or "local"), 0)
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    host = str(host)
    return Address(host.removeprefix("::ffff:") if "." in host else host, int(port))


@implementer(ISessionSlot)
class UncountedSlot:
    """A slot that nobody keeps a list of."""

    def __init__(self, peer: Address, local: Address, secure: bool) -> None:
        self.connection = ConnectionInfo("rfc913", next(_ids), peer, local, secure)

    def secured(self) -> None:
        """See L{ISessionSlot.secured}."""
        self.connection = replace(self.connection, secure=True)

    def loggedIn(self, account: IFileAccount, session: object = None) -> None:
        """Nothing is counted."""

    def loggedOut(self) -> None:
        """Nothing is counted."""

    def pace(self) -> None:
        """See L{ISessionSlot.pace}."""

    def doing(self, verb: str, path: VirtualPath | None = None, moving: Any = None) -> None:
        """Nobody looks."""

    def leave(self, reason: str) -> None:
        """Nothing is counted."""


__all__ = ["UncountedSlot", "addressOf"]
