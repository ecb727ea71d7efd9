"""
What guessing passwords costs, and whom it costs nothing.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from twisted.cred.credentials import Anonymous, IAnonymous, IUsernamePassword, UsernamePassword
from twisted.cred.error import LoginFailed, UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from filehub.accounts import bans, throttle
from filehub.accounts.bans import Bans, BanSettings
from filehub.accounts.checkers import CheckOverloaded
from filehub.accounts.throttle import PATIENCE, TROUBLE, ThrottledPortal, ThrottleSettings
from filehub.credentials import (
    AccountRequired,
    Address,
    IPeerAddress,
    LoginUnavailable,
    PeerAddress,
)
from filehub.events import LoggedIn, LoginRefused
from filehub.interfaces import IFileAccount
from tests.accounts.doubles import Events, connection

GOOD = UsernamePassword(b"ann", b"good")
BAD = UsernamePassword(b"ann", b"bad")


class _Account:
    """Has a name."""

    name = "ann"


@implementer(IRealm)
class _Realm:
    """Counts logins and logouts; holds its answer back if told so."""

    def __init__(self) -> None:
        self.logins = 0
        self.logouts = 0
        self.answer: Deferred[None] | None = None

    def _logout(self) -> None:
        self.logouts += 1

    def requestAvatar(self, avatarId: Any, mind: Any, *interfaces: Any) -> Any:
        self.logins += 1
        result = interfaces[0], _Account(), self._logout
        answer = self.answer
        return result if answer is None else answer.addCallback(lambda _: result)


class _Checker:
    """
    Lets C{good} in.

    @ivar asked: the passwords.
    """

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.answer: Any = None

    def requestAvatarId(self, credentials: Any) -> Any:
        self.asked.append(getattr(credentials, "password", b""))
        if self.answer is not None:
            return self.answer()
        if getattr(credentials, "password", b"good") == b"good":
            return succeed(b"ann")
        return fail(UnauthorizedLogin("wrong password"))


class ThrottleTests(SynchronousTestCase):
    """L{ThrottledPortal}."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.sink = Events()
        self.realm = _Realm()
        self.checker = _Checker()
        inner = Portal(self.realm)
        inner.registerChecker(self.checker, IUsernamePassword, IAnonymous, IPeerAddress)
        self.inner = inner
        self.portal = self.newPortal()

    def newPortal(self, **settings: Any) -> ThrottledPortal:
        """With these settings."""
        ours = {name: settings.pop(name) for name in ("delay", "longestDelay") if name in settings}
        if "window" in settings:
            ours["window"] = settings["window"]
        if "attempts" in settings:
            settings["limit"] = settings.pop("attempts")
        banned = Bans(self.clock, BanSettings(**settings))
        return ThrottledPortal(self.inner, self.clock, self.sink, ThrottleSettings(**ours), banned)

    def login(self, credentials: Any = BAD, host: str = "192.0.2.7") -> Deferred[Any]:
        """Somebody tries."""
        return self.portal.login(credentials, connection(host), IFileAccount)

    def delayOf(self, attempt: Deferred[Any]) -> float:
        """How long the refusal takes."""
        start = self.clock.seconds()
        while not attempt.called:
            (call,) = self.clock.getDelayedCalls()
            self.clock.advance(call.getTime() - self.clock.seconds())
        failure = self.failureResultOf(attempt, UnauthorizedLogin)
        self.assertIn(failure.type, (UnauthorizedLogin, LoginUnavailable))
        # Nothing in it for the client.
        self.assertEqual(str(failure.value), "")
        return self.clock.seconds() - start

    def test_success(self) -> None:
        """Who knows the password is let in at once, by the avatar's own logout."""
        interface, avatar, logout = self.successResultOf(self.login(GOOD))
        self.assertIs(interface, IFileAccount)
        self.assertIsInstance(avatar, _Account)
        logout()
        self.assertEqual(self.realm.logouts, 1)
        self.assertEqual(self.sink.seen, [LoggedIn(connection(), "ann")])

    def test_delays(self) -> None:
        """1, 2, 4, 8, 16, 16 seconds, each of them by the clock."""
        self.portal = self.newPortal(attempts=0)
        self.assertEqual([self.delayOf(self.login()) for _ in range(7)], [1, 2, 4, 8, 16, 16, 16])

    def test_delaysOfThousands(self) -> None:
        """The delay does not outgrow its limit, however often somebody tries."""
        self.portal = self.newPortal(attempts=0, longestDelay=3.0, window=1e9)
        for _ in range(2000):
            self.assertLessEqual(self.delayOf(self.login()), 3.0)

    def test_timeOfTheCheck(self) -> None:
        """
        Whether a checker answers at once, or asks somebody far away first, cannot be
        told from when the refusal comes.
        """
        for taken, whole in ((0.0, 1.0), (0.3, 1.0), (0.999, 1.0), (1.4, 2.0), (7.25, 8.0)):
            self.portal = self.newPortal()
            answer: Deferred[bytes] = Deferred()
            self.checker.answer = lambda answer=answer: answer
            attempt = self.login()
            self.clock.advance(taken)
            answer.errback(UnauthorizedLogin("wrong password"))
            self.assertAlmostEqual(taken + self.delayOf(attempt), whole)

    def test_noDelay(self) -> None:
        """With a delay of 0 the refusal comes at once."""
        self.portal = self.newPortal(delay=0.0)
        self.failureResultOf(self.login(), UnauthorizedLogin)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobodyElseWaits(self) -> None:
        """While one is held back, others are let in: from there, and as the same user."""
        held = self.login()
        self.successResultOf(self.login(GOOD))
        self.successResultOf(self.login(GOOD, "198.51.100.1"))
        self.successResultOf(self.login(Anonymous()))
        self.assertNoResult(held)
        self.assertEqual(self.delayOf(held), 1)

    def test_pairs(self) -> None:
        """Another user at the same address starts with the short delay; so does another address."""
        self.delayOf(self.login())
        self.assertEqual(self.delayOf(self.login(UsernamePassword(b"bob", b"bad"))), 1)
        self.assertEqual(self.delayOf(self.login(host="198.51.100.1")), 1)
        self.assertEqual(self.delayOf(self.login()), 2)

    def test_successForgets(self) -> None:
        """After a right password the delays start anew."""
        self.delayOf(self.login())
        self.delayOf(self.login())
        self.successResultOf(self.login(GOOD))
        self.assertEqual(self.delayOf(self.login()), 1)

    def test_windowForgets(self) -> None:
        """What was longer ago than the window does not count."""
        self.delayOf(self.login())
        self.delayOf(self.login())
        self.clock.advance(600)
        self.assertEqual(self.delayOf(self.login()), 1)

    def shutOut(self, host: str = "192.0.2.7", attempts: int = 10) -> None:
        """Fail often enough."""
        waiting = [self.login(host=host) for _ in range(attempts)]
        self.clock.pump([1] * 40)
        for each in waiting:
            self.failureResultOf(each, UnauthorizedLogin)

    def test_shutOut(self) -> None:
        """After ten failures the checker is not asked any more; after 900 s it is."""
        self.shutOut()
        asked = len(self.checker.asked)
        self.delayOf(self.login(GOOD))
        self.delayOf(self.login(UsernamePassword(b"bob", b"good")))
        self.assertEqual(len(self.checker.asked), asked)
        event = self.sink.seen[-1]
        assert isinstance(event, LoginRefused)
        self.assertEqual((event.user, event.reason), ("bob", "address is banned"))
        self.clock.advance(900)
        self.successResultOf(self.login(GOOD))

    def test_nineFailures(self) -> None:
        """One failure less, and the right password works."""
        self.shutOut(attempts=9)
        self.successResultOf(self.login(GOOD))

    def test_shutOutEnds(self) -> None:
        """Trying while shut out does not prolong it, and afterwards ten tries are left."""
        self.shutOut()
        for _ in range(30):
            self.login(GOOD).addErrback(lambda _: None)
            self.clock.pump([1] * 30)
        self.successResultOf(self.login(GOOD))
        self.shutOut(attempts=9)
        self.successResultOf(self.login(GOOD))

    def test_afterwardsAllTriesAreLeft(self) -> None:
        """Failures before a shut-out do not count after it, though still in the window."""
        self.portal = self.newPortal(attempts=3, window=5000.0, duration=100.0)
        self.shutOut(attempts=3)
        self.clock.advance(100)
        self.shutOut(attempts=2)
        self.successResultOf(self.login(GOOD))

    def test_slowFailures(self) -> None:
        """Failures that are spread over more than the window never shut anybody out."""
        for _ in range(50):
            self.delayOf(self.login())
            self.clock.advance(70)
        self.successResultOf(self.login(GOOD))

    def test_otherAddresses(self) -> None:
        """Only the guilty address is shut out, not the user."""
        self.shutOut()
        self.successResultOf(self.login(GOOD, "192.0.2.8"))

    def test_userNames(self) -> None:
        """Changing the name does not help against the count of the address."""
        for number in range(10):
            self.login(UsernamePassword(b"%d" % number, b"bad")).addErrback(lambda _: None)
        self.clock.pump([1] * 30)
        self.delayOf(self.login(GOOD))

    def test_networkOfSix(self) -> None:
        """An IPv6 client is its whole /64, and not more."""
        for number in range(10):
            self.login(host=f"2001:db8::{number:x}").addErrback(lambda _: None)
        self.clock.pump([1] * 30)
        self.delayOf(self.login(GOOD, "2001:db8::ffff:1"))
        self.successResultOf(self.login(GOOD, "2001:db8:0:1::1"))

    def test_exempt(self) -> None:
        """Loopback is delayed like everybody, and never shut out."""
        for host in ("127.0.0.1", "127.1.2.3", "::1"):
            self.shutOut(host, 30)
            self.successResultOf(self.login(GOOD, host))
            self.assertGreaterEqual(self.delayOf(self.login(host=host)), 1)

    def test_exemptNetworks(self) -> None:
        """Networks of the operator's choice take loopback's place."""
        self.portal = self.newPortal(exempt=(ipaddress.ip_network("192.0.2.0/24"),))
        self.shutOut("192.0.2.7", 30)
        self.successResultOf(self.login(GOOD, "192.0.2.7"))
        self.shutOut("127.0.0.1")
        self.delayOf(self.login(GOOD, "127.0.0.1"))

    def test_never(self) -> None:
        """C{attempts = 0} shuts nobody out."""
        self.portal = self.newPortal(attempts=0)
        self.shutOut(attempts=50)
        self.successResultOf(self.login(GOOD))

    def test_noAddress(self) -> None:
        """A peer that has no IP address (a UNIX socket) can log in and fail like others."""
        self.successResultOf(self.login(GOOD, "/run/filehub.sock"))
        self.assertEqual(self.delayOf(self.login(host="/run/filehub.sock")), 1)
        self.shutOut("/run/filehub.sock", 20)
        self.successResultOf(self.login(GOOD, "/run/filehub.sock"))

    def test_scope(self) -> None:
        """The scope of a link-local address is no hindrance."""
        self.assertEqual(self.delayOf(self.login(host="fe80::1%eth0")), 1)

    def test_bounded(self) -> None:
        """However many addresses try, what is remembered is bounded; the latest stay."""
        self.patch(throttle, "CAPACITY", 20)
        self.patch(bans, "CAPACITY", 20)
        self.portal = self.newPortal(delay=0.0, attempts=3)
        for number in range(200):
            self.failureResultOf(self.login(host=f"10.0.0.{number}"))
            self.assertLessEqual(len(self.portal.bans._offences), 20)
            self.assertLessEqual(len(self.portal._pairs._rows), 20)
        for _ in range(2):
            self.failureResultOf(self.login(host="10.0.0.199"))
        self.failureResultOf(self.login(GOOD, "10.0.0.199"))

    def test_latestAreKept(self) -> None:
        """Whoever goes on trying is not forgotten because of others who tried once."""
        self.patch(throttle, "CAPACITY", 5)
        self.patch(bans, "CAPACITY", 5)
        self.portal = self.newPortal(delay=0.0, attempts=6)
        for number in range(6):
            self.failureResultOf(self.login(host="192.0.2.7"))
            for other in range(3):
                self.failureResultOf(self.login(host=f"10.0.{number}.{other}"))
        self.failureResultOf(self.login(GOOD))

    def test_badUserNames(self) -> None:
        """Names that are not UTF-8 are told as they can be."""
        self.delayOf(self.login(UsernamePassword(b"\xff\n", b"bad")))
        event = self.sink.seen[0]
        assert isinstance(event, LoginRefused)
        self.assertEqual((event.user, event.reason), ("\udcff\n", "wrong password"))

    def test_accountRequired(self) -> None:
        """Half a login is neither failure nor success."""
        self.delayOf(self.login())
        self.sink.seen.clear()
        self.checker.answer = lambda: fail(AccountRequired("account needed"))
        self.failureResultOf(self.login(GOOD), AccountRequired)
        self.assertEqual(self.sink.seen, [])
        self.checker.answer = None
        self.assertEqual(self.delayOf(self.login()), 2)

    def test_checkerRaises(self) -> None:
        """A checker with a defect: one logged failure, a refusal like others, no count."""

        def explode() -> Any:
            raise ZeroDivisionError("secret detail")

        self.checker.answer = explode
        for number in range(12):
            attempt = self.login(GOOD)
            self.assertEqual(self.delayOf(attempt), 1)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1, number)
        self.checker.answer = None
        self.successResultOf(self.login(GOOD))

    def test_overload(self) -> None:
        """Who is refused because others flood the checker is not taken for a guesser."""
        self.checker.answer = lambda: fail(CheckOverloaded("too many logins at once"))
        for _ in range(20):
            self.assertEqual(self.delayOf(self.login(GOOD)), 1)
        self.assertEqual({each.reason for each in self.sink.seen}, {"too many logins at once"})
        self.checker.answer = None
        self.successResultOf(self.login(GOOD))

    def test_trouble(self) -> None:
        """
        While logins cannot be checked, all that fail are told so, known names or not; those
        that can be checked count, and succeed, as ever.
        """
        self.checker.answer = lambda: fail(CheckOverloaded("no answer"))
        attempt = self.login()
        self.clock.advance(1)
        self.failureResultOf(attempt, LoginUnavailable)
        self.checker.answer = None
        attempt = self.login()
        self.clock.advance(1)
        self.failureResultOf(attempt, LoginUnavailable)
        self.assertEqual(self.delayOf(self.login()), 2)
        self.successResultOf(self.login(GOOD))
        self.clock.advance(TROUBLE)
        attempt = self.login()
        self.clock.advance(1)
        failure = self.failureResultOf(attempt, UnauthorizedLogin)
        self.assertIsNone(failure.check(LoginUnavailable))

    def test_checkerHangs(self) -> None:
        """A checker that never answers is given up after 30 s."""
        self.checker.answer = Deferred
        attempt = self.login(GOOD)
        self.clock.advance(PATIENCE - 0.1)
        self.assertNoResult(attempt)
        self.clock.advance(0.1)
        self.assertEqual(self.delayOf(attempt), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual([each.reason for each in self.sink.seen], ["the check took too long"])

    def test_lateAnswer(self) -> None:
        """An avatar that comes too late is logged out, once."""
        late: Deferred[bytes] = Deferred()
        self.checker.answer = lambda: late
        attempt = self.login(GOOD)
        self.clock.advance(PATIENCE)
        self.delayOf(attempt)
        late.callback(b"ann")
        self.assertEqual((self.realm.logins, self.realm.logouts), (1, 1))

    def test_lateRealm(self) -> None:
        """The same where the checker is quick and the realm is slow."""
        self.realm.answer = Deferred()
        attempt = self.login(GOOD)
        self.clock.advance(PATIENCE)
        self.assertEqual(self.delayOf(attempt), 1)
        self.realm.answer.callback(None)
        self.assertEqual((self.realm.logins, self.realm.logouts), (1, 1))

    def test_lateFailure(self) -> None:
        """A failure that comes too late is nobody's."""
        late: Deferred[bytes] = Deferred()
        self.checker.answer = lambda: late
        attempt = self.login(GOOD)
        self.clock.advance(PATIENCE)
        self.delayOf(attempt)
        late.errback(ZeroDivisionError())
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_clientLeaves(self) -> None:
        """
        A client that leaves while it is checked: no failure is counted, logged or
        waited for, and the avatar is logged out when it comes.
        """
        late: Deferred[bytes] = Deferred()
        self.checker.answer = lambda: late
        attempt = self.login(GOOD)
        attempt.cancel()
        self.failureResultOf(attempt, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.sink.seen, [])
        late.callback(b"ann")
        self.assertEqual((self.realm.logins, self.realm.logouts), (1, 1))

    def test_clientLeavesWhileHeldBack(self) -> None:
        """A client that leaves while it is held back leaves no timer; the failure counts."""
        attempt = self.login()
        attempt.cancel()
        self.failureResultOf(attempt, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.delayOf(self.login()), 2)

    def test_peerAddress(self) -> None:
        """Clients without a login are not throttled: nothing is guessed."""
        peer = PeerAddress(Address("192.0.2.7", 1), Address("192.0.2.1", 69))
        self.checker.answer = lambda: fail(UnauthorizedLogin("no network"))
        for _ in range(30):
            attempt = self.portal.login(peer, connection(protocol="tftp"), IFileAccount)
            self.failureResultOf(attempt, LoginFailed)
        self.assertEqual(self.sink.seen, [])

    def test_noMind(self) -> None:
        """An embedder's protocol that tells nothing gets the bare portal."""
        attempt = self.portal.login(GOOD, None, IFileAccount)
        self.assertIsInstance(self.successResultOf(attempt)[1], _Account)
        self.failureResultOf(self.portal.login(BAD, None, IFileAccount), UnauthorizedLogin)

    def test_noSink(self) -> None:
        """Nobody needs to listen."""
        self.portal = ThrottledPortal(self.inner, self.clock)
        self.successResultOf(self.login(GOOD))
        self.delayOf(self.login())
