"""
Ports that have served a small file, on a real loopback.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any
from unittest import mock

from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from filehub.protocols.tftp import spares
from filehub.protocols.tftp.hub import Hub
from filehub.protocols.tftp.spares import SparePort, SparePorts
from filehub.transfer.datagrams import Datagram, ListeningSocket

PATIENCE = 5.0


class Client:
    """One port of a client."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(PATIENCE)
        self.socket.bind((host, port))

    @property
    def address(self) -> tuple[str, int]:
        address: tuple[str, int] = self.socket.getsockname()
        return address

    def hears(self) -> tuple[bytes, int]:
        """The next packet, and the port that it comes from."""
        packet, (_, port) = self.socket.recvfrom(100)
        return packet, port


class SpareTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.hub = Hub(MemoryReactor())
        self.addCleanup(self.hub.close)
        self.clock = Clock()
        self.spares = SparePorts(self.hub, self.clock)
        self.addCleanup(self.spares.clear)
        self.listener = ListeningSocket.bind("127.0.0.1", 0)
        self.addCleanup(self.listener.close)

    def client(self, host: str = "127.0.0.1", port: int = 0) -> Client:
        client = Client(host, port)
        self.addCleanup(client.socket.close)
        return client

    def connect(self, client: Client, ports: Any = None) -> SparePort:
        """As a transfer does."""
        to = Datagram(b"", client.address, "127.0.0.1", 1, True)
        spare = self.spares.connect(self.listener, to, ports, large=False)
        self.hub.addReader(spare)
        return spare

    def numberOf(self, spare: SparePort) -> int:
        number: int = spare.socket.getsockname()[1]
        return number

    def test_again(self) -> None:
        """The next transfer of a client comes from the same port, to where it asked from."""
        first, second = self.client(), self.client()
        spare = self.connect(first)
        spare.socket.send(b"one")
        number = self.numberOf(spare)
        self.assertEqual(first.hears(), (b"one", number))
        self.spares.keep(spare)
        again = self.connect(second)
        again.socket.send(b"two")
        self.assertEqual(second.hears(), (b"two", number))
        self.assertEqual(len(self.spares), 0)

    def test_sameClientPort(self) -> None:
        """Two ports never meet twice: what is late could be about the wrong transfer."""
        client = self.client()
        spare = self.connect(client)
        self.spares.keep(spare)
        other = self.connect(client)
        self.assertNotEqual(self.numberOf(other), self.numberOf(spare))
        self.spares.keep(other)
        # Not even after others in between.
        between = self.connect(self.client())
        self.assertIs(between, spare)
        self.spares.keep(between)
        self.assertNotIn(self.connect(client), (spare, other))

    def test_otherHosts(self) -> None:
        """Nobody gets a port that another host knows."""
        spare = self.connect(self.client("127.0.0.1"))
        self.spares.keep(spare)
        self.assertIsNot(self.connect(self.client("127.0.0.2")), spare)
        to = Datagram(b"", self.client().address, "127.0.0.3", 1, True)
        other = self.spares.connect(self.listener, to, None, large=False)
        self.addCleanup(other.socket.close)
        self.assertEqual(other.socket.getsockname()[0], "127.0.0.3")

    def test_late(self) -> None:
        """What came late from the last transfer is not heard by the next, nor is what comes."""
        first, second = self.client(), self.client()
        spare = self.connect(first)
        number = self.numberOf(spare)
        self.spares.keep(spare)
        for _ in range(5):
            first.socket.sendto(b"late", ("127.0.0.1", number))
        again = self.connect(second)
        self.assertIs(again, spare)
        first.socket.sendto(b"later", ("127.0.0.1", number))
        second.socket.sendto(b"wanted", ("127.0.0.1", number))
        self.assertEqual(again.socket.recv(100), b"wanted")
        self.assertRaises(BlockingIOError, again.socket.recv, 100)

    def test_flooded(self) -> None:
        """A port that is full of late packets is given up for another one."""
        first = self.client()
        spare = self.connect(first)
        self.spares.keep(spare)
        for _ in range(50):
            first.socket.sendto(b"late", ("127.0.0.1", self.numberOf(spare)))
        other = self.connect(self.client())
        self.assertIsNot(other, spare)
        self.assertEqual(spare.fileno(), -1)

    def test_readAway(self) -> None:
        """While it waits, what comes is read away, and errors are, too."""
        first = self.client()
        spare = self.connect(first)
        self.spares.keep(spare)
        first.socket.sendto(b"late", ("127.0.0.1", self.numberOf(spare)))
        self.hub.doRead()
        self.assertRaises(BlockingIOError, spare.socket.recv, 100)
        first.socket.close()
        spare.socket.send(b"x")
        self.hub.doRead()
        spare.socket.send(b"x")
        self.assertIs(self.connect(self.client()), spare)

    def test_patience(self) -> None:
        """It waits for a second or two, and no timer is left after that."""
        spare = self.connect(self.client())
        self.spares.keep(spare)
        self.clock.advance(0.9)
        self.assertNotEqual(spare.fileno(), -1)
        self.clock.pump([0.5] * 3)
        self.assertEqual((spare.fileno(), len(self.spares)), (-1, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_worn(self) -> None:
        """It serves so many transfers, and then another one does."""
        with mock.patch.object(spares, "_TRANSFERS", 3):
            spare = self.connect(self.client())
            for _ in range(2):
                self.spares.keep(spare)
                self.assertIs(self.connect(self.client()), spare)
            self.spares.keep(spare)
        self.assertEqual((spare.fileno(), len(self.spares)), (-1, 0))

    def test_bounded(self) -> None:
        """So many wait for one client, and so many for all."""

        def waiting(hosts: Callable[[int], str]) -> int:
            used = [self.connect(self.client(hosts(each))) for each in range(20)]
            for each in used:
                self.spares.keep(each)
            return len(self.spares)

        self.assertEqual(waiting(lambda each: "127.0.0.1"), 16)
        self.spares.clear()
        with mock.patch.object(spares, "_MOST", 5):
            self.assertEqual(waiting(lambda each: f"127.0.0.{each + 1}"), 5)

    def test_range(self) -> None:
        """Where ports are few, those that wait make room for whoever needs one."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            number = probe.getsockname()[1]
        ports = (number, number)
        spare = self.connect(self.client("127.0.0.1"), ports)
        self.spares.keep(spare)
        other = self.connect(self.client("127.0.0.2"), ports)
        self.assertEqual(self.numberOf(other), number)
        self.assertRaises(OSError, self.connect, self.client("127.0.0.4"), ports)
