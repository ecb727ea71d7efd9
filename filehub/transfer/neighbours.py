"""
Hardware addresses of machines on the same link, from the kernel's neighbour table
(ARP for IPv4, NDP for IPv6), by netlink: no file is opened, so it works in a chroot
and without privileges.
"""

from __future__ import annotations

import contextlib
import ipaddress
import math
import socket
import struct
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final

# Linux numbers: <linux/rtnetlink.h>, <linux/neighbour.h>.
_GET_NEIGHBOURS: Final = 30
_NEW_NEIGHBOUR: Final = 28
_DONE: Final = 3
_ERROR: Final = 2
_REQUEST_DUMP: Final = 0x301
_ADDRESS: Final = 1
_HARDWARE: Final = 2

_header = struct.Struct("=IHHII")
_entry = struct.Struct("=B3xiHBB")
_attribute = struct.Struct("=HH")

#: Entries that are read at most; the kernel's own limit is lower by default.
_MAXIMUM_ENTRIES: Final = 20_000
#: Strangers that are remembered.
_REMEMBERED: Final = 1024


def parseNeighbours(data: bytes) -> tuple[dict[str, str], bool]:
    """
    What one datagram of the kernel's answer says.

    @return: hardware address by IP address, and whether that was the last one.
    """
    found: dict[str, str] = {}
    while len(data) >= _header.size:
        length, kind, _, _, _ = _header.unpack_from(data)
        if kind in (_DONE, _ERROR) or not _header.size <= length <= len(data):
            return found, True
        if kind == _NEW_NEIGHBOUR and length >= _header.size + _entry.size:
            values = dict(_attributes(data[_header.size + _entry.size : length]))
            address, hardware = values.get(_ADDRESS, b""), values.get(_HARDWARE, b"")
            if len(address) in (4, 16) and len(hardware) == 6 and any(hardware):
                found[str(ipaddress.ip_address(address))] = hardware.hex(":")
        data = data[(length + 3) & ~3 :]
    return found, False


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _attribute.size:
        length, kind = _attribute.unpack_from(data)
        if not _attribute.size <= length <= len(data):
            return
        yield kind, data[_attribute.size : length]
        data = data[(length + 3) & ~3 :]


def readNeighbours() -> dict[str, str]:
    """
    The whole table: hardware addresses (C{52:54:00:12:34:56}) by IP addresses.  The
    kernel answers from memory, at once; where it does not answer, the table is empty.
    """
    found: dict[str, str] = {}
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as sock,
    ):
        sock.setblocking(False)
        body = _entry.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        sock.send(
            _header.pack(_header.size + len(body), _GET_NEIGHBOURS, _REQUEST_DUMP, 1, 0) + body
        )
        over = False
        while not over and len(found) < _MAXIMUM_ENTRIES:
            some, over = parseNeighbours(sock.recv(65536))
            found |= some
    return found


class Neighbours:
    """
    The neighbour table, read when somebody asks who is not in what was read last.  A
    machine that has just come is found; strangers who are in no table do not make us
    read it all the time.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        read: Callable[[], dict[str, str]] = readNeighbours,
        *,
        lifetime: float = 30.0,
        pause: float = 0.5,
        rate: float = 100.0,
        burst: float = 500.0,
    ) -> None:
        """
        @param seconds: a clock.
        @param lifetime: seconds for which what was read is believed.
        @param pause: seconds until the table is read again for one who was not in it.
        @param rate: readings a second, after C{burst} of them; above, whoever is not in
            the last one is unknown.
        """
        self._seconds = seconds
        self._read = read
        self._lifetime = lifetime
        self._pause = pause
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._table: dict[str, str] = {}
        self._readAt = -math.inf
        #: When they were looked for in vain, oldest first.
        self._missed: OrderedDict[str, float] = OrderedDict()

    def find(self, host: str) -> str | None:
        """The hardware address, C{52:54:00:12:34:56}, or L{None} if it is no neighbour."""
        host = host.partition("%")[0]
        now = self._seconds()
        found = self._table.get(host)
        if found is not None and now - self._readAt < self._lifetime:
            return found
        if found is None and now - self._missed.get(host, -math.inf) < self._pause:
            return None
        if self._mayRead(now):
            self._table = self._read()
            self._readAt = now
            found = self._table.get(host)
        if found is None:
            self._missed[host] = now
            self._missed.move_to_end(host)
            if len(self._missed) > _REMEMBERED:
                self._missed.popitem(last=False)
        return found

    def _mayRead(self, now: float) -> bool:
        since = max(0.0, now - self._readAt)
        left = min(self._burst, self._left + since * self._rate)
        if left < 1:
            return False
        self._left = left - 1
        return True
