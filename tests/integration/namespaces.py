"""
Networks of a test's own: what is configured in one changes nothing on this machine.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SkipTest

from tests.integration.harness import ANSWER, until

#: From C{linux/sched.h}; what a thread is to get another of.
_CLONE_NEWNET = 0x40000000


class Namespace:
    """
    A network namespace, with C{lo} up.  It lives as long as a process of ours that waits
    for its input to end, so it goes with the test, however that ends.

    @ivar prefix: runs the command that follows inside.
    @ivar process: the number of that process; C{ip(8)} knows the namespace by it.
    """

    def __init__(self) -> None:
        """
        @raise SkipTest: this machine does not allow it.
        """
        if os.geteuid() != 0:
            raise SkipTest("only root can make a network namespace")
        if shutil.which("ip") is None:
            raise SkipTest("iproute2 is not installed")
        self._holder = subprocess.Popen(
            ["unshare", "--net", "cat"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.process = self._holder.pid
        self._path = f"/proc/{self.process}/ns/net"
        until(self._settled, "a network namespace")
        if self._holder.poll() is not None:
            _, reason = self._holder.communicate()
            raise SkipTest(f"no network namespace: {reason.decode(errors='replace').strip()}")
        self.prefix = ["nsenter", f"--net={self._path}", "--"]
        self.ip("link", "set", "lo", "up")

    def _settled(self) -> bool:
        """Is the process in a network of its own, or has it failed?"""
        try:
            theirs = os.readlink(self._path)
        except OSError:
            return self._holder.poll() is not None
        return theirs != os.readlink("/proc/self/ns/net")

    def ip(self, *arguments: str) -> None:
        """
        Configure it as C{ip(8)} does.

        @raise SkipTest: the kernel lacks what is asked for.
        """
        done = subprocess.run(
            [*self.prefix, "ip", *arguments], capture_output=True, timeout=ANSWER, check=False
        )
        if done.returncode != 0:
            reason = done.stderr.decode(errors="replace").strip()
            raise SkipTest(f"ip {' '.join(arguments)}: {reason}")

    def tap(self, name: str, address: str) -> None:
        """
        An interface whose other end is held by a program.

        @param address: with the length of the prefix.
        """
        if not Path("/dev/net/tun").exists():
            raise SkipTest("no /dev/net/tun on this machine")
        self.ip("tuntap", "add", name, "mode", "tap")
        self.ip("addr", "add", address, "dev", name, *(["nodad"] if ":" in address else []))
        self.ip("link", "set", name, "up")

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Sockets that this thread makes meanwhile are inside, and stay there."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net") as outside, open(self._path) as inside:
            _setNamespace(libc, inside.fileno())
            try:
                yield
            finally:
                _setNamespace(libc, outside.fileno())

    def close(self) -> None:
        """Idempotent; what still runs inside keeps it."""
        if self._holder.poll() is None:
            self._holder.communicate(timeout=ANSWER)


def _setNamespace(libc: ctypes.CDLL, descriptor: int) -> None:
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
