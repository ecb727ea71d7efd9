"""
TYPE, STRU and MODE in all combinations: what a file looks like on the wire, and that it
comes back.
"""

from __future__ import annotations

import zlib
from itertools import product

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from filehub.events import Outcome, TransferEnded
from filehub.protocols.ftp.representation import (
    INITIAL,
    RESTART_INTERVAL,
    Representation,
    decoderFor,
    encoderFor,
)
from filehub.protocols.ftp.settings import FTPSettings
from filehub.transfer.blockmode import BlockDecoder
from tests.protocols.ftp.doubles import Client, finalCodes
from tests.transfer.codecs import CUTS, DATA, decoded, elements, encoded, markers

DEFLATING = FTPSettings(deflate=True)
TYPES = ("A", "A T", "A C", "E", "E N", "I", "L 8", "L 32")
STRUCTURES, MODES = "FRP", "SBCZ"
#: The combinations that can transfer files.
POSSIBLE = [
    (type, structure, mode)
    for type, structure, mode in product(TYPES, STRUCTURES, MODES)
    if not ((structure == "P" and type[0] in "AE") or (type == "L 32" and structure != "P"))
]


def connected(type: str = "I", structure: str = "F", mode: str = "S", **options: bool) -> Client:
    """A client that has said so."""
    client = Client(FTPSettings(deflate=True, **options)).logIn()  # type: ignore[arg-type]
    lines = [f"TYPE {type}", f"STRU {structure}", f"MODE {mode}"]
    assert client.codes(lines) == [200, 200, 200], lines
    return client


class RoundTripTests(SynchronousTestCase):
    @settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
    @given(DATA, st.sampled_from(POSSIBLE))
    def test_downAndUp(self, data: bytes, how: tuple[str, str, str]) -> None:
        """What a client has retrieved it can store: the same file, line by line in text."""
        client = connected(*how)
        client.tree.putFile("/f", data)
        said, wire = client.retrieve("RETR f")
        self.assertEqual(finalCodes(said), [226])
        said = client.store("STOR g", wire[:7], wire[7:])
        self.assertEqual(finalCodes(said), [226], (how, said))
        if how[0][0] in "AE":
            data = data.replace(b"\r\n", b"\n")
        if how[0][0] == "E":
            data = data.replace(b"\r\x85", b"\n")
        if how[0][0] == "A" and how[1] == "R":
            # A CR before an end of a line that stood between two others.
            got = client.tree.content("/g").replace(b"\r\n", b"\n")
            self.assertEqual(got, data.replace(b"\r\n", b"\n"), how)
        else:
            self.assertEqual(client.tree.content("/g"), data, how)
        self.assertEqual(self.flushLoggedErrors(), [])

    @settings(deadline=None, max_examples=200)
    @given(st.binary(max_size=80), CUTS, st.sampled_from(POSSIBLE))
    def test_anythingStored(self, wire: bytes, cuts: list[int], how: tuple[str, str, str]) -> None:
        """Any bytes are a file or a clear refusal; then nothing is published, nor logged."""
        client = connected(*how)
        client.tree.putFile("/g", b"old")
        cut = min(cuts, default=0)
        said = client.store("STOR g", *(piece for piece in (wire[:cut], wire[cut:]) if piece))
        (code,) = finalCodes(said)
        self.assertIn(code, (226, 426, 451, 504, 551))
        if code != 226:
            self.assertEqual(client.tree.content("/g"), b"old")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_truncated(self) -> None:
        """Whatever marks its own end is no file without it."""
        for how in POSSIBLE:
            if how[1] == "F" and how[2] == "S":
                continue
            client = connected(*how)
            client.tree.putFile("/f", b"one\ntwo\n" * 20)
            client.tree.putFile("/g", b"old")
            _, wire = client.retrieve("RETR f")
            for end in (0, len(wire) // 2, len(wire) - 1):
                said = client.store("STOR g", *(wire[:end] and [wire[:end]]))
                if how[2] == "C" and wire[end:] == b"\xc0":
                    continue
                self.assertEqual(finalCodes(said), [426], (how, end))
                self.assertEqual(client.events(TransferEnded)[-1].outcome, Outcome.PEER_GONE)
                self.assertEqual(client.tree.content("/g"), b"old")

    def test_rubbishBehind(self) -> None:
        """Bytes behind the end of a file are an error, and nothing is published."""
        for how in POSSIBLE:
            if how[1] == "F" and how[2] == "S":
                continue
            client = connected(*how)
            client.tree.putFile("/f", b"one\ntwo\n")
            _, wire = client.retrieve("RETR f")
            self.assertEqual(finalCodes(client.store("STOR g", wire + b"x")), [451], how)

    def test_suspects(self) -> None:
        """What the sender itself suspects of errors is stored, and 226 tells how much it was."""
        for mode, wire in (
            ("B", b"\0\0\1a\x20\0\1b\x60\0\1c"),
            ("C", b"\1a\0\x20\1b\0\x60\1c"),
        ):
            client = connected("I", "F", mode)
            said = client.store("STOR g", wire)
            self.assertIn(b"226 Transfer complete; suspect blocks: 2\r\n", said)
            self.assertEqual(client.tree.content("/g"), b"abc")

    def test_openConnection(self) -> None:
        """Where the end of the file is marked, the client need not close its connection."""
        for how in POSSIBLE:
            if how[2] == "Z" or (how[1], how[2]) == ("F", "S"):
                continue
            client = connected(*how)
            client.tree.putFile("/f", b"one\ntwo\n")
            _, wire = client.retrieve("RETR f")
            client.code("PASV")
            client.data.stream.receive(wire)
            self.assertEqual(finalCodes(client.say("STOR g")), [226], how)
            self.assertEqual(client.tree.content("/g"), b"one\ntwo\n", how)


class WireTests(SynchronousTestCase):
    """What it looks like, for each of the layers."""

    def wire(self, data: bytes, *how: str) -> bytes:
        client = connected(*how)
        client.tree.putFile("/f", data)
        return client.retrieve("RETR f")[1]

    def test_ebcdic(self) -> None:
        """Lines end in NL; a listener may have another code page."""
        self.assertEqual(self.wire(b"A!\r\n", "E"), b"\xc1\x5a\x15")
        client = Client(FTPSettings(ebcdic="cp500")).logIn()
        client.tree.putFile("/f", b"A!\n")
        client.code("TYPE E")
        said, data = client.retrieve("RETR f")
        self.assertEqual(data, b"\xc1\x4f\x15")
        self.assertTrue(said.startswith(b"150 Opening EBCDIC mode data connection.\r\n"))

    def test_formats(self) -> None:
        """Format effectors and ASA characters travel as they are."""
        data = b"1\x0ctitle\n+\x0bover\n"
        for format in ("N", "T", "C"):
            self.assertEqual(self.wire(data, f"A {format}"), data.replace(b"\n", b"\r\n"))

    def test_records(self) -> None:
        """Lines are records; other files are one."""
        self.assertEqual(self.wire(b"a\r\nb\n", "A", "R"), b"a\xff\x01b\xff\x01\xff\x02")
        self.assertEqual(self.wire(b"A\n", "E", "R"), b"\xc1\xff\x01\xff\x02")
        self.assertEqual(self.wire(b"a\n\xff", "I", "R"), b"a\n\xff\xff\xff\x03")
        self.assertEqual(self.wire(b"a\nb", "A", "R", "B"), b"\x80\0\1a\0\0\1b\x40\0\0")
        self.assertEqual(self.wire(b"a\nb", "I", "R", "B"), b"\0\0\3a\nb\xc0\0\0")
        self.assertEqual(self.wire(b"a   \n", "A", "R", "C"), b"\1a\0\x80\xc3\0\x40\xc0")

    def test_recordsLiterally(self) -> None:
        """RFC 1123 4.1.2.13: STRU R accepted, and files sent as they are."""
        client = Client(FTPSettings(records="literal")).logIn()
        client.tree.putFile("/f", b"a\n\xff")
        self.assertEqual(client.codes(["STRU R", "SIZE f", "REST 1"]), [200, 213, 350])
        self.assertEqual(client.retrieve("RETR f")[1], b"\n\xff")
        self.assertEqual(finalCodes(client.store("STOR g", b"\xff\x02")), [226])
        self.assertEqual(client.tree.content("/g"), b"\xff\x02")

    def test_recordsReceived(self) -> None:
        """A record becomes a line of text, and nothing but its bytes in other files."""
        for type, expected in (("A", b"a\nb\n"), ("I", b"ab")):
            client = connected(type, "R")
            client.store("STOR g", b"a\xff\x01b\xff\x03")
            self.assertEqual(client.tree.content("/g"), expected)

    def test_filler(self) -> None:
        """A space in text, a zero elsewhere."""
        for type, byte, filler in (("A", b" ", b" "), ("E", b" ", b"\x40"), ("I", b"\0", b"\0")):
            self.assertEqual(self.wire(byte * 9, type, "F", "C"), b"\xc9\0\x40\xc0", filler)

    def test_deflate(self) -> None:
        """zlib's format, of what MODE S would be; OPTS chooses the level."""
        data = b"line\n" * 1000
        client = connected("A", "R", "Z")
        client.tree.putFile("/f", data)
        plain = b"line\xff\x01" * 1000 + b"\xff\x02"
        sizes = []
        for level in (1, 9):
            self.assertEqual(client.code(f"OPTS MODE Z LEVEL {level}"), 200)
            wire = client.retrieve("RETR f")[1]
            self.assertEqual(zlib.decompress(wire), plain)
            sizes.append(len(wire))
        self.assertGreater(sizes[0], sizes[1])

    def test_pagesNeedTheRightType(self) -> None:
        """Pages of text, and 32-bit bytes without pages, are 504 when they are to be used."""
        for how in product(TYPES, STRUCTURES):
            client = connected(*how)
            client.tree.putFile("/f", b"x")
            wanted = 226 if (*how, "S") in POSSIBLE else 504
            self.assertEqual(finalCodes(client.retrieve("RETR f")[0]), [wanted], how)
            if wanted == 504:
                self.assertEqual(finalCodes(client.store("STOR g", b"x")), [504], how)

    def test_unknownPage(self) -> None:
        """551, as RFC 959 has it for just this."""
        said = connected("I", "P").store("STOR g", b"\4\0\0\x09")
        self.assertEqual(finalCodes(said), [551])

    def test_tooLargeForPages(self) -> None:
        """Said before the data connection is opened."""
        client = connected("I", "P")
        client.tree.putFile("/f", bytes(40_000))
        said, data = client.retrieve("RETR f")
        self.assertEqual(said, b"552 Too large for pages of 8-bit bytes\r\n")
        self.assertEqual(data, b"")


class LengthTests(SynchronousTestCase):
    def test_size(self) -> None:
        """SIZE is exact or 550: only where bytes stay what they are, whatever the mode."""
        for type, structure, mode in product(TYPES, STRUCTURES, MODES):
            client = connected(type, structure, mode)
            client.tree.putFile("/f", b"12345")
            exact = type in ("I", "L 8") and structure == "F"
            self.assertEqual(client.code("SIZE f"), 213 if exact else 550, (type, structure))

    def test_announced(self) -> None:
        """150 tells the length only where it is one."""
        for structure, told in (("F", True), ("R", False), ("P", False)):
            client = connected("I", structure)
            client.tree.putFile("/f", b"12345")
            self.assertEqual(b"(5 bytes)" in client.retrieve("RETR f")[0], told)


class RestartTests(SynchronousTestCase):
    DATA = b"".join(b"line %d\n" % number for number in range(50_000))

    def test_where(self) -> None:
        """Offsets where bytes stay what they are, markers in MODE B and C, never for pages."""
        for type, structure, mode in product(TYPES, STRUCTURES, MODES):
            client = connected(type, structure, mode)
            client.tree.putFile("/f", b"12345")
            stays = type in ("I", "L 8") and structure == "F"
            may = stays or (mode in "BC" and structure != "P" and type != "L 32")
            self.assertEqual(client.code("REST 2"), 350 if may else 501, (type, structure, mode))
            client.codes(["TYPE I", "STRU F", "MODE S", "REST 2"])
            client.codes([f"TYPE {type}", f"STRU {structure}", f"MODE {mode}"])
            code = 226 if may else 504 if (type, structure, mode) not in POSSIBLE else 501
            self.assertEqual(finalCodes(client.retrieve("RETR f")[0]), [code])

    def test_deflated(self) -> None:
        """In MODE Z an offset counts bytes of the file."""
        client = connected("I", "F", "Z")
        client.tree.putFile("/f", b"0123456789")
        self.assertEqual(client.code("REST 4"), 350)
        self.assertEqual(zlib.decompress(client.retrieve("RETR f")[1]), b"456789")
        client.code("REST 4")
        self.assertEqual(finalCodes(client.store("STOR f", zlib.compress(b"xyz"))), [226])
        self.assertEqual(client.tree.content("/f"), b"0123xyz")

    def test_markersSent(self) -> None:
        """A download can be restarted at any of its markers, in text too."""
        for type, structure in (("A", "F"), ("A", "R"), ("E", "R"), ("I", "F")):
            client = connected(type, structure, "B")
            client.tree.putFile("/f", self.DATA)
            whole = elements(BlockDecoder(), client.retrieve("RETR f")[1])
            marks = markers(whole)
            self.assertGreaterEqual(len(marks), len(self.DATA) // RESTART_INTERVAL - 1)
            for marker in (marks[0], marks[-1]):
                self.assertEqual(client.code(f"REST {marker}"), 350)
                wire = client.retrieve("RETR f")[1]
                rest = decoded(decoderOf(type, structure, "B"), wire)
                self.assertEqual(rest, self.DATA[int(marker) :])

    def test_markersReceived(self) -> None:
        """110 says where in the file a marker lies, when everything before it is stored."""
        client = connected("A", "F", "B")
        wire = b"\0\0\5one\r\n" + b"\x10\0\4here" + b"\0\0\4t\r\nw" + b"\x40\0\0"
        said = client.store("STOR g", wire)
        self.assertIn(b"\r\n110 MARK here = 4\r\n226 ", said)
        self.assertEqual(client.tree.content("/g"), b"one\nt\nw")

    def test_markerInALineEnd(self) -> None:
        """Between CR and LF nothing is promised, and the line still ends."""
        said = (client := connected("A", "F", "B")).store(
            "STOR g", b"\0\0\2a\r\x10\0\1m\0\0\2\nb\x40\0\0"
        )
        self.assertNotIn(b"110", said)
        self.assertEqual(client.tree.content("/g"), b"a\nb")

    def test_restartedUpload(self) -> None:
        """A broken upload goes on from the place that 110 told."""
        client = connected("A", "R", "C")
        client.tree.putFile("/g", b"old")
        client.code("PASV")
        client.data.stream.receive(b"\1a\0\x80\1b\0\x10\1m\1c")
        said = client.say("STOR g")
        self.assertTrue(said.endswith(b"110 MARK m = 3\r\n"), said)
        client.data.streams[-1].break_()
        self.assertEqual(finalCodes(client.take()), [426])
        client.tree.putFile("/g", b"ab\n")
        self.assertEqual(client.code("REST 3"), 350)
        self.assertEqual(finalCodes(client.store("STOR g", b"\1d\0\x40\xc0")), [226])
        self.assertEqual(client.tree.content("/g"), b"ab\nd")

    def test_congested(self) -> None:
        """A client that reads no replies gets no more of those that it can do without."""
        client = connected("I", "F", "B")
        client.code("PASV")
        client.say("STOR g")
        stream = client.data.streams[-1]
        client.protocol.isCongested = True
        stream.receive(b"\x10\0\1m" * 1000)
        self.assertEqual(client.take(), b"")
        client.protocol.isCongested = False
        stream.receive(b"\x40\0\0")
        self.assertEqual(finalCodes(client.take()), [226])


class ListingTests(SynchronousTestCase):
    def listed(self, line: str, *how: str) -> bytes:
        client = connected(*how)
        client.tree.putFile("/a", b"")
        client.tree.putFile("/b", b"")
        said, wire = client.retrieve(line)
        self.assertEqual(finalCodes(said), [226])
        return wire

    def test_modes(self) -> None:
        """Listings are packed like files."""
        self.assertEqual(self.listed("NLST", "A", "F", "B"), b"\0\0\6a\r\nb\r\n\x40\0\0")
        self.assertEqual(self.listed("NLST", "I", "F", "C"), b"\6a\r\nb\r\n\0\x40\xc0")
        self.assertEqual(zlib.decompress(self.listed("NLST", "A", "F", "Z")), b"a\r\nb\r\n")
        facts = zlib.decompress(self.listed("MLSD", "E", "F", "Z"))
        self.assertEqual(facts.count(b"\r\n"), 2)

    def test_types(self) -> None:
        """In EBCDIC like text; facts are the same in all types (RFC 3659)."""
        self.assertEqual(self.listed("NLST", "E"), "ab".encode("cp037")[:1] + b"\x15\x82\x15")
        self.assertIn(b"type=file", self.listed("MLSD", "E").lower())

    def test_structures(self) -> None:
        """A record is a line; pages are for files."""
        self.assertEqual(self.listed("NLST", "A", "R"), b"a\xff\x01b\xff\x01\xff\x02")
        self.assertEqual(self.listed("NLST", "I", "R", "B"), b"\x80\0\1a\x80\0\1b\x40\0\0")
        self.assertEqual(self.listed("NLST", "I", "P"), b"a\r\nb\r\n")
        self.assertEqual(self.listed("NLST", "L 32", "P", "B"), b"\0\0\6a\r\nb\r\n\x40\0\0")


class ToldTests(SynchronousTestCase):
    def test_status(self) -> None:
        """STAT says what is set."""
        for how, told in (
            (("A", "F", "S"), b"TYPE: ASCII, STRU: File, MODE: Stream"),
            (("E T", "R", "B"), b"TYPE: EBCDIC Telnet, STRU: Record, MODE: Block"),
            (("A C", "F", "C"), b"TYPE: ASCII Carriage control, STRU: File, MODE: Compressed"),
            (("L 32", "P", "Z"), b"TYPE: Local 32, STRU: Page, MODE: Deflate 6"),
            (("I", "F", "S"), b"TYPE: Image, STRU: File, MODE: Stream"),
        ):
            self.assertIn(b"\r\n " + told + b"\r\n", connected(*how).say("STAT"))

    def test_features(self) -> None:
        """MODE Z is in FEAT where it is offered, and only there."""
        self.assertIn(b"\r\n MODE Z\r\n", Client(DEFLATING).say("FEAT"))
        self.assertNotIn(b"MODE Z", Client().say("FEAT"))

    def test_options(self) -> None:
        """OPTS MODE Z: levels 1 to 9, and the one engine and method that there are."""
        client = Client(DEFLATING).logIn()
        for good in ("Z", "Z LEVEL 9", "z level 1", "Z ENGINE ZLIB METHOD 8 LEVEL 3"):
            self.assertEqual(client.code(f"OPTS MODE {good}"), 200, good)
        for bad in ("", "S", "Z LEVEL", "Z LEVEL 0", "Z LEVEL 10", "Z LEVEL x", "Z BLOCKSIZE 9"):
            self.assertEqual(client.code(f"OPTS MODE {bad}"), 501, bad)
        self.assertEqual(client.code("OPTS MODE Z LEVEL " + "1" * 5000), 501)
        self.assertEqual(Client().logIn().code("OPTS MODE Z LEVEL 3"), 501)

    def test_shared(self) -> None:
        """Sessions that agree have the same value, and REIN starts again."""
        first, second = connected("E", "R", "B"), connected("E", "R", "B")
        values = [each.protocol._session.representation for each in (first, second)]  # type: ignore[union-attr]
        self.assertIs(values[0], values[1])
        first.code("REIN")
        self.assertIs(first.protocol._session.representation, INITIAL)  # type: ignore[union-attr]

    def test_plain(self) -> None:
        """TYPE I, STRU F, MODE S needs no codec: the kernel moves such files."""
        plain = Representation("I")
        self.assertIsNone(encoderFor(plain, DEFLATING, 5, 0))
        self.assertIsNone(decoderFor(plain, DEFLATING))


def decoderOf(type: str, structure: str, mode: str):  # type: ignore[no-untyped-def]
    """What a client of this code would use."""
    return decoderFor(Representation(type, "N", 8, structure, mode), DEFLATING)


class ChainTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=150)
    @given(DATA, CUTS, CUTS, st.sampled_from(POSSIBLE))
    def test_cuts(
        self, data: bytes, cuts: list[int], wireCuts: list[int], how: tuple[str, str, str]
    ) -> None:
        """However file and wire are cut, both ends agree."""
        type, structure, mode = how
        bits = 32 if type == "L 32" else 8
        representation = Representation(type[0], "N", bits, structure, mode)
        encoder = encoderFor(representation, DEFLATING, len(data), 0)
        decoder = decoderFor(representation, DEFLATING)
        if encoder is None or decoder is None:
            self.assertEqual((encoder, decoder), (None, None))
            return
        got = decoded(decoder, encoded(encoder, data, cuts), wireCuts)
        uncut = encoderFor(representation, DEFLATING, len(data), 0)
        again = decoderFor(representation, DEFLATING)
        assert uncut is not None and again is not None
        self.assertEqual(got, decoded(again, encoded(uncut, data)), how)
        if type[0] not in "AE":
            self.assertEqual(got, data)
