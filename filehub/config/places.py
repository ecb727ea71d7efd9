"""
Where in a TOML file is what: so that a complaint can name a line.

The standard library's parser does the reading; it forgets lines.  This scanner only
finds keys and table headers, in files that the parser has accepted already.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

#: A place in the parsed data: keys, and indices in arrays of tables.
Place = tuple[str | int, ...]

_KEY: Final = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_DOTTED: Final = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER: Final = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]\]?")
_ASSIGNMENT: Final = re.compile(rf"\s*({_DOTTED})\s*=")
_PART: Final = re.compile(_KEY)
_QUOTES: Final = re.compile(r'"""|\'\'\'')


def findPlaces(text: str) -> Mapping[Place, int]:
    """The line, counted from 1, of every table header and key."""
    places: dict[Place, int] = {}
    counts: dict[Place, int] = {}
    table: Place = ()
    inside = ""
    depth = 0
    for number, line in enumerate(text.splitlines(), 1):
        if inside:
            # In a multi-line string nothing is a key.
            inside = "" if inside in line else inside
            continue
        if depth == 0:
            header = _HEADER.match(line)
            if header is not None:
                table = _tablePlace(header, counts)
                places[table] = number
                continue
            assignment = _ASSIGNMENT.match(line)
            if assignment is not None:
                places.setdefault(table + _parts(assignment[1]), number)
        quotes = _QUOTES.findall(line)
        if len(quotes) % 2:
            inside = quotes[-1]
        depth = max(0, depth + _openBrackets(line))
    return places


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


def _tablePlace(header: re.Match[str], counts: dict[Place, int]) -> Place:
    """
    Where a header leads: names of arrays of tables mean their latest element.
    """
    place: Place = ()
    parts = _parts(header[2])
    for position, part in enumerate(parts):
        place += (part,)
        if position == len(parts) - 1 and header[1] == "[[":
            counts[place] = counts.get(place, -1) + 1
        if place in counts:
            place += (counts[place],)
    return place


def _openBrackets(line: str) -> int:
    """How many more brackets a line opens than it closes, outside strings and comments."""
    bare = re.sub(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'', "", line).partition("#")[0]
    _, _, value = bare.partition("=")
    counted = value or bare
    return counted.count("[") + counted.count("{") - counted.count("]") - counted.count("}")


def lineOf(places: Mapping[Place, int], place: Place) -> int | None:
    """The line of C{place}, or of the nearest thing around it that has one."""
    for length in range(len(place), 0, -1):
        line = places.get(place[:length])
        if line is not None:
            return line
    return None
