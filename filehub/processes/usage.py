"""
The figures of quotas in memory that all processes share.

Each directory with a quota has a row in a table; it is found by a digest of its path and
stays.  The lock is one of the kernel's: it is gone with a process that dies while it has
it, and is held for some additions at a time.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from hashlib import blake2s
from typing import Final

from filehub.errors import StorageUnavailable
from filehub.paths import VirtualPath
from filehub.processes.board import Board, SharedCounts
from filehub.state.figures import COUNTING, DOUBTFUL, NBYTES, NFILES, PER_SEAT, SEATS
from filehub.state.locking import KernelLock

#: Directories with a quota, at the most.
ROWS: Final = 1 << 14
#: Words of 8 bytes: of the table's head, and of a row's key.
_HEAD: Final = 1
_KEY: Final = 2
_MANY: Final = 1 << 30


class SharedFigures:
    """
    See L{filehub.state.figures.Figures}.  Made before the processes part.

    @ivar seat: whose figures are written; known when the processes have parted.
    """

    isShared: Final = True

    def __init__(self, board: Board) -> None:
        """
        @param board: what names are counted on.
        """
        self.seat = -1
        self._size = _KEY + SEATS + PER_SEAT * board.seats
        length = 8 * (_HEAD + ROWS * self._size)
        self._descriptor = os.memfd_create("filehub-usage")
        os.ftruncate(self._descriptor, length)
        self._memory = mmap.mmap(self._descriptor, length)
        self._words = memoryview(self._memory).cast("q")
        self._lock = KernelLock(self._descriptor)
        self._names = SharedCounts(board, "changing")
        self._within = SharedCounts(board, "changing within")
        self._moving = SharedCounts(board, "moving")

    def sit(self, seat: int) -> None:
        """This process has parted from the others."""
        self.seat = seat
        for counts in (self._names, self._within, self._moving):
            counts.seat = seat

    def together(self) -> AbstractContextManager[None]:
        """See L{Figures.together<filehub.state.figures.Figures.together>}."""
        return self._lock

    @property
    def partsVersion(self) -> int:
        """See L{Figures<filehub.state.figures.Figures>}."""
        return self._words[0]

    @partsVersion.setter
    def partsVersion(self, version: int) -> None:
        self._words[0] = version

    # --- rows

    def row(self, path: VirtualPath) -> memoryview[int]:
        """See L{Figures.row<filehub.state.figures.Figures.row>}."""
        key = blake2s(os.fsencode(str(path)), digest_size=16).digest()
        words = self._words
        wanted = memoryview(key).cast("q").tolist()
        with self._lock:
            start = int.from_bytes(key[:4]) % ROWS
            for number in range(ROWS):
                at = _HEAD + (start + number) % ROWS * self._size
                found = words[at : at + _KEY].tolist()
                if found == [0, 0]:
                    words[at], words[at + 1] = wanted
                elif found != wanted:
                    continue
                return words[at + _KEY : at + self._size]
        raise StorageUnavailable(path, "there are too many quotas")

    def _rows(self) -> Iterator[memoryview[int]]:
        words, size = self._words, self._size
        for at in range(_HEAD, len(words), size):
            if words[at] or words[at + 1]:
                yield words[at + _KEY : at + size]

    def lost(self, seat: int) -> None:
        """
        The process that sat there is gone.  What it held may have come to be used, so it
        counts as that until somebody looks.
        """
        own = SEATS + PER_SEAT * seat
        with self._lock:
            for row in self._rows():
                nbytes, nfiles, reservations = row[own : own + PER_SEAT]
                if row[COUNTING] == seat + 1:
                    row[COUNTING] = 0
                if reservations:
                    row[DOUBTFUL] = 1
                    row[NBYTES] += nbytes
                    row[NFILES] += nfiles
                    row[own] = row[own + 1] = row[own + 2] = 0

    # --- names

    def enterName(self, path: VirtualPath) -> bool:
        """See L{Figures.enterName<filehub.state.figures.Figures.enterName>}."""
        above = list(_above(path))
        with self._lock:
            if any(self._moving.total(each) for each in (*above, path)):
                return False
            if not self._names.enter(path, 1):
                return False
            for each in above:
                self._within.enter(each, _MANY)
        return True

    def leaveName(self, path: VirtualPath) -> None:
        """See L{Figures.leaveName<filehub.state.figures.Figures.leaveName>}."""
        self._names.leave(path)
        for each in _above(path):
            self._within.leave(each)

    def beginMoving(self, path: VirtualPath) -> bool:
        """See L{Figures.beginMoving<filehub.state.figures.Figures.beginMoving>}."""
        with self._lock:
            return not self._within.total(path) and self._moving.enter(path, 1)

    def endMoving(self, path: VirtualPath) -> None:
        """See L{Figures.endMoving<filehub.state.figures.Figures.endMoving>}."""
        self._moving.leave(path)


def _above(path: VirtualPath) -> Iterator[VirtualPath]:
    """The directories above it."""
    while path.segments:
        path = path.parent
        yield path


__all__ = ["SharedFigures"]
