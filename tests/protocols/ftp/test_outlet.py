"""
Replies straight to the socket.
"""

from __future__ import annotations

import socket

from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Connection
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from filehub.protocols.ftp.outlet import Outlet


class OutletTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.addCleanup(self.ours.close)
        self.addCleanup(self.theirs.close)
        self.ours.setblocking(False)
        self.theirs.setblocking(False)
        self.reactor = MemoryReactorClock()
        self.transport = Connection(self.ours, Protocol(), self.reactor)
        self.transport.connected = True
        self.outlet = Outlet(self.transport)

    def read(self) -> bytes:
        """What has arrived."""
        try:
            return self.theirs.recv(1 << 20)
        except BlockingIOError:
            return b""

    def test_atOnce(self) -> None:
        """A reply leaves before the reactor turns, which does not hear of it."""
        self.outlet.write(b"200 OK\r\n")
        self.assertEqual(self.read(), b"200 OK\r\n")
        self.assertEqual(self.reactor.getWriters(), [])

    def test_together(self) -> None:
        """What is held back leaves in order, in one piece, and then nothing is held."""
        self.outlet.hold()
        self.outlet.write(b"150 Opening.\r\n")
        self.outlet.hold()
        self.outlet.write(b"226 Done.\r\n")
        self.assertEqual(self.read(), b"")
        self.outlet.release()
        self.assertEqual(self.read(), b"150 Opening.\r\n226 Done.\r\n")
        self.outlet.write(b"200 OK\r\n")
        self.assertEqual(self.read(), b"200 OK\r\n")

    def test_little(self) -> None:
        """Not more than two kilobytes are held back."""
        self.outlet.hold()
        self.outlet.write(b"a" * 2000)
        self.assertEqual(self.read(), b"")
        self.outlet.write(b"b" * 100)
        self.assertEqual(self.read(), b"a" * 2000 + b"b" * 100)
        self.outlet.write(b"c")
        self.assertEqual(self.read(), b"")

    def test_full(self) -> None:
        """What the socket does not take goes on by the transport, and all that follows."""
        sent = [bytes([number]) * 100_000 for number in range(20)]
        for each in sent:
            self.outlet.write(each)
        self.assertEqual(self.reactor.getWriters(), [self.transport])
        received = b""
        while data := self.read():
            received += data
            self.transport.doWrite()
        self.assertEqual(received, b"".join(sent))
        self.outlet.write(b"200 OK\r\n")
        self.assertEqual(self.read(), b"")
        self.transport.doWrite()
        self.assertEqual(self.read(), b"200 OK\r\n")

    def test_detached(self) -> None:
        """At the end what was held back is sent, and the rest is the transport's."""
        self.outlet.hold()
        self.outlet.write(b"221 Bye.\r\n")
        self.outlet.detach()
        self.assertEqual(self.read(), b"221 Bye.\r\n")
        self.outlet.write(b"late")
        self.assertEqual(self.reactor.getWriters(), [self.transport])

    def test_gone(self) -> None:
        """That the client is gone is for the transport to find out."""
        self.theirs.close()
        self.outlet.write(b"200 OK\r\n")
        self.assertEqual(self.reactor.getWriters(), [self.transport])

    def test_otherTransports(self) -> None:
        """Under TLS, and where there is no socket of its own, the transport has it all."""
        plain = StringTransport()
        Outlet(plain).write(b"200 OK\r\n")
        self.assertEqual(plain.value(), b"200 OK\r\n")

        class Layer:
            """Twisted's TLS, which takes what is written to the connection."""

            written = b""

            def write(self, data: bytes) -> None:
                """Encrypt it."""
                self.written += data

        layer = self.transport.protocol = Layer()
        self.transport.TLS = True
        Outlet(self.transport).write(b"200 OK\r\n")
        self.assertEqual(layer.written, b"200 OK\r\n")
        self.assertEqual(self.read(), b"")
