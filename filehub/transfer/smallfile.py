"""
Files that are read whole before the first of their blocks leaves.

What network boots ask for most are files of a few KiB: menus, configurations, scripts.
If storage has all of one at hand (L{IAtOnce<filehub.views.IAtOnce>}), what serves it is
bytes: nothing is open, nothing is shared or read ahead, nothing can fail later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

#: Bytes of the largest file that is read at once.
SMALL: Final = 16 * 1024


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


__all__ = ["SMALL", "SmallFile"]
