"""
The receiving side, move by move.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from filehub.events import Outcome
from filehub.protocols.tftp import wire
from filehub.protocols.tftp.receiver import Receiver
from filehub.protocols.tftp.session import Buffer
from filehub.protocols.tftp.settings import TFTPSettings
from tests.protocols.tftp.network import Network, Server, terms

SIZE = 10


class Target:
    """Takes blocks; whether there is room, and when it is published, the test says."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.room = True
        self.finished = 0

    def extend(self, payloads: Sequence[Buffer]) -> bool:
        self.blocks += map(bytes, payloads)
        return self.room

    def finish(self) -> None:
        self.finished += 1


class Moves(SynchronousTestCase):
    """A receiver whose peer is the test."""

    def start(self, window: int = 1) -> None:
        self.now = 50.0
        self.server = Server(Network(), lambda packet: None)
        self.target = Target()
        self.receiver = Receiver(
            self.server, self.target, terms(SIZE, window), TFTPSettings(), self.now
        )
        self.server.session = self.receiver
        self.receiver.begin(self.now)
        self.sent()

    def sent(self) -> list[bytes]:
        log, self.server.log = self.server.log, []
        return log

    def data(self, *blocks: int, last: bool = False) -> list[int]:
        """Deliver blocks; the numbers of the ACKs that go out for them."""
        for block in blocks:
            payload = b"%d" % (block % 10) * (SIZE - (last and block == blocks[-1]))
            self.receiver.packetReceived(wire.dataHeader(block) + payload, self.now)
        return self.acks()

    def acks(self) -> list[int]:
        return [packet[2] << 8 | packet[3] for packet in self.sent()]

    def wait(self) -> list[int]:
        """Let the timer ring."""
        self.now = self.receiver.due
        self.receiver.timeout(self.now)
        return self.acks()


class WindowTests(Moves):
    def test_windows(self) -> None:
        """An ACK for each window, and none in between."""
        self.start(4)
        self.assertEqual(self.data(1, 2, 3), [])
        self.assertEqual(self.data(4), [4])
        self.assertEqual(self.data(5, 6, 7, 8), [8])

    def test_gap(self) -> None:
        """A gap is told once a burst; the next window counts from there."""
        self.start(4)
        self.assertEqual(self.data(1, 3, 4), [1])
        self.assertEqual(self.data(2, 3, 4, 5), [5])
        self.assertEqual(self.target.blocks, [b"1" * SIZE, b"2" * SIZE, b"3" * SIZE, b"4" * SIZE,
                                              b"5" * SIZE])  # fmt: skip

    def test_gapAgain(self) -> None:
        """A second burst with the same gap is told again."""
        self.start(4)
        self.assertEqual(self.data(2, 3, 4), [0])
        self.assertEqual(self.data(2, 3, 4), [0])

    def test_repeatedWindow(self) -> None:
        """A window that comes again, because its ACK was lost, is confirmed once."""
        self.start(4)
        self.data(1, 2, 3, 4)
        self.assertEqual(self.data(1, 2, 3, 4), [4])
        self.assertEqual(self.data(1, 2, 3, 4), [4])
        self.assertEqual(len(self.target.blocks), 4)

    def test_doubledPacket(self) -> None:
        """A packet that comes twice within its window is not worth an ACK."""
        self.start(4)
        self.assertEqual(self.data(1, 1, 2, 2, 3), [])
        self.assertEqual(self.data(4), [4])

    def test_lostTail(self) -> None:
        """Silence within a window: what is here is confirmed, so that the rest comes."""
        self.start(4)
        self.data(1, 2, 3, 4)
        self.data(5, 6)
        self.assertEqual(self.wait(), [6])
        self.assertEqual(self.data(7, 8, 9, 10), [10])


class LockstepTests(Moves):
    def test_repeatedBlock(self) -> None:
        """Each repetition of the last block is confirmed: its ACK may be lost again."""
        self.start()
        self.assertEqual(self.data(1), [1])
        self.assertEqual(self.data(1), [1])
        self.assertEqual(self.data(1), [1])
        self.assertEqual(len(self.target.blocks), 1)

    def test_oldBlock(self) -> None:
        """A block from before that is not worth a word."""
        self.start()
        self.data(1, 2, 3)
        self.assertEqual(self.data(2), [3])
        self.assertEqual(self.data(1), [3])

    def test_timer(self) -> None:
        """The ACK is said again after a while, later than a sender would repeat a block."""
        self.start()
        self.data(1)
        self.now += 0.001
        self.data(2)
        before = self.now
        self.assertEqual(self.wait(), [2])
        self.assertGreaterEqual(self.now - before, 0.1)


class StorageTests(Moves):
    def test_noRoom(self) -> None:
        """While storage is behind, the window's ACK waits, and no block is lost."""
        self.start(4)
        self.target.room = False
        self.assertEqual(self.data(1, 2, 3, 4), [])
        self.assertEqual(len(self.target.blocks), 4)
        self.assertEqual(self.data(1, 2, 3, 4), [])
        self.assertEqual(self.wait(), [])
        self.target.room = True
        self.receiver.resume(self.now)
        self.assertEqual(self.acks(), [4])
        self.assertEqual(self.data(5, 6, 7, 8), [8])

    def test_publishing(self) -> None:
        """The last ACK waits until the file is where it belongs."""
        self.start()
        self.data(1)
        self.assertEqual(self.data(2, last=True), [])
        self.assertEqual(self.target.finished, 1)
        self.assertEqual(self.data(2, last=True), [])
        self.assertEqual(self.data(1), [])
        self.assertEqual(self.server.outcomes, [])
        self.receiver.published(self.now)
        self.assertEqual(self.acks(), [2])
        self.assertEqual(self.server.outcomes, [(Outcome.COMPLETED, "")])
        self.assertEqual(self.target.finished, 1)

    def test_dally(self) -> None:
        """Then it is repeated on request for a while, and the port closed."""
        self.start()
        self.data(1, last=True)
        self.receiver.published(self.now)
        self.sent()
        self.assertEqual(self.data(1, last=True), [1])
        self.assertEqual(self.server.closings, 0)
        self.assertEqual(self.wait(), [])
        self.assertEqual(self.server.closings, 1)
        self.assertEqual(len(self.server.outcomes), 1)
        self.assertTrue(self.receiver.over)

    def test_oneMore(self) -> None:
        """An empty block after the last one is confirmed too, once the file is there."""
        self.start()
        empty = wire.dataHeader(3)
        self.assertEqual(self.data(1, 2, last=True), [1])
        self.receiver.packetReceived(empty, self.now)
        self.assertEqual(self.acks(), [])
        self.receiver.published(self.now)
        self.receiver.packetReceived(empty, self.now)
        self.assertEqual(self.acks(), [2, 3])
        self.assertEqual(self.target.blocks, [b"1" * SIZE, b"2" * (SIZE - 1)])

    def test_failed(self) -> None:
        """Storage that fails is an ERROR, once."""
        self.start()
        self.data(1)
        self.receiver.fail(wire.ErrorCode.DISK_FULL, "no space left")
        self.assertEqual(self.sent(), [b"\0\5\0\3no space left\0"])
        self.receiver.fail(wire.ErrorCode.DISK_FULL, "no space left")
        self.assertEqual(self.sent(), [])
        self.assertEqual(self.server.outcomes, [(Outcome.FAILED, "no space left")])
        self.assertEqual(self.server.closings, 1)

    def test_clientError(self) -> None:
        """An ERROR of the client aborts the upload without an answer."""
        self.start()
        self.data(1)
        self.receiver.packetReceived(b"\0\5\0\3disk trouble\0", self.now)
        self.assertEqual(self.sent(), [])
        self.assertEqual(self.server.outcomes, [(Outcome.ABORTED, "client error 3: disk trouble")])

    def test_stalled(self) -> None:
        """A client that falls silent is given up after the time for that."""
        self.start()
        self.data(1)
        for _ in range(100):
            if self.receiver.over:
                break
            self.wait()
        self.assertEqual(self.server.outcomes, [(Outcome.STALLED, "timed out")])
        self.assertLess(self.now, 50.0 + 70.0)
