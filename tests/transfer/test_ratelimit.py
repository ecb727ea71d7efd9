"""L{filehub.transfer.ratelimit}: bytes a second, on a clock that stands still."""

import math
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from filehub.attributes import FileAttributes, FileType
from filehub.interfaces import IRateLimiter
from filehub.transfer.progress import Progress
from filehub.transfer.pump import receive, send
from filehub.transfer.ratelimit import Combined, TokenBucket, allowance, combined, obey


class TokenBucketTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def test_provides(self) -> None:
        """Buckets and combinations are rate limiters."""
        verifyObject(IRateLimiter, TokenBucket(self.clock, 1))
        verifyObject(IRateLimiter, Combined([]))

    def test_averageHolds(self) -> None:
        """Whoever waits as told moves at the rate, after the burst."""
        bucket = TokenBucket(self.clock, 1000, 500)
        self.assertEqual(bucket.grant(500), 0.0)
        moved = 500
        while self.clock.seconds() < 10:
            moved += 100
            self.clock.advance(bucket.grant(100))
        self.assertAlmostEqual(moved, 10_500, delta=100)

    def test_silenceEarnsNoMoreThanTheBurst(self) -> None:
        """After an hour of silence the burst is what it always is."""
        bucket = TokenBucket(self.clock, 1000, 500)
        self.clock.advance(3600)
        self.assertEqual(bucket.grant(500), 0.0)
        self.assertAlmostEqual(bucket.grant(100), 0.1)

    def test_shared(self) -> None:
        """Two transfers on one bucket get half each: later grants wait longer."""
        bucket = TokenBucket(self.clock, 1000, 1)
        bucket.grant(1)
        self.assertAlmostEqual(bucket.grant(100), 0.1)
        self.assertAlmostEqual(bucket.grant(100), 0.2)

    def test_liveChange(self) -> None:
        """A debt is paid off at the new rate."""
        bucket = TokenBucket(self.clock, 100, 1)
        bucket.grant(1001)
        self.assertAlmostEqual(bucket.grant(0), 10.0)
        bucket.setRate(1000)
        self.assertAlmostEqual(bucket.grant(0), 1.0)
        self.assertEqual(bucket.rate, 1000)
        bucket.setRate(math.inf)
        self.assertEqual(bucket.grant(10**12), 0.0)

    def test_clockSetBack(self) -> None:
        """A clock that is set back neither pays nor charges anybody."""
        bucket = TokenBucket(self.clock, 100, 100)
        self.clock.advance(50)
        bucket.grant(100)
        self.clock.rightNow = 10.0
        self.assertAlmostEqual(bucket.grant(100), 1.0)
        self.clock.advance(1)
        self.assertAlmostEqual(bucket.grant(0), 0.0)

    def test_refusesNonsense(self) -> None:
        """No rate and no burst of nothing."""
        for rate, burst in ((0, None), (-1, None), (10, 0.0), (math.nan, None)):
            with self.assertRaises(ValueError):
                TokenBucket(self.clock, rate, burst)

    def test_combined(self) -> None:
        """Of several limits the slowest decides, and each has the bytes on its account."""
        slow, fast = TokenBucket(self.clock, 100, 1), TokenBucket(self.clock, 1000, 1)
        both = combined(None, slow, fast)
        assert both is not None
        both.grant(1)
        self.assertAlmostEqual(both.grant(100), 1.0)
        self.assertAlmostEqual(fast.grant(0), 0.1)
        self.assertIs(combined(slow, None), slow)
        self.assertIsNone(combined(None, None))
        self.assertEqual(Combined([]).grant(5), 0.0)


class PausingStream:
    """The part of a stream that L{obey} needs."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def pause(self, seconds: float) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self.clock.callLater(seconds, waiting.callback, None)
        return waiting


class ObeyTests(SynchronousTestCase):
    def test_waitsAndNoticesARaisedLimit(self) -> None:
        """A long wait ends early when the limit is raised meanwhile."""
        clock = Clock()
        bucket = TokenBucket(clock, 10, 1)
        waiting = ensureDeferred(
            obey(bucket, 1001, PausingStream(clock), Progress())  # type: ignore[arg-type]
        )
        clock.pump([1.0] * 10)
        self.assertNoResult(waiting)
        bucket.setRate(1_000_000)
        clock.pump([1.0] * 6)
        self.assertIsNone(self.successResultOf(waiting))

    def test_withinTheLimitAtOnce(self) -> None:
        """Without a need to wait nothing is suspended."""
        clock = Clock()
        bucket = TokenBucket(clock, 10, 100)
        waiting = ensureDeferred(
            obey(bucket, 100, PausingStream(clock), Progress())  # type: ignore[arg-type]
        )
        self.successResultOf(waiting)
        self.assertEqual(clock.getDelayedCalls(), [])


class TimedStream:
    """
    A peer that takes, or sends, as fast as it may, on a clock that a test moves.

    @ivar moved: bytes so far.
    """

    kernelSocket = None

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.moved = 0

    async def write(self, data: bytes) -> None:
        self.moved += len(data)

    async def read(self, maximum: int) -> bytes:
        # As from a network: never quite what was asked for.
        size = min(maximum, 1448)
        self.moved += size
        return bytes(size)

    def pause(self, seconds: float) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self._clock.callLater(seconds, waiting.callback, None)
        return waiting

    def backlog(self) -> int:
        return 0


class Endless:
    """A file without an end, to read and to write."""

    attributes = FileAttributes(FileType.REGULAR, 1 << 40, 0.0)
    position = 0

    async def readAt(self, offset: int, length: int) -> bytes:
        return bytes(length)

    async def writeAt(self, offset: int, data: bytes) -> None:
        pass


class SharedTests(SynchronousTestCase):
    """Any number of transfers on one limit: within 5% of it over 10 seconds."""

    RATE = 1_000_000

    def run_(self, count: int, limiter: IRateLimiter, clock: Clock, *, upload: bool) -> list[int]:
        """What each of so many transfers, which begin together, moves in ten seconds."""
        streams: list[Any] = [TimedStream(clock) for _ in range(count)]
        file: Any = Endless()
        moving = [
            Deferred.fromCoroutine(
                receive(stream, file, limiter=limiter)
                if upload
                else send(file, stream, limiter=limiter)
            )
            for stream in streams
        ]
        for _ in range(1000):
            clock.advance(0.01)
        for each in moving:
            each.addErrback(lambda _: None)
            each.cancel()
        return [stream.moved for stream in streams]

    def test_within(self) -> None:
        """For 1, 10 and 100 transfers, down and up; and they share alike."""
        for count in (1, 10, 100):
            for upload in (False, True):
                clock = Clock()
                moved = self.run_(count, TokenBucket(clock, self.RATE), clock, upload=upload)
                total, expected = sum(moved), self.RATE * 10
                self.assertLess(abs(total - expected), 0.05 * expected, (count, upload, total))
                grain = TokenBucket(clock, self.RATE).grain
                self.assertLessEqual(max(moved) - min(moved), 2 * grain + 0.25 * self.RATE)

    def test_givenBack(self) -> None:
        """What was paid for and did not move is there for others."""
        clock = Clock()
        bucket = TokenBucket(clock, self.RATE, 1)
        stream: Any = TimedStream(clock)
        paid = allowance(bucket)
        assert paid is not None
        asking = Deferred.fromCoroutine(paid.ask(500_000, stream, Progress()))
        self.assertNoResult(asking)
        clock.advance(1.0)
        self.successResultOf(asking)
        paid.use(100_000)
        bucket.grant(600_000)
        paid.giveBack()
        self.assertAlmostEqual(bucket.grant(0), 0.2, 4)
        self.assertIsNone(allowance(None))

    def test_grain(self) -> None:
        """Slow limits move little at a time, quick ones as much as no limit; the least rules."""
        clock = Clock()
        rates = [TokenBucket(clock, rate) for rate in (1024, 10**6, 10**9, math.inf)]
        self.assertEqual([each.grain for each in rates], [4096, 31250, 1 << 20, 1 << 20])
        self.assertEqual(Combined(rates).grain, 4096)
