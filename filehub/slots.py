"""
One session's place among all, and what of its limits has to do with time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from twisted.internet.defer import Deferred
from zope.interface import implementer

from filehub.credentials import ConnectionInfo
from filehub.deadlines import Deadline
from filehub.errors import LimitExceeded
from filehub.interfaces import IFileAccount, ISessionLimits, ISessionSlot
from filehub.networks import Network
from filehub.paths import VirtualPath

if TYPE_CHECKING:
    from filehub.registry import SessionRegistry

#: The protocol whose clients do not log in.
LOGINLESS: Final = "tftp"
#: Sums of parts of a second are not exact.
NEARLY: Final = 1e-6
#: Seconds for which a session may give commands quicker than it may.
HURRY: Final = 60.0


class Limited(Protocol):
    """A session that obeys limits."""

    def limitsChanged(self) -> None:
        """Those of its account, or of its listener, are not what they were."""


class Underway(Protocol):
    """A file on its way."""

    @property
    def nbytes(self) -> int:
        """Octets of it that have moved so far."""


@implementer(ISessionSlot)
class SessionSlot:
    """See L{ISessionSlot}."""

    __slots__ = (
        "_commands",
        "_deadline",
        "_due",
        "_hurriesSince",
        "_moving",
        "_movingSince",
        "_path",
        "_registry",
        "_verb",
        "account",
        "connection",
        "disconnect",
        "group",
        "limits",
        "networks",
        "session",
        "since",
    )

    def __init__(
        self,
        registry: SessionRegistry,
        connection: ConnectionInfo,
        group: object,
        disconnect: Callable[[str], None],
        since: float,
    ) -> None:
        self._registry = registry
        self.group = group
        self.connection = connection
        self.disconnect = disconnect
        self.since = since
        self.account: str | None = None
        self.limits: ISessionLimits | None = None
        self.session: Limited | None = None
        self._verb = ""
        self._path: VirtualPath | None = None
        self._moving: Underway | None = None
        self._movingSince = 0.0
        self.networks: tuple[Network, ...] = ()
        self._deadline: Deadline | None = None
        #: The account's own rate of commands.
        self._commands: float | None = None
        #: When the next command may be carried out, if there was a second's worth before.
        self._due = 0.0
        self._hurriesSince: float | None = None

    def secured(self) -> None:
        """See L{ISessionSlot.secured}."""
        known = self.connection
        self.connection = ConnectionInfo(
            known.protocol, known.sessionId, known.peer, known.local, True
        )

    def loggedIn(self, account: IFileAccount, session: Limited | None = None) -> None:
        """See L{ISessionSlot.loggedIn}."""
        if self.account is not None or self._deadline is not None:
            self.loggedOut()
        limits = account.limits
        commands = limits.commands
        if self.connection.protocol != LOGINLESS:
            self._registry.countIn(self.connection.protocol, account)
        elif commands is not None:
            self._registry.countRequest(account.name, self.group, commands)
        self.account = account.name
        self.limits = limits
        self.session = session
        self._commands = commands
        self._deadline = self._registry.timeFor(self, limits.sessionTime)

    def limitsChanged(self) -> None:
        """What its account may use, or what the server allows, is not what it was."""
        limits = self.limits
        if limits is None:
            return
        self._commands = limits.commands
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._registry.timeFor(self, limits.sessionTime, self.since)
        if self.session is not None:
            self.session.limitsChanged()

    def loggedOut(self) -> None:
        """See L{ISessionSlot.loggedOut}."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self.account is not None:
            if self.connection.protocol != LOGINLESS:
                self._registry.countOut(self.connection.protocol, self.account)
            self.account = self.limits = self.session = self._commands = None

    def pace(self) -> Deferred[None] | None:
        """See L{ISessionSlot.pace}."""
        rate = self._commands
        if rate is None:
            rate = self._registry.caps.commands
            if rate is None:
                return None
        now = self._registry.clock.seconds()
        self._due = max(self._due, now - 1.0) + 1.0 / rate
        wait = self._due - now
        if wait <= NEARLY:
            self._hurriesSince = None
            return None
        if self._hurriesSince is None:
            self._hurriesSince = now
        elif now - self._hurriesSince > HURRY:
            self._registry.refused["commands"] += 1
            raise LimitExceeded("Too many commands.")
        waiting: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._registry.clock.callLater(wait, waiting.callback, None)
        return waiting

    def doing(
        self, verb: str, path: VirtualPath | None = None, moving: Underway | None = None
    ) -> None:
        """See L{ISessionSlot.doing}."""
        self._verb, self._path, self._moving = verb, path, moving
        if moving is not None:
            self._movingSince = self._registry.clock.seconds()

    @property
    def activity(self) -> str:
        """What it is at, in words."""
        return self._verb if self._path is None else f"{self._verb} {self._path}"

    def moved(self, now: float) -> tuple[int, float] | None:
        """
        Octets of the file that is on its way, and for how long it has been, in seconds.

        @return: L{None} if there is no such file.
        """
        if self._moving is None:
            return None
        return self._moving.nbytes, now - self._movingSince

    def leave(self, reason: str) -> None:
        """See L{ISessionSlot.leave}."""
        self._moving = None
        self._registry.remove(self, reason)


__all__ = ["HURRY", "LOGINLESS", "NEARLY", "SessionSlot"]
