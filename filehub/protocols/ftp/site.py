"""
SITE: commands of ours within one command (RFC 959 4.1.3).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from filehub.attributes import AttributeChanges
from filehub.protocols.ftp import replies
from filehub.protocols.ftp.facts import parseTime
from filehub.protocols.ftp.wire import Reply

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

_MODE: Final = re.compile(r"[0-7]{3,4}")
_SHORT_TIME: Final = re.compile(r"[0-9]{12}")


async def SITE(session: FTPSession, argument: str) -> Reply:
    """Hand on to one of L{COMMANDS}."""
    name, _, rest = argument.partition(" ")
    name = name.upper()
    if name == "HELP":
        return replies.reply(214, "SITE commands:", *sorted(HELP.values()), "End")
    command = COMMANDS.get(name)
    if command is None:
        return replies.reply(500, "That SITE command is not known.")
    return await command(session, rest)


async def CHMOD(session: FTPSession, argument: str) -> Reply:
    """Permission bits in octal.  Set-id and sticky bits are quietly left out."""
    mode, _, name = argument.partition(" ")
    if not _MODE.fullmatch(mode) or not name:
        return replies.reply(501, HELP["CHMOD"])
    changes = AttributeChanges(mode=int(mode, 8) & 0o777)
    await session.fileSystem.setAttributes(session.path(name), changes)
    return replies.reply(200, "Mode changed.")


async def UTIME(session: FTPSession, argument: str) -> Reply:
    """When a file was accessed and modified, in either of the two spellings in use."""
    parsed = _parseFiveWords(argument) or _parseTwoWords(argument)
    if parsed is None:
        return replies.reply(501, HELP["UTIME"])
    name, changes = parsed
    await session.fileSystem.setAttributes(session.path(name), changes)
    return replies.reply(200, "Times changed.")


def _parseFiveWords(argument: str) -> tuple[str, AttributeChanges] | None:
    """C{name accessed modified created UTC}; a time of creation cannot be set."""
    words = argument.rsplit(" ", 4)
    if len(words) != 5 or not words[0] or words[4].upper() != "UTC":
        return None
    try:
        accessed, modified, _ = map(parseTime, words[1:4])
    except ValueError:
        return None
    return words[0], AttributeChanges(accessed=accessed, modified=modified)


def _parseTwoWords(argument: str) -> tuple[str, AttributeChanges] | None:
    """C{time name}; seconds may be missing."""
    word, _, name = argument.partition(" ")
    try:
        modified = parseTime(f"{word}00" if _SHORT_TIME.fullmatch(word) else word)
    except ValueError:
        return None
    return (name, AttributeChanges(modified=modified)) if name else None


COMMANDS: Final = {"CHMOD": CHMOD, "UTIME": UTIME}
HELP: Final = {
    "CHMOD": "SITE CHMOD mode path",
    "HELP": "SITE HELP",
    "UTIME": "SITE UTIME time path | path accessed modified created UTC",
}
VERBS: Final = {"SITE": SITE}
