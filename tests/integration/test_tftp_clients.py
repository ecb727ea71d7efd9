"""
TFTP clients that nobody here wrote, against the daemon, compared by hash.
"""

from pathlib import Path

from tests.integration.harness import IntegrationTestCase, content

#: Around the block size, none, one, and over some hundred blocks.
SIZES = (0, 1, 511, 512, 513, 100_000)


class TFTPClientTestCase(IntegrationTestCase):
    """One file each way for every size."""

    def get(self, name: str, target: Path) -> None:
        """Let the client fetch a file."""
        raise AssertionError("each client has its own way")

    def put(self, source: Path, name: str) -> None:
        """Let the client store a file."""
        raise AssertionError("each client has its own way")

    def bothWays(self) -> None:
        for size in SIZES:
            data = content(size)
            (self.work / f"served{size}").write_bytes(data)
            target = self.local / f"target{size}"
            self.get(f"{self.virtual}/served{size}", target)
            self.assertSameContent(target.read_bytes(), data)
            source = self.local / f"source{size}"
            source.write_bytes(content(size, "up"))
            self.put(source, f"{self.virtual}/stored{size}")
            stored = (self.work / f"stored{size}").read_bytes()
            self.assertSameContent(stored, source.read_bytes())

    def overwrite(self) -> None:
        """An upload replaces what is there, where the configuration says so."""
        (self.work / "stored").write_bytes(content(5000, "old"))
        source = self.local / "source"
        source.write_bytes(content(700, "new"))
        self.put(source, f"{self.virtual}/stored")
        self.assertSameContent((self.work / "stored").read_bytes(), source.read_bytes())


class TftpHpaTests(TFTPClientTestCase):
    """tftp-hpa: no options but tsize; modes on the command line."""

    host = "127.0.0.1"
    mode = "binary"

    def tftp(self, *command: str | Path) -> bytes:
        tftp = self.requireClient("tftp")
        done = self.run_(
            tftp, "-v", "-m", self.mode, self.host, str(self.site.tftp), "-c", *command
        )
        return done.stdout

    def get(self, name: str, target: Path) -> None:
        self.tftp("get", name, target)

    def put(self, source: Path, name: str) -> None:
        self.tftp("put", source, name)

    def test_bothWays(self) -> None:
        """Files of all sizes go up and down."""
        self.bothWays()

    def test_overwrite(self) -> None:
        """A file is replaced."""
        self.overwrite()

    def test_missing(self) -> None:
        """A missing file is error 1, with text."""
        shown = self.run_(
            self.requireClient("tftp"), "-v", self.host, str(self.site.tftp),
            "-c", "get", f"{self.virtual}/missing", self.local / "x", succeeds=False,
        ).stdout  # fmt: skip
        self.assertIn(b"Error code 1", shown)


class TftpHpaIPv6Tests(TftpHpaTests):
    """The same, over IPv6."""

    host = "::1"

    def setUp(self) -> None:
        self.requireIPv6()
        super().setUp()


class TftpHpaNetasciiTests(TFTPClientTestCase):
    """tftp-hpa converts lines itself; the wire carries CR LF."""

    def test_text(self) -> None:
        """A text goes up and down in netascii and is the same text on both sides."""
        tftp = self.requireClient("tftp")
        text = b"".join(b"line %d\r with a return\n" % number for number in range(300))
        (self.work / "served").write_bytes(text)
        source, target = self.local / "source", self.local / "target"
        source.write_bytes(text)
        where = ["127.0.0.1", str(self.site.tftp)]
        self.run_(tftp, "-m", "ascii", *where, "-c", "get", f"{self.virtual}/served", target)
        self.assertSameContent(target.read_bytes(), text)
        self.run_(tftp, "-m", "ascii", *where, "-c", "put", source, f"{self.virtual}/stored")
        self.assertSameContent((self.work / "stored").read_bytes(), text)


class AtftpTests(TFTPClientTestCase):
    """atftp: every option on request."""

    options: tuple[str, ...] = ()

    def atftp(self, *command: str | Path) -> None:
        atftp = self.requireClient("atftp")
        options = [part for option in self.options for part in ("--option", option)]
        self.run_(atftp, *options, *command, "127.0.0.1", str(self.site.tftp))

    def get(self, name: str, target: Path) -> None:
        self.atftp("--get", "--remote-file", name, "--local-file", target)

    def put(self, source: Path, name: str) -> None:
        self.atftp("--put", "--remote-file", name, "--local-file", source)

    def test_bothWays(self) -> None:
        """Files of all sizes go up and down."""
        self.bothWays()

    def test_overwrite(self) -> None:
        """A file is replaced."""
        self.overwrite()


class AtftpBlocksTests(AtftpTests):
    """With large blocks, the size and a timeout."""

    options = ("blksize 1428", "tsize 0", "timeout 3")


class CurlTests(TFTPClientTestCase):
    """curl: asks for tsize, blksize and timeout at once."""

    host = "127.0.0.1"
    options: tuple[str, ...] = ()

    def curl(self, *options: str | Path, name: str) -> None:
        curl = self.requireClient("curl")
        url = f"tftp://{self.host}:{self.site.tftp}/{name}"
        self.run_(curl, "-sS", "--max-time", "20", *self.options, *options, url)

    def get(self, name: str, target: Path) -> None:
        self.curl("-o", target, name=name)

    def put(self, source: Path, name: str) -> None:
        self.curl("-T", source, name=name)

    def test_bothWays(self) -> None:
        """Files of all sizes go up and down."""
        if not self.requireClient("curl"):
            return
        self.bothWays()

    def test_overwrite(self) -> None:
        """A file is replaced."""
        self.overwrite()

    def test_missing(self) -> None:
        """curl says that there is no such file (its exit status 68)."""
        curl = self.requireClient("curl")
        url = f"tftp://{self.host}:{self.site.tftp}/{self.virtual}/missing"
        done = self.run_(curl, "-sS", "--max-time", "20", url, succeeds=False)
        self.assertEqual(done.returncode, 68)


class CurlBlocksTests(CurlTests):
    """With large blocks."""

    options = ("--tftp-blksize", "8192")


class CurlPlainTests(CurlTests):
    """Without options, as RFC 1350 has it."""

    options = ("--tftp-no-options",)


class CurlIPv6Tests(CurlTests):
    """Over IPv6."""

    host = "[::1]"

    def setUp(self) -> None:
        self.requireIPv6()
        super().setUp()


class BusyboxTests(TFTPClientTestCase):
    """busybox: the client of boot loaders and small devices."""

    options: tuple[str, ...] = ()

    def busybox(self, *options: str | Path) -> None:
        busybox = self.requireClient("busybox")
        address = ["127.0.0.1", str(self.site.tftp)]
        self.run_(busybox, "tftp", *self.options, *options, *address)

    def get(self, name: str, target: Path) -> None:
        self.busybox("-g", "-r", name, "-l", target)

    def put(self, source: Path, name: str) -> None:
        self.busybox("-p", "-l", source, "-r", name)

    def test_bothWays(self) -> None:
        """Files of all sizes go up and down."""
        self.bothWays()

    def test_overwrite(self) -> None:
        """A file is replaced."""
        self.overwrite()


class BusyboxBlocksTests(BusyboxTests):
    """With large blocks."""

    options = ("-b", "4096")
