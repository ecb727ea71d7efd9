"""
Quotas over several processes.
"""

from __future__ import annotations

import os
import signal

from tests.integration import test_quota as single
from tests.integration import test_transfer_quota as moved
from tests.integration.harness import IntegrationTestCase, Site, content, until
from tests.integration.rawftp import RawFTP, drain
from tests.integration.test_quota import LIMIT, QuotaCommand
from tests.integration.test_workers import childrenOf


class WorkersQuotaTests(QuotaCommand, IntegrationTestCase):
    """The quota of 4 MiB, over two processes."""

    def makeSite(self) -> Site:
        return self.newSite(
            server="workers = 2",
            mount=f"quota = {LIMIT}\nquota_files = 40",
            limits="per_user = 100\nper_address = 100",
        )

    stored = single.QuotaTests.stored
    store = single.QuotaTests.store
    test_parallel = single.QuotaTests.test_parallel
    test_protocols = single.QuotaTests.test_protocols

    def parent(self) -> int:
        """The process that watches, when there is something to watch."""
        number = self.site.daemon.process.pid
        until(lambda: len(childrenOf(number)) == 2, "two workers run")
        return number

    def test_resumed(self) -> None:
        """A part that one process keeps is counted, found and continued by the other."""
        half = content(LIMIT // 2)
        first = RawFTP(self.site.ftp).login()
        connection = first.passive()
        first.command(f"STOR {self.virtual}/file")
        connection.sendall(half)
        until(lambda: self.store(f"{self.virtual}/other", LIMIT // 2 + 1) == 552, "it has come")
        first.close()
        connection.close()
        for _ in range(6):
            # Whichever process it is that has them.
            code = self.store(f"{self.virtual}/other", LIMIT // 2 + 1)
            self.assertEqual(code, 552)
        with RawFTP(self.site.ftp).login() as ftp:
            ftp.expect(350, f"REST {len(half) // 2}")
            reply = ftp.store(f"STOR {self.virtual}/file", half[len(half) // 2 :])
            self.assertEqual(reply.code, 226)
        self.assertSameContent((self.work / "file").read_bytes(), half)
        self.site.daemon.stop()
        self.assertEqual(self.command("check")[0], 0, self.command("check")[1])

    def test_workerDies(self) -> None:
        """What a killed worker had set aside is given back when nothing is under way."""
        parent = self.parent()
        ftp = RawFTP(self.site.ftp).login()
        self.addCleanup(ftp.close)
        connection = ftp.passive()
        ftp.command(f"ALLO {LIMIT}")
        self.addCleanup(connection.close)
        self.assertEqual(ftp.command(f"STOR {self.virtual}/lost").code, 150)
        connection.sendall(bytes(LIMIT - 1000))
        until(lambda: self.store(f"{self.virtual}/more", LIMIT // 2) == 552, "it is set aside")
        killed = childrenOf(parent)
        for worker in killed:
            os.kill(worker, signal.SIGKILL)
        until(lambda: len(childrenOf(parent) - killed) == 2, "others begin")
        until(lambda: "(was 4194304, " in self.site.daemon.log(), "somebody looks")
        self.assertEqual(self.store(f"{self.virtual}/kept", LIMIT // 2), 226)
        self.assertEqual(self.stored(), LIMIT // 2)
        self.site.daemon.stop()
        self.assertIn(f"/: {LIMIT // 2} bytes", self.command("check")[1])
        counted = self.site.daemon.log().count("usage of /:")
        self.site.start()
        self.assertEqual(self.store(f"{self.virtual}/more", LIMIT // 2 + 1), 552)
        self.assertEqual(self.site.daemon.log().count("usage of /:"), counted)


class WorkersTransferTests(IntegrationTestCase):
    """Transfer quotas of 8 MiB each way, over two processes."""

    def makeSite(self) -> Site:
        limits = f"upload_quota = {moved.LIMIT}\ndownload_quota = {moved.LIMIT}\n"
        return self.newSite(server="workers = 2", limits=moved.ROOMY + limits)

    together = moved.EdgeTests.together
    test_downloads = moved.EdgeTests.test_downloads
    test_uploads = moved.EdgeTests.test_uploads
    test_protocols = moved.EdgeTests.test_protocols

    def counted(self) -> int:
        """What was downloaded, as any of the processes has it."""
        with RawFTP(self.site.ftp).login() as ftp:
            (line,) = (
                each
                for each in str(ftp.command("SITE QUOTA")).splitlines()
                if "Downloaded (user ada)" in each
            )
            return int(line.split()[3])

    def test_killed(self) -> None:
        """What a killed worker, or a killed server, has sent counts; what it held does not."""
        parent = self.site.daemon.process.pid
        until(lambda: len(childrenOf(parent)) == 2, "two workers run")
        (self.work / "file").write_bytes(bytes(6 * moved.MIB))
        ftp = RawFTP(self.site.ftp).login()
        self.addCleanup(ftp.close)
        connection = ftp.passive()
        ftp.expect(150, f"RETR {self.virtual}/file")
        got = 0
        while got < moved.MIB:
            got += len(connection.recv(1 << 16))
        killed = childrenOf(parent)
        for worker in killed:
            os.kill(worker, signal.SIGKILL)
        got += len(drain(connection))
        until(lambda: len(childrenOf(parent) - killed) == 2, "others begin")
        for _ in range(4):
            self.assertTrue(got <= self.counted() <= got + moved.MIB)
        for worker in (parent, *childrenOf(parent)):
            os.kill(worker, signal.SIGKILL)
        self.site.daemon.kill()
        self.site.start()
        self.assertTrue(got <= self.counted() <= got + moved.MIB)
        self.assertNotIn("not closed properly", self.site.daemon.log())
