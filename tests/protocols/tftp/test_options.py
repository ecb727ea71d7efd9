"""
What is granted: a subset, in order and spelling of the client, never more than asked.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from filehub.protocols.tftp import wire
from filehub.protocols.tftp.options import PLAIN, Bounds, Terms, negotiate, parseNumber
from filehub.protocols.tftp.wire import Mode, Request
from tests.protocols.tftp.test_wire import CLIENTS

NAMES = [b"blksize", b"BlkSize2", b"tsize", b"timeout", b"utimeout", b"windowsize"]
NAMES += [b"rollover", b"x"]
BOUNDS = Bounds(65464, 64, 1 << 20)


def ask(
    *options: tuple[bytes, bytes],
    write: bool = False,
    mode: Mode = Mode.OCTET,
    bounds: Bounds = BOUNDS,
    size: int | None = 1000,
) -> Terms:
    return negotiate(Request(write, b"f", mode, options), bounds, size)


class GrantTests(SynchronousTestCase):
    def test_clients(self) -> None:
        """Each real client gets the OACK that it can live with."""
        answers = {
            "iPXE": b"\0\6blksize\0001432\0tsize\0001000\0",
            "EDK2, the probe": b"\0\6tsize\0001000\0blksize\0001468\0windowsize\0004\0",
            "EDK2, the download": b"\0\6blksize\0001468\0windowsize\0004\0",
            "PXELINUX": b"\0\6tsize\0001000\0blksize\0001408\0",
            "GRUB": b"\0\6blksize\0001024\0tsize\0001000\0",
            "U-Boot": b"\0\6timeout\0005\0blksize\0001468\0windowsize\0004\0",
            "Windows bootmgr": b"\0\6tsize\0001000\0blksize\0001456\0windowsize\0004\0",
            "Raspberry Pi": b"\0\6tsize\0001000\0",
            "curl": b"\0\6tsize\0001000\0blksize\000512\0timeout\0006\0",
            "busybox": b"\0\6blksize\0001428\0tsize\0001000\0",
            "tftp-hpa": b"\0\6",
            "HP firmware, padded to 516": b"\0\6tsize\0001000\0",
        }
        for client, (packet, _) in CLIENTS.items():
            request = wire.parseRequest(packet)
            assert request is not None
            terms = negotiate(request, BOUNDS, 1000)
            self.assertEqual(wire.encodeOptionAck(terms.answer), answers[client], client)

    def test_blksize(self) -> None:
        """From 8 octets to what the way there carries; anything else is ignored."""
        bounds = Bounds(1468, 64, 1 << 20)
        for asked, granted in ((b"8", 8), (b"1024", 1024), (b"1468", 1468), (b"65464", 1468)):
            terms = ask((b"blksize", asked), bounds=bounds)
            self.assertEqual(terms.blksize, granted)
            self.assertEqual(terms.answer, ((b"blksize", b"%d" % granted),))
        for asked in (b"7", b"0", b"-1", b"", b"x", b"1e3", b" 512", b"+512", b"9" * 30):
            self.assertEqual(ask((b"blksize", asked), bounds=bounds), PLAIN, asked)

    def test_blksize2(self) -> None:
        """A power of two, unless blksize is asked for as well."""
        self.assertEqual(ask((b"blksize2", b"1500")).blksize, 1024)
        self.assertEqual(ask((b"blksize2", b"1024")).answer, ((b"blksize2", b"1024"),))
        both = ask((b"blksize2", b"2048"), (b"blksize", b"600"))
        self.assertEqual((both.blksize, both.answer), (600, ((b"blksize", b"600"),)))

    def test_spelling(self) -> None:
        """Names come back as they were written."""
        terms = ask((b"TSize", b"0"), (b"BLKSIZE", b"1024"))
        self.assertEqual(terms.answer, ((b"TSize", b"1000"), (b"BLKSIZE", b"1024")))

    def test_window(self) -> None:
        """At most the cap, in blocks and in octets; a window of one is not mentioned."""
        self.assertEqual(ask((b"windowsize", b"4")).window, 4)
        self.assertEqual(ask((b"windowsize", b"65535")).window, 64)
        large = ask((b"windowsize", b"64"), (b"blksize", b"65464"))
        self.assertEqual((large.window, large.answer[0]), (16, (b"windowsize", b"16")))
        for asked in (b"1", b"0", b"65536", b"-4"):
            self.assertEqual(ask((b"windowsize", asked)), PLAIN, asked)

    def test_timeout(self) -> None:
        """1 to 255 seconds, echoed exactly."""
        self.assertEqual(ask((b"timeout", b"5")), Terms(timeout=5.0, answer=((b"timeout", b"5"),)))
        for asked in (b"0", b"256", b"1.5"):
            self.assertEqual(ask((b"timeout", asked)), PLAIN)

    def test_utimeout(self) -> None:
        """In microseconds, from 10 ms on; it is more exact than timeout."""
        terms = ask((b"utimeout", b"100000"), (b"timeout", b"1"))
        self.assertEqual(terms.timeout, 0.1)
        self.assertEqual(len(terms.answer), 2)
        self.assertEqual(ask((b"timeout", b"1"), (b"utimeout", b"100000")).timeout, 0.1)
        self.assertEqual(ask((b"utimeout", b"9999")), PLAIN)

    def test_tsizeOfDownloads(self) -> None:
        """The size, unless it is 0 (no file, to PXELINUX and curl) or not known."""
        self.assertEqual(ask((b"tsize", b"0"), size=1 << 40).answer[0][1], b"1099511627776")
        self.assertEqual(ask((b"tsize", b"0"), size=0), PLAIN)
        self.assertEqual(ask((b"tsize", b"0"), size=None), PLAIN)
        self.assertEqual(ask((b"tsize", b"0"), mode=Mode.NETASCII), PLAIN)

    def test_tsizeOfUploads(self) -> None:
        """What the client announces comes back, and is told to the storage."""
        terms = ask((b"tsize", b"12345"), write=True, size=None)
        self.assertEqual((terms.tsize, terms.answer), (12345, ((b"tsize", b"12345"),)))
        self.assertEqual(ask((b"tsize", b"5"), write=True, mode=Mode.NETASCII), PLAIN)

    def test_rollover(self) -> None:
        """0 or 1, only if it is asked for."""
        self.assertEqual(ask((b"rollover", b"1")).rollover, 1)
        self.assertEqual(ask((b"rollover", b"0")).answer, ((b"rollover", b"0"),))
        self.assertEqual(ask((b"rollover", b"2")), PLAIN)

    def test_nothingGranted(self) -> None:
        """Unknown options alone bring no OACK at all."""
        self.assertEqual(ask((b"multicast", b""), (b"retries", b"9"), (b"", b"1")), PLAIN)

    @settings(max_examples=300, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(NAMES),
                st.one_of(st.integers(-5, 1 << 70).map(lambda n: b"%d" % n), st.binary(max_size=8)),
            ),
            max_size=8,
            unique_by=lambda each: each[0].lower(),
        ),
        st.booleans(),
    )
    def test_subset(self, options: list[tuple[bytes, bytes]], write: bool) -> None:
        """Whatever is asked: names as asked and in that order, values not above."""
        terms = ask(*options, write=write)
        asked = dict(options)
        names = [name for name, _ in options]
        places = [names.index(name) for name, _ in terms.answer]
        self.assertEqual(places, sorted(set(places)))
        for name, value in terms.answer:
            if name.lower() != b"tsize":
                self.assertLessEqual(int(value), int(asked[name]))
        self.assertTrue(8 <= terms.blksize <= 65464)
        self.assertTrue(1 <= terms.window <= 64)
        self.assertLessEqual(terms.window * terms.blksize, 1 << 20)


class NumberTests(SynchronousTestCase):
    def test_plainDecimal(self) -> None:
        """Digits only, and not too many of them."""
        self.assertEqual(parseNumber(b"0"), 0)
        self.assertEqual(parseNumber(b"007"), 7)
        self.assertEqual(parseNumber(b"9223372036854775807"), (1 << 63) - 1)
        for text in (b"", b"-1", b"+1", b"1 ", b"0x10", b"1" * 20, "\u0661".encode()):
            self.assertIsNone(parseNumber(text))
