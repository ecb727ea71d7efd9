"""
Between client and server: proxies that introduce clients, tunnels and address
translation, several listeners and virtual hosts.
"""

import contextlib
import re
import shutil
import socket
import ssl
import subprocess
import threading

from tests.integration.harness import (
    ANSWER,
    IntegrationTestCase,
    Site,
    boundPorts,
    content,
    endpoint,
    tomlList,
    until,
)
from tests.integration.rawftp import RawFTP, drain
from tests.ports import freePort

#: Where clients come from, as proxies say; nothing in this machine has these addresses.
CLIENT, OTHER = "192.0.2.77", "192.0.2.78"
#: The address that clients connect to: the proxy's.
FRONT = "198.51.100.9"
#: A machine that is no proxy.
STRANGER = "127.0.0.7"
MANY = "per_address = 500\nper_user = 500"


def header(port: int, client: str = CLIENT) -> bytes:
    """Version 1, as a proxy sends it."""
    return f"PROXY TCP4 {client} {FRONT} 40001 {port}\r\n".encode()


def binary(client: str = CLIENT) -> bytes:
    """Version 2."""
    addresses = socket.inet_aton(client) + socket.inet_aton(FRONT) + b"\x9c\x41\x00\x15"
    return b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + addresses


def proxied(port: int) -> str:
    """A listener behind proxies, for [ftp]."""
    listen = tomlList(["haproxy:" + endpoint("tcp", port, "127.0.0.1")])
    return f"[[ftp.listener]]\nlisten = {listen}\ndata_proxy_protocol = true\n"


class IntroducedFTP(RawFTP):
    """A control connection whose first bytes are a header."""

    def __init__(self, port: int, first: bytes, *, source: str | None = None) -> None:
        super().__init__(port, source=source, greet=False)
        self.send(first)
        self.greeting = self.reply()


class ProxyTests(IntegrationTestCase):
    """PROXY headers by hand."""

    def makeSite(self) -> Site:
        self.port = freePort()
        return self.newSite(
            limits=MANY,
            log='level = "debug"',
            ftp=proxied(self.port) + 'trusted_proxies = ["127.0.0.1"]\n',
        )

    def setUp(self) -> None:
        super().setUp()
        self.data = content(300_000)
        (self.work / "file").write_bytes(self.data)
        until(lambda: self.port in boundPorts("tcp"), "it listens")

    def connect(self, first: bytes | None = None) -> RawFTP:
        ftp = IntroducedFTP(self.port, header(self.port) if first is None else first).login()
        self.addCleanup(ftp.close)
        ftp.expect(250, f"CWD {self.virtual}")
        return ftp

    def test_client(self) -> None:
        """The client's own address is the session's, in both versions of the header."""
        for first in (header(self.port), binary()):
            ftp = self.connect(first)
            self.assertIn(f"Connected from {CLIENT}", ftp.command("STAT"))
            # What is the client's own, and what is not, follows from it.
            ftp.expect(200, f"PORT {CLIENT.replace('.', ',')},200,1")
            ftp.expect(501, "PORT 127,0,0,1,200,1")
        self.assertIn(f"ftp {CLIENT} ", self.site.daemon.log())
        self.checkStrangers()
        self.checkPlain()

    def test_data(self) -> None:
        """
        PASV tells the address that the client knows; its data connections come with a
        header, and another client's are refused.
        """
        ftp = self.connect()
        for first in (header(1), binary()):
            text = ftp.expect(227, "PASV")
            found = re.search(r"\((\d+),(\d+),(\d+),(\d+),(\d+),(\d+)\)", text)
            assert found is not None
            numbers = [int(each) for each in found.groups()]
            self.assertEqual(".".join(map(str, numbers[:4])), FRONT)
            place = ("127.0.0.1", numbers[4] * 256 + numbers[5])
            with socket.create_connection(place, ANSWER) as thief:
                thief.sendall(header(1, OTHER))
                with contextlib.suppress(ConnectionError):
                    self.assertEqual(thief.recv(1), b"")
            with socket.create_connection(place, ANSWER) as data:
                data.sendall(first)
                self.assertEqual(ftp.command("RETR file").code, 150)
                self.assertSameContent(drain(data), self.data)
            ftp.final(226)
            text = ftp.expect(229, "EPSV")
            found = re.search(r"\d{4,}", text)
            assert found is not None
            with socket.create_connection(("127.0.0.1", int(found[0])), ANSWER) as data:
                # The header and the file in one piece.
                ftp.send("STOR copy\r\n")
                data.sendall(first + self.data)
            ftp.final(226)
            self.assertSameContent((self.work / "copy").read_bytes(), self.data)

    def checkStrangers(self) -> None:
        """Who is no trusted proxy, or says no header, is turned away without a word."""
        for source, first in (
            (STRANGER, header(self.port)),
            (None, b"USER ada\r\n"),
            (None, b"\r\n\r\n\0\r\nQUIT\n\x31"),
        ):  # fmt: skip
            with contextlib.suppress(ConnectionError, EOFError):
                ftp = IntroducedFTP(self.port, first, source=source)
                self.fail(f"{first!r} was answered {ftp.greeting!r}")

    def checkPlain(self) -> None:
        """The other listener of the same daemon takes clients as ever, and no header."""
        with RawFTP(self.site.ftp).login() as ftp:
            self.assertSameContent(ftp.retrieve(f"RETR {self.virtual}/file"), self.data)
        with RawFTP(self.site.ftp) as ftp:
            self.assertGreaterEqual(ftp.command(header(self.site.ftp)[:-2]).code, 500)


class HAProxyTests(IntegrationTestCase):
    """HAProxy itself, for control and data."""

    def makeSite(self) -> Site:
        self.port = freePort()
        self.first = freePort(count=3)
        return self.newSite(
            limits=MANY,
            ftp=proxied(self.port) + f'passive_ports = "{self.first}-{self.first + 2}"\n',
        )

    def proxy(self, sending: str) -> int:
        """Start HAProxy; returns its port.  The passive ports are the same on both sides."""
        haproxy = self.requireClient("haproxy")
        front = freePort()
        configuration = self.local / "haproxy.cfg"
        configuration.write_text(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n"
            f"listen control\n bind 127.0.0.31:{front}\n"
            f" server one 127.0.0.1:{self.port} {sending}\n"
            f"listen data\n bind 127.0.0.31:{self.first}-{self.first + 2}\n"
            f" server one 127.0.0.1 {sending}\n"
        )
        process = subprocess.Popen(
            [haproxy, "-f", str(configuration), "-db"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.addCleanup(process.wait, ANSWER)
        self.addCleanup(process.kill)
        until(lambda: front in boundPorts("tcp"), "HAProxy listens")
        return front

    def test_haproxy(self) -> None:
        """curl through HAProxy, with both versions: listing, download, upload."""
        curl = self.requireClient("curl")
        data = content(2_000_000)
        (self.work / "file").write_bytes(data)
        (self.local / "up").write_bytes(data)
        for sending in ("send-proxy", "send-proxy-v2"):
            front = self.proxy(sending)
            url = f"ftp://127.0.0.31:{front}{self.virtual}/"
            for options in (["--disable-epsv", "--no-ftp-skip-pasv-ip"], []):
                common = [curl, "-sS", "-u", "ada:lovelace", *options]
                self.assertIn(b"file", self.run_(*common, url).stdout)
                self.run_(*common, "-o", "down", url + "file")
                self.assertSameContent((self.local / "down").read_bytes(), data)
                self.run_(*common, "-T", "up", url + "copied")
                self.assertSameContent((self.work / "copied").read_bytes(), data)


class Forwarder:
    """
    Carries connections from one port to another, as an SSH tunnel or a router does:
    neither side sees the other's address.
    """

    def __init__(self, listen: tuple[str, int], target: tuple[str, int]) -> None:
        self.listener = socket.create_server(listen)
        self.target = target
        self.open: list[socket.socket] = [self.listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self.listener.accept()[0]
                far = socket.create_connection(self.target, ANSWER, source_address=("127.0.0.1", 0))
                self.open += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    @staticmethod
    def _carry(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(1 << 16):
                target.sendall(chunk)
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for each in self.open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


class TunnelTests(IntegrationTestCase):
    """Control connection and passive ports through a forwarder."""

    #: The near end of the tunnel.
    NEAR = "127.0.0.41"

    def makeSite(self) -> Site:
        self.first = freePort(count=2)
        return self.newSite(
            ftp=f'passive_ports = "{self.first}-{self.first + 1}"\n'
            f'external_address = {{ "127.0.0.0/8" = "{self.address}" }}',
            limits=MANY,
        )

    address = "0.0.0.0"

    def setUp(self) -> None:
        super().setUp()
        self.data = content(1_000_000)
        (self.work / "file").write_bytes(self.data)
        self.near = freePort()
        for near, far in ((self.near, self.site.ftp), *((self.first + n,) * 2 for n in range(2))):
            tunnel = Forwarder((self.NEAR, near), ("127.0.0.1", far))
            self.addCleanup(tunnel.close)

    def test_tunnel(self) -> None:
        """
        lftp and curl through it, with PASV and EPSV: the address in the reply is the near
        end's, or none.
        """
        with RawFTP(self.near, self.NEAR).login() as ftp:
            self.assertIn(f"({self.address.replace('.', ',')},", ftp.expect(227, "PASV"))
        curl = self.requireClient("curl")
        url = f"ftp://{self.NEAR}:{self.near}{self.virtual}/file"
        plain = ["--no-ftp-skip-pasv-ip"] if self.address == self.NEAR else []
        for options in (["--disable-epsv", *plain], []):
            self.run_(curl, "-sS", "-u", "ada:lovelace", *options, "-o", "down", url)
            self.assertSameContent((self.local / "down").read_bytes(), self.data)
        lftp = self.requireClient("lftp")
        script = (
            "set net:timeout 8; set net:max-retries 1; set ftp:ssl-allow no;"
            " set ftp:prefer-epsv no;"
            f" open -u ada,lovelace ftp://{self.NEAR}:{self.near}; cd {self.virtual};"
            " get file -o lftp-down; put lftp-down -o back"
        )
        if self.address == self.NEAR:
            self.run_(lftp, "-c", script)
            self.assertSameContent((self.work / "back").read_bytes(), self.data)


class TranslatedTests(TunnelTests):
    """The same where the operator has named the near end."""

    address = TunnelTests.NEAR


class DifferingTests(IntegrationTestCase):
    """Listeners of one daemon that differ."""

    def makeSite(self) -> Site:
        self.old = freePort()
        return self.newSite(
            ftp=f"[[ftp.listener]]\nlisten = {tomlList([endpoint('tcp', self.old, '127.0.0.1')])}\n"
            'charset = "latin-1"\nprofile = "camera"\nbanner = "Old."\n'
        )

    def test_charset(self) -> None:
        """lftp in Latin-1 on one port, curl in UTF-8 on the other: the same names."""
        lftp, curl = self.requireClient("lftp"), self.requireClient("curl")
        (self.local / "Stra\u00dfe").write_bytes(b"content")
        self.run_(
            lftp, "-c",
            "set ftp:charset iso8859-1; set ftp:use-utf8 no; set file:charset utf-8;"
            " set ftp:ssl-allow no; set net:max-retries 1; set net:timeout 8;"
            f" open -u ada,lovelace ftp://127.0.0.1:{self.old}; cd {self.virtual};"
            " put Stra\u00dfe; cls -1 > listed; mv Stra\u00dfe B\u00fccher",
        )  # fmt: skip
        self.assertEqual((self.local / "listed").read_text(), "Stra\u00dfe\n")
        self.assertEqual((self.work / "B\u00fccher").read_bytes(), b"content")
        url = f"ftp://ada:lovelace@127.0.0.1:{self.site.ftp}{self.virtual}/"
        listed = self.run_(curl, "-sS", "-l", url).stdout
        self.assertEqual(listed.decode().split(), ["B\u00fccher"])

    def test_profile(self) -> None:
        """The camera's port makes folders on the way, again and again; the other does not."""
        with RawFTP(self.old) as ftp:
            self.assertEqual(ftp.greeting, "220 Old.")
            ftp.login()
            for _ in range(2):
                ftp.expect(257, f"MKD {self.virtual}/2026/01")
            ftp.expect(502, "EPSV")
        with RawFTP(self.site.ftp).login() as ftp:
            ftp.expect(550, f"MKD {self.virtual}/2026/01")
            ftp.expect(550, f"MKD {self.virtual}/2027/01")
            ftp.expect(229, "EPSV")


class HostTests(IntegrationTestCase):
    """Virtual hosts in the daemon."""

    def makeSite(self) -> Site:
        return self.newSite(
            tls=True,
            ftp='[[ftp.host]]\nname = "acme.test"\nbanner = "Acme."\nroot = "/acme"\n'
            'user_prefix = "a"\nanonymous = false\n'
            '[[ftp.host]]\nname = "files.test"\nbanner = "Files."\n',
            root=None,
        )

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.site.root / "acme"
        self.folder.mkdir()
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        (self.folder / "file").write_bytes(b"acme")

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context

    def test_host(self) -> None:
        """HOST before the login: own banner, own names, own root; the others as before."""
        with RawFTP(self.site.ftp) as ftp:
            self.assertEqual(ftp.expect(220, "HOST Acme.test"), "220 Acme.")
            ftp.expect(331, "USER anonymous")
            ftp.expect(530, "PASS x@")
            ftp.login("da", "lovelace")
            ftp.expect(503, "HOST files.test")
            self.assertEqual(ftp.names("/"), [b"file"])
            self.assertEqual(ftp.retrieve("RETR file"), b"acme")
            self.assertNotIn("/acme/", ftp.expect(550, "SIZE missing") + ftp.expect(550, "RMD x"))
            self.assertEqual(ftp.store("STOR new", b"x").code, 226)
            ftp.expect(250, "CWD ..")
            self.assertIn('"/"', ftp.expect(257, "PWD"))
        self.assertEqual((self.folder / "new").read_bytes(), b"x")
        with RawFTP(self.site.ftp).login() as ftp:
            self.assertIn(b"acme", ftp.names("/"))

    def test_serverName(self) -> None:
        """With TLS the name in the handshake is enough, and HOST has to agree with it."""
        for port in (self.site.ftp, self.site.ftps):
            assert port is not None
            explicit = port == self.site.ftp
            with RawFTP(port, greet=explicit) as ftp:
                if explicit:
                    ftp.expect(234, "AUTH TLS")
                ftp.encrypt(self.context(), name="acme.test")
                if not explicit:
                    self.assertEqual(ftp.reply(), "220 Acme.")
                ftp.expect(504, "HOST files.test")
                ftp.expect(200, "PBSZ 0")
                ftp.expect(200, "PROT P")
                ftp.login("da", "lovelace")
                self.assertEqual(ftp.retrieve("RETR file"), b"acme")
