"""
C{python -m benchmarks.sessions}: what an idle session costs, and those beside it.
"""

from __future__ import annotations

import resource
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.clients import FTP
from benchmarks.report import main
from benchmarks.servers import Server, ftpServers

#: From one address, which FileHub's embedded defaults let have them all.
SESSIONS = 900
REPLIES = 2000


def prepare(root: Path) -> None:
    (root / "small").write_bytes(bytes(4096))


def idle(server: Server) -> float:
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    with ExitStack() as stack:
        stack.enter_context(FTP(server.port)).login()
        before = server.memory()
        for _ in range(SESSIONS):
            stack.enter_context(FTP(server.port)).login()
        each = (server.memory() - before) / SESSIONS
        active = stack.enter_context(FTP(server.port)).login()
        times = []
        for _ in range(REPLIES):
            start = time.perf_counter()
            active.say("NOOP", b"200")
            times.append(time.perf_counter() - start)
        slow = sorted(times)[-REPLIES // 100]
        print(f"    {server.name}: {each / 1024:.1f} KiB each; NOOP p99 {slow * 1e6:.0f} us")
    return SESSIONS


if __name__ == "__main__":
    main("Sessions: many that are idle", ftpServers(), prepare, [("idle", idle, "")])
