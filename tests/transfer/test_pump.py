"""
L{filehub.transfer.pump} over loopback: the same cases by copying and by kernel.
"""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import AsyncIterator
from functools import partial
from itertools import count
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, gatherResults
from twisted.trial.unittest import TestCase

from filehub.deadlines import Deadlines
from filehub.errors import NoSpace, PeerGone, Stalled, StorageUnavailable
from filehub.transfer import _kernel
from filehub.transfer.progress import Progress
from filehub.transfer.pump import gather, receive, send, sendChunks
from filehub.transfer.ratelimit import TokenBucket
from filehub.transfer.sockets import SocketStream
from filehub.transfer.translate import TextDecoder, TextEncoder
from tests.transfer.doubles import (
    BackedReadHandle,
    BackedWriteHandle,
    ReadHandle,
    WriteHandle,
    content,
    readAll,
    reset,
    socketPair,
    streamPair,
    turns,
)

MIB = 1024 * 1024


class PumpCase(TestCase):
    timeout = 30

    readHandle: type[ReadHandle] = ReadHandle
    writeHandle: type[WriteHandle] = WriteHandle
    path = "copy"

    def setUp(self) -> None:
        self.ours, self.theirs = streamPair()
        self.addCleanup(self.ours.abort)
        self.addCleanup(self.theirs.abort)
        # What one test thinks of the disk is nothing to the next.
        self.patch(_kernel, "reading", _kernel._StopLoss())
        self.patch(_kernel, "writing", _kernel._StopLoss())

    def tearDown(self) -> None:
        self.assertEqual(_kernel._pipe._users, 0)

    def source(self, data: bytes) -> ReadHandle:
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(data)
        handle = self.readHandle(path)
        self.addCleanup(os.close, handle.descriptor)
        return handle

    def target(self, already: bytes = b"") -> WriteHandle:
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(already)
        handle = self.writeHandle(path, len(already))
        self.addCleanup(handle.close)
        return handle

    def rawPair(self) -> tuple[SocketStream, socket.socket]:
        server, client = socketPair()
        stream = SocketStream(reactor, server)
        self.addCleanup(client.close)
        self.addCleanup(stream.abort)
        return stream, client

    def assertReturned(self, handle: Any) -> None:
        """No lease is left."""
        self.assertEqual(getattr(handle, "leases", 0), 0)


class SendCases:
    """Downloads, by whatever path."""

    async def both(self: Any, sending: Any) -> tuple[Any, bytes]:
        reading = ensureDeferred(readAll(self.theirs))
        report = await sending
        await self.ours.finish()
        return report, await reading

    async def test_wholeFile(self: Any) -> None:
        """A file larger than all buffers arrives byte for byte."""
        data = content(9 * MIB + 4321)
        progress = Progress()
        report, got = await self.both(send(self.source(data), self.ours, progress=progress))
        self.assertTrue(got == data)
        self.assertEqual(report, (len(data), self.path))
        self.assertEqual(progress.nbytes, len(data))

    async def test_smallAndEmpty(self: Any) -> None:
        """Small files need no second look at the socket; empty ones send nothing."""
        for length in (1, 4096, 64 * 1024):
            self.ours, self.theirs = streamPair()
            self.addCleanup(self.theirs.abort)
            data = content(length)
            report, got = await self.both(send(self.source(data), self.ours))
            self.assertEqual(got, data)
            self.assertEqual(report.nbytes, length)
        self.ours, self.theirs = streamPair()
        report, got = await self.both(send(self.source(b""), self.ours))
        self.assertEqual((report.nbytes, got), (0, b""))

    async def test_part(self: Any) -> None:
        """An offset and a length select a part; beyond the end there is nothing."""
        data = content(3 * MIB)
        handle = self.source(data)
        report, got = await self.both(send(handle, self.ours, offset=12345, length=2 * MIB))
        self.assertTrue(got == data[12345 : 12345 + 2 * MIB])
        self.assertEqual(report.path, self.path)
        self.ours, self.theirs = streamPair()
        report, got = await self.both(send(handle, self.ours, offset=len(data)))
        self.assertEqual((report.nbytes, got), (0, b""))

    async def test_growingFile(self: Any) -> None:
        """What is appended while it is sent is not sent."""
        data = content(5 * MIB)
        handle = self.source(data)
        path = os.readlink(f"/proc/self/fd/{handle.descriptor}")
        sending = ensureDeferred(send(handle, self.ours))
        with open(path, "ab") as file:
            file.write(b"more")
        _report, got = await self.both(sending)
        self.assertEqual(len(got), len(data))

    async def test_shrinkingFile(self: Any) -> None:
        """A file that is cut while it is sent is an error; nothing is made up."""
        data = content(24 * MIB)
        handle = self.source(data)
        path = os.readlink(f"/proc/self/fd/{handle.descriptor}")
        sending = ensureDeferred(send(handle, self.ours))
        await turns()
        os.truncate(path, MIB)
        reading = ensureDeferred(readAll(self.theirs))
        with self.assertRaises(StorageUnavailable):
            await sending
        self.ours.abort()
        await self.assertFailure(reading, PeerGone)
        self.assertReturned(handle)

    async def test_peerResets(self: Any) -> None:
        """A reset in the middle is PeerGone, and the handle is free."""
        stream, client = self.rawPair()
        handle = self.source(content(24 * MIB))
        sending = ensureDeferred(send(handle, stream))
        await turns()
        client.recv(1000)
        reset(client)
        with self.assertRaises(PeerGone):
            await sending
        self.assertReturned(handle)

    async def test_readerThatStops(self: Any) -> None:
        """With a client that does not read the memory stays flat, and cancelling ends it."""
        stream, _client = self.rawPair()
        handle = self.source(b"")
        os.truncate(os.readlink(f"/proc/self/fd/{handle.descriptor}"), 300 * MIB)
        handle.size = 300 * MIB
        progress = Progress()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        sending = ensureDeferred(send(handle, stream, progress=progress))
        await turns(0.2)
        first = progress.nbytes
        await turns(0.1)
        self.assertEqual(progress.nbytes, first)
        self.assertLess(first, 32 * MIB)
        self.assertLess(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, 16 * 1024)
        sending.cancel()
        await self.assertFailure(sending, CancelledError)
        self.assertReturned(handle)
        self.assertNotIn(stream, reactor.getWriters())  # type: ignore[attr-defined]
        stream.abort()

    async def test_stall(self: Any) -> None:
        """A client that stops taking bytes is Stalled, after about that time."""
        stream, _client = self.rawPair()
        deadlines = Deadlines(reactor, granularity=0.05)  # type: ignore[arg-type]
        told: list[str] = []
        progress = Progress(deadlines, 0.4, lambda: told.append("stalled"))
        progress._interval = 0.1
        began = reactor.seconds()  # type: ignore[attr-defined]
        with self.assertRaises(Stalled):
            await send(self.source(content(24 * MIB)), stream, progress=progress)
        self.assertLess(reactor.seconds() - began, 2)  # type: ignore[attr-defined]
        self.assertEqual(told, ["stalled"])
        self.assertEqual(deadlines._slots, {})

    async def test_slowReaderIsNotStalled(self: Any) -> None:
        """While the client takes a little now and then, all is well."""
        stream, client = self.rawPair()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        deadlines = Deadlines(reactor, granularity=0.05)  # type: ignore[arg-type]
        progress = Progress(deadlines, 0.4)
        progress._interval = 0.1
        sending = ensureDeferred(send(self.source(content(24 * MIB)), stream, progress=progress))
        for _ in range(8):
            await turns(0.15)
            client.recv(100_000)
        self.assertFalse(sending.called)
        sending.cancel()
        await self.assertFailure(sending, CancelledError)

    async def test_limited(self: Any) -> None:
        """A limiter governs this path as well: it takes its time, and all arrives."""
        data = content(MIB)
        began = reactor.seconds()  # type: ignore[attr-defined]
        limiter = TokenBucket(reactor, 4 * MIB, 64 * 1024)  # type: ignore[arg-type]
        report, got = await self.both(send(self.source(data), self.ours, limiter=limiter))
        self.assertTrue(got == data)
        self.assertEqual(report.path, self.path)
        self.assertGreater(reactor.seconds() - began, 0.2)  # type: ignore[attr-defined]

    async def test_othersHaveTheirTurn(self: Any) -> None:
        """While a file flows, the reactor does other things in between."""
        ticks = []

        def tick() -> None:
            ticks.append(None)
            self.call = reactor.callLater(0, tick)  # type: ignore[attr-defined]

        tick()
        await self.both(send(self.source(content(16 * MIB)), self.ours))
        self.call.cancel()
        self.assertGreater(len(ticks), 15)


class ReceiveCases:
    """Uploads, by whatever path."""

    async def both(self: Any, data: bytes, receiving: Any, *, finish: bool = True) -> Any:
        receiving = ensureDeferred(receiving)
        await self.theirs.write(data)
        if finish:
            await self.theirs.finish()
        return await receiving

    async def test_wholeFile(self: Any) -> None:
        """An upload larger than all buffers is stored byte for byte, uncommitted."""
        data = content(9 * MIB + 4321)
        target = self.target()
        progress = Progress()
        report = await self.both(data, receive(self.ours, target, progress=progress))
        self.assertTrue(target.stored() == data)
        self.assertEqual(report, (len(data), self.path))
        self.assertEqual(progress.nbytes, len(data))
        self.assertEqual(target.ended, "")
        self.assertReturned(target)

    async def test_smallIsOneWrite(self: Any) -> None:
        """A small upload is one write, and nothing at all is one too few."""
        for length in (1, 4096, 60000):
            self.ours, self.theirs = streamPair()
            target = self.target()
            await self.theirs.write(content(length))
            await self.theirs.finish()
            report = await receive(self.ours, target)
            self.assertEqual(target.stored(), content(length))
            self.assertEqual(target.writes, [length])
            self.assertEqual(report.nbytes, length)
        self.ours, self.theirs = streamPair()
        target = self.target()
        report = await self.both(b"", receive(self.ours, target))
        self.assertEqual((report.nbytes, target.writes), (0, []))

    async def test_continuesAtPosition(self: Any) -> None:
        """Bytes go where the handle says, after those that are there."""
        data = content(2 * MIB)
        target = self.target(b"already")
        await self.both(data, receive(self.ours, target))
        self.assertTrue(target.stored() == b"already" + data)

    async def test_exactLength(self: Any) -> None:
        """With a length not one byte more is taken, and no end is waited for."""
        for length in (0, 100, 3 * MIB + 1):
            self.ours, self.theirs = streamPair()
            target = self.target()
            data = content(length)
            receiving = receive(self.ours, target, length=length)
            report = await self.both(data + b"NEXT", receiving, finish=False)
            self.assertTrue(target.stored() == data)
            self.assertEqual(report.nbytes, length)
            self.assertEqual(await self.ours.read(100), b"NEXT")
            self.theirs.abort()
            self.ours.abort()

    async def test_endBeforeLength(self: Any) -> None:
        """A clean end before the announced length is PeerGone; what came is stored."""
        for length in (1000, 3 * MIB):
            self.ours, self.theirs = streamPair()
            target = self.target()
            data = content(length)
            with self.assertRaises(PeerGone):
                await self.both(data, receive(self.ours, target, length=length + 1))
            self.assertTrue(target.stored() == data)
            self.assertReturned(target)

    async def test_reset(self: Any) -> None:
        """A reset in the middle is PeerGone, never an end, and nothing is left behind."""
        for length in (0, 1000, 3 * MIB):
            stream, client = self.rawPair()
            target = self.target()
            receiving = ensureDeferred(receive(stream, target))
            sent = 0
            client.setblocking(False)
            data = content(length)
            while sent < length:
                try:
                    sent += client.send(data[sent:])
                except BlockingIOError:
                    await turns(0.001)
            await turns()
            reset(client)
            with self.assertRaises(PeerGone):
                await receiving
            self.assertTrue(target.stored() == data)
            self.assertEqual(target.ended, "")
            self.assertEqual(target.inFlight, 0)
            self.assertReturned(target)

    async def test_cancelled(self: Any) -> None:
        """Cancelling ends it, once no write is under way any more."""
        target = self.target()
        target.delay = 0.05
        receiving = ensureDeferred(receive(self.ours, target))
        writing = ensureDeferred(self.theirs.write(content(2 * MIB)))
        await turns(0.03)
        receiving.cancel()
        await self.assertFailure(receiving, CancelledError)
        self.assertEqual(target.inFlight, 0)
        self.assertReturned(target)
        self.assertNotIn(self.ours, reactor.getReaders())  # type: ignore[attr-defined]
        self.ours.abort()
        await self.assertFailure(gatherResults([writing]), Exception).addErrback(lambda _: None)

    async def test_stall(self: Any) -> None:
        """A client that stops sending is Stalled; what it sent is stored."""
        deadlines = Deadlines(reactor, granularity=0.05)  # type: ignore[arg-type]
        for length in (1000, 2 * MIB):
            self.ours, self.theirs = streamPair()
            progress = Progress(deadlines, 0.4)
            progress._interval = 0.1
            target = self.target()
            receiving = ensureDeferred(receive(self.ours, target, progress=progress))
            await self.theirs.write(content(length))
            with self.assertRaises(Stalled):
                await receiving
            self.assertTrue(target.stored() == content(length))
            self.theirs.abort()
        self.assertEqual(deadlines._slots, {})

    async def test_limited(self: Any) -> None:
        """A limiter governs this path as well."""
        data = content(MIB)
        target = self.target()
        began = reactor.seconds()  # type: ignore[attr-defined]
        limiter = TokenBucket(reactor, 4 * MIB, 64 * 1024)  # type: ignore[arg-type]
        report = await self.both(data, receive(self.ours, target, limiter=limiter))
        self.assertTrue(target.stored() == data)
        self.assertEqual(report.path, self.path)
        self.assertGreater(reactor.seconds() - began, 0.2)  # type: ignore[attr-defined]

    async def test_slowStorage(self: Any) -> None:
        """A storage that is slower than the client makes the client wait."""
        target = self.target()
        target.delay = 0.02
        data = content(2 * MIB)
        await self.both(data, receive(self.ours, target))
        self.assertTrue(target.stored() == data)


class CopySendTests(SendCases, PumpCase):
    """Downloads from a handle without a descriptor."""

    async def test_encoded(self) -> None:
        """A translated download is counted in file bytes."""
        data = b"one\ntwo\r\nthree\n" * 100_000
        report, got = await self.both(send(self.source(data), self.ours, encoder=TextEncoder()))
        self.assertTrue(got == data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
        self.assertEqual(report.nbytes, len(data))


class KernelSendTests(SendCases, PumpCase):
    """Downloads by sendfile."""

    readHandle = BackedReadHandle
    path = "kernel"
    if not _kernel.AVAILABLE:
        skip = "no sendfile, splice and RWF_NOWAIT here"

    async def test_cachedFilesAreNotCopied(self) -> None:
        """What is in memory is never read by the handle."""
        handle = self.source(content(4 * MIB))
        await self.both(send(handle, self.ours))
        self.assertEqual(handle.reads, 0)

    async def test_coldFileIsReadByTheHandle(self) -> None:
        """Where the cache has nothing the handle reads, and the kernel path goes on after."""
        data = content(16 * MIB)
        cold = [True]

        def isCached(descriptor: int, start: int, end: int) -> bool:
            return not cold[0] or start >= 8 * MIB

        self.patch(_kernel, "_isCached", isCached)
        handle = self.source(data)
        report, got = await self.both(send(handle, self.ours))
        self.assertTrue(got == data)
        self.assertGreater(handle.reads, 8)
        self.assertLess(handle.reads, 60)
        self.assertEqual(report.path, "kernel")

    async def test_reallyCold(self) -> None:
        """A file that was dropped from the cache arrives all the same."""
        data = content(8 * MIB)
        handle = self.source(data)
        os.fsync(handle.descriptor)
        os.posix_fadvise(handle.descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        _report, got = await self.both(send(handle, self.ours))
        self.assertTrue(got == data)

    async def test_unknownCacheIsABet(self) -> None:
        """Without RWF_NOWAIT one slow call sends everything through the handle."""
        data = content(8 * MIB)
        self.patch(_kernel, "_isCached", lambda *args: None)
        handle = self.source(data)
        report, got = await self.both(send(handle, self.ours))
        self.assertTrue(got == data)
        self.assertEqual((report.path, handle.reads), ("kernel", 0))
        self.ours, self.theirs = streamPair()
        self.patch(_kernel._StopLoss, "LIMIT", -1.0)
        self.patch(_kernel, "_waits", partial(next, count()))
        report, got = await self.both(send(handle, self.ours))
        self.assertTrue(got == data)
        self.assertGreater(handle.reads, 20)

    async def test_manyGoOnEvenly(self) -> None:
        """Several downloads take small steps, and so does each at first: none gets ahead."""
        real = os.sendfile
        asked: list[int] = []

        def ask(out: int, into: int, offset: int, nbytes: int) -> int:
            asked.append(nbytes)
            return real(out, into, offset, nbytes)

        self.patch(os, "sendfile", ask)
        data = content(8 * MIB)
        await self.both(send(self.source(data), self.ours))
        self.assertEqual((asked[0], max(asked)), (MIB // 4, MIB))
        asked.clear()
        self.ours, self.theirs = streamPair()
        other, theirs = streamPair()
        sending = ensureDeferred(send(self.source(data), other))
        reading = ensureDeferred(readAll(theirs))
        _report, got = await self.both(send(self.source(data), self.ours))
        await sending
        await other.finish()
        self.assertTrue(got == data == await reading)
        self.assertEqual(max(asked[: len(asked) // 2]), MIB // 4)

    async def test_sendfileRefused(self) -> None:
        """Where the kernel refuses, copying goes on from the right place."""
        data = content(8 * MIB)
        real = os.sendfile
        calls = []

        def refuse(*args: Any) -> int:
            calls.append(args)
            if len(calls) > 2:
                raise OSError(22, "Invalid argument")
            return real(*args)

        self.patch(os, "sendfile", refuse)
        _report, got = await self.both(send(self.source(data), self.ours))
        self.assertTrue(got == data)


class CopyReceiveTests(ReceiveCases, PumpCase):
    """Uploads to a handle without a descriptor."""

    async def test_decoded(self) -> None:
        """A translated upload is counted in file bytes."""
        target = self.target()
        wire = b"one\r\ntwo\r\n" * 100_000 + b"end\r"
        report = await self.both(wire, receive(self.ours, target, decoder=TextDecoder()))
        data = wire.replace(b"\r\n", b"\n")
        self.assertTrue(target.stored() == data)
        self.assertEqual(report.nbytes, len(data))

    async def test_full(self) -> None:
        """A storage that is full ends the upload with its own error."""
        target = self.target()
        target.room = MIB
        receiving = ensureDeferred(receive(self.ours, target))
        writing = ensureDeferred(self.theirs.write(content(16 * MIB)))
        with self.assertRaises(NoSpace):
            await receiving
        self.assertEqual(target.inFlight, 0)
        self.ours.abort()
        await self.assertFailure(writing, PeerGone)


class KernelReceiveTests(ReceiveCases, PumpCase):
    """Uploads by splice."""

    writeHandle = BackedWriteHandle
    path = "kernel"
    if not _kernel.AVAILABLE:
        skip = "no sendfile, splice and RWF_NOWAIT here"

    async def receiveAll(self, target: Any, pieces: list[bytes], progress: Progress) -> None:
        if not await gather(self.ours, pieces, progress):
            begun = b"".join(pieces)
            await receive(self.ours, target, begun=begun, progress=progress)

    async def test_gathered(self) -> None:
        """A small file that is whole is handed over; of a longer one the rest is received."""
        small, large = content(5000), content(3 * MIB)
        for data in (small, b"", large):
            self.ours, self.theirs = streamPair()
            target = self.target()
            pieces: list[bytes] = []
            progress = Progress()

            await self.both(data, self.receiveAll(target, pieces, progress))
            self.assertEqual(progress.nbytes, len(data))
            isLarge = data is large
            self.assertEqual(b"".join(pieces) == data, not isLarge)
            self.assertEqual(target.stored(), data if isLarge else b"")

    async def test_gatheredAndBroken(self) -> None:
        """What has come of a small file whose sender vanishes is there, to be resumed from."""
        pieces: list[bytes] = []
        receiving = ensureDeferred(gather(self.ours, pieces, Progress()))
        await self.theirs.write(b"half a file")
        await turns(0.02)
        self.theirs.abort()
        with self.assertRaises(PeerGone):
            await receiving
        self.assertEqual(pieces, [b"half a file"])

    async def test_storageRefusesTheSplice(self) -> None:
        """What splice could not store is stored by the handle, and not lost."""
        data = content(8 * MIB)
        target = self.target()
        real = os.splice
        writes = []

        def refuse(source: int, destination: int, *args: Any, **options: Any) -> int:
            if "offset_dst" in options:
                writes.append(None)
                if len(writes) in (2, 3):
                    raise OSError(22, "Invalid argument")
            return real(source, destination, *args, **options)

        self.patch(os, "splice", refuse)
        await self.both(data, receive(self.ours, target))
        self.assertTrue(target.stored() == data)

    async def test_full(self) -> None:
        """A full disk is told by the handle."""
        target = self.target()
        target.room = MIB
        real = os.splice

        def full(source: int, destination: int, *args: Any, **options: Any) -> int:
            if options.get("offset_dst", 0) > MIB:
                raise OSError(28, "No space left on device")
            return real(source, destination, *args, **options)

        self.patch(os, "splice", full)
        receiving = ensureDeferred(receive(self.ours, target))
        writing = ensureDeferred(self.theirs.write(content(16 * MIB)))
        with self.assertRaises(NoSpace):
            await receiving
        self.ours.abort()
        await self.assertFailure(writing, PeerGone)
        self.assertReturned(target)

    async def test_throttledDisk(self) -> None:
        """After one slow write everything goes through the handle, also for the next."""
        data = content(8 * MIB)
        self.patch(_kernel._StopLoss, "LIMIT", -1.0)
        self.patch(_kernel, "_waits", partial(next, count()))
        target = self.target()
        await self.both(data, receive(self.ours, target))
        self.assertTrue(target.stored() == data)
        self.assertGreater(len(target.writes), 5)
        self.ours, self.theirs = streamPair()
        target = self.target()
        report = await self.both(data, receive(self.ours, target))
        self.assertTrue(target.stored() == data)
        self.assertEqual(report.path, "copy")

    async def test_busyProcessor(self) -> None:
        """A write that was slow because others had the processor says nothing of the disk."""
        data = content(8 * MIB)
        self.patch(_kernel._StopLoss, "LIMIT", -1.0)
        self.patch(_kernel, "_waits", lambda: 5)
        target = self.target()
        report = await self.both(data, receive(self.ours, target))
        self.assertTrue(target.stored() == data)
        self.assertEqual((report.path, len(target.writes)), ("kernel", 1))

    async def test_severalAtOnce(self) -> None:
        """Uploads that share the pipe do not mix."""
        running: list[Deferred[Any]] = []
        targets = []
        for index in range(5):
            ours, theirs = streamPair()
            self.addCleanup(ours.abort)
            target = self.target()
            data = bytes([index]) * (2 * MIB + index)
            targets.append((target, data))
            running.append(ensureDeferred(receive(ours, target)))

            async def upload(theirs: SocketStream = theirs, data: bytes = data) -> None:
                await theirs.write(data)
                await theirs.finish()

            running.append(ensureDeferred(upload()))
        await gatherResults(running)
        for target, data in targets:
            self.assertTrue(target.stored() == data)


class SendChunksTests(PumpCase):
    async def test_listing(self) -> None:
        """Chunks arrive in order, translated, and are counted before that."""

        async def chunks() -> AsyncIterator[bytes]:
            for number in range(1000):
                if number % 100 == 0:
                    await turns(0)
                yield b"line %d\n" % number

        reading = ensureDeferred(readAll(self.theirs))
        report = await sendChunks(chunks(), self.ours, encoder=TextEncoder())
        await self.ours.finish()
        wanted = b"".join(b"line %d\r\n" % number for number in range(1000))
        self.assertEqual(await reading, wanted)
        self.assertEqual(report.nbytes, len(wanted) - 1000)

    async def test_backPressure(self) -> None:
        """No more is made than the client takes."""
        made = [0]

        async def chunks() -> AsyncIterator[bytes]:
            while True:
                made[0] += 1
                yield bytes(65536)

        sending = ensureDeferred(sendChunks(chunks(), self.ours))
        await turns(0.1)
        first = made[0]
        await turns(0.1)
        self.assertEqual(made[0], first)
        sending.cancel()
        await self.assertFailure(sending, CancelledError)

    async def test_stall(self) -> None:
        """A client that does not read a long listing is Stalled."""

        async def chunks() -> AsyncIterator[bytes]:
            while True:
                yield bytes(65536)

        deadlines = Deadlines(reactor, granularity=0.05)  # type: ignore[arg-type]
        progress = Progress(deadlines, 0.3)
        progress._interval = 0.1
        with self.assertRaises(Stalled):
            await sendChunks(chunks(), self.ours, progress=progress)
