"""
Times and facts the way RFC 3659 writes them: MDTM, MFMT, MLST and MLSD.

A name may hold any byte but NUL and C{/}.  A control character would end a line
early or drive a terminal, so listings show C{?} in its place; bytes that are not
UTF-8 go out as they are.
"""

from __future__ import annotations

import calendar
import math
import re
import time
from collections.abc import Callable, Iterable
from typing import Final

from filehub.attributes import DirectoryEntry, FileAttributes, FileType

#: Distinct values whose text one listing remembers.
MAXIMUM_CACHED: Final = 4096

# --- times (RFC 3659 section 2.3) --------------------------------------------

_TIME: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})")
_FRACTION: Final = re.compile(r"\.([0-9]{1,32})")


def parseTime(text: str) -> float:
    """
    Seconds since the epoch of C{YYYYMMDDHHMMSS[.sss]}, UTC.  A leap second is the
    first of the next minute.

    @raise ValueError: for anything else, also for a day that no calendar has.
    """
    match = _TIME.match(text)
    fraction = _FRACTION.fullmatch(text, 14) if len(text) > 14 else None
    if match is None or (len(text) > 14 and fraction is None):
        raise ValueError("not a time")
    year, month, day, hour, minute, second = map(int, match.groups())
    if not (
        year >= 1
        and 1 <= month <= 12
        and 1 <= day <= calendar.monthrange(year, month)[1]
        and hour <= 23
        and minute <= 59
        and second <= 60
    ):
        raise ValueError("not a time")
    seconds = float(calendar.timegm((year, month, day, hour, minute, second)))
    return seconds + float("0." + fraction[1]) if fraction else seconds


def splitTime(text: str) -> tuple[float, str] | None:
    """
    The time and the name of C{MFMT time name}, or of an MDTM that may be meant so;
    L{None} if C{text} does not begin with a time, a space and something more.
    """
    word, _, name = text.partition(" ")
    if not name:
        return None
    try:
        return parseTime(word), name
    except ValueError:
        return None


#: The years 1 to 9999, in days from the epoch.
_FIRST_DAY: Final = -719162
_LAST_DAY: Final = 2932896


def calendarTime(seconds: float) -> time.struct_time:
    """
    The calendar's fields, UTC.  Times that no calendar has, as a damaged file
    system may report, become the epoch.
    """
    try:
        moment = time.gmtime(math.floor(seconds))
    except (OverflowError, OSError, ValueError):
        return time.gmtime(0)
    return moment if 1 <= moment.tm_year <= 9999 else time.gmtime(0)


def formatTime(seconds: float) -> str:
    """
    C{YYYYMMDDHHMMSS}, UTC, without a fraction: it is optional, and clients exist
    that expect fourteen digits.
    """
    year, month, day, hour, minute, second = calendarTime(seconds)[:6]
    return f"{year:04d}{month:02d}{day:02d}{hour:02d}{minute:02d}{second:02d}"


# --- names -------------------------------------------------------------------

#: For L{str.translate}: C0, DEL and C1.
CONTROLS: Final = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], "?")


def printableName(name: str) -> str:
    """The name with C{?} for each control character."""
    return name if name.isprintable() else name.translate(CONTROLS)


def encodeLines(text: str) -> bytes:
    """Text of a listing as bytes; never fails."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # Half a surrogate pair that came from no bytes; nobody can ask for that name.
        return text.encode("utf-8", "replace")


# --- MLSD and MLST (RFC 3659 section 7) --------------------------------------

#: The facts there are, in the order in which they are given.
FACTS: Final = (
    "type",
    "size",
    "modify",
    "perm",
    "unique",
    "UNIX.mode",
    "UNIX.owner",
    "UNIX.group",
)
_TYPE_FACTS: Final = {
    FileType.REGULAR: "file",
    FileType.DIRECTORY: "dir",
    FileType.SYMLINK: "OS.unix=symlink",
    FileType.OTHER: "OS.unix=special",
}
_FACT_NAMES: Final = {name.lower(): name for name in FACTS}

#: Which of our permission letters grant which letter of the C{perm} fact (7.5.5).
_FILE_PERMISSIONS: Final = (("a", "a"), ("d", "d"), ("f", "f"), ("r", "r"), ("w", "w"))
_DIRECTORY_PERMISSIONS: Final = (
    ("w", "c"),
    ("d", "d"),
    ("e", "e"),
    ("f", "f"),
    ("l", "l"),
    ("m", "m"),
    ("d", "p"),
)


def permissionFact(letters: str, kind: FileType) -> str:
    """
    The value of C{perm} for something on which the account holds C{letters}
    (of C{elradfmwMT}).
    """
    table = _DIRECTORY_PERMISSIONS if kind is FileType.DIRECTORY else _FILE_PERMISSIONS
    return "".join([fact for letter, fact in table if letter in letters])


def parseFacts(text: str) -> tuple[str, ...]:
    """
    The facts that the argument of C{OPTS MLST} selects; unknown ones are ignored,
    and none at all is a choice too (7.9).
    """
    asked = {_FACT_NAMES.get(each.strip().lower()) for each in text.split(";")}
    return tuple(name for name in FACTS if name in asked)


def factsFeature(selected: Iterable[str]) -> str:
    """What follows C{MLST} in FEAT: every fact, the selected ones marked (7.8)."""
    chosen = frozenset(selected)
    return "".join([f"{name}{'*' if name in chosen else ''};" for name in FACTS])


def factsReply(selected: Iterable[str]) -> str:
    """The text of the reply to C{OPTS MLST} (7.9)."""
    chosen = frozenset(selected)
    return " ".join(["MLST OPTS", "".join([f"{name};" for name in FACTS if name in chosen])])


def _factValue(text: str) -> str:
    """A value that cannot end its fact or its line."""
    return "".join(
        [each if "!" <= each <= "~" and each not in ";%" else f"%{ord(each):02X}" for each in text]
    )


class FactFormatter:
    """Lines of MLSD and MLST for one listing."""

    def __init__(
        self,
        selected: Iterable[str] = FACTS,
        letters: str | Callable[[str], str] = "",
    ) -> None:
        """
        @param selected: names out of L{FACTS}.
        @param letters: what the account may do, in C{elradfmwMT}: for every entry
            the same, or asked with the entry's name.
        """
        chosen = frozenset(selected)
        self._chosen = chosen
        self._size, self._modify = "size" in chosen, "modify" in chosen
        self._perm, self._unique = "perm" in chosen, "unique" in chosen
        self._letters = letters if callable(letters) else (lambda name: letters)
        self._times: dict[float, str] = {}
        self._days: dict[float, str] = {}
        self._tails: dict[tuple[object, ...], tuple[str, str, str]] = {}

    def page(self, entries: Iterable[DirectoryEntry]) -> bytes:
        """
        Lines of MLSD.  A symbolic link is given as C{OS.unix=symlink}; whoever wants
        the type of what it leads to puts that into the entry first.
        """
        line = self._line
        return encodeLines(
            "".join([line(name, attributes) + "\r\n" for name, attributes, _ in entries])
        )

    def line(self, name: str, attributes: FileAttributes, kind: str | None = None) -> bytes:
        """
        One line without its end, for MLST, and for the directory itself in MLSD.

        @param name: shown as it is; everything after the one space is the name.
        @param kind: C{"cdir"} or C{"pdir"} instead of the type (7.5.1).
        """
        return encodeLines(self._line(name, attributes, kind))

    def _line(self, name: str, attributes: FileAttributes, kind: str | None = None) -> str:
        type, size, modified, _, mode, owner, group, _, uniqueId = attributes
        letters = self._letters(name) if self._perm else ""
        regular = type is FileType.REGULAR
        # Enumerations are slow to hash, so the usual kind is left out.
        key = (None if regular else type, mode, owner, group, letters, kind)
        ends = self._tails.get(key)
        if ends is None:
            ends = self._tail(key, attributes, letters, kind)
        text, middle, last = ends
        if self._size and regular:
            text += f"size={size};"
        if self._modify:
            second = modified // 1
            moment = self._times.get(second)
            if moment is None:
                moment = self._time(second)
            text += moment
        text += middle
        if self._unique and uniqueId is not None:
            plain = uniqueId.isalnum() and uniqueId.isascii()
            text += f"unique={uniqueId if plain else _factValue(uniqueId)};"
        return f"{text}{last} {name if name.isprintable() else name.translate(CONTROLS)}"

    def _tail(
        self,
        key: tuple[object, ...],
        attributes: FileAttributes,
        letters: str,
        kind: str | None,
    ) -> tuple[str, str, str]:
        """What is the same for most entries: before, between and after their own facts."""
        if len(self._tails) >= MAXIMUM_CACHED:
            self._tails.clear()
        chosen = self._chosen
        first = middle = last = ""
        if "type" in chosen:
            first = f"type={kind or _TYPE_FACTS[attributes.type]};"
        if self._perm:
            middle = f"perm={permissionFact(letters, attributes.type)};"
        if "UNIX.mode" in chosen and attributes.mode is not None:
            last += f"UNIX.mode=0{attributes.mode & 0o7777:03o};"
        if "UNIX.owner" in chosen and attributes.owner:
            last += f"UNIX.owner={_factValue(attributes.owner)};"
        if "UNIX.group" in chosen and attributes.group:
            last += f"UNIX.group={_factValue(attributes.group)};"
        self._tails[key] = ends = (first, middle, last)
        return ends

    def _time(self, second: float) -> str:
        if len(self._times) >= MAXIMUM_CACHED:
            self._times.clear()
        day, rest = divmod(second, 86400)
        start = self._days.get(day)
        if start is None:
            if len(self._days) >= MAXIMUM_CACHED:
                self._days.clear()
            self._days[day] = start = f"modify={formatTime(second)[:8]}"
        # Where no calendar has the day, or it is not a number, it became the epoch.
        clock = int(rest) if _FIRST_DAY <= day <= _LAST_DAY else 0
        text = f"{start}{clock // 3600:02d}{clock // 60 % 60:02d}{clock % 60:02d};"
        self._times[second] = text
        return text


__all__ = [
    "FACTS",
    "FactFormatter",
    "factsFeature",
    "factsReply",
    "formatTime",
    "parseFacts",
    "parseTime",
    "permissionFact",
    "printableName",
    "splitTime",
]
