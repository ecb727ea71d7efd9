"""
TFTP on a network with more than one address, scope and packet size: a wire of the test's
own between two network namespaces.
"""

from __future__ import annotations

import shutil
import socket
import tempfile
from pathlib import Path

from tests.integration.harness import ClientTestCase, Daemon, content
from tests.integration.namespaces import Namespace
from tests.integration.rawtftp import RRQ, RawTFTP, ack, data, request

#: The networks that both ends of the wire are in.
CONFIGURATION = """
[tftp]
listen = {listen}
[[mount]]
path = "/"
source = "file://{root}"
[[user]]
name = "netboot"
[[user.rule]]
path = "/"
allow = "r"
[[network]]
address = "10.97.0.0/24"
account = "netboot"
protocols = ["tftp"]
[[network]]
address = "fd00:97::/64"
account = "netboot"
protocols = ["tftp"]
[[network]]
address = "fe80::/64"
account = "netboot"
protocols = ["tftp"]
"""

#: Small enough that nobody grants it by chance.
MTU = 1300


class WireTestCase(ClientTestCase):
    """
    A server with two addresses of each family, and a client.

    @ivar client: the client's end; C{server} the other one.
    @ivar data: what C{file} contains.
    """

    listen = "['udp:69']"

    def setUp(self) -> None:
        super().setUp()
        self.server, self.client = Namespace(), Namespace()
        self.addCleanup(self.server.close)
        self.addCleanup(self.client.close)
        self.server.ip(
            *("link", "add", "wire", "mtu", str(MTU), "type", "veth"),
            *("peer", "name", "wire", "mtu", str(MTU), "netns", str(self.client.process)),
        )
        for space, numbers in ((self.server, (1, 2)), (self.client, (9,))):
            for number in numbers:
                space.ip("addr", "add", f"10.97.0.{number}/24", "brd", "+", "dev", "wire")
                space.ip("addr", "add", f"fd00:97::{number}/64", "dev", "wire", "nodad")
                space.ip("addr", "add", f"fe80::{number}/64", "dev", "wire", "nodad")
            space.ip("link", "set", "wire", "up")
        folder = Path(tempfile.mkdtemp(prefix="filehub-wire-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        root = folder / "root"
        root.mkdir()
        self.data = content(100_000)
        (root / "file").write_bytes(self.data)
        configuration = folder / "filehub.toml"
        configuration.write_text(CONFIGURATION.format(root=root, listen=self.listen))
        self.daemon = Daemon(
            folder, ["--config", str(configuration)], udp=[69], prefix=self.server.prefix
        )
        self.addCleanup(self._stopped)

    def _stopped(self) -> None:
        self.daemon.stop()
        self.assertEqual(self.daemon.trouble(), "")

    def ask(self, host: str) -> RawTFTP:
        """A client of the server at this address."""
        with self.client.entered():
            peer = RawTFTP(69, host, source="::" if ":" in host else "0.0.0.0")
            # The scope has its name in there only.
            peer.server = socket.getaddrinfo(host, 69, type=socket.SOCK_DGRAM)[0][4]
        self.addCleanup(peer.socket.close)
        return peer

    def assertAnswers(self, host: str, blksize: int) -> None:
        """
        Everything that comes, comes from the address that was asked, in blocks of this
        size when larger ones were.
        """
        plain = host.partition("%")[0]
        peer = self.ask(host)
        self.assertEqual(peer.ask(request(RRQ, b"missing"))[:4], b"\0\5\0\1")
        self.assertEqual(peer.transfer, (plain, 69))
        answer = peer.ask(request(RRQ, b"file", blksize=8192))
        self.assertEqual(answer, b"\0\6blksize\0%d\0" % blksize)
        assert peer.transfer is not None
        self.assertEqual(peer.transfer[0], plain)
        self.assertNotEqual(peer.transfer[1], 69)
        peer.answer(ack(0))
        received = bytearray()
        for block in range(1, len(self.data) // blksize + 2):
            packet = peer.receive()
            while packet[:4] != data(block, b""):
                # A slow machine makes the server say things twice.
                packet = peer.receive()
            self.assertEqual(peer.transfer[0], plain)
            received += packet[4:]
            peer.answer(ack(block))
        self.assertSameContent(bytes(received), self.data)


class IPv4Tests(WireTestCase):
    """Listening on all IPv4 addresses."""

    def test_addresses(self) -> None:
        """The answer leaves from the address that was asked, in unbroken packets."""
        for host in ("10.97.0.1", "10.97.0.2"):
            self.assertAnswers(host, MTU - 32)

    def test_broadcast(self) -> None:
        """A request to everybody is answered by nobody."""
        peer = self.ask("10.97.0.255")
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        peer.socket.sendto(request(RRQ, b"file"), peer.server)
        # What is sent next is answered, and nothing comes before that answer.
        peer.server = ("10.97.0.1", 69)
        self.assertEqual(peer.ask(request(RRQ, b"missing"))[:4], b"\0\5\0\1")
        self.assertTrue(peer.silent(0.1))


class BothFamiliesTests(WireTestCase):
    """Listening on one socket for all addresses of both families."""

    listen = r"['udp:69:interface=\:\:']"

    def setUp(self) -> None:
        self.requireIPv6()
        super().setUp()

    def test_addresses(self) -> None:
        """The same for both families; IPv6 has larger headers."""
        for host in ("10.97.0.1", "10.97.0.2"):
            self.assertAnswers(host, MTU - 32)
        for host in ("fd00:97::1", "fd00:97::2"):
            self.assertAnswers(host, MTU - 52)

    def test_linkLocal(self) -> None:
        """Link-local addresses need to know which link."""
        for host in ("fe80::1%wire", "fe80::2%wire"):
            self.assertAnswers(host, MTU - 52)


class HardwareAddressTests(WireTestCase):
    """Who a neighbour is, on a wire."""

    listen = "['udp:69:interface=\\:\\:']\nclient_roots = ['/clients/\\mac']"

    def test_folder(self) -> None:
        """A machine gets what lies in the folder of its hardware address, in both families."""
        self.client.ip("link", "set", "wire", "address", "52:54:00:12:34:56")
        folder = self.daemon.folder / "root" / "clients" / "52-54-00-12-34-56"
        folder.mkdir(parents=True)
        (folder / "own").write_bytes(b"mine")
        for host in ("10.97.0.1", "fd00:97::1"):
            peer = self.ask(host)
            self.assertEqual(peer.ask(request(RRQ, b"own")), data(1, b"mine"), host)
            peer.answer(ack(1))
