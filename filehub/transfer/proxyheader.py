"""
What a proxy says about the connection that it passes on: HAProxy's PROXY protocol,
versions 1 (a line) and 2 (binary).  No sockets and no Twisted.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final, NamedTuple

from filehub.credentials import Address

#: The longest line of version 1, with its end.
MAXIMUM_LINE: Final = 107
#: The longest header of version 2: addresses and a reasonable number of further facts.
MAXIMUM_HEADER: Final = 4096

_LINE_START: Final = b"PROXY "
_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED: Final = struct.Struct("!12sBBH")
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
#: Address family and transport: the length of an address.
_LENGTHS: Final = {0x11: 4, 0x21: 16}
_FAMILIES: Final = {b"TCP4": 4, b"TCP6": 6}


class BadHeader(ValueError):
    """This is no header, or not one that we take."""


class ProxyHeader(NamedTuple):
    """
    @ivar source: the client; L{None} where the proxy speaks for itself (a health
        check) or does not know.
    @ivar target: the address that the client connected to.
    @ivar length: bytes of the header.
    """

    source: Address | None
    target: Address | None
    length: int


def parseHeader(data: bytes) -> ProxyHeader | None:
    """
    The header that C{data} begins with; L{None} until all of it is there.

    @raise BadHeader: as soon as that is certain.
    """
    if data[:1] == _SIGNATURE[:1]:
        return _parseBinary(data)
    if not data.startswith(_LINE_START[: len(data)]):
        raise BadHeader("no PROXY header")
    end = data.find(b"\r\n", 0, MAXIMUM_LINE)
    if end < 0:
        if len(data) >= MAXIMUM_LINE:
            raise BadHeader("endless PROXY line")
        return None
    return _parseLine(data[:end], end + 2)


def _parseLine(line: bytes, length: int) -> ProxyHeader:
    words = line.split(b" ")
    if words[1:2] == [b"UNKNOWN"]:
        return ProxyHeader(None, None, length)
    if len(words) != 6 or words[1] not in _FAMILIES:
        raise BadHeader("malformed PROXY line")
    version = _FAMILIES[words[1]]
    return ProxyHeader(
        _textAddress(words[2], words[4], version), _textAddress(words[3], words[5], version), length
    )


def _textAddress(host: bytes, port: bytes, version: int) -> Address:
    try:
        address = ipaddress.ip_address(host.decode("ascii"))
    except ValueError:
        raise BadHeader("no address in a PROXY line") from None
    if address.version != version or not (port.isdigit() and len(port) <= 5):
        raise BadHeader("no address in a PROXY line")
    return _address(address, int(port))


def _parseBinary(data: bytes) -> ProxyHeader | None:
    if not data.startswith(_SIGNATURE[: len(data)]):
        raise BadHeader("no PROXY header")
    if len(data) < _FIXED.size:
        return None
    _, command, kind, rest = _FIXED.unpack_from(data)
    length = _FIXED.size + rest
    if command not in (_LOCAL, _PROXY) or length > MAXIMUM_HEADER:
        raise BadHeader("malformed PROXY header")
    if len(data) < length:
        return None
    size = _LENGTHS.get(kind)
    if command == _LOCAL or size is None:
        return ProxyHeader(None, None, length)
    if rest < 2 * size + 4:
        raise BadHeader("PROXY header without addresses")
    start = _FIXED.size
    source, target = data[start : start + size], data[start + size : start + 2 * size]
    sourcePort, targetPort = struct.unpack_from("!HH", data, start + 2 * size)
    return ProxyHeader(
        _address(ipaddress.ip_address(source), sourcePort),
        _address(ipaddress.ip_address(target), targetPort),
        length,
    )


def _address(host: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> Address:
    if isinstance(host, ipaddress.IPv6Address) and host.ipv4_mapped is not None:
        host = host.ipv4_mapped
    if port > 65535:
        raise BadHeader("no port in a PROXY line")
    return Address(str(host), port)


__all__ = ["MAXIMUM_HEADER", "MAXIMUM_LINE", "BadHeader", "ProxyHeader", "parseHeader"]
