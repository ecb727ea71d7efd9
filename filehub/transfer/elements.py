"""
What a transfer consists of between its wire and its file.

Theory of operation
===================

RFC 959 has three layers, and so have uploads here.  A transmission mode takes the
bytes of the wire apart into L{Element}s: data, ends of records, the end of the file,
restart markers (L{Unframer}; MODE Z inflates first).  A structure makes of those what
the file is to get: bytes, holes, and markers that passed it (L{Content}).  L{Decoder}
puts both together; the pump stores what comes out.

All of that happens lazily: a decoder is asked for one piece after another and holds
no more than L{PIECE} bytes, however much a few bytes of the wire stand for.

Downloads are simpler, as nothing surprising is in a file: an L{Encoder} is a chain of
L{Translator}s.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from filehub.errors import CorruptData
from filehub.transfer.translate import ReturnHolder, Translator

#: The most bytes that a decoder lets come together.
PIECE: Final = 64 * 1024
#: Bytes that may be fed at a time where every byte may cost a turn of a Python loop,
#: so that it takes a few milliseconds at the worst.
FINE_STEP: Final = 8 * 1024
#: The same where only compression takes time.
COMPRESSION_STEP: Final = 32 * 1024
#: The same for replacements on whole buffers.
COARSE_STEP: Final = 256 * 1024
#: A longer marker is none (RFC 959 3.5 leaves it to the sites).
MAXIMUM_MARKER: Final = 255

#: The descriptor codes of RFC 959 3.4.2.
END_OF_RECORD: Final = 128
END_OF_FILE: Final = 64
SUSPECT: Final = 32
MARKER: Final = 16


class Sign(enum.Enum):
    """What is said about the data so far."""

    END_OF_RECORD = "end of record"
    END_OF_FILE = "end of file"


class Restart(NamedTuple):
    """
    From here a transfer can be restarted (RFC 959 3.5).

    @ivar marker: the sender's name of the place: printable ASCII without spaces.
    """

    marker: str


class Hole(NamedTuple):
    """So many bytes that were never written and read as zeros."""

    length: int


Element = bytes | Sign | Restart
Content = bytes | Hole | Restart


class Unframer(Protocol):
    """Takes a transmission mode, or the record marks of MODE S, apart."""

    @property
    def isComplete(self) -> bool:
        """Was the end of the file marked?"""

    @property
    def suspects(self) -> int:
        """How many blocks the sender itself suspects of errors."""

    def feed(self, data: bytes) -> Iterator[Element]:
        """
        What C{data} says.  To be used up before the next call.

        @raise CorruptData: it breaks the rules, or goes on after the end.
        """

    def finish(self) -> None:
        """
        The connection has ended.

        @raise PeerGone: but not the file.
        """


class Filling(Protocol):
    """Makes a file of elements: the structure."""

    @property
    def isComplete(self) -> bool:
        """Was the end of the file marked?"""

    def feed(self, element: Element) -> Iterator[Content]:
        """
        What the file gets.

        @raise CorruptData:
        """

    def finish(self) -> Iterator[Content]:
        """
        The last of it.

        @raise PeerGone: the file is not whole.
        """


class Inflating(Protocol):
    """A layer below the mode: MODE Z."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """
        @raise CorruptData:
        """

    def finish(self) -> None:
        """
        @raise PeerGone:
        """


class Decoder:
    """
    From the wire to a file, through all layers.

    @ivar step: bytes that may be fed at a time, without making others wait.
    @ivar isSlow: may each piece that comes out have taken milliseconds?
    """

    __slots__ = ("_filling", "_inflating", "_unframer", "isSlow", "step")

    def __init__(
        self,
        filling: Filling,
        unframer: Unframer | None = None,
        inflating: Inflating | None = None,
    ) -> None:
        """
        @param inflating: with an C{unframer}, makes pieces of at most L{FINE_STEP}.
        """
        self._filling = filling
        self._unframer = unframer
        self._inflating = inflating
        self.isSlow = unframer is not None
        self.step = FINE_STEP if self.isSlow else COMPRESSION_STEP

    @property
    def isComplete(self) -> bool:
        """Is the file whole, though the connection has not ended?"""
        if self._inflating is not None:
            return False
        return (self._filling if self._unframer is None else self._unframer).isComplete

    @property
    def suspects(self) -> int:
        """How many blocks the sender itself suspects of errors (RFC 959 3.4.2)."""
        return 0 if self._unframer is None else self._unframer.suspects

    def feed(self, data: bytes) -> Iterator[Content]:
        """
        What the file gets, in pieces of about L{PIECE} bytes at most.  To be used up
        before the next call.

        @raise CorruptData: this is not what a transfer of this kind looks like.
        """
        if self._inflating is None:
            return _gathered(self._contents(data))
        return self._inflated(self._inflating, data)

    def finish(self) -> Iterator[Content]:
        """
        The connection has ended, or L{isComplete} says that it need not.

        @raise PeerGone: the end of the file is missing.
        """
        if self._inflating is not None:
            self._inflating.finish()
        if self._unframer is not None:
            self._unframer.finish()
        return self._filling.finish()

    def _inflated(self, inflating: Inflating, data: bytes) -> Iterator[Content]:
        for plain in inflating.feed(data):
            yield from _gathered(self._contents(plain))

    def _contents(self, plain: bytes) -> Iterator[Content]:
        if self._unframer is None:
            yield from self._filling.feed(plain)
        else:
            for element in self._unframer.feed(plain):
                yield from self._filling.feed(element)


def _gathered(contents: Iterator[Content]) -> Iterator[Content]:
    """The same, with many small pieces put together."""
    pieces: list[bytes] = []
    size = 0
    for content in contents:
        if isinstance(content, bytes):
            pieces.append(content)
            size += len(content)
            if size < PIECE:
                continue
        if size:
            yield b"".join(pieces)
            pieces.clear()
            size = 0
        if not isinstance(content, bytes):
            yield content
    if size:
        yield b"".join(pieces)


class Lines:
    """
    The structures F and R: bytes, and ends of records, which are ends of lines in
    text and nothing in other files.

    @param translator: for the lines; L{None} leaves bytes as they are.
    @param newline: what an end of a record becomes.
    """

    __slots__ = ("_newline", "_translator")

    #: The end is marked below, or by the end of the connection.
    isComplete: Final = False

    def __init__(self, translator: ReturnHolder | None, newline: bytes) -> None:
        self._translator = translator
        self._newline = newline

    def feed(self, element: Element) -> Iterator[Content]:
        """See L{Filling.feed}."""
        translator = self._translator
        if isinstance(element, bytes):
            yield element if translator is None else translator.feed(element)
        elif element is Sign.END_OF_RECORD:
            if translator is not None:
                yield translator.finish()
            yield self._newline
        elif isinstance(element, Restart) and (translator is None or translator.isSettled):
            # Between CR and LF there is no place to start again.
            yield element

    def finish(self) -> Iterator[Content]:
        """See L{Filling.finish}."""
        if self._translator is not None:
            yield self._translator.finish()


class Sections(Protocol):
    """The first stage of an L{Encoder} that can say where nothing is."""

    def feed(self, data: bytes) -> bytes:
        """See L{Translator.feed}."""

    def skip(self, length: int) -> bytes:
        """The file has a hole here."""

    def finish(self) -> bytes:
        """See L{Translator.finish}."""


class Encoder:
    """
    From a file to the wire, through all layers: a L{Translator} made of several.

    @ivar step: bytes that may be fed at a time, without making others wait.
    @ivar skipsHoles: may L{skip} be called?
    """

    __slots__ = ("_sections", "_stages", "skipsHoles", "step")

    def __init__(
        self, stages: Sequence[Translator], step: int, sections: Sections | None = None
    ) -> None:
        """
        @param sections: a stage before the others.
        """
        self._stages = stages
        self._sections = sections
        self.step = step
        self.skipsHoles = sections is not None

    def feed(self, data: bytes) -> bytes:
        """See L{Translator.feed}."""
        return self._through(data if self._sections is None else self._sections.feed(data))

    def skip(self, length: int) -> bytes:
        """The next C{length} bytes of the file are a hole."""
        return b"" if self._sections is None else self._through(self._sections.skip(length))

    def finish(self) -> bytes:
        """See L{Translator.finish}."""
        rest = b"" if self._sections is None else self._sections.finish()
        for stage in self._stages:
            rest = stage.feed(rest) + stage.finish()
        return rest

    def _through(self, data: bytes) -> bytes:
        for stage in self._stages:
            data = stage.feed(data)
        return data


class Framer(Protocol):
    """A translator for a mode that has restart markers."""

    def feed(self, data: bytes) -> bytes:
        """See L{Translator.feed}."""

    def restart(self, marker: str) -> bytes:
        """A restart marker."""

    def finish(self) -> bytes:
        """See L{Translator.finish}."""


class Marking:
    """
    Puts a restart marker behind every so many bytes of a file.  Markers are offsets in
    the file, whatever the type makes of its bytes.
    """

    __slots__ = ("_framer", "_interval", "_next", "_position", "_translator")

    def __init__(
        self, translator: Translator | None, framer: Framer, offset: int, interval: int
    ) -> None:
        """
        @param translator: between the file and the framer.
        @param offset: where in the file the transfer starts.
        """
        self._translator = translator
        self._framer = framer
        self._position = offset
        self._interval = interval
        self._next = offset + interval

    def feed(self, data: bytes) -> bytes:
        """See L{Translator.feed}."""
        self._position += len(data)
        # A CR and the LF behind it go together.
        isDue = self._position >= self._next and not data.endswith(b"\r")
        if self._translator is not None:
            data = self._translator.feed(data)
        framed = self._framer.feed(data)
        if not isDue:
            return framed
        self._next = self._position + self._interval
        return framed + self._framer.restart(str(self._position))

    def finish(self) -> bytes:
        """See L{Translator.finish}."""
        last = b""
        if self._translator is not None:
            last = self._framer.feed(self._translator.finish())
        return last + self._framer.finish()


def parseMarker(raw: bytes) -> Restart:
    """
    @raise CorruptData: that is no marker.
    """
    if not raw or len(raw) > MAXIMUM_MARKER or not all(0x20 < byte < 0x7F for byte in raw):
        raise CorruptData("that is no restart marker")
    return Restart(raw.decode("ascii"))


def checkDescriptor(descriptor: int) -> None:
    """
    @raise CorruptData: RFC 959 does not define this descriptor.
    """
    known = END_OF_RECORD | END_OF_FILE | SUSPECT | MARKER
    if descriptor & ~known or (descriptor & MARKER and descriptor != MARKER):
        raise CorruptData(f"there is no descriptor {descriptor}")


def signsOf(descriptor: int) -> Iterator[Sign]:
    """What a descriptor says about the end of its data."""
    if descriptor & END_OF_RECORD:
        yield Sign.END_OF_RECORD
    if descriptor & END_OF_FILE:
        yield Sign.END_OF_FILE


def tooMuch() -> CorruptData:
    """Bytes came after the end."""
    return CorruptData("there are bytes after the end of the file")


__all__ = [
    "COARSE_STEP",
    "COMPRESSION_STEP",
    "END_OF_FILE",
    "END_OF_RECORD",
    "FINE_STEP",
    "MARKER",
    "MAXIMUM_MARKER",
    "PIECE",
    "SUSPECT",
    "Content",
    "Decoder",
    "Element",
    "Encoder",
    "Filling",
    "Framer",
    "Hole",
    "Inflating",
    "Lines",
    "Marking",
    "Restart",
    "Sections",
    "Sign",
    "Unframer",
    "checkDescriptor",
    "parseMarker",
    "signsOf",
    "tooMuch",
]
