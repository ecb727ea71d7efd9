"""
Which client certificates are believed: authorities and revocation lists from files.

OpenSSL checks chains, purposes and times.  Whether a certificate was revoked is looked
up here, in one table that all contexts share: a list of an authority with many clients
is large, and OpenSSL would keep a copy in the context of every control session.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from OpenSSL import SSL, crypto
from twisted.logger import Logger

from filehub.errors import ConfigurationError

_LIST: Final = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Revoked:
    """
    What one authority has taken back.

    @ivar until: when a newer list is due, seconds since the epoch; L{None} if that is
        not said.
    """

    serials: frozenset[int]
    until: float | None


class ClientTrust:
    """
    What one reading of the files produced.

    Where there is a revocation list at all, a client's certificate counts only if a list
    of its issuer, which is not out of date, does not name it.
    """

    _log = Logger()

    def __init__(
        self,
        authorities: Iterable[x509.Certificate],
        revoked: Mapping[x509.Name, Revoked] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        @param revoked: by issuer; L{None} if nobody keeps such lists.
        @param now: seconds since the epoch.
        """
        self._authorities = tuple(authorities)
        self._loaded = [crypto.X509.from_cryptography(each) for each in self._authorities]
        self._revoked = revoked
        self._now = now
        self._outdated: set[x509.Name] = set()

    @classmethod
    def load(cls, authorities: Path, revocationList: Path | None = None) -> ClientTrust:
        """
        @param authorities: PEM, any number of certificates.
        @param revocationList: PEM (any number of lists) or DER (one).
        @raise ConfigurationError: they cannot be used.
        """
        try:
            trusted = x509.load_pem_x509_certificates(_read(authorities))
        except ValueError:
            raise ConfigurationError(
                f"{authorities}: found no PEM certificate, expected those of the authorities"
                " that sign client certificates"
            ) from None
        if revocationList is None:
            return cls(trusted)
        return cls(trusted, _revocations(revocationList, trusted))

    def prepare(self, context: SSL.Context, *, demanded: bool) -> None:
        """
        Let a server's context ask for client certificates.

        @param demanded: refuse clients without one.
        """
        store = context.get_cert_store()
        if store is None:
            raise ConfigurationError("the TLS library keeps no authorities")
        for loaded, authority in zip(self._loaded, self._authorities, strict=True):
            store.add_cert(loaded)
            # Old devices choose their certificate by the names that are sent.
            context.add_client_ca(authority)
        mode = SSL.VERIFY_PEER
        if demanded:
            mode |= SSL.VERIFY_FAIL_IF_NO_PEER_CERT
        context.set_verify(mode, None if self._revoked is None else self._verified)

    def _verified(
        self, _connection: Any, certificate: crypto.X509, _error: int, depth: int, good: int
    ) -> bool:
        """For each certificate of a chain; see L{SSL.Context.set_verify}."""
        if not good:
            return False
        shown = certificate.to_cryptography()
        if self.isStanding(shown, isClient=depth == 0):
            return True
        # The client only hears of an internal error: nothing else can be said from here.
        self._log.warn(
            "refused the client certificate of {subject}, number {serial:x}: it was revoked,"
            " or no list tells",
            subject=shown.subject.rfc4514_string(),
            serial=shown.serial_number,
        )
        return False

    def isStanding(self, certificate: x509.Certificate, *, isClient: bool) -> bool:
        """
        Was it not revoked, as far as the lists tell?

        @param isClient: the client's own; else an authority, which stands if there is no
            list of who signed it.
        """
        issuer = certificate.issuer
        if self._revoked is None or (not isClient and issuer == certificate.subject):
            return True
        known = self._revoked.get(issuer)
        if known is None:
            return not isClient
        if known.until is not None and known.until < self._now():
            if issuer not in self._outdated:
                self._outdated.add(issuer)
                self._log.error(
                    "the revocation list of {issuer} is out of date:"
                    " its client certificates are refused",
                    issuer=issuer.rfc4514_string(),
                )
            return False
        return certificate.serial_number not in known.serials


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None


def _revocations(path: Path, authorities: Iterable[x509.Certificate]) -> dict[x509.Name, Revoked]:
    data = _read(path)
    try:
        lists = [x509.load_pem_x509_crl(each) for each in _LIST.findall(data)]
        if not lists:
            lists = [x509.load_der_x509_crl(data)]
    except ValueError:
        raise ConfigurationError(
            f"{path}: found no revocation list, expected -----BEGIN X509 CRL-----"
        ) from None
    found: dict[x509.Name, Revoked] = {}
    for each in lists:
        if not any(_isFrom(each, authority) for authority in authorities):
            raise ConfigurationError(
                f"{path}: found a revocation list of {each.issuer.rfc4514_string()},"
                " expected one that an authority of client_ca has signed"
            )
        if any(extension.critical for extension in each.extensions):
            raise ConfigurationError(
                f"{path}: found a partial revocation list, expected a complete one"
            )
        serials = frozenset(entry.serial_number for entry in each)
        due = each.next_update_utc
        until = None if due is None else due.astimezone(UTC).timestamp()
        known = found.get(each.issuer)
        if known is not None:
            # More than one list of the same authority: all of them count.
            serials |= known.serials
            until = max(filter(None, (until, known.until)), default=None)
        found[each.issuer] = Revoked(serials, until)
    return found


def _isFrom(revocations: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    if revocations.issuer != authority.subject:
        return False
    try:
        return revocations.is_signature_valid(authority.public_key())  # type: ignore[arg-type]
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
        return False


__all__ = ["ClientTrust", "Revoked"]
