"""
The worst that can happen in the middle of an upload: the server is killed, the client
vanishes, the disk is full.  The old file stands, and no half file has its name.
"""

import contextlib
import os
import random
import socket
import time
from pathlib import Path

from tests.integration.harness import (
    IntegrationTestCase,
    Site,
    content,
    smallFileSystem,
    until,
)
from tests.integration.rawftp import RawFTP, reset
from tests.integration.rawrfc913 import RawRFC913
from tests.integration.rawtftp import WRQ, RawTFTP, TFTPError, data, request

OLD = content(10_000, "old")


class KilledTests(IntegrationTestCase):
    """kill -9 at some moment of an upload; then the server starts again."""

    def makeSite(self) -> Site:
        return self.newSite()

    def begin(self, how: str, payload: bytes) -> socket.socket | None:
        """Upload part of the payload by some protocol; returns what must stay open."""
        name = f"{self.virtual}/{'new' if how.endswith('new') else 'old'}"
        if how.startswith("rfc913"):
            client = RawRFC913(self.site.rfc913).login()
            client.command(f"STOR OLD {name}")
            client.command(f"SIZE {len(payload) + 1}")
            client.send(payload)
            return client.connection
        if how.startswith("tftp"):
            tftp = RawTFTP(self.site.tftp)
            tftp.ask(request(WRQ, name.encode()))
            for block in range(len(payload) // 512):
                tftp.answer(data(block + 1, payload[block * 512 : block * 512 + 512]))
                tftp.receive()
            return tftp.socket
        ftp = RawFTP(self.site.ftp).login()
        self.addCleanup(ftp.close)
        connection = ftp.passive()
        ftp.command(f"{'APPE' if 'append' in how else 'STOR'} {name}")
        connection.sendall(payload)
        return connection

    def test_killed(self) -> None:
        """
        In each protocol and verb, at random moments: after the restart the old file is
        the old file, a new name is free, and later uploads work.
        """
        (self.work / "old").write_bytes(OLD)
        chance = random.Random(9)
        ways = ("ftp", "ftp new", "ftp append", "tftp", "tftp new", "rfc913", "rfc913 new")
        for how in ways:
            payload = content(chance.randrange(512, 40_000), how)
            connection = self.begin(how, payload)
            time.sleep(chance.random() * 0.05)
            self.site.daemon.kill()
            if connection is not None:
                connection.close()
            self.assertSameContent((self.work / "old").read_bytes(), OLD)
            self.assertFalse((self.work / "new").exists(), how)
            self.site.start()
            with RawFTP(self.site.ftp).login("bob", "builder") as ftp:
                self.assertEqual(ftp.names(self.virtual), [b"old"], how)
                self.assertSameContent(ftp.retrieve(f"RETR {self.virtual}/old"), OLD)
        with RawFTP(self.site.ftp).login() as ftp:
            self.assertEqual(ftp.store(f"STOR {self.virtual}/old", b"newer").code, 226)
        self.assertEqual((self.work / "old").read_bytes(), b"newer")

    def test_acknowledgedIsKept(self) -> None:
        """What was answered 226 is there after a kill a moment later."""
        for number in range(4):
            payload = content(20_000, str(number))
            with RawFTP(self.site.ftp).login() as ftp:
                self.assertEqual(ftp.store(f"STOR {self.virtual}/file", payload).code, 226)
                self.site.daemon.kill()
            self.assertSameContent((self.work / "file").read_bytes(), payload)
            self.site.start()


class VanishedClientTests(IntegrationTestCase):
    """The client is gone without a good-bye."""

    def setUp(self) -> None:
        super().setUp()
        (self.work / "old").write_bytes(OLD)

    def assertOnlyOld(self) -> None:
        """A stranger sees the old file as it was, and nothing else."""

        def listed() -> bool:
            with RawFTP(self.site.ftp).login("bob", "builder") as ftp:
                return ftp.names(self.virtual) == [b"old"]

        until(listed, "only the old file is listed")
        self.assertSameContent((self.work / "old").read_bytes(), OLD)

    def test_FTP(self) -> None:
        """
        Connections reset, in STOR, APPE and REST + STOR; or closed, which is all that can
        be seen of a client program that was killed.
        """
        for verb in ("STOR old", "APPE old", "STOR new", "REST 5000\r\nSTOR old"):
            for ends in ((reset, reset), (socket.socket.close, reset), (socket.socket.close,) * 2):
                ftp = RawFTP(self.site.ftp).login()
                ftp.expect(250, f"CWD {self.virtual}")
                connection = ftp.passive()
                ftp.send(verb + "\r\n")
                while (reply := ftp.reply()).code == 350:
                    pass
                self.assertEqual(reply.code, 150)
                connection.sendall(bytes(100_000))
                for end, each in zip(ends, (ftp.control, connection), strict=True):
                    end(each)
        self.assertOnlyOld()

    def test_RFC913(self) -> None:
        """The connection reset before the last byte, for NEW, OLD and APP."""
        for how, name in (("NEW", "new"), ("OLD", "old"), ("APP", "old")):
            client = RawRFC913(self.site.rfc913).login()
            client.command(f"STOR {how} {self.virtual}/{name}")
            client.command("SIZE 200000")
            client.send(bytes(100_000))
            reset(client.connection)
        self.assertOnlyOld()

    def test_TFTP(self) -> None:
        """A client that sends ERROR, or nothing more; the next upload is not hindered."""
        for _ in range(3):
            client = RawTFTP(self.site.tftp)
            self.addCleanup(client.socket.close)
            client.ask(request(WRQ, f"{self.virtual}/old".encode()))
            client.answer(data(1, bytes(512)))
            client.receive()
            client.answer(b"\0\5\0\0gone\0")
        self.assertOnlyOld()
        RawTFTP(self.site.tftp).write(f"{self.virtual}/old".encode(), b"newer")
        self.assertEqual((self.work / "old").read_bytes(), b"newer")


class FullTests(IntegrationTestCase):
    """A file system of one megabyte."""

    def makeSite(self) -> Site:
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        small = smallFileSystem(folder.absolute())
        small.__enter__()
        self.addCleanup(small.__exit__, None, None, None)
        return self.newSite(root=folder.absolute())

    def setUp(self) -> None:
        super().setUp()
        (self.work / "old").write_bytes(OLD)

    def assertFree(self) -> None:
        """The old file stands, alone, and all other space is free again."""
        self.assertSameContent((self.work / "old").read_bytes(), OLD)
        with RawFTP(self.site.ftp).login("bob", "builder") as ftp:
            self.assertEqual(ftp.names(self.virtual), [b"old"])

    def test_FTP(self) -> None:
        """STOR, APPE and STOU of two megabytes: 452 or 552, and the session goes on."""
        for verb in ("STOR old", "STOR new", "APPE old", "STOU"):
            with RawFTP(self.site.ftp).login() as ftp:
                ftp.expect(250, f"CWD {self.virtual}")
                reply = ftp.store(verb, bytes(2 << 20))
                self.assertIn(reply.code, (452, 552), verb)
                ftp.expect(200, "NOOP")
                for line in ("DELE new",):
                    ftp.command(line)
        self.assertFree()

    def test_RFC913(self) -> None:
        """SIZE says no to what cannot fit, or the upload ends in C{-}."""
        with RawRFC913(self.site.rfc913).login() as client:
            for how, name in (("NEW", "new"), ("OLD", "old"), ("APP", "old")):
                with contextlib.suppress(EOFError, ConnectionError):
                    reply = client.store(how, f"{self.virtual}/{name}", bytes(2 << 20))
                    self.assertEqual(reply[:1], b"-")
        self.assertFree()

    def test_TFTP(self) -> None:
        """An upload that does not fit ends in error 3; so does one announced too large."""
        with RawTFTP(self.site.tftp) as client:
            with self.assertRaises(TFTPError) as failure:
                client.write(f"{self.virtual}/new".encode(), bytes(2 << 20))
            self.assertEqual(failure.exception.code, 3)
        with RawTFTP(self.site.tftp) as client:
            packet = client.ask(request(WRQ, f"{self.virtual}/old".encode(), tsize=2 << 20))
            self.assertEqual(packet[:4], b"\0\5\0\3")
        self.assertFree()

    def test_makingDirectories(self) -> None:
        """MKD with no space left is one clear reply."""
        (self.work / "filler").write_bytes(b"")
        with contextlib.suppress(OSError), (self.work / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(4096)):
                pass
        with RawFTP(self.site.ftp).login() as ftp:
            ftp.command(f"MKD {self.virtual}/made")
            self.assertIn(ftp.store(f"STOR {self.virtual}/new", b"x" * 5000).code, (452, 552))
        os.unlink(self.work / "filler")
