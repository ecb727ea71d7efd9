"""
Addresses in PORT, EPRT, 227 and 229.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from filehub.protocols.ftp.addresses import (
    UnsupportedFamily,
    formatPort,
    parseExtendedPort,
    parsePort,
)


class PortTests(SynchronousTestCase):
    def test_good(self) -> None:
        """Six numbers."""
        self.assertEqual(parsePort("192,0,2,1,4,1"), ("192.0.2.1", 1025))
        self.assertEqual(parsePort("010,0,0,1,255,255"), ("10.0.0.1", 65535))

    def test_bad(self) -> None:
        """T-D3: everything else is refused."""
        for text in (
            "", "x", "1,2,3", "1,2,3,4,5", "1,2,3,4,5,6,7", "256,0,0,1,4,1", "1,2,3,4,256,1",
            "1,2,3,4,5,256", "-1,2,3,4,5,6", "+1,2,3,4,5,6", "1,2,3,4,5, 6", " 1,2,3,4,5,6",
            "1,2,3,4,5,6 ", "1.2.3.4.5.6", "1,2,3,4,0,0", "1,,3,4,5,6", "1,2,3,4,5,6,",
            "\u0661,2,3,4,5,6", "1,2,3,4,5,\uff16", "1,2,3,4,0005,6", "0x1,2,3,4,5,6",
            "1e1,2,3,4,5,6",
            "1,2,3,4,5,6\n", "(1,2,3,4,5,6)", "\xb2,2,3,4,5,6",
        ):  # fmt: skip
            self.assertRaises(ValueError, parsePort, text)

    @given(st.ip_addresses(v=4), st.integers(1, 65535))
    def test_roundTrip(self, host: object, port: int) -> None:
        """What 227 says, PORT understands."""
        self.assertEqual(parsePort(formatPort(str(host), port)), (str(host), port))

    @given(st.text(alphabet="0123456789,- +.\u0661", max_size=30))
    def test_anything(self, text: str) -> None:
        """Nothing but C{ValueError} is ever raised, and what is accepted is an address."""
        try:
            host, port = parsePort(text)
        except ValueError:
            return
        self.assertEqual(len(host.split(".")), 4)
        self.assertTrue(0 < port < 65536)


class ExtendedPortTests(SynchronousTestCase):
    def test_good(self) -> None:
        """Both families, any delimiter, canonical addresses."""
        self.assertEqual(parseExtendedPort("|1|192.0.2.1|6275|"), ("192.0.2.1", 6275))
        self.assertEqual(parseExtendedPort("|2|2001:DB8:0::1|6275|"), ("2001:db8::1", 6275))
        self.assertEqual(parseExtendedPort("!1!192.0.2.1!1!"), ("192.0.2.1", 1))

    def test_family(self) -> None:
        """Other families are told apart (522)."""
        self.assertRaises(UnsupportedFamily, parseExtendedPort, "|3|x|6275|")
        self.assertRaises(UnsupportedFamily, parseExtendedPort, "|\u0661|192.0.2.1|6275|")

    def test_bad(self) -> None:
        """T-D3: everything else is refused."""
        for text in (
            "", "|", "||||", "|1|192.0.2.1|6275", "1|192.0.2.1|6275|", "|1|192.0.2.1|6275||",
            "|1|192.0.2.1|0|", "|1|192.0.2.1|65536|", "|1|192.0.2.1|-1|", "|1|192.0.2.1|+1|",
            "|1|192.0.2.1|\u0661|", "|1|192.0.2.1| 1|", "|1|2001:db8::1|6275|",
            "|2|192.0.2.1|6275|", "|1|localhost|6275|", "|1|192.0.2|6275|", "|1|192.0.2.256|6275|",
            "|2|fe80::1%eth0|6275|", "\xa71\xa7192.0.2.1\xa76275\xa7", " 1 192.0.2.1 6275 ",
            "|1|192.0.2.1|6275| ", "|1||6275|",
        ):  # fmt: skip
            self.assertRaises(ValueError, parseExtendedPort, text)
