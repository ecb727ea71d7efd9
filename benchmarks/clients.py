"""
Clients that cost little, so that the server is what is measured.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable
from typing import Final, Self

#: Bytes taken or given in one call.
STEP: Final = 1 << 20
#: Seconds without an answer.
PATIENCE: Final = 60.0


class FTP:
    """One session; data connections are passive (PASV)."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self._expect(b"220")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def login(self) -> Self:
        """As C{bench}, with TYPE I."""
        self.say("USER bench", b"331")
        self.say("PASS bench", b"230")
        self.say("TYPE I", b"200")
        return self

    def say(self, line: str, code: bytes) -> bytes:
        """
        Send a command and return the last line of its reply.

        @raise RuntimeError: it is another one.
        """
        self._socket.sendall(line.encode() + b"\r\n")
        return self._expect(code)

    def retrieve(self, line: str) -> int:
        """How many bytes a command brings; they are dropped in the kernel."""
        with self._data() as data:
            self.say(line, b"150")
            total = 0
            # MSG_TRUNC takes bytes from a TCP socket without copying them.
            while taken := len(data.recv(1, socket.MSG_PEEK)):
                taken = data.recv_into(_SINK, STEP, socket.MSG_TRUNC)
                total += taken
        self._expect(b"226")
        return total

    def firstByte(self, line: str, clock: Iterable[float]) -> tuple[float, int]:
        """The time when the first byte of data has come, and how many come in all."""
        moments = iter(clock)
        with self._data() as data:
            self.say(line, b"150")
            data.recv(1, socket.MSG_PEEK)
            first = next(moments)
            total = 0
            while taken := data.recv_into(_SINK):
                total += taken
        self._expect(b"226")
        return first, total

    def store(self, line: str, content: bytes, times: int = 1) -> None:
        """Give a command the same bytes so many times."""
        with self._data() as data:
            self.say(line, b"150")
            for _ in range(times):
                data.sendall(content)
        self._expect(b"226")

    def _data(self) -> socket.socket:
        numbers = self.say("PASV", b"227").rpartition(b"(")[2].partition(b")")[0].split(b",")
        port = int(numbers[4]) * 256 + int(numbers[5])
        return socket.create_connection(("127.0.0.1", port), PATIENCE)

    def _expect(self, code: bytes) -> bytes:
        while True:
            line, found, rest = self._buffer.partition(b"\r\n")
            if not found:
                received = self._socket.recv(65536)
                if not received:
                    raise RuntimeError("the server closed the connection")
                self._buffer += received
                continue
            self._buffer = rest
            if line[3:4] == b" " and line[:3].isdigit():
                # Some say 125 where others say 150.
                if line[:3] != code and not (code == b"150" and line[:3] == b"125"):
                    raise RuntimeError(f"expected {code!r}, found {line!r}")
                return line


_SINK: Final = bytearray(STEP)


class TFTP:
    """Transfers over UDP, one after the other."""

    def __init__(self, port: int) -> None:
        self._server = ("127.0.0.1", port)

    def read(self, name: str, blksize: int, window: int = 1) -> int:
        """
        Read a file; returns its length.

        @raise RuntimeError: the server answers with an error, or not at all.
        """
        with self._socket() as data:
            data.sendto(_request(1, name, blksize, window), self._server)
            packet, peer = data.recvfrom(65536)
            data.connect(peer)
            buffer = bytearray(blksize + 4)
            total, block, unacknowledged = 0, 0, 0
            if packet[:2] == b"\0\6":
                data.send(b"\0\4\0\0")
                packet = b""
            while True:
                if packet:
                    kind, number = struct.unpack_from("!HH", packet)
                    size = len(packet) - 4
                else:
                    length = data.recv_into(buffer)
                    kind, number = struct.unpack_from("!HH", buffer)
                    size = length - 4
                packet = b""
                if kind != 3:
                    raise RuntimeError(f"found {bytes(buffer[:60])!r}")
                if number != (block + 1) & 0xFFFF:
                    continue
                block, total, unacknowledged = number, total + size, unacknowledged + 1
                if unacknowledged == window or size < blksize:
                    data.send(struct.pack("!HH", 4, block))
                    unacknowledged = 0
                if size < blksize:
                    return total

    def write(self, name: str, size: int, blksize: int) -> None:
        """
        Write a file of zeros.

        @raise RuntimeError: the server answers with an error, or not at all.
        """
        with self._socket() as data:
            data.sendto(_request(2, name, blksize, 1), self._server)
            packet, peer = data.recvfrom(65536)
            data.connect(peer)
            content, block = bytes(blksize), 0
            while packet[:2] in (b"\0\4", b"\0\6"):
                if packet[:2] == b"\0\4" and struct.unpack_from("!H", packet, 2)[0] != block:
                    packet = data.recv(65536)
                    continue
                if size < 0:
                    return
                block = (block + 1) & 0xFFFF
                data.send(struct.pack("!HH", 3, block) + content[: min(size, blksize)])
                size -= blksize
                packet = data.recv(65536)
            raise RuntimeError(f"found {packet[:60]!r}")

    @staticmethod
    def _socket() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.settimeout(PATIENCE)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        made.bind(("127.0.0.1", 0))
        return made


def _request(kind: int, name: str, blksize: int, window: int) -> bytes:
    words = [name, "octet", "blksize", str(blksize)]
    if window > 1:
        words += ["windowsize", str(window)]
    return struct.pack("!H", kind) + b"".join(os.fsencode(each) + b"\0" for each in words)
