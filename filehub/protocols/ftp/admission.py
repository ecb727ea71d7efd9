"""
Who comes in: addresses in our own form, and how the connection is set up.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IAddress, ISystemHandle, ITCPTransport
from twisted.internet.tcp import Connection

from filehub.credentials import Address
from filehub.errors import LimitExceeded
from filehub.interfaces import ISessionRegistry
from filehub.networks import canonicalHost
from filehub.protocols.ftp import replies
from filehub.protocols.ftp.data import DataChannels
from filehub.protocols.ftp.passive import PassivePorts
from filehub.protocols.ftp.settings import FTPSettings
from filehub.protocols.ftp.sockoptions import KEEPALIVE
from filehub.protocols.ftp.wire import encodeReply
from filehub.transfer.incoming import Incoming

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
#: The option that is set last: who has it has them all.
_LAST: Final = KEEPALIVE[-1]


def addressOf(address: IAddress) -> Address:
    """The form in which the rest of the program knows addresses."""
    host = getattr(address, "host", "127.0.0.1")
    try:
        if host.startswith("::ffff:"):
            host = canonicalHost(host)
    except ValueError:
        pass
    return Address(host, getattr(address, "port", 0))


def addressesOf(transport: Any) -> tuple[Address, Address, Address]:
    """
    The client, where it has connected to, and the address of this machine that data
    connections come to; behind a proxy the latter two differ.
    """
    if isinstance(transport, Incoming) and transport.peer is not None:
        local = transport.local or addressOf(transport.getHost())  # type: ignore[no-untyped-call]
        return transport.peer, local, local
    local = addressOf(transport.getHost())
    behind = getattr(transport, "socketHost", None)
    own = local if behind is None else addressOf(behind())
    return addressOf(transport.getPeer()), local, own


class Tuning:
    """The socket options of control connections, where those are over TCP."""

    __slots__ = ("_port",)

    def __init__(self) -> None:
        #: A port whose connections were seen to inherit them.
        self._port: Any = None

    def __call__(self, transport: Any) -> None:
        """This one is new."""
        port = getattr(transport, "server", None)
        if (port is None or port is not self._port) and _tune(transport):
            self._port = port


def _tune(transport: Any) -> bool:
    """Were they inherited from the listening socket, as they are from the second on?"""
    isTCP = ITCPTransport.providedBy(transport)
    handle: Any = transport.getHandle() if ISystemHandle.providedBy(transport) else None
    isBare = isinstance(handle, socket.socket) and handle.family in _FAMILIES
    if isTCP and isBare and handle.getsockopt(socket.IPPROTO_TCP, _LAST[0]) == _LAST[1]:
        return True
    if isTCP:
        # Without this every reply waits for the client's delayed acknowledgement.
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
    if isBare:
        _tuneSocket(handle)
        listening = getattr(getattr(transport, "server", None), "socket", None)
        if isTCP and isinstance(listening, socket.socket):
            # Those that come after it inherit all that the listening socket has.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            _tuneSocket(listening)
    return False


def _tuneSocket(sock: socket.socket) -> None:
    # Clients send the Telnet Synch of an ABOR, or all of it, as urgent data.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    for option, value in KEEPALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def reactorOf(transport: Any, usual: Any) -> Any:
    """
    What tells a connection that it can be read, and so its data connections.

    @param usual: that of transports that are not just a connection.
    """
    return transport.reactor if isinstance(transport, Connection) else usual


def dataChannels(
    session: FTPSession, ports: PassivePorts, violated: Callable[[str, Address], None]
) -> DataChannels:
    """
    The data connections of one session, as the settings want them.

    @param violated: told of kind and address of what no honest client does.
    """
    connection, listener = session.slot.connection, session.listener
    settings = listener.settings
    return DataChannels(
        session.channel.reactor,
        listener.deadlines,
        ports,
        local=connection.local,
        peer=connection.peer,
        openSeconds=settings.dataConnectTimeout,
        handshakeSeconds=settings.handshakeTimeout,
        stallSeconds=settings.stallTimeout,
        allowForeign=settings.allowFXP,
        proxies=settings.proxies,
        onViolation=violated,
    )


def turnAway(
    sessions: ISessionRegistry | None, settings: FTPSettings, peer: Address, local: Address
) -> bytes | None:
    """
    The last words to a client for whom there is no place, before anything is made of its
    connection; L{None}: it may come in, as far as the registry says so early.
    """
    ask = getattr(sessions, "turnAway", None)
    text: str | None = None if ask is None else ask("ftp", peer, local)
    if not text:
        return None if text is None else b""
    # Where TLS comes first, words in the clear are none.
    return b"" if settings.implicitTLS else encodeReply(replies.failure(LimitExceeded(text)))


__all__ = [
    "Tuning",
    "addressOf",
    "addressesOf",
    "dataChannels",
    "reactorOf",
    "turnAway",
]
