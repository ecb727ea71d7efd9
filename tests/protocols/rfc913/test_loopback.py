"""
Both ends over real sockets: the kernel path, TLS, and how connections end.
"""

from __future__ import annotations

import socket
import struct
import tempfile
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from filehub.attributes import Disposition
from filehub.certificates import makeSelfSigned
from filehub.deadlines import Deadlines
from filehub.errors import ConnectFailed, NoSpace, PeerGone
from filehub.paths import ROOT
from filehub.protocols.rfc913.client import Refused, RFC913Client
from filehub.protocols.rfc913.server import RFC913Factory
from filehub.protocols.rfc913.settings import RFC913Settings
from filehub.transfer import _kernel
from filehub.transfer.tlsclient import ServerTrust
from filehub.vfs.local import LocalTree
from filehub.vfs.workers import FileWorkers
from tests.protocols.rfc913.doubles import Account, Events, Users
from tests.transfer.doubles import content

RESET = struct.pack("ii", 1, 0)


class LoopbackTestCase(TestCase):
    timeout = 60

    async def serve(self, description: str = "tcp:0:interface=127.0.0.1", **options: Any) -> int:
        """Listen; returns the port."""
        self.folder = Path(tempfile.mkdtemp(prefix="filehub-"))
        self.addCleanup(lambda: deferToThread(self.remove, self.folder))
        self.workers = FileWorkers(reactor)  # type: ignore[arg-type]
        self.addCleanup(self.workers.stop)
        self.tree = LocalTree(self.folder, self.workers, partial="delete")
        self.addCleanup(lambda: Deferred.fromCoroutine(self.tree.close()))
        self.account = Account("mkl", self.tree.viewFor("mkl"))
        self.users, self.events = Users(self.account), Events()
        deadlines = Deadlines(reactor)  # type: ignore[arg-type]
        factory = RFC913Factory(
            reactor,
            self.users,  # type: ignore[arg-type]
            RFC913Settings(hostName="mit", failureDelay=0.0, **options),
            sink=self.events,
            deadlines=deadlines,
        )
        self.protocols: list[Any] = []
        build = factory.buildProtocol

        def remember(addr: Any) -> Any:
            self.protocols.append(build(addr))
            return self.protocols[-1]

        factory.buildProtocol = remember  # type: ignore[method-assign]
        port = await serverFromString(reactor, description).listen(factory)
        self.addCleanup(lambda: maybeDeferred(port.stopListening))
        self.number: int = port.getHost().port
        return self.number

    @staticmethod
    def remove(folder: Path) -> None:
        for each in sorted(folder.rglob("*"), reverse=True):
            each.rmdir() if each.is_dir() else each.unlink()
        folder.rmdir()

    async def connect(self, **options: Any) -> RFC913Client:
        client = await RFC913Client.connect(reactor, "127.0.0.1", self.number, **options)
        self.addCleanup(client.abort)
        await client.login("mkl", "foo")
        return client

    async def until(self, condition: Any) -> None:
        """Wait for something to become true; the test's timeout bounds it."""
        while not condition():
            await deferLater(reactor, 0.01, lambda: None)  # type: ignore[arg-type]

    async def upload(self, client: RFC913Client, name: str, data: bytes, **options: Any) -> int:
        (self.folder / "local").write_bytes(data)
        source = await self.account.fileSystem.openForReading(ROOT.join("local"))
        try:
            return await client.store(name, source, **options)
        finally:
            await source.close()

    async def download(self, client: RFC913Client, name: str) -> bytes:
        target = await self.account.fileSystem.openForWriting(
            ROOT.join("copy"), Disposition.REPLACE
        )
        try:
            await client.retrieve(name, target)
        except BaseException:
            await target.abort()
            raise
        await target.commit()
        return (self.folder / "copy").read_bytes()

    async def raw(self, *lines: bytes) -> socket.socket:
        """A client that has sent this and reads nothing."""
        sock = socket.create_connection(("127.0.0.1", self.number), 5)
        self.addCleanup(sock.close)
        sock.sendall(b"".join(line + b"\0" for line in lines))
        return sock

    def readAll(self, sock: socket.socket) -> Deferred[bytes]:
        """Everything up to the end, without stopping the reactor."""

        def read() -> bytes:
            parts = []
            while data := sock.recv(1 << 16):
                parts.append(data)
            return b"".join(parts)

        return deferToThread(read)


def asynchronous(method: Any) -> Any:
    """A test that is a coroutine."""

    def test(self: Any) -> Deferred[None]:
        coroutine: Coroutine[Any, Any, None] = method(self)
        return Deferred.fromCoroutine(coroutine)

    test.__name__, test.__doc__ = method.__name__, method.__doc__
    return test


class LoopbackTests(LoopbackTestCase):
    @asynchronous
    async def test_sizes(self) -> None:
        """Files of every size class come back as they were, in every type."""
        await self.serve()
        client = await self.connect()
        for type in "BAC":
            await client.setType(type)
            for size in (0, 1, 65535, 65536, 65537, 3_000_000):
                data = content(size)
                self.assertEqual(await self.upload(client, "file", data), size)
                self.assertTrue((self.folder / "file").read_bytes() == data, (type, size))
                self.assertTrue(await self.download(client, "file") == data, (type, size))
        await client.quit()
        await self.until(lambda: self.users.loggedOut)
        self.assertEqual({each[2] for each in self.events.transfers}, {"completed"})

    @asynchronous
    async def test_kernelPath(self) -> None:
        """Large files in TYPE B are moved by the kernel in both directions, TYPE A is not."""
        moved: list[str] = []
        for name in ("sendFile", "receiveFile"):
            self.patch(_kernel, name, self.spy(getattr(_kernel, name), moved))
        await self.serve()
        client = await self.connect()
        data = content(5_000_000)
        for type, expected in (("B", {"sendFile", "receiveFile"}), ("A", set())):
            await client.setType(type)
            moved.clear()
            sock = await self.raw(
                b"USER mkl",
                b"PASS foo",
                b"TYPE " + type.encode(),
                b"STOR NEW f" + type.encode(),
                b"SIZE 5000000",
            )
            await self.until(lambda: self.protocols[-1]._lent is not None)
            await deferToThread(sock.sendall, data)
            await self.until((self.folder / f"f{type}").exists)
            await deferToThread(sock.sendall, b"RETR f" + type.encode() + b"\0SEND\0DONE\0")
            await self.readAll(sock)
            self.assertEqual(set(moved), expected)

    def spy(self, inner: Any, moved: list[str]) -> Any:
        async def call(*args: Any) -> Any:
            moved.append(inner.__name__)
            return await inner(*args)

        return call

    @asynchronous
    async def test_append(self) -> None:
        """APP goes on at the end, over the kernel path too."""
        await self.serve()
        client = await self.connect()
        await self.upload(client, "file", content(2_000_000))
        await self.upload(client, "file", content(1_500_000), mode="APP")
        self.assertTrue(
            (self.folder / "file").read_bytes() == content(2_000_000) + content(1_500_000)
        )

    @asynchronous
    async def test_sparse(self) -> None:
        """5 GiB are announced at once and exactly."""
        await self.serve()
        with open(self.folder / "huge", "wb") as file:
            file.truncate(5 << 30)
        client = await self.connect()
        self.assertEqual(await client.size("huge"), 5 << 30)

    @asynchronous
    async def test_goneInDownload(self) -> None:
        """A client that resets in a download is one event, and everything is given back."""
        await self.serve()
        with open(self.folder / "huge", "wb") as file:
            file.truncate(1 << 30)
        sock = await self.raw(b"USER mkl", b"PASS foo", b"RETR huge", b"SEND")
        await self.until(lambda: self.protocols and self.protocols[0]._lent is not None)
        await deferToThread(sock.recv, 100_000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        sock.close()
        await self.until(lambda: self.users.loggedOut)
        self.assertEqual(
            [each[:3] for each in self.events.transfers], [("download", "/huge", "peer gone")]
        )

    @asynchronous
    async def test_goneInUpload(self) -> None:
        """A client that closes in an upload leaves nothing behind."""
        await self.serve()
        sock = await self.raw(b"USER mkl", b"PASS foo", b"STOR NEW f", b"SIZE 9000000")
        await self.until(lambda: self.protocols and self.protocols[0]._lent is not None)
        await deferToThread(sock.sendall, b"x" * 3_000_000)
        sock.close()
        await self.until(lambda: self.users.loggedOut)
        self.assertEqual(
            [each[:3] for each in self.events.transfers], [("upload", "/f", "peer gone")]
        )
        self.assertEqual(list(self.folder.iterdir()), [])

    @asynchronous
    async def test_eager(self) -> None:
        """A client that sends everything at once, file and all, is understood."""
        await self.serve()
        data = content(3_000_000)
        sock = await self.raw(b"USER mkl", b"PASS foo", b"STOR NEW f", b"SIZE 3000000")
        await deferToThread(sock.sendall, data + b"RETR f\0SEND\0DONE\0")
        received = await self.readAll(sock)
        self.assertIn(b"+Saved /f\0 3000000\0", received)
        self.assertTrue(data in received)
        self.assertTrue(received.endswith(b"+mit closing connection\0"))

    @asynchronous
    async def test_lastWords(self) -> None:
        """The last reply arrives although the client goes on sending."""
        await self.serve()
        sock = await self.raw(b"USER mkl", b"PASS foo", b"STOR NEW f")
        await self.until(lambda: self.protocols and self.protocols[0]._session.pending)
        await deferToThread(sock.sendall, b"SIZE x\0" + b"KILL f\0" * 10_000)
        received = await self.readAll(sock)
        self.assertTrue(received.endswith(b"-Not a size\0"))

    @asynchronous
    async def test_orderlyClose(self) -> None:
        """DONE ends with the reply and an end of file, not with a reset."""
        await self.serve()
        sock = await self.raw(b"DONE")
        self.assertEqual(await self.readAll(sock), b"+mit SFTP Service\0+mit closing connection\0")

    @asynchronous
    async def test_full(self) -> None:
        """A file system that fills up in the middle: the rest is read, commands follow."""
        await self.serve()
        client = await self.connect()
        inner = self.account.fileSystem.openForWriting

        async def openForWriting(*args: Any, **options: Any) -> Any:
            handle = await inner(*args, **options)
            return Full(handle) if args[0].name == "f" else handle

        self.account.fileSystem.openForWriting = openForWriting
        for size in (1_000_000, 10_000_000):
            try:
                await self.upload(client, "f", content(size))
            except Refused as refusal:
                self.assertEqual(str(refusal), "Couldn't save because not enough room")
            else:
                self.fail("nothing was refused")
            await client.setType("B")
        self.assertFalse((self.folder / "f").exists())

    @asynchronous
    async def test_endpoint(self) -> None:
        """The client goes over any endpoint."""
        await self.serve()
        endpoint = clientFromString(reactor, f"tcp:127.0.0.1:{self.number}")
        client = await RFC913Client.connectEndpoint(reactor, endpoint)
        self.addCleanup(client.abort)
        await client.login("mkl", "foo")
        data = content(2_000_000)
        await self.upload(client, "file", data)
        self.assertTrue(await self.download(client, "file") == data)
        await client.quit()

    @asynchronous
    async def test_nobody(self) -> None:
        """Where nobody listens, connecting fails."""
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            number = sock.getsockname()[1]
        endpoint = clientFromString(reactor, f"tcp:127.0.0.1:{number}")
        for attempt in (
            RFC913Client.connect(reactor, "127.0.0.1", number),
            RFC913Client.connectEndpoint(reactor, endpoint),
        ):
            try:
                await attempt
            except ConnectFailed:
                continue
            self.fail("it connected")

    @asynchronous
    async def test_tls(self) -> None:
        """With TLS from the first byte: both ways, and the login says it is secure."""
        pem = Path(tempfile.mkdtemp(prefix="filehub-")) / "pem"
        self.addCleanup(lambda: self.remove(pem.parent))
        makeSelfSigned(pem, ["localhost"], timedelta(days=1))
        await self.serve(f"ssl:0:interface=127.0.0.1:privateKey={pem}:certKey={pem}")
        client = await self.connect(tls="implicit", trust=ServerTrust(insecure=True))
        self.assertTrue(self.users.minds[0].secure)
        data = content(2_000_000)
        await self.upload(client, "file", data)
        self.assertTrue(await self.download(client, "file") == data)
        await client.quit()
        await self.until(lambda: self.users.loggedOut)

    @asynchronous
    async def test_goneInTLSDownload(self) -> None:
        """A download over TLS that is cut off is never called complete."""
        pem = Path(tempfile.mkdtemp(prefix="filehub-")) / "pem"
        self.addCleanup(lambda: self.remove(pem.parent))
        makeSelfSigned(pem, ["localhost"], timedelta(days=1))
        await self.serve(f"ssl:0:interface=127.0.0.1:privateKey={pem}:certKey={pem}")
        with open(self.folder / "huge", "wb") as file:
            file.truncate(1 << 30)
        client = await self.connect(tls="implicit", trust=ServerTrust(insecure=True))
        await client.command("RETR", "huge")
        await client._stream.write(b"SEND\0")
        await client._stream.read(100_000)
        client.abort()
        await self.until(lambda: self.users.loggedOut)
        self.assertEqual(
            [each[:3] for each in self.events.transfers], [("download", "/huge", "peer gone")]
        )

    @asynchronous
    async def test_serverStops(self) -> None:
        """A client whose server goes away in a transfer knows it."""
        await self.serve()
        with open(self.folder / "huge", "wb") as file:
            file.truncate(1 << 30)
        client = await self.connect()
        reactor.callLater(0.05, self.protocols[0].disconnect, "shutdown")  # type: ignore[attr-defined]
        try:
            await self.download(client, "huge")
        except PeerGone:
            pass
        else:
            self.fail("it was not told")
        await self.until(lambda: self.events)
        self.assertEqual(self.events.transfers[0][2], "aborted")


class Full:
    """A write handle on a file system with room for 700,000 bytes."""

    def __init__(self, inner: Any) -> None:
        self.position = inner.position
        self._inner = inner

    def __conform__(self, interface: Any) -> Any:
        # Its descriptor is one to which nothing can be written.
        return Unwritable() if interface.__name__ == "IDescriptorBacked" else None

    async def writeAt(self, offset: int, data: bytes) -> None:
        if offset + len(data) > 700_000:
            raise NoSpace
        await self._inner.writeAt(offset, data)

    async def commit(self) -> Any:
        return await self._inner.commit()

    async def abort(self) -> None:
        await self._inner.abort()


class Unwritable:
    """Lends a descriptor that refuses every byte."""

    def lease(self) -> Any:
        return self

    def __enter__(self) -> int:
        self._file = open("/dev/full", "rb")
        return self._file.fileno()

    def __exit__(self, *_: object) -> None:
        self._file.close()
