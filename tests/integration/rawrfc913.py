"""RFC 913, framed by hand."""

import socket
from typing import Self

from tests.integration.harness import ANSWER


class RawRFC913:
    """One connection."""

    def __init__(self, port: int, host: str = "127.0.0.1", *, source: str | None = None) -> None:
        self.connection = socket.create_connection(
            (host, port), ANSWER, source_address=(source, 0) if source else None
        )
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.greeting = self.reply()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def send(self, data: bytes) -> None:
        """Send exactly this."""
        self.connection.sendall(data)

    def _more(self) -> None:
        chunk = self.connection.recv(1 << 16)
        if not chunk:
            raise EOFError
        self.buffer += chunk

    def reply(self) -> bytes:
        """
        The next reply without its NUL.

        @raise EOFError: the connection ended instead.
        """
        while b"\0" not in self.buffer:
            self._more()
        reply, _, self.buffer = self.buffer.partition(b"\0")
        if reply[:1] not in (b"+", b"-", b" ", b"!"):
            raise AssertionError(f"not a reply: {reply!r}")
        return reply

    def exactly(self, count: int) -> bytes:
        """The next C{count} bytes, which no NUL ends."""
        while len(self.buffer) < count:
            self._more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def command(self, line: bytes | str) -> bytes:
        """Send a command and return the reply."""
        self.send((line.encode() if isinstance(line, str) else line) + b"\0")
        return self.reply()

    def login(self, user: str = "ada", password: str = "lovelace") -> Self:
        """Log in; must succeed."""
        if self.command(f"USER {user}")[:1] != b"!":
            reply = self.command(f"PASS {password}")
            if reply[:1] != b"!":
                raise AssertionError(f"login refused: {reply!r}")
        return self

    def retrieve(self, name: bytes | str) -> bytes:
        """A whole file; must succeed."""
        encoded = name.encode() if isinstance(name, str) else name
        number = self.command(b"RETR " + encoded)
        if number[:1] != b" ":
            raise AssertionError(f"RETR was answered {number!r}")
        self.send(b"SEND\0")
        return self.exactly(int(number))

    def store(self, how: str, name: str, content: bytes) -> bytes:
        """A whole upload; returns the last reply."""
        reply = self.command(f"STOR {how} {name}")
        if reply[:1] != b"+":
            return reply
        reply = self.command(f"SIZE {len(content)}")
        if reply[:1] != b"+":
            return reply
        self.send(content)
        return self.reply()

    def ended(self) -> bool:
        """Has the server closed the connection?  Waits for it."""
        try:
            while self.connection.recv(1 << 16):
                pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True
