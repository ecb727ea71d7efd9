"""
Client certificates: which one is whose, and what it is good for.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from twisted.cred.error import UnauthorizedLogin
from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts.certrules import parseCertificateRule
from filehub.accounts.clientcerts import CertificateChecker
from filehub.accounts.hashes import hashPassword
from filehub.accounts.records import AccountRecord, AccountTable
from filehub.credentials import Certificate, PasswordRequired
from tests.certauthority import Authority, Issued

AUTHORITY = Authority()
ADA = AUTHORITY.issue("Ada Lovelace", emails=["ada@Example.org", "countess@example.org"])


def fits(rule: str, issued: Issued = ADA) -> bool:
    return parseCertificateRule(rule).matches(issued.certificate)


class RuleTests(SynchronousTestCase):
    """C{certificate = "..."}."""

    def test_fingerprint(self) -> None:
        """Exactly one certificate, however the digits are written."""
        digits = ADA.certificate.fingerprint(hashes.SHA256())
        self.assertTrue(fits(f"sha256:{digits.hex()}"))
        self.assertTrue(fits(f"sha256:{digits.hex(':').upper()}"))
        self.assertFalse(fits(f"sha256:{digits.hex()}", AUTHORITY.issue("Ada Lovelace")))

    def test_commonName(self) -> None:
        """The whole of it; no pattern, no other case, no prefix."""
        self.assertTrue(fits("CN=Ada Lovelace"))
        for other in ("CN=Ada", "CN=ada lovelace", "CN=*", "CN=Ada Lovelace ", "CN=.*"):
            self.assertFalse(fits(other), other)

    def test_embeddedNUL(self) -> None:
        """T-T15: a name with a NUL in it is not the name before the NUL."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Ada Lovelace\0.evil")])
        self.assertFalse(fits("CN=Ada Lovelace", AUTHORITY.issue(name)))

    def test_twoCommonNames(self) -> None:
        """A subject with two common names has none that counts."""
        both = [x509.NameAttribute(NameOID.COMMON_NAME, each) for each in ("Eve", "Ada Lovelace")]
        self.assertFalse(fits("CN=Ada Lovelace", AUTHORITY.issue(x509.Name(both))))

    def test_email(self) -> None:
        """Any of the alternative names; only the domain is free of case."""
        for rule in ("email:ada@example.org", "email:ada@EXAMPLE.org"):
            self.assertTrue(fits(rule), rule)
        self.assertTrue(fits("email:countess@example.org"))
        self.assertFalse(fits("email:ADA@example.org"))
        self.assertFalse(fits("email:ada@example.org", AUTHORITY.issue("ada@example.org")))

    def test_serial(self) -> None:
        """Serial number and issuer, both."""
        number = f"{ADA.certificate.serial_number:x}"
        self.assertTrue(fits(f"serial:{number} issuer:CN=Test CA"))
        self.assertFalse(fits(f"serial:{number} issuer:CN=Another CA"))
        self.assertFalse(fits("serial:1 issuer:CN=Test CA"))

    def test_mistakes(self) -> None:
        """Everything else is refused, and says what was expected."""
        for text in (
            "", "CN=", "Ada", "sha256:12", "sha256:" + "x" * 64, "email:ada", "sha1:00",
            "serial:1", "serial:xyz issuer:CN=a", "serial:1 issuer:nonsense", "email:a b@c",
        ):  # fmt: skip
            with self.assertRaises(ValueError) as caught:
                parseCertificateRule(text)
            self.assertIn("expected", str(caught.exception))


class CheckerTests(SynchronousTestCase):
    """L{CertificateChecker}."""

    def check(self, name: str = "ada", issued: Issued = ADA, **options: Any) -> Any:
        rules = (parseCertificateRule("CN=Ada Lovelace"), parseCertificateRule("CN=Ada King"))
        table = AccountTable(
            [
                AccountRecord("ada", certificates=rules),
                AccountRecord("both", certificates=rules, password=hashPassword(b"x")),
                AccountRecord("locked", certificates=rules, password="!"),
                AccountRecord("off", certificates=rules, enabled=False),
                AccountRecord("bob", password=hashPassword(b"x")),
            ]
        )
        checker = CertificateChecker(table, **options)
        return checker.requestAvatarId(Certificate(name.encode(), issued.der))

    def test_mapped(self) -> None:
        """Any of the account's certificates is a login, as this account."""
        self.assertEqual(self.successResultOf(self.check()), b"ada")
        self.assertEqual(
            self.successResultOf(self.check(issued=AUTHORITY.issue("Ada King"))), b"ada"
        )
        self.assertEqual(self.successResultOf(self.check("both")), b"both")

    def test_another(self) -> None:
        """Another certificate is refused; if the account has a password, that decides."""
        eve = AUTHORITY.issue("Eve")
        for name, expected in (
            ("ada", UnauthorizedLogin), ("locked", UnauthorizedLogin), ("both", PasswordRequired),
        ):  # fmt: skip
            error = self.failureResultOf(self.check(name, eve)).value
            self.assertIs(type(error), expected, name)

    def test_unmapped(self) -> None:
        """Accounts without a certificate, and those that do not exist, look alike."""
        for name in ("bob", "nobody", "off", "", "\udcff"):
            raw = name.encode("utf-8", "surrogateescape")
            checker = CertificateChecker(AccountTable([AccountRecord("bob")]))
            asking = checker.requestAvatarId(Certificate(raw, ADA.der))
            self.failureResultOf(asking, PasswordRequired)
        self.failureResultOf(self.check("off"), PasswordRequired)

    def test_expired(self) -> None:
        """A certificate that has ended since the handshake is none any more."""
        end = ADA.certificate.not_valid_after_utc.timestamp()
        self.successResultOf(self.check(now=lambda: end - 1))
        error = self.failureResultOf(self.check(now=lambda: end + 1), UnauthorizedLogin).value
        self.assertIn("expired", str(error))
        early = AUTHORITY.issue("Ada Lovelace", age=-timedelta(hours=1))
        self.failureResultOf(self.check(issued=early), UnauthorizedLogin)

    def test_garbage(self) -> None:
        """What is no certificate is refused."""
        checker = CertificateChecker(
            AccountTable([AccountRecord("ada", certificates=(parseCertificateRule("CN=a"),))])
        )
        asking = checker.requestAvatarId(Certificate(b"ada", b"nothing"))
        self.failureResultOf(asking, UnauthorizedLogin)
