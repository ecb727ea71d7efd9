"""
How an FTP session comes by its data connections (RFC 959 3.2, RFC 2428, RFC 2577).

Theory of operation
===================

A client B{arms} the next data connection: C{PASV}/C{EPSV} makes us listen,
C{PORT}/C{EPRT} names an address and is only remembered.  The transfer command
B{opens} it: takes the connection that has come, waits for it, or connects.  Clients
connect before or after they send the command; both work.

  - One armed thing per session: arming again drops what was there.
  - We listen on the control connection's own address, on a port from our own range,
    chosen at random (RFC 2577 section 8), and never outside of it.
  - Only the control connection's peer is let in.  A stranger is reset without a
    byte, counted and reported, and the listening goes on, so that scanners and
    probes do not use up the client's one connection.
  - We connect only to the control connection's peer and never to a privileged port
    (RFC 2577 section 3), and not before a transfer command asks for it.  An
    unspecified address (C{0.0.0.0}, C{::}) is the peer's own.
  - Who may exchange files between servers (FXP) names another server's address; that
    one may then take the peer's place, if it is in the networks that are allowed.
  - Where clients come through a proxy, it has to be a trusted one, and whose each
    connection is stands in its PROXY header.
  - Nothing is read from a connection before a transfer wants it.
  - Most clients connect at once and then send the command.  So nobody waits at the port
    until the command comes, or C{lingerSeconds} have passed; what has connected by then
    waits in the kernel.  (TLS and PROXY headers want an early start.)
  - Time limits are moments that are written down; one deadline of a session looks at
    them now and then.
"""

from __future__ import annotations

import errno
import math
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

from twisted.internet.defer import Deferred

from filehub.credentials import Address
from filehub.deadlines import Deadline, Deadlines
from filehub.errors import (
    Aborted,
    ConnectFailed,
    OperationNotSupported,
    PeerGone,
    PermissionDenied,
    ProtectionRequired,
    TransferError,
)
from filehub.networks import Networks, isWithin
from filehub.protocols.ftp.addresses import Foreign, isForeignAllowed, isUnspecified
from filehub.protocols.ftp.introduction import Introduction
from filehub.protocols.ftp.passive import (
    BACKLOG,
    DEFAULT_PASSIVE_PORTS,
    PassiveListener,
    PassivePorts,
    canonicalHost,
    socketAddress,
)
from filehub.protocols.ftp.sockoptions import bindSource, reset, tune
from filehub.transfer.proxyheader import ProxyHeader
from filehub.transfer.sockets import SocketStream
from filehub.transfer.stream import ByteStream

#: Seconds after which a transfer is no short one any more.
_SOON: Final = 1.0

Protect = Callable[[SocketStream], Awaitable[ByteStream]]


class DataChannels:
    """
    The data connections of one FTP session, one at a time.

    @ivar strangers: connections to our ports that were not the client's.
    @ivar isForeign: was the last connection handed out one of another server (FXP)?
    """

    __slots__ = (
        "_allowForeign",
        "_deadline",
        "_deadlines",
        "_expires",
        "_former",
        "_handshakeSeconds",
        "_host",
        "_introductions",
        "_lingerSeconds",
        "_listenSeconds",
        "_listener",
        "_onViolation",
        "_openSeconds",
        "_opening",
        "_patience",
        "_peer",
        "_peerHost",
        "_ports",
        "_proxies",
        "_reactor",
        "_soon",
        "_sourcePort",
        "_stream",
        "_target",
        "_waiting",
        "isForeign",
        "onEarly",
        "strangers",
    )

    def __init__(
        self,
        reactor: Any,
        deadlines: Deadlines,
        ports: PassivePorts,
        *,
        local: Address,
        peer: Address,
        handshakeSeconds: float = 30.0,
        openSeconds: float = 30.0,
        listenSeconds: float = 300.0,
        lingerSeconds: float = 1.0,
        stallSeconds: float = 60.0,
        sourcePort: int = 0,
        allowForeign: Foreign = False,
        proxies: Networks | None = None,
        onViolation: Callable[[str, Address], None] | None = None,
    ) -> None:
        """
        @param reactor: provides L{IReactorFDSet} and L{IReactorTime}.
        @param local: the control connection's own end.
        @param peer: the control connection's other end.
        @param openSeconds: how long a transfer command waits for its connection,
            TLS handshake included.
        @param listenSeconds: how long a port that nobody uses is kept.
        @param lingerSeconds: how long connections may wait for the command before they
            are looked at.
        @param stallSeconds: see L{SocketStream}'s C{patience}.
        @param sourcePort: where active connections come from, e.g. 20; 0 for any.
        @param allowForeign: who besides the peer may take part (FXP).
        @param proxies: passive connections come through proxies of these networks, and
            begin with a PROXY header; L{None}: they come straight from the client.
        @param onViolation: told of C{"stranger on data port"} and C{"bounce"}, with
            the address.
        """
        self._reactor = reactor
        self._deadlines = deadlines
        self._ports = ports
        self._host = local.host
        self._peer = peer
        self._peerHost = canonicalHost(peer.host)
        self._openSeconds = openSeconds
        self._handshakeSeconds = handshakeSeconds
        self._listenSeconds = listenSeconds
        self._lingerSeconds = lingerSeconds
        self._patience = stallSeconds
        self._sourcePort = sourcePort
        self._allowForeign = allowForeign
        self._proxies = proxies
        self._introductions: list[Introduction] | None = None
        self._former: int | None = None
        self._onViolation = onViolation
        self._listener: PassiveListener | None = None
        self._stream: SocketStream | None = None
        self._target: tuple[str, int] | None = None
        self._waiting: Deferred[SocketStream] | None = None
        self._opening: SocketStream | None = None
        self._deadline: Deadline | None = None
        self._expires = math.inf
        self._soon: Callable[[], object] | None = None
        self.strangers = 0
        self.isForeign = False
        self.onEarly: Callable[[SocketStream], None] | None = None

    @property
    def isArmed(self) -> bool:
        """Is there anything that L{open} could open?"""
        return not (self._listener is None and self._stream is None and self._target is None)

    @property
    def family(self) -> int:
        """C{AF_INET} or C{AF_INET6}: what the control connection uses."""
        return socket.AF_INET6 if ":" in self._host else socket.AF_INET

    def passive(self, family: int | None = None) -> int:
        """
        Listen, and return the port.  Drops whatever was armed before.

        @param family: the one that the client asks for (EPSV), if it does.
        @raise OperationNotSupported: that family is not the control connection's.
        @raise NoPortFree: all ports are in use.
        @raise ConnectFailed: no descriptor is free.
        """
        if self.isArmed or self._waiting is not None or self._opening is not None:
            self.reset()
        if family is not None and family != self.family:
            raise OperationNotSupported(None, "network protocol not supported here")
        # A port that this client had before is not given to it again: it may be late,
        # and its connection would be taken for the new one.
        sock, port = self._ports.listen(self._host, self._former)
        self._former = port
        self._listener = PassiveListener(self, sock, port)
        if self.onEarly is None and self._proxies is None and self._lingerSeconds:
            self._limit(self._listenSeconds, self._lingerSeconds)
        else:
            self._watch()
            self._limit(self._listenSeconds)
        return port

    def _watch(self) -> None:
        """Have the reactor tell of whoever comes."""
        listener = self._listener
        if listener is not None and not listener.isWatched:
            listener.isWatched = True
            self._reactor.addReader(listener)

    def active(self, host: str, port: int) -> None:
        """
        Remember where to connect to.  Drops whatever was armed before, also if this
        is refused.

        @raise PermissionDenied: not the control connection's peer, or a privileged port.
        """
        self.reset()
        try:
            canonical = canonicalHost(host)
        except ValueError:
            raise PermissionDenied(None, "not an IP address") from None
        if isUnspecified(canonical):
            canonical = self._peerHost
        isForeign = canonical != self._peerHost
        if isForeign and not isForeignAllowed(canonical, self._allowForeign):
            self._violation("bounce", Address(canonical, port))
            raise PermissionDenied(None, "only your own address may be used")
        if self._ports.isOpen(canonical, port):
            # Another session's: it would take the connection, and then turn it away.
            self._violation("bounce", Address(canonical, port))
            raise PermissionDenied(None, "only your own address may be used")
        if not 1024 <= port <= 65535:
            self._violation("bounce", Address(canonical, port))
            raise PermissionDenied(None, "privileged ports may not be used")
        # The peer's own spelling has the zone of a link-local address.
        self._target = (canonical if isForeign else self._peer.host, port)
        self.isForeign = isForeign

    async def open(self, protect: Protect | None = None) -> ByteStream:
        """
        The armed connection, open; nothing is armed afterwards.

        @param protect: puts TLS on it; within the same time.
        @raise ConnectFailed: there is none, or it could not be had in time.
        @raise ProtectionRequired: what C{protect} raises, or it took too long.
        """
        stream = self.take() if self.hasArrived() else None
        if stream is not None and protect is None:
            self._unlimit()
            return self._tuned(stream)
        self._limit(self._openSeconds)
        try:
            stream = await self._connected() if stream is None else self._tuned(stream)
            if protect is None:
                return stream
            self._limit(self._handshakeSeconds)
            return await self._protected(stream, protect)
        finally:
            self._unlimit()

    def hasArrived(self) -> bool:
        """Has the client connected already?  Then L{take} has it."""
        if self._stream is None and self._listener is not None:
            self._listener.doRead()
        return self._stream is not None

    def take(self) -> SocketStream | None:
        """
        The connection that has arrived, as it came: for what fits into one packet or
        two, or wants options of its own.
        """
        stream, self._stream = self._stream, None
        return stream

    def remind(self, call: Callable[[], object]) -> None:
        """
        Call this in a second or two: what a transfer needs that lasts so long.  Only the
        last one is called.
        """
        self._soon = call
        self._lookWithin(_SOON, self._deadlines.seconds())

    @staticmethod
    def _tuned(stream: SocketStream) -> SocketStream:
        if stream.kernelSocket is not None:
            tune(stream.kernelSocket)
        return stream

    def reset(self) -> None:
        """Close all that is not handed out, and fail an L{open} under way."""
        self._soon = None
        self._target = None
        self._closeListener()
        self._unlimit()
        for stream in (self._stream, self._opening):
            if stream is not None:
                stream.abort()
        self._stream = self._opening = None
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(Aborted())

    # --- the two ways to a connection

    async def _connected(self) -> SocketStream:
        target, self._target = self._target, None
        if target is not None:
            return await self._connect(*target)
        if self._listener is None:
            raise ConnectFailed("no data connection: use PASV, EPSV, PORT or EPRT first")
        waiting = self._waiting = Deferred(self._waitCancelled)
        self._watch()
        return await waiting

    async def _connect(self, host: str, port: int) -> SocketStream:
        try:
            family, address = socketAddress(host, port)
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise ConnectFailed(f"cannot open data connection: {error.strerror}") from None
        stream = self._opening = SocketStream(self._reactor, sock, self._patience)
        try:
            tune(sock)
            if family == self.family:
                # Else the client is behind a proxy of ours, or another server is meant.
                bindSource(sock, self._host, self._sourcePort)
            code = sock.connect_ex(address)
            if code == errno.EINPROGRESS:
                await stream.writable()
                code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, os.strerror(code))
        except OSError as error:
            stream.abort()
            raise ConnectFailed(f"cannot open data connection: {_textOf(error)}") from None
        except PeerGone:
            raise ConnectFailed("data connection not accepted in time") from None
        except BaseException:
            stream.abort()
            raise
        finally:
            self._opening = None
        return stream

    async def _protected(self, stream: SocketStream, protect: Protect) -> ByteStream:
        self._opening = stream
        try:
            return await protect(stream)
        except PeerGone:
            stream.abort()
            raise ProtectionRequired("TLS handshake not completed") from None
        except BaseException:
            stream.abort()
            raise
        finally:
            self._opening = None

    # --- what the listener tells

    def arrived(self, sock: socket.socket, host: str, port: int) -> bool:
        """See L{Arrivals.arrived<filehub.protocols.ftp.passive.Arrivals.arrived>}."""
        if self._proxies is None:
            return self._admit(sock, host, port)
        introductions = self._introductions = self._introductions or []
        if not isWithin(host, self._proxies) or len(introductions) >= BACKLOG:
            self._refuse(sock, host, port)
        else:
            introductions.append(
                Introduction(self._reactor, self._deadlines, sock, self._introduced)
            )
        return False

    def _introduced(self, introduction: Introduction, header: ProxyHeader | None) -> None:
        """A proxy has said whose connection it is, or has not."""
        if self._introductions is not None:
            self._introductions.remove(introduction)
        if header is None or header.source is None:
            # Nonsense, or the proxy itself: it looks whether we are well.
            reset(introduction.sock)
        else:
            self._admit(introduction.sock, header.source.host, header.source.port)

    def _refuse(self, sock: socket.socket, host: str, port: int) -> None:
        reset(sock)
        self.strangers += 1
        self._violation("stranger on data port", Address(canonicalHost(host), port))

    def _admit(self, sock: socket.socket, host: str, port: int) -> bool:
        isForeign = host != self._peer.host and canonicalHost(host) != self._peerHost
        if isForeign and not isForeignAllowed(canonicalHost(host), self._allowForeign):
            self._refuse(sock, host, port)
            return False
        self.isForeign = isForeign
        self._closeListener()
        stream = SocketStream(self._reactor, sock, self._patience)
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            self._expires = math.inf
            self._stream = stream
            if self.onEarly is not None:
                self.onEarly(self._tuned(stream))
        else:
            waiting.callback(self._tuned(stream))
        return True

    def listenerFailed(self, error: TransferError) -> None:
        """See L{Arrivals.listenerFailed<filehub.protocols.ftp.passive.Arrivals.listenerFailed>}."""
        self._closeListener()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(error)

    def _closeListener(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            if listener.isWatched:
                self._reactor.removeReader(listener)
            listener.close()
            self._ports.release(self._host, listener.port)
        introductions, self._introductions = self._introductions, None
        for each in introductions or ():
            each.cancel()
            reset(each.sock)

    def _violation(self, kind: str, address: Address) -> None:
        if self._onViolation is not None:
            self._onViolation(kind, address)

    # --- time

    def _limit(self, seconds: float, look: float | None = None) -> None:
        """
        Give up in so many seconds.

        @param look: see before how it is going.
        """
        now = self._deadlines.seconds()
        self._expires = now + seconds
        if look is None and self._deadline is not None:
            self._deadline.postpone(seconds)
        else:
            self._lookWithin(seconds if look is None else min(look, seconds), now)

    def _lookWithin(self, seconds: float, now: float) -> None:
        deadline = self._deadline
        if deadline is None:
            self._deadline = self._deadlines.after(seconds, self._look)
        elif deadline.due > now + seconds:
            deadline.postpone(seconds)

    def _unlimit(self) -> None:
        self._expires = math.inf
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()

    def _look(self) -> None:
        self._deadline = None
        soon, self._soon = self._soon, None
        if soon is not None:
            soon()
        left = self._expires - self._deadlines.seconds()
        if left == math.inf:
            return
        if left > 0:
            self._deadline = self._deadlines.after(left, self._look)
            self._watch()
            return
        if self._opening is not None:
            self._opening.abort()
        self.listenerFailed(ConnectFailed("no data connection within the allowed time"))

    def _waitCancelled(self, waiting: Deferred[SocketStream]) -> None:
        self._waiting = None
        self._closeListener()


def _textOf(error: OSError) -> str:
    return error.strerror or "unknown reason"


__all__ = [
    "DEFAULT_PASSIVE_PORTS",
    "DataChannels",
    "PassivePorts",
    "Protect",
    "canonicalHost",
]
