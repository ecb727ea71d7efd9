"""L{filehub.transfer.translate}: lines of storage, lines of the wire."""

import itertools
from collections.abc import Callable, Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from filehub.transfer.translate import (
    NetasciiDecoder,
    NetasciiEncoder,
    TextDecoder,
    TextEncoder,
    Translator,
)

#: Mostly the bytes that matter, so that every combination comes up.
lines = st.lists(st.sampled_from([b"\r", b"\n", b"\0", b"a", b"\xff"]), max_size=40).map(b"".join)
cuts = st.lists(st.integers(min_value=0, max_value=40), max_size=6)


def translated(make: Callable[[], Translator], data: bytes, cuts: Sequence[int] = ()) -> bytes:
    """C{data} through a new translator, in pieces cut at these offsets."""
    translator = make()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    return b"".join([translator.feed(piece) for piece in pieces] + [translator.finish()])


class TextTests(SynchronousTestCase):
    """C{TYPE A} of RFC 959."""

    def test_knownLines(self) -> None:
        """LF becomes CRLF, CRLF stays, a lone CR is data."""
        self.assertEqual(translated(TextEncoder, b"a\nb\r\nc\rd\n"), b"a\r\nb\r\nc\rd\r\n")
        self.assertEqual(translated(TextDecoder, b"a\r\nb\nc\rd\r\n\r"), b"a\nb\nc\rd\n\r")

    @given(lines, cuts)
    def test_cutsDoNotMatter(self, data: bytes, cuts: list[int]) -> None:
        """However the bytes are cut into buffers, the result is the same."""
        for make in (TextEncoder, TextDecoder):
            self.assertEqual(translated(make, data, cuts), translated(make, data))

    @given(lines, cuts)
    def test_roundTrip(self, data: bytes, cuts: list[int]) -> None:
        """What comes back are the same lines, ended with LF."""
        wire = translated(TextEncoder, data, cuts)
        self.assertEqual(translated(TextDecoder, wire, cuts), data.replace(b"\r\n", b"\n"))

    @given(lines)
    def test_everyLineEndsRight(self, data: bytes) -> None:
        """No LF goes out without a CR, and none gets a second one."""
        wire = translated(TextEncoder, data)
        self.assertEqual(wire.count(b"\n"), wire.count(b"\r\n"))
        self.assertEqual(wire.count(b"\n"), data.count(b"\n"))


class NetasciiTests(SynchronousTestCase):
    """netascii of RFC 1350."""

    def test_knownLines(self) -> None:
        """LF becomes CRLF and CR becomes CR NUL."""
        self.assertEqual(translated(NetasciiEncoder, b"a\nb\rc\r\n"), b"a\r\nb\r\0c\r\0\r\n")
        self.assertEqual(translated(NetasciiDecoder, b"a\r\nb\r\0c\rd\r"), b"a\nb\rc\rd\r")

    @given(lines, cuts)
    def test_cutsDoNotMatter(self, data: bytes, cuts: list[int]) -> None:
        """However the bytes are cut into buffers, the result is the same."""
        for make in (NetasciiEncoder, NetasciiDecoder):
            self.assertEqual(translated(make, data, cuts), translated(make, data))

    @given(st.one_of(lines, st.binary()), cuts)
    def test_roundTripIsExact(self, data: bytes, cuts: list[int]) -> None:
        """Every file comes back byte for byte."""
        wire = translated(NetasciiEncoder, data, cuts)
        self.assertEqual(translated(NetasciiDecoder, wire, cuts), data)
