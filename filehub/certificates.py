"""
Certificates and keys from PEM files: chosen by name, reloaded when they change,
made on the spot when there are none.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.logger import Logger

from filehub.clienttrust import ClientTrust
from filehub.errors import ConfigurationError

#: Sessions are resumed within one context of a control session anyway.
_SESSION_ID: Final = b"filehub"
#: TLS 1.2 suites: forward secrecy and authenticated encryption only.  TLS 1.3 has no others.
_CIPHERS: Final = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    b"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
#: Application protocols (ALPN) that an FTP client may name.
FTP_PROTOCOLS: Final = (b"ftp", b"ftp-data", b"x-filezilla-ftp")
_MINIMUM: Final = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
#: Days before its end at which a certificate is complained about.
_EXPIRY_WARNING: Final = 21


@dataclass(frozen=True)
class Certificate:
    """
    One certificate chain with its private key.

    @ivar names: the DNS names and addresses it is good for, lower case.
    """

    origin: Path
    chain: tuple[x509.Certificate, ...]
    key: PrivateKeyTypes
    names: tuple[str, ...]

    @property
    def expires(self) -> datetime:
        return self.chain[0].not_valid_after_utc

    @property
    def fingerprint(self) -> str:
        """SHA-256 in the form that clients show."""
        return self.chain[0].fingerprint(hashes.SHA256()).hex(":").upper()

    def fits(self, serverName: str) -> bool:
        """Is it good for this DNS name?  A leading C{*} stands for one label."""
        parent = serverName.partition(".")[2]
        return any(name == serverName or name == f"*.{parent}" for name in self.names)


def loadCertificate(certificatePath: Path, keyPath: Path) -> Certificate:
    """
    Read a chain and its key (which may be the same file).

    @raise ConfigurationError: unreadable, not PEM, or the key does not belong to
        the certificate.
    """
    try:
        pem = certificatePath.read_bytes()
        chain = tuple(x509.load_pem_x509_certificates(pem))
    except OSError as error:
        raise ConfigurationError(f"{certificatePath}: {error.strerror}") from None
    except ValueError:
        raise ConfigurationError(
            f"{certificatePath}: found no PEM certificate, expected -----BEGIN CERTIFICATE-----"
        ) from None
    try:
        key = serialization.load_pem_private_key(keyPath.read_bytes(), password=None)
    except OSError as error:
        raise ConfigurationError(f"{keyPath}: {error.strerror}") from None
    except (ValueError, TypeError):
        raise ConfigurationError(
            f"{keyPath}: found no usable private key, expected one in PEM without a passphrase"
        ) from None
    if key.public_key() != chain[0].public_key():
        raise ConfigurationError(f"{keyPath}: the key does not belong to {certificatePath}")
    return Certificate(certificatePath, chain, key, _namesOf(chain[0]))


def _namesOf(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(name.lower() for name in extension.value.get_values_for_type(x509.DNSName))


def makeSelfSigned(path: Path, names: Sequence[str], lifetime: timedelta) -> None:
    """
    Make a key and a certificate that vouches for itself, for servers that have been
    given none: it protects against listeners, not against impostors.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    temporary.replace(path)


@dataclass(frozen=True)
class TLSPolicy:
    """
    What connections have to be like.

    @ivar minimum: C{"1.2"} or C{"1.3"}.
    @ivar clientAuthorities: PEM file of the authorities that sign client certificates.
    @ivar clientCertificates: C{"off"}, C{"optional"} (asked for, checked where given) or
        C{"required"}.
    @ivar revocationList: file with revocation lists for client certificates.
    @ivar strictNames: refuse clients that name a server which no certificate is for.
    @ivar applicationProtocols: what a client may name with ALPN.  One that names only
        others (a browser that was led here: ALPACA) does not get through; one that
        names nothing does.
    """

    minimum: str = "1.2"
    clientAuthorities: Path | None = None
    clientCertificates: str = "off"
    revocationList: Path | None = None
    strictNames: bool = False
    applicationProtocols: tuple[bytes, ...] = FTP_PROTOCOLS

    def selectProtocol(self, _connection: SSL.Connection, offered: list[bytes]) -> bytes:
        """
        The ALPN callback of a context.

        @raise SSL.Error: nothing in common; this fails the handshake.
        """
        for name in offered:
            if name in self.applicationProtocols:
                return name
        # Any other exception would leave the handshake as a traceback.
        raise SSL.Error([("", "", "no application protocol in common")])


@dataclass
class _Loaded:
    """Everything that one reading of the files produced; replaced as a whole."""

    certificates: tuple[Certificate, ...]
    clients: ClientTrust | None
    contexts: dict[Certificate, SSL.Context] = field(default_factory=dict)


class CertificateStore:
    """
    The certificates of a server (a L{filehub.transfer.tls.CertificateSource}).

    C{certificate} names a PEM file, with C{key} beside it or inside it, or a folder
    of PEM files which hold key and chain each.  The first of a folder, in order of
    names, is the default one.
    """

    _log = Logger()

    def __init__(
        self, certificate: Path, key: Path | None = None, policy: TLSPolicy | None = None
    ) -> None:
        """
        @raise ConfigurationError: anything is wrong with the files.
        """
        self._certificate = certificate
        self._key = key
        self._policy = policy or TLSPolicy()
        self._seen: object = None
        self._warned: set[str] = set()
        self._loaded = self._load()
        self._seen = self._signature()

    @property
    def default(self) -> Certificate:
        """The certificate for clients that name no server, or an unknown one."""
        return self._loaded.certificates[0]

    def _files(self) -> list[Path]:
        if self._certificate.is_dir():
            return sorted(self._certificate.glob("*.pem"))
        return [self._certificate]

    def _load(self) -> _Loaded:
        files = self._files()
        if not files:
            raise ConfigurationError(f"{self._certificate}: found no *.pem file in this folder")
        single = len(files) == 1 and not self._certificate.is_dir()
        key = self._key if single else None
        certificates = tuple(loadCertificate(file, key or file) for file in files)
        loaded = _Loaded(certificates, self._loadClients())
        for certificate in loaded.certificates:
            context = SSL.Context(SSL.TLS_SERVER_METHOD)
            # Whatever OpenSSL itself dislikes (a weak key, say) comes out here, not
            # at the first client.
            self._equip(context, certificate)
            # A connection that is moved to this context has its ciphers, its protocols
            # and its authorities of clients.
            self._prepare(context, loaded.clients)
            loaded.contexts[certificate] = context
            self._complainOfExpiry(certificate)
        return loaded

    def _loadClients(self) -> ClientTrust | None:
        policy = self._policy
        if policy.clientCertificates == "off" or policy.clientAuthorities is None:
            return None
        return ClientTrust.load(policy.clientAuthorities, policy.revocationList)

    def _complainOfExpiry(self, certificate: Certificate) -> None:
        left = certificate.expires - datetime.now(UTC)
        if left < timedelta(days=_EXPIRY_WARNING) and certificate.fingerprint not in self._warned:
            self._warned.add(certificate.fingerprint)
            self._log.warn(
                "certificate {path} expires on {date:%Y-%m-%d}",
                path=str(certificate.origin),
                date=certificate.expires,
            )

    def _signature(self) -> object:
        """Changes when a file does; cheap enough to take every few seconds."""
        paths = [*self._files(), *([self._key] if self._key else [])]
        policy = self._policy
        paths += filter(None, (policy.clientAuthorities, policy.revocationList))
        found: list[tuple[object, ...]] = []
        for path in paths:
            try:
                status = path.stat()
            except OSError:
                found.append((path, None, None, None))
            else:
                found.append((path, status.st_ino, status.st_size, status.st_mtime_ns))
        return found

    def reloadIfChanged(self) -> bool:
        """
        Look at the files again.  New connections get what is new; running ones are
        not touched.  Files that cannot be used are complained of once, and the old
        certificates stay.
        """
        for certificate in self._loaded.certificates:
            self._complainOfExpiry(certificate)
        signature = self._signature()
        if signature == self._seen:
            return False
        self._seen = signature
        try:
            self._loaded = self._load()
        except ConfigurationError as error:
            self._log.error("certificates not reloaded: {error}", error=str(error))
            return False
        self._log.info(
            "certificates reloaded from {path}: {count}",
            path=str(self._certificate),
            count=len(self._loaded.certificates),
        )
        return True

    def _equip(self, context: SSL.Context, certificate: Certificate) -> None:
        try:
            context.use_certificate(certificate.chain[0])
            for issuer in certificate.chain[1:]:
                context.add_extra_chain_cert(issuer)
            context.use_privatekey(certificate.key)  # type: ignore[arg-type]
            context.check_privatekey()
        except SSL.Error as error:
            raise ConfigurationError(f"{certificate.origin}: refused by OpenSSL: {error}") from None

    def prepare(self, context: SSL.Context) -> None:
        """See L{filehub.transfer.tls.CertificateSource.prepare}."""
        self._prepare(context, self._loaded.clients)

    def _prepare(self, context: SSL.Context, clients: ClientTrust | None) -> None:
        policy = self._policy
        context.set_min_proto_version(_MINIMUM[policy.minimum])
        context.set_cipher_list(_CIPHERS)
        context.set_options(
            SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE
        )
        # Idle sessions give their record buffers back: 34 KiB each.
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        context.set_session_cache_mode(SSL.SESS_CACHE_SERVER)
        context.set_session_id(_SESSION_ID)
        context.set_alpn_select_callback(policy.selectProtocol)
        if clients is not None:
            clients.prepare(context, demanded=policy.clientCertificates == "required")

    @property
    def defaultContext(self) -> SSL.Context:
        """See L{filehub.transfer.tls.CertificateSource.defaultContext}."""
        # That of the first certificate.  To look it up would take 8 us: they are hashed whole.
        return next(iter(self._loaded.contexts.values()))

    def contextForName(self, serverName: bytes) -> SSL.Context | None:
        """See L{filehub.transfer.tls.CertificateSource.contextForName}."""
        name = serverName.decode("ascii", "replace").lower()
        loaded = self._loaded
        for certificate in loaded.certificates:
            if certificate.fits(name):
                return loaded.contexts[certificate]
        if self._policy.strictNames:
            raise LookupError("no certificate for the server name that the client gave")
        return None
