"""
Room that is set aside: additions in memory, before any byte moves.

A directory with a quota has what is used and what is held.  A reservation holds room in
all directories with a quota above a place, or in none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from zope.interface import implementer

from filehub.errors import QuotaExceeded
from filehub.paths import VirtualPath
from filehub.usage import IReservation, Quota

if TYPE_CHECKING:
    from filehub.state.ledger import UsageLedger


class Root:
    """
    A directory with a quota.

    @ivar known: are the figures right?
    @ivar marked: does the row say that they are about to change?
    @ivar users: reservations below it.
    """

    __slots__ = (
        "counting",
        "heldBytes",
        "heldFiles",
        "known",
        "marked",
        "nbytes",
        "nfiles",
        "path",
        "quota",
        "users",
        "waiting",
    )

    def __init__(self, path: VirtualPath) -> None:
        self.path = path
        self.quota = Quota()
        self.nbytes = self.nfiles = 0
        self.heldBytes = self.heldFiles = 0
        self.known = self.marked = self.counting = False
        self.users = 0
        self.waiting: list[Deferred[None]] = []

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

    __slots__ = ("_besides", "_ledger", "_nbytes", "_nfiles", "_path", "roots")

    def __init__(
        self,
        ledger: UsageLedger,
        path: VirtualPath,
        besides: VirtualPath | None,
        roots: tuple[Root, ...],
    ) -> None:
        self._ledger: UsageLedger | None = ledger
        self._nbytes = self._nfiles = 0
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
        for root in self.roots:
            if root.lacks(moreBytes, moreFiles):
                raise QuotaExceeded
        self._hold(moreBytes, moreFiles)

    def _hold(self, moreBytes: int, moreFiles: int) -> None:
        self._nbytes += moreBytes
        self._nfiles += moreFiles
        for root in self.roots:
            root.heldBytes += moreBytes
            root.heldFiles += moreFiles

    def settle(self, nbytes: int, nfiles: int, heldBytes: int, heldFiles: int) -> None:
        """See L{IReservation.settle}."""
        self._hold(heldBytes - self._nbytes, heldFiles - self._nfiles)
        for root in self.roots:
            root.nbytes += nbytes
            root.nfiles += nfiles

    def close(self) -> None:
        """See L{IReservation.close}."""
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            self._hold(-self._nbytes, -self._nfiles)
            ledger.closed(self)
