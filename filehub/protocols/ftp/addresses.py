"""
Addresses the way PORT, EPRT, 227 and 229 write them.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from filehub.networks import Networks, isWithin

# [0-9] and not \d, which would take the digits of every script.
_SIX_NUMBERS: Final = re.compile(
    r"([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3})"
)
_PORT: Final = re.compile(r"[0-9]{1,5}")

#: Who besides the client may be at the other end of its data connections (FXP): nobody,
#: any other machine, or those of these networks.
Foreign = bool | Networks

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


def isUnspecified(host: str) -> bool:
    """
    Is this C{0.0.0.0} or C{::}?  Some clients give it for an address that they do not
    know, or do not care to find out: they mean their own.
    """
    return ipaddress.ip_address(host).is_unspecified


def isForeignAllowed(host: str, allowed: Foreign) -> bool:
    """
    May this address, which is not the client's, take part in its transfers?  What is
    only reachable from here (loopback, link-local) has to be allowed by name: nobody
    else's server is there.
    """
    if isinstance(allowed, tuple):
        return isWithin(host, allowed)
    address = ipaddress.ip_address(host)
    return allowed and not (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address.is_reserved
    )


__all__ = [
    "IPV4",
    "IPV6",
    "Foreign",
    "UnsupportedFamily",
    "formatPort",
    "isForeignAllowed",
    "isUnspecified",
    "parseExtendedPort",
    "parsePort",
]
