"""
Who is served next.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts.turns import Turns
from filehub.errors import LimitExceeded


class TurnsTests(SynchronousTestCase):
    """L{Turns}"""

    def enter(self, turns: Turns, *names: str) -> list[Deferred[None]]:
        """Those who have to wait; each writes down its name when its turn comes."""
        self.served: list[str] = []
        entered = []
        for name in names:
            waiting = turns.enter(name[0])
            assert waiting is not None
            waiting.addCallback(lambda _, name=name: self.served.append(name))
            entered.append(waiting)
        return entered

    def test_atOnce(self) -> None:
        """While there are free places nobody waits; what is left is free again."""
        turns = Turns(2, 0)
        self.assertEqual([turns.enter("a"), turns.enter("a")], [None, None])
        self.assertRaises(LimitExceeded, turns.enter, "b")
        turns.leave()
        self.assertIsNone(turns.enter("b"))

    def test_inTurn(self) -> None:
        """Who comes last waits for one of each other source, and not for all of one."""
        turns = Turns(1, 10)
        turns.enter("a")
        self.enter(turns, "a1", "a2", "a3", "b1", "c1", "b2")
        for _ in range(7):
            turns.leave()
        self.assertEqual(self.served, ["a1", "b1", "c1", "a2", "b2", "a3"])
        self.assertIsNone(turns.enter("d"))

    def test_room(self) -> None:
        """When all places are taken, the newest of the longest line makes room."""
        turns = Turns(1, 3)
        turns.enter("a")
        entered = self.enter(turns, "a1", "a2", "a3")
        self.assertRaises(LimitExceeded, turns.enter, "a")
        good = turns.enter("b")
        assert good is not None
        self.failureResultOf(entered[2], LimitExceeded)
        # Two of a, one of b: who is nobody's elder has to come again.
        self.assertRaises(LimitExceeded, turns.enter, "b")
        third = turns.enter("c")
        assert third is not None
        self.failureResultOf(entered[1], LimitExceeded)
        self.assertRaises(LimitExceeded, turns.enter, "d")
        turns.leave()
        turns.leave()
        self.assertIsNone(self.successResultOf(good))
        self.assertNoResult(third)

    def test_gone(self) -> None:
        """Who does not wait any more keeps the place, and is passed over."""
        turns = Turns(1, 2)
        turns.enter("a")
        gone, there = self.enter(turns, "a1", "a2")
        gone.addErrback(lambda _: None)
        gone.cancel()
        self.assertRaises(LimitExceeded, turns.enter, "a")
        turns.leave()
        self.assertEqual(self.served, ["a2"])
        self.assertIsNone(self.successResultOf(there))
        turns.leave()
        self.assertIsNone(turns.enter("b"))
