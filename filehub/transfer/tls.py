"""
The TLS identity of a control session and its data connections.

Theory of operation
===================

Tickets of a control session cannot be used but with that session's own connections
(see L{filehub.transfer._contexts}), so a data connection whose handshake resumes was
B{proven} to come from the client of this very control session, in TLS 1.2 and 1.3
alike.  Certificates and keys are loaded once and shared.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from OpenSSL._util import lib as _lib

from filehub.transfer._contexts import sharing
from filehub.transfer.stream import ByteStream

if TYPE_CHECKING:
    from filehub.transfer.tlsearly import EarlyHandshake
    from filehub.transfer.tlsstreams import TLSReceiver

_TICKET_LIFETIME: Final = 7 * 86_400


class CertificateSource(Protocol):
    """
    Where contexts get their certificates, keys and rules from.

    @ivar defaultContext: a shared context that holds the default certificate.
    """

    @property
    def defaultContext(self) -> SSL.Context: ...

    def prepare(self, context: SSL.Context) -> None:
        """Give a new context the TLS policy, but no certificate."""

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
        "_default",
        "_identity",
        "_sharing",
        "_source",
        "clientCertificate",
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
        # A key that each session had for itself would be prepared for signing each
        # time, which takes half as long as signing.
        self._default = source.defaultContext
        self.serverName: bytes | None = None
        self.clientCertificate: bytes | None = None
        self.isCleared = False
        self.isSpent = False
        self.isUnbound = False
        self.early: EarlyHandshake | None = None
        self._sharing = sharing(self._default, resumable, partial(_newContext, source, resumable))
        self._identity = self._sharing.join()

    def connection(self) -> SSL.Connection:
        """The server's end of the control connection, or of a data connection, over memory."""
        connection = self._sharing.connection(self._identity)
        connection.set_app_data(self)
        return connection

    def established(self, connection: SSL.Connection) -> None:
        """The handshake of the control connection is done."""
        self.clientCertificate = certificateOf(connection)

    def chooseCertificate(self, connection: SSL.Connection) -> None:
        """The client's first words on a connection have come, maybe with a server's name."""
        name = connection.get_servername()
        if name is not None and self.serverName is None:
            self.serverName = name
        chosen = name or self.serverName
        found = None
        if chosen is not None:
            try:
                found = self._source.contextForName(chosen)
            except LookupError:
                # Raised into OpenSSL it would be a traceback in the log for every
                # client that asks; a context without a certificate refuses in silence.
                return
        connection.set_context(found or self._default)

    async def earlyStream(self, inner: ByteStream) -> TLSReceiver | None:
        """
        The TLS that has begun already on this data connection, if so.

        @raise PeerGone: and L{ProtectionRequired}: it has failed.
        """
        early, self.early = self.early, None
        return await early.take() if early is not None and early.inner is inner else None


def _newContext(source: CertificateSource, resumable: bool) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    source.prepare(context)
    if resumable:
        # As long as tickets may live (RFC 8446 section 4.6.1): the keys that encrypt
        # them go with the last of its control connections.
        context.set_timeout(_TICKET_LIFETIME)
    else:
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_options(SSL.OP_NO_TICKET)
    context.set_tlsext_servername_callback(_chooseCertificate)
    return context


def _chooseCertificate(connection: SSL.Connection) -> None:
    session: TLSSession = connection.get_app_data()
    session.chooseCertificate(connection)


def certificateOf(connection: SSL.Connection) -> bytes | None:
    """What the peer showed, verified, DER."""
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
    ours = server.connection()
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


__all__ = [
    "CertificateSource",
    "TLSSession",
    "certificateOf",
    "resumptionIsSeen",
    "wasResumed",
]
