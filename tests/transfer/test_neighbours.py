"""
Hardware addresses of neighbours.
"""

from __future__ import annotations

import struct

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from filehub.transfer.neighbours import Neighbours, parseNeighbours, readNeighbours


def entry(address: bytes, hardware: bytes | None, family: int = 2) -> bytes:
    """One RTM_NEWNEIGH message."""
    body = struct.pack("=B3xiHBB", family, 2, 2, 0, 1)
    for kind, value in ((1, address), (2, hardware), (9, b"xyz")):
        if value is not None:
            body += struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)
    return struct.pack("=IHHII", 16 + len(body), 28, 2, 1, 0) + body


DONE = struct.pack("=IHHIIi", 20, 3, 2, 1, 0, 0)
FOUR, SIX = bytes([192, 0, 2, 1]), bytes.fromhex("20010db8" + "0" * 23 + "1")
MAC = bytes.fromhex("525400abcdef")


class ParserTests(SynchronousTestCase):
    def test_both(self) -> None:
        """Both families; entries without a hardware address are none."""
        data = entry(FOUR, MAC) + entry(SIX, MAC, 10) + entry(b"\1\2\3\4", None)
        data += entry(b"\1\2\3\5", bytes(6)) + entry(b"\1\2\3\6", b"short")
        wanted = {"192.0.2.1": "52:54:00:ab:cd:ef", "2001:db8::1": "52:54:00:ab:cd:ef"}
        self.assertEqual(parseNeighbours(data), (wanted, False))
        self.assertEqual(parseNeighbours(data + DONE), (wanted, True))

    def test_damaged(self) -> None:
        """Whatever the kernel says, it is read to an end."""
        data = entry(FOUR, MAC) + DONE
        for length in range(len(data)):
            parseNeighbours(data[:length])
            parseNeighbours(data[:length] + b"\0" * 40)
            parseNeighbours(data[:length] + b"\xff" * 40)

    def test_kernel(self) -> None:
        """The kernel of this machine answers, if only with nothing."""
        self.assertIsInstance(readNeighbours(), dict)


class NeighboursTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.table = {"192.0.2.1": "52:54:00:ab:cd:ef"}
        self.reads = 0
        self.neighbours = Neighbours(self.clock.seconds, self.read)

    def read(self) -> dict[str, str]:
        self.reads += 1
        return dict(self.table)

    def test_lifetime(self) -> None:
        """What was read is believed for half a minute, with a scope or without."""
        for _ in range(10):
            self.assertEqual(self.neighbours.find("192.0.2.1%eth0"), "52:54:00:ab:cd:ef")
            self.clock.advance(2)
        self.assertEqual(self.reads, 1)
        self.table.clear()
        self.clock.advance(11)
        self.assertIsNone(self.neighbours.find("192.0.2.1"))

    def test_newcomer(self) -> None:
        """One who has come since the last reading is found at once."""
        self.assertIsNone(self.neighbours.find("192.0.2.2"))
        self.table["192.0.2.3"] = "52:54:00:00:00:03"
        self.assertEqual(self.neighbours.find("192.0.2.3"), "52:54:00:00:00:03")
        self.table["192.0.2.2"] = "52:54:00:00:00:02"
        self.clock.advance(0.6)
        self.assertEqual(self.neighbours.find("192.0.2.2"), "52:54:00:00:00:02")

    def test_stranger(self) -> None:
        """One who is in no table makes us read it twice a second."""
        for _ in range(1000):
            self.assertIsNone(self.neighbours.find("198.51.100.1"))
            self.clock.advance(0.001)
        self.assertLessEqual(self.reads, 3)

    def test_flood(self) -> None:
        """However many strangers ask, there is a bound on readings."""
        for number in range(5000):
            self.assertIsNone(self.neighbours.find(f"198.51.{number // 250}.{number % 250}"))
            self.clock.advance(0.001)
        self.assertLessEqual(self.reads, 500 + 5 * 100 + 1)
        self.clock.advance(10)
        self.assertIsNotNone(self.neighbours.find("192.0.2.1"))
