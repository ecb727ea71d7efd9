"""
Where a transfer's packets come and go: a port of its own, or the listening port.

The session and whatever it waits for meet here: packets, room in the kernel's
buffer, and the clock.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.interfaces import IReactorFDSet, IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from filehub.deadlines import Deadline, Deadlines
from filehub.events import Outcome
from filehub.protocols.tftp.session import Buffer, Session
from filehub.transfer.datagrams import Datagram, ListeningSocket, PeerSocket

#: Enough for an ACK and for an ERROR.
_ANSWER_SIZE = 600


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

    def __init__(self, clock: Clock, timers: Deadlines, owner: PortOwner) -> None:
        self._seconds = clock.seconds
        self._timers = timers
        self._owner = owner
        self._deadline: Deadline | None = None
        #: When the deadline rings at the latest; later dues are looked up then.
        self._alarm = math.inf
        self._proven = False
        self.session: Session

    def run(self, session: Session) -> None:
        """Deliver to this session from now on, and let it send its first packet."""
        self.session = session
        now = self._seconds()
        session.begin(now)
        self._settle(now)

    def packetReceived(self, packet: bytes) -> None:
        """A datagram from the peer."""
        now = self._seconds()
        self.session.packetReceived(packet, now)
        self._settle(now)

    def tell(self, what: Callable[[float], None]) -> None:
        """Call a method of the session that wants to know the time."""
        now = self._seconds()
        what(now)
        self._settle(now)

    def resume(self) -> None:
        """Storage is ready again."""
        self.tell(self.session.resume)

    def finished(self, outcome: Outcome, reason: str) -> None:
        """See L{filehub.protocols.tftp.session.Link}."""
        self._owner.finished(outcome, reason)

    def closed(self) -> None:
        """See L{filehub.protocols.tftp.session.Link}."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._close()
        self._owner.closed()

    @abstractmethod
    def _close(self) -> None:
        """Give the port back."""

    def _drain(self) -> None:
        """Deliver what has arrived but was not seen yet."""

    def _settle(self, now: float) -> None:
        """After anything happened: set the timer, notice the first answer."""
        session = self.session
        if session.due < self._alarm:
            self._alarm = session.due
            if self._deadline is None:
                self._deadline = self._timers.after(session.due - now, self._ring)
            else:
                self._deadline.postpone(session.due - now)
        if session.proven and not self._proven:
            self._proven = True
            self._owner.proved()

    def _ring(self) -> None:
        self._deadline = None
        self._alarm = math.inf
        now = self._seconds()
        if self.session.due <= now:
            # If it was we who were late, the answer is in the kernel's buffer.
            self._drain()
            if self.session.due <= now and not self.session.over:
                self.session.timeout(now)
        if not self.session.over:
            self._settle(now)


@implementer(IReadWriteDescriptor)
class OwnPort(Port):
    """A connected socket, straight in the reactor: one for each transfer (RFC 1350)."""

    def __init__(
        self,
        reactor: IReactorFDSet,
        clock: Clock,
        timers: Deadlines,
        owner: PortOwner,
        sock: PeerSocket,
    ) -> None:
        super().__init__(clock, timers, owner)
        self._reactor = reactor
        self._socket = sock
        self._receive = sock.recv
        self._size = _ANSWER_SIZE
        #: Datagrams that are looked at in one turn of the reactor.
        self._turn = 1
        reactor.addReader(self)

    def expectBlocks(self, blksize: int, window: int) -> None:
        """The peer will send windows of blocks."""
        # One octet more shows which block is too long.
        self._size = blksize + 5
        self._turn = window
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
        for _ in range(self._turn):
            try:
                packet = self._receive(self._size)
            except BlockingIOError:
                break
            except ConnectionRefusedError:
                session.refused()
                break
            now = self._seconds()
            session.packetReceived(packet, now)
            if session.over:
                return
        else:
            if session.due >= self._alarm and self._proven:
                return
        self._settle(self._seconds())

    def doWrite(self) -> None:
        """The kernel's buffer has room again."""
        self._reactor.removeWriter(self)
        self.resume()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor found an error on the socket: the peer's port is closed."""
        self.session.refused()

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
            self._reactor.addWriter(self)
        return taken

    def _refusedLater(self) -> None:
        # The session is in the middle of sending: let it come to its end.
        self._timers.after(0.0, self._nowRefused)

    def _nowRefused(self) -> None:
        if not self.session.over:
            self.session.refused()

    def _drain(self) -> None:
        self.doRead()

    def _close(self) -> None:
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self._socket.close()


class SharedPort(Port):
    """The listening port, for clients that can be reached from there only."""

    def __init__(
        self,
        clock: Clock,
        timers: Deadlines,
        owner: PortOwner,
        sock: ListeningSocket,
        datagram: Datagram,
    ) -> None:
        super().__init__(clock, timers, owner)
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
