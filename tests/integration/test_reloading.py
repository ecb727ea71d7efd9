"""
A new configuration for a daemon that is at work.
"""

from __future__ import annotations

import signal

from tests.integration.harness import IntegrationTestCase, Site, content, until
from tests.integration.rawftp import RawFTP


class ReloadTests(IntegrationTestCase):
    """SIGHUP, and a file that changes by itself."""

    def makeSite(self) -> Site:
        return self.newSite()

    def replace(self, old: str, new: str) -> None:
        """Another file."""
        text = self.site.configuration.read_text()
        self.assertIn(old, text)
        self.site.configuration.write_text(text.replace(old, new))

    def hangUp(self, expected: str) -> None:
        """Ask for it, and wait for the answer in the log."""
        before = self.site.daemon.log().count(expected)
        self.site.daemon.process.send_signal(signal.SIGHUP)
        until(lambda: self.site.daemon.log().count(expected) > before, expected)

    def test_underWay(self) -> None:
        """
        An upload goes on through good files and bad ones; who is disabled is sent away;
        who is new gets in.
        """
        payload = content(300_000)
        ada = RawFTP(self.site.ftp).login()
        bob = RawFTP(self.site.ftp).login("bob", "builder")
        self.addCleanup(ada.close)
        self.addCleanup(bob.close)
        data = ada.passive()
        ada.command(f"STOR {self.virtual}/file")
        data.sendall(payload[:100_000])
        good = self.site.configuration.read_text()
        self.replace('name = "bob"', 'name = "eve"')
        self.hangUp("was read again")
        self.assertEqual(bob.reply().code, 421)
        RawFTP(self.site.ftp).login("eve", "builder").close()
        data.sendall(payload[100_000:200_000])
        self.replace("[server]", "[sever]")
        self.hangUp("was not taken")
        self.assertIn("found an unknown key", self.site.daemon.log())
        RawFTP(self.site.ftp).login("eve", "builder").close()
        data.sendall(payload[200_000:])
        data.close()
        self.assertEqual(ada.reply().code, 226)
        self.assertSameContent((self.work / "file").read_bytes(), payload)
        self.site.configuration.write_text(good)
        count = self.site.daemon.log().count("was read again")
        until(lambda: self.site.daemon.log().count("was read again") > count, "it notices")
        RawFTP(self.site.ftp).login("bob", "builder").close()

    def test_often(self) -> None:
        """A hundred times in a row: nothing grows, and the next login works."""
        self.hangUp("was read again")
        before = self.site.daemon.descriptors()
        for _ in range(100):
            self.site.daemon.process.send_signal(signal.SIGHUP)
        self.hangUp("was read again")
        self.assertLessEqual(self.site.daemon.descriptors(), before + 1)
        RawFTP(self.site.ftp).login().close()
