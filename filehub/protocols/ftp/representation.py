"""
How files look on the data connection: type, structure and mode (RFC 959 section 3),
and the chain of codecs that this takes.

What is stored is a stream of bytes in which lines end in LF.  A type translates the
bytes of text.  A structure says where records end, which in text are lines (in other
files nothing in the stream tells, so all of it is one record), or cuts a file into
pages.  A mode packs the result.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from filehub.protocols.ftp import replies
from filehub.protocols.ftp.settings import FTPSettings
from filehub.protocols.ftp.wire import Reply
from filehub.transfer.blockmode import BlockDecoder, BlockEncoder
from filehub.transfer.deflate import DEFAULT_LEVEL, Deflater, Inflater
from filehub.transfer.ebcdic import NEWLINE, SPACE, EbcdicDecoder, EbcdicEncoder
from filehub.transfer.elements import (
    COARSE_STEP,
    COMPRESSION_STEP,
    FINE_STEP,
    Decoder,
    Encoder,
    Filling,
    Framer,
    Lines,
    Marking,
    Unframer,
)
from filehub.transfer.pages import PAGE_FORMATS, PageDecoder, PageEncoder
from filehub.transfer.records import RecordMarksDecoder, RecordMarksEncoder
from filehub.transfer.runlength import RunLengthDecoder, RunLengthEncoder
from filehub.transfer.translate import ReturnHolder, TextDecoder, TextEncoder, Translator

#: Bytes of a file between two restart markers.
RESTART_INTERVAL: Final = 64 * 1024

_TYPES: Final = {"A": "ASCII", "E": "EBCDIC", "I": "Image", "L": "Local"}
_FORMATS: Final = {"N": "", "T": " Telnet", "C": " Carriage control"}
_STRUCTURES: Final = {"F": "File", "R": "Record", "P": "Page"}
_MODES: Final = {"S": "Stream", "B": "Block", "C": "Compressed", "Z": "Deflate"}

_NO_PAGES_OF_TEXT: Final = replies.reply(504, "STRU P needs TYPE I or TYPE L.")
_PAGES_ONLY: Final = replies.reply(504, "TYPE L 32 needs STRU P.")


class Representation(NamedTuple):
    """
    What TYPE, STRU, MODE and OPTS MODE say.  Sessions share the few that there are.

    @ivar type: C{A}, C{E}, C{I} or C{L}.
    @ivar format: of text that is to be printed: C{N}, C{T} or C{C}.  It says what a
        printer does with characters that travel anyway, and changes none of them.
    @ivar bits: in a logical byte; other than 8 in pages only.
    @ivar structure: C{F}, C{R} or C{P}.
    @ivar mode: C{S}, C{B}, C{C} or C{Z}.
    @ivar level: of MODE Z.
    """

    type: str = "A"
    format: str = "N"
    bits: int = 8
    structure: str = "F"
    mode: str = "S"
    level: int = DEFAULT_LEVEL

    def but(self, **changes: Any) -> Representation:
        """The same with other values of these fields."""
        changed = self._replace(**changes)
        return _SHARED.setdefault(changed, changed)

    @property
    def isText(self) -> bool:
        """Does it consist of lines?"""
        return self.type in ("A", "E")

    @property
    def title(self) -> str:
        """The type in a word, for the 150 reply."""
        return _TYPES[self.type].upper() if self.isText else "BINARY"

    @property
    def isStored(self) -> bool:
        """Are the bytes on the wire just those that are stored, whatever the settings?"""
        return self.type == "I" and self.mode == "S" and self.structure == "F"

    def hasRecords(self, settings: FTPSettings) -> bool:
        """Are ends of records marked?"""
        return self.structure == "R" and settings.records == "marks"

    def isTranslated(self, settings: FTPSettings) -> bool:
        """Does the type change bytes?"""
        return self.type == "E" or (self.type == "A" and settings.asciiConvert)

    def keepsLength(self, settings: FTPSettings) -> bool:
        """
        Is a file as long on the wire as it is stored?  MODE B, C and Z make no
        difference: their offsets and lengths are those of what they pack.
        """
        if self.isTranslated(settings) or self.hasRecords(settings):
            return False
        return self.structure != "P" and self.bits == 8

    def mayRestart(self, settings: FTPSettings) -> bool:
        """
        Can a transfer start in the middle?  Where bytes change on their way only at
        markers, which MODE B and C have (RFC 959 3.5).
        """
        if self.mode in ("B", "C"):
            return self.structure != "P" and self.bits == 8
        return self.keepsLength(settings)

    def problem(self) -> Reply | None:
        """Why no file can be transferred like that."""
        if self.structure == "P":
            return _NO_PAGES_OF_TEXT if self.isText else None
        return None if self.bits == 8 else _PAGES_ONLY


INITIAL: Final = Representation()
_SHARED: Final[dict[Representation, Representation]] = {INITIAL: INITIAL}


def describe(representation: Representation) -> str:
    """For STAT."""
    type, format, bits, structure, mode, level = representation
    suffix = f" {bits}" if type == "L" else _FORMATS[format]
    deflated = f" {level}" if mode == "Z" else ""
    return (
        f"TYPE: {_TYPES[type]}{suffix}, STRU: {_STRUCTURES[structure]},"
        f" MODE: {_MODES[mode]}{deflated}"
    )


def encoderFor(
    representation: Representation, settings: FTPSettings, size: int, offset: int
) -> Translator | None:
    """
    What turns a file into what is sent; L{None} if that is the same.

    @param size: of the file, bytes.
    @param offset: where the transfer starts.
    @raise FileTooLarge: for pages of logical bytes of this size.
    """
    sections = None
    if representation.structure == "P":
        sections = PageEncoder(PAGE_FORMATS[representation.bits], size)
    records = representation.hasRecords(settings)
    lines: Translator | None = None
    if representation.type == "E":
        lines = EbcdicEncoder(settings.ebcdic)
    elif representation.isTranslated(settings):
        lines = TextDecoder() if records else TextEncoder()
    if sections is None and not records and representation.mode == "S":
        return lines
    interval = RESTART_INTERVAL if sections is None else None
    stages, step = _packed(representation, lines, records, offset, interval)
    return Encoder(stages, step, sections)


def listingEncoderFor(
    representation: Representation, settings: FTPSettings, *, facts: bool = False
) -> Translator | None:
    """
    What turns a listing, which is lines that end in CRLF, into what is sent.

    @param facts: it is one of RFC 3659, which is the same in all types.
    """
    if representation.structure == "P" or not representation.hasRecords(settings):
        # Pages are for files.
        representation = representation.but(structure="F", bits=8)
    if not representation.isText:
        # Lines they are, whatever is said of files.
        representation = representation.but(type="A")
    records = representation.structure == "R"
    lines: Translator | None = None
    if representation.type == "E" and not facts:
        lines = EbcdicEncoder(settings.ebcdic)
    elif records:
        lines = TextDecoder()
    if not records and representation.mode == "S":
        return lines
    if facts:
        representation = representation.but(type="A")
    stages, step = _packed(representation, lines, records, 0, None)
    return Encoder(stages, step)


def _packed(
    representation: Representation,
    lines: Translator | None,
    records: bool,
    offset: int,
    interval: int | None,
) -> tuple[list[Translator], int]:
    """The stages from the file on, and the bytes that may be fed to them at a time."""
    newline = _newline(representation) if records else None
    isRecord = records and newline is None
    mode = representation.mode
    stages = [] if lines is None else [lines]
    if mode in ("B", "C"):
        framer: Framer = (
            BlockEncoder(newline, isRecord=isRecord)
            if mode == "B"
            else RunLengthEncoder(_filler(representation), newline, isRecord=isRecord)
        )
        step = COMPRESSION_STEP if mode == "B" or newline is None else FINE_STEP
        if interval is not None:
            return [Marking(lines, framer, offset, interval)], step
        return [*stages, framer], step
    if records:
        stages.append(RecordMarksEncoder(newline))
    if mode == "Z":
        step = COMPRESSION_STEP if representation.level <= DEFAULT_LEVEL else FINE_STEP
        return [*stages, Deflater(representation.level)], step
    return stages, COARSE_STEP


def decoderFor(
    representation: Representation, settings: FTPSettings
) -> Translator | Decoder | None:
    """What turns what is received into a file; L{None} if that is the same."""
    records = representation.hasRecords(settings)
    lines: ReturnHolder | None = None
    if representation.type == "E":
        lines = EbcdicDecoder(settings.ebcdic)
    elif representation.isTranslated(settings):
        lines = TextDecoder()
    filling: Filling
    if representation.structure == "P":
        filling = PageDecoder(PAGE_FORMATS[representation.bits])
    elif not records and representation.mode == "S":
        return lines
    else:
        filling = Lines(lines, b"\n" if representation.isText else b"")
    unframer: Unframer | None = None
    if representation.mode == "B":
        unframer = BlockDecoder()
    elif representation.mode == "C":
        unframer = RunLengthDecoder(_filler(representation))
    elif records:
        unframer = RecordMarksDecoder()
    inflater = None
    if representation.mode == "Z":
        inflater = Inflater() if unframer is None else Inflater(FINE_STEP)
    return Decoder(filling, unframer, inflater)


def _newline(representation: Representation) -> bytes | None:
    """What ends a line on the wire, inside."""
    if not representation.isText:
        return None
    return NEWLINE if representation.type == "E" else b"\n"


def _filler(representation: Representation) -> bytes:
    """The filler of MODE C."""
    if not representation.isText:
        return b"\0"
    return SPACE if representation.type == "E" else b" "


__all__ = [
    "INITIAL",
    "RESTART_INTERVAL",
    "Representation",
    "decoderFor",
    "describe",
    "encoderFor",
    "listingEncoderFor",
]
