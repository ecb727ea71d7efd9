"""
SMNT: a mount by its name (RFC 959 4.1.1).

Mounts are the operator's, and all of them are there all the time; what a client can do
is to go to the root of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from filehub.errors import NotFound
from filehub.protocols.ftp import replies
from filehub.protocols.ftp.wire import Reply

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession


async def SMNT(session: FTPSession, argument: str) -> Reply:
    """Change to the root of a mount, which is called by its path or the last name of it."""
    points = [] if session.account is None else list(session.account.mounts)
    if not any(point.segments for point in points):
        return replies.NOT_IMPLEMENTED
    wanted = argument.strip("/")
    named = [point for point in points if str(point).strip("/") == wanted]
    named = named or [point for point in points if point.name == wanted]
    if len(named) != 1:
        raise NotFound(None, "no such mount")
    await session.fileSystem.enterDirectory(named[0])
    session.directory = named[0]
    return replies.reply(250, f"Directory changed to {named[0]}")


VERBS: Final = {"SMNT": SMNT}
