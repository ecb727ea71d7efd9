"""
Folders of single clients, which are looked into before the common tree.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from filehub.errors import ConfigurationError, FileHubError
from filehub.paths import ROOT, VirtualPath
from filehub.protocols.tftp.patterns import PatternError
from filehub.protocols.tftp.rules import Caller, Replacement

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAC: Final = re.compile(r"[0-9a-f]{2}(?:[:-]?[0-9a-f]{2}){5}", re.IGNORECASE)


def parseMAC(text: str) -> str:
    """
    A hardware address as C{52-54-00-12-34-56}, from the usual spellings.

    @raise ConfigurationError: it is none.
    """
    if not _MAC.fullmatch(text):
        raise ConfigurationError(f"found {text!r}, expected an address such as 52:54:00:12:34:56")
    digits = re.sub("[:-]", "", text).lower()
    return "-".join(digits[at : at + 2] for at in range(0, 12, 2))


def parseRoot(text: str) -> Replacement:
    """
    A virtual path in which C{\\ip}, C{\\hex}, C{\\mac} and C{\\local} stand for the client.

    @raise ConfigurationError: it is none.
    """
    try:
        root = Replacement(text)
        if not text.startswith("/") or ".." in text.split("/") or root.groups:
            raise PatternError("it is not absolute, or has .. or groups")
        ROOT.join(text.replace("\\", "x"))
    except (PatternError, FileHubError) as error:
        raise ConfigurationError(
            rf"found {text!r}, expected a virtual path such as /clients/\mac: {error}"
        ) from None
    return root


@dataclass(frozen=True)
class ClientRoot:
    """
    Where the files of some clients are.

    @ivar root: its path, see L{parseRoot}.
    @ivar network: of the clients that it is for; L{None}: any.
    @ivar mac: of the one client that it is for; L{None}: any.
    """

    root: Replacement
    network: IPNetwork | None = None
    mac: str | None = None

    def rootFor(self, caller: Caller) -> VirtualPath | None:
        """The folder, if it is for this client and everything in its name is known."""
        if self.network is not None:
            address = ipaddress.ip_address(caller.host)
            if address.version != self.network.version or address not in self.network:
                return None
        if self.mac is not None and caller.mac != self.mac:
            return None
        text = self.root.expand(None, "", caller)
        return ROOT.join(text) if text is not None else None


def rootsFor(roots: Iterable[ClientRoot], caller: Caller) -> list[VirtualPath]:
    """The folders of a client, in the order in which they are looked into."""
    found = []
    for each in roots:
        root = each.rootFor(caller)
        if root is not None and root not in found:
            found.append(root)
    return found


def inOrder(roots: Iterable[ClientRoot]) -> tuple[ClientRoot, ...]:
    """What is meant for the fewest clients first: one machine, small networks, all."""

    def width(each: ClientRoot) -> tuple[bool, int]:
        return each.mac is None, -each.network.prefixlen if each.network is not None else 1

    return tuple(sorted(roots, key=width))
