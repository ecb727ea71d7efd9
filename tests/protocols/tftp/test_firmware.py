"""
Conversations of real firmware with the service, packet by packet, with the manners of
each: what it says besides requests, when it is silent, and what it must not be told.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from filehub.events import Outcome
from filehub.paths import ROOT
from filehub.protocols.tftp import wire
from tests.protocols.tftp.doubles import Host, Site, now
from tests.protocols.tftp.test_wire import CLIENTS

SIZE = 10_000


class FirmwareTests(SynchronousTestCase):
    """
    One client each.  What it asks for is what it was seen to ask for.

    @ivar data: the file that it wants.
    """

    def setUp(self) -> None:
        self.site = Site()
        self.data = bytes(each % 251 for each in range(SIZE))

    def boot(self, client: str, *names: str) -> Host:
        """Send the request of this client; these are its files."""
        for name in names:
            folder = ROOT
            for part in name.split("/")[:-1]:
                folder = folder.join(part)
                now(self.site.view.makeDirectory(folder))
            self.site.store(name, self.data)
        host = self.site.client()
        host.ask(CLIENTS[client][0])
        return host

    def blocks(self, packets: list[bytes]) -> list[int]:
        self.assertEqual({each[1] for each in packets} - {wire.DATA}, set())
        return [each[2] << 8 | each[3] for each in packets]

    def assertOutcomes(self, *outcomes: Outcome) -> None:
        self.assertEqual([each.outcome for each in self.site.events.transfers], [*outcomes])
        self.assertEqual(self.site.service.transfers, 0)

    def finish(self, host: Host, blksize: int, first: int = 0) -> None:
        """Acknowledge block by block to the end."""
        last = SIZE // blksize + 1
        content = b""
        for block in range(first, last + 1):
            host.ack(block)
            if block < last:
                packet = host.one()
                self.assertEqual(self.blocks([packet]), [block + 1])
                content += packet[4:]
        self.assertTrue(self.data.endswith(content))

    def test_iPXE(self) -> None:
        """Asks again after a quarter of a second; ends what it does not want with ERROR 0."""
        host = self.boot("iPXE", "boot.ipxe")
        self.assertEqual(host.one(), b"\0\6blksize\0001432\0tsize\00010000\0")
        self.site.advance(0.25)
        host.ask(CLIENTS["iPXE"][0])
        self.assertEqual(host.one(), b"\0\6blksize\0001432\0tsize\00010000\0")
        self.finish(host, 1432)
        self.assertOutcomes(Outcome.COMPLETED)
        host.ask(CLIENTS["iPXE"][0])
        host.take()
        host.ack(0)
        host.ack(1)
        host.take()
        host.say(wire.encodeError(0, "TFTP Aborted"))
        self.assertEqual(host.take(), [])
        self.assertOutcomes(Outcome.COMPLETED, Outcome.ABORTED)

    def test_EDK2(self) -> None:
        """
        Wants the size first and gives up on purpose; then says for every packet out of
        order what it has, and gets the window once more, not once for each.
        """
        host = self.boot("EDK2, the probe", "grub.efi")
        self.assertEqual(host.one(), b"\0\6tsize\00010000\0blksize\0001468\0windowsize\0004\0")
        host.say(wire.encodeError(8, "User aborted the transfer"))
        self.assertEqual(host.take(), [])
        self.assertOutcomes(Outcome.PROBED)
        host = self.site.client(port=50001)
        host.ask(CLIENTS["EDK2, the download"][0])
        self.assertEqual(host.one(), b"\0\6blksize\0001468\0windowsize\0004\0")
        self.site.advance(0.01)
        host.ack(0)
        self.assertEqual(self.blocks(host.take()), [1, 2, 3, 4])
        # The first of the window was lost: it says 0 for each of the others.
        self.site.advance(0.01)
        for _ in range(3):
            host.ack(0)
        self.assertEqual(self.blocks(host.take()), [1, 2, 3, 4])
        self.site.advance(0.01)
        host.ack(4)
        self.assertEqual(self.blocks(host.take()), [5, 6, 7])
        host.ack(7)
        self.assertOutcomes(Outcome.PROBED, Outcome.COMPLETED)

    def test_PXELINUX(self) -> None:
        """Tries ten names from one port; each miss is ERROR 1 at once, and no record."""
        host = self.site.client()
        names = [b"01-52-54-00-fe-ed-01", *(b"0A630037"[:each] for each in range(8, 0, -1))]
        for name in names:
            host.ask(b"\0\1pxelinux.cfg/" + name + b"\0octet\0tsize\0000\0blksize\0001408\0")
            self.assertEqual(host.one()[:4], b"\0\5\0\1")
        self.assertOutcomes()
        host = self.boot("PXELINUX", "pxelinux.cfg/01-52-54-00-fe-ed-01")
        self.assertEqual(host.one(), b"\0\6tsize\00010000\0blksize\0001408\0")
        self.finish(host, 1408)
        self.assertOutcomes(Outcome.COMPLETED)

    def test_PXELINUXSize(self) -> None:
        """A size of 0 means "no file" to it, so there is none in the answer."""
        self.site.store("empty", b"")
        host = self.site.client()
        host.ask(b"\0\1empty\0octet\0tsize\0000\0blksize\0001408\0")
        self.assertEqual(host.one(), b"\0\6blksize\0001408\0")

    def test_GRUB(self) -> None:
        """
        Is silent while it decompresses what it has; then it says again what it had
        said, and goes on as soon as a block comes.
        """
        host = self.boot("GRUB", "grub/i386-pc/normal.mod")
        self.assertEqual(host.one(), b"\0\6blksize\0001024\0tsize\00010000\0")
        host.ack(0)
        self.assertEqual(self.blocks(host.take()), [1])
        self.site.advance(20.0, 0.05)
        repeated = self.blocks(host.take())
        self.assertEqual(set(repeated), {1})
        self.assertIn(len(repeated), range(4, 15))
        host.ack(0)
        self.assertEqual(host.take(), [])
        self.finish(host, 1024, first=1)
        self.assertOutcomes(Outcome.COMPLETED)

    def test_UBoot(self) -> None:
        """
        Insists on its timeout in the answer, says once which block it had before a gap,
        and comes back from the same port after a reset.
        """
        host = self.boot("U-Boot", "uImage")
        self.assertEqual(host.one(), b"\0\6timeout\0005\0blksize\0001468\0windowsize\0004\0")
        self.site.advance(0.01)
        host.ack(0)
        self.assertEqual(self.blocks(host.take()), [1, 2, 3, 4])
        self.site.advance(0.01)
        host.ack(2)
        self.assertEqual(self.blocks(host.take()), [3, 4, 5, 6])
        host.ask(CLIENTS["U-Boot"][0])
        self.assertEqual(host.one(), b"\0\6timeout\0005\0blksize\0001468\0windowsize\0004\0")
        self.site.advance(0.01)
        for block in (0, 4, 7):
            host.ack(block)
        self.assertEqual(self.blocks(host.take()), [1, 2, 3, 4, 5, 6, 7])
        self.assertOutcomes(Outcome.ABORTED, Outcome.COMPLETED)

    def test_windows(self) -> None:
        """Writes paths with backslashes, and ACKs with an octet for its own extension."""
        host = self.boot("Windows bootmgr", "Boot/BCD")
        self.assertEqual(host.one(), b"\0\6tsize\00010000\0blksize\0001456\0windowsize\0004\0")
        self.site.advance(0.01)
        for block in (0, 4, 7):
            host.say(wire.encodeAck(block) + b"\4")
        self.assertEqual(self.blocks(host.take()), [1, 2, 3, 4, 5, 6, 7])
        self.assertOutcomes(Outcome.COMPLETED)

    def test_raspberryPi(self) -> None:
        """
        Sends a request three times within milliseconds, asks for several files at once,
        and ends early what it only looked for.
        """
        host = self.boot("Raspberry Pi", "9ffefdef/start.elf")
        for _ in range(2):
            self.site.advance(0.004)
            host.ask(CLIENTS["Raspberry Pi"][0])
        self.assertEqual(host.take(), [b"\0\6tsize\00010000\0"])
        self.assertEqual(self.site.door.logins, 1)
        other = self.site.client(port=50001)
        other.ask(b"\0\0019ffefdef/config.txt\0octet\0tsize\0000\0")
        self.assertEqual(other.one()[:4], b"\0\5\0\1")
        host.say(wire.encodeError(0, "Early Terminate"))
        self.assertEqual(host.take(), [])
        host.ask(CLIENTS["Raspberry Pi"][0])
        self.assertEqual(host.one(), b"\0\6tsize\00010000\0")
        self.finish(host, 512)
        self.assertOutcomes(Outcome.PROBED, Outcome.COMPLETED)

    def test_HP(self) -> None:
        """A request that is padded with zeros to 516 octets is one."""
        host = self.boot("HP firmware, padded to 516", "f")
        self.assertEqual(host.one(), b"\0\6tsize\00010000\0")
        self.finish(host, 512)
        self.assertOutcomes(Outcome.COMPLETED)
