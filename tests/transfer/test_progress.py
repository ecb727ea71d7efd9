"""L{filehub.transfer.progress}: counting, and noticing that nothing moves."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from filehub.deadlines import Deadlines
from filehub.transfer.progress import Progress


class WatchedStream:
    """The part of a stream that the watch needs."""

    def __init__(self) -> None:
        self.unsent = 0
        self.aborted = 0

    def backlog(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.aborted += 1


class StallWatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.stream = WatchedStream()
        self.told: list[float] = []
        self.progress = Progress(
            Deadlines(self.clock), 40.0, lambda: self.told.append(self.clock.seconds())
        )

    def watch(self) -> None:
        self.progress.watch(self.stream)  # type: ignore[arg-type]

    def test_silence(self) -> None:
        """Nothing moves: the stream is aborted once, after the time and not much later."""
        self.watch()
        self.clock.pump([0.5] * 79)
        self.assertEqual(self.stream.aborted, 0)
        self.clock.pump([0.5] * 14)
        self.assertEqual(self.stream.aborted, 1)
        self.assertTrue(self.progress.stalled)
        self.assertEqual(len(self.told), 1)
        self.clock.pump([10.0] * 10)
        self.assertEqual(self.stream.aborted, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bytesMove(self) -> None:
        """A byte now and then keeps a transfer alive; the time counts from the last."""
        self.watch()
        for _ in range(10):
            self.clock.pump([1.0] * 30)
            self.progress.nbytes += 1
        self.assertEqual(self.stream.aborted, 0)
        self.clock.pump([1.0] * 39)
        self.assertEqual(self.stream.aborted, 0)
        self.clock.pump([1.0] * 8)
        self.assertEqual(self.stream.aborted, 1)

    def test_peerAcknowledges(self) -> None:
        """What the peer takes out of the kernel's buffer is progress as well."""
        self.stream.unsent = 1000
        self.watch()
        for _ in range(10):
            self.clock.pump([1.0] * 30)
            self.stream.unsent -= 1
        self.assertEqual(self.stream.aborted, 0)

    def test_pausesAreExcused(self) -> None:
        """A pause for a bandwidth limit is not the peer's fault."""
        self.watch()
        for _ in range(10):
            self.clock.pump([1.0] * 30)
            self.progress.excuse()
        self.assertEqual(self.stream.aborted, 0)

    def test_end(self) -> None:
        """A finished transfer leaves no timer, and may be ended twice."""
        self.watch()
        self.watch()
        self.progress.end()
        self.progress.end()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failingObserver(self) -> None:
        """An observer that fails does not keep a stalled stream open."""

        def fail() -> None:
            raise ZeroDivisionError

        progress = Progress(Deadlines(self.clock), 5.0, fail)
        progress.watch(self.stream)  # type: ignore[arg-type]
        self.clock.pump([1.0] * 10)
        self.assertEqual(self.stream.aborted, 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_withoutDeadlines(self) -> None:
        """Without a time there is only a counter."""
        for progress in (Progress(), Progress(Deadlines(self.clock)), Progress(None, 5.0)):
            progress.watch(self.stream)  # type: ignore[arg-type]
            progress.excuse()
            progress.end()
        self.assertEqual(self.clock.getDelayedCalls(), [])
