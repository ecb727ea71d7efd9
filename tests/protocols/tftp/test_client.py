"""
The client, over loopback sockets, with the server.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest, TestCase

from filehub.attributes import Disposition
from filehub.errors import AlreadyExists, ConnectFailed, InvalidName, NoSpace, NotFound
from filehub.events import TransferEnded
from filehub.interfaces import IFileSystem
from filehub.permissions import EVERYTHING
from filehub.protocols.tftp import clienttransfer, wire
from filehub.protocols.tftp.client import Refused, TFTPClient
from filehub.protocols.tftp.server import TFTPService
from filehub.protocols.tftp.settings import TFTPSettings
from filehub.testing import MemoryTree, RecordingSink, memoryPortal
from filehub.transfer.progress import Progress
from tests.contract.support import at


class ClientCase(TestCase):
    timeout = 20
    interface = "127.0.0.1"

    def setUp(self) -> None:
        self.tree = MemoryTree()
        self.sink = RecordingSink()
        self.service = TFTPService(
            reactor,  # type: ignore[arg-type]
            memoryPortal(self.tree, device=EVERYTHING),
            f"udp:0:interface={self.interface}".replace("::1", r"\:\:1"),
            TFTPSettings(write="create"),
            sink=self.sink,
        )
        self.service.startService()
        self.addCleanup(self.service.stopService)
        self.files: IFileSystem = MemoryTree().viewFor("here")

    def client(self, **how: Any) -> TFTPClient:
        client = TFTPClient(reactor, self.interface, self.service.address.port, timeout=5, **how)
        self.addCleanup(lambda: Deferred.fromCoroutine(client.close()))
        return client

    async def get(self, client: TFTPClient, name: str, **how: Any) -> bytes:
        target = await self.files.openForWriting(at("got"), Disposition.REPLACE)
        try:
            nbytes = await client.retrieve(name, target, **how)
        except BaseException:
            await target.abort()
            raise
        await target.commit()
        handle = await self.files.openForReading(at("got"))
        data: bytes = await handle.readAt(0, 1 << 30)
        self.assertEqual(len(data), nbytes)
        return data

    async def put(self, client: TFTPClient, name: str, data: bytes, **how: Any) -> int:
        target = await self.files.openForWriting(at("source"), Disposition.REPLACE)
        await target.writeAt(0, data)
        await target.commit()
        handle = await self.files.openForReading(at("source"))
        return await client.store(name, handle, **how)

    async def notes(self, number: int) -> dict[str, Any]:
        """What was told of a transfer, as soon as the server has heard of its end."""
        while len(self.sink.of(TransferEnded)) <= number:
            await deferLater(reactor, 0.01)
        return dict(self.sink.of(TransferEnded)[number].notes)


class TransferTests(ClientCase):
    async def test_both(self) -> None:
        """Up and down, with progress that ends at the size."""
        data = bytes(range(256)) * 1000
        client = self.client()
        progress = Progress()
        self.assertEqual(await self.put(client, "f", data, progress=progress), len(data))
        self.assertEqual((self.tree.content("/f"), progress.nbytes), (data, len(data)))
        progress = Progress()
        self.assertEqual(await self.get(client, "f", progress=progress), data)
        self.assertEqual(progress.nbytes, len(data))
        self.assertEqual(await client.size("f"), len(data))

    async def test_options(self) -> None:
        """Block and window are those that were asked for."""
        self.tree.putFile("/f", b"x" * 100_000)
        ways = ((512, 1), (8, 64), (1024, 3), (65464, 2))
        for number, (blksize, window) in enumerate(ways):
            data = await self.get(self.client(blksize=blksize, window=window, interval=3), "f")
            self.assertEqual(len(data), 100_000)
            notes = await self.notes(number)
            self.assertEqual((notes["blksize"], notes["windowsize"]), (blksize, window))

    async def test_netascii(self) -> None:
        """A text has the line ends of the network on the way, and ours at both ends."""
        text = b"one\ntwo\r\nthree\rfour\n" * 500
        client = self.client(blksize=100)
        self.assertEqual(await self.put(client, "t", text, netascii=True), len(text))
        self.assertEqual(self.tree.content("/t"), text)
        self.assertEqual(await self.get(client, "t", netascii=True), text)

    async def test_errors(self) -> None:
        """What an ERROR says is an exception of ours."""
        self.tree.putFile("/f", b"")
        self.tree.capacity = 10
        client = self.client()
        for kind, work in (
            (NotFound, self.get(client, "no")),
            (AlreadyExists, self.put(client, "f", b"x")),
            (NoSpace, self.put(client, "g", b"x" * 100)),
            (InvalidName, self.get(client, "a\0b")),
            (InvalidName, self.get(client, "\ud800")),
            (InvalidName, self.get(client, "x" * 501)),
        ):
            try:
                await work
            except kind:
                continue
            self.fail(kind.__name__)

    async def test_callback(self) -> None:
        """Progress can be a function, which hears of it again and again."""
        self.tree.putFile("/f", b"x" * 100_000)
        heard: list[int] = []
        await self.get(self.client(), "f", progress=heard.append)
        self.assertEqual((heard[-1], sorted(heard)), (100_000, heard))
        self.assertGreater(len(heard), 3)

    async def test_attempts(self) -> None:
        """What breaks off begins anew, as often as is wanted; the file is whole then."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            server.settimeout(5)
            blocks = [b"a" * 512, b"b" * 512, b"end"]

            def serve() -> int:
                attempts = 0
                while True:
                    _, peer = server.recvfrom(1000)
                    attempts += 1
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
                        port.bind(("127.0.0.1", 0))
                        port.settimeout(5)
                        for number, block in enumerate(blocks, 1):
                            port.sendto(wire.dataHeader(number) + block, peer)
                            port.recvfrom(1000)
                            if attempts == 1 and number == 2:
                                break
                        else:
                            return attempts

            serving = deferToThread(serve)
            port = server.getsockname()[1]
            client = TFTPClient(reactor, "127.0.0.1", port, timeout=5, attempts=2)
            # The first port closes: the kernel says so at the next packet to it.
            self.patch(clienttransfer, "SETTINGS", TFTPSettings(stall=0.3, dally=0.05))
            self.assertEqual(await self.get(client, "f"), b"".join(blocks))
            self.assertEqual(await serving, 2)
            await client.close()

    async def test_nobody(self) -> None:
        """Nobody listens: that is known at once."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        try:
            await TFTPClient(reactor, "127.0.0.1", port, timeout=5).size("f")
        except ConnectFailed:
            return
        self.fail("somebody answered")

    async def test_refused(self) -> None:
        """A server that knows no options is asked again without."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", 0))
            server.settimeout(5)

            def serve() -> list[bytes]:
                asked = []
                for answer in (wire.encodeError(8, "no options"), wire.encodeError(7, "go away")):
                    packet, peer = server.recvfrom(1000)
                    asked.append(packet)
                    server.sendto(answer, peer)
                return asked

            serving = deferToThread(serve)
            client = TFTPClient(reactor, "127.0.0.1", server.getsockname()[1], timeout=5)
            try:
                await client.size("f")
            except Refused as error:
                self.assertEqual((error.code, str(error)), (7, "go away"))
            first, second = await serving
            self.assertEqual(
                first, b"\0\1f\0octet\0tsize\x000\0blksize\x001428\0windowsize\x0016\0"
            )
            self.assertEqual(second, b"\0\1f\0octet\0")


class IPv6Tests(ClientCase):
    interface = "::1"

    async def test_both(self) -> None:
        """The same over IPv6."""
        if not socket.has_ipv6:
            raise SkipTest("no IPv6 here")
        client = self.client()
        await self.put(client, "f", b"six" * 1000)
        self.assertEqual(await self.get(client, "f"), b"six" * 1000)


class ExampleTests(ClientCase):
    async def test_example(self) -> None:
        """The example does what it says."""
        try:
            from examples.tftp_client import fetchAndStore
        except ModuleNotFoundError:
            raise SkipTest("not a copy of the source") from None
        self.tree.putFile("/f", b"content" * 1000)
        await fetchAndStore(reactor, "127.0.0.1", "f", self.service.address.port)
        self.assertEqual(self.tree.content("/f.copy"), b"content" * 1000)
