"""
Between the lines of a file and the lines of the wire.

Storage has bytes whose lines end in LF.  Two conventions are spoken on wires:

I{FTP's C{TYPE A}} (RFC 959 3.1.1.1) ends lines with CRLF.  A file that was written
with CRLF already holds what the wire wants, and is sent as it is: what a client
sees is always the same lines, never CR CR LF.  A CR that no LF follows is data in
both directions and is left alone, as every FTP server does.

I{netascii} (RFC 764, RFC 1350 section 1) ends lines with CRLF and writes a CR that
is data as CR NUL, so that every file comes back exactly.

Both work on whole buffers with C{bytes.replace} and carry at most one byte from one
buffer to the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from filehub.interfaces import IReadHandle

#: Bytes read at a time when only the length is wanted.
_COUNTING_STEP: Final = 256 * 1024


class Translator(Protocol):
    """Turns a stream of bytes into another, buffer by buffer."""

    def feed(self, data: bytes) -> bytes:
        """What C{data} becomes, as far as that is decided; may be empty."""

    def finish(self) -> bytes:
        """What was still undecided, now that nothing follows."""


class TextEncoder:
    """LF to CRLF for C{TYPE A}; a CRLF stays what it is."""

    __slots__ = ("_afterReturn",)

    def __init__(self) -> None:
        self._afterReturn = False

    def feed(self, data: bytes) -> bytes:
        """Lines of storage to lines of the wire; at most doubles the length."""
        if not data:
            return b""
        split = self._afterReturn and data.startswith(b"\n")
        self._afterReturn = data.endswith(b"\r")
        if split:
            return b"\n" + data[1:].replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        return data.replace(b"\n", b"\r\n")

    def finish(self) -> bytes:
        """Nothing is ever held back."""
        return b""


class TextDecoder:
    """CRLF to LF for C{TYPE A}; a lone CR, and CR NUL, stay what they are."""

    __slots__ = ("_return",)

    def __init__(self) -> None:
        self._return = b""

    def feed(self, data: bytes) -> bytes:
        """Lines of the wire to lines of storage; holds back a CR at the end."""
        if not data:
            return b""
        if self._return:
            data = self._return + data
            self._return = b""
        if data.endswith(b"\r"):
            self._return = b"\r"
            data = data[:-1]
        return data.replace(b"\r\n", b"\n")

    def finish(self) -> bytes:
        """A CR at the very end is data."""
        rest, self._return = self._return, b""
        return rest


class NetasciiEncoder:
    """LF to CRLF and CR to CR NUL; reversible for every input."""

    __slots__ = ()

    def feed(self, data: bytes) -> bytes:
        """Storage to the wire; at most doubles the length."""
        return data.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")

    def finish(self) -> bytes:
        """Nothing is ever held back."""
        return b""


class NetasciiDecoder:
    """
    CRLF to LF and CR NUL to CR.  A CR before anything else breaks the rules and is
    kept, with what follows it.
    """

    __slots__ = ("_return",)

    def __init__(self) -> None:
        self._return = b""

    def feed(self, data: bytes) -> bytes:
        """The wire to storage; holds back a CR at the end."""
        if not data:
            return b""
        if self._return:
            data = self._return + data
            self._return = b""
        if data.endswith(b"\r"):
            self._return = b"\r"
            data = data[:-1]
        if b"\r" not in data:
            return data
        # In this order: removing the NUL first could put a data CR before an LF.
        return data.replace(b"\r\n", b"\n").replace(b"\r\0", b"\r")

    def finish(self) -> bytes:
        """A CR at the very end is kept."""
        rest, self._return = self._return, b""
        return rest


async def convertedLength(source: IReadHandle, encoder: Callable[[], Translator]) -> int:
    """
    How many bytes C{source} is on the wire.  Reads the whole file, so whoever asks
    decides up to which size that is worth it (RFC 3659 section 4 allows to refuse).

    @param encoder: makes the translator, e.g. L{TextEncoder}.
    """
    translator = encoder()
    offset = length = 0
    while chunk := await source.readAt(offset, _COUNTING_STEP):
        offset += len(chunk)
        length += len(translator.feed(chunk))
    return length + len(translator.finish())


__all__ = [
    "NetasciiDecoder",
    "NetasciiEncoder",
    "TextDecoder",
    "TextEncoder",
    "Translator",
    "convertedLength",
]
