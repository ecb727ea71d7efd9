"""
Ports for tests.
"""

from __future__ import annotations

import contextlib
import random
import socket


def haveIPv6() -> bool:
    """Can sockets be bound to C{::1} here?"""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def freePort(kind: socket.SocketKind = socket.SOCK_STREAM, count: int = 1) -> int:
    """
    The first of C{count} consecutive ports that nothing on this machine is bound to at the
    moment, in either family, nor was bound to a moment ago (TIME_WAIT), and that no outgoing
    connection gets by chance before they are used.
    """
    families = [socket.AF_INET, socket.AF_INET6] if haveIPv6() else [socket.AF_INET]
    for _ in range(500):
        first = random.randrange(10_240, 32_000 - count)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    for family in families:
                        probe = stack.enter_context(socket.socket(family, kind))
                        if family == socket.AF_INET6:
                            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                        probe.bind(("", port))
            except OSError:
                continue
            return first
    raise AssertionError("no free port")


__all__ = ["freePort", "haveIPv6"]
