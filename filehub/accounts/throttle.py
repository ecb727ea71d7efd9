"""
The door in front of the portal: what guessing passwords costs.

Theory of operation
===================

Failures are counted for the pair of address (an IPv6 client's /64, for it owns all of
that) and user name, over all protocols together.  The answer to a failure is held back,
longer with each, and always for so long that it does not tell how long the check took.
Holding back is a delayed call: nothing blocks, and clients that log in
rightly are never delayed.  Each failure also costs the address points; with too many of
them it is banned (see L{filehub.accounts.bans}): then sessions that are still there are
not asked any more.

Only answers count: a login that could not be checked, for whatever reason, is refused
and held back, but nobody is banned for it.  What is tried while an address is banned
does not count either, so the time has an end.

While logins cannot be checked, because a place that knows accounts does not answer or
too many are being checked, all that fail are told so: if only some were, that would tell
which names are looked for where.

User names alone never lock: anybody could then lock out anybody.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from twisted.cred.error import LoginFailed, UnauthorizedLogin, UnhandledCredentials
from twisted.cred.portal import Portal
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import Interface, implementer

from filehub.accounts.admission import NotAdmitted
from filehub.accounts.bans import Bans
from filehub.accounts.checkers import CheckOverloaded, UnknownUser
from filehub.accounts.granting import Login, granted
from filehub.accounts.records import ANONYMOUS_NAME
from filehub.credentials import (
    AccountRequired,
    ConnectionInfo,
    EncryptionRequired,
    ICertificate,
    IPeerAddress,
    LoginUnavailable,
    PasswordRequired,
)
from filehub.events import LoggedIn, LoginRefused
from filehub.interfaces import IEventSink, IFileAccount
from filehub.logins import IPromptLogin
from filehub.networks import holdingOf
from filehub.paths import decodeName
from filehub.promises import proceed, promised

#: Pairs that are remembered; the longest unused are forgotten.
CAPACITY: Final = 10_000
#: Seconds that a checker may take.
PATIENCE: Final = 30.0
#: Seconds for which failures are told to be nobody's fault, after one was.
TROUBLE: Final = 60.0
#: The delay is doubled so many times at the most.
_DOUBLINGS: Final = 16


@dataclass(frozen=True, slots=True)
class ThrottleSettings:
    """
    @ivar delay: seconds that the first failure's answer is held back; doubled for
        each further one up to C{longestDelay}.
    @ivar window: seconds for which failures are remembered.
    """

    delay: float = 1.0
    longestDelay: float = 16.0
    window: float = 600.0


class _Table:
    """When what failed lately, by key; bounded."""

    def __init__(self, window: float) -> None:
        self._window = window
        self._rows: OrderedDict[object, deque[float]] = OrderedDict()

    def count(self, key: object, now: float) -> int:
        """Failures that are still remembered for this key."""
        row = self._rows.get(key)
        if row is None:
            return 0
        while row and row[0] + self._window <= now:
            row.popleft()
        if not row:
            del self._rows[key]
        return len(row)

    def add(self, key: object, now: float) -> None:
        """One more failure."""
        if not self.count(key, now):
            self._rows[key] = deque(maxlen=_DOUBLINGS + 1)
            if len(self._rows) > CAPACITY:
                self._rows.popitem(last=False)
        self._rows[key].append(now)
        self._rows.move_to_end(key)

    def forget(self, key: object) -> None:
        """It has been done rightly."""
        self._rows.pop(key, None)


@implementer(IPromptLogin)
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
        bans: Bans | None = None,
    ) -> None:
        """
        @param bans: shared with whoever lets clients in; one of its own by default.
        """
        self._portal = portal
        self._clock = clock
        self._sink = sink
        self._settings = settings or ThrottleSettings()
        self.bans = Bans(clock, sink=sink) if bans is None else bans
        self._pairs = _Table(self._settings.window)
        #: Until when logins cannot be checked, for all that is known.
        self._troubledUntil = 0.0

    def configure(self, settings: ThrottleSettings) -> None:
        """
        These hold from now on.  What is remembered is forgotten if it would be counted
        in another way.
        """
        if settings.window != self._settings.window:
            self._pairs = _Table(settings.window)
        self._settings = settings

    def login(self, credentials: Any, mind: Any, *interfaces: type[Interface]) -> Deferred[Login]:
        """
        See L{Portal.login}.  Every failure is a L{LoginFailed} without a clue.
        """
        if IPeerAddress.providedBy(credentials) or not isinstance(mind, ConnectionInfo):
            # Nothing is guessed here.
            return self._portal.login(credentials, mind, *interfaces)
        return promised(self._login(credentials, mind, interfaces))

    def admit(self, credentials: Any, connection: ConnectionInfo) -> Coroutine[Any, Any, Login]:
        """See L{IPromptLogin.admit}."""
        return self._login(credentials, connection, (IFileAccount,))

    async def _login(
        self, credentials: Any, mind: ConnectionInfo, interfaces: Iterable[type[Interface]]
    ) -> Login:
        user = decodeName(getattr(credentials, "username", ANONYMOUS_NAME.encode()))
        address = holdingOf(mind.peer.host)
        started = self._clock.seconds()
        refusal = self.bans.refusalFor(mind.peer.host)
        if refusal is not None:
            await self._refuse(mind, user, refusal, address, started)
        try:
            result: Login = await self._ask(credentials, mind, interfaces)
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
            points = self.bans.settings.points.badPassword
            await self._refuse(mind, user, str(error) or "refused", address, started, points)
        except NotAdmitted as error:
            await self._refuse(mind, user, str(error), address, started)
        except (CheckOverloaded, _TooLate) as error:
            self._troubledUntil = self._clock.seconds() + TROUBLE
            await self._refuse(mind, user, str(error), address, started)
        except LoginFailed as error:
            prices = self.bans.settings.points
            isUnknown = isinstance(error, UnknownUser)
            points = prices.unknownUser if isUnknown else prices.badPassword
            await self._refuse(mind, user, str(error) or "refused", address, started, points)
        except Exception:
            self._log.failure("a login could not be checked")
            reason = "the login could not be checked"
            self._troubledUntil = self._clock.seconds() + TROUBLE
            await self._refuse(mind, user, reason, address, started)
        self._pairs.forget((address, user))
        if self._sink is not None:
            self._sink.emit(LoggedIn(mind, result[1].name if hasattr(result[1], "name") else user))
        return result

    async def _ask(
        self, credentials: Any, mind: ConnectionInfo, interfaces: Iterable[type[Interface]]
    ) -> Any:
        """The portal's answer; one that comes too late is logged out again."""
        asking = granted(self._portal, credentials, mind, interfaces)
        try:
            awaited = asking.send(None)
        except StopIteration as stop:
            return stop.value
        waiting: Deferred[Any] = Deferred()

        def answered(result: Any) -> None:
            if not waiting.called:
                waiting.callback(result)
            elif not isinstance(result, Failure):
                result[2]()

        proceed(asking, awaited).addBoth(answered)
        if not waiting.called:
            waiting.addTimeout(PATIENCE, self._clock, _raiseTooLate)
        return await waiting

    async def _refuse(
        self,
        mind: ConnectionInfo,
        user: str,
        reason: str,
        address: object,
        started: float,
        points: float | None = None,
    ) -> NoReturn:
        """
        Count, tell, wait, and fail.

        @param started: when the login began.  The answer comes a whole number of delays after
            that: how long the check took, which may depend on the name, is not told.
        @param points: what it costs the address; L{None}: it is no failure of the client.
        """
        settings = self._settings
        now = self._clock.seconds()
        if points is not None:
            self._pairs.add((address, user), now)
        if self._sink is not None:
            self._sink.emit(LoginRefused(mind, user, reason))
        if points is not None:
            self.bans.count(mind, points, reason)
        doublings = max(0, self._pairs.count((address, user), now) - 1)
        delay = min(settings.longestDelay, settings.delay * 2**doublings)
        if delay:
            wait = max(0.0, delay - (now - started) % settings.delay)
            waiting: Deferred[None] = Deferred(lambda _: call.cancel())
            call = self._clock.callLater(wait, waiting.callback, None)
            await waiting
        if self._troubledUntil > now:
            raise LoginUnavailable
        raise UnauthorizedLogin


class _TooLate(UnauthorizedLogin):
    """The checker took longer than anybody should wait."""


def _raiseTooLate(_result: object, _seconds: float) -> None:
    raise _TooLate("the check took too long")
