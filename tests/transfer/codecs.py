"""
What the tests of all codecs have in common: data with what matters, in any pieces.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from hypothesis import strategies as st

from filehub.transfer.elements import Content, Decoder, Element, Hole, Restart, Sign, Unframer
from filehub.transfer.translate import Translator

#: Runs, ends of lines, escapes and everything else.
DATA = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.builds(
            lambda byte, count: byte * count,
            st.sampled_from([b"\0", b" ", b"\n", b"\r", b"\xff", b"x", b"\x15", b"\x40"]),
            st.integers(1, 200),
        ),
        st.sampled_from([b"\r\n", b"line\n", b"\xff\x01", b"\xff\x02", b"\0\x40"]),
    ),
    max_size=12,
).map(b"".join)
#: Where to cut what travels.
CUTS = st.lists(st.integers(min_value=0, max_value=400), max_size=8)


def pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """C{data}, cut at these offsets."""
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def encoded(encoder: Translator, data: bytes, cuts: Sequence[int] = ()) -> bytes:
    """What an encoder makes of C{data}, in such pieces."""
    return b"".join([encoder.feed(piece) for piece in pieces(data, cuts)] + [encoder.finish()])


def elements(unframer: Unframer, wire: bytes, cuts: Sequence[int] = ()) -> list[Element]:
    """What an unframer finds in C{wire}; neighbouring data is put together."""
    found: list[Element] = []
    for piece in pieces(wire, cuts):
        for element in unframer.feed(piece):
            if isinstance(element, bytes) and found and isinstance(found[-1], bytes):
                found[-1] += element
            else:
                found.append(element)
    unframer.finish()
    return found


def decoded(decoder: Decoder | Translator, wire: bytes, cuts: Sequence[int] = ()) -> bytes:
    """The file that a decoder makes of C{wire}: holes are zeros, markers are dropped."""
    file = bytearray()

    def store(contents: Iterable[Content]) -> None:
        for content in contents:
            if isinstance(content, bytes):
                file.extend(content)
            elif isinstance(content, Hole):
                file.extend(bytes(content.length))

    for piece in pieces(wire, cuts):
        made = decoder.feed(piece)
        store((made,) if isinstance(made, bytes) else made)
    made = decoder.finish()
    store((made,) if isinstance(made, bytes) else made)
    return bytes(file)


def markers(found: Iterable[Element]) -> list[str]:
    """The restart markers among them."""
    return [each.marker for each in found if isinstance(each, Restart)]


RECORD, FILE = Sign.END_OF_RECORD, Sign.END_OF_FILE

__all__ = [
    "CUTS",
    "DATA",
    "FILE",
    "RECORD",
    "decoded",
    "elements",
    "encoded",
    "markers",
    "pieces",
]
