"""
The ports for passive data connections (RFC 959 5.2, RFC 2577 section 8).
"""

from __future__ import annotations

import errno
import random
import socket
from typing import Any, Final, Protocol

from filehub.errors import ConnectFailed
from filehub.networks import canonicalHost

#: The dynamic ports of RFC 6335.
DEFAULT_PASSIVE_PORTS: Final = range(49152, 65535)
#: Connections that may wait on one port; all but one are strangers.
BACKLOG: Final = 4
OUT_OF_DESCRIPTORS: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_ATTEMPTS: Final = 64


class NoPortFree(ConnectFailed):
    """All passive ports are being listened on."""

    summary = "no passive port free"


def socketAddress(host: str, port: int) -> tuple[int, Any]:
    """The family and the address as the socket module wants them."""
    if ":" not in host:
        return socket.AF_INET, (host, port)
    if "%" not in host:
        return socket.AF_INET6, (host, port)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return socket.AF_INET6, found[0][4]


class RandomSource(Protocol):
    """The part of L{random.Random} that is needed here."""

    def choice(self, population: Any, /) -> Any:
        """One of them."""

    def randrange(self, start: int, stop: int, /) -> int:
        """A number from C{start} to below C{stop}."""


class PassivePorts:
    """
    The ports that one FTP listener's sessions share for passive connections.

    @ivar exhausted: how often there was none left.
    """

    __slots__ = ("_ports", "_random", "_taken", "exhausted")

    def __init__(self, ports: range | None = None, *, chooser: RandomSource | None = None) -> None:
        """
        @param ports: consecutive ports; L{DEFAULT_PASSIVE_PORTS} by default.
        @param chooser: unpredictable, unless for tests.
        """
        self._ports = DEFAULT_PASSIVE_PORTS if ports is None else ports
        self._random: RandomSource = chooser or random.SystemRandom()
        self._taken: dict[str, set[int]] = {}
        self.exhausted = 0

    @property
    def inUse(self) -> int:
        """How many of them are being listened on."""
        return sum(map(len, self._taken.values()))

    @property
    def size(self) -> int:
        """How many there are for each local address."""
        return len(self._ports)

    def listen(self, host: str, former: int | None = None) -> tuple[socket.socket, int]:
        """
        A non-blocking listening socket on C{host} and its port.

        @param former: a port that is given again only if there is no other: the same
            client had it a moment ago, and may still be about to connect to it.
        @raise NoPortFree: all are in use.
        @raise ConnectFailed: no descriptor is free, or C{host} is not ours.
        """
        taken = self._taken.get(host, set())
        refused: set[int] = set()
        if former is not None:
            refused.add(former)
        sock = self._newSocket(host)
        try:
            for _ in range(_ATTEMPTS):
                port = self._pick(taken, refused)
                if port is None:
                    if former is None or former in taken:
                        break
                    refused.discard(former)
                    port, former = former, None
                isBound = False
                try:
                    sock.bind(socketAddress(host, port)[1])
                    isBound = True
                    sock.listen(BACKLOG)
                except OSError as error:
                    if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                        raise ConnectFailed(
                            f"cannot listen for the data connection: {error.strerror}"
                        ) from None
                    refused.add(port)
                    if isBound:
                        # It cannot be bound again.
                        sock.close()
                        sock = self._newSocket(host)
                else:
                    taken.add(port)
                    self._taken[host] = taken
                    return sock, port
        except BaseException:
            sock.close()
            raise
        sock.close()
        self.exhausted += 1
        raise NoPortFree

    def release(self, host: str, port: int) -> None:
        """The socket from L{listen} is closed."""
        taken = self._taken.get(host)
        if taken is not None:
            taken.discard(port)
            if not taken:
                del self._taken[host]

    def _pick(self, taken: set[int], refused: set[int]) -> int | None:
        ports = self._ports
        if 2 * (len(taken) + len(refused)) < len(ports):
            while True:
                port = self._random.randrange(ports.start, ports.stop)
                if port not in taken and port not in refused:
                    return port
        free = [port for port in ports if port not in taken and port not in refused]
        if not free:
            return None
        chosen: int = self._random.choice(free)
        return chosen

    @staticmethod
    def _newSocket(host: str) -> socket.socket:
        try:
            sock = socket.socket(
                socket.AF_INET6 if ":" in host else socket.AF_INET,
                socket.SOCK_STREAM | socket.SOCK_NONBLOCK,
            )
        except OSError as error:
            raise ConnectFailed(f"cannot open data connection: {error.strerror}") from None
        # Ports that earlier transfers left in TIME_WAIT are fine.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return sock


__all__ = [
    "BACKLOG",
    "DEFAULT_PASSIVE_PORTS",
    "OUT_OF_DESCRIPTORS",
    "NoPortFree",
    "PassivePorts",
    "RandomSource",
    "canonicalHost",
    "socketAddress",
]
