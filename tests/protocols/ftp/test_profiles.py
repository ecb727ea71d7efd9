"""
Switches for clients that cannot be mended, and the sets of them.
"""

from __future__ import annotations

from dataclasses import fields

from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase

from filehub.interfaces import IFileAccount
from filehub.protocols.ftp.profiles import PROFILES, withProfile
from filehub.protocols.ftp.settings import FTPSettings
from tests.protocols.ftp.doubles import Client
from tests.protocols.ftp.test_thirdparty import Preferring


class SwitchTests(SynchronousTestCase):
    """Each switch for itself."""

    def test_backslashes(self) -> None:
        """A backslash separates names, where that is wanted; else it is part of one."""
        client = Client(FTPSettings(backslashes=True)).logIn()
        client.tree.putFile("/scans/today/f", b"x")
        self.assertEqual(
            client.codes(["CWD \\scans\\today\\", "SIZE f", "CWD ..\\.."]), [250, 213, 250]
        )
        self.assertEqual(client.code("MKD scans\\new"), 257)
        self.assertIn("new", client.tree.root.children["scans"].children)
        plain = Client().logIn()
        self.assertEqual(plain.code("MKD a\\b"), 257)
        self.assertEqual(list(plain.tree.root.children), ["a\\b"])

    def test_parents(self) -> None:
        """MKD makes what is missing above, and says what is wrong with the rest."""
        client = Client(FTPSettings(makesParents=True)).logIn()
        self.assertEqual(
            client.codes(["MKD 2026/01/31", "MKD 2026/01/31", "MKD 2026/02"]), [257, 550, 257]
        )
        client.tree.putFile("/f", b"x")
        self.assertEqual(client.code("MKD f/a/b"), 550)
        self.assertEqual(Client().logIn().code("MKD 2026/01/31"), 550)

    def test_existing(self) -> None:
        """MKD of a directory that exists is a success; of a file it is none."""
        client = Client(FTPSettings(acceptsExisting=True)).logIn()
        client.tree.putFile("/f", b"x")
        self.assertEqual(client.codes(["MKD d", "MKD d", "MKD f"]), [257, 257, 550])

    def test_dosListing(self) -> None:
        """LIST and STAT as DIR has it, and SYST says so."""
        client = Client(FTPSettings(listFormat="dos")).logIn()
        client.tree.putFile("/data.bin", b"x" * 12345)
        client.code("MKD d")
        _, data = client.retrieve("LIST")
        lines = data.split(b"\r\n")
        self.assertRegex(lines[0], rb"^\d\d-\d\d-\d\d  \d\d:\d\d[AP]M       <DIR>          d$")
        self.assertRegex(lines[1], rb"^\d\d-\d\d-\d\d  \d\d:\d\d[AP]M +12345 data.bin$")
        self.assertEqual(lines[0].index(b"<DIR>") + 15, lines[1].index(b"data.bin"))
        self.assertIn(b"12345 data.bin\r\n", client.say("STAT ."))
        self.assertEqual(client.say("SYST"), b"215 Windows_NT\r\n")

    def test_site(self) -> None:
        """SITE commands of other systems are superfluous; ours work as ever."""
        client = Client(FTPSettings(toleratesSITE=True)).logIn()
        self.assertEqual(
            client.codes(["SITE RECFM=FB LRECL=80", "SITE NAMEFMT 1", "SITE HELP"]), [202, 202, 214]
        )
        self.assertEqual(Client().logIn().code("SITE RECFM=FB"), 500)


class ProfileTests(SynchronousTestCase):
    """The sets."""

    def test_fields(self) -> None:
        """Each set names fields that there are, with values of their kind."""
        known = {field.name for field in fields(FTPSettings)}
        for name, changes in PROFILES.items():
            self.assertLessEqual(set(changes), known, name)
            settings = withProfile(FTPSettings(), name)
            for field, value in changes.items():
                self.assertEqual(getattr(settings, field), value)
                self.assertNotEqual(
                    value,
                    FTPSettings.__dataclass_fields__[field].default
                    if field != "externalRules"
                    else None,
                )

    def test_precedence(self) -> None:
        """What was written wins; commands are switched off on top of those that are."""
        settings = FTPSettings(backslashes=False, disabled=frozenset({"RMDA"}))
        changed = withProfile(settings, "scanner", frozenset({"backslashes"}))
        self.assertFalse(changed.backslashes)
        self.assertFalse(changed.asciiConvert)
        self.assertEqual(changed.disabled, {"RMDA", "EPSV", "EPRT"})
        for none in (None, "toaster"):
            self.assertIs(withProfile(settings, none), settings)

    def test_scanner(self) -> None:
        """A scanner's session, from its folder with backslashes to its upload in TYPE A."""
        client = Client(withProfile(FTPSettings(), "scanner")).logIn()
        self.assertNotIn(b"EPSV", client.say("FEAT"))
        self.assertNotIn(b"UTF8", client.say("FEAT"))
        self.assertEqual(
            client.codes(
                ["EPSV", "MKD \\scans\\ann", "MKD \\scans\\ann", "CWD \\scans\\ann", "TYPE A"]
            ),
            [502, 257, 257, 250, 200],
        )
        self.assertIn(b"226 ", client.store("STOR page.tif", b"II\n\0"))
        made = client.tree.root.children["scans"].children["ann"]
        self.assertEqual(made.children["page.tif"].content, b"II\n\0")

    def test_account(self) -> None:
        """An account has its own profile, from its login to its end."""
        client = Client()
        account = Preferring("ann", client.users.fileSystem)
        account.profile = "camera"
        client.users.login = lambda *args: succeed((IFileAccount, account, lambda: None))  # type: ignore[method-assign]
        self.assertIn(b"EPSV", client.say("FEAT"))
        client.logIn()
        self.assertNotIn(b"EPSV", client.say("FEAT"))
        self.assertEqual(client.codes(["MKD a/b", "MKD a/b"]), [257, 257])
        client.clock.advance(3000)
        self.assertFalse(client.isClosed)
        client.code("REIN")
        self.assertIn(b"EPSV", client.say("FEAT"))

    def test_tunnel(self) -> None:
        """The 227 reply says that the control connection's address is to be used."""
        client = Client(withProfile(FTPSettings(externalAddress="198.51.100.1"), "tunnel")).logIn()
        self.assertIn(b"(0,0,0,0,", client.say("PASV"))
