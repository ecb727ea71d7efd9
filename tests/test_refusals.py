"""
Tests for L{filehub.refusals}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from filehub import refusals as module
from filehub.credentials import Address, ConnectionInfo
from filehub.events import AddressRefused, Event, SessionRefused
from filehub.refusals import INTERVAL, Refusals


class RefusalsTests(SynchronousTestCase):
    """L{Refusals}."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.seen: list[Event] = []
        self.refusals = Refusals(self.clock, self)

    def emit(self, event: Event) -> None:
        """See L{IEventSink.emit}."""
        self.seen.append(event)

    def tell(self, host: str = "192.0.2.1", reason: str = "address is banned") -> None:
        """Turn somebody away."""
        here = Address(host, 1)
        self.refusals.tell(
            AddressRefused, host, reason, lambda: ConnectionInfo("ftp", 1, here, here)
        )

    @property
    def counts(self) -> list[int]:
        """How many more each event tells of."""
        return [each.more for each in self.seen if isinstance(each, AddressRefused)]

    def test_aThousand(self) -> None:
        """The first is told at once, the others once a minute, with their number."""
        for _ in range(1000):
            self.tell()
        self.assertEqual(self.counts, [0])
        self.clock.advance(INTERVAL)
        self.tell()
        self.tell()
        self.assertEqual(self.counts, [0, 999])
        self.clock.advance(2 * INTERVAL)
        self.tell()
        self.assertEqual(self.counts, [0, 999, 1])

    def test_apart(self) -> None:
        """Other clients and other reasons are told for themselves; an IPv6 client is a /64."""
        self.tell()
        self.tell("192.0.2.2")
        self.tell(reason="address is denied")
        self.tell("2001:db8::1")
        self.tell("2001:db8::2")
        self.assertEqual(len(self.seen), 4)

    def test_bounded(self) -> None:
        """However many come, few are remembered."""
        self.patch(module, "_CAPACITY", 2)
        for host in ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.3", "192.0.2.1"):
            self.tell(host)
        self.assertEqual(len(self.seen), 4)
        self.assertEqual(len(self.refusals._rows), 2)

    def test_nobodyListens(self) -> None:
        """Without a sink nothing is made."""
        self.refusals = Refusals(self.clock, None)
        self.refusals.tell(SessionRefused, "192.0.2.1", "full", self.fail)
        self.assertEqual(self.refusals._rows, {})
