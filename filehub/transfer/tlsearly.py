"""
TLS on a data connection before the transfer command has come.

Most clients send the command and shake hands then, or do both at once; some (those over
asyncio, for one) shake hands as soon as they are connected, and send the command only
when that is done.  Before the command nobody knows which way the bytes will flow, so
nothing but the handshake is said: no tickets, which would harm uploads.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import CancelledError, Deferred

from filehub.errors import TransferError
from filehub.transfer.stream import ByteStream
from filehub.transfer.tls import TLSSession
from filehub.transfer.tlsstreams import TLSDataStream, TLSReceiver

#: Seconds for the command to come, after which the client is taken for one that waits.
_GRACE: Final = 0.02


class TLSEitherWay(TLSReceiver):
    """
    A L{ByteStream} that may turn out to send or to receive.
    """

    __slots__ = ("_isSending",)

    def __init__(self, inner: ByteStream, session: TLSSession) -> None:
        super().__init__(inner, session)
        self._isSending = False

    async def write(self, data: bytes | memoryview) -> None:
        """See L{ByteStream.write}."""
        await TLSDataStream.write(self, data)

    def encrypt(self, data: bytes | memoryview) -> None:
        """See L{TLSDataStream.encrypt}."""
        self._isSending = True
        super().encrypt(data)

    async def finish(self) -> None:
        """See L{ByteStream.finish}."""
        await (TLSDataStream if self._isSending else TLSReceiver).finish(self)


class EarlyHandshake:
    """
    What goes on with a data connection that nobody has asked for yet.

    @ivar inner: the connection.
    """

    __slots__ = ("_failure", "_hasBegun", "_stream", "_waiting", "_work", "inner")

    def __init__(self, inner: ByteStream, session: TLSSession) -> None:
        self.inner = inner
        self._hasBegun = False
        self._stream: TLSEitherWay | None = None
        self._failure: TransferError | None = None
        self._waiting: Deferred[None] | None = None
        self._work = Deferred.fromCoroutine(self._run(session))

    async def _run(self, session: TLSSession) -> None:
        try:
            await self.inner.pause(_GRACE)
            self._hasBegun = True
            stream = TLSEitherWay(self.inner, session)
            await stream.handshake()
            self._stream = stream
        except CancelledError:
            return
        except TransferError as error:
            self._failure = error
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    async def take(self) -> TLSEitherWay | None:
        """
        The stream, its handshake done; L{None} if none has begun, and none will.

        @raise TransferError: it failed.
        """
        if not self._hasBegun and self._failure is None:
            self._work.cancel()
            return None
        if self._stream is None and self._failure is None:
            waiting = self._waiting = Deferred(self._cancelled)
            await waiting
        if self._failure is not None:
            raise self._failure
        return self._stream

    def _cancelled(self, waiting: Deferred[None]) -> None:
        self._waiting = None


__all__ = ["EarlyHandshake", "TLSEitherWay"]
