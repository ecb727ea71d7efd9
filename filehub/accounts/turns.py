"""
Who is served next, where few can be at a time and one may ask for much.

Each source of questions (an address, as a rule) has a line of its own; the first of each
line is served in turn.  So whoever asks one thing waits for one of each other source at
the most, and not for all that somebody asked before him.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from twisted.internet.defer import Deferred

from filehub.errors import LimitExceeded


class Turns:
    """
    Bounded: when all places are taken, the newest of the longest line has to go, if that
    is longer than the newcomer's own.
    """

    def __init__(self, atOnce: int, places: int) -> None:
        """
        @param atOnce: how many are served at a time.
        @param places: how many may wait.
        """
        self._free = atOnce
        self._places = places
        self._taken = 0
        #: Who waits, by source; the one whose turn it is comes first.
        self._lines: OrderedDict[object, deque[Deferred[None]]] = OrderedDict()

    def enter(self, source: object) -> Deferred[None] | None:
        """
        What to wait for; L{None}: nothing.  Who was let in has to L{leave}.  One that is
        cancelled while it waits keeps its place, so that coming and going is no use.

        @raise LimitExceeded: too many wait; the Deferred may fail with it, too.
        """
        if self._free:
            self._free -= 1
            return None
        line = self._lines.get(source)
        if self._taken >= self._places:
            self._makeRoom(0 if line is None else len(line))
            # That may have been the only one there.
            line = self._lines.get(source)
        if line is None:
            line = self._lines[source] = deque()
        waiting: Deferred[None] = Deferred()
        line.append(waiting)
        self._taken += 1
        return waiting

    def _makeRoom(self, own: int) -> None:
        longest = max(self._lines, key=lambda source: len(self._lines[source]), default=None)
        problem = LimitExceeded("too many logins at once, try again later")
        if longest is None or len(self._lines[longest]) <= own + 1:
            raise problem
        last = self._lines[longest].pop()
        self._taken -= 1
        if not last.called:
            last.errback(problem)

    def leave(self) -> None:
        """One has been served."""
        while self._lines:
            source, line = next(iter(self._lines.items()))
            following = line.popleft()
            self._taken -= 1
            if line:
                self._lines.move_to_end(source)
            else:
                del self._lines[source]
            if not following.called:
                following.callback(None)
                return
        self._free += 1


__all__ = ["Turns"]
