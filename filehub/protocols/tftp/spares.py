"""
Ports that have served a small file, and wait for the next one of the same client.

A machine that boots asks for dozens of small files within seconds.  To open a port, to
watch it and to close it again takes as long as to send such a file, so it is kept a moment.

RFC 1350 wants a port that is chosen anew for each transfer, so that packets which come late
from one do not get into another, and nobody can guess it.  That holds here, too.  A port
serves no other host than that which knows it already, and no port of that host that it has
served before, so the pair of both is always new; what is late is read away before it turns
to the next, and afterwards the kernel keeps out what is not for it.  And it does so for a
moment only, and not often.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from filehub.protocols.tftp.hub import Hub
from filehub.transfer.datagrams import Datagram, ListeningSocket, PeerSocket

#: Seconds that a port waits for another transfer.
_PATIENCE: Final = 1.0
#: Transfers that a port serves at the most.
_TRANSFERS: Final = 64
#: Ports that wait for one client, and in all.
_EACH: Final = 16
_MOST: Final = 256

#: The client's address, ours that it asks, and the interface between.
Client = tuple[str, str, int]


class SparePort:
    """
    One of them.

    @ivar fileno: tells the descriptor; -1 when closed.
    @ivar client: whom it serves, and nobody else.
    @ivar socket: connected to the port of the client that it serves, or has served last.
    @ivar served: ports of the client.
    @ivar since: when it began to wait, by the clock.
    """

    __slots__ = ("client", "fileno", "served", "since", "socket")

    def __init__(self, client: Client, sock: PeerSocket, port: int) -> None:
        self.client = client
        self.socket = sock
        self.fileno = sock.fileno
        self.served = {port}
        self.since = 0.0

    def doRead(self) -> None:
        """Something has come too late for anybody."""
        try:
            self.socket.recv(1)
        except OSError:
            # As good as read.
            return

    def doWrite(self) -> None:
        """Nobody waits for that."""

    def connectionLost(self, reason: Failure) -> None:
        """The client's last port is closed by now, as we are told."""
        self.doRead()


class SparePorts:
    """
    All of a service.

    @ivar hub: watches them.
    @ivar clock: the time.
    """

    def __init__(self, hub: Hub, clock: IReactorTime) -> None:
        self.hub = hub
        self.clock = clock
        self._idle: dict[Client, deque[SparePort]] = {}
        self._count = 0
        self._sweeping: IDelayedCall | None = None

    def __len__(self) -> int:
        """How many wait."""
        return self._count

    def connect(
        self,
        listener: ListeningSocket,
        to: Datagram,
        ports: tuple[int, int] | None,
        *,
        large: bool,
    ) -> SparePort:
        """
        One that is there, or a new one.

        @raise OSError: see L{ListeningSocket.connect}.
        """
        client, port = (to.peer[0], to.local, to.interface), to.peer[1]
        waiting = self._idle.get(client)
        # The one that has waited longest: whatever comes late has come.
        if waiting and port not in waiting[0].served:
            spare = waiting.popleft()
            self._count -= 1
            if listener.reconnect(spare.socket, to, large=large):
                spare.served.add(port)
                return spare
            self._discard(spare)
        return SparePort(client, self.open(listener, to, ports, large=large), port)

    def open(
        self,
        listener: ListeningSocket,
        to: Datagram,
        ports: tuple[int, int] | None,
        *,
        large: bool,
    ) -> PeerSocket:
        """
        A new port, for which those that wait make room.

        @raise OSError: see L{ListeningSocket.connect}.
        """
        try:
            return listener.connect(to, ports, large=large)
        except OSError:
            if not self._count:
                raise
        self.clear()
        return listener.connect(to, ports, large=large)

    def keep(self, spare: SparePort) -> None:
        """Its transfer is over."""
        self.hub.addReader(spare)
        waiting = self._idle.get(spare.client)
        if waiting is None:
            waiting = self._idle[spare.client] = deque()
        if len(spare.served) >= _TRANSFERS or len(waiting) >= _EACH or self._count >= _MOST:
            self._discard(spare)
            return
        spare.since = self.clock.seconds()
        waiting.append(spare)
        self._count += 1
        if self._sweeping is None:
            self._sweeping = self.clock.callLater(_PATIENCE, self._sweep)

    def clear(self) -> None:
        """Close all that wait."""
        for waiting in self._idle.values():
            for spare in waiting:
                self._discard(spare)
        self._idle.clear()
        self._count = 0
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None

    def _sweep(self) -> None:
        self._sweeping = None
        latest = self.clock.seconds() - _PATIENCE
        for client, waiting in list(self._idle.items()):
            while waiting and waiting[0].since <= latest:
                self._discard(waiting.popleft())
                self._count -= 1
            if not waiting:
                del self._idle[client]
        if self._idle:
            self._sweeping = self.clock.callLater(_PATIENCE, self._sweep)

    def _discard(self, spare: SparePort) -> None:
        self.hub.removeReader(spare)
        spare.socket.close()


__all__ = ["SparePort", "SparePorts"]
