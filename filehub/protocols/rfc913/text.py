"""
TYPE A on the wire: the translation of netascii, with the counts that RFC 913 needs.

Lines end in CRLF and a CR that is data travels as CR NUL (RFC 764), so every file comes
back as it was.  The length is announced before the first byte and must be kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from filehub.errors import OperationNotSupported, StorageUnavailable
from filehub.interfaces import IReadHandle
from filehub.transfer.translate import NetasciiDecoder, NetasciiEncoder

_STEP: Final = 256 * 1024
#: After so many bytes other sessions have their turn.
_TURN: Final = 1024 * 1024

_NOT_TEXT: Final = "TYPE A carries 7-bit characters only"


def _check(data: bytes) -> None:
    if not data.isascii():
        raise OperationNotSupported(None, _NOT_TEXT)


class WireEncoder:
    """
    From storage to the wire.

    @param strict: refuse bytes with the high bit set.
    """

    def __init__(self, strict: bool) -> None:
        self._strict = strict
        self._encoder = NetasciiEncoder()

    def feed(self, data: bytes) -> bytes:
        """
        @raise OperationNotSupported: strict, and this is not 7-bit text.
        """
        if self._strict:
            _check(data)
        return self._encoder.feed(data)

    def finish(self) -> bytes:
        """What was held back."""
        return self._encoder.finish()


async def wireLength(
    source: IReadHandle, strict: bool, pause: Callable[[float], Awaitable[None]]
) -> int:
    """
    How many bytes a file is on the wire.  Reads all of it, which does not stop the
    reactor even where reading never waits.

    @param pause: with 0, lets the reactor turn once.
    @raise OperationNotSupported: strict, and the file is not 7-bit text.
    """
    encoder = WireEncoder(strict)
    offset = length = turn = 0
    while chunk := await source.readAt(offset, _STEP):
        offset += len(chunk)
        length += len(encoder.feed(chunk))
        turn += len(chunk)
        if turn >= _TURN:
            turn = 0
            await pause(0)
    return length + len(encoder.finish())


class AnnouncedEncoder:
    """
    The same for a length that was announced.  If the content has changed meanwhile so
    that it cannot be kept, nothing more is sent: the client must see that bytes miss.

    @param length: what was announced, bytes.
    """

    def __init__(self, encoder: WireEncoder, length: int) -> None:
        self._encoder = encoder
        self._rest = length

    def feed(self, data: bytes) -> bytes:
        """
        @raise StorageUnavailable: this is more than was announced.
        """
        return self._counted(self._encoder.feed(data))

    def finish(self) -> bytes:
        """
        @raise StorageUnavailable: all of it is not what was announced.
        """
        last = self._counted(self._encoder.finish())
        if self._rest:
            raise StorageUnavailable(None, "the file changed while it was sent")
        return last

    def _counted(self, data: bytes) -> bytes:
        self._rest -= len(data)
        if self._rest < 0:
            raise StorageUnavailable(None, "the file changed while it was sent")
        return data


class WireDecoder:
    """
    From the wire to storage.

    @ivar consumed: bytes of the wire that were fed.
    @param strict: refuse bytes with the high bit set.
    """

    def __init__(self, strict: bool) -> None:
        self.consumed = 0
        self._strict = strict
        self._decoder = NetasciiDecoder()

    def feed(self, data: bytes) -> bytes:
        """
        @raise OperationNotSupported: strict, and this is not 7-bit text.
        """
        self.consumed += len(data)
        if self._strict:
            _check(data)
        return self._decoder.feed(data)

    def finish(self) -> bytes:
        """What was held back."""
        return self._decoder.finish()


__all__ = ["AnnouncedEncoder", "WireDecoder", "WireEncoder", "wireLength"]
