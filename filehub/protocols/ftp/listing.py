"""
What LIST, NLST, MLSD and MLST say, and what may be asked of them.

No formatter awaits, sorts or keeps entries: each turns a page of a directory into
bytes, so a listing takes as much memory as one page whatever the directory holds.
Times are UTC everywhere, because clients guess our time zone by comparing LIST with
MDTM.

LIST has no standard.  Ours is what C{ls -l} prints on the systems that clients were
written against: SYST says C{UNIX} and they choose their parser by it.  The facts of
MLSD and MLST are in L{filehub.protocols.ftp.facts}, as is how names are shown.
"""

from __future__ import annotations

import fnmatch
import re
import stat
from collections.abc import Iterable
from typing import Final, NamedTuple

from filehub.attributes import DirectoryEntry, FileAttributes, FileType
from filehub.errors import InvalidName
from filehub.protocols.ftp.facts import (
    CONTROLS,
    MAXIMUM_CACHED,
    calendarTime,
    encodeLines,
    printableName,
)

# --- what is asked -----------------------------------------------------------

#: The letters of C{ls} that mean something here; all others are ignored.
KNOWN_FLAGS: Final = frozenset("alALRtSr1Fdn")
#: Runs of C{*} in one pattern.
MAXIMUM_WILDCARDS: Final = 5
#: Entries that are held in memory to be sorted; larger listings keep the storage's order.
MAXIMUM_SORTED: Final = 10_000


class ListRequest(NamedTuple):
    """
    The argument of LIST, NLST or STAT, read the way C{ls} would.

    @ivar flags: those letters of L{KNOWN_FLAGS} that were given.
    @ivar path: what follows the flags, to the last space; may be empty.
    @ivar text: the whole argument.  A file can be called C{-la}: where C{path} is
        empty and C{text} is not, the caller may look for that name first.
    """

    flags: frozenset[str]
    path: str
    text: str

    @property
    def showsHidden(self) -> bool:
        """Are names listed that begin with a dot?"""
        return not self.flags.isdisjoint("aA")

    @property
    def isOrdered(self) -> bool:
        """Was an order asked for?"""
        return not self.flags.isdisjoint("tSr")


def parseListArguments(text: str) -> ListRequest:
    """
    Separate flags from the path.  Only leading words that begin with C{-} are flags,
    C{--} ends them, and a lone C{-} is a name.  One space separates; further ones
    belong to the path.
    """
    flags: set[str] = set()
    rest = text
    while rest.startswith("-"):
        word, _, after = rest.partition(" ")
        if word == "-":
            break
        rest = after
        if word == "--":
            break
        if not word.startswith("--"):
            flags |= KNOWN_FLAGS.intersection(word)
    return ListRequest(frozenset(flags), rest, text)


class Pattern:
    """
    C{*}, C{?}, C{[a-z]} and C{[!a-z]} for one name.  Nothing else is special: no
    braces, no backslash.  Matching takes time in proportion to the lengths of
    pattern and name at worst: a C{*} is never tried again once what follows it
    was found.

    @ivar text: the pattern as it was asked.
    """

    __slots__ = ("_dotted", "_match", "text")

    def __init__(self, text: str) -> None:
        """
        @raise InvalidName: for more than L{MAXIMUM_WILDCARDS} stars.
        """
        collapsed = re.sub(r"\*+", "*", text)
        if collapsed.count("*") > MAXIMUM_WILDCARDS:
            raise InvalidName(None, "too many wildcards")
        self.text = text
        self._dotted = text.startswith(".")
        # The standard library puts every star into an atomic group.
        self._match = re.compile(fnmatch.translate(collapsed)).match

    def matches(self, name: str, hidden: bool = False) -> bool:
        """
        @param hidden: whether a leading dot is matched by a wildcard too.
        """
        if name.startswith(".") and not (hidden or self._dotted):
            return False
        return self._match(name) is not None


def splitPattern(path: str) -> tuple[str, Pattern | None]:
    """
    The directory to read and the pattern its names must match; where the last
    segment has no wildcard, the whole path and L{None}.  Wildcards elsewhere stand
    for themselves.

    @raise InvalidName: for too many wildcards.
    """
    head, slash, last = path.rpartition("/")
    if not any(each in last for each in "*?["):
        return path, None
    return (head or slash), Pattern(last)


def namePrefix(path: str, pattern: Pattern | None) -> str:
    """
    What NLST puts before each name: names come back relative to the way they were
    asked, so that a client can pass them to RETR (RFC 959, NLST).
    """
    if pattern is not None:
        return path[: path.rfind("/") + 1]
    return path if not path or path.endswith("/") else path + "/"


def arrange(entries: Iterable[DirectoryEntry], flags: frozenset[str]) -> list[DirectoryEntry]:
    """
    In the order of C{-t} (newest first), C{-S} (largest first) or by name; C{-r}
    turns it round.  The caller asks for at most L{MAXIMUM_SORTED}.
    """
    result = sorted(entries, key=lambda entry: entry.name)
    if "t" in flags:
        result.sort(key=lambda entry: -entry.attributes.modified)
    elif "S" in flags:
        result.sort(key=lambda entry: -entry.attributes.size)
    if "r" in flags:
        result.reverse()
    return result


def formatNames(entries: Iterable[DirectoryEntry], prefix: str = "") -> bytes:
    """
    A page of NLST: one name a line, nothing but names.

    @param prefix: see L{namePrefix}.
    """
    before = printableName(prefix)
    return encodeLines("".join([f"{before}{printableName(entry[0])}\r\n" for entry in entries]))


# --- LIST --------------------------------------------------------------------

_MONTHS: Final = "JanFebMarAprMayJunJulAugSepOctNovDec"
_TYPE_LETTERS: Final = {
    FileType.REGULAR: "-",
    FileType.DIRECTORY: "d",
    FileType.SYMLINK: "l",
    FileType.OTHER: "p",
}
#: What is shown where the storage knows of no permission bits.
_DEFAULT_MODES: Final = {FileType.DIRECTORY: 0o755, FileType.SYMLINK: 0o777}
#: C{ls} shows the year instead of the time for what is older than this.
_RECENT_MINUTES: Final = 180 * 24 * 60


def _column(name: str | None) -> str:
    """An owner as one word."""
    return "_".join(printableName(name).split()) or "ftp" if name else "ftp"


class ListFormatter:
    """
    Lines of C{ls -l} for LIST and STAT.  Make one per listing: what is recent is
    decided when it is made.
    """

    def __init__(self, now: float, flags: frozenset[str] = frozenset()) -> None:
        """
        @param now: seconds since the epoch.
        @param flags: of these only C{F} matters, which marks directories with C{/}
            and programs with C{*}.
        """
        self._minute = int(now // 60)
        self._marks = "F" in flags
        self._dates: dict[float, str] = {}
        self._days: dict[float, tuple[str, str]] = {}
        # Enumerations are slow to hash, so the usual kind has a table of its own.
        self._files: dict[tuple[object, ...], str] = {}
        self._others: dict[tuple[object, ...], str] = {}

    def page(self, entries: Iterable[DirectoryEntry]) -> bytes:
        """The lines for these entries, in this order."""
        dates, files, others, lines = self._dates, self._files, self._others, []
        regular, marks = FileType.REGULAR, self._marks
        for name, attributes, target in entries:
            kind, size, modified, _, mode, owner, group, links, _ = attributes
            head = (
                files.get((mode, owner, group, links))
                if kind is regular
                else others.get((kind, mode, owner, group, links))
            )
            if head is None:
                head = self._head(attributes)
            minute = modified // 60
            date = dates.get(minute)
            if date is None:
                date = self._date(minute)
            shown = name if name.isprintable() else name.translate(CONTROLS)
            if target is not None:
                shown = f"{shown} -> {printableName(target)}"
            elif marks:
                shown += self._mark(attributes)
            lines.append(f"{head}{size:>8} {date} {shown}\r\n")
        return encodeLines("".join(lines))

    @staticmethod
    def _mark(attributes: FileAttributes) -> str:
        if attributes.isDirectory:
            return "/"
        return "*" if attributes.isRegular and (attributes.mode or 0) & 0o111 else ""

    def _head(self, attributes: FileAttributes) -> str:
        kind, _, _, _, mode, owner, group, links, _ = attributes
        key: tuple[object, ...] = (mode, owner, group, links)
        table = self._files
        if kind is not FileType.REGULAR:
            key, table = (kind, *key), self._others
        if len(table) >= MAXIMUM_CACHED:
            table.clear()
        if mode is None:
            mode = _DEFAULT_MODES.get(kind, 0o644)
        bits = stat.filemode(mode & 0o7777)[1:]
        head = (
            f"{_TYPE_LETTERS[kind]}{bits} {links or 1:>3} {_column(owner):<8} {_column(group):<8} "
        )
        table[key] = head
        return head

    def _date(self, minute: float) -> str:
        if len(self._dates) >= MAXIMUM_CACHED:
            self._dates.clear()
        day, rest = divmod(minute, 24 * 60)
        texts = self._days.get(day)
        if texts is None:
            if len(self._days) >= MAXIMUM_CACHED:
                self._days.clear()
            moment = calendarTime(day * 86400)
            month = _MONTHS[3 * moment.tm_mon - 3 : 3 * moment.tm_mon]
            start = f"{month} {moment.tm_mday:2d} "
            self._days[day] = texts = (start, f"{start}{moment.tm_year:5d}")
        # A minute of grace: storage and we need not read the same clock.
        if -1 <= self._minute - minute <= _RECENT_MINUTES:
            text = f"{texts[0]}{int(rest // 60):02d}:{int(rest % 60):02d}"
        else:
            text = texts[1]
        self._dates[minute] = text
        return text


__all__ = [
    "KNOWN_FLAGS",
    "MAXIMUM_SORTED",
    "MAXIMUM_WILDCARDS",
    "ListFormatter",
    "ListRequest",
    "Pattern",
    "arrange",
    "formatNames",
    "namePrefix",
    "parseListArguments",
    "splitPattern",
]
