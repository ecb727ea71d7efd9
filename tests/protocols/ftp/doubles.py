"""
An FTP server without sockets, and both ends of its connections.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from typing import Any

from twisted.cred.credentials import IAnonymous
from twisted.cred.error import UnauthorizedLogin, UnhandledCredentials
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from filehub.accounts.records import AccountLimits
from filehub.credentials import (
    AccountRequired,
    IAccountPassword,
    ICertificate,
    PasswordRequired,
)
from filehub.errors import Aborted, ConnectFailed, PeerGone
from filehub.events import Event
from filehub.interfaces import IEventSink, IFileAccount
from filehub.paths import ROOT, VirtualPath
from filehub.protocols.ftp.server import FTPFactory, FTPProtocol
from filehub.protocols.ftp.settings import FTPSettings
from filehub.vfs.memory import MemoryTree


@implementer(IFileAccount)
@dataclass
class Account:
    """An avatar over any file system."""

    name: str
    fileSystem: Any
    home: VirtualPath = ROOT
    limits: Any = field(default_factory=AccountLimits)
    letters: str = "elradfmwMT"
    requiresTLS: bool = False
    mounts: tuple[VirtualPath, ...] = ()

    def permissionLetters(self, path: VirtualPath) -> str:
        return self.letters

    def commonLetters(self, path: VirtualPath) -> str | None:
        return self.letters


class Users:
    """
    A portal that knows C{ann} with the password C{secret}, C{bob} who needs the account
    C{acme} on top, and anybody.

    @ivar asked: all credentials that were shown.
    @ivar loggedOut: names of avatars that were ended.
    @ivar held: if set, logins are answered when it is fired.
    @ivar owner: whose name any client certificate proves; L{None} if nobody looks at
        them.
    @ivar mistake: raised instead of an answer.
    """

    def __init__(self, fileSystem: Any) -> None:
        self.fileSystem = fileSystem
        self.asked: list[Any] = []
        self.minds: list[Any] = []
        self.loggedOut: list[str] = []
        self.held: Deferred[None] | None = None
        self.mistake: Exception | None = None
        self.home = ROOT
        self.limits = AccountLimits()
        self.requiresTLS = False
        self.owner: bytes | None = None

    def login(self, credentials: Any, mind: Any, *interfaces: Any) -> Deferred[Any]:
        self.asked.append(credentials)
        self.minds.append(mind)
        if self.held is not None:
            return self.held.addCallback(lambda _: self._answer(credentials))
        return self._answer(credentials)

    def _answer(self, credentials: Any) -> Deferred[Any]:
        if self.mistake is not None:
            return fail(self.mistake)
        if IAnonymous.providedBy(credentials):
            return self._grant("anonymous")
        if ICertificate.providedBy(credentials):
            if self.owner is None:
                return fail(UnhandledCredentials())
            if credentials.username == self.owner:
                return self._grant(self.owner.decode())
            known = credentials.username in (b"ann", b"bob")
            return fail(PasswordRequired() if known else UnauthorizedLogin())
        name, password = credentials.username, credentials.password
        if (name, password) == (b"ann", b"secret"):
            return self._grant("ann")
        if (name, password) == (b"bob", b"secret"):
            if not IAccountPassword.providedBy(credentials):
                return fail(AccountRequired())
            if credentials.account == b"acme":
                return self._grant("bob")
        return fail(UnauthorizedLogin())

    def _grant(self, name: str) -> Deferred[Any]:
        account = Account(name, self.fileSystem, self.home, self.limits)
        account.requiresTLS = self.requiresTLS
        return succeed((IFileAccount, account, lambda: self.loggedOut.append(name)))


class Stream:
    """
    A L{ByteStream} in memory.

    @ivar written: what the server sent.
    @ivar end: C{"finished"}, C{"aborted"} or empty.
    @ivar isBlocked: does the peer read nothing?
    """

    kernelSocket = None

    def __init__(self) -> None:
        self.written = b""
        self.end = ""
        self.isBlocked = False
        self.log: list[str] = []
        self._incoming: list[bytes | Exception] = []
        self._waiting: Deferred[None] | None = None

    # --- the client's side

    def receive(self, *data: bytes) -> None:
        """The client sends; empty is its clean end."""
        self._incoming += data
        self._wake()

    def break_(self, error: Exception | None = None) -> None:
        """The client is gone."""
        self._incoming.append(error or PeerGone())
        self.isBlocked = False
        self._wake()

    def unblock(self) -> None:
        """The client reads."""
        self.isBlocked = False
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def _wait(self) -> Deferred[None]:
        def cancelled(_: Deferred[None]) -> None:
            self._waiting = None

        self._waiting = Deferred(cancelled)
        return self._waiting

    # --- ByteStream

    async def read(self, maximum: int) -> bytes:
        while not self._incoming:
            self._check()
            await self._wait()
        self._check()
        first = self._incoming.pop(0)
        if isinstance(first, Exception):
            raise first
        if len(first) > maximum:
            self._incoming.insert(0, first[maximum:])
        return first[:maximum]

    async def write(self, data: bytes | memoryview) -> None:
        while self.isBlocked:
            self._check()
            await self._wait()
        self._check()
        if self._incoming and isinstance(self._incoming[0], Exception):
            raise self._incoming[0]
        self.written += bytes(data)

    def _check(self) -> None:
        if self.end:
            raise PeerGone

    def readable(self) -> Awaitable[None]:
        return succeed(None)

    def writable(self) -> Awaitable[None]:
        return succeed(None)

    def pause(self, seconds: float) -> Awaitable[None]:
        return succeed(None)

    def backlog(self) -> int:
        return 0

    async def finish(self) -> None:
        self._check()
        self.end = "finished"

    def abort(self) -> None:
        self.end = self.end or "aborted"
        self._wake()


class Data:
    """
    A session's data connection.

    @ivar arranged: what was arranged last.
    @ivar stream: what L{open} gives.
    @ivar early: a connection that has come already, for what needs no waiting.
    @ivar isSlow: does the client connect later (L{connect})?
    @ivar problem: raised instead.
    """

    def __init__(self) -> None:
        self.arranged: Any = None
        self.stream = Stream()
        self.streams: list[Stream] = []
        self.early: Any = None
        self.reminder: Any = None
        self.isSlow = False
        self.problem: Exception | None = None
        self.resets = 0
        self.isForeign = False
        self.port = 50000
        self._waiting: Deferred[None] | None = None

    @property
    def isArmed(self) -> bool:
        return self.arranged is not None

    def passive(self, family: int | None = None) -> int:
        if self.problem is not None:
            raise self.problem
        self.port += 1
        self.arranged = ("passive", family)
        return self.port

    def active(self, host: str, port: int) -> None:
        self.arranged = ("active", host, port)

    async def open(self, protect: Any = None) -> Stream:
        if self.arranged is None:
            raise ConnectFailed
        self.arranged = None
        if self.problem is not None:
            raise self.problem
        if self.isSlow:
            self._waiting = Deferred()
            await self._waiting
        stream, self.stream = self.stream, Stream()
        self.streams.append(stream)
        return stream

    def hasArrived(self) -> bool:
        return self.early is not None

    def remind(self, call: Any) -> None:
        self.reminder = call

    def take(self) -> Any:
        self.arranged = None
        early, self.early = self.early, None
        return early

    def connect(self) -> None:
        """The client connects."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def reset(self) -> None:
        self.resets += 1
        self.arranged = None
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(Aborted())


@implementer(IEventSink)
class Sink:
    """Remembers all events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)


class Transport(StringTransport):
    """What the client sees of the control connection."""

    def __init__(self, peer: str, local: str) -> None:
        kind = IPv6Address if ":" in peer else IPv4Address
        super().__init__(hostAddress=kind("TCP", local, 21), peerAddress=kind("TCP", peer, 40000))
        self.isAborted = False

    def abortConnection(self) -> None:
        self.isAborted = True
        super().abortConnection()


#: Every command exists.
EVERYTHING = FTPSettings(maximumMistakes=1000, tls="optional", allowFXP=True, virtualHosts=True)

_FINAL = re.compile(rb"[2-6][0-9][0-9] ")


class Client:
    """
    A client of an FTP server, and the server.

    @ivar tree: the files.
    @ivar data: the data connection.
    """

    def __init__(
        self,
        settings: FTPSettings | None = None,
        *,
        peer: str = "192.0.2.1",
        local: str = "192.0.2.254",
        fileSystem: Any = None,
        sessions: Any = None,
        certificates: Any = None,
        hosts: Iterable[Any] = (),
    ) -> None:
        self.clock = Clock()
        self.tree = MemoryTree()
        self.users = Users(fileSystem or self.tree.viewFor("ann"))
        self.sink = Sink()
        self.data = Data()
        self.factory = FTPFactory(
            self.clock,
            self.users,
            settings,
            sink=self.sink,
            sessions=sessions,
            certificates=certificates,
            hosts=hosts,
        )
        for each in (self.factory.listener, *self.factory.listener.hosts.values()):
            each.openData = lambda session: self.data
        self.factory.listener.now = lambda: 1_700_000_000.0
        self.transport = Transport(peer, local)
        protocol = self.factory.buildProtocol(self.transport.getPeer())
        assert isinstance(protocol, FTPProtocol)
        self.protocol = protocol
        protocol.makeConnection(self.transport)
        self.greeting = self.take()

    def take(self) -> bytes:
        """All that was sent since the last time."""
        sent: bytes = self.transport.value()
        self.transport.clear()
        return sent

    def say(self, line: str | bytes) -> bytes:
        """Send one line; what is answered at once."""
        raw = line.encode("utf-8", "surrogateescape") if isinstance(line, str) else line
        self.protocol.dataReceived(raw + b"\r\n")
        return self.take()

    def code(self, line: str | bytes) -> int:
        """The code of the final reply to one line."""
        answer = self.say(line)
        codes = finalCodes(answer)
        assert len(codes) == 1, (line, answer)
        return codes[0]

    def codes(self, lines: Iterable[str | bytes]) -> list[int]:
        """The same for several."""
        return [self.code(line) for line in lines]

    def logIn(self) -> Client:
        """As ann, with TYPE I."""
        assert self.codes(["USER ann", "PASS secret", "TYPE I"]) == [331, 230, 200]
        return self

    def retrieve(self, line: str) -> tuple[bytes, bytes]:
        """PASV and a command that sends: the replies and the data."""
        self.code("PASV")
        stream = self.data.stream
        return self.say(line), stream.written

    def store(self, line: str, *data: bytes) -> bytes:
        """PASV and a command that receives: the replies."""
        self.code("PASV")
        self.data.stream.receive(*data, b"")
        return self.say(line)

    @property
    def isClosed(self) -> bool:
        """Has the server closed the connection?"""
        return bool(self.transport.disconnecting)

    def disconnect(self) -> None:
        """The connection is gone."""
        self.protocol.connectionLost(Failure(ConnectionDone()))

    def events(self, kind: type[Event]) -> list[Any]:
        """What was reported of this kind."""
        return [event for event in self.sink.events if isinstance(event, kind)]


def finalCodes(raw: bytes) -> list[int]:
    """The codes of the final replies in what a server sent."""
    codes = []
    inside: bytes | None = None
    for line in raw.split(b"\r\n")[:-1]:
        if inside is not None:
            if line.startswith(inside + b" "):
                codes.append(int(inside))
                inside = None
        elif line[3:4] == b"-":
            inside = line[:3]
        elif _FINAL.match(line):
            codes.append(int(line[:3]))
        else:
            assert line.startswith(b"1"), line
    assert inside is None, raw
    return codes
