"""
L{filehub.transfer.pump}, where what is moved stands for more, or less, than its bytes.
"""

from __future__ import annotations

import itertools
import zlib
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from filehub.attributes import FileAttributes, FileType
from filehub.errors import CorruptData, OperationNotSupported, PeerGone
from filehub.interfaces import IDescriptorBacked, ISparse
from filehub.transfer.blockmode import BlockDecoder
from filehub.transfer.deflate import Deflater, Inflater
from filehub.transfer.elements import (
    COMPRESSION_STEP,
    FINE_STEP,
    PIECE,
    Decoder,
    Encoder,
    Lines,
)
from filehub.transfer.outgoing import TURN
from filehub.transfer.pages import PAGE_FORMATS, PageDecoder, PageEncoder
from filehub.transfer.progress import Progress
from filehub.transfer.pump import receive, send
from tests.protocols.ftp.doubles import Stream
from tests.transfer.codecs import decoded

WORDS = PAGE_FORMATS[32]


class Handle:
    """
    A file in memory that remembers its writes.

    @ivar holes: parts of it that were never written, as starts and ends.
    """

    def __init__(self, data: bytes = b"", holes: Any = ()) -> None:
        self.attributes = FileAttributes(FileType.REGULAR, size=len(data), modified=0.0)
        self.data = data
        self.holes = holes
        self.position = 0
        self.writes: list[tuple[int, bytes]] = []
        self.reads: list[tuple[int, int]] = []

    async def readAt(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        return self.data[offset : offset + length]

    async def writeAt(self, offset: int, data: bytes) -> None:
        self.writes.append((offset, data))

    @property
    def written(self) -> int:
        return sum(len(data) for _, data in self.writes)


@implementer(IDescriptorBacked, ISparse)
class SparseHandle(Handle):
    """One whose storage has holes."""

    def lease(self) -> Any:
        raise AssertionError("nobody may need it")

    async def nextData(self, offset: int) -> tuple[int, int]:
        for start, end in self.holes:
            if offset < start:
                return offset, start
            offset = max(offset, end)
        return offset, len(self.data)


class Counting(Stream):
    """
    Notes how far the progress is whenever others have their turn.
    """

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self.progress = progress
        self.pauses: list[int] = [0]

    def pause(self, seconds: float) -> Deferred[None]:
        self.pauses.append(self.progress.nbytes)
        return succeed(None)

    def longest(self) -> int:
        """The most bytes of the file between two turns."""
        marks = [*self.pauses, self.progress.nbytes]
        return max(later - sooner for sooner, later in itertools.pairwise(marks))


class UnpackingTests(SynchronousTestCase):
    def receive(self, decoder: Decoder, *data: bytes, handle: Any = None, **options: Any) -> Any:
        """Receive into a handle; returns it, and leaves the stream in C{self.stream}."""
        progress = Progress()
        self.stream = Counting(progress)
        self.stream.receive(*data)
        target = Handle() if handle is None else handle
        receiving = receive(self.stream, target, decoder=decoder, progress=progress, **options)
        self.successResultOf(Deferred.fromCoroutine(receiving))
        return target

    def test_bomb(self) -> None:
        """A little that stands for much is stored as it comes out, and others have turns."""
        decoder = Decoder(Lines(None, b""), None, Inflater())
        size = 64 << 20
        target = self.receive(decoder, zlib.compress(bytes(size), 9), b"")
        self.assertEqual(target.written, size)
        self.assertLessEqual(self.stream.longest(), TURN + PIECE)
        self.assertLessEqual(max(len(data) for _, data in target.writes), TURN)

    def test_slowPieces(self) -> None:
        """Where each byte of the wire is work, turns come after a few thousand of them."""
        decoder = Decoder(Lines(None, b"\n"), BlockDecoder())
        target = self.receive(decoder, b"\x80\0\0" * 100_000 + b"\x40\0\0")
        self.assertEqual(target.written, 100_000)
        self.assertLessEqual(self.stream.longest(), FINE_STEP)
        self.assertGreater(len(self.stream.pauses), 300_000 // FINE_STEP)

    def test_markers(self) -> None:
        """A marker is reported when all before it is stored."""
        target = Handle()
        found: list[Any] = []

        def marked(marker: str, position: int) -> None:
            found.append((marker, position, target.written))

        wire = b"\0\0\3abc\x10\0\1x\x10\0\1y\0\0\1d\x40\0\0"
        self.receive(Decoder(Lines(None, b""), BlockDecoder()), wire, handle=target, marked=marked)
        self.assertEqual(found, [("x", 3, 3), ("y", 3, 3)])
        self.assertEqual(target.writes, [(0, b"abc"), (3, b"d")])

    def test_truncated(self) -> None:
        """What arrived is stored, so that it can be resumed, but it is no success."""
        target = Handle()
        stream = Stream()
        stream.receive(b"\0\0\3abc", b"")
        decoder = Decoder(Lines(None, b""), BlockDecoder())
        receiving = Deferred.fromCoroutine(receive(stream, target, decoder=decoder))
        self.failureResultOf(receiving, PeerGone)
        self.assertEqual(target.writes, [(0, b"abc")])

    def test_corrupt(self) -> None:
        """What breaks the rules ends the transfer."""
        stream = Stream()
        stream.receive(b"\1\0\0")
        decoder = Decoder(Lines(None, b""), BlockDecoder())
        receiving = Deferred.fromCoroutine(receive(stream, Handle(), decoder=decoder))
        self.failureResultOf(receiving, CorruptData)

    def pages(self, *parts: Any) -> bytes:
        """A file in pages; numbers are holes."""
        size = sum(part if isinstance(part, int) else len(part) for part in parts)
        encoder = PageEncoder(WORDS, size)
        wire = [
            encoder.skip(part) if isinstance(part, int) else encoder.feed(part) for part in parts
        ]
        return b"".join(wire) + encoder.finish()

    def test_holes(self) -> None:
        """Holes are not written; the last byte of one at the end is, for the length."""
        wire = self.pages(b"a" * 4096, 1 << 40, b"b" * 4096, 5000)
        target = self.receive(Decoder(PageDecoder(WORDS)), wire, handle=SparseHandle())
        end = 8192 + (1 << 40) + 5000
        self.assertEqual(
            target.writes,
            [(0, b"a" * 4096), (4096 + (1 << 40), b"b" * 4096), (end - 1, b"\0")],
        )
        self.assertEqual(self.stream.progress.nbytes, end)

    def test_noHoles(self) -> None:
        """Storage without them gets zeros, but not any number for a few bytes."""
        target = self.receive(Decoder(PageDecoder(WORDS)), self.pages(b"a" * 4096, 600_000))
        self.assertEqual(target.written, 604_096)
        stream = Stream()
        stream.receive(self.pages(1 << 40))
        decoder = Decoder(PageDecoder(WORDS))
        receiving = Deferred.fromCoroutine(receive(stream, Handle(), decoder=decoder))
        self.failureResultOf(receiving, OperationNotSupported)


class PackingTests(SynchronousTestCase):
    def test_turns(self) -> None:
        """Compression is done in steps, with turns for others in between."""
        progress = Progress()
        stream = Counting(progress)
        data = b"some words " * 100_000
        encoder = Encoder([Deflater()], COMPRESSION_STEP)
        sending = send(Handle(data), stream, encoder=encoder, progress=progress)  # type: ignore[arg-type]
        self.successResultOf(Deferred.fromCoroutine(sending))
        self.assertEqual(zlib.decompress(stream.written), data)
        self.assertLessEqual(stream.longest(), COMPRESSION_STEP)
        self.assertEqual(progress.nbytes, len(data))

    def test_holes(self) -> None:
        """Holes are neither read nor sent."""
        data = bytes(100_000) + b"x" * 5000 + bytes(300_000) + b"y" * 10 + bytes(50_000)
        holes = [(0, 98_304), (106_496, 401_408), (409_600, len(data))]
        for source, isSparse in ((SparseHandle(data, holes), True), (Handle(data), False)):
            stream = Stream()
            encoder = Encoder([], COMPRESSION_STEP, PageEncoder(WORDS, len(data)))
            sending = send(source, stream, encoder=encoder)  # type: ignore[arg-type]
            report = self.successResultOf(Deferred.fromCoroutine(sending))
            self.assertEqual(report.nbytes, len(data))
            self.assertEqual(decoded(Decoder(PageDecoder(WORDS)), stream.written), data)
            self.assertEqual(len(stream.written) < 20_000, isSparse)
            read = sum(min(length, len(data) - offset) for offset, length in source.reads)
            self.assertEqual(read < 20_000, isSparse)
