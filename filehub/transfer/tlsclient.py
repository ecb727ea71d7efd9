"""
The client's side of TLS, straight on the socket.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import service_identity.pyopenssl
from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError

from filehub.errors import ConfigurationError, PeerGone, ProtectionRequired
from filehub.transfer.stream import ByteStream
from filehub.transfer.tlsstreams import OverSocket

_READ_STEP: Final = 256 * 1024
#: What is handed to OpenSSL in one call; it takes one record of it.
_WRITE_STEP: Final = 256 * 1024


@dataclass(frozen=True)
class ServerTrust:
    """
    Which servers a client believes.

    @ivar authorities: PEM file of authorities to trust instead of the system's.
    @ivar insecure: believe everybody; protects against listeners only.
    @ivar pin: believe exactly the certificate with this SHA-256 fingerprint (hex,
        colons allowed), whoever signed it and whatever name it bears.
    """

    authorities: Path | None = None
    insecure: bool = False
    pin: str | None = None

    def context(self) -> SSL.Context:
        """
        One context for a control connection and its data connections.

        @raise ConfigurationError: the authorities cannot be read.
        """
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        if self.insecure or self.pin is not None:
            context.set_verify(SSL.VERIFY_NONE)
            return context
        context.set_verify(SSL.VERIFY_PEER)
        if self.authorities is None:
            context.set_default_verify_paths()
        else:
            try:
                context.load_verify_locations(str(self.authorities))
            except SSL.Error:
                raise ConfigurationError(
                    f"{self.authorities}: no PEM file with certificates of authorities"
                ) from None
        return context

    def check(self, connection: SSL.Connection, host: str) -> None:
        """
        Is the other end of this finished handshake who it should be?

        @raise ProtectionRequired: no.
        """
        if self.pin is not None:
            certificate = connection.get_peer_certificate(as_cryptography=True)
            found = certificate.fingerprint(hashes.SHA256()).hex() if certificate else ""
            if not hmac.compare_digest(found, self.pin.replace(":", "").lower()):
                raise ProtectionRequired(f"the server's certificate is another one: {found}")
        elif not self.insecure:
            try:
                if host.replace(".", "").isdigit() or ":" in host:
                    service_identity.pyopenssl.verify_ip_address(connection, host)
                else:
                    service_identity.pyopenssl.verify_hostname(connection, host)
            except (VerificationError, CertificateError):
                raise ProtectionRequired(f"the server's certificate is not for {host}") from None


class TLSClientStream(OverSocket):
    """
    A L{ByteStream} in both directions.
    """

    __slots__ = ("_connection", "_isEnded")

    def __init__(
        self,
        inner: ByteStream,
        context: SSL.Context,
        host: str,
        session: SSL.Session | None = None,
    ) -> None:
        """
        @param session: that of the control connection, to be resumed.
        @raise PeerGone: there is no connection any more.
        """
        super().__init__(inner)
        if inner.kernelSocket is None:
            raise PeerGone
        self._connection = SSL.Connection(context, inner.kernelSocket)
        self._connection.set_connect_state()
        self._isEnded = False
        if not host.replace(".", "").isdigit() and ":" not in host:
            self._connection.set_tlsext_host_name(host.encode("idna"))
        if session is not None:
            self._connection.set_session(session)

    @property
    def session(self) -> SSL.Session | None:
        """The newest session that the server offered for resumption."""
        return self._connection.get_session()

    @property
    def connection(self) -> SSL.Connection:
        """For L{ServerTrust.check}."""
        return self._connection

    async def handshake(self) -> None:
        """
        @raise ProtectionRequired: the handshake failed, and why.
        @raise PeerGone:
        """
        while True:
            try:
                self._connection.do_handshake()
                return
            except SSL.WantReadError:
                await self._inner.readable()
            except SSL.WantWriteError:
                await self._inner.writable()
            except SSL.SysCallError:
                raise PeerGone("connection lost in the TLS handshake") from None
            except SSL.Error as error:
                reasons = "; ".join(each[-1] for each in error.args[0]) if error.args else ""
                raise ProtectionRequired(f"TLS handshake failed: {reasons}") from None

    async def read(self, maximum: int) -> bytes:
        """See L{ByteStream.read}."""
        while True:
            try:
                return self._connection.recv(min(maximum, _READ_STEP))
            except SSL.WantReadError:
                await self._inner.readable()
            except SSL.WantWriteError:
                await self._inner.writable()
            except SSL.ZeroReturnError:
                self._isEnded = True
                return b""
            except SSL.Error:
                raise PeerGone("connection ended without TLS close_notify") from None

    async def write(self, data: bytes | memoryview) -> None:
        """See L{ByteStream.write}."""
        view = memoryview(data)
        while view:
            try:
                sent = self._connection.send(view[:_WRITE_STEP])
            except SSL.WantWriteError:
                await self._inner.writable()
            except SSL.WantReadError:
                await self._inner.readable()
            except SSL.Error:
                raise PeerGone from None
            else:
                view = view[sent:]

    async def finish(self) -> None:
        """Send close_notify and end."""
        try:
            self._connection.shutdown()
        except SSL.Error:
            self._inner.abort()
            return
        try:
            await self._inner.finish()
        except PeerGone:
            # A server that is done may close before our close_notify is there, and have
            # it answered by a reset: nothing is lost with it.
            if not self._isEnded:
                raise
