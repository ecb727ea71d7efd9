"""
FTP's C{MODE B} (RFC 959 3.4.2): blocks of up to 65535 bytes, each behind a header of a
descriptor and a count.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from filehub.errors import CorruptData, PeerGone
from filehub.transfer.elements import (
    END_OF_FILE,
    END_OF_RECORD,
    MARKER,
    MAXIMUM_MARKER,
    SUSPECT,
    Element,
    checkDescriptor,
    parseMarker,
    signsOf,
    tooMuch,
)

_HEADER: Final = struct.Struct(">BH")
#: What the count of a block can say.
_LARGEST: Final = 65535


class BlockEncoder:
    """
    Makes blocks of whatever is fed.

    @param newline: the byte that ends a record in what is fed, and does not travel;
        L{None} where there are no records.
    @param isRecord: is all of it one record?
    """

    __slots__ = ("_last", "_newline")

    def __init__(self, newline: bytes | None = None, *, isRecord: bool = False) -> None:
        self._newline = newline
        self._last = END_OF_FILE | END_OF_RECORD if isRecord else END_OF_FILE

    def feed(self, data: bytes) -> bytes:
        """See L{Translator<filehub.transfer.translate.Translator>}."""
        if self._newline is None or self._newline not in data:
            return b"".join(_blocks(0, data)) if data else b""
        lines = data.split(self._newline)
        rest = lines.pop()
        pack = _HEADER.pack
        parts = [
            pack(END_OF_RECORD, len(line)) + line
            if len(line) <= _LARGEST
            else b"".join(_blocks(END_OF_RECORD, line))
            for line in lines
        ]
        if rest:
            parts += _blocks(0, rest)
        return b"".join(parts)

    def restart(self, marker: str) -> bytes:
        """A restart marker."""
        raw = marker.encode("ascii")
        return _HEADER.pack(MARKER, len(raw)) + raw

    def finish(self) -> bytes:
        """The end of the file."""
        return _HEADER.pack(self._last, 0)


def _blocks(descriptor: int, data: bytes) -> Iterator[bytes]:
    """C{data} in as few blocks as possible; what is said of it stands in the last."""
    start = 0
    while len(data) - start > _LARGEST:
        yield _HEADER.pack(0, _LARGEST) + data[start : start + _LARGEST]
        start += _LARGEST
    yield _HEADER.pack(descriptor, len(data) - start) + data[start:]


class BlockDecoder:
    """See L{Unframer<filehub.transfer.elements.Unframer>}.  What is suspect is stored
    and counted."""

    __slots__ = ("_descriptor", "_header", "_left", "_marker", "isComplete", "suspects")

    def __init__(self) -> None:
        self.isComplete = False
        self.suspects = 0
        self._header = b""
        self._descriptor = 0
        self._left: int | None = None
        self._marker = b""

    def feed(self, data: bytes) -> Iterator[Element]:
        """
        @raise CorruptData: an unknown descriptor, a marker that is none, or bytes after
            the last block.
        """
        position, end = 0, len(data)
        while position < end:
            if self.isComplete:
                raise tooMuch()
            if self._left is None:
                wanted = _HEADER.size - len(self._header)
                self._header += data[position : position + wanted]
                position += wanted
                if len(self._header) < _HEADER.size:
                    return
                self._descriptor, self._left = _HEADER.unpack(self._header)
                self._header = b""
                checkDescriptor(self._descriptor)
                if self._descriptor & MARKER and self._left > MAXIMUM_MARKER:
                    raise CorruptData("that is no restart marker")
            piece = data[position : position + self._left]
            position += len(piece)
            self._left -= len(piece)
            if self._descriptor & MARKER:
                self._marker += piece
            elif piece:
                yield piece
            if not self._left:
                yield from self._blockEnded()

    def _blockEnded(self) -> Iterator[Element]:
        self._left = None
        if self._descriptor & MARKER:
            marker, self._marker = self._marker, b""
            yield parseMarker(marker)
        elif self._descriptor:
            self.isComplete = bool(self._descriptor & END_OF_FILE)
            self.suspects += bool(self._descriptor & SUSPECT)
            yield from signsOf(self._descriptor)

    def finish(self) -> None:
        """
        @raise PeerGone: no block was the last.
        """
        if not self.isComplete:
            raise PeerGone("connection ended before the end of the file")


__all__ = ["BlockDecoder", "BlockEncoder"]
