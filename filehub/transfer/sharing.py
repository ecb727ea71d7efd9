"""
One open file, and one copy of its blocks in memory, for all who read it at once.

When a room of machines boots, hundreds ask for the same file within a second and go
through it side by side.  Each request is opened through its own account, so that the
guard has seen it; if somebody reads that very file already, the new handle is closed
again and the first one serves both.  What one of them reads is kept for the others for
a while.  A file with a single reader costs nothing of this.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final

from twisted.internet.defer import Deferred
from zope.interface import Interface, implementer

from filehub.attributes import FileAttributes
from filehub.errors import StorageUnavailable
from filehub.handles import IPromptReads
from filehub.interfaces import IReadHandle
from filehub.transfer.eager import begin

#: Bytes of all shared files together that are kept.
KEPT: Final = 8 * 1024 * 1024
#: A file that was changed more recently, in seconds, may change once more and still
#: have the same time: clocks of file systems tick slowly.
SETTLED: Final = 2.0


class SharedReads:
    """The files that are being read, and pieces of those that have several readers."""

    def __init__(self, seconds: Callable[[], float], kept: int = KEPT) -> None:
        """
        @param seconds: the time since the epoch.
        @param kept: bytes that are kept at the most.
        """
        self._seconds = seconds
        self._limit = self._room = kept
        self._files: dict[Hashable, _SharedFile] = {}
        self._pieces: OrderedDict[tuple[_SharedFile, int, int], bytes] = OrderedDict()

    def __len__(self) -> int:
        """How many files are open."""
        return len(self._files)

    async def join(self, handle: IReadHandle, place: Hashable) -> IReadHandle:
        """
        A handle for the same bytes as C{handle}, which is given away to this.

        @param place: where it was opened, and by whom: nobody gets at what somebody
            else has opened.
        """
        facts = handle.attributes
        if facts.uniqueId is None or 0 <= self._seconds() - facts.modified < SETTLED:
            return handle
        key = (place, facts.uniqueId, facts.size, facts.modified)
        file = self._files.get(key)
        if file is None:
            file = self._files[key] = _SharedFile(self, key, handle)
        else:
            file.readers += 1
            try:
                await handle.close()
            except BaseException:
                await file.leave()
                raise
        return _SharedHandle(file, facts)

    def recall(self, file: _SharedFile, offset: int, length: int) -> bytes | None:
        """A piece that is kept."""
        key = file, offset, length
        piece = self._pieces.get(key)
        if piece is not None:
            self._pieces.move_to_end(key)
        return piece

    def keep(self, file: _SharedFile, offset: int, piece: bytes) -> None:
        """Keep this one, and no more of the oldest than there is room for."""
        key = file, offset, len(piece)
        if key in self._pieces or len(piece) > self._limit:
            return
        self._pieces[key] = piece
        self._room -= len(piece)
        while self._room < 0:
            self._room += len(self._pieces.popitem(last=False)[1])

    def forget(self, file: _SharedFile) -> None:
        """Nobody reads it any more."""
        self._files.pop(file.key, None)
        for key in [each for each in self._pieces if each[0] is file]:
            self._room += len(self._pieces.pop(key))


class _SharedFile:
    """A file, and what is being read from it just now."""

    def __init__(self, shared: SharedReads, key: Hashable, handle: IReadHandle) -> None:
        self.key = key
        self.readers = 1
        self._shared = shared
        self._handle = handle
        #: What can be had at once, if there is such a thing, is not kept here as well.
        self.prompt = IPromptReads(handle, None)
        #: Those who wait for a piece, by where it begins and how long it is.
        self._waiting: dict[tuple[int, int], list[Deferred[bytes]]] = {}

    async def readAt(self, offset: int, length: int) -> bytes:
        """See L{IReadHandle.readAt}."""
        if self.readers == 1 and not self._waiting:
            return await self._handle.readAt(offset, length)
        kept = self._shared.recall(self, offset, length)
        if kept is not None:
            return kept
        wanted = offset, length
        answer: Deferred[bytes] = Deferred()
        waiting = self._waiting.get(wanted)
        if waiting is not None:
            waiting.append(answer)
        else:
            self._waiting[wanted] = [answer]
            # It goes on even if whoever asked first does not wait for it any more.
            begin(
                self._handle.readAt(offset, length),
                lambda data: self._came(wanted, data),
                lambda error: self._broke(wanted, error),
            )
        return await answer

    def _came(self, wanted: tuple[int, int], data: bytes) -> None:
        if len(data) == wanted[1] and self.readers:
            self._shared.keep(self, wanted[0], data)
        for answer in self._waiting.pop(wanted):
            if not answer.called:
                answer.callback(data)

    def _broke(self, wanted: tuple[int, int], error: Exception) -> None:
        for answer in self._waiting.pop(wanted):
            if not answer.called:
                answer.errback(error)

    async def leave(self) -> None:
        """One reader less; the last one closes the file."""
        self.readers -= 1
        if not self.readers:
            self._shared.forget(self)
            await self._handle.close()


@implementer(IReadHandle)
class _SharedHandle:
    """One reader's part of a shared file."""

    def __init__(self, file: _SharedFile, attributes: FileAttributes) -> None:
        self.attributes = attributes
        self._file: _SharedFile | None = file

    def __conform__(self, interface: type[Interface]) -> Any:
        """Adaptation: what can be read at once is known to the file's own handle."""
        if interface is IPromptReads and self._file is not None and self._file.prompt is not None:
            return self
        return None

    def readNow(self, offset: int, buffer: memoryview) -> int:
        """See L{IPromptReads.readNow}."""
        if self._file is None or self._file.prompt is None:
            return 0
        return int(self._file.prompt.readNow(offset, buffer))

    async def readAt(self, offset: int, length: int) -> bytes:
        """See L{IReadHandle.readAt}."""
        if self._file is None:
            raise StorageUnavailable(None, "the file is closed")
        return await self._file.readAt(offset, length)

    async def close(self) -> None:
        """See L{IReadHandle.close}."""
        file, self._file = self._file, None
        if file is not None:
            await file.leave()


__all__ = ["KEPT", "SETTLED", "SharedReads"]
