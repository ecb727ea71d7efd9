"""
One request from login to logout: the session, its port, its file.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol

from twisted.cred.error import LoginFailed
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from filehub.attributes import Disposition
from filehub.credentials import ConnectionInfo, PeerAddress
from filehub.errors import FileHubError, PermissionDenied
from filehub.events import Direction, Event, LoginRefused, Outcome, TransferEnded
from filehub.interfaces import IFileAccount, ISessionSlot
from filehub.logins import IAddressLogin, LoginPortal, discard
from filehub.paths import ROOT, VirtualPath
from filehub.protocols.tftp import replies, wire
from filehub.protocols.tftp.groups import Groups
from filehub.protocols.tftp.lockstep import Lockstep
from filehub.protocols.tftp.names import Naming
from filehub.protocols.tftp.options import Bounds, Terms, negotiate
from filehub.protocols.tftp.ports import OwnPort, Port, SharedPort
from filehub.protocols.tftp.receiver import Receiver
from filehub.protocols.tftp.sender import Sender
from filehub.protocols.tftp.settings import TFTPSettings
from filehub.transfer.blocks import BlockReader, RateGate, TranslatedReader
from filehub.transfer.blockwriter import BlockWriter
from filehub.transfer.datagrams import Datagram
from filehub.transfer.eager import begin
from filehub.transfer.metering import SOMETHING
from filehub.transfer.sharing import SharedReads
from filehub.transfer.smallfile import SMALL, SmallFile
from filehub.transfer.translate import NetasciiDecoder, NetasciiEncoder
from filehub.views import IAtOnce


class House(Protocol):
    """What an exchange needs from the service that it runs in."""

    clock: IReactorTime
    portal: LoginPortal
    #: The same, if it knows who calls by his address and without a Deferred.
    addresses: IAddressLogin | None
    settings: TFTPSettings
    groups: Groups | None
    naming: Naming
    #: Files that several transfers read at the same time.
    reads: SharedReads

    def boundsFor(self, datagram: Datagram, *, write: bool) -> Bounds:
        """The most that is granted on the way that this request came."""

    def openPort(self, datagram: Datagram, owner: Exchange, blksize: int) -> OwnPort | SharedPort:
        """
        A way to send and receive.

        @raise LimitExceeded: there is no descriptor or no port left.
        """

    def openLockstep(
        self,
        datagram: Datagram,
        owner: Exchange,
        content: bytes,
        terms: Terms,
        settings: TFTPSettings,
    ) -> Lockstep:
        """
        A way to send a small file with a window of one, from a port of its own.

        @raise LimitExceeded: as L{openPort}.
        """

    def reply(self, datagram: Datagram, packet: bytes) -> None:
        """Send one packet from the listening port."""

    def emit(self, event: Event) -> None:
        """Tell the observers."""

    def missed(self, filename: bytes) -> None:
        """Somebody asked for a file that is not there."""

    def proved(self, exchange: Exchange) -> None:
        """The peer has answered: its address is not forged."""

    def listens(self, exchange: Exchange) -> None:
        """The client hears what others ask for, and answers when it is its turn."""

    def forget(self, exchange: Exchange) -> None:
        """Nothing is left of it."""


class Exchange:
    """
    Serves one RRQ or WRQ.

    Its life in order: C{_prepare} (login, open, negotiate), the session on the port,
    C{_release} (close, logout).  The first and the last have nothing to wait for as a
    rule; the port may stay a little longer than both, to repeat a last ACK.

    @ivar connection: who asks; from L{start} on.
    """

    _log = Logger()
    connection: ConnectionInfo

    def __init__(
        self,
        house: House,
        key: Any,
        datagram: Datagram,
        request: wire.Request,
    ) -> None:
        self.key = key
        self.datagram = datagram
        self.request = request
        self.started = house.clock.seconds()
        self.port: Port | Lockstep | None = None
        self._house = house
        self._slot: ISessionSlot | None = None
        self._preparing: Deferred[object] | None = None
        self._account: IFileAccount | None = None
        self._path = ROOT
        self._logout: Callable[[], object] | None = None
        self._close: Callable[[], Coroutine[Any, Any, None]] | None = None
        self._gate: RateGate | None = None
        self._reason = ""
        #: Nothing will be done any more; file, account and session may not be released yet.
        self._ended = False
        self._released = False
        self._waiters: list[Deferred[None]] = []

    # --- what the service asks ----------------------------------------------------

    def start(self, connection: ConnectionInfo, slot: ISessionSlot | None) -> None:
        """Begin.  May be over when this returns."""
        self.connection = connection
        self._slot = slot
        self._preparing = begin(self._prepare(), self._prepared, self._notPrepared)

    def abandon(self, reason: str) -> None:
        """End without a word to the client: it has forgotten about this, or never was."""
        self._reason = reason
        if self.port is not None:
            self.port.session.abandon(reason)
        elif self._preparing is not None:
            self._preparing.cancel()

    def refuse(self, reason: str) -> None:
        """End, and tell the client."""
        self._reason = reason
        if self.port is not None:
            self.port.session.fail(wire.ErrorCode.NOT_DEFINED, reason, Outcome.ABORTED)
        elif self._preparing is not None:
            self._preparing.cancel()

    def packetReceived(self, packet: bytes) -> None:
        """A datagram from the client came to the listening port."""
        if self.port is not None:
            self.port.packetReceived(packet)

    def requestRepeated(self) -> None:
        """The client sent the same request again."""
        if self.port is not None:
            self.port.requestRepeated()

    def checkRate(self, now: float) -> None:
        """End a transfer that crawls: each of its ACKs resets the timers, for ever."""
        settings = self._house.settings
        age = now - self.started
        if self.port is not None and not self._ended and age > settings.rateGrace:
            if self.nbytes < settings.minimumRate * age:
                self.port.session.fail(wire.ErrorCode.NOT_DEFINED, "too slow", Outcome.STALLED)

    def whenReleased(self) -> Deferred[None]:
        """Fires when file, account and session are given back."""
        waiter: Deferred[None] = Deferred()
        if self._released:
            waiter.callback(None)
        else:
            self._waiters.append(waiter)
        return waiter

    @property
    def nbytes(self) -> int:
        """Octets of the file that have moved so far."""
        return 0 if self.port is None else self.port.nbytes

    # --- what the port says ---------------------------------------------------------

    def proved(self) -> None:
        """The client has answered."""
        self._house.proved(self)

    def finished(self, outcome: Outcome, reason: str) -> None:
        """The session knows how the transfer ended."""
        self._reason = reason
        if self.port is not None and self._account is not None:
            self._record(self.port, self._account, outcome)
        self._end()

    def gaveWay(self, port: OwnPort) -> None:
        """See L{filehub.protocols.tftp.lockstep.Owner}."""
        self.port = port

    def closed(self) -> None:
        """The port is given back."""
        self.port = None
        if self._released:
            self._house.forget(self)

    # --- before the session -----------------------------------------------------------

    async def _prepare(self) -> Callable[[], None]:
        """What is to be called so that the first packet leaves."""
        house, slot, request = self._house, self._slot, self.request
        if house.addresses is not None:
            account: IFileAccount = await house.addresses.accountAt(self.connection)
        else:
            _, account, self._logout = await house.portal.login(
                PeerAddress(self.connection.peer, self.connection.local),
                self.connection,
                IFileAccount,
            )
        self._account = account
        places = await house.naming.placesOf(
            request.filename, account, self.connection, write=request.write
        )
        self._path = path = places[-1]
        if slot is not None:
            slot.loggedIn(account)
            slot.doing("WRQ" if request.write else "RRQ", path, self)
        if not request.write:
            return await self._download(account, places)
        if house.settings.write == "deny":
            raise PermissionDenied(path)
        return await self._upload(account, places)

    async def _download(
        self, account: IFileAccount, places: Sequence[VirtualPath]
    ) -> Callable[[], None]:
        house, request = self._house, self.request
        limiter = account.limits.download
        octet = request.mode is wire.Mode.OCTET
        if octet and limiter is None and len(places) == 1 and house.groups is None:
            files = IAtOnce(account.fileSystem, None)
            whole = None if files is None else files.readAtOnce(places[0], SMALL)
            if whole is not None:
                return self._send(whole, account)
        self._path, handle = await house.naming.open(account, places)
        self._close = handle.close
        bounds = house.boundsFor(self.datagram, write=False)
        if octet and house.groups is not None:
            seat = house.groups.join(
                self, self.started, request, self.datagram, bounds, account, self._path, handle
            )
            if seat is not None:
                self.port, self._close = seat, seat.release
                house.listens(self)
                return partial(seat.run, seat.session)
        handle = await house.reads.join(handle, (account.name, self._path))
        self._close = handle.close
        gate = RateGate(house.clock, limiter)
        if gate.limited:
            self._gate = gate
            await gate.expect(handle.attributes.size)
        terms = negotiate(request, bounds, handle.attributes.size if octet else None)
        port = self.port = house.openPort(self.datagram, self, terms.blksize)
        way = (handle, terms.blksize, terms.window, gate, port.resume, self._storageFailed)
        reader = BlockReader(*way) if octet else TranslatedReader(*way, NetasciiEncoder())
        self._close = reader.close
        settings = house.settings.patient(account.limits.stall)
        return partial(port.run, Sender(port, reader, terms, settings, self.started))

    def _send(self, whole: bytes, account: IFileAccount) -> Callable[[], None]:
        """All of the file is here: nothing is read later, and nothing is open."""
        house = self._house
        settings = house.settings.patient(account.limits.stall)
        bounds = house.boundsFor(self.datagram, write=False)
        terms = negotiate(self.request, bounds, len(whole))
        if terms.window == 1 and not settings.singlePort:
            lockstep = house.openLockstep(self.datagram, self, whole, terms, settings)
            self.port = lockstep
            return lockstep.begin
        port = self.port = house.openPort(self.datagram, self, terms.blksize)
        source = SmallFile(whole, terms.blksize)
        return partial(port.run, Sender(port, source, terms, settings, self.started))

    async def _upload(
        self, account: IFileAccount, places: Sequence[VirtualPath]
    ) -> Callable[[], None]:
        house, request = self._house, self.request
        replace = house.settings.write == "overwrite"
        terms = negotiate(request, house.boundsFor(self.datagram, write=True), None)
        self._path, handle = await house.naming.create(
            account,
            places,
            Disposition.REPLACE if replace else Disposition.CREATE,
            terms.tsize,
        )
        self._close = handle.abort
        gate = RateGate(house.clock, account.limits.upload)
        if gate.limited:
            self._gate = gate
            await gate.expect(SOMETHING if terms.tsize is None else terms.tsize)
        port = self.port = house.openPort(self.datagram, self, terms.blksize)
        port.expectBlocks(terms.blksize, terms.window)
        writer = BlockWriter(
            handle,
            gate,
            port.resume,
            lambda: port.tell(receiver.published),
            self._storageFailed,
            None if request.mode is wire.Mode.OCTET else NetasciiDecoder(),
        )
        self._close = writer.close
        settings = house.settings.patient(account.limits.stall)
        receiver = Receiver(port, writer, terms, settings, self.started)
        return partial(port.run, receiver)

    def _prepared(self, run: Callable[[], None]) -> None:
        self._preparing = None
        if self.port is not None:
            run()

    def _notPrepared(self, error: Exception) -> None:
        self._preparing = None
        if isinstance(error, LoginFailed):
            self._house.emit(LoginRefused(self.connection, "", type(error).__name__))
            self._say(wire.ErrorCode.ACCESS_VIOLATION, PermissionDenied.summary)
        elif isinstance(error, FileHubError):
            code = replies.codeFor(error)
            if code is wire.ErrorCode.FILE_NOT_FOUND:
                self._house.missed(self.request.filename)
            self._say(code, replies.textFor(error))
        elif not isinstance(error, CancelledError):
            # That is abandon() or refuse(), which have said why.
            failure = Failure(error)  # type: ignore[no-untyped-call]
            self._log.failure("a TFTP request could not be served", failure)
            self._say(wire.ErrorCode.NOT_DEFINED, FileHubError.summary)
        self._end()

    def _say(self, code: int, text: str) -> None:
        """Refuse from the listening port: that takes no descriptor, whoever asks."""
        self._reason = text
        self._house.reply(self.datagram, wire.encodeError(code, text))

    # --- after it ---------------------------------------------------------------------

    def _record(self, port: Port | Lockstep, account: IFileAccount, outcome: Outcome) -> None:
        self._house.emit(
            TransferEnded(
                self.connection,
                account.name,
                Direction.UPLOAD if self.request.write else Direction.DOWNLOAD,
                self._path,
                outcome,
                port.nbytes,
                self._house.clock.seconds() - self.started,
                self._reason,
                port.facts,
            )
        )

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            if self._gate is not None:
                self._gate.close()
            if self._close is None:
                self._release(None)
            else:
                begin(self._close(), self._release, self._notClosed)

    def _notClosed(self, error: Exception) -> None:
        failure = Failure(error)  # type: ignore[no-untyped-call]
        self._log.failure("a file could not be closed after a transfer", failure)
        self._release(None)

    def _release(self, _: object) -> None:
        if self._logout is not None:
            discard(self._logout)
        slot, self._slot = self._slot, None
        if slot is not None:
            slot.leave(self._reason or "done")
        self._released = True
        if self.port is None:
            self._house.forget(self)
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                waiter.callback(None)

    def _storageFailed(self, error: FileHubError) -> None:
        if self.port is not None:
            self.port.session.fail(replies.codeFor(error), replies.textFor(error))
