"""L{filehub.transfer.sockets} over loopback."""

import socket
import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from filehub.errors import PeerGone, Stalled
from filehub.transfer import sockets
from filehub.transfer.sockets import SocketStream
from tests.transfer.doubles import content, readAll, reset, socketPair, streamPair, turns

MIB = 1024 * 1024


class SocketStreamTests(TestCase):
    timeout = 20

    def setUp(self) -> None:
        server, self.client = socketPair()
        self.stream = SocketStream(reactor, server)
        self.addCleanup(self.client.close)
        self.addCleanup(self.stream.abort)

    def assertNotRegistered(self, stream: SocketStream | None = None) -> None:
        each: Any = stream or self.stream
        self.assertNotIn(each, reactor.getReaders())  # type: ignore[attr-defined]
        self.assertNotIn(each, reactor.getWriters())  # type: ignore[attr-defined]

    def test_provides(self) -> None:
        """The reactor gets what it expects."""
        verifyObject(IReadWriteDescriptor, self.stream)

    async def test_registeredOnlyWhileWaited(self) -> None:
        """Nobody waits: the reactor does not know the socket, whatever arrives."""
        self.client.sendall(b"early")
        await turns()
        self.assertNotRegistered()
        reading = ensureDeferred(self.stream.read(100))
        self.assertEqual(await reading, b"early")
        self.assertNotRegistered()
        reading = ensureDeferred(self.stream.read(100))
        self.assertIn(self.stream, reactor.getReaders())  # type: ignore[attr-defined]
        self.client.sendall(b"late")
        self.assertEqual(await reading, b"late")
        await turns(0)
        self.assertNotRegistered()

    async def test_atOnceWithoutTheReactor(self) -> None:
        """What can be done at once does not suspend."""
        self.client.sendall(b"x")
        await turns()
        self.assertEqual(self.successResultOf(ensureDeferred(self.stream.read(9))), b"x")
        self.successResultOf(ensureDeferred(self.stream.write(b"y")))
        self.successResultOf(ensureDeferred(self.stream.finish()))
        self.assertEqual(self.client.recv(9), b"y")

    async def test_cleanEndAndResetDiffer(self) -> None:
        """FIN is an empty read, RST is PeerGone."""
        self.client.sendall(b"x")
        self.client.shutdown(socket.SHUT_WR)
        self.assertEqual(await readAll(self.stream), b"x")
        server, client = socketPair()
        stream = SocketStream(reactor, server)
        self.addCleanup(stream.abort)
        reading = ensureDeferred(stream.read(9))
        reset(client)
        await self.assertFailure(reading, PeerGone)
        await turns(0)
        self.assertNotRegistered(stream)

    async def test_resetWhileWriting(self) -> None:
        """A writer that waits learns of the reset."""
        writing = ensureDeferred(self.stream.write(content(32 * MIB)))
        await turns()
        reset(self.client)
        await self.assertFailure(writing, PeerGone)
        self.assertNotRegistered()

    async def test_cancelLeavesNothingRegistered(self) -> None:
        """Cancelled waits, of each kind, are out of the reactor at once."""
        ours, theirs = streamPair()
        self.addCleanup(theirs.abort)
        for start in (lambda: ours.read(1), lambda: ours.write(bytes(32 * MIB))):
            waiting = ensureDeferred(start())
            waiting.cancel()
            self.assertNotRegistered(ours)
            await self.assertFailure(waiting, CancelledError)
        pausing = ours.pause(100)
        pausing.cancel()
        await self.assertFailure(pausing, CancelledError)
        ours.abort()

    async def test_abortWakesAll(self) -> None:
        """Abort resets the peer, wakes reader, writer and sleeper, and may be repeated."""
        reading = ensureDeferred(self.stream.read(1))
        writing = ensureDeferred(self.stream.write(bytes(32 * MIB)))
        pausing = self.stream.pause(100)
        self.stream.abort()
        self.stream.abort()
        for each in (reading, writing, pausing):
            await self.assertFailure(each, PeerGone)
        self.assertNotRegistered()
        self.assertEqual(self.stream.fileno(), -1)
        with self.assertRaises(ConnectionResetError):
            while self.client.recv(MIB):
                pass

    async def test_closedIsGone(self) -> None:
        """After the end everything says so."""
        self.stream.abort()
        for coroutine in (self.stream.read(1), self.stream.write(b"x"), self.stream.finish()):
            with self.assertRaises(PeerGone):
                await coroutine
        for method in (self.stream.readable, self.stream.writable, self.stream.detach):
            with self.assertRaises(PeerGone):
                method()
        with self.assertRaises(PeerGone):
            self.stream.pause(0)
        self.assertEqual(self.stream.backlog(), 0)

    async def test_finishDoesNotLoseWhatWasSent(self) -> None:
        """Unread input does not turn the close into a reset that destroys our bytes."""
        data = content(MIB)
        self.client.sendall(b"noise nobody reads")
        await turns()
        finishing = ensureDeferred(self._writeAndFinish(data))
        got = b""
        while len(got) < len(data):
            await turns(0)
            got += self.client.recv(MIB)
        await finishing
        self.assertEqual(got, data)
        self.assertEqual(self.client.recv(1), b"")

    async def _writeAndFinish(self, data: bytes) -> None:
        await self.stream.write(data)
        await self.stream.finish()

    async def test_finishTellsALostTail(self) -> None:
        """A client that resets while much is still on its way did not get the file."""
        finishing = ensureDeferred(self._writeAndFinish(content(2 * MIB)))
        await turns()
        self.assertFalse(finishing.called)
        reset(self.client)
        await self.assertFailure(finishing, PeerGone)
        self.assertIsNone(self.stream.kernelSocket)

    async def test_finishIsBounded(self) -> None:
        """A client that stops taking the tail is given up."""
        self.patch(sockets, "_FINISH_STEP", 0.1)
        self.stream.patience = 0.2
        finishing = ensureDeferred(self._writeAndFinish(content(2 * MIB)))
        await self.assertFailure(finishing, Stalled)
        self.assertIsNone(self.stream.kernelSocket)

    async def test_finishCancelled(self) -> None:
        """Cancelled while it waits for the tail, it closes with a reset."""
        finishing = ensureDeferred(self._writeAndFinish(content(2 * MIB)))
        await turns()
        finishing.cancel()
        await self.assertFailure(finishing, CancelledError)
        self.assertIsNone(self.stream.kernelSocket)

    async def test_finishAfterReset(self) -> None:
        """A reset that has already come is told by finish."""
        await self.stream.write(b"x")
        reset(self.client)
        await turns()
        with self.assertRaises(PeerGone):
            await self.stream.finish()
        self.assertIsNone(self.stream.kernelSocket)

    async def test_backlogShrinksAsThePeerReads(self) -> None:
        """The backlog is what the peer has not acknowledged."""
        writing = ensureDeferred(self.stream.write(bytes(32 * MIB)))
        await turns(0.1)
        before = self.stream.backlog()
        self.assertGreater(before, 0)
        self.client.setblocking(False)
        taken = 0
        give = time.monotonic() + 5
        while self.stream.backlog() == before and time.monotonic() < give:
            try:
                taken += len(self.client.recv(65536))
            except BlockingIOError:
                await turns(0.001)
        self.assertNotEqual(self.stream.backlog(), before)
        writing.cancel()
        await self.assertFailure(writing, CancelledError)

    async def test_detach(self) -> None:
        """Whoever takes the socket gets it open, and the stream is done."""
        reading = ensureDeferred(self.stream.read(1))
        sock = self.stream.detach()
        await self.assertFailure(reading, PeerGone)
        self.assertNotRegistered()
        self.client.sendall(b"z")
        sock.settimeout(5)
        self.assertEqual(sock.recv(1), b"z")
        sock.close()

    async def test_reactorLetsGo(self) -> None:
        """When the reactor drops it (at its stop), waits end instead of starting again."""
        reading = ensureDeferred(self.stream.read(1))
        reactor.removeReader(self.stream)  # type: ignore[attr-defined]
        self.stream.connectionLost(Failure(ConnectionLost()))
        await self.assertFailure(reading, PeerGone)

    async def test_bothDirectionsAtOnce(self) -> None:
        """One reader and one writer may wait at the same time."""
        ours, theirs = streamPair()
        data = content(8 * MIB)

        async def pour(stream: SocketStream) -> None:
            await stream.write(data)

        async def take(stream: SocketStream) -> bytes:
            parts, size = [], 0
            while size < len(data):
                parts.append(await stream.read(MIB))
                size += len(parts[-1])
            return b"".join(parts)

        running = [ensureDeferred(pour(ours)), ensureDeferred(pour(theirs))]
        taken = [ensureDeferred(take(ours)), ensureDeferred(take(theirs))]
        for each in taken:
            self.assertTrue(await each == data)
        for one in running:
            await one
        await ours.finish()
        await theirs.finish()
