"""
The sending side, move by move.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from twisted.trial.unittest import SynchronousTestCase

from filehub.events import Outcome
from filehub.protocols.tftp import wire
from filehub.protocols.tftp.options import Terms
from filehub.protocols.tftp.sender import Sender
from filehub.protocols.tftp.session import Buffer
from filehub.protocols.tftp.settings import TFTPSettings
from tests.protocols.tftp.network import Blocks, Network, Server, Weather, download, terms

CONTENT = bytes(range(250)) * 10
RTT = 0.002


class Moves(SynchronousTestCase):
    """A sender whose peer is the test."""

    def start(self, blksize: int = 100, window: int = 1, content: bytes = CONTENT) -> None:
        self.now = 50.0
        self.network = Network()
        self.server = Server(self.network, lambda packet: None)
        self.source = Blocks(content, blksize)
        self.sender = Sender(
            self.server, self.source, terms(blksize, window), TFTPSettings(), self.now
        )
        self.server.session = self.sender
        self.sender.begin(self.now)

    def sent(self) -> list[int]:
        """The numbers of the blocks that went out since the last time; 0 for an OACK."""
        log, self.server.log = self.server.log, []
        return [0 if packet[1] == wire.OACK else packet[2] << 8 | packet[3] for packet in log]

    def ack(self, number: int, after: float = RTT) -> list[int]:
        """Acknowledge after so many seconds; what goes out for it."""
        self.sent()
        self.now += after
        self.sender.packetReceived(wire.encodeAck(number), self.now)
        return self.sent()

    def wait(self, seconds: float | None = None) -> list[int]:
        """Let time pass, or the timer ring; what goes out."""
        self.sent()
        self.now = self.sender.due if seconds is None else self.now + seconds
        if self.sender.due <= self.now:
            self.sender.timeout(self.now)
        return self.sent()


class WindowTests(Moves):
    def test_windows(self) -> None:
        """One after the other, each after the ACK of its last block."""
        self.start(window=4)
        self.assertEqual(self.sent(), [0])
        self.assertEqual(self.ack(0), [1, 2, 3, 4])
        self.assertEqual(self.ack(4), [5, 6, 7, 8])

    def test_gap(self) -> None:
        """An ACK in the middle: at once again from the block after it."""
        self.start(window=4)
        self.ack(0)
        self.assertEqual(self.ack(2), [3, 4, 5, 6])
        self.assertEqual(self.sender.counts.rewinds, 1)
        self.assertEqual(self.sender.counts.retransmits, 2)

    def test_firstOfWindow(self) -> None:
        """The last ACK again: the first block of the window is missing."""
        self.start(window=4)
        self.ack(0)
        self.ack(4)
        self.assertEqual(self.ack(4), [5, 6, 7, 8])

    def test_onlyOnce(self) -> None:
        """A peer that says it for each packet that follows makes us start over once."""
        self.start(window=4)
        self.ack(0)
        self.ack(4)
        self.assertEqual(self.ack(4), [5, 6, 7, 8])
        for _ in range(3):
            self.assertEqual(self.ack(4, 0.0001), [])
        self.assertEqual(self.ack(4), [])
        self.assertEqual(self.ack(8), [9, 10, 11, 12])

    def test_tooSoon(self) -> None:
        """A repeated ACK sooner than the round trip is about an earlier window."""
        self.start(window=4)
        self.ack(0)
        self.ack(4)
        self.assertEqual(self.ack(4, RTT / 4), [])
        self.assertEqual(self.sender.counts.duplicates, 1)

    def test_doubledWindow(self) -> None:
        """After a window that went out twice, its second ACK does not double the next."""
        self.start(window=4)
        self.ack(0)
        self.ack(4)
        self.ack(4)
        self.ack(8)
        self.assertEqual(self.ack(8), [])
        self.assertEqual(self.ack(12), [13, 14, 15, 16])

    def test_doubledPart(self) -> None:
        """An ACK for blocks that went out twice moves the window, and does not rewind."""
        self.start(window=4)
        self.ack(0)
        self.assertEqual(self.ack(1), [2, 3, 4, 5])
        self.assertEqual(self.ack(4), [6, 7, 8])
        self.assertEqual(self.ack(8), [9, 10, 11, 12])

    def test_doubtfulSilence(self) -> None:
        """If such an ACK meant a gap, silence says so after two round trips."""
        self.start(window=4)
        self.ack(0)
        self.ack(1)
        self.assertEqual(self.ack(4), [6, 7, 8])
        self.assertLess(self.sender.due - self.now, 0.011)
        self.assertEqual(self.wait(), [5, 6, 7, 8])
        self.assertEqual(self.sender.counts.timeouts, 0)

    def test_lostTail(self) -> None:
        """Silence after a window: its last block alone, then all of it."""
        self.start(window=4)
        self.ack(0)
        self.assertEqual(self.wait(), [4])
        self.assertEqual(self.wait(), [1, 2, 3, 4])
        self.assertEqual(self.ack(4), [5, 6, 7, 8])

    def test_probeAnswered(self) -> None:
        """The answer to the last block says what is missing; nothing more is sent again."""
        self.start(window=4)
        self.ack(0)
        self.wait()
        self.assertEqual(self.ack(2), [3, 4, 5, 6])

    def test_notSentYet(self) -> None:
        """An ACK beyond what was sent is nonsense."""
        self.start(window=4)
        self.ack(0)
        self.assertEqual(self.ack(5), [])
        self.assertEqual(self.ack(4), [5, 6, 7, 8])

    def test_fullBuffer(self) -> None:
        """What the kernel does not take goes out when there is room again."""
        self.start(window=8)
        self.server.room = 3
        self.assertEqual(self.ack(0), [1, 2, 3])
        self.server.room = None
        self.sender.resume(self.now)
        self.assertEqual(self.sent(), [4, 5, 6, 7, 8])
        self.assertEqual(self.ack(8), [9, 10, 11, 12, 13, 14, 15, 16])

    def test_noRoomAtAll(self) -> None:
        """Even if it takes none of them."""
        self.start(window=8)
        self.server.room = 0
        self.assertEqual(self.ack(0), [])
        self.assertEqual(self.wait(1.0), [])
        self.server.room = None
        self.sender.resume(self.now)
        self.assertEqual(self.sent(), [1, 2, 3, 4, 5, 6, 7, 8])


class LockstepTests(Moves):
    def test_repeatedAck(self) -> None:
        """With a window of 1 only the timer sends a block again."""
        self.start()
        self.ack(0)
        self.ack(1)
        for after in (0.0, RTT, 0.01):
            self.assertEqual(self.ack(1, after), [])
        self.assertEqual(self.wait(), [2])

    def test_backoff(self) -> None:
        """Each silence is twice as long as the one before, up to the ceiling."""
        self.start()
        self.ack(0)
        gaps = []
        for _ in range(10):
            before = self.now
            self.wait()
            gaps.append(self.now - before)
        for earlier, later in pairwise(gaps[:8]):
            self.assertAlmostEqual(later, 2 * earlier)
        self.assertAlmostEqual(gaps[0], 0.02)
        self.assertAlmostEqual(gaps[9], 8.0)

    def test_karn(self) -> None:
        """After a repeated block the timeout stays long until one was answered alone."""
        self.start()
        self.ack(0)
        self.wait()
        self.ack(1, 0.010)
        self.assertAlmostEqual(self.sender.due - self.now, 0.04)
        self.ack(2)
        self.assertAlmostEqual(self.sender.due - self.now, 0.02)

    def test_falseAlarm(self) -> None:
        """An answer right after the repetition is for the first copy: it is measured."""
        self.start()
        self.ack(0)
        self.wait()
        self.ack(1, 0.0005)
        self.assertGreater(self.sender.roundTrip.smoothed, 0.003)


class WaitingTests(Moves):
    def test_slowStorage(self) -> None:
        """While storage has nothing, nothing is sent, and nobody gives up."""
        self.start()
        real = self.source.take
        self.source.take = lambda first, count: None  # type: ignore[method-assign]
        self.sender._stock = ()
        self.assertEqual(self.ack(0), [])
        self.assertEqual(self.wait(10.0), [])
        self.source.take = real  # type: ignore[method-assign]
        self.sender.resume(self.now)
        self.assertEqual(self.sent(), [1])
        self.assertEqual(self.ack(1), [2])

    def test_ahead(self) -> None:
        """With a window of 1, what comes next is asked for while the peer is busy."""
        self.start()
        asked: list[int] = []
        real = self.source.take

        def take(first: int, count: int) -> Sequence[Buffer] | None:
            asked.append(first)
            return real(first, 1) if ready else None

        self.source.take = take  # type: ignore[method-assign]
        self.sender._stock = ()
        ready = True
        self.assertEqual(self.ack(0), [1])
        self.assertEqual(self.ack(1), [2])
        self.assertEqual(asked, [1, 2, 3])
        ready = False
        self.assertEqual(self.ack(2), [3])
        # Storage is asked already, and what was sent is repeated all the same.
        self.assertEqual(asked[-1], 4)
        ready = True
        self.sender.resume(self.now)
        self.assertEqual(self.sent(), [])
        self.assertEqual(self.wait(), [3])
        self.assertEqual(self.ack(3), [4])

    def test_firstBlockWaits(self) -> None:
        """A first block that has to be waited for is not counted as a copy."""

        class Slow(Blocks):
            ready = False

            def take(self, first: int, count: int) -> Sequence[Buffer] | None:
                return super().take(first, count) if self.ready else None

        server = Server(Network(), lambda packet: None)
        source = Slow(CONTENT, 512)
        sender = Sender(server, source, Terms(), TFTPSettings(), 0.0)
        server.session = sender
        sender.begin(0.0)
        source.ready = True
        sender.resume(1.0)
        for _ in range(3):
            sender.timeout(sender.due)
        self.assertEqual(len(server.log), 4)
        sender.timeout(sender.due)
        self.assertEqual(server.outcomes[0][0], Outcome.STALLED)
        self.assertEqual(len(server.log), 4)


class RoundTripTests(SynchronousTestCase):
    def test_roundTrips(self) -> None:
        """T-F6: from 0.1 ms to 500 ms, nothing is sent in vain once it has been measured."""
        for delay in (0.00005, 0.001, 0.01, 0.05, 0.25):
            network = Network(weather=Weather(delay=delay))
            server, reader = download(bytes(200 * 100), terms(100), network)
            self.assertTrue(reader.complete)
            self.assertEqual(server.session.counts.retransmits, 0, delay)

    def test_slowerMeanwhile(self) -> None:
        """A way that becomes a hundred times slower is noticed after a few blocks."""
        network = Network(weather=Weather(delay=0.001))
        network.at(100.2, lambda: setattr(network.weather, "delay", 0.1))
        server, reader = download(bytes(400 * 100), terms(100), network)
        self.assertTrue(reader.complete)
        self.assertLess(server.session.counts.retransmits, 20)

    def test_negotiated(self) -> None:
        """C{timeout} bounds the timer from above; the measurement rules below it."""
        agreed = Terms(100, 1, 1.0, None, 0, ((b"timeout", b"1"),))
        server = Server(Network(), lambda packet: None)
        sender = Sender(server, Blocks(CONTENT, 100), agreed, TFTPSettings(), 0.0)
        server.session = sender
        sender.begin(0.0)
        self.assertEqual(sender.due, 1.0)
        sender.packetReceived(wire.encodeAck(0), 0.001)
        self.assertAlmostEqual(sender.due, 0.021)
        for _ in range(10):
            sender.timeout(sender.due)
        before = sender.due
        sender.timeout(sender.due)
        self.assertAlmostEqual(sender.due - before, 1.0)
