"""
The loops that move file bytes; there are no others.

L{send} and L{receive} choose between two ways and sessions never know which: the
kernel path of L{filehub.transfer._kernel} where there is a descriptor on both ends
and nothing to translate, else the copy loops here, which keep one read ahead, or one
write behind, while the other end is busy.  The rules are the same on both:

  - a source that ends early is an error, never padding;
  - only a clean end of the stream, or exactly the announced length, is success;
  - nobody commits here;
  - after each MiB the reactor gets its turn.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Final, Literal

from twisted.internet.defer import Deferred

from filehub.errors import FileHubError, PeerGone, Stalled, StorageUnavailable
from filehub.interfaces import (
    IBudgeted,
    IDescriptorBacked,
    IRateLimiter,
    IReadHandle,
    IWriteHandle,
)
from filehub.transfer import _kernel
from filehub.transfer.progress import Progress, TransferReport
from filehub.transfer.ratelimit import obey
from filehub.transfer.stream import ByteStream
from filehub.transfer.translate import Translator

#: Bytes that the copy loops read or write at a time.
STEP: Final = 256 * 1024
#: The same for an upload that keeps the socket full: half the CPU per byte, as the
#: worker is asked less often.  Slow uploads, of which there may be many, do not get
#: so much memory.
FAST_STEP: Final = 1024 * 1024
#: The same with a bandwidth limit, so that traffic stays even.
LIMITED_STEP: Final = 32 * 1024
#: After so many bytes other sessions have their turn.
TURN: Final = 1024 * 1024
#: A smaller file is sent faster by copying.
_SENDFILE_FROM: Final = 64 * 1024
#: Up to this size an upload is one write, as quick as that can be.
_SMALL: Final = 64 * 1024
#: How much is copied where the kernel path could not go on, before it is tried again.
_DETOUR: Final = 4 * 1024 * 1024


async def send(
    source: IReadHandle,
    stream: ByteStream,
    *,
    offset: int = 0,
    length: int | None = None,
    encoder: Translator | None = None,
    limiter: IRateLimiter | None = None,
    progress: Progress | None = None,
) -> TransferReport:
    """
    Send a file, as long as it was when it was opened, or C{length} bytes of it.
    Ends neither the stream nor the handle.

    @param offset: where to start, bytes.
    @param encoder: applied to what is read.
    @raise PeerGone: and L{Stalled}; the stream is then still to be aborted.
    @raise StorageUnavailable: the file has become shorter meanwhile.
    """
    if length is None:
        length = max(0, source.attributes.size - offset)
    if progress is None:
        progress = Progress()
    try:
        if encoder is None and length > _SENDFILE_FROM and stream.kernelSocket is not None:
            backed = IDescriptorBacked(source, None)
            if backed is not None and _kernel.AVAILABLE:
                with backed.lease() as descriptor:
                    return await _sendByKernel(
                        source, descriptor, stream, offset, offset + length, limiter, progress
                    )
        await _sendCopying(source, stream, offset, offset + length, encoder, limiter, progress)
        return TransferReport(progress.nbytes, "copy")
    except PeerGone:
        if progress.stalled:
            raise Stalled from None
        raise
    finally:
        progress.end()


async def receive(
    stream: ByteStream,
    target: IWriteHandle,
    *,
    length: int | None = None,
    decoder: Translator | None = None,
    limiter: IRateLimiter | None = None,
    progress: Progress | None = None,
) -> TransferReport:
    """
    Store what the peer sends, from C{target.position} on, up to its clean end.  Ends
    neither the stream nor the handle: whoever called commits, or aborts.

    @param length: exactly so many bytes of the stream, and not one more.
    @param decoder: applied to what arrives.
    @raise PeerGone: the stream was reset, or ended before C{length}.  What had
        arrived is stored.
    @raise Stalled: the same, after too long a silence.
    """
    if progress is None:
        progress = Progress()
    try:
        if decoder is None and _kernel.AVAILABLE:
            backed = IDescriptorBacked(target, None)
            if backed is not None:
                return await _receiveByKernel(stream, target, backed, length, limiter, progress)
        await _copyIn(stream, target, target.position, length, None, decoder, limiter, progress)
        return TransferReport(progress.nbytes, "copy")
    except PeerGone:
        if progress.stalled:
            raise Stalled from None
        raise
    finally:
        progress.end()


async def sendChunks(
    chunks: AsyncIterable[bytes],
    stream: ByteStream,
    *,
    encoder: Translator | None = None,
    limiter: IRateLimiter | None = None,
    progress: Progress | None = None,
) -> TransferReport:
    """
    Send what is made while it is sent, such as a listing.

    @raise PeerGone: and L{Stalled}; the stream is then still to be aborted.
    """
    if progress is None:
        progress = Progress()
    turn = 0
    try:
        async for chunk in chunks:
            size = len(chunk)
            data = encoder.feed(chunk) if encoder is not None else chunk
            if data:
                await _write(stream, data, progress)
            progress.nbytes += size
            if limiter is not None:
                await obey(limiter, len(data), stream, progress)
            turn += size
            if turn >= TURN:
                turn = 0
                await stream.pause(0)
        if encoder is not None and (rest := encoder.finish()):
            await _write(stream, rest, progress)
        return TransferReport(progress.nbytes, "copy")
    except PeerGone:
        if progress.stalled:
            raise Stalled from None
        raise
    finally:
        progress.end()


async def _write(stream: ByteStream, data: bytes, progress: Progress) -> None:
    progress.watch(stream)
    await stream.write(data)


async def _sendByKernel(
    source: IReadHandle,
    descriptor: int,
    stream: ByteStream,
    offset: int,
    end: int,
    limiter: IRateLimiter | None,
    progress: Progress,
) -> TransferReport:
    path: Literal["kernel", "copy"] = "copy"
    while offset < end:
        reached = await _kernel.sendFile(descriptor, stream, offset, end, limiter, progress)
        if reached > offset:
            path = "kernel"
            offset = reached
        if offset < end:
            stop = min(end, offset + _DETOUR)
            await _sendCopying(source, stream, offset, stop, None, limiter, progress)
            offset = stop
    return TransferReport(progress.nbytes, path)


async def _sendCopying(
    source: IReadHandle,
    stream: ByteStream,
    offset: int,
    end: int,
    encoder: Translator | None,
    limiter: IRateLimiter | None,
    progress: Progress,
) -> None:
    step = STEP if limiter is None else LIMITED_STEP
    turn = 0
    ahead: Deferred[bytes] | None = None
    try:
        while offset < end:
            if ahead is None:
                chunk = await source.readAt(offset, min(step, end - offset))
            else:
                pending, ahead = ahead, None
                chunk = await pending
            if not chunk:
                raise StorageUnavailable(None, "the file became shorter while it was sent")
            size = len(chunk)
            offset += size
            if offset < end:
                ahead = Deferred.fromCoroutine(source.readAt(offset, min(step, end - offset)))
            data = encoder.feed(chunk) if encoder is not None else chunk
            if data:
                await _write(stream, data, progress)
            progress.nbytes += size
            if limiter is not None:
                await obey(limiter, len(data), stream, progress)
            turn += size
            if turn >= TURN:
                turn = 0
                await stream.pause(0)
        if encoder is not None and (rest := encoder.finish()):
            await _write(stream, rest, progress)
    finally:
        if ahead is not None:
            ahead.addErrback(lambda _: None)
            ahead.cancel()


class _WriteBehind:
    """
    Writes to a handle, one at a time, while more is being received.

    Small pieces are gathered: a worker's hop per packet would cost more than the
    packet.

    @ivar enough: bytes that are worth a write.
    """

    __slots__ = ("_gathered", "_pending", "_position", "_size", "_target", "enough")

    def __init__(self, target: IWriteHandle, position: int) -> None:
        self._target = target
        self._position = position
        self.enough = STEP
        self._gathered: list[bytes] = []
        self._size = 0
        self._pending: Deferred[None] | None = None

    async def add(self, data: bytes) -> None:
        """Store this, now or soon; waits when a write is behind already."""
        if data:
            self._gathered.append(data)
            self._size += len(data)
            if self._size >= self.enough:
                await self._start()

    async def flush(self) -> None:
        """Everything added is stored."""
        if self._gathered:
            await self._start()
        await self._settle()

    async def giveUp(self) -> None:
        """Wait until no write is going on; its outcome does not matter any more."""
        pending, self._pending = self._pending, None
        if pending is not None:
            # The write itself cannot be stopped; the handle must not end under it.
            try:
                await _shielded(pending)
            except FileHubError:
                return

    async def _start(self) -> None:
        await self._settle()
        data = self._gathered[0] if len(self._gathered) == 1 else b"".join(self._gathered)
        self._gathered.clear()
        self._size = 0
        position, self._position = self._position, self._position + len(data)
        self._pending = Deferred.fromCoroutine(self._target.writeAt(position, data))

    async def _settle(self) -> None:
        pending = self._pending
        if pending is not None:
            await _shielded(pending)
            self._pending = None


def _shielded(deferred: Deferred[None]) -> Deferred[None]:
    """Wait for C{deferred}; cancelling the wait does not cancel what it waits for."""
    waiting: Deferred[None] = Deferred(lambda _: None)

    def over(result: object) -> None:
        if not waiting.called:
            waiting.callback(result)  # type: ignore[arg-type]

    deferred.addBoth(over)
    return waiting


async def _receiveByKernel(
    stream: ByteStream,
    target: IWriteHandle,
    backed: IDescriptorBacked,
    length: int | None,
    limiter: IRateLimiter | None,
    progress: Progress,
) -> TransferReport:
    position: int = target.position
    end = None if length is None else position + length
    budgeted = IBudgeted(target, None)
    spend = None if budgeted is None else budgeted.spend
    path: Literal["kernel", "copy"] = "copy"

    async def copy(budget: int) -> bool:
        nonlocal position
        left = None if end is None else end - position
        got, ended = await _copyIn(stream, target, position, left, budget, None, limiter, progress)
        position += got
        return ended

    if await copy(_SMALL):
        return TransferReport(progress.nbytes, path)
    with backed.lease() as descriptor:
        ended = False
        while not ended:
            if stream.kernelSocket is not None:
                left = None if end is None else end - position
                received = await _kernel.receiveFile(
                    stream, descriptor, position, left, limiter, progress, spend
                )
                if received.position > position:
                    path = "kernel"
                position, ended = received.position, received.ended
                if received.rest:
                    # Counted first, as everywhere: it was taken from the stream.
                    progress.nbytes += len(received.rest)
                    await target.writeAt(position, received.rest)
                    position += len(received.rest)
            if not ended:
                ended = await copy(_DETOUR)
    return TransferReport(progress.nbytes, path)


async def _copyIn(
    stream: ByteStream,
    target: IWriteHandle,
    position: int,
    length: int | None,
    budget: int | None,
    decoder: Translator | None,
    limiter: IRateLimiter | None,
    progress: Progress,
) -> tuple[int, bool]:
    """
    Receive by copying: up to the end, to C{length}, or until C{budget} is used up.
    Returns the bytes that were stored and whether that was the end.
    """
    step = STEP if limiter is None else LIMITED_STEP
    behind = _WriteBehind(target, position)
    received = turn = 0
    ended = length is not None and received >= length
    try:
        try:
            while not ended and (budget is None or received < budget):
                wanted = step if length is None else min(step, length - received)
                if budget is not None:
                    wanted = min(wanted, budget - received)
                progress.watch(stream)
                data = await stream.read(wanted)
                size = len(data)
                if limiter is None:
                    # The socket had more, or hardly anything: take more, or less.
                    if size == wanted or size >= STEP:
                        step = behind.enough = min(2 * step, FAST_STEP)
                    elif size < STEP // 4:
                        step = behind.enough = STEP
                if not size:
                    if length is not None:
                        raise PeerGone("connection ended before all data was received")
                    ended = True
                    break
                received += size
                ended = received == length
                if decoder is not None:
                    data = decoder.feed(data)
                progress.nbytes += len(data)
                await behind.add(data)
                if limiter is not None:
                    await obey(limiter, size, stream, progress)
                turn += size
                if turn >= TURN:
                    turn = 0
                    await stream.pause(0)
        except PeerGone:
            # A broken upload can be resumed from all that has arrived.
            await behind.flush()
            raise
        if decoder is not None and ended and (rest := decoder.finish()):
            progress.nbytes += len(rest)
            await behind.add(rest)
        await behind.flush()
    except BaseException:
        await behind.giveUp()
        raise
    return received, ended


__all__ = ["Progress", "TransferReport", "receive", "send", "sendChunks"]
