"""
A file that is being written, piece by piece against a quota.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from filehub.attributes import FileAttributes
from filehub.errors import FileHubError, StorageUnavailable
from filehub.interfaces import IWriteHandle
from filehub.usage import IBudgeted
from filehub.vfs.claims import Upload
from filehub.vfs.forwarding import ForwardingWriteHandle

if TYPE_CHECKING:
    from filehub.vfs.quota import QuotaFileSystem

_T = TypeVar("_T")


@implementer(IBudgeted)
class QuotaWriteHandle(ForwardingWriteHandle):
    """
    Its endings go on even when nobody waits for them any more, because what they come
    to has to be settled.

    @param inner: what does the work.
    """

    def __init__(self, inner: IWriteHandle, upload: Upload, fileSystem: QuotaFileSystem) -> None:
        super().__init__(inner)
        self._upload = upload
        self._fileSystem = fileSystem
        self._ending: Deferred[Any] | None = None
        budgeted = IBudgeted(inner, None)
        self._spend = None if budgeted is None else budgeted.spend

    def spend(self, offset: int, length: int) -> None:
        """See L{IBudgeted.spend}."""
        self._upload.reach(offset + length)
        if self._spend is not None:
            self._spend(offset, length)

    async def writeAt(self, offset: int, data: bytes) -> None:
        """See L{IWriteHandle.writeAt}."""
        self._upload.reach(offset + len(data))
        await self.inner.writeAt(offset, data)

    async def commit(self) -> FileAttributes:
        """See L{IWriteHandle.commit}."""
        if self._ending is not None:
            raise StorageUnavailable(None, "the file is closed")
        return await self._end(self._commit())

    async def abort(self) -> None:
        """See L{IWriteHandle.abort}."""
        if self._ending is None:
            await self._end(self._abort())
        elif not self._ending.called:
            await _shielded(self._ending)

    def _end(self, work: Coroutine[Any, Any, _T]) -> Awaitable[_T]:
        ending = self._ending = Deferred.fromCoroutine(work)
        return _shielded(ending)

    async def _commit(self) -> FileAttributes:
        return await self._settled(self.inner.commit, self._published)

    async def _abort(self) -> None:
        await self._settled(self.inner.abort, None)

    async def _settled(
        self,
        work: Callable[[], Coroutine[Any, Any, _T]],
        done: Callable[[_T], None] | None,
    ) -> _T:
        claim = self._upload.claim
        await claim.acquire()
        try:
            try:
                result = await work()
                if done is not None:
                    done(result)
                    return result
            except BaseException:
                await self._lookAfter()
                raise
            await self._lookAfter()
            return result
        finally:
            claim.release()
            self._fileSystem.ended(self._upload)
            if claim.path != self._upload.path:
                await self._fileSystem.lookForPart(self._upload.owner, self._upload.path)

    def _published(self, attributes: FileAttributes) -> None:
        upload = self._upload
        claim = upload.claim
        # A part that somebody goes on with survives that the name is published.
        continued = any(
            each.resumes and each.owner == upload.owner and each is not upload
            for each in claim.uploads
        )
        part = None if continued else (upload.owner, None)
        claim.settle(attributes.size, part, over=upload)

    async def _lookAfter(self) -> None:
        """Not published: what is there instead?"""
        upload = self._upload
        claim = upload.claim
        published, part = claim.published, upload.size
        try:
            published, found = await self._fileSystem.sizes(claim.path)
        except FileHubError:
            # The worst is assumed, until it is counted again.
            found = part
        claim.settle(published, (upload.owner, found), over=upload)


def _shielded(deferred: Deferred[_T]) -> Deferred[_T]:
    """Wait for C{deferred}; cancelling the wait does not cancel what it waits for."""
    waiting: Deferred[_T] = Deferred(lambda _: None)

    def over(result: _T | Failure) -> None:
        if not waiting.called:
            waiting.callback(result)

    deferred.addBoth(over)
    return waiting


__all__ = ["QuotaWriteHandle"]
