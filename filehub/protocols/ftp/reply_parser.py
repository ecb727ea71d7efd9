"""
A server's replies, for clients: bytes to values, in any fragmentation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from filehub.errors import FileHubError
from filehub.paths import decodeName

#: Bytes of one reply; a server that sends more is not talking FTP.
MAXIMUM_REPLY: Final = 256 * 1024
_FIRST: Final = re.compile(rb"([1-5][0-9][0-9])([ -])?(.*)", re.DOTALL)


class NotFTP(FileHubError):
    """What the server says is no FTP reply."""

    summary = "the server does not speak FTP"


@dataclass(frozen=True, slots=True)
class ServerReply:
    """
    One reply.

    @ivar lines: its text, a line each, without codes.
    """

    code: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def isPreliminary(self) -> bool:
        return self.code < 200

    @property
    def isPositive(self) -> bool:
        return self.code < 400


class ReplyParser:
    """Feed it what arrives, take the replies that are complete (RFC 959 4.2)."""

    def __init__(self) -> None:
        self._buffer = b""
        self._size = 0
        self._code = b""
        self._lines: list[str] = []

    def feed(self, data: bytes) -> list[ServerReply]:
        """
        @raise NotFTP: a line that cannot be, or a reply without an end.
        """
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        replies = []
        for line in lines:
            self._size += len(line)
            reply = self._line(line.rstrip(b"\r"))
            if reply is not None:
                replies.append(reply)
        if self._size + len(self._buffer) > MAXIMUM_REPLY:
            raise NotFTP
        return replies

    def _line(self, line: bytes) -> ServerReply | None:
        if self._code:
            return self._further(line)
        match = _FIRST.fullmatch(line)
        if match is None:
            raise NotFTP
        code, mark, text = match.groups()
        self._lines = [decodeName(text)]
        if mark == b"-":
            self._code = code
            return None
        return self._complete(code)

    def _further(self, line: bytes) -> ServerReply | None:
        # Servers write the code on inner lines too, or indent them, or neither.
        if line[:3] == self._code and line[3:4] in (b" ", b""):
            self._lines.append(decodeName(line[4:]))
            return self._complete(self._code)
        if line[:4] == self._code + b"-":
            line = line[4:]
        self._lines.append(decodeName(line))
        return None

    def _complete(self, code: bytes) -> ServerReply:
        reply = ServerReply(int(code), tuple(self._lines))
        self._code, self._size, self._lines = b"", 0, []
        return reply
