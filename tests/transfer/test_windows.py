"""
Memory that windows of blocks are read and received into.
"""

from __future__ import annotations

import random
from array import array

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from filehub.attributes import FileAttributes, FileType
from filehub.errors import FileHubError, StorageUnavailable
from filehub.handles import IPromptReads
from filehub.interfaces import IReadHandle
from filehub.protocols.tftp import wire
from filehub.transfer.blocks import BlockReader, RateGate
from filehub.transfer.windows import MEMORY, Arrivals


class Wire:
    """A socket with these datagrams; C{None} where a look finds nothing."""

    def __init__(self, *datagrams: bytes | None) -> None:
        self.datagrams = list(datagrams)

    def recv_into(self, buffer: memoryview) -> int:
        datagram = self.datagrams.pop(0) if self.datagrams else None
        if datagram is None:
            raise BlockingIOError()
        length = min(len(datagram), len(buffer))
        buffer[:length] = datagram[:length]
        return length


def data(block: int, length: int = 100) -> bytes:
    return wire.dataHeader(block) + bytes([block % 256]) * length


def headers(*blocks: int) -> array[int]:
    return wire.blockHeaders(list(blocks))


class ArrivalsTests(SynchronousTestCase):
    def test_window(self) -> None:
        """As many as are wanted, and the rest another time; each block is its payload."""
        for blksize in (8, 99, 100, 1428, 8192):
            wanted = [data(block, blksize) for block in range(1, 7)]
            arrivals = Arrivals(Wire(*wanted), blksize, 4)
            self.assertEqual(arrivals.receive(4, 0), (4, blksize + 4))
            self.assertTrue(arrivals.headed(headers(1, 2, 3, 4)))
            self.assertEqual([bytes(each) for each in arrivals.blocks], [p[4:] for p in wanted[:4]])
            self.assertEqual(arrivals.receive(4, 0), (2, blksize + 4))
            self.assertTrue(arrivals.headed(headers(5, 6)))
            self.assertEqual(arrivals.packet(1, blksize + 4), wanted[5])

    def test_order(self) -> None:
        """Another block, or no block at all, is seen wherever it is."""
        for place in range(3):
            for stranger in (data(9), b"\0\4" + bytes(102), b"\0\5" + bytes(102)):
                packets = [data(1), data(2), data(3)]
                packets[place] = stranger
                arrivals = Arrivals(Wire(*packets), 100, 3)
                self.assertEqual(arrivals.receive(3, 0), (3, 104))
                self.assertFalse(arrivals.headed(headers(1, 2, 3)))
                self.assertEqual(arrivals.packet(place, 104), stranger)

    def test_length(self) -> None:
        """What is shorter or longer than a whole block ends a run, and its length is told."""
        for length in (0, 50, 101, 500):
            arrivals = Arrivals(Wire(data(1), data(2, length), data(3)), 100, 8)
            self.assertEqual(arrivals.receive(8, 0), (2, 4 + min(length, 101)))
            self.assertEqual(arrivals.packet(1, 4 + length), data(2, min(length, 101)))
            self.assertEqual(arrivals.receive(8, 0), (1, 104))

    def test_nothing(self) -> None:
        """Nothing at all is said as the kernel says it."""
        self.assertRaises(BlockingIOError, Arrivals(Wire(), 100, 4).receive, 4, 50)

    def test_patience(self) -> None:
        """It looks again as often as it may, after something has come."""
        gaps = Wire(data(1), None, None, data(2), None, data(3), None)
        self.assertEqual(Arrivals(gaps, 100, 4).receive(4, 3), (3, 104))
        self.assertEqual(gaps.datagrams, [])
        gaps = Wire(data(1), None, None, data(2))
        self.assertEqual(Arrivals(gaps, 100, 4).receive(4, 1), (1, 104))
        self.assertEqual(gaps.datagrams, [data(2)])

    def test_memory(self) -> None:
        """Many large blocks share less memory, but there is always room for one."""
        self.assertLessEqual(Arrivals(Wire(), 65464, 64).room * 65464, MEMORY)
        self.assertEqual(Arrivals(Wire(), MEMORY, 64).room, 1)


@implementer(IReadHandle, IPromptReads)
class Cached:
    """A file of which the kernel has the first C{hot} bytes at hand."""

    def __init__(self, content: bytes, hot: int, size: int | None = None) -> None:
        self.content = content
        self.hot = hot
        self.attributes = FileAttributes(
            FileType.REGULAR, len(content) if size is None else size, 0.0
        )
        self.reads: list[int] = []

    def readNow(self, offset: int, buffer: memoryview) -> int:
        data = self.content[: self.hot][offset : offset + len(buffer)]
        buffer[: len(data)] = data
        return len(data)

    async def readAt(self, offset: int, length: int) -> bytes:
        self.reads.append(offset)
        return self.content[offset : offset + length]

    async def close(self) -> None:
        """Nothing to do."""


class ShelfTests(SynchronousTestCase):
    def reader(self, handle: Cached, blksize: int, window: int) -> BlockReader:
        self.failures: list[FileHubError] = []
        gate = RateGate(Clock(), None)
        return BlockReader(handle, blksize, window, gate, lambda: None, self.failures.append)

    def test_sizes(self) -> None:
        """Every size and window, wherever what is at hand ends: the whole file."""
        dice = random.Random(7)
        for size in (0, 1, 99, 100, 101, 6400, 65_600, 700_000):
            for blksize, window in ((100, 4), (100, 64), (1428, 16), (9000, 64)):
                content = dice.randbytes(size)
                for hot in (0, size // 2, size):
                    reader = self.reader(Cached(content, hot), blksize, window)
                    got = bytearray()
                    block = 1
                    while block <= size // blksize + 1:
                        taken = reader.take(block, window)
                        assert taken
                        got += b"".join(taken)
                        block += len(taken)
                    self.assertEqual(got, content)
                    self.assertLess(len(taken[-1]), blksize)

    def test_back(self) -> None:
        """Blocks are taken again in any order, from one memory or the other."""
        content = random.Random(8).randbytes(300_000)
        reader = self.reader(Cached(content, 150_000), 100, 16)
        dice = random.Random(9)
        for _ in range(2000):
            first = dice.randrange(1, 3002)
            taken = reader.take(first, dice.randrange(1, 17))
            assert taken
            start = (first - 1) * 100
            whole = b"".join(taken)
            self.assertEqual(whole, content[start : start + len(taken) * 100])

    def test_noObjects(self) -> None:
        """What is at hand is not asked for otherwise, and its blocks are made once."""
        handle = Cached(bytes(300_000), 300_000)
        reader = self.reader(handle, 1428, 16)
        self.assertFalse(reader.early)
        first = reader.take(1, 16)
        assert first
        self.assertTrue(reader.early)
        again = reader.take(65, 16)
        assert again
        self.assertTrue(all(one is other for one, other in zip(first, again, strict=True)))
        self.assertEqual(handle.reads, [])

    def test_single(self) -> None:
        """A window of one block reads as ever: so what is read can be shared."""
        handle = Cached(bytes(1000), 1000)
        reader = self.reader(handle, 100, 1)
        self.assertIsNotNone(reader.take(1, 1))
        self.assertEqual((handle.reads, reader.early), ([0], False))

    def test_changed(self) -> None:
        """A file that has become shorter is an error."""
        reader = self.reader(Cached(bytes(500), 500, 600), 100, 4)
        self.assertIsNone(reader.take(1, 4))
        self.assertIsInstance(self.failures[0], StorageUnavailable)


class FrameTests(SynchronousTestCase):
    def test_parts(self) -> None:
        """Header, payload, header, payload, of as many as there are; numbers wrap."""
        frames = wire.Frames(4)
        for payloads, numbers in (
            ([b"a", b"b", b"c", b"d"], [65534, 65535, 0, 1]),
            ([b"e"], [2]),
            ([b"f", b"g"], [3, 4]),
        ):
            parts = frames.around(payloads, numbers)
            packets = [bytes(parts[each]) + parts[each + 1] for each in range(0, len(parts), 2)]
            wanted = zip(numbers, payloads, strict=True)
            self.assertEqual(packets, [wire.dataHeader(each) + payload for each, payload in wanted])

    def test_headers(self) -> None:
        """The headers of numbers in a row are those of each."""
        self.assertEqual(
            wire.blockHeaders(range(250, 260)).tobytes(),
            b"".join(wire.dataHeader(each) for each in range(250, 260)),
        )
        self.assertEqual(wire.blockHeaders(range(65530, 65536)), wire.blockHeaders(
            [65530, 65531, 65532, 65533, 65534, 65535]))  # fmt: skip
