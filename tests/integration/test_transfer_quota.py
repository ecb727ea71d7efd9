"""
Transfer quotas of the real daemon: at the edge, over all protocols, on the kernel path,
through a crash, told and begun again.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from filehub.accounts.database import openSQLite
from tests.integration.harness import (
    ACCOUNTS,
    IntegrationTestCase,
    Site,
    content,
    hashPassword,
    until,
)
from tests.integration.rawftp import RawFTP, drain
from tests.integration.rawrfc913 import RawRFC913
from tests.integration.rawtftp import RRQ, WRQ, RawTFTP, request
from tests.integration.test_quota import QuotaCommand

MIB = 1024 * 1024
LIMIT = 8 * MIB
ROOMY = "per_user = 100\nper_address = 100\n"


class EdgeTests(IntegrationTestCase):
    """8 MiB each way and a day, for each user."""

    def makeSite(self) -> Site:
        limits = f'upload_quota = {LIMIT}\ndownload_quota = {LIMIT}\nquota_period = "day"'
        return self.newSite(limits=ROOMY + limits)

    def together(self, count: int, work: Callable[[int], None]) -> None:
        """Do it in as many threads."""
        threads = [threading.Thread(target=work, args=(each,)) for each in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    def test_downloads(self) -> None:
        """Twenty at once: as many as fit, whole, and the others are told before a byte."""
        size = 1_300_000
        (self.work / "file").write_bytes(content(size))
        codes: list[int] = []
        got: list[int] = []

        def download(_: int) -> None:
            with RawFTP(self.site.ftp).login() as ftp:
                connection = ftp.passive()
                reply = ftp.command(f"RETR {self.virtual}/file")
                if reply.code == 150:
                    got.append(len(drain(connection)))
                    reply = ftp.reply()
                connection.close()
                codes.append(reply.code)

        self.together(20, download)
        self.assertEqual(sorted(codes), [226] * (LIMIT // size) + [552] * (20 - LIMIT // size))
        self.assertLessEqual(sum(got), LIMIT)
        with RawFTP(self.site.ftp).login() as ftp:
            ftp.passive()
            refused = ftp.command(f"RETR {self.virtual}/file")
            self.assertRegex(str(refused), r"ownload quota exceeded, it begins again at \d{4}-")
            # The rest of a file that fits still moves, and listings always do.
            ftp.expect(350, f"REST {size - 1000}")
            self.assertEqual(len(ftp.retrieve(f"RETR {self.virtual}/file")), 1000)
            self.assertEqual(ftp.names(self.virtual), [b"file"])
            told = ftp.command("SITE QUOTA")
            used = size * (LIMIT // size) + 1000
            self.assertIn(f"Downloaded (user ada): {used} of {LIMIT} bytes", str(told))
            self.assertIn("Begins again (user ada)", str(told))
        with RawFTP(self.site.ftp).login("bob", "builder") as ftp:
            self.assertEqual(len(ftp.retrieve(f"RETR {self.virtual}/file")), size)

    def test_uploads(self) -> None:
        """Twenty at once whose length nobody knows: not a byte too many, whoever breaks."""
        size = 600 * 1024
        codes: list[int] = []

        def upload(number: int) -> None:
            with RawFTP(self.site.ftp).login() as ftp:
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

        self.together(20, upload)
        self.assertEqual(set(codes), {226, 552})
        published = sum(
            each.stat().st_size for each in self.work.iterdir() if not each.name.startswith(".")
        )
        self.assertEqual(codes.count(226) * size, published)
        everything = sum(
            each.stat().st_size for each in self.site.root.rglob("*") if each.is_file()
        )
        self.assertLessEqual(everything, LIMIT)
        with RawFTP(self.site.ftp).login() as ftp:
            self.assertEqual(ftp.store(f"STOR {self.virtual}/more", bytes(LIMIT)).code, 552)

    def test_exactly(self) -> None:
        """What is as long as the quota fits, of known length or not; no byte does after it."""
        with RawFTP(self.site.ftp).login() as ftp:
            self.assertEqual(ftp.store(f"STOR {self.virtual}/a", bytes(LIMIT - 5)).code, 226)
            self.assertEqual(ftp.store(f"STOR {self.virtual}/b", bytes(6)).code, 552)
            self.assertEqual(ftp.store(f"STOR {self.virtual}/c", bytes(5)).code, 552)
            ftp.expect(200, "ALLO 1")
            ftp.passive()
            self.assertEqual(ftp.command(f"STOR {self.virtual}/d").code, 552)

    def test_failing(self) -> None:
        """While nothing can be written down nothing moves that counts; then it goes on."""
        (self.work / "file").write_bytes(bytes(1000))
        database = self.site.folder / "state" / "usage.sqlite"
        # Ports are bound before the state is opened; who is let in knows that it is.
        RawFTP(self.site.ftp).login().close()
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.execute("ALTER TABLE transfer RENAME TO hidden")
            with RawFTP(self.site.ftp).login() as ftp:
                ftp.passive()
                ftp.expect(451, f"RETR {self.virtual}/file")
                self.assertEqual(ftp.names(self.virtual), [b"file"])
            with RawRFC913(self.site.rfc913).login() as simple:
                self.assertEqual(simple.command(f"RETR {self.virtual}/file")[:1], b"-")
            time.sleep(4.5)  # it tries again every two seconds
            connection.execute("ALTER TABLE hidden RENAME TO transfer")

        def goesOn() -> bool:
            with RawFTP(self.site.ftp).login() as ftp:
                ftp.passive()
                return ftp.command(f"RETR {self.virtual}/file").code == 150

        until(goesOn, "it goes on")
        self.assertEqual(self.site.daemon.log().count("could not be written down"), 1)
        self.assertEqual(self.site.daemon.trouble(), "")

    def test_protocols(self) -> None:
        """Each protocol says no in its own words; all count for one quota."""
        (self.work / "file").write_bytes(content(MIB))
        (self.work / "large").write_bytes(content(LIMIT - 3 * MIB + 1))
        name = f"{self.virtual}/file"
        with RawTFTP(self.site.tftp) as tftp:
            self.assertEqual(len(tftp.read(name.encode(), blksize=1400)), MIB)
        with RawRFC913(self.site.rfc913).login() as simple:
            simple.command("TYPE B")
            self.assertEqual(len(simple.retrieve(name)), MIB)
        with RawFTP(self.site.ftp).login() as ftp:
            self.assertEqual(len(ftp.retrieve(f"RETR {name}")), MIB)
        large = f"{self.virtual}/large"
        with RawTFTP(self.site.tftp) as tftp:
            self.assertEqual(tftp.ask(request(RRQ, large.encode()))[:4], b"\0\5\0\3")
            answer = tftp.ask(request(WRQ, b"new", tsize=LIMIT + 1))
            self.assertEqual(answer[:4], b"\0\5\0\3")
        with RawRFC913(self.site.rfc913).login() as simple:
            simple.command("TYPE B")
            self.assertRegex(simple.command(f"RETR {large}"), b"^-Download quota exceeded")
            simple.command(f"STOR NEW {self.virtual}/new")
            self.assertTrue(simple.command(f"SIZE {LIMIT + 1}").startswith(b"-"))
            # Who does not want it gives it back.
            for _ in range(3):
                self.assertEqual(simple.command(f"RETR {name}"), b" %d" % MIB)
                simple.command("STOP")
        with RawFTP(self.site.ftp).login() as ftp:
            said = str(ftp.command("SITE QUOTA"))
            self.assertIn(f"Downloaded (user ada): {3 * MIB} of {LIMIT} bytes", said)
            self.assertIn(f"Uploaded (user ada): 0 of {LIMIT} bytes", said)


class StoredTests(QuotaCommand, IntegrationTestCase):
    """What is written down; and accounts that bring their quotas along."""

    def makeSite(self) -> Site:
        self.accounts = Path(self.mktemp()).absolute()
        with contextlib.closing(openSQLite(self.accounts, create=True)) as tables:
            rule = [{"path": "/", "allow": "elradfmwMT"}]
            settings = {
                "home": "/eve",
                "rule": rule,
                "quota": 1000,
                "download_quota": 100,
                "groups": ["few"],
            }
            tables.addGroup("few", {"upload_quota_files": 2})
            tables.addUser("eve", hashPassword("apple"), settings)
        source = f'[[source]]\ntype = "sqlite"\nfile = "{self.accounts}"\n'
        return self.newSite(
            accounts=ACCOUNTS + source,
            limits=ROOMY + f"total_download_quota = {64 * MIB}\n",
        )

    def test_crash(self) -> None:
        """After a kill all that was sent counts, and nothing that was only set aside for later."""
        (self.work / "file").write_bytes(bytes(40 * MIB))
        with RawFTP(self.site.ftp).login() as ftp:
            connection = ftp.passive()
            ftp.expect(150, f"RETR {self.virtual}/file")
            got = 0
            while got < 20 * MIB:
                got += len(connection.recv(1 << 16))
            self.site.daemon.kill()
            got += len(drain(connection)) if got else 0
        status, shown = self.command("show")
        self.assertEqual(status, 0, shown)
        self.site.start()
        self.assertNotIn("not closed properly", self.site.daemon.log())
        with RawFTP(self.site.ftp).login() as ftp:
            (line,) = (
                line
                for line in str(ftp.command("SITE QUOTA")).splitlines()
                if "(server):" in line and "Downloaded" in line
            )
            counted = int(line.split()[2])
            self.assertGreaterEqual(counted, got)
            # A piece is counted before it is sent.
            self.assertLessEqual(counted, got + MIB)
        self.assertEqual(self.command("reset", "server")[0], 0)
        until(
            lambda: "(server): 0 of" in str(RawFTP(self.site.ftp).login().command("SITE QUOTA")),
            "it begins again",
            20,
        )

    def test_brought(self) -> None:
        """A quota in a database holds from the login on, for all, and after a restart."""
        (self.site.root / "eve").mkdir(exist_ok=True)
        with RawFTP(self.site.ftp).login("eve", "apple") as ftp:
            self.assertEqual(ftp.store("STOR /eve/a", bytes(600)).code, 226)
            self.assertEqual(ftp.store("STOR /eve/b", bytes(500)).code, 552)
            ftp.passive()
            self.assertEqual(ftp.command("RETR /eve/a").code, 552)
            # A part of the broken one is kept, and counted both times.
            ftp.passive()
            refused = ftp.command("STOR /eve/c")
            self.assertEqual(refused.code, 552)
            said = str(ftp.command("SITE QUOTA"))
            for line in (
                "of 1000 bytes",
                "Downloaded (user eve): 0 of 100 bytes",
                "Uploaded (group few): 2 of 2 files",
            ):
                self.assertIn(line, said)
        self.site.daemon.stop()
        status, shown = self.command("show")
        self.assertEqual(status, 0)
        self.assertIn("/eve", shown)
        self.site.start()
        with RawFTP(self.site.ftp).login() as ftp:
            # Eve has not been here since.
            self.assertEqual(ftp.store("STOR /eve/ada", bytes(600)).code, 552)
        with contextlib.closing(openSQLite(self.accounts)) as tables:
            found = tables.find("eve")
            assert found is not None
            settings = json.loads(json.dumps(dict(found.settings))) | {"quota": 5000}
            tables.changeUser("eve", settings)
        with RawFTP(self.site.ftp).login("eve", "apple"), RawFTP(self.site.ftp).login() as ftp:
            self.assertEqual(ftp.store("STOR /eve/ada", bytes(600)).code, 226)
