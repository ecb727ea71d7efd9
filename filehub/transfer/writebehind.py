"""
Storing while more is being received.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred

from filehub.errors import FileHubError, OperationNotSupported
from filehub.interfaces import IDescriptorBacked, IWriteHandle
from filehub.transfer.eager import start

#: Bytes that are worth a write.
STEP: Final = 256 * 1024
#: The largest hole that is filled with zeros where storage has no holes: a few bytes
#: of the wire must not stand for any number of them.
_ZEROS: Final = 16 * 1024 * 1024


class WriteBehind:
    """
    Writes to a handle, one at a time, while more is being received.

    Small pieces are gathered: a worker's hop per packet would cost more than the
    packet.

    @ivar enough: bytes that are worth a write.
    """

    __slots__ = (
        "_gathered",
        "_pending",
        "_position",
        "_size",
        "_skipped",
        "_target",
        "enough",
    )

    def __init__(self, target: IWriteHandle, position: int) -> None:
        self._target = target
        self._position = position
        self.enough = STEP
        self._gathered: list[bytes] = []
        self._size = 0
        self._skipped = False
        self._pending: Deferred[None] | None = None

    async def add(self, data: bytes) -> None:
        """Store this, now or soon; waits when a write is behind already."""
        if data:
            self._gathered.append(data)
            self._size += len(data)
            if self._size >= self.enough:
                await self._start()

    async def skip(self, length: int) -> None:
        """
        Leave a hole, as far as this storage has holes.

        @raise OperationNotSupported: it has none, and zeros would be too many.
        """
        if IDescriptorBacked(self._target, None) is not None:
            if self._gathered:
                await self._start()
            self._position += length
            self._skipped = True
            return
        if length > _ZEROS:
            raise OperationNotSupported(None, "files have no holes here")
        for offset in range(0, length, STEP):
            await self.add(bytes(min(STEP, length - offset)))

    async def end(self) -> None:
        """The file ends here, be it with a hole."""
        if self._skipped and not self._gathered:
            self._position -= 1
            self._gathered.append(b"\0")
        await self.flush()

    async def flush(self) -> int:
        """Everything added is stored.  Returns the position that was reached."""
        if self._gathered:
            await self._start()
        await self._settle()
        return self._position

    async def giveUp(self) -> None:
        """Wait until no write is going on; its outcome does not matter any more."""
        pending, self._pending = self._pending, None
        if pending is not None:
            # The write itself cannot be stopped; the handle must not end under it.
            try:
                await _shielded(pending)
            except FileHubError:
                return

    async def _start(self) -> None:
        await self._settle()
        data = self._gathered[0] if len(self._gathered) == 1 else b"".join(self._gathered)
        self._gathered.clear()
        self._size = 0
        self._skipped = False
        position, self._position = self._position, self._position + len(data)
        self._pending = start(self._target.writeAt(position, data))

    async def _settle(self) -> None:
        pending = self._pending
        if pending is not None:
            await _shielded(pending)
            self._pending = None


def _shielded(deferred: Deferred[None]) -> Deferred[None]:
    """Wait for C{deferred}; cancelling the wait does not cancel what it waits for."""
    waiting: Deferred[None] = Deferred(lambda _: None)

    def over(result: object) -> None:
        if not waiting.called:
            waiting.callback(result)  # type: ignore[arg-type]

    deferred.addBoth(over)
    return waiting


__all__ = ["STEP", "WriteBehind"]
