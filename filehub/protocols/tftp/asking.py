"""
How a TFTP client finds its peer: the request is repeated until somebody answers.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from filehub.errors import ConnectFailed
from filehub.protocols.tftp import wire
from filehub.transfer.datagrams import PeerSocket, plainHost

#: Linux: report ICMP errors on sockets that are not connected.
_IP_RECVERR: Final = 11
_IPV6_RECVERR: Final = 25


@implementer(IReadDescriptor)
class Question:
    """A request that is repeated until somebody answers."""

    def __init__(
        self, reactor: Any, sock: PeerSocket, address: Any, packet: bytes, timeout: float
    ) -> None:
        self._reactor = reactor
        self._socket = sock
        self._address = address
        self._packet = packet
        self._pause = 1.0
        self._left = timeout
        self._done: Deferred[bytes] = Deferred(self._cancelled)
        self._call: Any = None

    async def answer(self) -> bytes:
        """
        The first packet of the answer; the socket is connected to its sender then.

        @raise ConnectFailed: nobody answers.
        """
        self._reportErrors(True)
        self._reactor.addReader(self)
        self._send()
        return await self._done

    def _reportErrors(self, wanted: bool) -> None:
        level, option = socket.IPPROTO_IP, _IP_RECVERR
        if self._socket.family == socket.AF_INET6:
            level, option = socket.IPPROTO_IPV6, _IPV6_RECVERR
        with contextlib.suppress(OSError):
            self._socket.setsockopt(level, option, int(wanted))

    def _send(self) -> None:
        self._call = None
        if self._left <= 0:
            self._fail("no answer")
            return
        try:
            self._socket.sendto(self._packet, self._address)
        except BlockingIOError:
            # As if it were lost on the way: it is sent again anyway.
            pass
        except OSError as error:
            self._fail(error.strerror or str(error))
            return
        pause = min(self._pause, self._left)
        self._left -= pause
        self._pause = min(self._pause * 2, 8.0)
        self._call = self._reactor.callLater(pause, self._send)

    def _stop(self) -> None:
        self._reactor.removeReader(self)
        self._reportErrors(False)
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _cancelled(self, _: Any) -> None:
        self._stop()

    def _fail(self, reason: str) -> None:
        self._stop()
        if not self._done.called:
            self._done.errback(
                ConnectFailed(f"{self._address[0]} port {self._address[1]}: {reason}")
            )

    def fileno(self) -> int:
        """The descriptor; -1 when closed."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """See L{twisted.internet.interfaces.ILoggingContext}."""
        return "TFTP"

    def connectionLost(self, reason: Failure) -> None:
        """The reactor found an error on the socket: nobody listens there."""
        self._fail("connection refused")

    def doRead(self) -> None:
        """Something came."""
        try:
            packet, peer = self._socket.recvfrom(wire.MAXIMUM_PACKET)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error.strerror or str(error))
            return
        if plainHost(peer[0]) != plainHost(self._address[0]) or len(packet) < 2:
            # A stranger.
            return
        self._stop()
        try:
            self._socket.connect(peer)
        except OSError as error:
            self._fail(error.strerror or str(error))
            return
        self._done.callback(packet)


__all__ = ["Question"]
