"""
What is written down, and what comes back after a restart and after a crash.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from filehub.attributes import Disposition
from filehub.errors import Busy, QuotaExceeded, StorageUnavailable
from filehub.interfaces import IRandomAccess
from filehub.state.ledger import PATIENCE
from filehub.usage import Measure, Quota
from filehub.vfs.memory import MemoryTree
from filehub.vfs.quota import refreshParts
from tests.accounts.doubles import now
from tests.state.doubles import Books, at
from tests.vfs.test_quota import breakOff, write

CREATE = Disposition.CREATE


class LedgerCase(SynchronousTestCase):
    """A database on disk that outlives its ledgers, and a tree in memory."""

    def setUp(self) -> None:
        self.tree = MemoryTree()
        self.path = Path(self.mktemp()) / "state" / "usage.sqlite"

    def start(self, quotas: dict[str, Quota] | None = None) -> Books:
        """A server starts."""
        books = Books({"/": self.tree}, quotas or {"/": Quota(100)}, self.path)
        self.addCleanup(books.close)
        return books


class RestartTests(LedgerCase):
    """Orderly and less orderly ends."""

    def test_orderly(self) -> None:
        """After an orderly end nothing has to be counted."""
        books = self.start()
        now(write(books.view(), "/a", bytes(30)))
        now(breakOff(books.view(), "/part", bytes(20)))
        now(books.ledger.stop())
        self.assertEqual(books.rows(), [("/", 50, 2, True)])
        books.close()
        self.tree.putFile("/behind our back", bytes(50))
        books = self.start()
        books.ledger.start()
        self.assertEqual(books.used(), (50, 2))
        self.assertEqual(dict(books.ledger.partsOf(at("/part"))), {"ada": 20})

    def test_quiet(self) -> None:
        """A moment after the last change the figures are written and exact."""
        books = self.start()
        now(write(books.view(), "/a", bytes(30)))
        books.flush()
        self.assertEqual(books.rows(), [("/", 30, 1, True)])
        self.assertEqual(books.clock.getDelayedCalls(), [])

    def test_crashInUpload(self) -> None:
        """Whatever was under way when it died: it is counted again at the next start."""
        books = self.start()
        now(write(books.view(), "/a", bytes(30)))
        books.flush()
        handle = now(books.view().openForWriting(at("/b"), CREATE))
        now(handle.writeAt(0, bytes(5)))
        self.assertEqual(books.rows(), [("/", 30, 1, False)])
        books.close()
        self.tree.putFile("/b", bytes(5))
        books = self.start()
        books.ledger.start()
        self.assertEqual(books.used(), (35, 2))

    def test_crashBeforeWriting(self) -> None:
        """What had not been written yet is found again, parts included."""
        books = self.start()
        now(write(books.view(), "/a", bytes(30)))
        books.flush()
        now(breakOff(books.view(), "/b", bytes(20)))
        books.close()
        books = self.start()
        books.ledger.owners.add("ada")
        self.assertRaises(QuotaExceeded, now, write(books.view(), "/c", bytes(51)))
        now(IRandomAccess(books.view()).openForUpdate(at("/b"), 20, sizeHint=70))
        self.assertEqual(books.used(), (50, 2))

    def test_busy(self) -> None:
        """While something is under way, the figures are written and not exact."""
        books = self.start()
        handle = now(books.view().openForWriting(at("/b"), CREATE))
        now(write(books.view(), "/a", bytes(30)))
        books.flush()
        self.assertEqual(books.rows(), [("/", 30, 1, False)])
        now(handle.abort())
        books.flush()
        self.assertEqual(books.rows(), [("/", 30, 1, True)])

    def test_newQuota(self) -> None:
        """A directory that gets a quota is counted, one that loses it is forgotten."""
        self.tree.putFile("/home/file", bytes(40))
        books = self.start()
        now(write(books.view(), "/a", bytes(30)))
        now(books.ledger.stop())
        books.close()
        books = self.start({"/home": Quota(50)})
        self.assertRaises(QuotaExceeded, now, write(books.view(), "/home/b", bytes(11)))
        now(books.ledger.stop())
        self.assertEqual(books.rows(), [("/home", 40, 1, True)])

    def test_swept(self) -> None:
        """A part that has outlived its time is given back."""
        books = self.start()
        now(breakOff(books.view(), "/a", bytes(70)))
        now(breakOff(books.view("bob"), "/b", bytes(20)))
        self.tree.parts.pop(("ada", at("/"), "a"))
        now(refreshParts(books.claims, books.measure))
        self.assertEqual(books.used(), (20, 1))
        books.flush()
        self.assertEqual(books.ledger.knownParts(at("/")), [("bob", at("/b"))])


class CountingTests(LedgerCase):
    """While a directory is counted."""

    def setUp(self) -> None:
        super().setUp()
        self.counting: list[Deferred[Measure]] = []
        self.books = self.start()

        async def measure(path: Any, owners: Any) -> Measure:
            waiting: Deferred[Measure] = Deferred()
            self.counting.append(waiting)
            return await waiting

        self.patch(self.books.measure, "measure", measure)

    def test_waits(self) -> None:
        """What would change it waits."""
        making = Deferred.fromCoroutine(self.books.view().makeDirectory(at("/d")))
        self.assertNoResult(making)
        self.counting.pop().callback(Measure(7, 3, {}))
        self.successResultOf(making)
        self.assertEqual(self.books.used(), (7, 4))
        self.assertEqual(self.books.clock.getDelayedCalls()[0].getTime(), 2.0)

    def test_late(self) -> None:
        """And is told to come again if it takes long."""
        making = Deferred.fromCoroutine(self.books.view().makeDirectory(at("/d")))
        self.books.clock.advance(PATIENCE)
        self.failureResultOf(making, Busy)
        self.counting.pop().callback(Measure(7, 3, {}))
        self.assertEqual(self.books.used(), (7, 3))

    def test_failed(self) -> None:
        """A directory that cannot be counted takes nothing; the next one tries again."""
        making = Deferred.fromCoroutine(self.books.view().makeDirectory(at("/d")))
        self.counting.pop().errback(StorageUnavailable())
        self.failureResultOf(making, StorageUnavailable)
        making = Deferred.fromCoroutine(self.books.view().makeDirectory(at("/d")))
        self.counting.pop().callback(Measure(0, 0, {}))
        self.successResultOf(making)

    def test_recount(self) -> None:
        """What somebody asks for is counted when nothing changes there any more."""
        self.books.ledger.start()
        self.counting.pop().callback(Measure(0, 0, {}))
        handle = now(self.books.view().openForWriting(at("/b"), CREATE))
        self.books.flush()
        self.books.ledger._records.want([at("/")])
        now(self.books.ledger.obey())
        self.assertEqual(self.counting, [])
        now(handle.abort())
        self.counting.pop().callback(Measure(9, 1, {}))
        self.assertEqual(self.books.used(), (9, 1))
        now(self.books.ledger.obey())
        self.assertEqual(self.counting, [])


class TroubleTests(LedgerCase):
    """When the database cannot be written."""

    def test_notMarked(self) -> None:
        """Nothing begins that would not be known of after a crash."""
        books = self.start()
        books.ledger.start()
        books.database.closeNow()
        self.assertRaises(StorageUnavailable, now, write(books.view(), "/a", b"1"))
        self.assertEqual(self.tree.used(), 0)

    def test_notWritten(self) -> None:
        """What could not be written is tried again."""
        books = self.start()
        now(write(books.view(), "/a", b"1"))
        write_, fails = books.ledger._records.write, [True]

        async def flaky(*arguments: Any) -> None:
            if fails:
                fails.clear()
                raise StorageUnavailable
            await write_(*arguments)

        self.patch(books.ledger._records, "write", flaky)
        books.flush()
        self.assertEqual(books.rows(), [])
        books.flush()
        self.assertEqual(books.rows(), [("/", 1, 1, True)])

    def test_lowered(self) -> None:
        """A quota below what is there takes nothing away, and lets nothing more in."""
        books = self.start()
        now(write(books.view(), "/a", bytes(80)))
        books.ledger.setQuota(at("/"), Quota(50))
        self.assertEqual(now(books.view().space(at("/"))).free, 0)
        self.assertRaises(QuotaExceeded, now, write(books.view(), "/b", b"1"))
        now(write(books.view(), "/a", bytes(70)))
        self.assertEqual(books.used(), (70, 1))
