"""
Types, structures and modes over real sockets, in the clear and over TLS: a client that
packs and unpacks by itself, as RFC 959 says it, and lftp for MODE Z.
"""

import os
import re
import ssl
import struct
import threading
import time
import zlib
from pathlib import Path

from tests.integration.harness import ANSWER, IntegrationTestCase, Site, content, sharedSite
from tests.integration.rawftp import RawFTP

PAGE = 4096


def unblocked(wire: bytes) -> tuple[list[bytes], list[str]]:
    """The records (or, without any, the one piece) and the restart markers of MODE B."""
    records, markers, current = [], [], b""
    while True:
        descriptor, count = struct.unpack(">BH", wire[:3])
        data, wire = wire[3 : 3 + count], wire[3 + count :]
        assert len(data) == count
        if descriptor & 16:
            markers.append(data.decode())
            continue
        current += data
        if descriptor & 128:
            records.append(current)
            current = b""
        if descriptor & 64:
            assert not wire
            return records if not current else [*records, current], markers


def blocked(data: bytes, size: int = 1000) -> bytes:
    """C{data} in blocks of MODE B, each behind a restart marker."""
    wire = b""
    for start in range(0, len(data), size):
        piece, marker = data[start : start + size], b"at%d" % start
        wire += struct.pack(">BH", 16, len(marker)) + marker + struct.pack(">BH", 0, len(piece))
        wire += piece
    return wire + b"\x40\0\0"


def decompressed(wire: bytes, filler: bytes = b"\0") -> bytes:
    """What MODE C stands for, without records and markers."""
    data, position, descriptor = b"", 0, 0
    while position < len(wire):
        code = wire[position]
        position += 1
        if code == 0:
            descriptor = wire[position]
            position += 1
            continue
        if code < 128:
            piece, position = wire[position : position + code], position + code
        elif code < 192:
            piece, position = wire[position : position + 1] * (code & 63), position + 1
        else:
            piece = filler * (code & 63)
        if descriptor != 16:
            data += piece
        if descriptor & 64:
            assert position == len(wire)
            return data
        descriptor = 0
    raise AssertionError("no end of the file")


def pages(wire: bytes) -> tuple[int, dict[int, bytes]]:
    """The length that the descriptor page tells, and the pages of 32-bit bytes."""
    length, found = -1, {}
    while True:
        fields, index, words, kind = struct.unpack(">IIII", wire[:16])
        assert fields == 4
        data, wire = wire[16 : 16 + 4 * words], wire[16 + 4 * words :]
        if kind == 0:
            assert not wire
            return length, found
        if kind == 2:
            (length,) = struct.unpack(">Q", data)
        else:
            found[index] = data


def formatsSite() -> Site:
    """A daemon that offers TLS and MODE Z."""
    return sharedSite("formats", tls=True, ftp="mode_z = true")


class FormatCases:
    """The same in the clear and over TLS."""

    def login(self) -> RawFTP:
        raise AssertionError("each has its own")

    def use(self, *lines: str) -> RawFTP:
        ftp = self.login()
        for line in lines:
            ftp.expect(200, line)
        return ftp

    def bothWays(self, wire: bytes, stored: bytes, *lines: str) -> bytes:
        """Store what travels as C{wire} and is C{stored} then; returns what comes back."""
        ftp = self.use(*lines)
        reply = ftp.store("STOR g", wire)
        self.assertEqual(reply.code, 226, reply)
        self.assertSameContent((self.work / "g").read_bytes(), stored)
        return ftp.retrieve("RETR g")

    def test_ebcdic(self) -> None:
        """TYPE E, with every character that there is."""
        lines = "".join(map(chr, [*range(32, 127), *range(160, 256)])) + "\nsecond\n"
        wire = lines.replace("\n", "\x85").encode("cp037")
        self.assertEqual(self.bothWays(wire, lines.encode("latin-1"), "TYPE E"), wire)

    def test_records(self) -> None:
        """STRU R in MODE S: marks and doubled bytes, of text and of other files."""
        wire = b"one\xff\x01\xff\xff\xff\x01\xff\x02"
        self.assertEqual(self.bothWays(wire, b"one\n\xff\n", "TYPE A", "STRU R"), wire)
        self.assertEqual(self.bothWays(b"a\nb\xff\x03", b"a\nb", "STRU R"), b"a\nb\xff\x03")

    def test_blocks(self) -> None:
        """MODE B: 110 for each marker, markers in what comes, and a restart from one."""
        data = content(400_000)
        ftp = self.use("MODE B")
        with ftp.passive() as plain:
            ftp.expect(150, "STOR g")
            with ftp.protect(plain) as connection:
                connection.sendall(blocked(data, 100_000 // 2))
                marks = [ftp.reply() for _ in range(8)]
                # The end is marked: the connection stays open.
                ftp.final(226)
        self.assertEqual(marks[3], "110 MARK at150000 = 150000")
        self.assertSameContent((self.work / "g").read_bytes(), data)
        (got,), markers = unblocked(ftp.retrieve("RETR g"))
        self.assertSameContent(got, data)
        ftp.expect(350, f"REST {markers[2]}")
        (rest,), _ = unblocked(ftp.retrieve("RETR g"))
        self.assertSameContent(rest, data[int(markers[2]) :])

    def test_blocksOfRecords(self) -> None:
        """MODE B with records of EBCDIC, as mainframes do."""
        records = [f"RECORD {number}".encode("cp037") for number in range(1000)]
        wire = b"".join(struct.pack(">BH", 128, len(each)) + each for each in records)
        text = b"".join(b"RECORD %d\n" % number for number in range(1000))
        got = self.bothWays(wire + b"\x40\0\0", text, "TYPE E", "STRU R", "MODE B")
        self.assertEqual(unblocked(got)[0], records)

    def test_compressed(self) -> None:
        """MODE C: runs are shortened, both ways."""
        data = b"".join(bytes([byte]) * (byte * 7) for byte in range(256)) + content(5000)
        wire = b"".join(
            bytes((128 | 63, byte)) * (byte // 9) + bytes((128 | byte % 9 * 7, byte))
            for byte in range(256)
        )
        wire += b"".join(b"\x7d" + content(5000)[at : at + 125] for at in range(0, 5000, 125))
        got = self.bothWays(wire + b"\0\x40\xc0", data, "MODE C")
        self.assertSameContent(decompressed(got), data)
        self.assertLess(len(got), len(data) // 10)

    def test_deflated(self) -> None:
        """MODE Z: files and listings, both ways."""
        data = b"line of text\n" * 50_000 + content(100_000)
        got = self.bothWays(zlib.compress(data), data, "MODE Z", "OPTS MODE Z LEVEL 9")
        self.assertSameContent(zlib.decompress(got), data)
        ftp = self.use("MODE Z")
        self.assertIn(b"g", zlib.decompress(ftp.retrieve("NLST")).split(b"\r\n"))

    def test_sparse(self) -> None:
        """STRU P: a file of 2 GiB with three pages of data travels in moments and stays sparse."""
        size = (2 << 30) + 77
        with open(self.work / "sparse", "wb") as file:
            for at, data in ((0, b"first"), (1 << 30, b"middle"), (size - 9, b"tail")):
                file.seek(at)
                file.write(data)
            file.truncate(size)
        ftp = self.use("TYPE L 32", "STRU P")
        wire = ftp.retrieve("RETR sparse")
        length, found = pages(wire)
        self.assertEqual(length, size)
        self.assertEqual(found[(1 << 30) // PAGE][:6], b"middle")
        if len(wire) > 1 << 20:
            self.skipTest("this file system has no holes")
        self.assertEqual(ftp.store("STOR copy", wire).code, 226)
        first, second = os.stat(self.work / "sparse"), os.stat(self.work / "copy")
        self.assertEqual(second.st_size, size)
        self.assertLessEqual(second.st_blocks, first.st_blocks + 16)
        with open(self.work / "copy", "rb") as file:
            for at, data in ((0, b"first"), (1 << 30, b"middle"), (size - 9, b"tail\0\0\0\0\0")):
                file.seek(at)
                self.assertEqual(file.read(len(data)), data)
        # Nothing but a hole.
        empty = struct.pack(">IIIIQIIII", 4, 0, 2, 2, 1 << 33, 4, 0, 0, 0)
        self.assertEqual(ftp.store("STOR hole", empty).code, 226)
        self.assertEqual(os.stat(self.work / "hole").st_size, 1 << 33)
        self.assertLess(os.stat(self.work / "hole").st_blocks, 64)

    def test_truncated(self) -> None:
        """What ends too early, or not at its end, is never published."""
        (self.work / "old").write_bytes(b"old")
        deflated = zlib.compress(content(5000))
        for lines, wire, whole in (
            (["STRU R"], b"one\xff", b"one\xff\x02"),
            (["MODE B"], b"\0\0\3on", b"\0\0\1o\x40\0\0"),
            (["MODE C"], b"\3on", b"\1o\0\x40\xc0"),
            (["MODE Z"], deflated[:-1], deflated),
            (["TYPE L 32", "STRU P"], bytes((0, 0, 0, 4, 0)), bytes((0, 0, 0, 4)) + bytes(12)),
        ):
            ftp = self.use(*lines)
            self.assertEqual(ftp.store("STOR old", wire).code, 426, lines)
            self.assertEqual(ftp.store("STOR old", whole + b"rubbish").code, 451, lines)
            self.assertEqual((self.work / "old").read_bytes(), b"old", lines)


class ClearFormatTests(FormatCases, IntegrationTestCase):
    def makeSite(self) -> Site:
        return formatsSite()

    def login(self) -> RawFTP:
        ftp = RawFTP(self.site.ftp).login()
        self.addCleanup(ftp.close)
        ftp.expect(250, f"CWD {self.virtual}")
        return ftp

    def test_othersDoNotWait(self) -> None:
        """Compression, and bombs, take turns with everybody else."""
        words = content(2_000_000).hex().encode()
        text = b"\n".join(words[at : at + 20] for at in range(0, len(words), 20))
        (self.work / "text").write_bytes(text)
        bomb = zlib.compress(bytes(150 << 20), 9)
        records = b"\x80\0\0" * 200_000 + b"\x40\0\0"
        packed = zlib.compress(b"\xff\x01" * 500_000 + b"\xff\x02", 9)
        other = self.login()
        worst, busy = {}, threading.Event()

        def ping(what: str) -> None:
            worst[what] = 0.0
            while not busy.is_set():
                began = time.monotonic()
                other.expect(200, "NOOP")
                worst[what] = max(worst[what], time.monotonic() - began)
                time.sleep(0.001)

        for what, lines, line, data in (
            ("deflate", ["MODE Z", "OPTS MODE Z LEVEL 9"], "RETR text", None),
            ("bomb", ["MODE Z"], "STOR bomb", bomb),
            ("records", ["TYPE A", "STRU R", "MODE B"], "STOR records", records),
            ("packed", ["TYPE A", "STRU R", "MODE Z"], "STOR packed", packed),
            ("runs", ["MODE C"], "STOR runs", b"\xff" * 100_000 + b"\0\x40\xc0"),
        ):
            ftp = self.use(*lines)
            busy.clear()
            pinging = threading.Thread(target=ping, args=(what,))
            pinging.start()
            try:
                if data is None:
                    self.assertSameContent(zlib.decompress(ftp.retrieve(line)), text)
                else:
                    self.assertEqual(ftp.store(line, data).code, 226, what)
            finally:
                busy.set()
                pinging.join(ANSWER)
        self.assertEqual((self.work / "bomb").stat().st_size, 150 << 20)
        self.assertEqual((self.work / "records").read_bytes(), b"\n" * 200_000)
        # A quiet machine needs 20 milliseconds; busy ones have other reasons to wait.
        self.assertLess(max(worst.values()), 1.0, worst)


class TLSFormatTests(FormatCases, IntegrationTestCase):
    def makeSite(self) -> Site:
        return formatsSite()

    def login(self) -> RawFTP:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.site.folder / "server.pem")
        ftp = RawFTP(self.site.ftp).secure(context).login()
        self.addCleanup(ftp.close)
        ftp.expect(250, f"CWD {self.virtual}")
        return ftp


class LftpTests(IntegrationTestCase):
    """lftp says MODE Z where FEAT has it."""

    def makeSite(self) -> Site:
        return formatsSite()

    def lftp(self, *commands: str) -> str:
        lftp = self.requireClient("lftp")
        script = "; ".join([
            "set cmd:fail-exit yes", "set net:max-retries 1", "set net:timeout 10",
            "set ftp:use-mode-z yes", "set ftp:mode-z-level 7", "set ssl:check-hostname no",
            f"set ssl:ca-file {self.site.folder / 'server.pem'}", "debug 9",
            f"open -u ada,lovelace -p {self.site.ftp} 127.0.0.1", f"cd {self.virtual}", *commands,
        ])  # fmt: skip
        done = self.run_(lftp, "--norc", "-c", script)
        return done.stdout.decode()

    def both(self, *settings: str) -> None:
        up, down = self.local / "up", self.local / "down"
        data = b"compressible, mostly\n" * 40_000 + content(300_000)
        up.write_bytes(data)
        said = self.lftp(*settings, f"put {up} -o stored", "ls", f"get stored -o {down}")
        self.assertIn("MODE Z", said)
        self.assertNotRegex(said, re.compile(r"<--- [45][0-9][0-9] .*(MODE|Mode)"))
        self.assertSameContent((self.work / "stored").read_bytes(), data)
        self.assertSameContent(down.read_bytes(), data)

    def test_clear(self) -> None:
        """Up, listed and down again, in the clear."""
        self.both("set ftp:ssl-allow no")

    def test_protected(self) -> None:
        """The same over TLS."""
        self.both("set ftp:ssl-force yes", "set ftp:ssl-protect-data yes")

    def test_empty(self) -> None:
        """An empty file is a whole file too."""
        empty = self.local / "empty"
        empty.write_bytes(b"")
        self.lftp("set ftp:ssl-allow no", f"put {empty} -o none", f"get none -o {self.local}/got")
        self.assertEqual((self.work / "none").read_bytes(), b"")
        self.assertEqual(Path(self.local / "got").read_bytes(), b"")
