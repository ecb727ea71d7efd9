"""
Client certificates: which one is whose, and what it is good for.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID
from twisted.cred.error import UnauthorizedLogin, UnhandledCredentials
from twisted.cred.portal import Portal
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts.certrules import parseCertificateRule
from filehub.accounts.clientcerts import CertificateChecker
from filehub.accounts.hashes import hashPassword
from filehub.accounts.realm import FileHubRealm
from filehub.accounts.records import AccountRecord, AccountTable
from filehub.accounts.throttle import ThrottledPortal
from filehub.credentials import (
    Address,
    Certificate,
    ConnectionInfo,
    EncryptionRequired,
    PasswordRequired,
)
from filehub.events import LoggedIn
from filehub.interfaces import IFileAccount
from tests.certauthority import Authority, Issued
from tests.protocols.ftp.doubles import Sink

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
                AccountRecord("acct", certificates=rules, account=hashPassword(b"x")),
                AccountRecord("codes", certificates=rules, oneTimeSecret="JBSWY3DPEHPK3PXP"),
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

    def test_notEnough(self) -> None:
        """Where ACCT or a one-time code is wanted, a certificate does not replace it."""
        for name in ("acct", "codes"):
            self.failureResultOf(self.check(name), PasswordRequired)

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


class PortalTests(SynchronousTestCase):
    """The same through the throttled portal that protocols ask, and the realm."""

    def setUp(self) -> None:
        self.clock, self.sink = Clock(), Sink()
        rules = (parseCertificateRule("CN=Ada Lovelace"),)
        table = AccountTable(
            [
                AccountRecord("ada", certificates=rules, requiresTLS=True),
                AccountRecord("bob", password=hashPassword(b"x")),
            ]
        )
        portal = Portal(FileHubRealm(table, {}), [CertificateChecker(table)])
        self.portal = ThrottledPortal(portal, self.clock, self.sink)

    def login(self, name: bytes, *, secure: bool = True, portal: Any = None) -> Any:
        here = Address("192.0.2.1", 40000)
        mind = ConnectionInfo("ftp", 1, here, here, secure)
        return (portal or self.portal).login(Certificate(name, ADA.der), mind, IFileAccount)

    def test_account(self) -> None:
        """The avatar is the account, and says that its data has to be encrypted."""
        _, account, _ = self.successResultOf(self.login(b"ada"))
        self.assertEqual((account.name, account.requiresTLS), ("ada", True))
        self.assertEqual([type(event) for event in self.sink.events], [LoggedIn])

    def test_passwordDecides(self) -> None:
        """That a password is needed is no failure: nothing is held back or counted."""
        for _ in range(30):
            self.failureResultOf(self.login(b"bob"), PasswordRequired)
        self.successResultOf(self.login(b"ada"))
        self.assertEqual([type(event) for event in self.sink.events], [LoggedIn])

    def test_inTheClear(self) -> None:
        """An account that demands TLS is refused at once, for the log to tell."""
        self.failureResultOf(self.login(b"ada", secure=False), EncryptionRequired)
        (event,) = self.sink.events
        self.assertEqual(event.reason, "the account is for encrypted connections only")

    def test_nobodyLooks(self) -> None:
        """Where no checker takes certificates, that is no failure either."""
        portal = ThrottledPortal(Portal(FileHubRealm(AccountTable([]), {})), self.clock, self.sink)
        self.failureResultOf(self.login(b"ada", portal=portal), UnhandledCredentials)
        self.assertEqual(self.sink.events, [])
