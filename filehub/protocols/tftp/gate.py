"""
Who may begin a transfer now: limits on requests from addresses that may be forged.

A request costs its sender nothing and makes us send up to four packets to whatever
address it claims (reflection).  So requests are counted until the client has answered
once; an honest client never notices, however many transfers it does.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

#: Addresses that are remembered; the one that asked longest ago is forgotten first.
_MAXIMUM_SOURCES: Final = 10_000


class TokenBucket:
    """Allows C{rate} events a second, and C{burst} at once after a quiet time."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, now: float) -> bool:
        """Use one token, if there is one."""
        if now > self._at:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def giveBack(self) -> None:
        """The event did not count after all."""
        self._tokens = min(self._burst, self._tokens + 1)


def prefixOf(host: str) -> str:
    """What counts as one source: an IPv4 address, or an IPv6 network of 64 bits."""
    if ":" not in host:
        return host
    head, gap, tail = host.partition("::")
    groups = head.split(":") if head else []
    if gap:
        last = tail.split(":") if tail else []
        groups += ["0"] * (8 - len(groups) - len(last)) + last
    return ":".join(groups[:4])


def isLoopback(host: str) -> bool:
    """This machine itself, whose addresses nobody else can use."""
    return host.startswith("127.") or host == "::1"


class RequestGate:
    """Token buckets for requests: one for each source, and one for all together."""

    def __init__(
        self, rate: float, burst: float, totalRate: float, totalBurst: float, now: float
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._total = TokenBucket(totalRate, totalBurst, now)
        self._sources: OrderedDict[str, TokenBucket] = OrderedDict()

    def admit(self, host: str, now: float) -> bool:
        """Whether a request from this address may be looked at; counts it."""
        if not isLoopback(host):
            prefix = prefixOf(host)
            bucket = self._sources.get(prefix)
            if bucket is None:
                bucket = self._sources[prefix] = TokenBucket(self._rate, self._burst, now)
                if len(self._sources) > _MAXIMUM_SOURCES:
                    self._sources.popitem(last=False)
            else:
                self._sources.move_to_end(prefix)
            if not bucket.take(now):
                return False
        return self._total.take(now)

    def proved(self, host: str) -> None:
        """A client has answered: its request is not counted any more."""
        self._total.giveBack()
        if not self._sources:
            return
        bucket = self._sources.get(prefixOf(host))
        if bucket is not None:
            bucket.giveBack()
