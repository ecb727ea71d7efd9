"""
Tests for L{filehub.gate}, with connections over loopback that are made and read in turns.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.tcp import Port, Server
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from filehub import gate as module
from filehub.credentials import Address
from filehub.gate import guard
from filehub.protocols.ftp.admission import addressesOf


class Greeter(Protocol):
    """Says a word."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"220 hello\r\n")
        self.transport.loseConnection()


class Selective(Factory):
    """
    @ivar words: what it answers when it is asked.
    @ivar asked: by whom.
    """

    protocol = Greeter
    noisy = False
    words: bytes | None = None

    def __init__(self) -> None:
        self.asked: list[tuple[Address, Address]] = []
        self.built: list[Any] = []

    def turnAway(self, peer: Address, local: Address) -> bytes | None:
        self.asked.append((peer, local))
        return self.words

    def buildProtocol(self, addr: Any) -> Any:
        self.built.append(addr)
        return super().buildProtocol(addr)


class GateTests(SynchronousTestCase):
    """L{Gate} before a real port, whose reactor does not run."""

    interface = "127.0.0.1"
    everywhere = "0.0.0.0"

    def setUp(self) -> None:
        self.reactor = SelectReactor()
        self.factory = Selective()
        self.addCleanup(self.closeAll)
        self.listen(self.factory)

    def listen(self, factory: Any) -> None:
        """Put a gate in front of a port."""
        self.port: Any = self.reactor.listenTCP(0, factory, interface=self.interface)
        gate = guard(self.port, self.factory, 4)
        assert gate is not None
        self.gate = gate
        self.turns: Any = gate._turns

    def closeAll(self) -> None:
        """Leave nothing open."""
        for each in self.reactor.removeAll():
            each.connectionLost(Failure(ConnectionDone()))
        socket_ = getattr(self.port, "socket", None)
        if socket_ is not None:
            socket_.close()

    def connect(self) -> socket.socket:
        """Come to the port."""
        client = socket.create_connection((self.interface, self.port.getHost().port), 5)
        self.addCleanup(client.close)
        return client

    def test_letIn(self) -> None:
        """Who is let in has the transport and the protocol that the port would make."""
        client = self.connect()
        self.gate.doRead()
        host, port = client.getsockname()[:2]
        ours = self.port.getHost()
        self.assertEqual(self.factory.asked, [(Address(host, port), Address(ours.host, ours.port))])
        self.assertEqual([(each.host, each.port) for each in self.factory.built], [(host, port)])
        self.assertIn(self.turns, self.reactor.getReaders())
        (transport,) = self.turns.getWriters()
        self.assertIsInstance(transport, Server)
        self.assertEqual((transport.getPeer().host, transport.getPeer().port), (host, port))
        self.assertEqual(
            (transport.getHost().host, transport.getHost().port), (ours.host, ours.port)
        )
        self.turns.doRead()
        self.assertEqual(client.recv(100), b"220 hello\r\n")
        self.assertEqual(client.recv(100), b"")

    def test_everywhere(self) -> None:
        """Where a port listens at all addresses, each connection knows which it came to."""
        self.port.socket.close()
        self.reactor.removeAll()
        self.port = self.reactor.listenTCP(0, self.factory, interface=self.everywhere)
        gate: Any = guard(self.port, self.factory)
        made: list[Any] = []
        self.patch(Greeter, "connectionMade", lambda protocol: made.append(protocol.transport))
        self.connect()
        gate.doRead()
        (transport,) = made
        self.assertIsNone(transport.local)
        self.assertEqual(addressesOf(transport)[1].host, self.interface)
        transport.connectionLost(Failure(ConnectionDone()))
        gate.close()

    def test_leaving(self) -> None:
        """Who is in stays when the gate is closed; then nothing is left in the reactor."""
        client = self.connect()
        self.gate.doRead()
        self.gate.close()
        self.assertIn(self.turns, self.reactor.getReaders())
        self.turns.doRead()
        self.assertEqual(client.recv(100), b"220 hello\r\n")
        self.assertNotIn(self.turns, self.reactor.getReaders())
        self.assertEqual(self.turns.fileno(), -1)

    def test_otherTransports(self) -> None:
        """A port with a transport of its own makes those."""

        class Special(Server):
            """A transport of somebody's own."""

        self.port.socket.close()
        self.reactor.removeAll()
        self.patch(Port, "transport", Special)
        self.listen(self.factory)
        client = self.connect()
        self.gate.doRead()
        (transport,) = self.reactor.getWriters()
        self.assertIsInstance(transport, Special)
        transport.doWrite()
        self.assertEqual(client.recv(100), b"220 hello\r\n")

    def test_lastWords(self) -> None:
        """Who is turned away hears why, and nothing was made of it."""
        self.factory.words = b"421 full\r\n"
        client = self.connect()
        self.gate.doRead()
        self.assertEqual((client.recv(100), client.recv(100)), (b"421 full\r\n", b""))
        self.assertEqual(self.factory.built, [])

    def test_noWords(self) -> None:
        """Who is not welcome is cut off."""
        self.factory.words = b""
        client = self.connect()
        self.gate.doRead()
        with self.assertRaises(ConnectionResetError):
            client.recv(100)
        self.assertEqual(self.factory.built, [])

    def test_fewAtATime(self) -> None:
        """However many come, a turn takes a few; none is forgotten."""
        self.factory.words = b""
        for _ in range(12):
            self.connect()
        counts = []
        while len(self.factory.asked) < 12:
            before = len(self.factory.asked)
            self.gate.doRead()
            counts.append(len(self.factory.asked) - before)
        self.assertEqual(counts, [1, 2, 4, 4, 1])
        self.gate.doRead()

    def test_behindAnother(self) -> None:
        """Where something stands in front of the factory nobody is asked; the port reads."""
        self.port.socket.close()
        self.reactor.removeAll()
        outer = Factory.forProtocol(Greeter)
        outer.noisy = False
        self.listen(outer)
        self.factory.words = b"421 full\r\n"
        client = self.connect()
        self.gate.doRead()
        self.assertEqual((self.factory.asked, self.port.numberAccepts), ([], 1))
        for each in self.reactor.getWriters():
            each.doWrite()
        self.assertEqual(client.recv(100), b"220 hello\r\n")

    def test_tooManyFiles(self) -> None:
        """What only the port knows how to live with is left to it."""

        class Full:
            def _accept(self) -> Any:
                raise OSError(errno.EMFILE, "too many open files")

        calls: list[int] = []
        port, self.port.socket = self.port.socket, Full()
        self.port.doRead = lambda: calls.append(self.port.numberAccepts)
        self.gate.doRead()
        self.port.socket = port
        self.assertEqual(calls, [4])

    def test_failing(self) -> None:
        """A factory that fails costs its own connection only, and is logged."""
        records: list[Any] = []
        self.patch(module, "_log", module.Logger("x", observer=records.append))
        self.patch(self.factory, "turnAway", lambda peer, local: 1 // 0)
        self.gate._ask = self.factory.turnAway
        client = self.connect()
        self.gate.doRead()
        self.assertEqual((client.recv(1), len(records)), (b"", 1))

    def test_noProtocol(self) -> None:
        """A factory may have nothing for a client."""
        self.patch(self.factory, "buildProtocol", lambda addr: None)
        client = self.connect()
        self.gate.doRead()
        self.assertEqual(client.recv(1), b"")

    def test_close(self) -> None:
        """A gate that is closed is not read any more; the port can be closed then."""
        self.assertEqual(self.turns.getReaders(), [self.gate])
        self.assertNotIn(self.port, self.reactor.getReaders())
        self.gate.close()
        self.assertEqual(self.turns.getReaders(), [])
        self.assertEqual(self.gate.fileno(), self.port.fileno())
        self.assertEqual(self.gate.logPrefix(), self.port.logPrefix())

    def test_portFails(self) -> None:
        """What ends the reading ends the port."""
        told: list[Any] = []
        self.patch(self.port, "connectionLost", told.append)
        self.gate.connectionLost("reason")
        self.assertEqual(told, ["reason"])


class GateOfSixTests(GateTests):
    """The same with IPv6."""

    interface = "::1"
    everywhere = "::"


class GuardTests(SynchronousTestCase):
    """L{guard}."""

    def test_otherPorts(self) -> None:
        """What is no port over TCP reads for itself."""
        self.assertIsNone(guard(object(), Selective()))
