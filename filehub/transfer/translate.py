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

from typing import Final, Protocol


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


class ReturnHolder:
    """
    The part that all decoders of lines share: only what follows a CR decides what it
    means, so a CR at the end of a buffer waits for the next.
    """

    __slots__ = ("_held",)

    #: A CR as it arrives.
    RETURN: Final = b"\r"

    def __init__(self) -> None:
        self._held = b""

    @property
    def isSettled(self) -> bool:
        """Has everything that was fed come out?"""
        return not self._held

    def feed(self, data: bytes) -> bytes:
        """The wire to storage; holds back a CR at the end."""
        if not data:
            return b""
        if self._held:
            data = self._held + data
            self._held = b""
        if data.endswith(self.RETURN):
            self._held = self.RETURN
            data = data[:-1]
        return self._translated(data)

    def finish(self) -> bytes:
        """A CR at the very end is data."""
        rest, self._held = self._held, b""
        return self._translated(rest)

    def _translated(self, data: bytes) -> bytes:
        raise TypeError("each kind of line has its own translation")


class TextDecoder(ReturnHolder):
    """CRLF to LF for C{TYPE A}; a lone CR, and CR NUL, stay what they are."""

    __slots__ = ()

    def _translated(self, data: bytes) -> bytes:
        return data.replace(b"\r\n", b"\n")


class NetasciiEncoder:
    """LF to CRLF and CR to CR NUL; reversible for every input."""

    __slots__ = ()

    def feed(self, data: bytes) -> bytes:
        """Storage to the wire; at most doubles the length."""
        return data.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")

    def finish(self) -> bytes:
        """Nothing is ever held back."""
        return b""


class NetasciiDecoder(ReturnHolder):
    """
    CRLF to LF and CR NUL to CR.  A CR before anything else breaks the rules and is
    kept, with what follows it.
    """

    __slots__ = ()

    def _translated(self, data: bytes) -> bytes:
        if b"\r" not in data:
            return data
        # In this order: removing the NUL first could put a data CR before an LF.
        return data.replace(b"\r\n", b"\n").replace(b"\r\0", b"\r")


__all__ = [
    "NetasciiDecoder",
    "NetasciiEncoder",
    "ReturnHolder",
    "TextDecoder",
    "TextEncoder",
    "Translator",
]
