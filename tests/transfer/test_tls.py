"""L{filehub.transfer.tls}: binding, withheld tickets, truncation."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from filehub.certificates import CertificateStore, makeSelfSigned
from filehub.errors import PeerGone, ProtectionRequired
from filehub.transfer import tls
from filehub.transfer.tls import TLSSession, resumptionIsSeen
from filehub.transfer.tlsstreams import TLSReceiver

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


class MemoryClient:
    """A client of Python's own C{ssl} module, without sockets."""

    def __init__(
        self,
        context: ssl.SSLContext,
        session: ssl.SSLSession | None = None,
        name: str | None = "localhost",
    ) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming, self.outgoing, server_hostname=name, session=session
        )
        self.done = False
        self.refusal = ""
        self.server: SSL.Connection | None = None

    def step(self) -> None:
        """Go on with the handshake as far as the bytes that came allow."""
        if not self.done:
            try:
                self.tls.do_handshake()
                self.done = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as error:
                self.refusal = str(error)

    def drain(self) -> None:
        """Read what the server sent outside the handshake (tickets)."""
        try:
            self.tls.read(1)
        except ssl.SSLWantReadError:
            pass


class MemoryInner:
    """What is below a L{TLSReceiver}: a connection to a L{MemoryClient}."""

    kernelSocket = None

    def __init__(self, client: MemoryClient) -> None:
        self.client = client
        self.sent = 0
        self.closed = self.aborted = False

    async def read(self, maximum: int) -> bytes:
        self.client.step()
        data = self.client.outgoing.read(maximum)
        if not data and not self.closed:
            waiting: Deferred[None] = Deferred()
            await waiting
        return data

    async def write(self, data: bytes | memoryview) -> None:
        self.sent += len(data)
        self.client.incoming.write(data)
        self.client.step()

    async def readable(self) -> None: ...

    async def writable(self) -> None: ...

    async def pause(self, seconds: float) -> None: ...

    def backlog(self) -> int:
        return 0

    async def finish(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted = True


class TLSReceiverTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        makeSelfSigned(folder / "server.pem", ["localhost"], timedelta(days=30))
        self.store = CertificateStore(folder / "server.pem")

    def clientContext(self, version: ssl.TLSVersion) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = version
        return context

    def run_(self, work: Coroutine[Deferred[Any], Any, Any]) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def control(self, session: TLSSession, context: ssl.SSLContext) -> MemoryClient:
        """A finished handshake as on a control connection, tickets read."""
        client = MemoryClient(context)
        # One that goes away without close_notify takes what the server remembers with it.
        server = client.server = session.connection()
        for _ in range(4):
            client.step()
            data = client.outgoing.read()
            if data:
                server.bio_write(data)
            try:
                server.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                client.incoming.write(server.bio_read(1 << 16))
            except SSL.WantReadError:
                pass
        client.step()
        client.drain()
        return client

    def receiver(
        self, session: TLSSession, client: MemoryClient, **options: Any
    ) -> tuple[TLSReceiver, MemoryInner]:
        inner = MemoryInner(client)
        stream = TLSReceiver(inner, session, **options)
        self.run_(stream.handshake())
        client.step()
        return stream, inner

    def eachVersion(self, check: Callable[[ssl.SSLContext], None]) -> None:
        for version in VERSIONS:
            with self.subTest(version=version):
                check(self.clientContext(version))

    def test_resumedOnlyFromItsOwnControlSession(self) -> None:
        """A data handshake counts as bound exactly if it resumes this control session."""

        def check(context: ssl.SSLContext) -> None:
            mine, other = TLSSession(self.store), TLSSession(self.store)
            ticket = self.control(mine, context).tls.session
            foreign = self.control(other, context).tls.session
            for _ in range(3):
                self.assertTrue(self.receiver(mine, MemoryClient(context, ticket))[0].resumed)
            self.assertFalse(self.receiver(mine, MemoryClient(context, foreign))[0].resumed)
            self.assertFalse(self.receiver(mine, MemoryClient(context))[0].resumed)

        self.eachVersion(check)

    def test_withoutTickets(self) -> None:
        """The same for sessions that the server has to remember."""
        context = self.clientContext(ssl.TLSVersion.TLSv1_2)
        context.options |= ssl.OP_NO_TICKET
        mine, other = TLSSession(self.store), TLSSession(self.store)
        client, foreign = self.control(mine, context), self.control(other, context)
        own = self.receiver(mine, MemoryClient(context, client.tls.session))
        self.assertTrue(own[0].resumed)
        stream, _ = self.receiver(mine, MemoryClient(context, foreign.tls.session))
        self.assertFalse(stream.resumed)

    def test_nameOfTheControlConnection(self) -> None:
        """Data connections that name no server get the control connection's certificate."""
        folder = Path(self.mktemp())
        folder.mkdir()
        makeSelfSigned(folder / "a.pem", ["first.example"], timedelta(days=30))
        makeSelfSigned(folder / "b.pem", ["localhost"], timedelta(days=30))
        store = CertificateStore(folder)
        second = store._loaded.certificates[1].chain[0].public_bytes(Encoding.DER)
        context = self.clientContext(ssl.TLSVersion.TLSv1_3)
        session = TLSSession(store)
        self.assertEqual(self.control(session, context).tls.getpeercert(True), second)
        self.assertEqual(session.serverName, b"localhost")
        client = MemoryClient(context, name=None)
        self.receiver(session, client)
        self.assertEqual(client.tls.getpeercert(True), second)
        other = MemoryClient(context, name=None)
        self.receiver(TLSSession(store), other)
        self.assertNotEqual(other.tls.getpeercert(True), second)

    def test_uploadClientGetsNoTicketBeforeItIsDone(self) -> None:
        """After the handshake not one byte goes to an uploading client until it says the end."""
        context = self.clientContext(ssl.TLSVersion.TLSv1_3)
        session = TLSSession(self.store)
        client = MemoryClient(context)
        stream, inner = self.receiver(session, client)
        after = inner.sent
        client.tls.write(b"x" * 100_000)
        received = b""
        while len(received) < 100_000:
            received += self.run_(stream.read(1 << 20))
        self.assertEqual(received, b"x" * 100_000)
        self.assertEqual(inner.sent, after)
        with self.assertRaises(ssl.SSLWantReadError):
            client.tls.unwrap()
        self.assertEqual(self.run_(stream.read(1 << 20)), b"")
        self.assertTrue(stream.cleanlyClosed)
        self.run_(stream.finish())
        self.assertGreater(inner.sent, after)
        client.tls.unwrap()

    def test_gonePeerHasMissedNothing(self) -> None:
        """
        A client that closes right after its close_notify resets the connection when our
        answer comes; the upload is whole all the same.
        """

        def check(context: ssl.SSLContext) -> None:
            client = MemoryClient(context)
            stream, inner = self.receiver(TLSSession(self.store), client)
            client.tls.write(b"all")
            with self.assertRaises(ssl.SSLWantReadError):
                client.tls.unwrap()
            self.assertEqual(self.run_(stream.read(100)), b"all")
            self.assertEqual(self.run_(stream.read(100)), b"")

            async def reset() -> None:
                raise PeerGone

            self.patch(inner, "finish", reset)
            self.run_(stream.finish())
            self.assertTrue(inner.aborted)

        self.eachVersion(check)

    def test_endWithoutCloseNotifyIsALoss(self) -> None:
        """A bare FIN is not the end of a file, unless the operator tolerates it."""

        def check(context: ssl.SSLContext) -> None:
            for tolerant in (False, True):
                client = MemoryClient(context)
                missed: list[None] = []
                stream, inner = self.receiver(TLSSession(self.store), client)
                if tolerant:
                    stream.onMissingCloseNotify = lambda m=missed: m.append(None)
                client.tls.write(b"half")
                self.assertEqual(self.run_(stream.read(100)), b"half")
                inner.closed = True
                if tolerant:
                    self.assertEqual(self.run_(stream.read(100)), b"")
                else:
                    self.failureResultOf(Deferred.fromCoroutine(stream.read(100)), PeerGone)
                self.assertEqual(len(missed), int(tolerant))
                self.assertFalse(stream.cleanlyClosed)

        self.eachVersion(check)

    def test_theInstalledLibrariesTellResumptionApart(self) -> None:
        """The check at start passes here, and fails closed when the private name lies."""
        self.assertTrue(resumptionIsSeen(self.store))
        self.patch(tls, "wasResumed", lambda connection: True)
        self.assertFalse(resumptionIsSeen(self.store))

    def test_garbageIsRefused(self) -> None:
        """Plain text on a protected data connection fails the handshake."""
        client = MemoryClient(self.clientContext(ssl.TLSVersion.TLSv1_3))
        client.done = True
        client.outgoing.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        stream = TLSReceiver(MemoryInner(client), TLSSession(self.store))
        self.failureResultOf(Deferred.fromCoroutine(stream.handshake()), ProtectionRequired)

    def test_foreignApplicationProtocolIsRefused(self) -> None:
        """A client that offers only HTTP (ALPACA) fails; one that offers ftp gets it."""
        for offered, expected in ((["h2", "http/1.1"], None), (["h2", "ftp"], "ftp")):
            context = self.clientContext(ssl.TLSVersion.TLSv1_3)
            context.set_alpn_protocols(offered)
            client = MemoryClient(context)
            stream = TLSReceiver(MemoryInner(client), TLSSession(self.store))
            attempt = Deferred.fromCoroutine(stream.handshake())
            if expected is None:
                self.failureResultOf(attempt, ProtectionRequired)
                self.assertIn("no application protocol", client.refusal)
            else:
                self.successResultOf(attempt)
                self.assertEqual(client.tls.selected_alpn_protocol(), expected)


class CertificateStoreTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=self.mktempParent()))

    def mktempParent(self) -> Path:
        parent = Path(self.mktemp())
        parent.mkdir(parents=True)
        return parent

    def test_reloadsWhatChangedAndKeepsTheOldOnDamage(self) -> None:
        """A new file is taken up; a broken one is complained of once and changes nothing."""
        path = self.folder / "server.pem"
        makeSelfSigned(path, ["a.example"], timedelta(days=90))
        store = CertificateStore(path)
        first = store.default.fingerprint
        self.assertFalse(store.reloadIfChanged())
        makeSelfSigned(path, ["b.example"], timedelta(days=90))
        self.assertTrue(store.reloadIfChanged())
        second = store.default.fingerprint
        self.assertNotEqual(first, second)
        path.write_text("broken")
        self.assertFalse(store.reloadIfChanged())
        self.assertEqual(store.default.fingerprint, second)

    def test_choosesByName(self) -> None:
        """A folder's certificates are chosen by server name, wildcards included."""
        makeSelfSigned(self.folder / "a.pem", ["a.example"], timedelta(days=90))
        makeSelfSigned(self.folder / "b.pem", ["*.b.example", "b.example"], timedelta(days=90))
        store = CertificateStore(self.folder)
        a, b = store._loaded.certificates
        self.assertEqual(store.default, a)
        self.assertIs(store.contextForName(b"B.example"), store._loaded.contexts[b])
        self.assertIs(store.contextForName(b"x.b.example"), store._loaded.contexts[b])
        self.assertIsNone(store.contextForName(b"x.y.b.example"))

    def test_keyFileIsPrivate(self) -> None:
        """A key made at first start can be read by its owner alone."""
        path = self.folder / "server.pem"
        makeSelfSigned(path, ["a.example"], timedelta(days=90))
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
