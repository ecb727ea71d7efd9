"""L{filehub.deadlines}: one timer, many deadlines."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from filehub.deadlines import Deadlines


class DeadlinesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock)
        self.rung: list[str] = []

    def test_ringsOnceNeverEarlyAtMostOneSlotLate(self) -> None:
        """A deadline rings once, between its time and one slot after it."""
        self.deadlines.after(2.5, lambda: self.rung.append("a"))
        self.clock.advance(2.4)
        self.assertEqual(self.rung, [])
        self.clock.advance(1.0)
        self.assertEqual(self.rung, ["a"])
        self.clock.pump([1.0] * 10)
        self.assertEqual(self.rung, ["a"])

    def test_postponeMovesIt(self) -> None:
        """Postponing counts from now, further away as well as nearer."""
        far = self.deadlines.after(5, lambda: self.rung.append("far"))
        near = self.deadlines.after(50, lambda: self.rung.append("near"))
        self.clock.advance(3)
        far.postpone(5)
        near.postpone(2)
        self.clock.pump([1.0] * 3)
        self.assertEqual(self.rung, ["near"])
        self.clock.pump([1.0] * 3)
        self.assertEqual(self.rung, ["near", "far"])

    def test_becomeCallsSomethingElse(self) -> None:
        """A deadline may be put to another use, sooner or later, until it is over."""
        for seconds in (2.0, 30.0):
            clock, called = Clock(), list[str]()
            deadline = Deadlines(clock).after(10.0, lambda: called.append("old"))  # noqa: B023
            deadline.become(seconds, lambda: called.append("new"))  # noqa: B023
            clock.pump([1.0] * 60)
            self.assertEqual(called, ["new"])
            deadline.become(1.0, lambda: called.append("again"))  # noqa: B023
            clock.pump([1.0] * 5)
            self.assertEqual(called, ["new"])

    def test_cancelLeavesNoTimer(self) -> None:
        """When the last deadline is cancelled the reactor has nothing left to do."""
        one = self.deadlines.after(5, lambda: self.rung.append("x"))
        one.cancel()
        one.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        one.postpone(1)
        self.clock.advance(10)
        self.assertEqual(self.rung, [])

    def test_manyDeadlinesOneDelayedCall(self) -> None:
        """A thousand sessions cost one delayed call."""
        for index in range(1000):
            self.deadlines.after(index % 300 + 1, lambda: self.rung.append("x"))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.pump([1.0] * 302)
        self.assertEqual(len(self.rung), 1000)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_postponingOneDoesNotDelayAnother(self) -> None:
        """One that is put off when its time comes leaves the others theirs."""
        far = self.deadlines.after(1, lambda: self.rung.append("far"))
        self.deadlines.after(5, lambda: self.rung.append("near"))
        far.postpone(300)
        self.clock.pump([1.0] * 6)
        self.assertEqual(self.rung, ["near"])

    def test_callbackCancelsItsNeighbour(self) -> None:
        """A callback may cancel another deadline of the same slot."""
        others = []
        for index in range(2):
            others.append(
                self.deadlines.after(
                    1, lambda i=index: (self.rung.append(str(i)), others[1 - i].cancel())
                )
            )
        self.clock.advance(2)
        self.assertEqual(len(self.rung), 1)

    def test_failingCallbackHurtsNobody(self) -> None:
        """One callback's exception is logged; the others still ring."""
        self.deadlines.after(1, lambda: 1 / 0)
        self.deadlines.after(1, lambda: self.rung.append("ok"))
        self.clock.advance(2)
        self.assertEqual(self.rung, ["ok"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
