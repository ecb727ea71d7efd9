"""
Shared bandwidth limits: who obeys which, and what changes while files move.
"""

from __future__ import annotations

import ipaddress

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from filehub.accounts.records import AccountLimits, AccountRecord
from filehub.interfaces import ISessionLimits
from filehub.limiting import RateBook, Rates, RateSettings
from tests.accounts.doubles import connection

NET = ipaddress.ip_network("192.0.2.0/24")
HOST = ipaddress.ip_network("192.0.2.7/32")


class LevelTests(SynchronousTestCase):
    """Server, network, group, user, session."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.book = RateBook(self.clock)

    def limits(self, name: str = "ada", *groups: str, host: str = "192.0.2.7") -> ISessionLimits:
        """Those of a new session."""
        record = AccountRecord(name, groups=groups, limits=AccountLimits(3, 60.0))
        return self.book.limitsFor(record, connection(host))

    def wait(self, limits: ISessionLimits, nbytes: int = 100_000) -> float:
        """How long a download of this has to wait, without its burst."""
        assert limits.download is not None
        wait: float = limits.download.grant(nbytes)
        return wait

    def test_none(self) -> None:
        """Without limits there is nothing to obey."""
        limits = self.limits()
        verifyObject(ISessionLimits, limits)
        self.assertEqual((limits.download, limits.upload), (None, None))
        self.assertEqual((limits.maximumSessions, limits.idle), (3, 60.0))

    def test_shared(self) -> None:
        """Each level is one bucket for all that are of it, and no other's."""
        slow, none = Rates(1000.0, 2000.0), Rates()
        for settings, sharing, apart in (
            (RateSettings(server=slow), ("bob", "h", "2001:db8::1"), None),
            (RateSettings(networks={NET: slow}), ("bob", "h", "192.0.2.9"), ("ada", "g", "::1")),
            (RateSettings(groups={"g": slow}), ("bob", "g", "::1"), ("bob", "h", "192.0.2.7")),
            (RateSettings(user=slow), ("ada", "h", "::1"), ("bob", "g", "192.0.2.7")),
            (RateSettings(user=none, users={"ada": slow}), ("ada", "h", "::1"), None),
            (RateSettings(session=slow), None, ("ada", "g", "192.0.2.7")),
        ):
            self.book = RateBook(self.clock, settings)
            first = self.wait(self.limits("ada", "g"), 10_250)
            self.assertAlmostEqual(first, 10.0)
            if sharing is not None:
                name, group, host = sharing
                self.assertAlmostEqual(self.wait(self.limits(name, group, host=host), 10_000), 20.0)
            if apart is not None:
                name, group, host = apart
                other = self.limits(name, group, host=host)
                self.assertTrue(other.download is None or self.wait(other, 250) == 0.0, settings)
            self.assertEqual(self.limits("ada", "g").upload.grant(500), 0.0)

    def test_strictest(self) -> None:
        """All that hold are obeyed, and all account for the bytes."""
        self.book.configure(RateSettings(server=Rates(10_000.0), user=Rates(1000.0)))
        self.assertAlmostEqual(self.wait(self.limits(), 10_250), 10.0)
        self.assertAlmostEqual(self.wait(self.limits("bob"), 2500), 2.25)

    def test_smallestNetwork(self) -> None:
        """Of several networks the smallest one counts."""
        self.book.configure(RateSettings(networks={NET: Rates(1000.0), HOST: Rates(4000.0)}))
        self.assertAlmostEqual(self.wait(self.limits(), 5000), 1.0)
        self.assertAlmostEqual(self.wait(self.limits(host="192.0.2.8"), 5250), 5.0)
        self.assertIsNone(self.limits(host="unix").download)

    def test_live(self) -> None:
        """A changed rate reaches transfers that are under way; so does its end."""
        self.book.configure(RateSettings(user=Rates(1000.0), session=Rates(500.0)))
        limits = self.limits()
        running = limits.download
        running.grant(10_000)
        self.book.configure(RateSettings(user=Rates(100_000.0)))
        self.assertLess(limits.download.grant(0), 0.1)
        self.book.configure(RateSettings())
        self.assertIsNone(limits.download)

    def test_ownRate(self) -> None:
        """An account that is kept elsewhere brings its rate along."""
        record = AccountRecord("eve", limits=AccountLimits(downloadRate=1000.0))
        self.book.configure(RateSettings(user=Rates(5000.0)))
        self.assertAlmostEqual(self.wait(self.book.limitsFor(record, None), 1250), 1.0)

    def test_bounded(self) -> None:
        """Users who have been silent are forgotten, those in debt never."""
        self.book.configure(RateSettings(user=Rates(1000.0)))
        self.wait(self.limits("debtor"), 1 << 40)
        for number in range(5000):
            self.wait(self.limits(f"user{number}"), 1)
            self.clock.advance(1)
        self.assertLess(len(self.book._buckets), 4200)
        self.assertGreater(self.wait(self.limits("debtor"), 0), 1000.0)
