"""
RFC 913 byte by byte over a socket: no stock client is left, so the transcripts of the RFC
are the client.
"""

from tests.integration.harness import IntegrationTestCase, content
from tests.integration.rawrfc913 import RawRFC913


class TranscriptTests(IntegrationTestCase):
    """One connection each, from the greeting on."""

    host = "127.0.0.1"

    def connect(self) -> RawRFC913:
        client = RawRFC913(self.site.rfc913, self.host)
        self.addCleanup(client.connection.close)
        return client

    def login(self) -> RawRFC913:
        client = self.connect().login()
        self.assertEqual(client.command(f"CDIR {self.virtual}")[:1], b"!")
        return client

    def test_session(self) -> None:
        """The sample session of the RFC: greeting, login, a listing, a file, DONE."""
        (self.work / "SMALL.FILE").write_bytes(b"x" * 69)
        client = self.connect()
        self.assertEqual(client.greeting[:1], b"+")
        self.assertEqual(client.greeting[1:].split()[0], b"files.test")
        self.assertEqual(client.command("USER ada")[:1], b"+")
        self.assertEqual(client.command("PASS lovelace")[:1], b"!")
        self.assertEqual(client.command(f"CDIR {self.virtual}")[:1], b"!")
        self.assertEqual(
            client.command("LIST F"), b"+" + self.virtual.encode() + b"\r\nSMALL.FILE\r\n"
        )
        self.assertEqual(client.command("RETR SMALL.FILE"), b" 69")
        client.send(b"SEND\0")
        self.assertEqual(client.exactly(69), b"x" * 69)
        self.assertEqual(client.command("DONE")[:1], b"+")
        self.assertTrue(client.ended())
        self.assertEqual(client.buffer, b"")

    def test_nothingBeforeLogin(self) -> None:
        """Before a login every command but the three of the login and DONE is refused."""
        client = self.connect()
        for line in ("TYPE A", "LIST F", "CDIR /", "KILL x", "NAME x", "TOBE y", "RETR x",
                     "SEND", "STOP", "STOR NEW x", "SIZE 1"):  # fmt: skip
            self.assertEqual(client.command(line)[:1], b"-", line)
        self.assertEqual(client.command("DONE")[:1], b"+")

    def test_wrongPassword(self) -> None:
        """A wrong password, and an unknown name, are answered alike and let nobody in."""
        replies = []
        for user in ("ada", "nobody"):
            client = self.connect()
            first = client.command(f"USER {user}").replace(user.encode(), b"?")
            replies.append((first, client.command("PASS wrong")))
            self.assertEqual(client.command("LIST F")[:1], b"-")
        self.assertEqual(replies[0], replies[1])
        self.assertEqual(replies[0][1][:1], b"-")

    def test_anonymous(self) -> None:
        """The anonymous name needs no password."""
        client = self.connect()
        self.assertEqual(client.command("USER anonymous")[:1], b"!")
        self.assertEqual(client.command("LIST F")[:1], b"+")
        self.assertEqual(client.command("STOR NEW x")[:1], b"-")

    def test_download(self) -> None:
        """A large file comes whole, without a byte before or after."""
        data = content(2_345_678)
        (self.work / "large").write_bytes(data)
        client = self.login()
        self.assertSameContent(client.retrieve("large"), data)
        self.assertEqual(client.command("TYPE B")[:1], b"+")
        self.assertEqual(client.buffer, b"")

    def test_emptyFile(self) -> None:
        """Nothing is sent of an empty file, and nothing expected of one."""
        (self.work / "empty").write_bytes(b"")
        client = self.login()
        self.assertEqual(client.retrieve("empty"), b"")
        self.assertEqual(client.command("TYPE B")[:1], b"+")
        self.assertEqual(client.store("NEW", "empty too", b"")[:1], b"+")
        self.assertEqual((self.work / "empty too").read_bytes(), b"")

    def test_stop(self) -> None:
        """STOP after RETR sends nothing."""
        (self.work / "file").write_bytes(b"12345")
        client = self.login()
        self.assertEqual(client.command("RETR file"), b" 5")
        self.assertEqual(client.command("STOP")[:1], b"+")
        self.assertEqual(client.command("SEND")[:1], b"-")

    def test_uploads(self) -> None:
        """NEW makes, OLD replaces, APP continues; NEW refuses what is there."""
        client = self.login()
        data = content(1_234_567)
        self.assertEqual(client.store("NEW", "file", data)[:1], b"+")
        self.assertSameContent((self.work / "file").read_bytes(), data)
        self.assertEqual(client.command("STOR NEW file")[:1], b"-")
        self.assertEqual(client.store("OLD", "file", b"short")[:1], b"+")
        self.assertEqual((self.work / "file").read_bytes(), b"short")
        self.assertEqual(client.store("APP", "file", b" and more")[:1], b"+")
        self.assertEqual((self.work / "file").read_bytes(), b"short and more")

    def test_commandsInAFileAreBytes(self) -> None:
        """Bytes of a file that look like commands are the file's."""
        (self.work / "victim").write_bytes(b"")
        client = self.login()
        self.assertEqual(client.store("NEW", "file", b"KILL victim\0DONE\0")[:1], b"+")
        self.assertEqual((self.work / "file").read_bytes(), b"KILL victim\0DONE\0")
        self.assertTrue((self.work / "victim").exists())

    def test_refusedSizeWithBytesBehindIt(self) -> None:
        """If SIZE is refused and the bytes come all the same, they are not commands."""
        (self.work / "victim").write_bytes(b"")
        client = self.login()
        self.assertEqual(client.command("STOR NEW file")[:1], b"+")
        client.send(b"SIZE 99999999999999999999999\0" + b"KILL victim\0" * 10)
        self.assertEqual(client.reply()[:1], b"-")
        self.assertTrue(client.ended())
        self.assertTrue((self.work / "victim").exists())
        self.assertFalse((self.work / "file").exists())

    def test_brokenUpload(self) -> None:
        """A connection lost before the last byte leaves no file and no old file harmed."""
        (self.work / "file").write_bytes(b"old")
        for how, name in (("NEW", "fresh"), ("OLD", "file"), ("APP", "file")):
            client = self.login()
            client.command(f"STOR {how} {name}")
            self.assertEqual(client.command("SIZE 1000")[:1], b"+")
            client.send(b"x" * 999)
            client.connection.close()
            self.login().retrieve("file")
        self.assertNothingLeft(self.work, "file")
        self.assertEqual((self.work / "file").read_bytes(), b"old")

    def test_rename(self) -> None:
        """NAME and TOBE; never onto what is there; a NAME is good for one TOBE."""
        (self.work / "one").write_bytes(b"1")
        (self.work / "two").write_bytes(b"2")
        client = self.login()
        self.assertEqual(client.command("NAME none")[:1], b"-")
        self.assertEqual(client.command("TOBE three")[:1], b"-")
        self.assertEqual(client.command("NAME one")[:1], b"+")
        self.assertEqual(client.command("TOBE two")[:1], b"-")
        self.assertEqual(client.command("TOBE three")[:1], b"-")
        self.assertEqual(client.command("NAME one")[:1], b"+")
        self.assertEqual(client.command("TOBE three")[:1], b"+")
        self.assertNothingLeft(self.work, "two", "three")

    def test_kill(self) -> None:
        """KILL removes a file and not a directory."""
        (self.work / "file").write_bytes(b"")
        (self.work / "folder").mkdir()
        client = self.login()
        self.assertEqual(client.command("KILL file")[:1], b"+")
        self.assertEqual(client.command("KILL file")[:1], b"-")
        self.assertEqual(client.command("KILL folder")[:1], b"-")
        self.assertNothingLeft(self.work, "folder")

    def test_ascii(self) -> None:
        """In ASCII mode the number is that of the bytes on the wire, CR LF for each line."""
        (self.work / "text").write_bytes(b"one\ntwo\n")
        client = self.login()
        self.assertEqual(client.command("TYPE A")[:1], b"+")
        self.assertEqual(client.command("RETR text"), b" 10")
        client.send(b"SEND\0")
        self.assertEqual(client.exactly(10), b"one\r\ntwo\r\n")
        self.assertEqual(client.store("NEW", "back", b"one\r\ntwo\r\n")[:1], b"+")
        self.assertEqual((self.work / "back").read_bytes(), b"one\ntwo\n")

    def test_listings(self) -> None:
        """F is names alone; V is a line for each with the name last; both name the folder."""
        (self.work / "b file").write_bytes(b"12345")
        (self.work / "a folder").mkdir()
        client = self.login()
        names = client.command(f"LIST F {self.virtual}")
        head = b"+" + self.virtual.encode() + b"\r\n"
        self.assertEqual(names, head + b"a folder\r\nb file\r\n")
        verbose = client.command("LIST V").removeprefix(head).splitlines()
        self.assertEqual([line[-6:] for line in verbose], [b"folder", b"b file"])
        self.assertIn(b"5", verbose[1])
        self.assertEqual(client.command("LIST F none")[:1], b"-")

    def test_fragments(self) -> None:
        """A session sent one byte at a time is the same session."""
        (self.work / "file").write_bytes(b"12345")
        client = self.connect()
        session = f"USER ada\0PASS lovelace\0RETR {self.virtual}/file\0SEND\0DONE\0"
        for byte in session.encode():
            client.send(bytes([byte]))
        self.assertEqual(client.reply()[:1], b"+")
        self.assertEqual(client.reply()[:1], b"!")
        self.assertEqual(client.reply(), b" 5")
        self.assertEqual(client.exactly(5), b"12345")
        self.assertEqual(client.reply()[:1], b"+")

    def test_longCommand(self) -> None:
        """A command that does not end is cut off: C{-}, and the connection is closed."""
        client = self.connect()
        client.send(b"USER " + b"x" * 100_000)
        try:
            self.assertEqual(client.reply()[:1], b"-")
        except ConnectionError:
            return
        self.assertTrue(client.ended())


class TranscriptIPv6Tests(TranscriptTests):
    """The same over IPv6."""

    host = "::1"

    def setUp(self) -> None:
        self.requireIPv6()
        super().setUp()
