"""
The threads: bounded, in batches, and nothing that they opened is lost.
"""

import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from filehub.errors import StorageUnavailable
from filehub.vfs.workers import FileWorkers, ImmediateWorkers


class CollectingReactor:
    """Keeps what threads ask for until the test lets it happen."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], Any]] = []
        self.woken = threading.Condition()

    def callFromThread(self, call: Callable[[], Any]) -> None:
        with self.woken:
            self.calls.append(call)
            self.woken.notify()

    def turn(self) -> None:
        """Wait for a wake-up, and answer it."""
        with self.woken:
            if not self.woken.wait_for(lambda: self.calls, 10):
                raise AssertionError("no thread has anything to say")
            calls, self.calls = self.calls, []
        for call in calls:
            call()


class FileWorkersTests(SynchronousTestCase):
    """The pool itself."""

    def setUp(self) -> None:
        self.reactor = CollectingReactor()

    def makeWorkers(self, threads: int = 2, queue: int = 3) -> FileWorkers:
        workers = FileWorkers(self.reactor, threads, queue)  # type: ignore[arg-type]
        self.addCleanup(workers.stop)
        return workers

    def until(self, *waiting: Deferred[Any]) -> None:
        while not all(each.called for each in waiting):
            self.reactor.turn()

    def test_results(self) -> None:
        """What a call returns or raises comes back, from another thread."""
        workers = self.makeWorkers()
        good = workers.run(threading.get_ident)
        bad = workers.run(int, "x")
        self.until(good, bad)
        self.assertNotEqual(self.successResultOf(good), threading.get_ident())
        self.failureResultOf(bad, ValueError)

    def test_threadsAreBounded(self) -> None:
        """No more threads than allowed; idle ones are used again."""
        workers = self.makeWorkers(threads=2, queue=50)
        used = [workers.run(threading.get_ident) for _ in range(20)]
        self.until(*used)
        self.assertLessEqual(len({self.successResultOf(each) for each in used}), 2)

    def test_queueIsBounded(self) -> None:
        """Beyond the queue, work is refused at once; endings never are."""
        workers = self.makeWorkers(threads=2, queue=3)
        gate = threading.Event()
        self.addCleanup(gate.set)
        accepted = [workers.run(gate.wait, 10) for _ in range(5)]
        ended: list[None] = []
        refused = workers.call(int, after=lambda: ended.append(None))
        self.failureResultOf(refused, StorageUnavailable)
        self.assertEqual(ended, [None])
        ending = workers.call(str, "closed", always=True)
        self.assertNoResult(ending)
        gate.set()
        self.until(*accepted, ending)
        self.assertEqual(self.successResultOf(ending), "closed")
        for each in accepted:
            self.assertTrue(self.successResultOf(each))
        again = workers.run(int, "5")
        self.until(again)
        self.assertEqual(self.successResultOf(again), 5)

    def test_oneWakeUpForMany(self) -> None:
        """Results that pile up cost one wake-up of the reactor."""
        workers = self.makeWorkers(threads=1, queue=100)
        done = threading.Event()
        many = [workers.run(int, str(number)) for number in range(50)]
        many.append(workers.run(done.set))
        self.assertTrue(done.wait(10))
        self.assertEqual(len(self.reactor.calls), 1)
        self.until(*many)
        self.assertEqual([self.successResultOf(each) for each in many[:-1]], list(range(50)))

    def test_cancelled(self) -> None:
        """Nobody waits, the work is done all the same, and what it opened is closed."""
        workers = self.makeWorkers()
        gate = threading.Event()
        self.addCleanup(gate.set)
        closed: list[str] = []
        ended: list[str] = []

        def work() -> str:
            gate.wait(10)
            return "opened"

        waiting = workers.call(work, discard=closed.append, after=lambda: ended.append("end"))
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual((closed, ended), ([], []))
        gate.set()
        last = workers.run(int)
        self.until(last)
        while not ended:
            self.reactor.turn()
        self.assertEqual((closed, ended), (["opened"], ["end"]))

    def test_stop(self) -> None:
        """Stopping refuses what is new and waits for what was accepted; threads end."""
        workers = self.makeWorkers()
        gate = threading.Event()
        self.addCleanup(gate.set)
        accepted = [workers.run(gate.wait, 10) for _ in range(4)]
        stopped = workers.stop()
        self.failureResultOf(workers.run(int), StorageUnavailable)
        self.assertNoResult(stopped)
        gate.set()
        self.until(*accepted)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertIsNone(self.successResultOf(workers.stop()))
        for thread in threading.enumerate():
            if thread.name.startswith("filehub-files-"):
                thread.join(10)
                self.assertFalse(thread.is_alive())

    def test_endingsAfterStop(self) -> None:
        """A handle that is closed after the stop is still closed."""
        workers = self.makeWorkers()
        self.successResultOf(workers.stop())
        ending = workers.call(int, "7", always=True)
        self.until(ending)
        self.assertEqual(self.successResultOf(ending), 7)

    def test_startAgain(self) -> None:
        """A pool that was stopped can be started again."""
        workers = self.makeWorkers()
        self.successResultOf(workers.stop())
        workers.start()
        again = workers.run(int, "8")
        self.until(again)
        self.assertEqual(self.successResultOf(again), 8)

    def test_failuresInCallbacks(self) -> None:
        """A mistake in what follows one result does not cost the others theirs."""
        workers = self.makeWorkers(threads=1, queue=10)
        bad = workers.call(int, after=lambda: 1 // 0)
        good = workers.run(int, "9")
        self.until(good)
        self.assertEqual(self.successResultOf(good), 9)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.successResultOf(bad), 0)


class ImmediateWorkersTests(SynchronousTestCase):
    """The double."""

    def test_inPlace(self) -> None:
        """Everything is done by the time that C{run} returns."""
        workers = ImmediateWorkers()
        workers.start()
        here = workers.run(threading.get_ident)
        self.assertEqual(self.successResultOf(here), threading.get_ident())
        self.failureResultOf(workers.run(int, "x"), ValueError)
        self.assertEqual(workers.calls, 2)
        self.assertIsNone(self.successResultOf(workers.stop()))
