"""
FTP over TLS, with clients that nobody here wrote, and what must not happen around it:
rows R2 to R10 of C{docs/reliability-rows.rst}.
"""

import contextlib
import ftplib
import io
import socket
import ssl
import time
from collections.abc import Iterator

from tests.integration.harness import ANSWER, IntegrationTestCase, Site, content, sharedSite, until
from tests.integration.rawftp import RawFTP, drain, reset
from tests.integration.test_ftp_clients import makeTree, readTree


class TLSTestCase(IntegrationTestCase):
    """
    A daemon with TLS, both explicit and implicit.

    @ivar file: C{file} in the test's folder has C{data}.
    """

    def makeSite(self) -> Site:
        return sharedSite("tls", tls=True)

    def setUp(self) -> None:
        super().setUp()
        self.data = content(1_500_000)
        (self.work / "file").write_bytes(self.data)

    def context(self, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """A client that trusts our certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.site.folder / "server.pem")
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context

    def login(self, version: ssl.TLSVersion | None = None) -> RawFTP:
        ftp = RawFTP(self.site.ftp).secure(self.context(version)).login()
        self.addCleanup(ftp.close)
        ftp.expect(250, f"CWD {self.virtual}")
        return ftp


class ClientTests(TLSTestCase):
    """Stock clients."""

    def curl(self, scheme: str, port: int | None, *options: str, name: str) -> bytes:
        curl = self.requireClient("curl")
        return self.run_(
            curl, "-sS", "--max-time", "20", "--user", "ada:lovelace",
            "--cacert", self.site.folder / "server.pem",
            "--connect-to", f"files.test:{port}:127.0.0.1:{port}", *options,
            f"{scheme}://files.test:{port}{self.virtual}/{name}",
        ).stdout  # fmt: skip

    def test_curl(self) -> None:
        """curl, explicit and implicit, TLS 1.2 and 1.3, both ways, certificate verified."""
        source = self.local / "source"
        source.write_bytes(content(700_000, "up"))
        for scheme, port in (("ftp", self.site.ftp), ("ftps", self.site.ftps)):
            for version in ("1.2", "1.3"):
                options = ["--ssl-reqd", f"--tlsv{version}", "--tls-max", version]
                self.assertSameContent(self.curl(scheme, port, *options, name="file"), self.data)
                self.curl(scheme, port, *options, "-T", str(source), name="stored")
                stored = self.work / "stored"
                self.assertSameContent(stored.read_bytes(), source.read_bytes())
                stored.unlink()

    def test_lftp(self) -> None:
        """lftp mirrors a tree of odd names up and down, data protected."""
        lftp = self.requireClient("lftp")
        up, down = self.local / "up", self.local / "down"
        up.mkdir()
        tree = makeTree(up)
        script = "; ".join([
            "set cmd:fail-exit yes", "set net:max-retries 1", "set net:timeout 10",
            "set ftp:ssl-force yes", "set ftp:ssl-protect-data yes",
            f"set ssl:ca-file {self.site.folder / 'server.pem'}", "set ssl:check-hostname no",
            f"open -u ada,lovelace -p {self.site.ftp} 127.0.0.1",
            f"mirror -R {up} {self.virtual}/tree", f"mirror {self.virtual}/tree {down}",
        ])  # fmt: skip
        self.run_(lftp, "--norc", "-c", script)
        self.assertEqual(readTree(self.work / "tree"), tree)
        self.assertEqual(readTree(down), tree)

    def test_ftplib(self) -> None:
        """Python's ftplib, over both addresses."""
        for host in ("127.0.0.1", "::1"):
            with ftplib.FTP_TLS(timeout=ANSWER, context=self.context()) as ftp:
                ftp.context.check_hostname = False
                ftp.connect(host, self.site.ftp)
                ftp.login("ada", "lovelace")
                ftp.prot_p()
                received = io.BytesIO()
                ftp.retrbinary(f"RETR {self.virtual}/file", received.write)
                self.assertSameContent(received.getvalue(), self.data)
                ftp.storbinary(f"STOR {self.virtual}/stored", io.BytesIO(self.data))
                self.assertSameContent((self.work / "stored").read_bytes(), self.data)
                (self.work / "stored").unlink()


class InjectionTests(TLSTestCase):
    """R2: plain text that was pipelined behind AUTH is not a command inside TLS."""

    def test_pipelined(self) -> None:
        """It closes the connection, however it is cut into segments."""
        evil = f"DELE {self.virtual}/file\r\n".encode()
        for cut in (0, 1, len(evil) - 1, len(evil)):
            with RawFTP(self.site.ftp) as ftp:
                ftp.send(b"AUTH TLS\r\n" + evil[:cut])
                time.sleep(0.02)
                with contextlib.suppress(ConnectionError):
                    ftp.send(evil[cut:])
                    codes = []
                    with contextlib.suppress(EOFError):
                        while True:
                            codes.append(ftp.reply().code)
                    self.assertTrue(set(codes) <= {234, 421}, codes)
        self.assertTrue((self.work / "file").exists())

    def test_stateIsForgotten(self) -> None:
        """USER that was said in clear counts for nothing inside."""
        with RawFTP(self.site.ftp) as ftp:
            ftp.command("USER ada")
            ftp.expect(234, "AUTH TLS")
            ftp.encrypt(self.context())
            ftp.expect(503, "PASS lovelace")
            ftp.login()

    def test_twice(self) -> None:
        """AUTH inside TLS is refused, and nothing is nested."""
        ftp = self.login()
        self.assertIn(ftp.command("AUTH TLS").code, (503, 534))
        ftp.expect(200, "NOOP")


class HandshakeTests(TLSTestCase):
    """R3, R4, R10: names, protocols and renegotiation."""

    def handshake(self, *, name: str = "files.test", protocols: list[str] | None = None) -> str:
        context = self.context()
        context.check_hostname = False
        if protocols is not None:
            context.set_alpn_protocols(protocols)
        with RawFTP(self.site.ftp) as ftp:
            ftp.expect(234, "AUTH TLS")
            ftp.encrypt(context, name=name)
            ftp.expect(200, "NOOP")
            assert isinstance(ftp.control, ssl.SSLSocket)
            return ftp.control.selected_alpn_protocol() or ""

    def test_applicationProtocols(self) -> None:
        """R3: a client that offers only HTTP fails; one that offers ftp, or nothing, does not."""
        self.assertEqual(self.handshake(), "")
        self.assertEqual(self.handshake(protocols=["ftp"]), "ftp")
        self.assertRaises(OSError, self.handshake, protocols=["h2", "http/1.1"])

    def test_strictNames(self) -> None:
        """R4: with strict_sni a name without a certificate is refused."""
        self.handshake(name="elsewhere.test")
        self.addCleanup(setattr, self, "site", self.site)
        strict = self.newSite(tls=True)
        text = strict.configuration.read_text()
        strict.daemon.stop()
        strict.configuration.write_text(text.replace("[tls]\n", "[tls]\nstrict_sni = true\n"))
        strict.start()
        self.site = strict
        self.handshake()
        self.assertRaises(OSError, self.handshake, name="elsewhere.test")

    def test_renegotiation(self) -> None:
        """R10: a client that wants to renegotiate is refused, and nothing is served to it."""
        openssl = self.requireClient("openssl")
        with socket.create_connection(("127.0.0.1", self.site.ftp), ANSWER):
            pass
        done = self.run_(
            openssl, "s_client", "-connect", f"127.0.0.1:{self.site.ftp}", "-starttls", "ftp",
            "-tls1_2", stdin="R\n", succeeds=False,
        )  # fmt: skip
        self.assertIn(b"RENEGOTIATING", done.stdout)
        self.assertIn(b"no renegotiation", done.stdout)

    def openssl(self, *options: str, stdin: str = "Q\n") -> bytes:
        """What C{openssl s_client} says of a handshake."""
        openssl = self.requireClient("openssl")
        return self.run_(
            openssl, "s_client", "-connect", f"127.0.0.1:{self.site.ftp}", "-starttls", "ftp",
            *options, stdin=stdin, succeeds=False,
        ).stdout  # fmt: skip

    def test_oldProtocols(self) -> None:
        """T-T12: nothing older than TLS 1.2, no cipher without forward secrecy and AEAD."""
        for options in (
            ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
            ("-tls1_2", "-cipher", "AES128-SHA:AES128-GCM-SHA256:@SECLEVEL=0"),
            ("-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256:ECDHE-ECDSA-AES128-SHA256"),
        ):
            self.assertRegex(self.openssl(*options), rb"alert (protocol version|handshake fail)")
        self.assertIn(b"Cipher is ECDHE-", self.openssl("-tls1_2"))
        self.assertIn(b"Compression: NONE", self.openssl("-tls1_2"))

    def test_earlyData(self) -> None:
        """T-T11: no ticket allows commands before the handshake, which could be replayed."""
        said = self.openssl("-tls1_3", "-ign_eof", stdin="QUIT\n")
        self.assertIn(b"Max Early Data: 0\n", said)


class EndingTests(TLSTestCase):
    """R5: how a TLS data connection ends is the truth about the file."""

    def upload(self, version: ssl.TLSVersion, end: str) -> tuple[int, RawFTP]:
        ftp = self.login(version)
        plain = ftp.passive()
        self.assertEqual(ftp.command("STOR new").code, 150)
        data = ftp.protect(plain)
        assert isinstance(data, ssl.SSLSocket)
        data.sendall(self.data[:300_000])
        if end == "close_notify":
            data.unwrap()
            data.close()
        elif end == "FIN":
            data.close()
        else:
            time.sleep(0.05)
            reset(data)
        return ftp.final().code, ftp

    def test_endings(self) -> None:
        """Only close_notify makes an upload complete; FIN alone and RST do not."""
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for end in ("FIN", "RST"):
                code, ftp = self.upload(version, end)
                self.assertIn(code, (426, 451), (version, end))
                ftp.expect(200, "NOOP")
                self.assertFalse((self.work / "new").exists())
            code, _ = self.upload(version, "close_notify")
            self.assertEqual(code, 226)
            self.assertSameContent((self.work / "new").read_bytes(), self.data[:300_000])
            (self.work / "new").unlink()

    def test_notWaitedFor(self) -> None:
        """A client that never answers our close_notify gets its 226 all the same."""
        ftp = self.login()
        with ftp.passive() as plain:
            self.assertEqual(ftp.command("RETR file").code, 150)
            data = ftp.protect(plain)
            self.assertSameContent(drain(data), self.data)
            ftp.final(226)

    def test_empty(self) -> None:
        """An empty file arrives; a connection that is closed before TLS is none."""
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            ftp = self.login(version)
            self.assertEqual(ftp.store("STOR empty", b"").code, 226)
            self.assertEqual((self.work / "empty").read_bytes(), b"")
            with ftp.passive() as plain:
                self.assertEqual(ftp.command("STOR nothing").code, 150)
                plain.close()
            self.assertIn(ftp.final().code, (425, 426, 522))
            self.assertNothingLeft(self.work, "empty", "file")

    def test_downloadsEndCleanly(self) -> None:
        """A download ends with close_notify: L{RawFTP.protect} would fail on a bare FIN."""
        ftp = self.login()
        self.assertSameContent(ftp.retrieve("RETR file"), self.data)
        self.assertIn(b"file", ftp.retrieve("NLST"))


class BoundTests(TLSTestCase):
    """R7 to R9: data connections resume their own control connection's session."""

    def makeSite(self) -> Site:
        return sharedSite("tls require", tls=True, ftp='tls_sessions = "require"')

    @contextlib.contextmanager
    def transferring(self, ftp: RawFTP) -> Iterator[socket.socket]:
        with ftp.passive() as plain:
            self.assertEqual(ftp.command("RETR file").code, 150)
            yield plain

    def test_bound(self) -> None:
        """
        The own session is resumed and served, many times over; a new session and that of
        another client who is logged in are not.
        """
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            ftp, other = self.login(version), self.login(version)
            for _ in range(20):
                self.assertSameContent(ftp.retrieve("RETR file"), self.data)
            assert isinstance(other.control, ssl.SSLSocket) and ftp.context and other.context
            for context, session in (
                (self.context(version), None),
                (other.context, other.control.session),
            ):
                received = b""
                with self.transferring(ftp) as plain, contextlib.suppress(OSError):
                    data = context.wrap_socket(plain, server_hostname="files.test", session=session)
                    received = drain(data)
                self.assertIn(ftp.final().code, (425, 522), version)
                self.assertNotIn(self.data[:100], received)
                ftp.expect(200, "NOOP")


class StalledHandshakeTests(TLSTestCase):
    """Data connections whose handshake is garbage."""

    def test_garbage(self) -> None:
        """Plain text where TLS is due is 425 or 522, and no plain byte comes back."""
        ftp = self.login()
        with ftp.passive() as plain:
            self.assertEqual(ftp.command("RETR file").code, 150)
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            with contextlib.suppress(ConnectionError):
                answer = drain(plain)
            self.assertIn(ftp.final().code, (425, 522))
        # What may come is a TLS alert.
        self.assertTrue(answer == b"" or answer[0] == 0x15, answer[:20])
        until(lambda: ftp.command("NOOP").code == 200, "the session goes on")
