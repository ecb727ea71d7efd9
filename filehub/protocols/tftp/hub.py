"""
Many sockets behind one descriptor of the reactor.

A block takes a few microseconds, and the reactor's own work for an event as long
again.  With a kernel event queue of our own in the reactor, that is paid once for all
the sockets that are ready, not for each.  They are served in turn, one event each.

A few sockets are better off in the reactor itself: the kernel then knows that who
sends to us will wait for our answer, and wakes us on the same processor.  Through a
queue in a queue it does not, and a block takes twice as long.
"""

from __future__ import annotations

import select
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

#: Sockets that are watched by the reactor itself.
_FEW: Final = 4
#: Events that are served before the rest of the reactor has its turn.
_TURN: Final = 64


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
class Hub:
    """A L{Watcher} that is one reader of a reactor.  Linux."""

    _log = Logger()

    def __init__(self, reactor: IReactorFDSet, few: int = _FEW) -> None:
        """
        @param few: how many sockets are watched by the reactor itself.
        """
        self._reactor: Any = reactor
        self._few = few
        self._direct: set[Any] = set()
        self._epoll = select.epoll()
        self._descriptors: dict[int, Descriptor] = {}
        self._writers: set[int] = set()
        reactor.addReader(self)

    def close(self) -> None:
        """Give the queue back; nothing is watched any more."""
        self._reactor.removeReader(self)
        for descriptor in self._direct:
            self._reactor.removeReader(descriptor)
            self._reactor.removeWriter(descriptor)
        self._direct.clear()
        self._descriptors.clear()
        self._epoll.close()

    def addReader(self, reader: Descriptor) -> None:
        """See L{Watcher}."""
        if len(self._direct) < self._few:
            self._direct.add(reader)
            self._reactor.addReader(reader)
            return
        number = reader.fileno()
        self._descriptors[number] = reader
        self._epoll.register(number, select.EPOLLIN)

    def removeReader(self, reader: Descriptor) -> None:
        """Watch it no more, for writing neither; to be called before it is closed."""
        if reader in self._direct:
            self._direct.discard(reader)
            self._reactor.removeReader(reader)
            self._reactor.removeWriter(reader)
            return
        number = reader.fileno()
        if self._descriptors.get(number) is reader:
            del self._descriptors[number]
            self._writers.discard(number)
            self._epoll.unregister(number)

    def addWriter(self, writer: Descriptor) -> None:
        """Watch it for writing as well, if it is watched."""
        if writer in self._direct:
            self._reactor.addWriter(writer)
            return
        number = writer.fileno()
        if self._descriptors.get(number) is writer:
            self._writers.add(number)
            self._epoll.modify(number, select.EPOLLIN | select.EPOLLOUT)

    def removeWriter(self, writer: Descriptor) -> None:
        """See L{Watcher}."""
        if writer in self._direct:
            self._reactor.removeWriter(writer)
            return
        number = writer.fileno()
        if number in self._writers and self._descriptors.get(number) is writer:
            self._writers.discard(number)
            self._epoll.modify(number, select.EPOLLIN)

    def fileno(self) -> int:
        """The queue's own descriptor."""
        return -1 if self._epoll.closed else self._epoll.fileno()

    def logPrefix(self) -> str:
        """See L{twisted.internet.interfaces.ILoggingContext}."""
        return "TFTP"

    def doRead(self) -> None:
        """Serve those that are ready."""
        descriptors = self._descriptors
        for number, event in self._epoll.poll(0, _TURN):
            descriptor = descriptors.get(number)
            if descriptor is None:
                # Closed by what was served just before.
                continue
            try:
                if event & select.EPOLLIN:
                    descriptor.doRead()
                elif event & select.EPOLLOUT:
                    descriptor.doWrite()
                else:
                    descriptor.connectionLost(_refused())
            except Exception:
                self._log.failure("a transfer failed in a way that it must not")
                descriptor.connectionLost(Failure())  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure) -> None:
        """There is no connection to lose."""


def _refused() -> Failure:
    return Failure(ConnectionRefusedError())  # type: ignore[no-untyped-call]


__all__ = ["Descriptor", "Hub", "Watcher"]
