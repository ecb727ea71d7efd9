"""
One open file for all who read it at once.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from filehub.attributes import FileAttributes, FileType
from filehub.errors import StorageUnavailable
from filehub.interfaces import IReadHandle
from filehub.transfer.eager import begin
from filehub.transfer.sharing import SETTLED, SharedReads

CONTENT = bytes(range(256)) * 16


class Source:
    """A read handle that counts; slow ones answer when they are told to."""

    def __init__(self, *, slow: bool = False, uniqueId: str | None = "1", modified: float = 10.0):
        self.attributes = FileAttributes(
            FileType.REGULAR, len(CONTENT), modified, uniqueId=uniqueId
        )
        self.reads: list[tuple[int, int]] = []
        self.closings = 0
        self._slow = slow
        self.pending: list[Deferred[None]] = []

    async def readAt(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        if self._slow:
            waiter: Deferred[None] = Deferred()
            self.pending.append(waiter)
            await waiter
        return CONTENT[offset : offset + length]

    async def close(self) -> None:
        self.closings += 1


class SharedReadsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.shared = SharedReads(lambda: 1000.0)

    def join(self, source: Source, place: Any = "here") -> Any:
        return self.successResultOf(Deferred.fromCoroutine(self.shared.join(source, place)))

    def read(self, handle: Any, offset: int, length: int = 100) -> list[Any]:
        results: list[Any] = []
        self.work = begin(handle.readAt(offset, length), results.append, results.append)
        return results

    def close(self, handle: Any) -> None:
        self.successResultOf(Deferred.fromCoroutine(handle.close()))

    def test_storm(self) -> None:
        """Two hundred readers: one open file, each piece is read once, and all are right."""
        sources = [Source() for _ in range(200)]
        handles = [self.join(each) for each in sources]
        self.assertEqual(len(self.shared), 1)
        self.assertEqual([each.closings for each in sources], [0] + [1] * 199)
        for offset in range(0, 4000, 100):
            for handle in handles:
                self.assertEqual(self.read(handle, offset), [CONTENT[offset : offset + 100]])
        self.assertEqual(len(sources[0].reads), 40)
        for handle in handles[1:]:
            self.close(handle)
        self.assertEqual(sources[0].closings, 0)
        self.close(handles[0])
        self.close(handles[0])
        self.assertEqual((sources[0].closings, len(self.shared)), (1, 0))

    def test_contract(self) -> None:
        """What comes out is a read handle with the file's attributes, and closed at the end."""
        source = Source()
        handle = self.join(source)
        self.assertTrue(IReadHandle.providedBy(handle))
        self.assertEqual(handle.attributes, source.attributes)
        self.close(handle)
        self.assertIsInstance(self.read(handle, 0)[0], StorageUnavailable)

    def test_different(self) -> None:
        """Another account, another path, another version or an unknown file: not shared."""
        first = Source()
        self.join(first, ("a", "f"))
        for place, other in (
            (("b", "f"), Source()),
            (("a", "g"), Source()),
            (("a", "f"), Source(uniqueId="2")),
            (("a", "f"), Source(modified=11.0)),
            (("a", "f"), Source(uniqueId=None)),
        ):
            handle = self.join(other, place)
            self.read(handle, 0)
            self.assertEqual((other.closings, len(other.reads)), (0, 1))

    def test_justChanged(self) -> None:
        """A file that changed just now may change again at the same time: not shared."""
        first, second = (Source(modified=1000.0 - SETTLED / 2) for _ in range(2))
        self.assertIs(self.join(first), first)
        self.assertIs(self.join(second), second)

    def test_bound(self) -> None:
        """No more is kept than allowed; what was dropped is read again."""
        self.shared = SharedReads(lambda: 1000.0, kept=250)
        source = Source()
        one, other = self.join(source), self.join(Source())
        for offset in (0, 100, 200):
            self.read(one, offset)
        self.assertEqual(self.read(other, 200), [CONTENT[200:300]])
        self.assertEqual(len(source.reads), 3)
        self.assertEqual(self.read(other, 0), [CONTENT[:100]])
        self.assertEqual(len(source.reads), 4)
        self.assertEqual(self.read(other, 0, 300), [CONTENT[:300]])

    def test_alone(self) -> None:
        """Nothing is kept for a file with a single reader."""
        source = Source()
        handle = self.join(source)
        self.read(handle, 0)
        self.read(handle, 0)
        self.assertEqual(len(source.reads), 2)

    def test_slow(self) -> None:
        """Who asks for what is being read already waits for it as well."""
        source = Source(slow=True)
        one, other = self.join(source), self.join(Source())
        first, second = self.read(one, 0), self.read(other, 0)
        self.assertEqual((first, second, len(source.reads)), ([], [], 1))
        source.pending[0].callback(None)
        self.assertEqual((first, second), ([CONTENT[:100]], [CONTENT[:100]]))

    def test_whoAskedFirstLeaves(self) -> None:
        """The others get what it has asked for."""
        source = Source(slow=True)
        one, other = self.join(source), self.join(Source())
        first = self.read(one, 0)
        work = self.work
        second = self.read(other, 0)
        work.cancel()
        self.close(one)
        self.assertIsInstance(first[0], CancelledError)
        source.pending[0].callback(None)
        self.assertEqual(second, [CONTENT[:100]])
        self.close(other)
        self.assertEqual(source.closings, 1)

    def test_broken(self) -> None:
        """A failure is told to all who wait, and not remembered."""
        source = Source(slow=True)
        one, other = self.join(source), self.join(Source())
        results = [self.read(one, 0), self.read(other, 0)]
        source.pending[0].errback(StorageUnavailable())
        for result in results:
            self.assertIsInstance(result[0], StorageUnavailable)
        again = self.read(one, 0)
        source.pending[1].callback(None)
        self.assertEqual(again, [CONTENT[:100]])

    def test_lastOneLeavesDuringARead(self) -> None:
        """What comes after everybody has left is kept for nobody."""
        source = Source(slow=True)
        one, other = self.join(source), self.join(Source())
        self.read(one, 0)
        self.close(one)
        self.close(other)
        source.pending[0].callback(None)
        again = self.join(fresh := Source())
        self.join(Source())
        self.read(again, 0)
        self.assertEqual(len(fresh.reads), 1)
