"""
The largest file, and what stays free.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from filehub.attributes import Disposition
from filehub.errors import FileTooLarge, NoSpace
from filehub.interfaces import IRandomAccess, IServerSideCopy, ISpaceUsage
from filehub.paths import ROOT
from filehub.usage import IBudgeted, Quota
from filehub.vfs.bounds import BELIEVED, BoundedStorage
from filehub.vfs.memory import MemoryTree
from tests.accounts.doubles import now
from tests.state.doubles import Books, at
from tests.vfs.test_quota import breakOff, write

CREATE = Disposition.CREATE


class BoundsTests(SynchronousTestCase):
    """A disk of 1000 bytes."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.tree = MemoryTree(capacity=1000)

    def view(self, **bounds: Any) -> Any:
        """What an account sees."""
        self.storage = BoundedStorage(self.tree, self.clock.seconds, **bounds)
        return self.storage.viewFor("ada")

    def test_largest(self) -> None:
        """Announced or not, stored, continued or copied: no longer than that."""
        view = self.view(largest=100)
        now(write(view, "/a", bytes(100)))
        self.assertRaises(FileTooLarge, now, write(view, "/b", bytes(101)))
        opening = view.openForWriting(at("/b"), CREATE, sizeHint=101)
        self.assertRaises(FileTooLarge, now, opening)
        self.assertRaises(FileTooLarge, now, write(view, "/a", b"1", Disposition.APPEND))
        handle = now(IRandomAccess(view).openForUpdate(at("/a"), 50))
        self.assertRaises(FileTooLarge, now, handle.writeAt(50, bytes(51)))
        now(handle.abort())
        self.tree.putFile("/large", bytes(101))
        copying = IServerSideCopy(view).copy(at("/large"), at("/c"), replace=False)
        self.assertRaises(FileTooLarge, now, copying)

    def test_reserve(self) -> None:
        """What stays free is not even taken by two at once, to the byte."""
        view = self.view(reserve=300)
        self.assertEqual(now(ISpaceUsage(view).space(ROOT)).free, 700)
        one, two = (now(view.openForWriting(at(f"/{n}"), CREATE)) for n in range(2))
        now(one.writeAt(0, bytes(400)))
        self.assertRaises(NoSpace, now, two.writeAt(0, bytes(301)))
        now(two.writeAt(0, bytes(300)))
        now(one.commit())
        now(two.commit())
        self.assertRaises(NoSpace, now, write(view, "/c", b"1"))
        self.assertEqual(now(ISpaceUsage(view).space(ROOT)).free, 0)
        opening = view.openForWriting(at("/c"), CREATE, sizeHint=1)
        self.assertIsNotNone(now(opening))

    def test_others(self) -> None:
        """What others take and give is noticed after a moment."""
        view = self.view(reserve=300)
        handle = now(view.openForWriting(at("/a"), CREATE))
        now(handle.writeAt(0, bytes(100)))
        self.tree.putFile("/others", bytes(650))
        self.clock.advance(BELIEVED)
        self.assertRaises(NoSpace, now, handle.writeAt(100, bytes(200)))
        now(view.removeFile(at("/others")))
        self.clock.advance(BELIEVED)
        now(handle.writeAt(100, bytes(200)))
        now(handle.commit())

    def test_underQuota(self) -> None:
        """Both hold, on both ways that bytes take, and usage is still counted."""
        self.view(largest=100)
        books = Books({"/": self.storage}, {"/": Quota(150)})
        self.addCleanup(books.close)
        view = books.view("ada")
        now(write(view, "/a", bytes(90)))
        handle: Any = now(view.openForWriting(at("/a"), Disposition.REPLACE))
        budget = IBudgeted(handle)
        budget.spend(0, 100)
        self.assertRaises(FileTooLarge, budget.spend, 100, 1)
        now(handle.abort())
        now(breakOff(view, "/part", bytes(20)))
        self.assertEqual(books.used(), now(books.truth()))
        self.assertEqual(books.used(), (110, 2))
