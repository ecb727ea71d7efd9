"""
A server without sockets, and both ends of its connection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.cred.checkers import ANONYMOUS
from twisted.cred.credentials import IAnonymous
from twisted.cred.error import LoginDenied, UnauthorizedLogin
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from filehub.accounts.records import AccountLimits
from filehub.credentials import AccountRequired, IAccountPassword
from filehub.errors import PeerGone
from filehub.events import Event, TransferEnded
from filehub.interfaces import IEventSink, IFileAccount
from filehub.paths import ROOT, VirtualPath
from filehub.protocols.rfc913.server import RFC913Factory, RFC913Protocol
from filehub.protocols.rfc913.settings import RFC913Settings
from filehub.vfs.memory import MemoryTree


@implementer(IFileAccount)
@dataclass
class Account:
    """An avatar over any file system."""

    name: str
    fileSystem: Any
    home: VirtualPath = ROOT
    limits: Any = field(default_factory=AccountLimits)
    gate: Any = None
    letters: str = "elradfmw"
    mounts: tuple[VirtualPath, ...] = ()

    def permissionLetters(self, path: VirtualPath) -> str:
        return self.letters

    def commonLetters(self, path: VirtualPath) -> str | None:
        return self.letters

    def __conform__(self, interface: Any) -> Any:
        return self.gate if self.gate is not None and interface.providedBy(self.gate) else None


class Users:
    """
    A portal: C{mkl} with the password C{foo} and the account C{acct}.

    @ivar asked: all credentials that were shown.
    @ivar loggedOut: names of avatars that were ended.
    @ivar wantsAccount: is the account needed on top?
    @ivar anonymous: may anybody in?
    @ivar hold: if set, an answer that is given later.
    """

    def __init__(self, account: Account) -> None:
        self.account = account
        self.asked: list[Any] = []
        self.minds: list[Any] = []
        self.loggedOut: list[str] = []
        self.wantsAccount = False
        self.anonymous = True
        self.hold: Deferred[None] | None = None

    def login(self, credentials: Any, mind: Any, *interfaces: Any) -> Deferred[Any]:
        self.asked.append(credentials)
        self.minds.append(mind)
        if self.hold is not None:
            return self.hold.addCallback(lambda _: self._answer(credentials))
        return maybeDeferred(self._answer, credentials)

    def _answer(self, credentials: Any) -> Any:
        if IAnonymous.providedBy(credentials):
            if not self.anonymous:
                raise LoginDenied
            return self._granted(ANONYMOUS)
        if (credentials.username, credentials.password) != (b"mkl", b"foo"):
            raise UnauthorizedLogin
        if IAccountPassword.providedBy(credentials):
            if credentials.account != b"acct":
                raise UnauthorizedLogin
        elif self.wantsAccount:
            raise AccountRequired
        return self._granted(b"mkl")

    def _granted(self, name: Any) -> Any:
        return IFileAccount, self.account, lambda: self.loggedOut.append(self.account.name)


@implementer(IEventSink)
class Events(list[Event]):
    """What observers heard."""

    emit = list.append

    @property
    def transfers(self) -> list[tuple[str, str, str, int]]:
        """The ended transfers: direction, path, outcome and bytes."""
        return [
            (each.direction.value, str(each.path), each.outcome.value, each.nbytes)
            for each in self
            if isinstance(each, TransferEnded)
        ]


class MemoryTransport:
    """
    A transport into a list of bytes.

    @ivar written: all that was written.
    @ivar capacity: unread bytes from which on the producer is paused.
    @ivar state: C{"open"}, C{"closing"}, C{"lost"} or C{"aborted"}.
    """

    def __init__(self, clock: Clock, capacity: int = 65536) -> None:
        self.clock = clock
        self.capacity = capacity
        self.written = bytearray()
        self.unread = bytearray()
        self.state = "open"
        self.isPaused = False
        self.producer: Any = None
        self.protocol: Any = None
        self.onWritten: Callable[[], object] = lambda: None
        self._producerPaused = False

    # --- what protocols use

    def write(self, data: bytes) -> None:
        if self.state == "open":
            self.written += data
            self.unread += data
            if len(self.unread) > self.capacity and self.producer and not self._producerPaused:
                self._producerPaused = True
                self.producer.pauseProducing()
            self.onWritten()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self.producer is not None:
            raise RuntimeError("there is a producer already")
        self.producer = producer
        self._producerPaused = False

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        self.isPaused = True

    def resumeProducing(self) -> None:
        self.isPaused = False

    def loseConnection(self) -> None:
        if self.state == "open":
            self.state = "closing"
            if not self.unread:
                self.clock.callLater(0, self.lose, ConnectionDone())

    def abortConnection(self) -> None:
        if self.state in ("open", "closing"):
            self.state = "aborted"
            self.clock.callLater(0, self._lost, ConnectionAborted())

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.1", 40000)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.2", 115)

    # --- what tests use

    def take(self) -> bytes:
        """What was written and not taken yet; the protocol may go on writing."""
        data = bytes(self.unread)
        self.unread.clear()
        if self._producerPaused and self.producer is not None:
            self._producerPaused = False
            self.producer.resumeProducing()
        if self.state == "closing":
            self.lose(ConnectionDone())
        return data

    def lose(self, reason: Exception | None = None) -> None:
        """The connection ends; by default the peer closes it."""
        if self.state in ("open", "closing"):
            self.state = "lost"
            self._lost(reason or ConnectionDone())

    def _lost(self, reason: Exception) -> None:
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()
        self.protocol.connectionLost(Failure(reason))


class Peer:
    """
    A client that speaks bytes.

    @ivar tree: what is stored.
    @ivar account: the avatar of everybody.
    @ivar users: the portal.
    @param silent: leave the greeting unread.
    """

    def __init__(
        self,
        settings: RFC913Settings | None = None,
        *,
        tree: MemoryTree | None = None,
        account: Account | None = None,
        clock: Clock | None = None,
        capacity: int = 65536,
        silent: bool = False,
        **options: Any,
    ) -> None:
        self.clock = clock or Clock()
        self.tree = tree or MemoryTree(clock=lambda: 1795556040.0, partial="delete")
        self.account = account or Account("mkl", self.tree.viewFor("mkl"))
        self.users = Users(self.account)
        self.events = Events()
        self.factory = RFC913Factory(
            self.clock,
            self.users,  # type: ignore[arg-type]
            settings or RFC913Settings(hostName="mit", failureDelay=2.0),
            sink=self.events,
            **options,
        )
        self.transport = MemoryTransport(self.clock, capacity)
        self.protocol: RFC913Protocol = self.factory.buildProtocol(None)
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)  # type: ignore[arg-type]
        self.greeting = b"" if silent else self.received()

    def send(self, data: bytes) -> None:
        """Deliver these bytes."""
        if self.transport.state == "open":
            self.protocol.dataReceived(data)

    def received(self) -> bytes:
        """What came since the last look."""
        return self.transport.take()

    def say(self, command: bytes | str) -> bytes:
        """Send one command and return what came."""
        self.send((command.encode() if isinstance(command, str) else command) + b"\0")
        return self.received()

    def loggedIn(self) -> Peer:
        """Log in, and forget what was said."""
        self.say("USER mkl")
        self.say("PASS foo")
        return self

    def stored(self, path: str) -> bytes | None:
        """A file's content."""
        try:
            return self.tree.content(path)
        except Exception:
            return None

    @property
    def isClosed(self) -> bool:
        """Has the server closed, or begun to?"""
        return self.transport.state != "open"


class ClientStream:
    """
    A L{ByteStream} to a server in memory.

    @ivar patience: bytes that are read until reading takes for ever.
    @param fragment: bytes that arrive at a time, in either direction.
    """

    kernelSocket = None

    def __init__(self, peer: Peer, fragment: int = 1 << 20) -> None:
        self._peer = peer
        self._fragment = fragment
        self.patience = 1 << 60
        self._outgoing = bytearray()
        self._incoming = bytearray()
        self._reader: Deferred[None] | None = None
        self._aborted = False
        self._pumping = False
        peer.transport.onWritten = self._wake

    async def read(self, maximum: int) -> bytes:
        while not self._incoming or self.patience <= 0:
            if self.patience > 0:
                self._pump()
            if self._incoming and self.patience > 0:
                break
            if self._aborted:
                raise PeerGone
            if self._peer.transport.state != "open" and not self._peer.transport.unread:
                return b""
            await self.readable()
        size = min(maximum, self._fragment)
        data = bytes(self._incoming[:size])
        del self._incoming[:size]
        self.patience -= len(data)
        return data

    async def write(self, data: bytes | memoryview) -> None:
        if self._aborted or self._peer.transport.state != "open":
            raise PeerGone
        self._outgoing += data
        self._pump()

    def _pump(self) -> None:
        if self._pumping:
            return
        self._pumping = True
        try:
            while True:
                self._incoming += self._peer.transport.take()
                if not self._outgoing or self._peer.transport.isPaused or self._aborted:
                    break
                piece = bytes(self._outgoing[: self._fragment])
                del self._outgoing[: self._fragment]
                self._peer.send(piece)
            self._incoming += self._peer.transport.take()
        finally:
            self._pumping = False

    def _wake(self) -> None:
        # Not at once: who writes is in the middle of something.
        if self._reader is not None:
            self._peer.clock.callLater(0, self._awake)

    def _awake(self) -> None:
        waiting, self._reader = self._reader, None
        if waiting is not None:
            waiting.callback(None)

    def readable(self) -> Deferred[None]:
        waiting = self._reader = Deferred(self._nobodyReads)
        return waiting

    def _nobodyReads(self, _: Deferred[None]) -> None:
        self._reader = None

    def writable(self) -> Deferred[None]:
        return succeed(None)

    def pause(self, seconds: float) -> Deferred[None]:
        if self._aborted:
            return fail(PeerGone())
        waiting: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._peer.clock.callLater(seconds, waiting.callback, None)
        return waiting

    def backlog(self) -> int:
        return 0

    async def finish(self) -> None:
        self._peer.transport.lose()
        self._aborted = True

    def abort(self) -> None:
        if not self._aborted:
            self._aborted = True
            self._peer.transport.lose(ConnectionAborted())
            self._awake()
