"""
What all processes have to count together, in memory that they share.

Theory of operation
===================

Each process has a part of the memory that it alone writes; all read everything.  So
there is no lock that a process could hold when it dies, and nobody waits.  Who is one
more of something first writes that down and then looks at the sum of all: of two who
come at the same moment both may be refused, but never both be let in over the cap.

A part is a field of counters, and what is counted falls to one of them by a hash that
only these processes know.  Two keys may share a counter (one pair of a thousand keys
has odds of about one in two thousand to do so for a given key); then they share a cap
as well, for as long as both are there: too much is never let in.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Final

#: Counters of a process: 4 bytes each, of which pages that are used take memory.
_COUNTERS: Final = 1 << 18
#: Before them: the last session's number.
_HEAD: Final = 2
_SIZE: Final = 4 * (_COUNTERS + _HEAD)


class Board:
    """
    The shared memory.  It is made before the processes part.

    @ivar seats: how many processes may count.
    """

    def __init__(self, seats: int) -> None:
        self.seats = seats
        self._memory = mmap.mmap(-1, seats * _SIZE)
        view = memoryview(self._memory)
        self._parts = [view[n * _SIZE : (n + 1) * _SIZE].cast("I") for n in range(seats)]
        self._numbers = [part[:_HEAD].cast("B").cast("Q") for part in self._parts]

    def clear(self, seat: int) -> None:
        """Whoever sat there is gone, and all that he counted."""
        self._parts[seat][_HEAD:] = memoryview(bytes(4 * _COUNTERS)).cast("I")

    def add(self, seat: int, place: int, step: int) -> None:
        """Count in the seat's own part."""
        self._parts[seat][place] += step

    def total(self, place: int) -> int:
        """The sum over all parts."""
        return sum([part[place] for part in self._parts])

    @staticmethod
    def place(kind: str, key: object) -> int:
        """The counter of a key; the same in all processes that come from one."""
        # Of a text, because only its hash has a secret in it.
        return _HEAD + hash(f"{kind} {key}") % _COUNTERS

    def sessionIds(self, seat: int) -> Iterator[int]:
        """Numbers that no other seat gives, nor gave this one before."""
        last = self._numbers[seat]
        while True:
            last[0] += 1
            yield (last[0] - 1) * self.seats + seat + 1


class SharedCounts:
    """What L{filehub.registry.Counts} says, of all processes together."""

    def __init__(self, board: Board, kind: str) -> None:
        self._board = board
        self._kind = kind
        #: Whose part is written; known when the processes have parted.
        self.seat = 0

    def enter(self, key: object, cap: int) -> bool:
        """See L{filehub.registry.Counts.enter}."""
        board = self._board
        place = board.place(self._kind, key)
        board.add(self.seat, place, 1)
        if board.total(place) <= cap:
            return True
        board.add(self.seat, place, -1)
        return False

    def total(self, key: object) -> int:
        """Of all processes."""
        return self._board.total(self._board.place(self._kind, key))

    def leave(self, key: object) -> None:
        """See L{filehub.registry.Counts.leave}."""
        self._board.add(self.seat, self._board.place(self._kind, key), -1)

    def isFull(self, key: object, cap: int) -> bool:
        """See L{filehub.registry.Counts.isFull}."""
        return self._board.total(self._board.place(self._kind, key)) >= cap


__all__ = ["Board", "SharedCounts"]
