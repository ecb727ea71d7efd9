"""
The examples, run as they stand.
"""

import ftplib
import io
import socket
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest

from tests.integration.harness import (
    PATIENCE,
    SOURCE,
    TROUBLE,
    ClientTestCase,
    boundPorts,
    daemonEnvironment,
    hashPassword,
    until,
)
from tests.integration.rawftp import RawFTP, drain
from tests.integration.rawtftp import RawTFTP, TFTPError
from tests.ports import freePort

EXAMPLE = SOURCE / "examples" / "embed_ftp_tftp.py"
FILE_EXAMPLE = SOURCE / "examples" / "embed_password_file.py"
SITE_EXAMPLE = SOURCE / "examples" / "embed_site_command.py"


class EmbeddingTests(ClientTestCase):
    """A web site with FTP and TFTP behind the application's own portal."""

    def setUp(self) -> None:
        super().setUp()
        if not EXAMPLE.exists():
            raise SkipTest("the examples are not here: not a copy of the source")
        self.folder = self.local / "site"
        self.folder.mkdir()
        self.web, self.ftp = freePort(), freePort()
        self.tftp = freePort(socket.SOCK_DGRAM)
        self.log = self.local / "log"
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, EXAMPLE, self.folder, *map(str, (self.web, self.ftp, self.tftp))],
                env=daemonEnvironment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.addCleanup(process.wait, PATIENCE)
        self.addCleanup(process.terminate)
        until(
            lambda: {self.web, self.ftp} <= boundPorts("tcp") and self.tftp in boundPorts("udp"),
            "the example listens",
            PATIENCE,
        )

    def test_together(self) -> None:
        """What an author uploads by FTP, the web site shows and a device fetches."""
        with RawFTP(self.ftp).login("ada", "lovelace") as author:
            self.assertEqual(author.store("STOR page", b"hello, world\n").code, 226)
        with RawTFTP(self.tftp) as device:
            self.assertEqual(device.read(b"page"), b"hello, world\n")
            self.assertRaises(TFTPError, device.write, b"page", b"x")
        with socket.create_connection(("127.0.0.1", self.web), PATIENCE) as browser:
            browser.sendall(b"GET /page HTTP/1.0\r\n\r\n")
            self.assertTrue(drain(browser).endswith(b"hello, world\n"))
        with RawFTP(self.ftp) as stranger:
            stranger.command("USER ada")
            self.assertEqual(stranger.command("PASS wrong").code, 530)
        self.assertIsNone(TROUBLE.search(self.log.read_text()))

    def test_short(self) -> None:
        """It is as short as it promises: under forty lines, its comments included."""
        lines = Path(EXAMPLE).read_text().splitlines()
        self.assertLess(len(lines), 45)
        self.assertLess(sum(bool(line.strip()) for line in lines), 40)


class PasswordFileTests(ClientTestCase):
    """An FTP server over one of Twisted's own checkers."""

    def test_login(self) -> None:
        """Who is in the file may read, and nobody else may do anything."""
        if not FILE_EXAMPLE.exists():
            raise SkipTest("the examples are not here: not a copy of the source")
        (self.local / "site").mkdir()
        (self.local / "site/file").write_bytes(b"hello")
        users, port = self.local / "users", freePort()
        users.write_text(f"ada:{hashPassword('lovelace')}\n")
        with (self.local / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, FILE_EXAMPLE, users, self.local / "site", str(port)],
                env=daemonEnvironment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.addCleanup(process.wait, PATIENCE)
        self.addCleanup(process.terminate)
        until(lambda: port in boundPorts("tcp"), "the example listens", PATIENCE)
        with RawFTP(port).login("ada", "lovelace") as reader:
            self.assertEqual(reader.retrieve("RETR file"), b"hello")
            self.assertEqual(reader.command("DELE file").code, 550)
        for name, password in (("ada", "wrong"), ("eve", "lovelace")):
            with RawFTP(port) as stranger:
                stranger.expect(331, f"USER {name}")
                self.assertEqual(stranger.command(f"PASS {password}").code, 530)
        self.assertIsNone(TROUBLE.search((self.local / "log").read_text()))


class SiteCommandTests(ClientTestCase):
    """An FTP server with a command of its own."""

    def test_lines(self) -> None:
        """The command is listed, does its work, and is answered like any other."""
        if not SITE_EXAMPLE.exists():
            raise SkipTest("the examples are not here: not a copy of the source")
        (self.local / "site").mkdir()
        port = freePort()
        with (self.local / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, SITE_EXAMPLE, self.local / "site", str(port)],
                env=daemonEnvironment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.addCleanup(process.wait, PATIENCE)
        self.addCleanup(process.terminate)
        until(lambda: port in boundPorts("tcp"), "the example listens", PATIENCE)
        with RawFTP(port).login("ada", "lovelace") as author:
            self.assertEqual(author.store("STOR poem", b"one\ntwo\n").code, 226)
            self.assertEqual(author.command("SITE LINES poem"), "200 2 lines")
            self.assertEqual(author.command("SITE LINES none").code, 550)
            self.assertEqual(author.command("SITE LINES").code, 501)
            self.assertIn("SITE LINES path", str(author.command("SITE HELP")))


class OtherExampleTests(ClientTestCase):
    """The shorter ones."""

    def start(self, name: str, *arguments: object) -> int:
        """Returns the port."""
        example = SOURCE / "examples" / name
        if not example.exists():
            raise SkipTest("the examples are not here: not a copy of the source")
        port = freePort()
        with (self.local / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, example, *map(str, arguments), str(port)],
                env=daemonEnvironment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.addCleanup(process.wait, PATIENCE)
        self.addCleanup(process.terminate)
        until(lambda: port in boundPorts("tcp"), "the example listens", PATIENCE)
        return port

    def test_ownPieces(self) -> None:
        """A checker, a policy, a storage and limits of the application's own."""
        port = self.start("embed_own_pieces.py")
        with RawFTP(port).login("bob", "open sesame") as bob:
            self.assertEqual(bob.command("MKD /people/bob").code, 257)
            self.assertEqual(bob.store("STOR /people/bob/note", b"x").code, 226)
            self.assertEqual(bob.command("DELE /people/bob/note").code, 250)
            self.assertEqual(bob.command("SIZE /trash/note"), "213 1")
            self.assertEqual(bob.command("MKD /people/eve").code, 550)
        with RawFTP(port) as stranger:
            stranger.command("USER eve")
            self.assertEqual(stranger.command("PASS wrong").code, 530)

    def test_twistedServer(self) -> None:
        """Twisted's own FTP server on a FileHub account, with a client of the shelf."""
        (self.local / "site").mkdir()
        port = self.start("embed_twisted_servers.py", self.local / "site")
        with ftplib.FTP() as client:
            client.connect("127.0.0.1", port, PATIENCE)
            client.login("ada", "lovelace")
            client.mkd("d")
            data = b"hello" * 100_000
            client.storbinary("STOR d/file", io.BytesIO(data))
            self.assertEqual((self.local / "site" / "d" / "file").read_bytes(), data)
            found = bytearray()
            client.retrbinary("RETR d/file", found.extend)
            self.assertEqual(found, data)
            lines: list[str] = []
            client.dir("d", lines.append)
            self.assertRegex(lines[0], "500000 .* file$")
