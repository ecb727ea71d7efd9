"""L{filehub.transfer.pages}: files in pages."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from filehub.errors import CorruptData, FileTooLarge, PeerGone, UnknownPage
from filehub.transfer.elements import Content, Decoder, Hole
from filehub.transfer.pages import PAGE_FORMATS, PageDecoder, PageEncoder
from tests.transfer.codecs import CUTS, decoded, encoded, pieces

BYTES, WORDS = PAGE_FORMATS[8], PAGE_FORMATS[32]


def decoder(format: int = 8) -> Decoder:
    return Decoder(PageDecoder(PAGE_FORMATS[format]))


def contents(wire: bytes, format: int = 8) -> list[Content]:
    """What a file gets of these pages."""
    each = decoder(format)
    return [*each.feed(wire), *each.finish()]


#: Parts of a file: data, or a hole of so many bytes.
PARTS = st.lists(st.one_of(st.binary(max_size=300), st.integers(0, 9000)), max_size=6)


class PageTests(SynchronousTestCase):
    def test_pages(self) -> None:
        """RFC 959 3.1.2.3: header length, index, data length, type; the last page is empty."""
        data = bytes(range(130))
        wire = encoded(PageEncoder(BYTES, 130), data)
        self.assertEqual(
            wire,
            b"\x04\x00\x08\x02" + (130).to_bytes(8, "big")
            + b"\x04\x00\x80\x01" + data[:128]
            + b"\x04\x01\x02\x01" + data[128:]
            + b"\x04\x00\x00\x00",
        )  # fmt: skip

    def test_holes(self) -> None:
        """Pages that are only a hole do not travel and come back as one."""
        encoder = PageEncoder(WORDS, 1 << 40)
        wire = encoder.feed(b"start") + encoder.skip((1 << 40) - 10) + encoder.feed(b"stop!")
        wire += encoder.finish()
        self.assertLess(len(wire), 5000)
        found = contents(wire, 32)
        self.assertEqual(found[0], b"start\0\0\0")
        self.assertEqual(found[1], Hole((1 << 40) - 4096 - 8))
        self.assertEqual(found[2], bytes(4091) + b"stop!")

    def test_holeAtTheEnd(self) -> None:
        """A file may end with a hole: its descriptor has the length."""
        encoder = PageEncoder(BYTES, 1000)
        wire = encoder.feed(b"a") + encoder.skip(999) + encoder.finish()
        self.assertEqual(contents(wire), [b"a", Hole(999)])

    def test_foreign(self) -> None:
        """Without a descriptor, with access controlled pages, and short pages in between."""
        wire = b"\5\0\1\3\x07a" + b"\4\2\2\1bc" + b"\4\0\0\0"
        self.assertEqual(contents(wire), [b"a", Hole(255), b"bc"])

    def test_tooLarge(self) -> None:
        """What the index cannot count is refused at once."""
        self.assertRaises(FileTooLarge, PageEncoder, BYTES, 256 * 128 + 1)
        self.assertRaises(FileTooLarge, PageEncoder, WORDS, (1 << 44) + 1)

    def test_hostile(self) -> None:
        """Headers that break the rules, disorder, lies about the length, and more behind it."""
        descriptor = b"\4\0\x08\2" + (3).to_bytes(8, "big")
        for wire in (
            b"\3\0\0\0",
            b"\6\0\0\1",
            b"\5\0\0\1\0",
            b"\4\0\0\3",
            b"\4\0\1\0x",
            b"\4\0\x81\1" + bytes(129),
            b"\4\1\0\1\4\1\0\1",
            b"\4\1\0\1\4\0\0\1",
            b"\4\0\7\2" + bytes(7),
            descriptor + descriptor,
            b"\4\0\0\1" + descriptor,
            b"\4\0\x08\2" + b"\xff" * 8,
            descriptor + b"\4\0\4\1abcd",
            descriptor + b"\4\1\0\1",
            b"\4\0\0\0\0",
        ):
            self.assertRaises(CorruptData, decoded, decoder(), wire)
            self.assertRaises(CorruptData, decoded, decoder(), wire, range(len(wire)))
        self.assertRaises(UnknownPage, decoded, decoder(), b"\4\0\0\4")
        for wire in (b"", b"\4", descriptor, b"\4\0\1\1a", b"\4\0\2\1a", b"\4\0\0"):
            self.assertRaises(PeerGone, decoded, decoder(), wire)

    @given(PARTS, CUTS, st.sampled_from([8, 32]))
    def test_roundTrip(self, parts: list[bytes | int], cuts: list[int], bits: int) -> None:
        """Any data and holes come back, to the byte, however they are cut."""
        file = b"".join(part if isinstance(part, bytes) else bytes(part) for part in parts)
        if len(file) > PAGE_FORMATS[bits].largestFile:
            return
        encoder = PageEncoder(PAGE_FORMATS[bits], len(file))
        wire = b""
        for part in parts:
            if isinstance(part, int):
                wire += encoder.skip(part)
            else:
                for piece in pieces(part, cuts):
                    wire += encoder.feed(piece)
        wire += encoder.finish()
        self.assertEqual(decoded(decoder(bits), wire, cuts), file)

    @given(st.binary(max_size=60), CUTS)
    def test_anything(self, wire: bytes, cuts: list[int]) -> None:
        """Any bytes are a file, an error, or not whole."""
        results = []
        for each in ((), cuts):
            try:
                results.append(decoded(decoder(), wire, each))
            except (CorruptData, PeerGone) as error:
                results.append(type(error).__name__.encode())
        self.assertEqual(results[0], results[1])
