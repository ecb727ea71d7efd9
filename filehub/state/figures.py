"""
Where the figures of a ledger are: in the memory of one process, or in what several share.

Theory of operation
===================

The figures of a directory are a row of whole numbers: what is used, and for each process
what it holds and how much it has under way.  Whoever compares and changes some of them
does so L{together<Figures.together>}, that is while no other process does.

Names are had by one process at a time, because only who changes a name knows what it
may cost.  And a directory with names in it that are being changed stays where it is.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Final, Protocol, TypeAlias

from filehub.paths import VirtualPath

# The places of the numbers in a row.
KNOWN: Final = 0
COUNTING: Final = 1
NBYTES: Final = 2
NFILES: Final = 3
#: A process died in the middle of something, so that too much may be counted.
DOUBTFUL: Final = 4
#: From here on: for each seat bytes and names that are held, and reservations.
SEATS: Final = 5
PER_SEAT: Final = 3

Row: TypeAlias = "list[int] | memoryview[int]"


class Figures(Protocol):
    """
    See this module's introduction.

    @ivar seat: which process this is, from 0 on.
    @ivar isShared: are there others?
    @ivar partsVersion: changes whenever anybody has written down a part of a broken
        upload.
    """

    partsVersion: int

    @property
    def seat(self) -> int:
        """See above."""

    @property
    def isShared(self) -> bool:
        """See above."""

    def together(self) -> AbstractContextManager[object]:
        """What is done within is done while no other process is there; never for long."""

    def row(self, path: VirtualPath) -> Row:
        """
        The figures of a directory.

        @raise StorageUnavailable: there are too many.
        """

    def enterName(self, path: VirtualPath) -> bool:
        """Have the name, if no process has it and its directory stays where it is."""

    def leaveName(self, path: VirtualPath) -> None:
        """Have it no more."""

    def beginMoving(self, path: VirtualPath) -> bool:
        """This directory is about to move, if nobody has a name in it."""

    def endMoving(self, path: VirtualPath) -> None:
        """It has been moved."""


class OwnFigures:
    """L{Figures} of a process that is alone; it lets names be changed as they come."""

    seat: Final = 0
    isShared: Final = False

    def __init__(self) -> None:
        self.partsVersion = 0
        self._nothing = nullcontext()

    def together(self) -> AbstractContextManager[object]:
        """See L{Figures.together}."""
        return self._nothing

    def row(self, path: VirtualPath) -> Row:
        """See L{Figures.row}."""
        return [0] * (SEATS + PER_SEAT)

    def enterName(self, path: VirtualPath) -> bool:
        """See L{Figures.enterName}."""
        return True

    def leaveName(self, path: VirtualPath) -> None:
        """See L{Figures.leaveName}."""

    def beginMoving(self, path: VirtualPath) -> bool:
        """See L{Figures.beginMoving}."""
        return True

    def endMoving(self, path: VirtualPath) -> None:
        """See L{Figures.endMoving}."""


__all__ = [
    "COUNTING",
    "DOUBTFUL",
    "KNOWN",
    "NBYTES",
    "NFILES",
    "PER_SEAT",
    "SEATS",
    "Figures",
    "OwnFigures",
    "Row",
]
