"""
One timer for the retransmissions of all transfers.

A block takes microseconds, so a transfer only stores when it wants to be called
(C{session.due}) and never moves a delayed call.  The timer looks at all transfers when
the earliest of those moments may have come; usually they have moved on.
"""

from __future__ import annotations

import math
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger


class Sleeper(Protocol):
    """What has a moment at which it wants to be called."""

    @property
    def due(self) -> float:
        """That moment; infinite for never."""

    def ring(self, now: float) -> None:
        """It has come."""


class Alarms:
    """
    Calls each of a set of L{Sleeper}s soon after it is due, never before.

    @ivar next: when they are looked at the next time.  Whoever is due before that
        says so with L{expect}; being due later than last time needs no word.
    """

    #: How late a call may be, in seconds: so many are made for one look.
    TICK: Final = 0.005

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._sleepers: set[Sleeper] = set()
        self._call: IDelayedCall | None = None
        self.next = math.inf

    def add(self, sleeper: Sleeper) -> None:
        """Look at this one from now on."""
        self._sleepers.add(sleeper)

    def discard(self, sleeper: Sleeper) -> None:
        """And not any more."""
        self._sleepers.discard(sleeper)

    def stop(self) -> None:
        """Leave no delayed call behind."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self.next = math.inf

    def expect(self, due: float, tick: float = TICK) -> None:
        """
        Somebody is due at this moment, which is before L{next}.

        @param tick: how late the call may be, in seconds.
        """
        moment = due + tick
        if moment >= self.next:
            # They are looked at soon enough, and who was first must not wait for more.
            return
        self.next = moment
        delay = max(0.0, moment - self._clock.seconds())
        if self._call is None:
            self._call = self._clock.callLater(delay, self._look)
        else:
            self._call.reset(delay)

    def _look(self) -> None:
        self._call = None
        # Those who are due before the look is over say so, and it is not forgotten.
        self.next = math.inf
        now = self._clock.seconds()
        for sleeper in [each for each in self._sleepers if each.due <= now]:
            if sleeper.due > now:
                # What another one was called for has ended it, or put it off.
                continue
            with self._log.failuresHandled("a transfer's timer failed"):
                sleeper.ring(now)
        earliest = min((each.due for each in self._sleepers), default=math.inf)
        if earliest < math.inf and earliest < self.next:
            self.expect(earliest)


__all__ = ["Alarms", "Sleeper"]
