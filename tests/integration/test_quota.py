"""
Quotas of the real daemon, over all protocols, through a crash and repaired by hand.
"""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.integration.harness import (
    IntegrationTestCase,
    Site,
    content,
    daemonEnvironment,
    until,
)
from tests.integration.rawftp import RawFTP
from tests.integration.rawrfc913 import RawRFC913
from tests.integration.rawtftp import WRQ, RawTFTP, request

LIMIT = 4 * 1024 * 1024


class QuotaCommand:
    """
    Runs C{filehub quota}.

    @ivar site: the server.
    """

    site: Site

    def command(self, *arguments: str) -> tuple[int, str]:
        """C{filehub quota}."""
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "from filehub.cli.main import main; main()",
                "quota",
                *arguments,
                "--config",
                str(self.site.configuration),
            ],
            env=daemonEnvironment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=30,
            check=False,
        )
        return done.returncode, done.stdout.decode()


class QuotaTests(QuotaCommand, IntegrationTestCase):
    """A quota of 4 MiB on the mount."""

    def makeSite(self) -> Site:
        return self.newSite(
            mount=f"quota = {LIMIT}\nquota_files = 40", limits="per_user = 100\nper_address = 100"
        )

    def stored(self) -> int:
        """Bytes that are there for all to see."""
        return sum(each.stat().st_size for each in self.work.rglob("*") if each.is_file())

    def test_parallel(self) -> None:
        """Twenty uploads at the edge: some fit, and together never a byte too many."""
        size = 600 * 1024
        codes: list[int] = []

        def upload(number: int) -> None:
            with RawFTP(self.site.ftp).login() as ftp:
                if number % 2:
                    # Announced, all of it is set aside at once, or refused.
                    ftp.command(f"ALLO {size}")
                connection = ftp.passive()
                reply = ftp.command(f"STOR {self.virtual}/{number}")
                if reply.code == 150:
                    payload = content(size, str(number))
                    with contextlib.suppress(OSError):  # the server has had enough
                        for start in range(0, size, 50_000):
                            connection.sendall(payload[start : start + 50_000])
                            time.sleep(0.001)
                    connection.close()
                    reply = ftp.reply()
                codes.append(reply.code)

        threads = [threading.Thread(target=upload, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            self.assertLessEqual(self.stored(), LIMIT)
            time.sleep(0.005)
        self.assertEqual(set(codes), {226, 552})
        self.assertEqual(codes.count(226) * size, self.stored())
        self.assertLessEqual(self.stored(), LIMIT)
        # What broke keeps what came, up to the edge, and counts.
        with RawFTP(self.site.ftp).login() as ftp:
            self.assertEqual(ftp.store(f"STOR {self.virtual}/more", bytes(LIMIT)).code, 552)

    def test_protocols(self) -> None:
        """Each protocol says no in its own words, and an old file stands."""
        with RawFTP(self.site.ftp).login() as ftp:
            old = content(LIMIT - 100_000)
            self.assertEqual(ftp.store(f"STOR {self.virtual}/old", old).code, 226)
            self.assertEqual(ftp.store(f"APPE {self.virtual}/old", bytes(100_001)).code, 552)
            self.assertEqual((self.work / "old").read_bytes(), old)
            ftp.expect(552, f"ALLO {LIMIT + 1}")
            ftp.expect(350, "REST 4000000000")
            ftp.passive()
            self.assertGreaterEqual(ftp.command(f"STOR {self.virtual}/old").code, 550)
        with RawRFC913(self.site.rfc913).login() as simple:
            simple.command(f"STOR NEW {self.virtual}/new")
            self.assertTrue(simple.command("SIZE 100001").startswith(b"-"))
        with RawTFTP(self.site.tftp) as tftp:
            answer = tftp.ask(request(WRQ, f"{self.virtual}/new".encode(), tsize=100_001))
            self.assertEqual(answer[:4], b"\0\5\0\3")
        self.assertEqual(self.stored(), len(old))
        with RawFTP(self.site.ftp).login() as ftp:
            self.assertEqual(ftp.store(f"STOR {self.virtual}/new", bytes(100_000)).code, 226)
            ftp.expect(250, f"DELE {self.virtual}/old")
            self.assertEqual(ftp.store(f"STOR {self.virtual}/old", old).code, 226)

    def test_crash(self) -> None:
        """After a kill in the middle the ledger is what is on the disk."""
        with RawFTP(self.site.ftp).login() as ftp:
            self.assertEqual(ftp.store(f"STOR {self.virtual}/a", bytes(100_000)).code, 226)
            connection = ftp.passive()
            ftp.command(f"STOR {self.virtual}/b")
            connection.sendall(bytes(300_000))
            self.assertEqual(RawFTP(self.site.ftp).login().store("STOR /c", bytes(7)).code, 226)
            self.site.daemon.kill()
            connection.close()
        self.assertEqual(self.command("show")[0], 0)
        self.site.start()
        until(lambda: "100007 bytes" in self.site.daemon.log(), "it is counted")
        until(lambda: self.command("check")[0] == 0, "it is written down", 20)
        self.assertIn("/: 100007 bytes", self.command("check")[1])

    def test_repair(self) -> None:
        """What was changed behind the server's back is found and put right, live and not."""
        self.assertEqual(self.command("check", "--repair")[0], 0)
        self.assertEqual(self.store("/a", 100), 226)
        until(lambda: self.command("check")[0] == 0, "it is written down", 20)
        (self.site.root / "stranger").write_bytes(bytes(LIMIT - 100))
        status, text = self.command("check")
        self.assertEqual(status, 1, text)
        self.assertIn(f"found {LIMIT} bytes", text)
        self.assertEqual(self.command("check", "--repair")[0], 0)
        until(lambda: self.command("check")[0] == 0, "it is repaired", 20)
        self.assertEqual(self.store("/b", 1), 552)
        self.site.daemon.stop()
        (self.site.root / "stranger").unlink()
        status, text = self.command("check", "--repair")
        self.assertEqual((status, text.splitlines()[-1]), (0, "repaired"))
        self.assertEqual(self.command("check")[0], 0)
        self.site.start()
        self.assertEqual(self.store("/b", LIMIT // 2), 226)

    def store(self, path: str, size: int) -> int:
        """The code of the reply to an upload."""
        with RawFTP(self.site.ftp).login() as ftp:
            return ftp.store(f"STOR {path}", bytes(size)).code

    def refused(self, database: Path, expected: str) -> None:
        """It does not start, and says why in one line."""
        with contextlib.suppress(AssertionError):
            # It may have bound its ports by the time that it finds out.
            self.site.start()
        until(lambda: not self.site.daemon.running, "it gives up")
        self.assertIn(f"filehub: cannot use {database}: {expected}", self.site.daemon.log())
        self.assertNotIn("Traceback", self.site.daemon.log())

    def test_unusable(self) -> None:
        """A ledger that is none, or of a later version, or no file, keeps it from starting."""
        self.site.daemon.stop()
        database = self.site.folder / "state" / "usage.sqlite"
        for each in database.parent.glob("usage.sqlite-*"):
            each.unlink()
        database.write_bytes(b"no database" * 1000)
        self.refused(database, "file is not a database")
        database.unlink()
        with contextlib.closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA user_version = 99")
        self.refused(database, "it is of a later version (99)")
        database.unlink()
        database.mkdir()
        self.refused(database, "unable to open database file")
        database.rmdir()
        self.site.start()
        self.assertEqual(self.store("/a", 1), 226)

    def test_failing(self) -> None:
        """
        While it cannot be written uploads are refused, downloads go on, and there is a
        line of it; then all goes on.
        """
        self.assertEqual(self.store("/a", 100), 226)
        until(lambda: not {"changing", "counted"} & {*self.command("show")[1].split()}, "it rests")
        database = self.site.folder / "state" / "usage.sqlite"
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("ALTER TABLE usage RENAME TO hidden")
            self.assertEqual(self.store("/b", 100), 451)
            with RawFTP(self.site.ftp).login() as ftp:
                self.assertEqual(ftp.retrieve("RETR /a"), bytes(100))
                ftp.expect(451, "DELE /a")
            with RawTFTP(self.site.tftp) as tftp:
                self.assertEqual(tftp.ask(request(WRQ, b"/b", tsize=10))[:4], b"\0\5\0\0")
            connection.execute("ALTER TABLE hidden RENAME TO usage")
        self.assertEqual(self.store("/b", 100), 226)
        self.assertNotIn("Traceback", self.site.daemon.log())


class BoundTests(IntegrationTestCase):
    """The largest file that a mount takes."""

    def makeSite(self) -> Site:
        return self.newSite(mount="largest_file = 1000")

    def test_largest(self) -> None:
        """Each protocol refuses what is larger, announced or not, and takes what is not."""
        with RawFTP(self.site.ftp).login() as ftp:
            self.assertEqual(ftp.store(f"STOR {self.virtual}/a", bytes(1000)).code, 226)
            self.assertEqual(ftp.store(f"STOR {self.virtual}/b", bytes(1001)).code, 552)
            self.assertEqual(ftp.store(f"APPE {self.virtual}/a", bytes(1)).code, 552)
        with RawRFC913(self.site.rfc913).login() as simple:
            simple.command(f"STOR NEW {self.virtual}/c")
            self.assertTrue(simple.command("SIZE 1001").startswith(b"-"))
        with RawTFTP(self.site.tftp) as tftp:
            answer = tftp.ask(request(WRQ, f"{self.virtual}/d".encode(), tsize=1001))
            self.assertEqual(answer[:4], b"\0\5\0\3")
        published = [each.name for each in self.work.iterdir() if each.name[0] != "."]
        self.assertEqual(published, ["a"])
        self.assertEqual((self.work / "a").stat().st_size, 1000)
