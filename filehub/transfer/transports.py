"""
A Twisted transport as a L{ByteStream}, for protocols whose files travel on the
connection that also carries the commands (RFC 913).

The protocol lends its connection for the time of one transfer::

    stream = await adoptTransport(reactor, self.transport, prefix=unparsed)
    ...                                    # send() or receive()
    unparsed = stream.release()            # what follows is the protocol's again

In between it hands everything that it is told to the stream's C{dataReceived} and
C{connectionLost}.  On a plain TCP transport of a POSIX reactor the stream works on a
duplicate of the socket, so that the pump can use the kernel; anything else (TLS,
wrappers, memory) goes through the transport with back-pressure in both directions.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IDelayedCall,
    IPullProducer,
    IPushProducer,
    IReactorFDSet,
)
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import implementer

from filehub.errors import PeerGone
from filehub.transfer.sockets import SocketStream
from filehub.transfer.stream import ByteStream

#: Received bytes that may wait for a reader before the transport is paused.
_LIMIT: Final = 256 * 1024
#: Seconds for the end of a connection that was asked to end.
_FINISH: Final = 30.0


class LentStream(ByteStream, Protocol):
    """A stream on a connection that its protocol wants back."""

    def dataReceived(self, data: bytes) -> None:
        """The transport has delivered this."""

    def connectionLost(self, reason: Failure) -> None:
        """The transport is closed."""

    def release(self) -> bytes:
        """
        Give the connection back.  Returns what was received and not read; reading
        goes on.  Idempotent.
        """


async def adoptTransport(reactor: Any, transport: Any, *, prefix: bytes = b"") -> LentStream:
    """
    Lend C{transport} to a transfer, once everything that was written to it is with
    the kernel.

    @param reactor: provides L{IReactorTime}, and L{IReactorFDSet} for the kernel path.
    @param prefix: received by the protocol already; read first.
    @raise PeerGone: the connection was lost meanwhile.
    """
    plain = isinstance(transport, Connection) and not transport.TLS
    if plain and IReactorFDSet.providedBy(reactor):
        transport.pauseProducing()
        await _drained(transport)
        try:
            duplicate = transport.getHandle().dup()
        except OSError:
            # No descriptor is left: the slower way needs none.
            return TransportStream(reactor, transport, prefix=prefix)
        return _DirectStream(reactor, transport, duplicate, prefix)
    return TransportStream(reactor, transport, prefix=prefix)


@implementer(IPullProducer)
class _Drained:
    """Finds out when a transport has written all that it was given."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._calls = 0
        self.done: Deferred[None] = Deferred(lambda _: transport.unregisterProducer())

    def resumeProducing(self) -> None:
        self._calls += 1
        if self._calls == 1:
            # This one comes with the registration and means nothing.  The next
            # comes when the buffer is empty, also if it already is.
            self._transport.startWriting()
            return
        self._transport.unregisterProducer()
        self.done.callback(None)

    def stopProducing(self) -> None:
        if not self.done.called:
            self.done.errback(PeerGone())


def _drained(transport: Any) -> Deferred[None]:
    producer = _Drained(transport)
    transport.registerProducer(producer, False)
    return producer.done


@implementer(IPushProducer)
class TransportStream:
    """See L{LentStream}; over any transport with producers and consumers."""

    __slots__ = (
        "_blocked",
        "_buffer",
        "_clock",
        "_closing",
        "_ended",
        "_lost",
        "_paused",
        "_reader",
        "_released",
        "_sleepers",
        "_transport",
        "_writer",
    )

    #: Never: what is in the transport's buffers would be overtaken.
    kernelSocket: socket.socket | None = None

    def __init__(self, clock: Any, transport: Any, *, prefix: bytes = b"") -> None:
        """
        @param clock: provides L{IReactorTime}.
        @param transport: connected, without a producer.
        @param prefix: read first.
        """
        self._clock = clock
        self._transport = transport
        self._buffer = bytearray(prefix)
        self._paused = True
        self._blocked = False
        self._released = False
        self._ended = False
        self._lost = False
        self._reader: Deferred[None] | None = None
        self._writer: Deferred[None] | None = None
        self._closing: Deferred[None] | None = None
        self._sleepers: dict[Deferred[None], IDelayedCall] = {}
        transport.pauseProducing()
        transport.registerProducer(self, True)

    # --- what the pump uses

    async def read(self, maximum: int) -> bytes:
        """See L{ByteStream.read}."""
        while not self._buffer:
            if self._ended:
                return b""
            await self.readable()
        data = bytes(self._buffer[:maximum])
        del self._buffer[:maximum]
        return data

    async def write(self, data: bytes | memoryview) -> None:
        """See L{ByteStream.write}; returns when the transport wants more."""
        self._checkOpen()
        self._transport.write(bytes(data))
        while self._blocked:
            await self.writable()
        self._checkOpen()

    def readable(self) -> Deferred[None]:
        """See L{ByteStream.readable}."""
        if self._buffer or self._ended:
            return succeed(None)
        self._checkOpen()
        waiting = self._reader = Deferred(self._readCancelled)
        if self._paused:
            self._paused = False
            self._transport.resumeProducing()
        return waiting

    def writable(self) -> Deferred[None]:
        """See L{ByteStream.writable}."""
        self._checkOpen()
        if not self._blocked:
            return succeed(None)
        waiting = self._writer = Deferred(self._writeCancelled)
        return waiting

    def pause(self, seconds: float) -> Deferred[None]:
        """See L{ByteStream.pause}."""
        self._checkOpen()

        def stop(waiting: Deferred[None]) -> None:
            self._sleepers.pop(waiting).cancel()

        def wake() -> None:
            del self._sleepers[waiting]
            waiting.callback(None)

        waiting: Deferred[None] = Deferred(stop)
        self._sleepers[waiting] = self._clock.callLater(seconds, wake)
        return waiting

    def backlog(self) -> int:
        """Unknown here."""
        return 0

    async def finish(self) -> None:
        """See L{ByteStream.finish}: flushes, closes, and waits for the close."""
        self._checkOpen()
        self._transport.unregisterProducer()
        closing = self._closing = Deferred(lambda _: None)
        if self._paused:
            # A paused transport would not see the peer's end.
            self._paused = False
            self._transport.resumeProducing()
        self._transport.loseConnection()
        late = self._clock.callLater(_FINISH, self._transport.abortConnection)
        try:
            await closing
        finally:
            if late.active():
                late.cancel()

    def abort(self) -> None:
        """See L{ByteStream.abort}."""
        if not (self._ended or self._lost):
            self._lost = True
            self._transport.unregisterProducer()
            self._transport.abortConnection()
            self._wakeAll()

    # --- what the protocol uses

    def dataReceived(self, data: bytes) -> None:
        """See L{LentStream.dataReceived}."""
        if self._closing is not None:
            return
        self._buffer += data
        if len(self._buffer) >= _LIMIT and not self._paused:
            self._paused = True
            self._transport.pauseProducing()
        waiting, self._reader = self._reader, None
        if waiting is not None:
            waiting.callback(None)

    def connectionLost(self, reason: Failure) -> None:
        """See L{LentStream.connectionLost}: anything but a clean end is a loss."""
        closing, self._closing = self._closing, None
        if not self._lost:
            self._ended = isinstance(reason.value, ConnectionDone)
            self._lost = not self._ended
        if closing is not None:
            if self._ended:
                closing.callback(None)
            else:
                closing.errback(PeerGone())
        self._wakeAll()

    def release(self) -> bytes:
        """See L{LentStream.release}."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        if not self._released:
            self._released = True
            if not (self._ended or self._lost):
                self._transport.unregisterProducer()
                self._transport.resumeProducing()
        return rest

    # --- what the transport uses

    def pauseProducing(self) -> None:
        """The transport has enough."""
        self._blocked = True

    def resumeProducing(self) -> None:
        """The transport wants more."""
        self._blocked = False
        waiting, self._writer = self._writer, None
        if waiting is not None:
            waiting.callback(None)

    def stopProducing(self) -> None:
        """
        The transport is closed.  Whoever waits is woken by C{connectionLost}, which
        says how: until then a write would seem to succeed.
        """

    # --- inside

    def _checkOpen(self) -> None:
        if self._ended or self._lost or self._closing is not None:
            raise PeerGone

    def _wakeAll(self) -> None:
        self._blocked = False
        sleepers = list(self._sleepers.items())
        self._sleepers.clear()
        waiting: list[Deferred[None] | None] = [self._reader, self._writer]
        self._reader = self._writer = None
        for each, call in sleepers:
            call.cancel()
            waiting.append(each)
        for one in waiting:
            if one is not None:
                # They find out by trying again.
                one.callback(None)

    def _readCancelled(self, waiting: Deferred[None]) -> None:
        self._reader = None

    def _writeCancelled(self, waiting: Deferred[None]) -> None:
        self._writer = None


class _DirectStream:
    """See L{LentStream}; on a duplicate of the transport's socket."""

    __slots__ = ("_clock", "_direct", "_ending", "_lost", "_prefix", "_transport")

    def __init__(
        self, reactor: Any, transport: Any, duplicate: socket.socket, prefix: bytes
    ) -> None:
        self._clock = reactor
        self._transport = transport
        self._prefix = prefix
        self._lost = False
        self._direct: SocketStream | None = SocketStream(reactor, duplicate)
        self._ending: TransportStream | None = None

    @property
    def kernelSocket(self) -> socket.socket | None:
        """None as long as there are bytes that must be read first."""
        if self._prefix or self._direct is None:
            return None
        return self._direct.kernelSocket

    def _open(self) -> SocketStream:
        if self._direct is None:
            raise PeerGone
        return self._direct

    async def read(self, maximum: int) -> bytes:
        """See L{ByteStream.read}."""
        if self._prefix:
            data, self._prefix = self._prefix[:maximum], self._prefix[maximum:]
            return data
        return await self._open().read(maximum)

    async def write(self, data: bytes | memoryview) -> None:
        """See L{ByteStream.write}."""
        await self._open().write(data)

    def readable(self) -> Awaitable[None]:
        """See L{ByteStream.readable}."""
        return succeed(None) if self._prefix else self._open().readable()

    def writable(self) -> Awaitable[None]:
        """See L{ByteStream.writable}."""
        return self._open().writable()

    def pause(self, seconds: float) -> Awaitable[None]:
        """See L{ByteStream.pause}."""
        return self._open().pause(seconds)

    def backlog(self) -> int:
        """See L{ByteStream.backlog}."""
        return 0 if self._direct is None else self._direct.backlog()

    async def finish(self) -> None:
        """See L{ByteStream.finish}."""
        self._open()
        self._close()
        self._ending = TransportStream(self._clock, self._transport)
        await self._ending.finish()

    def abort(self) -> None:
        """See L{ByteStream.abort}."""
        if self._direct is not None:
            self._lost = True
            self._close(reset=True)
            self._transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """See L{LentStream.dataReceived}; a paused transport delivers at most once more."""
        if self._ending is None:
            self._prefix += data

    def connectionLost(self, reason: Failure) -> None:
        """See L{LentStream.connectionLost}."""
        self._lost = True
        self._close(reset=True)
        if self._ending is not None:
            self._ending.connectionLost(reason)

    def release(self) -> bytes:
        """See L{LentStream.release}."""
        rest, self._prefix = self._prefix, b""
        if self._direct is not None:
            self._close()
            self._transport.resumeProducing()
        return rest

    def _close(self, *, reset: bool = False) -> None:
        direct, self._direct = self._direct, None
        if direct is None:
            return
        if reset:
            direct.abort()
        else:
            # Only the duplicate: the connection lives on.
            direct.detach().close()


__all__ = ["LentStream", "TransportStream", "adoptTransport"]
