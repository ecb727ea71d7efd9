"""
Credentials to names.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from twisted.cred.checkers import ANONYMOUS, ICredentialsChecker
from twisted.cred.credentials import Anonymous, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from filehub.accounts import hashes, passwords
from filehub.accounts.checkers import (
    MAXIMUM_NAME,
    AnonymousChecker,
    CheckOverloaded,
    NetworkChecker,
    PasswordChecker,
    UnknownUser,
)
from filehub.accounts.passwords import PasswordVerifier
from filehub.accounts.records import AccountRecord, AccountTable, NetworkRecord
from filehub.credentials import AccountPassword, AccountRequired, Address, PeerAddress
from tests.accounts.doubles import CHEAP, CountingHasher, Threads

SESAME = CHEAP.hash(b"sesame")


class PasswordTests(SynchronousTestCase):
    """L{PasswordChecker}."""

    def setUp(self) -> None:
        self.threads = Threads()
        self.hasher = CountingHasher()
        self.patch(hashes, "_HASHER", self.hasher)
        self.patch(passwords, "deferToThreadPool", self.threads.defer)
        self.verifier = PasswordVerifier(Clock(), threads=1, queue=1, rememberFor=0.0)
        self.addCleanup(self.verifier.stop)
        locked = {f"locked{number}": text for number, text in enumerate(("", "!", "*", "x"))}
        records = [
            AccountRecord("ann", SESAME),
            AccountRecord("äöü", SESAME),
            AccountRecord("acct", SESAME, CHEAP.hash(b"billing")),
            AccountRecord("noacct", SESAME, "!"),
            AccountRecord("gone", SESAME, enabled=False),
            AccountRecord("none"),
            *(AccountRecord(name, text) for name, text in locked.items()),
        ]
        self.names = [record.name for record in records]
        self.checker = PasswordChecker(AccountTable(records), self.verifier)

    def ask(self, credentials: Any) -> Deferred[Any]:
        """The answer, when all threads have done their work."""
        asking = self.checker.requestAvatarId(credentials)
        self.threads.runAll()
        return asking

    def refused(self, name: bytes, password: bytes) -> str:
        """The operator's reason."""
        failure = self.failureResultOf(
            self.ask(UsernamePassword(name, password)), UnauthorizedLogin
        )
        self.assertIn(failure.type, (UnauthorizedLogin, UnknownUser))
        return str(failure.value)

    def test_interface(self) -> None:
        """It is a checker, as any Twisted application can use."""
        verifyObject(ICredentialsChecker, self.checker)
        verifyObject(ICredentialsChecker, AnonymousChecker())
        verifyObject(ICredentialsChecker, NetworkChecker((), "tftp"))

    def test_right(self) -> None:
        """The name comes back as bytes, whatever characters it has."""
        for name in ("ann", "äöü"):
            asking = self.ask(UsernamePassword(name.encode(), b"sesame"))
            self.assertEqual(self.successResultOf(asking), name.encode())

    def test_text(self) -> None:
        """Name and password may be text: Twisted's own FTP server decodes them."""
        right: Any = UsernamePassword("ann", "sesame")
        self.assertEqual(self.successResultOf(self.ask(right)), b"ann")
        wrong: Any = UsernamePassword("ann", "wrong")
        self.failureResultOf(self.ask(wrong), UnauthorizedLogin)

    def test_wrong(self) -> None:
        """A wrong password is refused after one check."""
        self.refused(b"ann", b"Sesame")
        self.assertEqual(self.hasher.verified, [SESAME])

    def test_constantWork(self) -> None:
        """
        Unknown, disabled, passwordless and locked accounts cost the same check of one
        hash as a wrong password does.
        """
        for name in ("nobody", "gone", "none", "locked0", "locked1", "locked2", "locked3"):
            for password in (b"sesame", b"!", b"*", b"x", b"wrong"):
                self.hasher.verified.clear()
                self.refused(name.encode(), password)
                self.assertEqual(len(self.hasher.verified), 1, name)

    def test_notUTF8(self) -> None:
        """A name that no account can have costs the same."""
        self.refused(b"\xff\xfe", b"sesame")
        self.assertEqual(len(self.hasher.verified), 1)

    def test_emptyPassword(self) -> None:
        """An empty password logs nobody in, whatever is stored."""
        for name in [*self.names, "nobody"]:
            self.refused(name.encode(), b"")

    def test_unacceptable(self) -> None:
        """Long names and passwords, and NUL, are refused before anything is hashed."""
        for name, password in (
            (b"ann", b"x" * 8192), (b"ann", b"x" * 1025), (b"ann", b"sesame\0"),
            (b"ann", b"sesame\0x"), (b"ann\0", b"sesame"), (b"x" * (MAXIMUM_NAME + 1), b"sesame"),
        ):  # fmt: skip
            asking = self.checker.requestAvatarId(UsernamePassword(name, password))
            self.assertEqual(self.threads.waiting, [])
            self.failureResultOf(asking, UnauthorizedLogin)
        self.assertEqual(self.hasher.verified, [])

    def test_nameIsData(self) -> None:
        """Names that mean something elsewhere are just unknown here."""
        for name in (b"../x", b"a/b", b".", b"$(id)", b"';--", b"{x}", b"%s", b"ann\n"):
            self.assertEqual(self.refused(name, b"sesame"), "no such account with a password")

    def test_accountRequired(self) -> None:
        """An account that wants ACCT says so after the right password, not before."""
        asking = self.ask(UsernamePassword(b"acct", b"sesame"))
        self.failureResultOf(asking, AccountRequired)
        self.refused(b"acct", b"wrong")

    def test_account(self) -> None:
        """Password and account together are right, and nothing less."""
        asking = self.ask(AccountPassword(b"acct", b"sesame", b"billing"))
        self.assertEqual(self.successResultOf(asking), b"acct")
        for password, account in (
            (b"sesame", b"wrong"), (b"sesame", b""), (b"sesame", b"billing\0"),
            (b"wrong", b"billing"), (b"billing", b"sesame"), (b"sesame", b"x" * 8192),
        ):  # fmt: skip
            failure = self.failureResultOf(
                self.ask(AccountPassword(b"acct", password, account)), UnauthorizedLogin
            )
            self.assertIs(failure.type, UnauthorizedLogin)

    def test_lockedAccount(self) -> None:
        """A locked ACCT field never matches."""
        for account in (b"!", b"sesame"):
            asking = self.ask(AccountPassword(b"noacct", b"sesame", account))
            self.failureResultOf(asking, UnauthorizedLogin)

    def test_needlessAccount(self) -> None:
        """An ACCT that was not asked for does no harm."""
        asking = self.ask(AccountPassword(b"ann", b"sesame", b"whatever"))
        self.assertEqual(self.successResultOf(asking), b"ann")

    def test_queueFull(self) -> None:
        """With the queue full everybody is refused, known or not, by a reason of its own."""
        waiting = [
            self.checker.requestAvatarId(UsernamePassword(b"ann", b"sesame")) for _ in range(2)
        ]
        for name in (b"ann", b"nobody"):
            asking = self.checker.requestAvatarId(UsernamePassword(name, b"sesame"))
            self.failureResultOf(asking, CheckOverloaded)
        self.threads.runAll()
        self.assertEqual([self.successResultOf(each) for each in waiting], [b"ann", b"ann"])

    def test_secretsInRepr(self) -> None:
        """Records and credentials do not show their secrets."""
        record = AccountRecord("ann", SESAME, SESAME)
        self.assertNotIn("argon2", repr(record))
        self.assertNotIn("sesame", repr(AccountPassword(b"ann", b"sesame", b"x")))


class AnonymousTests(SynchronousTestCase):
    """L{AnonymousChecker}."""

    def test_anonymous(self) -> None:
        """Whoever says that he is nobody is nobody."""
        asking = AnonymousChecker().requestAvatarId(Anonymous())
        self.assertIs(self.successResultOf(asking), ANONYMOUS)


class NetworkTests(SynchronousTestCase):
    """L{NetworkChecker}."""

    def checker(self, table: dict[str, str], protocols: str = "tftp") -> NetworkChecker:
        """Networks and their accounts."""
        return NetworkChecker(
            [
                NetworkRecord(ipaddress.ip_network(text), name, frozenset([protocols]))
                for text, name in table.items()
            ],
            "tftp",
        )

    def ask(self, checker: NetworkChecker, host: str) -> Any:
        """The account, or L{None}."""
        asking = checker.requestAvatarId(PeerAddress(Address(host, 1), Address("::1", 69)))
        asking.addErrback(lambda failure: failure.trap(UnauthorizedLogin) and None)
        return self.successResultOf(asking)

    def test_mostSpecific(self) -> None:
        """The smallest network that holds the address decides, in whatever order."""
        table = {
            "0.0.0.0/0": "world", "10.0.0.0/8": "lan", "10.1.2.3/32": "host", "10.1.0.0/16": "site",
            "::/0": "world6", "2001:db8::/32": "lan6",
        }  # fmt: skip
        for order in (table, dict(reversed(table.items()))):
            checker = self.checker(order)
            for host, expected in {
                "192.0.2.1": b"world", "10.9.9.9": b"lan", "10.1.9.9": b"site", "10.1.2.3": b"host",
                "2001:db8::1": b"lan6", "fe80::1%eth0": b"world6",
            }.items():  # fmt: skip
                self.assertEqual(self.ask(checker, host), expected, host)

    def test_none(self) -> None:
        """An address that no network holds is nobody's."""
        checker = self.checker({"10.0.0.0/8": "lan", "::/0": "six"})
        self.assertIsNone(self.ask(checker, "11.0.0.1"))

    def test_otherProtocols(self) -> None:
        """Networks of other protocols do not count."""
        self.assertIsNone(self.ask(self.checker({"0.0.0.0/0": "x"}, "other"), "10.0.0.1"))
