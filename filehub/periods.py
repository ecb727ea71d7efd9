"""
Periods of the calendar, in UTC.

A calendar period has one number to keep and a moment at which everything begins again,
which a client can be told; a sliding one would have to remember when each byte moved.  It
is UTC, in which all days are equally long, no hour comes twice, and servers in several
places, or without the files of time zones, agree.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import Enum


class Period(Enum):
    """How long something counts.  Weeks begin on Mondays."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    def beginOf(self, moment: float) -> int:
        """
        When the period with this moment began.

        @param moment: seconds since the epoch.
        @return: the same.
        """
        return int(self._begin(moment).timestamp())

    def endOf(self, moment: float) -> int:
        """When the period with this moment ends, and the next one begins."""
        begin = self._begin(moment)
        if self is Period.MONTH:
            # Of any month, the 32nd day lies in the next one.
            end = (begin + timedelta(days=31)).replace(day=1)
        else:
            hours = {Period.HOUR: 1, Period.DAY: 24, Period.WEEK: 7 * 24}[self]
            end = begin + timedelta(hours=hours)
        return int(end.timestamp())

    def _begin(self, moment: float) -> datetime:
        time = datetime.fromtimestamp(moment, UTC).replace(minute=0, second=0, microsecond=0)
        if self is Period.HOUR:
            return time
        time = time.replace(hour=0)
        if self is Period.WEEK:
            return time - timedelta(days=time.weekday())
        return time if self is Period.DAY else time.replace(day=1)


def formatMoment(moment: float) -> str:
    """To the minute, for people: C{2026-12-01 00:00 UTC}."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")


__all__ = ["Period", "formatMoment"]
