"""
What stock clients do that no RFC told them, command by command; the list of all that is
known of them, with the tests of each, is C{docs/client-quirks.rst}.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from twisted.trial.unittest import SynchronousTestCase

from tests.protocols.ftp.doubles import Client, finalCodes


class LoginTests(SynchronousTestCase):
    """The first lines of a session."""

    def test_questionsFirst(self) -> None:
        """FEAT, SYST, CLNT, OPTS UTF8, HELP and NOOP are answered before USER."""
        lines = ["FEAT", "SYST", "CLNT WinSCP", "OPTS UTF8 ON", "opts utf8 on", "HELP", "NOOP"]
        self.assertEqual(Client().codes(lines), [211, 215, 200, 200, 200, 214, 200])

    def test_oldServersQuestions(self) -> None:
        """LPSV and LPRT, which BSD clients fall back to, are refused at once."""
        self.assertEqual(Client().logIn().codes(["LPSV", "LPRT 4,4,127,0,0,1,2,4,1"]), [502, 502])

    def test_superfluousAccount(self) -> None:
        """ACCT after a login that needs none is 202, as mainframes' clients expect."""
        self.assertEqual(Client().logIn().code("ACCT dept7"), 202)

    def test_system(self) -> None:
        """SYST begins with what clients choose their listing parser by."""
        self.assertTrue(Client().say("SYST").startswith(b"215 UNIX Type: L8"))


class SpellingTests(SynchronousTestCase):
    """How commands are written."""

    def setUp(self) -> None:
        self.client = Client().logIn()
        self.client.tree.putDirectory("/d")
        self.client.tree.putFile("/f", b"0123456789")

    def test_tabs(self) -> None:
        """A tab between verb and argument is as good as a space."""
        self.assertEqual(self.client.code("CWD\td"), 250)
        self.assertIn(b'"/d"', self.client.say("pwd"))

    def test_spacesAround(self) -> None:
        """Spaces around what is no name do not matter."""
        lines = ["TYPE  I", "TYPE I ", "REST  0", "PWD  ", "NOOP now"]
        self.assertEqual(self.client.codes(lines), [200, 200, 350, 257, 200])

    def test_quotedDirectory(self) -> None:
        """Quotes around a name belong to it: there may be a name like that."""
        self.client.tree.putDirectory('/"d"/inside')
        self.assertEqual(self.client.codes(['CWD "d"', "CWD inside"]), [250, 250])
        self.client.code("CWD /")
        self.client.code('RMD "d"/inside')
        self.client.code('RMD "d"')
        self.assertEqual(self.client.code('CWD "d"'), 550)

    def test_unknownSite(self) -> None:
        """A SITE command of another server is refused, whatever it is."""
        for line in ("SITE DIRSTYLE", "SITE UMASKS 022", "SITE LISTFMT 1", "SITE NAMEFMT 1"):
            self.assertIn(self.client.code(line), (500, 501, 502, 504), line)


class BetweenTests(SynchronousTestCase):
    """What is said between PASV and the transfer."""

    def setUp(self) -> None:
        self.client = Client().logIn()
        self.client.tree.putFile("/f", b"0123456789")

    def test_questions(self) -> None:
        """TYPE, SIZE, MDTM, NOOP, PWD and REST leave the data connection as it is."""
        self.client.code("PASV")
        stream = self.client.data.stream
        lines = ["TYPE I", "SIZE f", "MDTM f", "NOOP", "PWD", "REST 4"]
        self.assertEqual(self.client.codes(lines), [200, 213, 213, 200, 257, 350])
        self.assertEqual(finalCodes(self.client.say("RETR f")), [226])
        self.assertEqual(stream.written, b"456789")

    def test_restartBeforeListing(self) -> None:
        """REST before a listing, as lftp says it, changes neither it nor what follows."""
        self.client.code("REST 4")
        said, data = self.client.retrieve("NLST")
        self.assertEqual((finalCodes(said), data), ([226], b"f\r\n"))
        self.assertEqual(self.client.retrieve("RETR f")[1], b"0123456789")

    def test_finalWords(self) -> None:
        """The end of a transfer is said in the words that some clients wait for."""
        said, _ = self.client.retrieve("RETR f")
        self.assertIn(b"(10 bytes)", said.split(b"\r\n")[0])
        self.assertTrue(said.endswith(b"226 Transfer complete.\r\n"), said)


class TimeTests(SynchronousTestCase):
    """Clients guess our time zone from what two commands say of one file."""

    def test_agreement(self) -> None:
        """LIST, MDTM and MLST tell the same minute, in UTC."""
        client = Client().logIn()
        client.tree.putFile("/f", b"")
        # A month before what the server takes for now.
        modified = datetime(2023, 10, 14, 9, 41, 5, tzinfo=UTC)
        client.code(f"MFMT {modified:%Y%m%d%H%M%S} f")
        self.assertEqual(client.say("MDTM f"), b"213 20231014094105\r\n")
        self.assertIn(b"modify=20231014094105;", client.say("MLST f"))
        listed = client.retrieve("LIST f")[1]
        self.assertTrue(re.search(rb" Oct 14 09:41 f\r\n$", listed), listed)

    def test_unchanged(self) -> None:
        """A time that was set by a client is what it reads back, to the second."""
        client = Client().logIn()
        client.tree.putFile("/f", b"")
        for stamp in ("19991231235959", "20380119031408"):
            self.assertEqual(client.code(f"SITE UTIME {stamp} f"), 200)
            self.assertEqual(client.say("MDTM f"), b"213 %s\r\n" % stamp.encode())
