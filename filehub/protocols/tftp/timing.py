"""
When to send again: the retransmission timer of RFC 1123 4.2.3.2, computed from
measured round trips as in RFC 6298.

On a LAN a loss is repaired within milliseconds.  A negotiated C{timeout} (RFC 2349)
is the upper bound; the measurement rules below it.
"""

from __future__ import annotations

import math


class RoundTrip:
    """
    The round trip of one transfer as measured, and the timeout that follows.

    @ivar timeout: seconds from now at which to send again what is unanswered.
    @ivar shortest: the shortest round trip seen; infinite before the first.
    @ivar negligible: samples below it need not be told, but for L{shortest}: none would
        change the timeout.  That is every one on a LAN.
    @ivar smoothed: the mean, recent samples weighing more; 0.0 before the first.
    """

    __slots__ = (
        "_ceiling",
        "_estimate",
        "_floor",
        "_variation",
        "negligible",
        "shortest",
        "smoothed",
        "timeout",
    )

    def __init__(self, initial: float, floor: float, ceiling: float) -> None:
        """
        @param initial: the timeout before anything is known.
        @param floor: the shortest timeout; above what a busy peer takes to answer.
        @param ceiling: the longest, however often it doubles.
        """
        self._ceiling = ceiling
        self._floor = min(floor, ceiling)
        self._variation = 0.0
        self._estimate = self._floor
        self.timeout = min(initial, ceiling)
        self.shortest = math.inf
        self.smoothed = 0.0
        self.negligible = -1.0

    def sample(self, seconds: float) -> None:
        """
        Account for one answer to something that was sent only once (or else nobody
        could tell which copy it answers: Karn's rule).
        """
        if seconds < self.shortest:
            self.shortest = max(seconds, 0.0)
        if self.smoothed == 0.0:
            self.smoothed = seconds
            self._variation = seconds / 2
        else:
            # An answer may be late because it was lost, and came when the peer's own
            # timer said it again.  If it is the network that has become slower, the
            # next samples say so too, and the estimate doubles with each.
            seconds = min(seconds, 2 * self._estimate)
            self._variation += (abs(self.smoothed - seconds) - self._variation) / 4
            self.smoothed += (seconds - self.smoothed) / 8
        estimate = self.smoothed + 4 * self._variation
        self._estimate = self.timeout = max(self._floor, min(self._ceiling, estimate))
        self.negligible = self._floor / 8 if self.timeout == self._floor else -1.0

    def backOff(self) -> None:
        """Nothing came: double the timeout (RFC 6298 5.5)."""
        self.timeout = min(self.timeout * 2, self._ceiling)
        self.negligible = -1.0

    def tooSoon(self, elapsed: float) -> bool:
        """Was it sent so shortly ago that what just came cannot be an answer to it?"""
        # Nothing comes sooner than the shortest round trip, give or take a tick.
        return self.shortest < math.inf and elapsed < self.shortest * 0.875
