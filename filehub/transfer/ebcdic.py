"""
FTP's C{TYPE E} (RFC 959 3.1.1.2): the lines of a file in EBCDIC.

A file is taken byte by byte for ISO 8859-1, of which the code pages here are a
permutation: every byte has exactly one counterpart, so nothing is ever unmappable and
UTF-8 comes back as it went.  Lines end in NL (0x15), as RFC 959 wants it, which is
the LF of storage.  EBCDIC's own LF (0x25) takes the place that is left over, 0x85,
but behind a CR it is what a translated CRLF looks like and ends a line as well.
"""

from __future__ import annotations

import codecs
from typing import Final

from filehub.transfer.translate import ReturnHolder, TextDecoder

#: The code pages that are permutations of ISO 8859-1.
CODE_PAGES: Final = ("cp037", "cp500")

#: EBCDIC's end of line, and its space.
NEWLINE: Final = b"\x15"
SPACE: Final = b"\x40"


def _tables(codePage: str) -> tuple[bytes, bytes]:
    """From storage to the wire, and back."""
    if codePage not in CODE_PAGES:
        raise ValueError(f"{codePage} is none of {', '.join(CODE_PAGES)}")
    inward = bytearray(codecs.decode(bytes(range(256)), codePage).encode("latin-1"))
    # The code pages call 0x15 NEL and 0x25 LF.
    inward[0x15], inward[0x25] = inward[0x25], inward[0x15]
    outward = bytearray(256)
    for wire, stored in enumerate(inward):
        outward[stored] = wire
    return bytes(outward), bytes(inward)


_TABLES: Final = {codePage: _tables(codePage) for codePage in CODE_PAGES}


class EbcdicEncoder(TextDecoder):
    """LF, and CRLF, to NL, and every other byte to its counterpart."""

    __slots__ = ("_table",)

    def __init__(self, codePage: str) -> None:
        """
        @param codePage: one of L{CODE_PAGES}.
        """
        super().__init__()
        self._table = _TABLES[codePage][0]

    def _translated(self, data: bytes) -> bytes:
        return super()._translated(data).translate(self._table)


class EbcdicDecoder(ReturnHolder):
    """NL, and CRLF, to LF, and every other byte to its counterpart."""

    __slots__ = ("_table",)

    def __init__(self, codePage: str) -> None:
        """
        @param codePage: one of L{CODE_PAGES}.
        """
        super().__init__()
        self._table = _TABLES[codePage][1]

    def _translated(self, data: bytes) -> bytes:
        # CR is 0x0D in these code pages too, so it is held back as it is.
        return data.translate(self._table).replace(b"\r\x85", b"\n")


__all__ = ["CODE_PAGES", "NEWLINE", "SPACE", "EbcdicDecoder", "EbcdicEncoder"]
