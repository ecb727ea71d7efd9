"""
Small files that are at hand, which need no session as long as nothing is lost.

All that holds for other downloads holds for them.
"""

from __future__ import annotations

import random

from filehub.events import Outcome
from filehub.protocols.tftp import wire
from filehub.protocols.tftp.lockstep import Lockstep
from filehub.protocols.tftp.settings import TFTPSettings
from tests.protocols.tftp import test_abuse, test_server
from tests.protocols.tftp.doubles import Host, Site


class DownloadTests(test_server.DownloadTests):
    atOnce = True


class LoginTests(test_server.LoginTests):
    atOnce = True


class StopTests(test_server.StopTests):
    atOnce = True


class LoopTests(test_abuse.LoopTests):
    atOnce = True


class ReflectionTests(test_abuse.ReflectionTests):
    atOnce = True


class ManyTests(test_abuse.ManyTests):
    atOnce = True


class RepeatTests(test_abuse.RepeatTests):
    atOnce = True


class ApprenticeTests(test_abuse.ApprenticeTests):
    atOnce = True


class SinglePortTests(test_abuse.SinglePortTests):
    atOnce = True


class LossTests(test_server.SiteTestCase):
    """What was lost is repeated, and nothing else is."""

    atOnce = True

    def begin(self, *options: tuple[bytes, bytes]) -> Host:
        client = self.site.client()
        client.read(b"file", *options)
        return client

    def test_sizes(self) -> None:
        """Every size around the edges of blocks arrives, with and without an OACK."""
        sizes = {0, 1, 16384, 16383}
        sizes.update(edge + shift for edge in (512, 1024, 1428, 2856) for shift in (-1, 0, 1))
        port = 50000
        for size in sorted(sizes):
            content = random.Random(size).randbytes(size)
            self.site.store("sized", content)
            for options in ((), ((b"blksize", b"1428"),), ((b"tsize", b"0"),)):
                port += 1
                client = self.site.client(port=port)
                client.read(b"sized", *options)
                blksize = 1428 if options and options[0][0] == b"blksize" else 512
                self.assertEqual(client.download(blksize), content)
                record = self.site.events.transfers[-1]
                self.assertEqual((record.outcome, record.nbytes), (Outcome.COMPLETED, size))
                self.assertEqual(dict(record.notes)["blocks"], size // blksize + 1)
        self.assertQuiet()

    def test_eachLost(self) -> None:
        """
        Whichever packet is lost, of either side: within two timeouts it is there again, the
        file is whole, and no other block went out twice.
        """
        for lost in range(1, 4):
            for isAck in (False, True):
                client = self.begin()
                seen = []
                for block in range(1, 4):
                    packets = client.take()
                    if block == lost:
                        if not isAck:
                            seen.append(packets)
                        before = self.site.reactor.seconds()
                        while not (again := client.take()):
                            self.site.advance(0.005)
                        self.assertLess(self.site.reactor.seconds() - before, 1.02)
                        self.assertEqual(again, packets)
                    (packet,) = packets
                    self.assertEqual(packet[:4], b"\0\3\0" + bytes((block,)))
                    client.ack(block)
                record = self.site.events.transfers[-1]
                facts = dict(record.notes)
                self.assertEqual((record.outcome, record.nbytes), (Outcome.COMPLETED, 1280))
                self.assertEqual((facts["retransmits"], facts["timeouts"]), (1, 1))
                self.assertEqual(facts["blocks"], 3)
                self.assertEqual(client.take(), [])
        self.assertQuiet()

    def test_measured(self) -> None:
        """The timeout after the first answer is what was measured, and not a second."""
        client = self.begin()
        client.take()
        self.site.advance(0.002)
        client.ack(1)
        client.take()
        self.site.advance(0.027)
        self.assertEqual(len(client.take()), 1)

    def test_negotiated(self) -> None:
        """A timeout that was agreed upon is the longest."""
        client = self.begin((b"utimeout", b"50000"))
        self.assertEqual(len(client.take()), 1)
        self.site.advance(0.06)
        self.assertEqual(len(client.take()), 1)

    def test_busy(self) -> None:
        """If it was we who were late, nothing is repeated."""
        client = self.begin()
        client.take()
        (port,) = (
            each
            for each in self.site.network.watcher.readers.values()
            if isinstance(each, Lockstep)
        )
        self.site.network.sockets[client.server or ("", 0)].inbox.append(wire.encodeAck(1))
        self.site.reactor.advance(1.5)
        self.assertEqual([each[3] for each in client.take()], [2])
        self.assertIs(self.site.network.watcher.readers[port.fileno()], port)

    def test_kicked(self) -> None:
        """Whom the operator ends is told so, and the record says why."""
        client = self.begin()
        client.take()
        for exchange in list(self.site.service._all):
            exchange.refuse("by the operator")
        self.assertEqual(client.one(), b"\0\5\0\0by the operator\0")
        self.assertEqual(self.record().outcome, Outcome.ABORTED)
        self.assertQuiet()

    def test_weather(self) -> None:
        """In any weather the file arrives, or the record says that nobody confirmed it."""
        strangers = 0
        for seed in range(300):
            source = random.Random(seed)
            site = Site(TFTPSettings(linger=20.0, stall=30.0), atOnce=True)
            content = source.randbytes(source.choice((0, 100, 512, 3000, 16384)))
            site.store("file", content)
            client = site.client()
            client.read(b"file", *(((b"blksize", b"700"),) if seed % 2 else ()))
            received: dict[int, bytes] = {}
            for _ in range(4000):
                for packet in client.take():
                    if source.random() < 0.15:
                        continue
                    number = 0 if packet[1] == wire.OACK else packet[3] | packet[2] << 8
                    if number:
                        self.assertEqual(received.setdefault(number, packet[4:]), packet[4:])
                    for _ in range(2 if source.random() < 0.1 else 1):
                        if source.random() > 0.15:
                            client.ack(number)
                if not site.service.transfers:
                    break
                site.advance(0.01)
            (record,) = site.events.transfers
            if record.reason == "the client never answered":
                # All copies that an address gets which may be forged were lost.
                strangers += 1
                continue
            self.assertEqual(b"".join(received[each] for each in sorted(received)), content, seed)
            self.assertIn(record.outcome, (Outcome.COMPLETED, Outcome.UNCONFIRMED), seed)
        self.assertLess(strangers, 10)
