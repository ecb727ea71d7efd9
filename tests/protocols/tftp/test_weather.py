"""
Whole transfers over a network that loses, doubles and reorders: always complete, always
equal, and with a bound on what is sent again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from filehub.events import Outcome
from filehub.protocols.tftp.sender import Sender
from filehub.protocols.tftp.settings import TFTPSettings
from tests.protocols.tftp.network import Network, Server, Weather, download, terms, upload

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


class EveryWeatherTests(SynchronousTestCase):
    """
    Two thousand networks, each with its own size, window and weather.
    """

    def setUp(self) -> None:
        self.whole = content(32 * 80)
        self.settings = replace(PATIENT, dally=60.0)

    def weathers(self, seeds: range) -> Iterator[tuple[int, Network, bytes, int]]:
        for seed in seeds:
            dice = random.Random(seed)
            weather = Weather(
                loss=dice.choice((0.0, 0.01, 0.05, 0.2)),
                duplicate=dice.choice((0.0, 0.02, 0.1)),
                reorder=dice.choice((0.0, 0.05, 0.2)),
                delay=dice.choice((0.00005, 0.001, 0.05)),
            )
            size = dice.randrange(dice.choice((32 * 8, 32 * 80)))
            window = dice.choice((1, 1, 2, 3, 4, 5, 8, 16, 32, 64))
            yield seed, Network(seed, weather), self.whole[:size], window

    def checkCost(self, seed: int, network: Network, content: bytes, window: int) -> None:
        """A packet that got lost, was doubled or overtaken costs a window at the most."""
        again = network.sent - (len(content) // 32 + 1)
        self.assertLessEqual(again, window * (1.2 * network.troubles + 1), seed)

    def test_downloads(self) -> None:
        """Complete and equal, to plain and to chatty clients."""
        for seed, network, expected, window in self.weathers(range(1000)):
            server, reader = download(
                expected, terms(32, window), network, self.settings, chatty=seed % 3 == 0
            )
            self.assertEqual(bytes(reader.content), expected, seed)
            self.assertIn(server.outcomes[0][0], (Outcome.COMPLETED, Outcome.UNCONFIRMED))
            self.checkCost(seed, network, expected, window)

    def test_uploads(self) -> None:
        """Complete, equal and published once."""
        for seed, network, expected, window in self.weathers(range(1000, 2000)):
            server, writer, target = upload(expected, terms(32, window), network, self.settings)
            self.assertEqual((bytes(target.content), target.finished), (expected, 1), seed)
            self.assertEqual(server.outcomes, [(Outcome.COMPLETED, "")], seed)
            self.assertTrue(writer.complete, seed)
            self.checkCost(seed, network, expected, window)


class NarrowTests(SynchronousTestCase):
    """
    A way that holds only the beginning of a window: a boot loader with few buffers, or
    a switch between a fast and a slow link.
    """

    def transfer(self, window: int, weather: Weather, blocks: int = 2000) -> tuple[Network, Server]:
        network = Network(5, weather)
        whole = content(blocks * 16 + 3)
        server, reader = download(whole, terms(16, window), network)
        self.assertEqual(bytes(reader.content), whole)
        self.assertEqual(server.outcomes, [(Outcome.COMPLETED, "")])
        self.seconds = reader.completed - 100.0
        # Whole windows are acknowledged: the agreed size was kept.
        self.acks = reader.acks
        return network, server

    def test_paced(self) -> None:
        """Bursts become as long as what gets through, and little is sent in vain."""
        for window, room in ((8, 2), (16, 4), (64, 8)):
            network, _ = self.transfer(window, Weather(room=room))
            self.assertLess(network.sent / 2001, 1.5, (window, room))
            self.assertLess(self.acks, 2 * 2001 / window, (window, room))
            self.assertLess(self.seconds, 2001 * 0.0012, (window, room))

    def test_wide(self) -> None:
        """Where everything gets through, a window is one burst."""
        network, _ = self.transfer(16, Weather(room=16))
        self.assertEqual(network.sent, 2001)
        self.assertLess(self.seconds, 2001 / 16 * 0.006)

    def test_widened(self) -> None:
        """When the way is wide again, so are the bursts."""
        network = Network(5, Weather(room=4))
        network.at(101.0, lambda: setattr(network.weather, "room", 0))
        whole = content(40_000 * 16)
        server, reader = download(whole, terms(16, 16), network)
        self.assertEqual(bytes(reader.content), whole)
        sender = cast(Sender, server.session)
        self.assertEqual(sender._pace.burst, 16)

    def test_lossesHereAndThere(self) -> None:
        """What is lost by chance does not slow down a window."""
        for seed in range(20):
            network = Network(seed, Weather(loss=0.005, delay=0.0001))
            server, reader = download(content(2000 * 16), terms(16, 16), network)
            self.assertEqual(cast(Sender, server.session)._pace.burst, 16, seed)
            self.assertLess(reader.completed - 100.0, 1.5, seed)


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
