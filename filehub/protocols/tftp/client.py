"""
A TFTP client for Twisted programs (RFC 1350, 2347, 2348, 2349, 7440).

The sessions that move blocks are the server's own; what is here is the other
beginning: a request goes to the well-known port, and whoever answers from the same
address, from whatever port, is the peer from then on.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from zope.interface import implementer

from filehub.attributes import FileAttributes, FileType
from filehub.errors import (
    Aborted,
    AlreadyExists,
    ConnectFailed,
    FileHubError,
    InvalidName,
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
from filehub.protocols.tftp.asking import Question
from filehub.protocols.tftp.options import PLAIN, Terms, parseNumber
from filehub.protocols.tftp.ports import OwnPort
from filehub.protocols.tftp.receiver import Receiver
from filehub.protocols.tftp.sender import Sender
from filehub.protocols.tftp.session import Session
from filehub.protocols.tftp.settings import TFTPSettings
from filehub.transfer.blocks import BlockReader, BlockWriter, RateGate
from filehub.transfer.datagrams import PeerSocket
from filehub.transfer.progress import Progress

#: A client knows whom it asked, so it may repeat its first packet more often than a
#: server, and it stays only for a moment after the last ACK.
_SETTINGS: Final = TFTPSettings(firstCopies=10, stall=30.0, dally=0.25)


class Refused(FileHubError):
    """
    The server sent an ERROR.

    @ivar code: its number.
    """

    summary = "refused by the server"

    def __init__(self, error: wire.ErrorPacket) -> None:
        super().__init__(error.message or f"refused by the server with code {error.code}")
        self.code = error.code


def _meaning(error: wire.ErrorPacket, name: str) -> FileHubError:
    kinds: dict[int, type[NotFound | PermissionDenied | NoSpace | AlreadyExists]] = {
        wire.ErrorCode.FILE_NOT_FOUND: NotFound,
        wire.ErrorCode.ACCESS_VIOLATION: PermissionDenied,
        wire.ErrorCode.DISK_FULL: NoSpace,
        wire.ErrorCode.FILE_EXISTS: AlreadyExists,
    }
    kind = kinds.get(error.code)
    return Refused(error) if kind is None else kind(None, f"{name}: {error.message}")


class TFTPClient:
    """
    Fetches files from one server and stores them there; each transfer has a port of
    its own, so several may run at a time.
    """

    def __init__(
        self,
        reactor: Any,
        host: str,
        port: int = 69,
        *,
        timeout: float = 30.0,
        blksize: int = 1428,
        window: int = 16,
    ) -> None:
        """
        @param reactor: provides L{IReactorFDSet}, L{IReactorTime}, L{IReactorThreads}.
        @param timeout: seconds until a server that says nothing is given up.
        @param blksize: octets in a block that are asked for; 1428 fits an Ethernet frame.
        @param window: blocks in a window that are asked for (RFC 7440).
        """
        self._reactor = reactor
        self._host = host
        self._port = port
        self._timeout = timeout
        self._blksize = blksize
        self._window = window
        self._alarms = Alarms(reactor)
        self._lingering: set[_Transfer] = set()

    async def retrieve(
        self, name: str, target: IWriteHandle, progress: Progress | None = None
    ) -> int:
        """
        Download into a handle; returns the bytes written.  Committing is the caller's
        affair.

        @raise NotFound: and other errors that an ERROR packet can mean, or L{Refused}.
        @raise ConnectFailed: no answer.
        @raise TransferError: it broke off.
        """
        transfer = await self._ask(False, name, 0, withOptions=True)
        try:
            gate = RateGate(self._reactor, None)
            kept = _Kept(target)
            writer = BlockWriter(
                kept, gate, transfer.resume, lambda: transfer.tell(session.published), transfer.fail
            )
            counted = progress or Progress()

            def moved() -> None:
                counted.nbytes = writer.nbytes

            session = _Download(transfer, writer, moved, self._reactor.seconds())
            await transfer.run(session)
            moved()
            return writer.nbytes
        except BaseException:
            transfer.abandon()
            raise

    async def store(self, name: str, source: IReadHandle, progress: Progress | None = None) -> int:
        """
        Upload a file from a handle; returns the bytes that the server confirmed.

        @raise AlreadyExists: and what else L{retrieve} raises.
        """
        attributes: FileAttributes = source.attributes
        transfer = await self._ask(True, name, attributes.size, withOptions=True)
        try:
            gate = RateGate(self._reactor, None)
            terms = transfer.terms
            reader = BlockReader(
                _Lent(source), terms.blksize, terms.window, gate, transfer.resume, transfer.fail
            )
            counted = progress or Progress()

            def moved() -> None:
                counted.nbytes = min(session.nbytes, attributes.size)

            session = _Upload(transfer, reader, moved, self._reactor.seconds())
            await transfer.run(session)
            counted.nbytes = attributes.size
            return attributes.size
        except BaseException:
            transfer.abandon()
            raise

    async def size(self, name: str) -> int | None:
        """
        Octets in a file, or L{None} where the server does not tell; the download is
        asked for and refused (RFC 2349).

        @raise NotFound: and what else L{retrieve} raises.
        """
        transfer = await self._ask(False, name, 0, withOptions=True)
        transfer.abandon()
        return transfer.terms.tsize

    async def close(self) -> None:
        """Stay until no last ACK has to be repeated any more."""
        for transfer in list(self._lingering):
            await transfer.whenClosed()
        self._alarms.stop()

    async def _ask(self, write: bool, name: str, size: int, *, withOptions: bool) -> _Transfer:
        try:
            encoded = name.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise InvalidName(None, f"{name!r}: cannot be sent") from None
        if b"\0" in encoded or len(encoded) > 500:
            raise InvalidName(None, f"{name!r}: cannot be sent")
        asked: tuple[tuple[bytes, bytes], ...] = ()
        if withOptions:
            asked = (
                (b"tsize", b"%d" % size),
                (b"blksize", b"%d" % self._blksize),
                (b"windowsize", b"%d" % self._window),
            )
        packet = wire.encodeRequest(wire.Request(write, encoded, wire.Mode.OCTET, asked))
        sock, address = await self._socket()
        try:
            question = Question(self._reactor, sock, address, packet, self._timeout)
            answer = await question.answer()
            kind = wire.opcode(answer)
            terms = PLAIN
            if kind == wire.ERROR:
                error = wire.parseError(answer)
                if error.code == wire.ErrorCode.OPTION_REFUSED and withOptions:
                    sock.close()
                    return await self._ask(write, name, size, withOptions=False)
                raise _meaning(error, name)
            if kind == wire.OACK:
                terms = self._granted(sock, wire.parseOptions(answer))
            elif kind != (wire.ACK if write else wire.DATA):
                raise TransferError("the server's answer is none that TFTP knows")
        except BaseException:
            sock.close()
            raise
        first = answer if kind == wire.DATA else b""
        return _Transfer(self, sock, terms, name, first)

    def _granted(self, sock: PeerSocket, options: tuple[tuple[bytes, bytes], ...]) -> Terms:
        """What the server grants; never more than was asked."""
        found = {key.lower(): parseNumber(value) for key, value in options}
        blksize = found.get(b"blksize", 512)
        window = found.get(b"windowsize", 1)
        if (
            blksize is None
            or window is None
            or not 8 <= blksize <= max(512, self._blksize)
            or not 1 <= window <= self._window
        ):
            with contextlib.suppress(OSError):
                sock.send(wire.encodeError(wire.ErrorCode.OPTION_REFUSED, "not what was asked"))
            raise TransferError("the server grants options that nobody asked for")
        return Terms(blksize, window, tsize=found.get(b"tsize"))

    async def _socket(self) -> tuple[PeerSocket, Any]:
        try:
            found: list[Any] = await deferToThreadPool(
                self._reactor,
                self._reactor.getThreadPool(),
                socket.getaddrinfo,
                self._host,
                self._port,
                0,
                socket.SOCK_DGRAM,
            )
            family, _, _, _, address = found[0]
            sock = PeerSocket(
                family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            )
        except OSError as error:
            raise ConnectFailed(f"{self._host}: {error.strerror or error}") from None
        return sock, address

    def _started(self, transfer: _Transfer) -> None:
        self._lingering.add(transfer)

    def _ended(self, transfer: _Transfer) -> None:
        self._lingering.discard(transfer)


class _Transfer:
    """
    One transfer after the server has answered; owns the port that it runs on.

    @ivar terms: what was agreed.
    @ivar first: the server's first DATA packet if it granted no options, else empty.
    @ivar error: the ERROR that ended it, if one did.
    """

    def __init__(
        self, client: TFTPClient, sock: PeerSocket, terms: Terms, name: str, first: bytes
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
        self.port = OwnPort(client._reactor, client._reactor, client._alarms, self, sock)

    async def run(self, session: Session) -> None:
        """
        Move the blocks.

        @raise FileHubError: why not all of them are where they belong.
        """
        self._session = session
        self._client._started(self)
        self.port.expectBlocks(self.terms.blksize, self.terms.window)
        self.port.run(session)
        outcome, reason = await self._finished
        if outcome is Outcome.COMPLETED:
            return
        if self._problem is not None:
            raise self._problem
        if self.error is not None:
            raise _meaning(self.error, self._name)
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
        self._client._ended(self)
        waiting, self._closed = self._closed, []
        for each in waiting:
            each.callback(None)


class _Download(Receiver):
    """Begins with the server's first block, or with ACK 0 for its OACK."""

    def __init__(
        self, transfer: _Transfer, target: BlockWriter, moved: Callable[[], None], now: float
    ) -> None:
        super().__init__(transfer.port, target, transfer.terms, _SETTINGS, now)
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


class _Upload(Sender):
    """Begins with block 1: the server's answer was the ACK for its request."""

    def __init__(
        self, transfer: _Transfer, source: BlockReader, moved: Callable[[], None], now: float
    ) -> None:
        super().__init__(transfer.port, source, transfer.terms, _SETTINGS, now)
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
class _Kept:
    """A handle whose ending is its owner's affair."""

    def __init__(self, inner: IWriteHandle) -> None:
        self._inner = inner
        self.position: int = inner.position
        self._end = self.position

    async def writeAt(self, offset: int, data: bytes) -> None:
        """See L{IWriteHandle.writeAt}."""
        await self._inner.writeAt(offset, data)
        self._end = offset + len(data)

    async def commit(self) -> FileAttributes:
        """All is written; no more is said to the owner's handle."""
        return FileAttributes(FileType.REGULAR, self._end, 0.0)

    async def abort(self) -> None:
        """See L{commit}."""


@implementer(IReadHandle)
class _Lent:
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


__all__ = ["Refused", "TFTPClient"]
