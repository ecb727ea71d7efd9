"""
UDP sockets that send to everybody who listens: IP multicast.
"""

from __future__ import annotations

import ipaddress
import socket
from struct import Struct
from typing import Final

from filehub.transfer.datagrams import Datagram, SocketAddress, bindInside, plainHost

#: C{struct ip_mreqn}: a group, a local address, the number of an interface.
_membership = Struct("=4s4si")
_NO_GROUP: Final = bytes(4)

GroupAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class GroupSocket(socket.socket):
    """
    Sends to a multicast group and to single peers from one and the same port, and hears
    what they answer.

    @ivar group: where to send what everybody is to hear.
    """

    group: SocketAddress

    @classmethod
    def open(
        cls,
        asked: Datagram,
        group: GroupAddress,
        port: int,
        *,
        hops: int,
        interface: int = 0,
        ports: tuple[int, int] | None = None,
    ) -> GroupSocket:
        """
        @param asked: what the first of the peers sent; all hear from the address of ours
            that it asked.
        @param group: of the same family as that address.
        @param hops: how many networks a packet may cross (TTL); 1: only the first.
        @param interface: its number; 0: the one over which C{asked} came.
        @param ports: where the local port comes from; any if L{None}.
        @raise OSError: no descriptor, or no port is left, or there is no such interface.
        """
        local = plainHost(asked.local)
        interface = interface or asked.interface
        family = socket.AF_INET6 if group.version == 6 else socket.AF_INET
        sock = cls(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            extra: tuple[int, ...] = ()
            if family == socket.AF_INET6:
                level = socket.IPPROTO_IPV6
                sock.setsockopt(level, socket.IPV6_MULTICAST_HOPS, hops)
                sock.setsockopt(level, socket.IPV6_MULTICAST_IF, interface)
                extra = (0, interface if local.startswith("fe80") else 0)
                sock.group = (str(group), port, 0, interface)
            else:
                level = socket.IPPROTO_IP
                sock.setsockopt(level, socket.IP_MULTICAST_TTL, hops)
                way = _membership.pack(_NO_GROUP, socket.inet_aton(local), interface)
                sock.setsockopt(level, socket.IP_MULTICAST_IF, way)
                sock.group = (str(group), port)
            bindInside(sock, local, extra, ports)
        except BaseException:
            sock.close()
            raise
        return sock


__all__ = ["GroupAddress", "GroupSocket"]
