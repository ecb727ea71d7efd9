"""
One request from login to logout: the session, its port, its file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, cast

from twisted.cred.error import LoginFailed
from twisted.cred.portal import Portal
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from filehub.attributes import Disposition
from filehub.credentials import ConnectionInfo, PeerAddress
from filehub.errors import FileHubError, PermissionDenied
from filehub.events import Direction, Event, LoginRefused, Outcome, TransferEnded
from filehub.interfaces import IFileAccount, ISessionSlot
from filehub.paths import VirtualPath
from filehub.protocols.tftp import replies, wire
from filehub.protocols.tftp.names import pathOf
from filehub.protocols.tftp.options import Bounds, negotiate
from filehub.protocols.tftp.ports import OwnPort, SharedPort
from filehub.protocols.tftp.receiver import Receiver
from filehub.protocols.tftp.sender import Sender
from filehub.protocols.tftp.session import Session
from filehub.protocols.tftp.settings import TFTPSettings
from filehub.transfer.blocks import BlockReader, BlockWriter, RateGate, TranslatedReader
from filehub.transfer.datagrams import Datagram
from filehub.transfer.translate import NetasciiDecoder, NetasciiEncoder


class House(Protocol):
    """What an exchange needs from the service that it runs in."""

    clock: IReactorTime
    portal: Portal
    settings: TFTPSettings

    def boundsFor(self, datagram: Datagram, *, write: bool) -> Bounds:
        """The most that is granted on the way that this request came."""

    def openPort(self, datagram: Datagram, owner: Exchange) -> OwnPort | SharedPort:
        """
        A way to send and receive.

        @raise LimitExceeded: there is no descriptor or no port left.
        """

    def reply(self, datagram: Datagram, packet: bytes) -> None:
        """Send one packet from the listening port."""

    def emit(self, event: Event) -> None:
        """Tell the observers."""

    def missed(self, filename: bytes) -> None:
        """Somebody asked for a file that is not there."""

    def proved(self, exchange: Exchange) -> None:
        """The peer has answered: its address is not forged."""

    def forget(self, exchange: Exchange) -> None:
        """Nothing is left of it."""


class Exchange:
    """
    Serves one RRQ or WRQ.

    @ivar running: fires when file, account and session are released.
    """

    _log = Logger()

    def __init__(
        self,
        house: House,
        key: Any,
        datagram: Datagram,
        request: wire.Request,
        connection: ConnectionInfo,
        slot: ISessionSlot | None,
    ) -> None:
        self.key = key
        self.datagram = datagram
        self.request = request
        self.connection = connection
        self.started = house.clock.seconds()
        self.port: OwnPort | SharedPort | None = None
        self.running: Deferred[None]
        self._house = house
        self._slot = slot
        self._done: Deferred[tuple[Outcome, str]] = Deferred()
        self._reason = ""
        self._ran = False
        self._moved: Callable[[], int] = lambda: 0

    # --- what the service asks ----------------------------------------------------

    def start(self) -> None:
        """Begin.  May be over when this returns."""
        self.running = Deferred.fromCoroutine(self._run())

    def abandon(self, reason: str) -> None:
        """End without a word to the client: it has forgotten about this, or never was."""
        self._reason = reason
        if self.port is not None:
            self.port.session.abandon(reason)
        elif not self._ran:
            self.running.cancel()

    def refuse(self, reason: str) -> None:
        """End, and tell the client."""
        self._reason = reason
        if self.port is not None:
            self.port.session.fail(wire.ErrorCode.NOT_DEFINED, reason, Outcome.ABORTED)
        elif not self._ran:
            self.running.cancel()

    def requestRepeated(self) -> None:
        """The client sent the same request again."""
        if self.port is not None:
            self.port.tell(self.port.session.requestRepeated)

    def packetReceived(self, packet: bytes) -> None:
        """A datagram from the client came to the listening port."""
        if self.port is not None:
            self.port.packetReceived(packet)

    def checkRate(self, now: float) -> None:
        """End a transfer that crawls: each of its ACKs resets the timers, for ever."""
        settings = self._house.settings
        age = now - self.started
        if self.port is not None and age > settings.rateGrace:
            if self._moved() < settings.minimumRate * age:
                self.port.session.fail(wire.ErrorCode.NOT_DEFINED, "too slow", Outcome.STALLED)

    # --- what the port says ---------------------------------------------------------

    def proved(self) -> None:
        """The client has answered."""
        self._house.proved(self)

    def finished(self, outcome: Outcome, reason: str) -> None:
        """The session knows how the transfer ended."""
        self._done.callback((outcome, reason))

    def closed(self) -> None:
        """The port is given back."""
        self.port = None
        if self._ran:
            self._house.forget(self)

    # --- from login to logout -------------------------------------------------------

    async def _run(self) -> None:
        logout: Callable[[], Any] | None = None
        try:
            _, avatar, logout = await self._house.portal.login(
                PeerAddress(self.connection.peer, self.connection.local),
                self.connection,
                IFileAccount,
            )
            account = cast(IFileAccount, avatar)
            if self._slot is not None:
                self._slot.loggedIn(account)
            await self._serve(account)
        except LoginFailed as error:
            self._house.emit(LoginRefused(self.connection, "", type(error).__name__))
            self._say(wire.ErrorCode.ACCESS_VIOLATION, PermissionDenied.summary)
        except FileHubError as error:
            code = replies.codeFor(error)
            if code is wire.ErrorCode.FILE_NOT_FOUND:
                self._house.missed(self.request.filename)
            self._reason = replies.textFor(error)
            self._say(code, self._reason)
        except CancelledError:
            # By abandon() or refuse(), before there was anything to say it with.
            self._reason = self._reason or "cancelled"
        except Exception:
            self._log.failure("a TFTP request could not be served")
            if self.port is not None:
                self.port.session.abandon("internal error")
            self._say(wire.ErrorCode.NOT_DEFINED, FileHubError.summary)
        finally:
            self._leave(logout)

    def _leave(self, logout: Callable[[], Any] | None) -> None:
        if logout is not None:
            with self._log.failuresHandled("logging out a TFTP client failed"):
                logout()
        if self._slot is not None:
            self._slot.leave(self._reason or "done")
        self._ran = True
        if self.port is None:
            self._house.forget(self)

    def _say(self, code: int, text: str) -> None:
        """Refuse from the listening port: that takes no descriptor, whoever asks."""
        self._house.reply(self.datagram, wire.encodeError(code, text))

    async def _serve(self, account: IFileAccount) -> None:
        request, settings = self.request, self._house.settings
        path = pathOf(request.filename, account.home, backslashes=settings.backslashes)
        if self._slot is not None:
            self._slot.doing(f"{'WRQ' if request.write else 'RRQ'} {path}")
        if not request.write:
            await self._download(account, path)
        elif settings.write == "deny":
            raise PermissionDenied(path)
        else:
            await self._upload(account, path)

    async def _download(self, account: IFileAccount, path: VirtualPath) -> None:
        house, request = self._house, self.request
        handle = await account.fileSystem.openForReading(path)
        close = handle.close
        try:
            octet = request.mode is wire.Mode.OCTET
            terms = negotiate(
                request,
                house.boundsFor(self.datagram, write=False),
                handle.attributes.size if octet else None,
            )
            port = house.openPort(self.datagram, self)
            gate = RateGate(house.clock, account.limits.download)
            reader: BlockReader | TranslatedReader
            if octet:
                reader = BlockReader(
                    handle, terms.blksize, terms.window, gate, port.resume, self._storageFailed
                )
            else:
                reader = TranslatedReader(
                    handle,
                    terms.blksize,
                    terms.window,
                    gate,
                    port.resume,
                    self._storageFailed,
                    NetasciiEncoder(),
                )
            close = reader.close
            sender = Sender(port, reader, terms, house.settings, house.clock.seconds())
            await self._transfer(account, path, port, sender, lambda: sender.nbytes)
        finally:
            await close()

    async def _upload(self, account: IFileAccount, path: VirtualPath) -> None:
        house, request = self._house, self.request
        replace = house.settings.write == "overwrite"
        terms = negotiate(request, house.boundsFor(self.datagram, write=True), None)
        handle = await account.fileSystem.openForWriting(
            path,
            Disposition.REPLACE if replace else Disposition.CREATE,
            sizeHint=terms.tsize,
        )
        close = handle.abort
        try:
            port = house.openPort(self.datagram, self)
            port.expectBlocks(terms.blksize, terms.window)
            octet = request.mode is wire.Mode.OCTET
            writer = BlockWriter(
                handle,
                RateGate(house.clock, account.limits.upload),
                port.resume,
                lambda: port.tell(receiver.published),
                self._storageFailed,
                None if octet else NetasciiDecoder(),
            )
            close = writer.close
            receiver = Receiver(port, writer, terms, house.settings, house.clock.seconds())
            await self._transfer(account, path, port, receiver, lambda: writer.nbytes)
        finally:
            await close()

    async def _transfer(
        self,
        account: IFileAccount,
        path: VirtualPath,
        port: OwnPort | SharedPort,
        session: Session,
        moved: Callable[[], int],
    ) -> None:
        self._moved = moved
        self.port = port
        port.run(session)
        outcome, self._reason = await self._done
        counts, trip = session.counts, session.roundTrip
        self._house.emit(
            TransferEnded(
                self.connection,
                account.name,
                Direction.UPLOAD if self.request.write else Direction.DOWNLOAD,
                path,
                outcome,
                moved(),
                self._house.clock.seconds() - self.started,
                self._reason,
                (
                    ("blocks", counts.blocks),
                    ("blksize", session.terms.blksize),
                    ("windowsize", session.terms.window),
                    ("retransmits", counts.retransmits),
                    ("rewinds", counts.rewinds),
                    ("timeouts", counts.timeouts),
                    ("duplicates", counts.duplicates),
                    ("rtt_ms", round(trip.smoothed * 1000, 3)),
                ),
            )
        )

    def _storageFailed(self, error: FileHubError) -> None:
        if self.port is not None:
            self.port.session.fail(replies.codeFor(error), replies.textFor(error))
