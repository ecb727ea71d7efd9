"""
Moving files (RFC 959 4.1.3): download, upload, and what prepares or ends them.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Final

from filehub.attributes import Disposition
from filehub.errors import AlreadyExists, Busy, InvalidOffset, OperationNotSupported
from filehub.events import Direction
from filehub.interfaces import IFileSystem, IRandomAccess, IWriteHandle
from filehub.paths import VirtualPath
from filehub.protocols.ftp import replies
from filehub.protocols.ftp.atonce import (
    contentAtOnce,
    readiness,
    receiveAtOnce,
    sendAtOnce,
    targetAtOnce,
)
from filehub.protocols.ftp.ongoing import announce, begin, conclude, isArmed
from filehub.protocols.ftp.ranges import DOWNLOADS_ONLY, takeRange
from filehub.protocols.ftp.representation import decoderFor, encoderFor
from filehub.protocols.ftp.security import mayTransfer, openData
from filehub.protocols.ftp.space import refusalOf
from filehub.protocols.ftp.wire import Reply
from filehub.transfer.elements import Decoder
from filehub.transfer.metering import SOMETHING, release, setAside
from filehub.transfer.pump import receive, send

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

#: Offsets are what a file system can have: RFC 3659 5.1 sets no limit.
MAXIMUM_OFFSET: Final = 2**63 - 1
#: Names that STOU tries.
_UNIQUE_TRIES: Final = 10

_DIGITS: Final = re.compile(r"[0-9]{1,19}")
_ALLOCATION: Final = re.compile(r"([0-9]{1,19})(?:\s+[Rr]\s+([0-9]{1,19}))?")
_NO_OFFSET: Final = replies.reply(501, "REST needs TYPE I and STRU F, or MODE B or C.")
_NOT_A_NUMBER: Final = replies.reply(501, "That is no offset.")


def _mayTransfer(session: FTPSession, restarts: bool) -> Reply | None:
    """What is in the way of the transfer of a file."""
    refusal = mayTransfer(session) or session.representation.problem()
    if refusal is None and restarts:
        refusal = _mayRestart(session)
    return refusal


def _mayRestart(session: FTPSession) -> Reply | None:
    may = session.representation.mayRestart(session.listener.settings)
    return None if may else _NO_OFFSET


async def RETR(session: FTPSession, argument: str) -> Reply | None:
    """Download."""
    offset, last = takeRange(session)
    session.announced = None
    path = session.path(argument)
    account = session.account
    if account is None:
        return replies.NOT_LOGGED_IN
    restarts = offset > 0 or last is not None
    if (refusal := _mayTransfer(session, restarts)) is not None:
        return refusal
    representation, settings = session.representation, session.listener.settings
    content = None if restarts else contentAtOnce(session, account, path)
    if content is not None:
        return await sendAtOnce(session, account, path, content)
    transfer = begin(session, "RETR", path, Direction.DOWNLOAD)
    source = stream = limiter = error = None
    try:
        source = await account.fileSystem.openForReading(path)
        length = source.attributes.size - offset
        if length < 0:
            raise InvalidOffset(path)
        if last is not None:
            length = min(length, last + 1 - offset)
        limiter = account.limits.download
        if limiter is not None:
            await setAside(limiter, length)
        encoder = encoderFor(representation, settings, source.attributes.size, offset)
        title = representation.title
        if representation.keepsLength(settings):
            # Clients read the length from here if SIZE did not tell it.
            text = f"Opening {title} mode data connection ({length} bytes)."
            announce(session, transfer, text, length)
        else:
            announce(session, transfer, f"Opening {title} mode data connection.")
        stream = await openData(session, transfer.direction)
        await send(
            source,
            stream,
            offset=offset,
            length=length,
            encoder=encoder,
            limiter=limiter,
            progress=transfer.progress,
        )
    except Exception as problem:
        error = problem
    if limiter is not None:
        release(limiter)
    return await conclude(session, transfer, error, stream, source=source)


async def STOR(session: FTPSession, argument: str) -> Reply | None:
    """Upload; a file of that name stands until the new one is whole."""
    return await _upload(session, "STOR", session.newPath(argument), Disposition.REPLACE)


async def APPE(session: FTPSession, argument: str) -> Reply | None:
    """Upload to the end of a file, or as a new one."""
    session.restart = 0
    return await _upload(session, "APPE", session.newPath(argument), Disposition.APPEND)


async def STOU(session: FTPSession, argument: str) -> Reply | None:
    """
    Upload under a name that nobody has (RFC 1123 4.1.2.9).  An argument, which only
    broken clients send, means nothing.
    """
    session.restart = 0
    return await _upload(session, "STOU", session.directory, Disposition.CREATE)


async def _upload(
    session: FTPSession, verb: str, path: VirtualPath, disposition: Disposition
) -> Reply | None:
    offset, last = takeRange(session)
    sizeHint, session.announced = session.announced, None
    account = session.account
    if account is None:
        return replies.NOT_LOGGED_IN
    if (refusal := _mayTransfer(session, offset > 0)) is not None:
        return refusal
    if last is not None:
        return DOWNLOADS_ONLY
    limiter = account.limits.upload
    if limiter is None and disposition is Disposition.REPLACE and not (offset or sizeHint):
        prompt = targetAtOnce(session, path)
        if prompt is not None:
            return await receiveAtOnce(session, path, prompt)
    transfer = begin(session, verb, path, Direction.UPLOAD)
    target = stream = decoder = error = None
    done = replies.TRANSFER_COMPLETE
    try:
        if limiter is not None:
            await setAside(limiter, SOMETHING if sizeHint is None else sizeHint)
        fileSystem = session.fileSystem
        if offset:
            target = await _continue(fileSystem, path, offset, sizeHint)
        elif verb == "STOU":
            transfer.path, target = await _openUnique(session, fileSystem, path, sizeHint)
            done = replies.reply(226, f"Transfer complete; unique name: {transfer.path.name}")
        else:
            target = await fileSystem.openForWriting(path, disposition, sizeHint=sizeHint)
        if verb == "STOU":
            announce(session, transfer, f"FILE: {transfer.path.name}", sizeHint)
        else:
            announce(session, transfer, readiness(session), sizeHint)
        stream = await openData(session, transfer.direction)
        decoder = decoderFor(session.representation, session.listener.settings)
        await receive(
            stream,
            target,
            decoder=decoder,
            limiter=limiter,
            progress=transfer.progress,
            marked=partial(_marked, session),
        )
        if isinstance(decoder, Decoder) and decoder.suspects:
            # All of it is stored: that is what this descriptor is for (RFC 959 3.4.2).
            done = replies.reply(226, f"Transfer complete; suspect blocks: {decoder.suspects}")
    except Exception as problem:
        error = problem
    if limiter is not None:
        release(limiter)
    return await conclude(session, transfer, error, stream, target=target, done=done)


def _marked(session: FTPSession, marker: str, position: int) -> None:
    """Tell where a restart marker lies in the file, in the words of RFC 959 section 4.2."""
    if not session.channel.isCongested:
        session.send(replies.reply(110, f"MARK {marker} = {position}"))


async def _continue(
    fileSystem: IFileSystem, path: VirtualPath, offset: int, sizeHint: int | None
) -> IWriteHandle:
    """REST and STOR: continue a file (RFC 3659 section 5)."""
    updating = IRandomAccess(fileSystem, None)
    if updating is None:
        raise OperationNotSupported(path, "uploads cannot be continued here")
    return await updating.openForUpdate(path, offset, sizeHint=sizeHint)


async def _openUnique(
    session: FTPSession, fileSystem: IFileSystem, directory: VirtualPath, sizeHint: int | None
) -> tuple[VirtualPath, IWriteHandle]:
    for _ in range(_UNIQUE_TRIES):
        path = directory.child(f"ftp-{session.listener.random.getrandbits(64):016x}")
        try:
            target = await fileSystem.openForWriting(path, Disposition.CREATE, sizeHint=sizeHint)
        except AlreadyExists:
            continue
        return path, target
    raise Busy(directory, "no unique name found")


async def REST(session: FTPSession, argument: str) -> Reply:
    """Where the next transfer starts (RFC 3659 section 5)."""
    text = argument.strip()
    offset = int(text) if _DIGITS.fullmatch(text) else MAXIMUM_OFFSET + 1
    if offset > MAXIMUM_OFFSET:
        return _NOT_A_NUMBER
    if offset and (refusal := _mayRestart(session)) is not None:
        return refusal
    session.restart, session.rangeEnd = offset, None
    return replies.reply(350, f"The next transfer starts at {offset}.")


async def ALLO(session: FTPSession, argument: str) -> Reply:
    """How large the next upload will be; C{R}, the size of a record, says nothing new."""
    match = _ALLOCATION.fullmatch(argument.strip())
    if match is None or int(match[1]) > MAXIMUM_OFFSET:
        return replies.reply(501, "ALLO takes a size.")
    size = int(match[1])
    refusal = await refusalOf(session, size)
    if refusal is None:
        session.announced = size
    return refusal or replies.OK


async def ABOR(session: FTPSession, argument: str) -> Reply:
    """
    Break off.  A transfer was interrupted when this arrived, and has had its own reply
    by now; what is left is a data connection that nobody uses.
    """
    if isArmed(session) and session.data is not None:
        session.data.reset()
        return replies.reply(226, "Data connection closed.")
    return replies.reply(226, "ABOR successful.")


VERBS: Final = {
    "RETR": RETR,
    "STOR": STOR,
    "APPE": APPE,
    "STOU": STOU,
    "REST": REST,
    "ALLO": ALLO,
    "ABOR": ABOR,
}
