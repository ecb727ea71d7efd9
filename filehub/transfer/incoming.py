"""
Twisted's transport for a connection that came in, without what short sessions can do without.
"""

from __future__ import annotations

import socket
from typing import Any, Final

from twisted.internet.address import IPv6Address
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.tcp import Connection, Server
from twisted.python.failure import Failure

from filehub.credentials import Address
from filehub.transfer.turns import Turns

#: Commands are short, and what is longer comes in pieces anyway.
_READ: Final = 16 * 1024


class Incoming(Server):
    """
    A L{Server} that is served by L{Turns}; what it writes goes out as ever.

    @ivar peer: the client.
    @ivar local: this end, where it is the same for all who come; L{None}: the socket knows.
    """

    #: C{close} does the same, in one system call less.
    _shouldShutdown = False

    def __init__(
        self,
        found: socket.socket,
        protocol: Any,
        client: Any,
        server: Any,
        number: int,
        reactor: Turns,
    ) -> None:
        # Not Server's: that writes two texts about each connection that nobody may read.
        Connection.__init__(self, found, protocol, reactor)
        self.client = client
        self.server = server
        self.sessionno = number
        self.hostname = client[0]
        if len(client) != 2:
            self._addressType = IPv6Address
        self.peer: Address | None = None
        self.local: Address | None = None
        reactor.addReader(self)
        self.connected = 1

    def logPrefix(self) -> str:
        """See L{twisted.internet.interfaces.ILoggingContext}."""
        return f"{self._getLogPrefix(self.protocol)},{self.sessionno},{self.hostname}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} #{self.sessionno} from {self.hostname}>"

    def doRead(self) -> Any:
        """See L{twisted.internet.interfaces.IReadDescriptor.doRead}."""
        try:
            data = self.socket.recv(_READ)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None

    def connectionLost(self, reason: Failure) -> None:
        """See L{twisted.internet.interfaces.IReadDescriptor.connectionLost}."""
        if self.TLS or isinstance(reason.value, ConnectionAborted) or not hasattr(self, "socket"):
            super().connectionLost(reason)
            return
        # The same in fewer steps.
        self.connected, self.disconnected = 0, 1
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()
        turns: Any = self.reactor
        turns.forget(self)
        try:
            self.socket.close()
        except OSError:
            # The kernel has something to say of the connection, which is over.
            pass
        protocol = self.protocol
        del self.protocol, self.socket, self.fileno
        protocol.connectionLost(reason)

    def loseWriteConnection(self) -> None:
        """See L{twisted.internet.interfaces.ITCPTransport.loseWriteConnection}."""
        if self.dataBuffer or self._tempDataBuffer or self.TLS or self.producer is not None:
            super().loseWriteConnection()  # type: ignore[no-untyped-call]
        elif self.connected and not self._writeDisconnected:
            # Nothing has to be waited for.
            self._writeDisconnected = True
            self._closeWriteConnection()

    def _closeWriteConnection(self) -> None:
        # Who is not to be told is not looked for an adapter.
        if IHalfCloseableProtocol.providedBy(self.protocol):
            super()._closeWriteConnection()
            return
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            # The client is gone already; that shows when it is read.
            pass

    def readConnectionLost(self, reason: Failure) -> None:
        """See L{twisted.internet.interfaces.IHalfCloseableDescriptor.readConnectionLost}."""
        if IHalfCloseableProtocol.providedBy(self.protocol):
            super().readConnectionLost(reason)
        else:
            self.connectionLost(reason)


__all__ = ["Incoming"]
