"""
Regular files that are being read or written.
"""

from __future__ import annotations

import errno
import os
from contextlib import AbstractContextManager
from typing import Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from filehub.attributes import FileAttributes
from filehub.handles import IPromptReads
from filehub.interfaces import IDescriptorBacked, IReadHandle, ISparse, IWriteHandle
from filehub.paths import VirtualPath
from filehub.vfs._drafts import Draft
from filehub.vfs._facts import Facts
from filehub.vfs._openfile import InPlace, OpenFile, closed
from filehub.vfs._oserrors import errorFor
from filehub.views import IStoresAtOnce

_T = TypeVar("_T")
_log = Logger()

#: Reads up to this many bytes are first tried on the calling thread.
_QUICK_READ: Final = 256 * 1024
#: Writes up to this many bytes may be made on the calling thread.
_QUICK_WRITE: Final = 64 * 1024
#: Closing a file that was unlinked meanwhile frees its blocks, which takes time
#: in proportion to them.
_QUICK_CLOSE: Final = 4 * 1024 * 1024
#: Naming a file up to this many bytes may happen on the calling thread.  It is not
#: the name that takes time: ext4 allocates the blocks of what replaces a file.
_QUICK_ENDING: Final = 1024 * 1024


@implementer(IReadHandle, IDescriptorBacked, IPromptReads, ISparse)
class LocalReadHandle:
    """
    A regular file that is being read.

    @param scratch: a buffer for reads on the calling thread, shared by all handles.
    """

    def __init__(
        self,
        file: OpenFile,
        attributes: FileAttributes,
        path: VirtualPath,
        inPlace: InPlace,
        readFlags: int | None,
        scratch: memoryview,
    ) -> None:
        self.attributes = attributes
        self._file = file
        self._path = path
        self._inPlace = inPlace
        # For preadv: RWF_NOWAIT; 0 where memory is all there is; None: never try.
        self._readFlags = readFlags if inPlace.cached else None
        self._scratch = scratch
        self._closed = False

    async def readAt(self, offset: int, length: int) -> bytes:
        """See L{IReadHandle.readAt}."""
        if self._closed:
            raise closed()
        got = 0
        if self._readFlags is not None and length <= _QUICK_READ:
            got, atEnd = self._readCached(offset, self._scratch[:length], self._readFlags)
            if got == length or atEnd:
                return bytes(self._scratch[:got])
        start = bytes(self._scratch[:got])
        try:
            rest = await self._file.work(
                _readFully, self._file.descriptor, offset + got, length - got
            )
        except OSError as error:
            raise errorFor(error, self._path) from error
        return start + rest if start else rest

    def _readCached(self, offset: int, buffer: memoryview, flags: int) -> tuple[int, bool]:
        """How much of it is at hand, now in the buffer, and was that the end?"""
        got = 0
        try:
            while got < len(buffer):
                count = os.preadv(self._file.descriptor, [buffer[got:]], offset + got, flags)
                if not count:
                    return got, True
                got += count
        except BlockingIOError:
            pass
        except OSError:
            # This file system cannot tell, or the disk cannot read: a worker finds out.
            self._readFlags = None
        return got, False

    def readNow(self, offset: int, buffer: memoryview) -> int:
        """See L{IPromptReads.readNow}."""
        if self._closed or self._readFlags is None:
            return 0
        return self._readCached(offset, buffer, self._readFlags)[0]

    async def close(self) -> None:
        """See L{IReadHandle.close}."""
        if not self._closed:
            self._closed = True
            self._file.close(small=self.attributes.size <= _QUICK_CLOSE)
            await self._file.idle()

    def lease(self) -> AbstractContextManager[int]:
        """See L{IDescriptorBacked.lease}."""
        return self._file.lease()

    async def nextData(self, offset: int) -> tuple[int, int]:
        """See L{ISparse.nextData}."""
        if self._closed:
            raise closed()
        try:
            return await self._file.work(_nextData, self._file.descriptor, offset)
        except OSError as error:
            raise errorFor(error, self._path) from error


def _nextData(descriptor: int, offset: int) -> tuple[int, int]:
    try:
        # Reading and writing have offsets of their own: moving this one is no matter.
        start = os.lseek(descriptor, offset, os.SEEK_DATA)
        return start, os.lseek(descriptor, start, os.SEEK_HOLE)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        size = os.fstat(descriptor).st_size
        return size, size


def _readFully(descriptor: int, offset: int, length: int) -> bytes:
    data = os.pread(descriptor, length, offset)
    if len(data) == length or not data:
        return data
    parts = [data]
    got = len(data)
    while got < length:
        data = os.pread(descriptor, length - got, offset + got)
        if not data:
            break
        parts.append(data)
        got += len(data)
    return b"".join(parts)


def _writeFully(descriptor: int, offset: int, data: bytes) -> None:
    written = os.pwrite(descriptor, data, offset)
    if written < len(data):
        view = memoryview(data)
        while written < len(data):
            written += os.pwrite(descriptor, view[written:], offset + written)


@implementer(IWriteHandle, IDescriptorBacked, IStoresAtOnce)
class LocalWriteHandle:
    """
    A L{Draft} that is being written.

    @param root: the tree's; the endings need it.
    """

    def __init__(
        self, draft: Draft, path: VirtualPath, facts: Facts, inPlace: InPlace, root: OpenFile
    ) -> None:
        self.position = draft.position
        self._draft = draft
        self._file = OpenFile(draft.descriptor, root.workers, root)
        self._path = path
        self._facts = facts
        self._inPlace = inPlace
        self._ending = False
        self._ended = False

    async def writeAt(self, offset: int, data: bytes) -> None:
        """See L{IWriteHandle.writeAt}."""
        if self._ending:
            raise closed()
        try:
            if len(data) <= _QUICK_WRITE and self._inPlace.bet:
                self._inPlace.run(_writeFully, self._file.descriptor, offset, data)
            else:
                await self._file.work(_writeFully, self._file.descriptor, offset, data)
        except OSError as error:
            raise errorFor(error, self._path) from error

    async def commit(self) -> FileAttributes:
        """See L{IWriteHandle.commit}."""
        if self._ending:
            raise closed()
        self._ending = True
        # Cancelled here, it is not ended yet, and an abort does end it.
        await self._file.idle()
        self._ended = True
        quick = self._isQuick()
        try:
            if not quick:
                return await self._file.work(_publishAndTell, self._draft, self._facts, always=True)
            self._inPlace.run(_publish, self._draft)
            status = os.fstat(self._file.descriptor)
            if self._facts.known(status):
                return self._facts.attributes(status)
            return await self._file.work(self._facts.attributes, status, always=True)
        except OSError as error:
            raise errorFor(error, self._path) from error
        finally:
            self._file.close(small=quick)

    def storeAtOnce(self, content: bytes) -> bool:
        """See L{IStoresAtOnce.storeAtOnce}."""
        if self._ending or self.position or len(content) > _QUICK_WRITE:
            return False
        if not (self._draft.prompt and self._inPlace.bet):
            return False
        try:
            self._inPlace.run(self._storeWhole, content)
        except OSError as error:
            raise errorFor(error, self._path) from error
        return True

    def _storeWhole(self, content: bytes) -> None:
        _writeFully(self._draft.descriptor, 0, content)
        self._ending = self._ended = True
        try:
            _publish(self._draft)
        finally:
            self._file.close(small=True)

    def _isQuick(self) -> bool:
        """Is the work at the end one for the calling thread?"""
        if not (self._draft.prompt and self._inPlace.bet):
            return False
        try:
            return os.fstat(self._file.descriptor).st_size <= _QUICK_ENDING
        except OSError:
            # A disk in such a state is no place for bets.
            return False

    async def abort(self) -> None:
        """See L{IWriteHandle.abort}."""
        if self._ended:
            return
        self._ending = self._ended = True
        try:
            await self._file.idle()
        except CancelledError:
            self._file.whenIdle(self._abandonUnwatched)
            raise
        quick = self._isQuick()
        try:
            if quick:
                self._inPlace.run(_abandon, self._draft)
            else:
                await self._file.work(_abandon, self._draft, always=True)
        except OSError as error:
            raise errorFor(error, self._path) from error
        finally:
            self._file.close(small=quick)

    def _abandonUnwatched(self) -> None:
        done = Deferred.fromCoroutine(self._file.work(_abandon, self._draft, always=True))
        done.addErrback(_logFailure)
        self._file.close(small=False)

    def lease(self) -> AbstractContextManager[int]:
        """See L{IDescriptorBacked.lease}."""
        return self._file.lease()


def _logFailure(failure: Failure) -> None:
    _log.failure("cannot abandon an upload", failure)


def _publish(draft: Draft) -> None:
    try:
        draft.publish()
    except BaseException:
        _abandon(draft)
        raise
    draft.close()


def _publishAndTell(draft: Draft, facts: Facts) -> FileAttributes:
    _publish(draft)
    return facts.attributes(os.fstat(draft.descriptor))


def _abandon(draft: Draft) -> None:
    try:
        draft.abandon()
    finally:
        draft.close()
