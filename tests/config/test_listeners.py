"""
Endpoint strings, without binding anything.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from filehub.config.listeners import complaintAbout, fixedPort, streamEndpoint
from filehub.errors import ConfigurationError


class StreamTests(SynchronousTestCase):
    """L{streamEndpoint} and L{complaintAbout}."""

    def test_good(self) -> None:
        """What Twisted can read is read, and nothing is bound."""
        reactor = MemoryReactor()
        for text, kind in (
            ("tcp:2121", TCP4ServerEndpoint),
            ("tcp:port=2121:interface=192.0.2.1", TCP4ServerEndpoint),
            ("tcp6:21", TCP6ServerEndpoint),
            (r"tcp:21:interface=\:\:1", TCP4ServerEndpoint),
            ("tcp:0", TCP4ServerEndpoint),
        ):
            self.assertIsInstance(streamEndpoint(reactor, text), kind, text)
            self.assertIsNone(complaintAbout(text, stream=True), text)
        self.assertEqual(reactor.tcpServers, [])

    def test_bad(self) -> None:
        """What it cannot read is one line with what was found and expected."""
        for text in (
            "", "tcp", "tcp:", "tcp:x", "tcp:65536", "tcp:-1", "tcp:21:what=1", "nonsense:1",
            "tcp:21:interface=::1", "udp:69", "tcp:²", "haproxy:", "haproxy:tcp:x", "21",
        ):  # fmt: skip
            with self.assertRaises(ConfigurationError) as caught:
                streamEndpoint(MemoryReactor(), text)
            complaint = str(caught.exception)
            self.assertTrue(
                complaint.startswith(f"found {text!r}, expected an endpoint"), complaint
            )
            self.assertEqual(len(complaint.splitlines()), 1)
            self.assertEqual(complaintAbout(text, stream=True), complaint)

    def test_colons(self) -> None:
        """The commonest mistake gets a hint."""
        text = complaintAbout("tcp:21:interface=::1", stream=True)
        self.assertIn(r"colons in an address are written \:", text or "")

    def test_systemd(self) -> None:
        """Sockets of systemd are not looked for outside of systemd; the daemon does."""
        for text in ("systemd:domain=INET:index=0", "haproxy:systemd:domain=INET:index=0"):
            self.assertIsNone(complaintAbout(text, stream=True))
        with self.assertRaises(ConfigurationError) as caught:
            streamEndpoint(MemoryReactor(), "systemd:domain=INET:index=7")
        self.assertIn("expected a socket that systemd hands over", str(caught.exception))

    @given(st.text() | st.text(alphabet="tcp6:ud=\\interface0189."))
    def test_anyText(self, text: str) -> None:
        """No text does more than to be complained of."""
        for stream in (True, False):
            complaint = complaintAbout(text, stream=stream)
            if complaint is not None:
                self.assertTrue(complaint.startswith("found "), complaint)
            else:
                fixedPort(text)


class DatagramTests(SynchronousTestCase):
    """Listener strings of TFTP."""

    def test_good(self) -> None:
        """A port, with an interface or without, or systemd's."""
        for text in (
            "udp:69", "udp:0", "udp:69:interface=192.0.2.1", r"udp:69:interface=\:\:1",
            "systemd:index=0",
        ):  # fmt: skip
            self.assertIsNone(complaintAbout(text, stream=False), text)

    def test_bad(self) -> None:
        """Anything else is complained of."""
        for text in (
            "", "udp", "udp:", "udp:x", "udp:65536", "tcp:69", "udp:69:what=1",
            "udp:69:interface=::1", "udp:69:interface=", "69",
        ):  # fmt: skip
            complaint = complaintAbout(text, stream=False) or ""
            self.assertTrue(complaint.startswith(f"found {text!r}, expected udp:PORT"), complaint)


class PortTests(SynchronousTestCase):
    """L{fixedPort}."""

    def test_ports(self) -> None:
        """The number, unless any will do."""
        for text, port in (
            ("tcp:21", 21), ("tcp:port=21", 21), ("udp:69:interface=10.0.0.1", 69), ("tcp:0", None),
            ("haproxy:tcp:21", 21), ("systemd:index=0", None), ("unix:/run/x", None),
        ):  # fmt: skip
            self.assertEqual(fixedPort(text), port, text)
