"""
L{filehub.transfer.tlsearly}: TLS on a data connection before its command has come.
"""

from __future__ import annotations

import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from filehub.certificates import CertificateStore, makeSelfSigned
from filehub.errors import PeerGone, ProtectionRequired
from filehub.transfer.tls import TLSSession
from filehub.transfer.tlsearly import EarlyHandshake
from tests.transfer.test_tls import MemoryClient, MemoryInner


class WaitingInner(MemoryInner):
    """A connection on which time passes when the test says so."""

    def __init__(self, client: MemoryClient) -> None:
        super().__init__(client)
        self.pausing: Deferred[None] = Deferred()

    async def pause(self, seconds: float) -> None:
        await self.pausing


class EarlyTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        makeSelfSigned(folder / "server.pem", ["localhost"], timedelta(days=30))
        self.session = TLSSession(CertificateStore(folder / "server.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.client = MemoryClient(context)
        self.inner = WaitingInner(self.client)
        self.early = EarlyHandshake(self.inner, self.session)

    def run_(self, work: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def test_commandComesFirst(self) -> None:
        """Within the grace nothing has happened, and nothing will."""
        self.assertIsNone(self.run_(self.early.take()))
        self.assertEqual(self.inner.sent, 0)

    def test_upload(self) -> None:
        """The handshake is done when the command comes; the client sends, and ends."""
        self.inner.pausing.callback(None)
        stream = self.run_(self.early.take())
        self.client.step()
        self.client.tls.write(b"x" * 100_000)
        received = b""
        while len(received) < 100_000:
            received += self.run_(stream.read(1 << 20))
        self.assertEqual(received, b"x" * 100_000)
        with self.assertRaises(ssl.SSLWantReadError):
            self.client.tls.unwrap()
        self.assertEqual(self.run_(stream.read(1 << 20)), b"")
        self.run_(stream.finish())
        self.client.tls.unwrap()
        self.assertTrue(self.inner.closed)

    def test_download(self) -> None:
        """The same connection may turn out to be one that sends."""
        self.inner.pausing.callback(None)
        stream = self.run_(self.early.take())
        self.client.step()
        self.run_(stream.write(b"y" * 200_000))
        self.run_(stream.finish())
        received = b""
        while data := self.client.tls.read(1 << 16):
            received += data
        self.assertEqual(received, b"y" * 200_000)
        self.assertTrue(self.inner.closed)

    def test_commandDuringHandshake(self) -> None:
        """A command that comes in the middle waits for the rest."""
        self.client.done = True
        self.inner.pausing.callback(None)
        taking = Deferred.fromCoroutine(self.early.take())
        self.assertNoResult(taking)
        taking.cancel()
        self.failureResultOf(taking)

    def test_failed(self) -> None:
        """What goes wrong early is said when the command comes."""
        self.client.done = True
        self.client.outgoing.write(b"GET / HTTP/1.1\r\n\r\n")
        self.inner.pausing.callback(None)
        attempt = Deferred.fromCoroutine(self.early.take())
        self.failureResultOf(attempt, ProtectionRequired)

    def test_goneEarly(self) -> None:
        """A connection that is gone before anything began is found to be gone."""
        self.inner.pausing.errback(PeerGone())
        self.failureResultOf(Deferred.fromCoroutine(self.early.take()), PeerGone)
