"""
An RFC 913 client for Twisted programs.

It speaks over a L{ByteStream}, so files move in the same loops as on the server.  It
is tolerant where servers are known to differ, and never sends a command behind one
whose answer decides what the next bytes mean.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

from twisted.internet.interfaces import IStreamClientEndpoint

from filehub.errors import FileHubError, InvalidName, PeerGone, Stalled
from filehub.interfaces import IReadHandle, IWriteHandle
from filehub.protocols.rfc913.connecting import Prefixed, overEndpoint, overTCP
from filehub.protocols.rfc913.listing import ListedFile, parseNames, parseVerbose
from filehub.protocols.rfc913.text import AnnouncedEncoder, WireDecoder, WireEncoder, wireLength
from filehub.protocols.rfc913.wire import Code, NotRFC913, Reply, ReplyParser, encodeCommand
from filehub.transfer.progress import Progress
from filehub.transfer.pump import receive, send
from filehub.transfer.stream import ByteStream
from filehub.transfer.tlsclient import ServerTrust

#: Bytes of an ordinary reply.
_MAXIMUM_REPLY: Final = 64 * 1024
_READ_STEP: Final = 64 * 1024


class Refused(FileHubError):
    """
    The server said no.

    @ivar reply: its words.
    """

    summary = "refused by the server"

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.text.strip() or self.summary)
        self.reply = reply


class MoreNeeded(Refused):
    """The server wants an account or a password that it was not given."""


class RFC913Client:
    """
    One connection.  Make one with L{connect}; operations are awaited one at a time.

    Cancelling an operation, or any error that is not L{Refused} or about a name, ends
    the connection: the protocol has no other way to stop a transfer.

    @ivar greeting: what the server said first.
    @ivar lastReply: what it said last, e.g. under which name an upload was saved.
    @ivar maximumListing: bytes of a directory listing that are accepted.
    """

    def __init__(self, reactor: Any, stream: ByteStream, timeout: float = 120.0) -> None:
        """
        @param reactor: provides L{IReactorTime}.
        @param timeout: seconds that a server may take for a reply.
        """
        self._reactor = reactor
        self._stream = stream
        self._timeout = timeout
        self._parser = ReplyParser(_MAXIMUM_REPLY)
        self._type = "B"
        self.greeting = ""
        self.lastReply = Reply(Code.SUCCESS, ())
        self.maximumListing = 64 * 1024 * 1024

    # --- the connection

    @classmethod
    async def connect(
        cls,
        reactor: Any,
        host: str,
        port: int = 115,
        *,
        tls: str = "off",
        trust: ServerTrust | None = None,
        timeout: float = 30.0,
        replyTimeout: float = 120.0,
    ) -> RFC913Client:
        """
        Connect, and read the greeting.

        @param tls: C{"off"} or C{"implicit"}; RFC 913 itself has nothing.
        @param trust: which servers to believe; by default those that the system does.
        @param timeout: seconds that connecting may take.
        @raise ConnectFailed: nobody answers.
        @raise ProtectionRequired: no TLS with a server that can be believed.
        @raise Refused: the server is out to lunch.
        """
        stream = await overTCP(
            reactor, host, port, timeout, (trust or ServerTrust()) if tls != "off" else None
        )
        return await cls(reactor, stream, replyTimeout).start()

    @classmethod
    async def connectEndpoint(
        cls, reactor: Any, endpoint: IStreamClientEndpoint, *, replyTimeout: float = 120.0
    ) -> RFC913Client:
        """
        The same over any Twisted endpoint.

        @raise ConnectFailed: and L{Refused}.
        """
        return await cls(reactor, await overEndpoint(reactor, endpoint), replyTimeout).start()

    async def start(self) -> RFC913Client:
        """
        Read the greeting, for whoever brings a stream.

        @raise Refused: the server is out to lunch.
        """
        try:
            reply = await self._reply()
            if reply.code is not Code.SUCCESS:
                raise Refused(reply)
        except BaseException:
            self.abort()
            raise
        self.greeting = reply.text
        return self

    async def login(self, user: str, password: str = "", account: str | None = None) -> None:
        """
        @param account: the billing account, where the server wants one.
        @raise MoreNeeded: it wants one and none was given.
        @raise Refused: with the server's reason.
        """
        reply = await self.command("USER", user)
        if reply.code is Code.SUCCESS and account is not None:
            reply = await self.command("ACCT", account)
        if reply.code is Code.SUCCESS:
            reply = await self.command("PASS", password)
        if reply.code is Code.SUCCESS and account is not None:
            reply = await self.command("ACCT", account)
        if reply.code is not Code.LOGGED_IN:
            raise MoreNeeded(reply)

    async def quit(self) -> None:
        """Say goodbye and close.  A server that is gone already is no error."""
        try:
            await self.command("DONE")
            await self._stream.finish()
        except (PeerGone, Refused):
            self.abort()

    def abort(self) -> None:
        """Close at once.  Idempotent."""
        self._stream.abort()

    async def command(self, verb: str, *words: str) -> Reply:
        """
        Send one command and await its reply.

        @raise Refused: the reply is an error.
        @raise InvalidName: the words cannot be sent.
        """
        try:
            data = encodeCommand(verb, *words)
        except ValueError as error:
            raise InvalidName(None, str(error)) from None
        try:
            await self._timed(self._stream.write(data))
            reply = await self._reply()
        except BaseException:
            self.abort()
            raise
        if reply.code is Code.ERROR:
            raise Refused(reply)
        return reply

    # --- names

    async def setType(self, type: str) -> None:
        """
        How files travel from now on.

        @param type: C{"A"}: as lines of text, C{"B"} or C{"C"}: as they are.
        @raise Refused:
        """
        await self.command("TYPE", type)
        self._type = type.upper()

    async def changeDirectory(
        self, path: str, *, account: str | None = None, password: str | None = None
    ) -> None:
        """
        @param account: for directories that want one of their own, and likewise
            C{password}.
        @raise MoreNeeded: it wants one and none was given.
        @raise Refused:
        """
        reply = await self.command("CDIR", path)
        if reply.code is not Code.LOGGED_IN and account is not None:
            reply = await self.command("ACCT", account)
        if reply.code is not Code.LOGGED_IN and password is not None:
            reply = await self.command("PASS", password)
        if reply.code is not Code.LOGGED_IN:
            raise MoreNeeded(reply)

    async def names(self, path: str = "") -> list[str]:
        """
        The names in a directory (C{LIST F}), by default the current one.

        @raise Refused:
        """
        return parseNames(await self._list("F", path))

    async def list(self, path: str = "") -> list[ListedFile]:
        """
        What a server tells of a directory (C{LIST V}).  Each server has a format of its
        own; of lines that are not understood only the text is there.

        @raise Refused:
        """
        return parseVerbose(await self._list("V", path))

    async def _list(self, form: str, path: str) -> tuple[str, ...]:
        self._parser.maximum = self.maximumListing
        try:
            reply = await self.command("LIST", form, *([path] if path else []))
        finally:
            self._parser.maximum = _MAXIMUM_REPLY
        # The first line is the directory's own name.
        return reply.lines[1:]

    async def rename(self, source: str, target: str) -> None:
        """
        @raise Refused:
        """
        await self.command("NAME", source)
        await self.command("TOBE", target)

    async def removeFile(self, path: str) -> None:
        """
        @raise Refused:
        """
        await self.command("KILL", path)

    async def size(self, path: str) -> int:
        """
        How many bytes a file is on the wire.

        @raise Refused: also for a directory.
        """
        size = await self._announced(path)
        await self.command("STOP")
        return size

    # --- files

    async def retrieve(
        self, path: str, target: IWriteHandle, *, progress: Progress | None = None
    ) -> int:
        """
        Download into a handle, from C{target.position} on; returns the bytes that were
        stored.  Committing is the caller's affair.

        @raise Refused: and what L{receive} raises.
        """
        length = await self._announced(path)
        # What pads the number, as some servers do, is not the file's.
        self._parser.skipPadding()
        stream = self._data()
        try:
            await self._timed(self._stream.write(encodeCommand("SEND")))
            report = await receive(
                stream,
                target,
                length=length,
                decoder=WireDecoder(False) if self._type == "A" else None,
                progress=progress,
            )
        except BaseException:
            self.abort()
            raise
        if isinstance(stream, Prefixed):
            self._parser.feed(stream.rest)
        return report.nbytes

    async def store(
        self,
        path: str,
        source: IReadHandle,
        *,
        mode: str = "OLD",
        progress: Progress | None = None,
    ) -> int:
        """
        Upload a file from a handle; returns the bytes that were read.

        @param mode: C{"NEW"}: a new name, or a new generation; C{"OLD"}: replace what
            is there; C{"APP"}: go on at its end.
        @raise Refused: and what L{send} raises.
        """
        size: int = source.attributes.size
        length, encoder = size, None
        if self._type == "A":
            length = await wireLength(source, False, self._stream.pause)
            encoder = AnnouncedEncoder(WireEncoder(False), length)
        await self.command("STOR", mode, path)
        await self.command("SIZE", str(length))
        try:
            try:
                report = await send(
                    source, self._stream, length=size, encoder=encoder, progress=progress
                )
            except PeerGone:
                # A server that closed in the middle may have said why.
                await self._lastWords()
                raise
            reply = await self._reply()
        except BaseException:
            self.abort()
            raise
        if reply.code is not Code.SUCCESS:
            raise Refused(reply)
        return report.nbytes

    async def _announced(self, path: str) -> int:
        reply = await self.command("RETR", path)
        if reply.code is not Code.NUMBER:
            self.abort()
            raise NotRFC913("the server announced no number of bytes")
        return int(reply.lines[0])

    def _data(self) -> ByteStream:
        """What follows on the connection, as file bytes."""
        rest = self._parser.takeRest()
        return Prefixed(self._stream, rest) if rest else self._stream

    async def _lastWords(self) -> None:
        try:
            reply = await self._reply()
        except FileHubError:
            return
        if reply.code is Code.ERROR:
            raise Refused(reply)

    async def _reply(self) -> Reply:
        while (reply := self._parser.next()) is None:
            data = await self._timed(self._stream.read(_READ_STEP))
            if not data:
                raise PeerGone("the server closed the connection")
            self._parser.feed(data)
        self.lastReply = reply
        return reply

    async def _timed(self, waiting: Awaitable[Any]) -> Any:
        late = False

        def giveUp() -> None:
            nonlocal late
            late = True
            self.abort()

        call = self._reactor.callLater(self._timeout, giveUp)
        try:
            return await waiting
        except PeerGone:
            if late:
                raise Stalled("the server does not answer") from None
            raise
        finally:
            if call.active():
                call.cancel()


__all__ = ["MoreNeeded", "RFC913Client", "Refused"]
