"""
A certificate authority for tests: certificates of clients and servers, revocation lists.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


@dataclass
class Issued:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def write(self, path: Path) -> Path:
        """Both, in one PEM file."""
        path.write_bytes(
            self.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + self.certificate.public_bytes(serialization.Encoding.PEM)
        )
        return path


class Authority:
    """Signs certificates, and takes them back."""

    def __init__(self, name: str = "Test CA") -> None:
        self.name = _name(name)
        self.key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(self.name)
            .issuer_name(self.name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + 365 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=1), True)
            .sign(self.key, hashes.SHA256())
        )

    def write(self, path: Path) -> Path:
        """Its own certificate."""
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def issue(
        self,
        common: str | x509.Name,
        *,
        emails: Iterable[str] = (),
        hosts: Iterable[str] = (),
        lifetime: timedelta = DAY,
        age: timedelta = DAY,
        purpose: x509.ObjectIdentifier | None = None,
    ) -> Issued:
        """
        @param common: the subject's common name, or all of its name.
        @param purpose: by default a server's, if it has names of hosts, or a client's.
        @param hosts: names of a server.
        @param lifetime: from now on; may be negative.
        @param age: since when.
        """
        if purpose is None:
            purpose = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(common) if isinstance(common, str) else common)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - age)
            .not_valid_after(now + lifetime)
            .add_extension(x509.ExtendedKeyUsage([purpose]), False)
        )
        names: list[x509.GeneralName] = [x509.RFC822Name(each) for each in emails]
        names += [x509.DNSName(each) for each in hosts]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        return Issued(builder.sign(self.key, hashes.SHA256()), key)

    def revocations(self, *revoked: Issued, due: timedelta = DAY) -> x509.CertificateRevocationList:
        """
        A list of what was taken back.

        @param due: from now until the next list; may be negative.
        """
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.name)
            .last_update(now - 2 * DAY)
            .next_update(now + due)
        )
        for each in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(each.certificate.serial_number)
                .revocation_date(now - DAY)
                .build()
            )
        return builder.sign(self.key, hashes.SHA256())

    def writeRevocations(self, path: Path, *revoked: Issued, due: timedelta = DAY) -> Path:
        """The same, in a PEM file."""
        found = self.revocations(*revoked, due=due)
        path.write_bytes(found.public_bytes(serialization.Encoding.PEM))
        return path
