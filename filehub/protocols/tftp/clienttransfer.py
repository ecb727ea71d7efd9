"""
One transfer of a TFTP client, after the server has answered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from zope.interface import implementer

from filehub.attributes import FileAttributes, FileType
from filehub.errors import (
    Aborted,
    AlreadyExists,
    FileHubError,
    NoSpace,
    NotFound,
    PeerGone,
    PermissionDenied,
    Stalled,
    TransferError,
)
from filehub.events import Outcome
from filehub.interfaces import IReadHandle, IWriteHandle
from filehub.protocols.tftp import wire
from filehub.protocols.tftp.alarms import Alarms
from filehub.protocols.tftp.options import Terms
from filehub.protocols.tftp.ports import OwnPort
from filehub.protocols.tftp.receiver import Receiver
from filehub.protocols.tftp.sender import Sender
from filehub.protocols.tftp.session import Session
from filehub.protocols.tftp.settings import TFTPSettings
from filehub.transfer.blocks import BlockReader, TranslatedReader
from filehub.transfer.blockwriter import BlockWriter
from filehub.transfer.datagrams import PeerSocket
from filehub.transfer.windows import Arrivals

#: A client knows whom it asked, so it may repeat its first packet more often than a
#: server, and it stays only for a moment after the last ACK.
SETTINGS: Final = TFTPSettings(firstCopies=10, stall=30.0, dally=0.25)


class Refused(FileHubError):
    """
    The server sent an ERROR.

    @ivar code: its number.
    """

    summary = "refused by the server"

    def __init__(self, error: wire.ErrorPacket) -> None:
        super().__init__(error.message or f"refused by the server with code {error.code}")
        self.code = error.code


def meaningOf(error: wire.ErrorPacket, name: str) -> FileHubError:
    kinds: dict[int, type[NotFound | PermissionDenied | NoSpace | AlreadyExists]] = {
        wire.ErrorCode.FILE_NOT_FOUND: NotFound,
        wire.ErrorCode.ACCESS_VIOLATION: PermissionDenied,
        wire.ErrorCode.DISK_FULL: NoSpace,
        wire.ErrorCode.FILE_EXISTS: AlreadyExists,
    }
    kind = kinds.get(error.code)
    return Refused(error) if kind is None else kind(None, f"{name}: {error.message}")


class Owner(Protocol):
    """The client that a transfer belongs to."""

    reactor: Any
    alarms: Alarms

    def started(self, transfer: Transfer) -> None:
        """It may have to stay for a while after its end."""

    def ended(self, transfer: Transfer) -> None:
        """Its port is closed."""


class Transfer:
    """
    One transfer after the server has answered; owns the port that it runs on.

    @ivar terms: what was agreed.
    @ivar first: the server's first DATA packet if it granted no options, else empty.
    @ivar error: the ERROR that ended it, if one did.
    """

    def __init__(
        self, client: Owner, sock: PeerSocket, terms: Terms, name: str, first: bytes
    ) -> None:
        self._client = client
        self._socket = sock
        self._name = name
        self.terms = terms
        self.first = first
        self.error: wire.ErrorPacket | None = None
        self._problem: FileHubError | None = None
        self._session: Session | None = None
        self._finished: Deferred[tuple[Outcome, str]] = Deferred()
        self._closed: list[Deferred[None]] = []
        self._over = False
        self.port = OwnPort(client.reactor, client.reactor, client.alarms, self, sock)

    async def run(self, session: Session) -> None:
        """
        Move the blocks.

        @raise FileHubError: why not all of them are where they belong.
        """
        self._session = session
        self._client.started(self)
        self.port.expectBlocks(self.terms.blksize, self.terms.window)
        self.port.run(session)
        outcome, reason = await self._finished
        if outcome is Outcome.COMPLETED:
            return
        if self._problem is not None:
            raise self._problem
        if self.error is not None:
            raise meaningOf(self.error, self._name)
        kinds = {Outcome.STALLED: Stalled, Outcome.PEER_GONE: PeerGone, Outcome.ABORTED: Aborted}
        kind = kinds.get(outcome, TransferError)
        text = reason.replace("the client", "the server")
        raise kind(f"{self._name}: {text}" if text else self._name)

    def tell(self, what: Callable[[float], None]) -> None:
        """See L{OwnPort.tell}."""
        self.port.tell(what)

    def resume(self) -> None:
        """Storage is ready again."""
        self.port.resume()

    def fail(self, problem: FileHubError) -> None:
        """Our own storage failed: tell the server, and remember why."""
        self._problem = problem
        if self._session is not None:
            code = wire.ErrorCode.DISK_FULL if isinstance(problem, NoSpace) else 0
            self._session.fail(code, "the client's storage failed")

    def abandon(self) -> None:
        """End it in the middle."""
        if self._over:
            return
        if self._session is not None:
            self._session.fail(wire.ErrorCode.NOT_DEFINED, "aborted by the client")
        else:
            self.port.send(wire.encodeError(wire.ErrorCode.NOT_DEFINED, "not wanted any more"))
            self.port._close()
            self._over = True

    async def whenClosed(self) -> None:
        """Wait until the port is closed."""
        if not self._over:
            waiting: Deferred[None] = Deferred()
            self._closed.append(waiting)
            await waiting

    def proved(self) -> None:
        """See L{filehub.protocols.tftp.ports.PortOwner}."""

    def finished(self, outcome: Outcome, reason: str) -> None:
        """See L{filehub.protocols.tftp.ports.PortOwner}."""
        if not self._finished.called:
            self._finished.callback((outcome, reason))

    def closed(self) -> None:
        """See L{filehub.protocols.tftp.ports.PortOwner}."""
        self._over = True
        self._client.ended(self)
        waiting, self._closed = self._closed, []
        for each in waiting:
            each.callback(None)


class Download(Receiver):
    """Begins with the server's first block, or with ACK 0 for its OACK."""

    def __init__(
        self, transfer: Transfer, target: BlockWriter, moved: Callable[[], None], now: float
    ) -> None:
        super().__init__(transfer.port, target, transfer.terms, SETTINGS, now)
        self._transfer = transfer
        self._moved = moved
        self.proven = not transfer.first

    def begin(self, now: float) -> None:
        """Take the block that answered the request, or ask for it."""
        self._progress = now
        if self._transfer.first:
            self.packetReceived(self._transfer.first, now)
        else:
            self._acknowledge(now)

    def packetReceived(self, packet: bytes, now: float) -> None:
        """Look at it before the session does."""
        if wire.opcode(packet) == wire.ERROR:
            self._transfer.error = wire.parseError(packet)
        elif wire.opcode(packet) == wire.OACK and self._expected == 1:
            # Our ACK 0 got lost.
            self._acknowledge(now)
        super().packetReceived(packet, now)
        self._moved()

    def windowReceived(self, arrivals: Arrivals, count: int, now: float) -> bool:
        """Tell of them."""
        taken = super().windowReceived(arrivals, count, now)
        self._moved()
        return taken


class Upload(Sender):
    """Begins with block 1: the server's answer was the ACK for its request."""

    def __init__(
        self,
        transfer: Transfer,
        source: BlockReader | TranslatedReader,
        moved: Callable[[], None],
        now: float,
    ) -> None:
        super().__init__(transfer.port, source, transfer.terms, SETTINGS, now)
        self._transfer = transfer
        self._moved = moved
        self.proven = True

    def packetReceived(self, packet: bytes, now: float) -> None:
        """Look at it before the session does."""
        if wire.opcode(packet) == wire.ERROR:
            self._transfer.error = wire.parseError(packet)
        super().packetReceived(packet, now)
        self._moved()


@implementer(IWriteHandle)
class Kept:
    """A handle whose ending is its owner's affair."""

    def __init__(self, inner: IWriteHandle) -> None:
        self._inner = inner
        self.position: int = inner.position
        self._end = self._furthest = self.position

    def again(self) -> None:
        """Everything is written once more."""
        self._end = self.position

    @property
    def isShorter(self) -> bool:
        """Is something left of an earlier attempt, which was longer?"""
        return self._end < self._furthest

    @property
    def written(self) -> int:
        """How much was written to it."""
        return self._end - self.position

    async def writeAt(self, offset: int, data: bytes) -> None:
        """See L{IWriteHandle.writeAt}."""
        await self._inner.writeAt(offset, data)
        self._end = offset + len(data)
        self._furthest = max(self._furthest, self._end)

    async def commit(self) -> FileAttributes:
        """All is written; no more is said to the owner's handle."""
        return FileAttributes(FileType.REGULAR, self._end, 0.0)

    async def abort(self) -> None:
        """See L{commit}."""


@implementer(IReadHandle)
class Lent:
    """A handle that its owner closes."""

    def __init__(self, inner: IReadHandle) -> None:
        self._inner = inner
        self.attributes: FileAttributes = inner.attributes

    async def readAt(self, offset: int, length: int) -> bytes:
        """See L{IReadHandle.readAt}."""
        data: bytes = await self._inner.readAt(offset, length)
        return data

    async def close(self) -> None:
        """The owner does that."""
