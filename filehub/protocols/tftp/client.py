"""
A TFTP client for Twisted programs (RFC 1350, 2347, 2348, 2349, 7440).

The sessions that move blocks are the server's own; what is here is the other
beginning: a request goes to the well-known port, and whoever answers from the same
address, from whatever port, is the peer from then on.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.threads import deferToThreadPool

from filehub.attributes import FileAttributes
from filehub.errors import ConnectFailed, InvalidName, PeerGone, Stalled, TransferError
from filehub.interfaces import IReadHandle, IWriteHandle
from filehub.protocols.tftp import wire
from filehub.protocols.tftp.alarms import Alarms
from filehub.protocols.tftp.asking import Question
from filehub.protocols.tftp.clienttransfer import (
    Download,
    Kept,
    Lent,
    Refused,
    Transfer,
    Upload,
    meaningOf,
)
from filehub.protocols.tftp.options import PLAIN, Terms, parseNumber
from filehub.transfer.blocks import BlockReader, RateGate, TranslatedReader
from filehub.transfer.blockwriter import BlockWriter
from filehub.transfer.datagrams import PeerSocket
from filehub.transfer.progress import Progress
from filehub.transfer.translate import NetasciiDecoder, NetasciiEncoder


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
        interval: int | None = None,
        attempts: int = 1,
    ) -> None:
        """
        @param reactor: provides L{IReactorFDSet}, L{IReactorTime}, L{IReactorThreads}.
        @param timeout: seconds until a server that says nothing is given up; until then
            the request is repeated, at first after a second, then less and less often.
        @param blksize: octets in a block that are asked for; 1428 fits an Ethernet frame.
        @param window: blocks in a window that are asked for (RFC 7440).
        @param interval: whole seconds, 1 to 255, after which the server shall repeat at
            the latest what was not acknowledged (RFC 2349); by default its own affair.
        @param attempts: how often a transfer begins anew, in all, if nobody answers or it
            breaks off.
        """
        self.reactor = reactor
        self._host = host
        self._port = port
        self._timeout = timeout
        self._blksize = blksize
        self._window = window
        self._interval = interval
        self._attempts = attempts
        self.alarms = Alarms(reactor)
        self._lingering: set[Transfer] = set()

    async def retrieve(
        self,
        name: str,
        target: IWriteHandle,
        progress: Progress | Callable[[int], object] | None = None,
        *,
        netascii: bool = False,
    ) -> int:
        """
        Download into a handle; returns the bytes written.  Committing is the caller's
        affair.

        @param progress: its C{nbytes} grows with what was written, or it is called with
            that number.
        @param netascii: the file is a text, whose line ends become those of this machine.
        @raise NotFound: and other errors that an ERROR packet can mean, or L{Refused}.
        @raise ConnectFailed: no answer.
        @raise TransferError: it broke off.
        """
        kept = Kept(target)
        return await self._repeated(lambda: self._retrieve(name, kept, _teller(progress), netascii))

    async def _retrieve(
        self, name: str, kept: Kept, tell: Callable[[int], object], netascii: bool
    ) -> int:
        kept.again()
        transfer = await self._ask(False, name, 0, netascii=netascii)
        try:
            gate = RateGate(self.reactor, None)
            writer = BlockWriter(
                kept,
                gate,
                transfer.resume,
                lambda: transfer.tell(session.published),
                transfer.fail,
                NetasciiDecoder() if netascii else None,
            )

            def moved() -> None:
                tell(writer.nbytes)

            session = Download(transfer, writer, moved, self.reactor.seconds())
            await transfer.run(session)
            tell(kept.written)
            if kept.isShorter:
                raise TransferError(f"{name}: it was longer at the first attempt")
            return kept.written
        except BaseException:
            transfer.abandon()
            raise

    async def store(
        self,
        name: str,
        source: IReadHandle,
        progress: Progress | Callable[[int], object] | None = None,
        *,
        netascii: bool = False,
    ) -> int:
        """
        Upload a file from a handle; returns the bytes of it that the server confirmed.

        @param progress: its C{nbytes} grows with what was confirmed, or it is called with
            that number.
        @param netascii: the file is a text, whose line ends become those of the network.
        @raise AlreadyExists: and what else L{retrieve} raises.
        """
        return await self._repeated(lambda: self._store(name, source, _teller(progress), netascii))

    async def _store(
        self, name: str, source: IReadHandle, tell: Callable[[int], object], netascii: bool
    ) -> int:
        attributes: FileAttributes = source.attributes
        transfer = await self._ask(True, name, attributes.size, netascii=netascii)
        try:
            gate = RateGate(self.reactor, None)
            terms = transfer.terms
            way = (
                *(Lent(source), terms.blksize, terms.window, gate, transfer.resume, transfer.fail),
            )
            reader = TranslatedReader(*way, NetasciiEncoder()) if netascii else BlockReader(*way)

            def moved() -> None:
                tell(min(session.nbytes, attributes.size))

            session = Upload(transfer, reader, moved, self.reactor.seconds())
            await transfer.run(session)
            tell(attributes.size)
            return attributes.size
        except BaseException:
            transfer.abandon()
            raise

    async def _repeated(self, work: Callable[[], Coroutine[Any, Any, int]]) -> int:
        """Try it again if the server or the network fails, not if it is refused."""
        for _ in range(self._attempts - 1):
            try:
                return await work()
            except (ConnectFailed, PeerGone, Stalled):
                continue
        return await work()

    async def size(self, name: str) -> int | None:
        """
        Octets in a file, or L{None} where the server does not tell; the download is
        asked for and refused (RFC 2349).

        @raise NotFound: and what else L{retrieve} raises.
        """
        transfer = await self._ask(False, name, 0)
        transfer.abandon()
        return transfer.terms.tsize

    async def close(self) -> None:
        """Stay until no last ACK has to be repeated any more."""
        for transfer in list(self._lingering):
            await transfer.whenClosed()
        self.alarms.stop()

    async def _ask(
        self,
        write: bool,
        name: str,
        size: int,
        *,
        netascii: bool = False,
        withOptions: bool = True,
    ) -> Transfer:
        try:
            encoded = name.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise InvalidName(None, f"{name!r}: cannot be sent") from None
        if b"\0" in encoded or len(encoded) > 500:
            raise InvalidName(None, f"{name!r}: cannot be sent")
        asked: tuple[tuple[bytes, bytes], ...] = ()
        if withOptions:
            asked = (
                (b"blksize", b"%d" % self._blksize),
                (b"windowsize", b"%d" % self._window),
            )
            if not netascii:
                # Of a text nobody knows the length before it is converted.
                asked = ((b"tsize", b"%d" % size), *asked)
            if self._interval is not None:
                asked = (*asked, (b"timeout", b"%d" % self._interval))
        mode = wire.Mode.NETASCII if netascii else wire.Mode.OCTET
        packet = wire.encodeRequest(wire.Request(write, encoded, mode, asked))
        sock, address = await self._socket()
        try:
            question = Question(self.reactor, sock, address, packet, self._timeout)
            answer = await question.answer()
            kind = wire.opcode(answer)
            terms = PLAIN
            if kind == wire.ERROR:
                error = wire.parseError(answer)
                if error.code == wire.ErrorCode.OPTION_REFUSED and withOptions:
                    sock.close()
                    return await self._ask(write, name, size, netascii=netascii, withOptions=False)
                raise meaningOf(error, name)
            if kind == wire.OACK:
                terms = self._granted(sock, wire.parseOptions(answer))
            elif kind != (wire.ACK if write else wire.DATA):
                raise TransferError("the server's answer is none that TFTP knows")
        except BaseException:
            sock.close()
            raise
        first = answer if kind == wire.DATA else b""
        return Transfer(self, sock, terms, name, first)

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
                self.reactor,
                self.reactor.getThreadPool(),
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

    def started(self, transfer: Transfer) -> None:
        """See L{filehub.protocols.tftp.clienttransfer.Owner}."""
        self._lingering.add(transfer)

    def ended(self, transfer: Transfer) -> None:
        """See L{started}."""
        self._lingering.discard(transfer)


def _teller(progress: Progress | Callable[[int], object] | None) -> Callable[[int], object]:
    """Whom to tell how much was moved."""
    if callable(progress):
        return progress
    counted = progress if progress is not None else Progress()

    def count(nbytes: int) -> None:
        counted.nbytes = nbytes

    return count


__all__ = ["Refused", "TFTPClient"]
