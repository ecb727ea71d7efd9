"""
Copies within the server: COMB, which joins the parts of an upload, and SITE CPFR, CPTO
and COPY.

The storage copies, if it can; if it cannot, or two storages are concerned, bytes go
through here, a piece at a time.  What is made appears under its name when it is whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from filehub.attributes import Disposition
from filehub.errors import (
    AlreadyExists,
    CrossDevice,
    FileSystemError,
    NotARegularFile,
    OperationNotSupported,
)
from filehub.events import NameChanged
from filehub.interfaces import IFileSystem, IReadHandle, IServerSideCopy, IWriteHandle
from filehub.paths import VirtualPath
from filehub.protocols.ftp import replies
from filehub.protocols.ftp.arguments import words
from filehub.protocols.ftp.interruptible import interruptible
from filehub.protocols.ftp.wire import Reply

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

#: More than any handle reads or writes on the reactor's thread.
_PIECE: Final = 1024 * 1024

_BAD_PARTS: Final = replies.reply(501, "COMB takes a path and those of its parts.")
_LEFT_OVER: Final = replies.reply(250, "Combined; not all parts could be removed.")
_COMBINED: Final = replies.reply(250, "Combined.")
_COPIED: Final = replies.reply(250, "Copied.")
_CPFR_FIRST: Final = replies.reply(503, "Say SITE CPFR first.")
_TWO_PATHS: Final = replies.reply(501, "SITE COPY takes two paths.")


async def COMB(session: FTPSession, argument: str) -> Reply:
    """
    Join parts into one file, or at the end of an existing one, and remove them then.
    """
    names = words(argument)
    if names is None or len(names) < 2 or not all(names):
        return _BAD_PARTS
    target = session.newPath(names[0])
    parts = [session.path(name) for name in names[1:]]
    if len({target, *parts}) != len(names):
        return _BAD_PARTS
    await interruptible(session, "COMB", target, _combine(session.fileSystem, target, parts))
    _tell(session, "combine", target)
    done = _COMBINED
    for part in parts:
        try:
            await session.fileSystem.removeFile(part)
        except FileSystemError:
            done = _LEFT_OVER
    return done


async def _combine(
    fileSystem: IFileSystem, target: VirtualPath, parts: Sequence[VirtualPath]
) -> None:
    sources: list[IReadHandle] = []
    handle: IWriteHandle | None = None
    try:
        for part in parts:
            sources.append(await fileSystem.openForReading(part))
        size = sum(source.attributes.size for source in sources)
        try:
            handle = await fileSystem.openForWriting(target, Disposition.CREATE, sizeHint=size)
        except AlreadyExists:
            handle = await fileSystem.openForWriting(target, Disposition.APPEND)
        await _write(handle, sources)
    finally:
        await _close(sources, handle)


async def _write(handle: IWriteHandle, sources: Sequence[IReadHandle]) -> None:
    position = handle.position
    for source in sources:
        offset = 0
        while data := await source.readAt(offset, _PIECE):
            await handle.writeAt(position, data)
            offset += len(data)
            position += len(data)
    await handle.commit()


async def _close(sources: Sequence[IReadHandle], handle: IWriteHandle | None) -> None:
    """Without effect on what is committed."""
    try:
        if handle is not None:
            await handle.abort()
    finally:
        for source in sources:
            await source.close()


def _tell(session: FTPSession, verb: str, path: VirtualPath, to: VirtualPath | None = None) -> None:
    """What no method of the file system does as a whole, and tells of, is told here."""
    account = "" if session.account is None else session.account.name
    session.listener.emit(NameChanged(session.slot.connection, account, verb, path, to))


async def _copyFile(session: FTPSession, source: VirtualPath, target: VirtualPath) -> None:
    fileSystem = session.fileSystem
    copies = IServerSideCopy(fileSystem, None)
    if copies is not None:
        try:
            await copies.copy(source, target, replace=True)
            return
        except (CrossDevice, OperationNotSupported):
            pass
    sources = [await fileSystem.openForReading(source)]
    handle: IWriteHandle | None = None
    try:
        size = sources[0].attributes.size
        handle = await fileSystem.openForWriting(target, Disposition.REPLACE, sizeHint=size)
        await _write(handle, sources)
    finally:
        await _close(sources, handle)
    _tell(session, "copy", source, target)


async def CPFR(session: FTPSession, argument: str) -> Reply:
    """SITE CPFR: what to copy."""
    path = session.path(argument)
    attributes = await session.stat(path)
    if not attributes.isRegular:
        raise NotARegularFile(path)
    session.copyFrom = path
    return replies.reply(350, "Ready for SITE CPTO.")


async def CPTO(session: FTPSession, argument: str) -> Reply:
    """SITE CPTO: the name of the copy."""
    source, session.copyFrom = session.copyFrom, None
    if source is None:
        return _CPFR_FIRST
    return await _copy(session, "CPTO", source, session.newPath(argument))


async def COPY(session: FTPSession, argument: str) -> Reply:
    """SITE COPY: both at once."""
    names = words(argument)
    if names is None or len(names) != 2 or not all(names):
        return _TWO_PATHS
    return await _copy(session, "COPY", session.path(names[0]), session.newPath(names[1]))


async def _copy(session: FTPSession, verb: str, source: VirtualPath, target: VirtualPath) -> Reply:
    await interruptible(session, verb, target, _copyFile(session, source, target))
    return _COPIED


VERBS: Final = {"COMB": COMB}
