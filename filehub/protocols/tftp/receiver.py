"""
The receiving side of a transfer: WRQ on a server, RRQ on a client
(RFC 1350, RFC 1123 4.2.3, RFC 7440).

Theory of operation.  Blocks below C{_expected} are in the target's hands.  An ACK
goes out after each window, for the last block once the target has published it, and
for what is in order when a block is missing: once for each burst that comes after the
gap.  A block that was there already is confirmed again only if it is from before the
last ACK, which then was lost: so not sooner than a round trip after that; also once for
each burst.  A window is confirmed before the target sees it, which has more to do
with it than the peer has to wait for; when it says that it cannot take more, the next
ACK waits.  After the last ACK the session stays for a while to repeat it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Protocol

from filehub.events import Outcome
from filehub.protocols.tftp import wire
from filehub.protocols.tftp.options import Terms
from filehub.protocols.tftp.session import Buffer, Link, Session
from filehub.protocols.tftp.settings import TFTPSettings
from filehub.transfer.windows import Arrivals


class BlockTarget(Protocol):
    """Where blocks go."""

    def extend(self, payloads: Sequence[Buffer]) -> bool:
        """
        Take the next blocks; what they are in is used for others afterwards.  False:
        take another window at the most, and no more before the session was told to
        resume.
        """

    def finish(self) -> None:
        """
        That was all: publish, then call L{Receiver.published}, or L{Session.fail}.
        """


class Receiver(Session):
    """Receives the blocks of one file."""

    #: Old senders answer a repeated ACK with a repeated block, so with a window of 1
    #: an ACK is not repeated as quickly as a block would be.
    SINGLE_FLOOR: Final = 0.1

    def __init__(
        self, link: Link, target: BlockTarget, terms: Terms, settings: TFTPSettings, now: float
    ) -> None:
        floor = settings.minimumTimeout
        super().__init__(
            link, terms, settings, floor if terms.window > 1 else max(floor, self.SINGLE_FLOOR), now
        )
        self._target = target
        self._blksize = terms.blksize
        self._window = terms.window
        self._expected = 1
        #: The highest block that was confirmed.
        self._confirmed = 0
        #: The block that closes the window.
        self._closes = terms.window
        #: The last packet after a gap, or from before the last ACK, that was answered.
        self._gap = 0
        self._stale = 0
        #: The ACK on its way was sent once, and nothing has come since.
        self._measuring = False
        #: The target had room when it was asked last.
        self._room = True
        self._waiting = False
        #: With a window of 1: the header of the block that comes next, and the length
        #: of its packet.
        self._awaited = b""
        self._whole = wire.HEADER_LENGTH + terms.blksize
        #: The last block is here; now it is the target's turn.
        self._complete = False
        #: Octets by which it is shorter than the others.
        self._lacking = 0
        self._published = False

    @property
    def blocks(self) -> int:
        """See L{Session.blocks}."""
        return self._expected - 1

    @property
    def nbytes(self) -> int:
        """See L{Session.nbytes}."""
        return (self._expected - 1) * self._blksize - self._lacking

    @property
    def wanted(self) -> int:  # type: ignore[override]
        """See L{Session}."""
        if self._complete or self._waiting or self.over:
            return 0
        return self._closes + 1 - self._expected

    # --- what happens ---------------------------------------------------------------

    def begin(self, now: float) -> None:
        """Say that data may come: with an OACK, or else ACK 0."""
        self._progress = now
        self._sendFirst(now)

    def packetReceived(self, packet: bytes, now: float) -> None:
        """DATA or an ERROR; anything else is ignored."""
        if packet[: wire.HEADER_LENGTH] == self._awaited and len(packet) == self._whole:
            self._accept((packet[wire.HEADER_LENGTH :],), now)
            return
        if len(packet) < wire.HEADER_LENGTH or packet[0]:
            return
        kind = packet[1]
        if kind == wire.DATA:
            self.dataReceived(packet[2] << 8 | packet[3], packet[wire.HEADER_LENGTH :], now)
        elif kind == wire.ERROR and not self._published:
            error = wire.parseError(packet)
            self._finish(Outcome.ABORTED, f"client error {error.code}: {error.message}")

    def windowReceived(self, arrivals: Arrivals, count: int, now: float) -> bool:
        """See L{Session.windowReceived}."""
        if not arrivals.headed(wire.blockHeaders(self._numbers(self._expected, count))):
            return False
        self._accept(arrivals.blocks[:count], now)
        return True

    def dataReceived(self, number: int, payload: bytes, now: float) -> None:
        """A block."""
        expected = self._expected
        if number != expected:
            ahead = self._distance(number, expected)
            if ahead:
                self._outOfOrder(expected + ahead, now)
                return
        if self._complete or self.over:
            if self._published and not payload:
                # When block 65536 is the last one, curl and tftp-hpa take its ACK 0 for
                # the one before the first block, and end with an empty one more.
                self.link.send(wire.encodeAck(number))
            return
        if len(payload) > self._blksize:
            self.fail(wire.ErrorCode.ILLEGAL_OPERATION, "block longer than agreed")
            return
        if self._waiting:
            # Beyond the window: our silence asks the peer to wait for our storage.
            self.counts.duplicates += 1
            return
        if len(payload) == self._blksize:
            self._accept((payload,), now)
        else:
            self._ends(payload, now)

    def resume(self, now: float) -> None:
        """The target takes blocks again."""
        if self._waiting and not self.over:
            self._waiting = False
            self._room = True
            self._progress = now
            self._acknowledge(now)

    def published(self, now: float) -> None:
        """
        The target has the file where it belongs: tell the peer, and stay a while in
        case that the ACK gets lost.
        """
        if not self.over:
            self._published = True
            self._awaited = b""
            self.link.send(wire.encodeAck(self._number(self._expected - 1)))
            # Not over: over means that no packet is answered any more.
            self.due = now + max(2 * self.roundTrip.timeout, self.settings.dally)
            self.link.finished(Outcome.COMPLETED, "")

    def timeout(self, now: float) -> None:
        """Nothing came in time: say again what is here, or give up."""
        if self.over:
            return
        if self._published:
            self._finish(Outcome.COMPLETED)
        elif self._complete or self._waiting:
            self.due = now + self.settings.stall
        elif now - self._progress >= self.settings.stall:
            self.fail(wire.ErrorCode.NOT_DEFINED, "timed out", Outcome.STALLED)
        elif not self.proven and not self._mayRepeatFirst():
            return
        else:
            self.counts.timeouts += 1
            self.counts.retransmits += 1
            self.roundTrip.backOff()
            if self.proven:
                self._acknowledge(now)
            else:
                self._sendFirst(now)
            self._measuring = False

    def fail(self, code: int, text: str, outcome: Outcome = Outcome.FAILED) -> None:
        """See L{Session.fail}; what was published does not fail any more."""
        if self._published:
            self._finish(outcome)
        else:
            super().fail(code, text, outcome)

    def _finish(self, outcome: Outcome, reason: str = "") -> None:
        if not self._published:
            super()._finish(outcome, reason)
        elif not self.over:
            # The record was made when the file was published.
            self.over = True
            self.due = math.inf
            self.link.closed()

    # --- how it works ---------------------------------------------------------------

    def _accept(self, payloads: Sequence[Buffer], now: float) -> None:
        """The next blocks, all of them whole and of the same window."""
        last = self._advance(len(payloads), now)
        if last == self._closes and self._room:
            # First of all: the peer does nothing until it has this.
            self._acknowledge(now)
            self._room = self._target.extend(payloads)
            return
        self._room = self._target.extend(payloads)
        if self.over:
            return
        if last < self._closes:
            self.due = now + self.roundTrip.timeout
        elif self._room:
            self._acknowledge(now)
        else:
            self._waiting = self.asked = True
            self.due = now + self.settings.stall

    def _ends(self, payload: bytes, now: float) -> None:
        """The last block."""
        self._advance(1, now)
        self._lacking = self._blksize - len(payload)
        self._target.extend((payload,))
        if not self.over:
            self._complete = self.asked = True
            self.due = now + self.settings.stall
            self._target.finish()

    def _advance(self, count: int, now: float) -> int:
        """So many blocks have come; which is the last one."""
        last = self._expected + count - 1
        self._expected = last + 1
        self._progress = now
        if self._measuring:
            self._measuring = False
            self.roundTrip.sample(now - self._sentAt)
        self.proven = True
        self._gap = self._stale = 0
        self.asked = False
        self._awaited = b""
        return last

    def _outOfOrder(self, block: int, now: float) -> None:
        self.counts.duplicates += 1
        if block > self._expected:
            if self._complete or self._waiting or self.over:
                return
            if not self._gap or block <= self._gap:
                self.counts.rewinds += 1
                self._acknowledge(now)
                self._measuring = False
            self._gap = block
        elif self._published:
            if block == self._expected - 1:
                self.link.send(wire.encodeAck(self._number(block)))
        elif block <= self._confirmed == self._expected - 1 and not self._complete:
            if self.roundTrip.tooSoon(now - self._sentAt):
                # It was on its way before the peer could have had the last ACK, or not.
                return
            if not self._waiting and (not self._stale or block <= self._stale):
                self.counts.retransmits += 1
                self._acknowledge(now)
                self._measuring = False
            self._stale = block

    def _acknowledge(self, now: float) -> None:
        """Confirm all that is in order; the sender starts its next window after it."""
        self._confirmed = self._expected - 1
        self._closes = self._confirmed + self._window
        self.link.send(wire.encodeAck(self._number(self._confirmed)))
        self._sentAt = now
        self._measuring = self.asked = True
        self.due = now + self.roundTrip.timeout
        if self._window == 1:
            self._awaited = wire.dataHeader(self._number(self._expected))

    def _sendFirst(self, now: float) -> None:
        self._copies += 1
        if self.terms.answer:
            self.link.send(wire.encodeOptionAck(self.terms.answer))
            self._sentAt = now
            self._measuring = self._copies == 1
            self.due = now + self.roundTrip.timeout
        else:
            self._acknowledge(now)
            self._measuring = self._copies == 1
