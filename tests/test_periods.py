"""
When periods begin and end.
"""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.trial.unittest import SynchronousTestCase

from filehub.periods import Period, formatMoment


def moment(text: str) -> float:
    """Seconds since the epoch of a time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


class PeriodTests(SynchronousTestCase):
    """Hours, days, weeks and months of the calendar."""

    def test_bounds(self) -> None:
        """Each holds the moment, begins where the one before ends, and is of the calendar."""
        for period, at, begin, end in (
            (Period.HOUR, "2026-11-25T03:59:59", "2026-11-25T03:00", "2026-11-25T04:00"),
            (Period.DAY, "2026-11-25T00:00:00", "2026-11-25T00:00", "2026-11-26T00:00"),
            (Period.WEEK, "2026-11-25T12:00:00", "2026-11-23T00:00", "2026-11-30T00:00"),
            (Period.WEEK, "2026-11-30T00:00:00", "2026-11-30T00:00", "2026-12-07T00:00"),
            (Period.MONTH, "2026-12-31T23:59:59", "2026-12-01T00:00", "2027-01-01T00:00"),
            (Period.MONTH, "2028-02-29T01:00:00", "2028-02-01T00:00", "2028-03-01T00:00"),
        ):
            now = moment(at)
            self.assertEqual(formatMoment(period.beginOf(now)), formatMoment(moment(begin)))
            self.assertEqual(formatMoment(period.endOf(now)), formatMoment(moment(end)))
            self.assertEqual(period.beginOf(period.endOf(now)), period.endOf(now))

    def test_format(self) -> None:
        """People see the time zone."""
        self.assertEqual(formatMoment(moment("2026-12-01T00:00")), "2026-12-01 00:00 UTC")
