"""
Who comes in: addresses in our own form, how the connection is set up, and places where
nobody counts them.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.interfaces import IAddress, ISystemHandle, ITCPTransport

from filehub.credentials import Address, ConnectionInfo
from filehub.interfaces import IFileAccount
from filehub.networks import canonicalHost
from filehub.protocols.ftp.sockoptions import KEEPALIVE


def addressOf(address: IAddress) -> Address:
    """The form in which the rest of the program knows addresses."""
    host = getattr(address, "host", "127.0.0.1")
    try:
        if host.startswith("::ffff:"):
            host = canonicalHost(host)
    except ValueError:
        pass
    return Address(host, getattr(address, "port", 0))


def tune(transport: Any) -> None:
    """The socket options of a control connection, if it is one over TCP."""
    if ITCPTransport.providedBy(transport):
        # Without this every reply waits for the client's delayed acknowledgement.
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
    if ISystemHandle.providedBy(transport):
        handle = transport.getHandle()
        if isinstance(handle, socket.socket) and handle.family in (
            socket.AF_INET,
            socket.AF_INET6,
        ):
            # Clients send the Telnet Synch of an ABOR, or all of it, as urgent data.
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
            for option, value in KEEPALIVE:
                handle.setsockopt(socket.IPPROTO_TCP, option, value)


class UncountedSlot:
    """A place in a server without limits; see L{ISessionSlot}."""

    __slots__ = ("connection",)

    def __init__(self, connection: ConnectionInfo) -> None:
        self.connection = connection

    def secured(self) -> None:
        """The control channel is encrypted now."""
        known = self.connection
        self.connection = ConnectionInfo(
            known.protocol, known.sessionId, known.peer, known.local, True
        )

    def loggedIn(self, account: IFileAccount, session: object = None) -> None:
        """There are no limits."""

    def loggedOut(self) -> None:
        """There are no limits."""

    def pace(self) -> None:
        """See L{ISessionSlot.pace}."""

    def doing(self, activity: str) -> None:
        """Nobody looks."""

    def leave(self, reason: str) -> None:
        """There are no limits."""


__all__ = ["UncountedSlot", "addressOf", "tune"]
