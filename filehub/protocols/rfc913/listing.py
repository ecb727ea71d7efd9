"""
The lines of LIST, as we write them and as we read them from others.

RFC 913 leaves the format of a verbose line open.  Ours has fixed columns, the date
in UTC and the name last, so that a program can read it::

    -rw-r--r--         1234 owner    2026-11-24T21:34:00Z name
"""

from __future__ import annotations

import calendar
import math
import re
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from filehub.attributes import DirectoryEntry, FileAttributes, FileType
from filehub.protocols.rfc913.wire import encodeText, hasControls, joinLines, printable

#: Directories up to so many entries are sorted by name; larger ones come in the
#: storage's order, because nobody holds them in memory.
MAXIMUM_SORTED: Final = 10_000

_LETTERS: Final = {
    FileType.REGULAR: "-",
    FileType.DIRECTORY: "d",
    FileType.SYMLINK: "l",
    FileType.OTHER: "p",
}
_DEFAULT_MODES: Final = {FileType.DIRECTORY: 0o755, FileType.SYMLINK: 0o777}


def formatPage(entries: Iterable[DirectoryEntry], verbose: bool, showControls: bool) -> bytes:
    """
    Lines for these entries, each ended by CRLF.

    @param verbose: form V; else form F, the bare names.
    @param showControls: show names with control characters, which become C{\\xNN};
        otherwise they are left out, since no such name can be asked for safely.
    """
    lines = []
    for name, attributes, _ in entries:
        if not name.isprintable() and hasControls(name):
            if not showControls:
                continue
            name = _escaped(name)
        lines.append(f"{_columns(attributes)} {name}" if verbose else name)
    return encodeText(joinLines(lines))


def _escaped(name: str) -> str:
    return "".join([each if not hasControls(each) else f"\\x{ord(each):02x}" for each in name])


def _columns(attributes: FileAttributes) -> str:
    mode = attributes.mode
    if mode is None:
        mode = _DEFAULT_MODES.get(attributes.type, 0o644)
    bits = _LETTERS[attributes.type] + stat.filemode(mode & 0o7777)[1:]
    owner = "_".join(printable(attributes.owner or "").split()) or "-"
    return f"{bits} {attributes.size:>12} {owner:<8} {_date(attributes.modified)}"


def _date(seconds: float) -> str:
    try:
        moment = time.gmtime(math.floor(seconds))
        text = time.strftime("%Y-%m-%dT%H:%M:%SZ", moment)
    except (OverflowError, OSError, ValueError):
        # A damaged file system has times that no calendar has.
        return "1970-01-01T00:00:00Z"
    return text if len(text) == 20 else "1970-01-01T00:00:00Z"


# --- reading -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListedFile:
    """
    One line of a verbose listing.

    @ivar name: the name; of a line that was not understood, the whole line.
    @ivar kind: C{"file"}, C{"dir"}, C{"link"} or C{"other"}; L{None} if unknown.
    @ivar size: bytes, if known.
    @ivar modified: seconds since the epoch, UTC, if known.
    @ivar line: as it came.
    """

    name: str
    kind: str | None
    size: int | None
    modified: float | None
    line: str


_OURS: Final = re.compile(
    r"([-dlp])[-rwxsStT]{9} +([0-9]{1,19}) (\S+) +"
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z (.+)"
)
_KINDS: Final = {"-": "file", "d": "dir", "l": "link", "p": "other"}


def parseNames(lines: Iterable[str]) -> list[str]:
    """
    The names of an F listing (its lines without the first).  Servers exist that add
    blanks or the dot entries.
    """
    names = [line.rstrip(" \t\r") for line in lines]
    return [name for name in names if name.rstrip("/") not in ("", ".", "..")]


def parseVerbose(lines: Iterable[str]) -> list[ListedFile]:
    """
    What a V listing says.  The format is free: of lines that are not like ours only
    the text is known.
    """
    files = []
    for line in lines:
        line = line.rstrip("\r")
        match = _OURS.fullmatch(line)
        if match is not None:
            kind, size, _, *moment, name = match.groups()
            modified = float(calendar.timegm(tuple(map(int, moment))))
            files.append(ListedFile(name, _KINDS[kind], int(size), modified, line))
        elif line.strip():
            files.append(ListedFile(line.strip(), None, None, None, line))
    return [each for each in files if each.name not in (".", "..")]


__all__ = ["MAXIMUM_SORTED", "ListedFile", "formatPage", "parseNames", "parseVerbose"]
