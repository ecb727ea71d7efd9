"""
How many processes serve, and what cannot be divided among them.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from filehub.config.quotas import quotasOf
from filehub.config.schema import Configuration

#: What complains: a text and a place in the configuration.
Complain = Callable[..., object]


def workerCount(values: Configuration) -> int:
    """How many processes the configuration asks for, on this machine."""
    workers = values.server.workers
    return workers if workers != "auto" else len(os.sched_getaffinity(0))


def checkWorkers(values: Configuration, complain: Complain) -> None:
    """Say what one process alone would have to know."""
    if values.server.workers == 1:
        return
    reasons = []
    if quotasOf(values) and values.server.state is None:
        reasons.append("quotas without server.state (where processes tell one another)")
    if values.tftp.multicast.addresses:
        reasons.append("tftp.multicast (one process has the groups)")
    if any(text.startswith("systemd") for text in values.tftp.listen):
        reasons.append("TFTP sockets of systemd (each process needs its own)")
    for reason in reasons:
        complain(
            f"found {values.server.workers!r} and {reason}, expected 1 with that",
            "server",
            "workers",
        )


__all__ = ["checkWorkers", "workerCount"]
