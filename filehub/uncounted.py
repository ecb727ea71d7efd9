"""
A session's place in a server that counts nobody: for factories that no registry was given.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zope.interface import implementer

from filehub.credentials import ConnectionInfo
from filehub.interfaces import IFileAccount, ISessionSlot
from filehub.paths import VirtualPath


@implementer(ISessionSlot)
class UncountedSlot:
    """See L{ISessionSlot}; there are no limits."""

    __slots__ = ("connection",)

    def __init__(self, connection: ConnectionInfo) -> None:
        self.connection = connection

    def secured(self) -> None:
        """See L{ISessionSlot.secured}."""
        self.connection = replace(self.connection, secure=True)

    def loggedIn(self, account: IFileAccount, session: object = None) -> None:
        """Nothing is counted."""

    def loggedOut(self) -> None:
        """Nothing is counted."""

    def pace(self) -> None:
        """There is nothing to wait for."""

    def doing(self, verb: str, path: VirtualPath | None = None, moving: Any = None) -> None:
        """Nobody looks."""

    def leave(self, reason: str) -> None:
        """Nothing is counted."""


__all__ = ["UncountedSlot"]
