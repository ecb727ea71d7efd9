"""
Option negotiation: what the server grants of what a client asks
(RFC 2347, 2348, 2349, 7440; C{utimeout}, C{blksize2} and C{rollover} of tftp-hpa).

The answer is a subset of the request, in its order and spelling, with the same or
smaller values: EDK2, PXELINUX, U-Boot and curl each give up on anything else.  An
option that makes no sense is ignored, never an error.  An empty answer is no answer.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from filehub.protocols.tftp.wire import DEFAULT_BLKSIZE, MAXIMUM_BLKSIZE, Mode, Request

#: Requests of which it is remembered what was granted.
_REMEMBERED = 1024
#: More digits than any size that a file can have.
_MAXIMUM_DIGITS = 19


class Bounds(NamedTuple):
    """
    What the server is ready to grant.

    @ivar blksize: octets, from configuration and the interface's MTU.
    @ivar window: blocks.
    @ivar inFlight: octets in one window.
    """

    blksize: int
    window: int
    inFlight: int


class Terms(NamedTuple):
    """
    What a transfer runs by.

    @ivar timeout: seconds; the most that may pass until something is repeated, if
        the client said so.
    @ivar tsize: of an upload, the octets that the client announced.
    @ivar rollover: the number that follows block 65535.
    @ivar answer: the options of the OACK; empty means that there is none.
    """

    blksize: int = DEFAULT_BLKSIZE
    window: int = 1
    timeout: float | None = None
    tsize: int | None = None
    rollover: int = 0
    answer: tuple[tuple[bytes, bytes], ...] = ()


#: Without any option.
PLAIN = Terms()


def parseNumber(value: bytes) -> int | None:
    """The number of a plain decimal value, as all options have it; else L{None}."""
    if not value.isdigit() or len(value) > _MAXIMUM_DIGITS:
        return None
    return int(value)


def grantedBlksize(asked: Iterable[tuple[bytes, bytes]], cap: int) -> tuple[bytes, int] | None:
    """
    Which of C{blksize} and C{blksize2} is granted, and how much; the former where a
    client asks for both.
    """
    values = {name.lower(): value for name, value in asked}
    plain = parseNumber(values.get(b"blksize", b""))
    if plain is not None and plain >= 8:
        return b"blksize", min(plain, cap)
    power = parseNumber(values.get(b"blksize2", b""))
    if power is not None and power >= 8:
        return b"blksize2", 1 << (min(power, cap).bit_length() - 1)
    return None


def withMulticast(request: Request, bounds: Bounds, size: int, where: bytes) -> Terms:
    """
    Grant what can be granted to a client that joins a group (RFC 2090): no window.

    @param where: the value for C{multicast}.
    """
    others = [each for each in request.options if each[0].lower() != b"windowsize"]
    terms = negotiate(request._replace(options=tuple(others)), bounds, size)
    granted = dict(terms.answer)
    answer = [
        (name, where if name.lower() == b"multicast" else granted[name])
        for name, _ in others
        if name in granted or name.lower() == b"multicast"
    ]
    return terms._replace(answer=tuple(answer))


def negotiate(request: Request, bounds: Bounds, size: int | None) -> Terms:
    """
    Grant what can be granted.

    @param size: of a download, the octets that will be sent; L{None} if that is not
        known, or if line ends are converted.
    """
    return _negotiate(request, bounds, size) if request.options else PLAIN


@lru_cache(_REMEMBERED)
def _negotiate(request: Request, bounds: Bounds, size: int | None) -> Terms:
    # The window is bounded in octets, so the block size comes first, in any order.
    granted = grantedBlksize(request.options, min(bounds.blksize, MAXIMUM_BLKSIZE))
    blksize = granted[1] if granted else DEFAULT_BLKSIZE
    window, rollover = 1, 0
    timeout: float | None = None
    tsize: int | None = None
    answer: list[tuple[bytes, bytes]] = []
    for name, value in request.options:
        option, number = name.lower(), parseNumber(value)
        if number is None:
            continue
        if granted and option == granted[0]:
            answer.append((name, b"%d" % blksize))
        elif option == b"windowsize" and 1 <= number <= 65535:
            window = max(1, min(number, bounds.window, bounds.inFlight // blksize))
            # A window of one is RFC 1350; saying so would only confuse.
            if window > 1:
                answer.append((name, b"%d" % window))
        elif option == b"timeout" and 1 <= number <= 255:
            if timeout is None:
                timeout = float(number)
            answer.append((name, value))
        elif option == b"utimeout" and 10_000 <= number <= 255_000_000:
            timeout = number / 1e6
            answer.append((name, value))
        elif option == b"rollover" and number in (0, 1):
            rollover = number
            answer.append((name, value))
        elif option == b"tsize" and request.mode is Mode.OCTET:
            if request.write:
                tsize = number
                answer.append((name, value))
            elif size:
                # A size of 0 means "no file" to PXELINUX and is an error to curl.
                answer.append((name, b"%d" % size))
    return Terms(blksize, window, timeout, tsize, rollover, tuple(answer))
