"""
Changing facts: MFMT, MFCT and MFF (draft-somers-ftp-mfxx).

What can be changed are C{modify} and C{UNIX.mode}.  No file system lets its owner set
when a file was created, and to whom a file belongs is the operator's affair.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from filehub.attributes import AttributeChanges
from filehub.protocols.ftp import replies
from filehub.protocols.ftp.facts import formatTime, parseTime, splitTime
from filehub.protocols.ftp.wire import Reply

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

_MODE: Final = re.compile(r"[0-7]{3,4}")

_NO_TIME: Final = replies.reply(501, "A time, YYYYMMDDHHMMSS, and a path are needed.")
_NO_FACTS: Final = replies.reply(501, "MFF takes facts, each with = and ;, a space and a path.")
_NEVER_CREATED: Final = replies.reply(504, "The time of creation cannot be set here.")


async def MFMT(session: FTPSession, argument: str) -> Reply:
    """Set when a file was modified."""
    change = splitTime(argument)
    if change is None:
        return _NO_TIME
    return await setModified(session, *change)


async def setModified(session: FTPSession, moment: float, name: str) -> Reply:
    """The same for a time that has been understood."""
    path = session.path(name)
    await session.fileSystem.setAttributes(path, AttributeChanges(modified=moment))
    return replies.reply(213, f"Modify={formatTime(moment)}; {path}")


async def MFCT(session: FTPSession, argument: str) -> Reply:
    """Set when a file was created, which cannot be done."""
    return _NEVER_CREATED


async def MFF(session: FTPSession, argument: str) -> Reply:
    """Set several facts, all of them or none."""
    text, _, name = argument.partition("; ")
    if not name:
        return _NO_FACTS
    mode = moment = None
    for fact in text.split(";"):
        key, equals, value = fact.partition("=")
        key = key.strip().lower()
        if not equals:
            return _NO_FACTS
        if key == "modify":
            try:
                moment = parseTime(value)
            except ValueError:
                return _NO_TIME
        elif key == "unix.mode":
            if not _MODE.fullmatch(value):
                return replies.reply(501, "UNIX.mode is three or four octal digits.")
            mode = int(value, 8) & 0o777
        elif key == "create":
            return _NEVER_CREATED
        else:
            return replies.reply(504, f"The fact {key} cannot be set here.")
    path = session.path(name)
    await session.fileSystem.setAttributes(path, AttributeChanges(mode=mode, modified=moment))
    done = "" if moment is None else f"Modify={formatTime(moment)};"
    if mode is not None:
        done += f"UNIX.mode={mode:04o};"
    return replies.reply(213, f"{done} {path}")


VERBS: Final = {"MFMT": MFMT, "MFCT": MFCT, "MFF": MFF}
