"""
What the server does about time, silence, pressure and lost connections; and how it
answers errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from filehub import errors
from filehub.attributes import DirectoryEntry, FileAttributes, FileType
from filehub.credentials import Address, ConnectionInfo
from filehub.errors import FileHubError, LimitExceeded, StorageUnavailable
from filehub.interfaces import IFileAccount, ISessionRegistry, ISessionSlot
from filehub.paths import VirtualPath
from filehub.protocols.rfc913 import replies
from filehub.protocols.rfc913.admission import addressOf
from filehub.protocols.rfc913.settings import RFC913Settings
from filehub.protocols.rfc913.wire import Code
from filehub.registry import SessionRegistry
from tests.protocols.rfc913.doubles import Account, Peer


def leaves(kind: type[FileHubError]) -> Iterator[type[FileHubError]]:
    """All classes below without any below them, of those that all protocols share."""
    below = [each for each in kind.__subclasses__() if each.__module__ == errors.__name__]
    if not below:
        yield kind
    for each in below:
        yield from leaves(each)


class ErrorTests(SynchronousTestCase):
    def test_everyLeafHasWords(self) -> None:
        """Each error of the vocabulary has a reason of its own in the table."""
        missing = [each for each in leaves(FileHubError) if each not in replies.REASONS]
        self.assertEqual(missing, [])

    def test_everyLeafIsAReply(self) -> None:
        """Each is answered with C{-} and words, and nothing of its own text."""
        for kind in leaves(FileHubError):
            reply = replies.refusal(kind())
            self.assertIs(reply.code, Code.ERROR)
            self.assertTrue(reply.text[0].isupper(), kind)

    def test_detail(self) -> None:
        """A detail stands for itself; an unknown error is an internal one."""
        self.assertEqual(replies.refusal(StorageUnavailable(None, "why")).text, "Why")
        self.assertEqual(replies.refusal(FileHubError("who knows")).text, "Internal error")

    def test_bug(self) -> None:
        """Our mistake is one reply and one logged failure, and the session goes on."""
        server = Peer().loggedIn()
        server.account.fileSystem.removeFile = None
        self.assertEqual(server.say("KILL f"), b"-Internal error\0")
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.assertEqual(server.say("LIST F"), b"+/\r\n\0")

    def test_bugInTransfer(self) -> None:
        """The same in an upload: it is read to its end."""
        server = Peer().loggedIn()
        server.say("STOR NEW f")
        handle = server.protocol._session.pending._handle  # type: ignore[union-attr]

        async def commit() -> None:
            raise ZeroDivisionError

        server.say("STOR APP f")
        handle = server.protocol._session.pending._handle  # type: ignore[union-attr]
        handle.commit = commit
        server.say("SIZE 3")
        server.send(b"abc")
        self.assertEqual(server.received(), b"-Couldn't save because internal error\0")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(server.events.transfers, [("upload", "/f", "failed", 3)])
        self.assertIsNone(server.stored("f"))


class EndingTests(SynchronousTestCase):
    def test_lostWhileIdle(self) -> None:
        """A lost connection logs the account out, once."""
        server = Peer().loggedIn()
        server.transport.lose()
        self.assertEqual(server.users.loggedOut, ["mkl"])
        self.assertEqual(server.clock.getDelayedCalls(), [])

    def test_lostWhilePending(self) -> None:
        """What is pending is closed and aborted."""
        server = Peer().loggedIn()
        server.tree.putFile("f", b"x")
        server.say("RETR f")
        source = server.protocol._session.pending.source  # type: ignore[union-attr]
        server.transport.lose()
        self.failureResultOf(Deferred.fromCoroutine(source.readAt(0, 1)), StorageUnavailable)
        server = Peer().loggedIn()
        server.say("STOR NEW f")
        handle = server.protocol._session.pending._handle  # type: ignore[union-attr]
        server.transport.lose()
        self.assertTrue(handle._ended)

    def test_lostWhileLoggingIn(self) -> None:
        """An avatar that comes when nobody waits any more is logged out at once."""
        server = Peer()
        server.users.hold = Deferred()
        server.say("USER mkl")
        server.say("PASS foo")
        server.transport.lose()
        self.assertEqual(server.users.loggedOut, [])
        server.users.hold.callback(None)
        self.assertEqual(server.users.loggedOut, ["mkl"])

    def test_lostWhileOpening(self) -> None:
        """A command that waits for the storage is called off."""
        server = Peer().loggedIn()
        cancelled = []
        waiting: Deferred[Any] = Deferred(cancelled.append)

        async def stat(path: object) -> Any:
            return await waiting

        server.account.fileSystem.stat = stat
        server.say("NAME f")
        server.transport.lose()
        self.assertEqual(cancelled, [waiting])
        self.assertEqual(server.users.loggedOut, ["mkl"])

    def test_lostAfterTheLastByte(self) -> None:
        """An upload that has arrived whole is published, whoever is there to hear it."""
        server = Peer().loggedIn()
        server.say("STOR APP f")
        handle = server.protocol._session.pending._handle  # type: ignore[union-attr]
        waiting: Deferred[None] = Deferred()
        inner = handle.commit

        async def commit() -> Any:
            await waiting
            return await inner()

        handle.commit = commit
        server.say("SIZE 3")
        server.send(b"abc")
        server.transport.lose()
        self.assertEqual(server.users.loggedOut, [])
        waiting.callback(None)
        self.assertEqual(server.stored("f"), b"abc")
        self.assertEqual(server.users.loggedOut, ["mkl"])
        self.assertEqual(server.events.transfers, [("upload", "/f", "completed", 3)])

    def test_lostWhileSending(self) -> None:
        """A client that goes away in a download is one event, and the file is closed."""
        server = Peer(capacity=1000).loggedIn()
        server.tree.putFile("f", b"x" * 1_000_000)
        server.say("RETR f")
        server.send(b"SEND\0")
        self.assertEqual(server.events.transfers, [])
        server.transport.lose()
        self.assertEqual(
            [each[:3] for each in server.events.transfers], [("download", "/f", "peer gone")]
        )
        self.assertEqual(server.users.loggedOut, ["mkl"])
        self.assertEqual(server.clock.getDelayedCalls(), [])

    def test_probe(self) -> None:
        """A client that only wanted the number is told from one that lost the file."""
        server = Peer().loggedIn()
        server.tree.putFile("f", b"x")
        server.say("RETR f")
        self.assertEqual(server.say("STOP"), b"+ok, RETR aborted\0")
        server.say("RETR f")
        server.say("TYPE B")
        self.assertEqual(server.events.transfers, [("download", "/f", "probed", 0)] * 2)


class PressureTests(SynchronousTestCase):
    def test_repliesUnread(self) -> None:
        """A client that reads no replies gets no commands carried out, and is dropped."""
        server = Peer(capacity=100).loggedIn()
        for _ in range(100):
            server.send(b"TYPE B\0")
        self.assertLess(len(server.transport.unread), 200)
        self.assertEqual(server.received().count(b"\0") + server.received().count(b"\0"), 12)
        for _ in range(70):
            server.clock.advance(1)
        self.assertEqual(server.transport.state, "aborted")
        self.assertEqual(server.users.loggedOut, ["mkl"])

    def test_commandsWaiting(self) -> None:
        """Commands are not read without limit behind one that takes its time."""
        server = Peer().loggedIn()
        server.users.hold = Deferred()
        server.say("USER mkl")
        server.say("PASS foo")
        server.send(b"TYPE A\0" * 10_000)
        self.assertTrue(server.transport.isPaused)
        server.users.hold.callback(None)
        self.assertEqual(server.received()[:9], b"! Logged ")
        self.assertFalse(server.transport.isPaused)

    def test_largeDirectory(self) -> None:
        """100,000 entries are sent as they are read and as the client reads them."""
        server = Peer(capacity=65536).loggedIn()
        read = 0

        class Directory:
            async def nextPage(self) -> list[DirectoryEntry]:
                nonlocal read
                if read == 100_000:
                    return []
                start, read = read, read + 500
                attributes = FileAttributes(FileType.REGULAR, 1, 0.0)
                return [DirectoryEntry(f"n{n:06}", attributes) for n in range(start, read)]

            async def close(self) -> None:
                nonlocal closed
                closed += 1

        closed = 0

        async def openDirectory(path: object) -> Directory:
            return Directory()

        server.account.fileSystem.openDirectory = openDirectory
        server.send(b"LIST F\0")
        # Sorting was given up, and then the client did not read.
        self.assertLess(read, 20_000)
        received = b""
        while data := server.received():
            self.assertLess(len(data), 200_000)
            received += data
        self.assertEqual(received.count(b"\r\n"), 100_001)
        self.assertTrue(received.endswith(b"n099999\r\n\0"))
        self.assertEqual(closed, 1)

    def test_brokenDirectory(self) -> None:
        """A list that cannot be finished ends the connection, never just the list."""
        for pages, answer in ((0, b"-Storage unavailable, try again later\0"), (30, None)):
            server = Peer().loggedIn()

            class Directory:
                left = pages

                async def nextPage(self) -> list[DirectoryEntry]:
                    self.left -= 1
                    if self.left < 0:
                        raise StorageUnavailable
                    attributes = FileAttributes(FileType.REGULAR, 1, 0.0)
                    return [DirectoryEntry("name", attributes)] * 500

                async def close(self) -> None:
                    return None

            async def openDirectory(path: object, kind: type = Directory) -> Any:
                return kind()

            server.account.fileSystem.openDirectory = openDirectory
            received = server.say("LIST F")
            while data := server.received():
                received += data
            if answer is not None:
                self.assertEqual(received, answer)
            else:
                self.assertNotIn(b"\0", received)
                self.assertEqual(server.transport.state, "aborted")

    def test_slowLogin(self) -> None:
        """The time for a login is not prolonged by commands, nor by half of one."""
        server = Peer()
        for _ in range(59):
            server.clock.advance(1)
            server.send(b"NOPE\0US")
        self.assertFalse(server.isClosed)
        server.clock.advance(2)
        self.assertTrue(server.isClosed)

    def test_accountsIdleTime(self) -> None:
        """An account may have its own idle time."""
        account = Account("mkl", Peer().tree.viewFor("mkl"))
        account.limits = type(account.limits)(idle=10.0)
        server = Peer(account=account).loggedIn()
        server.clock.advance(12)
        self.assertTrue(server.isClosed)

    def test_linger(self) -> None:
        """A client that does not close after us is closed in the end."""
        server = Peer()
        server.send(b"DONE\0")
        server.clock.advance(4)
        self.assertEqual(server.transport.state, "closing")
        server.clock.advance(2)
        self.assertEqual(server.transport.state, "aborted")


@implementer(ISessionSlot)
class Slot:
    """Remembers what it was told."""

    def __init__(self, connection: ConnectionInfo) -> None:
        self.connection = connection
        self.told: list[str] = []
        self.full = False
        self.waits: list[Deferred[None]] | None = None
        self.isTooQuick = False

    def secured(self) -> None:
        self.told.append("secured")

    def loggedIn(self, account: IFileAccount, session: Any = None) -> None:
        if self.full:
            raise LimitExceeded
        self.told.append(f"in {account.name}")

    def loggedOut(self) -> None:
        self.told.append("out")

    def pace(self) -> Deferred[None] | None:
        """It never is too quick, unless told so."""
        if self.isTooQuick:
            raise LimitExceeded("Too many commands.")
        if self.waits is None:
            return None
        waiting: Deferred[None] = Deferred()
        self.waits.append(waiting)
        return waiting

    def doing(self, verb: str, path: VirtualPath | None = None, moving: Any = None) -> None:
        self.told.append(verb if path is None else f"{verb} {path}")

    def leave(self, reason: str) -> None:
        self.told.append(f"left: {reason}")


@implementer(ISessionRegistry)
class Registry:
    """Admits until it is full."""

    def __init__(self) -> None:
        self.full = False
        self.banned = False
        self.slots: list[Slot] = []
        self.disconnects: list[Any] = []

    def admit(
        self, protocol: str, peer: Address, local: Address, *, secure: bool, disconnect: Any
    ) -> Slot:
        if self.banned:
            raise errors.NotWelcome
        if self.full:
            raise LimitExceeded("too many connections")
        slot = Slot(ConnectionInfo(protocol, 7, peer, local, secure))
        self.slots.append(slot)
        self.disconnects.append(disconnect)
        return slot


class RegistryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.registry = Registry()

    def server(self, **options: Any) -> Peer:
        return Peer(sessions=self.registry, **options)

    def test_admitted(self) -> None:
        """A session has a place from its first to its last moment."""
        server = self.server()
        server.loggedIn()
        server.tree.putFile("f", b"x")
        server.say("RETR f")
        server.say("SEND")
        server.say("USER mkl")
        server.say("DONE")
        (slot,) = self.registry.slots
        self.assertEqual(slot.told, ["in mkl", "RETR /f", "SEND /f", "", "out", "left: done"])
        self.assertEqual(
            slot.connection,
            ConnectionInfo(
                "rfc913", 7, Address("192.0.2.1", 40000), Address("192.0.2.2", 115), False
            ),
        )
        self.assertEqual(server.users.minds, [slot.connection])

    def test_outToLunch(self) -> None:
        """Where there is no place the greeting says so, and the connection closes."""
        self.registry.full = True
        server = self.server()
        self.assertEqual(server.greeting, b"-mit Out to Lunch: too many connections\0")
        self.assertTrue(server.isClosed)
        server.send(b"USER mkl\0")
        self.assertEqual(server.received(), b"")

    def test_pace(self) -> None:
        """Commands that come too quickly wait, in their order; in the end that is the end."""
        server = self.server()
        (slot,) = self.registry.slots
        slot.waits = []
        server.received()
        server.send(b"TYPE X\0TYPE Y\0")
        self.assertEqual((server.received(), len(slot.waits)), (b"", 1))
        slot.waits[0].callback(None)
        self.assertEqual(server.received().count(b"\0"), 1)
        slot.waits[1].callback(None)
        self.assertEqual(server.received().count(b"\0"), 1)
        slot.isTooQuick = True
        server.send(b"TYPE X\0")
        self.assertEqual(server.received(), b"-Too many commands.\0")
        self.assertTrue(server.isClosed)

    def test_banned(self) -> None:
        """Who is banned hears nothing, not even that."""
        self.registry.banned = True
        server = self.server()
        self.assertEqual(server.greeting, b"")
        self.assertTrue(server.isClosed)

    def test_turnedAway(self) -> None:
        """The last words before a session is made; none to who is banned."""
        peer, local = Address("192.0.2.1", 40000), Address("192.0.2.2", 115)
        registry: Any = self.registry
        factory: Any = self.server().protocol._factory
        self.assertIsNone(factory.turnAway(peer, local))
        for said, words in (
            (None, None),
            ("", b""),
            ("too many", b"-mit Out to Lunch: too many\0"),
        ):
            registry.turnAway = lambda protocol, *_, said=said: said
            self.assertEqual(factory.turnAway(peer, local), words)

    def test_accountIsFull(self) -> None:
        """An account with its fill of sessions is logged out again."""
        server = self.server()
        self.registry.slots[0].full = True
        server.say("USER mkl")
        self.assertEqual(server.say("PASS foo"), b"-Limit exceeded, try again later\0")
        self.assertEqual(server.users.loggedOut, ["mkl"])
        self.assertEqual(server.say("LIST F"), b"-Log in first\0")

    def test_kickedWhileIdle(self) -> None:
        """A session that is told to end ends."""
        server = self.server().loggedIn()
        self.registry.disconnects[0]("kicked")
        self.assertTrue(server.isClosed)
        server.received()
        server.transport.lose()
        self.assertEqual(self.registry.slots[0].told[-1], "left: kicked")

    def test_kickedWhileMoving(self) -> None:
        """A transfer of such a session is aborted, which is not the peer's doing."""
        server = self.server(capacity=1000).loggedIn()
        server.tree.putFile("f", b"x" * 1_000_000)
        server.say("RETR f")
        server.send(b"SEND\0")
        self.registry.disconnects[0]("kicked")
        server.clock.advance(0)
        self.assertEqual(
            [each[:3] for each in server.events.transfers], [("download", "/f", "aborted")]
        )
        self.assertEqual(self.registry.slots[0].told[-1], "left: kicked")

    def test_reasons(self) -> None:
        """The reason why a session left is told once, and is the first one."""
        for act, reason in (
            (lambda server: server.transport.lose(), "connection lost"),
            (lambda server: server.send(b"x" * 5000), "endless command"),
            (lambda server: server.clock.advance(61), "no login in time"),
        ):
            server = self.server()
            act(server)
            server.received()
            server.clock.advance(6)
            server.clock.advance(6)
            self.assertEqual(self.registry.slots[-1].told, [f"left: {reason}"])

    def test_events(self) -> None:
        """The registry's events say whose session it was, and come after the transfers'."""
        events: list[Any] = []

        class Sink:
            emit = events.append

        clock = Clock()
        server = Peer(clock=clock, sessions=SessionRegistry(clock, sink=Sink()))  # type: ignore[arg-type]
        server.loggedIn()
        server.transport.lose()
        self.assertEqual(
            [(type(each).__name__, getattr(each, "account", None)) for each in events],
            [("SessionStarted", None), ("SessionEnded", "mkl")],
        )

    def test_addresses(self) -> None:
        """Addresses are shown as IPv4 where they are, and UNIX sockets have names."""

        class End:
            def __init__(self, **values: object) -> None:
                self.__dict__.update(values)

        def address(**values: object) -> str:
            return str(addressOf(End(**values)))  # type: ignore[arg-type]

        self.assertEqual(address(host="::ffff:192.0.2.1", port=1), "192.0.2.1:1")
        self.assertEqual(address(host="2001:db8::1", port=1), "[2001:db8::1]:1")
        self.assertEqual(address(name="/run/x"), "/run/x:0")
        self.assertEqual(address(), "local:0")


class GreetingTests(SynchronousTestCase):
    def test_hostName(self) -> None:
        """The host's name comes first; without one in the settings it is the system's."""
        self.assertEqual(Peer().greeting, b"+mit SFTP Service\0")
        name = Peer(RFC913Settings()).greeting[1:].split(b" ")[0]
        self.assertTrue(name)

    def test_hugeNumbers(self) -> None:
        """Files beyond 4 GiB are announced exactly, without being read."""
        server = Peer().loggedIn()

        class Huge:
            attributes = FileAttributes(FileType.REGULAR, 5 << 30, 0.0)

            async def close(self) -> None:
                return None

        async def openForReading(path: object) -> Huge:
            return Huge()

        server.account.fileSystem.openForReading = openForReading
        self.assertEqual(server.say("RETR f"), b" 5368709120\0")
        server.say("STOP")
        server.say("STOR APP g")
        self.assertEqual(server.say("SIZE 5368709120"), b"+ok, waiting for file\0")

    def test_pipelining(self) -> None:
        """Commands in one piece, with file bytes between them, are told apart."""
        server = Peer()
        server.send(
            b"USER mkl\0PASS foo\0STOR NEW f\0SIZE 5\0KILL\0"
            b"STOR APP f\0SIZE 1\0!RETR f\0SEND\0DONE\0"
        )
        self.assertEqual(
            server.received().split(b"\0"),
            [
                b"+User-id valid, send account and password",
                b"! Logged in",
                b"+File does not exist, will create new file",
                b"+ok, waiting for file",
                b"+Saved /f",
                b"+Will append to file",
                b"+ok, waiting for file",
                b"+Saved /f",
                b" 6",
                b"KILL",
                b"!+mit closing connection",
                b"",
            ],
        )


class WelcomeTests(SynchronousTestCase):
    """C{welcome}"""

    def test_welcome(self) -> None:
        """It follows the line of a login, and cannot end the reply."""
        peer = Peer(RFC913Settings(hostName="mit", welcome="Hello\0-no\nbye"))
        peer.say("USER mkl")
        self.assertEqual(peer.say("PASS foo"), b"! Logged in\r\nHello?-no\r\nbye\0")
        self.assertNotIn(b"Hello", peer.say("PASS foo"))
