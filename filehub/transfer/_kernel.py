"""
File bytes that never enter this process: sendfile for downloads, splice through a
pipe for uploads.  Imported by the pump only.

Theory of operation
===================

Both loops run on the reactor's thread, in steps of a MiB, and both have to keep a
disk from stopping it:

  - B{Downloads.}  C{sendfile} waits for pages that are not in memory.  C{preadv}
    with C{RWF_NOWAIT} tells beforehand whether they are; where they are not, the loop
    ends and the pump copies the next part, which reads in a worker and warms the
    cache.
  - B{Uploads.}  Moving bytes from the pipe into the page cache is work in memory,
    until the kernel throttles writers; nothing tells beforehand.  Neither does
    anything for reads on file systems that know no C{RWF_NOWAIT}.  These are bets
    with a stop-loss (L{_StopLoss}): after one call that took too long, everything
    goes through workers for some seconds.

What it saves, CPU seconds per GiB on one machine, cached file, loopback: downloads
0.36 (0.49 by copying), uploads 0.35 to 0.49 (0.55 to 0.60).  A bare loop around the
same calls takes 0.35 and 0.29.

The loops say how far they came, and never fail for the storage's sake: what could not
be stored comes back as bytes for the handle's own C{writeAt}, which knows what the
error means.
"""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from filehub.errors import FileHubError, PeerGone, StorageUnavailable
from filehub.transfer.progress import Progress
from filehub.transfer.ratelimit import Allowance
from filehub.transfer.stream import ByteStream

AVAILABLE: Final = all(hasattr(os, name) for name in ("sendfile", "splice", "RWF_NOWAIT"))

#: Bytes in one system call, and between turns of the reactor.
_STEP: Final = 1024 * 1024
#: The same for each of several downloads: they get on more evenly.
_SHARED_STEP: Final = 256 * 1024
#: Distance between the places where the cache is looked into.
_PROBE: Final = 256 * 1024
_NOT_SUPPORTED: Final = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
_CONNECTION: Final = {errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT, errno.ENOTCONN}

_oneByte = bytearray(1)


def _waits() -> int:
    """How often this thread has slept: to be out of turn on a busy CPU is no sleep."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


class _StopLoss:
    """
    Whether a call that cannot be known to be quick may be made here.  One that took long
    and never slept waited for other processes, not for the disk.
    """

    # Well above what a busy machine makes of a call; a throttled one takes up to 0.2.
    LIMIT: Final = 0.02
    REST: Final = 10.0

    __slots__ = ("_began", "_resumes", "_waits")

    def __init__(self) -> None:
        self._resumes = 0.0
        self._began = 0.0
        self._waits = 0

    @property
    def open(self) -> bool:
        return not self._resumes or time.monotonic() >= self._resumes

    def begin(self) -> None:
        """The call is made now."""
        self._waits = _waits()
        self._began = time.monotonic()

    def spent(self) -> bool:
        """It has ended.  True: it took too long."""
        now = time.monotonic()
        if now - self._began <= self.LIMIT or _waits() == self._waits:
            return False
        self._resumes = now + self.REST
        return True


# The disk is shared by all transfers, and so is what is known of it.
reading = _StopLoss()
writing = _StopLoss()


class _Senders:
    """How many downloads there are, and how much each may send at a time."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    @property
    def step(self) -> int:
        """Bytes."""
        return _STEP if self.count == 1 else _SHARED_STEP


_senders = _Senders()


class _SharedPipe:
    """
    The one pipe that all uploads use: each empties it before anybody else has a turn.
    Open while there are uploads.
    """

    __slots__ = ("_users", "readEnd", "writeEnd")

    def __init__(self) -> None:
        self._users = 0
        self.readEnd = self.writeEnd = -1

    def acquire(self) -> bool:
        """False: no descriptor is left for it."""
        if not self._users:
            try:
                self.readEnd, self.writeEnd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                return False
            try:
                fcntl.fcntl(self.writeEnd, fcntl.F_SETPIPE_SZ, _STEP)
            except OSError:
                # Over the user's allowance for pipes: it works with less.
                pass
        self._users += 1
        return True

    def release(self) -> None:
        self._users -= 1
        if not self._users:
            os.close(self.readEnd)
            os.close(self.writeEnd)

    def drain(self) -> bytes:
        """What is in it."""
        parts = []
        try:
            while part := os.read(self.readEnd, _STEP):
                parts.append(part)
        except BlockingIOError:
            pass
        return b"".join(parts)


_pipe = _SharedPipe()


def _isCached(descriptor: int, start: int, end: int) -> bool | None:
    """Are the bytes in memory?  L{None} where the file system does not tell."""
    buffers = [_oneByte]
    try:
        for place in range(start, end, _PROBE):
            os.preadv(descriptor, buffers, place, os.RWF_NOWAIT)
        os.preadv(descriptor, buffers, end - 1, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


async def sendFile(
    descriptor: int,
    stream: ByteStream,
    offset: int,
    end: int,
    allowed: Allowance | None,
    progress: Progress,
) -> int:
    """
    Send from C{offset} up to C{end}, or up to where the disk would have to be waited
    for.  Returns the offset that was reached.

    @raise PeerGone:
    @raise StorageUnavailable: the file ends before C{end}.
    """
    _senders.count += 1
    try:
        return await _sendFile(descriptor, stream, offset, end, allowed, progress)
    finally:
        _senders.count -= 1


async def _sendFile(
    descriptor: int,
    stream: ByteStream,
    offset: int,
    end: int,
    allowed: Allowance | None,
    progress: Progress,
) -> int:
    checked = offset
    betting = False
    # Who happens to be first has no head start on those that come at the same time.
    step = _SHARED_STEP
    while offset < end:
        if allowed is not None:
            step = min(step, allowed.step)
        stop = min(offset + step, end)
        if stop > checked and not betting:
            checked = min(offset + _STEP, end)
            cached = _isCached(descriptor, offset, checked)
            if cached is None:
                betting = True
            elif not cached:
                return offset
        if betting and not reading.open:
            return offset
        if allowed is not None:
            stop = offset + await allowed.some(stop - offset, stream, progress)
        sock = stream.kernelSocket
        if sock is None:
            raise PeerGone
        if betting:
            reading.begin()
        try:
            sent = os.sendfile(sock.fileno(), descriptor, offset, stop - offset)
        except BlockingIOError:
            progress.watch(stream)
            await stream.writable()
            continue
        except OSError as error:
            if error.errno in _CONNECTION:
                raise PeerGone from None
            # Not on this file system, or the disk failed: the handle knows more.
            return offset
        if not sent:
            raise StorageUnavailable(None, "the file became shorter while it was sent")
        offset += sent
        progress.nbytes += sent
        if allowed is not None:
            allowed.use(sent)
        if betting and reading.spent():
            return offset
        if offset < end:
            progress.watch(stream)
            await stream.writable()
            step = _senders.step
    return offset


class Received(NamedTuple):
    """
    How far an upload came.

    @ivar position: where the next byte belongs.
    @ivar ended: is that all: the peer's clean end, or the announced length?
    @ivar rest: bytes that were received and could not be stored at C{position}.
    """

    position: int
    ended: bool
    rest: bytes = b""


async def receiveFile(
    stream: ByteStream,
    descriptor: int,
    position: int,
    length: int | None,
    allowed: Allowance | None,
    progress: Progress,
    spend: Callable[[int, int], None] | None = None,
) -> Received:
    """
    Store what arrives from C{position} on, up to the end, or up to where the storage
    has to be waited for.

    @param length: bytes that are still to come, where that is known.
    @param spend: see L{IBudgeted<filehub.usage.IBudgeted>}.
    @raise PeerGone: also when C{length} is not reached.
    @raise FileSystemError: whatever C{spend} raises, or a transfer quota.
    """
    if not writing.open or not _pipe.acquire():
        return Received(position, False)
    try:
        return await _splice(stream, descriptor, position, length, allowed, progress, spend)
    finally:
        _pipe.release()


async def _splice(
    stream: ByteStream,
    descriptor: int,
    position: int,
    length: int | None,
    allowed: Allowance | None,
    progress: Progress,
    spend: Callable[[int, int], None] | None,
) -> Received:
    step = _STEP if allowed is None else min(_STEP, allowed.step)
    end = None if length is None else position + length
    turn = 0
    while end is None or position < end:
        wanted = step if end is None else min(step, end - position)
        if allowed is not None:
            wanted = await allowed.some(wanted, stream, progress, looking=True)
        sock = stream.kernelSocket
        if sock is None:
            raise PeerGone
        try:
            got = os.splice(
                sock.fileno(), _pipe.writeEnd, wanted, flags=os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE
            )
        except BlockingIOError:
            progress.watch(stream)
            await stream.readable()
            turn = 0
            continue
        except OSError as error:
            if error.errno in _NOT_SUPPORTED:
                return Received(position, False)
            raise PeerGone from None
        if not got:
            if end is None:
                return Received(position, True)
            raise PeerGone("connection ended before all data was received")
        if allowed is not None or spend is not None:
            try:
                if allowed is not None:
                    allowed.use(got)
                if spend is not None:
                    spend(position, got)
            except FileHubError:
                # Counted all the same: it was taken from the stream.
                progress.nbytes += got
                _pipe.drain()
                raise
        writing.begin()
        left = got
        try:
            while left:
                left -= os.splice(_pipe.readEnd, descriptor, left, offset_dst=position + got - left)
        except OSError:
            # The bytes are out of the socket and must not be lost; the handle's own
            # writeAt stores them, or tells what is wrong.
            position += got - left
            progress.nbytes += got - left
            return Received(position, False, _pipe.drain())
        position += got
        progress.nbytes += got
        if writing.spent() and position != end:
            return Received(position, False)
        turn += got
        if turn >= _STEP and position != end:
            turn = 0
            progress.watch(stream)
            await stream.readable()
    return Received(position, True)


__all__ = ["AVAILABLE", "Received", "receiveFile", "sendFile"]
