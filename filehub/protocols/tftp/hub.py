"""
Many sockets behind one descriptor of the reactor.

A block takes a few microseconds, and the reactor's own work for a turn as long again.
With a kernel event queue of our own in the reactor, that is paid once for all the
sockets that are ready, not for each.  They are served in turn, one event each.

Packets may leave together, after several sockets have been read: whoever is in front of
several of them, and was asleep, is woken up once and finds them all.

The hub lingers, and as long as it does, and for the same reasons, a port may look again
and again whether more of a window has come: a peer that has to wake us up for each block
takes longer to send it.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from filehub.transfer.lingering import DISCOURAGED, Events, Lingering

_READABLE: Final = select.EPOLLIN
_WRITABLE: Final = select.EPOLLOUT
#: Packets that leave together at the most.
_TOGETHER: Final = 4
#: How often a port looks for more of a window, half a microsecond to one each.
_PATIENCE: Final = 100


class Descriptor(Protocol):
    """What is watched; a part of L{twisted.internet.interfaces.IReadWriteDescriptor}."""

    def fileno(self) -> int:
        """The descriptor."""

    def doRead(self) -> object:
        """It can be read."""

    def doWrite(self) -> object:
        """It can be written."""

    def connectionLost(self, reason: Failure) -> None:
        """There is an error on it, or one of the above raised one."""


class Outgoing(Protocol):
    """What has a packet to send."""

    def sendNow(self) -> object:
        """Send it."""


class Watcher(Protocol):
    """Tells descriptors when something can be done; a reactor is one, and L{Hub}."""

    def addReader(self, reader: Descriptor, /) -> None:
        """Call C{doRead} whenever it can be read."""

    def removeReader(self, reader: Descriptor, /) -> None:
        """And not any more."""

    def addWriter(self, writer: Descriptor, /) -> None:
        """Call C{doWrite} whenever it can be written."""

    def removeWriter(self, writer: Descriptor, /) -> None:
        """And not any more."""


@implementer(IReadDescriptor)
class Hub(Lingering):
    """
    A L{Watcher} that is one reader of a reactor.  Linux.

    @ivar send: lets something send: now, or, while sockets are being served, together with
        what others have to send.
    @ivar patience: how often a descriptor that is being read may look for more; see
        L{disappointed}.
    """

    PROMPT = 0.0001

    _log = Logger()

    def __init__(
        self,
        reactor: IReactorFDSet,
        seconds: Callable[[], float] = time.monotonic,
        processorSeconds: Callable[[], float] = time.thread_time,
    ) -> None:
        """
        @param seconds: what the time is.
        @param processorSeconds: how long this thread has been at work.
        """
        super().__init__(seconds, processorSeconds)
        self._reactor: Any = reactor
        self._writers: set[int] = set()
        self._outgoing: list[Outgoing] = []
        self.send: Callable[[Outgoing], object] = _sendNow
        self.patience = 0
        #: How much of it there is when lingering; where the peer needs the same
        #: processor it could not send while we look.
        self._patience = _PATIENCE if self._isAwake else 0
        #: How often it is still to be denied.
        self._impatient = 0
        reactor.addReader(self)

    def close(self) -> None:
        """Give the queue back; nothing is watched any more."""
        self._reactor.removeReader(self)
        self._descriptors.clear()
        self._queue.close()

    def addReader(self, reader: Descriptor) -> None:
        """See L{Watcher}.  Instead of another one, if that has the same descriptor."""
        number = reader.fileno()
        isWatched = number in self._descriptors
        self._descriptors[number] = reader
        if not isWatched:
            self._queue.register(number, select.EPOLLIN)

    def removeReader(self, reader: Descriptor) -> None:
        """Watch it no more, for writing neither; to be called before it is closed."""
        number = reader.fileno()
        if self._descriptors.get(number) is reader:
            del self._descriptors[number]
            self._writers.discard(number)
            self._queue.unregister(number)

    def addWriter(self, writer: Descriptor) -> None:
        """Watch it for writing as well, if it is watched."""
        number = writer.fileno()
        if self._descriptors.get(number) is writer:
            self._writers.add(number)
            self._queue.modify(number, select.EPOLLIN | select.EPOLLOUT)

    def removeWriter(self, writer: Descriptor) -> None:
        """See L{Watcher}."""
        number = writer.fileno()
        if number in self._writers and self._descriptors.get(number) is writer:
            self._writers.discard(number)
            self._queue.modify(number, select.EPOLLIN)

    def logPrefix(self) -> str:
        """See L{twisted.internet.interfaces.ILoggingContext}."""
        return "TFTP"

    def _servePrompt(self, events: Events) -> None:
        if self._impatient:
            self._impatient -= 1
        elif len(events) == 1:
            self.patience = self._patience
        self._serve(events)
        self.patience = 0

    def disappointed(self) -> None:
        """Nothing came in spite of all patience; there is none for a while."""
        self._impatient = DISCOURAGED

    def _serve(self, events: Events) -> None:
        descriptors, outgoing = self._descriptors, self._outgoing
        self.send = outgoing.append
        for number, event in events:
            descriptor = descriptors.get(number)
            if descriptor is None:
                # Closed by what was served just before.
                continue
            try:
                if event & _READABLE:
                    descriptor.doRead()
                elif event & _WRITABLE:
                    descriptor.doWrite()
                else:
                    descriptor.connectionLost(_refused())
            except Exception:
                self._log.failure("a transfer failed in a way that it must not")
                descriptor.connectionLost(Failure())  # type: ignore[no-untyped-call]
            if len(outgoing) >= _TOGETHER:
                self._send()
        self.send = _sendNow
        if outgoing:
            self._send()

    def _send(self) -> None:
        for each in self._outgoing:
            try:
                each.sendNow()
            except Exception:
                self._log.failure("a packet could not be sent")
        self._outgoing.clear()

    def connectionLost(self, reason: Failure) -> None:
        """There is no connection to lose."""


def _sendNow(outgoing: Outgoing) -> None:
    outgoing.sendNow()


def _refused() -> Failure:
    return Failure(ConnectionRefusedError())  # type: ignore[no-untyped-call]


__all__ = ["Descriptor", "Hub", "Watcher"]
