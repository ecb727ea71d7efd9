"""
Tests of L{filehub.state.tallytable}: what is left after a crash, and what processes share.
"""

from __future__ import annotations

import copy
import errno
import os
from pathlib import Path
from unittest import mock

from filehub.errors import QuotaExceeded, StorageUnavailable
from filehub.state import tallytable
from filehub.state.database import StateDatabase
from filehub.state.records import SCHEMA
from filehub.state.tallytable import ROWS, TallyTable, keyOf, leftBehind
from filehub.state.transferrecords import TransferRecords
from filehub.state.transfers import FLUSH, TransferLedger, TransferSettings
from filehub.usage import Scope, TransferQuota
from tests.accounts.doubles import now
from tests.state.test_transfers import ADA, DAY, MIB, LedgerCase

ROOMY = TransferSettings(user=TransferQuota(1 << 40, 1 << 40))


class TableCase(LedgerCase):
    """As of a server with a state folder."""

    settings = ROOMY

    @property
    def file(self) -> Path:
        """Where the table is."""
        return self.path.with_name("transfers.table")

    def start(self, settings: TransferSettings | None = None) -> TransferLedger:
        self.database = StateDatabase(self.path, SCHEMA, self.workers)
        self.database.open(exclusive=False)
        self.addCleanup(self.database.closeNow)
        ledger = TransferLedger(
            self.clock,
            TransferRecords(self.database),
            settings or self.settings,
            self.clock.seconds,
            TallyTable(self.file),
        )
        ledger.load()
        return ledger


class CrashTests(TableCase):
    """A server that ended without a word."""

    def move(self) -> None:
        """In the middle of things: 100 MiB up, one file of two with 3 bytes down."""
        meter = self.meter("upload")
        meter.begin(1)
        for _ in range(100):
            meter.spend(MIB)
        for nbytes in (0, 3):
            meter = self.meter()
            meter.begin(nbytes)
            meter.spend(nbytes)
            meter.end()

    def test_exact(self) -> None:
        """What was moved counts to the byte, twice in a row too, and what was held does not."""
        self.move()
        for _ in range(2):
            self.crash()
            self.assertEqual(self.used(), (100 * MIB, 3, 1, 1))
        self.assertEqual(self.flushWarnings(), [])

    def test_again(self) -> None:
        """A server that is stopped and started again goes on, and late ends hurt nobody."""
        late = self.meter("upload")
        late.begin(10)
        self.move()
        now(self.ledger.stop())
        late.end()
        self.ledger.load()
        self.assertEqual(self.used(), (100 * MIB, 3, 1, 1))
        self.ledger._table.close()

    def test_anotherStart(self) -> None:
        """After a start of the machine what is booked counts: less may have got to the disk."""
        self.move()
        with mock.patch.object(tallytable, "_boot", lambda: (1, 2)):
            self.crash()
        self.assertGreater(self.used()[0], 100 * MIB)

    def test_damaged(self) -> None:
        """So it does if the table is cut short, something else, or no file at all."""
        self.move()
        whole = self.file.read_bytes()[:4096]
        for damage in (b"", b"x", whole[:70], b"\xff" * 4096, whole[:8] + b"\xff" * 56):
            self.file.write_bytes(damage)
            self.assertEqual(leftBehind(self.file), {})
        self.file.unlink()
        self.file.mkdir()
        self.assertEqual(leftBehind(self.file), {})
        self.file.rmdir()
        self.crash()
        self.assertGreater(self.used()[0], 100 * MIB)

    def test_lies(self) -> None:
        """A table that says more than was booked is not believed."""
        self.move()
        booked = self.rows()[ADA].booked
        row = self.ledger._table.row(ADA)
        row[tallytable.USED] = 1 << 60
        self.crash()
        self.assertEqual(self.used()[0], booked[0])

    def test_anotherPeriod(self) -> None:
        """What was moved yesterday does not count today."""
        self.move()
        self.clock.advance(DAY * 40)
        self.crash()
        self.assertEqual(self.used(), (0, 0, 0, 0))

    def test_private(self) -> None:
        """Nobody else reads who moves how much."""
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o600)

    def test_full(self) -> None:
        """A disk without room for it is an error with its name, and not a signal."""
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with mock.patch.object(os, "posix_fallocate", side_effect=full):
            error = self.assertRaises(StorageUnavailable, TallyTable(self.file).open)
            self.assertIn("transfers.table: No space left", str(error))
        table = TallyTable(None)
        table.open()
        self.addCleanup(table.close)
        for number in range(1024):
            table.row(Scope("user", str(number)))
        with mock.patch.object(os, "posix_fallocate", side_effect=full):
            self.assertRaises(StorageUnavailable, table.row, Scope("user", "one more"))
        row = table.row(Scope("user", "one more"))
        row[tallytable.USED] = 7
        self.assertEqual(table.row(Scope("user", "one more"))[tallytable.USED], 7)
        with mock.patch.object(table, "_known", ROWS):
            table._words[tallytable._COUNT] = ROWS
            self.assertRaises(StorageUnavailable, table._add, keyOf(Scope("user", "too many")))


class ProcessesTests(LedgerCase):
    """Two processes over one table, here played by one."""

    def setUp(self) -> None:
        self.table = TallyTable(None, 2)
        super().setUp()
        self.here, self.there = self.part(0), self.part(1)

    def start(self, settings: TransferSettings | None = None) -> TransferLedger:
        self.database = StateDatabase(self.path, SCHEMA, self.workers)
        self.database.open(exclusive=False)
        self.addCleanup(self.database.closeNow)
        ledger = self.over(self.table)
        ledger.load()
        return ledger

    def over(self, table: TallyTable) -> TransferLedger:
        records = TransferRecords(self.database)
        return TransferLedger(self.clock, records, self.settings, self.clock.seconds, table)

    def part(self, seat: int) -> TransferLedger:
        """A process begins."""
        table = copy.copy(self.table)
        table._rows = dict(table._rows)
        table.seat = seat
        return self.over(table)

    def test_toTheByte(self) -> None:
        """What one has used or holds, the other cannot."""
        first, second = (each.meter("upload", "ada", ()) for each in (self.here, self.there))
        assert first is not None and second is not None
        first.begin(600)
        self.assertRaises(QuotaExceeded, second.begin, 401)
        self.assertEqual(second.most(1000), 400)
        second.begin(0)
        second.spend(400)
        self.assertRaises(QuotaExceeded, second.spend, 1)
        first.spend(600)
        self.assertRaises(QuotaExceeded, first.spend, 1)
        states = [each.statesOf("ada", ())[0].used for each in (self.here, self.there)]
        self.assertEqual(states, [(1000, 0, 2, 0)] * 2)
        first.end()
        second.end()
        self.clock.pump([FLUSH] * 3)
        self.assertEqual(self.rows()[ADA].booked, (1000, 0, 2, 0))

    def test_written(self) -> None:
        """What one has asked to be written the other need not wait for in vain."""
        self.workers.slow = True
        first, second = (each.meter("upload", "ada", ()) for each in (self.here, self.there))
        assert first is not None and second is not None
        first.begin(10)
        second.begin(5)
        self.workers.waiting.clear()
        self.assertTrue(second.pending())
        self.workers.slow = False
        now(second.written())
        self.assertFalse(first.pending())

    def test_dies(self) -> None:
        """What it held is free, what it moved counts, and its end is written by the others."""
        meter = self.here.meter("upload", "ada", ())
        assert meter is not None
        meter.begin(900)
        meter.spend(100)
        self.table.lost(0)
        other = self.there.meter("upload", "ada", ())
        assert other is not None
        other.begin(900)
        other.end()
        self.assertEqual(self.there.statesOf("ada", ())[0].used, (100, 0, 1, 0))
        self.ledger.conclude()
        self.assertEqual(self.rows()[ADA].used, (100, 0, 1, 0))
        self.assertEqual(self.rows()[ADA].booked, (100, 0, 1, 0))

    def test_period(self) -> None:
        """A new period begins once."""
        first, second = (each.meter("upload", "ada", ()) for each in (self.here, self.there))
        assert first is not None and second is not None
        first.begin(0)
        first.spend(900)
        self.assertEqual(second.most(1000), 100)
        self.clock.advance(DAY)
        first.spend(300)
        self.assertEqual(second.most(1000), 700)
        second.begin(700)
        self.assertRaises(QuotaExceeded, first.spend, 1)
