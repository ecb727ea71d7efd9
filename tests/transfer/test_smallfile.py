"""
The blocks of a file that was read whole.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from filehub.transfer.smallfile import SmallFile


class SmallFileTests(SynchronousTestCase):
    """L{SmallFile}."""

    def test_blocks(self) -> None:
        """Of every length: whole blocks, and a shorter one at the end, empty if need be."""
        for size in range(40):
            data = bytes(range(size))
            blocks = SmallFile(data, 8).take(1, 100)
            self.assertEqual(b"".join(blocks), data)
            self.assertEqual([len(each) for each in blocks[:-1]], [8] * (size // 8))
            self.assertLess(len(blocks[-1]), 8)

    def test_parts(self) -> None:
        """From any block on, as often as wanted, and no more than asked for."""
        file = SmallFile(bytes(range(20)), 8)
        for _ in range(2):
            self.assertEqual(file.take(2, 1), [bytes(range(8, 16))])
        self.assertEqual(file.take(2, 5), [bytes(range(8, 16)), bytes(range(16, 20))])
        self.assertEqual(file.take(3, 1), [bytes(range(16, 20))])
