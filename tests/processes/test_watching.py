"""
Tests of L{filehub.processes.watching}: when workers begin and end.
"""

from __future__ import annotations

import signal
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from filehub.processes.crew import Crew
from filehub.processes.watching import FIRST_DELAY, LONGEST_DELAY, STEADY, Watcher, Worker


class PaperWatcher(Watcher):
    """Its workers are numbers."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, Crew(clock, 2), lambda _: None)
        self.launched: list[int] = []
        self.signals: list[int] = []

    def launch(self, worker: Worker) -> None:
        worker.number = 1000 + len(self.launched)
        self.launched.append(worker.seat)

    def signal(self, number: int) -> None:
        self.signals.append(number)


class WatcherTests(SynchronousTestCase):
    """Deaths are reported by hand."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.watcher = PaperWatcher(self.clock)
        self.watcher.begin()
        self.first, self.second = self.watcher.workers

    def test_begin(self) -> None:
        """One for each seat."""
        self.assertEqual(self.watcher.launched, [0, 1])

    def test_old(self) -> None:
        """Who lived for a while is replaced at once."""
        self.clock.advance(STEADY)
        self.first.ended(-9)
        self.clock.advance(0)
        self.assertEqual(self.watcher.launched, [0, 1, 0])

    def test_young(self) -> None:
        """Who dies soon, and again, is replaced ever later, to a point; then at once again."""
        delays = []
        for _ in range(9):
            self.first.ended(1)
            call = self.clock.getDelayedCalls()[0]
            delays.append(call.getTime() - self.clock.seconds())
            self.clock.advance(delays[-1])
        self.assertEqual(delays[:3], [FIRST_DELAY, 2 * FIRST_DELAY, 4 * FIRST_DELAY])
        self.assertEqual(delays[-1], LONGEST_DELAY)
        self.assertEqual(len(self.watcher.launched), 11)
        self.clock.advance(STEADY)
        self.first.ended(1)
        self.clock.advance(0)
        self.assertEqual(len(self.watcher.launched), 12)

    def test_counts(self) -> None:
        """What a dead one counted is gone."""
        counts: Any = self.watcher.crew.counts("user")
        counts.seat = 0
        self.assertTrue(counts.enter("ada", 1))
        self.first.ended(-9)
        self.assertTrue(counts.enter("ada", 1))

    def test_end(self) -> None:
        """All are asked to end; the answer comes with the last, and none begins."""
        waiting = self.watcher.end()
        self.assertEqual(self.watcher.signals, [signal.SIGTERM])
        self.first.ended(0)
        self.assertNoResult(waiting)
        self.second.ended(0)
        self.successResultOf(waiting)
        self.clock.advance(100)
        self.assertEqual((len(self.watcher.launched), self.watcher.signals[1:]), (2, []))

    def test_stubborn(self) -> None:
        """Who does not end in time is killed."""
        waiting = self.watcher.end()
        self.clock.advance(60)
        self.assertEqual(self.watcher.signals, [signal.SIGTERM, signal.SIGKILL])
        self.first.ended(-9)
        self.second.ended(-9)
        self.successResultOf(waiting)

    def test_endWhileWaiting(self) -> None:
        """The end does not wait for one that was about to begin."""
        self.first.ended(1)
        self.second.ended(1)
        self.successResultOf(self.watcher.end())
        self.clock.advance(60)
        self.assertEqual(len(self.watcher.launched), 2)
