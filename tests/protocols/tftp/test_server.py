"""
From a request on the well-known port to the record of the transfer.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from filehub.attributes import Disposition
from filehub.errors import NoSpace, StorageUnavailable
from filehub.events import Direction, LoginRefused, Outcome, TransferEnded
from filehub.paths import ROOT, VirtualPath
from filehub.protocols.tftp import wire
from filehub.protocols.tftp.settings import TFTPSettings
from tests.protocols.tftp.doubles import Site, now

OVERWRITE = TFTPSettings(write="overwrite")


def code(packet: bytes) -> int:
    """The code of an ERROR."""
    if packet[:2] != b"\0\5":
        raise AssertionError(f"an ERROR expected, {packet!r} came")
    return packet[3]


class SiteTestCase(SynchronousTestCase):
    settings = TFTPSettings()
    #: All of a small file is at hand.
    atOnce = False

    def setUp(self) -> None:
        self.site = Site(self.settings, atOnce=self.atOnce)
        self.site.store("file", bytes(range(256)) * 5)
        self.data = bytes(range(256)) * 5

    def assertQuiet(self) -> None:
        """Nothing is left of any transfer."""
        self.assertEqual(self.site.service.transfers, 0)
        self.assertEqual(self.site.door.logins, self.site.door.logouts)
        self.site.forgetSpares()
        self.assertTrue(all(each.isClosed for each in self.site.network.sockets.values()))

    def record(self) -> TransferEnded:
        """The one record."""
        self.assertEqual(len(self.site.events.transfers), 1)
        return self.site.events.transfers[0]


class DownloadTests(SiteTestCase):
    def test_plain(self) -> None:
        """Without options: DATA from another port, ACK by ACK, and one record."""
        client = self.site.client()
        client.read(b"file")
        self.assertEqual(client.download(), self.data)
        self.assertEqual(client.server, ("192.0.2.254", 40001))
        record = self.record()
        self.assertEqual(record.outcome, Outcome.COMPLETED)
        self.assertEqual(record.direction, Direction.DOWNLOAD)
        self.assertEqual(
            (record.account, str(record.path), record.nbytes), ("netboot", "/file", 1280)
        )
        self.assertEqual(dict(record.notes)["blocks"], 3)
        self.assertEqual(str(record.connection.peer), "192.0.2.1:50000")
        self.assertEqual(str(record.connection.local), "192.0.2.254:69")
        self.assertQuiet()

    def test_options(self) -> None:
        """With options: OACK, ACK 0, DATA in the size that was agreed."""
        client = self.site.client()
        client.read(b"file", (b"blksize", b"1000"), (b"tsize", b"0"))
        packet = client.one()
        self.assertEqual(packet, b"\0\6blksize\0001000\0tsize\0001280\0")
        client.ack(0)
        self.assertEqual(client.one(), b"\0\3\0\1" + self.data[:1000])
        client.ack(1)
        self.assertEqual(client.one(), b"\0\3\0\2" + self.data[1000:])
        client.ack(2)
        self.assertQuiet()

    def test_window(self) -> None:
        """A window comes at once, after the client has answered once."""
        client = self.site.client()
        client.read(b"file", (b"blksize", b"100"), (b"windowsize", b"8"))
        client.one()
        client.ack(0)
        self.assertEqual([each[3] for each in client.take()], list(range(1, 9)))
        client.ack(8)
        self.assertEqual([each[3] for each in client.take()], list(range(9, 14)))
        client.ack(13)
        self.assertEqual(self.record().nbytes, 1280)
        self.assertQuiet()

    def test_empty(self) -> None:
        """An empty file is one empty block, and has no tsize."""
        self.site.store("empty", b"")
        client = self.site.client()
        client.read(b"empty", (b"tsize", b"0"))
        self.assertEqual(client.one(), b"\0\3\0\1")
        client.ack(1)
        self.assertEqual(self.record().outcome, Outcome.COMPLETED)

    def test_netascii(self) -> None:
        """T-F12: lines end in CRLF, wherever the blocks end; tsize is not told."""
        text = b"line\nreturn\rend\r\n" * 120
        for shift in range(20):
            self.site.store("text", b"x" * shift + text)
            client = self.site.client(port=50100 + shift)
            client.read(b"text", (b"tsize", b"0"), mode=b"netascii")
            wanted = b"x" * shift + text.replace(b"\r", b"\r\0").replace(b"\n", b"\r\n")
            self.assertEqual(client.download(), wanted)
        self.assertQuiet()

    def test_names(self) -> None:
        """A leading slash or none, doubled ones, backslashes: the same file."""
        for name in (
            b"file",
            b"/file",
            b"//file",
            b"\\file",
            b"./file",
            b"../../file",
            b"a/../file",
        ):
            client = self.site.client()
            client.read(name)
            self.assertEqual(client.download(), self.data, name)

    def test_home(self) -> None:
        """An account's home is all that its clients can name."""
        site = self.site
        site.account.home = VirtualPath(["boot"])

        async def build() -> None:
            await site.view.makeDirectory(ROOT.join("boot"))

        now(build())
        site.store("boot/kernel", b"k")
        client = site.client()
        for name in (b"kernel", b"/kernel", b"../kernel"):
            client.read(name)
            self.assertEqual(client.download(), b"k")
        client.read(b"../file")
        self.assertEqual(code(client.one()), 1)

    def test_missing(self) -> None:
        """ERROR 1 from the well-known port, and no record: boot loaders try many names."""
        client = self.site.client()
        client.read(b"pxelinux.cfg/default")
        self.assertEqual(client.one(), b"\0\5\0\1no such file or directory\0")
        self.assertEqual(self.site.events.transfers, [])
        self.assertQuiet()

    def test_directory(self) -> None:
        """A directory is no file, and no name is no file either."""
        client = self.site.client()
        for name in (b"/", b"", b"..", b"."):
            client.read(name)
            self.assertIn(code(client.one()), (1, 2))
        self.assertQuiet()

    def test_oddNames(self) -> None:
        """Over-long names, deep ones, and bytes that are no UTF-8 do no harm."""
        client = self.site.client()
        for name in (
            b"x" * 400,
            b"a/" * 300 + b"f",
            b"\xff\xfe",
            b"\x01\x02",
            b"\xc0\xae\xc0\xae/f",
        ):
            client.read(name)
            self.assertEqual(code(client.one()), 1, name)
        self.site.store("caf\udce9", b"latin")
        client.read(b"caf\xe9")
        self.assertEqual(client.download(), b"latin")

    def test_modes(self) -> None:
        """Mail mode, and none at all, are illegal operations."""
        for mode in (b"mail", b"nonsense"):
            client = self.site.client()
            client.read(b"file", mode=mode)
            self.assertEqual(code(client.one()), 4)
        self.assertQuiet()

    def test_truncated(self) -> None:
        """T-F17: a file that has become shorter ends with ERROR 0, not in silence."""
        site = self.site

        class Shrunken:
            def __init__(self, handle: Any) -> None:
                self._handle = handle
                self.attributes = handle.attributes._replace(size=200_000)

            async def readAt(self, offset: int, length: int) -> bytes:
                data: bytes = await self._handle.readAt(offset, length)
                return data

            async def close(self) -> None:
                await self._handle.close()

        class Shrinking:
            async def openForReading(self, path: VirtualPath) -> Any:
                return Shrunken(await site.view.openForReading(path))

        site.account.fileSystem = Shrinking()
        client = site.client()
        client.read(b"file")
        packet = client.one()
        self.assertEqual(packet, b"\0\5\0\0file changed while it was sent\0")
        self.assertEqual(self.record().outcome, Outcome.FAILED)
        self.assertQuiet()

    def test_probe(self) -> None:
        """A client that refuses the OACK only wanted to know the size."""
        client = self.site.client()
        client.read(b"file", (b"tsize", b"0"), (b"blksize", b"1468"))
        client.one()
        client.say(b"\0\5\0\10User aborted the transfer\0")
        self.assertEqual(client.take(), [])
        self.assertEqual(self.record().outcome, Outcome.PROBED)
        self.assertQuiet()

    def test_clientError(self) -> None:
        """An ERROR in the middle ends it; it is never answered."""
        client = self.site.client()
        client.read(b"file")
        client.one()
        client.ack(1)
        client.one()
        client.say(b"\0\5\0\0\x1b[1menough\0")
        self.assertEqual(client.take(), [])
        self.assertEqual(self.record().outcome, Outcome.ABORTED)
        self.assertEqual(self.record().reason, "client error 0: ?[1menough")
        self.assertQuiet()

    def test_lastAckMissing(self) -> None:
        """T-F18: a missing last ACK holds the file for a few seconds, and is no failure."""
        client = self.site.client()
        client.read(b"file")
        for block in (1, 2):
            client.take()
            client.ack(block)
        self.site.advance(9.0)
        self.assertEqual(self.record().outcome, Outcome.UNCONFIRMED)
        self.assertLessEqual(len(client.take()), 12)
        self.assertQuiet()

    def test_clientGone(self) -> None:
        """T-F16: a closed port ends it at once and quietly."""
        client = self.site.client()
        client.read(b"file")
        client.take()
        client.ack(1)
        client.take()
        client.gone()
        self.site.advance(0.3)
        self.assertEqual(self.record().outcome, Outcome.PEER_GONE)
        self.assertQuiet()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_goneAfterLastBlock(self) -> None:
        """Who leaves after the last block has it, most likely."""
        client = self.site.client()
        client.read(b"file")
        for block in (1, 2):
            client.take()
            client.ack(block)
        client.gone()
        self.site.advance(0.3)
        self.assertEqual(self.record().outcome, Outcome.UNCONFIRMED)

    def test_stalled(self) -> None:
        """A client that falls silent in the middle is told after a minute, at the end."""
        client = self.site.client()
        client.read(b"file")
        client.take()
        client.ack(1)
        self.site.advance(70.0, 0.05)
        packets = client.take()
        self.assertEqual(packets[-1], b"\0\5\0\0timed out\0")
        self.assertLess(len(packets), 25)
        self.assertEqual(self.record().outcome, Outcome.STALLED)
        self.assertQuiet()

    def test_stallOfTheAccount(self) -> None:
        """An account may be given up sooner."""
        self.site.account.limits.stall = 5.0
        client = self.site.client()
        client.read(b"file")
        client.take()
        client.ack(1)
        self.site.advance(8.0, 0.05)
        self.assertEqual(client.take()[-1], b"\0\5\0\0timed out\0")
        self.assertEqual(self.record().outcome, Outcome.STALLED)
        self.assertQuiet()

    def test_dripping(self) -> None:
        """T-F13: an ACK every four seconds does not hold a file for ever."""
        self.site.store("big", bytes(1 << 20))
        client = self.site.client()
        client.read(b"big", (b"blksize", b"8"))
        for block in range(40):
            client.take()
            client.ack(block)
            self.site.advance(4.0, 0.1)
        self.assertEqual(self.record().outcome, Outcome.STALLED)
        self.assertEqual(self.record().reason, "too slow")
        self.assertQuiet()

    def test_portsExhausted(self) -> None:
        """Without a descriptor for it, a request is refused and the file closed."""
        self.site.network.exhausted = True
        client = self.site.client()
        client.read(b"file")
        self.assertEqual(code(client.one()), 0)
        self.assertQuiet()


class UploadTests(SiteTestCase):
    settings = OVERWRITE

    def test_plain(self) -> None:
        """ACK 0, DATA, ACK; the file is there when the last ACK is."""
        client = self.site.client()
        client.write(b"new")
        self.assertEqual(client.one(), b"\0\4\0\0")
        client.data(1, b"x" * 512)
        self.assertEqual(client.one(), b"\0\4\0\1")
        self.assertFalse(self.site.exists("new"))
        client.data(2, b"end")
        self.assertEqual(client.one(), b"\0\4\0\2")
        self.assertEqual(self.site.content("new"), b"x" * 512 + b"end")
        record = self.record()
        self.assertEqual((record.direction, record.nbytes), (Direction.UPLOAD, 515))
        self.assertEqual(record.outcome, Outcome.COMPLETED)

    def test_dally(self) -> None:
        """The last ACK is repeated for some seconds, although file and login are released."""
        client = self.site.client()
        client.write(b"new")
        client.take()
        client.data(1, b"all")
        client.take()
        self.assertEqual(self.site.door.logouts, 1)
        self.assertEqual(self.site.service.transfers, 1)
        client.data(1, b"all")
        self.assertEqual(client.one(), b"\0\4\0\1")
        self.site.advance(3.1)
        self.assertQuiet()

    def test_options(self) -> None:
        """The OACK takes the place of ACK 0."""
        client = self.site.client()
        client.write(b"new", (b"blksize", b"1000"), (b"windowsize", b"2"), (b"tsize", b"2500"))
        self.assertEqual(client.one(), b"\0\6blksize\0001000\0windowsize\0002\0tsize\0002500\0")
        client.data(1, b"a" * 1000)
        self.assertEqual(client.take(), [])
        client.data(2, b"b" * 1000)
        self.assertEqual(client.one(), b"\0\4\0\2")
        client.data(3, b"c" * 500)
        self.assertEqual(client.one(), b"\0\4\0\3")
        self.assertEqual(len(self.site.content("new")), 2500)

    def test_netascii(self) -> None:
        """Lines are converted, wherever the blocks end."""
        text = b"line\r\nreturn\r\0end\r\r\n" * 60
        for shift in range(20):
            client = self.site.client(port=50100 + shift)
            client.write(b"text", mode=b"netascii")
            sent = b"x" * shift + text
            for block in range(len(sent) // 512 + 1):
                client.take()
                client.data(block + 1, sent[block * 512 : block * 512 + 512])
            wanted = b"x" * shift + b"line\nreturn\rend\r\n" * 60
            self.assertEqual(self.site.content("text"), wanted)

    def test_replace(self) -> None:
        """The old file stands until the new one is whole."""
        client = self.site.client()
        client.write(b"file")
        client.take()
        client.data(1, b"y" * 512)
        client.take()
        self.assertEqual(self.site.content("file"), self.data)
        client.data(2, b"")
        self.assertEqual(self.site.content("file"), b"y" * 512)

    def test_broken(self) -> None:
        """A client that vanishes leaves the old file, and nothing under the name."""
        client = self.site.client()
        client.write(b"file")
        client.take()
        client.data(1, b"y" * 512)
        client.gone()
        self.site.advance(70.0, 0.05)
        self.assertEqual(self.site.content("file"), self.data)
        self.assertEqual(self.record().outcome, Outcome.PEER_GONE)
        self.assertQuiet()

    def test_tooLarge(self) -> None:
        """T-F10: a size that cannot fit is refused before any data: ERROR 3."""
        site = self.site

        class Full:
            async def openForWriting(
                self, path: VirtualPath, disposition: Disposition, *, sizeHint: int | None = None
            ) -> Any:
                if sizeHint is not None and sizeHint > 1000:
                    raise NoSpace(path)
                return await site.view.openForWriting(path, disposition, sizeHint=sizeHint)

        site.account.fileSystem = Full()
        client = site.client()
        client.write(b"new", (b"tsize", b"1001"))
        self.assertEqual(code(client.one()), 3)
        client.write(b"new", (b"tsize", b"1000"))
        self.assertEqual(client.one()[1], wire.OACK)

    def test_diskFull(self) -> None:
        """T-F10: storage that is full in the middle is ERROR 3, and leaves nothing."""
        site = self.site

        class Filling:
            def __init__(self, handle: Any) -> None:
                self._handle = handle
                self.position = 0

            async def writeAt(self, offset: int, data: bytes) -> None:
                raise NoSpace(None)

            async def commit(self) -> Any:
                raise StorageUnavailable(None)

            async def abort(self) -> None:
                await self._handle.abort()

        class Full:
            async def openForWriting(
                self, path: VirtualPath, disposition: Disposition, *, sizeHint: int | None = None
            ) -> Any:
                return Filling(await site.view.openForWriting(path, disposition))

        site.account.fileSystem = Full()
        client = site.client()
        client.write(b"new")
        client.take()
        client.data(1, b"short")
        self.assertEqual(client.one(), b"\0\5\0\3no space left\0")
        self.assertFalse(site.exists("new"))
        self.assertEqual(self.record().outcome, Outcome.FAILED)
        self.assertQuiet()

    def test_blockTooLong(self) -> None:
        """A block longer than agreed ends it: what it means cannot be known."""
        client = self.site.client()
        client.write(b"new")
        client.take()
        client.data(1, b"x" * 513)
        self.assertEqual(code(client.one()), 4)
        self.assertFalse(self.site.exists("new"))
        self.assertQuiet()


class WritePolicyTests(SynchronousTestCase):
    def test_deny(self) -> None:
        """By default nobody writes."""
        site = Site()
        client = site.client()
        client.write(b"new")
        self.assertEqual(client.one(), b"\0\5\0\2permission denied\0")
        self.assertEqual(site.service.transfers, 0)

    def test_create(self) -> None:
        """C{create} takes new names only: ERROR 6 for others."""
        site = Site(TFTPSettings(write="create"))
        site.store("old", b"old")
        client = site.client()
        client.write(b"old")
        self.assertEqual(code(client.one()), 6)
        client.write(b"new")
        client.take()
        client.data(1, b"n")
        self.assertEqual(site.content("new"), b"n")


class LoginTests(SiteTestCase):
    def test_refused(self) -> None:
        """An address that has no account is told so, and observers as well."""
        self.site.door.refused.add("192.0.2.66")
        client = self.site.client("192.0.2.66")
        client.read(b"file")
        self.assertEqual(code(client.one()), 2)
        self.assertEqual([type(each) for each in self.site.events.all], [LoginRefused])
        self.assertQuiet()

    def test_slow(self) -> None:
        """While the portal thinks, repeated requests are the same request."""
        self.site.door.slow = True
        client = self.site.client()
        for _ in range(3):
            client.read(b"file")
        self.assertEqual(client.take(), [])
        self.assertEqual(self.site.service.transfers, 1)
        self.site.door.answer()
        self.assertEqual(client.download(), self.data)
        self.assertQuiet()

    def test_abandonedWhileSlow(self) -> None:
        """A new request ends one that still waits for the portal."""
        self.site.door.slow = True
        client = self.site.client()
        client.read(b"other")
        self.site.door.slow = False
        client.read(b"file")
        self.assertEqual(client.download(), self.data)
        self.assertQuiet()

    def test_ourMistake(self) -> None:
        """A bug below is one ERROR 0 and one logged failure."""

        class Broken:
            async def openForReading(self, path: VirtualPath) -> Any:
                raise ZeroDivisionError

        self.site.account.fileSystem = Broken()
        client = self.site.client()
        client.read(b"file")
        self.assertEqual(client.one(), b"\0\5\0\0internal error\0")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertQuiet()


class StopTests(SiteTestCase):
    settings = OVERWRITE

    def test_stop(self) -> None:
        """Stopping tells all clients, aborts uploads, and leaves nothing behind."""
        reader, writer, done = (self.site.client(port=50000 + each) for each in range(3))
        reader.read(b"file")
        reader.take()
        writer.write(b"new")
        writer.take()
        writer.data(1, b"x" * 512)
        writer.take()
        done.write(b"done")
        done.take()
        done.data(1, b"")
        done.take()
        stopped = self.site.service.stopService()
        self.successResultOf(stopped)
        self.assertEqual(code(reader.one()), 0)
        self.assertEqual(code(writer.one()), 0)
        self.assertEqual(done.take(), [])
        self.assertFalse(self.site.exists("new"))
        self.assertTrue(self.site.exists("done"))
        self.assertQuiet()
        self.assertTrue(self.site.network.watcher.isClosed)
        self.assertEqual(self.site.reactor.getDelayedCalls(), [])
