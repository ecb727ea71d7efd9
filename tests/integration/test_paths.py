"""
Names that lead astray, through the real daemon: rows T-P1 to T-P15 of
C{docs/reliability-rows.rst}.
"""

import os
import socket
import stat
import threading
import time
import unicodedata
from pathlib import Path

from tests.integration.harness import (
    IntegrationTestCase,
    Site,
    digest,
    smallFileSystem,
)
from tests.integration.rawftp import RawFTP, drain
from tests.integration.rawrfc913 import RawRFC913
from tests.integration.rawtftp import RRQ, WRQ, RawTFTP, request

SECRET = b"this is outside of the root"

#: Ways to say "above".
CLIMBING = [
    b"..", b"../", b"../..", b"../../etc/passwd", b"/..", b"/../..", b"/..//../etc/passwd",
    b"a/../../outside/secret", b"../outside/secret", b"/../outside/secret", b"....//",
    b"....//....//outside/secret", b"..;/", b"..;/outside/secret", b"./..", b"./../outside/secret",
    b".", b"//", b"///etc/passwd", b"//../outside/secret", b"folder/..", b"folder/../..",
    b"folder/../../outside/secret", b"folder/./.././../outside/secret", b"/folder/../../outside",
    b"%2e%2e/outside/secret", b"%252e%252e/outside/secret", b"..%2foutside/secret",
    b"..\\outside\\secret", b"..\\..\\outside\\secret", b"\\..\\outside\\secret",
    b"\xc0\xae\xc0\xae/outside/secret", b"\xe0\x80\xae\xe0\x80\xae/outside/secret",
    b"\xef\xbc\x8e\xef\xbc\x8e/outside/secret", b"..\xe2\x88\x95outside", b".. /outside/secret",
    b" ../outside/secret", b"../outside/secret/", b"../outside/secret/.", b"~/../outside/secret",
    b"~root", b"~", b"folder/../" * 40 + b"../outside/secret", b"../" * 60 + b"etc/passwd",
]  # fmt: skip


def snapshot(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Everything that must not change about a tree: kinds, modes, times, content."""
    found = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        text = digest(path.read_bytes()) if stat.S_ISREG(status.st_mode) else ""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, text)
    return found


class ContainmentTests(IntegrationTestCase):
    """
    A root beside a folder with a secret in it; whatever is asked for, the folder stays as
    it is and the secret never comes.
    """

    def makeSite(self) -> Site:
        return self.newSite()

    def setUp(self) -> None:
        super().setUp()
        self.outside = self.site.folder / "outside"
        self.outside.mkdir()
        (self.outside / "secret").write_bytes(SECRET)
        os.utime(self.outside / "secret", (1, 1))
        (self.site.root / "folder").mkdir()
        self.before = snapshot(self.outside)

    def assertUntouched(self) -> None:
        self.assertEqual(snapshot(self.outside), self.before)

    def test_climbingByFTP(self) -> None:
        """T-P1: every command with every way to climb; nothing of the outside shows."""
        plain = [
            "CWD", "SIZE", "MDTM", "MLST", "STAT", "DELE", "RMD", "MKD", "XMKD", "XRMD", "XCWD",
            "RNFR", "SITE CHMOD 777", "SITE UTIME 20200101000000", "MFMT 20200101000000",
        ]  # fmt: skip
        withData = ["RETR", "LIST", "NLST", "MLSD", "STOR", "APPE"]
        seen = b""
        with RawFTP(self.site.ftp).login() as ftp:
            for path in CLIMBING:
                for verb in plain:
                    reply = ftp.command(verb.encode() + b" " + path)
                    seen += reply.raw
                    if reply.code == 350:
                        seen += ftp.command(b"RNTO " + path + b"x").raw
                ftp.expect(250, "CWD /folder")
                for verb in withData:
                    with ftp.passive() as data:
                        reply = ftp.command(verb.encode() + b" " + path)
                        if reply.code < 200:
                            if verb in ("STOR", "APPE"):
                                data.sendall(b"x")
                                data.shutdown(socket.SHUT_WR)
                            seen += drain(data)
                            reply = ftp.final()
                    seen += reply.raw
                (self.site.root / "folder").mkdir(exist_ok=True)
        self.assertNotIn(SECRET, seen)
        self.assertNotIn(b"root:x:0", seen)
        self.assertNotIn(os.fsencode(self.site.folder), seen)
        self.assertUntouched()
        # Whatever was made is inside.
        self.assertNothingLeft(
            self.site.folder, "root", "outside", "daemon.log", "filehub.toml",
            *(["state"] if (self.site.folder / "state").exists() else []),
        )  # fmt: skip

    def test_climbingByTFTP(self) -> None:
        """T-P1 over TFTP, reading and writing."""
        for path in CLIMBING:
            for opcode in (RRQ, WRQ):
                with RawTFTP(self.site.tftp) as client:
                    packet = client.ask(request(opcode, path))
                    self.assertNotIn(SECRET, packet)
                    self.assertNotIn(b"root:x:0", packet)
                    if packet[:2] != b"\0\5":
                        client.answer(b"\0\5\0\0enough\0")
        self.assertUntouched()

    def test_climbingByRFC913(self) -> None:
        """T-P1 over RFC 913, every command with a path."""
        with RawRFC913(self.site.rfc913).login() as client:
            for path in CLIMBING:
                for verb in (b"CDIR", b"KILL", b"LIST F", b"LIST V", b"NAME", b"RETR",
                             b"STOR NEW", b"STOR OLD", b"STOR APP"):  # fmt: skip
                    reply = client.command(verb + b" " + path)
                    self.assertNotIn(b"secret", reply.replace(path, b""))
                    if verb == b"RETR" and reply[:1] == b" ":
                        client.send(b"SEND\0")
                        self.assertNotIn(SECRET, client.exactly(int(reply)))
                    if verb == b"NAME" and reply[:1] == b"+":
                        client.command(b"TOBE " + path + b"x")
        self.assertUntouched()

    def test_swappedLinks(self) -> None:
        """
        T-P7: while somebody swaps a folder for a link to the outside and back, clients
        work in it.  Not one byte comes from or goes to the outside.
        """
        arena = self.site.root / "arena"
        arena.mkdir()
        (arena / "secret").write_bytes(b"inside")
        spare, link = self.site.root / "spare", self.site.root / "link"
        link.symlink_to(self.outside)
        finished = threading.Event()

        def swap() -> None:
            while not finished.is_set():
                for first, second in ((arena, spare), (link, arena), (arena, link), (spare, arena)):
                    os.rename(first, second)

        swapper = threading.Thread(target=swap)
        swapper.start()
        seen = set()
        try:
            limit = time.monotonic() + 2.0
            with RawFTP(self.site.ftp).login() as ftp:
                while time.monotonic() < limit:
                    for verb in ("SIZE", "MDTM", "MLST"):
                        ftp.command(f"{verb} arena/secret")
                    ftp.command("SITE CHMOD 600 arena/secret")
                    ftp.command("MKD arena/made")
                    ftp.command("RMD arena/made")
                    if ftp.command("RNFR arena/secret").code == 350:
                        ftp.command("RNTO arena/moved")
                        ftp.command("RNFR arena/moved")
                        ftp.command("RNTO arena/secret")
                    for verb in ("RETR", "STOR"):
                        with ftp.passive() as data:
                            if ftp.command(f"{verb} arena/secret").code < 200:
                                if verb == "STOR":
                                    data.sendall(b"inside")
                                    data.shutdown(socket.SHUT_WR)
                                seen.add(drain(data))
                                ftp.final()
        finally:
            finished.set()
            swapper.join()
        self.assertTrue(seen <= {b"", b"inside"}, seen)
        self.assertIn(b"inside", seen)
        found = snapshot(self.outside)
        self.assertEqual(found, self.before)

    def test_renameAcrossFileSystems(self) -> None:
        """T-P8: a rename to another file system is refused and copies nothing."""
        self.requireRoot()
        other = self.site.root / "other"
        other.mkdir()
        (self.site.root / "file").write_bytes(b"file")
        (self.site.root / "link").symlink_to(self.outside / "secret")
        with smallFileSystem(other), RawFTP(self.site.ftp).login() as ftp:
            for name in ("file", "link"):
                if ftp.command(f"RNFR {name}").code == 350:
                    self.assertIn(ftp.command(f"RNTO other/{name}").code, (550, 553))
            self.assertEqual(os.listdir(other), [])
        self.assertEqual((self.site.root / "file").read_bytes(), b"file")


class NameTests(IntegrationTestCase):
    """Names that mean something elsewhere are plain bytes here, or refused."""

    def login(self) -> RawFTP:
        ftp = RawFTP(self.site.ftp).login()
        self.addCleanup(ftp.close)
        ftp.expect(250, f"CWD {self.virtual}")
        return ftp

    def test_otherSystemsNames(self) -> None:
        """
        T-P2: backslashes, drives, streams, tildes and dashes go up, are listed and come
        down under the very same bytes.
        """
        ftp = self.login()
        names = [b"..\\..", b"C:\\x", b"\\\\host\\share", b"file:stream", b"~", b"~root",
                 b"-R", b"-la", b"--help", b"*", b"a?b", b"[a]"]  # fmt: skip
        for name in names:
            self.assertEqual(ftp.store(b"STOR " + name, name).code, 226)
        self.assertEqual(sorted(os.listdir(os.fsencode(self.work))), sorted(names))
        for name in names:
            self.assertEqual(ftp.retrieve(b"RETR " + name), name)
        listed = [line for line in ftp.retrieve("NLST -a").split(b"\r\n") if line]
        self.assertEqual(sorted(set(listed) - {b".", b".."}), sorted(names))
        self.assertEqual(ftp.command("CWD ~root").code, 550)
        self.assertEqual(ftp.command("CWD ..\\..").code, 550)
        ftp.retrieve("LIST -la")
        for name in names:
            self.assertEqual(ftp.command(b"DELE " + name).code, 250)
        self.assertNothingLeft(self.work)

    def test_NUL(self) -> None:
        """T-P3: a NUL in an argument is 501 and reaches no file."""
        (self.work / "a").write_bytes(b"a")
        ftp = self.login()
        for verb in (b"DELE", b"SIZE", b"CWD", b"MKD", b"RNFR", b"MLST", b"STAT"):
            self.assertEqual(ftp.command(verb + b" a\0b").code, 501, verb)
        for verb in (b"RETR", b"STOR", b"APPE", b"LIST", b"NLST", b"MLSD"):
            with ftp.passive():
                self.assertEqual(ftp.command(verb + b" a\0b").code, 501, verb)
        self.assertNothingLeft(self.work, "a")

    def test_encodings(self) -> None:
        """
        T-P4: bytes are bytes.  Percent signs, invalid and overlong UTF-8, both normal
        forms, look-alikes of the slash: each is a name of its own and round-trips.
        """
        names = [
            b"%2e%2e", b"%252e", b"caf\xe9", b"\xc0\xae\xc0\xae", b"\x80\x81", b"\xed\xa0\x80",
            unicodedata.normalize("NFC", "e\u0301").encode(),
            unicodedata.normalize("NFD", "é").encode(),
            "\uff0e\uff0e".encode(), "a\u2215b".encode(), "\u202egnp.exe".encode(),
            "\u200b".encode(), b"\xf0\x9f\x93\x81",
        ]  # fmt: skip
        ftp = self.login()
        for name in names:
            self.assertEqual(ftp.store(b"STOR " + name, name).code, 226, name)
        listed = [line for line in ftp.retrieve("NLST").split(b"\r\n") if line]
        self.assertEqual(sorted(listed), sorted(names))
        mlsd = [line.partition(b" ")[2] for line in ftp.retrieve("MLSD").split(b"\r\n") if line]
        self.assertEqual(sorted(set(mlsd) - {b".", b".."}), sorted(names))
        for name in listed:
            self.assertEqual(ftp.retrieve(b"RETR " + name), name)
            self.assertEqual(ftp.command(b"DELE " + name).code, 250)
        self.assertNothingLeft(self.work)

    def test_telnet(self) -> None:
        """
        T-P5: Telnet commands in the control connection are taken out, FF FF is a byte,
        halves wait for their other half, and floods do nothing.
        """
        ftp = self.login()
        ftp.send(b"\xff\xf4\xff\xf2ABOR\r\n")
        self.assertIn(ftp.reply().code, (225, 226))
        ftp.send(b"NO\xff\xf1OP\r\n")
        self.assertEqual(ftp.reply().code, 200)
        ftp.send(b"NOOP\xff")
        ftp.send(b"\xf1\r\n")
        self.assertEqual(ftp.reply().code, 200)
        self.assertEqual(ftp.store(b"STOR y\xff\xffz", b"FF").code, 226)
        self.assertEqual(os.listdir(os.fsencode(self.work)), [b"y\xffz"])
        ftp.send(b"\xff\xf7\xff\xf8NOOP\r\n")
        self.assertEqual(ftp.reply().code, 200)
        ftp.send(b"\xff\xf1" * 50_000 + b"NOOP\r\n")
        self.assertEqual(ftp.reply().code, 200)
        ftp.control.send(b"\xff", socket.MSG_OOB)
        ftp.send(b"\xf2NOOP\r\n")
        self.assertLess(ftp.reply().code, 600)
        ftp.send(b"\xff" * 100_000 + b"\r\n")
        with RawFTP(self.site.ftp).login() as other:
            other.expect(200, "NOOP")

    def test_deepAndLong(self) -> None:
        """
        T-P6: a tree as deep as allowed can be made, listed and removed; one level more,
        a name of 256 bytes and a path of 5,000 names are refused.
        """
        ftp = self.login()
        depth = 1
        while ftp.command("MKD d").code == 257:
            ftp.expect(250, "CWD d")
            depth += 1
            if depth > 200:
                self.fail("no limit")
        self.assertEqual(depth, 128)
        ftp.retrieve("LIST")
        with ftp.passive():
            reply = ftp.command(f"LIST -R {self.virtual}")
            if reply.code < 200:
                ftp.final()
        self.assertIn(ftp.command("MKD " + "x" * 256).code, (501, 550, 553))
        self.assertEqual(ftp.command("MKD " + "x" * 255).code, 553)
        deep = "CWD " + "d/" * 5000
        self.assertGreaterEqual(ftp.command(deep).code, 500)
        for _ in range(depth - 1):
            ftp.expect(250, "CDUP")
            ftp.expect(250, "RMD d")
        self.assertEqual(ftp.command("MKD " + "x" * 255).code, 257)

    def test_specialFiles(self) -> None:
        """
        T-P9: a FIFO, a socket and a device are 550 at once, for every command and
        protocol, and nobody waits.
        """
        os.mkfifo(self.work / "fifo")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.work / "socket"))
            names = ["fifo", "socket"]
            if os.geteuid() == 0:
                try:
                    os.mknod(self.work / "zero", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
                    names.append("zero")
                except PermissionError:
                    pass
            ftp = self.login()
            other = self.login()
            rfc913 = RawRFC913(self.site.rfc913).login()
            self.addCleanup(rfc913.connection.close)
            started = time.monotonic()
            for name in names:
                for verb in ("RETR", "STOR", "APPE"):
                    with ftp.passive():
                        self.assertIn(ftp.command(f"{verb} {name}").code, (550, 553), verb)
                for verb in ("SIZE",):
                    self.assertEqual(ftp.command(f"{verb} {name}").code, 550)
                other.expect(200, "NOOP")
                with RawTFTP(self.site.tftp) as tftp:
                    path = f"{self.virtual}/{name}".encode()
                    self.assertEqual(tftp.ask(request(RRQ, path))[:2], b"\0\5")
                for line in (f"RETR {self.virtual}/{name}", f"STOR OLD {self.virtual}/{name}"):
                    self.assertEqual(rfc913.command(line)[:1], b"-", line)
            self.assertLess(time.monotonic() - started, 3.0)

    def test_wrongKinds(self) -> None:
        """T-P10: each command on what it is not for; a removed current directory is 550."""
        (self.work / "folder").mkdir()
        (self.work / "folder" / "file").write_bytes(b"")
        (self.work / "file").write_bytes(b"")
        ftp = self.login()
        for line in ("DELE folder", "RMD file", "RMD folder", "RMD none", "DELE none", "RMD /",
                     "CWD file", "CWD none", "RNFR none", "SIZE folder"):  # fmt: skip
            self.assertEqual(ftp.command(line).code, 550, line)
        self.assertIn(ftp.command("MKD folder").code, (521, 550))
        if ftp.command("RNFR /").code == 350:
            self.assertIn(ftp.command("RNTO x").code, (550, 553))
        for line in ("RETR folder", "RETR none", "MLSD file", "MLSD none"):
            with ftp.passive():
                self.assertIn(ftp.command(line).code, (501, 550), line)
        for line in ("STOR folder", "STOR none/file", "APPE folder"):
            with ftp.passive():
                self.assertIn(ftp.command(line).code, (550, 553), line)
        (self.work / "gone").mkdir()
        ftp.expect(250, "CWD gone")
        (self.work / "gone").rmdir()
        with ftp.passive():
            self.assertIn(ftp.command("LIST").code, (450, 550))
        with ftp.passive():
            self.assertIn(ftp.command("STOR x").code, (550, 553))
        ftp.expect(250, f"CWD {self.virtual}")

    def test_modes(self) -> None:
        """T-P11: SITE CHMOD sets permission bits only; anything but octal digits is 501."""
        (self.work / "file").write_bytes(b"")
        ftp = self.login()
        self.assertEqual(ftp.command("SITE CHMOD 640 file").code, 200)
        self.assertEqual((self.work / "file").stat().st_mode & 0o7777, 0o640)
        for mode in ("4777", "2777", "1777", "7777"):
            ftp.command(f"SITE CHMOD {mode} file")
            self.assertEqual((self.work / "file").stat().st_mode & 0o7000, 0)
        for mode in ("-1", "99999999", "0o7", "8", "\u0667\u0667\u0667", "+7", "", "7_7", "u+s"):
            reply = ftp.command(f"SITE CHMOD {mode} file")
            self.assertIn(reply.code, (501, 504, 550), mode)

    def test_unique(self) -> None:
        """T-P15: fifty STOU at once make fifty files, each whole."""
        sessions = [self.login() for _ in range(10)]
        stored = []
        for number in range(50):
            ftp = sessions[number % 10]
            data = ftp.passive()
            self.assertIn(ftp.command("STOU").code, (125, 150))
            stored.append((ftp, data, b"%d" % number))
            if len(stored) == 10:
                for _, data, payload in stored:
                    data.sendall(payload)
                    data.close()
                for ftp, _, _ in stored:
                    self.assertIn(ftp.final().code, (226, 250))
                stored = []
        found = sorted(int(path.read_bytes()) for path in self.work.iterdir())
        self.assertEqual(found, list(range(50)))

    def test_uniqueAborted(self) -> None:
        """T-P15: a STOU that breaks leaves no empty file behind."""
        ftp = self.login()
        data = ftp.passive()
        self.assertIn(ftp.command("STOU").code, (125, 150))
        data.sendall(b"half")
        ftp.command("ABOR")
        data.close()
        ftp.close()
        with RawFTP(self.site.ftp).login() as other:
            self.assertEqual(other.names(self.virtual), [])
