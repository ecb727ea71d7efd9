"""Datagrams of RFC 1350, made and read by hand."""

import socket
import struct
from typing import Any, Self

from tests.integration.harness import ANSWER

RRQ, WRQ, DATA, ACK, ERROR, OACK = range(1, 7)


def request(opcode: int, name: bytes, mode: bytes = b"octet", **options: object) -> bytes:
    """An RRQ or WRQ with these options."""
    packet = struct.pack("!H", opcode) + name + b"\0" + mode + b"\0"
    for key, value in options.items():
        packet += key.encode() + b"\0" + str(value).encode() + b"\0"
    return packet


def ack(block: int) -> bytes:
    return struct.pack("!HH", ACK, block & 0xFFFF)


def data(block: int, payload: bytes) -> bytes:
    return struct.pack("!HH", DATA, block & 0xFFFF) + payload


def error(code: int, text: bytes = b"") -> bytes:
    return struct.pack("!HH", ERROR, code) + text + b"\0"


class RawTFTP:
    """
    One client socket, and the address that the server answers it from.

    @ivar patience: seconds to wait for a datagram.
    """

    patience = ANSWER

    def __init__(self, port: int, host: str = "127.0.0.1", *, source: str | None = None) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((source or host, 0))
        self.server: tuple[Any, ...] = (host, port)
        self.transfer: tuple[str, int] | None = None
        self._source: tuple[Any, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, packet: bytes) -> bytes:
        """Send to the well-known port and return the first answer."""
        self.socket.sendto(packet, self.server)
        return self.receive()

    def receive(self, timeout: float | None = None) -> bytes:
        """
        The next datagram.

        @raise TimeoutError: none came.
        """
        self.socket.settimeout(self.patience if timeout is None else timeout)
        packet, address = self.socket.recvfrom(1 << 16)
        # What a scope is called is known in its own network only; its number does.
        host = address[0].partition("%")[0]
        self.transfer = (host, address[1])
        self._source = (host, *address[1:])
        return packet

    def silent(self, seconds: float) -> bool:
        """Does nothing come for this long?"""
        try:
            self.receive(seconds)
        except TimeoutError:
            return True
        return False

    def answer(self, packet: bytes) -> None:
        """Send to where the last datagram came from."""
        if self.transfer is None:
            raise AssertionError("nothing has come yet")
        self.socket.sendto(packet, self._source)

    def read(self, name: bytes, mode: bytes = b"octet", **options: object) -> bytes:
        """
        A whole file, with block size 512 unless the options say otherwise.

        @raise TFTPError: the server sent one.
        """
        size = int(str(options.get("blksize", 512)))
        packet = self.ask(request(RRQ, name, mode, **options))
        if packet[:2] == b"\0\6":
            self.answer(ack(0))
            packet = self.receive()
        content = bytearray()
        block = 1
        while True:
            if packet[:2] == b"\0\5":
                raise TFTPError(packet)
            if packet[:4] == data(block, b""):
                content += packet[4:]
                self.answer(ack(block))
                if len(packet) < size + 4:
                    return bytes(content)
                block += 1
            packet = self.receive()

    def write(self, name: bytes, content: bytes, mode: bytes = b"octet") -> None:
        """
        Store a whole file, with block size 512.

        @raise TFTPError: the server sent one.
        """
        packet = self.ask(request(WRQ, name, mode))
        for block in range(len(content) // 512 + 2):
            while packet != ack(block):
                if packet[:2] == b"\0\5":
                    raise TFTPError(packet)
                packet = self.receive()
            if block <= len(content) // 512:
                self.answer(data(block + 1, content[block * 512 : block * 512 + 512]))
                packet = self.receive()


class TFTPError(Exception):
    """An ERROR packet; C{code} is its number."""

    def __init__(self, packet: bytes) -> None:
        self.code = struct.unpack("!H", packet[2:4])[0]
        self.text = packet[4:].rstrip(b"\0")
        super().__init__(self.code, self.text)
