"""
Texts that people read: a welcome after the login, and the message of a directory.

A text stands in front of the line that a reply has anyway.  No line of it can be taken
for a reply: L{encodeReply<filehub.protocols.ftp.wire.encodeReply>} sees to that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from filehub.errors import FileHubError
from filehub.paths import VirtualPath, decodeName
from filehub.protocols.ftp.wire import Reply

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

#: Bytes of a message that are shown; and lines, each of at most so many characters.
MAXIMUM_MESSAGE: Final = 4096
_MAXIMUM_LINES: Final = 50
_MAXIMUM_WIDTH: Final = 500
#: Directories whose message a session has seen; beyond that it sees no more.
_REMEMBERED: Final = 64


def withText(text: str, reply: Reply) -> Reply:
    """The reply with a text in front of it, if there is any."""
    if not text:
        return reply
    lines = [line[:_MAXIMUM_WIDTH].rstrip() for line in text.splitlines()[:_MAXIMUM_LINES]]
    return Reply(reply.code, (*lines, *reply.lines)) if any(lines) else reply


async def directoryMessage(session: FTPSession, path: VirtualPath) -> str:
    """
    The message of a directory that was entered, the first time in a session; empty if
    there is none, or none that the account may read.
    """
    name = session.listener.settings.messageFile
    if not name:
        return ""
    greeted = session.greetedIn or frozenset()
    if path in greeted:
        return ""
    try:
        place = path.child(name)
        if len(greeted) >= _REMEMBERED:
            return ""
        session.greetedIn = greeted | {path}
        handle = await session.fileSystem.openForReading(place)
        try:
            content = await handle.readAt(0, MAXIMUM_MESSAGE)
        finally:
            await handle.close()
    except FileHubError:
        # The directory was entered all the same.
        return ""
    return decodeName(content).lstrip("\ufeff")


__all__ = ["MAXIMUM_MESSAGE", "directoryMessage", "withText"]
