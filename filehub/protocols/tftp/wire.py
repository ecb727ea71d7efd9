"""
TFTP packets: bytes to values and back (RFC 1350 section 5, RFC 2347).

The parser of requests is lenient where real firmware is sloppy: zero padding behind
the options, a missing NUL at the very end, any case of modes and option names, an
option without a value.  Nothing here raises for what a peer sent.
"""

from __future__ import annotations

import enum
import sys
from array import array
from collections.abc import Iterable, Sequence
from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple

RRQ: Final = 1
WRQ: Final = 2
DATA: Final = 3
ACK: Final = 4
ERROR: Final = 5
OACK: Final = 6

#: The size of a DATA packet's header, and of a whole ACK.
HEADER_LENGTH: Final = 4
#: What RFC 1350 says when nobody asks for something else (octets of data).
DEFAULT_BLKSIZE: Final = 512
#: The largest block of RFC 2348.
MAXIMUM_BLKSIZE: Final = 65464
#: The largest datagram a peer may send: the largest block and its header.
MAXIMUM_PACKET: Final = MAXIMUM_BLKSIZE + HEADER_LENGTH
#: Longest request that is looked at; RFC 2347 speaks of 512 octets, firmware does not.
MAXIMUM_REQUEST: Final = 1500
#: More options than exist are not looked at.
MAXIMUM_OPTIONS: Final = 16
#: Requests of which it is remembered what they say.
_REMEMBERED: Final = 1024
#: An ERROR that we send is never longer than this in all.
MAXIMUM_ERROR: Final = 128

_pair = Struct("!HH")
#: Opcode and block number as the first four octets of a packet.
packHeader = _pair.pack


class ErrorCode(enum.IntEnum):
    """The codes of RFC 1350 and RFC 2347."""

    NOT_DEFINED = 0
    FILE_NOT_FOUND = 1
    ACCESS_VIOLATION = 2
    DISK_FULL = 3
    ILLEGAL_OPERATION = 4
    UNKNOWN_TRANSFER_ID = 5
    FILE_EXISTS = 6
    NO_SUCH_USER = 7
    OPTION_REFUSED = 8


class Mode(enum.Enum):
    """How a file's bytes travel."""

    OCTET = "octet"
    NETASCII = "netascii"
    #: Obsolete since RFC 1350 and always refused.
    MAIL = "mail"

    # Each is one object; Enum's own way to hash it takes a call of a function.
    __hash__ = object.__hash__


class Request(NamedTuple):
    """
    An RRQ or WRQ.

    @ivar filename: as it came; neither decoded nor cleaned.
    @ivar mode: L{None} if it is none that exists.
    @ivar options: name and value in the order and spelling of the client; of names
        that differ in case only, the first one.
    """

    write: bool
    filename: bytes
    mode: Mode | None
    options: tuple[tuple[bytes, bytes], ...]


class ErrorPacket(NamedTuple):
    """An ERROR from the peer; C{message} is untrusted text."""

    code: int
    message: str


_MODES: Final = {
    b"octet": Mode.OCTET,
    # What old clients called it before RFC 1350.
    b"binary": Mode.OCTET,
    b"image": Mode.OCTET,
    b"netascii": Mode.NETASCII,
    b"ascii": Mode.NETASCII,
    b"mail": Mode.MAIL,
}


def opcode(packet: bytes) -> int:
    """The opcode, or 0 for what is too short to have one."""
    return packet[0] << 8 | packet[1] if len(packet) >= 2 else 0


@lru_cache(_REMEMBERED)
def parseRequest(packet: bytes) -> Request | None:
    """
    What an RRQ or WRQ asks for; L{None} if it is no request at all: another opcode,
    too long, or without the name's NUL.
    """
    kind = opcode(packet)
    if kind not in (RRQ, WRQ) or len(packet) > MAXIMUM_REQUEST:
        return None
    # Two strings, and two for each option; what follows is not looked at.
    filename, *fields = packet[2:].split(b"\0", 2 + 2 * MAXIMUM_OPTIONS)
    if not fields:
        return None
    mode = _MODES.get(fields[0].lower())
    options: list[tuple[bytes, bytes]] = []
    seen: set[bytes] = set()
    for name, value in zip(fields[1::2], fields[2::2], strict=False):
        if not name:
            # Zero padding up to a fixed packet size: no options from here on.
            break
        folded = name.lower()
        if folded not in seen and len(options) < MAXIMUM_OPTIONS:
            seen.add(folded)
            options.append((name, value))
    return Request(kind == WRQ, filename, mode, tuple(options))


def parseError(packet: bytes) -> ErrorPacket:
    """The content of an ERROR packet; tolerant of every truncation."""
    code = packet[2] << 8 | packet[3] if len(packet) >= HEADER_LENGTH else 0
    text = packet[HEADER_LENGTH:MAXIMUM_ERROR].split(b"\0", 1)[0]
    shown = "".join(chr(each) if 0x20 <= each < 0x7F else "?" for each in text)
    return ErrorPacket(code, shown)


def parseOptions(packet: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """The options of an OACK; malformed ends are ignored."""
    fields = packet[2:].split(b"\0", 2 * MAXIMUM_OPTIONS)
    return tuple(
        (name, value) for name, value in zip(fields[0::2], fields[1::2], strict=False) if name
    )


def encodeRequest(request: Request) -> bytes:
    """The packet of a request; the mode must be one."""
    mode = request.mode or Mode.OCTET
    fields = [request.filename, mode.value.encode("ascii")]
    for name, value in request.options:
        fields += [name, value]
    kind = WRQ if request.write else RRQ
    return kind.to_bytes(2, "big") + b"".join(field + b"\0" for field in fields)


def dataHeader(number: int) -> bytes:
    """The four bytes before a block's data."""
    return _pair.pack(DATA, number & 0xFFFF)


def encodeAck(number: int) -> bytes:
    """An ACK."""
    return _pair.pack(ACK, number & 0xFFFF)


def encodeOptionAck(options: Iterable[tuple[bytes, bytes]]) -> bytes:
    """An OACK; every string ends in NUL, as EDK2 insists."""
    return b"\0\6" + b"".join(name + b"\0" + value + b"\0" for name, value in options)


def encodeError(code: int, text: str) -> bytes:
    """An ERROR of at most L{MAXIMUM_ERROR} bytes, printable ASCII only."""
    printable = "".join(each if " " <= each <= "~" else "?" for each in text)
    room = MAXIMUM_ERROR - HEADER_LENGTH - 1
    return _pair.pack(ERROR, code) + printable.encode("ascii")[:room] + b"\0"


def blockHeaders(numbers: range | list[int]) -> array[int]:
    """The headers of DATA packets as they are sent, each in one item of four octets."""
    data = DATA << 16
    if isinstance(numbers, range):
        # Much quicker than one by one.
        headers = array("I", range(data + numbers.start, data + numbers.stop))
    else:
        headers = array("I", [data + each for each in numbers])
    if sys.byteorder == "little":
        headers.byteswap()
    return headers


class Frames:
    """
    The DATA packets of a window, in parts: header, payload, header, payload...

    Nothing is made for a packet: the headers are always the same memory.
    """

    def __init__(self, window: int) -> None:
        """
        @param window: packets at the most.
        """
        memory = memoryview(bytearray(HEADER_LENGTH * window))
        self._headers = memory.cast("I")
        self._parts: list[bytes | memoryview] = []
        for start in range(0, HEADER_LENGTH * window, HEADER_LENGTH):
            self._parts += (memory[start : start + HEADER_LENGTH], b"")

    def around(
        self, payloads: Sequence[bytes | memoryview], numbers: range | list[int]
    ) -> Sequence[bytes | memoryview]:
        """
        The packets of these blocks, good until the next call.

        @param numbers: of the blocks, as sent.
        """
        count = len(payloads)
        self._headers[:count] = memoryview(blockHeaders(numbers))
        parts = self._parts if 2 * count == len(self._parts) else self._parts[: 2 * count]
        parts[1::2] = payloads
        return parts
