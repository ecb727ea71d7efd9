"""
Replies straight to the socket.

A Twisted transport sends in the reactor's next turn, which takes three system calls
besides the one that sends: to be told that there is room, the waiting, and not to be
told any more.  There nearly always is room for a reply at once.
"""

from __future__ import annotations

import socket
from typing import Any, Final

from twisted.internet.main import CONNECTION_DONE
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure

_PEEK: Final = int(socket.MSG_PEEK) | int(socket.MSG_DONTWAIT)
_CLOSED: Final = Failure(CONNECTION_DONE)  # type: ignore[no-untyped-call]
#: So many bytes are not held back any longer.
_HELD: Final = 2 * 1024


class Outlet:
    """
    What a control connection has to say, in order, at once where the socket takes it.

    Where it does not, or where there is no socket of our own to write to, the transport
    has it all from then on: it keeps what is unsent and tells its producer.
    """

    __slots__ = ("_held", "_socket", "_transport")

    def __init__(self, transport: Any) -> None:
        """
        @param transport: nothing was written to it so far.
        """
        self._transport = transport
        self._held: bytes | None = None
        isBare = isinstance(transport, Connection) and not transport.TLS
        self._socket: socket.socket | None = transport.socket if isBare else None

    def write(self, data: bytes) -> None:
        """Send, now or with what is held back."""
        held = self._held
        if held is not None:
            self._held = held + data if held else data
            if len(self._held) > _HELD:
                self.release()
                self.hold()
            return
        sock = self._socket
        if sock is not None:
            try:
                sent = sock.send(data)
            except OSError:
                # The transport finds out for itself whether that was for now or for good.
                sent = 0
            if sent == len(data):
                return
            self._socket = None
            data = data[sent:]
        self._transport.write(data)

    def hold(self) -> None:
        """Hold back up to two kilobytes of what follows: more replies may go in one packet."""
        if self._held is None:
            self._held = b""

    def release(self) -> None:
        """Send what was held back, and hold back nothing more."""
        held, self._held = self._held, None
        if held:
            self.write(held)

    def detach(self) -> bool:
        """
        The connection ends: its socket is not ours to write to any more.  Returns whether
        all has been said, and nothing of it through the transport.
        """
        self.release()
        isDone, self._socket = self._socket is not None, None
        return isDone


def hasEnded(transport: Any) -> bool:
    """Has the peer closed the connection, though that may not have been noticed yet?"""
    # Not getHandle: under TLS that is no socket.
    handle = getattr(transport, "socket", None)
    if not isinstance(handle, socket.socket):
        return False
    try:
        return not handle.recv(1, _PEEK)
    except BlockingIOError:
        return False
    except OSError:
        return True


def closeNow(transport: Any) -> None:
    """
    End a connection whose last byte the kernel has, as the reactor ends one in its next
    turn, which would take five system calls more.

    @param transport: one whose socket an L{Outlet} has written to.
    """
    transport.connectionLost(_CLOSED)


__all__ = ["Outlet", "closeNow", "hasEnded"]
