"""L{filehub.transfer.deflate}: MODE Z."""

import zlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from filehub.errors import CorruptData, PeerGone
from filehub.transfer.deflate import LEVELS, Deflater, Inflater
from filehub.transfer.elements import PIECE, Decoder, Lines
from tests.transfer.codecs import CUTS, DATA, decoded, encoded


def decoder() -> Decoder:
    return Decoder(Lines(None, b""), None, Inflater())


class DeflateTests(SynchronousTestCase):
    @given(DATA, CUTS, CUTS, st.sampled_from(LEVELS))
    def test_roundTrip(self, data: bytes, cuts: list[int], wireCuts: list[int], level: int) -> None:
        """It is zlib's format, and comes back however it is cut."""
        wire = encoded(Deflater(level), data, cuts)
        self.assertEqual(zlib.decompress(wire), data)
        self.assertEqual(decoded(decoder(), wire, wireCuts), data)

    def test_bomb(self) -> None:
        """However much a little stands for, it comes a buffer at a time."""
        bomb = zlib.compress(bytes(200 * 1024 * 1024), 9)
        total = 0
        bombed = Inflater()
        for piece in bombed.feed(bomb):
            self.assertLessEqual(len(piece), PIECE)
            total += len(piece)
        bombed.finish()
        self.assertEqual(total, 200 * 1024 * 1024)

    def test_hostile(self) -> None:
        """Damage, and bytes behind the end, are errors; an early end is no success."""
        wire = zlib.compress(b"content" * 100)
        for damaged in (b"plain", wire + b"x", wire[:-1] + b"\0", wire + wire, b"\x1f\x8b\x08\0"):
            self.assertRaises(CorruptData, decoded, decoder(), damaged)
            self.assertRaises(CorruptData, decoded, decoder(), damaged, range(len(damaged)))
        for end in range(len(wire)):
            self.assertRaises(PeerGone, decoded, decoder(), wire[:end])

    def test_endOfStreamIsNoEnd(self) -> None:
        """The connection has to end too, as in MODE S."""
        each = decoder()
        self.assertEqual(b"".join(each.feed(zlib.compress(b"a"))), b"a")  # type: ignore[arg-type]
        self.assertFalse(each.isComplete)
