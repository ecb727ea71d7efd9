"""
When, from where and over what an account may be used.

Asked at login, after the password was right: a refusal tells the client nothing but
that, and the log why.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Final

from twisted.cred.error import LoginDenied

from filehub.credentials import ConnectionInfo
from filehub.networks import Networks, isWithin

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS: Final = re.compile(
    r"(?:(?P<first>[A-Za-z]{3})(?:-(?P<last>[A-Za-z]{3}))?\s+)?"
    r"(?P<begin>[0-9]{2}:[0-9]{2})-(?P<end>[0-9]{2}:[0-9]{2})"
)
#: Midnight at the end of a day.
_END: Final = "24:00"


class NotAdmitted(LoginDenied):
    """The account is known and its password right, but not now, or not like this."""


@dataclass(frozen=True, slots=True)
class Hours:
    """
    A piece of every week, in the server's local time.

    @ivar days: 0 for Monday to 6; those on which it begins.
    @ivar begin: inclusive.
    @ivar end: exclusive; L{None} for midnight.  One that is not after C{begin} is on
        the next day.
    """

    days: frozenset[int]
    begin: time
    end: time | None

    def hold(self, moment: datetime) -> bool:
        """Is this moment in it?"""
        now, day = moment.time(), moment.weekday()
        if self.end is None or self.begin < self.end:
            return day in self.days and self.begin <= now and (self.end is None or now < self.end)
        return (day in self.days and self.begin <= now) or (
            (day - 1) % 7 in self.days and now < self.end
        )


def parseHours(text: str) -> Hours:
    """
    C{"Mon-Fri 08:00-18:00"}, C{"Sat 09:00-24:00"}, C{"22:00-06:00"}.

    @raise ValueError: says what was expected.
    """
    match = _HOURS.fullmatch(text.strip())
    problem = "expected hours such as Mon-Fri 08:00-18:00"
    if match is None:
        raise ValueError(problem)
    days = frozenset(range(7))
    try:
        if match["first"] is not None:
            first = _DAYS.index(match["first"].lower())
            last = _DAYS.index((match["last"] or match["first"]).lower())
            days = frozenset((first + step) % 7 for step in range((last - first) % 7 + 1))
        begin = time.fromisoformat(match["begin"])
        end = None if match["end"] == _END else time.fromisoformat(match["end"])
    except ValueError:
        raise ValueError(problem) from None
    return Hours(days, begin, end)


@dataclass(frozen=True, slots=True)
class Admission:
    """
    What is left empty restricts nothing.

    @ivar expires: the first day on which the account cannot be used.
    @ivar hours: at one of them.
    @ivar networks: from one of them.
    @ivar protocols: over one of them, e.g. C{"ftp"}.
    """

    expires: date | None = None
    hours: tuple[Hours, ...] = ()
    networks: Networks = ()
    protocols: frozenset[str] = frozenset()

    def refusal(self, connection: ConnectionInfo | None, moment: datetime) -> str | None:
        """
        Why this login is not admitted, for the log, or L{None} if it is.

        @param connection: L{None} where nobody knows; then whatever depends on it is
            refused.
        @param moment: now, in local time.
        """
        if self.expires is not None and moment.date() >= self.expires:
            return f"the account expired on {self.expires}"
        if self.hours and not any(each.hold(moment) for each in self.hours):
            return "not at this hour"
        if self.protocols and (connection is None or connection.protocol not in self.protocols):
            return "not over this protocol"
        host = "" if connection is None else connection.peer.host
        if self.networks and not isWithin(host, self.networks):
            return "not from this address"
        return None


UNRESTRICTED: Final = Admission()
