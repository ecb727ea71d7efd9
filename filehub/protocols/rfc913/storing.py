"""
STOR and SIZE: where an upload goes, and whether there is room for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from filehub.attributes import Disposition
from filehub.errors import AlreadyExists, FileHubError, NoSpace
from filehub.interfaces import ISpaceUsage, IWriteHandle
from filehub.paths import VirtualPath
from filehub.protocols.rfc913 import replies
from filehub.protocols.rfc913.states import State
from filehub.protocols.rfc913.wire import Reply

if TYPE_CHECKING:
    from filehub.protocols.rfc913.session import RFC913Session

#: Generations of one name.
MAXIMUM_GENERATIONS: Final = 999

_DISPOSITIONS: Final = {
    "NEW": Disposition.CREATE,
    "OLD": Disposition.REPLACE,
    "APP": Disposition.APPEND,
}


class Storing:
    """
    A STOR that waits for its SIZE.  The file is opened at once, so that who may not
    write hears so at STOR, as the RFC has it.

    @ivar path: what is written: the name that was asked for, or a generation of it.
    @ivar text: are the bytes translated?
    """

    state: Final = State.STORING

    def __init__(self, session: RFC913Session, path: VirtualPath, disposition: Disposition) -> None:
        self.path = path
        self.text = session.type == "A"
        self._asked = path
        self._fileSystem = session.fileSystem
        self._disposition = disposition
        self._generations = disposition is Disposition.CREATE and (
            session.listener.settings.generations
        )
        self._handle: IWriteHandle | None = None

    async def cancel(self) -> None:
        """Nothing will come.  Idempotent."""
        handle, self._handle = self._handle, None
        if handle is not None:
            await handle.abort()

    async def open(self) -> Reply:
        """
        Make sure that it can be written.  Returns what STOR answers.

        @raise FileHubError: it cannot.
        """
        if self._disposition is Disposition.CREATE:
            await self._open(None)
            if self.path != self._asked:
                return replies.success("File exists, will create new generation of file")
            return replies.success("File does not exist, will create new file")
        exists = await self._exists()
        await self._open(None)
        if self._disposition is Disposition.REPLACE:
            return replies.success("Will write over old file" if exists else "Will create new file")
        return replies.success("Will append to file" if exists else "Will create file")

    async def reserve(self, size: int) -> IWriteHandle:
        """
        The file, with room for C{size} bytes as far as that can be known.  It is the
        caller's to end.

        @raise NoSpace: and the other reasons not to take so much.
        """
        if self._disposition is Disposition.APPEND:
            # Opened again, it might have to be copied again.
            await self._checkRoom(size)
        elif size:
            await self.cancel()
            await self._open(size)
        handle, self._handle = self._handle, None
        if handle is None:
            raise AlreadyExists(self.path)
        return handle

    async def _open(self, size: int | None) -> None:
        for number in range(MAXIMUM_GENERATIONS + 1):
            try:
                self._handle = await self._fileSystem.openForWriting(
                    self.path, self._disposition, sizeHint=size
                )
                return
            except AlreadyExists:
                if not self._generations or number == MAXIMUM_GENERATIONS:
                    raise
            self.path = self._asked.parent.child(f"{self._asked.name}.~{number + 1}~")

    async def _exists(self) -> bool:
        try:
            await self._fileSystem.stat(self.path)
        except FileHubError:
            # Not there, or nothing that this account may know of.
            return False
        return True

    async def _checkRoom(self, size: int) -> None:
        usage: ISpaceUsage | None = ISpaceUsage(self._fileSystem, None)
        if usage is None:
            return
        try:
            free = (await usage.space(self.path)).free
        except FileHubError:
            # Who may not know how much room there is finds out by writing.
            return
        if size > free:
            raise NoSpace(self.path)


async def begin(session: RFC913Session, argument: str) -> Reply:
    """
    Carry out C{STOR NEW name} and so on.

    @raise FileHubError: the file cannot be written.
    """
    mode, _, name = argument.partition(" ")
    disposition = _DISPOSITIONS.get(mode.upper())
    if disposition is None:
        return replies.failure("Say STOR NEW, STOR OLD or STOR APP")
    storing = Storing(session, session.newPath(name), disposition)
    session.slot.doing("STOR", storing.path)
    try:
        reply = await storing.open()
    except AlreadyExists:
        return replies.failure("File exists, but system doesn't support generations")
    session.hold(storing)
    return reply


__all__ = ["MAXIMUM_GENERATIONS", "Storing", "begin"]
