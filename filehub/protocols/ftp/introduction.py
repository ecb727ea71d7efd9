"""
Data connections that come through a proxy: first its header, then the client's bytes.

Not a byte more than the header is taken from the socket, which afterwards carries what
it would carry without a proxy, down to the kernel's own ways of moving it.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from filehub.deadlines import Deadlines
from filehub.transfer.proxyheader import MAXIMUM_HEADER, BadHeader, ProxyHeader, parseHeader

#: Seconds for the header to arrive; proxies send it at once.
HEADER_TIMEOUT: Final = 5.0


@implementer(IReadDescriptor)
class Introduction:
    """
    A connection of which the proxy has still to say whose it is.

    @ivar sock: the connection; whoever is told of the header owns it from then on.
    """

    __slots__ = ("_buffer", "_deadline", "_reactor", "_told", "sock")

    def __init__(
        self,
        reactor: Any,
        deadlines: Deadlines,
        sock: socket.socket,
        told: Callable[[Introduction, ProxyHeader | None], object],
    ) -> None:
        """
        @param sock: becomes non-blocking.
        @param told: called once, unless L{cancel} was, with the header; with L{None}
            if there is none, or it took too long.
        """
        sock.setblocking(False)
        self.sock = sock
        self._reactor = reactor
        self._buffer = b""
        self._told = told
        self._deadline = deadlines.after(HEADER_TIMEOUT, lambda: self._end(None))
        reactor.addReader(self)

    def cancel(self) -> None:
        """Nobody wants to know any more.  The socket is the caller's."""
        self._deadline.cancel()
        self._reactor.removeReader(self)

    def _end(self, header: ProxyHeader | None) -> None:
        self.cancel()
        self._told(self, header)

    def fileno(self) -> int:
        """See L{IFileDescriptor}."""
        return self.sock.fileno()

    def logPrefix(self) -> str:
        """See L{ILoggingContext}."""
        return "introduction"

    def doRead(self) -> None:
        """Take what there is of the header."""
        try:
            seen = self.sock.recv(MAXIMUM_HEADER, socket.MSG_PEEK)
            header = parseHeader(self._buffer + seen) if seen else None
            if header is not None:
                self.sock.recv(header.length - len(self._buffer))
            elif seen:
                # All of it belongs to the header; left there it would wake us again.
                self._buffer += self.sock.recv(len(seen))
        except BlockingIOError:
            return
        except (OSError, BadHeader):
            self._end(None)
            return
        if header is not None or not seen:
            self._end(header)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has let go of it."""
        self._end(None)


__all__ = ["HEADER_TIMEOUT", "Introduction"]
