"""
Addresses and the networks that they belong to.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Generic, TypeVar

from filehub.errors import ConfigurationError

_T = TypeVar("_T")

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
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


@lru_cache(maxsize=4096)
def addressOf(host: str) -> IPAddress | None:
    """
    The address of a peer; L{None} for UNIX sockets, or whatever an embedder's transport
    calls its peer.
    """
    try:
        return ipaddress.ip_address(canonicalHost(host))
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def holdingOf(host: str) -> object:
    """
    What one client is taken to own, to count it by: an IPv4 address, an IPv6 /64, or a
    name that is no address.
    """
    address = addressOf(host)
    if isinstance(address, ipaddress.IPv6Address):
        return int(address) >> 64
    # Text: whoever counts by it looks it up, and addresses take longer for that.
    return host if address is None else str(address)


def isWithin(host: str, networks: Networks) -> bool:
    """Does one of these networks have this address?  What is no address is in none."""
    address = addressOf(host)
    if address is None:
        return False
    # An address of the other version is in no network, says the standard library.
    return any(address in network for network in networks)


class NetworkMap(Generic[_T]):
    """
    Values by network, found by address: as many look-ups as there are lengths of
    prefixes, however many networks there are.
    """

    def __init__(self) -> None:
        self.isEmpty = True
        self._values: dict[Network, _T] = {}
        self._keys: dict[tuple[int, int, int], Network] = {}
        #: Version and length of prefix, and how many networks have them.
        self._lengths: Counter[tuple[int, int]] = Counter()

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, network: object) -> bool:
        return network in self._values

    def __setitem__(self, network: Network, value: _T) -> None:
        if network not in self._values:
            self._lengths[network.version, network.prefixlen] += 1
            self._keys[_keyOf(network.network_address, network.prefixlen)] = network
        self._values[network] = value
        self.isEmpty = False

    def pop(self, network: Network) -> _T | None:
        """Take it out, if it is there."""
        if network not in self._values:
            return None
        kind = network.version, network.prefixlen
        self._lengths[kind] -= 1
        if not self._lengths[kind]:
            del self._lengths[kind]
        del self._keys[_keyOf(network.network_address, network.prefixlen)]
        found = self._values.pop(network)
        self.isEmpty = not self._values
        return found

    def values(self) -> list[_T]:
        """All of them."""
        return list(self._values.values())

    def __iter__(self) -> Iterator[Network]:
        return iter(list(self._values))

    def find(self, address: IPAddress) -> _T | None:
        """The value of a network that has this address."""
        for version, length in self._lengths:
            if version == address.version:
                network = self._keys.get(_keyOf(address, length))
                if network is not None:
                    return self._values[network]
        return None


def _keyOf(address: IPAddress, length: int) -> tuple[int, int, int]:
    return address.version, length, int(address) >> (address.max_prefixlen - length)


def readNetworks(path: Path) -> Networks:
    """
    A file with an address or network on each line; what follows C{#} is a comment.
    Blocks.

    @raise ConfigurationError: it cannot be read, or has a line that is something else.
    """
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    found: list[Network] = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError as error:
            raise ConfigurationError(
                f"{path}:{number}: found {text[:80]!r}, expected an address or network: {error}"
            ) from None
    return tuple(found)


__all__ = [
    "IPAddress",
    "Network",
    "NetworkMap",
    "Networks",
    "addressOf",
    "canonicalHost",
    "holdingOf",
    "isWithin",
    "readNetworks",
]
