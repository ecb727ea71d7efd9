"""L{filehub.transfer.ebcdic}: lines in EBCDIC."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from filehub.transfer.ebcdic import CODE_PAGES, EbcdicDecoder, EbcdicEncoder
from tests.transfer.codecs import CUTS, DATA, decoded, encoded


class EbcdicTests(SynchronousTestCase):
    def test_knownLines(self) -> None:
        """Letters as the code page has them; LF and CRLF become NL, a lone CR stays one."""
        self.assertEqual(
            encoded(EbcdicEncoder("cp037"), b"A\nb\r\n\r1"), b"\xc1\x15\x82\x15\x0d\xf1"
        )
        self.assertEqual(encoded(EbcdicEncoder("cp037"), b"[]!"), "[]!".encode("cp037"))
        self.assertEqual(encoded(EbcdicEncoder("cp500"), b"[]!"), "[]!".encode("cp500"))

    def test_foreignLines(self) -> None:
        """NL ends a line, and so does CRLF; an LF alone is no end of a line."""
        wire = b"\xc1\x15\x82\x0d\x25\xf1\x25\x0d"
        self.assertEqual(decoded(EbcdicDecoder("cp037"), wire), b"A\nb\n1\x85\r")

    def test_unknownPage(self) -> None:
        """A code page that would lose bytes is none."""
        self.assertEqual(CODE_PAGES, ("cp037", "cp500"))
        for make in (EbcdicEncoder, EbcdicDecoder):
            self.assertRaises(KeyError, make, "cp1140")

    @given(DATA, CUTS, CUTS, st.sampled_from(CODE_PAGES))
    def test_roundTrip(self, data: bytes, cuts: list[int], wireCuts: list[int], page: str) -> None:
        """Whatever the bytes and the pieces: what comes back are the same lines."""
        wire = encoded(EbcdicEncoder(page), data, cuts)
        lines = data.replace(b"\r\n", b"\n").replace(b"\r\x85", b"\n")
        self.assertEqual(decoded(EbcdicDecoder(page), wire, wireCuts), lines)

    @given(st.text(), st.sampled_from(CODE_PAGES))
    def test_textIsLossless(self, text: str, page: str) -> None:
        """UTF-8 comes back as it went, byte by byte."""
        data = text.replace("\r", "").encode()
        self.assertEqual(decoded(EbcdicDecoder(page), encoded(EbcdicEncoder(page), data)), data)
