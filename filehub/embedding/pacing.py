"""
What an account's rates mean for servers that do not know of them.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from filehub.interfaces import IRateLimiter


async def pay(limiter: IRateLimiter | None, nbytes: int, clock: IReactorTime | None = None) -> None:
    """
    Account for bytes, and wait as long as that costs.

    @param clock: L{None}: that of the reactor that is installed.
    """
    seconds = limiter.grant(nbytes) if limiter is not None else 0.0
    if seconds <= 0:
        return
    if clock is None:
        from twisted.internet import reactor

        installed: Any = reactor
        clock = installed
    waiting: Deferred[None] = Deferred(lambda _: call.cancel())
    call = clock.callLater(seconds, waiting.callback, None)
    await waiting


__all__ = ["pay"]
