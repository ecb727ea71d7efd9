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
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

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
    OUT_OF_DESCRIPTORS,
    PassivePorts,
    canonicalHost,
    socketAddress,
)
from filehub.transfer.proxyheader import ProxyHeader
from filehub.transfer.sockets import SocketStream
from filehub.transfer.stream import ByteStream

_RESET: Final = struct.pack("ii", 1, 0)
#: Let connect() choose the source port (linux/in.h); bind() would have to find one
#: that is free for every destination.
_IP_BIND_ADDRESS_NO_PORT: Final = 24

#: TCP keepalive: of a download whose client is gone nothing else is heard, and address
#: translators forget silent connections.  Seconds, seconds, probes.
KEEPALIVE: Final = (
    (socket.TCP_KEEPIDLE, 60),
    (socket.TCP_KEEPINTVL, 15),
    (socket.TCP_KEEPCNT, 5),
)

Protect = Callable[[SocketStream], Awaitable[ByteStream]]


def _reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()


def _tune(sock: socket.socket) -> None:
    """Options of every data connection; accepted ones have them from their listener."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


@implementer(IReadDescriptor)
class _Listener:
    """One passive port, until the right peer has come."""

    __slots__ = ("_channels", "_sock", "port")

    def __init__(self, channels: DataChannels, sock: socket.socket, port: int) -> None:
        self._channels = channels
        self._sock = sock
        self.port = port

    def fileno(self) -> int:
        return self._sock.fileno()

    def logPrefix(self) -> str:
        return "passive"

    def doRead(self) -> None:
        for _ in range(BACKLOG):
            try:
                sock, address = self._sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in OUT_OF_DESCRIPTORS:
                    # It would be reported again and again; and this frees one.
                    self._channels._listenerFailed(
                        ConnectFailed(f"cannot accept data connection: {error.strerror}")
                    )
                    return
                # That connection was gone before we got to it.
                continue
            if self._channels._arrived(sock, address[0], address[1]):
                return

    def connectionLost(self, reason: Failure) -> None:
        self._channels._listenerFailed(ConnectFailed())

    def close(self) -> None:
        self._sock.close()


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
        "_former",
        "_handshakeSeconds",
        "_host",
        "_introductions",
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
        self._patience = stallSeconds
        self._sourcePort = sourcePort
        self._allowForeign = allowForeign
        self._proxies = proxies
        self._introductions: list[Introduction] | None = None
        self._former: int | None = None
        self._onViolation = onViolation
        self._listener: _Listener | None = None
        self._stream: SocketStream | None = None
        self._target: tuple[str, int] | None = None
        self._waiting: Deferred[SocketStream] | None = None
        self._opening: SocketStream | None = None
        self._deadline: Deadline | None = None
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
        self.reset()
        if family is not None and family != self.family:
            raise OperationNotSupported(None, "network protocol not supported here")
        # A port that this client had before is not given to it again: it may be late,
        # and its connection would be taken for the new one.
        sock, port = self._ports.listen(self._host, self._former)
        self._former = port
        _tune(sock)
        listener = self._listener = _Listener(self, sock, port)
        self._reactor.addReader(listener)
        self._deadline = self._deadlines.after(self._listenSeconds, self._expired)
        return port

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
        stream, self._stream = self._stream, None
        if stream is not None and protect is None:
            return stream
        self._limit(self._openSeconds)
        try:
            if stream is None:
                stream = await self._connected()
            if protect is None:
                return stream
            self._limit(self._handshakeSeconds)
            return await self._protected(stream, protect)
        finally:
            self._unlimit()

    def reset(self) -> None:
        """Close all that is not handed out, and fail an L{open} under way."""
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
        # Most clients have connected by now, which the reactor would tell in its next turn.
        self._listener.doRead()
        return await waiting

    async def _connect(self, host: str, port: int) -> SocketStream:
        try:
            family, address = socketAddress(host, port)
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise ConnectFailed(f"cannot open data connection: {error.strerror}") from None
        stream = self._opening = SocketStream(self._reactor, sock, self._patience)
        try:
            _tune(sock)
            self._bindSource(sock)
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

    def _bindSource(self, sock: socket.socket) -> None:
        """Come from the address that the client talks to, so that its firewall agrees."""
        if sock.family != self.family:
            # The client is behind a proxy of ours, or another server is meant.
            return
        if self._sourcePort:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(socketAddress(self._host, self._sourcePort)[1])
                return
            except OSError:
                # In use towards this peer, or not for us: any port is better than none.
                pass
        sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind(socketAddress(self._host, 0)[1])

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

    def _arrived(self, sock: socket.socket, host: str, port: int) -> bool:
        """Let a new connection in, or not.  True: the listener is closed."""
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
            _reset(introduction.sock)
        else:
            self._admit(introduction.sock, header.source.host, header.source.port)

    def _refuse(self, sock: socket.socket, host: str, port: int) -> None:
        _reset(sock)
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
            self._unlimit()
            self._stream = stream
            if self.onEarly is not None:
                self.onEarly(stream)
        else:
            waiting.callback(stream)
        return True

    def _listenerFailed(self, error: TransferError) -> None:
        self._closeListener()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(error)

    def _closeListener(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            self._reactor.removeReader(listener)
            listener.close()
            self._ports.release(self._host, listener.port)
        introductions, self._introductions = self._introductions, None
        for each in introductions or ():
            each.cancel()
            _reset(each.sock)

    def _violation(self, kind: str, address: Address) -> None:
        if self._onViolation is not None:
            self._onViolation(kind, address)

    # --- time

    def _limit(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.postpone(seconds)
        else:
            self._deadline = self._deadlines.after(seconds, self._expired)

    def _unlimit(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()

    def _expired(self) -> None:
        self._deadline = None
        if self._opening is not None:
            self._opening.abort()
        self._listenerFailed(ConnectFailed("no data connection within the allowed time"))

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
