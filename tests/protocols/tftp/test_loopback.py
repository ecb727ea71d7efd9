"""
The service on real sockets and the real reactor, over loopback.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.cred.portal import Portal
from twisted.internet import reactor as globalReactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from filehub.attributes import Disposition
from filehub.errors import ConfigurationError
from filehub.events import Outcome
from filehub.paths import ROOT
from filehub.protocols.tftp import wire
from filehub.protocols.tftp.server import TFTPService
from filehub.protocols.tftp.settings import TFTPSettings
from filehub.vfs.memory import MemoryTree
from tests.protocols.tftp.doubles import Account, Door, Events

_T = TypeVar("_T")
PATIENCE = 10.0


class Client:
    """A plain blocking client, for a thread of its own."""

    def __init__(self, host: str, port: int, *, source: str | None = None) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.settimeout(PATIENCE)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind((source or ("::1" if ":" in host else "127.0.0.1"), 0))
        self.server = (host, port)
        self.peer: Any = None

    def close(self) -> None:
        self.socket.close()

    def receive(self) -> bytes:
        packet, self.peer = self.socket.recvfrom(70000)
        return packet

    def request(self, write: bool, name: bytes, options: dict[bytes, int]) -> bytes:
        pairs = tuple((key, b"%d" % value) for key, value in options.items())
        packet = wire.encodeRequest(wire.Request(write, name, wire.Mode.OCTET, pairs))
        self.socket.sendto(packet, self.server)
        return self.receive()

    def read(self, name: bytes, **asked: int) -> bytes:
        """A whole file; raises L{AssertionError} for an ERROR."""
        options = {key.encode(): value for key, value in asked.items()}
        blksize, window = asked.get("blksize", 512), asked.get("windowsize", 1)
        packet = self.request(False, name, options)
        if packet[1] == wire.OACK:
            self.socket.sendto(wire.encodeAck(0), self.peer)
            packet = self.receive()
        content = bytearray()
        block = 1
        while True:
            if packet[1] == wire.OACK:
                packet = self.receive()
                continue
            if packet[1] != wire.DATA:
                raise AssertionError(f"block {block} expected, {packet[:60]!r} came")
            if packet[:4] != wire.dataHeader(block):
                # On a busy machine a block comes twice, or finds no room and is missing:
                # then whatever follows is asked for again (RFC 7440 section 4).
                distance = ((packet[2] << 8 | packet[3]) - block) & 0xFFFF
                if distance < 0x8000:
                    self.socket.sendto(wire.encodeAck(block - 1), self.peer)
                packet = self.receive()
                continue
            content += packet[4:]
            last = len(packet) < blksize + 4
            if last or block % window == 0:
                self.socket.sendto(wire.encodeAck(block), self.peer)
            if last:
                return bytes(content)
            block += 1
            packet = self.receive()

    def write(self, name: bytes, content: bytes, **asked: int) -> None:
        """Store a whole file."""
        options = {key.encode(): value for key, value in asked.items()}
        blksize, window = asked.get("blksize", 512), asked.get("windowsize", 1)
        packet = self.request(True, name, options)
        last = len(content) // blksize + 1
        block = 0
        while True:
            if packet[1] == wire.OACK and block:
                packet = self.receive()
                continue
            if packet[1] not in (wire.ACK, wire.OACK):
                raise AssertionError(f"ACK {block} expected, {packet!r} came")
            if packet[1] == wire.ACK:
                # On a busy machine an ACK comes twice, or a block found no room.
                block += ((packet[2] << 8 | packet[3]) - block + 0x8000 & 0xFFFF) - 0x8000
            if block == last:
                return
            for _ in range(min(window, last - block)):
                block += 1
                data = content[(block - 1) * blksize : block * blksize]
                self.socket.sendto(wire.dataHeader(block) + data, self.peer)
            packet = self.receive()


class LoopbackTestCase(TestCase):
    settings = TFTPSettings(write="overwrite", dally=0.05)
    listen = "udp:0:interface=127.0.0.1"

    def setUp(self) -> None:
        self.reactor: Any = globalReactor
        self.tree = MemoryTree()
        self.view = self.tree.viewFor("netboot")
        self.account = Account(self.view)
        self.door = Door(self.account)
        self.events = Events()
        self.service = TFTPService(
            self.reactor,
            Portal(self.door, [self.door]),
            self.listen,
            self.settings,
            sink=self.events,
        )
        self.service.privilegedStartService()
        self.service.startService()
        self.addCleanup(self.service.stopService)

    async def store(self, name: str, content: bytes) -> None:
        handle = await self.view.openForWriting(ROOT.join(name), Disposition.REPLACE)
        await handle.writeAt(0, content)
        await handle.commit()

    async def content(self, name: str) -> bytes:
        handle = await self.view.openForReading(ROOT.join(name))
        data = await handle.readAt(0, 1 << 30)
        await handle.close()
        return data

    async def asClient(
        self, work: Callable[[Client], _T], host: str = "127.0.0.1", **how: Any
    ) -> _T:
        client = Client(host, self.service.address.port, **how)
        try:
            result: _T = await deferToThread(work, client)
            return result
        finally:
            client.close()


class TransferTests(LoopbackTestCase):
    async def test_downloads(self) -> None:
        """Block and window sizes from the smallest to the largest."""
        content = random.Random(1).randbytes(300_001)
        await self.store("f", content)
        for options in (
            {},
            {"blksize": 8},
            {"blksize": 1428, "windowsize": 16},
            {"blksize": 8192, "windowsize": 64},
            {"blksize": 65464},
            {"blksize": 65464, "windowsize": 4},
        ):
            if options.get("blksize") == 8:
                await self.store("f", content[:4000])
            wanted = await self.content("f")
            received = await self.asClient(lambda client, o=options: client.read(b"f", **o))
            self.assertEqual(received, wanted)
            await self.store("f", content)
        # The client has its last block before the last ACK is back here.
        for _ in range(200):
            if not self.service.transfers:
                break
            await deferLater(self.reactor, 0.01)
        self.assertEqual(self.service.transfers, 0)
        self.assertEqual({each.outcome for each in self.events.transfers}, {Outcome.COMPLETED})

    async def test_uploads(self) -> None:
        """The same for uploads, large datagrams above all."""
        content = random.Random(2).randbytes(300_001)
        for options in ({}, {"blksize": 1428, "windowsize": 16}, {"blksize": 65464}):
            await self.asClient(lambda client, o=options: client.write(b"f", content, **o))
            self.assertEqual(await self.content("f"), content)

    async def test_from(self) -> None:
        """T-F15: what is asked of 127.0.0.1 is answered from there, from another port."""
        await self.store("f", b"x")

        def work(client: Client) -> Any:
            client.read(b"f")
            return client.peer

        host, port = await self.asClient(work)
        self.assertEqual(host, "127.0.0.1")
        self.assertNotEqual(port, self.service.address.port)

    async def test_goneClient(self) -> None:
        """T-F16: a client that closes its port ends its transfer within a round trip."""
        await self.store("f", bytes(100_000))

        def work(client: Client) -> None:
            client.request(False, b"f", {})
            client.socket.sendto(wire.encodeAck(1), client.peer)

        await self.asClient(work)
        for _ in range(200):
            if not self.service.transfers:
                break
            await self.pause(0.01)
        self.assertEqual([each.outcome for each in self.events.transfers], [Outcome.PEER_GONE])

    async def test_losses(self) -> None:
        """A client that loses every tenth block for the first time gets the file, quickly."""
        content = random.Random(3).randbytes(100_000)
        await self.store("f", content)

        def work(client: Client) -> bytes:
            packet = client.request(False, b"f", {b"blksize": 1000})
            client.socket.sendto(wire.encodeAck(0), client.peer)
            received, block, lost = bytearray(), 0, set()
            while True:
                packet = client.receive()
                number = packet[2] << 8 | packet[3]
                if number % 10 == 0 and number not in lost:
                    lost.add(number)
                    continue
                if number == block + 1:
                    block += 1
                    received += packet[4:]
                client.socket.sendto(wire.encodeAck(block), client.peer)
                if len(packet) < 1004:
                    return bytes(received)

        before = self.reactor.seconds()
        self.assertEqual(await self.asClient(work), content)
        self.assertLess(self.reactor.seconds() - before, 3.0)

    async def pause(self, seconds: float) -> None:
        await deferLater(self.reactor, seconds)


class AllAddressesTests(LoopbackTestCase):
    listen = "udp:0"

    async def test_from(self) -> None:
        """T-F15: with a socket for all addresses, the answer leaves from the one asked."""
        await self.store("f", b"x" * 600)
        for host in ("127.0.0.1", "127.0.0.5"):

            def work(client: Client) -> Any:
                client.read(b"f")
                return client.peer[0]

            self.assertEqual(await self.asClient(work, host), host)


class SixTests(LoopbackTestCase):
    listen = r"udp:0:interface=\:\:1"

    async def test_six(self) -> None:
        """Both ways over IPv6."""
        content = random.Random(4).randbytes(50_000)
        options = {"blksize": 1428, "windowsize": 8}
        await self.asClient(lambda client: client.write(b"f", content, **options), "::1")
        received = await self.asClient(lambda client: client.read(b"f", **options), "::1")
        self.assertEqual(received, content)
        self.assertEqual(self.events.transfers[0].connection.peer.host, "::1")


class SinglePortTests(LoopbackTestCase):
    settings = TFTPSettings(write="overwrite", dally=0.05, singlePort=True)

    async def test_singlePort(self) -> None:
        """All of it over one port."""
        content = random.Random(5).randbytes(100_000)
        options = {"blksize": 1428, "windowsize": 8}

        def work(client: Client) -> bytes:
            client.write(b"f", content, **options)
            received = client.read(b"f", **options)
            self.assertEqual(client.peer, client.server)
            return received

        self.assertEqual(await self.asClient(work), content)

    async def test_largestBlocks(self) -> None:
        """Uploads with the largest blocks are not cut."""
        content = random.Random(6).randbytes(200_000)
        await self.asClient(lambda client: client.write(b"f", content, blksize=65464))
        self.assertEqual(await self.content("f"), content)


class PortRangeTests(LoopbackTestCase):
    settings = TFTPSettings(portRange=(34200, 34299))

    async def test_range(self) -> None:
        """Transfers come from the ports that a firewall lets through."""
        await self.store("f", b"x")

        def work(client: Client) -> int:
            client.read(b"f")
            port: int = client.peer[1]
            return port

        for _ in range(5):
            self.assertIn(await self.asClient(work), range(34200, 34300))


class ServiceTests(LoopbackTestCase):
    def test_portInUse(self) -> None:
        """A port in use is one clear line."""
        second = TFTPService(
            self.reactor,
            Portal(self.door, [self.door]),
            f"udp:{self.service.address.port}:interface=127.0.0.1",
        )
        error = self.assertRaises(ConfigurationError, second.privilegedStartService)
        self.assertIn("Address already in use", str(error))

    async def test_restart(self) -> None:
        """A service can be stopped and started again."""
        await self.service.stopService()
        self.service.startService()
        await self.store("f", b"again")
        self.assertEqual(await self.asClient(lambda client: client.read(b"f")), b"again")
