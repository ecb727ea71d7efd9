"""
What an operator may decide about TLS, with the real daemon: client certificates, CCC,
how uploads have to end, who has to encrypt, how long a handshake may take.
"""

import contextlib
import ftplib
import io
import socket
import ssl
import time
from datetime import timedelta
from typing import Any

from filehub.certificates import makeSelfSigned
from tests.certauthority import Authority, Issued
from tests.integration.harness import (
    ACCOUNTS,
    ANSWER,
    Site,
    content,
    hashPassword,
    sharedSite,
    until,
)
from tests.integration.rawftp import RawFTP, drain
from tests.integration.test_ftps import TLSTestCase

RULE = '[[user.rule]]\npath = "/"\nallow = "elradfmwMT"\n'


class CertificateTests(TLSTestCase):
    """
    Client certificates.

    @ivar ada: ada's, known by its common name.
    """

    def makeSite(self) -> Site:
        self.authority = Authority()
        self.ada = self.authority.issue("Ada Lovelace")
        self.eve = self.authority.issue("Eve")
        self.ca = self.authority.write(self.local / "clients.pem")
        self.crl = self.authority.writeRevocations(self.local / "clients.crl")
        accounts = (
            f'[[user]]\nname = "ada"\ncertificate = "CN=Ada Lovelace"\n{RULE}'
            f'[[user]]\nname = "bob"\npassword = "{hashPassword("builder")}"\n{RULE}'
        )
        return self.newSite(
            accounts=accounts,
            ftp='tls_sessions = "prefer"',
            tls=f'client_certificates = "optional"\nclient_ca = "{self.ca}"\ncrl = "{self.crl}"',
        )

    def shown(self, issued: Issued | None, version: Any = None) -> RawFTP:
        """A control connection on which this certificate was shown."""
        context = self.context(version)
        if issued is not None:
            context.load_cert_chain(issued.write(self.local / "client.pem"))
        ftp = RawFTP(self.site.ftp)
        self.addCleanup(ftp.close)
        return ftp.secure(context)

    def test_login(self) -> None:
        """232 instead of a password, in both versions; transfers work, resumed or not."""
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            ftp = self.shown(self.ada, version)
            ftp.expect(232, "USER ada")
            ftp.expect(200, "TYPE I")
            ftp.expect(250, f"CWD {self.virtual}")
            self.assertSameContent(ftp.retrieve("RETR file"), self.data)
            self.assertEqual(ftp.store("STOR new", self.data).code, 226)

    def test_wrongUser(self) -> None:
        """530 for an account with another certificate; a password decides for others."""
        ftp = self.shown(self.eve)
        ftp.expect(530, "USER ada")
        ftp.expect(331, "USER bob")
        ftp.expect(230, "PASS builder")

    def test_none(self) -> None:
        """Without a certificate ada cannot log in, and bob can."""
        ftp = self.shown(None)
        ftp.expect(331, "USER ada")
        ftp.expect(530, "PASS x")
        ftp.login("bob", "builder")

    def test_dataConnections(self) -> None:
        """A data connection that shows another certificate, or none, gets nothing."""
        ftp = self.shown(self.ada)
        ftp.expect(232, "USER ada")
        for issued in (self.eve, None):
            context = self.context()
            if issued is not None:
                context.load_cert_chain(issued.write(self.local / "other.pem"))
            with ftp.passive() as plain:
                self.assertEqual(ftp.command(f"RETR {self.virtual}/file").code, 150)
                received = b""
                with contextlib.suppress(OSError):
                    received = drain(context.wrap_socket(plain, server_hostname="files.test"))
                self.assertEqual(received, b"")
            self.assertEqual(ftp.final().code, 522)

    def test_revoked(self) -> None:
        """T-T15: a certificate that is taken back opens no connection from then on."""
        self.shown(self.ada).expect(232, "USER ada")
        self.authority.writeRevocations(self.crl, self.ada)

        def refused() -> bool:
            context = self.context()
            context.load_cert_chain(self.local / "client.pem")
            with RawFTP(self.site.ftp) as ftp:
                try:
                    ftp.secure(context)
                except (OSError, EOFError):
                    return True
            return False

        until(refused, "the new list is used")
        until(lambda: "was revoked" in self.site.daemon.log(), "the log says so")
        self.shown(self.eve)

    def test_authorityNames(self) -> None:
        """Old devices choose their certificate by the names that the server sends."""
        openssl = self.requireClient("openssl")
        for version in ("-tls1_2", "-tls1_3"):
            done = self.run_(
                openssl, "s_client", "-connect", f"127.0.0.1:{self.site.ftp}", "-starttls",
                "ftp", version, stdin="Q\n", succeeds=False,
            )  # fmt: skip
            self.assertIn(b"Acceptable client certificate CA names\nCN = Test CA\n", done.stdout)

    def test_curl(self) -> None:
        """curl logs in by certificate."""
        curl = self.requireClient("curl")
        client = self.ada.write(self.local / "client.pem")
        done = self.run_(
            curl, "-sS", "--ssl-reqd", "--cacert", self.site.folder / "server.pem", "--cert",
            client, "--user", "ada:", f"ftp://localhost:{self.site.ftp}{self.virtual}/file",
        )  # fmt: skip
        self.assertSameContent(done.stdout, self.data)


class RenewalTests(TLSTestCase):
    """T-T14: a certificate that is renewed while bytes are moving."""

    def makeSite(self) -> Site:
        return self.newSite(tls=True)

    def served(self) -> bytes | None:
        """The certificate that new connections get."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with RawFTP(self.site.ftp) as ftp:
            ftp.expect(234, "AUTH TLS")
            ftp.encrypt(context)
            assert isinstance(ftp.control, ssl.SSLSocket)
            return ftp.control.getpeercert(True)

    def test_renewed(self) -> None:
        """
        New connections get the new one; a transfer that runs, and its session's further
        ones, go on with the old; a broken file changes nothing.
        """
        (self.work / "large").write_bytes(large := content(20_000_000))
        ftp = self.login()
        old = self.served()
        with ftp.passive() as plain:
            self.assertEqual(ftp.command("RETR large").code, 150)
            data = ftp.protect(plain)
            received = data.recv(1000)
            pem = self.site.folder / "server.pem"
            makeSelfSigned(pem, ["files.test"], timedelta(days=30))
            until(lambda: self.served() != old, "the new certificate is used")
            received += drain(data)
        ftp.final(226)
        self.assertSameContent(received, large)
        self.assertSameContent(ftp.retrieve("RETR file"), self.data)
        new = self.served()
        pem.write_text("broken")
        until(
            lambda: "certificates not reloaded" in self.site.daemon.log(),
            "the broken file is noticed",
        )
        self.assertEqual(self.served(), new)


class ClearCommandTests(TLSTestCase):
    """CCC, where it is allowed."""

    def makeSite(self) -> Site:
        return sharedSite("tls ccc", tls=True, ftp='ccc = "allow"')

    def test_ftplib(self) -> None:
        """ftplib: commands in the clear, transfers still protected and bound."""
        context = self.context()
        context.check_hostname = False

        class Client(ftplib.FTP_TLS):
            def ntransfercmd(self, cmd: str, rest: Any = None) -> Any:
                plain, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
                return context.wrap_socket(plain, session=session), size

        with Client(timeout=ANSWER, context=context) as ftp:
            ftp.connect("127.0.0.1", self.site.ftp)
            ftp.login("ada", "lovelace")
            ftp.prot_p()
            assert isinstance(ftp.sock, ssl.SSLSocket)
            session = ftp.sock.session
            ftp.ccc()
            self.assertIsNone(ftp.sock.version())
            ftp.cwd(self.virtual)
            received = io.BytesIO()
            ftp.retrbinary("RETR file", received.write)
            self.assertSameContent(received.getvalue(), self.data)
            self.assertRaises(ftplib.error_perm, ftp.sendcmd, "USER ada")

    def test_curl(self) -> None:
        """
        curl, whichever side ends TLS first.  (As the passive side it never ends it, which
        spoils the session: where sessions have to be resumed that does not work.)
        """
        curl = self.requireClient("curl")
        for mode in ("active", "passive"):
            done = self.run_(
                curl, "-sS", "--ssl-reqd", "--cacert", self.site.folder / "server.pem",
                "--ftp-ssl-ccc", "--ftp-ssl-ccc-mode", mode, "--user", "ada:lovelace",
                f"ftp://localhost:{self.site.ftp}{self.virtual}/file",
            )  # fmt: skip
            self.assertSameContent(done.stdout, self.data)


class EndingPolicyTests(TLSTestCase):
    """C{close_notify} that is not strict, and C{tls_sessions = "off"}."""

    policy = "log"

    def makeSite(self) -> Site:
        keys = f'close_notify = "{self.policy}"\ntls_sessions = "off"'
        return sharedSite(f"tls {self.policy}", tls=True, ftp=keys)

    def test_bareEnd(self) -> None:
        """An upload that TLS does not end is taken; "log" says so, once for each."""
        ftp = self.login()
        for name in ("one", "two"):
            with ftp.passive() as plain:
                self.assertEqual(ftp.command(f"STOR {name}").code, 150)
                data = ftp.protect(plain)
                data.sendall(self.data)
                data.close()
            self.assertEqual(ftp.final().code, 226)
            self.assertSameContent((self.work / name).read_bytes(), self.data)
        logged = self.site.daemon.log().count("upload without close_notify")
        self.assertEqual(logged, 2 if self.policy == "log" else 0)

    def test_nothingToResume(self) -> None:
        """No session is ever resumed, and none is missed."""
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            ftp = self.login(version)
            for _ in range(2):
                with ftp.passive() as plain:
                    self.assertEqual(ftp.command("RETR file").code, 150)
                    data = ftp.protect(plain)
                    self.assertSameContent(drain(data), self.data)
                    assert isinstance(data, ssl.SSLSocket)
                    self.assertFalse(data.session_reused)
                ftp.final(226)


class SilentEndingPolicyTests(EndingPolicyTests):
    """The same with C{close_notify = "off"}."""

    policy = "off"


class RequiredTests(TLSTestCase):
    """Who has to use TLS: an account, or all but anonymous."""

    def makeSite(self) -> Site:
        eve = f'[[user]]\nname = "eve"\npassword = "{hashPassword("x")}"\ngroups = ["safe"]\n{RULE}'
        group = '[[group]]\nname = "safe"\ntls = true\n'
        return self.newSite(tls=True, accounts=ACCOUNTS + group + eve)

    def test_account(self) -> None:
        """A group's demand: in the clear the right password gets a 530 that says why."""
        with RawFTP(self.site.ftp) as ftp:
            ftp.expect(331, "USER eve")
            self.assertIn("TLS is required", ftp.expect(530, "PASS x"))
            ftp.login()
            self.assertNotIn("eve", ftp.expect(257, "PWD"))
        ftp = RawFTP(self.site.ftp).secure(self.context()).login("eve", "x")
        self.addCleanup(ftp.close)
        self.assertIn(b"file", ftp.retrieve(f"NLST {self.virtual}"))
        ftp.expect(534, "PROT C")


class SlowHandshakeTests(TLSTestCase):
    """T-T13: handshakes that do not come to an end."""

    def makeSite(self) -> Site:
        limits = "handshake = 1\nper_address = 200"
        return sharedSite("tls handshake", tls=True, limits=limits)

    def test_halfHandshakes(self) -> None:
        """A hundred of them, explicit and implicit, are closed in time; others get in."""
        half: list[socket.socket] = []
        self.addCleanup(lambda: [each.close() for each in half])
        assert self.site.ftps is not None
        for number in range(100):
            if number % 2:
                half.append(socket.create_connection(("127.0.0.1", self.site.ftps), ANSWER))
            else:
                ftp = RawFTP(self.site.ftp)
                ftp.expect(234, "AUTH TLS")
                half.append(ftp.control)
            half[-1].sendall(b"\x16\x03\x01\x02")
        begun = time.monotonic()
        self.assertSameContent(self.login().retrieve("RETR file"), self.data)
        self.assertLess(time.monotonic() - begun, ANSWER)
        for each in half:
            with contextlib.suppress(ConnectionError):
                self.assertEqual(drain(each), b"")
        self.assertLess(time.monotonic() - begun, 2 * ANSWER)

    def test_dataConnection(self) -> None:
        """The same on a data connection: 522, and the session goes on."""
        ftp = self.login()
        with ftp.passive():
            self.assertEqual(ftp.command("RETR file").code, 150)
            self.assertEqual(ftp.final().code, 522)
        self.assertSameContent(ftp.retrieve("RETR file"), self.data)


class MemoryTests(TLSTestCase):
    """T-T16: what connections leave behind."""

    def makeSite(self) -> Site:
        return self.newSite(tls=True, limits="per_address = 200")

    def test_manyHandshakes(self) -> None:
        """Hundreds of sessions that came and went leave no memory behind."""
        context = self.context()

        def handshakes(count: int) -> int:
            for _ in range(count):
                ftp = RawFTP(self.site.ftp)
                ftp.expect(234, "AUTH TLS")
                ftp.encrypt(context)
                ftp.expect(221, "QUIT")
                ftp.close()
            return self.site.daemon.residentBytes()

        # The first ones fill what is kept for those that follow.
        before = handshakes(300)
        self.assertLess(handshakes(300) - before, 3_000_000)
