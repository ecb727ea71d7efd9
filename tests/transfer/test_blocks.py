"""
Files in blocks, over storage that answers at once, later, too little, or not at all.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import product

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from filehub.attributes import FileAttributes, FileType
from filehub.errors import FileHubError, NoSpace, StorageUnavailable
from filehub.transfer import blocks
from filehub.transfer.blocks import BlockReader, RateGate, TranslatedReader
from filehub.transfer.blockwriter import WRITE_LIMIT, BlockWriter
from filehub.transfer.translate import NetasciiDecoder, NetasciiEncoder


class Source:
    """A read handle whose answers may have to be waited for."""

    def __init__(self, content: bytes, *, slow: bool = False, size: int | None = None) -> None:
        self._content = content
        self.attributes = FileAttributes(
            FileType.REGULAR, len(content) if size is None else size, 0.0
        )
        self.slow = slow
        self.reads: list[tuple[int, int]] = []
        self.waiting: list[Deferred[None]] = []
        self.closings = 0

    async def readAt(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        if self.slow:
            self.waiting.append(Deferred())
            await self.waiting[-1]
        return self._content[offset : offset + length]

    async def close(self) -> None:
        self.closings += 1

    def answer(self) -> None:
        self.waiting.pop(0).callback(None)


class Target:
    """A write handle whose answers may have to be waited for."""

    def __init__(self, *, slow: bool = False) -> None:
        self.position = 0
        self.content = bytearray()
        self.slow = slow
        self.full = False
        self.story: list[str] = []
        self.waiting: list[Deferred[None]] = []

    async def writeAt(self, offset: int, data: bytes) -> None:
        if self.slow:
            self.waiting.append(Deferred())
            await self.waiting[-1]
        if self.full:
            raise NoSpace(None)
        self.content[offset : offset + len(data)] = data

    async def commit(self) -> FileAttributes:
        if self.slow:
            self.waiting.append(Deferred())
            await self.waiting[-1]
        self.story.append("commit")
        return FileAttributes(FileType.REGULAR, len(self.content), 0.0)

    async def abort(self) -> None:
        self.story.append("abort")

    def answer(self) -> None:
        self.waiting.pop(0).callback(None)


class Slow:
    """A limiter that makes everybody wait a second."""

    grain = 1

    def __init__(self) -> None:
        self.granted: list[int] = []

    def grant(self, nbytes: int) -> float:
        self.granted.append(nbytes)
        return 1.0


class ReaderTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.ready = 0
        self.failures: list[FileHubError] = []
        self.limiter: Slow | None = None

    def becameReady(self) -> None:
        self.ready += 1

    def plain(self, source: Source, blksize: int = 100, window: int = 1) -> BlockReader:
        gate = RateGate(self.clock, self.limiter)
        return BlockReader(source, blksize, window, gate, self.becameReady, self.failures.append)

    def translated(self, source: Source, blksize: int = 100, window: int = 1) -> TranslatedReader:
        gate = RateGate(self.clock, self.limiter)
        return TranslatedReader(
            source,
            blksize,
            window,
            gate,
            self.becameReady,
            self.failures.append,
            NetasciiEncoder(),
        )

    def whole(self, reader: BlockReader | TranslatedReader, blksize: int, count: int) -> bytes:
        """All blocks, C{count} at a time."""
        content = b""
        first = 1
        while True:
            taken = reader.take(first, count)
            assert taken
            self.assertLessEqual(len(taken), count)
            first += len(taken)
            content += b"".join(taken)
            if len(taken[-1]) < blksize:
                return content
            self.assertTrue(all(len(each) == blksize for each in taken))


class BlockReaderTests(ReaderTestCase):
    def test_sizes(self) -> None:
        """Any size, block size and window: all of it, the last block short or empty."""
        for size, blksize, window in product(
            (0, 1, 99, 100, 101, 65535, 65536, 65600, 200_000), (100, 512, 9000), (1, 3, 64)
        ):
            content = random.Random(size).randbytes(size)
            source = Source(content)
            reader = self.plain(source, blksize, window)
            self.assertEqual(self.whole(reader, blksize, window), content)
            self.assertEqual(self.failures, [])

    def test_pieces(self) -> None:
        """Storage is asked for large pieces, each once, and an empty file not at all."""
        source = Source(bytes(200_000))
        self.whole(self.plain(source), 100, 1)
        self.assertEqual([length for _, length in source.reads], [65_500, 65_500, 65_500, 3500])
        source = Source(b"")
        self.whole(self.plain(source), 100, 1)
        self.assertEqual(source.reads, [])

    def test_largeWindows(self) -> None:
        """A window larger than storage gives at once comes in parts."""
        content = random.Random(1).randbytes(1_000_000)
        source = Source(content)
        self.assertEqual(self.whole(self.plain(source, 8192, 64), 8192, 64), content)
        self.assertLessEqual(max(length for _, length in source.reads), blocks.READ_LIMIT)

    def test_back(self) -> None:
        """Blocks can be taken again, from earlier pieces too."""
        content = random.Random(2).randbytes(300_000)
        reader = self.plain(Source(content))
        dice = random.Random(3)
        for _ in range(500):
            first = dice.randrange(1, 3002)
            taken = reader.take(first, dice.randrange(1, 9))
            assert taken
            self.assertEqual(bytes(taken[0]), content[(first - 1) * 100 : first * 100])

    def test_slow(self) -> None:
        """What has to be waited for is announced; the next piece is asked for early."""
        content = random.Random(4).randbytes(150_000)
        source = Source(content, slow=True)
        reader = self.plain(source)
        self.assertIsNone(reader.take(1, 1))
        self.assertEqual(self.ready, 0)
        source.answer()
        self.assertEqual(self.ready, 1)
        taken = reader.take(1, 1)
        assert taken
        self.assertEqual(bytes(taken[0]), content[:100])
        self.assertEqual([offset for offset, _ in source.reads], [0, 65_500])
        source.answer()
        self.assertEqual(self.ready, 1)
        self.assertIsNotNone(reader.take(656, 1))
        self.assertEqual([offset for offset, _ in source.reads], [0, 65_500, 131_000])

    def test_changed(self) -> None:
        """A file that has become shorter is an error; what was added is not sent."""
        reader = self.plain(Source(bytes(500), size=600))
        self.assertIsNone(reader.take(1, 1))
        self.assertIsInstance(self.failures[0], StorageUnavailable)
        reader = self.plain(Source(bytes(700), size=600))
        self.assertEqual(len(self.whole(reader, 100, 1)), 600)

    def test_broken(self) -> None:
        """What storage raises is told; what it must not raise is told and logged."""

        class Broken(Source):
            error: Exception

            async def readAt(self, offset: int, length: int) -> bytes:
                raise self.error

        source = Broken(bytes(500))
        source.error = NoSpace(None)
        self.assertIsNone(self.plain(source).take(1, 1))
        self.assertIs(self.failures[0], source.error)
        source.error = ZeroDivisionError()
        self.assertIsNone(self.plain(source).take(1, 1))
        self.assertIsInstance(self.failures[1], StorageUnavailable)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_closed(self) -> None:
        """After closing, a late answer is for nobody."""
        source = Source(bytes(500), slow=True)
        reader = self.plain(source)
        reader.take(1, 1)
        self.successResultOf(Deferred.fromCoroutine(reader.close()))
        self.assertEqual(source.closings, 1)
        self.assertEqual((self.ready, self.failures), (0, []))

    def test_rate(self) -> None:
        """A rate limit shuts the source for as long as it says, one window at a time."""
        self.limiter = Slow()
        reader = self.plain(Source(bytes(1000)), 100, 2)
        self.assertEqual(len(reader.take(1, 50) or ()), 2)
        self.assertEqual(self.limiter.granted, [200])
        self.assertIsNone(reader.take(3, 2))
        self.clock.advance(1.0)
        self.assertEqual(self.ready, 1)
        self.assertIsNotNone(reader.take(3, 2))
        self.successResultOf(Deferred.fromCoroutine(reader.close()))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TranslatedReaderTests(ReaderTestCase):
    def test_sizes(self) -> None:
        """Converted, with CR and LF at every place, any size and window."""
        dice = random.Random(5)
        for size, window in product((0, 1, 50, 99, 100, 1000, 70_000), (1, 4)):
            content = bytes(dice.choice(b"a\r\nb") for _ in range(size))
            wanted = content.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")
            reader = self.translated(Source(content), 100, window)
            self.assertEqual(self.whole(reader, 100, window), wanted)

    def test_back(self) -> None:
        """As far back as two windows, blocks can be taken again."""
        content = b"line\n" * 4000
        wanted = content.replace(b"\n", b"\r\n")
        reader = self.translated(Source(content), 100, 4)
        for first in range(1, 200, 4):
            for back in (0, 3, 1, 4, 0):
                start = max(1, first - back)
                taken: Sequence[bytes | memoryview] | None = reader.take(start, 4)
                assert taken
                self.assertEqual(bytes(taken[0]), wanted[(start - 1) * 100 : start * 100])

    def test_slow(self) -> None:
        """Storage that has to be waited for."""
        source = Source(b"a\n" * 100, slow=True)
        reader = self.translated(source)
        self.assertIsNone(reader.take(1, 1))
        source.answer()
        self.assertEqual(self.ready, 1)
        self.assertEqual(self.whole(reader, 100, 1), b"a\r\n" * 100)


class WriterTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.target = Target()
        self.ready = 0
        self.published = 0
        self.failures: list[FileHubError] = []

    def writer(self, translate: bool = False, limiter: Slow | None = None) -> BlockWriter:
        def ready() -> None:
            self.ready += 1

        def published() -> None:
            self.published += 1

        return BlockWriter(
            self.target,
            RateGate(self.clock, limiter),
            ready,
            published,
            self.failures.append,
            NetasciiDecoder() if translate else None,
        )

    def close(self, writer: BlockWriter) -> None:
        self.successResultOf(Deferred.fromCoroutine(writer.close()))

    def test_whole(self) -> None:
        """All of it, in order, committed once, and not aborted at the end."""
        content = random.Random(6).randbytes(1_000_003)
        writer = self.writer()
        for start in range(0, len(content), 1000):
            self.assertTrue(writer.extend((content[start : start + 1000],)))
        writer.finish()
        self.assertEqual(self.published, 1)
        self.close(writer)
        self.assertEqual(bytes(self.target.content), content)
        self.assertEqual(self.target.story, ["commit"])
        self.assertEqual(writer.nbytes, len(content))

    def test_empty(self) -> None:
        """An empty file is published, too."""
        writer = self.writer()
        writer.extend((b"",))
        writer.finish()
        self.assertEqual((self.published, self.target.story), (1, ["commit"]))

    def test_aborted(self) -> None:
        """Without an end it is aborted."""
        writer = self.writer()
        writer.extend((bytes(1000),))
        self.close(writer)
        self.assertEqual(self.target.story, ["abort"])
        self.assertEqual(self.published, 0)

    def test_slow(self) -> None:
        """Storage that is behind holds the peer up at a limit, and lets it go on."""
        self.target.slow = True
        writer = self.writer()
        taken = 0
        while writer.extend((bytes(1000),)):
            taken += 1000
            self.assertLess(taken, WRITE_LIMIT)
        self.assertEqual(len(self.target.waiting), 1)
        self.target.answer()
        while self.target.waiting:
            self.target.answer()
        self.assertEqual(self.ready, 1)
        self.assertTrue(writer.extend((bytes(1000),)))

    def test_finishWhileWriting(self) -> None:
        """The end waits for what is being written, and publishes then."""
        self.target.slow = True
        writer = self.writer()
        for _ in range(70):
            writer.extend((b"x" * 1000,))
        writer.extend((b"end",))
        writer.finish()
        while self.target.waiting:
            self.assertEqual(self.published, 0)
            self.target.answer()
        self.assertEqual(self.published, 1)
        self.assertEqual(len(self.target.content), 70_003)

    def test_closedWhilePublishing(self) -> None:
        """A commit that has begun decides; there is no abort after it."""
        self.target.slow = True
        writer = self.writer()
        writer.extend((b"x",))
        writer.finish()
        self.target.answer()
        closing = Deferred.fromCoroutine(writer.close())
        self.assertNoResult(closing)
        self.target.answer()
        self.successResultOf(closing)
        self.assertEqual((self.target.story, self.published), (["commit"], 0))

    def test_closedWhileWriting(self) -> None:
        """A write that has begun ends; then it is aborted, never committed."""
        self.target.slow = True
        writer = self.writer()
        writer.extend((b"x",))
        writer.finish()
        closing = Deferred.fromCoroutine(writer.close())
        self.target.answer()
        self.successResultOf(closing)
        self.assertEqual(self.target.story, ["abort"])

    def test_full(self) -> None:
        """Storage that is full is told once; closing aborts."""
        self.target.full = True
        writer = self.writer()
        writer.extend((b"x",))
        writer.finish()
        self.assertIsInstance(self.failures[0], NoSpace)
        self.assertEqual((len(self.failures), self.published), (1, 0))
        self.close(writer)
        self.assertEqual(self.target.story, ["abort"])

    def test_translated(self) -> None:
        """Line ends that lie across blocks and writes are converted."""
        text = b"\r\n\r\0x" * 60_000
        writer = self.writer(translate=True)
        for start in range(0, len(text), 511):
            writer.extend((text[start : start + 511],))
        writer.extend((b"\r",))
        writer.finish()
        self.assertEqual(bytes(self.target.content), b"\n\rx" * 60_000 + b"\r")

    def test_rate(self) -> None:
        """A rate limit holds the peer up for as long as it says."""
        writer = self.writer(limiter=Slow())
        self.assertFalse(writer.extend((bytes(100),)))
        self.assertEqual(self.ready, 0)
        self.clock.advance(1.0)
        self.assertEqual(self.ready, 1)
