"""
An FTP and FTPS client for Twisted programs.

It speaks over L{ByteStream}s, so downloads and uploads use the same loops as the
server.  Data connections are passive: EPSV first, PASV where that is refused, always
to the address of the control connection.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable
from typing import Any, Final, TypeVar

from OpenSSL import SSL

from filehub.deadlines import Deadlines
from filehub.errors import ConnectFailed, FileHubError, PeerGone, ProtectionRequired, Stalled
from filehub.interfaces import IReadHandle, IWriteHandle
from filehub.paths import encodeName
from filehub.protocols.ftp.remote_entry import RemoteEntry, parseEntry, parseUnixEntry
from filehub.protocols.ftp.reply_parser import NotFTP, ReplyParser, ServerReply
from filehub.transfer.connect import connectTCP
from filehub.transfer.progress import Progress
from filehub.transfer.pump import receive, send
from filehub.transfer.stream import ByteStream
from filehub.transfer.tlsclient import ServerTrust, TLSClientStream

#: Seconds that a server may take for a reply.
REPLY_TIMEOUT: Final = 120.0
#: Seconds that a data connection may go without a byte.
STALL_TIMEOUT: Final = 120.0
_T = TypeVar("_T")
_EXTENDED: Final = re.compile(r"\((.)\1\1([0-9]{1,5})\1\)")
_PASSIVE: Final = re.compile(r"([0-9]{1,3}(?:,[0-9]{1,3}){5})")
_QUOTED: Final = re.compile(r'"((?:[^"]|"")*)"')


class Refused(FileHubError):
    """
    The server said no.

    @ivar reply: its words.
    """

    summary = "refused by the server"

    def __init__(self, reply: ServerReply) -> None:
        super().__init__(f"{reply.code} {reply.text}")
        self.reply = reply

    @property
    def isPermanent(self) -> bool:
        """Will the same command fail again (5xx)?"""
        return self.reply.code >= 500


class FTPClient:
    """
    One control connection.  Make one with L{connect}; commands are awaited one at a
    time.

    @ivar features: what FEAT announced, in capital letters, with its parameters.
    @ivar isProtected: is the control connection encrypted?
    """

    def __init__(
        self, reactor: Any, host: str, stream: ByteStream, trust: ServerTrust, timeout: float
    ) -> None:
        self._reactor = reactor
        self._deadlines = Deadlines(reactor)
        self._host = host
        self._stream = stream
        self._trust = trust
        self._timeout = timeout
        self._context: SSL.Context | None = None
        self._parser = ReplyParser()
        self._replies: list[ServerReply] = []
        self._extendedPassive = True
        self._peer = host
        self._protectData = False
        self.features: dict[str, str] = {}

    # --- the control connection

    @classmethod
    async def connect(
        cls,
        reactor: Any,
        host: str,
        port: int = 21,
        *,
        tls: str = "off",
        trust: ServerTrust | None = None,
        timeout: float = 30.0,
    ) -> FTPClient:
        """
        Connect, and encrypt as asked.

        @param tls: C{"off"}, C{"explicit"} (AUTH TLS, RFC 4217) or C{"implicit"}.
        @param trust: which servers to believe; by default those that the system does.
        @param timeout: seconds that connecting may take.
        @raise ConnectFailed: nobody answers.
        @raise ProtectionRequired: no TLS with a server that can be believed.
        @raise Refused: the server does not want to serve.
        """
        stream, address = await connectTCP(reactor, host, port, timeout=timeout)
        client = cls(reactor, host, stream, trust or ServerTrust(), timeout)
        client._peer = address
        try:
            if tls == "implicit":
                await client._encrypt()
            await client._expect(await client._reply())
            if tls == "explicit":
                await client.command("AUTH TLS")
                await client._encrypt()
            if tls != "off":
                await client.command("PBSZ 0")
                await client.command("PROT P")
                client._protectData = True
        except BaseException:
            client.abort()
            raise
        return client

    @property
    def isProtected(self) -> bool:
        return self._context is not None

    async def _encrypt(self) -> None:
        self._context = self._trust.context()
        stream = TLSClientStream(self._stream, self._context, self._host)
        self._stream = stream
        await self._within(self._timeout, stream, stream.handshake())
        self._trust.check(stream.connection, self._host)

    @property
    def peer(self) -> str:
        """The server's address."""
        return self._peer

    @property
    def protectsData(self) -> bool:
        """Are data connections encrypted?"""
        return self._protectData

    async def reply(self, seconds: float | None = REPLY_TIMEOUT) -> ServerReply:
        """
        The next reply, whatever it says; for whoever uses L{send}.

        @param seconds: how long to wait; L{None}: as long as the connection lives.
        @raise Stalled: nothing came; the connection is closed.
        """
        while not self._replies:
            data = await self._read(seconds)
            if not data:
                raise PeerGone("the server closed the control connection")
            self._replies += self._parser.feed(data)
        return self._replies.pop(0)

    async def _reply(self) -> ServerReply:
        return await self.reply()

    async def _read(self, seconds: float | None) -> bytes:
        if seconds is None:
            return await self._stream.read(65536)
        return await self._within(seconds, self._stream, self._stream.read(65536))

    async def _within(self, seconds: float, stream: ByteStream, work: Awaitable[_T]) -> _T:
        """
        What C{work} returns, which waits for C{stream}.

        @raise Stalled: not in time; the stream is aborted.
        """
        late = False

        def giveUp() -> None:
            nonlocal late
            late = True
            stream.abort()

        call = self._reactor.callLater(seconds, giveUp)
        try:
            return await work
        except PeerGone:
            if late:
                raise Stalled("the server does not answer") from None
            raise
        finally:
            if call.active():
                call.cancel()

    async def _expect(self, reply: ServerReply) -> ServerReply:
        while reply.code == 120:
            reply = await self._reply()
        if not reply.isPositive:
            raise Refused(reply)
        return reply

    async def command(self, line: str) -> ServerReply:
        """
        Send one command and await its first reply.

        @raise Refused: the reply is 4xx or 5xx.
        """
        await self.send(line)
        return await self._expect(await self._reply())

    async def send(self, line: str) -> None:
        """
        Send one command and await nothing.
        """
        if "\r" in line or "\n" in line:
            raise FileHubError("line breaks cannot be sent in an FTP command")
        await self._stream.write(encodeName(line) + b"\r\n")

    async def login(self, user: str, password: str, account: str | None = None) -> None:
        """
        @raise Refused: with the server's reason.
        """
        reply = await self.command(f"USER {user}")
        if reply.code == 331:
            reply = await self.command(f"PASS {password}")
        if reply.code == 332:
            await self.command(f"ACCT {account or ''}".rstrip())
        try:
            answer = await self.command("FEAT")
        except Refused:
            answer = ServerReply(211, ())
        for line in answer.lines[1:-1]:
            name, _, parameters = line.strip().partition(" ")
            self.features[name.upper()] = parameters
        if "UTF8" in self.features:
            try:
                await self.command("OPTS UTF8 ON")
            except Refused:
                # RFC 2640 servers speak UTF-8 whether or not they know this command.
                self.features["UTF8"] = ""
        await self.command("TYPE I")

    async def quit(self) -> None:
        """Say goodbye and close."""
        await self.command("QUIT")
        try:
            await self._stream.finish()
        except PeerGone:
            # The server closed first; all has been said.
            self._stream.abort()

    def abort(self) -> None:
        """Close at once.  Idempotent."""
        self._stream.abort()

    # --- names

    async def workingDirectory(self) -> str:
        """The current directory."""
        return _quoted(await self.command("PWD"))

    async def changeDirectory(self, path: str) -> None:
        """
        @raise Refused:
        """
        await self.command(f"CWD {path}")

    async def makeDirectory(self, path: str) -> None:
        """
        @raise Refused:
        """
        await self.command(f"MKD {path}")

    async def removeDirectory(self, path: str) -> None:
        """
        @raise Refused:
        """
        await self.command(f"RMD {path}")

    async def removeFile(self, path: str) -> None:
        """
        @raise Refused:
        """
        await self.command(f"DELE {path}")

    async def rename(self, source: str, target: str) -> None:
        """
        @raise Refused:
        """
        await self.command(f"RNFR {source}")
        await self.command(f"RNTO {target}")

    async def size(self, path: str) -> int:
        """
        Bytes in the file.

        @raise Refused: also where the server cannot tell.
        """
        return int((await self.command(f"SIZE {path}")).text.strip())

    async def entry(self, path: str) -> RemoteEntry | None:
        """
        What is there, or L{None} where nothing is, or the server cannot tell.
        """
        try:
            if "MLST" in self.features:
                lines = (await self.command(f"MLST {path}")).lines
                found = next((line.strip() for line in lines if line.startswith(" ")), None)
                return parseEntry(found) if found else None
            return RemoteEntry(path.rstrip("/").rpartition("/")[2], "file", await self.size(path))
        except Refused:
            return None

    async def setModified(self, path: str, stamp: str) -> None:
        """
        Set the time of last modification (MFMT).

        @param stamp: C{YYYYMMDDHHMMSS}, UTC.
        @raise Refused:
        """
        await self.command(f"MFMT {stamp} {path}")

    async def list(self, path: str = "") -> list[RemoteEntry]:
        """
        The entries of a directory, without C{.} and C{..}.

        @raise Refused:
        """
        machine = "MLST" in self.features
        verb = "MLSD" if machine else "LIST"
        text = bytearray()
        async for chunk in self._download(f"{verb} {path}".rstrip()):
            text += chunk
        lines = text.decode("utf-8", "surrogateescape").split("\n")
        parse = parseEntry if machine else parseUnixEntry
        entries = [parse(line.rstrip("\r")) for line in lines]
        return [each for each in entries if each is not None and each.name not in (".", "..")]

    # --- transfers

    async def retrieve(
        self, path: str, target: IWriteHandle, *, offset: int = 0, progress: Progress | None = None
    ) -> int:
        """
        Download into a handle, from C{target.position} on; returns the bytes moved.
        Committing is the caller's affair.

        @param offset: where to start in the file (REST).
        @raise Refused: and what L{receive} raises.
        """
        data = await self._openData(f"RETR {path}", offset)
        try:
            report = await receive(data, target, progress=self._watched(progress))
            await data.finish()
        except BaseException as error:
            data.abort()
            await self._settle(error)
            raise
        await self._expect(await self._reply())
        return report.nbytes

    async def store(
        self,
        path: str,
        source: IReadHandle,
        *,
        offset: int = 0,
        append: bool = False,
        progress: Progress | None = None,
    ) -> int:
        """
        Upload a file from a handle; returns the bytes moved.

        @param offset: where to continue, in the source and in the target (REST).
        @raise Refused: and what L{send} raises.
        """
        verb = "APPE" if append else "STOR"
        data = await self._openData(f"{verb} {path}", 0 if append else offset)
        try:
            report = await send(source, data, offset=offset, progress=self._watched(progress))
            await data.finish()
        except BaseException as error:
            data.abort()
            await self._settle(error)
            raise
        await self._expect(await self._reply())
        return report.nbytes

    def _watched(self, progress: Progress | None) -> Progress:
        if progress is None:
            progress = Progress()
        progress.limit(self._deadlines, STALL_TIMEOUT)
        return progress

    async def _settle(self, error: BaseException) -> None:
        """
        Hear what the server says of a transfer that broke off, lest it be taken for the
        reply to the next command.

        @raise Refused: it was the server that broke it off, and this is why.
        """
        if not isinstance(error, FileHubError):
            # Cancelled: there is nobody to wait any more.
            return
        try:
            reply = await self.reply(self._timeout)
        except FileHubError:
            # Then there is no next command either.
            return
        if isinstance(error, PeerGone) and not reply.isPositive:
            raise Refused(reply) from None

    async def _download(self, command: str) -> AsyncIterator[bytes]:
        data = await self._openData(command, 0)
        try:
            while chunk := await self._within(STALL_TIMEOUT, data, data.read(65536)):
                yield chunk
            await data.finish()
        except BaseException as error:
            data.abort()
            await self._settle(error)
            raise
        await self._expect(await self._reply())

    async def _openData(self, command: str, offset: int) -> ByteStream:
        port = await self._passivePort()
        data: ByteStream
        data, _ = await connectTCP(self._reactor, self._peer, port, timeout=self._timeout)
        try:
            if offset:
                await self.command(f"REST {offset}")
            reply = await self.command(command)
            if not reply.isPreliminary:
                raise Refused(reply)
            if self._protectData:
                data = await self._protected(data)
        except BaseException:
            data.abort()
            raise
        return data

    async def _protected(self, data: ByteStream) -> ByteStream:
        control = self._stream
        if not isinstance(control, TLSClientStream) or self._context is None:
            raise ProtectionRequired("the control connection is not encrypted")
        stream = TLSClientStream(data, self._context, self._host, control.session)
        await self._within(self._timeout, stream, stream.handshake())
        self._trust.check(stream.connection, self._host)
        return stream

    async def _passivePort(self) -> int:
        if self._extendedPassive:
            try:
                match = _EXTENDED.search((await self.command("EPSV")).text)
                if match is not None:
                    return int(match[2])
            except Refused as refusal:
                if not refusal.isPermanent:
                    raise
            self._extendedPassive = False
        match = _PASSIVE.search((await self.command("PASV")).text)
        if match is None:
            raise ConnectFailed("the server's answer to PASV has no port in it")
        numbers = [int(each) for each in match[1].split(",")]
        # Its address is not believed: behind NAT it is wrong, and from a hostile
        # server it would make us connect anywhere.
        return numbers[4] * 256 + numbers[5]


def _quoted(reply: ServerReply) -> str:
    match = _QUOTED.search(reply.text)
    if match is None:
        raise NotFTP("no quoted path in the server's answer")
    return match[1].replace('""', '"')
