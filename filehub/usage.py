"""
Who uses how much: the seams of quotas.

A quota of what is stored belongs to a path, such as an account's home or a mount point:
usage is what lies below it, whoever stored it there.  So the truth can always be counted
again.

A quota of what is moved belongs to accounts: one, a group of them, all of a server.  It
holds for a period, and what was moved is nowhere to be found but in the ledger.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from zope.interface import Attribute, Interface

from filehub.attributes import QuotaUsage, SpaceUsage
from filehub.paths import VirtualPath
from filehub.periods import Period


class Measure(NamedTuple):
    """
    What was found below a directory.

    @ivar nbytes: in all regular files.
    @ivar nfiles: names: of files, directories and links; each name of a file counts.
    @ivar parts: what broken uploads left there, by account and name, bytes; not in the
        other figures.
    """

    nbytes: int
    nfiles: int
    parts: dict[tuple[str, VirtualPath], int]


class Quota(NamedTuple):
    """
    How much may lie below a directory.

    @ivar nfiles: names, of files, directories and links.
    """

    nbytes: int | None = None
    nfiles: int | None = None


class TransferQuota(NamedTuple):
    """
    How much may be moved within a period; L{None} where there is no limit.

    @ivar upload: bytes of files as they cross the network.
    @ivar download: likewise.
    @ivar both: of uploads and downloads together.
    @ivar uploadFiles: how many are begun.
    @ivar downloadFiles: likewise.
    @ivar period: L{None} for that of the server.
    """

    upload: int | None = None
    download: int | None = None
    both: int | None = None
    uploadFiles: int | None = None
    downloadFiles: int | None = None
    period: Period | None = None

    @property
    def isLimited(self) -> bool:
        """Does it say anything?"""
        return any(each is not None for each in self[:-1])


class Scope(NamedTuple):
    """
    Whose transfers are counted together.

    @ivar level: C{"server"}, C{"group"} or C{"user"}.
    @ivar name: of the group or user.
    """

    level: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.level} {self.name}" if self.name else self.level


class TransferState(NamedTuple):
    """
    How far a transfer quota is used.

    @ivar used: bytes uploaded, bytes downloaded, files uploaded, files downloaded, with
        what is set aside for those that are going on.
    @ivar ends: when all begins again, seconds since the epoch.
    """

    scope: Scope
    quota: TransferQuota
    used: tuple[int, int, int, int]
    ends: int


class IMeasurable(Interface):
    """On storages: what quotas are checked against."""

    async def measure(
        path: VirtualPath, owners: Collection[str], without: Collection[VirtualPath] = ()
    ) -> Measure:
        """
        Count what lies below a directory, however long that takes; nothing, if it is
        not there.

        @param owners: accounts whose parts of broken uploads are looked for.
        @param without: directories that are left out.
        """

    async def partSize(owner: str, path: VirtualPath) -> int | None:
        """The bytes of what a broken upload left, even if the name is taken."""


class IUsageLedger(Interface):
    """
    Who uses how much.  A quota belongs to a path: usage is what lies below it, whoever
    stored it.  Space is reserved before bytes move.
    """

    async def enterName(path: VirtualPath) -> None:
        """
        Have this name, among all processes that serve the same tree.  One process may
        have it several times.

        @raise Busy: another process has it, and keeps it for long.
        """

    def leaveName(path: VirtualPath) -> None:
        """Have it once less."""

    def beginMoving(path: VirtualPath) -> bool:
        """
        A directory is about to move: false if it must not, because a process shares the
        tree with others and a name in the directory is being changed.
        """

    def endMoving(path: VirtualPath) -> None:
        """It has been moved, or not."""

    async def open(path: VirtualPath, besides: VirtualPath | None = None) -> IReservation:
        """
        What has the name C{path} is about to change, and with it the usage of all
        directories above it.

        @param besides: leave out those that are above this one too.

        @raise Busy: how much is used there is still being counted.
        """

    def governs(path: VirtualPath) -> bool:
        """Is there a quota on a directory above C{path}?"""

    def divides(path: VirtualPath) -> bool:
        """Is there a quota on C{path}, or below it?  Such a directory stays where it is."""

    def room(path: VirtualPath) -> SpaceUsage | None:
        """What the narrowest quota leaves in this directory; L{None} without any."""

    def usages(path: VirtualPath) -> tuple[QuotaUsage, ...]:
        """All quotas that hold in this directory."""

    def partsOf(path: VirtualPath) -> Mapping[str, int]:
        """Sizes of what broken uploads left for this name, by account."""

    def knownParts(below: VirtualPath) -> list[tuple[str, VirtualPath]]:
        """The accounts and names of all of them."""

    def notePart(owner: str, path: VirtualPath, nbytes: int | None) -> None:
        """A broken upload left this much, or nothing any more."""


class IReservation(Interface):
    """
    Space that is set aside.  All but opening is done in memory, at once, and may be
    done for every piece of a file.
    """

    counts: bool = Attribute("Is there any quota that it counts for?")

    def hold(nbytes: int, nfiles: int) -> None:
        """
        Hold so much from now on, in place of what was held.

        @raise QuotaExceeded: that is more than there is; what was held still is.
        """

    def settle(nbytes: int, nfiles: int, heldBytes: int, heldFiles: int) -> None:
        """
        The usage has changed by C{nbytes} and C{nfiles} (negative for less), and so
        much is held from now on.  Never refused: it has happened.
        """

    def close() -> None:
        """Nothing is held, and nothing changes any more.  Idempotent."""


class ITransferMeter(Interface):
    """
    One transfer, as the quotas of all that it counts for see it.  Everything is done in
    memory, at once, and may be done for every piece of a file.
    """

    def pending() -> bool:
        """
        Has what was spent still to be written down?  Until then it must not be moved.

        @raise StorageUnavailable: it cannot be written.
        """

    async def written() -> None:
        """
        Wait for that.

        @raise StorageUnavailable: it cannot be written.
        """

    def begin(nbytes: int) -> None:
        """
        A file is about to be moved.  Idempotent, until L{end}.

        @param nbytes: are set aside for it; 0 if nobody knows.
        @raise QuotaExceeded: that is more than there is.
        @raise StorageUnavailable: nothing can be written down.
        """

    def most(nbytes: int) -> int:
        """How many of so many bytes may still be spent."""

    def spend(nbytes: int) -> None:
        """
        So many bytes are about to be moved.

        @raise QuotaExceeded: they must not be; nothing is spent.
        @raise StorageUnavailable: nothing can be written down.
        """

    def giveBack(nbytes: int) -> None:
        """They have not been moved after all."""

    def end() -> None:
        """Nothing is set aside any more.  Idempotent."""


class ITransferQuotas(Interface):
    """On an account's limits: how far its transfer quotas are used."""

    def transfers() -> list[TransferState]:
        """Those of the server, its groups and its own, as far as there are any."""


class IBudgeted(Interface):
    """On handles that are L{IDescriptorBacked}, where the bytes are counted."""

    def spend(offset: int, length: int) -> None:
        """
        So many bytes are about to be moved through a leased descriptor.  Cheap, and
        never waits.

        @raise FileSystemError: they must not be: a quota, or the largest size.
        """


__all__ = [
    "IBudgeted",
    "IMeasurable",
    "IReservation",
    "ITransferMeter",
    "ITransferQuotas",
    "IUsageLedger",
    "Measure",
    "Quota",
    "Scope",
    "TransferQuota",
    "TransferState",
]
