"""
Traps of what FileHub stands on, and that it does not step into them: rows R1 to R20 of
C{docs/reliability-rows.rst} that need a whole daemon.
"""

import contextlib
import os
import socket
import threading
import time
from pathlib import Path

from filehub.accounts.hashes import hashPassword
from tests.integration.harness import (
    ACCOUNTS,
    ANSWER,
    IntegrationTestCase,
    Site,
    until,
)
from tests.integration.rawftp import RawFTP
from tests.integration.rawrfc913 import RawRFC913
from tests.integration.rawtftp import RawTFTP

#: twistd in a process whose wall clock jumps while the file C{jump} holds a number.
JUMPING_CLOCK = """
import os, sys, time
real = time.time
def jumping():
    try:
        with open("jump") as file:
            return real() + float(file.read() or 0)
    except FileNotFoundError:
        return real()
time.time = jumping
sys.argv[0] = "twistd"
from twisted.scripts.twistd import run
run()
"""


def processorSeconds(pid: int) -> float:
    """How much processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class ClockTests(IntegrationTestCase):
    """R1: time-outs follow a clock that nobody can set."""

    def makeSite(self) -> Site:
        return self.newSite(limits="idle = 2", program=["-c", JUMPING_CLOCK])

    def test_jumps(self) -> None:
        """
        The wall clock jumps by ten years to and fro: sessions and transfers go on, and an
        idle session still ends when its time has come.
        """
        (self.work / "file").write_bytes(b"file")
        jump = self.site.folder / "jump"
        sessions = []
        for years in (10, -10):
            ftp = RawFTP(self.site.ftp).login()
            client = RawRFC913(self.site.rfc913).login()
            sessions += [ftp.control, client.connection]
            with ftp.passive() as data:
                ftp.expect(150, f"STOR {self.virtual}/new")
                data.sendall(b"half")
                jump.write_text(str(years * 365 * 86400))
                # Whatever is due by a clock that jumped would come now.
                time.sleep(1.2)
                data.sendall(b" and half")
            ftp.final(226)
            self.assertEqual(client.retrieve(f"{self.virtual}/file"), b"file")
            self.assertEqual(RawTFTP(self.site.tftp).read(f"{self.virtual}/file".encode()), b"file")
            jump.unlink()
            started = time.monotonic()
            self.assertEqual(ftp.reply().code, 421)
            self.assertTrue(1.0 < time.monotonic() - started < 5.0)
        for each in sessions:
            each.close()


class DescriptorTests(IntegrationTestCase):
    """R11: no descriptors left."""

    def makeSite(self) -> Site:
        # raiseLimits goes up to the hard limit, so this is the hard one.
        return self.newSite(
            limits="per_address = 1000",
            prefix=["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"],
        )

    def test_exhausted(self) -> None:
        """
        With more clients than descriptors the daemon neither dies nor spins nor fills its
        log, keeps the sessions that it has, and recovers when clients leave.
        """
        (self.work / "file").write_bytes(b"file")
        first = RawFTP(self.site.ftp).login()
        self.addCleanup(first.close)
        crowd = []
        for _ in range(200):
            connection = socket.socket()
            connection.settimeout(ANSWER)
            connection.connect(("127.0.0.1", self.site.ftp))
            crowd.append(connection)
        first.expect(200, "NOOP")
        with contextlib.suppress(AssertionError, OSError, EOFError):
            first.retrieve(f"RETR {self.virtual}/file")
        before = processorSeconds(self.site.daemon.process.pid)
        time.sleep(1.0)
        self.assertLess(processorSeconds(self.site.daemon.process.pid) - before, 0.3)
        for connection in crowd:
            connection.close()

        def served() -> bool:
            try:
                with RawFTP(self.site.ftp).login() as ftp:
                    return ftp.retrieve(f"RETR {self.virtual}/file") == b"file"
            except (OSError, EOFError, AssertionError):
                return False

        until(served, "a new client is served")
        self.assertLess(len(self.site.daemon.log().splitlines()), 1500)


class UmaskTests(IntegrationTestCase):
    """R13: what a new file may be used for does not depend on how the daemon was started."""

    def modes(self, umask: str) -> list[int]:
        site = self.newSite(prefix=["sh", "-c", f'umask {umask}; exec "$@"', "sh"])
        with RawFTP(site.ftp).login() as ftp:
            self.assertEqual(ftp.store("STOR file", b"x").code, 226)
            self.assertEqual(ftp.store("APPE appended", b"x").code, 226)
            self.assertEqual(ftp.store("STOU", b"x").code, 226)
            ftp.expect(257, "MKD folder")
        RawTFTP(site.tftp).write(b"tftp", b"x")
        return sorted(
            path.stat().st_mode & 0o7777
            for path in site.root.iterdir()
            if not path.name.startswith(".")
        )

    def test_umask(self) -> None:
        """Under the umask of nobody and of paranoids, the modes are the same."""
        first, second = self.modes("000"), self.modes("077")
        self.assertEqual(first, second)
        self.assertEqual(first, [0o640] * 4 + [0o750])


class PasswordTests(IntegrationTestCase):
    """R20: passwords that take their time."""

    def makeSite(self) -> Site:
        slow = ACCOUNTS.replace(
            ACCOUNTS.partition('password = "')[2].partition('"')[0],
            hashPassword(b"lovelace"),
            1,
        )
        return self.newSite(accounts=slow, limits="per_address = 100", ban="delay = 0")

    def test_flood(self) -> None:
        """Thirty logins at once with hashes of full cost hold up nobody who is in."""
        inside = RawFTP(self.site.ftp).login()
        self.addCleanup(inside.close)
        sessions = [RawFTP(self.site.ftp) for _ in range(30)]
        for each in sessions:
            each.expect(331, "USER ada")
        done = threading.Event()
        answers: list[int] = []

        def flood() -> None:
            for each in sessions:
                each.send("PASS wrong\r\n")
            answers.extend(each.reply().code for each in sessions)
            done.set()

        threading.Thread(target=flood).start()
        longest = 0.0
        while not done.is_set():
            started = time.monotonic()
            inside.expect(200, "NOOP")
            longest = max(longest, time.monotonic() - started)
        self.assertLess(longest, 0.5)
        self.assertTrue(set(answers) <= {530, 421}, answers)
        for each in sessions:
            each.close()


class PatternTests(IntegrationTestCase):
    """R17: patterns."""

    def test_stars(self) -> None:
        """Twenty stars on long names are matched as quickly as one."""
        for number in range(50):
            (self.work / f"{'a' * 200}{number}").touch()
        with RawFTP(self.site.ftp).login() as ftp:
            ftp.expect(250, f"CWD {self.virtual}")
            started = time.monotonic()
            for pattern in ("a*" * 20 + "b", "*a" * 20 + "b", "?*" * 20 + "b", "[a-z]*" * 20 + "!"):
                with ftp.passive():
                    if ftp.command(f"NLST {pattern}").code < 200:
                        ftp.final()
            self.assertLess(time.monotonic() - started, 2.0)
