"""
TYPE, RETR with SEND or STOP, and STOR with SIZE.

A number is announced before each file, and exactly so many bytes follow it on the
connection that also carries the commands.  So when anything goes wrong in between,
there are two ways out: make up the number, or close the connection.  A download is
never made up.  An upload that cannot be stored is still read, up to a bound.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from filehub.errors import (
    Aborted,
    FileHubError,
    FileTooLarge,
    PeerGone,
    Stalled,
    TransferError,
)
from filehub.events import Direction, Outcome, TransferEnded
from filehub.interfaces import IRateLimiter, IReadHandle, IWriteHandle
from filehub.paths import VirtualPath
from filehub.protocols.rfc913 import replies, storing
from filehub.protocols.rfc913.states import State
from filehub.protocols.rfc913.storing import Storing
from filehub.protocols.rfc913.text import AnnouncedEncoder, WireDecoder, WireEncoder, wireLength
from filehub.protocols.rfc913.wire import Reply, parseSize
from filehub.transfer.metering import release, setAside
from filehub.transfer.progress import Progress
from filehub.transfer.pump import receive, send
from filehub.transfer.stream import ByteStream

if TYPE_CHECKING:
    from filehub.protocols.rfc913.session import RFC913Session

_TYPES: Final = {"A": "Ascii", "B": "Binary", "C": "Continuous"}
_DISCARD_STEP: Final = 64 * 1024

_log: Final = Logger()


async def TYPE(session: RFC913Session, argument: str) -> Reply:
    """A: lines of text, translated.  B and C: bytes as they are."""
    letter = argument.strip().upper()
    name = _TYPES.get(letter)
    if name is None:
        return replies.failure("Type not valid")
    session.type = letter
    return replies.success(f"Using {name} mode")


class Moving:
    """
    One transfer, from the moment when its bytes may move to its event.

    @ivar error: why it failed, once it has.
    """

    def __init__(
        self, session: RFC913Session, verb: str, direction: Direction, path: VirtualPath
    ) -> None:
        self._session = session
        self._direction = direction
        self._path = path
        self._began = session.listener.seconds()
        self.progress: Progress = session.progress()
        self.error: FileHubError | None = None
        session.isMoving = True
        session.slot.doing(verb, path, self.progress)

    async def attempt(self, work: Awaitable[Any]) -> bool:
        """Do a part of it; is all well?"""
        try:
            await work
            return True
        except FileHubError as error:
            self.error = error
        except CancelledError:
            self.error = Aborted()
        except Exception:
            _log.failure(
                "an RFC 913 transfer failed", sessionId=self._session.slot.connection.sessionId
            )
            self.error = FileHubError()
        return False

    async def giveUp(self, target: IWriteHandle) -> None:
        """Abort an upload; what it is aborted for stays the error."""
        error = self.error
        await self.attempt(target.abort())
        self.error = error

    def end(self) -> None:
        """It is over; tell the observers."""
        session = self._session
        session.isMoving = False
        session.slot.doing("")
        if session.wasKicked and isinstance(self.error, PeerGone):
            self.error = Aborted()
        report(
            session,
            self._direction,
            self._path,
            _outcome(self.error),
            self.progress.nbytes,
            session.listener.seconds() - self._began,
            "" if self.error is None else replies.reason(self.error),
        )


def report(
    session: RFC913Session,
    direction: Direction,
    path: VirtualPath,
    outcome: Outcome,
    nbytes: int = 0,
    seconds: float = 0.0,
    reason: str = "",
) -> None:
    """Tell the observers of a transfer."""
    account = session.account
    session.listener.emit(
        TransferEnded(
            session.slot.connection,
            "" if account is None else account.name,
            direction,
            path,
            outcome,
            nbytes,
            seconds,
            reason,
            (("type", session.type),),
        )
    )


def _outcome(error: FileHubError | None) -> Outcome:
    if error is None:
        return Outcome.COMPLETED
    for kind, outcome in (
        (PeerGone, Outcome.PEER_GONE),
        (Stalled, Outcome.STALLED),
        (Aborted, Outcome.ABORTED),
    ):
        if isinstance(error, kind):
            return outcome
    return Outcome.FAILED


# --- downloads ---------------------------------------------------------------


class Retrieving:
    """
    A RETR that waits for SEND or STOP.  The file is open, so that what was announced
    is what is sent.

    @ivar length: bytes on the wire.
    @ivar text: are they translated?
    @ivar limiter: what bandwidth limit and quota they obey.
    """

    state: Final = State.RETRIEVING

    def __init__(
        self,
        session: RFC913Session,
        path: VirtualPath,
        source: IReadHandle,
        length: int,
        text: bool,
        limiter: IRateLimiter | None,
    ) -> None:
        self._session = session
        self.limiter = limiter
        self.path = path
        self.source = source
        self.length = length
        self.text = text

    async def cancel(self) -> None:
        """The client only wanted to know how long it is."""
        release(self.limiter)
        report(self._session, Direction.DOWNLOAD, self.path, Outcome.PROBED)
        await self.source.close()


async def RETR(session: RFC913Session, argument: str) -> Reply:
    """Announce how many bytes a file is on the wire."""
    path = session.path(argument)
    session.slot.doing("RETR", path)
    source: IReadHandle = await session.fileSystem.openForReading(path)
    text = session.type == "A"
    try:
        length = await _announced(session, source, text)
        limiter = session.limits.download
        if limiter is not None:
            # After SEND it would be too late to say no.
            await setAside(limiter, length)
    except BaseException:
        await source.close()
        raise
    session.hold(Retrieving(session, path, source, length, text, limiter))
    return replies.number(length)


async def _announced(session: RFC913Session, source: IReadHandle, text: bool) -> int:
    size: int = source.attributes.size
    if not text:
        return size
    settings = session.listener.settings
    if size > settings.maximumText:
        raise FileTooLarge(None, "file too large for TYPE A, use TYPE B")
    return await wireLength(source, settings.strictText, session.channel.pause)


async def STOP(session: RFC913Session, argument: str) -> Reply:
    """The number was enough, or too much."""
    await session.takePending(Retrieving).cancel()
    return replies.success("ok, RETR aborted")


async def SEND(session: RFC913Session, argument: str) -> None:
    """Send the bytes, and nothing else."""
    retrieving = session.takePending(Retrieving)
    moving = Moving(session, "SEND", Direction.DOWNLOAD, retrieving.path)
    try:
        if not await moving.attempt(_download(session, retrieving, moving.progress)):
            session.abort("download broken")
        await retrieving.source.close()
    finally:
        release(retrieving.limiter)
        moving.end()


async def _download(session: RFC913Session, retrieving: Retrieving, progress: Progress) -> None:
    encoder = None
    if retrieving.text:
        strict = session.listener.settings.strictText
        encoder = AnnouncedEncoder(WireEncoder(strict), retrieving.length)
    stream = await session.channel.lend(reading=False)
    try:
        await send(
            retrieving.source,
            stream,
            length=retrieving.source.attributes.size,
            encoder=encoder,
            limiter=retrieving.limiter,
            progress=progress,
        )
    finally:
        session.channel.takeBack()


# --- uploads -----------------------------------------------------------------


async def STOR(session: RFC913Session, argument: str) -> Reply:
    """Prepare an upload: a new file, a whole one in the place of an old, or more of one."""
    return await storing.begin(session, argument)


async def SIZE(session: RFC913Session, argument: str) -> Reply | None:
    """How many bytes will come; then they come."""
    stored = session.takePending(Storing)
    limiter = session.limits.upload
    try:
        size = parseSize(argument)
        if limiter is not None:
            await setAside(limiter, size)
        target = await stored.reserve(size)
    except BaseException as error:
        release(limiter)
        await stored.cancel()
        if isinstance(error, (FileHubError, ValueError)):
            return _sizeRefused(session, error)
        raise
    try:
        return await Upload(session, stored, target, size, limiter).run()
    finally:
        release(limiter)


def _sizeRefused(session: RFC913Session, error: Exception) -> Reply | None:
    if isinstance(error, replies.NO_ROOM):
        reply = replies.failure("Not enough room, don't send it")
    elif isinstance(error, FileHubError):
        reply = replies.refusal(error)
    else:
        reply = replies.failure("Not a size")
    if not session.channel.hasInput:
        return reply
    # What has come already are file bytes, and a file may look like commands.
    session.violated("bytes after a refused SIZE")
    session.end("bytes after a refused SIZE", reply)
    return None


class Upload:
    """
    The bytes of one STOR.
    """

    def __init__(
        self,
        session: RFC913Session,
        stored: Storing,
        target: IWriteHandle,
        size: int,
        limiter: IRateLimiter | None,
    ) -> None:
        self._session = session
        self._limiter = limiter
        self._path = stored.path
        self._target = target
        self._size = size
        strict = session.listener.settings.strictText
        self._decoder = WireDecoder(strict) if stored.text else None
        self._unread = 0

    async def run(self) -> Reply | None:
        """Say that they may come, store them, publish; returns the last reply."""
        session, target = self._session, self._target
        session.send(replies.success("ok, waiting for file"))
        moving = Moving(session, "STOR", Direction.UPLOAD, self._path)
        try:
            if not (
                await moving.attempt(self._fill(moving.progress))
                and await moving.attempt(target.commit())
            ):
                await moving.giveUp(target)
        finally:
            moving.end()
        error = moving.error
        if error is None:
            return replies.success(f"Saved {self._path}")
        if isinstance(error, TransferError):
            session.abort("upload broken")
            return None
        reply = replies.failure(f"Couldn't save because {replies.reason(error)}")
        if self._unread:
            session.end("too many bytes of an upload that cannot be stored", reply)
            return None
        return reply

    async def _fill(self, progress: Progress) -> None:
        session = self._session
        stream = await session.channel.lend(reading=True)
        try:
            await receive(
                stream,
                self._target,
                length=self._size,
                decoder=self._decoder,
                limiter=self._limiter,
                progress=progress,
            )
        except TransferError:
            raise
        except FileHubError:
            consumed = progress.nbytes if self._decoder is None else self._decoder.consumed
            self._unread = self._size - consumed
            if self._unread <= session.listener.settings.maximumDiscarded:
                await self._discard(stream)
            raise
        finally:
            session.channel.takeBack()

    async def _discard(self, stream: ByteStream) -> None:
        """Read what nobody wants, so that commands follow again."""
        progress = self._session.progress()
        progress.watch(stream)
        try:
            while self._unread:
                data = await stream.read(min(_DISCARD_STEP, self._unread))
                if not data:
                    raise PeerGone
                progress.nbytes += len(data)
                self._unread -= len(data)
        finally:
            progress.end()


VERBS: Final = {
    "TYPE": TYPE,
    "RETR": RETR,
    "SEND": SEND,
    "STOP": STOP,
    "STOR": STOR,
    "SIZE": SIZE,
}
