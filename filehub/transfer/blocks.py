"""
File bytes in blocks of one size, for protocols whose packets are blocks.

Reading is random access within what was read ahead, as lost packets need.  Storage is
asked for pieces much larger than a block; what it can answer at once is used at once,
and only what has to wait goes through the reactor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from filehub.errors import FileHubError, StorageUnavailable
from filehub.handles import IPromptReads
from filehub.interfaces import IRateLimiter, IReadHandle
from filehub.transfer.eager import begin
from filehub.transfer.metering import TICK, meterOf, ratesOf
from filehub.transfer.translate import Translator
from filehub.transfer.windows import MEMORY, Shelf

#: Bytes that are read at once, unless a window is larger.
READ_AHEAD: Final = 64 * 1024
#: And no more than this: what storage gives at once if it can.
READ_LIMIT: Final = 256 * 1024

_log = Logger()


class RateGate:
    """
    Makes a transfer wait when its account's rate limit says so, and end when its transfer
    quota is used up.  For the quota no byte counts twice, however often it is sent.
    """

    def __init__(self, clock: IReactorTime, limiter: IRateLimiter | None) -> None:
        self._clock = clock
        self._limiter = ratesOf(limiter)
        self._meter = meterOf(limiter)
        self._reached = 0
        self.limited = limiter is not None
        self._call: IDelayedCall | None = None
        #: Called when it has opened again.
        self.opened: Callable[[], None] = lambda: None
        self.shut = False

    async def expect(self, nbytes: int) -> None:
        """
        A file of this length is about to move; it is set aside until L{close}.

        @raise QuotaExceeded: so much must not.
        @raise StorageUnavailable: nothing can be written down.
        """
        if self._meter is not None:
            self._meter.begin(nbytes)
            if self._meter.pending():
                await self._meter.written()

    def spend(self, nbytes: int, reached: int) -> None:
        """
        Account for bytes that move; may shut the gate for a while.

        @param reached: up to where in the file.
        @raise QuotaExceeded: they must not; and what else the quota raises.
        """
        wait = 0.0
        if self._meter is not None and reached > self._reached:
            self._meter.spend(reached - self._reached)
            self._reached = reached
            if self._meter.pending():
                wait = TICK
        if self._limiter is not None:
            wait = max(wait, self._limiter.grant(nbytes))
        if wait > 0:
            self._shut(wait)

    def _shut(self, seconds: float) -> None:
        if self._call is not None:
            self._call.cancel()
        self.shut = True
        self._call = self._clock.callLater(seconds, self._open)

    def close(self) -> None:
        """The transfer is over: never open again.  Idempotent."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        if self._meter is not None:
            self._meter.end()

    def _open(self) -> None:
        self._call = None
        self.shut = False
        self.opened()


def asError(error: Exception) -> FileHubError:
    """What a storage's failure means; what is none of its errors is our bug."""
    if isinstance(error, FileHubError):
        return error
    failure = Failure(error)  # type: ignore[no-untyped-call]
    _log.failure("storage failed in a way that it must not", failure)
    return StorageUnavailable()


def _wholeWindows(blksize: int, window: int, most: int) -> int:
    """Bytes to read at once, such that no window lies across two reads if nothing is lost."""
    unit = blksize * window
    return most // blksize * blksize if unit > most else unit * max(1, READ_AHEAD // unit)


class _Reader:
    """The part of reading that has to do with waiting."""

    def __init__(
        self,
        handle: IReadHandle,
        blksize: int,
        window: int,
        gate: RateGate,
        ready: Callable[[], None],
        failed: Callable[[FileHubError], None],
    ) -> None:
        """
        @param blksize: octets in a block.
        @param window: the most blocks that are taken at once.
        @param ready: called when blocks that were not there can be taken.
        @param failed: called when there will be no more.
        """
        self._handle = handle
        self._size = handle.attributes.size
        self._blksize = blksize
        self._piece = _wholeWindows(blksize, window, READ_LIMIT)
        self._window = window
        self._gate = gate
        gate.opened = self._announce
        self._ready = ready
        self._failed = failed
        self._reading: Deferred[object] | None = None
        #: What is being read.
        self._offset = self._length = 0
        self._wanted = False
        self._closed = False

    async def close(self) -> None:
        """Close the handle.  Nothing is called any more."""
        self._closed = True
        self._gate.close()
        if self._reading is not None:
            self._reading.cancel()
        await self._handle.close()

    def _read(self, offset: int) -> None:
        """Read the piece at C{offset}, one at a time; C{_arrived} may run before the return."""
        length = min(self._piece, self._size - offset)
        self._offset, self._length = offset, length
        self._reading = begin(self._handle.readAt(offset, length), self._came, self._broke)

    def _came(self, data: bytes) -> None:
        self._reading = None
        if self._closed:
            return
        if len(data) < self._length:
            # Its size was announced, and the client counts on it.
            self._failed(StorageUnavailable(None, "file changed while it was sent"))
            return
        self._arrived(self._offset, data)
        if self._wanted:
            self._announce()

    def _broke(self, error: Exception) -> None:
        self._reading = None
        if not self._closed:
            self._failed(asError(error))

    def _announce(self) -> None:
        if self._wanted and not self._gate.shut and not self._closed:
            self._wanted = False
            self._ready()

    def _mayMove(self, start: int, stop: int, base: int) -> bool:
        """Account for blocks that are about to be taken.  No: the transfer has failed."""
        try:
            self._gate.spend(stop - start, base + stop)
        except FileHubError as error:
            self._failed(error)
            return False
        return True

    def _arrived(self, offset: int, data: bytes) -> None:
        """A piece is here."""


class BlockReader(_Reader):
    """
    The blocks of a file as it is.

    The file's size when it was opened rules: what is appended meanwhile is not sent.

    Of what was taken, only the last is to be used: its memory is used again.
    """

    _start = 0
    _end = 0
    _view = memoryview(b"")
    #: A piece that was read and is not in use yet, and where it belongs.
    _ahead = b""
    _aheadAt = -1
    _slow = False
    #: Where windows are read to that storage has at hand, and the blocks if that is
    #: where the current piece is.
    _shelf: Shelf | None = None
    _blocks: Sequence[memoryview] | None = None

    @property
    def early(self) -> bool:
        """Does it cost nothing to take blocks some time before they are needed?"""
        return self._blocks is not None and not self._gate.limited

    def take(self, first: int, count: int) -> Sequence[bytes | memoryview] | None:
        """
        Up to C{count} blocks from block C{first} (1 is the first of all) on, in any
        order of calls.  The last block, and only it, is shorter than the others.
        L{None}: not yet, C{ready} will be called; or never, and C{failed} was.
        """
        if self._gate.shut:
            self._wanted = True
            return None
        if self._gate.limited:
            count = min(count, self._window)
        blksize, length = self._blksize, self._end
        start = (first - 1) * blksize - self._start
        stop = start + count * blksize
        if start < 0 or stop > length:
            if start >= 0 and self._start + length == self._size and start <= length:
                # The end of the file: the last block has what is left, maybe nothing.
                stop = length + 1
            elif 0 <= start < length:
                # The end of this piece; all its blocks are whole.
                stop = length
            elif self._install((first - 1) * blksize):
                return self.take(first, count)
            else:
                return None
        if self._gate.limited and not self._mayMove(start, min(stop, length), self._start):
            return None
        view = self._view
        if self._blocks is not None and stop <= length:
            return self._blocks[start // blksize : stop // blksize]
        return [view[each : each + blksize] for each in range(start, stop, blksize)]

    def _install(self, offset: int) -> bool:
        """Make the piece at C{offset} the current one, if it can be had at once."""
        if self._window > 1 and self._fill(offset):
            return True
        if self._aheadAt != offset:
            if self._reading is None:
                self._read(offset)
            if self._reading is not None:
                self._slow = self._wanted = True
                return False
            if self._aheadAt != offset:
                # It failed, and has been reported.
                return False
        self._start, self._end = offset, len(self._ahead)
        self._view, self._blocks = memoryview(self._ahead), None
        self._ahead, self._aheadAt = b"", -1
        following = offset + self._end
        if self._slow and following < self._size:
            # Storage that has to be waited for is asked before it is needed.
            self._read(following)
            self._slow = self._reading is not None
        return True

    def _fill(self, offset: int) -> bool:
        """The same without asking storage for an object, if it has the piece at hand."""
        if self._shelf is None:
            prompt = IPromptReads(self._handle, None)
            if prompt is None or offset >= self._size:
                return False
            piece = _wholeWindows(self._blksize, self._window, max(MEMORY, self._blksize))
            whole = -(-self._size // self._blksize) * self._blksize
            self._shelf = Shelf(prompt, self._blksize, min(piece, whole))
        shelf = self._shelf
        length = min(shelf.capacity, self._size - offset)
        if self._blocks is not None:
            # Whatever comes of it, the piece that was there is not any more.
            self._start = self._end = 0
            self._view, self._blocks = memoryview(b""), None
        if not shelf.fill(offset, length):
            return False
        self._start, self._end = offset, length
        self._view, self._blocks = shelf.memory[:length], shelf.blocks
        return True

    def _arrived(self, offset: int, data: bytes) -> None:
        self._ahead, self._aheadAt = data, offset


class TranslatedReader(_Reader):
    """
    The blocks of a file whose line ends are converted on the way.

    What was taken can be taken again as far back as two windows.
    """

    #: Not before it is needed: that would be a window less to go back.
    early = False

    def __init__(
        self,
        handle: IReadHandle,
        blksize: int,
        window: int,
        gate: RateGate,
        ready: Callable[[], None],
        failed: Callable[[FileHubError], None],
        translator: Translator,
    ) -> None:
        super().__init__(handle, blksize, window, gate, ready, failed)
        self._translator = translator
        self._keep = 2 * blksize * window
        self._buffer = bytearray()
        #: Where the buffer begins in the converted file.
        self._start = 0
        #: How much of the file itself was read.
        self._position = 0
        self._ended = False

    def take(self, first: int, count: int) -> Sequence[bytes | memoryview] | None:
        """See L{BlockReader.take}."""
        if self._gate.limited:
            count = min(count, self._window)
        blksize = self._blksize
        start = (first - 1) * blksize - self._start
        stop = start + count * blksize
        while len(self._buffer) < stop and not self._ended and self._reading is None:
            if self._position < self._size:
                before = self._position
                self._read(before)
                if self._reading is None and self._position == before:
                    # It failed, and has been reported.
                    return None
            else:
                self._buffer += self._translator.finish()
                self._ended = True
        if self._gate.shut or (self._reading is not None and len(self._buffer) < stop):
            self._wanted = True
            return None
        if self._gate.limited:
            if not self._mayMove(start, min(stop, len(self._buffer)), self._start):
                return None
        places = range(start, min(stop, len(self._buffer) + 1), blksize)
        blocks = [bytes(self._buffer[each : each + blksize]) for each in places]
        if start > self._keep:
            self._start += start - self._keep
            del self._buffer[: start - self._keep]
        return blocks

    def _arrived(self, offset: int, data: bytes) -> None:
        self._position = offset + len(data)
        self._buffer += self._translator.feed(data)


__all__ = [
    "READ_AHEAD",
    "BlockReader",
    "RateGate",
    "TranslatedReader",
    "asError",
]
