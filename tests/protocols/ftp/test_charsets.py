"""
Names in other character sets than UTF-8.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from filehub.protocols.ftp.charsets import CHARSETS, knownCharset, toCharset
from filehub.protocols.ftp.settings import FTPSettings
from tests.protocols.ftp.doubles import Client

NAME = "Stra\u00dfe \u00ff"


class KnownTests(SynchronousTestCase):
    def test_names(self) -> None:
        """Names in any spelling; UTF-8 is none, because nothing has to be done for it."""
        self.assertIsNone(knownCharset("UTF-8"))
        self.assertIsNone(knownCharset("utf8"))
        self.assertEqual(knownCharset("Latin-1"), "iso8859-1")
        self.assertEqual(knownCharset("windows-1252"), "cp1252")
        self.assertEqual(knownCharset("Shift-JIS"), "shift_jis")
        for wrong in ("utf-16", "utf-7", "cp037", "iso2022_jp", "hz", "rot13", "hex", "nonsense"):
            self.assertRaises(ValueError, knownCharset, wrong)

    def test_safe(self) -> None:
        """In none of them does a line's end, a slash or a Telnet command hide in a character."""
        ascii = bytes(range(0x20, 0x7F))
        for charset in CHARSETS:
            self.assertEqual(knownCharset(charset), charset)
            self.assertEqual(ascii.decode(charset).encode(charset), ascii)
            for trail in b"\r\n\0/ ":
                for lead in range(0x80, 0x100):
                    try:
                        text = bytes((lead, trail)).decode(charset)
                    except UnicodeDecodeError:
                        continue
                    self.assertEqual(text[-1], chr(trail), charset)

    def test_listing(self) -> None:
        """What the set has not is shown as a question mark; the rest as it is."""
        page = "a\u00fc\u20ac\udcff\r\n".encode("utf-8", "surrogateescape")
        self.assertEqual(toCharset(page, "iso8859-1"), b"a\xfc??\r\n")
        self.assertEqual(toCharset(page, "cp1252"), b"a\xfc\x80?\r\n")


class SessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.client = Client(FTPSettings(charset="iso8859-1")).logIn()
        self.client.tree.putFile(f"/{NAME}", b"x")

    def test_roundTrip(self) -> None:
        """Names arrive as text and go back as the same bytes, on both connections."""
        raw = NAME.encode("latin-1").replace(b"\xff", b"\xff\xff")
        self.assertEqual(self.client.say(b"SIZE " + raw), b"213 1\r\n")
        self.assertIn(
            b'257 "/' + raw.replace(b"S", b"s") + b'"',
            self.client.say(b"MKD " + raw.replace(b"S", b"s")),
        )
        for line in ("NLST", "LIST", "MLSD"):
            _, data = self.client.retrieve(line)
            self.assertIn(NAME.encode("latin-1"), data, line)
        self.assertIn(raw, self.client.say(b"STAT " + raw))
        self.assertIn(raw, self.client.say(b"MLST " + raw))
        self.assertIsNotNone(self.client.tree.root.children[NAME.replace("S", "s")])

    def test_options(self) -> None:
        """OPTS UTF8 chooses for the session; FEAT says what is spoken."""
        encoded = b"SIZE " + NAME.encode()
        self.assertNotIn(b"UTF8", self.client.say("FEAT"))
        self.assertEqual(self.client.code(encoded), 550)
        self.assertEqual(self.client.say("OPTS UTF8 ON"), b"200 UTF-8 is on.\r\n")
        self.assertIn(b" UTF8\r\n", self.client.say("FEAT"))
        self.assertEqual(self.client.code(encoded), 213)
        self.assertIn(NAME.encode(), self.client.retrieve("NLST")[1])
        self.assertEqual(self.client.say("OPTS UTF8 OFF"), b"200 UTF-8 is off.\r\n")
        self.assertEqual(self.client.code(encoded), 550)
        self.assertEqual(
            self.client.codes(["OPTS UTF8 ON", "USER ann", "PASS secret"]), [200, 331, 230]
        )
        self.assertEqual(self.client.code(encoded), 213)
        self.client.code("REIN")
        self.assertNotIn(b"UTF8", self.client.say("FEAT"))

    def test_pipelined(self) -> None:
        """Each command is read in the character set that holds when its turn comes."""
        said = self.client.say(
            b"OPTS UTF8 ON\r\nSIZE " + NAME.encode() + b"\r\nOPTS UTF8 OFF\r\nSIZE "
            + NAME.encode("latin-1").replace(b"\xff", b"\xff\xff")
        )  # fmt: skip
        self.assertEqual(said.count(b"213 1\r\n"), 2)

    def test_undecodable(self) -> None:
        """Bytes that mean nothing are refused, and the session goes on."""
        client = Client(FTPSettings(charset="shift_jis")).logIn()
        client.tree.putFile("/\u8868", b"x")
        self.assertEqual(client.code(b"SIZE \x95\x5c"), 213)
        self.assertEqual(client.codes([b"SIZE \xfd", b"MKD \x95", "NOOP"]), [501, 501, 200])
        self.assertEqual(client.retrieve("NLST")[1], b"\x95\x5c\r\n")

    def test_alwaysUTF8(self) -> None:
        """Without a character set it is UTF-8, bytes come back as they were, and stays so."""
        client = Client().logIn()
        client.tree.putFile("/a\udcff\udc80", b"x")
        self.assertEqual(client.code(b"SIZE a\xff\xff\x80"), 213)
        self.assertEqual(client.codes(["OPTS UTF8 ON", "OPTS UTF8 OFF"]), [200, 504])
        self.assertEqual(client.retrieve("NLST")[1], b"a\xff\x80\r\n")
        quiet = Client(FTPSettings(announceUTF8=False))
        self.assertNotIn(b"UTF8", quiet.say("FEAT"))
        self.assertEqual(quiet.code("OPTS UTF8 ON"), 200)
