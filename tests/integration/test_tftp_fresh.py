"""
Small files over TFTP are served from memory where they can be; what has changed meanwhile,
in files, accounts, rules and bans, holds for the very next request.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from tests.integration.harness import (
    PATIENCE,
    IntegrationTestCase,
    Site,
    daemonEnvironment,
    until,
)
from tests.integration.rawftp import RawFTP
from tests.integration.rawtftp import RRQ, RawTFTP, TFTPError, request

GUESSER = "127.0.0.3"


class FreshTests(IntegrationTestCase):
    """A port of its own for each transfer."""

    single = "false"

    def makeSite(self) -> Site:
        return self.newSite(
            ban="attempts = 2\nexempt = []\ndelay = 0", tftp=f"single_port = {self.single}"
        )

    def setUp(self) -> None:
        super().setUp()
        self.file = self.work / "menu"
        self.file.write_bytes(b"first!")
        os.utime(self.file, (1_700_000_000,) * 2)
        self.assertEqual([self.fetch() for _ in range(3)], [b"first!"] * 3)

    def fetch(self, source: str = "127.0.0.1") -> bytes:
        """The whole file; C{b"N"} for an ERROR with this number."""
        with RawTFTP(self.site.tftp, source=source) as client:
            try:
                return client.read(f"{self.virtual}/menu".encode())
            except TFTPError as error:
                return b"%d" % error.code

    def isAnswered(self, source: str) -> bool:
        with RawTFTP(self.site.tftp, source=source) as client:
            client.socket.sendto(
                request(RRQ, f"{self.virtual}/menu".encode()), ("127.0.0.1", self.site.tftp)
            )
            return not client.silent(0.3)

    def change(self, old: str, new: str) -> None:
        """Another configuration, which is read at once."""
        text = self.site.configuration.read_text()
        self.assertIn(old, text)
        self.site.configuration.write_text(text.replace(old, new))
        before = self.site.daemon.log().count("was read again")
        self.site.daemon.process.send_signal(signal.SIGHUP)
        until(lambda: self.site.daemon.log().count("was read again") > before, "it is read")

    def test_replaced(self) -> None:
        """Another file of this name."""
        other = self.file.with_name("other")
        other.write_bytes(b"second")
        os.utime(other, (1_700_000_000,) * 2)
        other.rename(self.file)
        self.assertEqual(self.fetch(), b"second")
        self.file.unlink()
        self.assertEqual(self.fetch(), b"1")

    def test_rewritten(self) -> None:
        """The same file, of the same size and time, with other bytes."""
        with self.file.open("r+b") as file:
            file.write(b"second")
        os.utime(self.file, (1_700_000_000,) * 2)
        self.assertEqual(self.fetch(), b"second")
        os.truncate(self.file, 3)
        self.assertEqual(self.fetch(), b"sec")

    def test_folder(self) -> None:
        """The folder above is another one, or a link."""
        moved = self.work.with_name(self.work.name + "-moved")
        self.work.rename(moved)
        self.addCleanup(moved.rename, self.work)
        self.assertEqual(self.fetch(), b"1")
        self.work.symlink_to(moved)
        self.addCleanup(self.work.unlink)
        self.assertIn(self.fetch(), (b"1", b"2"))

    def test_rule(self) -> None:
        """A rule that takes the right to read away, and one that gives it back."""
        self.change('allow = "elradfmwMT"', 'allow = "eladfmwMT"')
        self.assertEqual(self.fetch(), b"2")
        self.change('allow = "eladfmwMT"', 'allow = "elradfmwMT"')
        self.assertEqual(self.fetch(), b"first!")

    def test_account(self) -> None:
        """The account expires, and its network is another one's."""
        self.change('name = "ada"', 'name = "ada"\nexpires = 2001-01-01T00:00:00Z')
        self.assertEqual(self.fetch(), b"2")
        self.change("\nexpires = 2001-01-01T00:00:00Z", "")
        self.assertEqual(self.fetch(), b"first!")
        self.change('address = "127.0.0.0/8"', 'address = "127.0.0.9/32"')
        self.assertEqual(self.fetch(), b"2")
        self.assertEqual(self.fetch("127.0.0.9"), b"first!")

    def test_ban(self) -> None:
        """Who has earned a ban in FTP gets no answer any more, and gets one when it is lifted."""
        self.assertEqual(self.fetch(GUESSER), b"first!")
        for _ in range(2):
            with RawFTP(self.site.ftp, source=GUESSER) as ftp:
                ftp.expect(331, "USER ada")
                ftp.expect(530, "PASS wrong")
        self.assertFalse(self.isAnswered(GUESSER))
        self.assertEqual(self.fetch(), b"first!")
        subprocess.run(
            [
                sys.executable, "-c", "from filehub.cli.main import main; main()",
                "ban", "del", GUESSER, "--config", str(self.site.configuration),
            ],
            env=daemonEnvironment(), timeout=PATIENCE, check=True,
        )  # fmt: skip
        until(lambda: self.isAnswered(GUESSER), "the ban is lifted", PATIENCE)


class SinglePortFreshTests(FreshTests):
    """Everything over one port."""

    single = "true"
