"""
Bandwidth limits, as token buckets that may run into debt.

The pump asks before bytes move and waits for as long as it is told, so one limit may be
shared by any number of transfers: each grant puts the bucket further into debt and the
next in line waits longer.  What is asked for is always granted; only time is rationed.
And as bytes are paid for before they move, a hundred transfers that begin at once get no
more of a shared bucket than one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from filehub.errors import FileSystemError
from filehub.interfaces import IRateLimiter
from filehub.transfer.metering import TICK, meterOf
from filehub.transfer.progress import Progress
from filehub.transfer.stream import ByteStream

#: The longest single pause, so that a changed limit or an abort is noticed.
_LONGEST_PAUSE: Final = 5.0
_SMALLEST_GRAIN: Final = 4 * 1024
_LARGEST_GRAIN: Final = 1024 * 1024


@implementer(IRateLimiter)
class TokenBucket:
    """
    So many bytes a second on average, and C{burst} bytes at once after a silence.
    """

    __slots__ = ("_burst", "_clock", "_rate", "_tokens", "_updated")

    def __init__(self, clock: IReactorTime, rate: float, burst: float | None = None) -> None:
        """
        @param rate: bytes per second, more than 0; infinite for no limit.
        @param burst: bytes; by default what flows in a quarter of a second.
        @raise ValueError: a rate or burst that is not positive.
        """
        self._clock = clock
        self._updated = clock.seconds()
        self._rate = 0.0
        self._burst = 0.0
        self._tokens = 0.0
        self.setRate(rate, burst)
        self._tokens = self._burst

    @property
    def rate(self) -> float:
        """Bytes per second."""
        return self._rate

    @property
    def full(self) -> bool:
        """Has nothing moved for so long that the whole burst is there again?"""
        self._refill()
        return self._tokens >= self._burst

    @property
    def grain(self) -> int:
        """See L{IRateLimiter.grain}: what flows in a thirtieth of a second."""
        return int(max(_SMALLEST_GRAIN, min(self._rate / 32, _LARGEST_GRAIN)))

    def setRate(self, rate: float, burst: float | None = None) -> None:
        """
        Change the limit, with effect on transfers that are under way: what they owe
        is paid off at the new rate.

        @raise ValueError: a rate or burst that is not positive.
        """
        if burst is None:
            burst = rate / 4
        if not (rate > 0 and burst > 0):
            raise ValueError("rate and burst must be positive")
        if self._rate:
            self._refill()
        self._rate = rate
        self._burst = burst
        self._tokens = min(self._tokens, burst)

    def grant(self, nbytes: int) -> float:
        """See L{IRateLimiter.grant}."""
        if math.isinf(self._rate):
            return 0.0
        self._refill()
        self._tokens = min(self._tokens - nbytes, self._burst)
        return 0.0 if self._tokens >= 0 else -self._tokens / self._rate

    def _refill(self) -> None:
        now = self._clock.seconds()
        elapsed = now - self._updated
        self._updated = now
        # A clock that was set back costs nobody anything.
        if elapsed > 0:
            self._tokens = min(self._burst, self._tokens + elapsed * self._rate)


@implementer(IRateLimiter)
class Combined:
    """
    Several limits that all hold: the account's, the listener's, the whole server's.
    """

    __slots__ = ("_limiters",)

    def __init__(self, limiters: Sequence[IRateLimiter]) -> None:
        self._limiters = tuple(limiters)

    @property
    def grain(self) -> int:
        """See L{IRateLimiter.grain}: the smallest."""
        return min([limiter.grain for limiter in self._limiters], default=_LARGEST_GRAIN)

    def grant(self, nbytes: int) -> float:
        """See L{IRateLimiter.grant}; each limit accounts for the bytes."""
        return max([limiter.grant(nbytes) for limiter in self._limiters], default=0.0)


def combined(*limiters: IRateLimiter | None) -> IRateLimiter | None:
    """All of these limits as one; L{None} where there is no limit at all."""
    present = [limiter for limiter in limiters if limiter is not None]
    if len(present) > 1:
        return Combined(present)
    return present[0] if present else None


class Allowance:
    """
    What one transfer has paid for and not used yet.
    """

    __slots__ = ("_limiter", "_meter", "_paid")

    def __init__(self, limiter: IRateLimiter) -> None:
        self._limiter = limiter
        self._meter = meterOf(limiter)
        self._paid = 0

    @property
    def step(self) -> int:
        """Bytes to move at a time."""
        grain: int = self._limiter.grain
        return grain

    def begin(self, nbytes: int) -> None:
        """
        A file of about this length is about to move.

        @raise QuotaExceeded: so much must not.
        """
        if self._meter is not None:
            self._meter.begin(nbytes)

    async def ask(self, nbytes: int, stream: ByteStream, progress: Progress) -> None:
        """
        Wait until C{nbytes} may move.

        @raise QuotaExceeded: they must not.
        """
        missing = nbytes - self._paid
        if missing > 0:
            before, self._paid = self._paid, nbytes
            try:
                await obey(self._limiter, missing, stream, progress)
            except FileSystemError:
                self._paid = before
                raise
            if self._meter is not None:
                while self._meter.pending():
                    progress.excuse()
                    await stream.pause(TICK)

    async def some(
        self, most: int, stream: ByteStream, progress: Progress, *, looking: bool = False
    ) -> int:
        """
        Wait until something may move, and say how much: C{most}, or what is left.

        @param looking: where there is nothing left, a byte may be looked for, because
            there may be none; if there is, L{use} will refuse it.
        @raise QuotaExceeded: nothing may.
        """
        if self._paid <= 0:
            if looking and self._meter is not None:
                self._meter.begin(0)
                most = self._meter.most(most)
                if not most:
                    return 1
            await self.ask(most, stream, progress)
        return min(most, self._paid)

    def use(self, nbytes: int) -> None:
        """
        They have moved.

        @raise QuotaExceeded: they must not have; see L{some}.
        """
        if nbytes > self._paid and self._meter is not None:
            self._meter.spend(nbytes - self._paid)
            self._paid = nbytes
        self._paid -= nbytes

    def giveBack(self) -> None:
        """The transfer is over."""
        paid, self._paid = self._paid, 0
        if paid > 0:
            self._limiter.grant(-paid)
        if self._meter is not None:
            self._meter.end()


def allowance(limiter: IRateLimiter | None) -> Allowance | None:
    """For one transfer; L{None} without a limit."""
    return None if limiter is None else Allowance(limiter)


async def obey(limiter: IRateLimiter, nbytes: int, stream: ByteStream, progress: Progress) -> None:
    """Account for C{nbytes}, and wait for as long as the limit wants."""
    delay = limiter.grant(nbytes)
    if delay <= 0:
        return
    while delay > 0:
        step = min(delay, _LONGEST_PAUSE)
        progress.excuse()
        await stream.pause(step)
        delay -= step
        if delay > 0:
            # The limit may have been raised meanwhile.
            delay = min(delay, limiter.grant(0))
    progress.excuse()


__all__ = ["Allowance", "Combined", "TokenBucket", "allowance", "combined", "obey"]
