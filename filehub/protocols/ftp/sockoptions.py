"""
What the sockets of data connections are told.
"""

from __future__ import annotations

import socket
import struct
from typing import Final

from filehub.protocols.ftp.passive import socketAddress

_RESET: Final = struct.pack("ii", 1, 0)
#: Let connect() choose the source port (linux/in.h); bind() would have to find one
#: that is free for every destination.
_IP_BIND_ADDRESS_NO_PORT: Final = 24

#: TCP keepalive: of a download whose client is gone nothing else is heard, and address
#: translators forget silent connections.  Seconds, seconds, probes.
KEEPALIVE: Final = (
    (socket.TCP_KEEPIDLE, 60),
    (socket.TCP_KEEPINTVL, 15),
    (socket.TCP_KEEPCNT, 5),
)


def reset(sock: socket.socket) -> None:
    """Close it at once; the peer gets no clean end."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()


def tune(sock: socket.socket) -> None:
    """Options of every data connection that lasts."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in KEEPALIVE:
        sock.setsockopt(socket.IPPROTO_TCP, option, value)


def bindSource(sock: socket.socket, host: str, port: int) -> None:
    """
    Come from the address that the client talks to, so that its firewall agrees.

    @param port: where to come from, if it can be had; 0 for any.
    @raise OSError: the address is not ours.
    """
    if port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(socketAddress(host, port)[1])
            return
        except OSError:
            # In use towards this peer, or not for us: any port is better than none.
            pass
    sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind(socketAddress(host, 0)[1])


__all__ = ["KEEPALIVE", "bindSource", "reset", "tune"]
