"""
RFC 913 over a Twisted transport.

The protocol feeds one command at a time to its session and keeps what comes behind
it.  While a transfer runs the transport belongs to a stream; see
L{filehub.transfer.transports}.  Nothing here is without a bound: commands that wait,
replies that nobody reads, and every kind of silence.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.cred.portal import Portal
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IPushProducer,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from filehub.credentials import Address, ConnectionInfo
from filehub.deadlines import Deadline, Deadlines
from filehub.errors import LimitExceeded, NotWelcome, PeerGone
from filehub.interfaces import IEventSink, ISessionRegistry, ISessionSlot
from filehub.protocols.rfc913 import directories, files, login, replies, transfers
from filehub.protocols.rfc913.admission import addressOf
from filehub.protocols.rfc913.listener import Listener
from filehub.protocols.rfc913.session import RFC913Session, Verb
from filehub.protocols.rfc913.settings import RFC913Settings
from filehub.protocols.rfc913.wire import CommandParser, encodeReply
from filehub.transfer.transports import LentStream, adoptTransport
from filehub.uncounted import UncountedSlot

VERBS: Final[Mapping[str, Verb]] = {
    **login.VERBS,
    **directories.VERBS,
    **files.VERBS,
    **transfers.VERBS,
}

#: Bytes that may wait behind a command that is being carried out.
_MAXIMUM_WAITING: Final = 64 * 1024
#: Seconds for a client to close after we have.
_LINGER: Final = 5.0
#: Of sessions that nobody counts.
_ids: Final = itertools.count(1)

_log: Final = Logger()


@implementer(IPushProducer)
class RFC913Protocol(Protocol):
    """
    One connection.  Implements L{filehub.protocols.rfc913.session.Channel}.
    """

    def __init__(self, factory: RFC913Factory) -> None:
        self._factory = factory
        self._listener = factory.listener
        self._parser = CommandParser(factory.listener.settings.lenientFraming)
        self._session: RFC913Session | None = None
        self._running: Deferred[None] | None = None
        self._lent: LentStream | None = None
        self._waiting: Deferred[None] | None = None
        self._deadline: Deadline | None = None
        self._stall: Deadline | None = None
        self._idle: float | None = None
        self._blocked = self._paused = self._closing = self._lost = False
        self._isProducer = self._isLending = self._busy = False

    # --- what the transport calls

    def connectionMade(self) -> None:
        """Let the client in, or say why not."""
        transport = self._transport
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
        hostName = self._factory.hostName
        try:
            slot = self._factory.admit(self)
        except NotWelcome:
            transport.abortConnection()
            return
        except LimitExceeded as error:
            transport.write(self._factory.farewell(error))
            self.close()
            return
        self._session = RFC913Session(self._listener, VERBS, self, slot, hostName)
        self._attach()
        self.loggedOut()
        self._session.greet()

    def dataReceived(self, data: bytes) -> None:
        """Commands, or what a transfer wants."""
        if self._lent is not None:
            self._lent.dataReceived(data)
        elif not self._closing:
            self._parser.feed(data)
            self._proceed()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Nothing of this session goes on but what was received whole."""
        self._lost = True
        for deadline in (self._deadline, self._stall):
            if deadline is not None:
                deadline.cancel()
        if self._lent is not None:
            self._lent.connectionLost(reason)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(PeerGone())
        if not self._busy:
            self._leave()
        elif self._running is not None and not self._isMoving:
            self._running.cancel()

    def pauseProducing(self) -> None:
        """The client does not read its replies: carry out no more commands."""
        self._blocked = True
        self._watchStall()

    def resumeProducing(self) -> None:
        """It does again."""
        self._blocked = False
        self._forgetStall()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)
        self._proceed()

    def stopProducing(self) -> None:
        """The transport is closed; C{connectionLost} follows."""

    # --- what the session calls

    def write(self, data: bytes) -> None:
        """See L{Channel.write}."""
        if not self._closing and not self._lost:
            self._transport.write(data)

    def drained(self) -> Deferred[None]:
        """See L{Channel.drained}."""
        if self._lost:
            raise PeerGone
        if not self._blocked:
            return succeed(None)
        waiting = self._waiting = Deferred(self._nobodyWaits)
        return waiting

    def pause(self, seconds: float) -> Deferred[None]:
        """See L{Channel.pause}."""
        waiting: Deferred[None] = Deferred(lambda _: call.cancel())
        call: IDelayedCall = self._factory.reactor.callLater(seconds, waiting.callback, None)
        return waiting

    async def lend(self, *, reading: bool) -> LentStream:
        """See L{Channel.lend}."""
        if self._lost or self._closing:
            raise PeerGone
        self._detach()
        prefix = self._parser.takeRest() if reading else b""
        self._watchStall()
        self._isLending = True
        try:
            stream = await adoptTransport(self._factory.reactor, self._transport, prefix=prefix)
        finally:
            self._isLending = False
            self._forgetStall()
        self._lent = stream
        self._blocked = self._paused = False
        if reading and self._parser.buffered:
            stream.dataReceived(self._parser.takeRest())
        return stream

    def takeBack(self) -> None:
        """See L{Channel.takeBack}."""
        stream, self._lent = self._lent, None
        if stream is None:
            return
        self._parser.feed(stream.release())
        if not self._lost and not self._closing:
            self._attach()

    @property
    def hasInput(self) -> bool:
        """See L{Channel.hasInput}."""
        return self._parser.buffered > 0

    def loggedIn(self, idle: float) -> None:
        """See L{Channel.loggedIn}."""
        self._idle = idle
        self._giveTime(idle)

    def loggedOut(self) -> None:
        """See L{Channel.loggedOut}."""
        self._idle = None
        self._giveTime(self._listener.settings.loginTimeout)

    def close(self) -> None:
        """
        See L{Channel.close}.  Our end is closed first and the client's awaited: bytes
        that it still sends would turn the close into a reset, which may overtake the
        last reply.
        """
        if self._closing or self._lost:
            return
        self._closing = True
        transport = self._transport
        self._detach()
        transport.resumeProducing()
        self._parser.takeRest()
        self._forgetStall()
        if self._deadline is not None:
            self._deadline.cancel()
        if isinstance(transport, Connection) and not transport.TLS:
            transport.loseWriteConnection()  # type: ignore[no-untyped-call]
        else:
            transport.loseConnection()
        self._deadline = self._listener.deadlines.after(_LINGER, self.abort)

    def abort(self) -> None:
        """See L{Channel.abort}."""
        self._closing = True
        if self._lent is not None:
            self._lent.abort()
        elif not self._lost:
            self._detach()
            self._transport.abortConnection()

    def disconnect(self, reason: str) -> None:
        """End the session from our side (an operator, a shutdown)."""
        session = self._session
        if session is None or session.ending is not None:
            return
        if self._lent is not None or self._isLending:
            session.wasKicked = True
            session.abort(reason)
        else:
            session.end(reason)

    # --- inside

    @property
    def _transport(self) -> Any:
        return self.transport

    @property
    def _isMoving(self) -> bool:
        return self._session is not None and self._session.isMoving

    def _attach(self) -> None:
        """Be told when the transport has too much to write."""
        self._isProducer = True
        self._transport.registerProducer(self, True)

    def _detach(self) -> None:
        if self._isProducer:
            self._isProducer = False
            self._transport.unregisterProducer()

    def _proceed(self) -> None:
        """Carry out commands as long as there are any and none has to wait."""
        session = self._session
        while session is not None and not (self._busy or self._blocked):
            if self._closing or self._lost:
                return
            event = self._parser.next()
            if event is None:
                break
            self._busy = True
            running = Deferred.fromCoroutine(session.receive(event))
            running.addErrback(self._failed)
            if not running.called:
                self._running = running
                running.addCallback(self._resume)
                break
            self._over()
        self._regulate()

    def _resume(self, _: None) -> None:
        self._running = None
        self._over()
        self._proceed()

    def _over(self) -> None:
        """One command has been carried out."""
        self._busy = False
        if self._lost:
            self._leave()
        elif self._idle is not None and self._deadline is not None and not self._closing:
            self._deadline.postpone(self._idle)

    @staticmethod
    def _failed(reason: Failure) -> None:
        if not isinstance(reason.value, CancelledError):
            _log.failure("an RFC 913 command failed", reason)

    def _regulate(self) -> None:
        """Read no more than may wait."""
        if self._closing or self._lost or self._lent is not None:
            return
        tooMuch = self._parser.buffered > _MAXIMUM_WAITING
        if tooMuch and not self._paused:
            self._paused = True
            self._transport.pauseProducing()
        elif self._paused and not tooMuch:
            self._paused = False
            self._transport.resumeProducing()

    def _giveTime(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._listener.deadlines.after(seconds, self._late)

    def _late(self) -> None:
        if self._session is None:
            return
        if self._idle is None:
            self._session.end("no login in time")
        elif self._busy:
            self._giveTime(self._idle)
        else:
            self._session.end("idle")

    def _watchStall(self) -> None:
        if self._stall is None:
            deadlines = self._listener.deadlines
            self._stall = deadlines.after(self._listener.settings.stallTimeout, self._stalled)

    def _forgetStall(self) -> None:
        stall, self._stall = self._stall, None
        if stall is not None:
            stall.cancel()

    def _stalled(self) -> None:
        self._stall = None
        if self._session is not None:
            self._session.abort("replies are not read")

    def _nobodyWaits(self, _: Deferred[None]) -> None:
        self._waiting = None

    def _leave(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            gone = Deferred.fromCoroutine(session.leave("connection lost"))
            gone.addErrback(self._failed)


class RFC913Factory(Factory):
    """
    Sessions for one listener: C{endpoint.listen(RFC913Factory(reactor, portal))}.

    @ivar listener: what the sessions share.
    @ivar hostName: the first word of the greeting.
    """

    noisy = False

    def __init__(
        self,
        reactor: Any,
        portal: Portal,
        settings: RFC913Settings | None = None,
        *,
        sessions: ISessionRegistry | None = None,
        sink: IEventSink | None = None,
        deadlines: Deadlines | None = None,
        knownUser: Callable[[bytes], bool] | None = None,
    ) -> None:
        """
        @param reactor: provides L{IReactorTime}, and L{IReactorFDSet} for transfers by
            the kernel.
        @param portal: is asked for an L{IFileAccount} with a name and password, with an
            L{IAccountPassword}, or anonymously; the mind is a L{ConnectionInfo}.
        @param sessions: counts sessions and caps them.
        @param knownUser: for the RFC's C{Invalid user-id}; without it nobody can find
            out which names exist.
        """
        settings = settings or RFC913Settings()
        self.reactor = reactor
        self.hostName = settings.hostName or socket.gethostname()
        self.listener = Listener(
            portal,
            settings,
            deadlines or Deadlines(reactor),
            reactor.seconds,
            sink,
            knownUser,
        )
        self._sessions = sessions

    def buildProtocol(self, addr: IAddress | None) -> RFC913Protocol:
        """See L{IProtocolFactory}."""
        return RFC913Protocol(self)

    def turnAway(self, peer: Address, local: Address) -> bytes | None:
        """
        The last words to a client for whom there is no place, before anything is made of
        its connection; L{None}: it may come in, as far as the registry says so early.
        """
        ask = getattr(self._sessions, "turnAway", None)
        text: str | None = None if ask is None else ask("rfc913", peer, local)
        return self.farewell(text) if text else None if text is None else b""

    def farewell(self, reason: object) -> bytes:
        """The greeting of a server that has no place."""
        return encodeReply(replies.failure(f"{self.hostName} Out to Lunch: {reason}"))

    def admit(self, protocol: RFC913Protocol) -> ISessionSlot:
        """
        @raise LimitExceeded: there are too many sessions.
        """
        transport: Any = protocol.transport
        peer, local = addressOf(transport.getPeer()), addressOf(transport.getHost())
        secure = bool(ISSLTransport.providedBy(transport))
        if self._sessions is None:
            return UncountedSlot(ConnectionInfo("rfc913", next(_ids), peer, local, secure))
        slot: ISessionSlot = self._sessions.admit(
            "rfc913", peer, local, secure=secure, disconnect=protocol.disconnect
        )
        return slot


__all__ = ["VERBS", "RFC913Factory", "RFC913Protocol"]
