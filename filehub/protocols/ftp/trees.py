"""
Whole trees: how large one is (DSIZ), and how it is removed (RMDA, SITE RMDIR).

Nothing here follows a symbolic link, also not one that appears meanwhile: see
L{ILiteralView}.  Every entry is asked for by itself, so whatever forbids listing or
removing one of them ends the command there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from filehub.errors import (
    FileSystemError,
    NotADirectory,
    OperationNotSupported,
    PermissionDenied,
)
from filehub.interfaces import IFileSystem
from filehub.paths import VirtualPath
from filehub.protocols.ftp import replies
from filehub.protocols.ftp.interruptible import interruptible
from filehub.protocols.ftp.wire import Reply
from filehub.views import ILiteralView

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

#: Seconds for one command, whatever the number of entries.
MAXIMUM_SECONDS: Final = 600.0


async def DSIZ(session: FTPSession, argument: str) -> Reply:
    """
    The bytes of all files below a directory that this account may list
    (draft-peterson-streamlined-ftp-command-extensions).
    """
    path = session.path(argument)
    size = await interruptible(session, "DSIZ", path, _measure(session, path))
    return replies.reply(213, str(size))


async def RMDA(session: FTPSession, argument: str) -> Reply:
    """Remove a directory and all that is in it (the same draft)."""
    path = session.path(argument)
    await interruptible(session, "RMDA", path, _remove(session, path))
    return replies.reply(250, "Directory removed, with all that was in it.")


class _Tree:
    """
    A directory that is walked through.

    @ivar fileSystem: one that follows no links.
    @ivar top: its canonical path.
    """

    def __init__(self, session: FTPSession, fileSystem: IFileSystem, top: VirtualPath) -> None:
        literal = ILiteralView(fileSystem, None)
        # A file system that is not an account's follows no links anyway.
        self.fileSystem: IFileSystem = fileSystem if literal is None else literal.literalView()
        self.top = top
        self._seconds = session.listener.deadlines.seconds
        self._until = self._seconds() + MAXIMUM_SECONDS
        self._left = session.listener.settings.maximumTreeEntries

    def spend(self, entries: int) -> None:
        """
        @raise OperationNotSupported: that is too much for one command.
        """
        self._left -= entries
        if self._left < 0 or self._seconds() > self._until:
            raise OperationNotSupported(self.top, "too many entries for one command")

    async def directories(self, path: VirtualPath) -> tuple[list[VirtualPath], int]:
        """The directories in a directory, and the bytes of the files in it."""
        found: list[VirtualPath] = []
        size = 0
        handle = await self.fileSystem.openDirectory(path)
        try:
            while page := await handle.nextPage():
                self.spend(len(page))
                for name, attributes, _ in page:
                    if attributes.isDirectory:
                        found.append(path.child(name))
                    elif attributes.isRegular:
                        size += attributes.size
        finally:
            await handle.close()
        return found, size

    async def others(self, path: VirtualPath) -> list[VirtualPath]:
        """What is in a directory and is none itself."""
        found: list[VirtualPath] = []
        handle = await self.fileSystem.openDirectory(path)
        try:
            while page := await handle.nextPage():
                self.spend(len(page))
                found += [
                    path.child(name) for name, attributes, _ in page if not attributes.isDirectory
                ]
        finally:
            await handle.close()
        return found


async def _plant(session: FTPSession, path: VirtualPath, *, followFinal: bool) -> _Tree:
    """
    The tree at this path.

    @raise NotADirectory: there is none.
    """
    fileSystem = session.fileSystem
    top = await fileSystem.resolve(path, followFinal=followFinal)
    tree = _Tree(session, fileSystem, top)
    if not (await tree.fileSystem.stat(top)).isDirectory:
        raise NotADirectory(path)
    return tree


async def _measure(session: FTPSession, path: VirtualPath) -> int:
    tree = await _plant(session, path, followFinal=True)
    pending, total = await tree.directories(tree.top)
    while pending:
        try:
            more, size = await tree.directories(pending.pop())
        except OperationNotSupported:
            raise
        except FileSystemError:
            # It may not be listed, or is gone: then it is not counted.
            continue
        pending += more
        total += size
    return total


async def _remove(session: FTPSession, path: VirtualPath) -> None:
    tree = await _plant(session, path, followFinal=False)
    mounts = () if session.account is None else session.account.mounts
    if not tree.top.segments or any(point.isWithin(tree.top) for point in mounts):
        raise PermissionDenied(path, "storages are mounted there")
    # All that can be found out is found out before anything is gone.
    ordered = [tree.top]
    for directory in ordered:
        more, _ = await tree.directories(directory)
        ordered += more
    again = _Tree(session, session.fileSystem, tree.top)
    for directory in reversed(ordered):
        for each in await again.others(directory):
            await again.fileSystem.removeFile(each)
        await again.fileSystem.removeDirectory(directory)


VERBS: Final = {"DSIZ": DSIZ, "RMDA": RMDA}
