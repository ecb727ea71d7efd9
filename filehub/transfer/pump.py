"""
The loops that move file bytes; there are no others.

L{send} and L{receive} choose between two ways and sessions never know which: the
kernel path of L{filehub.transfer._kernel} where there is a descriptor on both ends
and nothing to translate, else the copy loops here, which keep one read ahead, or one
write behind, while the other end is busy.  The rules are the same on both:

  - a source that ends early is an error, never padding;
  - only a clean end of the stream, or exactly the announced length, is success;
  - nobody commits here;
  - after each MiB the reactor gets its turn, and sooner where decoding takes time.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterator
from typing import Final, Literal

from twisted.internet.defer import Deferred

from filehub.errors import PeerGone, Stalled, StorageUnavailable
from filehub.interfaces import (
    IDescriptorBacked,
    IRateLimiter,
    IReadHandle,
    ISparse,
    IWriteHandle,
)
from filehub.transfer import _encrypted, _kernel
from filehub.transfer.elements import Content, Decoder, Encoder, Hole
from filehub.transfer.metering import ratesOf
from filehub.transfer.outgoing import TURN, Outgoing
from filehub.transfer.progress import Progress, TransferReport
from filehub.transfer.ratelimit import Allowance, allowance
from filehub.transfer.sockets import SocketStream
from filehub.transfer.stream import ByteStream
from filehub.transfer.tlsstreams import TLSDataStream
from filehub.transfer.translate import Translator
from filehub.transfer.writebehind import STEP, WriteBehind
from filehub.usage import IBudgeted

#: The same for an upload that keeps the socket full: half the CPU per byte, as the
#: worker is asked less often.  Slow uploads, of which there may be many, do not get
#: so much memory.
FAST_STEP: Final = 1024 * 1024
#: A smaller file is sent faster by copying.
_SENDFILE_FROM: Final = 64 * 1024
#: Up to this size an upload is one write, as quick as that can be.
_SMALL: Final = 64 * 1024
#: How much is copied where the kernel path could not go on, before it is tried again.
_DETOUR: Final = 4 * 1024 * 1024


class _Ending:
    """
    The end of a transfer, however it comes: nobody watches any more, what was set aside
    and not used is given back, and a peer that was given up has stalled.
    """

    __slots__ = ("_allowed", "_progress")

    def __init__(self, progress: Progress, allowed: Allowance | None = None) -> None:
        self._progress = progress
        self._allowed = allowed

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._progress.end()
        if self._allowed is not None:
            self._allowed.giveBack()
        if isinstance(error, PeerGone) and self._progress.stalled:
            raise Stalled from None


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
    @raise QuotaExceeded: so much must not be sent.
    """
    if length is None:
        length = max(0, source.attributes.size - offset)
    if progress is None:
        progress = Progress()
    allowed = allowance(limiter)
    with _Ending(progress, allowed):
        if allowed is not None:
            allowed.begin(length)
        if encoder is None and length > _SENDFILE_FROM and _isDirect(stream, allowed):
            backed = IDescriptorBacked(source, None)
            if backed is not None and _kernel.AVAILABLE:
                with backed.lease() as descriptor:
                    return await _sendByDescriptor(
                        source, descriptor, stream, offset, offset + length, allowed, progress
                    )
        await _sendCopying(source, stream, offset, offset + length, encoder, allowed, progress)
        return TransferReport(progress.nbytes, "copy")


async def receive(
    stream: ByteStream,
    target: IWriteHandle,
    *,
    length: int | None = None,
    decoder: Translator | Decoder | None = None,
    limiter: IRateLimiter | None = None,
    progress: Progress | None = None,
    marked: Callable[[str, int], None] | None = None,
    begun: bytes = b"",
) -> TransferReport:
    """
    Store what the peer sends, from C{target.position} on, up to its clean end.  Ends
    neither the stream nor the handle: whoever called commits, or aborts.

    @param length: exactly so many bytes of the stream, and not one more.
    @param decoder: applied to what arrives; a L{Decoder} may also know the end.
    @param marked: called with each restart marker that arrives and the offset in the
        file up to which everything was stored by then.
    @param begun: what L{gather} took before, of a file that is longer.
    @raise PeerGone: the stream was reset, or ended before C{length}.  What had
        arrived is stored.
    @raise Stalled: the same, after too long a silence.
    @raise CorruptData: what arrives breaks the rules of C{decoder}.
    @raise QuotaExceeded: so much must not be received.
    """
    if progress is None:
        progress = Progress()
    allowed = allowance(limiter)
    position: int = target.position
    with _Ending(progress, allowed):
        if allowed is not None:
            allowed.begin(length or 0)
        if begun:
            await target.writeAt(position, begun)
            position += len(begun)
        if decoder is None and _kernel.AVAILABLE:
            backed = IDescriptorBacked(target, None)
            if backed is not None:
                return await _receiveByDescriptor(
                    stream, target, position, backed, length, allowed, progress
                )
        if isinstance(decoder, Decoder):
            await _unpack(stream, target, position, decoder, allowed, progress, marked)
        else:
            await _copyIn(stream, target, position, length, None, decoder, allowed, progress)
        return TransferReport(progress.nbytes, "copy")


async def gather(stream: SocketStream, pieces: list[bytes], progress: Progress) -> bool:
    """
    Take the beginning of what the peer sends, which may be all of it, and store nothing.
    Whoever calls watches the first few seconds.

    @param pieces: gets it.
    @return: is that all?  Else L{receive} goes on.
    @raise PeerGone: as L{receive}, and L{Stalled}.
    """
    with _Ending(progress):
        return await stream.gather(_SMALL, pieces, progress)


async def sendChunks(
    chunks: AsyncIterable[bytes],
    stream: ByteStream,
    *,
    encoder: Translator | None = None,
    limiter: IRateLimiter | None = None,
    progress: Progress | None = None,
) -> TransferReport:
    """
    Send what is made while it is sent, such as a listing; it counts for no quota.

    @raise PeerGone: and L{Stalled}; the stream is then still to be aborted.
    """
    if progress is None:
        progress = Progress()
    allowed = allowance(ratesOf(limiter))
    outgoing = Outgoing(stream, encoder, allowed, progress)
    with _Ending(progress, allowed):
        async for chunk in chunks:
            await outgoing.put(chunk)
        await outgoing.end()
        return TransferReport(progress.nbytes, "copy")


def _isDirect(stream: ByteStream, allowed: Allowance | None) -> bool:
    """Is there a way between the file's descriptor and the stream?"""
    return stream.kernelSocket is not None or (
        allowed is None and isinstance(stream, TLSDataStream)
    )


async def _sendByDescriptor(
    source: IReadHandle,
    descriptor: int,
    stream: ByteStream,
    offset: int,
    end: int,
    allowed: Allowance | None,
    progress: Progress,
) -> TransferReport:
    path: Literal["kernel", "copy"] = "copy"
    while offset < end:
        if isinstance(stream, TLSDataStream):
            offset = await _encrypted.sendFile(descriptor, stream, offset, end, progress)
        else:
            reached = await _kernel.sendFile(descriptor, stream, offset, end, allowed, progress)
            if reached > offset:
                path = "kernel"
                offset = reached
        if offset < end:
            stop = min(end, offset + _DETOUR)
            await _sendCopying(source, stream, offset, stop, None, allowed, progress)
            offset = stop
    return TransferReport(progress.nbytes, path)


async def _sendCopying(
    source: IReadHandle,
    stream: ByteStream,
    offset: int,
    end: int,
    encoder: Translator | None,
    allowed: Allowance | None,
    progress: Progress,
) -> None:
    step = STEP if allowed is None else min(STEP, allowed.step)
    outgoing = Outgoing(stream, encoder, allowed, progress)
    sparse = ISparse(source, None) if isinstance(encoder, Encoder) and encoder.skipsHoles else None
    stop = end if sparse is None else offset
    ahead: Deferred[bytes] | None = None
    try:
        while offset < end:
            if sparse is not None and offset >= stop:
                start, stop = await sparse.nextData(offset)
                start, stop = min(start, end), min(stop, end)
                await outgoing.skip(start - offset)
                offset = start
                if start >= stop:
                    continue
            if ahead is None:
                chunk = await source.readAt(offset, min(step, stop - offset))
            else:
                pending, ahead = ahead, None
                chunk = await pending
            if not chunk:
                raise StorageUnavailable(None, "the file became shorter while it was sent")
            offset += len(chunk)
            if offset < stop:
                ahead = Deferred.fromCoroutine(source.readAt(offset, min(step, stop - offset)))
            await outgoing.put(chunk)
        await outgoing.end()
    finally:
        if ahead is not None:
            ahead.addErrback(lambda _: None)
            ahead.cancel()


async def _receiveByDescriptor(
    stream: ByteStream,
    target: IWriteHandle,
    position: int,
    backed: IDescriptorBacked,
    length: int | None,
    allowed: Allowance | None,
    progress: Progress,
) -> TransferReport:
    end = None if length is None else position + length
    budgeted = IBudgeted(target, None)
    spend = None if budgeted is None else budgeted.spend
    path: Literal["kernel", "copy"] = "copy"

    async def copy(budget: int) -> bool:
        nonlocal position
        left = None if end is None else end - position
        got, ended = await _copyIn(stream, target, position, left, budget, None, allowed, progress)
        position += got
        return ended

    if await copy(_SMALL):
        return TransferReport(progress.nbytes, path)
    with backed.lease() as descriptor:
        ended = False
        while not ended:
            if _isDirect(stream, allowed):
                left = None if end is None else end - position
                if isinstance(stream, TLSDataStream):
                    received = await _encrypted.receiveFile(
                        stream, descriptor, position, left, progress, spend
                    )
                else:
                    received = await _kernel.receiveFile(
                        stream, descriptor, position, left, allowed, progress, spend
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
    allowed: Allowance | None,
    progress: Progress,
) -> tuple[int, bool]:
    """
    Receive by copying: up to the end, to C{length}, or until C{budget} is used up.
    Returns the bytes that were stored and whether that was the end.
    """
    step = STEP if allowed is None else min(STEP, allowed.step)
    behind = WriteBehind(target, position)
    received = turn = 0
    ended = length is not None and received >= length
    try:
        try:
            while not ended and (budget is None or received < budget):
                wanted = step if length is None else min(step, length - received)
                if budget is not None:
                    wanted = min(wanted, budget - received)
                if allowed is not None:
                    wanted = await allowed.some(wanted, stream, progress, looking=True)
                progress.watch(stream)
                data = await stream.read(wanted)
                size = len(data)
                if allowed is not None:
                    allowed.use(size)
                else:
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


async def _unpack(
    stream: ByteStream,
    target: IWriteHandle,
    position: int,
    decoder: Decoder,
    allowed: Allowance | None,
    progress: Progress,
    marked: Callable[[str, int], None] | None,
) -> None:
    """
    Receive what stands for a file.  How many bytes come out is never known before, so
    they are stored, and others have their turn, one piece after another.
    """
    behind = WriteBehind(target, position)
    turn = 0

    async def store(contents: Iterator[Content]) -> None:
        nonlocal turn
        for content in contents:
            if isinstance(content, bytes):
                progress.nbytes += len(content)
                turn += len(content)
                await behind.add(content)
            elif isinstance(content, Hole):
                progress.nbytes += content.length
                await behind.skip(content.length)
            elif marked is not None:
                marked(content.marker, await behind.flush())
            if turn >= TURN or (turn and decoder.isSlow):
                turn = 0
                await stream.pause(0)

    try:
        try:
            while not decoder.isComplete:
                wanted = STEP
                if allowed is not None:
                    wanted = min(STEP, allowed.step)
                    wanted = await allowed.some(wanted, stream, progress, looking=True)
                progress.watch(stream)
                data = await stream.read(wanted)
                if not data:
                    break
                if allowed is not None:
                    allowed.use(len(data))
                for start in range(0, len(data), decoder.step):
                    if start:
                        await stream.pause(0)
                    await store(decoder.feed(data[start : start + decoder.step]))
            await store(decoder.finish())
        except PeerGone:
            # A broken upload can be resumed from all that has arrived.
            await behind.flush()
            raise
        await behind.end()
    except BaseException:
        await behind.giveUp()
        raise


__all__ = ["Progress", "TransferReport", "gather", "receive", "send", "sendChunks"]
