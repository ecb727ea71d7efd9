"""
What an operator decides about a TFTP listener.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import Final, Literal

from filehub.errors import ConfigurationError
from filehub.protocols.tftp.names import PLAIN_NAMES, NameSettings
from filehub.protocols.tftp.wire import MAXIMUM_BLKSIZE

WritePolicy = Literal["deny", "create", "overwrite"]

#: Source ports of services that answer whatever they get: a request that claims to
#: come from one of them is an attempt to make two servers talk to each other for
#: ever (CVE-2024-2169).  Ports from 1024 on are not listed, because firmware picks
#: its own among them.
REFUSED_SOURCE_PORTS: Final = frozenset(
    (0, 7, 9, 13, 17, 19, 37, 53, 67, 68, 69, 111, 123, 137, 138, 161, 162, 389, 427, 500, 514, 520)
)


#: One multicast address, or a network of them.
MulticastNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class MulticastSettings:
    """
    How one file goes to many clients at once (RFC 2090).

    @ivar networks: addresses of groups; clients of a family without any are served
        one by one.
    @ivar ports: first and last port that groups are sent to, inclusive.
    @ivar hops: how many networks a packet may cross; 1: only that of the server.
    @ivar interface: where groups are sent; empty: where the first client's request
        came from.
    @ivar maximumGroups: at the same time; above, clients are served one by one.
    @ivar maximumClients: of one group, likewise.
    """

    networks: tuple[MulticastNetwork, ...]
    ports: tuple[int, int] = (1758, 1758)
    hops: int = 1
    interface: str = ""
    maximumGroups: int = 16
    maximumClients: int = 250

    def __post_init__(self) -> None:
        """
        @raise ConfigurationError: a value that cannot work.
        """
        for network in self.networks:
            if not network.is_multicast:
                raise ConfigurationError(
                    f"TFTP multicast: expected addresses of groups, found {network}"
                )
        if not self.networks:
            raise ConfigurationError("TFTP multicast: expected at least one address")
        first, last = self.ports
        if not 1 <= first <= last <= 65535:
            raise ConfigurationError(
                f"TFTP multicast ports: expected 1 to 65535, lower end first, found {first}-{last}"
            )
        if not 1 <= self.hops <= 255:
            raise ConfigurationError(f"TFTP multicast hops: expected 1 to 255, found {self.hops}")


@dataclass(frozen=True, slots=True)
class TFTPSettings:
    """
    The defaults are those that boot the machines we know of.

    @ivar write: C{"deny"} refuses WRQ; C{"create"} takes new names only;
        C{"overwrite"} replaces files.  The account's permissions count as well.
    @ivar singlePort: answer from the listening port itself, for containers and
        address translation, instead of from a port for each transfer.
    @ivar portRange: first and last port for transfers, inclusive; L{None}: any.
    @ivar maximumBlksize: the largest block that is granted (octets).
    @ivar fitInterface: grant no blocks that the arrival interface would fragment.
    @ivar maximumWindow: the most blocks of a window that are granted.
    @ivar maximumInFlight: the most octets in a window, whatever was asked.
    @ivar names: how file names are read.
    @ivar answerBroadcast: answer requests to broadcast and multicast addresses
        (RFC 1123 4.2.3.5 says not to).
    @ivar initialTimeout: seconds until the first packet is repeated.
    @ivar minimumTimeout: the shortest time until anything is repeated, in seconds.
    @ivar maximumTimeout: the longest, where the client negotiates no C{timeout}.
    @ivar stall: give up after so many seconds without progress.
    @ivar linger: how long the last, unacknowledged packet of a download is repeated.
    @ivar dally: for how long a finished upload's last ACK is repeated on request.
    @ivar firstCopies: copies of the first packet before the peer has proved with
        one answer that its address is not forged.
    @ivar minimumRate: octets a second, on average over more than L{rateGrace}
        seconds, below which a client is not waited for.
    @ivar maximumTransfers: at the same time, in all.
    @ivar maximumUnproven: of them, those whose client has not answered yet; above, the
        oldest makes room for the newest.
    @ivar maximumTransfersPerClient: at the same time from one address.
    @ivar requestRate: unproven requests a second from one address, after
        L{requestBurst} at once.  A request counts until the client has answered.
    @ivar totalRequestRate: the same over all addresses together.
    @ivar refusedPorts: source ports whose requests are dropped.
    @ivar multicast: L{None}: every client is served by itself.
    """

    write: WritePolicy = "deny"
    singlePort: bool = False
    portRange: tuple[int, int] | None = None
    maximumBlksize: int = MAXIMUM_BLKSIZE
    fitInterface: bool = True
    maximumWindow: int = 64
    maximumInFlight: int = 1 << 20
    names: NameSettings = PLAIN_NAMES
    answerBroadcast: bool = False
    initialTimeout: float = 1.0
    minimumTimeout: float = 0.02
    maximumTimeout: float = 8.0
    stall: float = 60.0
    linger: float = 8.0
    dally: float = 3.0
    firstCopies: int = 4
    minimumRate: float = 256.0
    rateGrace: float = 120.0
    maximumTransfers: int = 1000
    maximumUnproven: int = 250
    maximumTransfersPerClient: int = 32
    requestRate: float = 20.0
    requestBurst: int = 100
    totalRequestRate: float = 2000.0
    totalRequestBurst: int = 4000
    refusedPorts: frozenset[int] = REFUSED_SOURCE_PORTS
    multicast: MulticastSettings | None = None

    def patient(self, stall: float | None) -> TFTPSettings:
        """The same for an account that says itself when to give up; L{None}: it does not."""
        return self if stall is None else replace(self, stall=stall)

    def __post_init__(self) -> None:
        """
        @raise ConfigurationError: a value that cannot work.
        """
        if self.write not in ("deny", "create", "overwrite"):
            raise ConfigurationError(
                f"TFTP write policy: expected deny, create or overwrite, found {self.write!r}"
            )
        if not 8 <= self.maximumBlksize <= MAXIMUM_BLKSIZE:
            raise ConfigurationError(
                f"TFTP block size: expected 8 to {MAXIMUM_BLKSIZE}, found {self.maximumBlksize}"
            )
        if not 1 <= self.maximumWindow <= 65535:
            raise ConfigurationError(
                f"TFTP window size: expected 1 to 65535, found {self.maximumWindow}"
            )
        if self.portRange is not None:
            first, last = self.portRange
            if not 1 <= first <= last <= 65535:
                raise ConfigurationError(
                    f"TFTP port range: expected 1 to 65535, lower end first, found {first}-{last}"
                )
