"""
RFC 913 on the wire: commands and replies, each ended by one NUL.

Commands are bounded; a peer that sends more without a NUL is not one of ours.  File
bytes come without any framing: whoever expects them takes them with C{takeRest}
before the next command is looked for.

RFC 913 text is 7-bit ASCII.  Names are UTF-8 here, and bytes that are not even that
travel unchanged in both directions.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from filehub.errors import FileHubError
from filehub.paths import decodeName

#: Bytes of a command without its NUL.
MAXIMUM_COMMAND: Final = 4096
#: The largest number for SIZE that makes sense to anybody.
MAXIMUM_SIZE: Final = 2**63 - 1


class Malformed(enum.Enum):
    """What came instead of a command."""

    #: Not four letters, alone or before a space.
    SYNTAX = "syntax"
    #: No end within L{MAXIMUM_COMMAND}; nothing of what follows can be trusted.
    ENDLESS = "endless"


@dataclass(frozen=True, slots=True)
class Command:
    """
    One command.

    @ivar verb: four capital letters.
    @ivar argument: everything after the first space, but for CR and LF at the end.
    """

    verb: str
    argument: str = field(default="", repr=False)


class CommandParser:
    """
    Commands out of bytes, in whatever pieces these come.  Empty commands vanish:
    peers exist that send a NUL too many.
    """

    __slots__ = ("_buffer", "_ended", "_lenient", "_scanned")

    def __init__(self, lenient: bool = False) -> None:
        """
        @param lenient: does LF end a command as well?
        """
        self._buffer = bytearray()
        self._scanned = 0
        self._lenient = lenient
        self._ended = False

    @property
    def buffered(self) -> int:
        """How many bytes wait here."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """This came next."""
        if not self._ended:
            self._buffer += data

    def next(self) -> Command | Malformed | None:
        """The next command; L{None} until there is a whole one."""
        while True:
            end = self._end()
            if end > MAXIMUM_COMMAND or (end < 0 and len(self._buffer) > MAXIMUM_COMMAND):
                self._ended = True
                self._buffer.clear()
                return Malformed.ENDLESS
            if end < 0:
                self._scanned = len(self._buffer)
                return None
            frame = bytes(self._buffer[:end]).rstrip(b"\r\n")
            del self._buffer[: end + 1]
            self._scanned = 0
            if frame:
                return _parse(frame)

    def takeRest(self) -> bytes:
        """Everything that is not parsed yet; it is not parsed here any more."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._scanned = 0
        return rest

    def _end(self) -> int:
        end = self._buffer.find(b"\0", self._scanned)
        if self._lenient:
            line = self._buffer.find(b"\n", self._scanned, end if end >= 0 else len(self._buffer))
            end = line if line >= 0 else end
        return end


def _parse(frame: bytes) -> Command | Malformed:
    verb, _, argument = frame.partition(b" ")
    if len(verb) != 4 or not verb.isalpha():  # of bytes: ASCII letters only
        return Malformed.SYNTAX
    return Command(verb.decode("ascii").upper(), decodeName(argument))


def parseSize(text: str) -> int:
    """
    The number of a SIZE command: digits and nothing else.

    @raise ValueError:
    """
    if not (text.isascii() and text.isdigit()) or len(text) > 19 or int(text) > MAXIMUM_SIZE:
        raise ValueError("not a size")
    return int(text)


# --- replies -----------------------------------------------------------------

#: For L{str.translate}: C0 and DEL.  A NUL would end a reply early, the others could
#: forge lines or drive a terminal.
_CONTROLS: Final = dict.fromkeys([*range(0x20), 0x7F], "?")


def printable(text: str) -> str:
    """The text with C{?} for each control character."""
    return text if text.isprintable() else text.translate(_CONTROLS)


def hasControls(text: str) -> bool:
    """Is there a control character in this?"""
    return not text.isprintable() and text.translate(_CONTROLS) != text


def encodeText(text: str) -> bytes:
    """Text as bytes; never fails."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # Half a surrogate pair that came from no bytes; nobody can ask for that name.
        return text.encode("utf-8", "replace")


class Code(enum.Enum):
    """The first character of a reply says it all."""

    SUCCESS = "+"
    ERROR = "-"
    NUMBER = " "
    LOGGED_IN = "!"


class Reply(NamedTuple):
    """
    What a server answers.

    @ivar lines: ended by CRLF between them; control characters are shown as C{?}.
    """

    code: Code
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it, for people."""
        return "\n".join(self.lines)


def encodeReply(reply: Reply) -> bytes:
    """One reply with its NUL.  There is no way to get another NUL into it."""
    return encodeText(reply.code.value + "\r\n".join(map(printable, reply.lines)) + "\0")


# --- what a client sees ------------------------------------------------------


class NotRFC913(FileHubError):
    """What came is not a reply of this protocol."""

    summary = "this is not an RFC 913 server"


class ReplyParser:
    """
    Replies out of bytes.  Servers exist that pad replies with NULs, that leave out
    the blank before a number, or write the number sign that the RFC's text speaks of
    (and its examples do not have): all are understood.
    """

    __slots__ = ("_buffer", "_scanned", "maximum")

    def __init__(self, maximum: int = 65536) -> None:
        """
        @param maximum: bytes of a reply.
        """
        self._buffer = bytearray()
        self._scanned = 0
        self.maximum = maximum

    def feed(self, data: bytes) -> None:
        """This came next."""
        self._buffer += data

    def next(self) -> Reply | None:
        """
        The next reply; L{None} until there is a whole one.

        @raise NotRFC913:
        """
        if not self._scanned:
            self.skipPadding()
        end = self._buffer.find(b"\0", self._scanned)
        if end < 0:
            if len(self._buffer) > self.maximum:
                raise NotRFC913("the server's reply does not end")
            self._scanned = len(self._buffer)
            return None
        frame = decodeName(bytes(self._buffer[:end]))
        del self._buffer[: end + 1]
        self._scanned = 0
        return _parseReply(frame)

    def skipPadding(self) -> None:
        """Drop the NULs and line ends at the start of what waits here."""
        padding = len(self._buffer) - len(self._buffer.lstrip(b"\0\r\n"))
        if padding:
            del self._buffer[:padding]

    def takeRest(self) -> bytes:
        """Everything that is not parsed yet; it is not parsed here any more."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        self._scanned = 0
        return rest


_NUMBER: Final = re.compile(r"[ #]*([0-9]{1,19})\s*")
_LINE: Final = re.compile(r"\r?\n")


def _parseReply(frame: str) -> Reply:
    match = _NUMBER.fullmatch(frame)
    if match is not None:
        return Reply(Code.NUMBER, (match[1],))
    try:
        code = Code(frame[0])
    except ValueError:
        raise NotRFC913 from None
    return Reply(code, tuple(_LINE.split(frame[1:])))


def encodeCommand(verb: str, *words: str) -> bytes:
    """
    One command with its NUL.

    @raise ValueError: a NUL is in it, or it is too long for any server.
    """
    frame = encodeText(" ".join([verb, *words]))
    if b"\0" in frame:
        raise ValueError("NUL in a command")
    if len(frame) > MAXIMUM_COMMAND:
        raise ValueError("command too long")
    return frame + b"\0"


def joinLines(lines: Iterable[str]) -> str:
    """Lines of a listing: CRLF ends every one."""
    return "".join([f"{line}\r\n" for line in lines])


__all__ = [
    "MAXIMUM_COMMAND",
    "MAXIMUM_SIZE",
    "Code",
    "Command",
    "CommandParser",
    "Malformed",
    "NotRFC913",
    "Reply",
    "ReplyParser",
    "encodeCommand",
    "encodeReply",
    "encodeText",
    "hasControls",
    "joinLines",
    "parseSize",
    "printable",
]
