"""
Kernel event queues of our own, which are one reader of the reactor.

What a turn of the reactor costs is paid once for all that is ready.  Peers on this
machine, or next to it, answer sooner than the reactor turns.  For them the reader lingers:
it looks at its queue for the next answer instead of going back to the reactor.  Nobody
else may notice that.  So it lingers for a millisecond at the most; only if nobody else had
work in the turn before, which the processor time shows that this thread used meanwhile;
and not for a while after an answer that kept it waiting.

It looks again and again, without going to sleep: to wake up a processor that has nothing to
do takes longer than many peers do to answer, and more of both processors' time than looking
does.  Where the peer needs the same processor it sleeps, so that the peer can work.
"""

from __future__ import annotations

import math
import os
import select
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final

#: Events that are served before the rest of the reactor has its turn.
TURN: Final = 64
#: Seconds for which it lingers at the most.
_LINGER: Final = 0.001
#: How often it looks for one answer at the most, if the clock stands still.
_LOOKS: Final = 2_000
#: Turns without lingering after answers that were not prompt, again and again.
DISCOURAGED: Final = 100
#: Processor seconds that a turn of the reactor takes when nobody else is served.
_IDLE_TURN: Final = 0.00004

#: Descriptors, and what is the matter with each.
Events = list[tuple[int, int]]


class Lingering(ABC):
    """
    What the reactor reads in the place of those that are in the queue.

    @cvar PROMPT: seconds; an answer that takes longer is not worth waiting for.
    @cvar FIRST: turns without lingering after the first such answer; then twice as many,
        and so on.
    @cvar processes: how many of the server share this machine's processors with the peers.
    """

    PROMPT: float
    FIRST: ClassVar[int] = DISCOURAGED
    processes: ClassVar[int] = 1

    def __init__(
        self,
        seconds: Callable[[], float] = time.monotonic,
        processorSeconds: Callable[[], float] = time.thread_time,
    ) -> None:
        """
        @param seconds: what the time is.
        @param processorSeconds: how long this thread has been at work.
        """
        self._seconds = seconds
        self._processorSeconds = processorSeconds
        self._queue = select.epoll()
        #: Who is watched, by the number of the descriptor.
        self._descriptors: dict[int, Any] = {}
        #: The processor time at the end of the last turn.
        self._used = -math.inf
        #: Turns that are still to be made without lingering.
        self._discouraged = 0
        #: How many there will be next time.
        self._caution = self.FIRST
        #: Have peers on this machine a processor of their own?
        self._isAwake = len(os.sched_getaffinity(0)) > self.processes

    def fileno(self) -> int:
        """The queue's own descriptor."""
        return -1 if self._queue.closed else self._queue.fileno()

    def doRead(self) -> None:
        """Serve those that are ready, and those that are again at once."""
        events = self._queue.poll(0, TURN)
        if self._discouraged:
            self._discouraged -= 1
            self._serve(events)
            return
        alone = self._processorSeconds() - self._used < _IDLE_TURN
        self._serve(events)
        if alone:
            self._linger()
        self._used = self._processorSeconds()

    def _linger(self) -> None:
        """Wait for the next answers here, as long as they come promptly."""
        seconds = self._seconds
        served = seconds()
        end = served + _LINGER
        while self._descriptors and served < end:
            events = self._next(served)
            if not events or seconds() - served > self.PROMPT:
                self._discouraged = self._caution
                self._caution = min(2 * self._caution, DISCOURAGED)
                self._serve(events)
                return
            self._caution = self.FIRST
            self._servePrompt(events)
            served = seconds()
        if self._isAwake and self._descriptors:
            self._stayAwake()

    def _next(self, served: float) -> Events:
        """
        Who has answered; nobody if that takes too long.

        @param served: since when they are waited for.
        """
        poll, seconds = self._queue.poll, self._seconds
        if not self._isAwake:
            return poll(_LINGER, TURN)
        events = poll(0, TURN)
        for _ in range(_LOOKS):
            if events or seconds() - served > self.PROMPT:
                break
            events = poll(0, TURN)
        return events

    def _stayAwake(self) -> None:
        """Peers are prompt still, but others have to have their turn now."""

    def _servePrompt(self, events: Events) -> None:
        """The same as L{_serve}, of those that were worth waiting for."""
        self._serve(events)

    @abstractmethod
    def _serve(self, events: Events) -> None:
        """Tell those of the descriptors that are still watched."""


__all__ = ["DISCOURAGED", "TURN", "Events", "Lingering"]
