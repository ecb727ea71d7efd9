"""
UDP sockets for file bytes: who was asked, from where, and whole windows at once.

A listening socket tells to which of our addresses and over which interface each
datagram came, so that the answer leaves from there (C{IP_PKTINFO}).  A peer's socket
is connected: the kernel drops what strangers send, and reports refusals.  A window of
blocks leaves in one system call where the kernel cuts it (C{UDP_SEGMENT}), else one
by one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import ipaddress
import random
import socket
from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from typing import Any, Final, NamedTuple

from filehub.credentials import Address

Buffer = bytes | memoryview
#: As the socket module has it: (host, port) or (host, port, flow, scope).
SocketAddress = tuple[Any, ...]

# Linux numbers that the socket module of Python 3.11 does not name.
_IP_PKTINFO: Final = 8
_IP_MTU_DISCOVER: Final = 10
_IP_PMTUDISC_DONT: Final = 0
_IPV6_MTU_DISCOVER: Final = 23
_SOL_UDP: Final = 17
_UDP_SEGMENT: Final = 103
_SIOCGIFMTU: Final = 0x8921

_pktinfo4 = Struct("=I4s4s")
_pktinfo6 = Struct("=16sI")
_size = Struct("=H")
_interfaceRequest = Struct("16si16x")

#: What the kernel cuts in one call: this many segments (C{UDP_MAX_SEGMENTS} of older
#: kernels), and no more bytes than an IP packet could have.
_MAXIMUM_SEGMENTS: Final = 64
_MAXIMUM_BURST: Final = 65000
#: Packets that may have come late to a socket that is used again.
_REMNANTS: Final = 16
#: The kernel, or the network card's driver, does not cut datagrams of this size.
_CANNOT_SEGMENT: Final = frozenset((errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.EOPNOTSUPP))


class Datagram(NamedTuple):
    """
    One datagram and how it came.

    @ivar peer: the sender, as the socket module has it.
    @ivar local: our address that it was sent to; the reply should leave from it.
    @ivar interface: the number of the interface it came over, or 0.
    @ivar direct: it was sent to us alone, not to a broadcast or multicast group.
    """

    data: bytes
    peer: SocketAddress
    local: str
    interface: int
    direct: bool


@lru_cache(256)
def _text4(address: bytes) -> str:
    """The text of an address of ours."""
    return socket.inet_ntop(socket.AF_INET, address)


def plainHost(host: str) -> str:
    """The address as text without what sockets add to it: IPv4 in IPv6, scopes."""
    host = host.partition("%")[0]
    return host[7:] if host.startswith("::ffff:") and "." in host else host


def addressOf(peer: SocketAddress) -> Address:
    """The sender's address for people and policies."""
    host = peer[0]
    return Address(plainHost(host) if ":" in host else host, peer[1])


def interfaceMTU(index: int) -> int | None:
    """The MTU of an interface in octets; L{None} if it is not known."""
    try:
        name = socket.if_indextoname(index).encode()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
            answer = fcntl.ioctl(probe, _SIOCGIFMTU, _interfaceRequest.pack(name, 0))
    except OSError:
        return None
    mtu: int = _interfaceRequest.unpack(answer)[1]
    return mtu


def isMulticast(host: str) -> bool:
    """Is this the address of a group?"""
    try:
        return ipaddress.ip_address(plainHost(host)).is_multicast
    except ValueError:
        return False


def _allowFragments(sock: socket.SocketType) -> None:
    """
    Let routers cut what is too long for a link: lost ICMP messages must not stall a
    boot, and the block size was fitted to the interface already.
    """
    with contextlib.suppress(OSError):
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _IP_PMTUDISC_DONT)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DONT)


class ListeningSocket:
    """A bound UDP socket that knows for each datagram which address it was sent to."""

    def __init__(self, sock: socket.socket) -> None:
        """
        @param sock: bound; ours from now on.
        """
        sock.setblocking(False)
        self._socket = sock
        # Each look at the socket's own makes an enumeration's member.
        self._family = sock.family
        self._ancillarySize = socket.CMSG_SPACE(_pktinfo4.size) + socket.CMSG_SPACE(_pktinfo6.size)
        self._host = plainHost(sock.getsockname()[0])
        self._segmentation = True
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        _allowFragments(sock)

    @classmethod
    def bind(cls, host: str, port: int, *, shared: bool = False) -> ListeningSocket:
        """
        @param host: an IP address; empty for every IPv4 address.
        @param shared: others of this user may bind the same port; each client's packets
            reach one of them, always the same.
        @raise OSError: the address is in use, or not ours, or may not be bound.
        """
        family, _, _, _, where = socket.getaddrinfo(
            host or "0.0.0.0",
            port,
            type=socket.SOCK_DGRAM,
            flags=socket.AI_NUMERICHOST | socket.AI_PASSIVE,
        )[0]
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            # A burst of requests waits here while the first are being served.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            if shared:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(where)
            return cls(sock)
        except BaseException:
            sock.close()
            raise

    def fileno(self) -> int:
        """The descriptor, for the reactor; -1 after L{close}."""
        return self._socket.fileno()

    def duplicate(self) -> ListeningSocket:
        """Another descriptor of the same socket."""
        return ListeningSocket(self._socket.dup())

    @property
    def address(self) -> Address:
        """Where it is bound."""
        name = self._socket.getsockname()
        return Address(plainHost(name[0]), name[1])

    def close(self) -> None:
        """Idempotent."""
        self._socket.close()

    def receive(self, size: int) -> Datagram | None:
        """
        The next datagram, cut to C{size} octets; L{None} if there is none now.
        """
        try:
            data, ancillary, _, peer = self._socket.recvmsg(size, self._ancillarySize)
        except OSError:
            # Nothing there, or an error that an earlier reply met on its way.
            return None
        for level, kind, info in ancillary:
            if kind == _IP_PKTINFO and level == socket.IPPROTO_IP:
                interface, reply, sentTo = _pktinfo4.unpack(info)
                return Datagram(data, peer, _text4(reply), interface, reply == sentTo)
            if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
                raw, interface = _pktinfo6.unpack(info)
                local = socket.inet_ntop(socket.AF_INET6, raw)
                return Datagram(data, peer, local, interface, not isMulticast(local))
        return Datagram(data, peer, self._host, 0, True)

    def send(self, parts: Sequence[Buffer], to: Datagram, segment: int = 0) -> None:
        """
        Answer from the address that was asked.

        @param segment: cut it into datagrams of so many octets.
        @raise OSError: it cannot be sent now, or not at all.
        """
        self._socket.sendmsg(parts, self._replyFrom(to, segment), 0, to.peer)

    def sendBlocks(self, parts: Sequence[Buffer], segment: int, to: Datagram) -> int:
        """See L{PeerSocket.sendBlocks}."""
        if self._segmentation:
            try:
                return _inBursts(parts, segment, lambda each: self.send(each, to, segment))
            except OSError as error:
                if error.errno not in _CANNOT_SEGMENT:
                    return len(parts) // 2
                self._segmentation = False
        return _oneByOne(parts, lambda each: self.send(each, to))

    def connect(
        self,
        to: Datagram,
        ports: tuple[int, int] | None = None,
        source: random.Random | None = None,
        *,
        large: bool = True,
    ) -> PeerSocket:
        """
        A socket of its own for the sender of C{to}, bound to the address it asked.

        @param large: datagrams may be larger than what every link carries (RFC 791:
            576 octets).
        @param ports: where the local port comes from; any if L{None}.
        @param source: of random numbers; the operating system's if L{None}.
        @raise OSError: no descriptor, or no port is left.
        """
        family, local, peer = self._wayTo(to)
        extra: tuple[int, ...] = ()
        if family == socket.AF_INET6:
            extra = (0, to.interface if local.startswith("fe80") else 0)
        sock = PeerSocket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        try:
            if large:
                _allowFragments(sock)
            if ports is None:
                sock.bind((local, 0, *extra))
            else:
                bindInside(sock, local, extra, ports, source)
            sock.connect(peer)
        except BaseException:
            sock.close()
            raise
        return sock

    def reconnect(self, sock: PeerSocket, to: Datagram, *, large: bool) -> bool:
        """
        Let a socket that L{connect} made serve another port of the same client, which
        does not know of it yet.

        @return: False: it cannot be used any more.
        """
        try:
            sock.connect(to.peer if self._family == socket.AF_INET else self._wayTo(to)[2])
        except OSError:
            return False
        if large:
            _allowFragments(sock)
        # From now on nothing comes from the last one; what has come is read away.
        for _ in range(_REMNANTS):
            try:
                sock.recv(1)
            except BlockingIOError:
                return True
            except OSError:
                # An error that an earlier packet met on its way.
                continue
        return False

    def _wayTo(self, to: Datagram) -> tuple[int, str, SocketAddress]:
        """Family, address of ours and address of the peer, for a socket of its own."""
        family, local, peer = self._family, to.local, to.peer
        if family == socket.AF_INET6 and plainHost(peer[0]) != peer[0].partition("%")[0]:
            # IPv4 over a socket for both families.
            return socket.AF_INET, plainHost(local), (plainHost(peer[0]), peer[1])
        return family, local, peer

    def _replyFrom(self, to: Datagram, segment: int) -> list[tuple[int, int, bytes]]:
        ancillary: list[tuple[int, int, bytes]] = []
        if self._family == socket.AF_INET6:
            raw = socket.inet_pton(socket.AF_INET6, to.local)
            # The interface matters for link-local addresses only.
            scope = to.interface if raw[:2] == b"\xfe\x80" else 0
            info = _pktinfo6.pack(raw, scope)
            ancillary.append((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info))
        else:
            raw = socket.inet_pton(socket.AF_INET, to.local)
            ancillary.append((socket.IPPROTO_IP, _IP_PKTINFO, _pktinfo4.pack(0, raw, raw)))
        if segment:
            ancillary.append((_SOL_UDP, _UDP_SEGMENT, _size.pack(segment)))
        return ancillary


class PeerSocket(socket.SocketType):
    """
    A connected UDP socket.  C{send} and C{recv} are the kernel's own, and so is all the
    rest: each small file takes a new one.
    """

    segmentation = True

    def sendBlocks(self, parts: Sequence[Buffer], segment: int) -> int:
        """
        Send datagrams made of two parts each, header and payload.

        @param segment: the length of each datagram but the last, which may be
            shorter.
        @return: how many the kernel took; fewer than given when its buffer is full.
            Those that it lost for other reasons count as taken.
        @raise ConnectionRefusedError: nobody listens there any more.
        """
        if self.segmentation:
            cut = [(_SOL_UDP, _UDP_SEGMENT, _size.pack(segment))]
            try:
                return _inBursts(parts, segment, lambda each: self.sendmsg(each, cut))
            except ConnectionRefusedError:
                raise
            except OSError as error:
                if error.errno not in _CANNOT_SEGMENT:
                    return len(parts) // 2
                self.segmentation = False
        return _oneByOne(parts, self.sendmsg)

    def growBuffers(self, octets: int) -> None:
        """Make room for so many octets that arrive at once; as far as allowed."""
        with contextlib.suppress(OSError):
            self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)


def _inBursts(parts: Sequence[Buffer], segment: int, send: Any) -> int:
    """Send as many datagrams as go into one call, and again; how many were taken."""
    most = 2 * max(1, min(_MAXIMUM_SEGMENTS, _MAXIMUM_BURST // segment))
    for start in range(0, len(parts), most):
        try:
            send(parts[start : start + most])
        except BlockingIOError:
            return start // 2
    return len(parts) // 2


def _oneByOne(parts: Sequence[Buffer], send: Any) -> int:
    for start in range(0, len(parts), 2):
        try:
            send(parts[start : start + 2])
        except BlockingIOError:
            return start // 2
        except ConnectionRefusedError:
            raise
        except OSError:
            # Lost, as packets are: the peer, or the timer, asks for it again.
            continue
    return len(parts) // 2


def bindInside(
    sock: socket.SocketType,
    host: str,
    extra: tuple[int, ...],
    ports: tuple[int, int] | None,
    source: random.Random | None = None,
) -> None:
    """
    Bind to a port of the range: a random one, or else the next that is free.

    @param extra: what follows host and port in an address of the socket's family.
    @param source: of random numbers; the operating system's if L{None}.
    @raise OSError: there is none.
    """
    if ports is None:
        sock.bind((host, 0, *extra))
        return
    first, last = ports
    count = last - first + 1
    start = (source or random.SystemRandom()).randrange(count)
    for step in range(count):
        try:
            sock.bind((host, first + (start + step) % count, *extra))
            return
        except OSError as error:
            if error.errno != errno.EADDRINUSE or step == count - 1:
                raise


__all__ = [
    "Datagram",
    "ListeningSocket",
    "PeerSocket",
    "SocketAddress",
    "addressOf",
    "bindInside",
    "interfaceMTU",
    "isMulticast",
    "plainHost",
]
