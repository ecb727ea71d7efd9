"""
L{filehub.transfer.transports}: a connection that a protocol lends to a transfer; in
memory, and over loopback where the kernel path is.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from filehub.errors import PeerGone
from filehub.transfer.pump import receive, send
from filehub.transfer.transports import LentStream, TransportStream, adoptTransport
from tests.transfer.doubles import (
    BackedReadHandle,
    BackedWriteHandle,
    content,
    reset,
    turns,
)

MIB = 1024 * 1024


class Transport(StringTransport):
    """A transport in memory that knows C{abortConnection} as an effect."""

    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class TransportStreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.transport = Transport()
        self.stream = TransportStream(self.clock, self.transport, prefix=b"pre")

    def lose(self, reason: Exception) -> None:
        self.stream.connectionLost(Failure(reason))

    def read(self, maximum: int = 100) -> Deferred[bytes]:
        return ensureDeferred(self.stream.read(maximum))

    def test_prefixFirstThenWhatArrives(self) -> None:
        """Bytes that the protocol had come first; reading starts when they are used up."""
        self.assertEqual(self.successResultOf(self.read(2)), b"pr")
        self.assertEqual(self.successResultOf(self.read()), b"e")
        self.assertEqual(self.transport.producerState, "paused")
        reading = self.read()
        self.assertEqual(self.transport.producerState, "producing")
        self.stream.dataReceived(b"more")
        self.assertEqual(self.successResultOf(reading), b"more")

    def test_bufferIsBounded(self) -> None:
        """A client that sends without being read is paused."""
        self.read(3)
        self.read().addErrback(lambda _: None)
        for _ in range(6):
            self.stream.dataReceived(bytes(65536))
        self.assertEqual(self.transport.producerState, "paused")

    def test_writesWaitForTheTransport(self) -> None:
        """While the transport has enough, a write waits."""
        self.stream.pauseProducing()
        writing = ensureDeferred(self.stream.write(memoryview(b"data")))
        self.assertEqual(self.transport.value(), b"data")
        self.assertNoResult(writing)
        self.stream.resumeProducing()
        self.successResultOf(writing)

    def test_endsDiffer(self) -> None:
        """ConnectionDone is a clean end after what was received, all else is PeerGone."""
        self.lose(ConnectionDone())
        self.assertEqual(self.successResultOf(self.read()), b"pre")
        self.assertEqual(self.successResultOf(self.read()), b"")
        self.stream = TransportStream(self.clock, Transport())
        reading = self.read()
        self.lose(ConnectionLost())
        self.failureResultOf(reading, PeerGone)

    def test_lossWakesWriterAndSleeper(self) -> None:
        """A lost connection ends every wait."""
        self.stream.pauseProducing()
        writing = ensureDeferred(self.stream.write(b"data"))
        pausing = self.stream.pause(100)
        self.lose(ConnectionLost())
        self.failureResultOf(writing, PeerGone)
        self.successResultOf(pausing)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.failureResultOf(ensureDeferred(self.stream.write(b"x")), PeerGone)

    def test_abort(self) -> None:
        """Abort aborts the transport, wakes who waits, and may be repeated."""
        self.read(3)
        reading = self.read()
        self.stream.abort()
        self.stream.abort()
        self.failureResultOf(reading, PeerGone)
        self.assertTrue(self.transport.aborted)

    def test_cancelledWaits(self) -> None:
        """A cancelled wait leaves nothing, and the stream usable."""
        self.read(3)
        reading = self.read()
        reading.cancel()
        self.failureResultOf(reading, CancelledError)
        pausing = self.stream.pause(5)
        pausing.cancel()
        self.failureResultOf(pausing, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.stream.dataReceived(b"x")
        self.assertEqual(self.successResultOf(self.read()), b"x")

    def test_release(self) -> None:
        """What is left goes back to the protocol, which reads again and may write."""
        self.assertEqual(self.stream.release(), b"pre")
        self.assertEqual(self.stream.release(), b"")
        self.assertEqual(self.transport.producerState, "producing")
        self.assertIsNone(self.transport.producer)

    def test_finish(self) -> None:
        """Finish closes and waits for the close; a client that never closes is aborted."""
        finishing = ensureDeferred(self.stream.finish())
        self.assertTrue(self.transport.disconnecting)
        self.assertNoResult(finishing)
        self.lose(ConnectionDone())
        self.successResultOf(finishing)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.transport = Transport()
        self.stream = TransportStream(self.clock, self.transport)
        finishing = ensureDeferred(self.stream.finish())
        self.clock.advance(31)
        self.assertTrue(self.transport.aborted)
        self.lose(ConnectionLost())
        self.failureResultOf(finishing, PeerGone)


class Lender(Protocol):
    """Lends its connection, and notes what it is told otherwise."""

    stream: LentStream | None = None

    def __init__(self) -> None:
        self.received = b""
        self.lost: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        if self.stream is not None:
            self.stream.dataReceived(data)
        else:
            self.received += data

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        if self.stream is not None:
            self.stream.connectionLost(reason)
        self.lost.callback(None)

    async def lend(self, prefix: bytes = b"") -> LentStream:
        self.stream = await adoptTransport(reactor, self.transport, prefix=prefix)
        return self.stream

    def takeBack(self) -> None:
        assert self.stream is not None
        self.received += self.stream.release()
        self.stream = None


class AdoptTests(TestCase):
    """On a plain TCP transport, with a client that is a bare socket."""

    timeout = 20

    async def setUp(self) -> None:  # type: ignore[override]
        connected: Deferred[Lender] = Deferred()

        class Lenders(Factory):
            def buildProtocol(self, address: Any) -> Lender:
                lender = Lender()
                reactor.callLater(0, connected.callback, lender)  # type: ignore[attr-defined]
                return lender

        port = reactor.listenTCP(0, Lenders(), interface="127.0.0.1")  # type: ignore[attr-defined]
        self.client = socket.create_connection(("127.0.0.1", port.getHost().port), timeout=5)
        self.addCleanup(self.client.close)
        self.lender = await connected
        await port.stopListening()

    async def tearDown(self) -> None:  # type: ignore[override]
        if not self.lender.lost.called:
            self.lender.transport.abortConnection()  # type: ignore[union-attr]
            await self.lender.lost
        readers = [each for each in reactor.getReaders() if "Stream" in repr(each)]  # type: ignore[attr-defined]
        self.assertEqual(readers, [])

    def written(self, data: bytes) -> str:
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(data)
        return path

    async def takeAll(self, length: int) -> bytes:
        self.client.setblocking(False)
        parts, size = [], 0
        while size < length:
            try:
                parts.append(self.client.recv(MIB))
                self.assertNotEqual(parts[-1], b"")
                size += len(parts[-1])
            except BlockingIOError:
                await turns(0.001)
        self.client.settimeout(5)
        return b"".join(parts)

    async def test_sendOvertakesNothing(self) -> None:
        """A file comes after everything that was written before it, by the kernel's way."""
        data = content(3 * MIB)
        before = b"r" * (6 * MIB)
        handle = BackedReadHandle(self.written(data))
        self.addCleanup(os.close, handle.descriptor)
        self.lender.transport.write(before)  # type: ignore[union-attr]

        async def serve() -> Any:
            stream = await self.lender.lend()
            report = await send(handle, stream)
            self.lender.takeBack()
            self.lender.transport.write(b"after")  # type: ignore[union-attr]
            return report

        serving = ensureDeferred(serve())
        got = await self.takeAll(len(before) + len(data) + 5)
        self.assertTrue(got == before + data + b"after")
        self.assertEqual((await serving).path, "kernel")

    async def test_receiveGivesTheRestBack(self) -> None:
        """An upload of a known length leaves the next command to the protocol."""
        data = content(3 * MIB)
        target = BackedWriteHandle(self.written(b""))
        self.addCleanup(target.close)

        async def serve() -> Any:
            stream = await self.lender.lend(prefix=data[:1000])
            return await receive(stream, target, length=len(data))

        serving = ensureDeferred(serve())
        rest = memoryview(data[1000:] + b"NEXT")
        self.client.setblocking(False)
        while rest:
            try:
                rest = rest[self.client.send(rest) :]
            except BlockingIOError:
                await turns(0.001)
        report = await serving
        self.lender.takeBack()
        await turns()
        self.assertTrue(target.stored() == data)
        self.assertEqual((report.nbytes, report.path), (len(data), "kernel"))
        self.assertEqual(self.lender.received, b"NEXT")

    async def test_prefixBeyondTheFile(self) -> None:
        """When the protocol already has the whole file and more, the rest comes back."""
        target = BackedWriteHandle(self.written(b""))
        self.addCleanup(target.close)
        stream = await self.lender.lend(prefix=b"filenext")
        await receive(stream, target, length=4)
        self.lender.takeBack()
        self.assertEqual((target.stored(), self.lender.received), (b"file", b"next"))

    async def test_resetWhileLent(self) -> None:
        """A reset is PeerGone for the transfer, and after that the protocol's loss."""
        stream = await self.lender.lend()
        reading = ensureDeferred(stream.read(10))
        reset(self.client)
        await self.assertFailure(reading, PeerGone)
        stream.abort()
        await self.lender.lost

    async def test_protocolAborts(self) -> None:
        """When the protocol closes (kick, shutdown) the transfer ends."""
        stream = await self.lender.lend()
        reading = ensureDeferred(stream.read(10))
        self.lender.transport.abortConnection()  # type: ignore[union-attr]
        await self.assertFailure(reading, PeerGone)
        await self.lender.lost

    async def test_adoptionCancelled(self) -> None:
        """While the client does not take the replies, the adoption can be cancelled."""
        self.lender.transport.write(bytes(32 * MIB))  # type: ignore[union-attr]
        lending = ensureDeferred(self.lender.lend())
        await turns()
        self.assertFalse(lending.called)
        lending.cancel()
        await self.assertFailure(lending, CancelledError)

    async def test_noDescriptorLeft(self) -> None:
        """Without a descriptor for the duplicate it goes through the transport."""

        def noDup(sock: socket.socket) -> None:
            raise OSError(24, "Too many open files")

        self.patch(socket.socket, "dup", noDup)
        stream = await self.lender.lend()
        self.assertIsNone(stream.kernelSocket)
        await stream.write(b"hello")
        self.assertEqual(await self.takeAll(5), b"hello")
        self.lender.takeBack()

    async def test_finish(self) -> None:
        """Finish flushes and closes the protocol's connection."""
        stream = await self.lender.lend()
        await stream.write(b"bye")
        finishing = ensureDeferred(stream.finish())
        await turns()
        self.assertEqual(self.client.recv(10), b"bye")
        self.assertEqual(self.client.recv(10), b"")
        await finishing
