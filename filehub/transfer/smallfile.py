"""
Files that are read whole before the first of their blocks leaves.

What a network boot asks for most are files of a few KiB: menus, configurations, scripts.
If storage has all of one at hand, it is read and closed at once, and what serves it is
bytes: nothing is shared, nothing is read ahead, nothing has to be closed at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from filehub.handles import IPromptReads
from filehub.interfaces import IReadHandle

#: Bytes of the largest file that is read at once.
SMALL: Final = 16 * 1024

_scratch: Final = memoryview(bytearray(SMALL))


def wholeFile(handle: IReadHandle) -> bytes | None:
    """All of a file, if it is small and need not be waited for."""
    size: int = handle.attributes.size
    if size > SMALL:
        return None
    prompt = IPromptReads(handle, None)
    if prompt is None or prompt.readNow(0, _scratch[:size]) != size:
        return None
    return bytes(_scratch[:size])


class SmallFile:
    """The blocks of such a file; see L{BlockReader<filehub.transfer.blocks.BlockReader>}."""

    __slots__ = ("_blksize", "_data")

    #: There is nothing to be gained: all of it is here.
    early = False

    def __init__(self, data: bytes, blksize: int) -> None:
        """
        @param blksize: octets in a block.
        """
        self._data = data
        self._blksize = blksize

    def take(self, first: int, count: int) -> Sequence[bytes]:
        """
        Up to C{count} blocks from block C{first} (1 is the first of all) on.  The last
        one, and only it, is shorter than the others.
        """
        data, blksize = self._data, self._blksize
        start = (first - 1) * blksize
        stop = min(start + count * blksize, len(data) + 1)
        return [data[each : each + blksize] for each in range(start, stop, blksize)]


__all__ = ["SMALL", "SmallFile", "wholeFile"]
