"""
Files that go from one server to another: two daemons, our own client and lftp.
"""

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from filehub.protocols.ftp.client import FTPClient
from filehub.protocols.ftp.fxp import copyDirectly
from filehub.transfer.tlsclient import ServerTrust
from tests.integration.harness import (
    ANSWER,
    IntegrationTestCase,
    Site,
    content,
)
from tests.integration.rawftp import RawFTP

#: Two servers on addresses of their own, neither of which is the client's.
FIRST, SECOND = "127.0.0.21", "127.0.0.22"
ALLOWED = 'allow_fxp = ["127.0.0.16/28"]'


def pair(ftp: str = ALLOWED, **sections: Any) -> list[Site]:
    """Two daemons that may exchange files."""
    return [Site(ftp=ftp, addresses=[each], **sections) for each in (FIRST, SECOND)]


class PlainTests(IntegrationTestCase):
    """Without TLS."""

    def makeSite(self) -> Site:
        return self.newSite(ftp=ALLOWED, addresses=["127.0.0.1", FIRST])

    def setUp(self) -> None:
        super().setUp()
        self.other = Site(ftp=ALLOWED, addresses=["127.0.0.1", SECOND])
        self.addCleanup(self.other.stop)
        self.data = content(3_000_000)
        (self.work / "file").write_bytes(self.data)

    def test_byHand(self) -> None:
        """PASV here, PORT there: the file moves; the other way round it moves back."""
        source = RawFTP(self.site.ftp, FIRST).login()
        target = RawFTP(self.other.ftp, SECOND).login()
        self.addCleanup(source.close)
        self.addCleanup(target.close)
        for first, second, name, copy in (
            (source, target, f"{self.virtual}/file", "/copy"),
            (target, source, "/copy", f"{self.virtual}/back"),
        ):
            host, port = second.passiveAddress()
            first.expect(200, f"PORT {host.replace('.', ',')},{port >> 8},{port & 255}")
            second.send(f"STOR {copy}\r\n")
            first.send(f"RETR {name}\r\n")
            first.final(226)
            second.final(226)
        self.assertSameContent((self.other.root / "copy").read_bytes(), self.data)
        self.assertSameContent((self.work / "back").read_bytes(), self.data)

    def test_limits(self) -> None:
        """Privileged ports and other networks are refused as ever, and get no connection."""
        with RawFTP(self.site.ftp, FIRST).login() as ftp:
            ftp.expect(504, "PORT 127,0,0,22,0,25")
            ftp.expect(501, "PORT 127,0,0,99,200,1")
            with socket.socket() as stranger:
                stranger.settimeout(ANSWER)
                stranger.bind(("127.0.0.99", 0))
                stranger.connect(ftp.passiveAddress())
                try:
                    self.assertEqual(stranger.recv(1), b"")
                except ConnectionResetError:
                    pass

    def test_lftp(self) -> None:
        """lftp, told to use nothing else."""
        lftp = self.requireClient("lftp")
        output = self.run_(
            lftp, "-c",
            "set ftp:use-fxp yes; set ftp:fxp-force yes; set net:timeout 8; set net:max-retries 1;"
            " set ftp:ssl-allow no; set ftp:use-site-utime2 no;"
            f" mirror ftp://ada:lovelace@{FIRST}:{self.site.ftp}{self.virtual}"
            f" ftp://ada:lovelace@{SECOND}:{self.other.ftp}/mirrored",
        ).stdout  # fmt: skip
        copied = self.other.root / "mirrored" / "file"
        self.assertTrue(copied.exists(), output)
        self.assertSameContent(copied.read_bytes(), self.data)


class ProtectedTests(TestCase):
    """With TLS, by FileHub's own client."""

    timeout = 60

    def setUp(self) -> None:
        self.sites = pair(ALLOWED + '\ntls_sessions = "require"', tls=True)
        for site in self.sites:
            self.addCleanup(site.stop)
        self.data = content(3_000_000)
        (self.sites[0].root / "file").write_bytes(self.data)

    async def connect(self, site: Site, host: str) -> FTPClient:
        client = await FTPClient.connect(
            reactor, host, site.ftp, tls="explicit", trust=ServerTrust(insecure=True)
        )
        await client.login("ada", "lovelace")
        self.addCleanup(client.abort)
        return client

    async def test_copy(self) -> None:
        """
        By SSCN on either side and by CPSV: whole, with neither resuming anything, which is
        demanded of clients only.
        """
        await Deferred.fromCoroutine(self._copies())

    async def _copies(self) -> None:
        for number, known in enumerate(({"SSCN": 0}, {"SSCN": 1}, {"CPSV": 1})):
            source = await self.connect(self.sites[0], FIRST)
            target = await self.connect(self.sites[1], SECOND)
            for index, client in enumerate((source, target)):
                for feature in ("SSCN", "CPSV"):
                    self.assertIn(feature, client.features)
                    if known.get(feature) != index:
                        del client.features[feature]
            name = f"copy{number}"
            await copyDirectly(source, "file", target, name)
            self.assertEqual((self.sites[1].root / name).read_bytes(), self.data)
            # Both go on, as servers to their client.
            self.assertIn("file", [each.name for each in await source.list()])
            await source.quit()
            await target.quit()


class ProtectedLftpTests(IntegrationTestCase):
    """With TLS, by lftp."""

    def makeSite(self) -> Site:
        return self.newSite(ftp=ALLOWED, addresses=["127.0.0.1", FIRST], tls=True)

    def test_lftp(self) -> None:
        """lftp with ssl-use-fxp moves a folder between two servers."""
        lftp = self.requireClient("lftp")
        other = Site(ftp=ALLOWED, addresses=["127.0.0.1", SECOND], tls=True)
        self.addCleanup(other.stop)
        data = content(1_000_000)
        (self.work / "file").write_bytes(data)
        output = self.run_(
            lftp, "-c",
            "set ftp:use-fxp yes; set ftp:fxp-force yes; set ftp:ssl-use-fxp yes;"
            " set ftp:ssl-protect-fxp yes; set ftp:ssl-force yes; set ssl:verify-certificate no;"
            " set net:timeout 8; set net:max-retries 1; set ftp:use-site-utime2 no;"
            f" mirror ftp://ada:lovelace@{FIRST}:{self.site.ftp}{self.virtual}"
            f" ftp://ada:lovelace@{SECOND}:{other.ftp}/mirrored",
        ).stdout  # fmt: skip
        copied = other.root / "mirrored" / "file"
        self.assertTrue(copied.exists(), output)
        self.assertSameContent(copied.read_bytes(), data)
