"""
KILL, and NAME with TOBE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from filehub.errors import FileHubError
from filehub.paths import VirtualPath
from filehub.protocols.rfc913 import replies
from filehub.protocols.rfc913.states import State
from filehub.protocols.rfc913.wire import Reply

if TYPE_CHECKING:
    from filehub.protocols.rfc913.session import RFC913Session


async def KILL(session: RFC913Session, argument: str) -> Reply:
    """Remove one file; wildcards are part of the name."""
    try:
        path = session.path(argument)
        session.slot.doing("KILL", path)
        await session.fileSystem.removeFile(path)
    except FileHubError as error:
        return replies.failure(f"Not deleted because {replies.reason(error)}")
    return replies.success(f"{path} deleted")


class Renaming:
    """A NAME that waits for its TOBE."""

    state: Final = State.RENAMING

    def __init__(self, source: VirtualPath) -> None:
        self.source = source

    async def cancel(self) -> None:
        """Nothing was changed yet."""


async def NAME(session: RFC913Session, argument: str) -> Reply:
    """What is to be renamed: a file or a directory."""
    try:
        path = session.path(argument)
        await session.fileSystem.stat(path)
    except FileHubError as error:
        return replies.failure(f"Can't find {argument}: {replies.reason(error)}")
    session.hold(Renaming(path))
    return replies.success("File exists")


async def TOBE(session: RFC913Session, argument: str) -> Reply:
    """The new name; never one that is taken."""
    source = session.takePending(Renaming).source
    try:
        target = session.newPath(argument)
        session.slot.doing("NAME", source)
        await session.fileSystem.rename(source, target, replace=False)
    except FileHubError as error:
        return replies.failure(f"File wasn't renamed because {replies.reason(error)}")
    return replies.success(f"{source} renamed to {target}")


VERBS: Final = {"KILL": KILL, "NAME": NAME, "TOBE": TOBE}
