"""
L{filehub.transfer._encrypted}: files over TLS by descriptor, against a client over
loopback.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Coroutine, Sequence
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from OpenSSL._util import ffi
from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.trial.unittest import SkipTest, TestCase

from filehub.certificates import CertificateStore, makeSelfSigned
from filehub.errors import NoSpace, PeerGone, StorageUnavailable
from filehub.transfer import _encrypted, _kernel, _openssl
from filehub.transfer.pump import receive, send
from filehub.transfer.ratelimit import TokenBucket
from filehub.transfer.sockets import SocketStream
from filehub.transfer.tls import TLSSession
from filehub.transfer.tlsstreams import TLSReceiver, TLSSender
from tests.transfer.doubles import BackedReadHandle, BackedWriteHandle, content, streamPair, turns

MIB = 1024 * 1024
VERSIONS = (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION)


class Client:
    """The other end of a data connection."""

    def __init__(self, stream: SocketStream, version: int = SSL.TLS1_3_VERSION) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_verify(SSL.VERIFY_NONE)
        context.set_max_proto_version(version)
        self.stream = stream
        self.tls = SSL.Connection(context, None)
        self.tls.set_connect_state()

    async def shake(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
                break
            except SSL.WantReadError:
                await self.flush()
                self.tls.bio_write(await self.stream.read(65536))
        await self.flush()

    def records(self) -> bytes:
        """What there is to send."""
        parts = []
        try:
            while True:
                parts.append(self.tls.bio_read(65536))
        except SSL.WantReadError:
            return b"".join(parts)

    async def flush(self) -> None:
        await self.stream.write(self.records())

    async def write(self, data: bytes, step: int = 65536) -> None:
        for start in range(0, len(data), step):
            self.tls.sendall(data[start : start + step])
            if start % 65536 + step >= 65536:
                await self.flush()
        await self.flush()

    async def end(self) -> None:
        self.tls.shutdown()
        await self.flush()

    async def readAll(self, step: int = 65536) -> bytes:
        """Everything up to close_notify."""
        parts = []
        while True:
            try:
                while True:
                    parts.append(self.tls.recv(65536))
            except SSL.WantReadError:
                received = await self.stream.read(step)
                if not received:
                    raise PeerGone("without close_notify") from None
                self.tls.bio_write(received)
            except SSL.ZeroReturnError:
                return b"".join(parts)


class EncryptedCase(TestCase):
    timeout = 30
    if not _kernel.AVAILABLE:
        skip = "no RWF_NOWAIT here"

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        makeSelfSigned(folder / "server.pem", ["localhost"], timedelta(days=30))
        self.session = TLSSession(CertificateStore(folder / "server.pem"))
        self.patch(_kernel, "reading", _kernel._StopLoss())
        self.patch(_kernel, "writing", _kernel._StopLoss())

    def together(self, *works: Coroutine[Deferred[Any], Any, Any]) -> Deferred[list[Any]]:
        return gatherResults([ensureDeferred(each) for each in works], consumeErrors=True)

    async def receiver(self, version: int = SSL.TLS1_3_VERSION) -> tuple[TLSReceiver, Client]:
        ours, theirs = streamPair()
        self.addCleanup(ours.abort)
        self.addCleanup(theirs.abort)
        stream, client = TLSReceiver(ours, self.session), Client(theirs, version)
        await self.together(stream.handshake(), client.shake())
        return stream, client

    async def sender(self, version: int = SSL.TLS1_3_VERSION) -> tuple[TLSSender, Client]:
        ours, theirs = streamPair()
        self.addCleanup(ours.abort)
        self.addCleanup(theirs.abort)
        stream, client = TLSSender(ours, self.session), Client(theirs, version)
        await self.together(stream.handshake(), client.shake())
        return stream, client

    def target(self) -> BackedWriteHandle:
        handle = BackedWriteHandle(self.mktemp())
        self.addCleanup(handle.close)
        return handle

    def source(self, data: bytes) -> BackedReadHandle:
        path = self.mktemp()
        Path(path).write_bytes(data)
        handle = BackedReadHandle(path)
        self.addCleanup(os.close, handle.descriptor)
        return handle


class UploadTests(EncryptedCase):
    async def upload(
        self, data: bytes, *, version: int = SSL.TLS1_3_VERSION, step: int = 65536
    ) -> int:
        """Returns how often the handle itself had to write."""
        stream, client = await self.receiver(version)
        target = self.target()

        async def whole() -> None:
            await client.write(data, step)
            await client.end()

        report, _ = await self.together(receive(stream, target), whole())
        self.assertEqual(report.nbytes, len(data))
        self.assertTrue(target.stored() == data)
        self.assertTrue(stream.cleanlyClosed)
        self.assertEqual(target.leases, 0)
        return len(target.writes)

    async def test_sizes(self) -> None:
        """Files that end in the middle of records and of buffers are stored as they are."""
        for version in VERSIONS:
            for size in (0, 1, 16384, 16385, 65536, 65537, 3 * MIB + 1):
                await self.upload(content(size), version=version)

    async def test_largeFilesAreNotCopied(self) -> None:
        """Only the first bytes go through the handle."""
        self.assertLessEqual(await self.upload(content(8 * MIB)), 2)

    async def test_tinyRecords(self) -> None:
        """Records of a few bytes each."""
        await self.upload(content(200_000), step=23)

    async def test_severalAtOnce(self) -> None:
        """They share a buffer, and nobody gets a byte of another's."""
        data = content(5 * MIB)
        await self.together(*(self.upload(data[each * MIB :]) for each in range(4)))

    async def test_truncated(self) -> None:
        """A connection that ends without close_notify is a loss; what came is kept."""
        for version in VERSIONS:
            stream, client = await self.receiver(version)
            target = self.target()
            receiving = ensureDeferred(receive(stream, target))
            await client.write(content(MIB))
            await client.stream.finish()
            await self.assertFailure(receiving, PeerGone)
            self.assertFalse(stream.cleanlyClosed)
            self.assertTrue(target.stored() == content(MIB))

    async def test_truncatedInARecord(self) -> None:
        """Of a record that is not whole no byte is stored."""
        stream, client = await self.receiver()
        target = self.target()
        receiving = ensureDeferred(receive(stream, target))
        await client.write(content(MIB))
        client.tls.sendall(b"x" * 10_000)
        await client.stream.write(client.records()[:-1])
        await client.stream.finish()
        await self.assertFailure(receiving, PeerGone)
        self.assertTrue(target.stored() == content(MIB))

    async def test_forged(self) -> None:
        """A record that was changed on its way ends the upload before it."""
        stream, client = await self.receiver()
        target = self.target()
        receiving = ensureDeferred(receive(stream, target))
        await client.write(content(MIB))
        client.tls.sendall(b"x" * 10_000)
        record = bytearray(client.records())
        record[5000] ^= 1
        await client.stream.write(bytes(record))
        await self.assertFailure(receiving, PeerGone)
        self.assertTrue(target.stored() == content(MIB))

    async def test_reset(self) -> None:
        """So does a reset."""
        stream, client = await self.receiver()
        receiving = ensureDeferred(receive(stream, self.target()))
        await client.write(content(MIB))
        await turns()
        client.stream.abort()
        await self.assertFailure(receiving, PeerGone)

    async def test_fullDisk(self) -> None:
        """What does not fit any more is the handle's to complain of."""
        stream, client = await self.receiver()
        target = self.target()
        target.room = 2 * MIB
        real = os.pwrite

        def full(descriptor: int, data: Any, offset: int) -> int:
            fits = 2 * MIB - offset
            if fits <= 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(descriptor, data[:fits], offset)

        self.patch(os, "pwrite", full)
        receiving = ensureDeferred(receive(stream, target))
        writing = ensureDeferred(client.write(content(16 * MIB)))
        await self.assertFailure(receiving, NoSpace)
        stream.abort()
        await self.assertFailure(writing, PeerGone)
        self.assertTrue(target.stored() == content(2 * MIB))
        self.assertEqual(target.leases, 0)

    async def test_slowDisk(self) -> None:
        """After one slow write everything goes through the handle, also for the next."""
        self.patch(_kernel._StopLoss, "LIMIT", -1.0)
        self.patch(_kernel, "_waits", partial(next, count()))
        self.assertGreater(await self.upload(content(8 * MIB)), 4)
        self.assertFalse(_kernel.writing.open)
        self.assertGreater(await self.upload(content(8 * MIB)), 4)

    async def test_limited(self) -> None:
        """A bandwidth limit is obeyed."""
        stream, client = await self.receiver()
        target = self.target()
        limiter = TokenBucket(reactor, 400 * MIB)

        async def whole() -> None:
            await client.write(content(2 * MIB))
            await client.end()

        await self.together(receive(stream, target, limiter=limiter), whole())
        self.assertTrue(target.stored() == content(2 * MIB))

    async def test_keyUpdates(self) -> None:
        """The client may change its keys, and ask for ours to be changed, in the middle."""
        address = _openssl.addressOf(b"SSL_key_update")
        if address is None:
            raise SkipTest("the installed OpenSSL hides the function")
        update = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)(address)
        stream, client = await self.receiver()
        target = self.target()

        async def whole() -> None:
            for each in range(8):
                # SSL_KEY_UPDATE_NOT_REQUESTED and SSL_KEY_UPDATE_REQUESTED.
                self.assertEqual(update(int(ffi.cast("uintptr_t", client.tls._ssl)), each % 2), 1)
                await client.write(content(MIB))
            await client.end()

        await self.together(receive(stream, target), whole())
        self.assertTrue(target.stored() == content(MIB) * 8)
        _, rest = await self.together(stream.finish(), client.readAll())
        self.assertEqual(rest, b"")


class DownloadTests(EncryptedCase):
    async def download(
        self,
        handle: BackedReadHandle,
        *,
        version: int = SSL.TLS1_3_VERSION,
        step: int = 65536,
        **options: Any,
    ) -> bytes:
        stream, client = await self.sender(version)

        async def whole() -> None:
            report = await send(handle, stream, **options)
            self.assertEqual(report.nbytes, handle.size)
            await stream.finish()

        _, received = await self.together(whole(), client.readAll(step))
        self.assertEqual(handle.leases, 0)
        return bytes(received)

    async def test_sizes(self) -> None:
        """Files that end in the middle of records and of buffers arrive as they are."""
        for version in VERSIONS:
            for size in (0, 1, 65537, 3 * MIB + 1):
                data = content(size)
                self.assertTrue(await self.download(self.source(data), version=version) == data)

    async def test_cachedFilesAreNotCopied(self) -> None:
        """What is in memory is never read by the handle."""
        handle = self.source(content(4 * MIB))
        await self.download(handle)
        self.assertEqual(handle.reads, 0)

    async def test_slowClient(self) -> None:
        """A client that takes little at a time gets everything."""
        data = content(8 * MIB)
        self.assertTrue(await self.download(self.source(data), step=5000) == data)

    async def test_severalAtOnce(self) -> None:
        """They share a buffer, and nobody gets a byte of another's."""
        data = content(12 * MIB)
        pieces: Sequence[bytes] = [data[each * MIB :] for each in range(4)]
        received = await self.together(*(self.download(self.source(each)) for each in pieces))
        self.assertTrue(received == pieces)

    async def test_coldFile(self) -> None:
        """What is not in memory is read by the handle."""
        real, asked = os.preadv, []

        def preadv(descriptor: int, buffers: Any, offset: int, flags: int) -> int:
            asked.append(flags)
            if offset < 4 * MIB:
                raise BlockingIOError
            return real(descriptor, buffers, offset)

        self.patch(os, "preadv", preadv)
        data = content(8 * MIB)
        handle = self.source(data)
        self.assertTrue(await self.download(handle) == data)
        self.assertGreater(handle.reads, 8)
        self.assertLess(handle.reads, 20)
        self.assertEqual(set(asked), {os.RWF_NOWAIT})

    async def test_unknownCacheIsABet(self) -> None:
        """Without RWF_NOWAIT one slow read sends everything through the handle."""
        real = os.preadv

        def preadv(descriptor: int, buffers: Any, offset: int, flags: int) -> int:
            if flags:
                raise OSError(errno.EOPNOTSUPP, "Operation not supported")
            return real(descriptor, buffers, offset)

        self.patch(os, "preadv", preadv)
        data = content(8 * MIB)
        handle = self.source(data)
        self.assertTrue(await self.download(handle) == data)
        self.assertEqual(handle.reads, 0)
        self.patch(_kernel._StopLoss, "LIMIT", -1.0)
        self.patch(_kernel, "_waits", partial(next, count()))
        self.assertTrue(await self.download(handle) == data)
        self.assertGreater(handle.reads, 8)

    async def test_brokenDisk(self) -> None:
        """A read that fails is the handle's to complain of."""

        def preadv(*args: Any) -> int:
            raise OSError(errno.EIO, "Input/output error")

        self.patch(os, "preadv", preadv)
        data = content(5 * MIB)
        handle = self.source(data)
        self.assertTrue(await self.download(handle) == data)
        self.assertGreater(handle.reads, 8)

    async def test_shrunk(self) -> None:
        """A file that became shorter is an error, and no clean end."""
        handle = self.source(content(4 * MIB))
        stream, client = await self.sender()
        reading = ensureDeferred(client.readAll())
        os.truncate(f"/proc/self/fd/{handle.descriptor}", 2 * MIB)
        await self.assertFailure(ensureDeferred(send(handle, stream)), StorageUnavailable)
        stream.abort()
        await self.assertFailure(reading, PeerGone)

    async def test_clientGoes(self) -> None:
        """A client that goes in the middle ends the download."""
        stream, client = await self.sender()
        sending = ensureDeferred(send(self.source(content(32 * MIB)), stream))
        await client.stream.read(MIB)
        client.stream.abort()
        await self.assertFailure(sending, PeerGone)

    async def test_otherLibrary(self) -> None:
        """Where OpenSSL hides its functions, the buffers are emptied by reading them."""
        self.patch(_openssl, "_reset", lambda: None)
        data = content(4 * MIB)
        self.assertTrue(await self.download(self.source(data)) == data)

    async def test_limited(self) -> None:
        """A bandwidth limit is obeyed, piece by piece through the handle."""
        handle = self.source(content(2 * MIB))
        await self.download(handle, limiter=TokenBucket(reactor, 400 * MIB))
        self.assertGreater(handle.reads, 4)

    async def test_stepsFollowTheClient(self) -> None:
        """As long as a client does not take everything at once, little is encrypted ahead."""
        sizes = []
        real = TLSSender.encrypt

        def encrypt(stream: TLSSender, data: Any) -> None:
            sizes.append(len(data))
            real(stream, data)

        self.patch(TLSSender, "encrypt", encrypt)
        stream, client = await self.sender()
        sending = ensureDeferred(send(self.source(content(32 * MIB)), stream))
        for _ in range(64):
            await client.stream.read(65536)
            await turns(0)
        self.assertLessEqual(max(sizes), _encrypted._STEP)
        self.assertEqual(sizes[0], _encrypted._SLOW_STEP)
        client.stream.abort()
        await self.assertFailure(sending, PeerGone)
