"""
FTP on a Twisted transport: the control connection, its time and its buffers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from filehub.credentials import Address, ConnectionInfo
from filehub.deadlines import Deadline, Deadlines
from filehub.errors import LimitExceeded, NotWelcome, TransferError
from filehub.events import ProtocolViolation
from filehub.interfaces import IEventSink, ISessionRegistry, ISessionSlot
from filehub.logins import LoginPortal
from filehub.protocols.ftp import admission, replies
from filehub.protocols.ftp.external import ExternalAddresses
from filehub.protocols.ftp.hosts import VirtualHost, addHosts, followServerName
from filehub.protocols.ftp.listener import DataConnections, Listener
from filehub.protocols.ftp.outlet import Outlet, closeNow, hasEnded
from filehub.protocols.ftp.passive import PassivePorts
from filehub.protocols.ftp.session import FTPSession
from filehub.protocols.ftp.settings import FTPSettings
from filehub.protocols.ftp.site import enabledSiteCommands
from filehub.protocols.ftp.verbs import enabledVerbs
from filehub.protocols.ftp.wire import LIMIT, LIMIT_BEFORE_LOGIN, CommandDecoder, encodeReply
from filehub.transfer.tls import CertificateSource, TLSSession
from filehub.transfer.tlslayer import TLSLayer
from filehub.uncounted import UncountedSlot

#: Commands carried out before other connections have their turn.
_TURN: Final = 128
#: Seconds for the last reply to reach the client.
_CLOSING_TIME: Final = 10.0


@implementer(IPushProducer)
class FTPProtocol(Protocol):
    """
    One control connection.

    What the client sends is taken only as fast as it can be answered: with too many
    commands waiting, or too many unsent replies, reading pauses.
    """

    factory: FTPFactory
    _session: FTPSession | None = None
    _decoder: CommandDecoder
    _deadline: Deadline | None = None
    #: Seconds without a command, once logged in.
    _idle: float | None = None
    #: When something was said last, on the clock of the deadlines.
    _said = 0.0
    isCongested = False
    _isPaused = False
    _isProceeding = False
    #: Is a command carried out that nothing follows yet?
    _isAlone = False
    _isClosing = False
    #: Has all been said, so that the connection can be closed at once?
    _isDone = False
    #: Is TLS being taken off (CCC)?
    _isClearing = False
    _tls: TLSLayer | None = None
    _outlet: Outlet | None = None
    #: See L{ControlChannel.reactor<filehub.protocols.ftp.channel.ControlChannel>}.
    reactor: Any = None
    _waiting: Deferred[None] | None = None

    # --- what the transport calls

    def connectionMade(self) -> None:
        """Greet, or turn away."""
        transport = self.transport
        if transport is None:
            return
        self.factory.tune(transport)
        self.reactor = admission.reactorOf(transport, self.factory.reactor)
        try:
            peer, local, own = admission.addressesOf(transport)
            slot = self.factory.admit(peer, own, self._disconnect)
        except NotWelcome:
            self._abort()
            return
        except LimitExceeded as error:
            transport.write(encodeReply(replies.failure(error)))
            transport.loseConnection()
            self._deadline = self.factory.listener.deadlines.after(_CLOSING_TIME, self._abort)
            return
        self._decoder = CommandDecoder(LIMIT_BEFORE_LOGIN)
        IConsumer(transport).registerProducer(self, True)
        self._outlet = Outlet(transport)
        session = self._session = FTPSession(self.factory.listener, self, slot)
        if own != local:
            session.reachedAt = local.host
        self.loggedOut()
        certificates = self.factory.listener.certificates
        if self.factory.settings.implicitTLS and certificates is not None:
            # Whom to greet as is known when the handshake is done.
            session.encrypt(TLSSession(certificates, resumable=self.factory.resumable))
        else:
            session.greet()

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client, in any fragmentation."""
        tls = self._tls
        if tls is not None:
            data = self._decrypted(tls, data)
        if data and not self._tookAlone(data) and self._session is not None and not self._isClosing:
            self._take(data)
        if tls is not None and tls.hasEnded and tls is self._tls:
            self.close()

    def _tookAlone(self, data: bytes) -> bool:
        """The shortest way, for one command that has come in one piece."""
        session, outlet = self._session, self._outlet
        if session is None or outlet is None or self._isClosing or self.isCongested:
            return False
        if not session.isReady or (command := self._decoder.whole(data)) is None:
            return False
        self._isAlone = True
        if self._tls is not None:
            outlet.hold()
        # In the clear, what asks the client for something leaves at once.
        session.receive(command)
        outlet.release()
        self._isAlone = False
        if self._isDone:
            closeNow(self.transport)
        elif self.isCongested or not session.isReady:
            self._pauseReading(True)
        return True

    def _take(self, data: bytes) -> None:
        """What the client said, in the clear or decrypted."""
        # Bytes alone are no activity; the reply to a whole command is.
        self._decoder.feed(data)
        if self._decoder.refusals:
            self._put(self._decoder.refusals)
            self._decoder.refusals = b""
        self.proceed()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """All ends here."""
        self._outlet = self._tls = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        session, self._session = self._session, None
        if session is not None:
            session.lost("connection lost")
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def pauseProducing(self) -> None:
        """So many replies are unsent that no more commands are taken."""
        self.isCongested = True

    def resumeProducing(self) -> None:
        """The client has read its replies."""
        self.isCongested = False
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)
        self.proceed()

    def stopProducing(self) -> None:
        """The transport is closing; L{connectionLost} follows."""

    # --- what the session calls (ControlChannel)

    def write(self, data: bytes) -> None:
        """See L{ControlChannel.write<filehub.protocols.ftp.channel.ControlChannel>}."""
        outlet = self._outlet
        if self._tls is None and outlet is not None and not (self._isClosing or self._isClearing):
            outlet.write(data)
        else:
            self._put(data)
        if self._idle is not None:
            # Only after login does it buy time.
            self._said = self.factory.listener.deadlines.seconds()

    def drained(self) -> Deferred[None]:
        """See L{ControlChannel.drained<filehub.protocols.ftp.channel.ControlChannel>}."""
        if not self.isCongested or self._session is None:
            return succeed(None)
        waiting = self._waiting = Deferred(self._drainCancelled)
        return waiting

    def proceed(self) -> None:
        """Take commands as long as there are some and somebody wants them."""
        session = self._session
        outlet = self._outlet
        if session is None or outlet is None or self._isProceeding:
            return
        if self._decoder.isEmpty and not self._isPaused and not self.isCongested:
            return
        self._isProceeding = True
        outlet.hold()
        try:
            for _ in range(_TURN):
                if self.isCongested or not session.isReady:
                    break
                event = self._decoder.take()
                if event is None:
                    break
                session.receive(event)
            else:
                self.factory.reactor.callLater(0, self.proceed)
                self._pauseReading(True)
                return
        finally:
            self._isProceeding = False
            outlet.release()
        self._pauseReading(self.isCongested or not session.isReady)

    def hasUnread(self) -> bool:
        """See L{ControlChannel.hasUnread<filehub.protocols.ftp.channel.ControlChannel>}."""
        return not self._decoder.isEmpty

    def startTLS(self, identity: TLSSession) -> None:
        """See L{ControlChannel.startTLS<filehub.protocols.ftp.channel.ControlChannel>}."""
        self._decoder.clear()
        self._tls = TLSLayer(identity, self._transmit)
        self._limit(self.factory.settings.handshakeTimeout, self._handshakeTimedOut)

    def stopTLS(self) -> None:
        """See L{ControlChannel.stopTLS<filehub.protocols.ftp.channel.ControlChannel>}."""
        if self._tls is not None:
            self._isClearing = True
            self._tls.end()
            self._limit(self.factory.settings.handshakeTimeout, self._abort)

    def hasEnded(self) -> bool:
        """See L{ControlChannel.hasEnded<filehub.protocols.ftp.channel.ControlChannel>}."""
        return hasEnded(self.transport)

    def loggedIn(self, idle: float) -> None:
        """See L{ControlChannel.loggedIn<filehub.protocols.ftp.channel.ControlChannel>}."""
        self._decoder.limit = LIMIT
        self._idle = idle
        self._limit(idle, self._idled)

    @property
    def idle(self) -> float:
        """See L{ControlChannel.idle<filehub.protocols.ftp.channel.ControlChannel>}."""
        return self.factory.settings.idleTimeout if self._idle is None else self._idle

    def loggedOut(self) -> None:
        """See L{ControlChannel.loggedOut<filehub.protocols.ftp.channel.ControlChannel>}."""
        self._decoder.limit = LIMIT_BEFORE_LOGIN
        self._idle = None
        self._limit(self.factory.settings.loginTimeout, self._loginTimedOut)

    def close(self) -> None:
        """See L{ControlChannel.close<filehub.protocols.ftp.channel.ControlChannel>}."""
        self._idle = None
        self._isClosing = True
        transport: Any = self.transport
        outlet = self._outlet
        if transport is None or outlet is None:
            return
        if self._isAlone and self._tls is None and outlet.detach():
            # The reactor need not be told to tell us that now is the time.
            self._isDone = True
            return
        self._limit(_CLOSING_TIME, self._abort)
        IConsumer(transport).unregisterProducer()
        if self._tls is None or not self._tls.isOpen or self._tls.hasEnded:
            outlet.detach()
            transport.loseConnection()
            return
        self._tls.end()
        outlet.detach()
        if self._isPaused:
            # The client's own end is still to be read.
            transport.resumeProducing()
        if ITCPTransport.providedBy(transport):
            # Closing for good before the client's close_notify has come would be a
            # reset, which can take the last reply with it.
            transport.loseWriteConnection()
        else:
            transport.loseConnection()

    # --- TLS

    def _decrypted(self, tls: TLSLayer, data: bytes) -> bytes:
        """What was said in these bytes; ends the connection if TLS has failed."""
        wasOpen = tls.isOpen
        if self._isClearing and tls.isPlain(data):
            self._clear()
            return data
        try:
            said = tls.receive(data)
        except TransferError:
            self._tls = None
            self.close()
            return b""
        if tls.isOpen and not wasOpen and not self._isClosing:
            self._limit(self.factory.settings.loginTimeout, self._loginTimedOut)
            if self._session is not None:
                followServerName(self._session)
                if self.factory.settings.implicitTLS:
                    self._session.greet()
        if not self._isClearing or self._isClosing:
            return said
        if said and self._session is not None:
            self._session.violated("command between CCC and close_notify")
            self.close()
        elif tls.hasEnded:
            self._clear()
            return tls.remainder()
        return b""

    def _clear(self) -> None:
        """TLS has been taken off (CCC).  Nothing was said in it since."""
        self._isClearing = False
        self._tls = None
        if self._idle is not None:
            self._limit(self._idle, self._idled)

    def _put(self, data: bytes) -> None:
        """Send, encrypted if that was agreed."""
        if self._isClosing or self._isClearing:
            return
        if self._tls is not None:
            self._tls.write(data)
        elif self._outlet is not None:
            self._outlet.write(data)

    def _transmit(self, data: bytes) -> None:
        if self._outlet is not None:
            self._outlet.write(data)

    def _handshakeTimedOut(self) -> None:
        if self._session is not None:
            self._session.kick("TLS handshake timeout", "The TLS handshake took too long.")

    # --- time

    def _limit(self, seconds: float, callback: Callable[[], object]) -> None:
        if self._deadline is not None and self._deadline.active:
            self._deadline.become(seconds, callback)
        else:
            self._deadline = self.factory.listener.deadlines.after(seconds, callback)

    def _idled(self) -> None:
        session = self._session
        if session is None or self._idle is None:
            return
        left = self._said + self._idle - self.factory.listener.deadlines.seconds()
        if session.isTransferring:
            self._limit(self._idle, self._idled)
        elif left > 0:
            self._limit(left, self._idled)
        else:
            session.kick("idle", "Idle for too long.")

    def _loginTimedOut(self) -> None:
        if self._session is not None:
            self._session.kick("login timeout", "Login took too long.")

    def _disconnect(self, reason: str) -> None:
        """The operator, or a shutdown, ends this session."""
        if self._session is not None:
            self._session.kick(reason, f"Closing the connection: {reason}.")

    def _abort(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    # --- the transport

    def _pauseReading(self, pause: bool) -> None:
        if pause != self._isPaused and not self._isClosing and self._session is not None:
            self._isPaused = pause
            transport: Any = self.transport
            if pause:
                transport.pauseProducing()
            else:
                transport.resumeProducing()

    def _drainCancelled(self, waiting: Deferred[None]) -> None:
        self._waiting = None


class FTPFactory(Factory):
    """
    Serves FTP to those whom a portal lets in.

    @ivar listener: what its sessions share.
    """

    protocol: Any = FTPProtocol
    noisy = False

    def __init__(
        self,
        reactor: Any,
        portal: LoginPortal,
        settings: FTPSettings | None = None,
        *,
        sessions: ISessionRegistry | None = None,
        sink: IEventSink | None = None,
        deadlines: Deadlines | None = None,
        certificates: CertificateSource | None = None,
        hosts: Iterable[VirtualHost] = (),
    ) -> None:
        """
        @param reactor: provides L{IReactorFDSet} and L{IReactorTime}.
        @param certificates: needed where the settings offer TLS.
        @param portal: its realm gives L{IFileAccount}s.
        @param sessions: admits and counts sessions; without it all are let in.
        @param sink: told of transfers and violations.
        @param deadlines: shared by all listeners of a process.
        @param hosts: which clients may choose before they log in.
        """
        self.reactor = reactor
        self.settings = settings or FTPSettings()
        virtual = [
            replace(each, settings=replace(each.settings, virtualHosts=True)) for each in hosts
        ]
        if virtual:
            self.settings = replace(self.settings, virtualHosts=True)
        self.passivePorts = PassivePorts(self.settings.passivePorts)
        self.external = ExternalAddresses(
            self.settings.externalAddress,
            self.settings.externalRules,
            clock=reactor,
            lookUp=getattr(reactor, "resolve", None),
        )
        self.listener = Listener(
            portal,
            self.settings,
            enabledVerbs(self.settings),
            deadlines or Deadlines(reactor),
            self._openData,
            chooseVerbs=enabledVerbs,
            external=self.external,
            site=enabledSiteCommands(self.settings),
            sink=sink,
            certificates=certificates,
        )
        addHosts(self.listener, virtual)
        self._sessions = sessions
        self._ids = itertools.count(1)
        self.tune = admission.Tuning()

    @property
    def resumable(self) -> bool:
        """May data connections resume the control connection's TLS session?"""
        return self.settings.tlsSessions != "off"

    def admit(
        self, peer: Address, local: Address, disconnect: Callable[[str], None]
    ) -> ISessionSlot:
        """
        A place for a new session.

        @raise LimitExceeded:
        """
        if self._sessions is not None:
            return self._sessions.admit("ftp", peer, local, secure=False, disconnect=disconnect)
        return UncountedSlot(ConnectionInfo("ftp", next(self._ids), peer, local))

    def turnAway(self, peer: Address, local: Address) -> bytes | None:
        """See L{admission.turnAway}."""
        return admission.turnAway(self._sessions, self.settings, peer, local)

    def startFactory(self) -> None:
        """The first of its ports listens."""
        self.external.start()

    def stopFactory(self) -> None:
        """None of its ports listens any more."""
        self.external.stop()

    def _openData(self, session: FTPSession) -> DataConnections:
        told = partial(self._violated, session.slot.connection)
        return admission.dataChannels(session, self.passivePorts, told)

    def _violated(self, connection: ConnectionInfo, kind: str, address: Address) -> None:
        """Somebody came to, or was to be sent to, a data connection that is not his."""
        self.listener.emit(ProtocolViolation(connection, kind))


__all__ = ["FTPFactory", "FTPProtocol"]
