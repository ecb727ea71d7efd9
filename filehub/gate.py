"""
Where connections come in: few at a time, and some no further.

Theory of operation
===================

Twisted's port takes as many connections in a turn of the reactor as there are, and makes a
transport and a protocol of each.  Whoever connects ten thousand times would have all the
time of those who are there.  So a port is read here instead: a few
connections in a turn, and of each the factory is asked first, by its address alone.  Who
is turned away costs an accept and a close, and a few words where they are of use; those
who come in get what the port would have given them, in a form that costs less: L{Incoming}
is their transport, and L{Turns} tells it when something has come.

Where another factory stands between the port and ours (a proxy's header, TLS), the address
is not the client's yet, or the words would not be understood: there nobody is asked, and
the port reads for itself, but no more in a turn than here.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import Any, Final, Protocol

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.tcp import Port, Server
from twisted.logger import Logger
from zope.interface import implementer

from filehub.credentials import Address
from filehub.networks import canonicalHost
from filehub.transfer.incoming import Incoming
from filehub.transfer.turns import Turns

#: Connections in a turn of the reactor.
AT_ONCE: Final = 8
#: Closes with a reset: nothing of the connection stays, in the kernel either.
_RESET: Final = struct.pack("ii", 1, 0)

_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
#: Ports that listen here have connections to all the machine's addresses.
_EVERYWHERE: Final = ("0.0.0.0", "::")
#: There is no connection, or it has gone again.
_NOBODY: Final = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED, errno.EPERM, errno.EINTR)

_log: Final = Logger(namespace="filehub")


class SelectiveFactory(Protocol):
    """A factory that is asked before anything is made of a connection."""

    def turnAway(self, peer: Address, local: Address) -> bytes | None:
        """
        Called once for each connection.

        @param local: where the port listens, maybe at all addresses.
        @return: L{None} lets the client in; otherwise the last words, which may be none.
        """


@implementer(IReadDescriptor)
class Gate:
    """
    Reads a port in its place.
    """

    def __init__(self, port: Any, factory: Any, atOnce: int = AT_ONCE) -> None:
        """
        @param port: a L{Port} that listens.
        @param factory: what was to serve it; asked if it is a L{SelectiveFactory}, and
            nothing was put in front of it.
        """
        self._port = port
        self._atOnce = atOnce
        #: To ask for one more than there are takes longer than to be told again.
        self._expected = 1
        self._ask = getattr(factory, "turnAway", None) if port.factory is factory else None
        self._family = int(port.addressFamily)
        self._isSix = port.addressFamily == socket.AF_INET6
        host = port.getHost()
        self._local = Address(host.host, host.port)
        #: The end of all connections here, unless the port listens at all addresses.
        self._end = None if host.host in _EVERYWHERE else self._local
        #: What serves those who are asked.
        self._turns = (
            None if self._ask is None or port.transport is not Server else Turns(port.reactor)
        )
        self._number: int = port.fileno()
        port.stopReading()
        # Who comes has a turn like who is there.
        self._watcher: Any = self._turns or port.reactor
        self._watcher.addReader(self)

    def fileno(self) -> int:
        """See L{IReadDescriptor}."""
        return self._number

    def logPrefix(self) -> str:
        """See L{twisted.internet.interfaces.ILoggingContext}."""
        found: str = self._port.logPrefix()
        return found

    def connectionLost(self, reason: Any) -> None:
        """The reactor ends, or the port has failed; that is the port's business."""
        self._port.connectionLost(reason)

    def close(self) -> None:
        """Let nobody in any more.  The port stays, and so do those who are in."""
        self._watcher.removeReader(self)
        if self._turns is not None:
            self._turns.leave()

    def doRead(self) -> None:
        """Somebody has come."""
        if self._ask is None:
            self._leaveToPort()
            return
        # Its accept() makes enumerations of what is known, in more time than the call takes.
        accept = self._port.socket._accept
        expected = self._expected
        for taken in range(expected):
            try:
                number, address = accept()
            except OSError as error:
                if error.errno not in _NOBODY:
                    # Too many open files, for one: the port knows how to live with that.
                    self._leaveToPort()
                self._expected = max(1, taken)
                return
            found = socket.socket(self._family, socket.SOCK_STREAM, 0, fileno=number)
            try:
                self._take(found, address)
            except Exception:
                _log.failure("a connection could not be taken")
                found.close()
        self._expected = min(self._atOnce, 2 * expected)

    def _leaveToPort(self) -> None:
        self._port.numberAccepts = self._atOnce
        self._port.doRead()

    def _take(self, found: socket.socket, address: Any) -> None:
        host = address[0]
        if self._isSix and host.startswith("::ffff:"):
            host = canonicalHost(host)
        peer = Address(host, address[1])
        words = None if self._ask is None else self._ask(peer, self._local)
        if words is None:
            self._letIn(found, address, peer)
        else:
            with found:
                if words:
                    # All of it or nothing: the buffer of a new connection has room.
                    found.send(words, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
                else:
                    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)

    def _letIn(self, found: socket.socket, address: Any, peer: Address) -> None:
        """Do what the port would do."""
        port = self._port
        if self._isSix:
            if address[3]:
                host = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)
                address = (host[0], *address[1:])
            protocol = port.factory.buildProtocol(IPv6Address("TCP", *address))
        else:
            protocol = port.factory.buildProtocol(IPv4Address("TCP", *address))
        if protocol is None:
            found.close()
            return
        number = port.sessionno
        port.sessionno = number + 1
        if self._turns is None:
            transport = port.transport(found, protocol, address, port, number, port.reactor)
        else:
            transport = Incoming(found, protocol, address, port, number, self._turns)
            transport.peer, transport.local = peer, self._end
        protocol.makeConnection(transport)


def guard(port: Any, factory: Any, atOnce: int = AT_ONCE) -> Gate | None:
    """A gate for a port, if it is one over TCP that the reactor reads."""
    if isinstance(port, Port) and port.addressFamily in _FAMILIES:
        return Gate(port, factory, atOnce)
    return None


__all__ = ["AT_ONCE", "Gate", "SelectiveFactory", "guard"]
