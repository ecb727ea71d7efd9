"""
AUTH, PBSZ, PROT, CCC and client certificates, without sockets.
"""

from __future__ import annotations

import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.x509.oid import ExtendedKeyUsageOID
from twisted.trial.unittest import SynchronousTestCase

from filehub.certificates import CertificateStore, TLSPolicy, makeSelfSigned
from filehub.credentials import EncryptionRequired, ICertificate
from filehub.events import ProtocolViolation
from filehub.protocols.ftp.settings import FTPSettings
from tests.certauthority import Authority, Issued
from tests.protocols.ftp.doubles import Client, finalCodes

OPTIONAL = FTPSettings(tls="optional")
CLEARING = FTPSettings(tls="optional", allowCCC=True)


class SecureClient(Client):
    """
    A client with TLS of Python's own.

    @ivar tls: its end of TLS, once there is one.
    """

    tls: ssl.SSLObject | None = None

    def secure(self, issued: Issued | None = None, folder: Path | None = None) -> SecureClient:
        """AUTH TLS and the handshake."""
        assert self.code("AUTH TLS") == 234
        self.wrap(issued, folder)
        return self

    def wrap(self, issued: Issued | None = None, folder: Path | None = None) -> None:
        """The handshake."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if issued is not None and folder is not None:
            context.load_cert_chain(issued.write(folder / "client.pem"))
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(self.incoming, self.outgoing)
        for _ in range(3):
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.exchange()
        self.tls = tls
        self.exchange()

    def exchange(self) -> None:
        """What each side has for the other."""
        if data := self.outgoing.read():
            self.protocol.dataReceived(data)
        self.incoming.write(super().take())

    def take(self) -> bytes:
        """All that was sent since the last time, decrypted."""
        if self.tls is None:
            return super().take()
        self.incoming.write(super().take())
        found = b""
        try:
            while data := self.tls.read(1 << 16):
                found += data
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        return found

    def say(self, line: str | bytes) -> bytes:
        """Send one line, encrypted."""
        if self.tls is None:
            return super().say(line)
        raw = line.encode() if isinstance(line, str) else line
        self.tls.write(raw + b"\r\n")
        self.protocol.dataReceived(self.outgoing.read())
        return self.take()

    def unwrap(self) -> bytes:
        """The client's close_notify, not sent yet."""
        assert self.tls is not None
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self.tls = None
        return self.outgoing.read()


class SecurityCase(SynchronousTestCase):
    """
    @ivar store: the server's certificate, and an authority for clients.
    """

    authority = Authority()
    demand = "optional"

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        makeSelfSigned(self.folder / "server.pem", ["localhost"], timedelta(days=30))
        self.store = CertificateStore(
            self.folder / "server.pem",
            None,
            TLSPolicy(
                clientAuthorities=self.authority.write(self.folder / "ca.pem"),
                clientCertificates=self.demand,
            ),
        )

    def client(self, settings: FTPSettings = OPTIONAL) -> SecureClient:
        return SecureClient(settings, certificates=self.store)

    def violations(self, client: Client) -> list[str]:
        return [event.kind for event in client.events(ProtocolViolation)]


class AuthTests(SecurityCase):
    """AUTH, and what must not get around it."""

    def test_mechanisms(self) -> None:
        """RFC 4217 and its predecessors; any case, nothing else."""
        for name in ("TLS", "tls", "TLS-C", "SSL", "TLS-P", "TLS "):
            self.assertEqual(self.client().code(f"AUTH {name}"), 234, name)
        for name in ("GSSAPI", "TLSX", "TLS P"):
            self.assertEqual(self.client().code(f"AUTH {name}"), 504, name)

    def test_withoutCertificate(self) -> None:
        """Without TLS there is no AUTH."""
        self.assertEqual(Client().code("AUTH TLS"), 502)

    def test_commands(self) -> None:
        """Replies go through TLS in both directions, in any fragmentation."""
        client = self.client().secure()
        assert client.tls is not None
        client.tls.write(b"USER ann\r\nPASS secret\r\n")
        for byte in client.outgoing.read():
            client.protocol.dataReceived(bytes([byte]))
        self.assertEqual(finalCodes(client.take()), [331, 230])
        self.assertTrue(client.users.minds[0].secure)

    def test_twice(self) -> None:
        """AUTH inside TLS is refused; nothing is nested."""
        client = self.client().secure()
        self.assertEqual(client.codes(["AUTH TLS", "NOOP"]), [503, 200])

    def test_pipelinedInOneSegment(self) -> None:
        """R2: plain text behind AUTH closes the session, whatever it is."""
        client = self.client()
        client.protocol.dataReceived(b"AUTH TLS\r\nUSER ann\r\n")
        self.assertEqual(finalCodes(client.take()), [421])
        self.assertTrue(client.isClosed)
        self.assertEqual(self.violations(client), ["plain text after AUTH"])

    def test_pipelinedBehindATransfer(self) -> None:
        """
        The same where AUTH had to wait for a transfer: what waited behind it was said
        in the clear and must not run inside TLS.
        """
        client = self.client()
        client.logIn()
        client.data.isSlow = True
        client.code("PASV")
        client.say("STOR x")
        client.say("AUTH TLS")
        client.say("USER ann")
        client.data.stream.receive(b"")
        client.data.connect()
        codes = finalCodes(client.take())
        self.assertEqual(codes, [226, 421])
        self.assertTrue(client.isClosed)

    def test_resetsTheLogin(self) -> None:
        """T-T2: who logged in before, and what was said, counts for nothing afterwards."""
        client = self.client()
        client.logIn()
        client.secure()
        self.assertEqual(client.codes(["PWD", "PASS secret"]), [530, 503])
        self.assertEqual(client.users.loggedOut, ["ann"])

    def test_garbage(self) -> None:
        """What is no TLS after AUTH ends the connection, with an alert or without a word."""
        for line in (b"GET / HTTP/1.1", b"USER ann", b"\x16\x03\x01\x00\x05hello", b"\xfe" * 9):
            client = self.client()
            client.code("AUTH TLS")
            self.assertIn(client.say(line)[:1], (b"", b"\x15"), line)
            self.assertTrue(client.isClosed)

    def test_handshakeTimeout(self) -> None:
        """A client that does not shake hands is not waited for, implicit TLS or not."""
        for settings in (
            FTPSettings(tls="optional", handshakeTimeout=5),
            FTPSettings(tls="required", implicitTLS=True, handshakeTimeout=5),
        ):
            client = self.client(settings)
            if not settings.implicitTLS:
                client.code("AUTH TLS")
            client.protocol.dataReceived(b"\x16\x03\x01")
            client.clock.advance(4)
            self.assertFalse(client.isClosed)
            client.clock.pump([1.0] * 3)
            self.assertTrue(client.isClosed)

    def test_loginAfterHandshake(self) -> None:
        """A handshake that is done leaves the usual time for a login."""
        client = self.client(FTPSettings(tls="optional", handshakeTimeout=5)).secure()
        client.clock.pump([1.0] * 58)
        self.assertEqual(client.codes(["USER ann", "PASS secret"]), [331, 230])

    def test_closeNotifyEnds(self) -> None:
        """What came with the client's close_notify is answered; then it is over."""
        client = self.client().secure()
        assert client.tls is not None
        client.tls.write(b"NOOP\r\n")
        client.protocol.dataReceived(client.outgoing.read() + client.unwrap())
        self.assertTrue(client.isClosed)

    def test_implicit(self) -> None:
        """On an implicit port TLS comes before the greeting, and data is protected."""
        settings = FTPSettings(tls="required", implicitTLS=True)
        client = self.client(settings)
        self.assertEqual(client.greeting, b"")
        client.wrap()
        self.assertEqual(client.take(), b"220 FTP server ready.\r\n")
        self.assertEqual(client.codes(["USER ann", "PASS secret", "PROT C"]), [331, 230, 534])


class ProtectionTests(SecurityCase):
    """PBSZ and PROT (T-T4)."""

    def test_beforeTLS(self) -> None:
        """Without TLS none of them means anything."""
        client = self.client()
        self.assertEqual(client.codes(["PBSZ 0", "PROT P", "PROT C", "CCC"]), [503] * 4)

    def test_levels(self) -> None:
        """C and P exist; S and E belong to other mechanisms; PBSZ may be left out."""
        client = self.client().secure()
        self.assertEqual(
            client.codes(["PROT P", "PROT c", "PROT S", "PROT E", "PROT X", "PROT"]),
            [200, 200, 536, 536, 504, 501],
        )
        self.assertEqual(client.say("PBSZ 0"), b"200 PBSZ=0\r\n")
        self.assertEqual(client.say("PBSZ 65536"), b"200 PBSZ=0\r\n")
        self.assertEqual(client.codes(["PBSZ x", "PBSZ -1", "PBSZ"]), [501] * 3)

    def test_required(self) -> None:
        """Where TLS is required, clients that never say PROT P transfer nothing."""
        client = self.client(FTPSettings(tls="required")).secure()
        client.logIn()
        client.code("PASV")
        self.assertEqual(client.codes(["PROT C", "LIST"]), [534, 521])

    def test_optional(self) -> None:
        """Where it is not, they do."""
        client = self.client().secure()
        client.logIn()
        client.code("PASV")
        self.assertEqual(client.code("LIST"), 226)


class RequiredTests(SecurityCase):
    """Who has to use TLS."""

    def test_listener(self) -> None:
        """T-T5: USER is refused before a password is sent; anonymous may stay plain."""
        client = self.client(FTPSettings(tls="required"))
        self.assertEqual(client.codes(["FEAT", "USER ann", "PASS secret"]), [211, 530, 503])
        self.assertEqual(client.codes(["USER anonymous", "PASS a@b"]), [331, 230])
        client.code("PASV")
        self.assertEqual(client.code("LIST"), 226)

    def test_account(self) -> None:
        """An account may demand it by itself: the reply says so, and it is no failed guess."""
        client = self.client(FTPSettings(tls="optional", maximumAttempts=1))
        client.users.mistake = EncryptionRequired()
        self.assertEqual(client.code("USER ann"), 331)
        self.assertEqual(
            client.say("PASS secret"), b"530 TLS is required here: say AUTH TLS first.\r\n"
        )
        self.assertFalse(client.isClosed)

    def test_accountData(self) -> None:
        """Its data connections have to be protected, too."""
        client = self.client().secure()
        client.users.requiresTLS = True
        client.logIn()
        client.code("PASV")
        self.assertEqual(client.codes(["LIST", "PROT C", "PROT P"]), [521, 534, 200])


class ClearCommandTests(SecurityCase):
    """CCC."""

    def cleared(self) -> SecureClient:
        """A client whose commands are in the clear again."""
        client = self.client(CLEARING).secure()
        client.logIn()
        self.assertEqual(client.code("CCC"), 200)
        assert client.tls is not None
        client.protocol.dataReceived(client.unwrap())
        return client

    def test_denied(self) -> None:
        """Off by default."""
        client = self.client().secure()
        client.logIn()
        self.assertEqual(client.codes(["CCC", "NOOP"]), [534, 200])

    def test_feature(self) -> None:
        """FEAT names it where it is allowed."""
        self.assertIn(b"\r\n CCC\r\n", self.client(CLEARING).say("FEAT"))
        self.assertNotIn(b" CCC\r\n", self.client().say("FEAT"))

    def test_notBeforeLogin(self) -> None:
        """The password is what TLS is for."""
        client = self.client(CLEARING).secure()
        self.assertEqual(client.codes(["CCC", "NOOP"]), [530, 200])

    def test_cleared(self) -> None:
        """200 and close_notify inside TLS; after the client's own, commands in the clear."""
        client = self.client(CLEARING).secure()
        client.logIn()
        tls = client.tls
        assert tls is not None
        self.assertEqual(client.code("CCC"), 200)
        self.assertEqual(tls.read(1), b"", "close_notify")
        # The first command may come in the same segment as the client's end of TLS.
        client.protocol.dataReceived(client.unwrap() + b"PWD\r\n")
        self.assertEqual(client.take(), b'257 "/" is current.\r\n')
        self.assertEqual(client.codes(["NOOP", "CCC", "AUTH TLS"]), [200, 533, 503])

    def test_idleAgain(self) -> None:
        """The time between commands is what it was."""
        client = self.cleared()
        client.clock.pump([10.0] * 29)
        self.assertEqual(client.code("NOOP"), 200)
        client.clock.pump([10.0] * 31)
        self.assertEqual(finalCodes(client.take()), [421])

    def test_loginIsOver(self) -> None:
        """No password and no change of protection in the clear; who is logged in stays."""
        client = self.cleared()
        self.assertEqual(
            client.codes(["USER ann", "PROT C", "PBSZ 0", "REIN", "PWD"]), [533] * 4 + [257]
        )
        self.assertEqual(client.code("PASS secret"), 503)

    def test_pipelined(self) -> None:
        """Commands behind CCC: on which side of the change were they meant?"""
        client = self.client(CLEARING).secure()
        client.logIn()
        self.assertEqual(finalCodes(client.say(b"CCC\r\nDELE x")), [421])
        self.assertEqual(self.violations(client), ["commands after CCC"])

    def test_commandsBeforeTheEnd(self) -> None:
        """A command inside TLS after CCC ends the session."""
        client = self.client(CLEARING).secure()
        client.logIn()
        tls = client.tls
        assert tls is not None
        self.assertEqual(client.code("CCC"), 200)
        tls.write(b"PWD\r\n")
        client.protocol.dataReceived(client.outgoing.read())
        self.assertTrue(client.isClosed)
        self.assertNotIn(b"257", client.take())
        self.assertEqual(self.violations(client), ["command between CCC and close_notify"])

    def test_withoutCloseNotify(self) -> None:
        """Clients that go on in the clear without one, as curl does, are understood."""
        client = self.client(CLEARING).secure()
        client.logIn()
        self.assertEqual(client.code("CCC"), 200)
        client.tls = None
        self.assertEqual(client.codes(["PWD", "NOOP"]), [257, 200])

    def test_clientWithoutEnd(self) -> None:
        """A client that never ends its TLS is not waited for."""
        client = self.client(CLEARING).secure()
        client.logIn()
        client.code("CCC")
        client.clock.pump([1.0] * 33)
        self.assertTrue(client.transport.isAborted)


class CertificateLoginTests(SecurityCase):
    """USER after a client certificate (RFC 4217 section 5)."""

    def login(self, owner: bytes | None, name: str = "ann", *, issued: Any = True) -> Any:
        client = self.client()
        client.users.owner = owner
        shown = self.authority.issue("ann") if issued is True else issued
        client.secure(shown, self.folder)
        return client, client.say(f"USER {name}")

    def test_mapped(self) -> None:
        """232: no password is asked; the portal saw name, certificate and connection."""
        client, answer = self.login(b"ann")
        self.assertEqual(answer, b"232 Logged in by certificate.\r\n")
        self.assertEqual(client.codes(["PWD", "PASS x"]), [257, 503])
        (credentials,) = client.users.asked
        self.assertTrue(ICertificate.providedBy(credentials))
        self.assertIn(b"ann", credentials.certificate)
        self.assertTrue(client.users.minds[0].secure)

    def test_unmapped(self) -> None:
        """331 where a password decides; it still does."""
        for owner in (None, b"ada"):
            client, answer = self.login(owner)
            self.assertEqual(answer, b"331 Password required.\r\n")
            self.assertEqual(client.code("PASS secret"), 230)

    def test_anothers(self) -> None:
        """530 for an account that has other certificates; it counts as a failed login."""
        client, answer = self.login(b"ada", "eve")
        self.assertEqual(answer, b"530 Login incorrect.\r\n")
        self.assertEqual(client.codes(["USER eve", "USER eve"]), [530, 421])

    def test_anonymous(self) -> None:
        """Anonymous logins are that, whatever the client shows."""
        _, answer = self.login(b"anonymous", "anonymous")
        self.assertEqual(finalCodes(answer), [331])

    def test_none(self) -> None:
        """Where certificates are optional, clients without one log in as ever."""
        _, answer = self.login(b"ann", issued=None)
        self.assertEqual(finalCodes(answer), [331])

    def test_strangers(self) -> None:
        """Expired, of another authority, for servers: no handshake, so no word of FTP."""
        for issued in (
            self.authority.issue("ann", age=timedelta(days=9), lifetime=-timedelta(days=1)),
            Authority("Other").issue("ann"),
            Authority("Test CA").issue("ann"),
            self.authority.issue("ann", purpose=ExtendedKeyUsageOID.SERVER_AUTH),
        ):
            client = self.client()
            client.users.owner = b"ann"
            client.secure(issued, self.folder)
            self.assertTrue(client.isClosed)
            self.assertEqual(client.users.asked, [])


class DemandedTests(SecurityCase):
    """C{client_certificates = "required"}."""

    demand = "required"

    def test_none(self) -> None:
        """Without a certificate there is no TLS."""
        client = self.client().secure()
        self.assertTrue(client.isClosed)

    def test_shown(self) -> None:
        """With one there is."""
        client = self.client().secure(self.authority.issue("ann"), self.folder)
        self.assertEqual(client.code("NOOP"), 200)
