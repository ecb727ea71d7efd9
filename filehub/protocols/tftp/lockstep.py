"""
A small file on its way, block by block, as most of all transfers are.

What a machine fetches most while it boots is read whole before its first block leaves, and
goes out with a window of one.  While nothing is lost there is little to decide: the peer
confirms what it was sent, and gets the next.  L{Lockstep} does that and nothing else, at a
third of the cost of a port and a session.  At the first thing that is not the one packet
which it waits for, an L{OwnPort} with a L{Sender} takes its place, and goes on from there.
"""

from __future__ import annotations

import math
from typing import Final, Protocol

from twisted.python.failure import Failure

from filehub.events import Facts, Outcome
from filehub.protocols.tftp import wire
from filehub.protocols.tftp.alarms import Alarms
from filehub.protocols.tftp.options import Terms
from filehub.protocols.tftp.ports import ANSWER_SIZE, OwnPort, PortOwner
from filehub.protocols.tftp.sender import Sender
from filehub.protocols.tftp.session import Counts, Session, factsOf, roundTripOf
from filehub.protocols.tftp.settings import TFTPSettings
from filehub.protocols.tftp.spares import SparePort, SparePorts
from filehub.transfer.smallfile import SmallFile

#: Nothing of this happens here.
_UNEVENTFUL: Final = Counts()


class Owner(PortOwner, Protocol):
    """Whoever has it."""

    def gaveWay(self, port: OwnPort) -> None:
        """This one has taken its place."""


class Lockstep:
    """
    Sends one small file with a window of one.

    @ivar due: see L{filehub.protocols.tftp.alarms.Sleeper}.
    @ivar fileno: tells the descriptor; -1 when closed.
    """

    __slots__ = (
        "_alarms",
        "_answer",
        "_blksize",
        "_block",
        "_clock",
        "_content",
        "_first",
        "_hub",
        "_last",
        "_owner",
        "_packet",
        "_receive",
        "_roundTrip",
        "_sentAt",
        "_settings",
        "_spare",
        "_spares",
        "_terms",
        "_transmit",
        "due",
        "fileno",
    )

    def __init__(
        self,
        spares: SparePorts,
        spare: SparePort,
        alarms: Alarms,
        owner: Owner,
        content: bytes,
        terms: Terms,
        settings: TFTPSettings,
    ) -> None:
        """
        @param spare: where it is sent from; C{spares} get it back, unless something
            unusual happens.
        @param content: the whole file.
        @param terms: with a window of one.
        """
        sock = spare.socket
        self._spares = spares
        self._spare = spare
        self._hub = spares.hub
        self._clock = spares.clock
        self._alarms = alarms
        self._owner = owner
        self._receive = sock.recv
        self._transmit = sock.send
        self.fileno = sock.fileno
        self._content = content
        self._terms = terms
        self._settings = settings
        self._blksize = terms.blksize
        self._roundTrip = roundTripOf(terms, settings, settings.minimumTimeout)
        #: The block that is on its way; block 0 is the OACK, if there is one.
        self._block = self._first = 0 if terms.answer else 1
        self._last = len(content) // terms.blksize + 1

    def begin(self) -> None:
        """Send the first packet."""
        self._hub.addReader(self)
        self._alarms.add(self)
        if self._block:
            packet = wire.packHeader(wire.DATA, 1) + self._content[: self._blksize]
        else:
            packet = wire.encodeOptionAck(self._terms.answer)
        self._send(packet, self._clock.seconds())

    def _send(self, packet: bytes, now: float) -> None:
        self._answer = wire.packHeader(wire.ACK, self._block)
        self._sentAt = now
        self.due = due = now + self._roundTrip.timeout
        if due < self._alarms.next:
            self._alarms.expect(due)
        self._packet = packet
        self._hub.send(self)

    def sendNow(self) -> None:
        """See L{filehub.protocols.tftp.hub.Outgoing}."""
        try:
            self._transmit(self._packet)
        except ConnectionRefusedError:
            if self.due < math.inf:
                self.session.refused()
        except OSError:
            # Lost before the first wire; the timer repairs that as any other loss.
            pass

    def doRead(self) -> None:
        """Something has come, which is the ACK for the block on its way."""
        try:
            packet = self._receive(ANSWER_SIZE)
        except BlockingIOError:
            return
        except ConnectionRefusedError:
            self.session.refused()
            return
        if packet != self._answer:
            self.packetReceived(packet)
            return
        now = self._clock.seconds()
        trip, elapsed = self._roundTrip, now - self._sentAt
        if elapsed >= trip.negligible:
            trip.sample(elapsed)
        elif elapsed < trip.shortest:
            trip.shortest = elapsed
        block = self._block
        if block == self._first:
            self._owner.proved()
        self._block = block = block + 1
        if block > self._last:
            self._end()
            return
        stop = block * self._blksize
        payload = self._content[stop - self._blksize : stop]
        self._send(wire.packHeader(wire.DATA, block) + payload, now)

    def _end(self) -> None:
        self._owner.finished(Outcome.COMPLETED, "")
        self.due = math.inf
        self._alarms.discard(self)
        self._spares.keep(self._spare)
        self._owner.closed()

    @property
    def nbytes(self) -> int:
        """Octets of the file that the peer has confirmed."""
        whole, confirmed = len(self._content), self._block - 1
        return whole if confirmed == self._last else max(0, confirmed) * self._blksize

    @property
    def facts(self) -> Facts:
        """For the record of the transfer."""
        confirmed = self._block - 1 if self._block else 0
        return factsOf(confirmed, self._terms, _UNEVENTFUL, self._roundTrip)

    def doWrite(self) -> None:
        """It is never waited for: what cannot be sent at once is lost."""

    # --- what is not usual -----------------------------------------------------------

    def _giveWay(self) -> OwnPort:
        """Somebody who is ready for everything goes on from here."""
        self.due = math.inf
        self._alarms.discard(self)
        sock = self._spare.socket
        port = OwnPort(self._hub, self._clock, self._alarms, self._owner, sock)
        source = SmallFile(self._content, self._blksize)
        sender = Sender(port, source, self._terms, self._settings, self._sentAt)
        sender.goOn(self._block, self._sentAt, self._roundTrip)
        port.goOn(sender)
        self._owner.gaveWay(port)
        return port

    @property
    def session(self) -> Session:
        """For whoever wants more of it than to go on."""
        return self._giveWay().session

    def packetReceived(self, packet: bytes) -> None:
        """Something else has come."""
        self._giveWay().packetReceived(packet)

    def requestRepeated(self) -> None:
        """See L{Port.requestRepeated<filehub.protocols.tftp.ports.Port.requestRepeated>}."""
        self._giveWay().requestRepeated()

    def ring(self, now: float) -> None:
        """See L{filehub.protocols.tftp.alarms.Sleeper}."""
        # If it was we who were late, the answer is in the kernel's buffer.
        self.doRead()
        if self.due <= now:
            self._giveWay().ring(now)

    def connectionLost(self, reason: Failure) -> None:
        """There is an error on the socket."""
        self._giveWay().connectionLost(reason)
