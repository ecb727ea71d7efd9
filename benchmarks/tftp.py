"""
C{python -m benchmarks.tftp}: large files with and without windows, and small ones.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.clients import TFTP
from benchmarks.report import Case, main
from benchmarks.servers import Server, tftpServers

MEBIBYTES = 64
FILES = 1000


def prepare(root: Path) -> None:
    (root / "large").write_bytes(bytes(MEBIBYTES << 20))
    (root / "small").write_bytes(bytes(1024))


def read(blksize: int, window: int) -> Case:
    def work(server: Server) -> float:
        assert TFTP(server.port).read("large", blksize, window) == MEBIBYTES << 20
        return MEBIBYTES

    return f"read, {blksize} bytes", work, "MiB"


def write(server: Server) -> float:
    (server.root / "new").touch()
    (server.root / "new").chmod(0o666)
    TFTP(server.port).write("new", MEBIBYTES << 20, 1428)
    return MEBIBYTES


def small(server: Server) -> float:
    for _ in range(FILES):
        assert TFTP(server.port).read("small", 512) == 1024
    return FILES


if __name__ == "__main__":
    main(
        "TFTP: a file of 64 MiB, and files of 1 KiB",
        tftpServers(),
        prepare,
        [
            read(1428, 1),
            read(8192, 1),
            ("write, 1428 bytes", write, "MiB"),
            ("small files", small, "file"),
        ],
        tftp=True,
    )
