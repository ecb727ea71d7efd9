"""
Transfer quotas, where bytes move.

A session is given its bandwidth limit and its quota as one L{IRateLimiter}, so that
whatever obeys the one obeys the other: the pump on all its paths, TFTP's blocks, and
protocols of others.
"""

from __future__ import annotations

from typing import Final

from zope.interface import implementer

from filehub.interfaces import IRateLimiter
from filehub.usage import ITransferMeter

#: Bytes that are paid for at a time where there is no bandwidth limit.
_GRAIN: Final = 1024 * 1024
#: Bytes to set aside for a file whose length nobody knows: if not even that is left, it
#: need not begin.
SOMETHING: Final = 1
#: Seconds between looks at whether something has been written down.
TICK: Final = 0.002


@implementer(IRateLimiter)
class Metered:
    """
    One transfer's quota and the bandwidth limit that it obeys, if there is one.

    @ivar meter: an L{ITransferMeter} of its own.
    @ivar rates: an L{IRateLimiter}, or L{None}.
    """

    __slots__ = ("meter", "rates")

    def __init__(self, meter: ITransferMeter, rates: IRateLimiter | None) -> None:
        self.meter = meter
        self.rates = rates

    @property
    def grain(self) -> int:
        """See L{IRateLimiter.grain}."""
        return _GRAIN if self.rates is None else min(_GRAIN, self.rates.grain)

    def grant(self, nbytes: int) -> float:
        """
        See L{IRateLimiter.grant}.

        @raise QuotaExceeded: and what else L{ITransferMeter.spend} raises.
        """
        if nbytes > 0:
            self.meter.spend(nbytes)
        elif nbytes < 0:
            self.meter.giveBack(-nbytes)
        delay: float = 0.0 if self.rates is None else self.rates.grant(nbytes)
        return max(delay, TICK) if nbytes > 0 and self.meter.pending() else delay


def meterOf(limiter: IRateLimiter | None) -> ITransferMeter | None:
    """The quota of this transfer."""
    return limiter.meter if isinstance(limiter, Metered) else None


def ratesOf(limiter: IRateLimiter | None) -> IRateLimiter | None:
    """The bandwidth limit alone: listings count for no quota."""
    return limiter.rates if isinstance(limiter, Metered) else limiter


async def setAside(limiter: IRateLimiter, nbytes: int) -> None:
    """
    Make sure that so many bytes may be moved, before the peer is told that they will be.
    They are set aside until L{release}.

    @raise QuotaExceeded: there is not so much left.
    @raise StorageUnavailable: nothing can be written down.
    """
    meter = meterOf(limiter)
    if meter is None:
        return
    meter.begin(nbytes)
    try:
        if meter.pending():
            await meter.written()
    except BaseException:
        meter.end()
        raise


def release(limiter: IRateLimiter | None) -> None:
    """The transfer is over, however it ended.  Idempotent."""
    if isinstance(limiter, Metered):
        limiter.meter.end()


__all__ = ["SOMETHING", "TICK", "Metered", "meterOf", "ratesOf", "release", "setAside"]
