"""
L{filehub.transfer.tlslayer}: TLS on a control connection, record by record.
"""

from __future__ import annotations

import ssl
from datetime import timedelta
from pathlib import Path

from OpenSSL import SSL
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from filehub.certificates import CertificateStore, makeSelfSigned
from filehub.errors import ProtectionRequired
from filehub.transfer import _openssl, _tickets
from filehub.transfer.tls import TLSSession
from filehub.transfer.tlslayer import TLSLayer


class LayerCase(SynchronousTestCase):
    """
    @ivar layer: the server's end.
    @ivar tls: the client's.
    """

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        makeSelfSigned(folder / "server.pem", ["localhost"], timedelta(days=30))
        self.store = CertificateStore(folder / "server.pem")

    def start(self, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = version
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)
        self.session = TLSSession(self.store)
        self.layer = TLSLayer(self.session, self.incoming.write)

    def shake(self) -> None:
        for _ in range(3):
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            self.layer.receive(self.outgoing.read())

    def read(self) -> bytes:
        """What the client has been told."""
        try:
            return self.tls.read(1 << 16)
        except ssl.SSLWantReadError:
            return b""


class LayerTests(LayerCase):
    def test_bytewise(self) -> None:
        """A handshake and what follows, one byte at a time, in both versions."""
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            self.start(version)
            self.layer.write(b"early")
            for _ in range(3):
                try:
                    self.tls.do_handshake()
                except ssl.SSLWantReadError:
                    pass
                for byte in self.outgoing.read():
                    self.layer.receive(bytes([byte]))
            self.assertTrue(self.layer.isOpen)
            self.assertEqual(self.read(), b"early")
            self.tls.write(b"hello")
            said = b"".join(self.layer.receive(bytes([each])) for each in self.outgoing.read())
            self.assertEqual(said, b"hello")
            self.layer.write(b"x" * 100_000)
            received = b""
            while data := self.read():
                received += data
            self.assertEqual(received, b"x" * 100_000)

    def test_remainder(self) -> None:
        """What follows close_notify is plain text, kept apart to the byte."""
        self.start()
        self.shake()
        self.tls.write(b"last")
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self.assertEqual(self.layer.receive(self.outgoing.read() + b"plain"), b"last")
        self.assertTrue(self.layer.hasEnded)
        self.assertEqual(self.layer.remainder(), b"plain")
        self.assertEqual(self.layer.receive(b" text"), b"")
        self.assertEqual(self.layer.remainder(), b" text")

    def test_garbage(self) -> None:
        """What is no record, too long a record, or an altered one fails."""
        for spoiled in (b"hello world", b"\x16\x03\x03\xff\xff", b"\x17\x03\x03\x00\x05abcde"):
            self.start()
            self.assertRaises(ProtectionRequired, self.layer.receive, spoiled)
            self.start()
            self.shake()
            self.assertRaises(ProtectionRequired, self.layer.receive, spoiled)

    def test_telnetSynch(self) -> None:
        """Telnet's Interrupt and Synch beside TLS, as Perl sends them for ABOR, are skipped."""
        self.start()
        self.shake()
        self.tls.write(b"ABOR\r\n")
        raw = self.outgoing.read()
        self.assertEqual(self.layer.receive(b"\xff\xf4\xff"), b"")
        self.assertEqual(self.layer.receive(b"\xf2" + raw[:3]), b"")
        self.assertEqual(self.layer.receive(raw[3:]), b"ABOR\r\n")

    def test_endBeforeHandshake(self) -> None:
        """Ending what has not begun says nothing and hurts nobody."""
        self.start()
        self.layer.end()
        self.assertEqual(self.incoming.read(), b"")


class TicketTests(LayerCase):
    """L{filehub.transfer._tickets}."""

    def tickets(self) -> int:
        """How many different tickets the client gets for one reply."""
        before = self.tls.session
        self.layer.write(b"226 x\r\n")
        self.assertEqual(self.read(), b"226 x\r\n")
        return int(self.tls.session != before)

    def test_renewed(self) -> None:
        """After an upload the next reply brings a new ticket, and only that reply."""
        if _tickets._function() is None:
            raise SkipTest("the installed OpenSSL hides the function")
        self.start()
        self.shake()
        self.read()
        self.assertEqual(self.tickets(), 0)
        self.session.isSpent = True
        self.assertEqual(self.tickets(), 1)
        self.assertEqual(self.tickets(), 0)

    def test_older(self) -> None:
        """In TLS 1.2 there is nothing to renew."""
        self.start(ssl.TLSVersion.TLSv1_2)
        self.shake()
        self.session.isSpent = True
        self.assertEqual(self.tickets(), 0)
        self.assertFalse(_tickets.renewTicket(self.layer._connection))

    def test_hidden(self) -> None:
        """Where the function is not to be found, nothing is renewed and nothing fails."""
        self.patch(_tickets, "_function", lambda: None)
        self.start()
        self.shake()
        self.read()
        self.session.isSpent = True
        self.assertEqual(self.tickets(), 0)

    def test_otherFiles(self) -> None:
        """Files that are no library are refused."""
        path = Path(self.mktemp())
        path.write_bytes(b"#!/bin/sh\n" * 10)
        self.assertRaises(ValueError, _openssl._valuesOf, path, (b"x",))

    def test_notInTheHandshake(self) -> None:
        """Before the handshake is done no ticket can be asked for."""
        self.start()
        self.assertIsInstance(self.layer._connection, SSL.Connection)
        self.assertFalse(_tickets.renewTicket(self.layer._connection))
