"""
FTP's C{MODE Z} (draft-preston-ftpext-deflate): the stream of MODE S in zlib's format
(RFC 1950).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from filehub.errors import CorruptData, PeerGone
from filehub.transfer.elements import PIECE, tooMuch

#: zlib's levels, and the one that is taken by default.
LEVELS: Final = range(1, 10)
DEFAULT_LEVEL: Final = 6


class Deflater:
    """
    Compresses.

    @param level: one of L{LEVELS}.
    """

    __slots__ = ("_compressor",)

    def __init__(self, level: int = DEFAULT_LEVEL) -> None:
        self._compressor = zlib.compressobj(level)

    def feed(self, data: bytes) -> bytes:
        """See L{Translator<filehub.transfer.translate.Translator>}."""
        return self._compressor.compress(data)

    def finish(self) -> bytes:
        """The rest, and the checksum."""
        return self._compressor.flush()


class Inflater:
    """
    Decompresses, C{piece} bytes at a time: a few bytes may stand for a thousand times
    as many, and whoever stores them decides how fast they come.
    """

    __slots__ = ("_decompressor", "_piece")

    def __init__(self, piece: int = PIECE) -> None:
        self._decompressor = zlib.decompressobj()
        self._piece = piece

    def feed(self, data: bytes) -> Iterator[bytes]:
        """
        What C{data} stands for.  To be used up before the next call.

        @raise CorruptData: not zlib's format, a wrong checksum, or bytes after the end.
        """
        decompressor = self._decompressor
        while True:
            if decompressor.eof and data:
                raise tooMuch()
            try:
                piece = decompressor.decompress(data, self._piece)
            except zlib.error:
                raise CorruptData("the compressed data is damaged") from None
            if piece:
                yield piece
            if decompressor.eof:
                data = decompressor.unused_data
                if not data:
                    return
            else:
                data = decompressor.unconsumed_tail
                if not data and len(piece) < self._piece:
                    return

    def finish(self) -> None:
        """
        @raise PeerGone: the end of the compressed data is missing.
        """
        if not self._decompressor.eof:
            raise PeerGone("connection ended before the end of the compressed data")


__all__ = ["DEFAULT_LEVEL", "LEVELS", "Deflater", "Inflater"]
