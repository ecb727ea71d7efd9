"""
TFTP from spoofed, confused and hostile peers: rows T-F1 to T-F6 of
C{docs/reliability-rows.rst}.
"""

import contextlib
import socket
import struct
import time

from tests.integration.harness import IntegrationTestCase, Site, content, until
from tests.integration.rawtftp import RRQ, WRQ, RawTFTP, ack, data, error, request


class AbuseTestCase(IntegrationTestCase):
    """
    @ivar name: a file in the served tree, of C{data}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.data = content(50_000)
        (self.work / "file").write_bytes(self.data)
        self.name = f"{self.virtual}/file".encode()

    def client(self, source: str = "127.0.0.1") -> RawTFTP:
        client = RawTFTP(self.site.tftp, source=source)
        self.addCleanup(client.socket.close)
        return client

    def assertServes(self, source: str = "127.0.0.1") -> None:
        """
        An honest client gets its file, if it asks again where it hears nothing, as long as
        real clients do.
        """
        for _ in range(10):
            client = self.client(source)
            client.patience = 3.0
            try:
                self.assertSameContent(client.read(self.name), self.data)
                return
            except TimeoutError:
                pass
        self.fail("not served")


class LoopTests(AbuseTestCase):
    """T-F1: nothing that could be an answer is answered."""

    def test_answersAreNotAnswered(self) -> None:
        """DATA, ACK, OACK, ERROR and nonsense at the well-known port: silence."""
        client = self.client()
        for packet in (error(0, b"x"), error(5), ack(0), ack(1), data(1, b"x"), b"\0\6tsize\0001\0",
                       b"\0\7", b"\0\0", b"", b"\0", b"\xff\xff" * 50, bytes(512)):  # fmt: skip
            client.socket.sendto(packet, client.server)
        self.assertTrue(client.silent(0.5))
        self.assertServes()

    def test_errorsEndQuietly(self) -> None:
        """An ERROR to a transfer's port ends the transfer without a word."""
        client = self.client()
        client.ask(request(RRQ, self.name))
        client.answer(error(0, b"enough"))
        self.assertTrue(client.silent(1.5))

    def test_malformedRequests(self) -> None:
        """Requests cut short or stuffed full are dropped or refused, never a crash."""
        client = self.client()
        good = request(RRQ, self.name, blksize=1024)
        packets = [good[:end] for end in range(2, len(good))]
        packets += [
            b"\0\1" + b"x" * 600, b"\0\1\0\0", b"\0\1\0octet\0", b"\0\1x\0mail\0",
            b"\0\1x\0nonsense\0", request(RRQ, b"x" * 400), good + b"key\0",
            good + b"blksize\0002048\0" * 20,
        ]  # fmt: skip
        for size in (0, -1, "9" * 200, "\u0661", "x", ""):
            packets.append(request(RRQ, self.name, blksize=size, tsize=size))
        packets += [request(RRQ, self.name, timeout=256), request(RRQ, self.name, windowsize=0)]
        for packet in packets:
            client.socket.sendto(packet, client.server)
        while not client.silent(0.3):
            # What was good enough to start a transfer is ended.
            client.answer(error(0))
        self.assertServes()

    def test_fromReflectorPorts(self) -> None:
        """A request from a port where another service answers anything is ignored."""
        self.requireRoot()
        for number in (7, 19, 53, 69):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reflector:
                try:
                    reflector.bind(("127.0.0.11", number))
                except OSError:
                    continue
                reflector.settimeout(0.3)
                reflector.sendto(request(RRQ, self.name), ("127.0.0.1", self.site.tftp))
                self.assertRaises(TimeoutError, reflector.recv, 1000)


class ReflectionTests(AbuseTestCase):
    """T-F2: what a spoofed request can make this server send to its victim."""

    def test_unanswered(self) -> None:
        """
        A request that is never acknowledged brings a few copies of one small packet: of
        the OACK, of the first block, or of the first acknowledgement; and no file.
        """
        options = request(RRQ, self.name, blksize=65464, windowsize=64)
        never = f"{self.virtual}/never".encode()
        expected = {options: len(options), request(RRQ, self.name): 516, request(WRQ, never): 4}
        victims = []
        for number, packet in enumerate(expected):
            victims.append(self.client(f"127.0.0.{21 + number}"))
            victims[-1].socket.sendto(packet, victims[-1].server)
        time.sleep(9.0)  # one second, two, four: by then all copies have been sent
        for victim, limit in zip(victims, expected.values(), strict=True):
            sizes = []
            with contextlib.suppress(TimeoutError):
                while True:
                    sizes.append(len(victim.receive(0.01)))
            self.assertTrue(1 <= len(sizes) <= 4, sizes)
            self.assertLessEqual(max(sizes), limit)
        self.assertFalse((self.work / "never").exists())


class ManySessionsTests(AbuseTestCase):
    """T-F3: sessions are counted, duplicates are not."""

    def makeSite(self) -> Site:
        return self.newSite()

    def test_flood(self) -> None:
        """
        3,000 requests from as many ports: a bounded number of sessions and descriptors,
        and an honest client elsewhere is served meanwhile.
        """
        self.assertServes("127.0.0.31")
        before = self.site.daemon.descriptors()
        packet = request(RRQ, self.name, blksize=1024)
        for _ in range(3000):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
                one.bind(("127.0.0.30", 0))
                one.sendto(packet, ("127.0.0.1", self.site.tftp))
        self.assertServes("127.0.0.31")
        self.assertLess(self.site.daemon.descriptors() - before, 600)

    def test_duplicateRequest(self) -> None:
        """A request that is sent twice is one transfer, from one port."""
        client = self.client()
        packet = request(RRQ, self.name)
        for _ in range(5):
            client.socket.sendto(packet, client.server)
        ports = set()
        client.receive()
        ports.add(client.transfer)
        while not client.silent(0.3):
            ports.add(client.transfer)
        self.assertEqual(len(ports), 1)
        client.answer(error(0))


class HijackTests(AbuseTestCase):
    """T-F4 and T-F5: packets that do not belong to a transfer, and those that come twice."""

    def test_otherPort(self) -> None:
        """A stranger's packets are error 5 at the most; the transfer does not notice."""
        client = self.client()
        first = client.ask(request(RRQ, self.name))
        stranger, foreigner = self.client(), self.client("127.0.0.8")
        for each in (stranger, foreigner):
            for packet in (ack(1), ack(2), error(0), data(1, b"x")):
                each.socket.sendto(packet, client.transfer)
        received = first[4:]
        block = 1
        client.answer(ack(1))
        while len(received) == block * 512:
            block += 1
            packet = client.receive()
            self.assertEqual(packet[:4], data(block, b""))
            received += packet[4:]
            client.answer(ack(block))
        self.assertSameContent(received, self.data)
        answers = []
        while not stranger.silent(0.05):
            answers.append(1)
        self.assertLessEqual(len(answers), 4)

    def test_hijackedUpload(self) -> None:
        """A stranger's DATA does not get into a file."""
        client = self.client()
        self.assertEqual(client.ask(request(WRQ, f"{self.virtual}/new".encode())), ack(0))
        stranger = self.client()
        stranger.socket.sendto(data(1, b"poison"), client.transfer)
        client.answer(data(1, b"good"))
        self.assertEqual(client.receive(), ack(1))
        until((self.work / "new").exists, "the file is there")
        self.assertEqual((self.work / "new").read_bytes(), b"good")

    def test_apprentice(self) -> None:
        """T-F5: every ACK sent twice still brings each block about once."""
        client = self.client()
        packet = client.ask(request(RRQ, self.name))
        received, packets = {}, 0
        while True:
            packets += 1
            block = struct.unpack("!H", packet[2:4])[0]
            received[block] = packet[4:]
            client.answer(ack(block))
            client.answer(ack(block))
            if len(packet) < 516:
                break
            packet = client.receive()
        while not client.silent(0.3):
            packets += 1
        self.assertSameContent(b"".join(received[key] for key in sorted(received)), self.data)
        self.assertLessEqual(packets, len(received) * 1.1)


class TimingTests(AbuseTestCase):
    """T-F6: the time until a packet is sent again is learnt, not fixed."""

    def test_fastPeer(self) -> None:
        """
        To a client that has answered at once so far, a packet that seems lost is sent
        again much sooner than after the second that RFC 1350's servers wait.
        """
        client = self.client()
        packet = client.ask(request(RRQ, self.name))
        for block in range(1, 20):
            self.assertEqual(packet[:4], data(block, b""))
            client.answer(ack(block))
            packet = client.receive()
        started = time.monotonic()
        self.assertEqual(client.receive(), packet)
        self.assertLess(time.monotonic() - started, 0.6)
        client.answer(error(0))

    def test_slowPeer(self) -> None:
        """A client that always takes 0.3 s gets each packet once, after a few."""
        client = self.client()
        packet = client.ask(request(RRQ, self.name))
        copies = []
        for block in range(1, 9):
            count = 1
            limit = time.monotonic() + 0.3
            while (left := limit - time.monotonic()) > 0:
                count += not client.silent(left)
            copies.append(count)
            client.answer(ack(block))
            packet = client.receive()
            while packet[:4] == data(block, b""):
                packet = client.receive()
        self.assertEqual(copies[4:], [1] * 4, copies)
        client.answer(error(0))

    def test_askedFor(self) -> None:
        """C{timeout} is honoured where the client asks for it."""
        client = self.client()
        self.assertIn(b"timeout\x002\0", client.ask(request(RRQ, self.name, timeout=2)))
        client.answer(ack(0))
        packet = client.receive()
        started = time.monotonic()
        self.assertEqual(client.receive(), packet)
        self.assertLess(time.monotonic() - started, 3.0)
        client.answer(error(0))
