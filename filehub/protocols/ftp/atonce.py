"""
Small files that need no waiting.

A client that fetches thousands of them has connected before it gives its command; the
file is in memory, and fits into the socket's buffer.  Then all is done before the
command returns, in the order in which it always is done, and nothing is made that would
only be needed for waiting.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Final

from filehub.errors import PeerGone
from filehub.events import Direction, Outcome, TransferEnded
from filehub.interfaces import IFileAccount, IWriteHandle
from filehub.paths import VirtualPath
from filehub.protocols.ftp import replies
from filehub.protocols.ftp.ongoing import OngoingTransfer, announce, begin, conclude, show
from filehub.protocols.ftp.security import openData
from filehub.protocols.ftp.sockoptions import tune
from filehub.protocols.ftp.wire import Reply
from filehub.transfer.progress import Progress
from filehub.transfer.pump import gather, receive, sendChunks
from filehub.transfer.sockets import SocketStream
from filehub.transfer.stream import ByteStream

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

#: Bytes of a file that is sent at once.
MOST: Final = 32 * 1024


def contentAtOnce(session: FTPSession, account: IFileAccount, path: VirtualPath) -> bytes | None:
    """
    A file that can be sent at once, by L{sendAtOnce}.  L{None}: it cannot be, or there is
    something to be said against it.
    """
    data = session.data
    if data is None or session.tls is not None or not session.representation.isStored:
        return None
    files = session.atOnce
    if files is None or account.limits.download is not None or not data.hasArrived():
        return None
    content: bytes | None = files.readAtOnce(path, MOST)
    return content


def targetAtOnce(session: FTPSession, path: VirtualPath) -> IWriteHandle | None:
    """
    Where an upload may go, that replaces a file and is not limited, if it can be stored
    at once.
    """
    if session.tls is not None or not session.representation.isStored:
        return None
    files = session.atOnce
    if files is None:
        return None
    handle: IWriteHandle | None = files.replaceAtOnce(path)
    return handle


def readiness(session: FTPSession) -> str:
    """What the 150 of an upload says."""
    return f"Ready to receive in {session.representation.title} mode."


async def receiveAtOnce(
    session: FTPSession, path: VirtualPath, target: IWriteHandle
) -> Reply | None:
    """
    Receive what goes to the target that L{targetAtOnce} has found: with one wait and one
    write, if it is a small file.  One that is longer becomes an upload like any other.
    """
    transfer = begin(session, "STOR", path, Direction.UPLOAD, isBrief=True)
    stream = content = error = None
    try:
        announce(session, transfer, readiness(session))
        stream = await _openAtOnce(session, transfer)
        content = await _receive(stream, target, transfer.progress)
    except Exception as problem:
        error = problem
    return await conclude(session, transfer, error, stream, target=target, content=content)


async def _receive(stream: ByteStream, target: IWriteHandle, progress: Progress) -> bytes | None:
    """What is still to be stored, if it is a small file that is whole."""
    begun: list[bytes] = []
    if isinstance(stream, SocketStream):
        try:
            if await gather(stream, begun, progress):
                return b"".join(begun)
        except PeerGone:
            # A broken upload can be resumed from all that has arrived.
            if begun:
                await target.writeAt(target.position, b"".join(begun))
            raise
    await receive(stream, target, begun=b"".join(begun), progress=progress)
    return None


async def _openAtOnce(session: FTPSession, transfer: OngoingTransfer) -> ByteStream:
    """
    The connection of an upload that may be over in a moment.  If it lasts longer, stalls
    are watched for, the connection is tuned, and the operator can see it.

    @raise ConnectFailed: it did not come about.
    """
    data = session.channels()
    stream: ByteStream | None = data.take() if data.hasArrived() else None
    if stream is None:
        show(session, transfer)
        stream = await openData(session, transfer.direction)
    if isinstance(stream, SocketStream):
        data.remind(partial(_lasts, session, transfer, stream))
    return stream


def _lasts(session: FTPSession, transfer: OngoingTransfer, stream: SocketStream) -> None:
    if stream.kernelSocket is not None:
        tune(stream.kernelSocket)
        transfer.progress.watch(stream, 0)
        show(session, transfer)


async def sendAtOnce(
    session: FTPSession, account: IFileAccount, path: VirtualPath, content: bytes
) -> Reply | None:
    """
    Send what L{contentAtOnce} has found, and the replies, or return the last of them.  A
    peer that takes it slowly, or is gone, makes a transfer of it like any other.
    """
    listener, size = session.listener, len(content)
    started = listener.deadlines.seconds()
    stream = session.channels().take()
    if stream is None:
        return replies.NO_DATA_CONNECTION
    text = f"Opening BINARY mode data connection ({size} bytes)."
    error: Exception | None = None
    sent = 0
    try:
        sent = stream.offer(content)
        if sent == size:
            stream.finishLittle()
    except PeerGone as problem:
        error = problem
    if error is None and sent == size:
        session.sendTogether(replies.reply(150, text), replies.TRANSFER_COMPLETE)
        if listener.sink is not None:
            listener.sink.emit(
                TransferEnded(
                    session.slot.connection,
                    account.name,
                    Direction.DOWNLOAD,
                    path,
                    Outcome.COMPLETED,
                    size,
                    listener.deadlines.seconds() - started,
                )
            )
        return None
    if stream.kernelSocket is not None:
        tune(stream.kernelSocket)
    transfer = begin(session, "RETR", path, Direction.DOWNLOAD)
    transfer.progress.nbytes = sent
    announce(session, transfer, text, size)
    try:
        if error is None:
            await sendChunks(_only(content[sent:]), stream, progress=transfer.progress)
    except Exception as problem:
        error = problem
    return await conclude(session, transfer, error, stream)


async def _only(chunk: bytes) -> AsyncIterator[bytes]:
    yield chunk


__all__ = [
    "MOST",
    "contentAtOnce",
    "readiness",
    "receiveAtOnce",
    "sendAtOnce",
    "targetAtOnce",
]
