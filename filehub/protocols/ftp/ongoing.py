"""
A transfer from its first to its last moment.

A transfer ends in one L{Result}.  Whether an upload is published, what the client is
told and what the log says all follow from it, in L{conclude} and nowhere else.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from filehub.errors import Aborted, FileHubError, PeerGone, Stalled, TransferError
from filehub.events import Direction, Outcome, TransferEnded
from filehub.interfaces import IDirectoryHandle, IReadHandle, IWriteHandle
from filehub.paths import VirtualPath
from filehub.protocols.ftp import replies
from filehub.protocols.ftp.wire import Reply
from filehub.transfer.progress import Progress
from filehub.transfer.stream import ByteStream
from filehub.views import IStoresAtOnce

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

_log: Final = Logger()


class OngoingTransfer:
    """
    What STAT tells and ABOR ends.

    @ivar direction: L{None} for listings.
    @ivar started: on the clock of the listener's deadlines.
    @ivar size: bytes to be moved, if that is known.
    @ivar isAnnounced: was 150 said?
    @ivar interruption: why it was broken off, if it was.
    @ivar isSettled: too late to break it off: all bytes have moved, what remains is
        to close and commit, or it has failed already.
    """

    __slots__ = (
        "direction",
        "interruption",
        "isAnnounced",
        "isSettled",
        "path",
        "progress",
        "size",
        "started",
        "verb",
    )

    def __init__(
        self,
        verb: str,
        path: VirtualPath,
        direction: Direction | None,
        progress: Progress,
        started: float,
    ) -> None:
        self.verb = verb
        self.path = path
        self.direction = direction
        self.progress = progress
        self.started = started
        self.size: int | None = None
        self.isAnnounced = False
        self.interruption: TransferError | None = None
        self.isSettled = False

    def interrupt(self, error: TransferError) -> bool:
        """Note that it is to end.  Returns whether that is news, and possible."""
        if self.isSettled or self.interruption is not None:
            return False
        self.interruption = error
        return True


class Result(NamedTuple):
    """
    How a transfer ended.

    @ivar error: why, unless it is completed.
    @ivar isOurFault: it is no error of client or storage but one of this program.
    """

    outcome: Outcome
    error: FileHubError | None
    isOurFault: bool = False


_COMPLETED: Final = Result(Outcome.COMPLETED, None)


def resultOf(error: Exception | None, interruption: TransferError | None) -> Result:
    """
    The result of a transfer that ended with this exception, if any.

    @param interruption: why somebody broke it off, if somebody did.
    """
    if error is None:
        return _COMPLETED
    if interruption is not None:
        error = interruption
    elif isinstance(error, CancelledError):
        error = Aborted()
    if isinstance(error, PeerGone):
        return Result(Outcome.PEER_GONE, error)
    if isinstance(error, Stalled):
        return Result(Outcome.STALLED, error)
    if isinstance(error, Aborted):
        return Result(Outcome.ABORTED, error)
    if isinstance(error, FileHubError):
        return Result(Outcome.FAILED, error)
    return Result(Outcome.FAILED, FileHubError(), True)


def isArmed(session: FTPSession) -> bool:
    """Was PASV or PORT said since the last transfer?"""
    return session.data is not None and session.data.isArmed


def _patience(session: FTPSession) -> float:
    """Seconds without a byte: the account's, or the listener's."""
    own = None if session.account is None else session.account.limits.stall
    return session.listener.settings.stallTimeout if own is None else own


def begin(
    session: FTPSession,
    verb: str,
    path: VirtualPath,
    direction: Direction | None,
    *,
    isBrief: bool = False,
) -> OngoingTransfer:
    """
    From now on there is a transfer, that ABOR can break off.

    @param isBrief: it may be over in a moment.  L{show} it, if it is not.
    """
    listener = session.listener
    transfer = session.transfer = OngoingTransfer(
        verb,
        path,
        direction,
        Progress(listener.deadlines, _patience(session)),
        listener.deadlines.seconds(),
    )
    if not isBrief:
        show(session, transfer)
    return transfer


def show(session: FTPSession, transfer: OngoingTransfer) -> None:
    """Let the operator see it."""
    moving = None if transfer.direction is None else transfer.progress
    session.slot.doing(transfer.verb, transfer.path, moving)


def announce(
    session: FTPSession, transfer: OngoingTransfer, text: str, size: int | None = None
) -> None:
    """Say 150: all is well so far, and bytes will move."""
    transfer.isAnnounced = True
    transfer.size = size
    session.send(replies.reply(150, text))


async def conclude(
    session: FTPSession,
    transfer: OngoingTransfer,
    error: Exception | None,
    stream: ByteStream | None,
    *,
    source: IReadHandle | IDirectoryHandle | None = None,
    target: IWriteHandle | None = None,
    content: bytes | None = None,
    done: Reply = replies.TRANSFER_COMPLETE,
) -> Reply | None:
    """
    The one ending of every transfer: close the data connection, commit or abort, tell
    everybody.  The client hears of success when nothing can fail any more (RFC 959 5.4).

    @param error: what ended the transfer; L{None} if all bytes have moved.
    @param content: all of an upload, which is still to be stored.
    @param done: the reply for success.
    @return: the reply, if it was not sent yet.
    """
    transfer.isSettled = True
    if error is None:
        try:
            if stream is not None and content is None:
                await stream.finish()
            if target is not None:
                await _commit(session, target, content)
        except Exception as problem:
            error = problem
    result = resultOf(error, transfer.interruption)
    if result.isOurFault and error is not None:
        _log.failure("an FTP transfer failed", failure=Failure(error))  # type: ignore[no-untyped-call]
    isTold = False
    if result.error is not None:
        if stream is not None:
            stream.abort()
        if session.data is not None:
            session.data.reset()
        if target is not None:
            with _log.failuresHandled("an upload could not be aborted properly"):
                await target.abort()
    elif content is not None and stream is not None:
        # The client has closed its end, and goes on while we do the same with ours.
        session.send(done)
        isTold = True
        with suppress(PeerGone):
            await stream.finish()
    if source is not None:
        with _log.failuresHandled("a file could not be closed properly"):
            await source.close()
    session.transfer = None
    session.slot.doing("")
    _report(session, transfer, result)
    if result.error is None:
        return None if isTold else done
    return replies.INTERNAL_ERROR if result.isOurFault else replies.failure(result.error)


async def _commit(session: FTPSession, target: IWriteHandle, content: bytes | None) -> None:
    """
    A client program that is killed closes all its connections at once, and its half
    an upload ends like a whole one.  That the control connection has ended too gives
    it away.

    @raise PeerGone: it has.
    """
    isDead = session.channel.hasEnded()
    if content is not None:
        if not isDead and IStoresAtOnce(target).storeAtOnce(content):
            return
        await target.writeAt(target.position, content)
    if isDead:
        raise PeerGone("control connection lost")
    await target.commit()


def _report(session: FTPSession, transfer: OngoingTransfer, result: Result) -> None:
    listener, account = session.listener, session.account
    if listener.sink is None or transfer.direction is None or not transfer.isAnnounced:
        return
    listener.sink.emit(
        TransferEnded(
            session.slot.connection,
            "" if account is None else account.name,
            transfer.direction,
            transfer.path,
            result.outcome,
            transfer.progress.nbytes,
            listener.deadlines.seconds() - transfer.started,
            "" if result.error is None else str(result.error),
        )
    )


__all__ = [
    "OngoingTransfer",
    "Result",
    "announce",
    "begin",
    "conclude",
    "isArmed",
    "resultOf",
    "show",
]
