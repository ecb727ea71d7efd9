"""
Tests of L{filehub.processes.board}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from filehub.processes.board import Board, SharedCounts


class SharedCountsTests(SynchronousTestCase):
    """Caps over several processes, here played by one."""

    def setUp(self) -> None:
        self.board = Board(2)
        self.here, self.there = SharedCounts(self.board, "user"), SharedCounts(self.board, "user")
        self.there.seat = 1

    def test_together(self) -> None:
        """A cap holds for the sum; who is refused does not count."""
        self.assertTrue(self.here.enter("ada", 2))
        self.assertTrue(self.there.enter("ada", 2))
        self.assertTrue(self.here.isFull("ada", 2))
        self.assertFalse(self.here.isFull("ada", 3))
        for _ in range(3):
            self.assertFalse(self.here.enter("ada", 2))
            self.assertFalse(self.there.enter("ada", 2))
        self.assertTrue(self.here.enter("bob", 2))
        self.there.leave("ada")
        self.assertTrue(self.here.enter("ada", 2))

    def test_kinds(self) -> None:
        """The same key of another kind is another one."""
        self.assertTrue(self.here.enter("ada", 1))
        self.assertTrue(SharedCounts(self.board, "network").enter("ada", 1))

    def test_gone(self) -> None:
        """What a dead process counted is forgotten, and nothing else."""
        for _ in range(3):
            self.there.enter("ada", 9)
        self.here.enter("ada", 9)
        self.board.clear(1)
        self.assertFalse(self.there.enter("ada", 1))
        self.assertTrue(self.there.enter("ada", 2))

    def test_sessionIds(self) -> None:
        """Numbers are given once, also by whoever takes a seat again."""
        first = self.board.sessionIds(0)
        found = [next(first), next(first)]
        other = self.board.sessionIds(1)
        found += [next(other), next(other), next(other)]
        self.board.clear(0)
        found += [next(self.board.sessionIds(0)) for _ in range(2)]
        self.assertEqual(len(set(found)), len(found))
        self.assertEqual(min(found), 1)
