"""
How much of a transfer quota is used: additions in memory, before any byte moves.

Theory of operation
===================

Of each scope a L{Tally} has, for bytes and files of both directions,

  - what was used in this period: granted, and moved or about to be moved;
  - what is held for transfers that are going on and whose length is known;
  - what is I{booked}: written down, and never less than what has moved.

Bookings are made some way ahead, so that a transfer hardly ever waits for one.  After a
crash the booking counts: nobody ever gets more than his quota by it, and what is lost
is at most L{STEP} for each direction.  When nothing has moved for a moment, the booking
is taken back to what was used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from zope.interface import implementer

from filehub.errors import QuotaExceeded
from filehub.periods import Period, formatMoment
from filehub.usage import ITransferMeter, Scope, TransferQuota, TransferState

#: Bytes that are booked ahead, at the most and at the least; of a small quota, a part.
STEP: Final = 16 * 1024 * 1024
_SMALLEST_STEP: Final = 256 * 1024
_PART: Final = 64
#: Files that are booked ahead.
_FILES: Final = 16

UPLOAD: Final = 0
DOWNLOAD: Final = 1
#: From a direction to its files.
_FILES_OF: Final = 2


class Bookkeeper(Protocol):
    """Who writes bookings down."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def changed(self, tallies: Sequence[Tally], *, book: bool) -> None:
        """
        Their figures have changed.

        @param book: what they have asked for is to be written at once.
        """

    def failing(self) -> bool:
        """
        Is what was asked for not going to be written?

        @raise StorageUnavailable: so it is.
        """

    async def written(self) -> None:
        """Wait until what was asked for is written."""


class Tally:
    """
    What all transfers of one scope together have used.

    @ivar begin: when the period began, seconds since the epoch.
    @ivar end: when it ends.
    @ivar used: bytes uploaded, downloaded, files uploaded, downloaded.
    @ivar held: likewise, on top of that.
    @ivar asked: what is to be written down.
    @ivar booked: what is.
    @ivar dirty: have the figures changed since they were written?
    @ivar moving: since the last look at it?
    """

    __slots__ = (
        "asked",
        "begin",
        "booked",
        "dirty",
        "end",
        "held",
        "moving",
        "period",
        "quota",
        "scope",
        "used",
    )

    def __init__(self, scope: Scope, quota: TransferQuota, period: Period, now: float) -> None:
        self.scope = scope
        self.quota = quota
        self.held = [0, 0, 0, 0]
        self.dirty = self.moving = False
        self.period = period
        self.restart(now)

    def restart(self, now: float) -> None:
        """Nothing was used."""
        self.begin, self.end = self.period.beginOf(now), self.period.endOf(now)
        self.used = [0, 0, 0, 0]
        self.asked = [0, 0, 0, 0]
        self.booked = [0, 0, 0, 0]

    def turn(self, now: float) -> None:
        """Begin again, if the time has come.  A clock that goes back gives nobody more."""
        if now >= self.end:
            self.restart(now)

    @property
    def isIdle(self) -> bool:
        """Is it no more than what is written down?"""
        return not (self.dirty or any(self.held))

    def left(self, direction: int) -> int | None:
        """Bytes that may be moved still; L{None} for any number."""
        quota, found = self.quota, None
        own = quota.upload if direction == UPLOAD else quota.download
        if own is not None:
            found = own - self.used[direction] - self.held[direction]
        if quota.both is not None:
            used, held = self.used, self.held
            rest = quota.both - used[0] - used[1] - held[0] - held[1]
            found = rest if found is None else min(found, rest)
        return found

    def refuse(self, direction: int) -> QuotaExceeded:
        """What a transfer is told for which there is nothing left."""
        again = formatMoment(self.end)
        if direction == UPLOAD:
            return QuotaExceeded(None, f"upload quota exceeded, it begins again at {again}")
        return QuotaExceeded(None, f"download quota exceeded, it begins again at {again}")

    def leftFiles(self, direction: int) -> int | None:
        """Files that may be moved still; L{None} for any number."""
        limit = self.quota.uploadFiles if direction == UPLOAD else self.quota.downloadFiles
        return None if limit is None else max(0, limit - self.used[_FILES_OF + direction])

    def filesAhead(self, direction: int) -> int:
        """Files that are booked ahead, within the quota."""
        left = self.leftFiles(direction)
        return _FILES if left is None else min(_FILES, left // _PART)

    def ahead(self, direction: int) -> int:
        """Bytes that are booked ahead, within the quota."""
        quota = self.quota
        own = quota.upload if direction == UPLOAD else quota.download
        limit = quota.both if own is None else own
        if limit is None:
            return STEP
        return max(_SMALLEST_STEP, min(STEP, limit // _PART))

    def cover(self, which: int, ahead: int) -> bool:
        """Ask for what is used and so much more, if what is booked goes to its end."""
        used, asked = self.used[which], self.asked[which]
        self.dirty = self.moving = True
        if asked >= used + ahead or asked - used > ahead // 2:
            return False
        self.asked[which] = used + ahead
        return True

    def isCovered(self) -> bool:
        """Is all that was used written down?"""
        used, booked = self.used, self.booked
        return (
            used[0] <= booked[0]
            and used[1] <= booked[1]
            and used[2] <= booked[2]
            and used[3] <= booked[3]
        )

    def state(self) -> TransferState:
        """For people."""
        both = [used + held for used, held in zip(self.used, self.held, strict=True)]
        return TransferState(self.scope, self.quota, (both[0], both[1], both[2], both[3]), self.end)


@implementer(ITransferMeter)
class TransferMeter:
    """See L{ITransferMeter}."""

    __slots__ = ("_begun", "_direction", "_held", "_keeper", "_spent", "_tallies")

    def __init__(self, keeper: Bookkeeper, tallies: Sequence[Tally], direction: int) -> None:
        self._keeper = keeper
        self._tallies = tallies
        self._direction = direction
        self._begun = False
        self._held = 0
        self._spent = 0

    def begin(self, nbytes: int) -> None:
        """See L{ITransferMeter.begin}."""
        if self._begun:
            return
        direction, tallies = self._direction, self._turned()
        for tally in tallies:
            left = tally.left(direction)
            # Nothing at all may still be moved where nothing is left.
            if (left is not None and nbytes > max(left, 0)) or tally.leftFiles(direction) == 0:
                raise tally.refuse(direction)
        self._begun = True
        self._held = nbytes
        self._spent = 0
        book = False
        for tally in tallies:
            tally.held[direction] += nbytes
            tally.used[_FILES_OF + direction] += 1
            book = tally.cover(_FILES_OF + direction, tally.filesAhead(direction)) or book
            book = self._cover(tally, ahead=bool(nbytes)) or book
        self._keeper.changed(tallies, book=book)

    def most(self, nbytes: int) -> int:
        """See L{ITransferMeter.most}."""
        for tally in self._turned():
            left = tally.left(self._direction)
            if left is not None:
                nbytes = min(nbytes, max(0, left + self._held))
        return nbytes

    def spend(self, nbytes: int) -> None:
        """See L{ITransferMeter.spend}."""
        direction, tallies = self._direction, self._turned()
        known = min(nbytes, self._held)
        for tally in tallies:
            left = tally.left(direction)
            if left is not None and nbytes - known > left:
                raise tally.refuse(direction)
        self._held -= known
        self._spent += nbytes
        book = False
        for tally in tallies:
            tally.held[direction] -= known
            tally.used[direction] += nbytes
            book = self._cover(tally, ahead=nbytes > known or self._held > 0) or book
        self._keeper.changed(tallies, book=book)

    def _cover(self, tally: Tally, *, ahead: bool) -> bool:
        direction = self._direction
        step = tally.ahead(direction) if ahead else 0
        held = tally.held[direction]
        left = tally.left(direction)
        if self._held:
            # Of what has a known length, not more than that.
            step = min(step, held)
        elif left is not None:
            step = min(step, held + max(0, left))
        return tally.cover(direction, step)

    def giveBack(self, nbytes: int) -> None:
        """See L{ITransferMeter.giveBack}."""
        self._spent -= nbytes
        for tally in self._turned():
            # Nothing is left of what was used before the period ended.
            tally.used[self._direction] = max(0, tally.used[self._direction] - nbytes)
            tally.dirty = tally.moving = True
        self._keeper.changed(self._tallies, book=False)

    def end(self) -> None:
        """See L{ITransferMeter.end}."""
        if not self._begun:
            return
        self._begun = False
        held, self._held = self._held, 0
        for tally in self._tallies:
            tally.held[self._direction] -= held
            if not self._spent:
                files = _FILES_OF + self._direction
                tally.used[files] = max(0, tally.used[files] - 1)
            tally.dirty = tally.moving = True
        self._keeper.changed(self._tallies, book=False)

    def pending(self) -> bool:
        """See L{ITransferMeter.pending}."""
        for tally in self._tallies:
            if not tally.isCovered():
                self._keeper.failing()
                return True
        return False

    async def written(self) -> None:
        """See L{ITransferMeter.written}."""
        while self.pending():
            await self._keeper.written()

    def _turned(self) -> Sequence[Tally]:
        now = self._keeper.now()
        for tally in self._tallies:
            if now >= tally.end:
                tally.restart(now)
        return self._tallies


__all__ = ["DOWNLOAD", "STEP", "UPLOAD", "Bookkeeper", "Tally", "TransferMeter"]
