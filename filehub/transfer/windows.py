"""
Memory for windows of blocks that is used again and again.

A window of blocks is copied between a file, this memory and the kernel's packets, and
nothing else is as costly.  So the memory stays the same, which keeps it in the
processor's caches, and blocks in it are aligned.  The slices of it are made once: a
block costs no object.
"""

from __future__ import annotations

from array import array
from typing import Final, Protocol

from filehub.handles import IPromptReads

#: Bytes of one transfer's memory at the most, unless a single block is larger.
MEMORY: Final = 512 * 1024
#: Copies to addresses that are no multiple of this take half as long again.
_ALIGNMENT: Final = 16
#: Octets of a header.
_HEADER: Final = 4


class Receiving(Protocol):
    """The part of a socket that is needed here."""

    def recv_into(self, buffer: memoryview, /) -> int:
        """Receive a datagram; its length as far as there is room for it."""


class Shelf:
    """
    Blocks of a file, read at once where storage need not be waited for.

    @ivar capacity: bytes, whole blocks.
    @ivar memory: what was read last.
    @ivar blocks: the same in blocks.
    """

    def __init__(self, handle: IPromptReads, blksize: int, capacity: int) -> None:
        self.capacity = capacity
        self.memory = memoryview(bytearray(capacity))
        self.blocks = [self.memory[each : each + blksize] for each in range(0, capacity, blksize)]
        self._read = handle.readNow

    def fill(self, offset: int, length: int) -> bool:
        """Read this; whether all of it is here now.  If not, nothing is."""
        return self._read(offset, self.memory[:length]) == length


class Arrivals:
    """
    Datagrams of header and block as they arrive, several before anybody looks at them.

    @ivar room: as many at the most.
    @ivar blocks: the payload of each, if it is a whole block.
    @ivar whole: the length of such a datagram.
    """

    def __init__(self, sock: Receiving, blksize: int, window: int) -> None:
        self._receive = sock.recv_into
        self.whole = _HEADER + blksize
        # One octet more shows which block is too long.
        stride = -(-(self.whole + 1) // _ALIGNMENT) * _ALIGNMENT
        self.room = max(1, min(window, MEMORY // stride))
        # The blocks are aligned, not their headers.
        start = _ALIGNMENT - _HEADER
        memory = memoryview(bytearray(start + self.room * stride + _HEADER))
        places = range(start, start + self.room * stride, stride)
        self._slots = [memory[each : each + self.whole + 1] for each in places]
        self.blocks = [memory[each + _HEADER : each + self.whole] for each in places]
        self._headers = memory.cast("I")[start // 4 :: stride // 4][: self.room]

    def receive(self, most: int, patience: int) -> tuple[int, int]:
        """
        Receive until there are no more, or one comes that is no whole block.

        @param most: stop after so many; not more than L{room}.
        @param patience: how often to look again after one has come and the next has not.
        @return: how many came, and the length of the last one.
        @raise BlockingIOError: none came.
        @raise OSError: the socket has an error.
        """
        receive, slots, whole = self._receive, self._slots, self.whole
        count = 0
        length = 0
        while count < most:
            try:
                for slot in slots[count:most]:
                    length = receive(slot)
                    count += 1
                    if length != whole:
                        return count, length
            except BlockingIOError:
                if not count:
                    raise
                if not patience:
                    break
                patience -= 1
        return count, length

    def headed(self, headers: array[int]) -> bool:
        """Do the first ones have these headers, each in 32 bits as sent?"""
        return self._headers[: len(headers)] == headers

    def packet(self, index: int, length: int) -> bytes:
        """One of the datagrams, as it came."""
        return bytes(self._slots[index][:length])


__all__ = ["MEMORY", "Arrivals", "Shelf"]
