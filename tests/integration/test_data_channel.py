"""
Data connections under attack and under bad luck: rows T-D1 to T-D14 of
C{docs/reliability-rows.rst}.
"""

import contextlib
import itertools
import os
import random
import re
import socket
import struct
import threading
import time

from tests.integration.harness import (
    ANSWER,
    IntegrationTestCase,
    Site,
    content,
    refused,
    until,
)
from tests.integration.rawftp import RawFTP, drain, reset
from tests.ports import freePort

#: Another address of this machine: a stranger.
STRANGER = "127.0.0.7"
#: Where a victim of bounced connections would listen.
VICTIM = "127.0.0.9"


def port(address: tuple[str, int]) -> str:
    """The argument of PORT for this address."""
    return f"{address[0].replace('.', ',')},{address[1] >> 8},{address[1] & 255}"


class DataChannelTestCase(IntegrationTestCase):
    """
    @ivar ftp: a session in the test's own folder, where C{file} has C{data}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.data = content(100_000)
        (self.work / "file").write_bytes(self.data)
        self.ftp = self.login()

    def login(self, **keywords: str) -> RawFTP:
        ftp = RawFTP(self.site.ftp, **keywords).login()
        self.addCleanup(ftp.close)
        ftp.expect(250, f"CWD {self.virtual}")
        return ftp

    def assertUsable(self, ftp: RawFTP | None = None) -> None:
        """The session still does its work."""
        ftp = ftp or self.ftp
        self.assertSameContent(ftp.retrieve("RETR file"), self.data)


class BounceTests(DataChannelTestCase):
    """PORT and EPRT to somebody else, or to nonsense."""

    def victim(self, host: str = VICTIM) -> socket.socket:
        listener = socket.create_server((host, 0))
        self.addCleanup(listener.close)
        listener.settimeout(0.3)
        return listener

    def assertNobodyCame(self, listener: socket.socket) -> None:
        self.assertRaises(TimeoutError, listener.accept)

    def test_bounce(self) -> None:
        """T-D1: PORT and EPRT to another host are refused and nothing connects to it."""
        listener = self.victim()
        host, number = listener.getsockname()
        for line in (f"PORT {port((host, number))}", f"EPRT |1|{host}|{number}|",
                     f"EPRT |2|::1|{number}|", f"EPRT |2|::ffff:{host}|{number}|"):  # fmt: skip
            self.assertGreaterEqual(self.ftp.command(line).code, 500, line)
            reply = self.ftp.command("RETR file")
            self.assertIn(reply.code, (425, 503), line)
        self.assertNobodyCame(listener)
        self.assertUsable()

    def test_noConnectionBeforeTheCommand(self) -> None:
        """T-D1: a good PORT connects only when a transfer asks for it."""
        listener = self.ftp.listen()
        self.addCleanup(listener.close)
        listener.settimeout(0.3)
        self.assertNobodyCame(listener)
        listener.settimeout(ANSWER)
        self.assertEqual(self.ftp.command("RETR file").code, 150)
        with listener.accept()[0] as data:
            self.assertSameContent(drain(data), self.data)
        self.ftp.final(226)

    def test_privilegedPort(self) -> None:
        """T-D2: a port below 1024 is refused."""
        for number in (25, 80, 1023, 0):
            for line in (f"PORT 127,0,0,1,{number >> 8},{number & 255}",
                         f"EPRT |1|127.0.0.1|{number}|"):  # fmt: skip
                self.assertIn(self.ftp.command(line).code, (501, 504), line)
                self.assertIn(self.ftp.command("RETR file").code, (425, 503))

    def test_syntax(self) -> None:
        """T-D3: forty ways to spell it wrong are 501 (522 a family), and void what was there."""
        wrong = [
            "PORT", "PORT x", "PORT 1,2,3", "PORT 127,0,0,1,200", "PORT 127,0,0,1,200,1,1",
            "PORT 127,0,0,1,256,1", "PORT 127,0,0,1,1,256", "PORT 127,0,0,1,-1,1",
            "PORT 127,0,0,1,+1,1", "PORT 127,0,0,1, 200,1", "PORT 127.0.0.1.200.1",
            "PORT 127,0,0,1,200,", "PORT ,,,,,", "PORT 127,0,0,0x1,200,1", "PORT 999,0,0,1,200,1",
            "PORT 127,0,0,1,200,\u0661", "PORT 127,0,0,1,2_0,1", "PORT 127,0,0,1,200,1x",
            "PORT 127,0,0,1,1e2,1", "PORT 00127,0,0,1,200,1", "PORT 127,0,0,1,200,1 ",
            "EPRT", "EPRT x", "EPRT |", "EPRT ||||", "EPRT |1|127.0.0.1|", "EPRT |1|127.0.0.1||",
            "EPRT |1|127.0.0.1|99999|", "EPRT |1|127.0.0.1|-1|", "EPRT |1|127.0.0.1|+2000|",
            "EPRT |1|127.0.0.1|2000", "EPRT |1|127.0.0.1|2000|x", "EPRT |1|::1|2000|",
            "EPRT |2|127.0.0.1|2000|", "EPRT |3|127.0.0.1|2000|", "EPRT |x|127.0.0.1|2000|",
            "EPRT |1|localhost|2000|", "EPRT |1|127.1|2000|", "EPRT |1|2130706433|2000|",
            "EPRT |1|127.0.0.1|\u0662000|", "EPRT 1127.0.0.1120001", "EPRT |1 |127.0.0.1|2000|",
        ]  # fmt: skip
        for line in wrong:
            with self.ftp.listen() as listener:
                reply = self.ftp.command(line)
                self.assertIn(reply.code, (501, 522), line)
                self.assertIn(self.ftp.command("LIST").code, (425, 503), f"LIST after {line}")
                listener.settimeout(0)
                self.assertRaises(BlockingIOError, listener.accept)
        self.assertUsable()


class PassiveTests(DataChannelTestCase):
    """Listeners: whose they are, how many, and where."""

    def test_theft(self) -> None:
        """T-D4: a stranger who comes first gets nothing; the client then gets its file."""
        address = self.ftp.passiveAddress()
        with contextlib.ExitStack() as stack:
            # He may be reset before his connect has even returned.
            with contextlib.suppress(ConnectionError):
                thief = stack.enter_context(
                    socket.create_connection(address, ANSWER, source_address=(STRANGER, 0))
                )
                self.assertEqual(thief.recv(1000), b"")
            with socket.create_connection(address, ANSWER) as data:
                self.assertEqual(self.ftp.command("RETR file").code, 150)
                self.assertSameContent(drain(data), self.data)
            self.ftp.final(226)

    def test_races(self) -> None:
        """T-D4: in 200 races between a stranger and the client, the stranger never wins."""
        chance = random.Random(4)
        for _ in range(200):
            address = self.ftp.passiveAddress()
            stolen: list[bytes] = []

            def steal(address: tuple[str, int] = address, stolen: list[bytes] = stolen) -> None:
                with (
                    contextlib.suppress(OSError),
                    socket.create_connection(address, 2, (STRANGER, 0)) as thief,
                ):
                    stolen.append(thief.recv(1000))

            thief = threading.Thread(target=steal)
            first = chance.random() < 0.5
            if first:
                thief.start()
            with socket.create_connection(address, ANSWER) as data:
                if not first:
                    thief.start()
                self.ftp.send("RETR file\r\n")
                received = drain(data)
            self.ftp.final(226)
            thief.join()
            self.assertEqual(b"".join(stolen), b"")
            self.assertSameContent(received, self.data)

    def test_unpredictable(self) -> None:
        """T-D5: 200 ports in a row show no stride and no order."""
        ports = [self.ftp.passiveAddress()[1] for _ in range(200)]
        strides = [second - first for first, second in itertools.pairwise(ports)]
        self.assertGreater(len(set(ports)), 100)
        self.assertLess(max(strides.count(each) for each in strides), 10)
        ups = sum(each > 0 for each in strides)
        self.assertTrue(60 < ups < 140, ups)

    def test_oneListener(self) -> None:
        """T-D6: PASV again and again keeps one listener, not many."""
        self.ftp.passiveAddress()
        before = self.site.daemon.descriptors()
        previous = None
        for _ in range(200):
            address = self.ftp.passiveAddress()
            if previous not in (None, address):
                self.assertTrue(refused(previous))
            previous = address
        self.assertLess(self.site.daemon.descriptors() - before, 3)

    def test_local(self) -> None:
        """T-D7: the listener is on the control connection's own address alone."""
        _, number = self.ftp.passiveAddress()
        self.assertTrue(refused(("127.0.0.33", number)))

    def test_extendedAll(self) -> None:
        """T-D7: EPSV checks the family; EPSV ALL sticks, also after an aborted transfer."""
        self.assertEqual(self.ftp.command("EPSV 2").code, 522)
        self.assertIn(self.ftp.command("EPSV 3").code, (501, 522))
        self.ftp.expect(229, "EPSV 1")
        (self.work / "large").write_bytes(bytes(20_000_000))
        self.ftp.expect(200, "EPSV ALL")
        found = re.search(r"\|(\d+)\|", self.ftp.expect(229, "EPSV"))
        assert found is not None
        data = socket.create_connection(("127.0.0.1", int(found[1])), ANSWER)
        self.assertEqual(self.ftp.command("RETR large").code, 150)
        data.recv(1000)
        reset(data)
        self.assertGreaterEqual(self.ftp.final().code, 400)
        for line in ("PASV", "PORT 127,0,0,1,200,1", "EPRT |1|127.0.0.1|2000|"):
            self.assertIn(self.ftp.command(line).code, (501, 503), line)
        self.ftp.expect(229, "EPSV")

    def test_secondConnection(self) -> None:
        """T-D9: a second connection to one listener gets nothing."""
        address = self.ftp.passiveAddress()
        with socket.create_connection(address, ANSWER) as data:
            second = socket.socket()
            second.settimeout(ANSWER)
            self.addCleanup(second.close)
            with contextlib.suppress(ConnectionError):
                second.connect(address)
            self.assertEqual(self.ftp.command("RETR file").code, 150)
            self.assertSameContent(drain(data), self.data)
        self.ftp.final(226)
        with contextlib.suppress(OSError):
            self.assertEqual(second.recv(1000), b"")

    def test_secondPassive(self) -> None:
        """T-D9: another PASV ends the connection that was open already."""
        old = self.ftp.passive()
        self.addCleanup(old.close)
        with self.ftp.passive() as new:
            with contextlib.suppress(ConnectionError):
                self.assertEqual(old.recv(1000), b"")
            self.assertEqual(self.ftp.command("RETR file").code, 150)
            self.assertSameContent(drain(new), self.data)
        self.ftp.final(226)

    def test_passiveThenActive(self) -> None:
        """T-D9: the last of PASV and PORT counts."""
        address = self.ftp.passiveAddress()
        with self.ftp.listen() as listener:
            until(lambda: refused(address), "the passive listener is closed")
            self.assertEqual(self.ftp.command("RETR file").code, 150)
            with listener.accept()[0] as data:
                self.assertSameContent(drain(data), self.data)
        self.ftp.final(226)

    def test_notConnected(self) -> None:
        """A transfer command that nobody connects for does not block the session."""
        self.ftp.passiveAddress()
        self.ftp.send("RETR file\r\nNOOP\r\nSTAT\r\n")
        codes = [self.ftp.reply().code for _ in range(2)]
        self.assertTrue(set(codes) & {200, 211, 212, 213, 150}, codes)


class SmallRangeTests(DataChannelTestCase):
    """A range of three passive ports."""

    def makeSite(self) -> Site:
        start = freePort(count=3)
        return self.newSite(ftp=f'passive_ports = "{start}-{start + 2}"')

    def test_exhaustion(self) -> None:
        """
        T-D6: three sessions may listen; the fourth is told 425 and not given a port outside
        of the range; as soon as one leaves, it can.
        """
        others = [self.login() for _ in range(3)]
        ports = {each.passiveAddress()[1] for each in others}
        self.assertEqual(len(ports), 3)
        self.assertEqual(max(ports) - min(ports), 2)
        self.assertIn(self.ftp.command("PASV").code, (421, 425))
        others[0].close()
        limit = time.monotonic() + ANSWER
        while (reply := self.ftp.command("PASV")).code != 227:
            self.assertLess(time.monotonic(), limit, reply)
        found = re.findall(r"\d+", reply)[-2:]
        self.assertIn(int(found[0]) * 256 + int(found[1]), ports)


class MemoryTests(DataChannelTestCase):
    """What a client pushes or does not read must not pile up here."""

    def makeSite(self) -> Site:
        return self.newSite()

    def test_pushedEarly(self) -> None:
        """T-D8: bytes sent ahead of STOR stay in the kernel and block the sender."""
        with self.ftp.passive() as data:
            time.sleep(0.2)
            before = self.site.daemon.residentBytes()
            data.settimeout(0.5)
            sent = 0
            with contextlib.suppress(TimeoutError):
                while sent < 200_000_000:
                    sent += data.send(bytes(1 << 20))
            self.assertLess(sent, 50_000_000)
            self.assertLess(self.site.daemon.residentBytes() - before, 4 << 20)
            data.settimeout(ANSWER)
            self.assertEqual(self.ftp.command("STOR early").code, 150)
            data.shutdown(socket.SHUT_WR)
            self.ftp.final(226)
        self.assertEqual((self.work / "early").stat().st_size, sent)

    def test_slowReaders(self) -> None:
        """Twenty clients who do not read their downloads cost a bounded buffer each."""
        with (self.work / "large").open("wb") as large:
            large.truncate(1 << 30)
        before = self.site.daemon.residentBytes()
        for _ in range(10):
            ftp = self.login()
            data = ftp.passive()
            self.addCleanup(data.close)
            self.assertEqual(ftp.command("RETR large").code, 150)
        self.assertUsable()
        self.assertLess(self.site.daemon.residentBytes() - before, 25 << 20)

    def endAbnormally(self, chance: random.Random) -> None:
        """One session that ends in one of six situations, in some order and manner."""
        ftp = RawFTP(self.site.ftp).login()
        ftp.expect(250, f"CWD {self.virtual}")
        ends = [ftp.control]
        kind = chance.randrange(6)
        if kind == 0:
            ends.append(ftp.passive())
        elif kind == 1:
            ftp.passiveAddress()
        elif kind == 2:
            ends.append(ftp.listen())
        elif kind == 3:
            ends.append(ftp.passive())
            ftp.command("RETR large")
        elif kind == 4:
            ends.append(ftp.passive())
            ftp.command("STOR half")
            ends[1].sendall(b"half")
        else:
            listener = ftp.listen()
            ftp.send("RETR large\r\n")
            ends += [listener.accept()[0], listener]
        chance.shuffle(ends)
        for each in ends:
            if chance.random() < 0.5:
                reset(each)
            else:
                each.close()

    def test_endings(self) -> None:
        """T-D10: 400 abnormal ends of all kinds; descriptors are back where they were."""
        with (self.work / "large").open("wb") as large:
            large.truncate(1 << 26)
        chance = random.Random(10)
        for _ in range(60):  # until whatever is kept for the next session is there
            self.endAbnormally(chance)
        with RawFTP(self.site.ftp).login() as ftp:
            ftp.expect(200, "NOOP")
        time.sleep(0.5)
        before = self.site.daemon.descriptors()
        for _ in range(400):
            self.endAbnormally(chance)
        until(
            lambda: self.site.daemon.descriptors() <= before + 2,
            f"descriptors are back at {before}",
        )
        self.assertUsable()


class StallTests(DataChannelTestCase):
    """Peers that went away without a word."""

    def makeSite(self) -> Site:
        return self.newSite(limits="stall = 2")

    def stalled(self, ftp: RawFTP) -> float:
        """Wait for the end of a transfer that stalls; how long it took."""
        started = time.monotonic()
        ftp.control.settimeout(ANSWER)
        self.assertIn(ftp.final().code, (421, 425, 426, 451))
        return time.monotonic() - started

    def test_stalled(self) -> None:
        """
        T-D11: a client that stops reading, or sending, is told 426 in time, in RETR,
        STOR, APPE, LIST and MLSD; what it sent is not published.
        """
        with (self.work / "large").open("wb") as large:
            large.truncate(1 << 28)
        crowd = self.work / "crowd"
        crowd.mkdir()
        for number in range(20_000):
            (crowd / f"{number:0200}").touch()
        pending = []
        for verb in ("RETR large", "STOR new", "APPE file", "LIST crowd", "MLSD crowd"):
            ftp = self.login()
            # Small buffers, or the kernel swallows the whole of a listing.
            data = socket.socket()
            data.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self.addCleanup(data.close)
            data.settimeout(ANSWER)
            data.connect(ftp.passiveAddress())
            self.assertEqual(ftp.command(verb).code, 150, verb)
            if verb.startswith(("STOR", "APPE")):
                data.sendall(b"some")
            pending.append(ftp)
        started = time.monotonic()
        for ftp in pending:
            self.stalled(ftp)
        self.assertGreater(time.monotonic() - started, 1.0)
        self.assertLess(time.monotonic() - started, 6.0)
        self.assertFalse((self.work / "new").exists())
        self.assertUsable()


class TruthTests(DataChannelTestCase):
    """T-D12: 226 is said of whole files only."""

    def setUp(self) -> None:
        super().setUp()
        self.large = content(3_000_000, "large")
        (self.work / "large").write_bytes(self.large)

    def breakUpload(self, verb: str, ending: str) -> None:
        ftp = self.login()
        with ftp.passive() as data:
            self.assertEqual(ftp.command(verb).code, 150)
            data.sendall(self.large[:100_000])
            if ending == "reset":
                # The bytes have to arrive before the reset that would destroy them.
                time.sleep(0.02)
                reset(data)
                self.assertIn(ftp.final().code, (426, 451))
            elif ending == "abort":
                ftp.send(b"\xff\xf4\xff")
                ftp.control.send(b"\xf2", socket.MSG_OOB)
                ftp.send("ABOR\r\n")
                self.assertEqual(ftp.final().code, 426)
                self.assertEqual(ftp.reply().code, 226)
                ftp.expect(200, "NOOP")
            elif ending == "control closed":
                ftp.close()
            elif ending == "control reset":
                reset(ftp.control)
            elif ending == "both reset":
                reset(ftp.control)
                reset(data)

    def test_uploads(self) -> None:
        """Four verbs with five bad ends: never 226, and nothing of it under its name."""
        for ending in ("reset", "abort", "control closed", "control reset", "both reset"):
            for verb in ("STOR new", "STOR file", "APPE file", "STOU"):
                for _ in range(5):
                    self.breakUpload(verb, ending)
        with RawFTP(self.site.ftp).login("bob", "builder") as other:
            limit = time.monotonic() + ANSWER
            while True:
                listed = other.names(self.virtual)
                if listed == [b"file", b"large"]:
                    break
                self.assertLess(time.monotonic(), limit, listed)
        self.assertUsable()

    def test_downloads(self) -> None:
        """RETR and LIST that the client resets or aborts are never complete."""
        crowd = self.work / "crowd"
        crowd.mkdir()
        for number in range(3000):
            (crowd / f"{number:0200}").touch()
        for verb in ("RETR large", "LIST crowd", "MLSD crowd", "NLST crowd"):
            for ending in ("reset", "abort"):
                ftp = self.login()
                data = socket.socket()
                data.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                data.settimeout(ANSWER)
                data.connect(ftp.passiveAddress())
                self.assertEqual(ftp.command(verb).code, 150)
                data.recv(1000)
                if ending == "reset":
                    reset(data)
                    self.assertIn(ftp.final().code, (426, 451), verb)
                else:
                    ftp.send("ABOR\r\n")
                    self.assertEqual(ftp.final().code, 426, verb)
                    self.assertEqual(ftp.reply().code, 226, verb)
                    data.close()
                ftp.expect(200, "NOOP")

    def test_abortOfNothing(self) -> None:
        """ABOR when nothing runs is one reply, and closes a data connection."""
        self.assertIn(self.ftp.command("ABOR").code, (225, 226))
        with self.ftp.passive() as data:
            self.assertIn(self.ftp.command("ABOR").code, (225, 226))
            with contextlib.suppress(ConnectionError):
                self.assertEqual(data.recv(1000), b"")
        self.assertUsable()


class DuringTransferTests(DataChannelTestCase):
    """T-D13: what else is said while bytes flow."""

    def setUp(self) -> None:
        super().setUp()
        self.large = content(4_000_000, "large")
        (self.work / "large").write_bytes(self.large)

    def begin(self) -> tuple[RawFTP, socket.socket, bytearray]:
        """A session in mid-download, with its buffers full."""
        ftp = self.login()
        data = ftp.passive()
        self.addCleanup(data.close)
        self.assertEqual(ftp.command("RETR large").code, 150)
        return ftp, data, bytearray(data.recv(100_000))

    def complete(self, data: socket.socket, received: bytearray) -> None:
        received += drain(data)
        self.assertSameContent(bytes(received), self.large)

    def test_status(self) -> None:
        """STAT is answered at once, says how far the transfer is, and disturbs nothing."""
        ftp, data, received = self.begin()
        self.assertIn(ftp.command("STAT").code, (211, 213))
        self.complete(data, received)
        ftp.final(226)

    def test_statusInUpload(self) -> None:
        """STAT in an upload, at the start, the middle and the end."""
        ftp = self.login()
        with ftp.passive() as data:
            self.assertEqual(ftp.command("STOR new").code, 150)
            for start in range(0, len(self.large), 1_000_000):
                data.sendall(self.large[start : start + 1_000_000])
                self.assertIn(ftp.command("STAT").code, (211, 213))
        ftp.final(226)
        self.assertSameContent((self.work / "new").read_bytes(), self.large)

    def test_quit(self) -> None:
        """QUIT waits for the transfer."""
        ftp, data, received = self.begin()
        ftp.send("QUIT\r\n")
        self.complete(data, received)
        codes = [ftp.reply().code, ftp.reply().code]
        self.assertEqual(codes, [226, 221])
        self.assertTrue(ftp.ended())

    def test_others(self) -> None:
        """
        Other commands are refused or wait; the transfer is whole, each command has its
        one reply in the end.
        """
        for line in ("PASV", "RNFR large", "RETR file", "STOR x", "USER bob", "REIN", "CWD /",
                     "NOOP", "DELE large", "TYPE A", "PORT 127,0,0,1,200,1", "REST 5"):  # fmt: skip
            ftp, data, received = self.begin()
            ftp.send(f"{line}\r\nNOOP\r\n")
            self.complete(data, received)
            codes = [ftp.reply().code for _ in range(3)]
            self.assertEqual(codes.count(226), 1, f"{line}: {codes}")
            if line == "RETR file":
                self.assertTrue({425, 503} & set(codes), codes)
            ftp.close()
            (self.work / "large").write_bytes(self.large)

    def test_uploadThenRename(self) -> None:
        """Pipelined commands after STOR see its result."""
        ftp = self.login()
        with ftp.passive() as data:
            ftp.send("STOR first\r\nRNFR first\r\nRNTO second\r\nSIZE second\r\n")
            data.sendall(self.large)
        self.assertEqual(ftp.reply().code, 150)
        codes = [ftp.reply().code for _ in range(4)]
        self.assertEqual(codes, [226, 350, 250, 213])
        self.assertSameContent((self.work / "second").read_bytes(), self.large)


class ThirdPartyTests(DataChannelTestCase):
    """T-D14: transfers between two servers are off."""

    def test_bothHalves(self) -> None:
        """Neither a PORT to another server nor a passive port for one works."""
        other = self.login(source=STRANGER)
        host, number = other.passiveAddress()
        reply = self.ftp.command(f"PORT {port((host, number))}")
        if reply.code == 200:  # the same address as the client's own: then its peer check
            self.ftp.send("RETR file\r\n")
            self.assertGreaterEqual(self.ftp.final().code, 400)
        third = self.login()
        address = third.passiveAddress()
        # He may be reset as early as while he connects.
        with (
            contextlib.suppress(ConnectionError),
            socket.create_connection(address, ANSWER, source_address=(STRANGER, 0)) as data,
        ):
            third.send("RETR file\r\n")
            self.assertEqual(data.recv(1000), b"")


class VanishedTests(DataChannelTestCase):
    """A client that was reset in the middle of an upload."""

    def test_vanished(self) -> None:
        """The old file stands, a new name stays free, for STOR and APPE."""
        for verb in ("STOR file", "APPE file", "STOR fresh"):
            ftp = self.login()
            data = ftp.passive()
            self.assertEqual(ftp.command(verb).code, 150)
            data.sendall(bytes(50_000))
            ftp.control.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            reset(data)
            ftp.close()
        self.assertUsable()
        with RawFTP(self.site.ftp).login("bob", "builder") as other:
            self.assertEqual(other.command(f"SIZE {self.virtual}/fresh").code, 550)
        self.assertNotIn("fresh", os.listdir(self.work))
