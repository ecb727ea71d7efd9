"""
What URLs say, and what they are written as.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from filehub.errors import ConfigurationError
from filehub.remotes.url import Location, parseLocation


class TFTPTests(SynchronousTestCase):
    """RFC 3617."""

    def test_mode(self) -> None:
        """The mode stands behind the name, octet where there is none."""
        for text, path, netascii in (
            ("tftp://host/a/b", "a/b", False),
            ("tftp://host/a/b;mode=octet", "a/b", False),
            ("tftp://host/a/b;mode=netascii", "a/b", True),
            ("tftp://host/a;mode=NetASCII", "a", True),
            ("tftp://host/a%3Bmode=netascii", "a;mode=netascii", False),
            ("tftp://host/a;b", "a;b", False),
        ):
            found = parseLocation(text)
            self.assertEqual((found.path, found.netascii), (path, netascii), text)
            self.assertEqual(parseLocation(str(found)), found, text)
        # It is a part of names for everybody else.
        self.assertEqual(parseLocation("ftp://host/a;mode=netascii").path, "a;mode=netascii")

    def test_unknownMode(self) -> None:
        """Mail mode and others are none."""
        for mode in ("mail", "", "binary", "netascii;x"):
            self.assertRaises(ConfigurationError, parseLocation, f"tftp://host/a;mode={mode}")

    def test_server(self) -> None:
        """Port 69 unless it is said; one connection has one mode."""
        plain, text = parseLocation("tftp://h/a"), parseLocation("tftp://h/a;mode=netascii")
        self.assertEqual((plain.port, parseLocation("tftp://h:6969/a").port), (69, 6969))
        self.assertNotEqual(plain.server, text.server)
        self.assertEqual(str(text.withPath("b")), "tftp://h/b;mode=netascii")


class HostTests(SynchronousTestCase):
    def test_scopes(self) -> None:
        """A link-local address has a scope, escaped as RFC 6874 says."""
        found = parseLocation("tftp://[fe80::1%25eth0]:6969/f")
        self.assertEqual((found.host, found.port), ("fe80::1%eth0", 6969))
        self.assertEqual(str(found), "tftp://[fe80::1%25eth0]:6969/f")
        self.assertEqual(parseLocation("tftp://[::1]/f"), Location("tftp", "::1", 69, "", "f"))
