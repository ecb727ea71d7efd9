"""
When, from where and over what an account may be used.
"""

from __future__ import annotations

import ipaddress
from datetime import date, datetime

from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts.admission import UNRESTRICTED, Admission, parseHours
from tests.accounts.doubles import connection

#: A Wednesday.
NOON = datetime(2026, 11, 25, 12, 0)


class HoursTests(SynchronousTestCase):
    """L{parseHours} and what it gives."""

    def held(self, text: str, *moments: tuple[int, int, int]) -> list[bool]:
        """Of day of the month (25 is a Wednesday), hour and minute."""
        hours = parseHours(text)
        return [hours.hold(datetime(2026, 11, *moment)) for moment in moments]

    def test_day(self) -> None:
        """The beginning belongs to it, the end does not."""
        self.assertEqual(
            self.held("08:00-18:00", (25, 7, 59), (25, 8, 0), (25, 17, 59), (25, 18, 0)),
            [False, True, True, False],
        )

    def test_week(self) -> None:
        """Days, also over the end of the week."""
        noons = [(day, 12, 0) for day in range(23, 30)]
        yes, no = True, False
        self.assertEqual(self.held("Mon-Fri 08:00-18:00", *noons), [yes] * 5 + [no] * 2)
        self.assertEqual(self.held("sat-mon 08:00-18:00", *noons), [yes] + [no] * 4 + [yes] * 2)
        self.assertEqual(self.held("Wed 08:00-18:00", *noons), [no, no, yes] + [no] * 4)

    def test_night(self) -> None:
        """A night belongs to the day on which it begins."""
        self.assertEqual(
            self.held(
                "Fri 22:00-06:00", (27, 5, 0), (27, 21, 59), (27, 22, 0), (28, 5, 59), (28, 6, 0)
            ),
            [False, False, True, True, False],
        )

    def test_midnight(self) -> None:
        """A day may last until its end."""
        moments = ((25, 19, 59), (25, 20, 0), (25, 23, 59), (26, 0, 0))
        self.assertEqual(self.held("20:00-24:00", *moments), [False, True, True, False])

    def test_nonsense(self) -> None:
        """Anything else is refused with an example."""
        for text in ("", "always", "Mon", "8-18", "08:00", "Mit 08:00-09:00", "25:00-26:00",
                     "08:60-09:00", "Mon-Foo 08:00-09:00", "24:00-06:00"):  # fmt: skip
            with self.assertRaises(ValueError) as caught:
                parseHours(text)
            self.assertIn("Mon-Fri 08:00-18:00", str(caught.exception))


class AdmissionTests(SynchronousTestCase):
    """L{Admission}"""

    def test_nothing(self) -> None:
        """Without restrictions everything is admitted, even by nobody knows whom."""
        self.assertIsNone(UNRESTRICTED.refusal(connection(), NOON))
        self.assertIsNone(UNRESTRICTED.refusal(None, NOON))

    def test_expiry(self) -> None:
        """From that day on it is over."""
        until = Admission(expires=date(2026, 11, 26))
        self.assertIsNone(until.refusal(connection(), NOON))
        said = until.refusal(connection(), datetime(2026, 11, 26, 0, 0))
        self.assertIn("2026-11-26", str(said))

    def test_hours(self) -> None:
        """One of the hours is enough."""
        hours = (parseHours("08:00-09:00"), parseHours("Wed 11:00-13:00"))
        self.assertIsNone(Admission(hours=hours).refusal(connection(), NOON))
        self.assertIsNotNone(Admission(hours=hours[:1]).refusal(connection(), NOON))

    def test_networks(self) -> None:
        """Both families; a scope says nothing, and what is no address is nowhere."""
        inside = Admission(
            networks=(ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fe80::/10"))
        )
        for host in ("10.1.2.3", "fe80::1%eth0"):
            self.assertIsNone(inside.refusal(connection(host), NOON), host)
        for host in ("192.0.2.7", "2001:db8::1", "/run/socket"):
            self.assertEqual(inside.refusal(connection(host), NOON), "not from this address")
        self.assertIsNotNone(inside.refusal(None, NOON))

    def test_protocols(self) -> None:
        """Only those that are listed."""
        only = Admission(protocols=frozenset(["ftp"]))
        self.assertIsNone(only.refusal(connection(), NOON))
        self.assertIsNotNone(only.refusal(connection(protocol="tftp"), NOON))
        self.assertIsNotNone(only.refusal(None, NOON))
