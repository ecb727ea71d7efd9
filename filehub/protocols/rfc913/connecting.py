"""
Streams for the client: over TCP, with TLS on top, or over any endpoint.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable
from typing import Any

from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from filehub.errors import ConnectFailed
from filehub.transfer.connect import connectTCP
from filehub.transfer.stream import ByteStream
from filehub.transfer.tlsclient import ServerTrust, TLSClientStream
from filehub.transfer.transports import LentStream, adoptTransport


async def overTCP(
    reactor: Any, host: str, port: int, timeout: float, trust: ServerTrust | None
) -> ByteStream:
    """
    A connection to a host name or address.

    @param trust: for TLS from the first byte on; L{None} for none.
    @raise ConnectFailed: and L{ProtectionRequired}.
    """
    plain, _ = await connectTCP(reactor, host, port, timeout=timeout)
    if trust is None:
        return plain
    try:
        stream = TLSClientStream(plain, trust.context(), host)
        await stream.handshake()
        trust.check(stream.connection, host)
    except BaseException:
        plain.abort()
        raise
    return stream


async def overEndpoint(reactor: Any, endpoint: IStreamClientEndpoint) -> ByteStream:
    """
    A connection to wherever the endpoint leads.

    @raise ConnectFailed:
    """
    try:
        protocol: Any = await endpoint.connect(Factory.forProtocol(_Carrier))
    except ConnectError as error:
        raise ConnectFailed(str(error)) from None
    protocol.stream = stream = await adoptTransport(
        reactor, protocol.transport, prefix=protocol.early
    )
    if protocol.lost is not None:
        stream.connectionLost(protocol.lost)
    return stream


class _Carrier(Protocol):
    """Hands everything on to a stream."""

    stream: LentStream | None = None
    early = b""
    lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        if self.stream is not None:
            self.stream.dataReceived(data)
        else:
            self.early += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.stream is not None:
            self.stream.connectionLost(reason)
        else:
            self.lost = reason


class Prefixed:
    """
    A stream of which some bytes have been read already.

    @ivar rest: those of them that nobody has read here yet.
    """

    def __init__(self, inner: ByteStream, rest: bytes) -> None:
        self._inner = inner
        self.rest = rest

    @property
    def kernelSocket(self) -> socket.socket | None:
        """None as long as there are bytes that must be read first."""
        return None if self.rest else self._inner.kernelSocket

    async def read(self, maximum: int) -> bytes:
        """See L{ByteStream.read}."""
        if self.rest:
            data, self.rest = self.rest[:maximum], self.rest[maximum:]
            return data
        return await self._inner.read(maximum)

    async def write(self, data: bytes | memoryview) -> None:
        """See L{ByteStream.write}."""
        await self._inner.write(data)

    def readable(self) -> Awaitable[None]:
        """See L{ByteStream.readable}."""
        return self._inner.pause(0) if self.rest else self._inner.readable()

    def writable(self) -> Awaitable[None]:
        """See L{ByteStream.writable}."""
        return self._inner.writable()

    def pause(self, seconds: float) -> Awaitable[None]:
        """See L{ByteStream.pause}."""
        return self._inner.pause(seconds)

    def backlog(self) -> int:
        """See L{ByteStream.backlog}."""
        return self._inner.backlog()

    async def finish(self) -> None:
        """See L{ByteStream.finish}."""
        await self._inner.finish()

    def abort(self) -> None:
        """See L{ByteStream.abort}."""
        self._inner.abort()


__all__ = ["Prefixed", "overEndpoint", "overTCP"]
