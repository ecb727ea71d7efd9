"""
LIST and CDIR.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from filehub.attributes import DirectoryEntry
from filehub.errors import FileHubError, PermissionDenied
from filehub.interfaces import IDirectoryCredentials, IDirectoryHandle
from filehub.paths import VirtualPath
from filehub.protocols.rfc913 import replies
from filehub.protocols.rfc913.listing import MAXIMUM_SORTED, formatPage
from filehub.protocols.rfc913.states import State
from filehub.protocols.rfc913.wire import Code, Reply, encodeReply

if TYPE_CHECKING:
    from filehub.protocols.rfc913.session import RFC913Session

#: Entries of a sorted directory that are formatted at a time.
_PAGE: Final = 500


async def LIST(session: RFC913Session, argument: str) -> Reply | None:
    """The names (F), or more (V), of what is in a directory."""
    form, _, name = argument.partition(" ")
    form = form.upper()
    if form not in ("F", "V"):
        return replies.failure("Say LIST F or LIST V")
    path = session.path(name) if name else session.directory
    session.slot.doing("LIST", path)
    directory = await session.fileSystem.openDirectory(path)
    try:
        await _list(session, path, directory, form == "V")
    finally:
        await directory.close()
    return None


async def _list(
    session: RFC913Session, path: VirtualPath, directory: IDirectoryHandle, verbose: bool
) -> None:
    # What fails before the first byte is sent can still be answered with a "-".
    entries: list[DirectoryEntry] = []
    page = await directory.nextPage()
    while page and len(entries) + len(page) <= MAXIMUM_SORTED:
        entries += page
        page = await directory.nextPage()
    if not page:
        entries.sort(key=lambda entry: entry.name)
    showControls = session.listener.settings.showControls
    channel = session.channel
    channel.write(encodeReply(Reply(Code.SUCCESS, (str(path), "")))[:-1])
    for start in range(0, len(entries), _PAGE):
        channel.write(formatPage(entries[start : start + _PAGE], verbose, showControls))
        await channel.drained()
    try:
        while page:
            channel.write(formatPage(page, verbose, showControls))
            await channel.drained()
            page = await directory.nextPage()
    except FileHubError:
        # A list that just ends would be taken for the whole.
        session.abort("a directory could not be read to its end")
        return
    channel.write(b"\0")


async def CDIR(session: RFC913Session, argument: str) -> Reply | None:
    """Change the current directory."""
    try:
        path = session.path(argument)
        gate: IDirectoryCredentials | None = IDirectoryCredentials(session.account, None)
        wanted = frozenset() if gate is None else gate.wanted(path)
        if gate is not None and wanted:
            session.hold(Entering(path, gate, wanted))
            return replies.success("directory ok, send account/password")
    except FileHubError as error:
        return _refusal(error)
    return await _enter(session, path)


class Entering:
    """
    A CDIR that waits for credentials of the directory.  They are for the directory
    alone and change nothing about who is logged in.
    """

    state: Final = State.ENTERING

    def __init__(
        self, path: VirtualPath, gate: IDirectoryCredentials, wanted: frozenset[str]
    ) -> None:
        self.path = path
        self.gate = gate
        self.wanted = wanted
        self.given: dict[str, bytes] = {}

    async def cancel(self) -> None:
        """Nothing was changed yet."""


async def authenticate(session: RFC913Session, kind: str, value: bytes) -> Reply | None:
    """
    ACCT or PASS after a CDIR that asked for them.

    @param kind: C{"account"} or C{"password"}.
    """
    entry = session.takePending(Entering)
    entry.given[kind] = value
    missing = entry.wanted.difference(entry.given)
    if missing:
        session.hold(entry)
        return replies.success(f"Send {min(missing)}")
    try:
        await entry.gate.unlock(
            entry.path, account=entry.given.get("account"), password=entry.given.get("password")
        )
    except PermissionDenied:
        return await session.refuse(replies.failure(f"Invalid {kind}"))
    except FileHubError as error:
        return _refusal(error)
    return await _enter(session, entry.path)


async def _enter(session: RFC913Session, path: VirtualPath) -> Reply:
    """Make it the current directory."""
    try:
        await session.fileSystem.enterDirectory(path)
    except FileHubError as error:
        return _refusal(error)
    session.directory = path
    return replies.loggedIn(f"Changed working dir to {path}")


def _refusal(error: FileHubError) -> Reply:
    return replies.failure(f"Can't connect to directory because: {replies.reason(error)}")


VERBS: Final = {"LIST": LIST, "CDIR": CDIR}
