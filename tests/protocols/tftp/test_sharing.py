"""
What transfers share: rates of an account, open files, a line in the log.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from filehub.events import Outcome
from filehub.protocols.tftp import wire
from filehub.protocols.tftp.settings import TFTPSettings
from filehub.transfer.ratelimit import TokenBucket
from tests.protocols.tftp.doubles import Host, Site


def facts(site: Site) -> dict[str, Any]:
    """The notes of the only transfer."""
    (event,) = site.events.transfers
    return dict(event.notes)


class RateTests(SynchronousTestCase):
    """An account's rates hold, and make nobody send anything twice."""

    def setUp(self) -> None:
        self.site = Site(TFTPSettings(write="create"))
        self.began = self.site.reactor.seconds()
        self.limit = TokenBucket(self.site.reactor, 10_000.0, 1000.0)

    def waited(self) -> float:
        return self.site.reactor.seconds() - self.began

    def take(self, client: Host) -> list[bytes]:
        """What comes next, however long it takes."""
        for _ in range(1000):
            if packets := client.take():
                return packets
            self.site.reactor.advance(0.005)
        raise AssertionError("nothing came")

    def test_download(self) -> None:
        """20,000 octets at 10,000 a second take two seconds."""
        self.site.account.limits.download = self.limit
        for number, (window, rate) in enumerate(((1, 10_000.0), (4, 20_000.0))):
            with self.subTest(window=window):
                self.site.events.all.clear()
                self.limit.setRate(rate, 1000.0)
                content = bytes(range(250)) * 80
                self.site.store("f", content)
                client = self.site.client(port=50000 + number)
                self.began = self.site.reactor.seconds()
                client.read(b"f", (b"windowsize", b"%d" % window))
                received = bytearray()
                if window > 1:
                    client.one()
                    client.ack(0)
                block = 0
                while len(received) < len(content):
                    for packet in self.take(client):
                        block += 1
                        self.assertEqual(packet[:4], wire.dataHeader(block))
                        received += packet[4:]
                    if block % window == 0 or len(received) == len(content):
                        client.ack(block)
                self.assertEqual(received, content)
                expected = len(content) / rate
                self.assertTrue(0.9 * expected < self.waited() < 1.1 * expected, self.waited())
                self.assertEqual(facts(self.site)["retransmits"], 0)

    def test_upload(self) -> None:
        """The same the other way: ACKs wait."""
        self.site.account.limits.upload = self.limit
        content = bytes(range(250)) * 80
        client = self.site.client()
        client.write(b"g")
        self.assertEqual(client.one(), wire.encodeAck(0))
        for block in range(1, 41):
            client.data(block, content[512 * (block - 1) : 512 * block])
            self.assertEqual(self.take(client), [wire.encodeAck(block)])
        self.assertEqual(self.site.content("g"), content)
        self.assertTrue(1.8 < self.waited() < 2.2, self.waited())
        self.assertEqual(facts(self.site)["retransmits"], 0)


class OpenFileTests(SynchronousTestCase):
    def test_storm(self) -> None:
        """Any number of clients read through one open file, which is closed with the last."""
        site = Site()
        content = bytes(range(256)) * 100
        site.store("f", content)
        site.advance(10.0, 1.0)
        opened = []
        original = site.view.openForReading

        async def openForReading(path: Any) -> Any:
            handle = await original(path)
            opened.append(handle)
            close, handle.closed = handle.close, False

            async def closing() -> None:
                handle.closed = True
                await close()

            handle.close = closing
            return handle

        site.view.openForReading = openForReading
        clients = [site.client(f"192.0.2.{each}") for each in range(1, 51)]
        for client in clients:
            client.read(b"f")
        self.assertEqual(len(site.service.reads), 1)
        self.assertEqual([handle.closed for handle in opened], [False] + [True] * 49)
        for client in clients:
            self.assertEqual(client.download(), content)
        self.assertEqual(len(site.service.reads), 0)
        self.assertTrue(opened[0].closed)
        outcomes = {event.outcome for event in site.events.transfers}
        self.assertEqual(outcomes, {Outcome.COMPLETED})


class MissTests(SynchronousTestCase):
    def test_summary(self) -> None:
        """Names that are not there are debug lines, and one line for all of them in a while."""
        site = Site()
        with capturedLogs() as records:
            for number in range(12):
                site.client(port=50000 + number).read(b"pxelinux.cfg/%d" % number)
            site.advance(25.0, 1.0)
        levels = [(each["log_level"], each.get("count")) for each in records]
        self.assertEqual(levels, [(LogLevel.debug, None)] * 12 + [(LogLevel.info, 12)])
