"""
Client certificates instead of passwords.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from zope.interface import implementer

from filehub.accounts.hashes import isUsableHash
from filehub.accounts.records import AccountSource
from filehub.credentials import ICertificate, PasswordRequired
from filehub.paths import decodeName


@implementer(ICredentialsChecker)
class CertificateChecker:
    """
    A client certificate, verified by TLS, instead of a password.

    Where it proves nothing about the name that was given, a password decides
    (L{PasswordRequired}), except for accounts that are known by certificates alone; also
    where ACCT or a one-time code is wanted.
    """

    credentialInterfaces = (ICertificate,)

    def __init__(self, source: AccountSource, now: Callable[[], float] = time.time) -> None:
        """
        @param now: seconds since the epoch.
        """
        self._source = source
        self._now = now

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """See L{ICredentialsChecker.requestAvatarId}."""
        return Deferred.fromCoroutine(self._check(credentials))

    async def _check(self, credentials: Any) -> bytes:
        record = await self._source.find(decodeName(credentials.username))
        if record is None or not record.enabled or not record.certificates:
            raise PasswordRequired("no account of this name is known by a certificate")
        try:
            certificate = x509.load_der_x509_certificate(credentials.certificate)
            matches = any(rule.matches(certificate) for rule in record.certificates)
        except ValueError:
            raise UnauthorizedLogin("the certificate cannot be read") from None
        # The connection may be older than the end of the certificate.
        now = datetime.fromtimestamp(self._now(), UTC)
        valid = certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
        if matches and valid:
            if record.account is not None or record.oneTimeSecret is not None:
                # Of these accounts more is wanted than one proof.
                raise PasswordRequired("a certificate alone is not enough")
            return record.name.encode("utf-8")
        if record.password is not None and isUsableHash(record.password):
            raise PasswordRequired("the certificate is not this account's")
        raise UnauthorizedLogin(
            "the certificate has expired" if matches else "the certificate is another account's"
        )


__all__ = ["CertificateChecker"]
