"""
One remote's download as another's upload, through a bounded piece of memory.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from twisted.internet.defer import Deferred
from zope.interface import implementer

from filehub.attributes import FileAttributes, FileType
from filehub.errors import Aborted
from filehub.interfaces import IReadHandle, IWriteHandle

#: Bytes that the writing end may be ahead.
CAPACITY: Final = 1024 * 1024


class Pipe:
    """
    Two ends; each waits for the other.

    @ivar reader: an L{IReadHandle} that is read in order.
    @ivar writer: an L{IWriteHandle} that is written in order.
    """

    def __init__(self, size: int, modified: float, offset: int = 0) -> None:
        """
        @param size: bytes of the whole file, which the upload announces.
        @param offset: where both ends start.
        """
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._ended = False
        self._broken = False
        self._waiting: Deferred[None] | None = None
        self.reader = _ReadEnd(self, FileAttributes(FileType.REGULAR, size, modified))
        self.writer = _WriteEnd(self, offset)

    async def push(self, data: bytes) -> None:
        """Hand over C{data}; waits while the other end is too far behind."""
        while self._held >= CAPACITY and not self._broken:
            await self._wait()
        if self._broken:
            raise Aborted
        self._chunks.append(data)
        self._held += len(data)
        self._wake()

    async def pull(self, maximum: int) -> bytes:
        """Take up to C{maximum} bytes; empty at the end."""
        while not self._chunks and not self._ended:
            if self._broken:
                raise Aborted
            await self._wait()
        if self._broken:
            raise Aborted
        if not self._chunks:
            return b""
        data = self._chunks.popleft()
        if len(data) > maximum:
            self._chunks.appendleft(data[maximum:])
            data = data[:maximum]
        self._held -= len(data)
        self._wake()
        return data

    def end(self, *, broken: bool) -> None:
        """Nothing more comes; or one of the ends has failed."""
        self._ended = True
        self._broken = self._broken or broken
        self._wake()

    async def _wait(self) -> None:
        self._waiting = Deferred()
        await self._waiting

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)


@implementer(IReadHandle)
class _ReadEnd:
    def __init__(self, pipe: Pipe, attributes: FileAttributes) -> None:
        self._pipe = pipe
        self.attributes = attributes

    async def readAt(self, offset: int, length: int) -> bytes:
        return await self._pipe.pull(length)

    async def close(self) -> None:
        self._pipe.end(broken=True)


@implementer(IWriteHandle)
class _WriteEnd:
    def __init__(self, pipe: Pipe, position: int) -> None:
        self._pipe = pipe
        self.position = position

    async def writeAt(self, offset: int, data: bytes) -> None:
        await self._pipe.push(data)

    async def commit(self) -> FileAttributes:
        self._pipe.end(broken=False)
        return self._pipe.reader.attributes

    async def abort(self) -> None:
        self._pipe.end(broken=True)
