"""
Tests of L{filehub.processes.usage}: ledgers of two processes, here played by one.
"""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from filehub.errors import Busy, NotFound, QuotaExceeded, StorageUnavailable
from filehub.interfaces import IRandomAccess
from filehub.processes import usage as module
from filehub.processes.board import Board
from filehub.processes.usage import SharedFigures
from filehub.state.figures import NBYTES, SEATS
from filehub.state.names import PATIENCE
from filehub.usage import Measure, Quota
from filehub.vfs.memory import MemoryTree
from tests.accounts.doubles import now
from tests.state.doubles import Books, at
from tests.vfs.test_quota import REPLACE, breakOff, write


def parted(figures: SharedFigures, seat: int) -> SharedFigures:
    """The same memory, as another process has it."""
    other = copy.copy(figures)
    for name in ("_names", "_within", "_moving"):
        setattr(other, name, copy.copy(getattr(figures, name)))
    other.sit(seat)
    return other


class LedgersCase(SynchronousTestCase):
    """Two processes over one tree and one database; 100 bytes and 10 names."""

    quotas = {"/": Quota(100, 10)}

    def setUp(self) -> None:
        self.tree = MemoryTree()
        self.path = Path(self.mktemp()) / "usage.sqlite"
        self.board = Board(2)
        self.figures = SharedFigures(self.board)
        # The one that the others come from reads what is written down.
        self.parent = self.books(self.figures)
        self.here, self.there = self.part(0), self.part(1)
        self.ada, self.bob = self.here.view("ada"), self.there.view("bob")

    def books(self, figures: SharedFigures) -> Books:
        books = Books({"/": self.tree}, self.quotas, self.path, figures)
        self.addCleanup(books.close)
        return books

    def part(self, seat: int) -> Books:
        """A process begins."""
        books = self.books(parted(self.figures, seat))
        books.ledger.start()
        return books

    def lose(self, seat: int) -> None:
        """A process dies."""
        self.board.clear(seat)
        self.figures.lost(seat)


class TogetherTests(LedgersCase):
    """What one has stored or holds, the other cannot."""

    def test_toTheByte(self) -> None:
        """Usage and what is held count wherever it is."""
        now(write(self.ada, "/a", bytes(30)))
        handle = now(self.bob.openForWriting(at("/b"), REPLACE))
        now(handle.writeAt(0, bytes(40)))
        self.assertRaises(QuotaExceeded, now, write(self.ada, "/c", bytes(31)))
        now(write(self.ada, "/d", bytes(30)))
        now(handle.commit())
        self.assertEqual(self.here.used(), self.there.used())
        self.assertEqual(self.here.used(), now(self.here.truth()))
        self.assertEqual(self.there.held(), (0, 0))
        now(self.bob.removeFile(at("/a")))
        now(write(self.ada, "/e", bytes(30)))

    def test_names(self) -> None:
        """Who changes a name has it; the other waits for it, and looks again then."""
        first = now(self.ada.openForWriting(at("/a"), REPLACE))
        now(first.writeAt(0, bytes(60)))
        second = Deferred.fromCoroutine(self.bob.openForWriting(at("/a"), REPLACE))
        self.assertNoResult(second)
        now(first.commit())
        self.there.clock.advance(1)
        # In its place: there is no need for room for both.
        handle = self.successResultOf(second)
        now(handle.writeAt(0, bytes(90)))
        now(handle.commit())
        self.assertEqual(self.here.used(), (90, 1))

    def test_tooLong(self) -> None:
        """Nobody waits for ever for a name, nor keeps what he did not get."""
        first = now(self.ada.openForWriting(at("/a"), REPLACE))
        second = Deferred.fromCoroutine(self.bob.removeFile(at("/a")))
        for _ in range(40):
            self.there.clock.advance(PATIENCE / 39)
        self.failureResultOf(second, Busy)
        gone = Deferred.fromCoroutine(self.bob.removeFile(at("/a")))
        gone.cancel()
        self.failureResultOf(gone)
        self.assertEqual(self.there.clock.getDelayedCalls(), [])
        now(first.abort())
        self.assertRaises(NotFound, now, self.bob.removeFile(at("/a")))

    def test_severalOfOneProcess(self) -> None:
        """Sessions of one process share a name as ever; the last one leaves it."""
        first = now(self.ada.openForWriting(at("/a"), REPLACE))
        second = now(self.ada.openForWriting(at("/a"), REPLACE))
        now(first.commit())
        waiting = Deferred.fromCoroutine(self.bob.removeFile(at("/a")))
        self.there.clock.advance(1)
        self.assertNoResult(waiting)
        now(second.abort())
        self.there.clock.advance(1)
        self.successResultOf(waiting)

    def test_parts(self) -> None:
        """What a broken upload left is known to the other as soon as it may matter."""
        view = self.there.view("ada")
        now(write(view, "/other", bytes(10)))
        now(breakOff(self.ada, "/a", bytes(50)))
        self.here.clock.advance(1)
        handle = now(IRandomAccess(view).openForUpdate(at("/a"), 50))
        now(handle.writeAt(50, bytes(40)))
        self.assertRaises(QuotaExceeded, now, handle.writeAt(90, bytes(1)))
        now(handle.commit())
        self.assertEqual(self.here.used(), (100, 2))
        self.assertEqual(self.here.used(), now(self.here.truth()))

    def test_directories(self) -> None:
        """A directory in which somebody changes something stays where it is."""
        now(self.ada.makeDirectory(at("/d")))
        handle = now(self.bob.openForWriting(at("/d/f"), REPLACE))
        moving = self.ada.rename(at("/d"), at("/e"), replace=False)
        self.assertRaises(Busy, now, moving)
        now(handle.abort())
        now(self.ada.rename(at("/d"), at("/e"), replace=False))
        now(write(self.bob, "/e/f", bytes(5)))
        self.assertTrue(self.here.ledger.beginMoving(at("/e")))
        waiting = Deferred.fromCoroutine(write(self.bob, "/e/g", b""))
        self.assertNoResult(waiting)
        self.here.ledger.endMoving(at("/e"))
        self.there.clock.advance(1)
        self.successResultOf(waiting)


class CountingTests(LedgersCase):
    """One counts, and the others wait for that."""

    def setUp(self) -> None:
        self.measured: list[Deferred[Measure]] = []
        super().setUp()

    def books(self, figures: SharedFigures) -> Books:
        books = super().books(figures)

        async def measure(*_: Any) -> Measure:
            waiting: Deferred[Measure] = Deferred()
            self.measured.append(waiting)
            return await waiting

        self.patch(books.measure, "measure", measure)
        return books

    def test_once(self) -> None:
        """What is not known is counted by one of them."""
        self.assertEqual(len(self.measured), 1)
        writing = Deferred.fromCoroutine(write(self.bob, "/b", bytes(5)))
        self.there.clock.advance(1)
        self.assertNoResult(writing)
        self.measured.pop().callback(Measure(30, 1, {}))
        self.there.clock.advance(1)
        self.successResultOf(writing)
        self.assertEqual(self.here.used(), (35, 2))
        self.assertEqual(self.measured, [])

    def test_inUse(self) -> None:
        """Nobody counts while another process changes something there."""
        self.measured.pop().callback(Measure(0, 0, {}))
        self.there.clock.advance(1)
        handle = now(self.bob.openForWriting(at("/b"), REPLACE))
        self.here.ledger.recount(at("/"))
        self.here.clock.advance(1)
        self.assertEqual(self.measured, [])
        now(handle.abort())
        self.here.clock.advance(1)
        self.assertEqual(len(self.measured), 1)

    def test_counterDies(self) -> None:
        """Who counted and died is followed by another one."""
        self.measured.clear()
        self.lose(0)
        self.there.clock.advance(1)
        self.measured.pop().callback(Measure(3, 1, {}))
        self.assertEqual(self.there.used(), (3, 1))


class DeathTests(LedgersCase):
    """What a process leaves behind that was killed."""

    def test_givenBack(self) -> None:
        """
        What it held counts until nothing is under way any more; then somebody looks.
        """
        handle = now(self.bob.openForWriting(at("/b"), REPLACE))
        now(handle.writeAt(0, bytes(60)))
        mine = now(self.ada.openForWriting(at("/a"), REPLACE))
        now(mine.writeAt(0, bytes(30)))
        self.lose(1)
        now(self.here.ledger.obey())
        self.assertRaises(QuotaExceeded, now, mine.writeAt(30, bytes(11)))
        now(mine.commit())
        self.assertEqual(self.here.used(), (90, 2))
        now(self.here.ledger.obey())
        self.assertEqual(self.here.used(), (30, 1))
        self.bob = self.part(1).view("bob")
        now(write(self.bob, "/b", bytes(70)))
        self.assertEqual(self.here.used(), (100, 2))

    def test_idle(self) -> None:
        """Of one that had nothing under way, nothing is in doubt."""
        now(write(self.bob, "/b", bytes(60)))
        self.lose(1)
        self.tree.putFile("/behind our back", bytes(5))
        now(self.here.ledger.obey())
        self.assertEqual(self.here.used(), (60, 1))

    def test_end(self) -> None:
        """The figures are exact when all have ended, and not before."""
        now(write(self.ada, "/a", bytes(30)))
        now(write(self.bob, "/b", bytes(10)))
        for books in (self.here, self.there):
            now(books.ledger.stop())
        self.assertEqual(self.parent.rows(), [("/", 40, 2, False)])
        self.parent.ledger.conclude()
        self.assertEqual(self.parent.rows(), [("/", 40, 2, True)])

    def test_endInDoubt(self) -> None:
        """They are not, if one was killed in the middle of something."""
        handle = now(self.bob.openForWriting(at("/b"), REPLACE))
        now(handle.writeAt(0, bytes(10)))
        self.lose(1)
        self.parent.ledger.conclude()
        self.assertEqual(self.parent.rows(), [("/", 10, 1, False)])


class TableTests(SynchronousTestCase):
    """Rows of the table."""

    def test_rows(self) -> None:
        """The same path has the same row in all of them, and each other path another."""
        figures = SharedFigures(Board(2))
        other = parted(figures, 1)
        for number in range(100):
            figures.row(at(f"/{number}"))[NBYTES] = number
        self.assertEqual([other.row(at(f"/{n}"))[NBYTES] for n in range(100)], [*range(100)])

    def test_processes(self) -> None:
        """The memory is that of all processes, and the lock keeps others out."""
        figures = SharedFigures(Board(2))
        row = figures.row(at("/"))
        children = []
        for seat in range(2):
            child = os.fork()
            if child == 0:
                try:
                    figures.sit(seat)
                    for _ in range(5000):
                        with figures.together():
                            row[NBYTES] += 1
                finally:
                    os._exit(0)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        self.assertEqual(row[NBYTES], 10_000)
        self.assertEqual(row[SEATS:].tolist(), [0] * 6)

    def test_full(self) -> None:
        """There is an end to them."""
        self.patch(module, "ROWS", 4)
        figures = SharedFigures(Board(1))
        for number in range(4):
            figures.row(at(f"/{number}"))
        self.assertRaises(StorageUnavailable, figures.row, at("/more"))
