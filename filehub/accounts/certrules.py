"""
Which client certificates are an account's own.

An account says which certificates are its own, each in one of these ways:

  - C{sha256:...}, the fingerprint of exactly one certificate;
  - C{CN=...}, the subject's common name, if it has exactly one;
  - C{email:...}, an address among the certificate's alternative names;
  - C{serial:... issuer:...}, a serial number (hex) and the distinguished name of who
    gave it (RFC 4514).

All compare whole values; nothing is a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

_SERIAL: Final = re.compile(r"serial:([0-9a-fA-F:]+)\s+issuer:(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CertificateRule:
    """
    One way to know an account's certificate.

    @ivar kind: C{"sha256"}, C{"CN"}, C{"email"} or C{"serial"}.
    @ivar value: what it has to be; for a serial number, that and the issuer.
    """

    kind: str
    value: str | tuple[int, x509.Name]

    def matches(self, certificate: x509.Certificate) -> bool:
        """Is it this one?"""
        return self.value in _FACTS[self.kind](certificate)


def parseCertificateRule(text: str) -> CertificateRule:
    """
    @raise ValueError: says what was expected.
    """
    kind, separator, value = text.partition("=" if text.startswith("CN=") else ":")
    if kind == "CN" and separator == "=" and value:
        return CertificateRule("CN", value)
    if kind == "sha256":
        digits = value.replace(":", "").lower()
        if re.fullmatch("[0-9a-f]{64}", digits):
            return CertificateRule("sha256", digits)
        raise ValueError("expected 64 hex digits after sha256:")
    if kind == "email" and re.fullmatch(r"[^@\s]+@[^@\s]+", value):
        local, _, domain = value.rpartition("@")
        return CertificateRule("email", f"{local}@{domain.lower()}")
    found = _SERIAL.fullmatch(text)
    if found is not None:
        try:
            issuer = x509.Name.from_rfc4514_string(found[2])
            return CertificateRule("serial", (int(found[1].replace(":", ""), 16), issuer))
        except ValueError:
            raise ValueError(
                "expected serial:HEX issuer:NAME with a name such as CN=Example CA,O=Example"
            ) from None
    raise ValueError("expected sha256:..., CN=..., email:... or serial:... issuer:...")


def _fingerprint(certificate: x509.Certificate) -> list[str]:
    return [certificate.fingerprint(hashes.SHA256()).hex()]


def _commonName(certificate: x509.Certificate) -> list[str]:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    # With two of them nobody knows which one the authority has looked at.
    return [str(names[0].value)] if len(names) == 1 else []


def _addresses(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return []
    found = (each.rpartition("@") for each in names.value.get_values_for_type(x509.RFC822Name))
    return [f"{local}@{domain.lower()}" for local, _, domain in found]


def _serial(certificate: x509.Certificate) -> list[tuple[int, x509.Name]]:
    return [(certificate.serial_number, certificate.issuer)]


_FACTS: Final[dict[str, Callable[[x509.Certificate], list[Any]]]] = {
    "sha256": _fingerprint,
    "CN": _commonName,
    "email": _addresses,
    "serial": _serial,
}


__all__ = ["CertificateRule", "parseCertificateRule"]
