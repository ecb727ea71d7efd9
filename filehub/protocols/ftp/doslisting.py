"""
LIST as C{DIR} of DOS and the server of Windows print it, for clients that parse nothing
else.  There are no owners and no permission bits in it, and links are what they are
called.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from filehub.attributes import DirectoryEntry
from filehub.protocols.ftp.facts import calendarTime, encodeLines, printableName

_NOON: Final = 12


class DosFormatter:
    """Lines such as C{01-31-26  03:05PM       <DIR>          name}, in UTC."""

    def page(self, entries: Iterable[DirectoryEntry]) -> bytes:
        """The lines for these entries, in this order."""
        lines = []
        for name, attributes, _ in entries:
            moment = calendarTime(attributes.modified)
            hour, half = moment.tm_hour % _NOON or _NOON, moment.tm_hour >= _NOON
            size = f"{'<DIR>':<14} " if attributes.isDirectory else f"{attributes.size:>14} "
            lines.append(
                f"{moment.tm_mon:02d}-{moment.tm_mday:02d}-{moment.tm_year % 100:02d}  "
                f"{hour:02d}:{moment.tm_min:02d}{'PM' if half else 'AM'}       "
                f"{size}{printableName(name)}\r\n"
            )
        return encodeLines("".join(lines))


__all__ = ["DosFormatter"]
