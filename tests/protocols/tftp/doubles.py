"""
A whole service without sockets: what it needs, and clients that send it packets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from zope.interface import implementer

from filehub.attributes import Disposition
from filehub.credentials import Address, IPeerAddress
from filehub.events import Event, TransferEnded
from filehub.interfaces import IEventSink, IFileAccount, IRateLimiter, ISessionLimits
from filehub.paths import ROOT, VirtualPath
from filehub.protocols.tftp import wire
from filehub.protocols.tftp.server import TFTPService
from filehub.protocols.tftp.settings import TFTPSettings
from filehub.transfer.datagrams import Datagram
from filehub.vfs.memory import MemoryTree
from filehub.views import IAtOnce

Peer = tuple[str, int]


@implementer(IEventSink)
class Events:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.all: list[Event] = []

    def emit(self, event: Event) -> None:
        self.all.append(event)

    @property
    def transfers(self) -> list[TransferEnded]:
        return [each for each in self.all if isinstance(each, TransferEnded)]


@implementer(ISessionLimits)
class Limits:
    """No limits unless some are set."""

    def __init__(self) -> None:
        self.maximumSessions: int | None = None
        self.idle: float | None = None
        self.stall: float | None = None
        self.sessionTime: float | None = None
        self.commands: float | None = None
        self.download: IRateLimiter | None = None
        self.upload: IRateLimiter | None = None


@implementer(IFileAccount)
class Account:
    """An account with a file system of its own."""

    def __init__(self, fileSystem: Any, home: VirtualPath = ROOT) -> None:
        self.name = "netboot"
        self.home = home
        self.fileSystem = fileSystem
        self.limits = Limits()

    def permissionLetters(self, path: VirtualPath) -> str:
        return "elradfmwMT"

    def commonLetters(self, path: VirtualPath) -> str | None:
        return None


@implementer(IRealm, ICredentialsChecker)
class Door:
    """
    Lets everybody in, but those of C{refused}.

    @ivar waiting: what L{answer} has to let go on, when C{slow}.
    """

    credentialInterfaces = (IPeerAddress,)

    def __init__(self, account: Account) -> None:
        self._account = account
        self.refused: set[str] = set()
        self.logins = 0
        self.logouts = 0
        self.slow = False
        self.waiting: list[Deferred[bytes]] = []

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes]:
        if credentials.peer.host in self.refused:
            return fail(UnauthorizedLogin())
        if self.slow:
            self.waiting.append(Deferred())
            return self.waiting[-1]
        return succeed(b"netboot")

    def answer(self) -> None:
        waiting, self.waiting = self.waiting, []
        for each in waiting:
            each.callback(b"netboot")

    def requestAvatar(
        self, avatarId: bytes, mind: Any, *interfaces: Any
    ) -> tuple[Any, Any, Callable[[], None]]:
        self.logins += 1
        return interfaces[0], self._account, self._logout

    def _logout(self) -> None:
        self.logouts += 1


@implementer(IAtOnce)
class AtOnce:
    """A file system in memory all of whose files are at hand at once."""

    def __init__(self, view: Any) -> None:
        self._view = view

    def __getattr__(self, name: str) -> Any:
        return getattr(self._view, name)

    def readAtOnce(self, path: VirtualPath, most: int) -> bytes | None:
        async def read() -> bytes:
            handle = await self._view.openForReading(path)
            data: bytes = await handle.readAt(0, most + 1)
            await handle.close()
            return data

        try:
            content: bytes = now(read())
        except Exception:
            return None
        return content if len(content) <= most else None

    def replaceAtOnce(self, path: VirtualPath) -> None:
        """Files are written in the usual way."""


class PeerDouble:
    """In the place of a L{filehub.transfer.datagrams.PeerSocket}."""

    def __init__(self, network: Network, local: Peer, peer: Peer) -> None:
        self._network = network
        self.local = local
        self.peer = peer
        self.inbox: list[bytes] = []
        self.isClosed = False
        self.descriptor = network.nextDescriptor()
        self.received = 0

    def fileno(self) -> int:
        return -1 if self.isClosed else self.descriptor

    def recv(self, size: int) -> bytes:
        if self.peer in self._network.unreachable:
            raise ConnectionRefusedError()
        if not self.inbox:
            raise BlockingIOError()
        return self.inbox.pop(0)[:size]

    def recv_into(self, buffer: memoryview) -> int:
        data = self.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def send(self, packet: bytes) -> None:
        if self.peer in self._network.unreachable:
            raise ConnectionRefusedError()
        self._network.arrived(self.local, self.peer, bytes(packet))

    def sendBlocks(self, parts: Sequence[bytes], segment: int) -> int:
        for each in range(0, len(parts), 2):
            self.send(bytes(parts[each]) + bytes(parts[each + 1]))
        return len(parts) // 2

    def growBuffers(self, octets: int) -> None:
        self.received = octets

    def close(self) -> None:
        self.isClosed = True


class ListeningDouble:
    """In the place of a L{filehub.transfer.datagrams.ListeningSocket}."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.address = Address("0.0.0.0", 69)
        self.isClosed = False
        self.descriptor = network.nextDescriptor()

    def fileno(self) -> int:
        return -1 if self.isClosed else self.descriptor

    def receive(self, size: int) -> Datagram | None:
        return self._network.requests.pop(0) if self._network.requests else None

    def send(self, parts: Sequence[bytes], to: Datagram, segment: int = 0) -> None:
        self._network.arrived((to.local, 69), to.peer, b"".join(parts))

    def sendBlocks(self, parts: Sequence[bytes], segment: int, to: Datagram) -> int:
        for each in range(0, len(parts), 2):
            self.send(parts[each : each + 2], to)
        return len(parts) // 2

    def connect(
        self, to: Datagram, ports: Any = None, source: Any = None, *, large: bool = True
    ) -> PeerDouble:
        if self._network.exhausted:
            raise OSError(24, "Too many open files")
        self._network.port += 1
        double = PeerDouble(self._network, (to.local, self._network.port), to.peer)
        self._network.sockets[double.local] = double
        return double

    def reconnect(self, sock: PeerDouble, to: Datagram, *, large: bool) -> bool:
        sock.peer = to.peer
        sock.inbox.clear()
        return True

    def close(self) -> None:
        self.isClosed = True


class WatcherDouble:
    """In the place of a L{filehub.protocols.tftp.hub.Hub}."""

    def __init__(self) -> None:
        self.readers: dict[int, Any] = {}
        self.isClosed = False

    def addReader(self, reader: Any) -> None:
        self.readers[reader.fileno()] = reader

    def removeReader(self, reader: Any) -> None:
        self.readers.pop(reader.fileno(), None)

    def send(self, outgoing: Any) -> None:
        outgoing.sendNow()

    def addWriter(self, writer: Any) -> None:
        """Everything can be sent at once here."""

    def removeWriter(self, writer: Any) -> None:
        """See L{addWriter}."""

    def close(self) -> None:
        self.isClosed = True


class Network:
    """
    What connects clients and service.

    @ivar unreachable: peers whose port is closed.
    @ivar exhausted: no socket can be had any more.
    """

    def __init__(self) -> None:
        self.port = 40000
        self.requests: list[Datagram] = []
        self.sockets: dict[Peer, PeerDouble] = {}
        self.inboxes: dict[Peer, list[tuple[Peer, bytes]]] = {}
        self.unreachable: set[Peer] = set()
        self.exhausted = False
        self.watcher = WatcherDouble()
        self._descriptor = 100

    def nextDescriptor(self) -> int:
        self._descriptor += 1
        return self._descriptor

    def arrived(self, source: Peer, peer: Peer, packet: bytes) -> None:
        self.inboxes.setdefault(peer, []).append((source, packet))


class Service(TFTPService):
    """The real service on that network."""

    network: Network

    def _open(self) -> Any:
        return ListeningDouble(self.network)

    def _newHub(self) -> Any:
        return self.network.watcher


class Site:
    """
    A running service, with files in memory.
    """

    def __init__(
        self, settings: TFTPSettings | None = None, *, atOnce: bool = False, **shared: Any
    ) -> None:
        self.reactor = MemoryReactorClock()
        self.tree = MemoryTree()
        self.view: Any = self.tree.viewFor("netboot")
        self.account = Account(self.view)
        if atOnce:
            self.account.fileSystem = AtOnce(self.view)
        self.door = Door(self.account)
        self.events = Events()
        self.network = Network()
        self.service = Service(
            self.reactor,
            Portal(self.door, [self.door]),
            "udp:69",
            settings or TFTPSettings(),
            sink=self.events,
            **shared,
        )
        self.service.network = self.network
        self.service.privilegedStartService()
        self.service.startService()

    def forgetSpares(self) -> None:
        """Close the ports that only wait for the next transfer."""
        if self.service._spares is not None:
            self.service._spares.clear()

    def store(self, name: str, content: bytes) -> None:
        """Put a file there."""

        async def write() -> None:
            handle = await self.view.openForWriting(ROOT.join(name), Disposition.REPLACE)
            await handle.writeAt(0, content)
            await handle.commit()

        now(write())

    def content(self, name: str) -> bytes:
        """What is in a file."""

        async def read() -> bytes:
            handle = await self.view.openForReading(ROOT.join(name))
            data: bytes = await handle.readAt(0, 1 << 30)
            await handle.close()
            return data

        result: bytes = now(read())
        return result

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        try:
            now(self.view.stat(ROOT.join(name)))
        except Exception:
            return False
        return True

    def client(
        self, host: str = "192.0.2.1", port: int = 50000, local: str = "192.0.2.254"
    ) -> Host:
        return Host(self, (host, port), local)

    def advance(self, seconds: float, step: float = 0.005) -> None:
        """Let time pass, finely enough for retransmission timers."""
        while seconds > 0:
            self.reactor.advance(min(step, seconds))
            seconds -= step


class Host:
    """
    A client.

    @ivar server: where the last packet came from.
    """

    def __init__(self, site: Site, address: Peer, local: str) -> None:
        self._site = site
        self.address = address
        self.local = local
        self.server: Peer | None = None

    def request(
        self,
        name: bytes,
        *options: tuple[bytes, bytes],
        write: bool = False,
        mode: bytes = b"octet",
    ) -> bytes:
        packet = wire.encodeRequest(wire.Request(write, name, wire.Mode.OCTET, options))
        return packet.replace(b"\0octet\0", b"\0" + mode + b"\0", 1)

    def ask(self, packet: bytes, *, direct: bool = True, interface: int = 0) -> None:
        """Send to the well-known port."""
        self._site.network.requests.append(
            Datagram(packet, self.address, self.local, interface, direct)
        )
        listener = self._site.service._listener
        if listener is not None:
            listener.doRead()

    def read(self, name: bytes, *options: tuple[bytes, bytes], **how: Any) -> None:
        self.ask(self.request(name, *options, **how))

    def write(self, name: bytes, *options: tuple[bytes, bytes], **how: Any) -> None:
        self.ask(self.request(name, *options, write=True, **how))

    def say(self, packet: bytes) -> None:
        """Send to where the last packet came from."""
        if self.server is None:
            raise AssertionError("nothing has come yet")
        if self.server[1] == 69:
            self.ask(packet)
            return
        sock = self._site.network.sockets[self.server]
        if sock.isClosed:
            return
        sock.inbox.append(packet)
        self._site.network.watcher.readers[sock.fileno()].doRead()

    def burst(self, packets: Sequence[bytes]) -> None:
        """Send them all before the service looks at any of them."""
        if self.server is None:
            raise AssertionError("nothing has come yet")
        sock = self._site.network.sockets[self.server]
        sock.inbox += packets
        while sock.inbox and not sock.isClosed:
            self._site.network.watcher.readers[sock.fileno()].doRead()

    def ack(self, block: int) -> None:
        self.say(wire.encodeAck(block))

    def data(self, block: int, payload: bytes) -> None:
        self.say(wire.dataHeader(block) + payload)

    def take(self) -> list[bytes]:
        """All that has come."""
        inbox = self._site.network.inboxes.pop(self.address, [])
        if inbox:
            self.server = inbox[-1][0]
        return [packet for _, packet in inbox]

    def one(self) -> bytes:
        """The one packet that has come."""
        packets = self.take()
        if len(packets) != 1:
            raise AssertionError(f"one packet expected, {packets!r} came")
        return packets[0]

    def gone(self) -> None:
        """Close the port: the kernel tells the server with the next packet."""
        self._site.network.unreachable.add(self.address)

    def download(self, blksize: int = 512) -> bytes:
        """Acknowledge all that comes, one block at a time, to the end."""
        content = bytearray()
        block = 0
        packet = self.one()
        if packet[1] == wire.OACK:
            self.ack(0)
            packet = self.one()
        while True:
            block += 1
            if packet[:4] != wire.dataHeader(block):
                raise AssertionError(f"block {block} expected, {packet[:40]!r} came")
            content += packet[4:]
            self.ack(block)
            if len(packet) < blksize + 4:
                return bytes(content)
            packet = self.one()


def now(coroutine: Any) -> Any:
    """What a coroutine returns that has nothing to wait for."""
    results: list[Any] = []
    Deferred.fromCoroutine(coroutine).addBoth(results.append)
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]
