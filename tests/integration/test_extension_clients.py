"""
The extensions, asked for by clients that nobody here wrote, on a tree on disk.
"""

import ftplib
import hashlib
import os
import zlib
from pathlib import Path

from tests.integration.harness import ANSWER, IntegrationTestCase, Site, content
from tests.integration.rawftp import RawFTP


class ExtensionTestCase(IntegrationTestCase):
    """
    @ivar data: of C{served file}, which is large enough to be hashed in several steps.
    """

    def setUp(self) -> None:
        super().setUp()
        self.data = content(20_000_000)
        (self.work / "served file").write_bytes(self.data)

    def tree(self) -> None:
        """Something with parts, depth, and a link that leads out of it."""
        (self.work / "outside").mkdir()
        (self.work / "outside" / "kept").write_bytes(b"kept")
        (self.work / "tree" / "deep" / "deeper").mkdir(parents=True)
        for number, name in enumerate(("a", "deep/b", "deep/deeper/c"), 1):
            (self.work / "tree" / name).write_bytes(b"x" * number)
        (self.work / "tree" / "deep" / "link").symlink_to("../../outside")


class FtplibTests(ExtensionTestCase):
    """Python's ftplib, which checks codes and forms."""

    def setUp(self) -> None:
        super().setUp()
        self.ftp = self.connect()

    def connect(self) -> ftplib.FTP:
        ftp = ftplib.FTP(timeout=ANSWER, encoding="utf-8")
        ftp.connect("127.0.0.1", self.site.ftp)
        self.addCleanup(ftp.close)
        ftp.login("ada", "lovelace")
        ftp.cwd(self.virtual)
        return ftp

    def refused(self, line: str) -> str:
        """The code of a command that fails."""
        with self.assertRaises((ftplib.error_perm, ftplib.error_temp)) as caught:
            self.ftp.sendcmd(line)
        return str(caught.exception)[:3]

    def test_checksums(self) -> None:
        """Digests of a whole file, of ranges, and again from memory."""
        digest = hashlib.sha256(self.data).hexdigest()
        for _ in range(2):
            self.assertEqual(
                self.ftp.sendcmd("HASH served file"),
                f"213 SHA-256 0-19999999 {digest} served file",
            )
        self.ftp.sendcmd("RANG 1000 1999")
        digest = hashlib.sha256(self.data[1000:2000]).hexdigest()
        self.assertIn(f" 1000-1999 {digest} ", self.ftp.sendcmd("HASH served file"))
        self.assertEqual(
            self.ftp.sendcmd('XCRC "served file" 5 19000000'),
            f"250 {zlib.crc32(self.data[5:19_000_000]):08X}",
        )
        self.assertEqual(self.refused("HASH none"), "550")

    def test_range(self) -> None:
        """RETR of a range out of the middle."""
        self.ftp.sendcmd("TYPE I")
        self.ftp.sendcmd("RANG 1000000 1999999")
        received = bytearray()
        self.ftp.retrbinary("RETR served file", received.extend)
        self.assertSameContent(bytes(received), self.data[1_000_000:2_000_000])

    def test_trees(self) -> None:
        """DSIZ and RMDA: the link goes, what it leads to stays."""
        self.tree()
        self.assertEqual(self.ftp.sendcmd("DSIZ tree"), "213 6")
        self.ftp.voidcmd("RMDA tree")
        self.assertNothingLeft(self.work, "outside", "served file")
        self.assertEqual((self.work / "outside" / "kept").read_bytes(), b"kept")

    def test_combine(self) -> None:
        """Parts that were uploaded become one file, and nothing is left of them."""
        for number in range(3):
            part = self.local / "part"
            part.write_bytes(content(700_000, str(number)))
            with part.open("rb") as source:
                self.ftp.storbinary(f"STOR part {number}", source)
        self.ftp.voidcmd('COMB whole "part 0" "part 1" "part 2"')
        whole = b"".join(content(700_000, str(number)) for number in range(3))
        self.assertSameContent((self.work / "whole").read_bytes(), whole)
        self.assertNothingLeft(self.work, "served file", "whole")

    def test_copy(self) -> None:
        """A copy on the server, with the bytes of the original."""
        self.assertTrue(self.ftp.sendcmd("SITE CPFR served file").startswith("350"))
        self.ftp.voidcmd("SITE CPTO copied file")
        self.assertSameContent((self.work / "copied file").read_bytes(), self.data)

    def test_facts(self) -> None:
        """MFF sets what MLST shows."""
        self.ftp.sendcmd("MFF Modify=20010203040506;UNIX.mode=0600; served file")
        ((_, facts),) = [
            entry for entry in self.ftp.mlsd(facts=["modify", "unix.mode"])
            if entry[0] == "served file"
        ]  # fmt: skip
        self.assertEqual((facts["modify"], facts["unix.mode"]), ("20010203040506", "0600"))

    def test_space(self) -> None:
        """There is room, but not for everything."""
        free = int(self.ftp.sendcmd("AVBL").split()[1])
        room = os.statvfs(self.work)
        # Others use the disk too.
        self.assertLess(abs(free - room.f_bavail * room.f_frsize), 1 << 30)
        self.assertTrue(self.ftp.sendcmd("ALLO 1000").startswith("200"))
        self.assertEqual(self.refused("ALLO 9000000000000000000"), "552")

    def test_language(self) -> None:
        """A client in German still understands what it has to."""
        self.assertEqual(self.ftp.sendcmd("LANG de"), "200 Die Sprache ist DE.")
        self.assertEqual(self.ftp.mkd("neu"), f"{self.virtual}/neu")
        self.assertEqual(self.ftp.pwd(), self.virtual)
        self.ftp.voidcmd("TYPE I")
        self.assertEqual(self.ftp.size("served file"), len(self.data))
        received = bytearray()
        self.ftp.retrbinary("RETR served file", received.extend)
        self.assertSameContent(bytes(received), self.data)

    def test_directories(self) -> None:
        """SITE MKDIR and RMDIR."""
        self.ftp.voidcmd("SITE MKDIR a/b/c")
        self.assertTrue((self.work / "a" / "b" / "c").is_dir())
        self.ftp.voidcmd("SITE RMDIR a")
        self.assertFalse((self.work / "a").exists())


class LftpTests(ExtensionTestCase):
    """lftp, which uses what FEAT promises."""

    def makeSite(self) -> Site:
        return self.newSite(mount='links = "within-root"')

    def lftp(self, *commands: str) -> str:
        lftp = self.requireClient("lftp")
        script = "; ".join([
            "set cmd:fail-exit yes", "set net:max-retries 1", "set net:timeout 10",
            "set ftp:ssl-allow no", "set ftp:lang de", "set ftp:client Tester",
            f"open -u ada,lovelace -p {self.site.ftp} 127.0.0.1{self.virtual}", *commands,
        ])  # fmt: skip
        return self.run_(lftp, "--norc", "-d", "-c", script).stdout.decode()

    def test_own(self) -> None:
        """Its own commands: chmod, ln -s, and an upload that keeps its time."""
        source = self.local / "source"
        source.write_bytes(b"up")
        os.utime(source, (1_000_000_000,) * 2)
        said = self.lftp("chmod 600 'served file'", f"put {source}", "ln -s source link", "ls")
        self.assertEqual((self.work / "served file").stat().st_mode & 0o777, 0o600)
        self.assertEqual((self.work / "source").stat().st_mtime, 1_000_000_000)
        self.assertEqual((self.work / "link").read_bytes(), b"up")
        self.assertIn("Die Sprache ist DE.", said)
        self.assertIn("ClientNamed program=Tester", self.site.daemon.log())

    def test_quoted(self) -> None:
        """Commands that it only hands on."""
        self.tree()
        said = self.lftp(
            "quote HASH served file", "quote DSIZ tree", "quote RMDA tree",
            "quote COMB all 'served file' outside/kept", "quote SITE COPY all again",
            "quote SITE QUOTA", "quote CSID Name=lftp", "quote SMNT x || echo none",
        )  # fmt: skip
        self.assertIn(hashlib.sha256(self.data).hexdigest(), said)
        self.assertIn("213 6", said)
        self.assertFalse((self.work / "tree").exists())
        self.assertIn("Name=FileHub; CaseSensitive=1; DirSep=/;", said)


class CurlTests(ExtensionTestCase):
    """curl -Q, which gives up at the first refusal."""

    def curl(self, *commands: str, succeeds: bool = True) -> str:
        curl = self.requireClient("curl")
        quotes = [word for command in commands for word in ("-Q", command)]
        url = f"ftp://127.0.0.1:{self.site.ftp}/"
        done = self.run_(
            curl, "-sSv", "--max-time", "20", "--user", "ada:lovelace", "-l", *quotes, url,
            succeeds=succeeds,
        )  # fmt: skip
        return done.stdout.decode(errors="replace")

    def test_before(self) -> None:
        """Commands before a transfer."""
        served, copy = f"{self.virtual}/served file", f"{self.virtual}/copy"
        said = self.curl(
            f"XMD5 {served}", f"SITE CPFR {served}", f"SITE CPTO {copy}",
            f"SITE MKDIR {self.virtual}/x/y", f"RMDA {self.virtual}/x", "AVBL /",
        )  # fmt: skip
        self.assertIn(hashlib.md5(self.data).hexdigest().upper(), said)
        self.assertSameContent((self.work / "copy").read_bytes(), self.data)
        self.assertFalse((self.work / "x").exists())

    def test_refused(self) -> None:
        """A refusal is one: 21 is curl's status for it."""
        said = self.curl(f"RMDA {self.virtual}/served file", succeeds=False)
        self.assertIn("550", said)
        self.assertTrue((self.work / "served file").exists())


class AbortTests(ExtensionTestCase):
    """What takes long ends when nobody wants it any more."""

    def setUp(self) -> None:
        super().setUp()
        self.large = Path(self.work / "large")
        with self.large.open("wb") as file:
            file.truncate(200_000_000_000)

    def test_ABOR(self) -> None:
        """A digest that would take minutes ends at once, and the session goes on."""
        with RawFTP(self.site.ftp).login("ada", "lovelace") as client:
            client.send(f"XSHA512 {self.virtual}/large\r\nSTAT\r\n")
            self.assertIn("XSHA512", client.reply())
            client.send("ABOR\r\n")
            self.assertEqual([client.reply().code, client.reply().code], [426, 226])
            self.assertEqual(client.command("NOOP").code, 200)

    def test_connectionLost(self) -> None:
        """The next ones are served at once, for nobody works for the dead."""
        for _ in range(4):
            client = RawFTP(self.site.ftp).login("ada", "lovelace")
            client.send(f"XSHA512 {self.virtual}/large\r\n")
            client.send("STAT\r\n")
            client.reply()
            client.close()
        with RawFTP(self.site.ftp).login("ada", "lovelace") as client:
            reply = client.command(f"XMD5 {self.virtual}/served file")
            self.assertEqual(reply, f"250 {hashlib.md5(self.data).hexdigest().upper()}")
