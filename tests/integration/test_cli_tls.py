"""
The C{filehub} command over FTPS: which servers it believes, and what then moves.
"""

import sys
from pathlib import Path

from filehub.certificates import CertificateStore
from tests.integration.harness import IntegrationTestCase, Site, content

CLIENT = (sys.executable, "-c", "from filehub.cli.main import main; main()")
DATA = content(2_000_000, "client over TLS")
#: The exit status for a server that cannot be believed.
DISBELIEVED = 7


class TrustTests(IntegrationTestCase):
    """The server's certificate is signed by nobody but itself, for C{files.test}."""

    def makeSite(self) -> Site:
        return self.newSite(tls=True)

    def filehub(self, *arguments: str | Path) -> int:
        done = self.run_(*CLIENT, *arguments, succeeds=False, FILEHUB_PASSWORD="lovelace")
        self.assertNotIn(b"Traceback", done.stdout)
        return done.returncode

    def urls(self, name: str) -> list[str]:
        """The same file by AUTH TLS and by implicit TLS."""
        return [
            f"ftpes://ada@127.0.0.1:{self.site.ftp}/{self.virtual}/{name}",
            f"ftps://ada@127.0.0.1:{self.site.ftps}/{self.virtual}/{name}",
        ]

    def test_strangersAreNotBelieved(self) -> None:
        """Without a word about it, or with another's fingerprint, nothing is said to the server."""
        (self.work / "file").write_bytes(DATA)
        for url in self.urls("file"):
            self.assertEqual(self.filehub("get", url, self.local / "x"), DISBELIEVED)
            self.assertEqual(
                self.filehub("get", "--pin", "00" * 32, url, self.local / "x"), DISBELIEVED
            )
        self.assertFalse((self.local / "x").exists())

    def test_bothWays(self) -> None:
        """With --insecure, files go up and down encrypted, byte for byte."""
        (self.local / "up").write_bytes(DATA)
        for number, url in enumerate(self.urls("stored")):
            self.assertEqual(self.filehub("put", "--insecure", self.local / "up", url), 0)
            self.assertSameContent((self.work / "stored").read_bytes(), DATA)
            back = self.local / f"back{number}"
            self.assertEqual(self.filehub("get", "--insecure", url, back), 0)
            self.assertSameContent(back.read_bytes(), DATA)
            (self.work / "stored").unlink()

    def test_wrongName(self) -> None:
        """A certificate that is believed, but is for another name, is refused."""
        (self.work / "file").write_bytes(DATA)
        authority = self.site.folder / "server.pem"
        for url in self.urls("file"):
            self.assertEqual(
                self.filehub("get", "--verify-ca", authority, url, self.local / "x"), DISBELIEVED
            )

    def test_pin(self) -> None:
        """Exactly the pinned certificate is believed, whatever name it bears."""
        (self.work / "file").write_bytes(DATA)
        pin = CertificateStore(self.site.folder / "server.pem").default.fingerprint
        for number, url in enumerate(self.urls("file")):
            target = self.local / f"pinned{number}"
            self.assertEqual(self.filehub("get", "--pin", pin, url, target), 0)
            self.assertSameContent(target.read_bytes(), DATA)
