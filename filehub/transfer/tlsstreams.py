"""
Data connections with TLS.

Theory of operation
===================

OpenSSL works between buffers in memory, and never sees the socket, both ways:

  - A record holds 16 KiB.  OpenSSL writes each one by itself, and reads each one in
    two parts; over a socket these are system calls, and with every record that is
    written the peer is woken up.  In memory, many records are one call: encrypting
    half a MiB into the buffer and sending it from there costs a fifth less than
    having OpenSSL write it.
  - In TLS 1.3 the server sends session tickets right after the handshake.  A client
    that only writes never reads them, so when it closes, its kernel finds unread
    bytes and sends a reset, which destroys upload bytes that are still on their way.
    OpenSSL offers no way (through pyOpenSSL) to send no tickets; but with memory
    buffers what it wants to send can be B{withheld} until the client has said that
    it is done.

What is received goes through one buffer that all connections share: whoever fills it
empties it before anybody else has a turn.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Final

from OpenSSL import SSL

from filehub.errors import PeerGone, ProtectionRequired
from filehub.transfer._openssl import decryptInto, encrypt, pending, sent
from filehub.transfer.stream import ByteStream
from filehub.transfer.tls import TLSSession, certificateOf, wasResumed

#: What is encrypted before it is sent, if the file is not read by descriptor.
_WRITE_STEP: Final = 256 * 1024
_READ_STEP: Final = 256 * 1024

_received: Final = memoryview(bytearray(_READ_STEP))
_decrypted: Final = memoryview(bytearray(_READ_STEP))


class OverSocket:
    """What a TLS stream leaves to the connection below it."""

    kernelSocket = None

    __slots__ = ("_inner",)

    def __init__(self, inner: ByteStream) -> None:
        self._inner = inner

    def readable(self) -> Awaitable[None]:
        """See L{ByteStream.readable}."""
        return self._inner.readable()

    def writable(self) -> Awaitable[None]:
        """See L{ByteStream.writable}."""
        return self._inner.writable()

    def pause(self, seconds: float) -> Awaitable[None]:
        """See L{ByteStream.pause}."""
        return self._inner.pause(seconds)

    def backlog(self) -> int:
        """See L{ByteStream.backlog}."""
        return self._inner.backlog()

    def abort(self) -> None:
        """See L{ByteStream.abort}."""
        self._inner.abort()


class TLSDataStream(OverSocket):
    """
    The server's end of TLS on a data connection.

    @ivar resumed: does the connection provably belong to the control session?
    @ivar onMissingCloseNotify: if given, a bare end of the TCP connection is taken for
        the end of an upload, as some clients demand, and this is called.
    @ivar cleanlyClosed: did the peer end with close_notify?  Without it nobody knows
        whether an upload is whole.
    """

    __slots__ = ("_connection", "_session", "cleanlyClosed", "onMissingCloseNotify", "resumed")

    def __init__(self, inner: ByteStream, session: TLSSession) -> None:
        super().__init__(inner)
        self._connection = session.connection()
        self._session = session
        self.onMissingCloseNotify: Callable[[], object] | None = None
        self.cleanlyClosed = False
        self.resumed = False

    async def handshake(self) -> None:
        """
        @raise ProtectionRequired: the peer does not speak TLS, or not acceptably.
        @raise PeerGone:
        """
        while True:
            try:
                self._connection.do_handshake()
                break
            except SSL.WantReadError:
                await self.flush()
                if not await self._feed():
                    raise PeerGone from None
            except (SSL.Error, LookupError) as error:
                # The alert that tells the peer why.
                await self.flush()
                raise _handshakeFailed(error) from None
        self.resumed = wasResumed(self._connection)
        if self._connection.get_protocol_version() < SSL.TLS1_3_VERSION:
            # In TLS 1.2 the last flight is ours; in 1.3 all that is left are tickets.
            await self.flush()

    @property
    def clientCertificate(self) -> bytes | None:
        """What the peer showed, verified, DER."""
        return certificateOf(self._connection)

    # --- what the pump uses

    def encrypt(self, data: bytes | memoryview) -> None:
        """
        What L{flush} is to send.  The buffer can be used for something else at once.

        @raise PeerGone: nothing can be sent any more.
        """
        try:
            encrypt(self._connection, data)
        except SSL.Error:
            raise PeerGone from None

    async def flush(self) -> bool:
        """
        Send what is encrypted.

        @return: did the kernel take it without a wait?
        @raise PeerGone:
        """
        records = pending(self._connection)
        size = len(records)
        if not size:
            return True
        sock = self._inner.kernelSocket
        if sock is not None:
            try:
                records = records[sock.send(records) :]
            except OSError:
                # What is wrong shows again.
                pass
        atOnce = not records
        if not atOnce:
            await self._inner.write(records)
        sent(self._connection, size)
        return atOnce

    async def readInto(self, buffer: memoryview) -> int:
        """
        Receive and decrypt, as much as there is and fits.  The buffer is not used while
        this waits, so that it can be shared.

        @return: how many bytes; 0 at a clean end.
        @raise PeerGone: also for an end without close_notify, unless tolerated.
        """
        got = 0
        while True:
            try:
                while got < len(buffer):
                    got += decryptInto(self._connection, buffer[got:])
                return got
            except SSL.WantReadError:
                if got:
                    return got
            except SSL.ZeroReturnError:
                self.cleanlyClosed = True
                return got
            except SSL.Error:
                if got:
                    return got
                raise PeerGone from None
            if not await self._feed():
                if self.onMissingCloseNotify is None:
                    raise PeerGone("connection ended without TLS close_notify")
                self.onMissingCloseNotify()
                return 0

    async def _feed(self) -> bool:
        """
        Give OpenSSL what comes next; False: nothing any more.  It is acknowledged at
        once: clients send the end of the data and close_notify in two small writes, and
        the second waits in their kernel (Nagle's algorithm) for an acknowledgement that
        ours would delay by 40 ms.
        """
        while True:
            sock = self._inner.kernelSocket
            if sock is None:
                data = await self._inner.read(_READ_STEP)
                if data:
                    self._connection.bio_write(data)
                return bool(data)
            try:
                got = sock.recv_into(_received)
            except BlockingIOError:
                await self._inner.readable()
                continue
            except OSError:
                raise PeerGone from None
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            if got:
                self._connection.bio_write(_received[:got])
            return got > 0

    # --- for everybody else

    async def write(self, data: bytes | memoryview) -> None:
        """See L{ByteStream.write}."""
        view = memoryview(data)
        for start in range(0, len(view), _WRITE_STEP):
            self.encrypt(view[start : start + _WRITE_STEP])
            await self.flush()

    async def read(self, maximum: int) -> bytes:
        """
        See L{ByteStream.read}.

        @raise PeerGone: also for an end without close_notify, unless tolerated.
        """
        got = await self.readInto(_decrypted[:maximum])
        return bytes(_decrypted[:got])

    async def finish(self) -> None:
        """Send close_notify and end; what the peer answers is not waited for."""
        try:
            self._connection.shutdown()
        except SSL.Error:
            raise PeerGone from None
        await self.flush()
        await self._inner.finish()


class TLSSender(TLSDataStream):
    """A L{ByteStream} that only sends (RETR, LIST)."""

    __slots__ = ()

    async def read(self, maximum: int) -> bytes:
        """Nothing is ever expected on a connection that sends."""
        raise PeerGone


class TLSReceiver(TLSDataStream):
    """A L{ByteStream} that only receives (STOR, APPE, STOU)."""

    __slots__ = ()

    async def handshake(self) -> None:
        """See L{TLSDataStream.handshake}; the client gets no tickets now."""
        await super().handshake()
        if self._connection.get_protocol_version() >= SSL.TLS1_3_VERSION:
            self._session.isSpent = True

    async def write(self, data: bytes | memoryview) -> None:
        """Nothing is ever sent on a connection that receives."""
        raise PeerGone

    async def finish(self) -> None:
        """
        Answer the peer's close_notify with ours (and, now that they can do no harm,
        the tickets).  A peer that is gone already has missed nothing, also if its
        kernel says so with a reset when the answer arrives.
        """
        try:
            self._connection.shutdown()
            await self.flush()
            await self._inner.finish()
        except (SSL.Error, PeerGone):
            self._inner.abort()


def _handshakeFailed(error: Exception) -> PeerGone | ProtectionRequired:
    if isinstance(error, SSL.SysCallError):
        return PeerGone()
    return ProtectionRequired("TLS handshake failed on the data connection")


__all__ = ["OverSocket", "TLSDataStream", "TLSReceiver", "TLSSender"]
