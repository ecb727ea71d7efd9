"""
File bytes that enter this process only to be encrypted or decrypted.  Imported by the
pump only.

The same as L{filehub.transfer._kernel} with TLS between the file and the socket: the
bytes pass one buffer that all transfers share, whoever fills it empties it before
anybody else has a turn, and nothing is allocated on the way.  Here too the loops end
where a disk would have to be waited for, or has to be suspected of it, and they never
fail for the storage's sake.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from filehub.errors import PeerGone, StorageUnavailable
from filehub.transfer import _kernel
from filehub.transfer._kernel import Received
from filehub.transfer.outgoing import TURN
from filehub.transfer.progress import Progress
from filehub.transfer.tlsstreams import TLSDataStream

#: The most that is encrypted before it is sent, and decrypted before it is stored.
_STEP: Final = 512 * 1024
#: The same for a peer that does not take everything at once: what is encrypted has to
#: be kept for each of them.
_SLOW_STEP: Final = 128 * 1024

_plain: Final = memoryview(bytearray(_STEP))


async def sendFile(
    descriptor: int, stream: TLSDataStream, offset: int, end: int, progress: Progress
) -> int:
    """
    Send from C{offset} up to C{end}, or up to where the disk would have to be waited
    for.  Returns the offset that was reached.

    @raise PeerGone:
    @raise StorageUnavailable: the file ends before C{end}.
    """
    step, turn = _SLOW_STEP, 0
    flags = os.RWF_NOWAIT
    while offset < end:
        wanted = min(step, end - offset)
        if not flags:
            if not _kernel.reading.open:
                return offset
            _kernel.reading.begin()
        try:
            got = os.preadv(descriptor, [_plain[:wanted]], offset, flags)
        except BlockingIOError:
            return offset
        except OSError:
            if flags:
                # This file system does not tell beforehand.
                flags = 0
                continue
            # The disk failed: the handle knows more.
            return offset
        if not got:
            raise StorageUnavailable(None, "the file became shorter while it was sent")
        hasWaited = not flags and _kernel.reading.spent()
        stream.encrypt(_plain[:got])
        progress.watch(stream)
        atOnce = await stream.flush()
        step = min(2 * step, _STEP) if atOnce else _SLOW_STEP
        offset += got
        progress.nbytes += got
        if hasWaited:
            return offset
        turn += got
        if turn >= TURN and offset < end:
            turn = 0
            await stream.pause(0)
    return offset


async def receiveFile(
    stream: TLSDataStream,
    descriptor: int,
    position: int,
    length: int | None,
    progress: Progress,
    spend: Callable[[int, int], None] | None = None,
) -> Received:
    """
    Store what arrives from C{position} on, up to the end, or up to where the storage
    has to be waited for.

    @param length: bytes that are still to come, where that is known.
    @param spend: see L{IBudgeted<filehub.usage.IBudgeted>}.
    @raise PeerGone: also when C{length} is not reached.
    @raise FileSystemError: whatever C{spend} raises.
    """
    end = None if length is None else position + length
    turn = 0
    while end is None or position < end:
        if not _kernel.writing.open:
            return Received(position, False)
        progress.watch(stream)
        got = await stream.readInto(_plain if end is None else _plain[: end - position])
        if not got:
            if end is None:
                return Received(position, True)
            raise PeerGone("connection ended before all data was received")
        # Counted whatever becomes of it: it was taken from the stream.
        progress.nbytes += got
        if spend is not None:
            spend(position, got)
        _kernel.writing.begin()
        done = 0
        try:
            while done < got:
                done += os.pwrite(descriptor, _plain[done:got], position + done)
        except OSError:
            # The handle's own writeAt stores the rest, or tells what is wrong.
            progress.nbytes -= got - done
            return Received(position + done, False, bytes(_plain[done:got]))
        position += got
        if _kernel.writing.spent() and position != end:
            return Received(position, False)
        turn += got
        if turn >= TURN and position != end:
            turn = 0
            await stream.pause(0)
    return Received(position, True)


__all__ = ["receiveFile", "sendFile"]
