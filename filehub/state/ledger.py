"""
Who uses how much: counted in memory, written down in SQLite.

Theory of operation
===================

Every directory with a quota has a row.  Before something below it changes for the first
time, its row is marked as not exact, and only then the change begins; when nothing is
under way any more, the figures are written, and it is exact again.  So a busy directory
costs two writes in all, and after a crash exactly those directories are counted again in
which something was under way.

A directory that is not known, or not exactly, is counted while nothing changes in it:
what wants to begin waits for that, and is told to come later if it takes long.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping
from typing import Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from filehub.attributes import QuotaUsage, SpaceUsage
from filehub.errors import Busy, FileHubError
from filehub.paths import VirtualPath
from filehub.state.figures import Figures, OwnFigures
from filehub.state.names import LOOK, PATIENCE, Names
from filehub.state.records import PartName, UsageRecords, UsageRow
from filehub.state.reservations import Reservation, Root
from filehub.usage import IUsageLedger, Measure, Quota

#: Seconds between a change and writing it down.
FLUSH: Final = 2.0

_NO_PARTS: Final[Mapping[str, int]] = {}


class Measuring(Protocol):
    """Where the truth is found; see L{IMeasurable<filehub.usage.IMeasurable>}."""

    def measure(self, path: VirtualPath, owners: Collection[str]) -> Awaitable[Measure]:
        """Count."""

    def partSize(self, owner: str, path: VirtualPath) -> Awaitable[int | None]:
        """Bytes of a part."""


@implementer(IUsageLedger)
class UsageLedger:
    """
    See L{IUsageLedger} and this module's introduction.

    @ivar owners: the accounts whose parts of broken uploads are looked for when
        something is counted.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        records: UsageRecords,
        measuring: Measuring,
        figures: Figures | None = None,
    ) -> None:
        """
        @param figures: where they are, if this process shares them with others.
        """
        self.figures: Figures = figures or OwnFigures()
        self._clock = clock
        self._records = records
        self._measuring = measuring
        self._roots: dict[tuple[str, ...], Root] = {}
        #: Those directories and all above them.
        self._divided: set[tuple[str, ...]] = set()
        self._open: set[Reservation] = set()
        self._parts: dict[VirtualPath, dict[str, int]] = {}
        self._changedParts: set[PartName] = set()
        self._partsSeen = 0
        self._names = Names(clock, self.figures, self._readParts)
        self._postponed: set[Root] = set()
        self._unwritten: set[Root] = set()
        self._forgotten: list[VirtualPath] = []
        self._call: IDelayedCall | None = None
        self._flushing: Deferred[None] | None = None
        self._complained = False
        self.owners: set[str] = set()

    # --- which directories

    def load(self, quotas: Mapping[VirtualPath, Quota]) -> None:
        """
        Read what is written down; blocks.  Rows of directories without a quota are
        forgotten.  Of several processes, the one does it that the others come from.

        @raise StorageUnavailable: it cannot be read.
        """
        rows, parts = self._records.load()
        for path, quota in quotas.items():
            self.setQuota(path, quota)
        for row in rows:
            root = self._roots.get(row.path.segments)
            if root is None:
                self._forgotten.append(row.path)
            else:
                root.found(row.nbytes, row.nfiles, known=root.known or row.exact)
        for (owner, path), size in parts.items():
            self._parts.setdefault(path, {})[owner] = size
            self.owners.add(owner)
        self._partsSeen = self.figures.partsVersion
        if not self.figures.isShared:
            self._schedule()

    def setQuota(self, path: VirtualPath, quota: Quota) -> None:
        """What may lie below C{path}; with effect on uploads that are going on."""
        root = self._roots.get(path.segments)
        if root is None:
            root = self._roots[path.segments] = Root(path, self.figures)
            for end in range(len(path.segments) + 1):
                self._divided.add(path.segments[:end])
        root.quota = quota

    def start(self) -> None:
        """Count what has to be, now rather than when somebody waits for it."""
        self._schedule()
        for root in self._roots.values():
            if not root.known:
                self._count(root)

    def count(self, path: VirtualPath) -> None:
        """The same for one directory."""
        root = self._roots.get(path.segments)
        if root is not None and not root.known:
            self._count(root)

    @property
    def roots(self) -> list[Root]:
        """All directories with a quota, in their order."""
        return [self._roots[key] for key in sorted(self._roots)]

    def _above(self, segments: tuple[str, ...], length: int) -> list[Root]:
        roots = self._roots
        if not roots:
            return []
        return [
            root for end in range(length + 1) if (root := roots.get(segments[:end])) is not None
        ]

    def _holding(self, path: VirtualPath) -> list[Root]:
        return self._above(path.segments, len(path.segments) - 1)

    def governs(self, path: VirtualPath) -> bool:
        """See L{IUsageLedger.governs}."""
        return bool(self._holding(path))

    def divides(self, path: VirtualPath) -> bool:
        """See L{IUsageLedger.divides}."""
        return path.segments in self._divided

    def room(self, path: VirtualPath) -> SpaceUsage | None:
        """See L{IUsageLedger.room}."""
        narrowest: SpaceUsage | None = None
        for root in self._above(path.segments, len(path.segments)):
            total = root.quota.nbytes
            if total is not None:
                free = max(0, total - root.nbytes - root.heldBytes)
                if narrowest is None or free < narrowest.free:
                    narrowest = SpaceUsage(free, total)
        return narrowest

    def usages(self, path: VirtualPath) -> tuple[QuotaUsage, ...]:
        """See L{IUsageLedger.usages}."""
        return tuple(
            QuotaUsage(
                root.path,
                root.nbytes + root.heldBytes,
                root.quota.nbytes,
                root.nfiles + root.heldFiles,
                root.quota.nfiles,
            )
            for root in self._above(path.segments, len(path.segments))
            if root.quota != Quota()
        )

    # --- parts of broken uploads

    def partsOf(self, path: VirtualPath) -> Mapping[str, int]:
        """See L{IUsageLedger.partsOf}."""
        return self._parts.get(path, _NO_PARTS)

    def notePart(self, owner: str, path: VirtualPath, nbytes: int | None) -> None:
        """See L{IUsageLedger.notePart}."""
        parts = self._parts.get(path)
        if nbytes is not None:
            self._parts.setdefault(path, {})[owner] = nbytes
            self.owners.add(owner)
        elif parts is not None and owner in parts:
            del parts[owner]
            if not parts:
                del self._parts[path]
        else:
            return
        self._changedParts.add((owner, path))

    def knownParts(self, below: VirtualPath) -> list[PartName]:
        """Accounts and names."""
        return [
            (owner, path)
            for path, parts in self._parts.items()
            if path.isWithin(below)
            for owner in parts
        ]

    # --- names

    async def enterName(self, path: VirtualPath) -> None:
        """See L{IUsageLedger.enterName}."""
        if self.figures.isShared:
            await self._names.enter(path)

    async def _readParts(self) -> None:
        """Other processes may have written some down."""
        version = self.figures.partsVersion
        if version == self._partsSeen:
            return
        found = await self._records.parts()
        for name in self._changedParts:
            found.pop(name, None)
            size = self.partsOf(name[1]).get(name[0])
            if size is not None:
                found[name] = size
        self._parts.clear()
        for (owner, path), size in found.items():
            self._parts.setdefault(path, {})[owner] = size
            self.owners.add(owner)
        self._partsSeen = version

    def leaveName(self, path: VirtualPath) -> None:
        """See L{IUsageLedger.leaveName}."""
        if not self.figures.isShared or not self._names.leave(path):
            return
        if any(name[1] == path for name in self._changedParts):
            # Whoever has it next has to know of them.
            written = Deferred.fromCoroutine(self.flush()).addErrback(self._notWritten)
            written.addCallback(lambda _: self.figures.leaveName(path))
        else:
            self.figures.leaveName(path)

    def beginMoving(self, path: VirtualPath) -> bool:
        """See L{IUsageLedger.beginMoving}."""
        return self.figures.beginMoving(path)

    def endMoving(self, path: VirtualPath) -> None:
        """See L{IUsageLedger.endMoving}."""
        self.figures.endMoving(path)

    # --- changes

    async def open(self, path: VirtualPath, besides: VirtualPath | None = None) -> Reservation:
        """See L{IUsageLedger.open}."""
        while True:
            roots = self._holding(path)
            if besides is not None:
                others = self._holding(besides)
                roots = [root for root in roots if root not in others]
            unknown = [root for root in roots if not root.known]
            if unknown:
                await self._counted(unknown[0], path)
                continue
            unmarked = [root for root in roots if not root.marked]
            if unmarked:
                await self._records.mark([root.path for root in unmarked])
                for root in unmarked:
                    root.marked = True
                continue
            with self.figures.together():
                # Since we looked, another process may have begun to count.
                if all(root.known for root in roots):
                    for root in roots:
                        root.hold(0, 0, 1)
                    break
        reservation = Reservation(self, path, besides, tuple(roots))
        self._open.add(reservation)
        return reservation

    def closed(self, reservation: Reservation) -> None:
        """Called by the reservation."""
        self._open.discard(reservation)
        with self.figures.together():
            for root in reservation.roots:
                root.hold(0, 0, -1)
                self._unwritten.add(root)
        self._schedule()
        for root in reservation.roots:
            if not root.known:
                self._count(root)

    # --- counting

    async def _counted(self, root: Root, path: VirtualPath) -> None:
        waiter: Deferred[None] = Deferred(root.waiting.remove)
        root.waiting.append(waiter)
        late = self._clock.callLater(PATIENCE, waiter.cancel)
        self._count(root)
        try:
            await waiter
        except Exception as error:
            if not late.active():
                raise Busy(path, "usage is being counted, try again later") from None
            raise error
        finally:
            if late.active():
                late.cancel()

    def recount(self, path: VirtualPath) -> None:
        """Count a directory again, as soon as nothing changes in it."""
        root = self._roots.get(path.segments)
        if root is not None and root.known:
            root.known = False
            self._count(root)

    def _recountDoubtful(self) -> None:
        """Of what dead processes may have left behind, where nothing changes now."""
        for root in self._roots.values():
            if root.isDoubtful and not root.users:
                self.recount(root.path)

    async def obey(self) -> None:
        """
        Do what somebody outside has asked for by way of the database.

        @raise StorageUnavailable: it cannot be read now.
        """
        for path in await self._records.wanted():
            self.recount(path)
        if self.figures.isShared:
            self._recountDoubtful()

    def _count(self, root: Root) -> None:
        """Count it, unless that is being done, or something changes there."""
        if any(each.concerns(root) for each in self._open):
            return
        with self.figures.together():
            free = not root.counting and not root.users
            if free:
                root.counting = True
        if not free:
            self._countLater(root)
            return
        Deferred.fromCoroutine(self._find(root)).addErrback(self._notFound, root)

    def _countLater(self, root: Root) -> None:
        """Another process counts, or changes something there: nobody tells when it has."""
        if self.figures.isShared and root not in self._postponed:
            self._postponed.add(root)
            self._clock.callLater(LOOK, self._lookAgain, root)

    def _lookAgain(self, root: Root) -> None:
        self._postponed.discard(root)
        if not root.known:
            self._count(root)
        elif not root.counting:
            self._tellCounted(root)

    async def _find(self, root: Root) -> None:
        found = await self._measuring.measure(root.path, sorted(self.owners))
        parts = dict(found.parts)
        for owner, path in self.knownParts(root.path):
            if (owner, path) not in parts:
                size = await self._measuring.partSize(owner, path)
                if size is None:
                    self.notePart(owner, path, None)
                else:
                    parts[owner, path] = size
        for (owner, path), size in parts.items():
            if self.partsOf(path).get(owner) != size:
                self.notePart(owner, path, size)
        nbytes, nfiles = found.nbytes + sum(parts.values()), found.nfiles + len(parts)
        self._log.info(
            "usage of {path}: {nbytes} bytes, {nfiles} files (was {oldBytes}, {oldFiles})",
            path=str(root.path),
            nbytes=nbytes,
            nfiles=nfiles,
            oldBytes=root.nbytes,
            oldFiles=root.nfiles,
        )
        if self.figures.isShared and self._changedParts:
            # The others read of parts in the database.
            await self.flush()
        with self.figures.together():
            root.found(nbytes, nfiles)
            root.counting = False
        self._unwritten.add(root)
        self._schedule()
        self._tellCounted(root)

    @staticmethod
    def _tellCounted(root: Root) -> None:
        waiting, root.waiting = root.waiting, []
        for waiter in waiting:
            waiter.callback(None)

    def _notFound(self, failure: Failure, root: Root) -> None:
        root.counting = False
        if not isinstance(failure.value, FileHubError):
            self._log.failure("usage could not be counted", failure)
        else:
            self._log.warn(
                "usage of {path} could not be counted: {error}",
                path=str(root.path),
                error=str(failure.value),
            )
        waiting, root.waiting = root.waiting, []
        for waiter in waiting:
            waiter.errback(failure.value)

    # --- writing down

    def _schedule(self) -> None:
        changed = self._unwritten or self._changedParts or self._forgotten
        if changed and self._call is None and self._flushing is None:
            self._call = self._clock.callLater(FLUSH, self._flush)

    def _flush(self) -> None:
        self._call = None
        self._flushing = Deferred.fromCoroutine(self.flush())
        self._flushing.addErrback(self._notWritten).addBoth(self._flushed)

    def _flushed(self, _: object) -> None:
        self._flushing = None
        self._schedule()

    def _notWritten(self, failure: Failure) -> None:
        if not isinstance(failure.value, FileHubError):
            self._log.failure("usage could not be written down", failure)
        elif not self._complained:
            # Once, and not with every attempt.
            self._complained = True
            self._log.warn("usage could not be written: {error}", error=str(failure.value))

    async def flush(self) -> None:
        """
        Write down what has changed.

        @raise StorageUnavailable: that is not possible now.
        """
        roots, self._unwritten = self._unwritten, set()
        parts, self._changedParts = self._changedParts, set()
        forgotten, self._forgotten = self._forgotten, []
        rows = []
        for root in roots:
            # Of several processes, the one says so that is there when all others are gone.
            exact = root.known and not root.users and not self.figures.isShared
            if exact:
                # What begins from now on has to say so again, and is behind us in line.
                root.marked = False
            rows.append(UsageRow(root.path, root.nbytes, root.nfiles, exact))
        known = [((owner, path), self.partsOf(path).get(owner)) for owner, path in parts]
        try:
            await self._records.write(rows, known, forgotten)
        except BaseException:
            self._unwritten |= roots
            self._changedParts |= parts
            self._forgotten += forgotten
            raise
        self._complained = False
        if known and self.figures.isShared:
            with self.figures.together():
                if self._partsSeen == self.figures.partsVersion:
                    self._partsSeen += 1
                self.figures.partsVersion += 1

    def conclude(self) -> None:
        """
        Write down what there is when all processes have ended; blocks.

        @raise StorageUnavailable: that is not possible.
        """
        rows = [
            UsageRow(root.path, root.nbytes, root.nfiles, root.known and not root.isDoubtful)
            for root in self._roots.values()
        ]
        self._records.conclude(rows)

    async def stop(self) -> None:
        """Write down everything; whatever goes on is not exact."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._flushing is not None:
            await self._flushing
        await self.flush()


__all__ = ["FLUSH", "PATIENCE", "Measuring", "UsageLedger"]
