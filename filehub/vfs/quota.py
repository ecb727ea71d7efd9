"""
A file system that asks before it takes room.

Theory of operation
===================

What a verb may cost at the worst is reserved in the ledger before it begins, in memory;
what it did cost is settled when it has ended.  C{claims} knows what a name may cost.
Sizes are looked at with the eyes of nobody, who sees no parts of broken uploads, while
nobody else changes the name.  A path without a quota pays for one look into a table.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from zope.interface import Interface

from filehub.attributes import Disposition, FileAttributes, SpaceUsage
from filehub.errors import (
    Busy,
    NotADirectory,
    NotFound,
    OperationNotSupported,
    PermissionDenied,
)
from filehub.interfaces import (
    IFileSystem,
    IRandomAccess,
    IServerSideCopy,
    ISpaceUsage,
    ISymbolicLinks,
    IWriteHandle,
)
from filehub.paths import ROOT, VirtualPath
from filehub.usage import IReservation
from filehub.vfs._quotahandle import QuotaWriteHandle
from filehub.vfs.claims import Claim, Claims, Upload
from filehub.vfs.forwarding import ForwardingFileSystem
from filehub.vfs.measuring import MountedMeasure

#: Of the account that has no parts.
NOBODY: Final = ""


class QuotaFileSystem(ForwardingFileSystem):
    """
    @param inner: as C{owner} sees it.
    @param plain: the same tree as L{NOBODY} sees it.
    @param claims: shared by all accounts.
    """

    def __init__(
        self,
        inner: IFileSystem,
        plain: IFileSystem,
        owner: str,
        claims: Claims,
        measure: MountedMeasure,
    ) -> None:
        super().__init__(inner)
        self._plain = plain
        self._owner = owner
        self._claims = claims
        self._ledger = claims.ledger
        self._measure = measure

    def __conform__(self, interface: type[Interface]) -> Any:
        """Adaptation: as the inner file system, and there is always room to tell of."""
        return self if interface is ISpaceUsage else super().__conform__(interface)

    # --- what is there

    async def look(self, path: VirtualPath) -> FileAttributes | None:
        """What is published there; L{None} for nothing."""
        try:
            return await self._plain.stat(path)
        except (NotFound, NotADirectory):
            return None

    async def sizes(self, path: VirtualPath) -> tuple[int | None, int | None]:
        """Bytes of what is published there, and of this account's part."""
        return _sizeOf(await self.look(path)), await self._measure.partSize(self._owner, path)

    @asynccontextmanager
    async def _changing(self, path: VirtualPath) -> AsyncIterator[Claim]:
        """Have a name for oneself, and know what is there."""
        async with self._claims.changing(path) as claim:
            if not claim.known:
                claim.published = _sizeOf(await self.look(path))
                claim.known = True
            yield claim

    @asynccontextmanager
    async def _reserving(
        self, path: VirtualPath, besides: VirtualPath | None = None
    ) -> AsyncIterator[IReservation]:
        reservation = await self._ledger.open(path, besides)
        try:
            yield reservation
        finally:
            reservation.close()

    # --- names

    async def makeDirectory(self, path: VirtualPath) -> None:
        """See L{IFileSystem.makeDirectory}."""
        if not self._ledger.governs(path):
            await self.inner.makeDirectory(path)
            return
        async with self._reserving(path) as reservation:
            reservation.hold(0, 1)
            await self.inner.makeDirectory(path)
            reservation.settle(0, 1, 0, 0)

    async def removeDirectory(self, path: VirtualPath) -> None:
        """
        See L{IFileSystem.removeDirectory}.

        @raise PermissionDenied: a directory with a quota, on it or below it.
        """
        if self._ledger.divides(path):
            raise PermissionDenied(path, "a quota is kept there")
        if not self._ledger.governs(path):
            await self.inner.removeDirectory(path)
            return
        async with self._reserving(path) as reservation:
            await self.inner.removeDirectory(path)
            reservation.settle(0, -1, 0, 0)

    async def makeLink(self, path: VirtualPath, target: str) -> None:
        """See L{ISymbolicLinks.makeLink}."""
        links = ISymbolicLinks(self.inner)
        if not self._ledger.governs(path):
            await links.makeLink(path, target)
            return
        async with self._changing(path) as claim:
            upload = claim.begin(self._owner)
            try:
                await links.makeLink(path, target)
                claim.settle(0, over=upload)
            finally:
                claim.drop(upload)

    async def removeFile(self, path: VirtualPath) -> None:
        """See L{IFileSystem.removeFile}."""
        if not self._ledger.governs(path):
            await self.inner.removeFile(path)
            return
        async with self._changing(path) as claim:
            await self.inner.removeFile(path)
            if claim.published is not None:
                claim.settle(None)
            else:
                claim.settle(None, (self._owner, None))

    async def rename(self, source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """
        See L{IFileSystem.rename}.

        @raise PermissionDenied: a directory with a quota, on it or below it.
        @raise Busy: a directory that would go to where another quota holds, while
            there are uploads into it; with several processes, any directory then.
        """
        ledger = self._ledger
        if not (ledger.governs(source) or ledger.governs(target) or ledger.divides(source)):
            await self.inner.rename(source, target, replace=replace)
            return
        attributes = await self.look(source)
        if attributes is not None and attributes.isDirectory:
            await self._renameDirectory(source, target, replace)
            return
        async with AsyncExitStack() as stack:
            room = await stack.enter_async_context(self._reserving(target, source))
            claims = {
                path: await stack.enter_async_context(self._changing(path))
                for path in sorted({source, target}, key=lambda each: each.segments)
            }
            old, new = claims[source], claims[target]
            size = old.published
            if size is not None:
                room.hold(max(0, size - (new.published or 0)), int(new.published is None))
            if old.uploads and old is not new:
                old.holdWithoutFile()
            try:
                await self.inner.rename(source, target, replace=replace)
            except BaseException:
                if old.uploads:
                    old.hold()
                raise
            if old is not new:
                room.hold(0, 0)
                new.settle(size)
                old.settle(None)

    async def _renameDirectory(
        self, source: VirtualPath, target: VirtualPath, replace: bool
    ) -> None:
        if self._ledger.divides(source) or self._ledger.divides(target):
            raise PermissionDenied(source, "a quota is kept there")
        if not self._ledger.beginMoving(source):
            raise Busy(source)
        try:
            await self._moveDirectory(source, target, replace)
        finally:
            self._ledger.endMoving(source)

    async def _moveDirectory(self, source: VirtualPath, target: VirtualPath, replace: bool) -> None:
        async with (
            self._reserving(source, target) as giving,
            self._reserving(target, source) as taking,
        ):
            nbytes = nfiles = 0
            if giving.counts or taking.counts:
                if self._claims.within(source):
                    raise Busy(source)
                found = await self._measure.measure(source, ())
                nbytes, nfiles = found.nbytes, found.nfiles + 1
                taking.hold(nbytes, nfiles)
            await self.inner.rename(source, target, replace=replace)
            giving.settle(-nbytes, -nfiles, 0, 0)
            taking.settle(nbytes, nfiles, 0, 0)
            self._claims.moved(source, target)

    # --- content

    async def openForWriting(
        self, path: VirtualPath, disposition: Disposition, *, sizeHint: int | None = None
    ) -> IWriteHandle:
        """See L{IFileSystem.openForWriting}."""

        def opening() -> Coroutine[Any, Any, IWriteHandle]:
            return self.inner.openForWriting(path, disposition, sizeHint=sizeHint)

        if not self._ledger.governs(path):
            return await opening()
        appends = disposition is Disposition.APPEND
        return await self._upload(path, opening, sizeHint or 0, appends=appends)

    async def openForUpdate(
        self, path: VirtualPath, offset: int, *, sizeHint: int | None = None
    ) -> IWriteHandle:
        """See L{IRandomAccess.openForUpdate}."""
        access = IRandomAccess(self.inner)

        def opening() -> Coroutine[Any, Any, IWriteHandle]:
            return access.openForUpdate(path, offset, sizeHint=sizeHint)

        if not self._ledger.governs(path):
            return await opening()
        return await self._upload(path, opening, sizeHint or 0, appends=False)

    async def _upload(
        self,
        path: VirtualPath,
        opening: Callable[[], Coroutine[Any, Any, IWriteHandle]],
        announced: int,
        *,
        appends: bool,
    ) -> IWriteHandle:
        async with self._changing(path) as claim:
            upload = claim.begin(self._owner)
            self._claims.keep(claim)
        try:
            if not appends:
                upload.reach(announced)
            handle = await opening()
        except BaseException:
            self.ended(upload)
            raise
        upload.resumes = handle.position > 0 and claim.published is None
        metered = QuotaWriteHandle(handle, upload, self)
        try:
            upload.reach(handle.position + (announced if appends else 0))
        except BaseException:
            await metered.abort()
            raise
        return metered

    def ended(self, upload: Upload) -> None:
        """An upload is over and settled."""
        upload.claim.drop(upload)
        self._claims.leave(upload.claim)

    async def lookForPart(self, owner: str, path: VirtualPath) -> None:
        """Count what a broken upload left under a name whose directory moved away."""
        if self._ledger.governs(path):
            async with self._changing(path) as claim:
                claim.settle(claim.published, (owner, await self._measure.partSize(owner, path)))

    async def copy(self, source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """See L{IServerSideCopy.copy}."""
        copies = IServerSideCopy(self.inner)
        if not self._ledger.governs(target):
            await copies.copy(source, target, replace=replace)
            return
        async with AsyncExitStack() as stack:
            # The source must not grow meanwhile.
            claims = {
                path: await stack.enter_async_context(self._changing(path))
                for path in sorted({source, target}, key=lambda each: each.segments)
            }
            claim = claims[target]
            upload = claim.begin(self._owner)
            try:
                upload.reach(claims[source].published or 0)
                await copies.copy(source, target, replace=replace)
                published, part = await self.sizes(target)
                claim.settle(published, (self._owner, part), over=upload)
            finally:
                claim.drop(upload)

    # --- room

    async def space(self, path: VirtualPath) -> SpaceUsage:
        """
        See L{ISpaceUsage.space}: the smaller of the storage's room and the quota's, and
        all quotas.
        """
        space = await self._room(path)
        return space._replace(quotas=self._ledger.usages(path))

    async def _room(self, path: VirtualPath) -> SpaceUsage:
        room = self._ledger.room(path)
        try:
            usage = ISpaceUsage(self.inner, None)
            if usage is None:
                raise OperationNotSupported(path)
            space: SpaceUsage = await usage.space(path)
        except OperationNotSupported:
            if room is None:
                raise
            return room
        if room is None:
            return space
        total = room.total
        if total is not None and space.total is not None:
            total = min(total, space.total)
        return SpaceUsage(min(room.free, space.free), total)


async def refreshParts(claims: Claims, measure: MountedMeasure) -> None:
    """Parts of broken uploads have a time after which a sweep removes them: find out."""
    ledger = claims.ledger
    for owner, path in ledger.knownParts(ROOT):
        if await measure.partSize(owner, path) == ledger.partsOf(path).get(owner):
            continue
        async with claims.changing(path) as claim:
            if not claim.uploads:
                part = await measure.partSize(owner, path)
                claim.settle(claim.published, (owner, part))


def _sizeOf(attributes: FileAttributes | None) -> int | None:
    """What counts of it as a file; a link is a name only."""
    if attributes is None or attributes.isDirectory:
        return None
    return attributes.size if attributes.isRegular else 0


__all__ = ["NOBODY", "QuotaFileSystem", "refreshParts"]
