"""
All sessions, and how many there may be.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from filehub import registry
from filehub.accounts.bans import Ban, Bans
from filehub.accounts.records import AccountLimits
from filehub.credentials import Address
from filehub.errors import LimitExceeded, NotWelcome
from filehub.events import AddressRefused, SessionEnded, SessionRefused, SessionStarted
from filehub.interfaces import ISessionRegistry, ISessionSlot
from filehub.registry import SessionCaps, SessionRegistry
from tests.accounts.doubles import Events

LOCAL = Address("192.0.2.1", 21)


class _Account:
    """A name and limits."""

    def __init__(self, name: str = "ann", sessions: int | None = None) -> None:
        self.name = name
        self.limits = AccountLimits(maximumSessions=sessions)


class RegistryTests(SynchronousTestCase):
    """L{SessionRegistry}."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.sink = Events()
        self.ended: list[Any] = []
        self.registry = SessionRegistry(self.clock, SessionCaps(5, 3, 2), self.sink)

    def admit(self, host: str = "192.0.2.7", protocol: str = "ftp") -> Any:
        """One more session."""
        return self.registry.admit(
            protocol, Address(host, 1), LOCAL, secure=False, disconnect=self.ended.append
        )

    def refused(self, host: str = "192.0.2.7", protocol: str = "ftp") -> str:
        """What the client is told."""
        with self.assertRaises(LimitExceeded) as caught:
            self.admit(host, protocol)
        return str(caught.exception)

    def test_interfaces(self) -> None:
        """Both are what protocols ask for."""
        verifyObject(ISessionRegistry, self.registry)
        verifyObject(ISessionSlot, self.admit())

    def test_life(self) -> None:
        """Coming and going is told, with who it was and how long; the second leave is none."""
        slot = self.admit()
        self.clock.advance(2.5)
        slot.loggedIn(_Account())
        slot.leave("quit")
        slot.leave("connection lost")
        self.assertEqual(
            self.sink.seen,
            [
                SessionStarted(slot.connection),
                SessionEnded(slot.connection, "ann", "quit", 2.5),
            ],
        )
        self.assertEqual(len(self.registry), 0)

    def test_disconnect(self) -> None:
        """One session is asked to end, the others are left alone; nobody is no mistake."""
        self.admit()
        slot = self.admit()
        self.registry.disconnect([slot], "by the operator")
        self.assertEqual(self.ended, ["by the operator"])
        self.registry.disconnect([], "by the operator")
        self.assertEqual((len(self.ended), len(self.registry)), (1, 2))

    def test_connection(self) -> None:
        """The mind is told apart by its number, and knows when it is encrypted."""
        first, second = self.admit(), self.admit("2001:db8::1", "rfc913")
        self.assertNotEqual(first.connection.sessionId, second.connection.sessionId)
        self.assertEqual(second.connection.peer, Address("2001:db8::1", 1))
        self.assertEqual((second.connection.protocol, second.connection.local), ("rfc913", LOCAL))
        self.assertFalse(first.connection.secure)
        first.secured()
        self.assertTrue(first.connection.secure)
        first.leave("quit")
        self.assertEqual(list(self.registry), [second])

    def test_total(self) -> None:
        """Not more than there may be in all; a place that is free is given again."""
        slots = [self.admit(f"192.0.2.{number}") for number in range(5)]
        self.assertEqual(self.refused("192.0.2.99"), "Too many sessions, try again later.")
        event = self.sink.seen[-1]
        assert isinstance(event, SessionRefused)
        self.assertEqual(event.reason, "limit of sessions total")
        self.assertEqual(self.registry.refused, {"total": 1})
        slots[0].leave("quit")
        self.admit("192.0.2.99")

    def test_perAddress(self) -> None:
        """Not more from one address than one address may have."""
        slots = [self.admit() for _ in range(3)]
        self.assertEqual(self.refused(), "Too many sessions from your address.")
        self.admit("192.0.2.8")
        slots[1].leave("quit")
        self.admit()
        self.refused()

    def test_networkOfSix(self) -> None:
        """An IPv6 client is its /64."""
        for number in range(3):
            self.admit(f"2001:db8::{number}")
        self.refused("2001:db8::ffff:1%eth0")
        self.admit("2001:db8:0:1::1")

    def test_noAddress(self) -> None:
        """UNIX sockets count by their name."""
        for _ in range(3):
            self.admit("/run/filehub.sock")
        self.refused("/run/filehub.sock")

    def test_refusedTakesNoPlace(self) -> None:
        """Who was turned away counts for nothing."""
        slots = [self.admit() for _ in range(3)]
        for _ in range(10):
            self.refused()
        self.assertEqual(len(self.registry), 3)
        for slot in slots:
            slot.leave("quit")
        for _ in range(3):
            self.admit()

    def test_perUser(self) -> None:
        """A user has so many sessions over all protocols; leaving gives one back."""
        first, second, third = self.admit(), self.admit(protocol="rfc913"), self.admit()
        first.loggedIn(_Account())
        second.loggedIn(_Account())
        with self.assertRaises(LimitExceeded) as caught:
            third.loggedIn(_Account())
        self.assertEqual(str(caught.exception), "Too many sessions of this user.")
        self.assertIsNone(third.account)
        third.loggedIn(_Account("bob"))
        first.leave("quit")
        third.loggedIn(_Account())

    def test_ownMaximum(self) -> None:
        """An account's own maximum goes before the server's, up and down."""
        slots = [self.admit(), self.admit("192.0.2.8"), self.admit("192.0.2.9")]
        for slot in slots:
            slot.loggedIn(_Account("many", 3))
        slots[0].loggedIn(_Account("few", 1))
        with self.assertRaises(LimitExceeded):
            slots[1].loggedIn(_Account("few", 1))

    def test_again(self) -> None:
        """A second login in a session takes the place of the first, and REIN gives it back."""
        slot = self.admit()
        for _ in range(10):
            slot.loggedIn(_Account())
        slot.loggedOut()
        slot.loggedOut()
        others = [self.admit(), self.admit()]
        for each in others:
            each.loggedIn(_Account())
        with self.assertRaises(LimitExceeded):
            slot.loggedIn(_Account())

    def test_refusedLoginCountsOut(self) -> None:
        """Who fails to become another user is not the old one any more either."""
        slot, other = self.admit(), self.admit()
        other.loggedIn(_Account("few", 1))
        slot.loggedIn(_Account())
        with self.assertRaises(LimitExceeded):
            slot.loggedIn(_Account("few", 1))
        self.assertIsNone(slot.account)
        self.assertEqual(self.registry._users, {"few": 1})

    def test_anonymous(self) -> None:
        """Anonymous sessions are many users."""
        for number in range(5):
            self.admit(f"192.0.2.{number}").loggedIn(_Account("anonymous"))

    def test_tftp(self) -> None:
        """TFTP counts for the total only."""
        slots = [self.admit(protocol="tftp") for _ in range(5)]
        for slot in slots:
            slot.loggedIn(_Account())
        self.refused("192.0.2.8", "tftp")
        for slot in slots:
            slot.leave("done")
        for _ in range(3):
            self.admit()

    def test_nothingIsLeft(self) -> None:
        """When all have left, nothing is kept of them."""
        for protocol in ("ftp", "rfc913", "tftp"):
            slot = self.admit(protocol=protocol)
            slot.loggedIn(_Account())
            slot.leave("quit")
        self.assertEqual(
            (self.registry._slots, self.registry._groups, self.registry._users), ({}, {}, {})
        )

    def test_disconnectedAll(self) -> None:
        """Everybody is asked to go, though some leave at once and one has a defect."""
        slots: list[Any] = []

        def leaving(reason: str) -> None:
            slots[0].leave(reason)
            slots[2].leave(reason)

        def failing(reason: str) -> None:
            raise ZeroDivisionError

        for disconnect in (leaving, failing, self.ended.append, self.ended.append):
            slots.append(
                self.registry.admit(
                    "ftp", Address(f"192.0.2.{len(slots)}", 1), LOCAL, secure=True,
                    disconnect=disconnect,
                )
            )  # fmt: skip
        self.registry.disconnect(self.registry, "server is shutting down")
        self.assertEqual(self.ended, ["server is shutting down"] * 2)
        self.assertEqual(len(self.registry), 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_activity(self) -> None:
        """What a session is at can be looked up."""
        slot = self.admit()
        slot.doing("RETR /a")
        self.assertEqual([each.activity for each in self.registry], ["RETR /a"])

    def test_banned(self) -> None:
        """Who is banned has no place, over any protocol, and the protocol is told which kind."""
        bans = Bans(self.clock)
        bans.add(Ban(ipaddress.ip_network("192.0.2.7"), None, "by the operator"))
        registry = SessionRegistry(self.clock, SessionCaps(), self.sink, bans)
        for protocol in ("ftp", "rfc913", "tftp"):
            with self.assertRaises(NotWelcome):
                registry.admit(
                    protocol, Address("192.0.2.7", 1), LOCAL, secure=False, disconnect=print
                )
            event = self.sink.seen[-1]
            assert isinstance(event, AddressRefused)
            self.assertEqual(event.reason, "address is banned")
        self.assertEqual((len(registry), registry.refused["address is banned"]), (0, 3))
        registry.admit("ftp", Address("192.0.2.8", 1), LOCAL, secure=False, disconnect=print)

    def turnedAway(self, host: str, port: int = 1) -> str | None:
        """What is said of somebody who has only just come."""
        return self.registry.turnAway("ftp", Address(host, port), LOCAL)

    def test_turnedAwayEarly(self) -> None:
        """By the address alone it is said what an admission would say, and nothing counts."""
        self.assertIsNone(self.turnedAway("192.0.2.7"))
        slots = [self.admit() for _ in range(3)]
        self.assertEqual(self.turnedAway("192.0.2.7", 9), "Too many sessions from your address.")
        event = self.sink.seen[-1]
        assert isinstance(event, SessionRefused)
        self.assertEqual(
            (event.reason, event.connection.peer),
            ("limit of sessions per address", Address("192.0.2.7", 9)),
        )
        self.assertIsNone(self.turnedAway("192.0.2.8"))
        for number in range(2):
            self.admit(f"192.0.2.{10 + number}")
        self.assertEqual(self.turnedAway("192.0.2.8"), "Too many sessions, try again later.")
        self.assertEqual(self.registry.refused, {"per address": 1, "total": 1})
        slots[0].leave("quit")
        self.assertIsNone(self.turnedAway("192.0.2.7"))
        self.assertEqual(len(self.registry), 4)

    def test_bannedEarly(self) -> None:
        """Who is banned or denied is told nothing."""
        bans = Bans(self.clock)
        bans.add(Ban(ipaddress.ip_network("192.0.2.7"), None, "by the operator"))
        registry = SessionRegistry(self.clock, SessionCaps(), self.sink, bans)
        self.assertEqual(registry.turnAway("ftp", Address("192.0.2.7", 1), LOCAL), "")
        event = self.sink.seen[-1]
        assert isinstance(event, AddressRefused)
        self.assertEqual((event.reason, event.more), ("address is banned", 0))
        self.assertIsNone(registry.turnAway("ftp", Address("192.0.2.8", 1), LOCAL))

    def test_noSink(self) -> None:
        """Nobody needs to listen."""
        registry = SessionRegistry(self.clock, SessionCaps(1))
        slot = registry.admit("ftp", LOCAL, LOCAL, secure=True, disconnect=self.ended.append)
        with self.assertRaises(LimitExceeded):
            registry.admit("ftp", LOCAL, LOCAL, secure=True, disconnect=self.ended.append)
        slot.leave("quit")

    def test_networks(self) -> None:
        """A network has its cap; who is in several counts in each, and leaves each."""
        networks = (
            (ipaddress.ip_network("192.0.2.0/24"), 3),
            (ipaddress.ip_network("192.0.2.8/29"), 1),
        )
        self.registry.caps = SessionCaps(networks=networks)
        inner = self.admit("192.0.2.9")
        self.assertIn("your network", self.refused("192.0.2.10"))
        self.admit("192.0.2.1")
        self.admit("192.0.2.2")
        self.refused("192.0.2.3")
        self.admit("192.0.2.3", "tftp")
        self.admit("198.51.100.1")
        inner.leave("quit")
        self.admit("192.0.2.10")

    def test_sessionTime(self) -> None:
        """A session is over when its time is; a new login is given new time."""
        self.registry.caps = SessionCaps(seconds=100)
        slot = self.admit()
        self.clock.advance(90)
        slot.loggedIn(_Account())
        self.clock.advance(90)
        slot.loggedIn(_Account("bob"))
        self.clock.advance(90)
        self.assertEqual(self.ended, [])
        self.clock.advance(12)
        self.assertEqual(self.ended, ["session time is over"])
        slot.leave("told to")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_ownSessionTime(self) -> None:
        """An account's own time goes before the server's."""
        self.registry.caps = SessionCaps(seconds=100)
        account = _Account()
        account.limits = AccountLimits(sessionTime=10)
        self.admit().loggedIn(account)
        self.clock.advance(11)
        self.assertEqual(self.ended, ["session time is over"])

    def test_loginlessTime(self) -> None:
        """TFTP's transfers end by the account's own time, and not by the server's."""
        self.registry.caps = SessionCaps(seconds=5)
        account = _Account()
        self.admit(protocol="tftp").loggedIn(account)
        self.clock.advance(20)
        self.assertEqual(self.ended, [])
        account.limits = AccountLimits(sessionTime=10)
        self.admit(protocol="tftp").loggedIn(account)
        self.clock.advance(11)
        self.assertEqual(self.ended, ["session time is over"])

    def test_changed(self) -> None:
        """New limits hold at once, counted from where the session began; it is told, too."""
        told: list[str] = []

        class Session:
            """Wants to know."""

            def limitsChanged(self) -> None:
                told.append("changed")

        account = _Account()
        slot = self.admit()
        slot.loggedIn(account, Session())
        self.clock.advance(50)
        slot.limits = AccountLimits(sessionTime=60, commands=2)
        slot.limitsChanged()
        self.assertEqual(told, ["changed"])
        self.assertEqual([slot.pace(), slot.pace()], [None, None])
        self.assertIsNotNone(slot.pace())
        self.clock.advance(9)
        self.assertEqual(self.ended, [])
        self.clock.advance(2)
        self.assertEqual(self.ended, ["session time is over"])
        slot.loggedOut()
        slot.limitsChanged()
        self.assertEqual(told, ["changed"])
        other = self.admit()
        other.loggedIn(account)
        other.limits = AccountLimits(sessionTime=5)
        self.clock.advance(100)
        other.limitsChanged()
        self.clock.advance(1)
        self.assertEqual(len(self.ended), 2)

    def test_ownPace(self) -> None:
        """An account's own pace goes before the server's, quicker or slower."""
        self.registry.caps = SessionCaps(commands=1)
        account = _Account()
        account.limits = AccountLimits(commands=3)
        slot = self.admit()
        slot.loggedIn(account)
        self.clock.advance(10)
        self.assertEqual([slot.pace() for _ in range(3)], [None] * 3)
        self.assertIsNotNone(slot.pace())
        slot.loggedOut()
        slot.loggedIn(_Account("bob"))
        self.clock.advance(10)
        self.assertIsNone(slot.pace())
        self.assertIsNotNone(slot.pace())

    def test_requests(self) -> None:
        """Where each request is a session, an account's commands are requests of one client."""
        account = _Account()
        account.limits = AccountLimits(commands=4)

        def request(host: str = "192.0.2.7") -> bool:
            slot = self.admit(host, "tftp")
            try:
                slot.loggedIn(account)
            except LimitExceeded:
                return False
            finally:
                slot.leave("done")
            return True

        self.assertEqual([request() for _ in range(6)], [True] * 4 + [False] * 2)
        self.assertTrue(request("192.0.2.8"))
        self.clock.advance(0.25)
        self.assertEqual([request(), request()], [True, False])
        self.clock.advance(60)
        self.assertEqual([request() for _ in range(6)], [True] * 4 + [False] * 2)
        account.limits = AccountLimits(commands=0.5)
        self.clock.advance(60)
        self.assertEqual([request(), request()], [True, False])
        self.clock.advance(2)
        self.assertTrue(request())
        self.assertEqual(self.registry.refused["commands"], 6)

    def test_requestsAreBounded(self) -> None:
        """However many clients there are, those of the longest silence are forgotten."""
        self.patch(registry, "_REMEMBERED", 3)
        for number in range(10):
            self.registry.countRequest("ann", number, 1.0)
        self.assertEqual(len(self.registry._requests), 3)
        self.assertRaises(LimitExceeded, self.registry.countRequest, "ann", 9, 1.0)

    def test_pace(self) -> None:
        """A second's worth of commands at once, then one at a time; after a minute no more."""
        slot = self.admit()
        self.assertIsNone(slot.pace())
        self.registry.caps = SessionCaps(commands=10)
        self.clock.advance(100)
        for _ in range(10):
            self.assertIsNone(slot.pace())
        for _ in range(600):
            waiting = slot.pace()
            self.assertNoResult(waiting)
            self.clock.advance(0.1001)
            self.successResultOf(waiting)
        self.assertRaises(LimitExceeded, slot.pace)
        self.clock.advance(5)
        self.assertIsNone(slot.pace())
