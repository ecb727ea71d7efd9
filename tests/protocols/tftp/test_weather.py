"""
Whole transfers over a network that loses, doubles and reorders: always complete, always
equal, and with a bound on what is sent again.
"""

from __future__ import annotations

import random
import time
from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from filehub.events import Outcome
from filehub.protocols.tftp.settings import TFTPSettings
from tests.protocols.tftp.network import Network, Weather, download, terms, upload

BAD = Weather(loss=0.05, duplicate=0.03, reorder=0.05)
STORM = Weather(loss=0.20, duplicate=0.05, reorder=0.05)
#: So many copies of the first packet as make it through any storm here.
PATIENT = TFTPSettings(firstCopies=30, stall=1000.0, linger=30.0)


def content(size: int, seed: int = 7) -> bytes:
    return random.Random(seed).randbytes(size)


class FairWeatherTests(SynchronousTestCase):
    def test_sizes(self) -> None:
        """Every size around the edges of blocks and windows arrives, each block once."""
        for window, blocks, edge in product((1, 2, 4, 16, 64), (0, 1, 2, 3, 4, 5, 64), (-1, 0, 1)):
            size = max(0, blocks * 32 + edge)
            network = Network()
            server, reader = download(content(size), terms(32, window), network)
            self.assertEqual(bytes(reader.content), content(size))
            self.assertEqual(server.outcomes, [(Outcome.COMPLETED, "")])
            self.assertEqual(network.sent, size // 32 + 1)
            self.assertEqual(server.closings, 1)
            self.assertEqual(server.session.counts.retransmits, 0)

    def test_uploads(self) -> None:
        """The same the other way round."""
        for window, blocks, edge in product((1, 2, 4, 16), (0, 1, 2, 3, 4, 5, 16), (-1, 0, 1)):
            size = max(0, blocks * 32 + edge)
            network = Network()
            server, writer, target = upload(content(size), terms(32, window), network)
            self.assertEqual(bytes(target.content), content(size))
            self.assertEqual(target.finished, 1)
            self.assertTrue(writer.complete)
            self.assertEqual(server.outcomes, [(Outcome.COMPLETED, "")])
            self.assertEqual(network.sent, size // 32 + 1)
            self.assertEqual(server.closings, 1)

    def test_withoutOptions(self) -> None:
        """Without options there is no OACK, and the first packet is block 1."""
        server, reader = download(content(1000), terms(), Network())
        self.assertEqual(bytes(reader.content), content(1000))
        self.assertEqual(server.log[0][:4], b"\0\3\0\1")


class BadWeatherTests(SynchronousTestCase):
    def test_downloads(self) -> None:
        """Any seed, any window: complete, equal, and few blocks are sent in vain."""
        for seed, window in product(range(150), (1, 2, 5, 16, 64)):
            size = 37 * 64 + seed
            network = Network(seed, BAD)
            server, reader = download(content(size), terms(64, window), network, PATIENT)
            self.assertEqual(bytes(reader.content), content(size), (seed, window))
            self.assertEqual(server.closings, 1)
            self.assertIn(server.outcomes[0][0], (Outcome.COMPLETED, Outcome.UNCONFIRMED))

    def test_chattyReaders(self) -> None:
        """A client that acknowledges each stray packet does not set off an avalanche."""
        for seed, window in product(range(60), (1, 4, 16)):
            network = Network(seed, BAD)
            size = 100 * 64
            _, reader = download(content(size), terms(64, window), network, PATIENT, chatty=True)
            self.assertEqual(bytes(reader.content), content(size), (seed, window))
            self.assertLess(network.sent, 101 * (2 + window / 2), (seed, window))

    def test_doublingDies(self) -> None:
        """
        Packets that the network doubles make a chatty client confirm blocks twice; that
        must not make us send twice what follows, and so on for ever.
        """
        for seed, window in product(range(40), (2, 4, 16)):
            network = Network(seed, Weather(duplicate=0.05))
            network.at(100.08, lambda it=network: setattr(it.weather, "duplicate", 0.0))
            _, reader = download(content(3000 * 8), terms(8, window), network, PATIENT, chatty=True)
            self.assertEqual(bytes(reader.content), content(3000 * 8))
            self.assertLess(network.sent - 3001, 400, (seed, window))

    def test_uploads(self) -> None:
        """Any seed, any window: the file is published once, complete and equal."""
        for seed, window in product(range(150), (1, 2, 5, 16)):
            size = 37 * 64 + seed
            network = Network(seed, BAD)
            server, _, target = upload(content(size), terms(64, window), network, PATIENT)
            self.assertEqual(bytes(target.content), content(size), (seed, window))
            self.assertEqual(target.finished, 1)
            self.assertEqual(server.outcomes, [(Outcome.COMPLETED, "")])
            self.assertEqual(server.closings, 1)

    def test_lossesAreRepairedInMilliseconds(self) -> None:
        """2 % of losses on a LAN cost milliseconds each, whatever the client's timer."""
        for window in (1, 16):
            network = Network(3, Weather(loss=0.02, delay=0.0001))
            began = network.now
            _, reader = download(content(367 * 64), terms(64, window), network)
            self.assertLess(reader.completed - began, 1.0)


class LongTests(SynchronousTestCase):
    def test_wrap(self) -> None:
        """T-F7: 72,000 blocks, the number goes round, to 0 or to 1 as the client wishes."""
        whole = content(72_000 * 8 + 3)
        for window, rollover in ((1, 0), (16, 0), (1, 1), (64, 1)):
            network = Network()
            _, reader = download(whole, terms(8, window, rollover), network)
            self.assertEqual(bytes(reader.content), whole)
            self.assertEqual(reader.duplicates, 0)

    def test_wrapOfUploads(self) -> None:
        """The same for an upload."""
        whole = content(72_000 * 8 + 3)
        for window in (1, 16):
            _, _, target = upload(whole, terms(8, window), Network())
            self.assertEqual(bytes(target.content), whole)

    def test_storm(self) -> None:
        """
        72,000 blocks with 20 % lost each way, 5 % doubled, 5 % reordered: at most 1.8
        DATA packets a block (1.56 are expected), and no doubling that goes round.
        """
        whole = content(72_000 * 8 + 3)
        began = time.process_time()
        network = Network(11, STORM)
        _, reader = download(whole, terms(8), network, PATIENT, seconds=1e6)
        self.assertEqual(bytes(reader.content), whole)
        self.assertLess(network.sent / 72_001, 1.8)
        self.assertLess(time.process_time() - began, 60.0)

    def test_stormWithWindows(self) -> None:
        """With windows, what follows a loss is sent again as well; that is bounded too."""
        whole = content(20_000 * 8 + 3)
        for window, most in ((4, 2.6), (16, 6.0)):
            network = Network(12, STORM)
            _, reader = download(whole, terms(8, window), network, PATIENT, seconds=1e6)
            self.assertEqual(bytes(reader.content), whole)
            self.assertLess(network.sent / 20_001, most, window)
