"""
What all that is sent by copying has in common.
"""

from __future__ import annotations

from typing import Final

from filehub.transfer.elements import Encoder
from filehub.transfer.progress import Progress
from filehub.transfer.ratelimit import Allowance
from filehub.transfer.stream import ByteStream
from filehub.transfer.translate import Translator

#: After so many bytes other sessions have their turn.
TURN: Final = 1024 * 1024


class Outgoing:
    """
    What is sent in chunks, whatever they are chunks of: encoded, counted, within the
    bandwidth limit, and with pauses in which others have their turn.
    """

    __slots__ = ("_allowed", "_encoder", "_progress", "_step", "_stream", "_turn")

    def __init__(
        self,
        stream: ByteStream,
        encoder: Translator | None,
        allowed: Allowance | None,
        progress: Progress,
    ) -> None:
        self._stream = stream
        self._encoder = encoder
        self._allowed = allowed
        self._progress = progress
        self._step = encoder.step if isinstance(encoder, Encoder) else None
        self._turn = 0

    async def put(self, chunk: bytes) -> None:
        """Send a chunk, in steps if encoding it takes long."""
        step = self._step
        if step is None or len(chunk) <= step:
            await self._put(chunk)
            return
        for start in range(0, len(chunk), step):
            await self._put(chunk[start : start + step])
            await self._stream.pause(0)

    async def skip(self, length: int) -> None:
        """The next bytes of the file are a hole."""
        if isinstance(self._encoder, Encoder) and length:
            await self._write(self._encoder.skip(length))
            self._progress.nbytes += length

    async def end(self) -> None:
        """Send what the encoder held back."""
        if self._encoder is not None:
            await self._write(self._encoder.finish())

    async def _put(self, chunk: bytes) -> None:
        size = len(chunk)
        data = self._encoder.feed(chunk) if self._encoder is not None else chunk
        await self._write(data)
        self._progress.nbytes += size
        self._turn += size
        if self._turn >= TURN:
            self._turn = 0
            await self._stream.pause(0)

    async def _write(self, data: bytes) -> None:
        if data:
            if self._allowed is not None:
                await self._allowed.ask(len(data), self._stream, self._progress)
                self._allowed.use(len(data))
            self._progress.watch(self._stream)
            await self._stream.write(data)


__all__ = ["TURN", "Outgoing"]
