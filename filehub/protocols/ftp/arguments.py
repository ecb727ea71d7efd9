"""
Arguments with several parts, as the inventors of extensions write them.

Names may hold spaces.  Clients put such a name in quotes and double the quotes in it;
others leave them away and hope.  What is a name literally always comes first.
"""

from __future__ import annotations

import re
from typing import Final

_QUOTED: Final = re.compile(r'"((?:[^"]|"")*)"(?: +|$)')
_PLAIN: Final = re.compile(r'([^ "][^ ]*)(?: +|$)')
_RANGE: Final = re.compile(r"(.*?\S) +([0-9]{1,19})(?: +([0-9]{1,19}))?", re.DOTALL)


def words(text: str) -> list[str] | None:
    """
    The words of C{a "b c" d}; L{None} if quotes are not balanced.
    """
    found = []
    position, text = 0, text.strip(" ")
    while position < len(text):
        match = _QUOTED.match(text, position) or _PLAIN.match(text, position)
        if match is None:
            return None
        quoted = match.re is _QUOTED
        found.append(match[1].replace('""', '"') if quoted else match[1])
        position = match.end()
    return found


def unquoted(text: str) -> str:
    """The name in quotes, or what is not in quotes as it is."""
    match = _QUOTED.fullmatch(text)
    return match[1].replace('""', '"') if match is not None else text


def ranged(text: str) -> tuple[str, int, int | None] | None:
    """
    The name, start and end of C{name start [end]}; L{None} without numbers at the end.
    """
    match = _RANGE.fullmatch(text)
    if match is None:
        return None
    name, first, last = match.groups()
    return name, int(first), None if last is None else int(last)


__all__ = ["ranged", "unquoted", "words"]
