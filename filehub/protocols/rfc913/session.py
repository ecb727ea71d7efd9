"""
One connection: what a client may say when, and what it means.

Theory of operation
===================

A session is in one of the states of L{State}.  Four of them wait for the second half
of something, and hold it in C{pending}::

                      NAME                RETR               STOR             CDIR (1)
    LOGIN --!--> READY ----> RENAMING   ----> RETRIEVING   ----> STORING   ----> ENTERING
      ^            ^            | TOBE          | SEND, STOP      | SIZE         | ACCT, PASS
      |            +------------+---------------+-----------------+--------------+
      +--USER-- from everywhere

    (1) only where the permission layer asks for credentials of the directory

L{CONTINUATIONS} says which commands go on with what is pending.  Any other command
cancels it without a word and is then carried out as if nothing had been pending; this
includes a command that is unknown.  A second half without its first is refused.

Commands are carried out one after the other.  Whoever drives a session gives it one
command at a time and waits: that is what keeps file bytes, which travel on the same
connection, from being taken for commands.

The session has no transport and no clock.  A L{Channel} writes, waits and lends the
connection for a transfer; the L{Listener} supplies what all sessions share.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from filehub.errors import FileHubError, InvalidName, LimitExceeded, PermissionDenied
from filehub.events import ProtocolViolation
from filehub.interfaces import (
    IFileAccount,
    IFileSystem,
    ISessionLimits,
    ISessionSlot,
)
from filehub.paths import ROOT, VirtualPath
from filehub.protocols.rfc913 import replies
from filehub.protocols.rfc913.listener import Listener
from filehub.protocols.rfc913.states import (
    BEFORE_LOGIN,
    CONTINUATIONS,
    SECOND_HALVES,
    Pending,
    State,
)
from filehub.protocols.rfc913.wire import (
    Command,
    Malformed,
    Reply,
    encodeReply,
    hasControls,
)
from filehub.transfer.progress import Progress
from filehub.transfer.transports import LentStream

_P = TypeVar("_P")

#: Carries out one command.  A reply that is L{None} was sent already, or must not be.
Verb = Callable[["RFC913Session", str], Coroutine[Deferred[Any], Any, Reply | None]]


class Channel(Protocol):
    """The connection, as the session sees it."""

    def write(self, data: bytes) -> None:
        """Send; buffers without limit, see L{drained}."""

    def drained(self) -> Awaitable[None]:
        """
        Wait until little of what was written is still unsent.

        @raise PeerGone: nobody reads any more.
        """

    def pause(self, seconds: float) -> Awaitable[None]:
        """Wait."""

    async def lend(self, *, reading: bool) -> LentStream:
        """
        The connection for one transfer.

        @param reading: whether the bytes after the last command are the transfer's.
        @raise PeerGone:
        """

    def takeBack(self) -> None:
        """The transfer is over."""

    @property
    def hasInput(self) -> bool:
        """Has anything arrived after the command that is being carried out?"""

    def loggedIn(self, idle: float) -> None:
        """The client may take C{idle} seconds between commands."""

    def loggedOut(self) -> None:
        """The client has to log in, within the time for that."""

    def close(self) -> None:
        """Close after what was written has been delivered."""

    def abort(self) -> None:
        """Close at once."""


class RFC913Session:
    """
    The state of one session.

    @ivar state: see the module.
    @ivar pending: the first half of what C{state} says.
    @ivar account: the avatar; L{None} before login.
    @ivar user: from USER, until a login has succeeded.
    @ivar password: from PASS, while ACCT is awaited.
    @ivar billing: from ACCT, while PASS is awaited.
    @ivar attempts: failed logins.
    @ivar directory: the current one.
    @ivar type: C{"A"}, C{"B"} or C{"C"}.
    @ivar ending: why the session ends, once it does.
    @ivar isMoving: is a transfer running?  It is told of a lost connection by its
        stream, and not called off otherwise: what has arrived whole is published.
    @ivar wasKicked: was it ended from our side, by an operator or a shutdown?
    """

    _log: Final = Logger()

    def __init__(
        self,
        listener: Listener,
        verbs: Mapping[str, Verb],
        channel: Channel,
        slot: ISessionSlot,
        hostName: str,
    ) -> None:
        self.listener = listener
        self.channel = channel
        self.slot = slot
        self.hostName = hostName
        self.account: IFileAccount | None = None
        self.logout: Callable[[], Any] | None = None
        self.attempts = 0
        self.ending: str | None = None
        self.isMoving = False
        self.wasKicked = False
        self._hasLeft = False
        self._verbs = verbs
        self.state = State.LOGIN
        self.pending: Pending | None = None
        self.startOver()

    def startOver(self) -> None:
        """All parameters as they are at the beginning."""
        self.user: bytes | None = None
        self.password: bytes | None = None
        self.billing: bytes | None = None
        self.directory: VirtualPath = ROOT
        self.type = "B"

    # --- what the connection calls

    def greet(self) -> None:
        """The server speaks first."""
        self.send(replies.success(f"{self.hostName} SFTP Service"))

    async def receive(self, event: Command | Malformed) -> None:
        """
        Carry out one command to its end, transfer included.

        @raise CancelledError: the session is over and this was called off.
        """
        try:
            reply = await self._perform(event)
        except FileHubError as error:
            reply = replies.refusal(error)
        except CancelledError:
            raise
        except Exception:
            self._log.failure("an RFC 913 command failed", sessionId=self.slot.connection.sessionId)
            reply = replies.INTERNAL_ERROR
        if reply is not None:
            self.send(reply)

    async def leave(self, reason: str) -> None:
        """
        Give everything back: the connection is gone and no command is being carried out.
        """
        if self.ending is None:
            self.ending = reason
        with self._log.failuresHandled("cannot clean up after an RFC 913 session"):
            await self.cancelPending()
        # Before the logout: the slot tells whose session it was.
        self.slot.leave(self.ending)
        self._hasLeft = True
        self.loggedOut()

    # --- what the commands call

    def send(self, reply: Reply) -> None:
        """Send a reply, unless the session is over."""
        if self.ending is None:
            self.channel.write(encodeReply(reply))

    def end(self, reason: str, last: Reply | None = None) -> None:
        """
        Close the connection after this reply.

        @param reason: for the log.
        """
        if self.ending is None:
            if last is not None:
                self.send(last)
            self.ending = reason
            self.channel.close()

    def abort(self, reason: str) -> None:
        """Close the connection: what comes next on it cannot be understood any more."""
        if self.ending is None:
            self.ending = reason
        self.channel.abort()

    def hold(self, pending: Pending) -> None:
        """The first half is done."""
        self.state = pending.state
        self.pending = pending

    def takeUp(self) -> None:
        """Somebody is logged in."""
        self.state = State.READY

    def takePending(self, kind: type[_P]) -> _P:
        """The second half has come; the first half is the caller's now."""
        pending = self._forget()
        if not isinstance(pending, kind):
            # The tables do not let this happen.
            raise TypeError(f"{pending!r} is pending")
        return pending

    def _forget(self) -> Pending | None:
        pending, self.pending = self.pending, None
        if self.state is not State.LOGIN:
            self.state = State.READY
        return pending

    async def cancelPending(self) -> None:
        """There will be no second half."""
        pending = self._forget()
        if pending is not None:
            await pending.cancel()

    @property
    def fileSystem(self) -> IFileSystem:
        """
        The account's.

        @raise PermissionDenied: nobody is logged in.
        """
        if self.account is None:
            raise PermissionDenied(None, "log in first")
        fileSystem: IFileSystem = self.account.fileSystem
        return fileSystem

    @property
    def limits(self) -> ISessionLimits:
        """
        The account's.

        @raise PermissionDenied: nobody is logged in.
        """
        if self.account is None:
            raise PermissionDenied(None, "log in first")
        limits: ISessionLimits = self.account.limits
        return limits

    def limitsChanged(self) -> None:
        """See L{Limited<filehub.registry.Limited>}."""
        if self.account is not None and self.ending is None:
            idle = self.account.limits.idle
            self.channel.loggedIn(self.listener.settings.idleTimeout if idle is None else idle)

    def progress(self) -> Progress:
        """A count for one transfer that is given up when nothing moves."""
        own = None if self.account is None else self.account.limits.stall
        return self.listener.progress(own)

    def path(self, argument: str) -> VirtualPath:
        """
        The path that a client means.

        @raise InvalidName: also for none at all.
        """
        if not argument:
            raise InvalidName(None, "no name")
        return self.directory.join(argument)

    def newPath(self, argument: str) -> VirtualPath:
        """
        The path for something that is to come into being.

        @raise InvalidName: also for control characters: they would forge listings.
        """
        path = self.path(argument)
        if hasControls(path.name):
            raise InvalidName(None, "control characters are not allowed in names")
        return path

    def loggedOut(self) -> None:
        """End the avatar, exactly once."""
        logout, self.logout = self.logout, None
        wasLoggedIn, self.account = self.account is not None, None
        self.state = State.LOGIN
        self.startOver()
        if wasLoggedIn and not self._hasLeft:
            self.slot.loggedOut()
            if self.ending is None:
                self.channel.loggedOut()
        if logout is not None:
            with self._log.failuresHandled("logging out of an account failed"):
                logout()

    async def refuse(self, reply: Reply) -> Reply | None:
        """
        What to answer to wrong credentials: always late, and only so often.
        """
        settings = self.listener.settings
        self.attempts += 1
        await self.channel.pause(settings.failureDelay)
        if self.attempts >= settings.maximumAttempts:
            self.end("too many failed logins", replies.failure("Too many failed logins"))
            return None
        return reply

    def violated(self, kind: str) -> None:
        """Report what no honest client does."""
        self.listener.emit(ProtocolViolation(self.slot.connection, kind))

    # --- dispatch

    async def _perform(self, event: Command | Malformed) -> Reply | None:
        try:
            waiting = self.slot.pace()
        except LimitExceeded as error:
            self.end("too many commands", replies.failure(str(error)))
            return None
        if waiting is not None:
            await waiting
        verb = event.verb if isinstance(event, Command) else ""
        if self.pending is not None and verb not in CONTINUATIONS[self.state]:
            with self._log.failuresHandled("what was pending could not be given up"):
                await self.cancelPending()
        if not isinstance(event, Command):
            return self._malformed(event)
        perform = self._verbs.get(verb)
        if perform is None:
            return replies.failure("Unknown command")
        if self.account is None and verb not in BEFORE_LOGIN:
            return replies.failure("Log in first")
        if verb in SECOND_HALVES and self.pending is None:
            return replies.failure(f"Nothing to {verb} for")
        return await perform(self, event.argument)

    def _malformed(self, event: Malformed) -> Reply | None:
        if event is Malformed.ENDLESS:
            self.violated("endless command")
            self.end("endless command", replies.failure("Command too long"))
            return None
        return replies.failure("Unknown command")


__all__ = ["Channel", "RFC913Session", "Verb"]
