"""
The servers that are measured: FileHub, and what a Python programmer would use instead.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filehub.accounts.hashes import hashPassword

SOURCE: Final = Path(__file__).resolve().parent.parent
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PATIENCE: Final = 20.0

_CONFIGURATION: Final = """
[{section}]
listen = ["{listener}"]
{more}
[[mount]]
path = "/"
source = "file://{root}"
[[user]]
name = "bench"
password = "{password}"
[[user.rule]]
path = "/"
allow = "elradfmwMT"
[[network]]
address = "127.0.0.0/8"
account = "bench"
protocols = ["tftp"]
[limits]
sessions = 100000
per_address = 100000
per_user = 100000
"""

_PYFTPDLIB: Final = """
import sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer
port, root = int(sys.argv[1]), sys.argv[2]
authorizer = DummyAuthorizer()
authorizer.add_user("bench", "bench", root, perm="elradfmwMT")
FTPHandler.authorizer = authorizer
server = FTPServer(("127.0.0.1", port), FTPHandler)
server.max_cons = 100000
server.serve_forever()
"""

_TWISTED: Final = """
import sys
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from twisted.internet import reactor
from twisted.protocols.ftp import FTPFactory, FTPRealm, FTPShell, IFTPShell
from twisted.python.filepath import FilePath
port, root = int(sys.argv[1]), sys.argv[2]
class Realm(FTPRealm):
    def requestAvatar(self, avatarId, mind, *interfaces):
        return IFTPShell, FTPShell(FilePath(root)), lambda: None
checker = InMemoryUsernamePasswordDatabaseDontUse()
checker.addUser("bench", "bench")
factory = FTPFactory(Portal(Realm(root), [checker]))
factory.timeOut = None
reactor.listenTCP(port, factory, interface="127.0.0.1", backlog=4096)
reactor.run()
"""


@dataclass
class Server:
    """
    A server that runs.

    @ivar root: what it serves; the user C{bench} with the password C{bench} may do
        everything there.
    """

    name: str
    port: int
    root: Path
    process: subprocess.Popen[bytes]

    def cpu(self) -> float:
        """Seconds of processor time that it has used, its children included."""
        return sum(_cpuOf(pid) for pid in self._pids())

    def memory(self) -> int:
        """Its proportional set size, bytes."""
        total = 0
        for pid in self._pids():
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total

    def _pids(self) -> list[int]:
        found, waiting = [], [self.process.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                waiting += map(int, children.read_text().split())
        return found


def _cpuOf(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    # utime, stime, and those of children that have ended.
    return sum(map(int, fields[11:15])) / _TICKS


def freePort(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of loopback that nobody has at the moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ftpServers() -> list[str]:
    """The names of those that can be started here."""
    return ["filehub", "pyftpdlib", "twisted"]


def tftpServers() -> list[str]:
    """The same for TFTP."""
    return ["filehub", *(["tftpd-hpa"] if _tftpd() else [])]


def _tftpd() -> str | None:
    return shutil.which("in.tftpd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def running(name: str, root: Path, *, tftp: bool = False, settings: str = "") -> Iterator[Server]:
    """
    Start a server and end it afterwards.

    @param settings: further tables for FileHub.

    @raise RuntimeError: it does not listen.
    """
    port = freePort(socket.SOCK_DGRAM if tftp else socket.SOCK_STREAM)
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    process = subprocess.Popen(
        _command(name, port, root, settings, tftp=tftp),
        cwd=root.parent,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _await(process, port, tftp=tftp)
        yield Server(name, port, root, process)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _command(name: str, port: int, root: Path, settings: str, *, tftp: bool) -> list[str]:
    if name == "filehub":
        twistd = Path(sysconfig.get_path("scripts")) / "twistd"
        file = root.parent / "filehub.toml"
        listener = f"udp:{port}" if tftp else f"tcp:{port}"
        file.write_text(
            _CONFIGURATION.format(
                section="tftp" if tftp else "ftp",
                listener=f"{listener}:interface=127.0.0.1",
                more='write = "overwrite"' if tftp else "",
                root=root,
                password=hashPassword(b"bench"),
            )
            + settings
        )
        words = [sys.executable, str(twistd), "-n", "--pidfile=", "filehub"]
        return [*words, "--config", str(file)]
    if name == "tftpd-hpa":
        address = f"127.0.0.1:{port}"
        return [str(_tftpd()), "-L", "-s", "-u", "root", "-a", address, str(root)]
    script = {"pyftpdlib": _PYFTPDLIB, "twisted": _TWISTED}[name]
    return [sys.executable, "-c", script, str(port), str(root)]


def _await(process: subprocess.Popen[bytes], port: int, *, tftp: bool) -> None:
    table = "/proc/net/udp" if tftp else "/proc/net/tcp"
    wanted = f"0100007F:{port:04X}"
    limit = time.monotonic() + _PATIENCE
    while time.monotonic() < limit:
        if process.poll() is not None:
            raise RuntimeError(f"it exited with {process.returncode}")
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1] == wanted and fields[3] in ("0A", "07"):
                return
        time.sleep(0.02)
    raise RuntimeError("it does not listen")
