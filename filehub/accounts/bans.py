"""
Who is not let in at all: addresses that misbehaved, and those that the operator lists.

Theory of operation
===================

What an address does costs it points: wrong passwords, names that nobody has, breaches of a
protocol, connections without a login.  Points are kept for the network that one client is
taken to own (an IPv4 address and an IPv6 /64, unless told otherwise); as many as the limit
within the window, and the network is banned for a time.  All protocols count together.

TFTP earns no points, for its requests may come from forged addresses and anybody could
have anybody else banned; whoever is banned for other reasons gets no answer there either.

What is asked at every connection is answered from dictionaries, however long the lists are.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from filehub.credentials import ConnectionInfo
from filehub.events import AddressBanned, Event, ProtocolViolation, SessionEnded
from filehub.interfaces import IEventSink
from filehub.networks import IPAddress, Network, NetworkMap, Networks, addressOf

#: Networks whose points are remembered, and that can be banned without the operator; the
#: longest unused are forgotten.
CAPACITY: Final = 10_000
#: The protocol whose clients' addresses may be forged.
_FORGEABLE: Final = "tftp"
#: Offences of a network that are told apart by their time.
_ENTRIES: Final = 32
#: Sums of tenths are not exact.
_NEARLY: Final = 1e-6

LOOPBACK: Final[Networks] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1/128"),
)


@dataclass(frozen=True, slots=True)
class Points:
    """
    What an offence costs.

    An unknown name should cost as much as a wrong password: otherwise the number of
    tries until the ban tells which names exist.

    @ivar scan: a connection that ended without a login.
    """

    badPassword: float = 1.0
    unknownUser: float = 1.0
    violation: float = 2.0
    scan: float = 0.1


@dataclass(frozen=True, slots=True)
class BanSettings:
    """
    @ivar limit: points within C{window} seconds for which a network is banned for
        C{duration} seconds; 0 never bans anybody.
    @ivar exempt: networks that earn no points.
    @ivar prefixes: bits of an IPv4 and of an IPv6 address that make a network.
    """

    limit: float = 10.0
    window: float = 600.0
    duration: float = 900.0
    points: Points = field(default_factory=Points)
    exempt: Networks = LOOPBACK
    prefixes: tuple[int, int] = (32, 64)


class Ban(NamedTuple):
    """
    A network that is not let in.

    @ivar until: seconds, by the clock of L{Bans}; L{None}: until it is taken back.
    @ivar reason: for the operator.
    """

    network: Network
    until: float | None
    reason: str


class _Offences:
    """
    Points of a network, and when it earned them, oldest first.

    @ivar connection: with which it earned the last of them here.
    """

    __slots__ = ("connection", "entries")

    def __init__(self) -> None:
        self.entries: list[tuple[float, float]] = []
        self.connection: ConnectionInfo | None = None

    def add(self, points: float, now: float, window: float) -> float:
        """Returns the sum of those that count."""
        entries = [each for each in self.entries if each[0] + window > now]
        entries.append((now, points))
        if len(entries) > _ENTRIES:
            # The two oldest become one.
            entries[:2] = [(entries[1][0], entries[0][1] + entries[1][1])]
        self.entries = entries
        return sum(each[1] for each in entries)


@implementer(IEventSink)
class Bans:
    """
    See this module's introduction.  As an event sink it counts breaches of protocols and
    connections without a login; wrong logins are told it by the portal in front.

    @ivar settings: see L{BanSettings}; L{configure} replaces them.
    @ivar allowed: networks that are let in, whatever else is said.
    @ivar denied: networks that are not.
    @ivar onChange: told of each ban that begins by itself (with the ban) or is forgotten
        before its time (with L{None}).
    """

    def __init__(
        self,
        clock: IReactorTime,
        settings: BanSettings | None = None,
        sink: IEventSink | None = None,
    ) -> None:
        self.settings = settings or BanSettings()
        self.allowed: NetworkMap[str] = NetworkMap()
        self.denied: NetworkMap[str] = NetworkMap()
        self.onChange: Callable[[Network, Ban | None], object] = lambda network, ban: None
        #: Told the address, the points and the reason of what counts, and whether a ban
        #: has begun with that, and was told.
        self.whenEarned: Callable[[str, float, str, bool], object] | None = None
        self.clock = clock
        self._sink = sink
        self._offences: OrderedDict[Network, _Offences] = OrderedDict()
        self._bans: NetworkMap[Ban] = NetworkMap()
        #: Those that began by themselves, oldest first.
        self._own: OrderedDict[Network, None] = OrderedDict()

    def __iter__(self) -> Iterator[Ban]:
        """All bans that hold."""
        now = self.clock.seconds()
        return iter([ban for ban in self._bans.values() if _holds(ban, now)])

    def configure(self, settings: BanSettings) -> None:
        """
        These hold from now on.  Points are forgotten if they would be counted in another
        way; bans stay.
        """
        before = self.settings
        if (before.window, before.limit, before.prefixes) != (
            settings.window,
            settings.limit,
            settings.prefixes,
        ):
            self._offences.clear()
        self.settings = settings

    # --- the question

    def refusalFor(self, host: str) -> str | None:
        """Why a client with this address is not let in; L{None}: it is."""
        if self._bans.isEmpty and self.denied.isEmpty:
            return None
        address = addressOf(host)
        if address is None or (self.allowed and self.allowed.find(address) is not None):
            return None
        if self.denied and self.denied.find(address) is not None:
            return "address is denied"
        return None if self._banOf(address) is None else "address is banned"

    def _banOf(self, address: IPAddress) -> Ban | None:
        while (ban := self._bans.find(address)) is not None:
            if _holds(ban, self.clock.seconds()):
                return ban
            self._forget(ban.network)
        return None

    # --- what is counted

    def wants(self, kind: type[Event]) -> bool:
        """Does it look at events of this class?"""
        return issubclass(kind, (ProtocolViolation, SessionEnded))

    def emit(self, event: Event) -> None:
        """See L{IEventSink.emit}."""
        if isinstance(event, ProtocolViolation):
            self.count(event.connection, self.settings.points.violation, event.kind)
        elif isinstance(event, SessionEnded) and event.account is None:
            self.count(event.connection, self.settings.points.scan, "connections without login")

    def count(self, connection: ConnectionInfo, points: float, reason: str) -> None:
        """This client has earned C{points}; what is tried while it is banned is free."""
        settings = self.settings
        if not points or not settings.limit or connection.protocol == _FORGEABLE:
            return
        host = connection.peer.host
        ban, _ = self._earn(host, points, reason, connection)
        if self.whenEarned is not None:
            self.whenEarned(host, points, reason, ban is not None)
        if ban is not None:
            self._begin(ban, connection)

    def earnedElsewhere(self, host: str, points: float, reason: str, isTold: bool = False) -> None:
        """
        The same in another process.

        @param isTold: a ban has begun there with that, and was written down and told to
            observers.  If it has not, that process may not have known yet what was earned
            here; so it is told here, and maybe twice, but never not at all.
        """
        ban, connection = self._earn(host, points, reason)
        if ban is not None:
            self._begin(ban, None if isTold else connection)

    def _begin(self, ban: Ban, connection: ConnectionInfo | None) -> None:
        """
        @param connection: with which it was earned; L{None}: others tell of it.
        """
        self._own[ban.network] = None
        if connection is not None:
            self.onChange(ban.network, ban)
        if len(self._own) > CAPACITY:
            oldest, _ = self._own.popitem(last=False)
            self._forget(oldest)
            if connection is not None:
                self.onChange(oldest, None)
        if connection is not None and self._sink is not None:
            duration = self.settings.duration
            self._sink.emit(AddressBanned(connection, str(ban.network), duration, ban.reason))

    def _earn(
        self, host: str, points: float, reason: str, connection: ConnectionInfo | None = None
    ) -> tuple[Ban | None, ConnectionInfo | None]:
        """Count; returns the ban that begins with that, and who has earned it here."""
        settings = self.settings
        address = addressOf(host)
        if address is None or any(address in network for network in settings.exempt):
            return None, None
        if self.allowed.find(address) is not None or self._banOf(address) is not None:
            return None, None
        prefix = settings.prefixes[address.version == 6]
        network = ipaddress.ip_network(f"{address}/{prefix}", strict=False)
        offences = self._offences.get(network)
        if offences is None:
            offences = self._offences[network] = _Offences()
            if len(self._offences) > CAPACITY:
                self._offences.popitem(last=False)
        self._offences.move_to_end(network)
        offences.connection = connection or offences.connection
        now = self.clock.seconds()
        if offences.add(points, now, settings.window) < settings.limit - _NEARLY:
            return None, None
        ban = Ban(network, now + settings.duration, reason)
        self.add(ban)
        return ban, offences.connection

    # --- what others decide

    def add(self, ban: Ban) -> None:
        """From now on; takes the place of another ban of the same network."""
        self._offences.pop(ban.network, None)
        self._bans[ban.network] = ban

    def replace(self, bans: Iterable[Ban]) -> None:
        """These are all that there are."""
        self._bans = NetworkMap()
        for ban in bans:
            self.add(ban)
        for network in [each for each in self._own if each not in self._bans]:
            del self._own[network]

    def sweep(self) -> None:
        """Forget what is over."""
        now = self.clock.seconds()
        for ban in self._bans.values():
            if not _holds(ban, now):
                self._forget(ban.network)

    def _forget(self, network: Network) -> None:
        self._bans.pop(network)
        self._own.pop(network, None)


def _holds(ban: Ban, now: float) -> bool:
    return ban.until is None or ban.until > now


__all__ = ["CAPACITY", "LOOPBACK", "Ban", "BanSettings", "Bans", "Points"]
