"""
What an account's rates mean for servers that do not know of them.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from filehub.interfaces import IRateLimiter
from filehub.transfer.metering import meterOf


async def pay(limiter: IRateLimiter | None, nbytes: int, clock: IReactorTime | None = None) -> None:
    """
    Account for bytes, and wait as long as that costs.

    @raise QuotaExceeded: so many must not be moved.
    @param clock: L{None}: that of the reactor that is installed.
    """
    if limiter is None:
        return
    seconds = limiter.grant(nbytes)
    if seconds <= 0:
        return
    meter = meterOf(limiter)
    if meter is not None:
        await meter.written()
    if clock is None:
        from twisted.internet import reactor

        installed: Any = reactor
        clock = installed
    waiting: Deferred[None] = Deferred(lambda _: call.cancel())
    call = clock.callLater(seconds, waiting.callback, None)
    await waiting


__all__ = ["pay"]
