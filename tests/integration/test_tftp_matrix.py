"""
Stock TFTP clients x get and put x octet and netascii x sizes, compared by hash.

The sizes are those around a block, one block more than 16 bits can number, and 100 MB
with the clients that know larger blocks.
"""

from __future__ import annotations

from pathlib import Path

from tests.integration.harness import IntegrationTestCase, content

BLOCK = 512
SMALL = (0, 1, BLOCK - 1, BLOCK, BLOCK + 1)
#: The last block has number 65536, which is 0 on the wire.
WRAPPING = 65535 * BLOCK + 1
LARGE = 100_000_000


def text(size: int) -> bytes:
    """Lines of all lengths, with returns and line ends at every place in a block."""
    lines = b"".join(b"x" * (number % 97) + b"\r" * (number % 3) + b"\n" for number in range(3000))
    return lines[:size]


class MatrixTestCase(IntegrationTestCase):
    """One client."""

    def get(self, name: str, target: Path, mode: str) -> None:
        """Let the client fetch a file."""
        raise AssertionError("each client has its own way")

    def put(self, source: Path, name: str, mode: str) -> None:
        """Let the client store a file."""
        raise AssertionError("each client has its own way")

    def expected(self, data: bytes, mode: str) -> bytes:
        """What the client makes of a file that is served, or the server of one of its."""
        return data

    def fetch(self, data: bytes, mode: str = "octet") -> None:
        """The file comes to the client."""
        (self.work / "served").write_bytes(data)
        target = self.local / "target"
        self.get(f"{self.virtual}/served", target, mode)
        self.assertSameContent(target.read_bytes(), self.expected(data, mode))

    def store(self, data: bytes, mode: str = "octet") -> None:
        """The file comes from the client."""
        source = self.local / "source"
        source.write_bytes(self.expected(data, mode))
        self.put(source, f"{self.virtual}/stored", mode)
        self.assertSameContent((self.work / "stored").read_bytes(), data)

    def bothWays(self, *sizes: int) -> None:
        for size in sizes:
            data = content(size)
            self.fetch(data)
            self.store(data)

    def textBothWays(self) -> None:
        for size in (*SMALL, 100_000):
            self.fetch(text(size), "netascii")
            self.store(text(size), "netascii")


class TftpHpaTests(MatrixTestCase):
    """tftp-hpa."""

    def tftp(self, mode: str, *command: str | Path) -> None:
        tftp = self.requireClient("tftp")
        self.run_(tftp, "-m", mode, "127.0.0.1", str(self.site.tftp), "-c", *command, timeout=60)

    def get(self, name: str, target: Path, mode: str) -> None:
        self.tftp(mode, "get", name, target)

    def put(self, source: Path, name: str, mode: str) -> None:
        self.tftp(mode, "put", source, name)

    def test_small(self) -> None:
        """Around a block."""
        self.bothWays(*SMALL)

    def test_text(self) -> None:
        """Line ends are converted."""
        self.textBothWays()

    def test_wrapping(self) -> None:
        """Block 65536."""
        self.bothWays(WRAPPING)


class AtftpTests(MatrixTestCase):
    """atftp, and every option that it knows."""

    options: tuple[str, ...] = ()

    def atftp(self, mode: str, *command: str | Path) -> None:
        atftp = self.requireClient("atftp")
        options = [part for each in (*self.options, f"mode {mode}") for part in ("--option", each)]
        self.run_(atftp, *options, *command, "127.0.0.1", str(self.site.tftp), timeout=60)

    def get(self, name: str, target: Path, mode: str) -> None:
        self.atftp(mode, "--get", "-r", name, "-l", target)

    def put(self, source: Path, name: str, mode: str) -> None:
        self.atftp(mode, "--put", "-r", name, "-l", source)

    def test_small(self) -> None:
        """Around a block, with all sorts of blocks and windows."""
        for options in (
            (),
            ("tsize 0",),
            ("windowsize 4",),
            ("blksize 8", "windowsize 16"),
            ("blksize 511", "tsize 0", "timeout 2"),
            ("blksize 513", "windowsize 64", "tsize 0"),
            ("blksize 65464",),
        ):
            self.options = options
            self.bothWays(*SMALL)

    def test_text(self) -> None:
        """Line ends are converted."""
        self.textBothWays()

    def test_wrapping(self) -> None:
        """Block 65536, in windows."""
        self.options = ("windowsize 32",)
        self.bothWays(WRAPPING)

    def test_large(self) -> None:
        """100 MB in windows of large blocks, and in single ones."""
        for options in (("blksize 8192", "windowsize 16"), ("blksize 32768",)):
            self.options = options
            self.bothWays(LARGE)


class CurlTests(MatrixTestCase):
    """curl, which converts nothing: in netascii it has the lines as they travel."""

    options: tuple[str, ...] = ()

    def curl(self, name: str, mode: str, *options: str | Path) -> None:
        curl = self.requireClient("curl")
        url = f"tftp://127.0.0.1:{self.site.tftp}/{name};mode={mode}"
        self.run_(curl, "-sS", "--max-time", "60", *self.options, *options, url, timeout=60)

    def get(self, name: str, target: Path, mode: str) -> None:
        self.curl(name, mode, "-o", target)
        # It makes no empty files.
        target.touch()

    def put(self, source: Path, name: str, mode: str) -> None:
        self.curl(name, mode, "-T", source)

    def expected(self, data: bytes, mode: str) -> bytes:
        if mode == "octet":
            return data
        return data.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")

    def test_small(self) -> None:
        """Around a block."""
        for options in ((), ("--tftp-blksize", "8"), ("--tftp-blksize", "513")):
            self.options = options
            self.bothWays(*SMALL)

    def test_text(self) -> None:
        """The lines of a text travel with CR LF."""
        self.textBothWays()

    def test_wrapping(self) -> None:
        """Block 65536, without options."""
        self.options = ("--tftp-no-options",)
        self.bothWays(WRAPPING)

    def test_large(self) -> None:
        """100 MB in large blocks."""
        self.options = ("--tftp-blksize", "16384")
        self.bothWays(LARGE)


class BusyboxTests(MatrixTestCase):
    """busybox, which knows octet only, and repeats itself very soon."""

    blksize = 512

    def busybox(self, *options: str | Path) -> None:
        busybox = self.requireClient("busybox")
        self.run_(
            busybox, "tftp", "-b", str(self.blksize), *options,
            "127.0.0.1", str(self.site.tftp), timeout=60,
        )  # fmt: skip

    def get(self, name: str, target: Path, mode: str) -> None:
        self.busybox("-g", "-r", name, "-l", target)

    def put(self, source: Path, name: str, mode: str) -> None:
        self.busybox("-p", "-l", source, "-r", name)

    def test_small(self) -> None:
        """Around a block."""
        for self.blksize in (512, 200, 513, 65464):
            self.bothWays(*SMALL)

    def test_wrapping(self) -> None:
        """Block 65536."""
        self.bothWays(WRAPPING)

    def test_large(self) -> None:
        """100 MB in large blocks."""
        self.blksize = 16384
        self.bothWays(LARGE)
