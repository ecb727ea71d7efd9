"""
Many connections behind one descriptor of the reactor.

For each descriptor that is ready, Twisted's reactor sets up a context for the log, calls
through six functions and looks whether the descriptor is still open: a few microseconds,
which is nothing for a file and a tenth of a login.  Connections that are short, or say
little at a time, are watched by a kernel event queue of their own instead, which is one
reader of the reactor: what it costs is paid once for all that are ready, and if they go
on at once, only now and then.

Towards them this is a reactor, as much of it as a transport of Twisted's needs.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IDelayedCall,
    IHalfCloseableDescriptor,
    IReactorFDSet,
    IReadDescriptor,
)
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from filehub.transfer.lingering import Events, Lingering

_READ: Final = select.EPOLLIN
_WRITE: Final = select.EPOLLOUT

#: Why connections end, mostly.
_USUAL: Final[dict[type[Exception], Failure]] = {
    type(each): Failure(each)  # type: ignore[no-untyped-call]
    for each in (CONNECTION_DONE, CONNECTION_LOST)
}

_log: Final = Logger(namespace="filehub")


@implementer(IReadDescriptor, IReactorFDSet)
class Turns(Lingering):
    """
    See L{IReactorFDSet}.

    @ivar callLater: and C{seconds}: see L{twisted.internet.interfaces.IReactorTime}.
    """

    #: Who works on files needs longer for an answer than who acknowledges a block.
    PROMPT = 0.0003
    #: People and programs stop now and then, and go on.
    FIRST = 1

    def __init__(
        self,
        reactor: Any,
        seconds: Callable[[], float] = time.monotonic,
        processorSeconds: Callable[[], float] = time.thread_time,
    ) -> None:
        super().__init__(seconds, processorSeconds)
        self._reactor = reactor
        self.callLater = reactor.callLater
        self.seconds = reactor.seconds
        #: What each is watched for.
        self._wanted: dict[int, int] = {}
        self._isLeaving = False
        #: The next look, if the reactor is not to go to sleep.
        self._again: IDelayedCall | None = None
        self._open()

    # --- what the connections call

    def addReader(self, reader: Any) -> None:
        """See L{IReactorFDSet.addReader}."""
        self._watch(reader, _READ)

    def addWriter(self, writer: Any) -> None:
        """See L{IReactorFDSet.addWriter}."""
        self._watch(writer, _WRITE)

    def removeReader(self, reader: Any) -> None:
        """See L{IReactorFDSet.removeReader}."""
        self._ignore(reader, _READ)

    def removeWriter(self, writer: Any) -> None:
        """See L{IReactorFDSet.removeWriter}."""
        self._ignore(writer, _WRITE)

    def forget(self, descriptor: Any) -> None:
        """Neither read nor write it any more."""
        self._ignore(descriptor, _READ | _WRITE)

    def removeAll(self) -> list[Any]:
        """See L{IReactorFDSet.removeAll}."""
        found = list(self._descriptors.values())
        for each in found:
            self.forget(each)
        return found

    def getReaders(self) -> list[Any]:
        """See L{IReactorFDSet.getReaders}."""
        return self._watchedFor(_READ)

    def getWriters(self) -> list[Any]:
        """See L{IReactorFDSet.getWriters}."""
        return self._watchedFor(_WRITE)

    def _watchedFor(self, what: int) -> list[Any]:
        return [each for number, each in self._descriptors.items() if self._wanted[number] & what]

    def _watch(self, descriptor: Any, what: int) -> None:
        number = descriptor.fileno()
        before = self._wanted.get(number, 0)
        if not before:
            if self._queue.closed:
                # Somebody lives on who was watched for nothing.
                self._open()
            self._queue.register(number, what)
            self._descriptors[number] = descriptor
            self._wanted[number] = what
        elif before | what != before:
            self._queue.modify(number, before | what)
            self._wanted[number] = before | what

    def _ignore(self, descriptor: Any, what: int) -> None:
        number = descriptor.fileno()
        before = self._wanted.get(number, 0)
        left = before & ~what
        if left == before or self._descriptors[number] is not descriptor:
            return
        if left:
            self._queue.modify(number, left)
            self._wanted[number] = left
            return
        del self._descriptors[number], self._wanted[number]
        self._queue.unregister(number)
        if self._isLeaving and not self._descriptors:
            self._close()

    # --- what the reactor calls

    def logPrefix(self) -> str:
        """See L{twisted.internet.interfaces.ILoggingContext}."""
        return "FileHub"

    def _serve(self, events: Events) -> None:
        descriptors = self._descriptors
        for number, event in events:
            descriptor = descriptors.get(number)
            if descriptor is None:
                # Closed by what was served just before.
                continue
            try:
                if event == _READ:
                    why, isRead = descriptor.doRead(), True
                else:
                    why, isRead = self._serveOne(descriptor, number, event)
            except Exception as error:
                _log.failure("a connection failed in a way that it must not")
                why, isRead = error, True
            if why:
                self._lose(descriptor, why, isRead)

    def _serveOne(self, descriptor: Any, number: int, event: int) -> tuple[Any, bool]:
        """Returns why the connection has ended, if it has, and whether reading told so."""
        if event & _READ:
            why = descriptor.doRead()
            if why or not event & _WRITE or number not in self._wanted:
                return why, True
        if event & _WRITE:
            return descriptor.doWrite(), False
        # As the reactor has it: who waits to read is told of an end.
        return (CONNECTION_DONE if self._wanted[number] & _READ else CONNECTION_LOST), True

    def _lose(self, descriptor: Any, why: Exception, isRead: bool) -> None:
        try:
            self._tell(descriptor, why, isRead)
        except Exception:
            # Ours; the others must not pay for it.
            _log.failure("the end of a connection failed")

    def _tell(self, descriptor: Any, why: Exception, isRead: bool) -> None:
        reason = _USUAL.get(type(why)) or Failure(why)  # type: ignore[no-untyped-call]
        isHalf = isRead and isinstance(why, ConnectionDone)
        if isHalf and IHalfCloseableDescriptor.providedBy(descriptor):
            self.removeReader(descriptor)
            descriptor.readConnectionLost(reason)
        else:
            self.forget(descriptor)
            descriptor.connectionLost(reason)

    def _stayAwake(self) -> None:
        """Go on when the others have had their turn, which is at once if there are none."""
        if self._again is None:
            self._again = self.callLater(0, self._goOn)

    def _goOn(self) -> None:
        self._again = None
        self.doRead()

    def connectionLost(self, reason: Any) -> None:
        """The reactor ends, and so do they all."""
        for each in self.removeAll():
            each.connectionLost(reason)
        self._close()

    # --- what its owner calls

    def leave(self) -> None:
        """Give the queue back whenever nobody is watched: no more connections come."""
        self._isLeaving = True
        if not self._descriptors:
            self._close()

    def _open(self) -> None:
        if self._queue.closed:
            self._queue = select.epoll()
        self._reactor.addReader(self)

    def _close(self) -> None:
        again, self._again = self._again, None
        if again is not None:
            again.cancel()
        if not self._queue.closed:
            self._reactor.removeReader(self)
            self._queue.close()


__all__ = ["Turns"]
