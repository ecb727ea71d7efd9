"""
Bandwidth limits, as token buckets that may run into debt.

The pump asks before bytes move and pauses afterwards for as long as it is told, so
one limit may be shared by any number of transfers: each grant puts the bucket
further into debt and the next in line waits longer.  What is asked for is always
granted; only time is rationed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from filehub.interfaces import IRateLimiter
from filehub.transfer.progress import Progress
from filehub.transfer.stream import ByteStream

#: The longest single pause, so that a changed limit or an abort is noticed.
_LONGEST_PAUSE: Final = 5.0


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
        self._tokens -= nbytes
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

    def grant(self, nbytes: int) -> float:
        """See L{IRateLimiter.grant}; each limit accounts for the bytes."""
        return max([limiter.grant(nbytes) for limiter in self._limiters], default=0.0)


def combined(*limiters: IRateLimiter | None) -> IRateLimiter | None:
    """All of these limits as one; L{None} where there is no limit at all."""
    present = [limiter for limiter in limiters if limiter is not None]
    if len(present) > 1:
        return Combined(present)
    return present[0] if present else None


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


__all__ = ["Combined", "TokenBucket", "combined", "obey"]
