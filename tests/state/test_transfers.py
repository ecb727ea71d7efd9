"""
How much is moved within a period: never more than the quota, whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, ensureDeferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from filehub.errors import QuotaExceeded, StorageUnavailable
from filehub.periods import Period
from filehub.state.database import StateDatabase
from filehub.state.records import SCHEMA
from filehub.state.tallies import STEP
from filehub.state.transferrecords import TransferRecords, TransferRow
from filehub.state.transfers import FLUSH, SERVER, TransferLedger, TransferSettings
from filehub.usage import ITransferMeter, Scope, TransferQuota
from filehub.vfs.workers import ImmediateWorkers
from tests.accounts.doubles import now

DAY = 86_400
MIB = 1024 * 1024
ADA = Scope("user", "ada")


class SlowWorkers(ImmediateWorkers):
    """Work is done when somebody says so."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[tuple[Deferred[Any], Callable[[], Any]]] = []
        self.slow = self.broken = False

    def call(self, function: Any, *args: Any, **options: Any) -> Deferred[Any]:
        if self.broken:
            return fail(StorageUnavailable(None, "the disk is full"))
        if not self.slow:
            return super().call(function, *args, **options)
        waiter: Deferred[Any] = Deferred()
        self.waiting.append((waiter, lambda: function(*args)))
        return waiter

    def work(self) -> None:
        """Do the next piece."""
        waiter, function = self.waiting.pop(0)
        waiter.callback(function())


class LedgerCase(SynchronousTestCase):
    """A database on disk and a calendar."""

    settings = TransferSettings(user=TransferQuota(1000, 2000), period=Period.DAY)

    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "state" / "usage.sqlite"
        self.clock = Clock()
        self.clock.advance(10 * DAY + 100)
        self.workers = SlowWorkers()
        self.ledger = self.start()

    def start(self, settings: TransferSettings | None = None) -> TransferLedger:
        """A server starts."""
        self.database = StateDatabase(self.path, SCHEMA, self.workers)
        self.database.open(exclusive=False)
        self.addCleanup(self.database.closeNow)
        records = TransferRecords(self.database)
        ledger = TransferLedger(self.clock, records, settings or self.settings, self.clock.seconds)
        ledger.load()
        return ledger

    def crash(self, settings: TransferSettings | None = None) -> None:
        """It ends without a word, and starts again."""
        self.database.closeNow()
        self.clock.calls.clear()
        self.workers.waiting.clear()
        self.ledger = self.start(settings)

    def meter(self, direction: str = "download", name: str = "ada", *groups: str) -> ITransferMeter:
        """For one transfer."""
        meter = self.ledger.meter(direction, name, groups)
        assert meter is not None
        return meter

    def rows(self) -> dict[Scope, TransferRow]:
        """What is written down."""
        return {row.scope: row for row in TransferRecords(self.database).load()}

    def used(self, name: str = "ada", *groups: str) -> tuple[int, int, int, int]:
        """Of the narrowest."""
        return self.ledger.statesOf(name, groups)[-1].used


class QuotaTests(LedgerCase):
    """What may be moved, and what not."""

    def test_none(self) -> None:
        """Who has no quota costs nothing."""
        self.ledger.configure(TransferSettings())
        self.assertTrue(self.ledger.isEmpty)
        self.assertIsNone(self.ledger.meter("download", "ada", ()))
        self.assertEqual(self.ledger.statesOf("ada", ()), [])

    def test_known(self) -> None:
        """A file that is longer than what is left does not begin; one as long does."""
        meter = self.meter()
        verifyObject(ITransferMeter, meter)
        error = self.assertRaises(QuotaExceeded, meter.begin, 2001)
        self.assertEqual(
            str(error), "download quota exceeded, it begins again at 1970-01-12 00:00 UTC"
        )
        meter.begin(2000)
        self.assertRaises(QuotaExceeded, self.meter().begin, 1)
        meter.spend(1500)
        meter.end()
        self.meter().begin(500)
        self.assertEqual(self.used(), (0, 2000, 0, 2))

    def test_unknown(self) -> None:
        """One whose length nobody knows ends at the edge, not a byte beyond."""
        meter = self.meter("upload")
        meter.begin(1)
        meter.spend(999)
        self.assertEqual(meter.most(50), 1)
        self.assertRaises(QuotaExceeded, meter.spend, 2)
        meter.spend(1)
        self.assertRaises(QuotaExceeded, meter.spend, 1)
        self.assertEqual(meter.most(50), 0)
        meter.end()
        self.assertRaises(QuotaExceeded, self.meter("upload").begin, 1)
        # An empty file is none of that.
        self.meter("upload").begin(0)
        self.assertEqual(self.used(), (1000, 0, 2, 0))

    def test_givenBack(self) -> None:
        """What was not moved was not used; a file of which nothing came is none."""
        meter = self.meter()
        meter.begin(100)
        meter.spend(60)
        meter.giveBack(60)
        meter.end()
        meter.end()
        self.assertEqual(self.used(), (0, 0, 0, 0))

    def test_together(self) -> None:
        """Both directions, groups and the server have their say."""
        self.ledger.configure(
            TransferSettings(
                server=TransferQuota(both=1000),
                groups={"g": TransferQuota(download=500, downloadFiles=2)},
                users={"eve": TransferQuota(upload=10)},
                user=TransferQuota(upload=700),
            )
        )
        self.meter("upload", "ada").begin(700)
        self.assertRaises(QuotaExceeded, self.meter("download", "bob").begin, 301)
        self.assertRaises(QuotaExceeded, self.meter("upload", "eve").begin, 11)
        one = self.meter("download", "bob", "g")
        one.begin(300)
        one.spend(300)
        one.end()
        self.meter("download", "eve", "g").begin(0)
        self.assertRaises(QuotaExceeded, self.meter("download", "carl", "g").begin, 0)
        self.assertEqual(
            [str(each.scope) for each in self.ledger.statesOf("ada", ("g", "h"))],
            ["server", "group g", "user ada"],
        )

    def test_begins(self) -> None:
        """With the next period all begins again, also for what is under way."""
        meter = self.meter()
        meter.begin(2000)
        meter.spend(1500)
        self.clock.advance(DAY)
        self.assertEqual(self.used(), (0, 500, 0, 0))
        meter.spend(500)
        meter.end()
        self.meter().begin(1500)
        self.assertRaises(QuotaExceeded, self.meter().begin, 1)

    def test_clockBack(self) -> None:
        """A clock that is set back gives nobody more, before or after a restart."""
        self.meter().spend(2000)
        self.clock.rightNow -= 2 * DAY
        self.assertRaises(QuotaExceeded, self.meter().begin, 1)
        self.crash()
        self.assertRaises(QuotaExceeded, self.meter().begin, 1)

    def test_live(self) -> None:
        """A changed quota holds at once; a changed period begins anew."""
        meter = self.meter()
        meter.begin(10)
        meter.spend(1000)
        self.ledger.configure(TransferSettings(user=TransferQuota(None, 1000)))
        self.assertEqual(self.ledger.statesOf("ada", ())[0].ends, 31 * DAY)
        self.assertEqual(self.used(), (0, 0, 0, 0))
        meter.spend(1000)
        self.assertRaises(QuotaExceeded, meter.spend, 1)
        self.ledger.configure(TransferSettings(user=TransferQuota(None, 1500)))
        meter.spend(500)
        self.assertRaises(QuotaExceeded, meter.spend, 1)

    def test_brought(self) -> None:
        """An account from elsewhere has what its source says, until that says otherwise."""
        self.ledger.configure(TransferSettings())
        self.ledger.bring({ADA: TransferQuota(5), Scope("group", "g"): TransferQuota()})
        self.assertRaises(QuotaExceeded, self.meter("upload").begin, 6)
        self.ledger.bring({ADA: TransferQuota()})
        self.assertIsNone(self.ledger.meter("upload", "ada", ("g",)))

    def test_startAgain(self) -> None:
        """The operator may let it begin again, of those who are there and of others."""
        self.meter().spend(2000)
        self.clock.advance(FLUSH)
        self.crash()
        TransferRecords(self.database).want([ADA, Scope("user", "eve")])
        now(self.ledger.obey())
        self.meter().spend(2000)
        self.assertRaises(QuotaExceeded, self.meter().begin, 1)
        TransferRecords(self.database).want([ADA])
        now(self.ledger.obey())
        self.meter().begin(2000)


class WrittenTests(LedgerCase):
    """What is written down, and when."""

    def test_ahead(self) -> None:
        """Nothing moves before it is written, and for most pieces it is."""
        self.ledger.configure(TransferSettings(user=TransferQuota(None, 1 << 40)))
        self.workers.slow = True
        meter = self.meter()
        meter.begin(64 * MIB)
        self.assertTrue(meter.pending())
        waiting = ensureDeferred(meter.written())
        self.assertNoResult(waiting)
        self.workers.work()
        self.assertIsNone(self.successResultOf(waiting))
        writes = 0
        for _ in range(64):
            meter.spend(MIB)
            self.assertFalse(meter.pending())
            while self.workers.waiting:
                writes += 1
                self.workers.work()
            self.assertLessEqual(meter._tallies[0].used[1], self.rows()[ADA].booked[1])
        self.assertLess(writes, 12)
        # Never more than is known to come.
        self.assertEqual(self.rows()[ADA].booked[1], 64 * MIB)

    def test_quiet(self) -> None:
        """A moment after the last byte the figures are exact, and nobody looks any more."""
        meter = self.meter()
        meter.begin(100)
        meter.spend(40)
        meter.end()
        self.clock.pump([FLUSH, FLUSH])
        self.assertEqual((self.rows()[ADA].used, self.rows()[ADA].booked), ((0, 40, 0, 1),) * 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.crash()
        self.assertEqual(self.used(), (0, 40, 0, 1))

    def test_crash(self) -> None:
        """What may have moved counts, and no more than a step above what did."""
        limit = TransferSettings(user=TransferQuota(1 << 40))
        self.ledger.configure(limit)
        meter = self.meter("upload")
        meter.begin(1)
        for _ in range(100):
            meter.spend(MIB)
        self.crash(limit)
        self.assertGreaterEqual(self.used()[0], 100 * MIB)
        self.assertLessEqual(self.used()[0], 100 * MIB + STEP)

    def test_stop(self) -> None:
        """An orderly end is exact."""
        meter = self.meter("upload")
        meter.begin(1)
        meter.spend(600)
        meter.end()
        now(self.ledger.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.rows()[ADA].booked, (600, 0, 1, 0))

    def test_fails(self) -> None:
        """Where nothing can be written nothing moves, with one line; later it goes on."""
        self.workers.broken = True
        meter = self.meter()
        meter.begin(10)
        self.assertRaises(StorageUnavailable, meter.pending)
        self.assertRaises(StorageUnavailable, now, meter.written())
        meter.end()
        self.clock.pump([FLUSH] * 5)
        self.workers.broken = False
        self.clock.pump([FLUSH] * 3)
        meter = self.meter()
        meter.begin(2000)
        self.assertFalse(meter.pending())
        self.assertEqual(self.used(), (0, 2000, 0, 1))

    def test_old(self) -> None:
        """Figures of a period that is over are removed."""
        self.meter().spend(10)
        self.crash()
        self.clock.advance(DAY)
        self.crash()
        self.meter("upload", "bob").spend(1)
        self.assertEqual([row.name for row in self.rows()], ["bob"])

    def test_many(self) -> None:
        """Users of former periods do not fill the memory."""
        for number in range(4200):
            self.meter("upload", f"u{number}").spend(1)
        self.clock.pump([FLUSH] * 3)
        self.clock.advance(DAY)
        self.meter("upload", "eve").spend(1)
        self.assertLess(len(self.ledger._tallies), 10)


class AnyOrderTests(LedgerCase):
    """Any transfers of two users, at any pace, with a database that is now quick, now slow."""

    LIMITS = TransferSettings(
        server=TransferQuota(both=900),
        groups={"g": TransferQuota(300, 500)},
        user=TransferQuota(200, 400, 500, 7, 7),
        period=Period.DAY,
    )

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(
                    ["begin", "spend", "spend", "spend", "back", "end", "work", "tick", "crash"]
                ),
                st.sampled_from(["upload", "download"]),
                st.sampled_from(["ada", "bob"]),
                st.integers(0, 220),
            ),
            max_size=60,
        )
    )
    def test_any(self, steps: list[tuple[str, str, str, int]]) -> None:
        """Never more than a quota is used, nor moved than is written down."""
        self.path = Path(self.mktemp()) / "usage.sqlite"
        self.workers = SlowWorkers()
        self.clock = Clock()
        self.ledger = self.start(self.LIMITS)
        self.workers.slow = True
        #: What has moved, in this order of events and not since the last crash.
        moved = {"ada": [0, 0], "bob": [0, 0]}
        running: dict[tuple[str, str], list[Any]] = {}
        crashed = False
        for verb, direction, name, amount in steps:
            key, index = (direction, name), int(direction == "download")
            if key not in running:
                running[key] = [self.meter(direction, name, "g"), 0]
            meter = running[key][0]
            if verb == "begin":
                try:
                    meter.begin(amount)
                except QuotaExceeded:
                    pass
            elif verb == "spend":
                wanted = meter.most(amount)
                try:
                    meter.spend(amount)
                except QuotaExceeded:
                    self.assertLess(wanted, amount)
                else:
                    self.assertEqual(wanted, amount)
                    if meter.pending():
                        meter.giveBack(amount)
                    else:
                        moved[name][index] += amount
                        running[key][1] += amount
            elif verb == "back" and running[key][1]:
                part = min(amount, running[key][1])
                meter.giveBack(part)
                moved[name][index] -= part
                running[key][1] -= part
            elif verb == "end":
                meter.end()
                del running[key]
            elif verb == "work" and self.workers.waiting:
                self.workers.work()
            elif verb == "tick":
                self.clock.advance(FLUSH)
            elif verb == "crash":
                self.crash(self.LIMITS)
                running.clear()
                crashed = True
            self.check(moved, crashed)
        self.workers.slow = False
        while self.workers.waiting:
            self.workers.work()
        for meter, _ in running.values():
            meter.end()
        now(self.ledger.stop())
        rows = self.rows()
        for name, figures in moved.items():
            row = rows.get(Scope("user", name))
            booked = (0, 0) if row is None else row.booked[:2]
            self.assertTrue(all(a >= b for a, b in zip(booked, figures, strict=True)), rows)
            if row is not None and not crashed:
                self.assertEqual((list(row.used[:2]), row.used), (figures, row.booked))

    def check(self, moved: dict[str, list[int]], crashed: bool) -> None:
        """What has to hold at any time."""
        for name in moved:
            for state in self.ledger.statesOf(name, ("g",)):
                quota, used = state.quota, state.used
                for limit, figure in (
                    (quota.upload, used[0]),
                    (quota.download, used[1]),
                    # After a crash what was booked for either counts, for the worse.
                    (None if crashed else quota.both, used[0] + used[1]),
                    (quota.uploadFiles, used[2]),
                ):
                    self.assertTrue(limit is None or figure <= limit, state)
        rows = self.rows()
        for name, figures in moved.items():
            row = rows.get(Scope("user", name))
            booked = (0, 0) if row is None else row.booked
            self.assertLessEqual(figures[0], booked[0])
            self.assertLessEqual(figures[1], booked[1])
        total = sum(sum(each) for each in moved.values())
        written = rows.get(SERVER)
        self.assertLessEqual(total, 0 if written is None else sum(written.booked[:2]))
