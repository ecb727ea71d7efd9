"""
Room that is set aside: additions in memory, before any byte moves.  Where that memory
is, and who else adds there, is in L{filehub.state.figures}.

A directory with a quota has what is used and what is held.  A reservation holds room in
all directories with a quota above a place, or in none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import implementer

from filehub.errors import QuotaExceeded
from filehub.paths import VirtualPath
from filehub.state.figures import (
    COUNTING,
    DOUBTFUL,
    KNOWN,
    NBYTES,
    NFILES,
    PER_SEAT,
    SEATS,
    Figures,
)
from filehub.usage import IReservation, Quota

if TYPE_CHECKING:
    from filehub.state.ledger import UsageLedger


class Root:
    """
    A directory with a quota.

    @ivar marked: does the row in the database say that the figures are about to change?
    @ivar waiting: for it to be counted.
    """

    __slots__ = ("_figures", "_row", "marked", "path", "quota", "waiting")

    def __init__(self, path: VirtualPath, figures: Figures) -> None:
        """
        @param figures: has those of this directory.
        """
        self.path = path
        self.quota = Quota()
        self.marked = False
        self.waiting: list[Deferred[None]] = []
        self._figures = figures
        self._row = figures.row(path)

    @property
    def known(self) -> bool:
        """Are the figures right?"""
        return bool(self._row[KNOWN])

    @known.setter
    def known(self, known: bool) -> None:
        self._row[KNOWN] = int(known)

    @property
    def counting(self) -> bool:
        """Does somebody count?"""
        return bool(self._row[COUNTING])

    @counting.setter
    def counting(self, counting: bool) -> None:
        self._row[COUNTING] = self._figures.seat + 1 if counting else 0

    @property
    def isDoubtful(self) -> bool:
        """Should somebody count, as soon as nothing changes?"""
        return bool(self._row[DOUBTFUL])

    @property
    def nbytes(self) -> int:
        """Bytes that are used."""
        return self._row[NBYTES]

    @property
    def nfiles(self) -> int:
        """Names that are used."""
        return self._row[NFILES]

    @property
    def heldBytes(self) -> int:
        """Bytes that are set aside."""
        return self._sum(0)

    @property
    def heldFiles(self) -> int:
        """Names that are set aside."""
        return self._sum(1)

    @property
    def users(self) -> int:
        """Reservations below it."""
        return self._sum(2)

    def _sum(self, place: int) -> int:
        row = self._row
        if not self._figures.isShared:
            return row[SEATS + place]
        return sum(row[SEATS + place :: PER_SEAT])

    def found(self, nbytes: int, nfiles: int, *, known: bool = True) -> None:
        """So much is there."""
        row = self._row
        row[NBYTES], row[NFILES], row[DOUBTFUL] = nbytes, nfiles, 0
        row[KNOWN] = int(known)

    def use(self, nbytes: int, nfiles: int) -> None:
        """So much more is used."""
        self._row[NBYTES] += nbytes
        self._row[NFILES] += nfiles

    def hold(self, nbytes: int, nfiles: int, reservations: int = 0) -> None:
        """So much more is set aside."""
        row, own = self._row, SEATS + PER_SEAT * self._figures.seat
        row[own] += nbytes
        row[own + 1] += nfiles
        row[own + 2] += reservations

    def lacks(self, nbytes: int, nfiles: int) -> bool:
        """Is there no room for so much more?"""
        quota = self.quota
        if nbytes > 0 and quota.nbytes is not None:
            if self.nbytes + self.heldBytes + nbytes > quota.nbytes:
                return True
        if nfiles > 0 and quota.nfiles is not None:
            if self.nfiles + self.heldFiles + nfiles > quota.nfiles:
                return True
        return False


@implementer(IReservation)
class Reservation:
    """See L{IReservation}."""

    __slots__ = ("_besides", "_ledger", "_nbytes", "_nfiles", "_path", "_together", "roots")

    def __init__(
        self,
        ledger: UsageLedger,
        path: VirtualPath,
        besides: VirtualPath | None,
        roots: tuple[Root, ...],
    ) -> None:
        self._ledger: UsageLedger | None = ledger
        self._nbytes = self._nfiles = 0
        self._together = ledger.figures.together()
        self._path = path
        self._besides = besides
        self.roots = roots

    def concerns(self, root: Root) -> bool:
        """Does what is to change lie below this directory, which may have come later?"""
        if self._besides is not None and self._besides.parent.isWithin(root.path):
            return False
        return self._path.parent.isWithin(root.path)

    @property
    def counts(self) -> bool:
        """See L{IReservation.counts}."""
        return bool(self.roots)

    def hold(self, nbytes: int, nfiles: int) -> None:
        """See L{IReservation.hold}."""
        moreBytes, moreFiles = nbytes - self._nbytes, nfiles - self._nfiles
        with self._together:
            for root in self.roots:
                if root.lacks(moreBytes, moreFiles):
                    raise QuotaExceeded
            self._hold(moreBytes, moreFiles)

    def _hold(self, moreBytes: int, moreFiles: int) -> None:
        self._nbytes += moreBytes
        self._nfiles += moreFiles
        for root in self.roots:
            root.hold(moreBytes, moreFiles)

    def settle(self, nbytes: int, nfiles: int, heldBytes: int, heldFiles: int) -> None:
        """See L{IReservation.settle}."""
        with self._together:
            for root in self.roots:
                root.use(nbytes, nfiles)
            self._hold(heldBytes - self._nbytes, heldFiles - self._nfiles)

    def close(self) -> None:
        """See L{IReservation.close}."""
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            with self._together:
                self._hold(-self._nbytes, -self._nfiles)
            ledger.closed(self)
