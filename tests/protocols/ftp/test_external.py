"""
L{filehub.protocols.ftp.external}: what clients are told to connect to.
"""

from __future__ import annotations

import ipaddress

from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from filehub.protocols.ftp.external import LOOKUP_INTERVAL, ExternalAddresses, isAddress
from filehub.protocols.ftp.settings import FTPSettings
from tests.protocols.ftp.doubles import Client

LOCAL = "10.0.0.1"
OUTSIDE = "192.0.2.1"


class LiteralTests(SynchronousTestCase):
    def test_default(self) -> None:
        """The external address for clients from outside only."""
        nothing, fixed = ExternalAddresses(None), ExternalAddresses("198.51.100.1")
        self.assertEqual(nothing.addressFor(OUTSIDE, LOCAL), LOCAL)
        self.assertEqual(fixed.addressFor(OUTSIDE, LOCAL), "198.51.100.1")
        for inside in ("10.0.0.9", "172.16.0.1", "192.168.1.1", "127.0.0.1", "169.254.0.1"):
            self.assertEqual(fixed.addressFor(inside, LOCAL), LOCAL)

    def test_unspecified(self) -> None:
        """0.0.0.0 is for everybody: it says nothing that could be wrong."""
        zero = ExternalAddresses("0.0.0.0")
        for peer in (OUTSIDE, "10.0.0.9"):
            self.assertEqual(zero.addressFor(peer, LOCAL), "0.0.0.0")

    def test_rules(self) -> None:
        """The most specific network decides, then the default."""
        rules = ExternalAddresses(
            "198.51.100.1",
            (
                (ipaddress.ip_network("10.0.0.0/8"), "10.0.0.5"),
                (ipaddress.ip_network("10.9.0.0/16"), "local"),
                (ipaddress.ip_network("203.0.113.0/24"), "0.0.0.0"),
            ),
        )
        self.assertEqual(rules.addressFor("10.1.1.1", LOCAL), "10.0.0.5")
        self.assertEqual(rules.addressFor("10.9.1.1", LOCAL), LOCAL)
        self.assertEqual(rules.addressFor("203.0.113.4", LOCAL), "0.0.0.0")
        self.assertEqual(rules.addressFor(OUTSIDE, LOCAL), "198.51.100.1")
        self.assertEqual(rules.addressFor("192.168.0.4", LOCAL), LOCAL)

    def test_isAddress(self) -> None:
        """Names are told from addresses."""
        self.assertTrue(isAddress("192.0.2.1"))
        for name in ("ftp.example.org", "local", "::1", "192.0.2", "192.0.2.256"):
            self.assertFalse(isAddress(name))

    def test_pasv(self) -> None:
        """The 227 reply of a session says what the listener's rules say."""
        settings = FTPSettings(externalAddress="0.0.0.0")
        self.assertEqual(
            Client(settings).logIn().say("PASV"), b"227 Entering Passive Mode (0,0,0,0,195,81).\r\n"
        )
        six = Client(settings, peer="2001:db8::1", local="2001:db8::2").logIn()
        self.assertEqual(six.codes(["PASV", "EPSV"]), [501, 229])


class NameTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[tuple[str, Deferred[str]]] = []
        self.lines: list[str] = []
        self.addresses = ExternalAddresses(
            "ftp.example.org",
            ((ipaddress.ip_network("203.0.113.0/24"), "other.example.org"),),
            clock=self.clock,
            lookUp=self.lookUp,
        )
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)
        self.addresses.start()
        self.addCleanup(self.addresses.stop)

    def observe(self, event: object) -> None:
        if isinstance(event, dict) and "ftp.example.org" in str(event.get("name")):
            self.lines.append(event["log_level"].name)

    def lookUp(self, name: str) -> Deferred[str]:
        answer: Deferred[str] = Deferred()
        self.asked.append((name, answer))
        return answer

    def answer(self, address: str | None) -> None:
        """What the pending lookups of the default name bring."""
        asked, self.asked = self.asked, []
        for name, answer in asked:
            if name != "ftp.example.org":
                continue
            if address is None:
                answer.errback(DNSLookupError("no such name"))
            else:
                answer.callback(address)

    def said(self) -> str:
        return self.addresses.addressFor(OUTSIDE, LOCAL)

    def test_lookedUp(self) -> None:
        """Names are looked up at the start and each minute; nobody waits for it."""
        self.assertEqual([name for name, _ in self.asked], ["other.example.org", "ftp.example.org"])
        self.assertEqual(self.said(), LOCAL)
        self.answer("198.51.100.1")
        self.assertEqual(self.said(), "198.51.100.1")
        self.clock.advance(LOOKUP_INTERVAL)
        self.answer("198.51.100.2")
        self.assertEqual(self.said(), "198.51.100.2")
        self.assertEqual(self.addresses.addressFor("203.0.113.4", LOCAL), LOCAL)

    def test_lastGoodIsKept(self) -> None:
        """While lookups fail the last answer holds, and that is said once."""
        self.answer("198.51.100.1")
        for _ in range(3):
            self.clock.advance(LOOKUP_INTERVAL)
            self.answer(None)
        self.assertEqual(self.said(), "198.51.100.1")
        self.assertEqual(self.lines, ["info", "warn"])
        self.clock.advance(LOOKUP_INTERVAL)
        self.answer("198.51.100.1")
        self.clock.advance(LOOKUP_INTERVAL)
        self.answer(None)
        self.assertEqual(self.lines, ["info", "warn", "warn"])

    def test_nonsense(self) -> None:
        """An answer that is no IPv4 address counts as none."""
        self.answer("2001:db8::1")
        self.assertEqual(self.said(), LOCAL)

    def test_stopped(self) -> None:
        """After the end nothing is asked any more."""
        self.asked.clear()
        self.addresses.stop()
        self.clock.advance(10 * LOOKUP_INTERVAL)
        self.assertEqual(self.asked, [])
