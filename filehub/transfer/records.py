"""
Record marks in stream mode (RFC 959 3.4.1): 0xFF 0x01 ends a record, 0xFF 0x02 the
file, 0xFF 0x03 both, and a 0xFF that is data is doubled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from filehub.errors import CorruptData, PeerGone
from filehub.transfer.elements import Element, Sign, tooMuch

_RECORD: Final = b"\xff\x01"
_FILE: Final = b"\xff\x02"
_BOTH: Final = b"\xff\x03"


class RecordMarksEncoder:
    """
    Marks records.

    @param newline: the byte that ends a record in what is fed; L{None}: all of it is
        one record.
    """

    __slots__ = ("_newline",)

    def __init__(self, newline: bytes | None) -> None:
        self._newline = newline

    def feed(self, data: bytes) -> bytes:
        """See L{Translator<filehub.transfer.translate.Translator>}; at most doubles the length."""
        data = data.replace(b"\xff", b"\xff\xff")
        return data if self._newline is None else data.replace(self._newline, _RECORD)

    def finish(self) -> bytes:
        """The end of the file."""
        return _BOTH if self._newline is None else _FILE


class RecordMarksDecoder:
    """See L{Unframer<filehub.transfer.elements.Unframer>}."""

    __slots__ = ("_isEscaped", "isComplete")

    #: Record marks cannot say so.
    suspects: Final = 0

    def __init__(self) -> None:
        self.isComplete = False
        self._isEscaped = False

    def feed(self, data: bytes) -> Iterator[Element]:
        """
        @raise CorruptData: an escape that means nothing, or bytes after the end.
        """
        if self.isComplete and data:
            raise tooMuch()
        if self._isEscaped and data:
            self._isEscaped = False
            data = b"\xff" + data
        position, end = 0, len(data)
        while position < end:
            mark = data.find(b"\xff", position)
            if mark < 0:
                yield data[position:]
                return
            if mark > position:
                yield data[position:mark]
            if mark + 1 == end:
                self._isEscaped = True
                return
            position = mark + 2
            code = data[mark + 1]
            if code == 0xFF:
                yield b"\xff"
            elif code in (1, 2, 3):
                if code & 1:
                    yield Sign.END_OF_RECORD
                if code & 2:
                    self.isComplete = True
                    yield Sign.END_OF_FILE
                    if position < end:
                        raise tooMuch()
            else:
                raise CorruptData(f"there is no record mark {code}")

    def finish(self) -> None:
        """
        @raise PeerGone: the end of the file was not marked.
        """
        if not self.isComplete:
            raise PeerGone("connection ended before the end of the file")


__all__ = ["RecordMarksDecoder", "RecordMarksEncoder"]
