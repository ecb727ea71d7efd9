"""
Pieces of resources on one web server, and nothing else on any other.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple
from urllib.parse import urljoin, urlsplit

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.error import ConnectError, ConnectionLost, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    BrowserLikePolicyForHTTPS,
    HTTPConnectionPool,
    PartialDownloadError,
    ResponseDone,
    ResponseFailed,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent

from filehub.errors import StorageUnavailable

#: Requests to one server at a time, and more that may wait for their turn.
_PARALLEL: Final = 8
_WAITING: Final = 256
_MAXIMUM_REDIRECTS: Final = 4
_CONTENT_RANGE: Final = re.compile(r"bytes (?:(\d{1,19})-(\d{1,19})|\*)/(\d{1,19})")


class Unreachable(StorageUnavailable):
    """The web server does not answer as one should."""


class Piece(NamedTuple):
    """
    What a web server said.

    @ivar status: of HTTP.
    @ivar data: the body, if there is one that was wanted.
    @ivar start: where it lies in the resource.
    @ivar total: octets in the whole resource, or L{None}.
    @ivar modified: seconds since the epoch, or L{None}.
    @ivar validator: changes if the resource does; empty if the server has none.
    @ivar isFolder: the server says that its name should end in a slash.
    """

    status: int
    data: bytes = b""
    start: int = 0
    total: int | None = None
    modified: float | None = None
    validator: str = ""
    isFolder: bool = False


class TooLong(Exception):
    """There is more of a body than is wanted."""


_DONE: Final = Failure(ResponseDone())  # type: ignore[no-untyped-call]


class _Body(Protocol):
    """Collects a body of bounded length that keeps coming."""

    def __init__(self, clock: IReactorTime, done: Deferred[bytes], limit: int, stall: float):
        self._pieces: list[bytes] = []
        self._room = limit
        self._done: Deferred[bytes] | None = done
        self._stall = stall
        self._alarm: Any = clock.callLater(stall, self._stalled)

    def dataReceived(self, data: bytes) -> None:
        """A part of it."""
        self._room -= len(data)
        self._pieces.append(data)
        if self._room < 0:
            self._end(TooLong())
        elif self._alarm is not None:
            self._alarm.reset(self._stall)

    def connectionLost(self, reason: Failure = _DONE) -> None:
        """The end of it; only a body whose end is known counts as whole."""
        if isinstance(reason.value, ResponseDone):
            self._end(None)
        else:
            self._end(Unreachable(None, "connection lost"))

    def stop(self) -> None:
        """Nobody wants it any more."""
        self._end(Unreachable(None, "not wanted any more"))

    def _stalled(self) -> None:
        self._alarm = None
        self._end(Unreachable(None, "no answer in time"))

    def _end(self, problem: Exception | None) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        done, self._done = self._done, None
        if done is None or done.called:
            return
        if problem is None:
            done.callback(b"".join(self._pieces))
            return
        if self.transport is not None:
            self.transport.loseConnection()
        self._pieces.clear()
        done.errback(problem)


class WebServer:
    """
    Asks one web server.  Redirections are followed on the same server only, from
    C{http} to C{https} at the most; certificates are checked.
    """

    def __init__(
        self, reactor: Any, base: str, *, agent: IAgent | None = None, timeout: float = 30.0
    ) -> None:
        """
        @param reactor: provides L{IReactorTime} and what connections need.
        @param base: C{http://host/path/} or C{https://host/path/}.
        @param agent: in the place of the ordinary one.
        @param timeout: seconds until a server that says nothing is given up.
        """
        self.base = base if base.endswith("/") else base + "/"
        self._clock: IReactorTime = reactor
        self._timeout = timeout
        self._pool: HTTPConnectionPool | None = None
        if agent is None:
            self._pool = HTTPConnectionPool(reactor)  # type: ignore[no-untyped-call]
            self._pool.maxPersistentPerHost = _PARALLEL
            policy = BrowserLikePolicyForHTTPS()  # type: ignore[no-untyped-call]
            agent = Agent(  # type: ignore[no-untyped-call]
                reactor, policy, connectTimeout=10.0, pool=self._pool
            )
        self._agent = agent
        self._turns = DeferredSemaphore(_PARALLEL)
        self._asked = 0

    async def ask(self, name: str, start: int, length: int, whole: int) -> Piece:
        """
        A range of a resource.

        @param name: below the base, percent-encoded.
        @param whole: how much of the resource may come if the server knows no ranges.
        @raise StorageUnavailable: no sensible answer.
        @raise TooLong: it is longer than that.
        """
        if self._asked >= _PARALLEL + _WAITING:
            raise Unreachable(None, "too much to fetch")
        self._asked += 1
        try:
            await self._turns.acquire()
            try:
                return await self._ask(self.base + name, start, length, whole)
            finally:
                self._turns.release()
        finally:
            self._asked -= 1

    async def _ask(self, url: str, start: int, length: int, whole: int) -> Piece:
        asked = url
        headers = Headers(
            {
                b"Range": [b"bytes=%d-%d" % (start, start + length - 1)],
                b"Accept-Encoding": [b"identity"],
                b"User-Agent": [b"FileHub"],
            }
        )
        for _ in range(_MAXIMUM_REDIRECTS + 1):
            response = await self._response(url, headers)
            code: int = response.code
            if code not in (301, 302, 303, 307, 308):
                return await self._piece(response, length, whole)
            await self._discarded(response)
            location = _header(response, b"location")
            following = self._allowed(url, location)
            if urlsplit(following).path == urlsplit(asked).path + "/":
                return Piece(code, isFolder=True)
            url = following
        raise Unreachable(None, "the web server sends us around in circles")

    async def _response(self, url: str, headers: Headers) -> Any:
        wait: Deferred[Any] = self._agent.request(b"GET", url.encode("ascii"), headers)
        wait.addTimeout(self._timeout, self._clock, _timedOut)
        try:
            return await wait
        except (ConnectError, ConnectionLost, DNSLookupError, ResponseFailed, OSError) as error:
            raise Unreachable(None, "the web server cannot be reached") from error

    def _allowed(self, url: str, location: str) -> str:
        """
        Where a redirection leads.

        @raise Unreachable: to another server, or back to clear text.
        """
        try:
            following = urljoin(url, location)
            before, after = urlsplit(url), urlsplit(following)
            upgrades = before.scheme == "http" and after.scheme == "https"
            sameHost = after.hostname == before.hostname
            samePort = after.port == before.port or (upgrades and after.port in (None, 443))
        except ValueError:
            sameHost = False
        if not (location and sameHost and samePort and following.isascii()):
            raise Unreachable(None, "the web server sends us somewhere else")
        if not (upgrades or before.scheme == after.scheme):
            raise Unreachable(None, "the web server sends us somewhere else")
        return following

    async def _piece(self, response: Any, length: int, whole: int) -> Piece:
        code: int = response.code
        modified = _moment(_header(response, b"last-modified"))
        validator = _header(response, b"etag") or _header(response, b"last-modified")
        if _header(response, b"content-encoding") not in ("", "identity"):
            await self._discarded(response)
            raise Unreachable(None, "the web server encodes what it was asked for")
        if code == 200:
            data = await self._body(response, whole)
            return Piece(code, data, 0, len(data), modified, validator)
        spans = _CONTENT_RANGE.fullmatch(_header(response, b"content-range"))
        if code == 206:
            data = await self._body(response, length)
            if spans is None or not spans[1] or int(spans[2]) - int(spans[1]) + 1 != len(data):
                raise Unreachable(None, "the web server sends another range than it says")
            return Piece(code, data, int(spans[1]), int(spans[3]), modified, validator)
        await self._discarded(response)
        total = int(spans[3]) if code == 416 and spans is not None else None
        return Piece(code, total=total, modified=modified, validator=validator)

    async def _body(self, response: Any, limit: int) -> bytes:
        if isinstance(response.length, int) and response.length > limit:
            await self._discarded(response)
            raise TooLong()
        done: Deferred[bytes] = Deferred(lambda _: body.stop())
        body = _Body(self._clock, done, limit, self._timeout)
        response.deliverBody(body)
        try:
            return await done
        except PartialDownloadError as error:
            raise Unreachable(None, "connection lost") from error

    async def _discarded(self, response: Any) -> None:
        """Read a short body away, so that the connection can be used again."""
        done: Deferred[bytes] = Deferred()
        body = _Body(self._clock, done, 64 * 1024, self._timeout)
        response.deliverBody(body)
        try:
            await done
        except (TooLong, Unreachable):
            # The connection is closed instead.
            return

    async def close(self) -> None:
        """Close idle connections."""
        if self._pool is not None:
            await self._pool.closeCachedConnections()  # type: ignore[no-untyped-call]


def _timedOut(_: Any, seconds: float) -> Any:
    raise Unreachable(None, "no answer in time")


def _header(response: Any, name: bytes) -> str:
    values: list[bytes] = response.headers.getRawHeaders(name, [])
    return values[0].decode("latin-1").strip() if values else ""


def _moment(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
