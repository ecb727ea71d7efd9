"""
What every TFTP transfer has in common, without transport, clock and files.

A session is told what happened and when; it asks its L{Link} to send and says once
how it ended.  Whoever runs it calls C{timeout} when L{Session.due} has come.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from filehub.events import Facts, Outcome
from filehub.protocols.tftp import wire
from filehub.protocols.tftp.options import Terms
from filehub.protocols.tftp.settings import TFTPSettings
from filehub.protocols.tftp.timing import RoundTrip
from filehub.transfer.windows import Arrivals

Buffer = bytes | memoryview


class Link(Protocol):
    """The way to the peer, and to whoever runs the session."""

    def send(self, packet: bytes) -> None:
        """Send one packet; whether it gets lost here or on the way is all the same."""

    def sendBlocks(self, parts: Sequence[Buffer], segment: int) -> int:
        """
        Send DATA packets, given as header, payload, header, payload...  What they are
        in is used for others afterwards.

        @param segment: the length of each packet but the last, which may be shorter.
        @return: how many packets were taken; for the rest L{Session.resume} is
            called as soon as there is room.
        """

    def finished(self, outcome: Outcome, reason: str) -> None:
        """How the transfer ended.  Called once."""

    def closed(self) -> None:
        """No packet will be answered any more.  Called once, after L{finished}."""


@dataclass(slots=True)
class Counts:
    """
    Facts for the record of a transfer.

    @ivar retransmits: blocks, or ACKs of an upload, that went out again.
    @ivar rewinds: windows that were begun again because the peer missed a block.
    @ivar timeouts: how often nothing came in time.
    @ivar duplicates: packets from the peer that said nothing new.
    """

    retransmits: int = 0
    rewinds: int = 0
    timeouts: int = 0
    duplicates: int = 0


def roundTripOf(terms: Terms, settings: TFTPSettings, floor: float) -> RoundTrip:
    """What is known of it before the first packet; C{floor}: the shortest timeout."""
    ceiling = terms.timeout if terms.timeout is not None else settings.maximumTimeout
    return RoundTrip(settings.initialTimeout, floor, ceiling)


def factsOf(
    blocks: int, terms: Terms, counts: Counts, roundTrip: RoundTrip, notes: Facts = ()
) -> Facts:
    """For the record of a transfer."""
    return (
        ("blocks", blocks),
        ("blksize", terms.blksize),
        ("windowsize", terms.window),
        ("retransmits", counts.retransmits),
        ("rewinds", counts.rewinds),
        ("timeouts", counts.timeouts),
        ("duplicates", counts.duplicates),
        ("rtt_ms", round(roundTrip.smoothed * 1000, 3)),
        *notes,
    )


class Session(ABC):
    """
    The common part of L{filehub.protocols.tftp.sender.Sender} and
    L{filehub.protocols.tftp.receiver.Receiver}.

    Blocks are counted from 1 in integers that do not wrap; a 16 bit number from the
    wire means the nearest one.

    @ivar due: when to call L{timeout}, on the clock of the C{now} arguments.
    @ivar proven: the peer has answered, so its address is not forged.
    @ivar pausing: C{due} is about the next burst, which should not be late.
    @ivar asked: it is the peer's turn; no more packets are to be expected just now.
    @ivar notes: further facts for the record of the transfer.
    @ivar wanted: blocks that the peer's window still lacks, if any are wanted now.
    """

    notes: Facts = ()
    wanted = 0

    #: How far after another duplicate request the first packet is sent again.
    REPEAT_AFTER: Final = 0.02

    def __init__(
        self, link: Link, terms: Terms, settings: TFTPSettings, floor: float, now: float
    ) -> None:
        self.link = link
        self.terms = terms
        self.settings = settings
        self.roundTrip = roundTripOf(terms, settings, floor)
        self.counts = Counts()
        self.due = math.inf
        self.proven = False
        self.over = False
        self.asked = True
        self.pausing = False
        self._modulus = 65535 if terms.rollover else 65536
        self._copies = 0
        self._repeated = False
        self._sentAt = now
        self._progress = now

    # --- what subclasses say --------------------------------------------------

    @property
    @abstractmethod
    def blocks(self) -> int:
        """Blocks that were confirmed, or accepted."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Octets of the file in them."""

    @property
    def facts(self) -> Facts:
        """For the record of the transfer."""
        return factsOf(self.blocks, self.terms, self.counts, self.roundTrip, self.notes)

    @abstractmethod
    def begin(self, now: float) -> None:
        """Send the first packet."""

    @abstractmethod
    def packetReceived(self, packet: bytes, now: float) -> None:
        """A datagram from the peer."""

    def windowReceived(self, arrivals: Arrivals, count: int, now: float) -> bool:
        """
        Several datagrams from the peer, each as long as one with a whole block, and no
        more than are L{wanted}.  False if they are not the next blocks: then they are
        to be looked at one by one.
        """
        return False

    @abstractmethod
    def resume(self, now: float) -> None:
        """Storage, or the link, is ready again."""

    @abstractmethod
    def timeout(self, now: float) -> None:
        """L{due} has come."""

    @abstractmethod
    def _sendFirst(self, now: float) -> None:
        """Send the first packet, again or for the first time."""

    # --- the common part --------------------------------------------------------

    def requestRepeated(self, now: float) -> None:
        """
        The client asked again before it had an answer from us.  Firmware does so
        within milliseconds, so the first packet is repeated at most once for this.
        """
        if (
            self._copies
            and not (self.proven or self.over or self._repeated)
            and self._copies < self.settings.firstCopies
            and now - self._sentAt >= self.REPEAT_AFTER
        ):
            self._repeated = True
            self._sendFirst(now)

    def fail(self, code: int, text: str, outcome: Outcome = Outcome.FAILED) -> None:
        """End with an ERROR to the peer."""
        if not self.over:
            self.link.send(wire.encodeError(code, text))
            self._finish(outcome, text)

    def refused(self) -> None:
        """The network says that nobody listens at the peer's port any more."""
        self._finish(Outcome.PEER_GONE, "the client's port is closed")

    def abandon(self, reason: str) -> None:
        """End without a word to the peer."""
        self._finish(Outcome.ABORTED, reason)

    def _finish(self, outcome: Outcome, reason: str = "") -> None:
        if not self.over:
            self.over = True
            self.due = math.inf
            self.link.finished(outcome, reason)
            self.link.closed()

    def _number(self, block: int) -> int:
        """The 16 bit number of a block (RFC 1350, and the C{rollover} option)."""
        if block < 65536:
            return block
        return block % 65536 if self._modulus == 65536 else (block - 1) % 65535 + 1

    def _numbers(self, first: int, count: int) -> range | list[int]:
        """The same of several in a row."""
        blocks = range(first, first + count)
        return blocks if blocks.stop <= 65536 else [self._number(each) for each in blocks]

    def _distance(self, number: int, block: int) -> int:
        """How far the block that a 16 bit number means lies after C{block}."""
        modulus = self._modulus
        ahead = (number - block) % modulus
        return ahead if ahead * 2 < modulus else ahead - modulus

    def _mayRepeatFirst(self) -> bool:
        """
        Count another copy of the first packet, or end: an address that never
        answered gets no more of them (DESIGN: reflection).
        """
        if self._copies >= self.settings.firstCopies:
            self._finish(Outcome.STALLED, "the client never answered")
            return False
        return True
