"""
The ports for passive data connections (RFC 959 5.2, RFC 2577 section 8).
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from filehub.errors import ConnectFailed, TransferError
from filehub.networks import canonicalHost

#: The dynamic ports of RFC 6335.
DEFAULT_PASSIVE_PORTS: Final = range(49152, 65535)
#: Connections that may wait on one port; all but one are strangers.
BACKLOG: Final = 4
OUT_OF_DESCRIPTORS: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_ATTEMPTS: Final = 64
#: As plain numbers: enumerations take a microsecond to combine and to convert.
_IPV4: Final = int(socket.AF_INET)
_IPV6: Final = int(socket.AF_INET6)
_KIND: Final = int(socket.SOCK_STREAM) | int(socket.SOCK_NONBLOCK)
_SOCKET: Final = int(socket.SOL_SOCKET)
_REUSE: Final = int(socket.SO_REUSEADDR)


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


class Unpredictable:
    """
    The kernel's random numbers, a hundred at a time: a port for each small file is a
    part of what the file costs.
    """

    _AT_ONCE: Final = 128
    _BITS: Final = 32

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: list[int] = []

    def randrange(self, start: int, stop: int, /) -> int:
        """See L{RandomSource.randrange}; up to some thousands."""
        numbers = self._numbers
        if not numbers:
            numbers += memoryview(os.urandom(self._AT_ONCE * self._BITS // 8)).cast("I")
        # Of 2^32 numbers so few more fall on one port than on another that nobody can tell.
        return start + (numbers.pop() * (stop - start) >> self._BITS)

    def choice(self, population: Any, /) -> Any:
        """See L{RandomSource.choice}."""
        return population[self.randrange(0, len(population))]


class PassiveSocket(socket.socket):
    """
    One that listens.  Each connection that it accepts asks for its kind, and as
    enumerations that takes as long as the system call.
    """

    __slots__ = ()
    family = socket.AF_INET
    type = socket.SOCK_STREAM


class PassiveSocket6(PassiveSocket):
    """The same for IPv6."""

    __slots__ = ()
    family = socket.AF_INET6


class Arrivals(Protocol):
    """Who is told of those that connect to a port."""

    def arrived(self, sock: socket.socket, host: str, port: int) -> bool:
        """Let a new connection in, or not.  True: the listener is closed."""

    def listenerFailed(self, error: TransferError) -> None:
        """Nobody can connect any more."""


@implementer(IReadDescriptor)
class PassiveListener:
    """
    One passive port, until the right peer has come.

    @ivar isWatched: does the reactor know of it?
    """

    __slots__ = ("_arrivals", "_sock", "isWatched", "port")

    def __init__(self, arrivals: Arrivals, sock: socket.socket, port: int) -> None:
        self._arrivals = arrivals
        self._sock = sock
        self.isWatched = False
        self.port = port

    def fileno(self) -> int:
        """See L{IFileDescriptor}."""
        return self._sock.fileno()

    def logPrefix(self) -> str:
        """See L{ILoggingContext}."""
        return "passive"

    def doRead(self) -> None:
        """Take whoever has come."""
        for _ in range(BACKLOG):
            try:
                sock, address = self._sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in OUT_OF_DESCRIPTORS:
                    # It would be reported again and again; and this frees one.
                    self._arrivals.listenerFailed(
                        ConnectFailed(f"cannot accept data connection: {error.strerror}")
                    )
                    return
                # That connection was gone before we got to it.
                continue
            if self._arrivals.arrived(sock, address[0], address[1]):
                return

    def connectionLost(self, reason: Failure) -> None:
        """The reactor is stopping."""
        self.isWatched = False
        self._arrivals.listenerFailed(ConnectFailed())

    def close(self) -> None:
        """Nobody can connect any more."""
        self._sock.close()


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
        self._random: RandomSource = chooser or Unpredictable()
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
        ports = self._ports
        taken = self._taken.get(host)
        if taken is None:
            taken = set()
        refused = set() if former is None else {former}
        sock = self._newSocket(host)
        try:
            for _ in range(_ATTEMPTS):
                port: int | None = self._random.randrange(ports.start, ports.stop)
                if port in taken or port in refused:
                    port = self._pick(taken, refused)
                if port is None:
                    if former is None or former in taken:
                        break
                    refused.discard(former)
                    port, former = former, None
                isBound = False
                try:
                    sock.bind((host, port) if "%" not in host else socketAddress(host, port)[1])
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

    def isOpen(self, host: str, port: int) -> bool:
        """Do we listen there ourselves?"""
        return port in self._taken.get(host, ())

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
            if ":" in host:
                sock: PassiveSocket = PassiveSocket6(_IPV6, _KIND, 0)
            else:
                sock = PassiveSocket(_IPV4, _KIND, 0)
        except OSError as error:
            raise ConnectFailed(f"cannot open data connection: {error.strerror}") from None
        # Ports that earlier transfers left in TIME_WAIT are fine.
        sock.setsockopt(_SOCKET, _REUSE, 1)
        return sock


__all__ = [
    "BACKLOG",
    "DEFAULT_PASSIVE_PORTS",
    "OUT_OF_DESCRIPTORS",
    "NoPortFree",
    "PassiveListener",
    "PassivePorts",
    "PassiveSocket",
    "RandomSource",
    "Unpredictable",
    "canonicalHost",
    "socketAddress",
]
