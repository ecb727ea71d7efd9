"""
How much room there is: AVBL, SITE QUOTA, and what ALLO finds out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from filehub.attributes import SpaceUsage
from filehub.errors import OperationNotSupported
from filehub.interfaces import ISpaceUsage
from filehub.paths import VirtualPath
from filehub.periods import formatMoment
from filehub.protocols.ftp import replies
from filehub.protocols.ftp.wire import Reply
from filehub.usage import ITransferQuotas

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

_NEVER_ENOUGH: Final = replies.reply(552, "That much has no place here at all.")
_NOT_ENOUGH: Final = replies.reply(452, "There is not that much room left.")


async def AVBL(session: FTPSession, argument: str) -> Reply:
    """
    The bytes that may still be written at a path
    (draft-peterson-streamlined-ftp-command-extensions).
    """
    path = session.path(argument)
    # Of what does not exist nothing is told.
    await session.stat(path)
    room = await _spaceAt(session, path)
    if room is None:
        raise OperationNotSupported(path)
    return replies.reply(213, str(room.free))


async def QUOTA(session: FTPSession, argument: str) -> Reply:
    """SITE QUOTA: the room at a path, all quotas that hold there or for the account."""
    path = session.path(argument)
    moved = _moved(session)
    try:
        room = await _spaceAt(session, path)
    except OperationNotSupported:
        room = None
    if room is None:
        if not moved:
            raise OperationNotSupported(path)
        return replies.reply(200, f"Room at {path}:", *moved, "End")
    lines = [f"Free: {room.free} bytes"]
    if room.total is not None:
        lines += [f"Used: {max(0, room.total - room.free)} bytes", f"Total: {room.total} bytes"]
    for quota in room.quotas:
        if quota.maximumBytes is not None:
            lines.append(f"Stored in {quota.path}: {quota.nbytes} of {quota.maximumBytes} bytes")
        if quota.maximumFiles is not None:
            lines.append(f"Stored in {quota.path}: {quota.nfiles} of {quota.maximumFiles} files")
    return replies.reply(200, f"Room at {path}:", *lines, *moved, "End")


def _moved(session: FTPSession) -> list[str]:
    """How far the transfer quotas are used, and when they begin again."""
    account = session.account
    quotas: ITransferQuotas | None = (
        None if account is None else ITransferQuotas(account.limits, None)
    )
    lines = []
    for state in () if quotas is None else quotas.transfers():
        quota, used, scope = state.quota, state.used, state.scope
        if quota.upload is not None:
            lines.append(f"Uploaded ({scope}): {used[0]} of {quota.upload} bytes")
        if quota.download is not None:
            lines.append(f"Downloaded ({scope}): {used[1]} of {quota.download} bytes")
        if quota.both is not None:
            lines.append(f"Moved ({scope}): {used[0] + used[1]} of {quota.both} bytes")
        if quota.uploadFiles is not None:
            lines.append(f"Uploaded ({scope}): {used[2]} of {quota.uploadFiles} files")
        if quota.downloadFiles is not None:
            lines.append(f"Downloaded ({scope}): {used[3]} of {quota.downloadFiles} files")
        lines.append(f"Begins again ({scope}): {formatMoment(state.ends)}")
    return lines


async def refusalOf(session: FTPSession, size: int) -> Reply | None:
    """
    Why an upload of this size into the current directory will not do, if that is known:
    it has to wait (452), or is beyond all that may ever be there (552).
    """
    room = await _spaceAt(session, session.directory)
    if room is None or size <= room.free:
        return None
    beyond = room.total is not None and size > room.total
    return _NEVER_ENOUGH if beyond else _NOT_ENOUGH


async def _spaceAt(session: FTPSession, path: VirtualPath) -> SpaceUsage | None:
    usage = ISpaceUsage(session.fileSystem, None)
    if usage is None:
        return None
    room: SpaceUsage = await usage.space(path)
    return room


VERBS: Final = {"AVBL": AVBL}
