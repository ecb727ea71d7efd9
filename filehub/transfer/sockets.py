"""
A plain TCP connection as a L{ByteStream}, with nothing between it and the kernel.

It knows only C{addReader} and C{addWriter} of L{IReactorFDSet}, and is registered
only while somebody waits.  So nothing is read before a transfer asks for it: what
a client pushes early stays in the kernel and then in the client.  A wake-up never
says what happened; the system call that follows does, and tells a reset from a
clean end.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import termios
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from filehub.errors import PeerGone, Stalled
from filehub.transfer.progress import Progress

#: With more than this not yet acknowledged, closing would declare as delivered
#: what a broken connection may still lose.
_TAIL: Final = 128 * 1024
#: Bytes of unread input that are thrown away so that a close is not a reset.
_DRAIN: Final = 256 * 1024
#: How often a slow end is looked at, seconds.
_FINISH_STEP: Final = 5.0
_PATIENCE: Final = 60.0
_RESET: Final = struct.pack("ii", 1, 0)
_UNSENT: Final = termios.TIOCOUTQ


def _gone(reason: OSError | None = None) -> PeerGone:
    if reason is None or reason.errno in (errno.ECONNRESET, errno.EPIPE):
        return PeerGone()
    return PeerGone(f"connection lost: {reason.strerror}")


@implementer(IReadWriteDescriptor)
class SocketStream:
    """
    See L{ByteStream}.  Owns its socket.

    @ivar patience: seconds without any acknowledgement after which L{finish} gives up.
    """

    __slots__ = (
        "_ended",
        "_lost",
        "_reactor",
        "_reader",
        "_readerAdded",
        "_sleeper",
        "_writer",
        "_writerAdded",
        "kernelSocket",
        "patience",
    )

    def __init__(self, reactor: Any, sock: socket.socket, patience: float = _PATIENCE) -> None:
        """
        @param reactor: provides L{IReactorFDSet} and L{IReactorTime}.
        @param sock: connected, or connecting; becomes non-blocking.
        """
        sock.setblocking(False)
        self._reactor = reactor
        self.kernelSocket: socket.socket | None = sock
        # Where stalls are not watched, an end still is.
        self.patience = patience if patience > 0 else _PATIENCE
        self._reader: Deferred[None] | None = None
        self._writer: Deferred[None] | None = None
        self._sleeper: tuple[Deferred[None], IDelayedCall] | None = None
        self._readerAdded = False
        self._writerAdded = False
        self._ended = False
        self._lost = False

    # --- what the pump uses

    async def read(self, maximum: int) -> bytes:
        """See L{ByteStream.read}."""
        while True:
            sock = self.kernelSocket
            if sock is None:
                raise _gone()
            try:
                data = sock.recv(maximum)
            except BlockingIOError:
                await self.readable()
            except OSError as error:
                raise _gone(error) from None
            else:
                if not data:
                    self._ended = True
                return data

    async def write(self, data: bytes | memoryview) -> None:
        """See L{ByteStream.write}."""
        rest: bytes | memoryview = data
        while True:
            sock = self.kernelSocket
            if sock is None:
                raise _gone()
            try:
                sent = sock.send(rest)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                raise _gone(error) from None
            if sent == len(rest):
                return
            rest = memoryview(rest)[sent:]
            await self.writable()

    def offer(self, data: bytes) -> int:
        """
        How many of these bytes the kernel took at once.

        @raise PeerGone:
        """
        sock = self.kernelSocket
        if sock is None:
            raise _gone()
        try:
            return sock.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise _gone(error) from None

    async def gather(self, most: int, pieces: list[bytes], progress: Progress) -> bool:
        """
        Read up to the clean end, but no more than so many bytes.  Waits first: a peer
        that was asked for them a moment ago has sent nothing yet.

        @param pieces: gets what is read.
        @param progress: counts it.
        @return: is that all?
        @raise PeerGone: as L{read}.
        """
        while most > 0:
            await self.readable()
            while most > 0:
                sock = self.kernelSocket
                if sock is None:
                    raise _gone()
                try:
                    data = sock.recv(most)
                except BlockingIOError:
                    break
                except OSError as error:
                    raise _gone(error) from None
                if not data:
                    self._ended = True
                    return True
                pieces.append(data)
                progress.nbytes += len(data)
                most -= len(data)
        return False

    def readable(self) -> Deferred[None]:
        """See L{ByteStream.readable}."""
        if self.kernelSocket is None or self._lost:
            raise _gone()
        waiting = self._reader = Deferred(self._readCancelled)
        if not self._readerAdded:
            self._reactor.addReader(self)
            self._readerAdded = True
        return waiting

    def writable(self) -> Deferred[None]:
        """See L{ByteStream.writable}."""
        if self.kernelSocket is None or self._lost:
            raise _gone()
        waiting = self._writer = Deferred(self._writeCancelled)
        if not self._writerAdded:
            self._reactor.addWriter(self)
            self._writerAdded = True
        return waiting

    def pause(self, seconds: float) -> Deferred[None]:
        """See L{ByteStream.pause}."""
        if self.kernelSocket is None:
            raise _gone()

        def stop(waiting: Deferred[None]) -> None:
            self._sleeper = None
            call.cancel()

        def wake() -> None:
            self._sleeper = None
            waiting.callback(None)

        waiting: Deferred[None] = Deferred(stop)
        call = self._reactor.callLater(seconds, wake)
        self._sleeper = waiting, call
        return waiting

    def backlog(self) -> int:
        """See L{ByteStream.backlog}."""
        if self.kernelSocket is None:
            return 0
        try:
            raw = fcntl.ioctl(self.kernelSocket.fileno(), _UNSENT, b"\0\0\0\0")
        except OSError:
            return 0
        unsent: int = struct.unpack("i", raw)[0]
        return unsent

    def finishLittle(self) -> None:
        """
        See L{finish}, where no more was written than a socket's buffer holds.

        @raise PeerGone:
        """
        sock = self.kernelSocket
        if sock is None:
            raise _gone()
        try:
            self._discardInput(sock)
        except OSError as error:
            self.abort()
            raise _gone(error) from None
        self._close()

    async def finish(self) -> None:
        """
        See L{ByteStream.finish}.  Does not wait for the peer, unless so much is
        still on its way that "done" could be a lie.
        """
        sock = self.kernelSocket
        if sock is None:
            raise _gone()
        if not self._ended:
            try:
                if self.backlog() > _TAIL:
                    await self._tailAcknowledged(sock)
                self._discardInput(sock)
            except OSError as error:
                self.abort()
                raise _gone(error) from None
            except BaseException:
                self.abort()
                raise
        self._close()

    def abort(self) -> None:
        """See L{ByteStream.abort}."""
        if self.kernelSocket is None:
            return
        try:
            self.kernelSocket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        except OSError:
            # A socket in this state sends nothing any more anyway.
            self._lost = True
        self._close()

    def detach(self) -> socket.socket:
        """
        Give the socket away, to whoever puts another layer on it.  This stream is
        then as if closed.

        @raise PeerGone: it is closed already.
        """
        sock = self.kernelSocket
        if sock is None:
            raise _gone()
        waiting = self._letGo()
        for each in waiting:
            each.errback(_gone())
        return sock

    # --- endings

    async def _tailAcknowledged(self, sock: socket.socket) -> None:
        # With a small buffer the kernel calls the socket writable only when most
        # of what is queued has been acknowledged: no polling while all goes well.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _TAIL // 2)
        step = min(_FINISH_STEP, self.patience)
        last = self.backlog()
        quiet = 0.0
        call: IDelayedCall | None = None

        def look() -> None:
            nonlocal call, last, quiet
            queued = self.backlog()
            quiet = 0.0 if queued != last else quiet + step
            last = queued
            if quiet < self.patience:
                call = self._reactor.callLater(step, look)
                return
            call = None
            waiting, self._writer = self._writer, None
            if waiting is not None:
                waiting.errback(Stalled())

        call = self._reactor.callLater(step, look)
        try:
            await self.writable()
        finally:
            if call is not None:
                call.cancel()
        problem = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if problem:
            raise OSError(problem, os.strerror(problem))

    @staticmethod
    def _discardInput(sock: socket.socket) -> None:
        """
        Closing with unread input resets the connection and takes with it what is
        still being sent, so read that input; a reset that has happened shows here.
        """
        try:
            for _ in range(4):
                if not sock.recv(_DRAIN // 4):
                    return
        except BlockingIOError:
            return

    def _letGo(self) -> list[Deferred[None]]:
        """Leave the reactor; returns who has to be told."""
        if self._readerAdded:
            self._readerAdded = False
            self._reactor.removeReader(self)
        if self._writerAdded:
            self._writerAdded = False
            self._reactor.removeWriter(self)
        self.kernelSocket = None
        waiting = [each for each in (self._reader, self._writer) if each is not None]
        self._reader = self._writer = None
        if self._sleeper is not None:
            asleep, call = self._sleeper
            self._sleeper = None
            call.cancel()
            waiting.append(asleep)
        return waiting

    def _close(self) -> None:
        sock = self.kernelSocket
        if not (self._readerAdded or self._writerAdded or self._sleeper or self._reader):
            # Nobody waits: it was all done at once.
            self.kernelSocket = None
            if sock is not None:
                sock.close()
            return
        waiting = self._letGo()
        if sock is not None:
            sock.close()
        # Only now: they go on at once, and rely on its being closed.
        for each in waiting:
            each.errback(_gone())

    # --- what the reactor uses

    def fileno(self) -> int:
        """See L{IFileDescriptor}."""
        return -1 if self.kernelSocket is None else self.kernelSocket.fileno()

    def logPrefix(self) -> str:
        """See L{ILoggingContext}."""
        return "data"

    def doRead(self) -> None:
        """Wake the reader.  It stays registered if it waits again at once."""
        waiting, self._reader = self._reader, None
        if waiting is not None:
            waiting.callback(None)
        if self._reader is None and self._readerAdded:
            self._readerAdded = False
            self._reactor.removeReader(self)

    def doWrite(self) -> None:
        """Wake the writer.  It stays registered if it waits again at once."""
        waiting, self._writer = self._writer, None
        if waiting is not None:
            waiting.callback(None)
        if self._writer is None and self._writerAdded:
            self._writerAdded = False
            self._reactor.removeWriter(self)

    def connectionLost(self, reason: Failure) -> None:
        """
        The reactor has seen a reset or hang-up, or is stopping, and has let go of
        this.  Whoever waits finds out by trying again.
        """
        self._readerAdded = self._writerAdded = False
        self._lost = True
        waiting = [each for each in (self._reader, self._writer) if each is not None]
        self._reader = self._writer = None
        for each in waiting:
            each.callback(None)

    def _readCancelled(self, waiting: Deferred[None]) -> None:
        self._reader = None
        if self._readerAdded:
            self._readerAdded = False
            self._reactor.removeReader(self)

    def _writeCancelled(self, waiting: Deferred[None]) -> None:
        self._writer = None
        if self._writerAdded:
            self._writerAdded = False
            self._reactor.removeWriter(self)


__all__ = ["SocketStream"]
