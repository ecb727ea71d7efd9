"""
Where a transfer's packets come and go: a port of its own, or the listening port.

The session and whatever it waits for meet here: packets, room in the kernel's
buffer, and the clock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from filehub.events import Facts, Outcome
from filehub.protocols.tftp.alarms import Alarms
from filehub.protocols.tftp.hub import Hub, Watcher
from filehub.protocols.tftp.session import Buffer, Session
from filehub.transfer.datagrams import Datagram, ListeningSocket, PeerSocket
from filehub.transfer.windows import Arrivals

#: Enough for an ACK and for an ERROR.
ANSWER_SIZE: Final = 600


class Clock(Protocol):
    """The time, as the reactor has it."""

    def seconds(self) -> float:
        """Seconds since some fixed moment."""


class PortOwner(Protocol):
    """Whoever runs the session on a port."""

    def proved(self) -> None:
        """The peer has answered.  Called once."""

    def finished(self, outcome: Outcome, reason: str) -> None:
        """See L{filehub.protocols.tftp.session.Link}."""

    def closed(self) -> None:
        """The port is no longer in use."""


class Port(ABC):
    """A L{filehub.protocols.tftp.session.Link} and the timer of one session."""

    def __init__(self, clock: Clock, alarms: Alarms, owner: PortOwner) -> None:
        self._seconds = clock.seconds
        self._alarms = alarms
        self._owner = owner
        self._proven = False
        self.session: Session

    def run(self, session: Session) -> None:
        """Deliver to this session from now on, and let it send its first packet."""
        self.session = session
        self._alarms.add(self)
        self.tell(session.begin)

    def goOn(self, session: Session) -> None:
        """Deliver to this session from now on, which has begun elsewhere."""
        self.session = session
        self._proven = session.proven
        self._alarms.add(self)
        self._settle()

    def packetReceived(self, packet: bytes) -> None:
        """A datagram from the peer."""
        self.session.packetReceived(packet, self._seconds())
        self._settle()

    def tell(self, what: Callable[[float], None]) -> None:
        """Call a method of the session that wants to know the time."""
        what(self._seconds())
        self._settle()

    def requestRepeated(self) -> None:
        """The client sent the same request again."""
        self.tell(self.session.requestRepeated)

    @property
    def nbytes(self) -> int:
        """See L{filehub.protocols.tftp.session.Session.nbytes}."""
        return self.session.nbytes

    @property
    def facts(self) -> Facts:
        """See L{filehub.protocols.tftp.session.Session.facts}."""
        return self.session.facts

    def resume(self) -> None:
        """Storage is ready again."""
        self.tell(self.session.resume)

    def finished(self, outcome: Outcome, reason: str) -> None:
        """See L{filehub.protocols.tftp.session.Link}."""
        self._owner.finished(outcome, reason)

    def closed(self) -> None:
        """See L{filehub.protocols.tftp.session.Link}."""
        self._alarms.discard(self)
        self._close()
        self._owner.closed()

    @property
    def due(self) -> float:
        """See L{filehub.protocols.tftp.alarms.Sleeper}."""
        return self.session.due

    def ring(self, now: float) -> None:
        """See L{filehub.protocols.tftp.alarms.Sleeper}."""
        # If it was we who were late, the answer is in the kernel's buffer.
        self._drain()
        if self.session.due <= now and not self.session.over:
            self.session.timeout(now)
        self._settle()

    @abstractmethod
    def _close(self) -> None:
        """Give the port back."""

    def _drain(self) -> None:
        """Deliver what has arrived but was not seen yet."""

    def _settle(self) -> None:
        """After anything happened: see to the timer, notice the first answer."""
        session = self.session
        if session.due < self._alarms.next:
            self._expect()
        if session.proven and not self._proven:
            self._proven = True
            self._owner.proved()

    def _expect(self) -> None:
        session = self.session
        if session.pausing:
            self._alarms.expect(session.due, 0.0)
        else:
            self._alarms.expect(session.due)


@implementer(IReadWriteDescriptor)
class OwnPort(Port):
    """A connected socket of its own: one for each transfer (RFC 1350)."""

    def __init__(
        self, watcher: Watcher, clock: Clock, alarms: Alarms, owner: PortOwner, sock: PeerSocket
    ) -> None:
        super().__init__(clock, alarms, owner)
        self._watcher = watcher
        self._hub = watcher if isinstance(watcher, Hub) else None
        self._socket = sock
        self._receive = sock.recv
        self._size = ANSWER_SIZE
        #: Datagrams that are looked at in one turn.
        self._turn = 1
        #: Where whole windows are received.
        self._arrivals: Arrivals | None = None
        #: The kernel told while sending that nobody listens there.
        self._gone = False
        self._writing = False
        watcher.addReader(self)

    def expectBlocks(self, blksize: int, window: int) -> None:
        """The peer will send windows of blocks."""
        # One octet more shows which block is too long.
        self._size = blksize + 5
        self._turn = window
        if window > 1:
            self._arrivals = Arrivals(self._socket, blksize, window)
        # The kernel counts more than the payload.
        self._socket.growBuffers(2 * window * (blksize + 1024))

    def fileno(self) -> int:
        """The descriptor; -1 when closed."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """See L{twisted.internet.interfaces.ILoggingContext}."""
        return "TFTP"

    def doRead(self) -> None:
        """Datagrams have come: one window at most, the others have their turn as well."""
        session = self.session
        left = self._turn
        now = self._seconds()
        try:
            if self._arrivals is not None and session.wanted:
                self._readWindow(self._arrivals, now)
            else:
                while True:
                    session.packetReceived(self._receive(self._size), now)
                    left -= 1
                    if not left or session.asked or session.over:
                        break
        except BlockingIOError:
            pass
        except ConnectionRefusedError:
            session.refused()
            return
        # The same as _settle, which would be a tenth of the work for a block.
        if session.due < self._alarms.next:
            self._expect()
        if session.proven and not self._proven:
            self._proven = True
            self._owner.proved()

    def _readWindow(self, arrivals: Arrivals, now: float) -> None:
        """What there is of a window, looked at as a whole if nothing is wrong with it."""
        session, hub = self.session, self._hub
        most = min(session.wanted, arrivals.room)
        patience = 0 if hub is None else hub.patience
        count, length = arrivals.receive(most, patience)
        whole = count
        if length != arrivals.whole:
            whole -= 1
        elif patience and count < most and hub is not None:
            hub.disappointed()
        done = whole if whole and session.windowReceived(arrivals, whole, now) else 0
        for index in range(done, count):
            if session.over:
                break
            size = length if index == count - 1 else arrivals.whole
            session.packetReceived(arrivals.packet(index, size), now)

    def doWrite(self) -> None:
        """The kernel's buffer has room again."""
        self._writing = False
        self._watcher.removeWriter(self)
        self.resume()

    def connectionLost(self, reason: Failure) -> None:
        """There is an error on the socket, which means that the peer's port is closed."""
        if isinstance(reason.value, (ConnectionRefusedError, ConnectionDone, ConnectionLost)):
            self.session.refused()
        else:
            self.session.abandon("internal error")

    def send(self, packet: bytes) -> None:
        """See L{filehub.protocols.tftp.session.Link}."""
        try:
            self._socket.send(packet)
        except ConnectionRefusedError:
            self._refusedLater()
        except OSError:
            # Lost before the first wire; the timer repairs that as any other loss.
            return

    def sendBlocks(self, parts: Sequence[Buffer], segment: int) -> int:
        """See L{filehub.protocols.tftp.session.Link}."""
        try:
            taken = self._socket.sendBlocks(parts, segment)
        except ConnectionRefusedError:
            self._refusedLater()
            return len(parts) // 2
        if taken * 2 < len(parts):
            self._writing = True
            self._watcher.addWriter(self)
        return taken

    def _refusedLater(self) -> None:
        # The session is in the middle of sending: let it come to its end.
        self._gone = True
        self._alarms.expect(self._seconds())

    def ring(self, now: float) -> None:
        """See L{filehub.protocols.tftp.alarms.Sleeper}."""
        if self._gone:
            self.session.refused()
        else:
            super().ring(now)

    @property
    def due(self) -> float:
        """See L{filehub.protocols.tftp.alarms.Sleeper}."""
        return 0.0 if self._gone else self.session.due

    def _drain(self) -> None:
        self.doRead()

    def _close(self) -> None:
        if self._writing:
            self._watcher.removeWriter(self)
        self._watcher.removeReader(self)
        self._socket.close()


class SharedPort(Port):
    """The listening port, for clients that can be reached from there only."""

    def __init__(
        self,
        clock: Clock,
        alarms: Alarms,
        owner: PortOwner,
        sock: ListeningSocket,
        datagram: Datagram,
    ) -> None:
        super().__init__(clock, alarms, owner)
        self._socket = sock
        self._to = datagram

    def expectBlocks(self, blksize: int, window: int) -> None:
        """The listening socket takes datagrams of any size."""

    def send(self, packet: bytes) -> None:
        """See L{filehub.protocols.tftp.session.Link}."""
        try:
            self._socket.send((packet,), self._to)
        except OSError:
            return

    def sendBlocks(self, parts: Sequence[Buffer], segment: int) -> int:
        """
        See L{filehub.protocols.tftp.session.Link}.  What the kernel does not take at
        once is lost: one full buffer must not hold up everybody's port.
        """
        self._socket.sendBlocks(parts, segment, self._to)
        return len(parts) // 2

    def _close(self) -> None:
        return
