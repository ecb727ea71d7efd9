"""
Addresses the way PORT, EPRT, 227 and 229 write them.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

# [0-9] and not \d, which would take the digits of every script.
_SIX_NUMBERS: Final = re.compile(
    r"([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3})"
)
#: Where clients on our side of an address translation come from (RFC 1918, 3927).
_INSIDE: Final = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16"),
    )
)
_PORT: Final = re.compile(r"[0-9]{1,5}")

IPV4: Final = "1"
IPV6: Final = "2"


class UnsupportedFamily(ValueError):
    """An EPRT for a network protocol that is neither IPv4 nor IPv6 (522)."""


def parsePort(text: str) -> tuple[str, int]:
    """
    Host and port of C{h1,h2,h3,h4,p1,p2} (RFC 959 5.3.2).

    @raise ValueError: for anything else.
    """
    match = _SIX_NUMBERS.fullmatch(text)
    numbers = [int(each) for each in match.groups()] if match else [256]
    if max(numbers) > 255:
        raise ValueError("not an address")
    port = numbers[4] * 256 + numbers[5]
    if port == 0:
        raise ValueError("not a port")
    return ".".join(map(str, numbers[:4])), port


def parseExtendedPort(text: str) -> tuple[str, int]:
    """
    Host and port of C{|1|192.0.2.1|6275|} (RFC 2428 section 2), in canonical form.

    @raise UnsupportedFamily: neither C{1} nor C{2}.
    @raise ValueError: for anything else.
    """
    delimiter = text[:1]
    if not "!" <= delimiter <= "~":
        raise ValueError("not a delimiter")
    fields = text.split(delimiter)
    if len(fields) != 5 or fields[0] or fields[4]:
        raise ValueError("not three fields")
    family, host, port = fields[1:4]
    if family not in (IPV4, IPV6):
        raise UnsupportedFamily
    if not _PORT.fullmatch(port) or not 0 < int(port) < 65536 or "%" in host:
        raise ValueError("not an address")
    address = ipaddress.ip_address(host)
    if address.version != (4 if family == IPV4 else 6):
        raise ValueError("not an address of that family")
    return str(address), int(port)


def formatPort(host: str, port: int) -> str:
    """C{h1,h2,h3,h4,p1,p2}; C{host} is an IPv4 address."""
    return f"{host.replace('.', ',')},{port >> 8},{port & 255}"


def addressFor(peer: str, local: str, external: str | None) -> str:
    """
    The IPv4 address at which this client reaches us: the external one, but the local
    one for a client that is on our side of the address translation.
    """
    if external is None:
        return local
    address = ipaddress.ip_address(peer.partition("%")[0])
    return local if any(address in network for network in _INSIDE) else external


__all__ = [
    "IPV4",
    "IPV6",
    "UnsupportedFamily",
    "addressFor",
    "formatPort",
    "parseExtendedPort",
    "parsePort",
]
