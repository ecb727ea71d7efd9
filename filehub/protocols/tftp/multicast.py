"""
One file for many clients at once (RFC 2090).

Theory of operation.  All clients of a group hear every block, and one of them, the
master, says which one comes next: its ACK for block n means "I have everything up to n,
send n + 1".  The others only listen, in silence.

  - A client joins with an OACK that says C{mc=0}: listen.  If there is no master, it
    says C{mc=1} and the client is the master.
  - The master has everything, or leaves, or falls silent: the one that joined first of
    those that remain gets another OACK, with C{mc=1}, and tells by its first ACK what it
    has already.  Only what it missed goes out again, and everybody hears that too.
  - A master that falls silent goes to the end of the queue, and is given up when it is
    silent a second time.
  - An ACK from anybody else is answered with C{mc=0}, unless it is for the last block:
    then that client has finished by itself.

There is one block on its way at any time.  An ACK that says nothing new causes nothing
(the Sorcerer's Apprentice); only the timer sends a block again.
"""

from __future__ import annotations

import math
from typing import Final, Protocol

from filehub.events import Outcome
from filehub.protocols.tftp import wire
from filehub.protocols.tftp.options import Terms
from filehub.protocols.tftp.sender import BlockSource
from filehub.protocols.tftp.session import Buffer, Link, Session
from filehub.protocols.tftp.settings import TFTPSettings

#: Clients mark what they have by block numbers, which must not come twice.
MAXIMUM_BLOCKS: Final = 65535


class GroupLink(Protocol):
    """The way to all clients of a group."""

    def sendToGroup(self, header: bytes, payload: Buffer) -> None:
        """Send one DATA packet to everybody; it may get lost for some of them."""


class Member(Session):
    """
    One client of a group.

    Its L{due} never comes: it is the group that waits.

    @ivar confirmed: the last block before the first that it lacks, as far as it said.
    """

    #: Repeated requests that are answered, until the client has answered something.
    REPEATS: Final = 16
    #: ACKs out of turn until the client is sent away.
    STRAYS: Final = 16

    def __init__(
        self, link: Link, group: Group, terms: Terms, settings: TFTPSettings, now: float
    ) -> None:
        """
        @param terms: C{multicast} in their answer has the address and the port, and a
            comma at the end.
        """
        super().__init__(link, terms, settings, settings.minimumTimeout, now)
        self.confirmed = 0
        self.strays = 0
        #: How often it was silent as the master.
        self.silences = 0
        self._group = group
        self._heardBefore = 0

    @property
    def blocks(self) -> int:
        """See L{Session.blocks}."""
        return self.confirmed

    @property
    def nbytes(self) -> int:
        """Octets of the file that it has, or may have heard while it listened."""
        group = self._group
        said = min(self.confirmed * self.terms.blksize, group.size)
        if self.over and self.proven:
            return said
        return max(said, min(group.nbytes - self._heardBefore, group.size))

    def begin(self, now: float) -> None:
        """Join the group."""
        self._heardBefore = self._group.nbytes
        self._group.join(self, now)

    def packetReceived(self, packet: bytes, now: float) -> None:
        """An ACK or an ERROR; anything else is ignored."""
        if len(packet) < wire.HEADER_LENGTH or packet[0] or self.over:
            return
        if packet[1] == wire.ACK:
            self._group.acknowledged(self, packet[2] << 8 | packet[3], now)
        elif packet[1] == wire.ERROR:
            error = wire.parseError(packet)
            if self.proven:
                self._finish(Outcome.ABORTED, f"client error {error.code}: {error.message}")
            else:
                self._finish(Outcome.PROBED, error.message)

    def requestRepeated(self, now: float) -> None:
        """The client did not hear that it is in; it may ask as often as it is patient."""
        if now - self._sentAt >= self.REPEAT_AFTER and self._copies < self.REPEATS:
            self._sendFirst(now)

    def tell(self, *, master: bool, now: float) -> None:
        """Send the OACK, which says whose turn it is."""
        self._copies += 1
        self._sentAt = now
        role = b"%d" % master
        self.link.send(
            wire.encodeOptionAck(
                (name, value + role if name.lower() == b"multicast" else value)
                for name, value in self.terms.answer
            )
        )

    def complete(self, outcome: Outcome = Outcome.COMPLETED, reason: str = "") -> None:
        """It has all blocks."""
        self.confirmed = self._group.last
        self._finish(outcome, reason)

    def stalled(self, reason: str) -> None:
        """It never answered: its address may be forged, so it is told nothing."""
        self._finish(Outcome.STALLED, reason)

    def resume(self, now: float) -> None:
        """See L{Session.resume}: it is the group that waits for storage."""

    def timeout(self, now: float) -> None:
        """See L{Session.timeout}: it is the group that has a timer."""

    def _sendFirst(self, now: float) -> None:
        self.tell(master=self._group.master is self, now=now)

    def _finish(self, outcome: Outcome, reason: str = "") -> None:
        if not self.over:
            # First: what ends with the last member asks whether this was it.
            self._group.left(self)
            super()._finish(outcome, reason)


class Group:
    """
    The clients that hear one file, and what they hear.

    @ivar last: the number of the last block.
    @ivar master: whose ACKs count; L{None} if there is nobody, or until L{timeout}.
    @ivar due: when to call L{timeout}, on the clock of the C{now} arguments.
    @ivar nbytes: octets that were sent to the group.
    """

    #: The time that a client has to take over, doubled with each copy, and for how long
    #: the others wait for a master that is silent, or for its last ACK (seconds).
    TAKE_OVER: Final = 0.25
    #: The longest time between two copies of a block while others wait, on a network
    #: that is not slower than that.
    PAUSE: Final = 0.25
    PATIENCE: Final = 5.0
    LAST_PATIENCE: Final = 2.0
    LAST_COPIES: Final = 6

    def __init__(
        self, link: GroupLink, source: BlockSource, size: int, blksize: int, settings: TFTPSettings
    ) -> None:
        """
        @param size: of the file, in octets; it must not have more than
            L{MAXIMUM_BLOCKS} blocks.
        """
        self.size = size
        self.last = size // blksize + 1
        self.settings = settings
        self.master: Member | None = None
        self.due = math.inf
        self.nbytes = 0
        self._link = link
        self._source = source
        #: In the order in which they become the master.
        self._queue: dict[Member, None] = {}
        #: The block on its way; 0 while the master has not said what it needs.
        self._block = 0
        #: How often the OACK or the block on its way was sent, and when first.
        self._copies = 0
        self._waiting = False
        self._progress = 0.0
        self._sentAt = 0.0

    def __len__(self) -> int:
        """How many clients there are."""
        return len(self._queue)

    # --- what happens ---------------------------------------------------------------

    def join(self, member: Member, now: float) -> None:
        """One more client."""
        self._queue[member] = None
        if self.master is None:
            self._elect(now)
        else:
            member.tell(master=False, now=now)

    def left(self, member: Member) -> None:
        """A client is gone, for whatever reason."""
        self._queue.pop(member, None)
        if member is self.master:
            self.master = None
            self._waiting = False
            # Whoever looks at the time next finds somebody else for it.
            self.due = 0.0 if self._queue else math.inf

    def acknowledged(self, member: Member, number: int, now: float) -> None:
        """A client says that it has all blocks up to this one."""
        if number > self.last:
            member.counts.duplicates += 1
            return
        member.proven = True
        if number == self.last:
            member.complete()
        elif member is not self.master:
            self._stray(member, now)
        elif self._block == 0 or number > member.confirmed:
            if not self._waiting and (self._block or self._copies == 1):
                # From the first copy, which is too long rather than too short.
                member.roundTrip.sample(now - self._sentAt)
            member.confirmed = number
            self._progress = now
            self._request(number + 1, now)
        else:
            member.counts.duplicates += 1
        if self.master is None and self._queue:
            self._elect(now)

    def resume(self, now: float) -> None:
        """The source has the block that it had not."""
        if self._waiting and self.master is not None:
            self._waiting = False
            self._request(self._block, now)

    def timeout(self, now: float) -> None:
        """L{due} has come: say it again, or find another master."""
        master = self.master
        if master is None:
            if self._queue:
                self._elect(now)
            else:
                self.due = math.inf
            return
        silence = now - self._progress
        alone = len(self._queue) == 1
        if self._waiting:
            master.fail(wire.ErrorCode.NOT_DEFINED, "timed out", Outcome.STALLED)
        elif self._block == 0 and self._copies >= self.settings.firstCopies:
            self._passOver(master, "timed out" if master.proven else "the client never answered")
        elif self._block == self.last and self._mayBeDone(silence, alone):
            master.complete(Outcome.UNCONFIRMED, "the last block was never confirmed")
        elif self._block and silence >= (self.settings.stall if alone else self.PATIENCE):
            self._passOver(master, "timed out")
        elif self._block:
            master.counts.timeouts += 1
            master.counts.retransmits += 1
            master.roundTrip.backOff()
            self._send(now)
        else:
            master.counts.timeouts += 1
            self._ask(master, now)
        if self.master is None and self._queue:
            self._elect(now)

    # --- how it works ---------------------------------------------------------------

    def _mayBeDone(self, silence: float, alone: bool) -> bool:
        """Is the last ACK lost, rather than all copies of the last block?"""
        patience = self.settings.linger if alone else self.LAST_PATIENCE
        return silence >= patience and self._copies >= self.LAST_COPIES

    def _elect(self, now: float) -> None:
        """The one that has waited longest is the master now."""
        self.master = next(iter(self._queue))
        self._block = self._copies = 0
        self._waiting = False
        self._progress = now
        self._ask(self.master, now)

    def _ask(self, master: Member, now: float) -> None:
        master.tell(master=True, now=now)
        self.due = now + self.TAKE_OVER * 2**self._copies
        if not self._copies:
            self._sentAt = now
        self._copies += 1

    def _passOver(self, master: Member, reason: str) -> None:
        """Nobody waits for it any longer; if there are others, it may try once more."""
        master.silences += 1
        if master.silences > 1 or len(self._queue) == 1:
            if master.proven:
                master.fail(wire.ErrorCode.NOT_DEFINED, reason, Outcome.STALLED)
            else:
                master.stalled(reason)
            return
        del self._queue[master]
        self._queue[master] = None
        self.master = None

    def _stray(self, member: Member, now: float) -> None:
        """It is not this client's turn."""
        member.counts.duplicates += 1
        member.strays += 1
        if member.strays > member.STRAYS:
            member.fail(wire.ErrorCode.ILLEGAL_OPERATION, "it is another client's turn")
        else:
            member.tell(master=False, now=now)

    def _request(self, block: int, now: float) -> None:
        """Send this block for the first time since the master wanted it."""
        self._block = block
        self._copies = 0
        self._send(now)

    def _send(self, now: float) -> None:
        taken = self._source.take(self._block, 1)
        if self.master is None:
            # The source has failed, and those who listened were told.
            return
        if taken is None:
            self._waiting = True
            self.due = self._progress + self.settings.stall
            return
        payload = taken[0]
        self.nbytes += len(payload)
        if not self._copies:
            self._sentAt = now
        self._copies += 1
        trip = self.master.roundTrip
        timeout = trip.timeout
        if len(self._queue) > 1:
            timeout = min(timeout, max(self.PAUSE, 2 * trip.smoothed))
        self.due = now + timeout
        self._link.sendToGroup(wire.packHeader(wire.DATA, self._block), payload)


__all__ = ["MAXIMUM_BLOCKS", "Group", "GroupLink", "Member"]
