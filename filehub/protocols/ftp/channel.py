"""
The control connection, as a session sees it.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol

from filehub.transfer.tls import TLSSession


class ControlChannel(Protocol):
    """The connection, as the session sees it."""

    @property
    def reactor(self) -> Any:
        """What watches it, and its data connections: an L{IReactorFDSet} with C{callLater}."""

    def write(self, data: bytes) -> None:
        """Send; buffers without limit, see L{drained}."""

    def drained(self) -> Awaitable[None]:
        """Wait until little of what was written is still unsent."""

    @property
    def isCongested(self) -> bool:
        """Is so much unsent that only what is needed should be written?"""

    def proceed(self) -> None:
        """There is room again for commands."""

    def hasUnread(self) -> bool:
        """Has more arrived than was taken?"""

    def startTLS(self, identity: TLSSession) -> None:
        """Encrypt, after what was written."""

    def stopTLS(self) -> None:
        """Go on in the clear, after what was written and the client's close_notify."""

    def hasEnded(self) -> bool:
        """Has the client closed it, though that may not have been noticed yet?"""

    def loggedIn(self, idle: float) -> None:
        """The client may take C{idle} seconds between commands, and send long lines."""

    @property
    def idle(self) -> float:
        """How long the client may take between commands now, in seconds."""

    def loggedOut(self) -> None:
        """The client has to log in, within the time for that."""

    def close(self) -> None:
        """Close after what was written."""


__all__ = ["ControlChannel"]
