"""
Uploads whose blocks come in bursts, several before the server looks at any.
"""

from __future__ import annotations

import random
from typing import Any

from filehub.attributes import Disposition
from filehub.errors import NoSpace
from filehub.events import Outcome
from filehub.paths import VirtualPath
from filehub.protocols.tftp import wire
from tests.protocols.tftp.doubles import Host
from tests.protocols.tftp.test_server import OVERWRITE, SiteTestCase, code

BLKSIZE = 100


def packets(content: bytes, first: int, count: int) -> list[bytes]:
    """The packets of some blocks, fewer at the end of the file."""
    last = len(content) // BLKSIZE + 1
    return [
        wire.dataHeader(each) + content[(each - 1) * BLKSIZE : each * BLKSIZE]
        for each in range(first, min(first + count, last + 1))
    ]


class BurstTests(SiteTestCase):
    settings = OVERWRITE

    def begin(self, window: int, name: bytes = b"new", mode: bytes = b"octet") -> Host:
        client = self.site.client(port=50000 + self.site.network.port % 1000)
        options = ((b"blksize", b"%d" % BLKSIZE), (b"windowsize", b"%d" % window))
        client.write(name, *options, mode=mode)
        self.assertEqual(client.one()[1], wire.OACK)
        return client

    def acks(self, client: Host) -> list[int]:
        taken = client.take()
        self.assertTrue(all(packet[:2] == b"\0\4" for packet in taken), taken)
        return [packet[2] << 8 | packet[3] for packet in taken]

    def test_windows(self) -> None:
        """One ACK for each window and for the last block; every byte is there."""
        for size in (0, 1, 399, 400, 401, 800, 850, 10_000):
            content = random.Random(size).randbytes(size)
            client = self.begin(4)
            last = size // BLKSIZE + 1
            for first in range(1, last + 1, 4):
                client.burst(packets(content, first, 4))
                self.assertEqual(self.acks(client), [min(first + 3, last)])
            self.assertEqual(self.site.content("new"), content)

    def test_pieces(self) -> None:
        """A window that comes in several bursts is confirmed at its end."""
        content = bytes(5000)
        client = self.begin(8)
        for first, count, wanted in ((1, 3, []), (4, 4, []), (8, 1, [8]), (9, 8, [16])):
            client.burst(packets(content, first, count))
            self.assertEqual(self.acks(client), wanted)

    def test_weather(self) -> None:
        """Bursts that lose, double and disorder packets bring every byte all the same."""
        for seed in range(300):
            dice = random.Random(seed)
            window = dice.choice((2, 3, 8, 16))
            content = dice.randbytes(dice.randrange(6000))
            last = len(content) // BLKSIZE + 1
            client = self.begin(window)
            confirmed = 0
            for _ in range(1000):
                burst = packets(content, confirmed + 1, window)
                for _ in range(dice.choice((0, 0, 0, 1, 2))):
                    place = dice.randrange(len(burst))
                    moved = burst[place]
                    if dice.random() < 0.5 and len(burst) > 1:
                        del burst[place]
                    if dice.random() < 0.5:
                        burst.insert(dice.randrange(len(burst) + 1), moved)
                cut = dice.randrange(len(burst) + 1) if dice.random() < 0.3 else len(burst)
                client.burst(burst[:cut])
                client.burst(burst[cut:])
                acks = self.acks(client)
                if not acks:
                    # The end of the window is lost: somebody's timer says so.
                    self.site.advance(0.3)
                    acks = self.acks(client)
                confirmed = max(acks, default=confirmed)
                if confirmed == last:
                    break
            self.assertEqual(self.site.content("new"), content, f"seed {seed}")
            # The last ACK's time to be repeated.
            self.site.advance(4.0, 1.0)

    def test_wrap(self) -> None:
        """Block 65536 is number 0, in the middle of a window."""
        content = random.Random(1).randbytes(65_550 * BLKSIZE)
        client = self.begin(64)
        for first in range(1, 65_552, 64):
            burst = [
                wire.dataHeader(each) + content[(each - 1) * BLKSIZE : each * BLKSIZE]
                for each in range(first, min(first + 64, 65_552))
            ]
            client.burst(burst)
            self.assertEqual(self.acks(client), [(first + len(burst) - 1) % 65536])
        self.assertEqual(self.site.content("new"), content)

    def test_netascii(self) -> None:
        """Line ends are converted across blocks and windows."""
        text = b"line\r\nreturn\r\0end\r\r\n" * 60
        client = self.begin(4, mode=b"netascii")
        for first in range(1, len(text) // BLKSIZE + 2, 4):
            client.burst(packets(text, first, 4))
            self.acks(client)
        self.assertEqual(self.site.content("new"), b"line\nreturn\rend\r\n" * 60)

    def test_tooLong(self) -> None:
        """A block longer than agreed ends it, also in the middle of a window."""
        client = self.begin(4)
        burst = packets(bytes(1000), 1, 4)
        burst[2] += b"x"
        client.burst(burst)
        self.assertEqual(code(client.one()), 4)
        self.assertFalse(self.site.exists("new"))

    def test_error(self) -> None:
        """An ERROR among blocks ends it, however long it is; nothing is left."""
        for text in (b"changed my mind\0", bytes(98) + b"\0\0"):
            client = self.begin(4)
            burst = packets(bytes(1000), 1, 4)
            burst[2] = (b"\0\5\0\0" + text)[: BLKSIZE + 4]
            client.burst(burst)
            self.assertEqual(client.take(), [])
            self.assertFalse(self.site.exists("new"))
            self.assertEqual(self.site.events.transfers[-1].outcome, Outcome.ABORTED)

    def test_diskFull(self) -> None:
        """
        Storage that is full is known after a window was confirmed: the ERROR comes then,
        and the file is not published.
        """
        site = self.site
        endings: list[str] = []

        class Filling:
            position = 0

            def __init__(self, handle: Any) -> None:
                self._handle = handle

            async def writeAt(self, offset: int, data: bytes) -> None:
                if offset + len(data) > 70_000:
                    raise NoSpace(None)
                await self._handle.writeAt(offset, data)

            async def commit(self) -> Any:
                endings.append("commit")

            async def abort(self) -> None:
                endings.append("abort")
                await self._handle.abort()

        class Full:
            async def openForWriting(
                self, path: VirtualPath, disposition: Disposition, *, sizeHint: int | None = None
            ) -> Any:
                return Filling(await site.view.openForWriting(path, disposition))

        site.account.fileSystem = Full()
        client = self.begin(64)
        answers: list[bytes] = []
        for first in range(1, 5000, 64):
            client.burst(packets(bytes(500_000), first, 64))
            answers += client.take()
            if answers[-1][1] == wire.ERROR:
                break
        self.assertEqual(answers[-1], b"\0\5\0\3no space left\0")
        self.assertLess(len(answers), 30)
        self.assertEqual(endings, ["abort"])
        self.assertEqual(site.events.transfers[-1].outcome, Outcome.FAILED)
        self.assertQuiet()
