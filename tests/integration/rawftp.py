"""
An FTP client that says what it is told, byte by byte, and checks nothing but the form of
the answers.
"""

import contextlib
import re
import socket
import ssl
import struct
from typing import Self

from tests.integration.harness import ANSWER


class Reply(str):
    """The text of one reply, as text; C{code} is its number."""

    code: int
    raw: bytes

    def __new__(cls, raw: bytes) -> Self:
        reply = super().__new__(cls, raw.decode("utf-8", "surrogateescape"))
        reply.raw = raw
        reply.code = int(raw[:3])
        return reply


def reset(connection: socket.socket) -> None:
    """Close a connection as a machine does that lost its memory of it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def drain(connection: socket.socket) -> bytes:
    """All that comes until the end."""
    chunks = []
    while chunk := connection.recv(1 << 16):
        chunks.append(chunk)
    return b"".join(chunks)


class RawFTP:
    """One control connection."""

    def __init__(
        self, port: int, host: str = "127.0.0.1", *, source: str | None = None, greet: bool = True
    ) -> None:
        self.host, self.port = host, port
        self.context: ssl.SSLContext | None = None
        self.control = socket.create_connection(
            (host, port), ANSWER, source_address=(source, 0) if source else None
        )
        self.control.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.greeting = self.reply() if greet else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.control.close()

    def send(self, data: bytes | str) -> None:
        """Send exactly this."""
        self.control.sendall(data.encode() if isinstance(data, str) else data)

    def line(self) -> bytes:
        """The next line without its CR LF; empty at the end of the connection."""
        while b"\r\n" not in self.buffer:
            chunk = self.control.recv(1 << 16)
            if not chunk:
                if self.buffer:
                    raise AssertionError(f"half a line: {self.buffer!r}")
                return b""
            self.buffer += chunk
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def reply(self) -> Reply:
        """
        The next whole reply, as RFC 959 section 4.2 frames it.

        @raise EOFError: the connection ended instead.
        """
        first = self.line()
        if not first:
            raise EOFError
        if not re.fullmatch(rb"[1-5][0-9][0-9][ -].*", first, re.DOTALL):
            raise AssertionError(f"not a reply: {first!r}")
        lines = [first]
        if first[3:4] == b"-":
            while not lines[-1].startswith(first[:3] + b" "):
                lines.append(self.line())
                if re.match(rb"[0-9]{3}", lines[-1]) and lines[-1][:4] != first[:3] + b" ":
                    raise AssertionError(f"a second reply inside a reply: {lines!r}")
        for each in lines:
            if re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", each):
                raise AssertionError(f"control bytes in a reply: {each!r}")
        return Reply(b"\r\n".join(lines))

    def command(self, line: bytes | str) -> Reply:
        """Send a command and return the next reply."""
        self.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return self.reply()

    def expect(self, code: int, line: bytes | str) -> Reply:
        """The same, and the reply must have this code."""
        reply = self.command(line)
        if reply.code != code:
            raise AssertionError(f"{line!r} was answered {reply!r}, not {code}")
        return reply

    def final(self, code: int | None = None) -> Reply:
        """The next reply that is not a 1xx mark; it must have this code if one is given."""
        reply = self.reply()
        while reply.code < 200:
            reply = self.reply()
        if code is not None and reply.code != code:
            raise AssertionError(f"{reply!r} where {code} was expected")
        return reply

    def login(self, user: str = "ada", password: str = "lovelace") -> Self:
        """Log in and choose binary."""
        self.expect(331, f"USER {user}")
        self.expect(230, f"PASS {password}")
        self.expect(200, "TYPE I")
        return self

    def secure(self, context: ssl.SSLContext, *, name: str | None = "files.test") -> Self:
        """AUTH TLS; from now on data connections are protected too, in L{retrieve} and so on."""
        self.expect(234, "AUTH TLS")
        self.encrypt(context, name=name)
        self.expect(200, "PBSZ 0")
        self.expect(200, "PROT P")
        return self

    def encrypt(self, context: ssl.SSLContext, *, name: str | None = "files.test") -> None:
        """The handshake on the control connection."""
        self.control = context.wrap_socket(self.control, server_hostname=name)
        self.context = context

    def protect(self, data: socket.socket) -> socket.socket:
        """The handshake on a data connection, resuming the session, if there is TLS."""
        if self.context is None or not isinstance(self.control, ssl.SSLSocket):
            return data
        return self.context.wrap_socket(
            data, server_hostname="files.test", session=self.control.session,
            suppress_ragged_eofs=False,
        )  # fmt: skip

    def ended(self) -> bool:
        """Has the server closed the connection?  Waits for it."""
        try:
            while self.control.recv(1 << 16):
                pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True

    def passiveAddress(self) -> tuple[str, int]:
        """PASV over IPv4, EPSV over IPv6: where to connect."""
        if ":" in self.host:
            found = re.search(r"\(\|\|\|(\d+)\|\)", self.expect(229, "EPSV"))
            assert found is not None
            return self.host, int(found[1])
        text = self.expect(227, "PASV")
        found = re.search(r"\((\d+),(\d+),(\d+),(\d+),(\d+),(\d+)\)", text)
        assert found is not None
        numbers = [int(each) for each in found.groups()]
        return ".".join(map(str, numbers[:4])), numbers[4] * 256 + numbers[5]

    def passive(self, *, source: str | None = None) -> socket.socket:
        """A passive data connection."""
        return socket.create_connection(
            self.passiveAddress(), ANSWER, source_address=(source, 0) if source else None
        )

    def listen(self) -> socket.socket:
        """A listening socket that the server was told of with PORT or EPRT."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.socket(family)
        listener.settimeout(ANSWER)
        listener.bind((self.control.getsockname()[0], 0))
        listener.listen(1)
        host, port = listener.getsockname()[:2]
        if family == socket.AF_INET6:
            self.expect(200, f"EPRT |2|{host}|{port}|")
        else:
            self.expect(200, f"PORT {host.replace('.', ',')},{port >> 8},{port & 255}")
        return listener

    def retrieve(self, line: str | bytes) -> bytes:
        """A whole download or listing over a passive connection; must succeed."""
        with self.passive() as plain:
            first = self.command(line)
            if first.code not in (125, 150):
                raise AssertionError(f"{line!r} was answered {first!r}")
            with self.protect(plain) as data:
                received = drain(data)
        self.final(226)
        return received

    def names(self, folder: str) -> list[bytes]:
        """What is in a folder, sorted, by MLSD."""
        lines = self.retrieve(f"MLSD {folder}").split(b"\r\n")[:-1]
        found = [line.split(b" ", 1) for line in lines]
        return sorted(
            name for facts, name in found if not {b"cdir", b"pdir"} & set(re.split(b"[;=]", facts))
        )

    def store(self, line: str | bytes, content: bytes) -> Reply:
        """A whole upload over a passive connection; returns the final reply."""
        with self.passive() as plain:
            first = self.command(line)
            if first.code not in (125, 150):
                return first
            with contextlib.suppress(ConnectionError), self.protect(plain) as data:
                data.sendall(content)
                if isinstance(data, ssl.SSLSocket):
                    data.unwrap()
        return self.final()
