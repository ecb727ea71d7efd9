"""
How much of a window leaves at once.

A window of blocks leaves as one burst, and the switch, the network card or the boot
loader on its way may hold only the beginning of it.  RFC 7440 section 4 leaves the
remedy to the sender, but the agreed windowsize it must keep: a receiver that got fewer
blocks would wait for the rest until its timer rings.  So when window after window loses
blocks, they are sent in bursts of as many as got through, within a round trip or the
little more that a timer can measure.  Losses here and there are no reason for that.
"""

from __future__ import annotations

from typing import Final

#: Windows in a row that lose blocks before bursts become shorter.
_REPEATEDLY: Final = 3
#: Seconds between two bursts at the least: timers are no finer.
_TICK: Final = 0.001
#: Bursts of a window at the most.
_MOST_BURSTS: Final = 64
#: How much longer a pause may become than it was at first.
_LONGEST_STRETCH: Final = 16
#: Whole windows before a longer burst is tried again, at the most.
_LONGEST_PROOF: Final = 1024


class Pace:
    """
    The bursts of one transfer.

    @ivar burst: blocks that are sent at once; all of a window if nothing is wrong.
    @ivar watchful: something was lost, so whole windows matter as well.
    """

    __slots__ = (
        "_least",
        "_losses",
        "_proof",
        "_stretch",
        "_through",
        "_whole",
        "_window",
        "burst",
        "watchful",
    )

    def __init__(self, window: int) -> None:
        """
        @param window: blocks.
        """
        self._window = window
        self._least = -(-window // _MOST_BURSTS)
        self.burst = window
        #: Pauses are so many times as long as they need be.
        self._stretch = 1
        self.watchful = False
        #: Windows that lost blocks, since the last whole one.
        self._losses = 0
        #: The fewest blocks that got through in one of them.
        self._through = window
        #: Whole windows in a row, and how many are wanted for a longer burst.
        self._whole = 0
        self._proof = 1

    def lost(self, through: int) -> None:
        """A window lost blocks, after so many of it had got through."""
        self.watchful = True
        self._whole = 0
        self._losses += 1
        self._through = min(self._through, through)
        if self._losses >= _REPEATEDLY:
            self._slowDown()
            self._losses = 0
            self._through = self._window
            self._proof = min(2 * self._proof, _LONGEST_PROOF)

    def _slowDown(self) -> None:
        if self.burst == self._least:
            self._stretch = min(2 * self._stretch, _LONGEST_STRETCH)
        elif self.burst == self._window:
            self.burst = max(self._least, self._through)
        else:
            # As many got through once, but not as often as that.
            self.burst = max(self._least, min(self._through, self.burst // 2))

    def arrived(self) -> None:
        """A whole window got through."""
        self._losses = 0
        self._through = self._window
        if self.burst < self._window:
            self._whole += 1
            if self._whole >= self._proof:
                self._whole = 0
                if self._stretch > 1:
                    self._stretch //= 2
                else:
                    self.burst = min(2 * self.burst, self._window)
        self.watchful = self.burst < self._window

    def pause(self, roundTrip: float) -> float:
        """Seconds from one burst to the next."""
        return max(_TICK, roundTrip * self.burst / self._window) * self._stretch


__all__ = ["Pace"]
