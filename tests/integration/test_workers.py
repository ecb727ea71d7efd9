"""
Several processes that serve as one.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from pathlib import Path

from tests.integration.harness import ANSWER, IntegrationTestCase, Site, content, until
from tests.integration.rawftp import RawFTP
from tests.integration.rawtftp import RawTFTP


def childrenOf(process: int) -> set[int]:
    """Its children."""
    text = Path(f"/proc/{process}/task/{process}/children").read_text()
    return {int(word) for word in text.split()}


def descriptorsOf(process: int) -> set[str]:
    """What its descriptors are, as C{/proc} has it."""
    found = set()
    for name in os.listdir(f"/proc/{process}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/{process}/fd/{name}"))
    return found


class WorkersTestCase(IntegrationTestCase):
    """With C{workers = 2}."""

    server = "workers = 2"

    def makeSite(self) -> Site:
        return self.newSite(
            server=self.server, limits="sessions = 30\nper_address = 6\nper_user = 4"
        )

    def setUp(self) -> None:
        super().setUp()
        until(lambda: len(childrenOf(self.parent)) == 2, "two workers run")

    @property
    def parent(self) -> int:
        return self.site.daemon.process.pid

    def connect(self) -> RawFTP:
        """A session, not logged in."""
        session = RawFTP(self.site.ftp)
        self.addCleanup(session.close)
        return session

    def workerOf(self, session: RawFTP) -> int:
        """The process that serves it."""
        port = session.control.getsockname()[1]
        table = Path("/proc/net/tcp").read_text()
        found = re.search(
            rf"0100007F:{self.site.ftp:04X} 0100007F:{port:04X} 01(?: +\S+){{5}} +(\d+)", table
        )
        assert found is not None
        inode = f"socket:[{found[1]}]"
        return next(each for each in childrenOf(self.parent) if inode in descriptorsOf(each))

    def isAdmitted(self) -> bool:
        try:
            with RawFTP(self.site.ftp) as session:
                return session.greeting is not None and session.greeting.code == 220
        except (EOFError, OSError):
            return False

    def spread(self) -> tuple[RawFTP, RawFTP]:
        """Two sessions of different processes."""
        first = self.connect()
        other = self.connect()
        limit = time.monotonic() + ANSWER
        while self.workerOf(other) == self.workerOf(first):
            other.expect(221, "QUIT")
            other = self.connect()
            if time.monotonic() > limit:
                self.fail("one process has all sessions")
        return first, other


class ServingTests(WorkersTestCase):
    """All of them serve, and count together."""

    def test_oneDies(self) -> None:
        """
        The other's sessions go on; the place is filled; what the dead one counted is
        counted no more, and nothing of its upload is seen.
        """
        payload = content(500_000)
        dying, living = self.spread()
        victim = self.workerOf(dying)
        dying.login()
        living.login()
        lost = dying.passive()
        self.addCleanup(lost.close)
        dying.command(f"STOR {self.virtual}/lost")
        lost.sendall(payload[:100_000])
        kept = living.passive()
        living.command(f"STOR {self.virtual}/kept")
        kept.sendall(payload[:100_000])
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in childrenOf(self.parent), "its end is noticed")
        kept.sendall(payload[100_000:])
        kept.close()
        living.final(226)
        self.assertSameContent((self.work / "kept").read_bytes(), payload)
        self.assertNothingLeft(self.work, "kept")
        until(lambda: len(childrenOf(self.parent)) == 2, "another one begins")
        self.assertIn(f"worker {victim} ended (signal 9)", self.site.daemon.log())
        # Three more of this user besides the one that lives, and not four.
        for _ in range(3):
            self.connect().login()
        extra = self.connect()
        extra.expect(331, "USER ada")
        self.assertIn(extra.command("PASS lovelace").code, (421, 530))

    def test_caps(self) -> None:
        """Caps hold over all of them, and what ends makes room for others."""
        sessions = list(self.spread())
        while len(sessions) < 6:
            sessions.append(self.connect())
        for _ in range(6):
            with RawFTP(self.site.ftp) as more:
                self.assertEqual(more.greeting and more.greeting.code, 421)
        sessions.pop().expect(221, "QUIT")
        until(self.isAdmitted, "there is room again")

    def test_tftp(self) -> None:
        """Transfers from many ports, so to all of them."""
        payload = content(20_000)
        (self.work / "file").write_bytes(payload)
        for number in range(8):
            with RawTFTP(self.site.tftp) as client:
                found = client.read(f"{self.virtual}/file".encode())
                self.assertSameContent(found, payload)
                client.transfer = None
            with RawTFTP(self.site.tftp) as client:
                client.write(f"{self.virtual}/up{number}".encode(), payload)
        for number in range(8):
            until((self.work / f"up{number}").exists, "it is published")
            self.assertSameContent((self.work / f"up{number}").read_bytes(), payload)

    def test_reload(self) -> None:
        """SIGHUP reaches all of them."""
        sessions = self.spread()
        for session in sessions:
            session.login("bob", "builder")
        text = self.site.configuration.read_text()
        self.site.configuration.write_text(text.replace('name = "bob"', 'name = "eve"'))
        self.site.daemon.process.send_signal(signal.SIGHUP)
        for session in sessions:
            self.assertEqual(session.reply().code, 421)

    def test_end(self) -> None:
        """SIGTERM ends sessions and processes, and says what all have served."""
        (self.work / "file").write_bytes(b"x" * 1000)
        sessions = self.spread()
        for session in sessions:
            session.login()
            session.retrieve(f"RETR {self.virtual}/file")
        workers = childrenOf(self.parent)
        log = self.site.daemon.stop()
        for session in sessions:
            self.assertEqual(session.reply().code, 421)
        for worker in workers:
            self.assertFalse(Path(f"/proc/{worker}").exists())
        self.assertEqual(log.count("2000 bytes out"), 1)

    def test_orphans(self) -> None:
        """Without the one that watches the others end."""
        workers = childrenOf(self.parent)
        self.site.daemon.kill()
        until(
            lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers),
            "they have ended",
        )


class SinglePortTests(WorkersTestCase):
    """TFTP over one port: all packets of a client reach one process."""

    def makeSite(self) -> Site:
        return self.newSite(server=self.server, tftp="single_port = true")

    test_tftp = ServingTests.test_tftp


class BanTests(WorkersTestCase):
    """Failures count wherever they happen."""

    def makeSite(self) -> Site:
        return self.newSite(
            server=self.server,
            ban='attempts = 3\ndelay = 0\nexempt = ["192.0.2.0/24"]\npoints.scan = 0',
        )

    def test_ban(self) -> None:
        """Two failures in one process and one in another shut an address out of both."""
        first, second = self.spread()
        for session in (first, first, second):
            session.expect(331, "USER ada")
            session.expect(530, "PASS wrong")
        until(lambda: self.site.daemon.log().count("LoginRefused") == 3, "all are counted")
        until(lambda: not any(self.isAdmitted() for _ in range(10)), "nobody gets in")
        # By both, if each did not know of the other in time.
        self.assertIn(self.site.daemon.log().count("AddressBanned"), (1, 2))
