"""
The sending side of a transfer: RRQ on a server, WRQ on a client
(RFC 1350, RFC 1123 4.2.3, RFC 7440).

Theory of operation.  Blocks C{_base} to C{_next - 1} are on their way.  Block 0 is
the OACK, if there is one.  What may happen:

  - An ACK for the last block on its way: the next window.
  - An ACK in the middle: the peer misses the block after it and dropped those that
    followed, so sending starts again after it.  Not so if the blocks went out twice
    before: many peers confirm again what they had already.  Starting again then would
    send the next ones twice as well, and so on to the end of the file; the window
    moves on instead, and only silence says that there was a gap.
  - An ACK equal to the last one: with a window of 1 it never causes anything (the
    Sorcerer's Apprentice).  With larger windows it says that the first block of the
    window is missing, and sending starts over, but only once a window: some peers
    say it for each packet that follows.  It is not believed when it came sooner
    than a round trip after the window was sent, nor about a window after one that
    was repeated on suspicion; otherwise two copies of a window would go round for
    ever.
  - Nothing: after the timeout the last block of the window goes out once more, and
    after another one the whole window after the last ACK.

Where windows lose blocks again and again, they leave in several bursts (L{Pace}).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Protocol

from filehub.events import Outcome
from filehub.protocols.tftp import wire
from filehub.protocols.tftp.options import Terms
from filehub.protocols.tftp.pacing import Pace
from filehub.protocols.tftp.session import Buffer, Link, Session
from filehub.protocols.tftp.settings import TFTPSettings
from filehub.protocols.tftp.timing import RoundTrip

#: Octets that are asked for at once; what is more than a window waits here.
_BATCH: Final = 64 * 1024


class BlockSource(Protocol):
    """Where blocks come from."""

    @property
    def early(self) -> bool:
        """Does it cost nothing to take blocks some time before they are needed?"""

    def take(self, first: int, count: int) -> Sequence[Buffer] | None:
        """
        Up to C{count} blocks from block C{first} (1 is the first of all) on.  The
        last block of the file, and only it, is shorter than the block size.  They are
        good until the next call.
        L{None}: not yet; the session will be told to resume.
        """


class Sender(Session):
    """
    Sends the blocks of one file.

    @ivar base: the first block that is not confirmed.
    """

    #: Seconds until an ACK that is not understood is taken for a gap, at least.
    DOUBT: Final = 0.005

    def __init__(
        self, link: Link, source: BlockSource, terms: Terms, settings: TFTPSettings, now: float
    ) -> None:
        super().__init__(link, terms, settings, settings.minimumTimeout, now)
        self._source = source
        self._window = terms.window
        self._blksize = terms.blksize
        self._pace = Pace(terms.window)
        #: Blocks to ask the source for, if it has as many at hand.
        self._batch = max(terms.window, _BATCH // terms.blksize)
        self.base = self._next = 0 if terms.answer else 1
        #: One past the highest block that was ever sent.
        self._highest = self._next
        #: The last block of the file, once it is known.
        self._last = math.inf
        self._lastLength = 0
        #: Blocks that the source gave, and which is the first of them.
        self._stock: Sequence[Buffer] = ()
        self._stockFirst = 0
        #: The packets of a window, once there was one.
        self._frames: wire.Frames | None = None
        #: With a window of 1: the next packet, and which block it has.
        self._ready = b""
        self._readyFor = -1
        #: The ACK for all that is on its way.
        self._answer: bytes | None = None
        #: Some of what is on its way went out before.
        self._again = False
        #: It went out again because nothing came, so nobody can tell what an answer
        #: is the answer to (Karn's rule).
        self._timed = False
        #: When what is on its way was sent for the first time, if it was again.
        self._firstSentAt = now
        #: A repeated ACK may mean a lost block.
        self._believable = True
        #: The window on its way was repeated without being sure of a loss.
        self._suspicion = False
        #: Blocks below this one may have gone out twice.
        self._doubled = 0
        #: The last ACK may have meant a gap, or not; after so many blocks of a window.
        self._doubt = False
        self._through = 0
        #: Timeouts since the last ACK.
        self._silences = 0
        self._waiting = False

    @property
    def nbytes(self) -> int:
        """Octets of the file that the peer has confirmed."""
        if self.base > self._last:
            return (self.base - 2) * self._blksize + self._lastLength
        return max(0, self.base - 1) * self._blksize

    @property
    def blocks(self) -> int:
        """See L{Session.blocks}."""
        return max(0, self.base - 1)

    # --- what happens ---------------------------------------------------------------

    def goOn(self, block: int, sentAt: float, roundTrip: RoundTrip) -> None:
        """
        Instead of L{begin}: somebody else has sent this block, and all before it are
        confirmed.

        @param roundTrip: what was measured.
        """
        self.roundTrip = roundTrip
        self.proven = block > self.base
        self.base = self._next = self._highest = block
        self._copies = 1
        self._progress = sentAt
        if block:
            self._load(block, self._batch)
        self._sent(1, sentAt)

    def begin(self, now: float) -> None:
        """Send the first packet: the OACK, or else block 1."""
        self._progress = now
        self._transmit(now)

    def packetReceived(self, packet: bytes, now: float) -> None:
        """
        An ACK or an ERROR; anything else is ignored.  An ACK may be longer than four
        octets (the variable window extension of Windows' loaders).
        """
        if packet == self._answer:
            self._allConfirmed(now)
            return
        if len(packet) < wire.HEADER_LENGTH or packet[0]:
            return
        kind = packet[1]
        if kind == wire.ACK:
            if packet[: wire.HEADER_LENGTH] == self._answer:
                self._allConfirmed(now)
            else:
                self._acknowledged(packet[2] << 8 | packet[3], now)
        elif kind == wire.ERROR:
            self._refusedBy(wire.parseError(packet))

    def resume(self, now: float) -> None:
        """The source has the blocks that it had not, or the link has room."""
        self._waiting = False
        if not self.over:
            self._transmit(now)

    def timeout(self, now: float) -> None:
        """Nothing came in time: start again after the last ACK, or give up."""
        if self.over:
            return
        if now - self._progress >= self.settings.stall:
            self.fail(wire.ErrorCode.NOT_DEFINED, "timed out", Outcome.STALLED)
        elif self._waiting:
            self.due = self._progress + self.settings.stall
        elif self.pausing:
            self._transmit(now)
        elif not self.proven and not self._mayRepeatFirst():
            return
        elif self._doubt:
            self._pace.lost(self._through)
            self._rewind(now)
        elif self._next > self._last and now - self._progress >= self.settings.linger:
            # Many clients do not send the last ACK, or send it once and are gone.
            self._finish(Outcome.UNCONFIRMED, "the last block was never confirmed")
        else:
            self._silence(now)

    def refused(self) -> None:
        """The peer's port is closed: after the last block that is a way to be done."""
        if self.proven and self._next > self._last:
            self._finish(Outcome.UNCONFIRMED, "the client left without the last ACK")
        else:
            super().refused()

    # --- how it works ---------------------------------------------------------------

    def _allConfirmed(self, now: float) -> None:
        """The peer has all that is on its way.  This is where the time goes."""
        trip = self.roundTrip
        if self._again:
            self._measureAgain(now, self._next)
            self._again = self._doubt = self._timed = False
            self._believable = not self._suspicion
            self._suspicion = False
            self._silences = 0
        else:
            elapsed = now - self._sentAt
            if elapsed >= trip.negligible:
                trip.sample(elapsed)
            elif elapsed < trip.shortest:
                trip.shortest = elapsed
            self._believable = True
        if self._pace.watchful and not self.pausing:
            self._pace.arrived()
        self.base = self._next
        self.proven = True
        self._progress = now
        if self.base > self._last:
            self._finish(Outcome.COMPLETED)
        elif not self._waiting:
            self._transmit(now)

    def _acknowledged(self, number: int, now: float) -> None:
        """Some other ACK: for a part of it, a repeated one, or nonsense."""
        ahead = self._distance(number, self.base - 1)
        if ahead < 0 or self.base + ahead > self._next or self.over:
            self.counts.duplicates += 1
            return
        trip = self.roundTrip
        early = trip.tooSoon(now - self._sentAt)
        if ahead == 0:
            if early or not self._believable or self._window == 1 or self._next <= self.base:
                self.counts.duplicates += 1
                return
            self._believable = False
            self._suspicion = True
            self._pace.lost(0)
            self._rewind(now)
            return
        self.base += ahead
        self.proven = True
        self._progress = now
        self._believable = True
        self._silences = 0
        self._measureAgain(now, self.base)
        if early or self.base <= self._doubled:
            # About blocks that went out twice: maybe the peer only says that it had
            # them before.  The window moves on; if there is a gap, it stays silent.
            if not self._waiting:
                self._transmit(now)
            if self._next > self.base:
                self._doubt = True
                self._through = ahead
                self.due = now + min(trip.timeout, max(2 * trip.smoothed, self.DOUBT))
        else:
            self._pace.lost(ahead)
            self._rewind(now)

    def _measureAgain(self, now: float, base: int) -> None:
        """
        Make what can be made of an ACK for the blocks before C{base}, when some went
        out twice.
        """
        trip = self.roundTrip
        elapsed = now - self._sentAt
        if trip.tooSoon(elapsed):
            if self._timed:
                # For the first copy: the timeout was too short for this peer.
                trip.sample(now - self._firstSentAt)
        elif self._timed:
            return
        elif base > self._doubled:
            trip.sample(elapsed)
        elif trip.shortest < math.inf:
            # It may be for the first copy, and then says too little.
            trip.sample(max(elapsed, trip.shortest))

    def _rewind(self, now: float) -> None:
        self.counts.rewinds += 1
        self._startAgain()
        self._timed = False
        if not self._waiting:
            self._transmit(now)

    def _silence(self, now: float) -> None:
        """The timer says that something is lost."""
        self.counts.timeouts += 1
        self.roundTrip.backOff()
        self._silences += 1
        self._timed = True
        if self._silences == 1 and self._next - self.base > 1:
            # Either the end of the window is lost, or its ACK: the last block alone
            # finds out, and the peer says what else it misses.
            self._sendsAgain()
            self._next -= 1
            self._transmit(now, 1)
        else:
            self._startAgain()
            self._suspicion = True
            self._believable = False
            self._transmit(now)
        settings = self.settings
        patience = settings.linger if self._next > self._last else settings.stall
        self.due = min(self.due, self._progress + patience)

    def _refusedBy(self, error: wire.ErrorPacket) -> None:
        if self.terms.answer and self.base <= 1:
            # It only wanted to see the OACK, for the size in it.
            self._finish(Outcome.PROBED, error.message)
        else:
            self._finish(Outcome.ABORTED, f"client error {error.code}: {error.message}")

    def _sendFirst(self, now: float) -> None:
        self._startAgain()
        self._timed = True
        self._transmit(now)

    def _startAgain(self) -> None:
        self._doubled = max(self._doubled, self._next)
        self._sendsAgain()
        self._next = self.base

    def _sendsAgain(self) -> None:
        self._doubt = False
        if not self._again:
            self._firstSentAt = self._sentAt
            self._again = True

    def _transmit(self, now: float, most: int = 65536) -> None:
        """Send what the window allows, or one burst of it."""
        self.pausing = False
        first = self._next
        if self._window == 1 and first == self.base and self.proven:
            # Stop and wait: this is all there is to it.
            if self._readyFor == first or self._prepare(first):
                self.link.send(self._ready)
                self._sent(1, now)
                if first < self._last:
                    # The peer is busy with this one: time to see to the next.
                    self._prepare(first + 1)
            elif not self.over:
                self._wait()
            return
        at = first - self._stockFirst
        most = min(most, self._pace.burst)
        if not self.proven:
            self._copies += 1
            if first == 0:
                self.link.send(wire.encodeOptionAck(self.terms.answer))
                self._sent(1, now)
                return
        count = self.base + self._window - first
        if count > most:
            count = most
        if first + count > self._last:
            count = int(self._last) + 1 - first
        if count <= 0:
            return
        if at < 0 or at + count > len(self._stock):
            if not self._restock(first, count):
                return
            at = 0
            count = min(count, len(self._stock))
        if count == 1:
            self.link.send(self._packet(first, self._stock[at]))
        else:
            taken = self._sendWindow(first, self._stock[at : at + count])
            if taken < count:
                # Told to resume when there is room.
                self._waiting = True
                count = taken
                if not count:
                    self.due = self._progress + self.settings.stall
                    return
        self._sent(count, now)
        if self._waiting:
            self.due = self._progress + self.settings.stall
        elif self._next < self.base + self._window and self._next <= self._last:
            if most > count:
                # The source had less at hand.
                self._transmit(now, most - count)
            elif self._pace.burst < self._window:
                self.pausing = True
                self.due = now + self._pace.pause(self.roundTrip.smoothed)
        elif self._source.early and self._next <= self._last:
            # The peer is busy with this window: time to see to the next.
            if not 0 <= self._next - self._stockFirst < len(self._stock):
                self._load(self._next, self._batch)

    def _packet(self, block: int, payload: Buffer) -> bytes:
        number = block if block < 65536 else self._number(block)
        return wire.packHeader(wire.DATA, number) + payload

    def _sendWindow(self, first: int, payloads: Sequence[Buffer]) -> int:
        if self._frames is None:
            self._frames = wire.Frames(self._window)
        parts = self._frames.around(payloads, self._numbers(first, len(payloads)))
        return self.link.sendBlocks(parts, wire.HEADER_LENGTH + self._blksize)

    def _restock(self, first: int, count: int) -> bool:
        """Ask the source; whether there is anything to send."""
        if self._load(first, max(count, self._batch)):
            return True
        if not self.over:
            if not self.proven:
                self._copies -= 1
            self._wait()
        return False

    def _wait(self) -> None:
        """The source has nothing yet."""
        self._waiting = True
        self.due = self._progress + self.settings.stall

    def _prepare(self, block: int) -> bool:
        """Make a packet of a block, if the source has it."""
        at = block - self._stockFirst
        if not 0 <= at < len(self._stock):
            if not self._load(block, self._batch):
                return False
            at = 0
        self._ready = self._packet(block, self._stock[at])
        self._readyFor = block
        return True

    def _load(self, first: int, count: int) -> bool:
        """Take blocks out of the source; whether it has them, and there is a use for them."""
        stock = self._source.take(first, count)
        if stock is None or self.over:
            self._stock = ()
            return False
        self._stock, self._stockFirst = stock, first
        if len(stock[-1]) < self._blksize:
            self._last = first + len(stock) - 1
            self._lastLength = len(stock[-1])
        return True

    def _sent(self, count: int, now: float) -> None:
        following = self._next + count
        if following > self._highest:
            self.counts.retransmits += self._highest - self._next
            self._highest = following
        else:
            self.counts.retransmits += count
        self._next = following
        last = following - 1
        self._answer = wire.packHeader(wire.ACK, last if last < 65536 else self._number(last))
        self._sentAt = now
        self.due = now + self.roundTrip.timeout
