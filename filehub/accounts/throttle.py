"""
The door in front of the portal: what guessing passwords costs.

Theory of operation
===================

Failures are counted for the client's address (an IPv6 client's /64, for it owns all
of that) and for the pair of address and user name, over all protocols together.  The
answer to a failure is held back, longer with each; after C{attempts} failures within
C{window} the address is not asked any more for C{duration}.  Holding back is a
delayed call: nothing blocks, and clients that log in rightly are never delayed.

Only answers count: a login that could not be checked, for whatever reason, is refused
and held back, but nobody is shut out for it.  What is tried while an address is shut
out does not count either, so the time has an end.

User names alone never lock: anybody could then lock out anybody.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from twisted.cred.error import LoginFailed, UnauthorizedLogin, UnhandledCredentials
from twisted.cred.portal import Portal
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import Interface

from filehub.accounts.admission import NotAdmitted
from filehub.accounts.checkers import CheckOverloaded
from filehub.accounts.records import ANONYMOUS_NAME, Network
from filehub.credentials import (
    AccountRequired,
    ConnectionInfo,
    EncryptionRequired,
    ICertificate,
    IPeerAddress,
    PasswordRequired,
)
from filehub.events import LoggedIn, LoginRefused
from filehub.interfaces import IEventSink
from filehub.paths import decodeName

#: Addresses and pairs that are remembered; the longest unused are forgotten.
CAPACITY: Final = 10_000
#: Seconds that a checker may take.
PATIENCE: Final = 30.0
#: The delay is doubled so many times at the most.
_DOUBLINGS: Final = 16

LOOPBACK: Final[tuple[Network, ...]] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1/128"),
)


#: What a portal answers with.
_Login = tuple[type[Interface], Any, Callable[[], None]]


@dataclass(frozen=True, slots=True)
class ThrottleSettings:
    """
    @ivar delay: seconds that the first failure's answer is held back; doubled for
        each further one up to C{longestDelay}.
    @ivar attempts: failures within C{window} seconds after which an address is shut
        out for C{duration} seconds; 0 never shuts anybody out.
    @ivar exempt: networks that are delayed but never shut out.
    """

    delay: float = 1.0
    longestDelay: float = 16.0
    attempts: int = 10
    window: float = 600.0
    duration: float = 900.0
    exempt: tuple[Network, ...] = LOOPBACK


class _Failures:
    """
    What failed lately.

    @ivar times: when; as many as matter.
    @ivar until: shut out until then.
    """

    __slots__ = ("times", "until")

    def __init__(self, most: int) -> None:
        self.times: deque[float] = deque(maxlen=most)
        self.until = 0.0


class _Table:
    """Failures by key, bounded."""

    def __init__(self, window: float, most: int) -> None:
        """
        @param most: more failures in C{window} seconds are not told apart.
        """
        self._window = window
        self._most = most
        self._rows: OrderedDict[object, _Failures] = OrderedDict()

    def find(self, key: object, now: float) -> _Failures | None:
        """What is still remembered for this key."""
        row = self._rows.get(key)
        if row is None:
            return None
        while row.times and row.times[0] + self._window <= now:
            row.times.popleft()
        if not row.times and row.until <= now:
            del self._rows[key]
            return None
        return row

    def add(self, key: object, now: float) -> _Failures:
        """One more failure."""
        row = self.find(key, now)
        if row is None:
            row = self._rows[key] = _Failures(self._most)
            if len(self._rows) > CAPACITY:
                self._rows.popitem(last=False)
        row.times.append(now)
        self._rows.move_to_end(key)
        return row

    def forget(self, key: object) -> None:
        """It has been done rightly."""
        self._rows.pop(key, None)


class ThrottledPortal:
    """
    A L{Portal} to the protocols; see this module's introduction.
    """

    _log = Logger()

    def __init__(
        self,
        portal: Portal,
        clock: IReactorTime,
        sink: IEventSink | None = None,
        settings: ThrottleSettings | None = None,
    ) -> None:
        self._portal = portal
        self._clock = clock
        self._sink = sink
        self._settings = settings or ThrottleSettings()
        self._addresses = _Table(self._settings.window, max(1, self._settings.attempts))
        self._pairs = _Table(self._settings.window, _DOUBLINGS + 1)

    def configure(self, settings: ThrottleSettings) -> None:
        """
        These hold from now on.  What is remembered is forgotten if it would be counted
        in another way.
        """
        changed = (settings.window, settings.attempts) != (
            self._settings.window,
            self._settings.attempts,
        )
        self._settings = settings
        if changed:
            self._addresses = _Table(settings.window, max(1, settings.attempts))
            self._pairs = _Table(settings.window, _DOUBLINGS + 1)

    def login(self, credentials: Any, mind: Any, *interfaces: type[Interface]) -> Deferred[_Login]:
        """
        See L{Portal.login}.  Every failure is a L{LoginFailed} without a clue.
        """
        if IPeerAddress.providedBy(credentials) or not isinstance(mind, ConnectionInfo):
            # Nothing is guessed here.
            return self._portal.login(credentials, mind, *interfaces)
        return Deferred.fromCoroutine(self._login(credentials, mind, interfaces))

    async def _login(
        self, credentials: Any, mind: ConnectionInfo, interfaces: Iterable[type[Interface]]
    ) -> _Login:
        user = decodeName(getattr(credentials, "username", ANONYMOUS_NAME.encode()))
        address = _group(mind.peer.host)
        known = self._addresses.find(address, self._clock.seconds())
        if known is not None and known.until > self._clock.seconds():
            await self._refuse(mind, user, "address is shut out", address, counts=False)
        try:
            result: _Login = await self._ask(credentials, mind, interfaces)
        except (AccountRequired, PasswordRequired, CancelledError):
            raise
        except EncryptionRequired as error:
            # Not a guess: who is told this has proved who he is.
            if self._sink is not None:
                self._sink.emit(LoginRefused(mind, user, str(error)))
            raise
        except UnhandledCredentials as error:
            if ICertificate.providedBy(credentials):
                raise
            await self._refuse(mind, user, str(error) or "refused", address)
        except (CheckOverloaded, NotAdmitted, _TooLate) as error:
            await self._refuse(mind, user, str(error), address, counts=False)
        except LoginFailed as error:
            await self._refuse(mind, user, str(error) or "refused", address)
        except Exception:
            self._log.failure("a login could not be checked")
            reason = "the login could not be checked"
            await self._refuse(mind, user, reason, address, counts=False)
        self._pairs.forget((address, user))
        if self._sink is not None:
            self._sink.emit(LoggedIn(mind, result[1].name if hasattr(result[1], "name") else user))
        return result

    async def _ask(
        self, credentials: Any, mind: ConnectionInfo, interfaces: Iterable[type[Interface]]
    ) -> Any:
        """The portal's answer; one that comes too late is logged out again."""
        waiting: Deferred[Any] = Deferred()

        def answered(result: Any) -> None:
            if not waiting.called:
                waiting.callback(result)
            elif not isinstance(result, Failure):
                result[2]()

        self._portal.login(credentials, mind, *interfaces).addBoth(answered)
        if not waiting.called:
            waiting.addTimeout(PATIENCE, self._clock, _raiseTooLate)
        return await waiting

    async def _refuse(
        self,
        mind: ConnectionInfo,
        user: str,
        reason: str,
        address: object,
        *,
        counts: bool = True,
    ) -> NoReturn:
        """Count, tell, wait, and fail."""
        settings = self._settings
        now = self._clock.seconds()
        pair = self._pairs.find((address, user), now)
        if counts:
            pair = self._pairs.add((address, user), now)
            self._countAgainst(address, now, mind)
        if self._sink is not None:
            self._sink.emit(LoginRefused(mind, user, reason))
        doublings = len(pair.times) - 1 if pair is not None else 0
        delay = min(settings.longestDelay, settings.delay * 2**doublings)
        if delay:
            waiting: Deferred[None] = Deferred(lambda _: call.cancel())
            call = self._clock.callLater(delay, waiting.callback, None)
            await waiting
        raise UnauthorizedLogin

    def _countAgainst(self, address: object, now: float, mind: ConnectionInfo) -> None:
        row = self._addresses.add(address, now)
        attempts = self._settings.attempts
        if attempts and len(row.times) >= attempts and not self._isExempt(mind):
            row.until = now + self._settings.duration
            row.times.clear()

    def _isExempt(self, mind: ConnectionInfo) -> bool:
        address = _addressOf(mind.peer.host)
        return address is None or any(
            address.version == network.version and address in network
            for network in self._settings.exempt
        )


class _TooLate(UnauthorizedLogin):
    """The checker took longer than anybody should wait."""


def _raiseTooLate(_result: object, _seconds: float) -> None:
    raise _TooLate("the check took too long")


def _addressOf(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """L{None} for UNIX sockets, or whatever an embedder's transport calls its peer."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _group(host: str) -> object:
    """What one client is taken to own: an IPv4 address, or a /64."""
    address = _addressOf(host)
    if isinstance(address, ipaddress.IPv6Address):
        return int(address) >> 64
    return address or host
