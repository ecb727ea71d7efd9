"""
FTP's C{MODE C} (RFC 959 3.4.3): runs of a byte shortened, and the descriptors of block
mode behind an escape.

What travels are strings, each behind a byte that tells its kind: C{0nnnnnnn} is
followed by I{n} bytes as they are, C{10nnnnnn} by one byte that is meant I{n} times, and
C{11nnnnnn} by nothing: it means I{n} times the filler, a space in text and a zero in
other files.  A zero byte escapes: behind it is a descriptor, which says something about
the string that follows.
"""

from __future__ import annotations

import re
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

_LONGEST_LITERAL: Final = 127
_LONGEST_RUN: Final = 63
_REPLICATED: Final = 128
_FILLER: Final = 192
#: A string without bytes, for a descriptor that has none to speak of.
_NOTHING: Final = bytes([_FILLER])
#: A shorter run gains nothing.
_RUN: Final = re.compile(rb"(.)\1{2,}", re.DOTALL)


class RunLengthEncoder:
    """
    Shortens runs.

    @param filler: the byte that is shortened most.
    @param newline: the byte that ends a record in what is fed, and does not travel;
        L{None} where there are no records.
    @param isRecord: is all of it one record?
    """

    __slots__ = ("_filler", "_last", "_newline")

    def __init__(
        self, filler: bytes, newline: bytes | None = None, *, isRecord: bool = False
    ) -> None:
        self._filler = filler
        self._newline = newline
        self._last = END_OF_FILE | END_OF_RECORD if isRecord else END_OF_FILE

    def feed(self, data: bytes) -> bytes:
        """See L{Translator<filehub.transfer.translate.Translator>}."""
        if self._newline is None or self._newline not in data:
            return b"".join(self._strings(data))
        lines = data.split(self._newline)
        rest = lines.pop()
        parts: list[bytes] = []
        for line in lines:
            strings = self._strings(line) if line else [_NOTHING]
            parts += strings[:-1]
            parts.append(bytes((0, END_OF_RECORD)))
            parts.append(strings[-1])
        parts += self._strings(rest)
        return b"".join(parts)

    def restart(self, marker: str) -> bytes:
        """A restart marker."""
        raw = marker.encode("ascii")
        return bytes((0, MARKER, len(raw))) + raw

    def finish(self) -> bytes:
        """The end of the file, said of an empty string."""
        return bytes((0, self._last)) + _NOTHING

    def _strings(self, data: bytes) -> list[bytes]:
        strings: list[bytes] = []
        done = 0
        for match in _RUN.finditer(data):
            start, end = match.span()
            _literals(data, done, start, strings)
            byte = match[1]
            while start < end:
                count = min(end - start, _LONGEST_RUN)
                start += count
                if byte == self._filler:
                    strings.append(bytes((_FILLER | count,)))
                else:
                    strings.append(bytes((_REPLICATED | count,)) + byte)
            done = end
        _literals(data, done, len(data), strings)
        return strings


def _literals(data: bytes, start: int, end: int, strings: list[bytes]) -> None:
    while start < end:
        count = min(end - start, _LONGEST_LITERAL)
        strings.append(bytes((count,)) + data[start : start + count])
        start += count


class RunLengthDecoder:
    """See L{Unframer<filehub.transfer.elements.Unframer>}.  What is suspect is
    stored and counted."""

    __slots__ = (
        "_descriptor",
        "_filler",
        "_isEscaped",
        "_literal",
        "_marker",
        "_run",
        "isComplete",
        "suspects",
    )

    def __init__(self, filler: bytes) -> None:
        """
        @param filler: the byte that C{11nnnnnn} means.
        """
        self.isComplete = False
        self.suspects = 0
        self._filler = filler
        self._descriptor = 0
        self._isEscaped = False
        self._literal = 0
        self._run: int | None = None
        self._marker = b""

    def feed(self, data: bytes) -> Iterator[Element]:
        """
        @raise CorruptData: an unknown descriptor, a marker that is none, or bytes after
            the end.
        """
        position, end = 0, len(data)
        while position < end:
            if self.isComplete:
                raise tooMuch()
            if self._literal:
                piece = data[position : position + self._literal]
                position += len(piece)
                self._literal -= len(piece)
                yield from self._string(piece, not self._literal)
                continue
            code = data[position]
            position += 1
            if self._run is not None:
                run, self._run = self._run, None
                yield from self._string(bytes((code,)) * run, True)
            elif self._isEscaped:
                self._isEscaped = False
                self._descriptor |= code
                checkDescriptor(self._descriptor)
            elif code == 0:
                self._isEscaped = True
            elif code < _REPLICATED:
                self._literal = code
            elif code < _FILLER:
                self._run = code - _REPLICATED
            else:
                yield from self._string(self._filler * (code - _FILLER), True)

    def _string(self, piece: bytes, isEnd: bool) -> Iterator[Element]:
        """Bytes of a string, of which a descriptor may have said something."""
        descriptor = self._descriptor
        if not descriptor & MARKER:
            if piece:
                yield piece
        else:
            self._marker += piece
            if len(self._marker) > MAXIMUM_MARKER:
                raise CorruptData("that is no restart marker")
        if isEnd and descriptor:
            self._descriptor = 0
            if descriptor & MARKER:
                marker, self._marker = self._marker, b""
                yield parseMarker(marker)
            else:
                self.isComplete = bool(descriptor & END_OF_FILE)
                self.suspects += bool(descriptor & SUSPECT)
                yield from signsOf(descriptor)

    def finish(self) -> None:
        """
        @raise PeerGone: the end of the file was not marked.
        """
        isIdle = not (self._literal or self._isEscaped or self._run is not None)
        # Some may see no need for an empty string behind the descriptor.
        if not (self.isComplete or (isIdle and self._descriptor & END_OF_FILE)):
            raise PeerGone("connection ended before the end of the file")


__all__ = ["RunLengthDecoder", "RunLengthEncoder"]
