"""
UDP sockets, over loopback.
"""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from filehub.credentials import Address
from filehub.transfer.datagrams import (
    Datagram,
    ListeningSocket,
    PeerSocket,
    addressOf,
    interfaceMTU,
    isMulticast,
    plainHost,
)


class SocketTestCase(SynchronousTestCase):
    def listen(self, host: str = "127.0.0.1") -> ListeningSocket:
        listener = ListeningSocket.bind(host, 0)
        self.addCleanup(listener.close)
        return listener

    def client(self, host: str = "127.0.0.1") -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        client = socket.socket(family, socket.SOCK_DGRAM)
        self.addCleanup(client.close)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        client.bind((host, 0))
        client.settimeout(5)
        return client

    def ask(self, listener: ListeningSocket, client: socket.socket, host: str) -> Datagram:
        client.sendto(b"hello", (host, listener.address.port))
        datagram = listener.receive(100)
        assert datagram is not None
        return datagram

    def connect(
        self,
        listener: ListeningSocket,
        datagram: Datagram,
        ports: tuple[int, int] | None = None,
        source: random.Random | None = None,
    ) -> PeerSocket:
        peer = listener.connect(datagram, ports, source)
        self.addCleanup(peer.close)
        return peer


class AddressTests(SocketTestCase):
    def test_asked(self) -> None:
        """On all addresses: which one was asked, over which interface, and by whom."""
        listener, client = self.listen(""), self.client()
        for host in ("127.0.0.1", "127.0.0.5"):
            datagram = self.ask(listener, client, host)
            self.assertEqual((datagram.data, datagram.local), (b"hello", host))
            self.assertEqual(datagram.peer, client.getsockname())
            self.assertEqual(datagram.interface, socket.if_nametoindex("lo"))
            self.assertTrue(datagram.direct)

    def test_reply(self) -> None:
        """A reply leaves from the address that was asked, from either kind of socket."""
        listener, client = self.listen(""), self.client()
        datagram = self.ask(listener, client, "127.0.0.5")
        listener.send((b"from ", b"the port"), datagram)
        self.assertEqual(
            client.recvfrom(100), (b"from the port", ("127.0.0.5", listener.address.port))
        )
        peer = self.connect(listener, datagram)
        peer.send(b"from another")
        data, source = client.recvfrom(100)
        self.assertEqual((data, source[0]), (b"from another", "127.0.0.5"))
        self.assertNotEqual(source[1], listener.address.port)

    def test_broadcast(self) -> None:
        """A datagram to a broadcast address is not for us alone."""
        listener, client = self.listen(""), self.client()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.assertFalse(self.ask(listener, client, "127.255.255.255").direct)

    def test_six(self) -> None:
        """The same over IPv6."""
        listener, client = self.listen("::1"), self.client("::1")
        datagram = self.ask(listener, client, "::1")
        self.assertEqual((datagram.local, datagram.direct), ("::1", True))
        listener.send((b"a",), datagram)
        self.connect(listener, datagram).send(b"b")
        self.assertEqual([client.recv(10), client.recv(10)], [b"a", b"b"])

    def test_bothFamilies(self) -> None:
        """An IPv4 client of a socket for both is an IPv4 client."""
        listener, client = self.listen("::"), self.client()
        datagram = self.ask(listener, client, "127.0.0.1")
        self.assertEqual(addressOf(datagram.peer), Address("127.0.0.1", client.getsockname()[1]))
        self.assertEqual(plainHost(datagram.local), "127.0.0.1")
        peer = self.connect(listener, datagram)
        self.assertEqual(peer.family, socket.AF_INET)
        peer.send(b"x")
        listener.send((b"y",), datagram)
        self.assertEqual([client.recv(10), client.recv(10)], [b"x", b"y"])

    def test_hosts(self) -> None:
        """Addresses as text."""
        self.assertEqual(plainHost("::ffff:192.0.2.1"), "192.0.2.1")
        self.assertEqual(plainHost("fe80::1%eth0"), "fe80::1")
        self.assertTrue(isMulticast("ff02::1") and isMulticast("224.0.0.1"))
        self.assertFalse(isMulticast("::1") or isMulticast("nonsense"))

    def test_mtu(self) -> None:
        """An interface's MTU, or nothing where there is none."""
        mtu = interfaceMTU(socket.if_nametoindex("lo"))
        assert mtu is not None
        self.assertGreaterEqual(mtu, 1280)
        self.assertIsNone(interfaceMTU(1 << 30))

    def test_nothing(self) -> None:
        """Nothing there is no error, nor is a socket that was closed."""
        listener = self.listen()
        self.assertIsNone(listener.receive(100))
        listener.close()
        self.assertEqual(listener.fileno(), -1)
        self.assertIsNone(listener.receive(100))


class PortTests(SocketTestCase):
    def test_range(self) -> None:
        """Ports come from the range; all of them are used, and then there is none left."""
        listener, client = self.listen(), self.client()
        datagram = self.ask(listener, client, "127.0.0.1")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            first = min(max(probe.getsockname()[1], 20000), 60000)
        dice = random.Random(1)
        ports = set()
        with self.assertRaises(OSError) as caught:
            for _ in range(6):
                peer = self.connect(listener, datagram, (first, first + 4), dice)
                ports.add(peer.getsockname()[1])
        self.assertEqual(caught.exception.errno, errno.EADDRINUSE)
        self.assertLessEqual(ports, set(range(first, first + 5)))
        self.assertGreaterEqual(len(ports), 3)

    def test_strangers(self) -> None:
        """A connected socket hears nobody else."""
        listener, client, stranger = self.listen(), self.client(), self.client()
        peer = self.connect(listener, self.ask(listener, client, "127.0.0.1"))
        stranger.sendto(b"poison", peer.getsockname())
        client.sendto(b"data", peer.getsockname())
        self.assertEqual(peer.recv(100), b"data")
        self.assertRaises(BlockingIOError, peer.recv, 100)

    def test_refused(self) -> None:
        """A closed port is noticed."""
        listener, client = self.listen(), self.client()
        peer = self.connect(listener, self.ask(listener, client, "127.0.0.1"))
        client.close()
        peer.send(b"x")
        self.assertRaises(ConnectionRefusedError, peer.recv, 100)
        peer.send(b"x")
        self.assertRaises(ConnectionRefusedError, peer.sendBlocks, [b"a", b"b"] * 2, 2)


class WindowTests(SocketTestCase):
    def blocks(self, sizes: Sequence[int]) -> tuple[list[bytes], list[bytes]]:
        dice = random.Random(2)
        parts: list[bytes] = []
        for number, size in enumerate(sizes):
            parts += (b"\0\3" + number.to_bytes(2, "big"), dice.randbytes(size))
        return parts, [parts[each] + parts[each + 1] for each in range(0, len(parts), 2)]

    def test_windows(self) -> None:
        """Windows of all kinds arrive as single datagrams, cut by the kernel or not."""
        for sizes in ([1428] * 64, [512] * 63 + [0], [8192] * 16 + [17], [8] * 300, [30000] * 3):
            for segmentation in (True, False):
                listener, client = self.listen(), self.client()
                peer = self.connect(listener, self.ask(listener, client, "127.0.0.1"))
                peer.segmentation = segmentation
                parts, packets = self.blocks(sizes)
                self.assertEqual(peer.sendBlocks(parts, sizes[0] + 4), len(sizes))
                self.assertEqual([client.recv(70000) for _ in packets], packets)

    def test_fromListeningPort(self) -> None:
        """The same from the port that was asked."""
        listener, client = self.listen(), self.client()
        datagram = self.ask(listener, client, "127.0.0.1")
        parts, packets = self.blocks([1428] * 20 + [5])
        self.assertEqual(listener.sendBlocks(parts, 1432, datagram), 21)
        self.assertEqual([client.recv(70000) for _ in packets], packets)

    def test_fallback(self) -> None:
        """Where the kernel cannot cut, they leave one by one, and that is remembered."""

        class Old(PeerSocket):
            calls = 0

            def sendmsg(self, parts, ancillary=(), *rest):  # type: ignore[no-untyped-def]
                if ancillary:
                    self.calls += 1
                    raise OSError(errno.EINVAL, "Invalid argument")
                return super().sendmsg(parts)

        client = self.client()
        old = Old(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(old.close)
        old.connect(client.getsockname())
        parts, packets = self.blocks([100] * 8)
        for _ in range(2):
            self.assertEqual(old.sendBlocks(parts, 104), 8)
            self.assertEqual([client.recv(200) for _ in packets], packets)
        self.assertEqual(old.calls, 1)

    def test_full(self) -> None:
        """What the kernel does not take is said; what it loses counts as taken."""

        class Choosy(PeerSocket):
            room = 5

            def sendmsg(self, parts, ancillary=(), *rest):  # type: ignore[no-untyped-def]
                if not self.room:
                    raise BlockingIOError(errno.EAGAIN, "full")
                self.room -= 1
                raise OSError(errno.ENETUNREACH, "gone")

        choosy = Choosy(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(choosy.close)
        choosy.segmentation = False
        parts, _ = self.blocks([100] * 8)
        self.assertEqual(choosy.sendBlocks(parts, 104), 5)
        self.assertEqual(choosy.sendBlocks(parts, 104), 0)
        choosy.segmentation = True
        self.assertEqual(choosy.sendBlocks(parts, 104), 0)
