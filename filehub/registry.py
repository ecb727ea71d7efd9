"""
All live sessions, over all protocols, and the caps on them.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from filehub.accounts.bans import Bans
from filehub.accounts.records import ANONYMOUS_NAME
from filehub.credentials import Address, ConnectionInfo
from filehub.deadlines import Deadline, Deadlines
from filehub.errors import LimitExceeded, NotWelcome
from filehub.events import AddressRefused, SessionEnded, SessionRefused, SessionStarted
from filehub.interfaces import (
    IEventSink,
    IFileAccount,
    ISessionRegistry,
)
from filehub.networks import Network, holdingOf, isWithin
from filehub.refusals import Refusals
from filehub.slots import LOGINLESS, NEARLY, SessionSlot

#: Clients whose requests are counted.
_REMEMBERED: Final = 10_000

#: What those are told for whom there is no place.
_FULL: Final = "Too many sessions, try again later."
_FULL_ADDRESS: Final = "Too many sessions from your address."


@dataclass(frozen=True, slots=True)
class SessionCaps:
    """
    @ivar total: sessions at one time.
    @ivar perAddress: from one IPv4 address, or one IPv6 /64.
    @ivar perUser: of one account that has no cap of its own.
    @ivar networks: networks and how many sessions each may have.
    @ivar seconds: how long a session may last, of an account that does not say; from
        its login on.
    @ivar commands: how many a session may give in a second; what comes quicker waits.

    Anonymous sessions are many users, and so are the machines that a network account
    stands for: they do not count for C{perUser}.  TFTP has a session per file and
    caps of its own for each client, so it counts for C{total} only.
    """

    total: int = 1000
    perAddress: int = 20
    perUser: int = 20
    networks: tuple[tuple[Network, int], ...] = ()
    seconds: float | None = None
    commands: float | None = None


class Counts(Protocol):
    """How many sessions there are of each key, and who may be one more."""

    def enter(self, key: object, cap: int) -> bool:
        """One more, unless there are C{cap} already; returns whether it counts."""

    def leave(self, key: object) -> None:
        """One less."""

    def isFull(self, key: object, cap: int) -> bool:
        """Would one more be refused?"""


class LocalCounts(dict[object, int]):
    """L{Counts} of this process alone."""

    __slots__ = ()

    def __init__(self, _kind: str) -> None:
        super().__init__()

    def enter(self, key: object, cap: int) -> bool:
        """See L{Counts.enter}."""
        count = self.get(key, 0)
        if count >= cap:
            return False
        self[key] = count + 1
        return True

    def leave(self, key: object) -> None:
        """See L{Counts.leave}."""
        count = self[key] - 1
        if count:
            self[key] = count
        else:
            del self[key]

    def isFull(self, key: object, cap: int) -> bool:
        """See L{Counts.isFull}."""
        return self.get(key, 0) >= cap


@implementer(ISessionRegistry)
class SessionRegistry:
    """
    See L{ISessionRegistry}.

    @ivar caps: may be replaced at any time; it holds for sessions that come.
    @ivar refused: how many were turned away, by reason.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        caps: SessionCaps | None = None,
        sink: IEventSink | None = None,
        bans: Bans | None = None,
        *,
        counts: Callable[[str], Counts] | None = None,
        ids: Iterator[int] | None = None,
    ) -> None:
        """
        @param bans: who is not let in at all.
        @param counts: makes what counts sessions of a kind; by default those here.
        @param ids: of sessions, if they are not to be 1, 2, 3 ...
        """
        counts = counts or LocalCounts
        self.caps = caps or SessionCaps()
        self.refused: Counter[str] = Counter()
        self.clock = clock
        self._sink = sink
        self._bans = bans
        self._refusals = Refusals(clock, sink)
        self._deadlines: Deadlines | None = None
        self._ids = ids or itertools.count(1)
        self._slots: dict[int, SessionSlot] = {}
        self._total = counts("total")
        self._groups = counts("address")
        self._users = counts("user")
        self._networks = counts("network")
        #: When the next request of an account and client may come, longest unused first.
        self._requests: dict[tuple[str, object], float] = {}

    def __len__(self) -> int:
        return len(self._slots)

    def __iter__(self) -> Iterator[SessionSlot]:
        """All sessions, oldest first; safe against those that leave meanwhile."""
        return iter(tuple(self._slots.values()))

    def admit(
        self,
        protocol: str,
        peer: Address,
        local: Address,
        *,
        secure: bool,
        disconnect: Callable[[str], None],
    ) -> SessionSlot:
        """See L{ISessionRegistry.admit}."""
        connection = ConnectionInfo(protocol, next(self._ids), peer, local, secure)
        refusal = None if self._bans is None else self._bans.refusalFor(peer.host)
        if refusal is not None:
            self.refused[refusal] += 1
            self._refusals.tell(AddressRefused, peer.host, refusal, lambda: connection)
            raise NotWelcome
        group = holdingOf(peer.host)
        if not self._total.enter("", self.caps.total):
            self._refuse(connection, "total", _FULL)
        if protocol != LOGINLESS and not self._groups.enter(group, self.caps.perAddress):
            self._total.leave("")
            self._refuse(connection, "per address", _FULL_ADDRESS)
        slot = SessionSlot(self, connection, group, disconnect, self.clock.seconds())
        self._slots[connection.sessionId] = slot
        if self.caps.networks and protocol != LOGINLESS:
            self._enterNetworks(slot)
        if self._sink is not None:
            self._sink.emit(SessionStarted(connection))
        return slot

    def _enterNetworks(self, slot: SessionSlot) -> None:
        for network, cap in self._networksOf(slot.connection.peer.host):
            if not self._networks.enter(network, cap):
                self._giveBack(slot)
                self._refuse(slot.connection, "per network", "Too many sessions from your network.")
            slot.networks += (network,)

    def _networksOf(self, host: str) -> list[tuple[Network, int]]:
        return [each for each in self.caps.networks if isWithin(host, (each[0],))]

    def _refuse(self, connection: ConnectionInfo, reason: str, text: str) -> None:
        self.refused[reason] += 1
        host = connection.peer.host
        reason = f"limit of sessions {reason}"
        self._refusals.tell(SessionRefused, host, reason, lambda: connection)
        raise LimitExceeded(text)

    def turnAway(self, protocol: str, peer: Address, local: Address) -> str | None:
        """
        What L{admit} would say of a client who has just come, as far as his address tells,
        without a session being made; not for TFTP.

        @return: L{None}: he may come in; otherwise what he is told, which is nothing if
            he is not welcome.
        """
        host = peer.host
        refusal = None if self._bans is None else self._bans.refusalFor(host)
        if refusal is not None:
            kind: type[AddressRefused] | type[SessionRefused] = AddressRefused
            place, text = refusal, ""
        elif self._total.isFull("", self.caps.total):
            kind, place, text = SessionRefused, "total", _FULL
        elif self._groups.isFull(holdingOf(host), self.caps.perAddress):
            kind, place, text = SessionRefused, "per address", _FULL_ADDRESS
        else:
            return None
        self.refused[place] += 1
        self._refusals.tell(
            kind,
            host,
            place if kind is AddressRefused else f"limit of sessions {place}",
            lambda: ConnectionInfo(protocol, next(self._ids), peer, local),
        )
        return text

    def timeFor(
        self, slot: SessionSlot, seconds: float | None, since: float | None = None
    ) -> Deadline | None:
        """
        When a session is over, whatever it does; L{None} for no limit.

        @param since: when its time began, by the clock; L{None}: now.
        """
        if seconds is None:
            # What the server says is of people, and not of one file.
            if self.caps.seconds is None or slot.connection.protocol == LOGINLESS:
                return None
            seconds = self.caps.seconds
        if self._deadlines is None:
            self._deadlines = Deadlines(self.clock)
        if since is not None:
            seconds = max(0.0, since + seconds - self.clock.seconds())
        return self._deadlines.after(seconds, lambda: slot.disconnect("session time is over"))

    def countRequest(self, account: str, group: object, rate: float) -> None:
        """
        Where each request is a session, commands are requests.

        @param group: the client, as sessions are counted for it.
        @param rate: how many it may make in a second; at once, a second's worth.
        @raise LimitExceeded: these were too many.
        """
        now, step = self.clock.seconds(), 1.0 / rate
        earliest = now - max(1.0, step)
        before = self._requests.pop((account, group), earliest)
        due = max(before, earliest) + step
        isTooMany = due > now + NEARLY
        self._requests[account, group] = before if isTooMany else due
        if len(self._requests) > _REMEMBERED:
            del self._requests[next(iter(self._requests))]
        if isTooMany:
            self.refused["commands"] += 1
            raise LimitExceeded("too many requests")

    def countIn(self, protocol: str, account: IFileAccount) -> None:
        """
        One more session of this account.

        @raise LimitExceeded: it has its maximum.
        """
        name: str = account.name
        if protocol == LOGINLESS or name == ANONYMOUS_NAME:
            return
        cap: int | None = account.limits.maximumSessions
        if cap is None:
            cap = self.caps.perUser
        if not self._users.enter(name, cap):
            self.refused["per user"] += 1
            raise LimitExceeded("Too many sessions of this user.")

    def countOut(self, protocol: str, name: str) -> None:
        """One session less."""
        if protocol == LOGINLESS or name == ANONYMOUS_NAME:
            return
        self._users.leave(name)

    def _giveBack(self, slot: SessionSlot) -> bool:
        """Count it no more; did it count?"""
        if self._slots.pop(slot.connection.sessionId, None) is None:
            return False
        self._total.leave("")
        if slot.connection.protocol != LOGINLESS:
            self._groups.leave(slot.group)
        for network in slot.networks:
            self._networks.leave(network)
        return True

    def remove(self, slot: SessionSlot, reason: str) -> None:
        """A session is over."""
        if not self._giveBack(slot):
            return
        account = slot.account
        slot.loggedOut()
        if self._sink is not None:
            seconds = self.clock.seconds() - slot.since
            self._sink.emit(SessionEnded(slot.connection, account, reason, seconds))

    def disconnect(self, slots: Iterable[SessionSlot], reason: str) -> None:
        """Ask these sessions to end, or all: those of the registry itself."""
        for slot in slots:
            with self._log.failuresHandled("a session could not be ended"):
                slot.disconnect(reason)
