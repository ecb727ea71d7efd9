"""L{filehub.transfer.blockmode}: MODE B."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from filehub.errors import CorruptData, PeerGone
from filehub.transfer.blockmode import BlockDecoder, BlockEncoder
from filehub.transfer.elements import Decoder, Lines, Marking, Restart
from tests.transfer.codecs import CUTS, DATA, FILE, RECORD, decoded, elements, encoded, markers


class BlockTests(SynchronousTestCase):
    def test_blocks(self) -> None:
        """RFC 959 3.4.2: a header of a descriptor and a count; an empty block ends the file."""
        self.assertEqual(encoded(BlockEncoder(), b"abc"), b"\0\0\3abc\x40\0\0")
        self.assertEqual(encoded(BlockEncoder(), b""), b"\x40\0\0")
        self.assertEqual(encoded(BlockEncoder(isRecord=True), b"a"), b"\0\0\1a\xc0\0\0")

    def test_records(self) -> None:
        """The last block of a record says so, and an empty record is an empty block."""
        wire = encoded(BlockEncoder(b"\n"), b"one\n\ntwo")
        self.assertEqual(wire, b"\x80\0\3one\x80\0\0\0\0\3two\x40\0\0")

    def test_large(self) -> None:
        """What is too long for a count takes several blocks, the last of which ends the record."""
        wire = BlockEncoder(b"\n").feed(bytes(65536) + b"\n")
        self.assertEqual(wire, b"\0\xff\xff" + bytes(65535) + b"\x80\0\1\0")

    def test_elements(self) -> None:
        """All descriptors are understood; data that its sender suspects is stored."""
        wire = b"\x80\0\2ab\x10\0\4mark\x20\0\1c\0\0\0\xe0\0\1d"
        found = elements(BlockDecoder(), wire)
        self.assertEqual(found, [b"ab", RECORD, Restart("mark"), b"cd", RECORD, FILE])

    def test_hostile(self) -> None:
        """Unknown descriptors, markers that are none and bytes behind the end are errors."""
        for wire in (
            b"\x01\0\0",
            b"\x90\0\1a",
            b"\x10\0\0",
            b"\x10\1\0",
            b"\x10\0\1 ",
            b"\x10\0\1\xe4",
            b"\x40\0\0x",
        ):
            self.assertRaises(CorruptData, elements, BlockDecoder(), wire)
            self.assertRaises(CorruptData, elements, BlockDecoder(), wire, range(len(wire)))
        for wire in (b"", b"\0", b"\0\0\2a", b"\0\0\1a", b"\x40\0\2a", b"\x80\0\0"):
            self.assertRaises(PeerGone, elements, BlockDecoder(), wire)

    @given(DATA, CUTS, CUTS)
    def test_roundTrip(self, data: bytes, cuts: list[int], wireCuts: list[int]) -> None:
        """Lines, and bytes of any kind, come back however they are cut."""
        for newline in (b"\n", None):
            wire = encoded(BlockEncoder(newline), data, cuts)
            decoder = Decoder(Lines(None, newline or b""), BlockDecoder())
            self.assertEqual(decoded(decoder, wire, wireCuts), data)
            self.assertTrue(decoder.isComplete)

    @given(DATA, CUTS, st.integers(1, 50))
    def test_restart(self, data: bytes, cuts: list[int], interval: int) -> None:
        """From each marker on, what follows is the rest of the file."""
        wire = encoded(Marking(None, BlockEncoder(), 0, interval), data, cuts)
        found = elements(BlockDecoder(), wire)
        for marker in markers(found):
            at = found.index(Restart(marker))
            rest = b"".join(each for each in found[at:] if isinstance(each, bytes))
            self.assertEqual(rest, data[int(marker) :])

    @given(st.binary(max_size=50), CUTS)
    def test_anything(self, wire: bytes, cuts: list[int]) -> None:
        """Any bytes are a file, an error, or not whole, however they are cut."""
        results = []
        for each in ((), cuts):
            try:
                results.append(elements(BlockDecoder(), wire, each))
            except (CorruptData, PeerGone) as error:
                results.append([type(error).__name__.encode()])
        self.assertEqual(results[0], results[1])
