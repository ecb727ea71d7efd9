"""
SSCN, CPSV and PRET; files between servers as a session sees them.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from filehub.interfaces import IClientPreferences, IFileAccount
from filehub.networks import Networks
from filehub.protocols.ftp.settings import FTPSettings
from tests.protocols.ftp.doubles import EVERYTHING, Account, Client


@implementer(IClientPreferences)
class Preferring(Account):
    """An account with wishes of its own."""

    foreignData: bool | Networks | None = None
    profile: str | None = None


class ClientPartTests(SynchronousTestCase):
    """Who is the client in TLS."""

    def setUp(self) -> None:
        self.client = Client(EVERYTHING).logIn()
        session = self.client.protocol._session
        assert session is not None
        self.session: Any = session

    def test_unprotected(self) -> None:
        """Without protection there is no part to take."""
        self.assertEqual(
            self.client.codes(["SSCN ON", "CPSV", "SSCN x", "SSCN"]), [503, 503, 501, 200]
        )

    def test_part(self) -> None:
        """SSCN holds until it is taken back; CPSV for one connection."""
        self.session.protects = True
        self.assertEqual(self.client.say("SSCN"), b"200 SSCN:SERVER METHOD\r\n")
        self.assertEqual(self.client.say("SSCN ON"), b"200 SSCN:CLIENT METHOD\r\n")
        self.assertEqual(self.client.say("sscn"), b"200 SSCN:CLIENT METHOD\r\n")
        self.assertEqual(self.client.code("SSCN OFF"), 200)
        self.assertFalse(self.session.takesClientPart)
        self.assertIn(b"227 ", self.client.say("CPSV"))
        self.assertTrue(self.session.takesClientPartOnce)
        for line in ("PASV", "EPSV", "PORT 192,0,2,1,4,1"):
            self.client.code("CPSV")
            self.client.code(line)
            self.assertFalse(self.session.takesClientPartOnce, line)
        self.client.code("SSCN ON")
        self.client.code("REIN")
        self.assertFalse(self.session.takesClientPart)

    def test_early(self) -> None:
        """A connection that comes early is no client's to shake hands with."""
        self.session.protects = True
        self.session.tls = identity = SimpleNamespace(early=None, serverName=None)
        self.client.code("SSCN ON")
        self.session._cameEarly(object())
        self.client.codes(["SSCN OFF", "CPSV"])
        self.session._cameEarly(object())
        self.assertIsNone(identity.early)

    def test_off(self) -> None:
        """Where files are not exchanged, or not protected, the commands do not exist."""
        for settings in (FTPSettings(tls="optional"), FTPSettings(allowFXP=True)):
            client = Client(settings).logIn()
            self.assertEqual(client.codes(["SSCN ON", "CPSV"]), [502, 502])
            self.assertNotIn(b"SSCN", client.say("FEAT"))
        self.assertIn(b" CPSV\r\n", self.client.say("FEAT"))
        self.assertIn(b" SSCN\r\n", self.client.say("FEAT"))


class AccountTests(SynchronousTestCase):
    """What an account may, that its listener does not allow, and the other way round."""

    def client(self, settings: FTPSettings, foreignData: Any) -> Client:
        client = Client(settings)
        account = Preferring("ann", client.users.fileSystem)
        account.foreignData = foreignData
        client.users.login = lambda *args: succeed((IFileAccount, account, lambda: None))  # type: ignore[method-assign]
        return client.logIn()

    def test_account(self) -> None:
        """The account's own word takes the place of the listener's, until it is logged out."""
        line = "PORT 203,0,113,9,4,1"
        for setting, own, expected in (
            (False, None, 501), (False, True, 200), (True, False, 501), (True, None, 200),
        ):  # fmt: skip
            client = self.client(FTPSettings(allowFXP=setting), own)
            self.assertEqual(client.code(line), expected)
            session = client.protocol._session
            assert session is not None
            client.code("REIN")
            self.assertIs(session.listener, client.factory.listener)


class PreparationTests(SynchronousTestCase):
    """PRET"""

    def test_pret(self) -> None:
        """What cannot succeed is said before PASV; what can is 200."""
        client = Client().logIn()
        client.tree.putFile("/f", b"x")
        client.code("MKD d")
        good = ["PRET RETR f", "PRET STOR new", "PRET APPE f", "PRET LIST", "PRET NLST -a",
                "pret mlsd d", "PRET STOU"]  # fmt: skip
        self.assertEqual(client.codes(good), [200] * len(good))
        self.assertEqual(
            client.codes(["PRET RETR missing", "PRET RETR d", "PRET RETR", "PRET STOR a\x01b",
                          "PRET", "PRET DELE f", "PRET x"]),
            [550, 550, 501, 553, 501, 501, 501],
        )  # fmt: skip
        self.assertIn(b" PRET\r\n", client.say("FEAT"))
        self.assertEqual(Client().code("PRET RETR f"), 530)

    def test_longAddresses(self) -> None:
        """RFC 1639 is refused at once, so that BSD clients go on to what is there."""
        client = Client().logIn()
        self.assertEqual(client.codes(["LPSV", "LPRT 4,4,192,0,2,1,2,4,1"]), [502, 502])
