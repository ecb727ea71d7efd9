"""
Files in pages, C{STRU P} (RFC 959 3.1.2.3 and appendix I): sections behind headers that
say where they belong, so that a file travels without its holes.

A header has four fields, each one logical byte wide: its own length, the index of the
page, the length of its data and its type.  A file here is a row of pages of
L{PageFormat.size} bytes; a page that is missing is a hole.  The last page (type 0) ends
the file and is empty.  A descriptor page (type 2) before all others holds the length of
the file in bytes, as a number of 64 bits, most significant byte first: with it, zeros
that only fill up the last logical byte can be told from data, and a file may end in a
hole.  Access controlled pages (type 3) are simple pages (1) with a field more, which
means nothing to this system.

One 8-bit byte counts pages only up to 256, so larger files need C{TYPE L 32}.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from filehub.errors import CorruptData, FileTooLarge, PeerGone, UnknownPage
from filehub.transfer.elements import Content, Element, Hole, tooMuch

_LAST, _SIMPLE, _DESCRIPTOR, _CONTROLLED = range(4)
#: Fields in a header of each type (RFC 959 says so for all but the descriptor).
_FIELDS: Final = {_LAST: 4, _SIMPLE: 4, _DESCRIPTOR: 4, _CONTROLLED: 5}
#: Bytes of the number in a descriptor page.
_NUMBER: Final = 8


class PageFormat(NamedTuple):
    """
    @ivar width: 8-bit bytes in a logical byte.
    @ivar size: 8-bit bytes in a whole page.
    """

    width: int
    size: int

    @property
    def largestFile(self) -> int:
        """What the page index can count, bytes."""
        return int(256**self.width) * self.size

    def header(self, kind: int, index: int, length: int) -> bytes:
        """
        @param length: of the data, in 8-bit bytes; a multiple of the width.
        """
        fields = (_FIELDS[kind], index, length // self.width, kind)
        return b"".join([field.to_bytes(self.width, "big") for field in fields])


#: The formats, by the number of bits in a logical byte.
PAGE_FORMATS: Final = {8: PageFormat(1, 128), 32: PageFormat(4, 4096)}


class PageEncoder:
    """
    Makes pages.

    @param length: of the whole file, bytes.
    """

    __slots__ = ("_format", "_length", "_page", "_position")

    def __init__(self, format: PageFormat, length: int) -> None:
        """
        @raise FileTooLarge: for the page index.
        """
        if length > format.largestFile:
            bits = 8 * format.width
            raise FileTooLarge(None, f"too large for pages of {bits}-bit bytes")
        self._format = format
        self._length: int | None = length
        self._page = b""
        self._position = 0

    def feed(self, data: bytes) -> bytes:
        """See L{Translator<filehub.transfer.translate.Translator>}."""
        parts = [self._opening()]
        size = self._format.size
        start = 0
        while start < len(data):
            room = size - self._position % size
            piece = data[start : start + room]
            start += len(piece)
            self._page += piece
            self._position += len(piece)
            if len(piece) == room:
                parts.append(self._emitted(self._position))
        return b"".join(parts)

    def skip(self, length: int) -> bytes:
        """The file has a hole here."""
        start, self._position = self._position, self._position + length
        size = self._format.size
        if start // size == self._position // size:
            self._page += bytes(length)
            return self._opening()
        before = self._opening() + self._emitted(start)
        # A page begins at its beginning.
        self._page = bytes(self._position % size)
        return before

    def finish(self) -> bytes:
        """The last pages."""
        opening = self._opening()
        # Zeros at the very end follow from the length.
        last = self._emitted(self._position) if self._page.strip(b"\0") else b""
        return opening + last + self._format.header(_LAST, 0, 0)

    def _opening(self) -> bytes:
        length, self._length = self._length, None
        if length is None:
            return b""
        number = length.to_bytes(_NUMBER, "big")
        return self._format.header(_DESCRIPTOR, 0, _NUMBER) + number

    def _emitted(self, end: int) -> bytes:
        """The page that has come together and ends there."""
        page, self._page = self._page, b""
        if not page:
            return b""
        start = end - len(page)
        filling = -len(page) % self._format.width
        header = self._format.header(_SIMPLE, start // self._format.size, len(page) + filling)
        return header + page + bytes(filling)


class PageDecoder:
    """
    See L{Filling<filehub.transfer.elements.Filling>}.  Pages have to come in the order
    of the file.
    """

    __slots__ = (
        "_data",
        "_format",
        "_header",
        "_index",
        "_kind",
        "_left",
        "_length",
        "_position",
        "isComplete",
    )

    def __init__(self, format: PageFormat) -> None:
        self.isComplete = False
        self._format = format
        self._header = b""
        self._kind = _SIMPLE
        self._index = -1
        self._left: int | None = None
        self._data = b""
        self._position = 0
        self._length: int | None = None

    def feed(self, element: Element) -> Iterator[Content]:
        """
        @raise CorruptData: a header that breaks the rules, pages in disorder, or data
            behind the last page.
        @raise UnknownPage: a type that RFC 959 does not define.
        """
        if not isinstance(element, bytes):
            # Marks of the mode below say nothing about pages.
            return
        position, end = 0, len(element)
        while position < end:
            if self.isComplete:
                raise tooMuch()
            if self._left is None:
                wanted = self._headerSize() - len(self._header)
                self._header += element[position : position + wanted]
                position += wanted
                if len(self._header) < self._headerSize():
                    continue
                yield from self._begin()
            piece = element[position : position + (self._left or 0)]
            position += len(piece)
            self._left = (self._left or 0) - len(piece)
            if self._kind == _DESCRIPTOR:
                self._data += piece
            elif piece:
                yield from self._stored(piece)
            if not self._left:
                self._pageEnded()

    def finish(self) -> Iterator[Content]:
        """
        @raise PeerGone: the last page is missing.
        """
        if not self.isComplete:
            raise PeerGone("connection ended before the last page")
        if self._length is not None and self._length > self._position:
            yield Hole(self._length - self._position)

    def _field(self, number: int) -> int:
        width = self._format.width
        return int.from_bytes(self._header[number * width : (number + 1) * width], "big")

    def _headerSize(self) -> int:
        """Known as far as the header has come."""
        width = self._format.width
        if len(self._header) < width:
            return width
        fields = self._field(0)
        if fields not in (4, 5):
            raise CorruptData("that is no page header")
        return fields * width

    def _begin(self) -> Iterator[Content]:
        """A header is there."""
        fields, index, length, kind = (self._field(number) for number in range(4))
        length *= self._format.width
        if kind not in _FIELDS:
            raise UnknownPage
        if fields != _FIELDS[kind]:
            raise CorruptData("that is no page header")
        self._header = b""
        self._kind, self._left = kind, length
        if kind == _LAST:
            if length:
                raise CorruptData("the last page has to be empty")
        elif kind == _DESCRIPTOR:
            if length != _NUMBER or self._length is not None or self._index >= 0:
                raise CorruptData("that is no descriptor page")
        else:
            if index <= self._index or length > self._format.size:
                raise CorruptData("the pages are not in order")
            self._index = index
            start = index * self._format.size
            if self._length is not None and start > self._length:
                raise CorruptData("the file is longer than its descriptor says")
            hole, self._position = start - self._position, start
            if hole:
                yield Hole(hole)

    def _stored(self, piece: bytes) -> Iterator[Content]:
        if self._length is not None:
            rest = self._length - self._position
            if len(piece) - rest >= self._format.width:
                raise CorruptData("the file is longer than its descriptor says")
            piece = piece[: max(0, rest)]
        self._position += len(piece)
        if piece:
            yield piece

    def _pageEnded(self) -> None:
        self._left = None
        if self._kind == _LAST:
            self.isComplete = True
        elif self._kind == _DESCRIPTOR:
            self._length = int.from_bytes(self._data, "big")
            if self._length > self._format.largestFile:
                raise CorruptData("that is no descriptor page")


__all__ = ["PAGE_FORMATS", "PageDecoder", "PageEncoder", "PageFormat"]
