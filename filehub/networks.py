"""
Addresses and the networks that they belong to.
"""

from __future__ import annotations

import ipaddress

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Networks = tuple[Network, ...]


def canonicalHost(host: str) -> str:
    """
    An IP address in the one form that can be compared: IPv4-mapped IPv6 as IPv4,
    IPv6 without a zone.

    @raise ValueError: not an IP address.
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)


def isWithin(host: str, networks: Networks) -> bool:
    """Does one of these networks have this address?  What is no address is in none."""
    try:
        address = ipaddress.ip_address(canonicalHost(host))
    except ValueError:
        return False
    # An address of the other version is in no network, says the standard library.
    return any(address in network for network in networks)


__all__ = ["Network", "Networks", "canonicalHost", "isWithin"]
