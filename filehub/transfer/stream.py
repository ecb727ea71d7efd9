"""
One direction-agnostic byte stream with back-pressure, as the pump sees it.
"""

from __future__ import annotations

import socket
from typing import Protocol


class ByteStream(Protocol):
    """
    A connection that carries file bytes and nothing else.

    Everything that may have to wait is awaited; an implementation that can go on
    at once returns without touching the reactor.
    """

    #: The plain TCP socket underneath if kernel calls (sendfile, splice) may use
    #: it, else None (TLS, wrapped transports).
    kernelSocket: socket.socket | None

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

    async def readable(self) -> None:
        """Wait until the kernel socket has something to read (or an end)."""

    async def writable(self) -> None:
        """Wait until the kernel socket takes bytes; yields to the reactor at least once."""

    async def finish(self) -> None:
        """
        End cleanly after all written bytes: close_notify where there is TLS, FIN,
        close.  Bounded in time.
        """

    def abort(self) -> None:
        """Close at once with a reset.  Idempotent; wakes whoever waits with PeerGone."""
