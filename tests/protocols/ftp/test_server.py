"""
The control connection: its time, its buffers, its socket.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ISystemHandle, ITCPTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from filehub.credentials import Address, ConnectionInfo
from filehub.deadlines import Deadlines
from filehub.errors import LimitExceeded, NotFound, NotWelcome, PermissionDenied
from filehub.events import ProtocolViolation
from filehub.paths import VirtualPath
from filehub.protocols.ftp.data import DataChannels
from filehub.protocols.ftp.server import FTPFactory, FTPProtocol
from filehub.protocols.ftp.session import FTPSession
from filehub.protocols.ftp.settings import FTPSettings
from filehub.uncounted import UncountedSlot
from tests.protocols.ftp.doubles import Client, Transport, finalCodes


class TimeTests(SynchronousTestCase):
    def test_login(self) -> None:
        """T-R2: the time for a login is absolute: dripping bytes buys none."""
        client = Client()
        for _ in range(59):
            client.clock.advance(1)
            client.protocol.dataReceived(b"N")
        client.protocol.dataReceived(b"\r\n")
        self.assertEqual(finalCodes(client.take()), [500])
        client.clock.pump([1.0] * 3)
        self.assertEqual(client.take(), b"421 Login took too long.\r\n")
        self.assertTrue(client.isClosed)

    def test_loginAgain(self) -> None:
        """Logged out, the client has to log in again within the same time."""
        client = Client().logIn()
        client.clock.advance(100)
        client.code("REIN")
        client.clock.pump([1.0] * 62)
        self.assertEqual(finalCodes(client.take()), [421])

    def test_idle(self) -> None:
        """Without a command for the idle time: 421; each command buys the whole time."""
        client = Client().logIn()
        for _ in range(3):
            client.clock.pump([10.0] * 29)
            self.assertEqual(client.code("NOOP"), 200)
        client.clock.pump([1.0] * 302)
        self.assertEqual(client.take(), b"421 Idle for too long.\r\n")
        self.assertTrue(client.isClosed)

    def test_drippingIsIdle(self) -> None:
        """Bytes that are no command yet buy no time."""
        client = Client().logIn()
        for _ in range(303):
            client.clock.advance(1)
            client.protocol.dataReceived(b"N")
        self.assertEqual(client.take(), b"421 Idle for too long.\r\n")

    def test_neverInTransfer(self) -> None:
        """While a transfer runs the session is not idle; afterwards it has all its time."""
        client = Client(FTPSettings(stallTimeout=0)).logIn()
        client.code("PASV")
        stream = client.data.stream
        client.say("STOR f")
        client.clock.pump([10.0] * 100)
        self.assertEqual(client.take(), b"")
        stream.receive(b"")
        self.assertEqual(finalCodes(client.take()), [226])
        client.clock.pump([10.0] * 29)
        self.assertEqual(client.code("NOOP"), 200)

    def test_unclosable(self) -> None:
        """A client that does not take its last reply is cut off."""
        client = Client().logIn()
        client.say("QUIT")
        self.assertFalse(client.transport.isAborted)
        client.clock.pump([1.0] * 12)
        self.assertTrue(client.transport.isAborted)
        client.disconnect()
        self.assertEqual(client.clock.getDelayedCalls(), [])

    def test_nothingLeft(self) -> None:
        """A session that is gone leaves no timer."""
        client = Client()
        client.disconnect()
        self.assertEqual(client.clock.getDelayedCalls(), [])


class BackPressureTests(SynchronousTestCase):
    def test_unreadReplies(self) -> None:
        """T-R5: with too many unsent replies no command is taken, until they are read."""
        client = Client().logIn()
        client.protocol.pauseProducing()
        self.assertEqual(client.say("NOOP\r\nNOOP"), b"")
        self.assertEqual(client.transport.producerState, "paused")
        client.protocol.resumeProducing()
        self.assertEqual(finalCodes(client.take()), [200, 200])
        self.assertEqual(client.transport.producerState, "producing")

    def test_registered(self) -> None:
        """The transport tells when its buffer is full; closing does not wait for us."""
        client = Client().logIn()
        self.assertIs(client.transport.producer, client.protocol)
        self.assertTrue(client.transport.streaming)
        client.say("QUIT")
        self.assertIsNone(client.transport.producer)

    def test_turns(self) -> None:
        """T-R5: a flood of commands is carried out in portions; others have their turn."""
        client = Client().logIn()
        client.protocol.dataReceived(b"NOOP\r\n" * 1000)
        first = len(finalCodes(client.take()))
        self.assertLess(first, 200)
        self.assertEqual(client.transport.producerState, "paused")
        for _ in range(20):
            client.clock.advance(0)
        self.assertEqual(first + len(finalCodes(client.take())), 1000)
        self.assertEqual(client.transport.producerState, "producing")

    def test_floodThenGone(self) -> None:
        """A flooder who leaves in between leaves nothing behind."""
        client = Client().logIn()
        client.protocol.dataReceived(b"NOOP\r\n" * 1000)
        client.disconnect()
        client.clock.advance(0)
        self.assertEqual(client.clock.getDelayedCalls(), [])

    def test_telnetRefusals(self) -> None:
        """Options are refused on the wire."""
        client = Client()
        client.protocol.dataReceived(b"\xff\xfd\x01NOOP\r\n")
        self.assertEqual(client.take(), b"\xff\xfc\x01200 OK.\r\n")


class Registry:
    """
    A L{filehub.interfaces.ISessionRegistry} that admits so many.

    @ivar log: what its slots were told.
    """

    def __init__(self, room: int = 10) -> None:
        self.room = room
        self.log: list[Any] = []
        self.disconnects: list[Any] = []
        self.connection = ConnectionInfo(
            "ftp", 7, Address("192.0.2.1", 40000), Address("192.0.2.254", 21)
        )

    def admit(
        self, protocol: str, peer: Address, local: Address, *, secure: bool, disconnect: Any
    ) -> Any:
        if self.room < 0:
            raise NotWelcome
        if self.room == 0:
            raise LimitExceeded("Too many sessions, try again later.")
        self.room -= 1
        self.log.append((protocol, peer, local, secure))
        self.disconnects.append(disconnect)
        return self

    def loggedIn(self, account: Any, session: Any = None) -> None:
        self.log.append(account.name)

    def loggedOut(self) -> None:
        self.log.append("out")

    def pace(self) -> None:
        """It never is too quick."""

    def doing(self, verb: str, path: VirtualPath | None = None, moving: Any = None) -> None:
        self.log.append(verb if path is None else f"{verb} {path}")

    def leave(self, reason: str) -> None:
        self.log.append(f"left: {reason}")


class RegistryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.registry = Registry()

    def test_life(self) -> None:
        """The registry hears of admission, login, transfers, logout and the end."""
        client = Client(sessions=self.registry)
        client.logIn()
        client.retrieve("NLST")
        client.code("REIN")
        client.say("QUIT")
        client.disconnect()
        self.assertEqual(
            self.registry.log,
            [
                ("ftp", Address("192.0.2.1", 40000), Address("192.0.2.254", 21), False),
                "ann", "NLST /", "", "out", "left: quit",
            ],
        )  # fmt: skip

    def test_reasons(self) -> None:
        """The reason of every way out is told."""
        for prepare, reason in (
            (lambda client: None, "connection lost"),
            (lambda client: client.say("GET / HTTP/1.1"), "wrong protocol"),
            (lambda client: client.clock.pump([1.0] * 62), "login timeout"),
            (lambda client: client.logIn().clock.pump([1.0] * 302), "idle"),
            (lambda client: self.registry.disconnects[-1]("shutdown"), "shutdown"),
        ):
            client = Client(sessions=self.registry)
            prepare(client)
            client.disconnect()
            self.assertEqual(self.registry.log[-1], f"left: {reason}")

    def test_refused(self) -> None:
        """T-R1: who is not admitted is told why and closed, and served nothing."""
        self.registry.room = 0
        client = Client(sessions=self.registry)
        self.assertEqual(client.greeting, b"421 Too many sessions, try again later.\r\n")
        self.assertTrue(client.isClosed)
        self.assertEqual(client.say("USER ann"), b"")
        client.clock.pump([1.0] * 12)
        self.assertTrue(client.transport.isAborted)
        client.disconnect()

    def test_banned(self) -> None:
        """Who is banned is closed without a word."""
        self.registry.room = -1
        client = Client(sessions=self.registry)
        self.assertEqual(client.greeting, b"")
        self.assertTrue(client.transport.isAborted)
        self.assertEqual(client.say("USER ann"), b"")
        client.disconnect()

    def test_turnedAway(self) -> None:
        """The last words before a session is made; none to the banned, nor in front of TLS."""
        peer, local = Address("192.0.2.1", 40000), Address("192.0.2.254", 21)
        asked: list[Any] = []
        registry: Any = self.registry
        factory: Any = Client(sessions=registry).protocol.factory
        # A registry need not say so early.
        self.assertIsNone(factory.turnAway(peer, local))
        for said, words, hidden in (
            (None, None, None),
            ("", b"", b""),
            ("Too many.", b"421 Too many.\r\n", b""),
        ):
            registry.turnAway = lambda *who, said=said: asked.append(who) or said
            factory.settings = FTPSettings()
            self.assertEqual(factory.turnAway(peer, local), words)
            factory.settings = FTPSettings(implicitTLS=True)
            self.assertEqual(factory.turnAway(peer, local), hidden)
        self.assertEqual(asked, [("ftp", peer, local)] * 6)

    def test_disconnected(self) -> None:
        """An operator ends a session in the middle of an upload: 426, 421, nothing published."""
        client = Client(sessions=self.registry).logIn()
        client.code("PASV")
        client.data.stream.receive(b"partial")
        client.say("STOR f")
        self.registry.disconnects[0]("kicked")
        self.assertEqual(finalCodes(client.take()), [426, 421])
        self.assertTrue(client.isClosed)
        client.disconnect()
        self.assertRaises(NotFound, client.tree.content, "/f")

    def test_disconnectedTwice(self) -> None:
        """Being told twice, or too late, does nothing."""
        client = Client(sessions=self.registry).logIn()
        for _ in range(2):
            self.registry.disconnects[0]("kicked")
        self.assertEqual(finalCodes(client.take()), [421])
        client.disconnect()
        self.registry.disconnects[0]("kicked")


@implementer(ITCPTransport, ISystemHandle)
class TCPTransport(Transport):
    """A transport with a socket."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__("192.0.2.1", "192.0.2.254")
        self.sock = sock
        self.options: dict[str, bool] = {}

    def getHandle(self) -> socket.socket:
        return self.sock

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.options["nodelay"] = enabled

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.options["keepalive"] = enabled


class SocketTests(SynchronousTestCase):
    def test_options(self) -> None:
        """No Nagle, keepalive after a minute, urgent data in its place."""
        client = Client()
        with socket.socket() as sock:
            transport = TCPTransport(sock)
            protocol = client.factory.buildProtocol(transport.getPeer())
            assert protocol is not None
            protocol.makeConnection(transport)
            self.assertEqual(transport.options, {"nodelay": True, "keepalive": True})
            self.assertTrue(sock.getsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE))
            self.assertEqual(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), 60)

    def test_hasEnded(self) -> None:
        """Whether the client has closed is known before the reactor says so; data is none."""
        client = Client()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            protocol = client.factory.buildProtocol(client.transport.getPeer())
            assert isinstance(protocol, FTPProtocol)
            transport = TCPTransport(ours)
            transport.socket = ours
            protocol.makeConnection(transport)
            self.assertFalse(protocol.hasEnded())
            theirs.send(b"NOOP\r\n")
            self.assertFalse(protocol.hasEnded())
            ours.recv(100)
            theirs.close()
            self.assertTrue(protocol.hasEnded())
        self.assertFalse(client.protocol.hasEnded())


class FactoryTests(SynchronousTestCase):
    def test_channels(self) -> None:
        """Each session has data channels between its own two addresses."""
        client = Client()
        factory = FTPFactory(
            client.clock,
            client.users,
            FTPSettings(passivePorts=range(5000, 5010)),
            sink=client.sink,
        )
        connection = ConnectionInfo(
            "ftp", 1, Address("192.0.2.1", 40000), Address("192.0.2.254", 21)
        )
        slot = UncountedSlot(connection)
        channels = factory.listener.openData(FTPSession(factory.listener, client.protocol, slot))
        self.assertIsInstance(channels, DataChannels)
        self.assertRaises(PermissionDenied, channels.active, "192.0.2.9", 2000)
        self.assertEqual([each.kind for each in client.events(ProtocolViolation)], ["bounce"])
        self.assertEqual(factory.passivePorts.size, 10)

    def test_defaults(self) -> None:
        """Reactor and portal are enough; deadlines can be shared."""
        client = Client()
        deadlines = Deadlines(client.clock)
        factory = FTPFactory(client.clock, client.users, deadlines=deadlines)
        self.assertIs(factory.listener.deadlines, deadlines)
        self.assertEqual(factory.settings, FTPSettings())
        self.assertIsInstance(factory.buildProtocol(client.transport.getPeer()), FTPProtocol)

    def test_lateDrain(self) -> None:
        """Waiting for a congested client ends when it is gone."""
        client = Client().logIn()
        client.protocol.pauseProducing()
        waiting = client.protocol.drained()
        assert isinstance(waiting, Deferred)
        client.disconnect()
        self.successResultOf(waiting)
        self.successResultOf(client.protocol.drained())
