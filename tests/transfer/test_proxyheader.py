"""
L{filehub.transfer.proxyheader}: PROXY headers of both versions, and all that is none.
"""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from filehub.credentials import Address
from filehub.transfer.proxyheader import (
    MAXIMUM_HEADER,
    MAXIMUM_LINE,
    BadHeader,
    ProxyHeader,
    parseHeader,
)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def binary(command: int, kind: int, body: bytes, extra: int = 0) -> bytes:
    """A header of version 2."""
    return SIGNATURE + struct.pack("!BBH", command, kind, len(body) + extra) + body


V4 = bytes((192, 0, 2, 1, 198, 51, 100, 7)) + struct.pack("!HH", 40000, 21)
V6 = bytes(15) + b"\1" + bytes(15) + b"\2" + struct.pack("!HH", 40000, 21)
GOOD = {
    b"PROXY TCP4 192.0.2.1 198.51.100.7 40000 21\r\n": ("192.0.2.1", "198.51.100.7"),
    b"PROXY TCP6 2001:db8::1 2001:db8::2 40000 21\r\n": ("2001:db8::1", "2001:db8::2"),
    b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.7 40000 21\r\n": ("192.0.2.1", "198.51.100.7"),
    binary(0x21, 0x11, V4): ("192.0.2.1", "198.51.100.7"),
    binary(0x21, 0x11, V4 + b"\x04\0\1x"): ("192.0.2.1", "198.51.100.7"),
    binary(0x21, 0x21, V6): ("::1", "::2"),
}
UNKNOWN = [
    b"PROXY UNKNOWN\r\n",
    b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
    binary(0x20, 0x00, b""),
    binary(0x20, 0x11, V4),
    binary(0x21, 0x00, b""),
    binary(0x21, 0x31, bytes(216)),
]


class GoodTests(SynchronousTestCase):
    def test_headers(self) -> None:
        """Both versions, both families; what follows is left alone."""
        for raw, (source, target) in GOOD.items():
            expected = ProxyHeader(Address(source, 40000), Address(target, 21), len(raw))
            self.assertEqual(parseHeader(raw + b"USER ann\r\n"), expected)

    def test_unknown(self) -> None:
        """Health checks and other families name nobody."""
        for raw in UNKNOWN:
            self.assertEqual(parseHeader(raw + b"x"), ProxyHeader(None, None, len(raw)))

    def test_fragments(self) -> None:
        """Until the last byte is there the answer is: not yet."""
        for raw in (*GOOD, *UNKNOWN):
            for length in range(len(raw)):
                self.assertIsNone(parseHeader(raw[:length]), raw[:length])


class BadTests(SynchronousTestCase):
    def test_malformed(self) -> None:
        """What is no header, or says nothing that can be used."""
        for raw in (
            b"USER ann\r\n", b"P\r\n", b"PROXY\r\n", b"PROXY \r\n", b"PROXY TCP4\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.7 40000\r\n",
            b"proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
            b"PROXY TCP4 192.0.2.1 198.51.100.7 40000 21 x\r\n",
            b"PROXY TCP4 2001:db8::1 2001:db8::2 40000 21\r\n",
            b"PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n",
            b"PROXY TCP4 host 198.51.100.7 40000 21\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 21\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 21\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 +21\r\n",
            b"PROXY TCP4 \xb9.2.3.4 1.2.3.4 1 21\r\n", b"PROXY TCP4  1.2.3.4 1.2.3.4 1 21\r\n",
            b"PROXY " + b"x" * MAXIMUM_LINE, b"\r\n\r\nx", b"\0" * 20,
            binary(0x11, 0x11, V4), binary(0x22, 0x11, V4), binary(0x21, 0x11, V4[:-1]),
            binary(0x21, 0x21, V6[:-1]), binary(0x21, 0x11, V4, MAXIMUM_HEADER),
        ):  # fmt: skip
            self.assertRaises(BadHeader, parseHeader, raw)

    @given(st.binary(max_size=300))
    def test_anything(self, raw: bytes) -> None:
        """Whatever comes, the answer is a header, not yet, or no."""
        try:
            header = parseHeader(raw)
        except BadHeader:
            return
        if header is None:
            self.assertLess(len(raw), MAXIMUM_HEADER)
        else:
            self.assertLessEqual(header.length, len(raw))
