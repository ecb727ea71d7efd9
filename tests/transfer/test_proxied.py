"""
L{filehub.transfer.proxied}: connections whose proxy says whose they are.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from filehub.deadlines import Deadlines
from filehub.transfer.proxied import HEADER_TIMEOUT, ProxiedEndpoint, ProxiedFactory

HEADER = b"PROXY TCP4 192.0.2.1 198.51.100.7 40000 21\r\n"
TRUSTED = (ipaddress.ip_network("10.0.0.0/8"),)


@implementer(IHandshakeListener)
class Inner(Protocol):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.peer: Any = None
        self.host: Any = None
        self.data = b""
        self.ends = 0
        self.handshakes = 0

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self.peer, self.host = transport.getPeer(), transport.getHost()
        transport.write(b"220 Hello\r\n")

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def handshakeCompleted(self) -> None:
        self.handshakes += 1

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ends += 1


class ProxiedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        factory = Factory.forProtocol(Inner)
        self.factory = ProxiedFactory(factory, TRUSTED, Deadlines(self.clock))

    def connect(self, peer: str = "10.0.0.9") -> tuple[Any, StringTransport, Inner]:
        transport = StringTransport(
            hostAddress=IPv4Address("TCP", "10.0.0.1", 2121),
            peerAddress=IPv4Address("TCP", peer, 50000),
        )
        protocol: Any = self.factory.buildProtocol(transport.getPeer())
        inner = protocol.wrappedProtocol
        protocol.makeConnection(transport)
        return protocol, transport, inner

    def test_introduced(self) -> None:
        """Byte by byte or at once: the protocol begins after the header, with the client."""
        for pieces in ([HEADER + b"NOOP\r\n"], [bytes((each,)) for each in HEADER + b"NOOP\r\n"]):
            protocol, transport, inner = self.connect()
            self.assertEqual(transport.value(), b"")
            for piece in pieces:
                protocol.dataReceived(piece)
            self.assertEqual(inner.peer, IPv4Address("TCP", "192.0.2.1", 40000))
            self.assertEqual(inner.host, IPv4Address("TCP", "198.51.100.7", 21))
            self.assertEqual(protocol.socketHost(), IPv4Address("TCP", "10.0.0.1", 2121))
            self.assertEqual((transport.value(), inner.data), (b"220 Hello\r\n", b"NOOP\r\n"))
            protocol.handshakeCompleted()
            protocol.connectionLost(Failure(ConnectionDone()))
            self.assertEqual((inner.handshakes, inner.ends), (1, 1))
        self.clock.advance(2 * HEADER_TIMEOUT)
        self.assertFalse(transport.disconnecting)

    def test_itself(self) -> None:
        """A proxy that looks whether we are well is itself the client."""
        protocol, _, inner = self.connect()
        protocol.dataReceived(b"PROXY UNKNOWN\r\n")
        self.assertEqual(inner.peer, IPv4Address("TCP", "10.0.0.9", 50000))
        self.assertEqual(inner.host, IPv4Address("TCP", "10.0.0.1", 2121))

    def test_stranger(self) -> None:
        """Who is no trusted proxy is turned away, whatever he claims, without a word."""
        for peer in ("192.0.2.200", "127.0.0.1"):
            protocol, transport, inner = self.connect(peer)
            protocol.dataReceived(HEADER)
            self.assertTrue(transport.disconnecting)
            self.assertEqual((transport.value(), inner.peer), (b"", None))
            protocol.connectionLost(Failure(ConnectionDone()))
            self.assertEqual(inner.ends, 0)

    def test_nonsense(self) -> None:
        """Without a proper header the connection ends, and nothing of it arrives."""
        protocol, transport, inner = self.connect()
        protocol.dataReceived(b"USER ann\r\n" + HEADER)
        protocol.dataReceived(HEADER)
        self.assertTrue(transport.disconnecting)
        self.assertEqual((inner.peer, inner.data), (None, b""))

    def test_silence(self) -> None:
        """A proxy that says nothing is not waited for."""
        protocol, transport, inner = self.connect()
        protocol.dataReceived(HEADER[:-1])
        self.clock.advance(HEADER_TIMEOUT + 2)
        self.assertTrue(transport.disconnecting)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(inner.ends, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_endpoint(self) -> None:
        """The endpoint listens with the factory wrapped."""
        given: list[Any] = []

        class Inside:
            def listen(self, factory: Any) -> Deferred[Any]:
                given.append(factory)
                return succeed("port")

        endpoint = ProxiedEndpoint(Inside(), TRUSTED, Deadlines(self.clock))  # type: ignore[arg-type]
        inner = Factory.forProtocol(Inner)
        self.assertEqual(self.successResultOf(endpoint.listen(inner)), "port")
        self.assertIsInstance(given[0], ProxiedFactory)
        self.assertIs(given[0].wrappedFactory, inner)
        self.assertEqual(given[0].trusted, TRUSTED)
