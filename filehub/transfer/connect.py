"""
Opening a TCP connection as a L{SocketStream}: for clients.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool

from filehub.errors import ConnectFailed, FileHubError, PeerGone
from filehub.transfer.sockets import SocketStream


async def connectTCP(
    reactor: Any, host: str, port: int, *, timeout: float = 30.0, source: str | None = None
) -> tuple[SocketStream, str]:
    """
    Connect to a host name or address; its addresses are tried one after the other.
    Returns the connection and the address that answered.

    @param reactor: provides L{IReactorFDSet}, L{IReactorTime} and L{IReactorThreads}.
    @param timeout: seconds for each address.
    @param source: the local address to connect from.
    @raise ConnectFailed: none of the addresses answers; says why the last did not.
    """
    try:
        candidates: list[Any] = await deferToThreadPool(
            reactor, reactor.getThreadPool(), socket.getaddrinfo, host, port, 0, socket.SOCK_STREAM
        )
    except OSError as error:
        raise ConnectFailed(f"{host}: {error.strerror or error}") from None
    problem: FileHubError = ConnectFailed(f"{host}: no address")
    for candidate in candidates:
        try:
            stream = await _connectOne(reactor, candidate, timeout, source)
            return stream, str(candidate[4][0])
        except OSError as error:
            problem = ConnectFailed(f"{host} port {port}: {error.strerror or error}")
    raise problem


async def _connectOne(
    reactor: Any, candidate: Any, timeout: float, source: str | None
) -> SocketStream:
    # One answer of getaddrinfo.
    family, kind, protocol, _, address = candidate
    sock = socket.socket(family, kind, protocol)
    stream = SocketStream(reactor, sock)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source is not None:
            sock.bind((source, 0))
        state = sock.connect_ex(address)
        if state == errno.EINPROGRESS:
            await _writableWithin(reactor, stream, timeout)
            state = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if state:
            raise OSError(state, os.strerror(state))
    except PeerGone:
        stream.abort()
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from None
    except BaseException:
        stream.abort()
        raise
    return stream


async def _writableWithin(reactor: Any, stream: SocketStream, timeout: float) -> None:
    waiting: Deferred[None] = stream.writable()
    call: IDelayedCall = reactor.callLater(timeout, stream.abort)
    try:
        await waiting
    finally:
        if call.active():
            call.cancel()
