"""
What a server's listings say about one file, as machines read it (MLSD, MLST) or as
people do (LIST).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from filehub.errors import FileHubError
from filehub.protocols.ftp.facts import parseTime

#: One line of C{ls -l}: type, links, owner, group, size, three date words, name.
_UNIX: Final = re.compile(r"([-dlbcps])\S{9}\S?\s+\d+\s+\S+\s+\S+\s+(\d+)\s+\S+\s+\S+\s+\S+ (.*)")


@dataclass(frozen=True, slots=True)
class RemoteEntry:
    """
    One line of a listing.

    @ivar kind: C{"file"}, C{"dir"}, C{"link"} or C{"other"}.
    @ivar size: bytes, where the server tells.
    @ivar modified: seconds since the epoch, UTC, where the server tells exactly.
    """

    name: str
    kind: str
    size: int | None = None
    modified: float | None = None
    facts: dict[str, str] = field(default_factory=dict, compare=False)


def parseEntry(line: str) -> RemoteEntry | None:
    """One line of MLSD (RFC 3659 7.2)."""
    text, space, name = line.partition(" ")
    if not space or not name:
        return None
    facts = {}
    for fact in text.split(";"):
        key, _, value = fact.partition("=")
        facts[key.lower()] = value
    kind = facts.get("type", "").lower()
    if kind in ("cdir", "pdir"):
        return None
    size = facts.get("size", facts.get("sized", ""))
    try:
        modified = parseTime(facts["modify"]) if "modify" in facts else None
    except FileHubError:
        modified = None
    return RemoteEntry(
        name.rpartition("/")[2] or name,
        kind if kind in ("file", "dir") else "link" if "link" in kind else "other",
        int(size) if size.isascii() and size.isdigit() else None,
        modified,
        facts,
    )


def parseUnixEntry(line: str) -> RemoteEntry | None:
    """One line of C{ls -l}, as most servers without MLSD print."""
    match = _UNIX.match(line)
    if match is None:
        return None
    kind, size, name = match.groups()
    kinds = {"-": "file", "d": "dir", "l": "link"}
    if kind == "l":
        name = name.partition(" -> ")[0]
    return RemoteEntry(name, kinds.get(kind, "other"), int(size))


__all__ = ["RemoteEntry", "parseEntry", "parseUnixEntry"]
