"""
C{python -m benchmarks.guessing}: what somebody who guesses passwords costs the others.

One session says NOOP, fetches 4 KiB, and another client logs in now and then, from one
address; from another address as many sessions as an address may have guess, all the
time.  Each kind of attack is measured in slices that alternate with as many without it.
The server has a processor of its own, its threads included; clients and attacker share
another, where the attacker has what the clients leave.
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


def guess(port: int, failed: Any, rate: float) -> None:
    """Guess until the process is ended, at so many connections a second; half the names exist."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
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
            following = max(following, now - 0.1) + 1 / rate
        for key, _ in selector.select(0.002 if waiting else None):
            if key.data.read():
                waiting.append(key.data)


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


#: Milliseconds, by what was done.
Times = dict[str, list[float]]


def use(port: int, session: FTP, seconds: float) -> Times:
    """Be another user for a while; nobody waits for long who is in no hurry."""
    times: Times = {"NOOP": [], "RETR": [], "login": []}
    end = time.monotonic() + seconds
    count = 0
    while time.monotonic() < end:
        count += 1
        times["NOOP"].append(1e3 * timed(lambda: session.say("NOOP", b"200")))
        if count % 10 == 0:
            times["RETR"].append(1e3 * timed(lambda: session.retrieve("RETR small")))
        if count % 50 == 0:
            times["login"].append(1e3 * timed(lambda: _logIn(port)))
        time.sleep(0.002)
    return times


def _logIn(port: int) -> None:
    with FTP(port) as client:
        client.login()


def _divide(server: int) -> None:
    """A processor for the server, another for this process and its children."""
    first, *others = sorted(os.sched_getaffinity(0))
    if others:
        for thread in Path(f"/proc/{server}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {first})
        os.sched_setaffinity(0, set(others[:1]))


def measure(settings: str, options: argparse.Namespace) -> None:
    """Print what one kind of attack does."""
    rounds: list[tuple[Times, Times]] = []
    failed = Value("q", 0)
    allowed = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        root = Path(place) / "root"
        root.mkdir()
        (root / "small").write_bytes(bytes(4096))
        with running("filehub", root, settings=settings) as server:
            session = FTP(server.port).login()
            _divide(server.process.pid)
            use(server.port, session, 0.5)
            spent = [0.0, 0.0]
            for _ in range(options.rounds):
                before = server.cpu()
                quiet = use(server.port, session, options.slice)
                spent[0] += server.cpu() - before
                attacker = Process(
                    target=guess, args=(server.port, failed, options.rate), daemon=True
                )
                attacker.start()
                before = server.cpu()
                rounds.append((quiet, use(server.port, session, options.slice)))
                spent[1] += server.cpu() - before
                attacker.kill()
                attacker.join()
                # Checks that are under way end.
                time.sleep(0.2)
    os.sched_setaffinity(0, allowed)
    seconds = options.rounds * options.slice
    print(f"  {failed.value} failed logins in {seconds:.0f} s; the server's processor is busy for")
    print(f"  {spent[0] / seconds:.1%} of the time without and {spent[1] / seconds:.1%} with them")
    for what in ("NOOP", "RETR", "login"):
        _show(what, [(quiet[what], attacked[what]) for quiet, attacked in rounds])


def _show(what: str, rounds: list[tuple[list[float], list[float]]]) -> None:
    for name, figure in (("p50", 0.5), ("p99", 0.99), ("mean", None)):
        quiet, attacked = (
            _figure([time for each in rounds for time in each[which]], figure) for which in (0, 1)
        )
        each = "  ".join(
            f"{_figure(one, figure):.3f} {_figure(two, figure):.3f}" for one, two in rounds
        )
        change = attacked / quiet - 1
        print(f"  {what:<6} {name:<4} {quiet:8.3f} -> {attacked:8.3f} ms ({change:+4.0%})   {each}")


def _figure(times: list[float], part: float | None) -> float:
    if part is None:
        return statistics.fmean(times)
    return sorted(times)[min(len(times) - 1, int(len(times) * part))]


def main() -> None:
    """Every attack."""
    parser = argparse.ArgumentParser(description="What guessing passwords costs others")
    parser.add_argument("--rounds", type=int, default=4, help="without and with (%(default)s)")
    parser.add_argument("--slice", type=float, default=1.5, help="seconds of each (%(default)s)")
    parser.add_argument(
        "--rate", type=float, default=250.0, help="connections a second at the most (%(default)s)"
    )
    parser.add_argument("--folder", default="/dev/shm", help="where files lie (%(default)s)")
    parser.add_argument("--case", choices=sorted(CASES), action="append")
    options = parser.parse_args()
    for name in options.case or CASES:
        print(name)
        measure(CASES[name], options)


if __name__ == "__main__":
    main()
