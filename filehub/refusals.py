"""
Telling of those who are turned away, who may come a thousand times in a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime

from filehub.credentials import ConnectionInfo
from filehub.events import AddressRefused, SessionRefused
from filehub.interfaces import IEventSink
from filehub.networks import holdingOf

#: Seconds between two events about the same client and reason.
INTERVAL: Final = 60.0
#: Clients that are told apart; the longest known are forgotten.
_CAPACITY: Final = 1_000


class Refusals:
    """
    An event for the first of them, and then one in a minute that has the number of those
    since the last.
    """

    def __init__(self, clock: IReactorTime, sink: IEventSink | None) -> None:
        self._clock = clock
        self._sink = sink
        #: When it was told last, and how many came since, by client and reason.
        self._rows: dict[object, tuple[float, int]] = {}

    def tell(
        self,
        kind: type[AddressRefused] | type[SessionRefused],
        host: str,
        reason: str,
        connection: Callable[[], ConnectionInfo],
    ) -> None:
        """
        One more.

        @param connection: makes what the event is about, if there is one.
        """
        if self._sink is None:
            return
        now = self._clock.seconds()
        key = holdingOf(host), reason
        row = self._rows.get(key)
        if row is not None and now - row[0] < INTERVAL:
            self._rows[key] = row[0], row[1] + 1
            return
        self._rows.pop(key, None)
        if len(self._rows) >= _CAPACITY:
            del self._rows[next(iter(self._rows))]
        self._rows[key] = now, 0
        self._sink.emit(kind(connection(), reason, 0 if row is None else row[1]))


__all__ = ["INTERVAL", "Refusals"]
