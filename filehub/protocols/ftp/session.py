"""
One control connection: what was said, in which order it is answered.

Theory of operation
===================

Commands are carried out one after the other, and each is answered with exactly one
final reply, in the order of arrival.  Parsing never stops for that: what arrives
while a command is busy joins a short queue, so clients may pipeline.  The table of
commands names the exceptions, which act while a transfer runs: ABOR interrupts it
(and gets its own reply in its turn), STAT without an argument is answered at once.

The session has no transport and no clock.  A L{ControlChannel} sends, closes and
watches the time; the L{Listener} supplies what all sessions share.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from filehub.attributes import FileAttributes
from filehub.errors import (
    Aborted,
    InvalidName,
    LimitExceeded,
    PeerGone,
    PermissionDenied,
    TransferError,
)
from filehub.events import ProtocolViolation
from filehub.interfaces import IFileAccount, IFileSystem, ISessionSlot
from filehub.logins import discard
from filehub.paths import ROOT, VirtualPath
from filehub.protocols.ftp import replies
from filehub.protocols.ftp.channel import ControlChannel
from filehub.protocols.ftp.charsets import fromCharset, toCharset
from filehub.protocols.ftp.commands import During
from filehub.protocols.ftp.hosts import greeting
from filehub.protocols.ftp.languages import Language, translated
from filehub.protocols.ftp.listener import DataConnections, Listener, Verb
from filehub.protocols.ftp.ongoing import OngoingTransfer
from filehub.protocols.ftp.refusals import failed, refusal, unknown
from filehub.protocols.ftp.representation import INITIAL
from filehub.protocols.ftp.running import Running, paced
from filehub.protocols.ftp.wire import Command, Malformed, Reply, encodeReply
from filehub.transfer.sockets import SocketStream
from filehub.transfer.tls import TLSSession
from filehub.transfer.tlsearly import EarlyHandshake
from filehub.views import IAtOnce

#: Commands that may wait their turn.
MAXIMUM_QUEUED: Final = 64


class FTPSession:
    """
    The state of one session.  Idle sessions are counted in thousands: everything
    that is needed for a while only is L{None} in between.

    @ivar listener: what it shares with others.
    @ivar channel: its connection.
    @ivar slot: its place among all sessions.
    @ivar account: the avatar; L{None} before login.
    @ivar logout: ends the avatar.
    @ivar user: from USER, until a login has succeeded or failed.
    @ivar password: from PASS, while ACCT is awaited.
    @ivar attempts: failed logins.
    @ivar mistakes: lines before login that were no commands.
    @ivar longLines: lines beyond the limit.
    @ivar directory: the current one.
    @ivar representation: TYPE, STRU and MODE; shared with all sessions that agree.
    @ivar restart: from REST, until the next transfer.
    @ivar announced: from ALLO, until the next transfer.
    @ivar rangeEnd: the last byte, from RANG, until the next transfer or checksum.
    @ivar algorithm: of HASH; L{None} for the usual one.
    @ivar copyFrom: from SITE CPFR, until SITE CPTO or another command.
    @ivar charset: of names, if it is not UTF-8.
    @ivar language: of replies; L{None} for English.
    @ivar umask: permission bits that nothing gets that is made here, from SITE UMASK.
    @ivar masked: the account's files, seen like that.
    @ivar client: what the client says it is.
    @ivar greetedIn: directories whose message was shown; no set of its own while there
        are none.
    @ivar renameFrom: from RNFR, until the next command.
    @ivar tls: the identity of the encrypted control connection.
    @ivar protects: are data connections encrypted (PROT)?
    @ivar epsvAll: was C{EPSV ALL} said (RFC 2428)?
    @ivar facts: chosen by C{OPTS MLST}; L{None} for all.
    @ivar data: the data connection, once one was asked for.
    @ivar reachedAt: the address that the client connected to, where that is a proxy's
        and not one of this machine.
    @ivar takesClientPart: is this server the client in TLS on data connections (SSCN)?
    @ivar takesClientPartOnce: the same of the connection that is armed (CPSV).
    @ivar transfer: the transfer that is running.
    """

    __slots__ = (
        "_atOnce",
        "_closing",
        "_ending",
        "_isLost",
        "_queue",
        "_running",
        "account",
        "algorithm",
        "announced",
        "attempts",
        "channel",
        "charset",
        "client",
        "copyFrom",
        "data",
        "directory",
        "epsvAll",
        "facts",
        "greetedIn",
        "language",
        "listener",
        "logout",
        "longLines",
        "masked",
        "mistakes",
        "password",
        "protects",
        "rangeEnd",
        "reachedAt",
        "renameFrom",
        "representation",
        "restart",
        "slot",
        "takesClientPart",
        "takesClientPartOnce",
        "tls",
        "transfer",
        "umask",
        "user",
    )

    def __init__(self, listener: Listener, channel: ControlChannel, slot: ISessionSlot) -> None:
        self.listener = listener
        self.channel = channel
        self.slot = slot
        self.data: DataConnections | None = None
        self.reachedAt: str | None = None
        self.transfer: OngoingTransfer | None = None
        self._atOnce: tuple[IFileSystem, IAtOnce | None] | None = None
        self.tls: TLSSession | None = None
        self.account: IFileAccount | None = None
        self.logout: Any = None
        self.attempts = 0
        self.client = ""
        self.greetedIn: frozenset[VirtualPath] | None = None
        self._running: Running | None = None
        self._queue: list[Command | Malformed] | None = None
        self._closing = False
        self._isLost = False
        self._ending: str | None = None
        self.mistakes = 0
        self.longLines = 0
        self.reinitialize()

    def reinitialize(self) -> None:
        """All parameters as they are at the beginning (REIN)."""
        self.user: bytes | None = None
        self.password: bytes | None = None
        self.directory: VirtualPath = ROOT
        self.representation = INITIAL
        # Clients of an implicit TLS port expect it, and may say PROT.
        self.protects = self.listener.settings.implicitTLS
        self.charset = self.listener.settings.charset
        self.epsvAll = False
        self.takesClientPart = False
        self.takesClientPartOnce = False
        self.facts: tuple[str, ...] | None = None
        self.algorithm: str | None = None
        self.language: Language | None = None
        self.umask = 0
        self.masked: IFileSystem | None = None
        self.forgetPending()

    def forgetPending(self) -> None:
        """Drop what one command left for another."""
        self.restart = 0
        self.rangeEnd: int | None = None
        self.announced: int | None = None
        self.renameFrom: VirtualPath | None = None
        self.copyFrom: VirtualPath | None = None

    # --- what the channel calls

    def greet(self) -> None:
        """The first reply (RFC 959 5.4)."""
        self.send(greeting(self))

    @property
    def isReady(self) -> bool:
        """May another command be given to L{receive}?"""
        return not self._closing and (self._queue is None or len(self._queue) < MAXIMUM_QUEUED)

    @property
    def isTransferring(self) -> bool:
        """Is a transfer running?  Then silence on the control connection is no idleness."""
        return self.transfer is not None

    def receive(self, event: Command | Malformed) -> None:
        """Carry out a command, now or when its turn comes."""
        if self._closing:
            return
        if self._running is None and not self._queue:
            self._start(event)
            return
        interrupting = False
        if self.transfer is not None and isinstance(event, Command):
            verb = self.listener.verbs.get(event.verb)
            during = During.QUEUED if verb is None else verb.spec.during
            if verb is not None and during is During.IMMEDIATE_IF_BARE and not event.argument:
                self._answerAtOnce(verb)
                return
            interrupting = during is During.INTERRUPTING
        if self._queue is None:
            self._queue = []
        self._queue.append(event)
        if interrupting:
            self.interrupt(Aborted())

    def kick(self, reason: str, text: str) -> None:
        """
        End the session with a 421.

        @param reason: for the log.
        @param text: for the client.
        """
        if not self._closing:
            self.interrupt(Aborted("the session ends"))
            self.send(replies.reply(421, text))
            self.end(reason)

    def lost(self, reason: str) -> None:
        """The control connection is gone: nothing of this session goes on."""
        self._closing = self._isLost = True
        self._queue = None
        if self._ending is None:
            self._ending = reason
        if self.transfer is not None:
            self.interrupt(PeerGone("control connection lost"))
        elif self._running is not None:
            self._running.cancel()
        self.slot.leave(self._ending)
        if self._running is None:
            self._leave()

    # --- what the commands call

    def send(self, reply: Reply) -> None:
        """Send a reply, unless nobody listens any more."""
        if not self._closing:
            self._write(reply)

    def _write(self, reply: Reply) -> None:
        if self.language is not None:
            reply = translated(reply, self.language)
        self.channel.write(encodeReply(reply, self.charset))

    def sendTogether(self, *replies: Reply) -> None:
        """The same for several, in one packet."""
        if not self._closing:
            if self.language is not None:
                replies = tuple(translated(each, self.language) for each in replies)
            self.channel.write(b"".join([encodeReply(each, self.charset) for each in replies]))

    def write(self, data: bytes) -> Awaitable[None]:
        """Send a piece of a long reply, and wait until most of it is on its way."""
        if not self._closing:
            self.channel.write(data)
        return self.channel.drained()

    def listed(self, page: bytes) -> bytes:
        """Lines of a listing, in UTF-8, as this client wants them."""
        return page if self.charset is None else toCharset(page, self.charset)

    def end(self, reason: str) -> None:
        """Close the connection after what was sent."""
        if not self._closing:
            self._closing = True
            self._ending = reason
            self._queue = None
            self.channel.close()

    def encrypt(self, identity: TLSSession) -> None:
        """TLS from here on."""
        self.tls = identity
        self.slot.secured()
        self.channel.startTLS(identity)

    @property
    def hasMore(self) -> bool:
        """Has the client said more than was answered, or is being carried out?"""
        return bool(self._queue) or self.channel.hasUnread()

    @property
    def fileSystem(self) -> IFileSystem:
        """The account's files; for commands that need a login."""
        if self.account is None:
            raise PermissionDenied(None, "not logged in")
        fileSystem: IFileSystem = self.masked or self.account.fileSystem
        return fileSystem

    @property
    def atOnce(self) -> IAtOnce | None:
        """The same, as far as nothing has to be waited for; if they can do that."""
        fileSystem, known = self.fileSystem, self._atOnce
        if known is None or known[0] is not fileSystem:
            known = self._atOnce = fileSystem, IAtOnce(fileSystem, None)
        return known[1]

    async def stat(self, path: VirtualPath) -> FileAttributes:
        """
        The attributes of what C{path} leads to.

        @raise FileSystemError:
        """
        fileSystem = self.fileSystem
        return await fileSystem.stat(await fileSystem.resolve(path))

    def path(self, argument: str) -> VirtualPath:
        """
        The path that a client means.

        @raise InvalidName:
        """
        if self.listener.settings.backslashes:
            argument = argument.replace("\\", "/")
        return self.directory.join(argument)

    def newPath(self, argument: str) -> VirtualPath:
        """
        The path for something that is to come into being.

        @raise InvalidName: also for control characters: they would make names that
            forge listings.
        """
        path = self.path(argument)
        name = path.name
        if not name.isprintable() and any(each < " " or each == "\x7f" for each in name):
            raise InvalidName(None, "control characters are not allowed in names")
        return path

    def channels(self) -> DataConnections:
        """This session's data connection."""
        if self.data is None:
            self.data = self.listener.openData(self)
        return self.data

    @property
    def onEarly(self) -> Callable[[SocketStream], None] | None:
        """What a data connection wants that comes before the command that it is for."""
        return self._cameEarly if self.tls is not None and self.protects else None

    def _cameEarly(self, stream: SocketStream) -> None:
        begins = self.takesClientPart or self.takesClientPartOnce
        if self.tls is not None and self.protects and not begins:
            # Who takes the client's part begins the handshake, in its time.
            self.tls.early = EarlyHandshake(stream, self.tls)

    def adopt(self, listener: Listener) -> None:
        """Go on as a session of another listener, or of a variant of this one."""
        if listener is not self.listener:
            if self.charset == self.listener.settings.charset:
                # Else the client has chosen.
                self.charset = listener.settings.charset
            self.listener = listener
            data, self.data = self.data, None
            if data is not None:
                data.reset()

    def limitsChanged(self) -> None:
        """See L{Limited<filehub.registry.Limited>}."""
        if self.account is not None and not self._closing:
            idle = self.account.limits.idle
            self.channel.loggedIn(self.listener.settings.idleTimeout if idle is None else idle)

    def interrupt(self, error: TransferError) -> None:
        """Break off the transfer that is running, if it is not over in all but name."""
        transfer = self.transfer
        if transfer is not None and transfer.interrupt(error) and self._running is not None:
            self._running.cancel()

    def loggedOut(self) -> None:
        """End the avatar, exactly once, and all that belonged to it."""
        if self.account is None and self.logout is None:
            # There is none, and nothing that only an account can have set.
            self.forgetPending()
            return
        logout, self.logout = self.logout, None
        wasLoggedIn, self.account = self.account is not None, None
        self.umask, self.masked, self._atOnce = 0, None, None
        self.greetedIn = None
        self.forgetPending()
        if self.data is not None:
            self.data.reset()
        self.adopt(self.listener.base)
        if wasLoggedIn and not self._isLost:
            self.slot.loggedOut()
            self.channel.loggedOut()
        if logout is not None:
            discard(logout)

    def violated(self, kind: str) -> None:
        """Report what no honest client does."""
        self.listener.emit(ProtocolViolation(self.slot.connection, kind))

    # --- dispatch

    def _start(self, event: Command | Malformed) -> None:
        """Carry out one command, at least as far as it goes without waiting."""
        if self.charset is not None and isinstance(event, Command):
            try:
                event = Command(event.verb, fromCharset(event.argument, self.charset))
            except UnicodeDecodeError:
                self._answer(replies.WRONG_CHARSET)
                return
        verb = self.listener.verbs.get(event.verb) if isinstance(event, Command) else None
        if verb is None or not isinstance(event, Command):
            self._answer(unknown(self, event))
            return
        refused = refusal(self, verb, event)
        if refused is not None:
            self._answer(refused)
            return
        try:
            waiting = self.slot.pace()
        except LimitExceeded as error:
            self._answer(replies.reply(421, str(error)))
            return
        coroutine = verb.run(self, event.argument)
        if waiting is not None:
            coroutine = paced(waiting, coroutine)
        try:
            awaited = coroutine.send(None)
        except StopIteration as stop:
            self._answer(stop.value)
        except Exception as error:
            self._answer(failed(self, error))
        else:
            running = self._running = Running(coroutine, awaited, self._ended)
            running.start()
            if self.transfer is not None and self.transfer.interruption is not None:
                running.cancel()

    def _answerAtOnce(self, verb: Verb) -> None:
        """Carry out a command beside a transfer; it must not wait."""
        coroutine = verb.run(self, "")
        try:
            coroutine.send(None)
        except StopIteration as stop:
            self.send(stop.value)
        except Exception as error:
            self.send(failed(self, error))
        else:
            coroutine.close()
            self.send(replies.INTERNAL_ERROR)

    def _answer(self, reply: Reply | None) -> None:
        """Send the one final reply of a command."""
        if reply is not None and not self._closing:
            self._write(reply)
            if reply.code == 421:
                self.end(reply.lines[-1])

    def _ended(self, outcome: Reply | Exception | None) -> None:
        """The running command is over."""
        self._running = None
        self._answer(failed(self, outcome) if isinstance(outcome, Exception) else outcome)
        if self._isLost:
            self._leave()
        if self._closing:
            return
        while self._queue and self._running is None and not self._closing:
            self._start(self._queue.pop(0))
        self.channel.proceed()

    def _leave(self) -> None:
        """Give back everything, at the very end."""
        self.loggedOut()
        self.data = None
