"""
USER, PASS, ACCT, REIN, QUIT: who gets in, and what is left when he goes.
"""

from __future__ import annotations

from typing import Any

from twisted.cred.credentials import IAnonymous, UsernamePassword
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts.records import AccountLimits
from filehub.credentials import Address, IAccountPassword
from filehub.errors import LimitExceeded, StorageUnavailable
from filehub.paths import ROOT
from filehub.protocols.ftp.settings import FTPSettings
from tests.protocols.ftp.doubles import Client


class LoginTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.client = Client()

    def test_greeting(self) -> None:
        """220, without name or version."""
        self.assertEqual(self.client.greeting, b"220 FTP server ready.\r\n")

    def test_banner(self) -> None:
        """T-I2: no line of a banner can be taken for a reply."""
        client = Client(FTPSettings(banner="Welcome\n230 ok\n530 no"))
        self.assertEqual(client.greeting, b"220-Welcome\r\n 230 ok\r\n220 530 no\r\n")

    def test_success(self) -> None:
        """USER, PASS; the portal sees bytes and the connection."""
        self.assertEqual(self.client.say("USER ann"), b"331 Password required.\r\n")
        self.assertEqual(self.client.say("PASS secret"), b"230 Logged in.\r\n")
        (credentials,) = self.client.users.asked
        self.assertIsInstance(credentials, UsernamePassword)
        self.assertEqual((credentials.username, credentials.password), (b"ann", b"secret"))
        mind = self.client.users.minds[0]
        self.assertEqual((mind.protocol, mind.secure), ("ftp", False))
        self.assertEqual(mind.peer, Address("192.0.2.1", 40000))

    def test_mappedAddress(self) -> None:
        """An IPv4 client on an IPv6 socket is an IPv4 client."""
        client = Client(peer="::ffff:192.0.2.1", local="::ffff:192.0.2.254").logIn()
        self.assertEqual(client.users.minds[0].peer.host, "192.0.2.1")
        self.assertEqual(client.code("PASV"), 227)

    def test_failuresLookAlike(self) -> None:
        """T-A2: unknown user, wrong password and oversized ones get the same bytes."""
        client = Client(FTPSettings(maximumAttempts=100))
        answers = set()
        for user, password in (
            ("ann", "wrong"), ("nobody", "x"), ("ann", ""), ("ann", "secret "), ("ann", " secret"),
            (" ann", "secret"), ("ann", "x" * 1010), ("ftp2", "a@b"), ("ANN", "secret"),
        ):  # fmt: skip
            self.assertEqual(client.say(f"USER {user}"), b"331 Password required.\r\n")
            answers.add(client.say(f"PASS {password}"))
        self.assertEqual(answers, {b"530 Login incorrect.\r\n"})

    def test_longNamesAreNotAsked(self) -> None:
        """T-A4: oversized names and passwords never reach a checker."""
        self.assertEqual(self.client.code("USER " + "x" * 257), 501)
        self.assertEqual(self.client.codes(["USER ann", "PASS " + "x" * 1030]), [331, 500])
        self.assertEqual(self.client.users.asked, [])

    def test_bytesInNames(self) -> None:
        """Names and passwords are bytes; every space counts."""
        self.client.say(b"USER \xe9 ")
        self.client.say(b"PASS  \xff\xff ")
        (credentials,) = self.client.users.asked
        self.assertEqual((credentials.username, credentials.password), (b"\xe9 ", b" \xff "))

    def test_anonymous(self) -> None:
        """Both names, in any case, with any password or none."""
        for line in ("anonymous", "ftp", "FTP", "Anonymous"):
            client = Client()
            self.assertEqual(client.codes([f"USER {line}", "PASS"]), [331, 230])
            self.assertTrue(IAnonymous.providedBy(client.users.asked[0]))

    def test_order(self) -> None:
        """PASS needs USER; so does a second PASS."""
        self.assertEqual(self.client.codes(["PASS x", "ACCT x"]), [503, 503])
        self.client.codes(["USER ann", "PASS secret"])
        self.assertEqual(self.client.code("PASS secret"), 503)

    def test_attempts(self) -> None:
        """T-A1: the third failure closes the connection."""
        codes = []
        for _ in range(3):
            codes += self.client.codes(["USER ann", "PASS wrong"])
        self.assertEqual(codes, [331, 530, 331, 530, 331, 421])
        self.assertTrue(self.client.isClosed)
        self.assertEqual(self.client.say("USER ann"), b"")

    def test_portalFails(self) -> None:
        """T-A14: a portal that raises is one 451 and one log entry; storage trouble is its own."""
        self.client.users.mistake = RuntimeError("boom")
        self.assertEqual(self.client.codes(["USER ann", "PASS secret"]), [331, 451])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.client.users.mistake = StorageUnavailable()
        self.assertEqual(self.client.codes(["USER ann", "PASS secret"]), [331, 451])

    def test_home(self) -> None:
        """The session starts in the account's home."""
        self.client.tree.putDirectory("/home/ann")
        self.client.users.home = ROOT.join("/home/ann")
        self.client.logIn()
        self.assertIn(b'257 "/home/ann"', self.client.say("PWD"))

    def test_lateAnswer(self) -> None:
        """T-A14: an avatar that comes when the client is gone is logged out at once."""
        held: Deferred[None] = Deferred()
        self.client.users.held = held
        self.client.say("USER ann")
        self.assertEqual(self.client.say("PASS secret"), b"")
        self.client.disconnect()
        held.callback(None)
        self.assertEqual(self.client.users.loggedOut, ["ann"])

    def test_pipelined(self) -> None:
        """What is pipelined after PASS waits for the answer, and has its rights."""
        held: Deferred[None] = Deferred()
        self.client.users.held = held
        self.assertEqual(
            self.client.say("USER ann\r\nPASS secret\r\nPWD\r\nNOOP"), b"331 Password required.\r\n"
        )
        held.callback(None)
        self.assertEqual(
            self.client.take(), b'230 Logged in.\r\n257 "/" is current.\r\n200 OK.\r\n'
        )

    def test_accountLimit(self) -> None:
        """An account that has its fill of sessions is refused with 421, and its avatar ended."""

        class Full:
            connection: Any = None

            def admit(self, protocol: str, peer: Any, local: Any, **keywords: Any) -> Any:
                return self

            def loggedIn(self, account: Any, session: Any = None) -> None:
                raise LimitExceeded("Too many sessions of this user.")

            def pace(self) -> None:
                """As fast as they come."""

            def leave(self, reason: str) -> None:
                """Nothing to do."""

        client = Client(sessions=Full())
        self.assertEqual(client.code("USER ann"), 331)
        self.assertEqual(client.say("PASS secret"), b"421 Too many sessions of this user.\r\n")
        self.assertEqual(client.users.loggedOut, ["ann"])
        self.assertTrue(client.isClosed)

    def test_idleOfTheAccount(self) -> None:
        """The account's idle time goes before the listener's."""
        self.client.users.limits = AccountLimits(idle=5.0)
        self.client.logIn()
        self.client.clock.pump([1.0] * 7)
        self.assertEqual(self.client.take(), b"421 Idle for too long.\r\n")

    def test_changedIdle(self) -> None:
        """Another idle time holds for sessions that are there, longer or shorter."""
        self.client.logIn()
        session = self.client.protocol._session
        assert session is not None and session.account is not None
        for idle in (500.0, 20.0):
            session.account.limits = AccountLimits(idle=idle)
            session.limitsChanged()
            self.client.clock.pump([1.0] * (int(idle) - 2))
            self.assertEqual(self.client.take(), b"")
        self.client.clock.pump([1.0] * 4)
        self.assertEqual(self.client.take(), b"421 Idle for too long.\r\n")
        session.limitsChanged()


class AccountTests(SynchronousTestCase):
    def test_needed(self) -> None:
        """332 asks for ACCT, which finishes the login."""
        client = Client()
        self.assertEqual(client.codes(["USER bob", "PASS secret", "ACCT acme"]), [331, 332, 230])
        last = client.users.asked[-1]
        self.assertTrue(IAccountPassword.providedBy(last))
        self.assertEqual(last.account, b"acme")

    def test_wrong(self) -> None:
        """A wrong one is a failed login like any other."""
        client = Client()
        self.assertEqual(client.codes(["USER bob", "PASS secret", "ACCT x"]), [331, 332, 530])
        self.assertEqual(client.codes(["ACCT acme", "PASS secret"]), [503, 503])

    def test_notWithoutIt(self) -> None:
        """Between 332 and ACCT nobody is logged in, and USER starts again."""
        client = Client()
        self.assertEqual(client.codes(["USER bob", "PASS secret", "PWD"]), [331, 332, 530])
        self.assertEqual(client.codes(["USER ann", "ACCT acme", "PASS secret"]), [331, 503, 230])

    def test_superfluous(self) -> None:
        """After a login it is 202."""
        self.assertEqual(Client().logIn().code("ACCT acme"), 202)


class ChangeTests(SynchronousTestCase):
    """T-A8: leaving an account behind."""

    def test_userAgain(self) -> None:
        """USER ends the old account, once, with all that was pending; TYPE stays."""
        client = Client().logIn()
        client.tree.putFile("/f", b"0123456789")
        client.codes(["REST 5", "PASV", "RNFR f"])
        self.assertEqual(client.code("USER ann"), 331)
        self.assertEqual(client.users.loggedOut, ["ann"])
        self.assertFalse(client.data.isArmed)
        self.assertEqual(client.codes(["PWD", "RETR f"]), [530, 530])
        self.assertEqual(client.codes(["PASS secret", "RNTO g"]), [230, 503])
        self.assertEqual(client.retrieve("RETR f")[1], b"0123456789")
        client.disconnect()
        self.assertEqual(client.users.loggedOut, ["ann", "ann"])

    def test_reinitialize(self) -> None:
        """REIN forgets all: the login, TYPE, EPSV ALL, the directory."""
        client = Client().logIn()
        client.tree.putDirectory("/d")
        client.codes(["CWD d", "EPSV ALL", "OPTS MLST size;"])
        self.assertEqual(client.code("REIN"), 220)
        self.assertEqual(client.users.loggedOut, ["ann"])
        self.assertEqual(client.code("PWD"), 530)
        client.codes(["USER ann", "PASS secret"])
        self.assertEqual(client.say("PWD"), b'257 "/" is current.\r\n')
        self.assertEqual(client.code("PASV"), 227)
        self.assertEqual(client.code("SIZE d"), 550)
        self.assertIn(b"type*;", client.say("FEAT"))

    def test_quit(self) -> None:
        """QUIT says goodbye and closes; the account is ended once."""
        client = Client().logIn()
        self.assertEqual(client.say("QUIT\r\nNOOP"), b"221 Goodbye.\r\n")
        self.assertTrue(client.isClosed)
        client.disconnect()
        self.assertEqual(client.users.loggedOut, ["ann"])

    def test_logoutFails(self) -> None:
        """A logout that raises is logged and harms nobody."""
        client = Client().logIn()
        client.users.loggedOut = None  # type: ignore[assignment]
        self.assertEqual(client.code("REIN"), 220)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
