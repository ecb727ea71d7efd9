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
from twisted.internet.testing import MemoryReactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from filehub.attributes import Disposition
from filehub.errors import ConfigurationError
from filehub.events import Outcome
from filehub.paths import ROOT
from filehub.protocols.tftp import wire
from filehub.protocols.tftp.hub import Hub
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


class Pair:
    """Two connected sockets, one of them watched."""

    def __init__(self) -> None:
        self.socket, self.other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.story: list[str] = []
        self.broken = False

    def fileno(self) -> int:
        return self.socket.fileno()

    def doRead(self) -> None:
        self.story.append(self.socket.recv(100).decode())
        if self.broken:
            raise ZeroDivisionError

    def doWrite(self) -> None:
        self.story.append("write")

    def connectionLost(self, reason: Any) -> None:
        self.story.append(reason.type.__name__)

    def close(self) -> None:
        self.socket.close()
        self.other.close()


class HubTests(TestCase):
    def setUp(self) -> None:
        self.now = self.work = 0.0
        #: What somebody else needs the processor for between two turns, in seconds.
        self.others = 1.0
        self.hub = Hub(globalReactor, lambda: self.now, self.processorSeconds)  # type: ignore[arg-type]
        self.queue = self.hub._queue
        self.addCleanup(self.hub.close)
        self.pairs = [Pair() for _ in range(3)]
        for pair in self.pairs:
            self.addCleanup(pair.close)
            self.hub.addReader(pair)

    def processorSeconds(self) -> float:
        self.work += self.others
        return self.work

    def converse(self, seconds: float, last: int = 1000) -> None:
        """Let a peer answer whatever is read from it, after so long."""
        pair = self.pairs[0]

        def doRead() -> None:
            self.now += seconds
            pair.story.append(pair.socket.recv(100).decode())
            if len(pair.story) < last:
                pair.other.send(b"x")

        pair.doRead = doRead  # type: ignore[method-assign]
        pair.other.send(b"x")

    def test_lingers(self) -> None:
        """Prompt answers are served at once, for a millisecond, if nobody else has work."""
        self.others = 0.0
        self.hub.doRead()
        self.converse(0.00005)
        self.hub.doRead()
        self.assertIn(len(self.pairs[0].story), range(20, 23))

    def test_othersHaveTheirTurn(self) -> None:
        """If others had something to do since, one event each is enough."""
        self.hub.doRead()
        self.converse(0.00005)
        self.hub.doRead()
        self.assertEqual(len(self.pairs[0].story), 1)

    def watchQueue(self, look: float) -> list[float]:
        """How long the hub sleeps, each time; a look without sleep takes so many seconds."""
        poll = self.queue.poll
        sleeps: list[float] = []

        class Queue:
            closed = False
            fileno = self.queue.fileno
            close = self.queue.close

            def poll(queue, timeout: float, most: int) -> object:
                events = poll(0, most)
                self.now += look
                if not events:
                    self.looks += 1
                    if timeout:
                        self.now += timeout
                        sleeps.append(timeout)
                return events

        self.looks = 0
        self.hub._queue = Queue()  # type: ignore[assignment]
        return sleeps

    def test_silence(self) -> None:
        """A wait for nothing is short, and not repeated for a good while."""
        self.others = 0.0
        self.hub._isAwake = False
        self.hub.doRead()
        self.converse(0.0, last=3)
        sleeps = self.watchQueue(0.0)
        for _ in range(100):
            self.hub.doRead()
        self.assertEqual((len(self.pairs[0].story), sleeps), (3, [0.001]))
        for _ in range(3):
            self.hub.doRead()
        self.assertEqual(sleeps, [0.001, 0.001])

    def test_awake(self) -> None:
        """
        With a processor to spare nobody sleeps over it; a wait for nothing is as short,
        and ends even if the clock stands still.
        """
        self.others = 0.0
        self.hub._isAwake = True
        self.hub.doRead()
        self.converse(0.0, last=3)
        for look, least, most in ((0.00001, 8, 13), (0.0, 1000, 3000)):
            self.hub._discouraged = 0
            sleeps = self.watchQueue(look)
            self.hub.doRead()
            self.assertTrue(least <= self.looks <= most, self.looks)
            for _ in range(90):
                self.hub.doRead()
            self.assertEqual(sleeps, [])
            self.assertTrue(least + 90 <= self.looks <= most + 90, self.looks)
        self.assertEqual(len(self.pairs[0].story), 3)

    def test_patience(self) -> None:
        """
        Who is served alone while the hub lingers may look again and again; not for a
        while after that was in vain.
        """
        self.others = 0.0
        self.hub._patience = 7
        self.hub.doRead()
        pair = self.pairs[0]
        seen: list[int] = []

        def doRead() -> None:
            # At the end it has lingered long enough.
            self.now += 0.00001 if len(seen) < 109 else 1.0
            pair.socket.recv(100)
            seen.append(self.hub.patience)
            if len(seen) < 110:
                pair.other.send(b"x")
            if len(seen) == 3:
                self.hub.disappointed()

        pair.doRead = doRead  # type: ignore[method-assign]
        pair.other.send(b"x")
        while len(seen) < 110:
            self.hub.doRead()
        # The first of each turn is not one that was lingered for.
        self.assertEqual([each for each in seen[:4] if each], [7, 7])
        self.assertEqual(set(seen[3:100]), {0})
        self.assertEqual(self.hub.patience, 0)

    def test_reading(self) -> None:
        """Each that has something is served once a turn."""
        for pair in self.pairs[:2]:
            pair.other.send(b"one")
            pair.other.send(b"two")
        self.hub.doRead()
        self.assertEqual([pair.story for pair in self.pairs], [["one"], ["one"], []])
        self.hub.doRead()
        self.assertEqual(self.pairs[0].story, ["one", "two"])

    def test_close(self) -> None:
        """A hub is one reader, which is gone at the end."""
        reactor = MemoryReactor()
        hub = Hub(reactor)
        for pair in self.pairs:
            hub.addReader(pair)
            hub.addWriter(pair)
        self.assertEqual((reactor.getReaders(), reactor.getWriters()), ([hub], []))
        hub.close()
        self.assertEqual(reactor.getReaders(), [])

    def test_removed(self) -> None:
        """One that is closed while its turn comes is left out, also when removed twice."""
        first, second = self.pairs[:2]
        for pair in (first, second):
            pair.other.send(b"x")
        for one, other in ((first, second), (second, first)):
            one.doRead = lambda one=one, other=other: (  # type: ignore[misc]
                one.story.append("read"),
                self.hub.removeReader(other),
            )
        self.hub.doRead()
        self.assertEqual(len(first.story) + len(second.story), 1)
        for pair in self.pairs:
            self.hub.removeReader(pair)
            self.hub.removeReader(pair)

    def test_writing(self) -> None:
        """Room is told while it is wanted."""
        pair = self.pairs[0]
        self.hub.addWriter(pair)
        self.hub.doRead()
        self.hub.removeWriter(pair)
        self.hub.doRead()
        self.assertEqual(pair.story, ["write"])

    def test_broken(self) -> None:
        """One that raises is told so, and the others are served."""
        self.pairs[0].broken = True
        for pair in self.pairs:
            pair.other.send(b"x")
        self.hub.doRead()
        self.assertEqual(self.pairs[0].story, ["x", "ZeroDivisionError"])
        self.assertEqual([pair.story for pair in self.pairs[1:]], [["x"], ["x"]])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_error(self) -> None:
        """An error on a socket is told as a refusal."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
            closed.bind(("127.0.0.1", 0))
            address = closed.getsockname()
        pair = self.pairs[0]
        self.hub.removeReader(pair)
        pair.socket.close()
        pair.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        pair.socket.connect(address)
        self.hub.addReader(pair)
        pair.socket.send(b"x")
        self.hub.doRead()
        self.assertEqual(pair.story, ["ConnectionRefusedError"])
