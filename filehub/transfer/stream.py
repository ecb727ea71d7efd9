"""
One direction-agnostic byte stream with back-pressure, as the pump sees it.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable
from typing import Protocol


class ByteStream(Protocol):
    """
    A connection that carries file bytes and nothing else.

    Everything that may have to wait is awaited; an implementation that can go on
    at once returns without touching the reactor.  At most one L{read} or
    L{readable} and one L{write} or L{writable} wait at a time.  Cancelling a wait
    leaves nothing registered; the stream then still wants its L{abort}.
    """

    @property
    def kernelSocket(self) -> socket.socket | None:
        """
        The plain TCP socket underneath if kernel calls (sendfile, splice) may use it
        now, else None (TLS, wrapped transports, bytes that must be L{read} first,
        closed).
        """

    async def read(self, maximum: int) -> bytes:
        """
        At least one byte, or empty at a clean end.

        @raise PeerGone: reset, or TLS ended without close_notify.
        """

    async def write(self, data: bytes | memoryview) -> None:
        """
        Accept all of C{data}; returns when the kernel has it.

        @raise PeerGone:
        """

    def readable(self) -> Awaitable[None]:
        """
        Wait until there is something to read (or an end); yields to the reactor at
        least once where there is a L{kernelSocket}.
        """

    def writable(self) -> Awaitable[None]:
        """
        Wait until bytes can be written; yields to the reactor at least once where
        there is a L{kernelSocket}.
        """

    def pause(self, seconds: float) -> Awaitable[None]:
        """
        Wait this long, or until the stream is aborted; 0 lets the reactor turn once.

        @raise PeerGone: aborted meanwhile.
        """

    def backlog(self) -> int:
        """
        Written bytes that the peer has not acknowledged, as far as that is known.
        As long as it changes, the peer is alive.
        """

    async def finish(self) -> None:
        """
        End cleanly after all written bytes: close_notify where there is TLS, FIN,
        close.  Bounded in time.

        @raise PeerGone: the peer is known not to have got everything.
        @raise Stalled: the peer stopped taking what was written.
        """

    def abort(self) -> None:
        """Close at once with a reset.  Idempotent; wakes whoever waits with PeerGone."""
