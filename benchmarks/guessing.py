"""
C{python -m benchmarks.guessing}: what somebody who guesses passwords costs the others.

One session says NOOP, fetches 4 KiB, and another client logs in now and then, from one
address; from another address as many sessions as an address may have guess, all the
time.  Each kind of attack is measured in slices that alternate with as many without it.
"""

from __future__ import annotations

import argparse
import os
import selectors
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing import Process, Value
from pathlib import Path
from typing import Any, Final

from benchmarks.clients import FTP
from benchmarks.servers import running

#: Where guesses come from; the others are at 127.0.0.1.
ATTACKER: Final = "127.0.0.2"
#: As C{limits.per_address}.
SESSIONS: Final = 20
#: Connections a second at the most, of an attacker whom nobody lets in.
KNOCKS: Final = 250.0

#: What each attack meets.
CASES: Final = {
    "banned": "[ban]\nexempt = []\n",
    "no ban": "[ban]\nexempt = []\nattempts = 0\n",
    "no ban, no delay": "[ban]\nexempt = []\nattempts = 0\ndelay = 0\n",
}


class Guesser:
    """One session after the other, each until it is thrown out."""

    def __init__(self, selector: selectors.BaseSelector, port: int, failed: Any, known: str):
        self._selector = selector
        self._port = port
        self._failed = failed
        self._user = b"USER %s\r\n" % known.encode()
        self._socket: socket.socket | None = None
        self._number = 0

    def connect(self) -> None:
        """Begin a session."""
        self._socket = socket.socket()
        self._socket.bind((ATTACKER, 0))
        self._socket.setblocking(False)
        self._socket.connect_ex(("127.0.0.1", self._port))
        self._selector.register(self._socket, selectors.EVENT_READ, self)

    def read(self) -> bool:
        """Answer what has come; is the session over?"""
        assert self._socket is not None
        try:
            data = self._socket.recv(4096)
            if data.startswith(b"220"):
                self._socket.sendall(self._user)
            elif data.startswith(b"331"):
                self._number += 1
                self._socket.sendall(b"PASS wrong%d\r\n" % self._number)
            elif data.startswith(b"530"):
                self._failed.value += 1
                self._socket.sendall(self._user)
        except OSError:
            data = b""
        if data and not data.startswith(b"421"):
            return False
        self._failed.value += 1
        self._selector.unregister(self._socket)
        self._socket.close()
        self._socket = None
        return True


def guess(port: int, failed: Any) -> None:
    """Guess until the process is ended; half the names exist."""
    os.nice(10)
    selector = selectors.DefaultSelector()
    waiting = [
        Guesser(selector, port, failed, "bench" if number % 2 else "nobody")
        for number in range(SESSIONS)
    ]
    following = time.monotonic()
    while True:
        now = time.monotonic()
        while waiting and following <= now:
            waiting.pop().connect()
            following = max(following, now - 0.02) + 1 / KNOCKS
        for key, _ in selector.select(0.01 if waiting else None):
            if key.data.read():
                waiting.append(key.data)


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def use(port: int, session: FTP, seconds: float, times: dict[str, list[float]]) -> None:
    """Be another user for a while; nobody waits for long who is in no hurry."""
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        count += 1
        times["NOOP"].append(timed(lambda: session.say("NOOP", b"200")))
        if count % 10 == 0:
            times["RETR"].append(timed(lambda: session.retrieve("RETR small")))
        if count % 100 == 0:
            times["login"].append(timed(lambda: _logIn(port)))
        time.sleep(0.002)


def _logIn(port: int) -> None:
    with FTP(port) as client:
        client.login()


def measure(settings: str, seconds: float, folder: str) -> None:
    """Print what one kind of attack does."""
    quiet: dict[str, list[float]] = {"NOOP": [], "RETR": [], "login": []}
    attacked: dict[str, list[float]] = {"NOOP": [], "RETR": [], "login": []}
    failed = Value("q", 0)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        root = Path(place) / "root"
        root.mkdir()
        (root / "small").write_bytes(bytes(4096))
        with running("filehub", root, settings=settings) as server:
            session = FTP(server.port).login()
            use(server.port, session, 0.5, {"NOOP": [], "RETR": [], "login": []})
            spent = 0.0
            while spent < seconds:
                use(server.port, session, 1.0, quiet)
                attacker = Process(target=guess, args=(server.port, failed), daemon=True)
                attacker.start()
                time.sleep(0.3)
                use(server.port, session, 2.0, attacked)
                attacker.kill()
                attacker.join()
                # Checks that are under way end, and delays run out.
                time.sleep(0.2)
                spent += 3.5
    print(f"  {failed.value} failed logins")
    for what in quiet:
        shown = []
        for times in (quiet[what], attacked[what]):
            ordered = sorted(times)
            mean = statistics.fmean(times) * 1e3
            middle, late = ordered[len(ordered) // 2] * 1e3, ordered[-len(ordered) // 100] * 1e3
            shown.append((middle, mean, late))
        (p50, mean, p99), (p50a, meanA, p99A) = shown
        print(
            f"  {what:<6} p50 {p50:8.3f} -> {p50a:8.3f} ms ({p50a / p50 - 1:+.0%})"
            f"   mean {mean:8.3f} -> {meanA:8.3f} ({meanA / mean - 1:+.0%})"
            f"   p99 {p99:8.3f} -> {p99A:8.3f}"
        )


def main() -> None:
    """Every attack."""
    parser = argparse.ArgumentParser(description="What guessing passwords costs others")
    parser.add_argument("--seconds", type=float, default=11.0, help="for each (%(default)s)")
    parser.add_argument("--folder", default="/dev/shm", help="where files lie (%(default)s)")
    parser.add_argument("--case", choices=sorted(CASES), action="append")
    options = parser.parse_args()
    for name in options.case or CASES:
        print(name)
        measure(CASES[name], options.seconds, options.folder)


if __name__ == "__main__":
    main()
