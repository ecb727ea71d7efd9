"""L{filehub.transfer.runlength}: MODE C."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from filehub.errors import CorruptData, PeerGone
from filehub.transfer.elements import PIECE, Decoder, Lines, Restart
from filehub.transfer.runlength import RunLengthDecoder, RunLengthEncoder
from tests.transfer.codecs import CUTS, DATA, FILE, RECORD, decoded, elements, encoded


class RunLengthTests(SynchronousTestCase):
    def test_strings(self) -> None:
        """RFC 959 3.4.3: literals, replicated bytes, fillers, and the end behind an escape."""
        wire = encoded(RunLengthEncoder(b" "), b"ab" + b"x" * 70 + b"     c")
        self.assertEqual(wire, b"\x02ab\xbfx\x87x\xc5\x01c\x00\x40\xc0")
        self.assertEqual(RunLengthEncoder(b"\0").feed(bytes(64)), b"\xff\xc1")
        literal = bytes(range(128))
        self.assertEqual(
            RunLengthEncoder(b" ").feed(literal), b"\x7f" + literal[:127] + b"\x01" + literal[127:]
        )

    def test_records(self) -> None:
        """The descriptor stands before the last string of a record, be it empty."""
        wire = encoded(RunLengthEncoder(b" ", b"\n"), b"xxxxy\n\nz")
        self.assertEqual(wire, b"\x84x\0\x80\1y\0\x80\xc0\1z\0\x40\xc0")

    def test_elements(self) -> None:
        """Descriptors are about the string that follows."""
        wire = b"\2ab\0\x80\1c\0\x10\2m1\0\x20\x83z\0\xc0\xc2"
        found = elements(RunLengthDecoder(b"_"), wire)
        self.assertEqual(found, [b"abc", RECORD, Restart("m1"), b"zzz__", RECORD, FILE])

    def test_lastDescriptorAlone(self) -> None:
        """An end of the file with no string behind it, and a closed connection, will do."""
        self.assertEqual(elements(RunLengthDecoder(b" "), b"\1a\0\x40"), [b"a"])

    def test_hostile(self) -> None:
        """Unknown descriptors, markers that are none and bytes behind the end are errors."""
        marker = b"\0\x10\x7f" + b"m" * 127
        for wire in (
            b"\0\1",
            b"\0\x50",
            b"\0\x10\0\x80",
            b"\0\x10\xc0",
            b"\0\x10\xc1",
            marker + b"\0\x10" + b"\x7f" * 300,
            b"\0\x40\xc0x",
            b"\0\x40\1ab",
        ):
            self.assertRaises(CorruptData, elements, RunLengthDecoder(b" "), wire)
            self.assertRaises(CorruptData, elements, RunLengthDecoder(b" "), wire, range(len(wire)))
        for wire in (b"", b"\1a", b"\2a", b"\x82", b"\0", b"\0\x80", b"\0\x40\1", b"\0\x40\x81"):
            self.assertRaises(PeerGone, elements, RunLengthDecoder(b" "), wire)

    def test_bounded(self) -> None:
        """However much a little stands for, no more than a buffer comes together."""
        decoder = Decoder(Lines(None, b""), RunLengthDecoder(b"\0"))
        made = [piece for piece in decoder.feed(b"\xff" * 32768) if isinstance(piece, bytes)]
        self.assertEqual(sum(map(len, made)), 32768 * 63)
        self.assertLess(max(map(len, made)), PIECE + 64)

    @given(DATA, CUTS, CUTS, st.sampled_from([b" ", b"\0", b"\x40"]))
    def test_roundTrip(
        self, data: bytes, cuts: list[int], wireCuts: list[int], filler: bytes
    ) -> None:
        """Lines, and bytes of any kind, come back however they are cut."""
        for newline in (b"\n", None):
            wire = encoded(RunLengthEncoder(filler, newline), data, cuts)
            decoder = Decoder(Lines(None, newline or b""), RunLengthDecoder(filler))
            self.assertEqual(decoded(decoder, wire, wireCuts), data)
            self.assertTrue(decoder.isComplete)

    @given(st.binary(max_size=50), CUTS)
    def test_anything(self, wire: bytes, cuts: list[int]) -> None:
        """Any bytes are a file, an error, or not whole, however they are cut."""
        results = []
        for each in ((), cuts):
            try:
                results.append(elements(RunLengthDecoder(b" "), wire, each))
            except (CorruptData, PeerGone) as error:
                results.append([type(error).__name__.encode()])
        self.assertEqual(results[0], results[1])
