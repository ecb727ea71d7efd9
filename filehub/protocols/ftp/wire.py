"""
The control connection's bytes, both ways.  No sockets and no Twisted.

Theory of operation
===================

Bytes come in any fragmentation and pass two stages.  The first undoes Telnet (RFC 959
3.3.1 and 4.1.3, RFC 1123 4.1.2.12): C{IAC IAC} is the byte 255, the commands that
announce an ABOR (C{IAC IP IAC DM}) and all others vanish, options are refused once.  A
255 that no Telnet command follows is data, because most clients do not double it.
The second stage cuts lines.  LF ends one, with or without a CR before it; C{CR NUL} is
a CR that is data (RFC 2640 section 3.1).

What was fed is taken out one command at a time, so that whoever is overwhelmed just
stops taking.  Buffers are bounded: a line beyond the limit becomes one
L{Malformed.TOO_LONG}, at once, and the rest of it is thrown away.
"""

from __future__ import annotations

import enum
import re
from functools import lru_cache
from typing import Final, NamedTuple

from filehub.paths import decodeName

#: Bytes in a line before login, without its end: enough for any name and password.
LIMIT_BEFORE_LOGIN: Final = 1024
#: Bytes in a line after login.
LIMIT: Final = 8192
#: Bytes of one over-long line that are thrown away before it counts as endless.
MAXIMUM_DISCARDED: Final = 64 * 1024

#: Bytes of a line that has room for a verb, and no word that nobody may see.
_SHORT: Final = 6

_IAC: Final = 0xFF
_DONT: Final = 0xFE
_DO: Final = 0xFD
_WONT: Final = 0xFC
_WILL: Final = 0xFB
_SUBNEGOTIATION: Final = 0xFA
_FIRST_TELNET_COMMAND: Final = 0xF0
_LF: Final = 0x0A

# States of the Telnet stage; WILL to DONT are states of their own: the option follows.
_DATA: Final = 0
_AFTER_IAC: Final = 1
_IN_SUBNEGOTIATION: Final = 2
_IAC_IN_SUBNEGOTIATION: Final = 3

_SECRETS: Final = frozenset(("PASS", "ACCT"))


class Command(NamedTuple):
    """
    One line from the client.

    @ivar verb: upper case; empty for an empty line.
    @ivar argument: all that follows one space, to the last; empty if there is none.
        Bytes that are not UTF-8 are surrogates (L{filehub.paths.decodeName}).
    """

    verb: str
    argument: str = ""

    def __repr__(self) -> str:
        shown = "'<secret>'" if self.verb in _SECRETS else repr(self.argument)
        return f"Command({self.verb!r}, {shown})"


class Malformed(enum.Enum):
    """Lines that are no commands."""

    TOO_LONG = "line too long"
    #: So much came without an end of line that this is no FTP client.
    ENDLESS = "endless line"


class CommandDecoder:
    """
    Bytes to commands.

    @ivar limit: the longest line in bytes, after Telnet and without its end.
    """

    __slots__ = ("_buffer", "_discarded", "_position", "_refused", "_telnet", "limit", "refusals")

    def __init__(self, limit: int = LIMIT_BEFORE_LOGIN) -> None:
        self.limit = limit
        self._buffer = b""
        self._position = 0
        #: Bytes thrown away of the current line, or -1 while it is kept.
        self._discarded = -1
        self._telnet = _DATA
        self._refused = 0
        #: What the Telnet stage wants sent; whoever sends it empties it.
        self.refusals = b""

    def feed(self, data: bytes) -> None:
        """Take what arrived."""
        if self._telnet != _DATA or b"\xff" in data:
            data = self._withoutTelnet(data)
        self._buffer = self._buffer + data if self._buffer else data

    def whole(self, data: bytes) -> Command | None:
        """
        The command that these bytes are, if they are one plain line and nothing came
        before that was not taken: as it mostly is.  L{None}: they have to be fed.
        """
        if (
            self._buffer
            or self._discarded >= 0
            or self._telnet != _DATA
            or len(data) > self.limit
            or data[-2:] != b"\r\n"
            or not data.isascii()
        ):
            return None
        return _bare(data) if len(data) <= _SHORT else _plain(data)

    def take(self) -> Command | Malformed | None:
        """The next command, or L{None} until more is fed."""
        while True:
            buffer, start = self._buffer, self._position
            end = buffer.find(b"\n", start)
            if self._discarded >= 0:
                if end < 0:
                    return self._discard(len(buffer) - start)
                self._discarded = -1
                self._consume(end + 1)
                continue
            if end < 0:
                if len(buffer) - start > self.limit + 1:
                    self._discarded = 0
                    return Malformed.TOO_LONG
                if start:
                    self._buffer, self._position = buffer[start:], 0
                return None
            line = buffer[start:end]
            self._consume(end + 1)
            if line.endswith(b"\r"):
                line = line[:-1]
            if len(line) > self.limit:
                return Malformed.TOO_LONG
            return parseCommand(line)

    @property
    def isEmpty(self) -> bool:
        """Has everything been taken, down to the last byte?"""
        return not self._buffer and self._telnet == _DATA

    def clear(self) -> None:
        """Forget what was not taken yet."""
        self._buffer, self._position = b"", 0
        self._telnet = _DATA
        self._discarded = -1

    def _consume(self, position: int) -> None:
        if position == len(self._buffer):
            self._buffer, self._position = b"", 0
        else:
            self._position = position

    def _discard(self, count: int) -> Malformed | None:
        self._buffer, self._position = b"", 0
        before = self._discarded
        self._discarded += count
        if before <= MAXIMUM_DISCARDED < self._discarded:
            return Malformed.ENDLESS
        return None

    def _withoutTelnet(self, data: bytes) -> bytes:
        clean = bytearray()
        state = self._telnet
        index, length = 0, len(data)
        while index < length:
            if state == _DATA:
                found = data.find(b"\xff", index)
                if found < 0:
                    clean += data[index:]
                    break
                clean += data[index:found]
                index = found + 1
                state = _AFTER_IAC
                continue
            byte = data[index]
            index += 1
            if state == _AFTER_IAC:
                state = _DATA
                if byte == _IAC:
                    clean.append(_IAC)
                elif byte >= _WILL:
                    state = byte
                elif byte == _SUBNEGOTIATION:
                    state = _IN_SUBNEGOTIATION
                elif byte < _FIRST_TELNET_COMMAND:
                    # Not Telnet at all: both are data, and this one may end the line.
                    clean.append(_IAC)
                    index -= 1
            elif state == _IN_SUBNEGOTIATION:
                if byte == _IAC:
                    state = _IAC_IN_SUBNEGOTIATION
                elif byte == _LF:
                    # Nobody negotiated anything: rather hear the next command.
                    clean.append(_LF)
                    state = _DATA
            elif state == _IAC_IN_SUBNEGOTIATION:
                state = _IN_SUBNEGOTIATION if byte == _IAC else _DATA
            else:
                self._refuse(state, byte)
                state = _DATA
        self._telnet = state
        return bytes(clean)

    def _refuse(self, request: int, option: int) -> None:
        """Answer WILL with DONT and DO with WONT, each option once (RFC 854)."""
        if request not in (_WILL, _DO):
            return
        answer = _DONT if request == _WILL else _WONT
        mark = 1 << (option * 2 + (request == _DO))
        if not self._refused & mark:
            self._refused |= mark
            self.refusals += bytes((_IAC, answer, option))


def _plain(data: bytes) -> Command | None:
    """The command in a line of ASCII, if nothing is special about it."""
    text = data[:-2].decode("ascii")
    if not text.isprintable():
        return None
    verb, _, argument = text.partition(" ")
    return Command(verb.upper(), argument)


#: The same, remembered: short ones come all the time.
_bare: Final = lru_cache(maxsize=128)(_plain)


def parseCommand(line: bytes) -> Command:
    """The command in a line that has lost its end."""
    if b"\0" in line:
        line = line.replace(b"\r\0", b"\r")
    # Verbs are ASCII: upper() must not make them of other letters.
    text = line.decode("ascii") if line.isascii() else decodeName(line)
    verb, _, argument = text.partition(" ")
    if "\t" in verb:
        verb, _, argument = text.partition("\t")
    return Command(verb.upper() if verb.isascii() else verb, argument)


class Reply(NamedTuple):
    """
    What the server answers.

    @ivar lines: without line ends; more than one make a multi-line reply.
    """

    code: int
    lines: tuple[str, ...]

    @property
    def isFailure(self) -> bool:
        """Was the command refused, or did it fail?"""
        return self.code >= 400


#: Characters that would end a line, or drive a terminal.
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _encodeText(text: str, charset: str | None = None) -> bytes:
    if _CONTROLS.search(text):
        text = _CONTROLS.sub("?", text)
    try:
        if charset is None:
            encoded = text.encode("utf-8", "surrogateescape")
        else:
            encoded = text.encode(charset, "replace")
    except UnicodeEncodeError:
        # Half a surrogate pair: no name from bytes, so nobody needs it back.
        encoded = text.encode("utf-8", "replace")
    if b"\xff" in encoded:
        # Telnet again; it is never part of UTF-8, but may be in other sets.
        encoded = encoded.replace(b"\xff", b"\xff\xff")
    return encoded


@lru_cache(maxsize=128)
def encodeReply(reply: Reply, charset: str | None = None) -> bytes:
    """
    A whole reply (RFC 959 4.2).  Control characters become C{?}: no text, wherever
    it came from, can end a line or begin another reply.

    Most that is said was said before, so some replies are remembered.

    @param charset: other than UTF-8.
    """
    code, lines = reply
    if len(lines) == 1:
        text = lines[0]
        if text.isascii() and text.isprintable():
            return f"{code} {text}\r\n".encode("ascii")
        return b"%d %s\r\n" % (code, _encodeText(text, charset))
    encoded = [b"%d-%s\r\n" % (code, _encodeText(lines[0], charset))]
    encoded += [b" %s\r\n" % _encodeText(line, charset) for line in lines[1:-1]]
    encoded.append(b"%d %s\r\n" % (code, _encodeText(lines[-1], charset)))
    return b"".join(encoded)


def encodeOpening(code: int, text: str, charset: str | None = None) -> bytes:
    """The first line of a multi-line reply that is sent piece by piece."""
    return b"%d-%s\r\n" % (code, _encodeText(text, charset))


def encodeInner(page: bytes) -> bytes:
    """
    Inner lines of a multi-line reply.

    @param page: lines that end in CRLF and hold no other control character, such as
        the formatters of a listing make.
    """
    if not page:
        return b""
    if b"\xff" in page:
        page = page.replace(b"\xff", b"\xff\xff")
    return b" " + page[:-2].replace(b"\r\n", b"\r\n ") + b"\r\n"


__all__ = [
    "LIMIT",
    "LIMIT_BEFORE_LOGIN",
    "MAXIMUM_DISCARDED",
    "Command",
    "CommandDecoder",
    "Malformed",
    "Reply",
    "encodeInner",
    "encodeOpening",
    "encodeReply",
    "parseCommand",
]
