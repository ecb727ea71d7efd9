"""
How much of a transfer quota is used: additions in memory, before any byte moves.

Theory of operation
===================

Of each scope a L{Tally} has, for bytes and files of both directions,

  - what was used in this period: granted, and moved or about to be moved;
  - what is held for transfers that are going on and whose length is known;
  - what is I{booked}: written down, and never less than what has moved.

Bookings are made some way ahead, so that a transfer hardly ever waits for one.  They
count when the machine has crashed: nobody ever gets more than his quota by it, and what
is lost is at most L{STEP} for each direction.  After a crash of the server alone the
figures in the table are still there (L{filehub.state.tallytable}), and exact.  When
nothing has moved for a moment, the booking is taken back to what was used.

Several processes may add to a row.  What belongs together is done
L{together<TallyTable>}, that is while no other process does anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol

from zope.interface import implementer

from filehub.errors import QuotaExceeded
from filehub.periods import Period, formatMoment
from filehub.state.tallytable import (
    ASKED,
    BEGIN,
    BOOKED,
    HELD,
    MOVING,
    PER_SEAT,
    PERIOD,
    USED,
    TallyTable,
    clear,
)
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
#: How a period stands in a row; 0 is none.
NUMBERS: Final = {period: number for number, period in enumerate(Period, 1)}


class Bookkeeper(Protocol):
    """Who writes bookings down."""

    @property
    def together(self) -> AbstractContextManager[object]:
        """See L{TallyTable}."""

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

    async def written(self, tallies: Sequence[Tally]) -> None:
        """Wait until what was asked for is written, whoever has asked."""


class Tally:
    """
    What all transfers of one scope together have used.

    @ivar end: when the period ends, seconds since the epoch.
    @ivar used: bytes uploaded, downloaded, files uploaded, downloaded.
    @ivar asked: what is to be written down.
    @ivar booked: what is.
    @ivar dirty: have the figures changed since this process has written them?
    """

    __slots__ = (
        "_held",
        "_own",
        "_row",
        "asked",
        "booked",
        "dirty",
        "end",
        "period",
        "quota",
        "scope",
        "used",
    )

    def __init__(
        self, scope: Scope, quota: TransferQuota, period: Period, now: float, table: TallyTable
    ) -> None:
        """
        @param period: of which C{quota} is.
        @param table: where the figures are.
        """
        self.scope = scope
        self.quota = quota
        row = self._row = table.row(scope)
        self.used = row[USED : USED + 4]
        self.asked = row[ASKED : ASKED + 4]
        self.booked = row[BOOKED : BOOKED + 4]
        self._held = row[HELD:]
        self._own = PER_SEAT * table.seat
        self.dirty = False
        self.follow(period, now)

    def follow(self, period: Period, now: float) -> None:
        """Count by this period, and what was counted by another one is no more."""
        self.period = period
        row = self._row
        # A clock that was set back gives nobody more.
        if row[PERIOD] != NUMBERS[period] or row[BEGIN] < period.beginOf(now):
            self.restart(now)
        else:
            self._see()

    def _see(self) -> None:
        self.end = self.period.endOf(self.begin)

    @property
    def begin(self) -> int:
        """When the period began, seconds since the epoch; whoever has begun it."""
        begin: int = self._row[BEGIN]
        return begin

    def take(self, figures: Sequence[int]) -> None:
        """So much of what is asked for now is written down."""
        booked, asked = self.booked, self.asked
        for at in range(4):
            # What was taken back meanwhile is not booked any more.
            booked[at] = min(figures[at], asked[at])

    def rest(self) -> None:
        """
        What is booked is what was used.  That holds from now on: whatever moves next is
        booked anew, and written after this.
        """
        used, booked, asked = self.used, self.booked, self.asked
        for at in range(4):
            asked[at] = used[at]
            booked[at] = min(booked[at], used[at])

    def restart(self, now: float) -> None:
        """Nothing was used."""
        row = self._row
        row[PERIOD], row[BEGIN] = NUMBERS[self.period], self.period.beginOf(now)
        clear(row)
        self._see()

    def turn(self, now: float) -> None:
        """Begin again, if the time has come.  A clock that goes back gives nobody more."""
        if now >= self.end:
            # Another process may have done it already.
            self._see()
            if now >= self.end:
                self.restart(now)

    @property
    def moving(self) -> bool:
        """Has anything moved since the last look at it?"""
        return bool(self._row[MOVING])

    @moving.setter
    def moving(self, isMoving: bool) -> None:
        self._row[MOVING] = isMoving

    def held(self, direction: int) -> int:
        """Bytes that are set aside for transfers under way, on top of what is used."""
        held = self._held
        return held[direction] if len(held) == PER_SEAT else sum(held[direction::PER_SEAT])

    def hold(self, direction: int, nbytes: int) -> None:
        """Set aside so many more, or fewer."""
        self._held[self._own + direction] += nbytes

    @property
    def isIdle(self) -> bool:
        """Is it no more than what is written down?"""
        return not (self.dirty or self.moving or self.held(UPLOAD) or self.held(DOWNLOAD))

    def left(self, direction: int) -> int | None:
        """Bytes that may be moved still; L{None} for any number."""
        quota, found = self.quota, None
        own = quota.upload if direction == UPLOAD else quota.download
        if own is not None:
            found = own - self.used[direction] - self.held(direction)
        if quota.both is not None:
            used = self.used
            rest = quota.both - used[0] - used[1] - self.held(UPLOAD) - self.held(DOWNLOAD)
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
        up, down, upFiles, downFiles = self.used
        both = (up + self.held(UPLOAD), down + self.held(DOWNLOAD), upFiles, downFiles)
        return TransferState(self.scope, self.quota, both, self.end)


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
        direction, files = self._direction, _FILES_OF + self._direction
        book = False
        with self._keeper.together:
            tallies = self._turned()
            for tally in tallies:
                left = tally.left(direction)
                # Nothing at all may still be moved where nothing is left.
                if (left is not None and nbytes > max(left, 0)) or tally.leftFiles(direction) == 0:
                    raise tally.refuse(direction)
            self._begun = True
            self._held = nbytes
            self._spent = 0
            for tally in tallies:
                tally.hold(direction, nbytes)
                tally.used[files] += 1
                book = tally.cover(files, tally.filesAhead(direction)) or book
                book = self._cover(tally, ahead=bool(nbytes)) or book
        self._keeper.changed(tallies, book=book)

    def most(self, nbytes: int) -> int:
        """See L{ITransferMeter.most}."""
        with self._keeper.together:
            for tally in self._turned():
                left = tally.left(self._direction)
                if left is not None:
                    nbytes = min(nbytes, max(0, left + self._held))
        return nbytes

    def spend(self, nbytes: int) -> None:
        """See L{ITransferMeter.spend}."""
        direction = self._direction
        known = min(nbytes, self._held)
        book = False
        with self._keeper.together:
            tallies = self._turned()
            for tally in tallies:
                left = tally.left(direction)
                if left is not None and nbytes - known > left:
                    raise tally.refuse(direction)
            self._held -= known
            self._spent += nbytes
            for tally in tallies:
                tally.hold(direction, -known)
                tally.used[direction] += nbytes
                book = self._cover(tally, ahead=nbytes > known or self._held > 0) or book
        self._keeper.changed(tallies, book=book)

    def _cover(self, tally: Tally, *, ahead: bool) -> bool:
        direction = self._direction
        step = tally.ahead(direction) if ahead else 0
        held = tally.held(direction)
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
        with self._keeper.together:
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
        files = _FILES_OF + self._direction
        with self._keeper.together:
            for tally in self._tallies:
                tally.hold(self._direction, -held)
                if not self._spent:
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
            await self._keeper.written(self._tallies)

    def _turned(self) -> Sequence[Tally]:
        now = self._keeper.now()
        for tally in self._tallies:
            if now >= tally.end:
                tally.turn(now)
        return self._tallies


__all__ = ["DOWNLOAD", "NUMBERS", "STEP", "UPLOAD", "Bookkeeper", "Tally", "TransferMeter"]
