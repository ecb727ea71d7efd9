"""
A storage that takes no file beyond a size, and leaves some of its disk free.

How much is free is asked at each beginning of an upload and, while bytes come, once a
second; what is taken in between is counted.  So no wait for the disk stands in the way of
a byte, and other users of the disk are noticed within a second.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from filehub.attributes import Disposition, SpaceUsage
from filehub.errors import FileHubError, FileTooLarge, NoSpace, OperationNotSupported
from filehub.interfaces import (
    IFileSystem,
    IRandomAccess,
    IServerSideCopy,
    ISpaceUsage,
    IStorage,
    IWriteHandle,
)
from filehub.paths import ROOT, VirtualPath
from filehub.usage import IBudgeted, IMeasurable, Measure
from filehub.vfs.forwarding import ForwardingFileSystem, ForwardingWriteHandle

#: Seconds for which an answer about free space is believed.
BELIEVED: Final = 1.0


class FreeSpace:
    """
    What may still be written, so that C{reserve} bytes stay free.

    @param seconds: a clock.
    @param look: asks the storage.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        look: Callable[[], Coroutine[Any, Any, SpaceUsage]],
        reserve: int,
    ) -> None:
        self._seconds = seconds
        self._look = look
        self.reserve = reserve
        self._left: int | None = None
        self._taken = 0
        self._looked = 0.0
        self._looking: Deferred[None] | None = None

    async def refresh(self) -> None:
        """Ask, unless that was done a moment ago."""
        if self._left is None or self._seconds() - self._looked >= BELIEVED:
            await self._ask()

    async def _ask(self) -> None:
        before = self._taken
        try:
            free = (await self._look()).free
        except OperationNotSupported:
            # A storage that does not know has no end, as far as we can tell.
            return
        self._left = free - self.reserve - (self._taken - before)
        self._looked = self._seconds()

    def take(self, nbytes: int, path: VirtualPath) -> None:
        """
        @raise NoSpace: so much cannot be written.
        """
        left = self._left
        if left is None:
            return
        if self._seconds() - self._looked >= BELIEVED and self._looking is None:
            looking = self._looking = Deferred.fromCoroutine(self._ask())
            looking.addErrback(_unknown).addBoth(self._lookedAgain)
            left = self._left or 0
        if nbytes > left:
            raise NoSpace(path)
        self._left = left - nbytes
        self._taken += nbytes

    def _lookedAgain(self, _: object) -> None:
        self._looking = None


def _unknown(failure: Failure) -> None:
    """The last answer stays, when there is none at the moment."""
    failure.trap(FileHubError)  # type: ignore[no-untyped-call]


@implementer(IStorage, IMeasurable)
class BoundedStorage:
    """
    @param largest: bytes of a file; L{None} for no limit.
    @param reserve: bytes that stay free on its disk.
    """

    def __init__(
        self,
        storage: IStorage,
        seconds: Callable[[], float],
        *,
        largest: int | None = None,
        reserve: int = 0,
    ) -> None:
        self._storage = storage
        self.largest = largest
        usage = ISpaceUsage(storage.viewFor(""), None)
        self.free = None
        if reserve and usage is not None:
            self.free = FreeSpace(seconds, lambda: usage.space(ROOT), reserve)

    def viewFor(self, owner: str) -> IFileSystem:
        """See L{IStorage.viewFor}."""
        return BoundedFileSystem(self._storage.viewFor(owner), self)

    async def sweep(self) -> None:
        """See L{IStorage.sweep}."""
        await self._storage.sweep()

    async def close(self) -> None:
        """See L{IStorage.close}."""
        await self._storage.close()

    async def measure(
        self, path: VirtualPath, owners: Collection[str], without: Collection[VirtualPath] = ()
    ) -> Measure:
        """See L{IMeasurable.measure}."""
        measurable = IMeasurable(self._storage, None)
        if measurable is None:
            return Measure(0, 0, {})
        found: Measure = await measurable.measure(path, owners, without)
        return found

    async def partSize(self, owner: str, path: VirtualPath) -> int | None:
        """See L{IMeasurable.partSize}."""
        measurable = IMeasurable(self._storage, None)
        if measurable is None:
            return None
        size: int | None = await measurable.partSize(owner, path)
        return size

    def check(self, size: int, more: int, path: VirtualPath) -> None:
        """
        A file is about to be as long as C{size}, by C{more} bytes more than before.

        @raise FileTooLarge:
        @raise NoSpace:
        """
        if self.largest is not None and size > self.largest:
            raise FileTooLarge(path)
        if self.free is not None:
            self.free.take(more, path)


class BoundedFileSystem(ForwardingFileSystem):
    """One account's view of such a storage."""

    def __init__(self, inner: IFileSystem, bounds: BoundedStorage) -> None:
        super().__init__(inner)
        self._bounds = bounds

    async def openForWriting(
        self, path: VirtualPath, disposition: Disposition, *, sizeHint: int | None = None
    ) -> IWriteHandle:
        """See L{IFileSystem.openForWriting}."""
        await self._announced(path, sizeHint)
        handle = await self.inner.openForWriting(path, disposition, sizeHint=sizeHint)
        return BoundedWriteHandle(handle, self._bounds, path)

    async def openForUpdate(
        self, path: VirtualPath, offset: int, *, sizeHint: int | None = None
    ) -> IWriteHandle:
        """See L{IRandomAccess.openForUpdate}."""
        await self._announced(path, sizeHint)
        access = IRandomAccess(self.inner)
        handle = await access.openForUpdate(path, offset, sizeHint=sizeHint)
        return BoundedWriteHandle(handle, self._bounds, path)

    async def _announced(self, path: VirtualPath, size: int | None) -> None:
        if self._bounds.free is not None:
            await self._bounds.free.refresh()
        if size:
            # Only looked at: it is taken when it comes.
            self._bounds.check(size, 0, path)

    async def copy(self, source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """See L{IServerSideCopy.copy}."""
        size = (await self.inner.stat(source)).size
        await self._announced(target, size)
        self._bounds.check(size, size, target)
        await IServerSideCopy(self.inner).copy(source, target, replace=replace)

    async def space(self, path: VirtualPath) -> SpaceUsage:
        """See L{ISpaceUsage.space}: without what stays free."""
        usage = await ISpaceUsage(self.inner).space(path)
        free = self._bounds.free
        return usage if free is None else usage._replace(free=max(0, usage.free - free.reserve))


@implementer(IBudgeted)
class BoundedWriteHandle(ForwardingWriteHandle):
    """A file that is being written there."""

    def __init__(self, inner: IWriteHandle, bounds: BoundedStorage, path: VirtualPath) -> None:
        super().__init__(inner)
        self._bounds = bounds
        self._path = path
        self._end = self.position

    def spend(self, offset: int, length: int) -> None:
        """See L{IBudgeted.spend}."""
        end = offset + length
        if end > self._end:
            self._bounds.check(end, min(length, end - self._end), self._path)
            self._end = end

    async def writeAt(self, offset: int, data: bytes) -> None:
        """See L{IWriteHandle.writeAt}."""
        self.spend(offset, len(data))
        await self.inner.writeAt(offset, data)


__all__ = ["BELIEVED", "BoundedFileSystem", "BoundedStorage", "FreeSpace"]
