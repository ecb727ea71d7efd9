"""
L{filehub.protocols.ftp.data}: which connection becomes a data connection.

These run over loopback with the real reactor: 127.0.0.1 is the client, 127.0.0.9 a
stranger.
"""

import errno
import ipaddress
import itertools
import os
import random
import socket
import struct
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from filehub.credentials import Address
from filehub.deadlines import Deadlines
from filehub.errors import (
    Aborted,
    ConnectFailed,
    OperationNotSupported,
    PeerGone,
    PermissionDenied,
    ProtectionRequired,
)
from filehub.protocols.ftp import data, introduction, passive
from filehub.protocols.ftp.data import (
    DEFAULT_PASSIVE_PORTS,
    DataChannels,
    PassivePorts,
    canonicalHost,
)
from filehub.protocols.ftp.sockoptions import KEEPALIVE
from tests.ports import freePort

HOME = "127.0.0.1"
STRANGER = "127.0.0.9"
PATIENCE = 5.0


def passivePorts(count: int) -> PassivePorts:
    """So many, which nobody has."""
    first = freePort(count=count)
    return PassivePorts(range(first, first + count))


def connectTo(port: int, source: str = HOME, host: str = HOME) -> socket.socket:
    """A client that has connected; nothing else in this process needs to run for it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    client = socket.socket(family)
    client.settimeout(PATIENCE)
    client.bind((source, 0))
    client.connect((host, port))
    return client


def turns(seconds: float = 0.02) -> Deferred[None]:
    """Let the reactor see what has happened."""
    return deferLater(reactor, seconds, lambda: None)  # type: ignore[arg-type]


def openDescriptors() -> int:
    """How many sockets this process has; the reactor's own pipes come and go."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except FileNotFoundError:
            continue  # the listing's own
    return found


class ChannelTests(TestCase):
    """One session's data channels on loopback."""

    timeout = 20

    def setUp(self) -> None:
        self.deadlines = Deadlines(reactor, granularity=0.05)  # type: ignore[arg-type]
        self.ports = passivePorts(20)
        self.violations: list[tuple[str, str]] = []
        self.sockets: list[socket.socket] = []
        self.channels = self.build()

    def tearDown(self) -> None:
        self.channels.reset()
        for sock in self.sockets:
            sock.close()

    def build(self, host: str = HOME, **settings: Any) -> DataChannels:
        return DataChannels(
            reactor,
            self.deadlines,
            self.ports,
            local=Address(host, 21),
            peer=Address(settings.pop("peer", host), 40000),
            lingerSeconds=settings.pop("lingerSeconds", 0.0),
            onViolation=lambda kind, address: self.violations.append((kind, address.host)),
            **settings,
        )

    def client(self, port: int, source: str = HOME, host: str = HOME) -> socket.socket:
        sock = connectTo(port, source, host)
        self.sockets.append(sock)
        return sock

    def assertReset(self, sock: socket.socket) -> None:
        """The other side has closed, and has sent nothing."""
        try:
            self.assertEqual(sock.recv(1), b"")
        except ConnectionResetError:
            pass


class PassiveTests(ChannelTests):
    async def test_connectThenOpen(self) -> None:
        """A client that connects first is taken when the command comes."""
        client = self.client(self.channels.passive())
        client.sendall(b"early")
        await turns()
        stream = await self.channels.open()
        self.assertFalse(self.channels.isArmed)
        self.assertEqual(await stream.read(100), b"early")
        stream.abort()

    async def test_openThenConnect(self) -> None:
        """A command that comes first waits for the client."""
        port = self.channels.passive()
        self.assertTrue(self.channels.isArmed)
        opened = ensureDeferred(self.channels.open())
        client = self.client(port)
        stream = await opened
        await stream.write(b"hello")
        await stream.finish()
        self.assertEqual(client.recv(100), b"hello")
        self.assertEqual(client.recv(100), b"")

    async def test_strangerIsResetAndDoesNotUseItUp(self) -> None:
        """Another address gets a reset and not a byte; the client still gets in."""
        port = self.channels.passive()
        opened = ensureDeferred(self.channels.open())
        thief = self.client(port, STRANGER)
        await turns()
        self.assertReset(thief)
        self.assertEqual(self.channels.strangers, 1)
        self.assertEqual(self.violations, [("stranger on data port", STRANGER)])
        client = self.client(port)
        stream = await opened
        await stream.write(b"x")
        self.assertEqual(client.recv(1), b"x")
        stream.abort()

    async def test_nobodyWaitsAtThePortAtFirst(self) -> None:
        """Until the command comes the reactor is not troubled; the client is in all the same."""
        channels = self.build(lingerSeconds=60.0)
        client = self.client(channels.passive())
        await turns()
        self.assertNotIn(channels._listener, reactor.getReaders())  # type: ignore[attr-defined]
        self.assertTrue(channels.hasArrived())
        stream = await channels.open()
        self.assertEqual(self.ports.inUse, 0)
        await stream.finish()
        self.assertEqual(client.recv(1), b"")
        channels.reset()

    async def test_strangersDoNotWaitForTheCommand(self) -> None:
        """Those who fill the queue of a port are sent away soon, each time."""
        channels = self.build(lingerSeconds=0.05)
        for _ in range(2):
            port = channels.passive()
            stranger = self.client(port, STRANGER)
            await turns(0.2)
            self.assertReset(stranger)
            self.client(port)
            await turns()
            self.assertEqual(self.ports.inUse, 0)
            (await channels.open()).abort()
        self.assertEqual(channels.strangers, 2)
        channels.reset()

    async def test_reminder(self) -> None:
        """What lasts longer than a moment is thought of, also if the port waited long before."""
        self.patch(data, "_SOON", 0.05)
        channels = self.build(lingerSeconds=0.05)
        reminded: list[int] = []
        for number in range(2):
            port = channels.passive()
            await turns(0.2)
            self.client(port)
            await turns()
            stream = channels.take() if channels.hasArrived() else None
            assert stream is not None
            channels.remind(lambda number=number: reminded.append(number))
            self.assertEqual(reminded, list(range(number)))
            await turns(0.2)
            self.assertEqual(reminded, list(range(number + 1)))
            stream.abort()
        channels.remind(lambda: reminded.append(-1))
        channels.reset()
        await turns(0.2)
        self.assertEqual(reminded, [0, 1])

    async def test_racesAreNeverLost(self) -> None:
        """Whoever connects first, in many rounds, it is the client that is served."""
        order = random.Random(7)
        for _ in range(60):
            port = self.channels.passive()
            sources = [STRANGER, HOME, STRANGER]
            order.shuffle(sources)
            opened = ensureDeferred(self.channels.open())
            clients = []
            for source in sources:
                sock = socket.socket()
                sock.bind((source, 0))
                sock.setblocking(False)
                self.assertIn(sock.connect_ex((HOME, port)), (0, errno.EINPROGRESS))
                clients.append(sock)
            stream = await opened
            assert stream.kernelSocket is not None
            self.assertEqual(stream.kernelSocket.getpeername()[0], HOME)
            stream.abort()
            for sock in clients:
                sock.close()

    async def test_oneConnectionPerPort(self) -> None:
        """After the client has connected nobody else can."""
        port = self.channels.passive()
        self.client(port)
        await turns()
        with self.assertRaises(ConnectionRefusedError):
            self.client(port)

    async def test_boundToTheControlConnectionsAddress(self) -> None:
        """The port is not open on our other addresses."""
        port = self.channels.passive()
        with self.assertRaises(ConnectionRefusedError):
            self.client(port, host="127.0.0.33")

    async def test_secondReplacesFirst(self) -> None:
        """A second PASV closes the first port and the connection that came to it."""
        first = self.channels.passive()
        waiting = self.client(first)
        await turns()
        second = self.channels.passive()
        await turns()
        self.assertReset(waiting)
        # Were it the same port (one in a hundred, once) this would be no test.
        self.assertNotEqual(first, second)
        with self.assertRaises(ConnectionRefusedError):
            self.client(first)
        client = self.client(second)
        stream = await self.channels.open()
        await stream.write(b"y")
        self.assertEqual(client.recv(1), b"y")
        stream.abort()

    async def test_nothingIsReadBeforeATransfer(self) -> None:
        """What a client pushes early stays out of our memory: it has to wait."""
        client = self.client(self.channels.passive())
        await turns()
        client.setblocking(False)
        pushed = 0
        for _ in range(50):
            try:
                pushed += client.send(bytes(1024 * 1024))
            except BlockingIOError:
                await turns(0.002)
        self.assertLess(pushed, 16 * 1024 * 1024)
        with self.assertRaises(BlockingIOError):
            client.send(bytes(1024 * 1024))

    async def test_waitingIsBounded(self) -> None:
        """When nobody comes the command fails and the port is free again."""
        channels = self.build(openSeconds=0.2)
        channels.passive()
        with self.assertRaises(ConnectFailed):
            await channels.open()
        self.assertEqual(self.ports.inUse, 0)
        self.assertFalse(channels.isArmed)

    async def test_unusedPortIsGivenBack(self) -> None:
        """A port that no command ever uses is not kept for ever."""
        channels = self.build(listenSeconds=0.2)
        channels.passive()
        await turns(0.5)
        self.assertEqual(self.ports.inUse, 0)
        with self.assertRaises(ConnectFailed):
            await channels.open()

    async def test_cancelledWait(self) -> None:
        """ABOR while waiting leaves nothing open."""
        before = openDescriptors()
        self.channels.passive()
        opened = ensureDeferred(self.channels.open())
        opened.cancel()
        await self.assertFailure(opened, Exception)
        self.assertEqual(self.ports.inUse, 0)
        self.assertEqual(openDescriptors(), before)

    async def test_resetFailsTheWait(self) -> None:
        """When the session ends a command that waits is told."""
        self.channels.passive()
        opened = ensureDeferred(self.channels.open())
        self.channels.reset()
        await self.assertFailure(opened, Aborted)

    async def test_descriptorsComeBack(self) -> None:
        """Sessions dropped in any state of a data connection leave no descriptor."""
        before = openDescriptors()
        for index in range(20):
            port = self.channels.passive()
            if index % 3:
                client = connectTo(port)
                if index % 3 == 1:
                    await turns(0.005)
                client.close()
            self.channels.reset()
        await turns()
        self.assertEqual(openDescriptors(), before)
        self.assertEqual(self.ports.inUse, 0)

    async def test_manyTimesOnOneSession(self) -> None:
        """PASV again and again costs one descriptor."""
        self.channels.passive()
        before = openDescriptors()
        for _ in range(200):
            self.channels.passive()
        self.assertEqual(openDescriptors(), before)
        self.assertEqual(self.ports.inUse, 1)

    async def test_connectAndResetIsHarmless(self) -> None:
        """A client that connects and resets before the command makes the transfer fail."""
        client = connectTo(self.channels.passive())
        await turns()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        stream = await self.channels.open()
        with self.assertRaises(PeerGone):
            await stream.read(10)
        stream.abort()

    async def test_nothingArmed(self) -> None:
        """Without PASV or PORT there is no data connection."""
        with self.assertRaises(ConnectFailed):
            await self.channels.open()

    async def test_ipv6(self) -> None:
        """EPSV on an IPv6 control connection listens on its IPv6 address."""
        channels = self.build("::1")
        try:
            port = channels.passive(socket.AF_INET6)
        except ConnectFailed:
            from twisted.trial.unittest import SkipTest

            raise SkipTest("no IPv6 loopback here") from None
        client = self.client(port, "::1", "::1")
        stream = await channels.open()
        await stream.write(b"six")
        self.assertEqual(client.recv(3), b"six")
        stream.abort()

    async def test_wrongFamily(self) -> None:
        """The other network protocol is refused, and what was armed is gone."""
        self.channels.passive()
        with self.assertRaises(OperationNotSupported):
            self.channels.passive(socket.AF_INET6)
        self.assertFalse(self.channels.isArmed)

    async def test_mappedPeerIsTheSame(self) -> None:
        """A peer known by its IPv4-mapped address may connect over IPv4."""
        channels = self.build(peer="::ffff:127.0.0.1")
        self.client(channels.passive())
        stream = await channels.open()
        stream.abort()

    async def test_samePortIsNotGivenAgain(self) -> None:
        """Who asks again gets another port, as long as there is another."""
        self.ports = passivePorts(2)
        channels = self.build()
        given = [channels.passive() for _ in range(20)]
        self.assertTrue(all(a != b for a, b in itertools.pairwise(given)), given)
        channels.reset()
        only = freePort()
        self.ports = PassivePorts(range(only, only + 1))
        channels = self.build()
        self.assertEqual([channels.passive() for _ in range(3)], [only] * 3)
        channels.reset()

    async def test_keepalive(self) -> None:
        """Passive and active connections notice in two minutes that the peer is gone."""
        self.client(self.channels.passive())
        passive = await self.channels.open()
        with socket.create_server((HOME, 0)) as listening:
            self.channels.active(HOME, listening.getsockname()[1])
            active = await self.channels.open()
            for stream in (passive, active):
                sock = stream.kernelSocket
                assert sock is not None
                self.assertTrue(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
                self.assertTrue(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                for option, value in KEEPALIVE:
                    self.assertEqual(sock.getsockopt(socket.IPPROTO_TCP, option), value)
                stream.abort()

    async def test_foreignAllowed(self) -> None:
        """With FXP allowed another host may connect."""
        channels = self.build(allowForeign=(ipaddress.ip_network("127.0.0.8/29"),))
        client = self.client(channels.passive(), STRANGER)
        stream = await channels.open()
        await stream.write(b"z")
        self.assertEqual(client.recv(1), b"z")
        self.assertTrue(channels.isForeign)
        stream.abort()

    async def test_foreignElsewhere(self) -> None:
        """Those whom the networks do not name are strangers as ever; so is loopback by True."""
        for allowed in ((ipaddress.ip_network("127.0.0.64/26"),), True):
            channels = self.build(allowForeign=allowed)
            thief = self.client(channels.passive(), STRANGER)
            await turns()
            self.assertReset(thief)
            self.assertEqual(channels.strangers, 1)
            channels.reset()


class ProxiedTests(ChannelTests):
    """Connections that a proxy passes on."""

    def setUp(self) -> None:
        super().setUp()
        self.channels = self.build(
            peer="192.0.2.1", proxies=(ipaddress.ip_network("127.0.0.1/32"),)
        )

    def header(self, client: str = "192.0.2.1") -> bytes:
        return f"PROXY TCP4 {client} 198.51.100.7 40000 50000\r\n".encode()

    async def test_introduced(self) -> None:
        """The header is taken to its last byte and not one further."""
        opened = ensureDeferred(self.channels.open())
        await self.assertFailure(opened, ConnectFailed)
        for pieces in ([self.header() + b"data"], [bytes((each,)) for each in self.header()]):
            port = self.channels.passive()
            client = self.client(port)
            for piece in pieces:
                client.sendall(piece)
                await turns(0.001)
            await turns()
            stream = await self.channels.open()
            if len(pieces) == 1:
                self.assertEqual(await stream.read(100), b"data")
            await stream.write(b"x")
            self.assertEqual(client.recv(1), b"x")
            stream.abort()
        self.assertEqual(self.channels.strangers, 0)

    async def test_binary(self) -> None:
        """Version 2 does it too; a command may be waiting already."""
        port = self.channels.passive()
        opened = ensureDeferred(self.channels.open())
        addresses = bytes((192, 0, 2, 1, 198, 51, 100, 7)) + struct.pack("!HH", 40000, 50000)
        header = b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", 0x21, 0x11, 12) + addresses
        client = self.client(port)
        client.sendall(header[:14])
        await turns()
        client.sendall(header[14:] + b"d")
        stream = await opened
        self.assertEqual(await stream.read(100), b"d")
        stream.abort()

    async def test_anothersClient(self) -> None:
        """A connection that the proxy passes on for somebody else is a stranger's."""
        port = self.channels.passive()
        thief = self.client(port)
        thief.sendall(self.header("192.0.2.2"))
        await turns()
        self.assertReset(thief)
        self.assertEqual(self.violations, [("stranger on data port", "192.0.2.2")])
        self.assertTrue(self.channels.isArmed)

    async def test_untrusted(self) -> None:
        """Who is no trusted proxy may say what he likes."""
        port = self.channels.passive()
        thief = self.client(port, STRANGER)
        await turns()
        self.assertReset(thief)
        self.assertEqual(self.channels.strangers, 1)

    async def test_nonsense(self) -> None:
        """No header, half a header, a health check: closed, and the listening goes on."""
        port = self.channels.passive()
        for said in (b"HELLO", b"PROXY UNKNOWN\r\n", b"PROXY TCP4 x\r\n", b""):
            client = self.client(port)
            client.sendall(said)
            if not said:
                client.shutdown(socket.SHUT_WR)
            await turns()
            self.assertReset(client)
        self.client(port).sendall(self.header())
        await turns()
        (await self.channels.open()).abort()

    async def test_silence(self) -> None:
        """A few that say nothing may wait, for a few seconds; more are turned away."""
        self.patch(introduction, "HEADER_TIMEOUT", 0.2)
        before = openDescriptors()
        port = self.channels.passive()
        silent = []
        for _ in range(6):
            silent.append(self.client(port))
            await turns(0.005)
        self.assertEqual(self.channels.strangers, 2)
        await turns(0.5)
        for client in silent:
            self.assertReset(client)
        self.client(port)
        await turns()
        self.channels.reset()
        await turns()
        for sock in self.sockets:
            sock.close()
        self.assertEqual(openDescriptors(), before)


class DescriptorExhaustionTests(ChannelTests):
    async def test_acceptWithoutDescriptors(self) -> None:
        """When accept() finds no descriptor the command fails; nothing spins."""
        port = self.channels.passive()
        opened = ensureDeferred(self.channels.open())
        listener = self.channels._listener
        assert listener is not None

        class Exhausted:
            def __init__(self, sock: socket.socket) -> None:
                self.sock = sock

            def accept(self) -> None:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

            def __getattr__(self, name: str) -> Any:
                return getattr(self.sock, name)

        listener._sock = Exhausted(listener._sock)  # type: ignore[assignment]
        self.client(port)
        await self.assertFailure(opened, ConnectFailed)
        self.assertEqual(self.ports.inUse, 0)

    async def test_socketWithoutDescriptors(self) -> None:
        """PASV and active connections without a descriptor fail as such."""

        def noSocket(*args: Any) -> None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        self.patch(socket, "socket", noSocket)
        self.patch(passive, "PassiveSocket", noSocket)
        with self.assertRaises(ConnectFailed):
            self.channels.passive()
        self.channels.active(HOME, 5000)
        with self.assertRaises(ConnectFailed):
            await self.channels.open()


class ActiveTests(ChannelTests):
    def setUp(self) -> None:
        super().setUp()
        self.listening = socket.socket()
        self.sockets.append(self.listening)
        self.listening.bind((HOME, 0))
        self.listening.listen(5)
        self.listening.settimeout(PATIENCE)
        self.port = self.listening.getsockname()[1]

    async def test_connectsWhenOpened(self) -> None:
        """PORT itself sends nothing; the transfer command connects, from our address."""
        self.channels.active(HOME, self.port)
        await turns()
        self.listening.setblocking(False)
        with self.assertRaises(BlockingIOError):
            self.listening.accept()
        self.listening.settimeout(PATIENCE)
        stream = await self.channels.open()
        client, address = self.listening.accept()
        self.sockets.append(client)
        self.assertEqual(address[0], HOME)
        await stream.write(b"active")
        await stream.finish()
        self.assertEqual(client.recv(100), b"active")
        self.assertFalse(self.channels.isArmed)

    async def test_bounceIsRefused(self) -> None:
        """Another host is refused, reported, and never gets a SYN."""
        other = socket.socket()
        self.sockets.append(other)
        other.bind((STRANGER, 0))
        other.listen(1)
        other.setblocking(False)
        port = other.getsockname()[1]
        for host in (STRANGER, "::ffff:127.0.0.9", "::1", "10.0.0.1", "nonsense", ""):
            self.channels.active(HOME, self.port)
            with self.assertRaises(PermissionDenied):
                self.channels.active(host, port)
            # What was armed before is void as well.
            with self.assertRaises(ConnectFailed):
                await self.channels.open()
        await turns()
        with self.assertRaises(BlockingIOError):
            other.accept()
        self.assertEqual(self.violations[0], ("bounce", STRANGER))

    async def test_ownPortIsRefused(self) -> None:
        """A port at which another session waits for its client is none of this one's."""
        other = self.build()
        port = other.passive()
        with self.assertRaises(PermissionDenied):
            self.channels.active(HOME, port)
        self.assertEqual(self.violations, [("bounce", HOME)])
        other.reset()
        self.channels.active(HOME, port)

    async def test_privilegedPortIsRefused(self) -> None:
        """No port below 1024, nor one that is none, is ever connected to."""
        for port in (0, 1, 25, 1023, 65536, -1):
            with self.assertRaises(PermissionDenied):
                self.channels.active(HOME, port)
        self.assertFalse(self.channels.isArmed)

    async def test_unspecifiedIsThePeer(self) -> None:
        """An address that says nothing is the peer's own, as lftp and others mean it."""
        for host in ("0.0.0.0", "::", "::ffff:0.0.0.0"):
            self.channels.active(host, self.port)
            stream = await self.channels.open()
            self.assertFalse(self.channels.isForeign)
            self.listening.accept()[0].close()
            stream.abort()

    async def test_foreignTarget(self) -> None:
        """With FXP allowed another server is connected to, if it is in the networks."""
        other = socket.create_server((STRANGER, 0))
        self.sockets.append(other)
        port = other.getsockname()[1]
        channels = self.build(allowForeign=(ipaddress.ip_network("127.0.0.9"),))
        channels.active(STRANGER, port)
        (await channels.open()).abort()
        self.assertTrue(channels.isForeign)
        for host in ("127.0.0.10", "10.0.0.1", "::1"):
            with self.assertRaises(PermissionDenied):
                channels.active(host, port)
        with self.assertRaises(PermissionDenied):
            channels.active(STRANGER, 1023)

    async def test_otherFamily(self) -> None:
        """A client that a proxy introduces need not be of our family: it is connected to."""
        try:
            listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
        except OSError:
            return
        self.sockets.append(listening)
        channels = self.build(peer="::1")
        channels.active("::1", listening.getsockname()[1])
        (await channels.open()).abort()

    async def test_mappedAddressIsThePeer(self) -> None:
        """EPRT with the IPv4-mapped form of the peer's address is the peer."""
        self.channels.active("::ffff:127.0.0.1", self.port)
        stream = await self.channels.open()
        stream.abort()

    async def test_refused(self) -> None:
        """A closed port is an error with its reason, and leaves no descriptor."""
        self.listening.close()
        before = openDescriptors()
        self.channels.active(HOME, self.port)
        with self.assertRaises(ConnectFailed) as caught:
            await self.channels.open()
        self.assertIn("refused", str(caught.exception))
        self.assertEqual(openDescriptors(), before)

    async def test_lastOneWins(self) -> None:
        """PASV then PORT: the passive port is closed."""
        passive = self.channels.passive()
        self.channels.active(HOME, self.port)
        with self.assertRaises(ConnectionRefusedError):
            self.client(passive)
        stream = await self.channels.open()
        self.sockets.append(self.listening.accept()[0])
        stream.abort()

    async def test_fixedSourcePort(self) -> None:
        """Where a source port is wanted it is used, and done without when taken."""
        taken = socket.socket()
        taken.bind((HOME, 0))
        wanted = taken.getsockname()[1]
        taken.close()
        channels = self.build(sourcePort=wanted)
        channels.active(HOME, self.port)
        stream = await channels.open()
        client, address = self.listening.accept()
        self.sockets.append(client)
        self.assertEqual(address[1], wanted)
        stream.abort()

    async def test_silentPeerIsBounded(self) -> None:
        """A connect that nobody answers ends in time."""
        # A full accept queue drops SYNs, as a firewall does.
        self.listening.listen(0)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((HOME, self.port))
            self.sockets.append(filler)
        await turns()
        channels = self.build(openSeconds=0.2)
        channels.active(HOME, self.port)
        with self.assertRaises(ConnectFailed):
            await channels.open()


class ProtectTests(ChannelTests):
    async def test_protectedStreamIsHandedOut(self) -> None:
        """What C{protect} makes of the connection is what the session gets."""
        self.client(self.channels.passive())
        seen: list[Any] = []

        async def protect(stream: Any) -> Any:
            seen.append(stream)
            return stream

        stream = await self.channels.open(protect)
        self.assertEqual(seen, [stream])
        stream.abort()

    async def test_handshakeIsBounded(self) -> None:
        """A client that connects and never shakes hands is cut off."""
        channels = self.build(handshakeSeconds=0.2)
        client = self.client(channels.passive())

        async def protect(stream: Any) -> Any:
            await stream.read(1)

        with self.assertRaises(ProtectionRequired):
            await channels.open(protect)
        self.assertReset(client)

    async def test_cancelledHandshake(self) -> None:
        """Cancelling during the handshake closes the connection."""
        client = self.client(self.channels.passive())
        await turns()

        async def protect(stream: Any) -> Any:
            await stream.read(1)

        opened = ensureDeferred(self.channels.open(protect))
        opened.cancel()
        await self.assertFailure(opened, Exception)
        self.assertReset(client)


class PassivePortsTests(TestCase):
    def listenAll(self, ports: PassivePorts, count: int) -> list[tuple[socket.socket, int]]:
        got = [ports.listen(HOME) for _ in range(count)]
        self.addCleanup(lambda: [sock.close() for sock, _ in got])
        return got

    def test_neverLeavesTheRange(self) -> None:
        """When all are taken the answer is no, and it is counted; a freed one is used."""
        first = freePort(count=3)
        ports = PassivePorts(range(first, first + 3))
        got = self.listenAll(ports, 3)
        self.assertEqual({port for _, port in got}, {first, first + 1, first + 2})
        with self.assertRaises(ConnectFailed):
            ports.listen(HOME)
        self.assertEqual(ports.exhausted, 1)
        self.assertEqual(ports.inUse, 3)
        sock, port = got[1]
        sock.close()
        ports.release(HOME, port)
        again = self.listenAll(ports, 1)
        self.assertEqual(again[0][1], port)

    def test_othersPortsAreSkipped(self) -> None:
        """A port that another program listens on is passed over."""
        foreign = socket.socket()
        self.addCleanup(foreign.close)
        first = freePort(count=3)
        foreign.bind((HOME, first + 1))
        foreign.listen(1)
        ports = PassivePorts(range(first, first + 3))
        got = self.listenAll(ports, 2)
        self.assertEqual({port for _, port in got}, {first, first + 2})
        with self.assertRaises(ConnectFailed):
            ports.listen(HOME)

    def test_notPredictable(self) -> None:
        """Ports come in no order: no constant step, hardly ever a neighbour."""
        ports = PassivePorts()
        seen = []
        for _ in range(300):
            sock, port = ports.listen(HOME)
            sock.close()
            ports.release(HOME, port)
            self.assertIn(port, DEFAULT_PASSIVE_PORTS)
            seen.append(port)
        steps = [b - a for a, b in itertools.pairwise(seen)]
        self.assertGreater(len(set(steps)), 200)
        self.assertLess(sum(abs(step) <= 1 for step in steps), 5)

    def test_addressesDoNotCompete(self) -> None:
        """Each local address has the whole range."""
        only = freePort()
        ports = PassivePorts(range(only, only + 1))
        one, _ = ports.listen(HOME)
        self.addCleanup(one.close)
        other, port = ports.listen("127.0.0.2")
        self.addCleanup(other.close)
        self.assertEqual(port, only)
        self.assertEqual(ports.inUse, 2)

    def test_notOurAddress(self) -> None:
        """An address that is not ours is an error, not a wider listener."""
        with self.assertRaises(ConnectFailed):
            PassivePorts().listen("192.0.2.1")


class CanonicalHostTests(TestCase):
    def test_forms(self) -> None:
        """Spellings of one address are equal."""
        self.assertEqual(canonicalHost("::ffff:192.0.2.1"), "192.0.2.1")
        self.assertEqual(canonicalHost("::FFFF:c000:0201"), "192.0.2.1")
        self.assertEqual(canonicalHost("FE80::0:1%eth0"), "fe80::1")
        self.assertEqual(canonicalHost("10.0.0.1"), "10.0.0.1")
        for wrong in ("", "host", "1.2.3", "\u0661.2.3.4", "127.0.0.01", " 1.2.3.4"):
            with self.assertRaises(ValueError):
                canonicalHost(wrong)
