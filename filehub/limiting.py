"""
Bandwidth limits at every level, shared by whoever is of that level:

    the server > a network > a group > a user > a session

Each transfer obeys all that are above it, each of which accounts for its bytes.  A rate
may be changed at any time, with effect on transfers that are under way; a limit where
there was none holds for those that begin.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from filehub.accounts.records import AccountLimits, AccountRecord
from filehub.credentials import ConnectionInfo
from filehub.interfaces import IRateLimiter, ISessionLimits
from filehub.networks import Network, addressOf
from filehub.state.transfers import TransferLedger
from filehub.transfer.metering import Metered
from filehub.transfer.ratelimit import TokenBucket, combined
from filehub.usage import ITransferQuotas, TransferState

Direction = Literal["download", "upload"]

#: Buckets that are kept; beyond that, those of users who have been silent are dropped.
_REMEMBERED: Final = 4096


@dataclass(frozen=True, slots=True)
class Rates:
    """Bytes a second; L{None} where there is no limit."""

    download: float | None = None
    upload: float | None = None


NO_RATES: Final = Rates()


@dataclass(frozen=True, slots=True)
class RateSettings:
    """
    @ivar server: of all together.
    @ivar networks: of all clients from there together; the smallest network that has
        a client's address counts.
    @ivar groups: of all members together.
    @ivar users: of all sessions of one account together.
    @ivar user: of an account that C{users} does not mention.
    @ivar session: of one session.
    """

    server: Rates = NO_RATES
    networks: Mapping[Network, Rates] = field(default_factory=dict)
    groups: Mapping[str, Rates] = field(default_factory=dict)
    users: Mapping[str, Rates] = field(default_factory=dict)
    user: Rates = NO_RATES
    session: Rates = NO_RATES

    @property
    def isEmpty(self) -> bool:
        """Is nothing limited at all?"""
        single = {self.server, self.user, self.session}
        named = (self.networks, self.groups, self.users)
        return single.union(*(each.values() for each in named)) == {NO_RATES}


class RateBook:
    """
    All shared buckets.

    @ivar isEmpty: are there no limits but what accounts bring along?
    @ivar transfers: who counts what is moved; L{None}: nobody.
    """

    def __init__(
        self, clock: IReactorTime, settings: RateSettings | None = None, *, share: int = 1
    ) -> None:
        """
        @param share: this many processes each have their part of what is shared.
        """
        self._clock = clock
        self._share = share
        self._settings = settings or RateSettings()
        self.isEmpty = self._settings.isEmpty
        self.transfers: TransferLedger | None = None
        self._buckets: dict[tuple[Direction, str, object], TokenBucket] = {}

    def configure(self, settings: RateSettings) -> None:
        """These are the limits from now on."""
        self._settings = settings
        self.isEmpty = settings.isEmpty
        for (direction, level, name), bucket in self._buckets.items():
            rate = self._rate(direction, level, name) or float("inf")
            bucket.setRate(rate / self._share)

    def _rate(self, direction: Direction, level: str, name: object) -> float | None:
        settings = self._settings
        if level == "server":
            rates = settings.server
        elif level == "network":
            rates = settings.networks.get(name, NO_RATES)  # type: ignore[call-overload]
        elif level == "group":
            rates = settings.groups.get(str(name), NO_RATES)
        else:
            own = settings.users.get(str(name), NO_RATES)
            rates = Rates(
                settings.user.download if own.download is None else own.download,
                settings.user.upload if own.upload is None else own.upload,
            )
        found: float | None = getattr(rates, direction)
        return found

    def shared(
        self, direction: Direction, levels: Iterable[tuple[str, object, float | None]]
    ) -> list[IRateLimiter]:
        """
        The buckets of these levels, as far as they limit anything.

        @param levels: with a rate each, if it is not for the settings to say.
        """
        found: list[IRateLimiter] = []
        for level, name, own in levels:
            rate = self._rate(direction, level, name) if own is None else own
            if rate is not None:
                rate /= self._share
                key = direction, level, name
                bucket = self._buckets.get(key)
                if bucket is None:
                    if len(self._buckets) >= _REMEMBERED:
                        self._forget()
                    bucket = self._buckets[key] = TokenBucket(self._clock, rate)
                elif bucket.rate != rate:
                    bucket.setRate(rate)
                found.append(bucket)
        return found

    def _forget(self) -> None:
        """A bucket that is full says no more than a new one would."""
        self._buckets = {
            key: bucket
            for key, bucket in self._buckets.items()
            if key[1] != "user" or not bucket.full
        }

    def sessionRate(self, direction: Direction) -> float | None:
        """Bytes a second of one session."""
        rate: float | None = getattr(self._settings.session, direction)
        return rate

    def networkOf(self, host: str) -> Network | None:
        """The smallest network with limits that has this address."""
        networks = self._settings.networks
        if not networks:
            return None
        address = addressOf(host)
        if address is None:
            return None
        holding = [each for each in networks if address in each]
        return max(holding, key=lambda each: each.prefixlen, default=None)

    def limitsFor(self, record: AccountRecord, connection: ConnectionInfo | None) -> ISessionLimits:
        """What a session of this account may use."""
        return SessionLimits(self, record, None if connection is None else connection.peer.host)

    def bucket(self, rate: float) -> TokenBucket:
        """One that is nobody else's."""
        return TokenBucket(self._clock, rate)


@implementer(ISessionLimits, ITransferQuotas)
class SessionLimits:
    """
    See L{ISessionLimits}.  What it costs an idle session is this object; limits are
    looked up when a transfer begins.
    """

    __slots__ = ("_book", "_host", "_own", "_record")

    def __init__(self, book: RateBook, record: AccountRecord, host: str | None) -> None:
        self._book = book
        self._record = record
        self._host = host
        self._own: dict[Direction, TokenBucket] | None = None

    def obey(self, record: AccountRecord) -> bool:
        """This is what is known of the account now; does that change the limits?"""
        before, self._record = self._record, record
        return before.limits != record.limits

    @property
    def _limits(self) -> AccountLimits:
        return self._record.limits

    @property
    def maximumSessions(self) -> int | None:
        """See L{ISessionLimits.maximumSessions}."""
        return self._limits.maximumSessions

    @property
    def idle(self) -> float | None:
        """See L{ISessionLimits.idle}."""
        return self._limits.idle

    @property
    def stall(self) -> float | None:
        """See L{ISessionLimits.stall}."""
        return self._limits.stall

    @property
    def sessionTime(self) -> float | None:
        """See L{ISessionLimits.sessionTime}."""
        return self._record.limits.sessionTime

    @property
    def commands(self) -> float | None:
        """See L{ISessionLimits.commands}."""
        return self._record.limits.commands

    @property
    def download(self) -> IRateLimiter | None:
        """See L{ISessionLimits.download}."""
        limits, book = self._record.limits, self._book
        if book.isEmpty and limits.downloadRate is None and book.transfers is None:
            return limits.download
        return self._limiter("download", limits.downloadRate, limits.download)

    @property
    def upload(self) -> IRateLimiter | None:
        """See L{ISessionLimits.upload}."""
        limits = self._limits
        return self._limiter("upload", limits.uploadRate, limits.upload)

    def _limiter(
        self, direction: Direction, rate: float | None, own: IRateLimiter | None
    ) -> IRateLimiter | None:
        transfers = self._book.transfers
        if transfers is not None and not transfers.isEmpty:
            meter = transfers.meter(direction, self._record.name, self._record.groups)
            if meter is not None:
                return Metered(meter, self._rates(direction, rate, own))
        return self._rates(direction, rate, own)

    def _rates(
        self, direction: Direction, rate: float | None, own: IRateLimiter | None
    ) -> IRateLimiter | None:
        if rate is None and self._book.isEmpty:
            return own
        levels: list[tuple[str, object, float | None]] = [("server", "", None)]
        network = None if self._host is None else self._book.networkOf(self._host)
        if network is not None:
            levels.append(("network", network, None))
        levels += [("group", name, None) for name in self._record.groups]
        levels.append(("user", self._record.name, rate))
        limiters = self._book.shared(direction, levels)
        return combined(*limiters, self._session(direction), own)

    def transfers(self) -> list[TransferState]:
        """See L{ITransferQuotas.transfers}."""
        transfers = self._book.transfers
        if transfers is None or transfers.isEmpty:
            return []
        return transfers.statesOf(self._record.name, self._record.groups)

    def _session(self, direction: Direction) -> TokenBucket | None:
        rate = self._book.sessionRate(direction)
        if rate is None:
            return None
        if self._own is None:
            self._own = {}
        bucket = self._own.get(direction)
        if bucket is None:
            bucket = self._own[direction] = self._book.bucket(rate)
        elif bucket.rate != rate:
            bucket.setRate(rate)
        return bucket


__all__ = ["NO_RATES", "RateBook", "RateSettings", "Rates", "SessionLimits"]
