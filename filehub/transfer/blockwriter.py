"""
Blocks that are collected and written, in order, for protocols whose packets are blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import Deferred

from filehub.errors import FileHubError
from filehub.interfaces import IWriteHandle
from filehub.transfer.blocks import RateGate, asError
from filehub.transfer.eager import begin
from filehub.transfer.translate import Translator

#: Bytes that are written at once, as far as storage keeps up.
WRITE_BATCH: Final = 64 * 1024
#: Bytes that may wait to be written before the peer has to wait.
WRITE_LIMIT: Final = 1024 * 1024


class BlockWriter:
    """
    Collects blocks and writes them in large pieces, in order.

    @ivar nbytes: octets that came from the peer.
    """

    def __init__(
        self,
        handle: IWriteHandle,
        gate: RateGate,
        ready: Callable[[], None],
        published: Callable[[], None],
        failed: Callable[[FileHubError], None],
        translator: Translator | None = None,
    ) -> None:
        """
        @param ready: called when there is room again after L{extend} said no.
        @param published: called when L{finish} has brought the file to its place.
        @param failed: called at most once, instead of the others from then on.
        """
        self._handle = handle
        self._gate = gate
        gate.opened = self._announce
        self._ready = ready
        self._published = published
        self._failed = failed
        self._translator = translator
        self._offset = handle.position
        self._parts: list[bytes] = []
        self._waiting = 0
        self._flying = 0
        self._work: Deferred[object] | None = None
        self._refused = False
        self._finishing = False
        self._committed = False
        self._closed = False
        self.nbytes = 0

    def extend(self, payloads: Sequence[bytes | memoryview]) -> bool:
        """
        Take blocks, all but the last of the same size; whether there is room for
        another window.  They are copied if their memory could change.
        """
        step = max(1, WRITE_BATCH // (len(payloads[0]) or 1))
        for start in range(0, len(payloads), step):
            data = b"".join(payloads[start : start + step])
            size = len(data)
            if self._gate.limited:
                try:
                    self._gate.spend(size, self.nbytes + size)
                except FileHubError as error:
                    self._failed(error)
                    return False
            if self._waiting + size > WRITE_BATCH and self._waiting and self._work is None:
                self._write()
                if self._closed:
                    return False
            self._parts.append(data)
            self.nbytes += size
            self._waiting += size
        if self._waiting + self._flying >= WRITE_LIMIT or self._gate.shut:
            self._refused = True
            return False
        return True

    def finish(self) -> None:
        """There is no more: write the rest and publish."""
        self._finishing = True
        if self._work is None:
            self._write()

    async def close(self) -> None:
        """Abort, unless it was published.  Nothing is called any more."""
        self._closed = True
        self._gate.close()
        self._parts.clear()
        if self._work is not None:
            # A commit that has begun is not interrupted; it decides.
            await self._work
        if not self._committed:
            await self._handle.abort()

    def _write(self) -> None:
        data = b"".join(self._parts)
        self._parts.clear()
        self._flying, self._waiting = self._waiting, 0
        if self._translator is not None:
            data = self._translator.feed(data)
            if self._finishing:
                data += self._translator.finish()
        self._work = begin(self._store(data, self._finishing), self._stored, self._broke)

    async def _store(self, data: bytes, last: bool) -> bool:
        if data:
            await self._handle.writeAt(self._offset, data)
            self._offset += len(data)
        if last and not self._closed:
            await self._handle.commit()
            self._committed = True
        return last

    def _stored(self, last: bool) -> None:
        self._work = None
        self._flying = 0
        if self._closed:
            return
        if last:
            self._published()
        elif self._finishing or self._waiting >= WRITE_BATCH:
            self._write()
        else:
            self._announce()

    def _broke(self, error: Exception) -> None:
        self._work = None
        if not self._closed:
            self._failed(asError(error))

    def _announce(self) -> None:
        if (
            self._refused
            and not (self._closed or self._gate.shut or self._finishing)
            and self._waiting + self._flying < WRITE_LIMIT
        ):
            self._refused = False
            self._ready()


__all__ = ["WRITE_BATCH", "WRITE_LIMIT", "BlockWriter"]
