"""
The name space: where we are, what exists, what it is called (RFC 959 4.1.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from filehub.errors import (
    AlreadyExists,
    NotARegularFile,
    NotFound,
)
from filehub.interfaces import IFileSystem
from filehub.paths import VirtualPath
from filehub.protocols.ftp import replies
from filehub.protocols.ftp.facts import formatTime, splitTime
from filehub.protocols.ftp.messages import directoryMessage, withText
from filehub.protocols.ftp.modifying import setModified
from filehub.protocols.ftp.wire import Reply

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession


async def PWD(session: FTPSession, argument: str) -> Reply:
    """The current directory."""
    return replies.reply(257, f"{replies.quoted(str(session.directory))} is current.")


async def CWD(session: FTPSession, argument: str) -> Reply:
    """Change to a directory; without an argument, home."""
    if argument:
        return await _change(session, session.path(argument))
    account = session.account
    return await _change(session, session.directory if account is None else account.home)


async def CDUP(session: FTPSession, argument: str) -> Reply:
    """Change to the parent directory; the root is its own."""
    return await _change(session, session.directory.parent)


async def _change(session: FTPSession, path: VirtualPath) -> Reply:
    await session.fileSystem.enterDirectory(path)
    session.directory = path
    reply = replies.reply(250, f"Directory changed to {path}")
    if not session.listener.settings.messageFile:
        return reply
    return withText(await directoryMessage(session, path), reply)


async def MKD(session: FTPSession, argument: str) -> Reply:
    """Make a directory."""
    path = session.newPath(argument)
    settings = session.listener.settings
    try:
        if settings.makesParents:
            await _makeParents(session.fileSystem, path)
        await session.fileSystem.makeDirectory(path)
    except AlreadyExists:
        if settings.acceptsExisting and (await session.stat(path)).isDirectory:
            return replies.reply(257, f"{replies.quoted(str(path))} exists.")
        # Clients that make sure of a directory recognize code and words.
        return replies.reply(550, f"{path}: Directory already exists")
    return replies.reply(257, f"{replies.quoted(str(path))} created.")


async def _makeParents(fileSystem: IFileSystem, path: VirtualPath) -> None:
    """
    Make what is missing above a directory, from the top down.

    @raise FileSystemError: something cannot be made.
    """
    missing = []
    above = path.parent
    while above.segments:
        try:
            await fileSystem.stat(await fileSystem.resolve(above))
            break
        except NotFound:
            missing.append(above)
            above = above.parent
    for each in reversed(missing):
        try:
            await fileSystem.makeDirectory(each)
        except AlreadyExists:
            # Somebody else was faster: that is as good.
            continue


async def RMD(session: FTPSession, argument: str) -> Reply:
    """Remove an empty directory."""
    await session.fileSystem.removeDirectory(session.path(argument))
    return replies.reply(250, "Directory removed.")


async def DELE(session: FTPSession, argument: str) -> Reply:
    """Delete a file."""
    await session.fileSystem.removeFile(session.path(argument))
    return replies.reply(250, "File deleted.")


async def RNFR(session: FTPSession, argument: str) -> Reply:
    """What to rename.  That it does not exist is said here and now."""
    path = session.path(argument)
    await session.fileSystem.stat(path)
    session.renameFrom = path
    return replies.reply(350, "Ready for RNTO.")


async def RNTO(session: FTPSession, argument: str) -> Reply:
    """Its new name; an existing file of that name is replaced."""
    source, session.renameFrom = session.renameFrom, None
    if source is None:
        return replies.reply(503, "Say RNFR first.")
    await session.fileSystem.rename(source, session.newPath(argument), replace=True)
    return replies.reply(250, "Renamed.")


async def SIZE(session: FTPSession, argument: str) -> Reply:
    """The length that RETR would send, exactly or not at all (RFC 3659 section 4)."""
    path = session.path(argument)
    if not session.representation.keepsLength(session.listener.settings):
        kind = "ASCII" if session.representation.type == "A" else "this"
        return replies.reply(550, f"SIZE is not allowed in {kind} mode; use TYPE I and STRU F.")
    attributes = await session.stat(path)
    if not attributes.isRegular:
        raise NotARegularFile(path)
    return replies.reply(213, str(attributes.size))


async def MDTM(session: FTPSession, argument: str) -> Reply:
    """
    When a file was modified (RFC 3659 section 3).  Many clients set it with C{MDTM time
    name}, which could be a name too: it is one if there is such a file.
    """
    path = session.path(argument)
    try:
        attributes = await session.stat(path)
    except NotFound:
        change = splitTime(argument)
        if change is None:
            raise
        return await setModified(session, *change)
    return replies.reply(213, formatTime(attributes.modified))


VERBS: Final = {
    "PWD": PWD,
    "XPWD": PWD,
    "CWD": CWD,
    "XCWD": CWD,
    "CDUP": CDUP,
    "XCUP": CDUP,
    "MKD": MKD,
    "XMKD": MKD,
    "RMD": RMD,
    "XRMD": RMD,
    "DELE": DELE,
    "RNFR": RNFR,
    "RNTO": RNTO,
    "SIZE": SIZE,
    "MDTM": MDTM,
}
