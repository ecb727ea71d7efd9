"""
Handles and connections for the tests of this package.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from zope.interface import implementer

from filehub.attributes import FileAttributes, FileType
from filehub.errors import NoSpace
from filehub.interfaces import IDescriptorBacked, IReadHandle, IWriteHandle
from filehub.transfer.sockets import SocketStream

#: Bytes in which nothing repeats where a buffer or a step could end.
PATTERN = b"".join(struct.pack(">I", number * 2654435761 & 0xFFFFFFFF) for number in range(65536))


def content(length: int) -> bytes:
    """So many bytes; every place in them looks different."""
    return (PATTERN * (length // len(PATTERN) + 1))[:length]


def turns(seconds: float = 0.02) -> Deferred[None]:
    """Let the reactor see what has happened."""
    return deferLater(reactor, seconds, lambda: None)  # type: ignore[arg-type]


def socketPair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a TCP connection over loopback; both are blocking, with a timeout."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(1)
        client = socket.create_connection(listening.getsockname(), timeout=5)
        server, _ = listening.accept()
    return server, client


def streamPair() -> tuple[SocketStream, SocketStream]:
    """Two streams that are connected to each other."""
    ours, theirs = socketPair()
    return SocketStream(reactor, ours), SocketStream(reactor, theirs)


async def readAll(stream: SocketStream) -> bytes:
    """Everything up to the clean end."""
    parts = []
    while data := await stream.read(256 * 1024):
        parts.append(data)
    return b"".join(parts)


def reset(sock: socket.socket) -> None:
    """Close with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@implementer(IReadHandle)
class ReadHandle:
    """A file opened for reading, without a descriptor to lend."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self.descriptor).st_size
        self.reads = 0

    @property
    def attributes(self) -> FileAttributes:
        return FileAttributes(FileType.REGULAR, self.size, 0.0)

    async def readAt(self, offset: int, length: int) -> bytes:
        self.reads += 1
        # As from a worker: the answer comes later.
        await turns(0)
        return os.pread(self.descriptor, length, offset)

    async def close(self) -> None:
        os.close(self.descriptor)


@implementer(IDescriptorBacked)
class BackedReadHandle(ReadHandle):
    """The same with one."""

    leases = 0

    @contextmanager
    def lease(self) -> Iterator[int]:
        self.leases += 1
        try:
            yield self.descriptor
        finally:
            self.leases -= 1


@implementer(IWriteHandle)
class WriteHandle:
    """
    A file being written, without a descriptor to lend.

    @ivar room: C{writeAt} stores nothing beyond this offset.
    @ivar inFlight: writes that have begun and not ended.
    """

    def __init__(self, path: str, position: int = 0) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        self.position = position
        self.writes: list[int] = []
        self.room: int | None = None
        self.inFlight = 0
        self.delay = 0.0
        self.ended = ""

    async def writeAt(self, offset: int, data: bytes) -> None:
        self.writes.append(len(data))
        self.inFlight += 1
        try:
            await turns(self.delay)
        finally:
            self.inFlight -= 1
        if self.room is not None and offset + len(data) > self.room:
            raise NoSpace
        os.pwrite(self.descriptor, data, offset)

    async def commit(self) -> Any:
        self.ended = "commit"

    async def abort(self) -> None:
        self.ended = "abort"

    def stored(self) -> bytes:
        return os.pread(self.descriptor, os.fstat(self.descriptor).st_size, 0)

    def close(self) -> None:
        os.close(self.descriptor)


@implementer(IDescriptorBacked)
class BackedWriteHandle(WriteHandle):
    """The same with one."""

    leases = 0

    @contextmanager
    def lease(self) -> Iterator[int]:
        self.leases += 1
        try:
            yield self.descriptor
        finally:
            self.leases -= 1
