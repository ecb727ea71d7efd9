"""
How far a transfer is, and whether it still moves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from filehub.deadlines import Deadline, Deadlines
from filehub.transfer.stream import ByteStream


class TransferReport(NamedTuple):
    """
    What a finished transfer was.

    @ivar nbytes: bytes of the file, before encoding or after decoding.
    @ivar path: C{"kernel"} if they went between file and socket by descriptor,
        C{"copy"} if through the handle's methods.
    """

    nbytes: int
    path: Literal["kernel", "copy"]


class Progress:
    """
    One transfer's byte count, live, and its stall watch.

    A transfer stalls when for C{stallSeconds} neither a byte moved here nor the peer
    acknowledged one that was sent earlier.  The pump then aborts the stream and
    raises L{Stalled<filehub.errors.Stalled>}.  Nothing is done per chunk but
    counting: a few times per C{stallSeconds} the watch looks whether the numbers
    have changed.

    @ivar nbytes: bytes of the file moved so far.
    @ivar stalled: has the watch given up?
    """

    __slots__ = (
        "_deadline",
        "_deadlines",
        "_interval",
        "_onStall",
        "_since",
        "_stallSeconds",
        "_stream",
        "_waitingFor",
        "nbytes",
        "stalled",
    )

    def __init__(
        self,
        deadlines: Deadlines | None = None,
        stallSeconds: float | None = None,
        onStall: Callable[[], Any] | None = None,
    ) -> None:
        """
        @param deadlines: without them, or without C{stallSeconds}, there is no watch.
        @param onStall: called just before the stream is aborted.
        """
        self.nbytes = 0
        self.stalled = False
        self._deadlines = deadlines
        self._stallSeconds = stallSeconds or 0.0
        self._interval = max(1.0, self._stallSeconds / 8)
        self._onStall = onStall
        self._stream: ByteStream | None = None
        self._deadline: Deadline | None = None
        self._waitingFor = (0, 0)
        self._since = 0.0

    def limit(self, deadlines: Deadlines, stallSeconds: float) -> None:
        """Have a watch, unless there is one: for a count that somebody else began."""
        if self._deadlines is None:
            self._deadlines = deadlines
            self._stallSeconds = stallSeconds
            self._interval = max(1.0, stallSeconds / 8)

    def watch(self, stream: ByteStream, backlog: int | None = None) -> None:
        """
        Start watching; the pump calls this when a transfer first has to wait.

        @param backlog: the stream's, where it is known.
        """
        deadlines = self._deadlines
        if deadlines is None or not self._stallSeconds or self._deadline is not None:
            return
        self._stream = stream
        self._waitingFor = (self.nbytes, stream.backlog() if backlog is None else backlog)
        self._since = deadlines.seconds()
        self._deadline = deadlines.after(min(self._interval, self._stallSeconds), self._look)

    def excuse(self) -> None:
        """What follows is a pause of our own making; count from now."""
        if self._deadlines is not None:
            self._since = self._deadlines.seconds()

    def end(self) -> None:
        """Stop watching.  Idempotent."""
        deadline, self._deadline = self._deadline, None
        self._stream = None
        if deadline is not None:
            deadline.cancel()

    def _look(self) -> None:
        deadlines, stream = self._deadlines, self._stream
        self._deadline = None
        if deadlines is None or stream is None:
            return
        now = deadlines.seconds()
        state = (self.nbytes, stream.backlog())
        if state != self._waitingFor:
            self._waitingFor = state
            self._since = now
        left = self._since + self._stallSeconds - now
        if left > 0:
            self._deadline = deadlines.after(min(self._interval, left), self._look)
            return
        self.stalled = True
        self._stream = None
        try:
            if self._onStall is not None:
                self._onStall()
        finally:
            stream.abort()


__all__ = ["Progress", "TransferReport"]
