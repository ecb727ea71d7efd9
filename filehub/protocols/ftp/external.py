"""
The address that the 227 reply tells: ours, or the one that clients of other networks
reach us at.

Behind address translation an operator names that address: once for all, or by the
network that a client comes from; as an address, or as a host name for lines whose
address changes.  Names are looked up by the reactor's resolver, never in the way of a
command, again and again; while that fails, the last answer holds.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from filehub.networks import Network, isWithin

#: Seconds between two lookups of a name.
LOOKUP_INTERVAL: Final = 60.0
#: As a target: our own address, whatever else is configured.
LOCAL: Final = "local"
#: As a target: the client is to connect to where its control connection goes.
UNSPECIFIED: Final = "0.0.0.0"

#: Where clients on our side of an address translation come from (RFC 1918, 3927).
_INSIDE: Final = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16"),
    )
)

#: Pairs of a client network and a target.
Rules = tuple[tuple[Network, str], ...]


def isAddress(target: str) -> bool:
    """Is this an IPv4 address, and no name?"""
    try:
        ipaddress.IPv4Address(target)
    except ValueError:
        return False
    return True


class ExternalAddresses:
    """
    A target is an IPv4 address, a host name, L{LOCAL} or L{UNSPECIFIED}.
    """

    _log = Logger()

    def __init__(
        self,
        default: str | None,
        rules: Rules = (),
        *,
        clock: Any = None,
        lookUp: Callable[[str], Deferred[str]] | None = None,
    ) -> None:
        """
        @param default: for clients that no rule names and that are not on our side of
            an address translation; L{None} is L{LOCAL}.
        @param rules: the most specific network decides.
        @param clock: an L{IReactorTime}, needed where there are names.
        @param lookUp: gives a name's IPv4 address; needed where there are names.
        """
        self._default = default
        self._rules = tuple(sorted(rules, key=lambda rule: -rule[0].prefixlen))
        self._lookUp = lookUp
        self._known: dict[str, str] = {}
        self._failing: set[str] = set()
        targets = [target for _, target in self._rules]
        if default is not None:
            targets.append(default)
        #: The host names among the targets.
        self.names = tuple(
            dict.fromkeys(each for each in targets if each != LOCAL and not isAddress(each))
        )
        self._loop = LoopingCall(self._lookUpAll)
        self._loop.clock = clock

    def start(self) -> None:
        """Begin to look names up, if there are any.  Idempotent."""
        if self.names and self._lookUp is not None and not self._loop.running:
            self._loop.start(LOOKUP_INTERVAL)

    def stop(self) -> None:
        """Look up no more.  Idempotent."""
        if self._loop.running:
            self._loop.stop()

    def addressFor(self, peer: str, local: str) -> str:
        """
        The IPv4 address at which this client reaches us.

        @param local: the address that it has reached us at already.
        """
        for network, target in self._rules:
            if isWithin(peer, (network,)):
                return self._resolved(target, local)
        default = self._default
        if default is None or default == UNSPECIFIED:
            return default or local
        return local if isWithin(peer, _INSIDE) else self._resolved(default, local)

    def _resolved(self, target: str, local: str) -> str:
        if target == LOCAL:
            return local
        return self._known.get(target, local) if target in self.names else target

    def _lookUpAll(self) -> None:
        # Not waited for: one name that takes long delays no other; and the next round
        # asks again for those that have not been answered.
        for name in self.names:
            if self._lookUp is not None:
                self._lookUp(name).addCallbacks(
                    self._found, self._notFound, callbackArgs=(name,), errbackArgs=(name,)
                )

    def _found(self, address: str, name: str) -> None:
        if not isAddress(address):
            self._complain(name, "no IPv4 address")
            return
        self._failing.discard(name)
        if self._known.get(name) != address:
            self._known[name] = address
            self._log.info("{name} is {address}", name=name, address=address)

    def _notFound(self, reason: Failure, name: str) -> None:
        self._complain(name, reason.getErrorMessage())

    def _complain(self, name: str, reason: str) -> None:
        if name not in self._failing:
            self._failing.add(name)
            self._log.warn(
                "the external address {name} cannot be looked up: {reason}; telling clients"
                " {address} until it can",
                name=name,
                reason=reason,
                address=self._known.get(name, "our own"),
            )


__all__ = [
    "LOCAL",
    "LOOKUP_INTERVAL",
    "UNSPECIFIED",
    "ExternalAddresses",
    "Rules",
    "isAddress",
]
