"""L{filehub.transfer.records}: record marks in stream mode."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from filehub.errors import CorruptData, PeerGone
from filehub.transfer.elements import Decoder, Lines
from filehub.transfer.records import RecordMarksDecoder, RecordMarksEncoder
from tests.transfer.codecs import CUTS, DATA, FILE, RECORD, decoded, elements, encoded


class RecordTests(SynchronousTestCase):
    def test_marks(self) -> None:
        """RFC 959 3.4.1: a line is a record, 0xFF is doubled, the end is marked."""
        wire = encoded(RecordMarksEncoder(b"\n"), b"one\n\n\xfftwo")
        self.assertEqual(wire, b"one\xff\x01\xff\x01\xff\xfftwo\xff\x02")
        self.assertEqual(encoded(RecordMarksEncoder(None), b"a\nb"), b"a\nb\xff\x03")

    def test_elements(self) -> None:
        """All marks are understood, the one for both ends too."""
        found = elements(RecordMarksDecoder(), b"a\xff\x01\xff\xffb\xff\x03")
        self.assertEqual(found, [b"a", RECORD, b"\xffb", RECORD, FILE])

    def test_hostile(self) -> None:
        """Unknown marks and bytes behind the end are errors, an early end is none."""
        for wire in (b"a\xff\x00", b"\xff\x04", b"a\xff\x02b", b"\xff\x03\xff\x02", b"\xff\xfe"):
            self.assertRaises(CorruptData, elements, RecordMarksDecoder(), wire)
            self.assertRaises(CorruptData, elements, RecordMarksDecoder(), wire, range(len(wire)))
        for wire in (b"", b"a", b"a\xff", b"a\xff\x01", b"\xff\xff"):
            self.assertRaises(PeerGone, elements, RecordMarksDecoder(), wire)

    @given(DATA, CUTS, CUTS)
    def test_roundTrip(self, data: bytes, cuts: list[int], wireCuts: list[int]) -> None:
        """Lines, and bytes of any kind, come back however they are cut."""
        for newline in (b"\n", None):
            wire = encoded(RecordMarksEncoder(newline), data, cuts)
            decoder = Decoder(Lines(None, newline or b""), RecordMarksDecoder())
            self.assertEqual(decoded(decoder, wire, wireCuts), data)
            self.assertTrue(decoder.isComplete)

    @given(st.binary(max_size=50), CUTS)
    def test_anything(self, wire: bytes, cuts: list[int]) -> None:
        """Any bytes are a file, an error, or not whole."""
        try:
            elements(RecordMarksDecoder(), wire, cuts)
        except (CorruptData, PeerGone):
            return
        self.assertIn(wire[-2:], (b"\xff\x02", b"\xff\x03"))
