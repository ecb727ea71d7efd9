"""
C{python -m benchmarks.throughput}: one large file, down and up.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.clients import FTP, STEP
from benchmarks.report import main
from benchmarks.servers import Server, ftpServers

MEBIBYTES = 1024


def prepare(root: Path) -> None:
    with (root / "large").open("wb") as file:
        for _ in range(MEBIBYTES):
            file.write(bytes(STEP))


def download(server: Server) -> float:
    with FTP(server.port) as session:
        assert session.login().retrieve("RETR large") == MEBIBYTES * STEP
    return MEBIBYTES


def upload(server: Server) -> float:
    with FTP(server.port) as session:
        session.login().store("STOR new", bytes(STEP), MEBIBYTES)
    assert (server.root / "new").stat().st_size == MEBIBYTES * STEP
    return MEBIBYTES


if __name__ == "__main__":
    main(
        "Throughput: one file of 1 GiB",
        ftpServers(),
        prepare,
        [("download", download, "MiB"), ("upload", upload, "MiB")],
    )
