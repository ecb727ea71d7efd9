"""
C{python -m benchmarks.listing}: a directory of 50,000 files.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.clients import FTP
from benchmarks.report import main
from benchmarks.servers import Server, ftpServers

ENTRIES = 50_000


def prepare(root: Path) -> None:
    for number in range(ENTRIES):
        (root / f"file-{number:06}.dat").touch()


def _clock() -> Iterator[float]:
    while True:
        yield time.perf_counter()


def listing(server: Server) -> float:
    with FTP(server.port) as session:
        session.login()
        # The first one fills whatever the kernel and the server remember.
        for _ in range(3):
            start = time.perf_counter()
            first, total = session.firstByte("LIST", _clock())
            assert total > ENTRIES * 60, total
        print(f"    {server.name}: first byte after {(first - start) * 1e3:.1f} ms")
    return 3 * ENTRIES


if __name__ == "__main__":
    main(
        "Listing: LIST of 50,000 entries",
        ftpServers(),
        prepare,
        [("list", listing, "")],
    )
