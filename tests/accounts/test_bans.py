"""
Who is not let in, and what it takes.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from filehub.accounts import bans
from filehub.accounts.bans import Ban, Bans, BanSettings, Points
from filehub.events import AddressBanned, ProtocolViolation, SessionEnded
from filehub.interfaces import IEventSink
from filehub.networks import Network
from tests.accounts.doubles import Events, connection

HOST = "192.0.2.7"


class BansTests(SynchronousTestCase):
    """L{Bans}."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.sink = Events()
        self.bans = self.newBans()

    def newBans(self, **settings: Any) -> Bans:
        """With these settings."""
        return Bans(self.clock, BanSettings(**settings), self.sink)

    def offend(self, points: float = 1.0, host: str = HOST, times: int = 1) -> str | None:
        """Somebody misbehaves; is he still let in?"""
        for _ in range(times):
            self.bans.count(connection(host), points, "wrong password")
        return self.bans.refusalFor(host)

    def test_limit(self) -> None:
        """As many points as the limit, not fewer; it is told once, and ends."""
        self.assertIsNone(self.offend(times=9))
        self.assertEqual(self.offend(), "address is banned")
        self.offend(times=30)
        self.assertEqual(
            self.sink.seen,
            [AddressBanned(connection(), "192.0.2.7/32", 900.0, "wrong password")],
        )
        self.assertEqual([str(each.network) for each in self.bans], ["192.0.2.7/32"])
        self.assertIsNone(self.bans.refusalFor("192.0.2.8"))
        self.clock.advance(900)
        self.assertIsNone(self.bans.refusalFor(HOST))
        self.assertEqual(list(self.bans), [])
        self.assertIsNone(self.offend(times=9))

    def test_elsewhere(self) -> None:
        """
        With several processes a ban is told by the one in which it begins; by each that had
        a part in it, if none of them knew of the others in time; and never by nobody.
        """
        self.assertEqual(self.inThree(isLate=False), [1])
        self.assertEqual(self.inThree(isLate=True), [0, 1])

    def inThree(self, *, isLate: bool) -> list[int]:
        """The first of three processes counts two points, the second one; who tells of it?"""
        processes = [self.newBans(limit=3) for _ in range(3)]
        news: list[tuple[int, tuple[str, float, str, bool]]] = []
        written: list[int] = []
        for number, each in enumerate(processes):
            each._sink = Events()
            each.whenEarned = lambda *words, n=number: news.append((n, words))
            each.onChange = lambda network, ban, n=number: written.append(n)

        def deliver() -> None:
            while news:
                origin, words = news.pop(0)
                for number, each in enumerate(processes):
                    if number != origin:
                        each.earnedElsewhere(*words)

        for number in (0, 0, 1):
            processes[number].count(connection(HOST), 1, "wrong password")
            if not isLate:
                deliver()
        deliver()
        for each in processes:
            self.assertEqual(each.refusalFor(HOST), "address is banned")
        told = [n for n, each in enumerate(processes) if each._sink.seen]  # type: ignore[union-attr]
        self.assertEqual(sorted(written), told)
        return told

    def test_window(self) -> None:
        """Only what was lately counts."""
        self.offend(times=5)
        self.clock.advance(300)
        self.offend(times=4)
        self.clock.advance(300)
        self.assertIsNone(self.offend(times=5))
        self.assertIsNotNone(self.offend())

    def test_offences(self) -> None:
        """Breaches of protocols and connections without a login have their prices."""
        verifyObject(IEventSink, self.bans)
        for _ in range(4):
            self.bans.emit(ProtocolViolation(connection(), "bounce"))
        for number in range(20):
            self.assertIsNone(self.bans.refusalFor(HOST), number)
            self.bans.emit(SessionEnded(connection(), None, "connection lost", 0.1))
        self.assertIsNotNone(self.bans.refusalFor(HOST))

    def test_honest(self) -> None:
        """Sessions that logged in cost nothing, however many they are."""
        for _ in range(1000):
            self.bans.emit(SessionEnded(connection(), "ann", "quit", 0.1))
        self.assertIsNone(self.bans.refusalFor(HOST))

    def test_free(self) -> None:
        """What costs nothing is not even remembered."""
        self.bans = self.newBans(points=Points(scan=0.0))
        for _ in range(1000):
            self.bans.emit(SessionEnded(connection(), None, "connection lost", 0.1))
        self.assertEqual(self.bans._offences, {})

    def test_forgeable(self) -> None:
        """Nobody is banned for what somebody else may have sent in his name."""
        for _ in range(100):
            self.bans.count(connection(protocol="tftp"), 1.0, "x")
            self.bans.emit(SessionEnded(connection(protocol="tftp"), None, "lost", 0.1))
        self.assertIsNone(self.bans.refusalFor(HOST))

    def test_networks(self) -> None:
        """Points and bans are of networks; an IPv4 address is the same in either form."""
        self.bans = self.newBans(prefixes=(24, 48))
        for number in range(10):
            self.offend(host=f"192.0.2.{number}")
            self.offend(host=f"2001:db8:1:{number}::1%eth0")
        for host, expected in (
            ("192.0.2.200", "address is banned"), ("::ffff:192.0.2.201", "address is banned"),
            ("192.0.3.1", None), ("2001:db8:1:ff::", "address is banned"), ("2001:db8:2::", None),
        ):  # fmt: skip
            self.assertEqual(self.bans.refusalFor(host), expected, host)

    def test_exempt(self) -> None:
        """Exempt networks and the allowed earn nothing; what is no address neither."""
        self.bans.allowed[ipaddress.ip_network("198.51.100.0/24")] = "allow"
        for host in ("127.0.0.1", "::1", "198.51.100.7", "/run/filehub.sock"):
            self.assertIsNone(self.offend(100.0, host), host)

    def test_lists(self) -> None:
        """Denied networks are not let in, except for those that are allowed."""
        self.bans.denied[ipaddress.ip_network("0.0.0.0/0")] = "deny"
        self.bans.allowed[ipaddress.ip_network("192.0.2.0/28")] = "allow"
        self.bans.add(Ban(ipaddress.ip_network("192.0.2.3/32"), None, "by the operator"))
        for host, expected in (
            ("192.0.2.3", None), ("192.0.2.99", "address is denied"), ("2001:db8::1", None),
        ):  # fmt: skip
            self.assertEqual(self.bans.refusalFor(host), expected, host)

    def test_operator(self) -> None:
        """What the operator bans stays, and goes when he says so."""
        network = ipaddress.ip_network("203.0.113.0/24")
        self.bans.replace([Ban(network, None, "by the operator")])
        self.clock.advance(1e9)
        self.bans.sweep()
        self.assertEqual(self.bans.refusalFor("203.0.113.9"), "address is banned")
        self.bans.replace([])
        self.assertIsNone(self.bans.refusalFor("203.0.113.9"))

    def test_innerEnds(self) -> None:
        """A ban that is over does not hide one of a larger network."""
        self.bans.add(Ban(ipaddress.ip_network("192.0.2.7/32"), 1001.0, "x"))
        self.bans.add(Ban(ipaddress.ip_network("192.0.2.0/24"), None, "x"))
        self.clock.advance(10)
        self.assertIsNotNone(self.bans.refusalFor(HOST))
        self.assertEqual(len(list(self.bans)), 1)

    def test_bounded(self) -> None:
        """However many addresses misbehave, what is remembered is bounded, and is told."""
        self.patch(bans, "CAPACITY", 20)
        changes: list[tuple[Network, Ban | None]] = []
        self.bans.onChange = lambda network, ban: changes.append((network, ban))
        for number in range(100):
            self.offend(1.0, f"10.1.0.{number}")
            self.offend(10.0, f"10.2.0.{number}")
        self.assertLessEqual(len(self.bans._offences), 20)
        self.assertEqual(len(list(self.bans)), 20)
        self.assertEqual(sum(ban is None for _, ban in changes), 80)
        self.assertEqual(self.bans.refusalFor("10.2.0.99"), "address is banned")
        self.assertIsNone(self.bans.refusalFor("10.2.0.0"))

    def test_manySmall(self) -> None:
        """A thousand small offences are a few entries, and count all the same."""
        self.bans = self.newBans(limit=100.0)
        self.assertIsNone(self.offend(0.1, times=999))
        (offences,) = self.bans._offences.values()
        self.assertLessEqual(len(offences.entries), bans._ENTRIES)
        self.assertIsNotNone(self.offend(0.1))

    def test_configure(self) -> None:
        """A new limit forgets points; bans stay."""
        self.offend(10.0, "198.51.100.1")
        self.offend(times=9)
        self.bans.configure(BanSettings(limit=5.0))
        self.assertIsNone(self.offend(times=4))
        self.assertIsNotNone(self.offend())
        self.assertIsNotNone(self.bans.refusalFor("198.51.100.1"))
