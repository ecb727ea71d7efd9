"""
TLS for one control session and its data connections, straight on the socket.

Theory of operation
===================

Every control session has an OpenSSL context of its own, made when it asks for
TLS.  Tickets are encrypted with keys that live in the context, so a data
connection whose handshake resumes was B{proven} to come from the client of this
very control session, in TLS 1.2 and 1.3 alike.  A context costs 0.07 ms and some
15 KiB; certificates and keys are loaded once and shared.

Data connections flow one way, and the two ways differ:

  - B{Downloads} (L{TLSSender}) let OpenSSL write to the socket itself, in large
    pieces: about half the cost per byte of going through memory.
  - B{Uploads} (L{TLSReceiver}) go through memory buffers, because of one trap.  In
    TLS 1.3 the server sends session tickets right after the handshake.  A client
    that only writes never reads them, so when it closes, its kernel finds unread
    bytes and sends a reset, which destroys upload bytes that are still on their
    way.  OpenSSL offers no way (through pyOpenSSL) to send no tickets; but with
    memory buffers what it wants to send can be B{withheld} until the client has
    said that it is done.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, Protocol

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from OpenSSL._util import lib as _lib

from filehub.errors import PeerGone, ProtectionRequired
from filehub.transfer.stream import ByteStream

if TYPE_CHECKING:
    from filehub.transfer.tlsearly import EarlyHandshake

#: What is handed to OpenSSL in one call; it makes records of 16 KiB of it.
WRITE_STEP: Final = 256 * 1024
_READ_STEP: Final = 256 * 1024
#: What a TLS record holds, and with it one call that decrypts.
_RECORD: Final = 16 * 1024
_TICKET_LIFETIME: Final = 7 * 86_400


class CertificateSource(Protocol):
    """Where contexts get their certificates, keys and rules from."""

    def prepare(self, context: SSL.Context) -> None:
        """Give a new context the default certificate and the TLS policy."""

    def contextForName(self, serverName: bytes) -> SSL.Context | None:
        """
        A shared context that holds the certificate for this name, or L{None} when
        the default one serves it.

        @raise LookupError: no certificate fits and the policy is strict; the
            handshake is refused.
        """


class TLSSession:
    """
    The TLS identity of one control session.

    @ivar context: used for the control connection and all its data connections.
    @ivar serverName: the name that the control connection asked for (SNI).  Data
        connections, which often name nothing, get the same certificate.
    @ivar clientCertificate: what the client showed on the control connection, verified,
        DER; L{None} if nothing.
    @ivar isSpent: has an upload used a ticket without bringing the client a new one?
    @ivar early: on a data connection that no transfer has asked for yet.
    @ivar isUnbound: has a data connection come without resuming the session?
    @ivar isCleared: does the control connection go on in the clear (CCC)?
    """

    __slots__ = (
        "_source",
        "clientCertificate",
        "context",
        "early",
        "isCleared",
        "isSpent",
        "isUnbound",
        "serverName",
    )

    def __init__(self, source: CertificateSource, *, resumable: bool = True) -> None:
        """
        @param resumable: may data connections resume the session?
        """
        self._source = source
        self.serverName: bytes | None = None
        self.clientCertificate: bytes | None = None
        self.isCleared = False
        self.isSpent = False
        self.isUnbound = False
        self.early: EarlyHandshake | None = None
        self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        source.prepare(self.context)
        if resumable:
            # As long as tickets may live (RFC 8446 section 4.6.1): the keys that
            # encrypt them go with the control connection.
            self.context.set_timeout(_TICKET_LIFETIME)
        else:
            self.context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
            self.context.set_options(SSL.OP_NO_TICKET)
        self.context.set_tlsext_servername_callback(self._selectCertificate)

    def established(self, connection: SSL.Connection) -> None:
        """The handshake of the control connection is done."""
        self.clientCertificate = _certificateOf(connection)

    def _selectCertificate(self, connection: SSL.Connection) -> None:
        name = connection.get_servername()
        if name is not None and self.serverName is None:
            self.serverName = name
        chosen = name or self.serverName
        if chosen is not None:
            try:
                other = self._source.contextForName(chosen)
            except LookupError:
                # Raised into OpenSSL it would be a traceback in the log for every
                # client that asks; a context without a certificate refuses in silence.
                other = SSL.Context(SSL.TLS_SERVER_METHOD)
            if other is not None:
                connection.set_context(other)

    async def earlyStream(self, inner: ByteStream) -> TLSReceiver | None:
        """
        The TLS that has begun already on this data connection, if so.

        @raise PeerGone: and L{ProtectionRequired}: it has failed.
        """
        early, self.early = self.early, None
        return await early.take() if early is not None and early.inner is inner else None


def _certificateOf(connection: SSL.Connection) -> bytes | None:
    certificate = connection.get_peer_certificate(as_cryptography=True)
    return None if certificate is None else certificate.public_bytes(Encoding.DER)


def wasResumed(connection: SSL.Connection) -> bool:
    """
    Did this finished handshake resume an earlier session?

    pyOpenSSL has no public name for it; this is the one place that knows the private
    one.  L{resumptionIsSeen} makes sure at start that it tells the truth.
    """
    return bool(_lib.SSL_session_reused(connection._ssl))


def resumptionIsSeen(source: CertificateSource) -> bool:
    """
    Does L{wasResumed} tell a resumed handshake from a full one, with the libraries
    that are installed?  Servers that demand resumption ask before they start.
    """
    try:
        mine, other = TLSSession(source), TLSSession(source)
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_verify(SSL.VERIFY_NONE, lambda *_: True)
        first, session = _memoryHandshake(mine, context, None)
        again, _ = _memoryHandshake(mine, context, session)
        foreign, _ = _memoryHandshake(other, context, session)
    except (AttributeError, SSL.Error):
        return False
    return (first, again, foreign) == (False, True, False)


def _memoryHandshake(
    server: TLSSession, clientContext: SSL.Context, session: SSL.Session | None
) -> tuple[bool, SSL.Session | None]:
    ours = SSL.Connection(server.context, None)
    ours.set_accept_state()
    theirs = SSL.Connection(clientContext, None)
    theirs.set_connect_state()
    if session is not None:
        theirs.set_session(session)
    # Three flights, and one more round for the tickets.
    for _ in range(4):
        for one, another in ((theirs, ours), (ours, theirs)):
            try:
                one.do_handshake()
                one.recv(1)
            except SSL.WantReadError:
                pass
            try:
                another.bio_write(one.bio_read(1 << 16))
            except SSL.WantReadError:
                pass
    # A connection that goes away without this takes its session with it.
    theirs.shutdown()
    return wasResumed(ours), theirs.get_session()


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


async def writeAll(connection: SSL.Connection, inner: ByteStream, data: bytes | memoryview) -> None:
    """
    Encrypt all of C{data} straight into the socket.

    @raise PeerGone:
    """
    view = memoryview(data)
    while view:
        try:
            sent = connection.send(view[:WRITE_STEP])
        except SSL.WantWriteError:
            await inner.writable()
        except SSL.WantReadError:
            await inner.readable()
        except SSL.Error:
            raise PeerGone from None
        else:
            view = view[sent:]


class TLSSender(OverSocket):
    """
    A L{ByteStream} that only sends (RETR, LIST).

    @ivar resumed: does the connection provably belong to the control session?
    """

    __slots__ = ("_connection", "resumed")

    def __init__(self, inner: ByteStream, session: TLSSession) -> None:
        """
        @raise PeerGone: there is no connection any more.
        """
        super().__init__(inner)
        if inner.kernelSocket is None:
            raise PeerGone
        self._connection = SSL.Connection(session.context, inner.kernelSocket)
        self._connection.set_accept_state()
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
                await self._inner.readable()
            except SSL.WantWriteError:
                await self._inner.writable()
            except (SSL.Error, LookupError) as error:
                raise _handshakeFailed(error) from None
        self.resumed = wasResumed(self._connection)

    @property
    def clientCertificate(self) -> bytes | None:
        """What the peer showed, verified, DER."""
        return _certificateOf(self._connection)

    async def write(self, data: bytes | memoryview) -> None:
        """See L{ByteStream.write}."""
        await writeAll(self._connection, self._inner, data)

    async def read(self, maximum: int) -> bytes:
        """Nothing is ever expected on a connection that sends."""
        raise PeerGone

    async def finish(self) -> None:
        """Send close_notify and end; what the peer answers is not waited for."""
        while True:
            try:
                self._connection.shutdown()
                break
            except SSL.WantWriteError:
                await self._inner.writable()
            except SSL.Error:
                raise PeerGone from None
        await self._inner.finish()


class TLSReceiver(OverSocket):
    """
    A L{ByteStream} that only receives (STOR, APPE, STOU).

    @ivar resumed: does the connection provably belong to the control session?
    @ivar onMissingCloseNotify: if given, a bare end of the TCP connection is taken for
        the end of the file, as some clients demand, and this is called.
    @ivar cleanlyClosed: did the peer end with close_notify?  Without it nobody knows
        whether the upload is whole.
    """

    __slots__ = ("_connection", "_session", "cleanlyClosed", "onMissingCloseNotify", "resumed")

    def __init__(self, inner: ByteStream, session: TLSSession) -> None:
        super().__init__(inner)
        self._connection = SSL.Connection(session.context, None)
        self._connection.set_accept_state()
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
                await self._flush()
                received = await self._receive()
                if not received:
                    raise PeerGone from None
                self._connection.bio_write(received)
            except (SSL.Error, LookupError) as error:
                # The alert that tells the peer why.
                await self._flush()
                raise _handshakeFailed(error) from None
        self.resumed = wasResumed(self._connection)
        if self._connection.get_protocol_version() < SSL.TLS1_3_VERSION:
            # In TLS 1.2 the last flight is ours; in 1.3 all that is left are tickets.
            await self._flush()
        else:
            self._session.isSpent = True

    @property
    def clientCertificate(self) -> bytes | None:
        """What the peer showed, verified, DER."""
        return _certificateOf(self._connection)

    async def _receive(self) -> bytes:
        """
        What comes next.  It is acknowledged at once: clients send the end of the data
        and close_notify in two small writes, and the second waits in their kernel
        (Nagle's algorithm) for an acknowledgement that ours would delay by 40 ms.
        """
        received = await self._inner.read(_READ_STEP)
        sock = self._inner.kernelSocket
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return received

    async def _flush(self) -> None:
        while True:
            try:
                pending = self._connection.bio_read(_READ_STEP)
            except SSL.WantReadError:
                return
            await self._inner.write(pending)

    async def read(self, maximum: int) -> bytes:
        """
        See L{ByteStream.read}.

        @raise PeerGone: also for an end without close_notify, unless tolerated.
        """
        left = min(maximum, _READ_STEP)
        parts: list[bytes] = []
        while True:
            try:
                while left:
                    # recv_into copies once more, and first makes room for all that is left.
                    part = self._connection.recv(min(left, _RECORD))
                    parts.append(part)
                    left -= len(part)
                return b"".join(parts)
            except SSL.WantReadError:
                if parts:
                    return b"".join(parts)
                received = await self._receive()
                if received:
                    self._connection.bio_write(received)
                elif self.onMissingCloseNotify is not None:
                    self.onMissingCloseNotify()
                    return b""
                else:
                    raise PeerGone("connection ended without TLS close_notify") from None
            except SSL.ZeroReturnError:
                self.cleanlyClosed = True
                return b"".join(parts)
            except SSL.Error:
                if parts:
                    return b"".join(parts)
                raise PeerGone from None

    async def write(self, data: bytes | memoryview) -> None:
        """Nothing is ever sent on a connection that receives."""
        raise PeerGone

    async def finish(self) -> None:
        """
        Answer the peer's close_notify with ours (and, now that they can do no harm,
        the tickets).  A peer that is gone already has missed nothing.
        """
        try:
            self._connection.shutdown()
            await self._flush()
        except (SSL.Error, PeerGone):
            self._inner.abort()
            return
        await self._inner.finish()


def _handshakeFailed(error: Exception) -> PeerGone | ProtectionRequired:
    if isinstance(error, SSL.SysCallError):
        return PeerGone()
    return ProtectionRequired("TLS handshake failed on the data connection")
