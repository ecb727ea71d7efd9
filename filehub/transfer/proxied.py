"""
Control connections that come through a proxy, which says whose they are.

Only proxies that are trusted may say so; anybody else who comes is turned away without
a word, because he could claim to be anybody.  (Twisted's own wrapper begins the wrapped
protocol before the header is there, with the proxy for its peer.)
"""

from __future__ import annotations

import ipaddress
from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IListeningPort,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer, providedBy

from filehub.credentials import Address
from filehub.deadlines import Deadline, Deadlines
from filehub.networks import Networks, isWithin
from filehub.transfer.proxyheader import BadHeader, ProxyHeader, parseHeader

#: Seconds for the header to arrive; proxies send it with the handshake.
HEADER_TIMEOUT: Final = 5.0

#: Who may speak for others, unless it is said: programs on this machine.
LOOPBACK: Final[Networks] = (
    ipaddress.ip_network("127.0.0.0/8"),
    ipaddress.ip_network("::1/128"),
)


@implementer(IHandshakeListener)
class ProxiedProtocol(ProtocolWrapper):
    """
    A connection whose first bytes are a PROXY header.  What it wraps begins only after
    that, and takes the client's address for its peer's.
    """

    factory: Any
    _log: Final = Logger()

    def __init__(self, factory: Any, wrapped: Any) -> None:
        super().__init__(factory, wrapped)
        self._buffer = b""
        self._header: ProxyHeader | None = None
        self._deadline: Deadline | None = None

    def makeConnection(self, transport: Any) -> None:
        """Turn away who is no trusted proxy; from the others wait for the header."""
        directlyProvides(self, providedBy(transport))
        self.transport = transport
        self.connected = 1
        self.factory.registerProtocol(self)
        peer = getattr(transport.getPeer(), "host", "")
        if not isWithin(peer, self.factory.trusted):
            self._log.warn("{peer} is no trusted proxy: turned away", peer=peer)
            transport.abortConnection()
            return
        self._deadline = self.factory.deadlines.after(HEADER_TIMEOUT, transport.abortConnection)

    def dataReceived(self, data: bytes) -> None:
        """The header, and what follows it."""
        if self._header is not None:
            self.wrappedProtocol.dataReceived(data)
            return
        if self._deadline is None:
            return
        self._buffer += data
        transport: Any = self.transport
        try:
            header = parseHeader(self._buffer)
        except BadHeader as error:
            self._log.warn(
                "{peer} sent no proper header: {error}",
                peer=getattr(transport.getPeer(), "host", ""),
                error=str(error),
            )
            self._forgetDeadline()
            transport.abortConnection()
            return
        if header is None:
            return
        self._forgetDeadline()
        rest, self._buffer = self._buffer[header.length :], b""
        self._header = header
        self.wrappedProtocol.makeConnection(self)  # type: ignore[arg-type]
        if rest and self.wrappedProtocol is not None:
            self.wrappedProtocol.dataReceived(rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the wrapped protocol, if it was ever told of the connection."""
        self._forgetDeadline()
        if self._header is not None:
            super().connectionLost(reason)  # type: ignore[no-untyped-call]
            return
        self.factory.unregisterProtocol(self)
        self.wrappedProtocol = None  # type: ignore[assignment]

    def handshakeCompleted(self) -> None:
        """TLS is up; the wrapped protocol may want to know."""
        if IHandshakeListener.providedBy(self.wrappedProtocol):
            self.wrappedProtocol.handshakeCompleted()

    def getPeer(self) -> IAddress:
        """The client."""
        source = None if self._header is None else self._header.source
        if source is not None:
            return _twisted(source)
        transport: Any = self.transport
        peer: IAddress = transport.getPeer()
        return peer

    def getHost(self) -> IAddress:
        """Where the client connected to; that need not be an address of this machine."""
        target = None if self._header is None else self._header.target
        return _twisted(target) if target is not None else self.socketHost()

    def socketHost(self) -> IAddress:
        """The address of ours that the proxy connected to."""
        transport: Any = self.transport
        host: IAddress = transport.getHost()
        return host

    def _forgetDeadline(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()


def _twisted(address: Address) -> IAddress:
    kind = IPv6Address if ":" in address.host else IPv4Address
    return kind("TCP", address.host, address.port)


class ProxiedFactory(WrappingFactory[ProxiedProtocol]):
    """
    Wraps a factory whose clients come through proxies.

    @ivar trusted: the networks of these proxies.
    """

    protocol = ProxiedProtocol
    noisy = False

    def __init__(self, wrapped: Any, trusted: Networks, deadlines: Deadlines) -> None:
        super().__init__(wrapped)  # type: ignore[no-untyped-call]
        self.trusted = trusted
        self.deadlines = deadlines


@implementer(IStreamServerEndpoint)
class ProxiedEndpoint:
    """An endpoint whose clients come through proxies."""

    def __init__(
        self, endpoint: IStreamServerEndpoint, trusted: Networks, deadlines: Deadlines
    ) -> None:
        """
        @param trusted: the networks of these proxies.
        """
        self._endpoint = endpoint
        self._trusted = trusted
        self._deadlines = deadlines

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """See L{IStreamServerEndpoint.listen}."""
        wrapped = ProxiedFactory(protocolFactory, self._trusted, self._deadlines)
        return self._endpoint.listen(wrapped)


__all__ = ["HEADER_TIMEOUT", "LOOPBACK", "ProxiedEndpoint", "ProxiedFactory", "ProxiedProtocol"]
