"""
Who comes in: addresses in our own form.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IAddress

from filehub.credentials import Address


def addressOf(address: IAddress) -> Address:
    """
    The address of a transport's end; of one that has none, such as a UNIX socket, a
    name in its place.
    """
    known: Any = address
    host, port = getattr(known, "host", None), getattr(known, "port", None)
    if host is None or port is None:
        return Address(str(getattr(known, "name", None) or "local"), 0)
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    host = str(host)
    return Address(host.removeprefix("::ffff:") if "." in host else host, int(port))


__all__ = ["addressOf"]
