"""
Tests for L{filehub.transfer.turns} and L{filehub.transfer.incoming}, with pairs of sockets
that are read in turns.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from filehub.transfer import turns as module
from filehub.transfer.incoming import Incoming
from filehub.transfer.turns import Turns


class Listener(Protocol):
    """
    @ivar said: what the client said.
    @ivar lost: how connections ended.
    @ivar answer: called with each piece.
    """

    def __init__(self) -> None:
        self.said: list[bytes] = []
        self.lost: list[type[BaseException]] = []
        self.answer: Callable[[bytes], object] = lambda data: None

    def dataReceived(self, data: bytes) -> None:
        self.said.append(data)
        self.answer(data)

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        self.lost.append(type(reason.value))


@implementer(IHalfCloseableProtocol)
class HalfListener(Listener):
    """One that goes on when the client has said all."""

    def __init__(self) -> None:
        super().__init__()
        self.halves: list[str] = []

    def readConnectionLost(self) -> None:
        self.halves.append("read")

    def writeConnectionLost(self) -> None:
        self.halves.append("write")


class TurnsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.turns = Turns(self.reactor)
        self.addCleanup(self.turns._close)
        self.number = 0

    def open(self, protocol: Listener | None = None) -> tuple[Any, Any, socket.socket]:
        """A protocol, its transport, and the client's end."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        theirs.settimeout(5)
        if protocol is None:
            protocol = Listener()
        self.number += 1
        transport = Incoming(ours, protocol, ("192.0.2.1", 7), None, self.number, self.turns)
        protocol.makeConnection(transport)
        return protocol, transport, theirs

    def test_reading(self) -> None:
        """Whoever says something is heard, in one turn."""
        opened = [self.open() for _ in range(3)]
        for _, _, client in opened[:2]:
            client.send(b"hello")
        self.turns.doRead()
        self.assertEqual([each[0].said for each in opened], [[b"hello"], [b"hello"], []])

    def test_oneFails(self) -> None:
        """A mistake of ours in the end of one connection costs no other one anything."""
        first, second = self.open(), self.open()

        def fail(reason: Any) -> None:
            raise ZeroDivisionError

        first[0].connectionLost = fail
        first[2].close()
        second[2].send(b"hello")
        self.turns.doRead()
        self.turns.doRead()
        self.assertEqual(second[0].said, [b"hello"])
        self.assertEqual(self.turns.getReaders(), [second[1]])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_lingering(self) -> None:
        """Who answers promptly is heard again and again in one turn, if nobody else has work."""
        now = [0.0]
        self.turns._seconds = lambda: now[0]
        self.turns._processorSeconds = lambda: 0.0
        protocol, _, client = self.open()

        def answer(data: bytes) -> None:
            now[0] += 0.00015
            client.send(b"more")

        protocol.answer = answer
        client.send(b"first")
        self.turns.doRead()
        self.assertEqual(protocol.said, [b"first"])
        self.turns.doRead()
        self.assertEqual(len(protocol.said), 9)
        self.turns._processorSeconds = lambda: 1.0
        self.turns.doRead()
        self.assertEqual(len(protocol.said), 10)

    def test_staysAwake(self) -> None:
        """
        As long as somebody answers promptly the reactor does not go to sleep, and others
        have their turn all the time; it ends with him, and with the queue.
        """
        now = [0.0]
        self.turns._isAwake = True
        self.turns._seconds = lambda: now[0]
        self.turns._processorSeconds = lambda: 0.0
        protocol, _, client = self.open()

        def answer(data: bytes) -> None:
            now[0] += 0.00015
            if len(protocol.said) < 30:
                client.send(b"more")

        protocol.answer = answer
        client.send(b"first")
        self.turns.doRead()
        self.turns.doRead()
        heard = [len(protocol.said)]
        while self.reactor.getDelayedCalls():
            self.reactor.advance(0)
            heard.append(len(protocol.said))
        self.assertEqual(heard, [9, 30])
        self.turns._stayAwake()
        self.turns._close()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_caution(self) -> None:
        """The longer nobody answers promptly the rarer that is waited for; one who does counts."""
        self.turns._processorSeconds = lambda: 0.0
        protocol, _, client = self.open()
        waits: list[int] = []

        def look() -> None:
            before = self.turns._discouraged
            self.turns.doRead()
            if self.turns._discouraged > before:
                waits.append(self.turns._discouraged)

        while len(waits) < 9:
            look()
        self.assertEqual(waits, [1, 2, 4, 8, 16, 32, 64, 100, 100])
        protocol.answer = lambda data: client.send(b"more") if len(protocol.said) < 3 else None
        self.turns._discouraged = 0
        client.send(b"more")
        look()
        self.assertEqual((len(protocol.said), waits[-1]), (3, 1))

    def test_end(self) -> None:
        """The end of what a client says is the end of the connection."""
        protocol, transport, client = self.open()
        client.send(b"bye")
        client.close()
        self.turns.doRead()
        self.turns.doRead()
        self.assertEqual((protocol.said, protocol.lost), ([b"bye"], [ConnectionDone]))
        self.assertEqual(self.turns.getReaders(), [])
        self.assertFalse(transport.connected)

    def test_halfEnd(self) -> None:
        """A protocol that knows of half connections is told of that end, and can still speak."""
        protocol, transport, client = self.open(HalfListener())
        client.shutdown(socket.SHUT_WR)
        self.turns.doRead()
        self.assertEqual((protocol.halves, protocol.lost), (["read"], []))
        transport.write(b"220 hello\r\n")
        self.turns.doRead()
        self.assertEqual(client.recv(100), b"220 hello\r\n")

    def test_writing(self) -> None:
        """What a client does not take at once is sent when it does; its producer is told."""
        _, transport, client = self.open()
        calls: list[str] = []

        class Producer:
            """Counts."""

            def pauseProducing(self) -> None:
                calls.append("pause")

            def resumeProducing(self) -> None:
                calls.append("resume")

            def stopProducing(self) -> None:
                calls.append("stop")

        transport.registerProducer(Producer(), True)
        data = bytes(2_000_000)
        transport.write(data)
        self.assertEqual((calls, self.turns.getWriters()), (["pause"], [transport]))
        received = 0
        while received < len(data):
            self.turns.doRead()
            received += len(client.recv(1 << 20))
        self.turns.doRead()
        self.assertEqual((calls, self.turns.getWriters()), (["pause", "resume"], []))
        self.assertEqual(self.turns.getReaders(), [transport])

    def test_pausing(self) -> None:
        """Who is paused is not read, and is when it goes on."""
        protocol, transport, client = self.open()
        transport.pauseProducing()
        client.send(b"hello")
        self.turns.doRead()
        self.assertEqual(protocol.said, [])
        transport.resumeProducing()
        self.turns.doRead()
        self.assertEqual(protocol.said, [b"hello"])

    def test_closedByAnother(self) -> None:
        """One whose turn has come may end another that is ready as well."""
        first, second = self.open(), self.open()
        for each, other in ((first, second), (second, first)):
            each[0].answer = lambda data, other=other: other[1].connectionLost(
                Failure(ConnectionDone())
            )
            each[2].send(b"hello")
        self.turns.doRead()
        self.assertEqual(len(first[0].said + second[0].said), 1)
        self.assertEqual(first[0].lost + second[0].lost, [ConnectionDone])
        self.turns.doRead()

    def test_closedByItself(self) -> None:
        """One may end itself while it is read, though it could be written to as well."""
        protocol, transport, client = self.open()
        transport.write(b"x")
        protocol.answer = lambda data: transport.connectionLost(Failure(ConnectionDone()))
        client.send(b"hello")
        self.turns.doRead()
        self.assertEqual((protocol.lost, self.turns.getReaders()), ([ConnectionDone], []))

    def test_failing(self) -> None:
        """A protocol that fails is logged, and costs its own connection only."""
        records: list[Any] = []
        self.patch(module, "_log", module.Logger("x", observer=records.append))
        protocol, _, client = self.open()
        other = self.open()
        protocol.answer = lambda data: 1 // 0
        client.send(b"hello")
        other[2].send(b"hello")
        self.turns.doRead()
        self.assertEqual((protocol.lost, len(records)), ([ZeroDivisionError], 1))
        self.assertEqual((other[0].said, other[0].lost), ([b"hello"], []))

    def test_abort(self) -> None:
        """An aborted connection ends with the reactor's next turn."""
        protocol, transport, client = self.open()
        transport.abortConnection()
        self.assertEqual(protocol.lost, [])
        self.reactor.advance(0)
        self.assertEqual(protocol.lost, [ConnectionAborted])
        self.assertEqual(client.recv(1), b"")

    def test_reset(self) -> None:
        """A connection that is lost while nobody reads it is noticed by who writes."""
        protocol, transport, client = self.open()
        transport.pauseProducing()
        transport.write(bytes(2_000_000))
        client.close()
        self.turns.doRead()
        self.assertEqual(protocol.lost, [ConnectionLost])

    def test_otherDescriptors(self) -> None:
        """What is no transport is told of an end as well."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        lost: list[type[BaseException]] = []

        class Bare:
            """Only what is asked of a descriptor."""

            fileno = ours.fileno

            def doRead(self) -> Exception:
                return ConnectionDone()

            def connectionLost(self, reason: Failure) -> None:
                lost.append(type(reason.value))

        self.turns.addReader(Bare())
        theirs.close()
        self.turns.doRead()
        self.assertEqual((lost, self.turns.getReaders()), ([ConnectionDone], []))

    def test_loseConnection(self) -> None:
        """What was written before the end is sent."""
        protocol, transport, client = self.open()
        transport.write(b"221 Bye.\r\n")
        transport.loseConnection()
        self.turns.doRead()
        self.assertEqual((client.recv(100), client.recv(100)), (b"221 Bye.\r\n", b""))
        self.assertEqual(protocol.lost, [ConnectionDone])

    def test_loseWriteConnection(self) -> None:
        """With nothing to send the client hears the end at once; it may go on to speak."""
        protocol, transport, client = self.open(HalfListener())
        transport.loseWriteConnection()
        self.assertEqual((client.recv(1), protocol.halves), (b"", ["write"]))
        transport.loseWriteConnection()
        client.send(b"more")
        self.turns.doRead()
        self.assertEqual((protocol.said, protocol.halves), ([b"more"], ["write"]))
        transport.loseConnection()
        self.assertEqual(protocol.lost, [ConnectionDone])

    def test_loseWriteConnectionLater(self) -> None:
        """With something to send it is sent before."""
        protocol, transport, client = self.open(HalfListener())
        transport.write(b"221 Bye.\r\n")
        transport.loseWriteConnection()
        self.assertEqual(protocol.halves, [])
        self.turns.doRead()
        self.assertEqual((client.recv(100), client.recv(100)), (b"221 Bye.\r\n", b""))
        self.assertEqual(protocol.halves, ["write"])

    def test_reactorEnds(self) -> None:
        """When the reactor ends, so do the connections."""
        protocol, _, client = self.open()
        self.turns.connectionLost(Failure(ConnectionLost()))
        self.assertEqual((protocol.lost, client.recv(1)), ([ConnectionLost], b""))
        self.assertEqual((self.reactor.getReaders(), self.turns.fileno()), ([], -1))

    def test_leaving(self) -> None:
        """One that is left ends when the last connection does, or at once."""
        _, transport, _ = self.open()
        self.turns.leave()
        self.assertEqual(self.reactor.getReaders(), [self.turns])
        transport.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.reactor.getReaders(), [])
        other = Turns(self.reactor)
        other.leave()
        self.assertEqual((self.reactor.getReaders(), other.fileno()), ([], -1))

    def test_endWhileLeaving(self) -> None:
        """Who is asked to end then, or goes on after a pause, is served to the end."""
        protocol, transport, client = self.open()
        self.turns.leave()
        transport.pauseProducing()
        self.assertEqual(self.reactor.getReaders(), [])
        transport.resumeProducing()
        client.send(b"hello")
        self.turns.doRead()
        transport.write(b"421 Bye.\r\n")
        transport.loseConnection()
        self.turns.doRead()
        self.assertEqual((client.recv(100), client.recv(100)), (b"421 Bye.\r\n", b""))
        self.assertEqual((protocol.said, protocol.lost), ([b"hello"], [ConnectionDone]))
        self.assertEqual((self.reactor.getReaders(), self.turns.fileno()), ([], -1))

    def test_names(self) -> None:
        """Logs and people can tell transports apart."""
        _, transport, _ = self.open()
        self.assertEqual(transport.logPrefix(), "Listener,1,192.0.2.1")
        self.assertEqual(repr(transport), "<Incoming #1 from 192.0.2.1>")
        self.assertEqual(self.turns.logPrefix(), "FileHub")
