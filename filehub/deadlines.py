"""
One timer for all sessions.

A server with thousands of idle sessions must not keep a delayed call for each
and move it at each command.  A L{Deadline} that is postponed only stores a
number; L{Deadlines} looks at it when its old time has come and puts it off.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger


class Deadline:
    """
    A moment at which something gives up, unless it is postponed or cancelled.

    @ivar due: when, on the clock of its L{Deadlines}; infinite when cancelled.
    """

    __slots__ = ("_callback", "_deadlines", "_slot", "due")

    def __init__(self, deadlines: Deadlines, callback: Callable[[], Any]) -> None:
        self._deadlines = deadlines
        self._callback: Callable[[], Any] | None = callback
        self._slot = -1
        self.due = math.inf

    def postpone(self, seconds: float) -> None:
        """Give up C{seconds} from now instead.  Costs next to nothing."""
        if self._callback is not None:
            self._deadlines._arm(self, seconds)

    def become(self, seconds: float, callback: Callable[[], Any]) -> None:
        """Call this instead, C{seconds} from now, unless this deadline is over."""
        if self._callback is not None:
            self._callback = callback
            self._deadlines._arm(self, seconds)

    def cancel(self) -> None:
        """Never give up.  Idempotent, and harmless after the call has been made."""
        if self._callback is not None:
            self._callback = None
            self._deadlines._forget(self)

    @property
    def active(self) -> bool:
        return self._callback is not None


class Deadlines:
    """
    All the deadlines of a process, grouped into slots of C{granularity} seconds.
    None is called early; all are called at most one slot late.

    @ivar seconds: what its clock says.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, granularity: float = 1.0) -> None:
        self._clock = clock
        self.seconds: Callable[[], float] = clock.seconds
        self._granularity = granularity
        self._slots: dict[int, set[Deadline]] = {}
        self._tick: IDelayedCall | None = None
        #: The slot that the tick is for.
        self._next = 0

    def after(self, seconds: float, callback: Callable[[], Any]) -> Deadline:
        """Call C{callback} in C{seconds}, unless told otherwise in time."""
        deadline = Deadline(self, callback)
        self._arm(deadline, seconds)
        return deadline

    def _arm(self, deadline: Deadline, seconds: float) -> None:
        due = deadline.due = self.seconds() + seconds
        slot = math.ceil(due / self._granularity)
        if deadline._slot == -1 or slot < deadline._slot:
            # Later ones stay where they are until that slot has come.
            self._place(deadline, slot)

    def _place(self, deadline: Deadline, slot: int) -> None:
        if deadline._slot != -1:
            self._remove(deadline)
        deadline._slot = slot
        members = self._slots.get(slot)
        if members is None:
            self._slots[slot] = {deadline}
        else:
            members.add(deadline)
        if self._tick is None or slot < self._next:
            self._schedule(slot)

    def _remove(self, deadline: Deadline) -> None:
        members = self._slots.get(deadline._slot)
        if members is not None:
            members.discard(deadline)
            if not members:
                del self._slots[deadline._slot]
        deadline._slot = -1

    def _forget(self, deadline: Deadline) -> None:
        deadline.due = math.inf
        self._remove(deadline)
        if not self._slots and self._tick is not None:
            self._tick.cancel()
            self._tick = None

    def _schedule(self, slot: int) -> None:
        """Ring at this slot, which is the first."""
        self._next = slot
        delay = max(0.0, slot * self._granularity - self.seconds())
        if self._tick is None:
            self._tick = self._clock.callLater(delay, self._ring)
        else:
            self._tick.reset(delay)

    def _ring(self) -> None:
        self._tick = None
        now = self.seconds()
        for slot in [each for each in self._slots if each * self._granularity <= now]:
            for deadline in self._slots.pop(slot, ()):
                deadline._slot = -1
                callback = deadline._callback
                if callback is None:
                    continue
                if deadline.due > now:
                    self._place(deadline, math.ceil(deadline.due / self._granularity))
                    continue
                deadline._callback = None
                with self._log.failuresHandled("a deadline's callback failed"):
                    callback()
        if self._slots:
            first = min(self._slots)
            if self._tick is None or first < self._next:
                self._schedule(first)
