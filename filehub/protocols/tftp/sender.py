"""
The sending side of a transfer: RRQ on a server, WRQ on a client
(RFC 1350, RFC 1123 4.2.3, RFC 7440).

Theory of operation.  Blocks C{_base} to C{_next - 1} are on their way.  Block 0 is
the OACK, if there is one.  What may happen:

  - An ACK for the last block on its way: the next window.
  - An ACK in the middle: the peer misses the block after it and dropped those that
    followed, so sending starts again after it.
  - An ACK equal to the last one: with a window of 1 it never causes anything (the
    Sorcerer's Apprentice).  With larger windows it says that the first block of the
    window is missing, and sending starts over, but only once a window: some peers
    say it for each packet that follows.  It is not believed when it came sooner
    than a round trip after the window was sent, nor about a window after one that
    was repeated on suspicion; otherwise two copies of a window would go round for
    ever.
  - Nothing: after the timeout sending starts again after the last ACK.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from filehub.events import Outcome
from filehub.protocols.tftp import wire
from filehub.protocols.tftp.options import Terms
from filehub.protocols.tftp.session import Buffer, Link, Session
from filehub.protocols.tftp.settings import TFTPSettings


class BlockSource(Protocol):
    """Where blocks come from."""

    def take(self, first: int, count: int) -> Sequence[Buffer] | None:
        """
        Up to C{count} blocks from block C{first} (1 is the first of all) on.  The
        last block of the file, and only it, is shorter than the block size.
        L{None}: not yet; the session will be told to resume.
        """


class Sender(Session):
    """
    Sends the blocks of one file.

    @ivar base: the first block that is not confirmed.
    """

    def __init__(
        self, link: Link, source: BlockSource, terms: Terms, settings: TFTPSettings, now: float
    ) -> None:
        super().__init__(link, terms, settings, settings.minimumTimeout, now)
        self._source = source
        self._window = terms.window
        self._blksize = terms.blksize
        self.base = self._next = 0 if terms.answer else 1
        #: One past the highest block that was ever sent.
        self._highest = self._next
        #: The last block of the file, once it is known.
        self._last = math.inf
        self._lastLength = 0
        #: What an ACK for all that is on its way says.
        self._expected = -1
        #: Some of what is on its way went out before.
        self._again = False
        #: When what is on its way was sent for the first time, if it was again.
        self._firstSentAt = now
        #: A repeated ACK may mean a lost block.
        self._believable = True
        #: The window on its way was repeated without being sure of a loss.
        self._suspicion = False
        self._waiting = False

    @property
    def nbytes(self) -> int:
        """Octets of the file that the peer has confirmed."""
        if self.base > self._last:
            return (self.base - 2) * self._blksize + self._lastLength
        return self.counts.blocks * self._blksize

    # --- what happens ---------------------------------------------------------------

    def begin(self, now: float) -> None:
        """Send the first packet: the OACK, or else block 1."""
        self._progress = now
        self._transmit(now)

    def packetReceived(self, packet: bytes, now: float) -> None:
        """
        An ACK or an ERROR; anything else is ignored.  An ACK may be longer than four
        octets (the variable window extension of Windows' loaders).
        """
        if len(packet) < wire.HEADER_LENGTH or packet[0]:
            return
        kind = packet[1]
        if kind == wire.ACK:
            self.acknowledged(packet[2] << 8 | packet[3], now)
        elif kind == wire.ERROR:
            self._refusedBy(wire.parseError(packet))

    def acknowledged(self, number: int, now: float) -> None:
        """An ACK with this block number."""
        if number == self._expected:
            self._advance(self._next, now)
            if not self._again:
                self.roundTrip.sample(now - self._sentAt)
            elif self.roundTrip.tooSoon(now - self._sentAt):
                # The answer to the first copy: the timeout was too short for this peer.
                self.roundTrip.sample(now - self._firstSentAt)
            self._again = False
            self._believable = not self._suspicion
            self._suspicion = False
        else:
            ahead = self._distance(number, self.base - 1)
            if ahead < 0 or self.base + ahead > self._next or self.over:
                self.counts.duplicates += 1
                return
            early = self.roundTrip.tooSoon(now - self._sentAt)
            if ahead == 0:
                if early or not self._believable or self._window == 1 or self._next <= self.base:
                    self.counts.duplicates += 1
                    return
                self._believable = False
                self._suspicion = True
            else:
                self._advance(self.base + ahead, now)
                self._believable = True
            if not early:
                self.counts.rewinds += 1
                self._startAgain()
        if self.base > self._last:
            self._finish(Outcome.COMPLETED)
        elif not self._waiting:
            self._transmit(now)

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
        elif not self.proven and not self._stillUnproven():
            return
        elif self._next > self._last and now - self._progress >= self.settings.linger:
            # Many clients do not send the last ACK, or send it once and are gone.
            self._finish(Outcome.UNCONFIRMED, "the last block was never confirmed")
        else:
            self.counts.timeouts += 1
            self.roundTrip.backOff()
            self._suspicion = True
            self._believable = False
            self._startAgain()
            self._transmit(now)

    def refused(self) -> None:
        """The peer's port is closed: after the last block that is a way to be done."""
        if self.proven and self._next > self._last:
            self._finish(Outcome.UNCONFIRMED, "the client left without the last ACK")
        else:
            super().refused()

    # --- how it works ---------------------------------------------------------------

    def _advance(self, base: int, now: float) -> None:
        self.counts.blocks += base - self.base if self.base else base - 1
        self.base = base
        self.proven = True
        self._progress = now

    def _refusedBy(self, error: wire.ErrorPacket) -> None:
        if self.terms.answer and self.base <= 1:
            # It only wanted to see the OACK, for the size in it.
            self._finish(Outcome.PROBED, error.message)
        else:
            self._finish(Outcome.ABORTED, f"client error {error.code}: {error.message}")

    def _sendFirst(self, now: float) -> None:
        self._startAgain()
        self._transmit(now)

    def _startAgain(self) -> None:
        if not self._again:
            self._firstSentAt = self._sentAt
            self._again = True
        self._next = self.base

    def _transmit(self, now: float) -> None:
        """Send what the window allows."""
        first = self._next
        if not self.proven:
            self._copies += 1
        if first == 0:
            self.link.send(wire.encodeOptionAck(self.terms.answer))
            self._sent(1, now)
            return
        count = self.base + self._window - first
        if first > self._last or count <= 0:
            return
        payloads = self._source.take(first, count)
        if self.over:
            return
        if payloads is None:
            if not self.proven:
                self._copies -= 1
            self._waiting = True
            self.due = self._progress + self.settings.stall
            return
        count = len(payloads)
        if len(payloads[-1]) < self._blksize:
            self._last = first + count - 1
            self._lastLength = len(payloads[-1])
        if count == 1:
            self.link.send(wire.dataHeader(self._number(first)) + payloads[0])
        else:
            parts: list[Buffer] = []
            number = self._number
            header = wire.dataHeader
            for payload in payloads:
                parts += (header(number(first)), payload)
                first += 1
            taken = self.link.sendBlocks(parts, wire.HEADER_LENGTH + self._blksize)
            if taken < count:
                self._waiting = True
                count = taken
        if count:
            self._sent(count, now)
        if self._waiting:
            self.due = self._progress + self.settings.stall
            return
        if self._next < self.base + self._window and self._next <= self._last:
            # The source gave less than a window, at the end of what it had at hand.
            self._transmit(now)

    def _sent(self, count: int, now: float) -> None:
        following = self._next + count
        again = min(following, self._highest) - self._next
        if again > 0:
            self.counts.retransmits += again
        if following > self._highest:
            self._highest = following
        self._next = following
        self._expected = self._number(following - 1)
        self._sentAt = now
        self.due = now + self.roundTrip.timeout
