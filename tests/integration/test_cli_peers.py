"""
The C{filehub} command as a client: of FileHub's own daemon and of servers that nobody
here wrote, what it moves compared by hash.
"""

import hashlib
import importlib.util
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from twisted.trial.unittest import SkipTest

from tests.integration.harness import (
    ANSWER,
    SOURCE,
    ClientTestCase,
    boundPorts,
    content,
    hashPassword,
    sharedSite,
    until,
)
from tests.integration.test_ftp_clients import readTree
from tests.ports import freePort

CLIENT = (sys.executable, "-c", "from filehub.cli.main import main; main()")


class PeerTestCase(ClientTestCase):
    """
    @ivar folder: what the server serves.
    @ivar base: the URL of that folder.
    """

    folder: Path
    base: str
    password = ""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(tempfile.mkdtemp(prefix="filehub-peer-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.folder.chmod(0o777)
        self.serve()

    def serve(self) -> None:
        """Start the server."""
        raise AssertionError("each peer has its own way")

    def start(self, *command: str | Path, tcp: int = 0, udp: int = 0) -> None:
        """Start a server that stays in the foreground, and wait until it listens."""
        log = self.local / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.addCleanup(self._stop, process)

        def listens() -> bool:
            if process.poll() is not None:
                reason = f"{command[0]} does not run here: {log.read_text()[-300:]}"
                if os.environ.get("FILEHUB_REQUIRE_CLIENTS") == "1":
                    raise AssertionError(reason)
                raise SkipTest(reason)
            return tcp in boundPorts("tcp") if tcp else udp in boundPorts("udp")

        until(listens, f"{command[0]} listens", 20.0)

    def _stop(self, process: "subprocess.Popen[bytes]") -> None:
        if process.poll() is None:
            # It may have made a process for each session; they are one group.
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(ANSWER)

    def filehub(self, *arguments: str | Path, stdin: str = "", status: int = 0) -> bytes:
        """Run the command; returns what it said."""
        done = self.run_(
            *CLIENT,
            *arguments,
            stdin=stdin,
            succeeds=False,
            PYTHONPATH=str(SOURCE),
            FILEHUB_PASSWORD=self.password,
        )
        self.assertEqual(done.returncode, status, done.stdout.decode(errors="replace"))
        return done.stdout

    def served(self, name: str, size: int) -> bytes:
        """A file on the server."""
        data = content(size, name)
        (self.folder / name).write_bytes(data)
        return data

    def source(self, size: int) -> Path:
        """A file here."""
        path = self.local / f"source{size}"
        path.write_bytes(content(size, "up"))
        return path

    def bothWays(self, *sizes: int) -> None:
        for size in sizes:
            data = self.served(f"down{size}", size)
            self.filehub("get", f"{self.base}/down{size}", f"got{size}")
            self.assertSameContent((self.local / f"got{size}").read_bytes(), data)
            path = self.source(size)
            self.filehub("put", path, f"{self.base}/up{size}")
            self.assertSameContent((self.folder / f"up{size}").read_bytes(), path.read_bytes())


class FTPPeerTests:
    """What every FTP server must let us do; mixed into a test case for each."""

    def test_bothWays(self: "FTPPeerTestCase") -> None:
        """Files of several sizes, there and back."""
        self.bothWays(0, 1, 65_537, 3_000_000)

    def test_list(self: "FTPPeerTestCase") -> None:
        """A listing names files with sizes and directories, also as JSON."""
        self.served("a file", 1234)
        (self.folder / "folder").mkdir()
        shown = self.filehub("ls", f"{self.base}/").decode()
        self.assertRegex(shown, r"(?m)^file +1,234 .* a file$")
        self.assertRegex(shown, r"(?m)^dir .* folder/$")
        lines = self.filehub("ls", "--json", f"{self.base}/").decode().splitlines()
        found = {each["name"]: each for each in map(json.loads, lines)}
        self.assertEqual(found["a file"]["size"], 1234)
        self.assertEqual(found["folder"]["kind"], "dir")

    def test_resumeDownload(self: "FTPPeerTestCase") -> None:
        """C{get -c} fetches only what is missing."""
        data = self.served("big", 1_000_000)
        (self.local / "big.part").write_bytes(data[:600_001])
        shown = self.filehub("get", "-c", "--json", f"{self.base}/big", "big")
        self.assertEqual(json.loads(shown)["bytes"], 1_000_000 - 600_001)
        self.assertSameContent((self.local / "big").read_bytes(), data)

    def test_resumeUpload(self: "FTPPeerTestCase") -> None:
        """C{put -c} sends only what is missing."""
        path = self.source(1_000_000)
        target = self.folder / "big"
        target.write_bytes(path.read_bytes()[:600_001])
        target.chmod(0o666)
        shown = self.filehub("put", "-c", "--json", path, f"{self.base}/big")
        self.assertEqual(json.loads(shown)["bytes"], 1_000_000 - 600_001)
        self.assertSameContent(target.read_bytes(), path.read_bytes())

    def test_recursive(self: "FTPPeerTestCase") -> None:
        """A tree goes there, three files at a time, and comes back the same."""
        tree = self.local / "tree"
        for number in range(12):
            folder = tree / f"d{number % 3}" / "below it"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"grüße {number}").write_bytes(content(number * 1000, str(number)))
        self.filehub("put", "-r", "-j", "3", tree, f"{self.base}/tree")
        self.filehub("get", "-r", "-j", "3", f"{self.base}/tree", "back")
        there, here = readTree(self.local / "back"), readTree(tree)
        self.assertEqual(sorted(there), sorted(here))
        self.assertEqual(_digests(there), _digests(here))

    def test_change(self: "FTPPeerTestCase") -> None:
        """mkdir, mv and rm do what they say."""
        self.served("one", 10)
        self.filehub("mkdir", f"{self.base}/d")
        self.filehub("put", self.source(7), f"{self.base}/d/")
        self.filehub("mv", f"{self.base}/d/source7", f"{self.base}/d/two")
        self.assertNothingLeft(self.folder / "d", "two")
        self.filehub("rm", f"{self.base}/d", status=1)
        self.filehub("rm", "-r", f"{self.base}/d")
        self.assertNothingLeft(self.folder, "one")

    def test_missing(self: "FTPPeerTestCase") -> None:
        """What is not there has an exit status of its own, and leaves nothing here."""
        self.filehub("get", f"{self.base}/nothing", "target", status=5)
        self.assertFalse((self.local / "target").exists())

    def test_shell(self: "FTPPeerTestCase") -> None:
        """C{sh} takes commands from a pipe and ends with the first that fails."""
        self.served("file", 5)
        script = "mkdir d\ncd d\nput ../source3 x\nls -1\ncd ..\nget file got\nrm nope\nls\n"
        self.source(3)
        (self.local / "in").mkdir()
        script = script.replace("../source3", "source3")
        shown = self.filehub("sh", f"{self.base}/", stdin=script, status=5).decode()
        self.assertRegex(shown, r"(?m)^x$")
        self.assertEqual((self.folder / "d" / "x").read_bytes(), content(3, "up"))
        self.assertEqual((self.local / "got").read_bytes(), content(5, "file"))

    def test_copyBetween(self: "FTPPeerTestCase") -> None:
        """C{cp} from the server to itself: by FXP, or through here where it refuses."""
        data = self.served("file", 300_000)
        self.filehub("cp", f"{self.base}/file", f"{self.base}/copy")
        self.assertSameContent((self.folder / "copy").read_bytes(), data)


class FTPPeerTestCase(PeerTestCase):
    """A server that speaks FTP."""


def _digests(tree: dict[bytes, bytes]) -> dict[bytes, str]:
    return {path: hashlib.sha256(data).hexdigest() for path, data in tree.items()}


class FileHubTests(FTPPeerTests, FTPPeerTestCase):
    """FileHub's own daemon over FTP."""

    password = "lovelace"

    def serve(self) -> None:
        site = sharedSite()
        shutil.rmtree(self.folder)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self._testMethodName}-", dir=site.root))
        self.folder.chmod(0o777)
        self.base = f"ftp://ada@127.0.0.1:{site.ftp}/{self.folder.name}"

    def test_denied(self) -> None:
        """A wrong password has an exit status of its own."""
        self.password = "wrong"
        self.filehub("ls", f"{self.base}/", status=4)

    def test_mayNot(self) -> None:
        """So has what a user may not do."""
        self.password = "builder"
        base = self.base.replace("ada@", "bob@")
        self.filehub("put", self.source(3), f"{base}/file", status=6)


class FileHubRFC913Tests(PeerTestCase):
    """FileHub's own daemon over RFC 913."""

    password = "lovelace"

    def serve(self) -> None:
        site = sharedSite()
        shutil.rmtree(self.folder)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self._testMethodName}-", dir=site.root))
        self.folder.chmod(0o777)
        self.base = f"rfc913://ada@127.0.0.1:{site.rfc913}/{self.folder.name}"

    def test_bothWays(self) -> None:
        """Files of several sizes, there and back."""
        self.bothWays(0, 1, 65_537, 3_000_000)

    def test_list(self) -> None:
        """A listing has names, kinds and sizes."""
        self.served("a file", 1234)
        (self.folder / "folder").mkdir()
        shown = self.filehub("ls", f"{self.base}/").decode()
        self.assertRegex(shown, r"(?m)^file +1,234 .* a file$")
        self.assertRegex(shown, r"(?m)^dir .* folder/$")

    def test_resumeUpload(self) -> None:
        """C{put -c} appends what is missing."""
        path = self.source(100_000)
        (self.folder / "big").write_bytes(path.read_bytes()[:60_001])
        self.filehub("put", "-c", path, f"{self.base}/big")
        self.assertSameContent((self.folder / "big").read_bytes(), path.read_bytes())

    def test_recursive(self) -> None:
        """A tree can be fetched."""
        (self.folder / "a" / "b").mkdir(parents=True)
        (self.folder / "a" / "b" / "deep").write_bytes(b"deep")
        self.filehub("get", "-r", f"{self.base}/a", "a")
        self.assertEqual((self.local / "a" / "b" / "deep").read_bytes(), b"deep")

    def test_impossible(self) -> None:
        """What the protocol has not is said, and not tried."""
        shown = self.filehub("mkdir", f"{self.base}/d", status=1)
        self.assertIn(b"RFC 913 cannot make directories", shown)

    def test_acrossProtocols(self) -> None:
        """C{cp} takes a file from TFTP to RFC 913 to FTP."""
        data = self.served("file", 200_000)
        site = sharedSite()
        name = self.folder.name
        self.filehub("cp", f"tftp://127.0.0.1:{site.tftp}/{name}/file", f"{self.base}/second")
        third = f"ftp://ada@127.0.0.1:{site.ftp}/{name}/third"
        self.filehub("cp", f"{self.base}/second", third)
        self.assertSameContent((self.folder / "third").read_bytes(), data)


class PyftpdlibTests(FTPPeerTests, FTPPeerTestCase):
    """pyftpdlib, from PyPI."""

    password = "secret"

    def serve(self) -> None:
        if importlib.util.find_spec("pyftpdlib") is None:
            raise SkipTest("pyftpdlib is not installed")
        port = freePort()
        self.start(
            sys.executable, "-m", "pyftpdlib", "-i", "127.0.0.1", "-p", str(port), "-w",
            "-u", "ada", "-P", self.password, "-d", self.folder, tcp=port,
        )  # fmt: skip
        self.base = f"ftp://ada@127.0.0.1:{port}"


class VsftpdTests(FTPPeerTests, FTPPeerTestCase):
    """vsftpd: no MLSD, listings as ls writes them."""

    def serve(self) -> None:
        vsftpd = self.requireClient("vsftpd", "/usr/sbin/vsftpd")
        self.requireRoot()
        port = freePort()
        # vsftpd refuses to shut anybody up in a folder that can be written to.
        root, self.folder = self.folder, self.folder / "work"
        self.folder.mkdir()
        self.folder.chmod(0o777)
        root.chmod(0o755)
        empty = self.local / "empty"
        empty.mkdir()
        os.chmod(self.local, 0o755)
        configuration = self.local / "vsftpd.conf"
        configuration.write_text(
            f"listen=YES\nlisten_address=127.0.0.1\nlisten_port={port}\nbackground=NO\n"
            f"anonymous_enable=YES\nlocal_enable=NO\nwrite_enable=YES\nanon_root={root}\n"
            "anon_upload_enable=YES\nanon_mkdir_write_enable=YES\nanon_other_write_enable=YES\n"
            "anon_world_readable_only=NO\nanon_umask=022\nallow_writeable_chroot=YES\n"
            f"ftp_username=daemon\nnopriv_user=nobody\nsecure_chroot_dir={empty}\n"
            "seccomp_sandbox=NO\nxferlog_enable=NO\nutf8_filesystem=YES\n"
        )
        self.start(vsftpd, configuration, tcp=port)
        self.base = f"ftp://127.0.0.1:{port}/work"


class PureFTPdTests(FTPPeerTests, FTPPeerTestCase):
    """pure-ftpd, with a user of its own database."""

    password = "secret"

    def serve(self) -> None:
        # Debian does not let it be installed beside vsftpd, so it is never required.
        server = shutil.which("pure-ftpd") or shutil.which("/usr/sbin/pure-ftpd")
        make = shutil.which("pure-pw")
        if server is None or make is None:
            raise SkipTest("pure-ftpd is not installed")
        self.requireRoot()
        port = freePort()
        database = self.local / "users.pdb"
        # pure-pw itself would make a hash that takes a second and half of the memory.
        users = self.local / "users"
        users.write_text(
            f"ada:{hashPassword(self.password)}:65534:65534::{self.folder}/./::::::::::::\n"
        )
        self.run_(make, "mkdb", database, "-f", users)
        self.start(
            server, "-S", f"127.0.0.1,{port}", "-l", f"puredb:{database}", "-E", "-H",
            "-g", self.local / "pid", tcp=port,
        )  # fmt: skip
        self.base = f"ftp://ada@127.0.0.1:{port}"


class TFTPPeerTestCase(PeerTestCase):
    """Common to TFTP servers."""

    def down(self, sizes: Sequence[int] = (0, 1, 511, 512, 1428, 300_000)) -> None:
        for size in sizes:
            data = self.served(f"down{size}", size)
            (self.folder / f"down{size}").chmod(0o644)
            self.filehub("get", f"{self.base}/down{size}", f"got{size}")
            self.assertSameContent((self.local / f"got{size}").read_bytes(), data)


class FileHubTFTPTests(TFTPPeerTestCase):
    """FileHub's own daemon over TFTP."""

    def serve(self) -> None:
        site = sharedSite()
        shutil.rmtree(self.folder)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self._testMethodName}-", dir=site.root))
        self.folder.chmod(0o777)
        self.base = f"tftp://127.0.0.1:{site.tftp}/{self.folder.name}"

    def test_bothWays(self) -> None:
        """Files of several sizes, there and back."""
        self.bothWays(0, 1, 512, 1428, 300_000)

    def test_missing(self) -> None:
        """What is not there has its exit status; so has a port where nobody is."""
        self.filehub("get", f"{self.base}/nothing", "target", status=5)
        port = freePort(socket.SOCK_DGRAM)
        self.filehub("get", f"tftp://127.0.0.1:{port}/nothing", "target", status=3)


class TftpdHpaTests(TFTPPeerTestCase):
    """tftpd-hpa: options, but no windows."""

    def serve(self) -> None:
        server = self.requireClient("in.tftpd", "/usr/sbin/in.tftpd")
        self.requireRoot()
        port = freePort(socket.SOCK_DGRAM)
        self.start(
            server, "-L", "-a", f"127.0.0.1:{port}", "-c", "-p", "-u", "nobody", "-s",
            self.folder, udp=port,
        )  # fmt: skip
        self.base = f"tftp://127.0.0.1:{port}"

    def test_bothWays(self) -> None:
        """Files of several sizes, there and back."""
        self.bothWays(1, 511, 512, 1428, 300_000)

    def test_missing(self) -> None:
        """What is not there has its exit status."""
        self.filehub("get", f"{self.base}/nothing", "target", status=5)


class DnsmasqTests(TFTPPeerTestCase):
    """dnsmasq: downloads only, always on port 69."""

    def serve(self) -> None:
        server = self.requireClient("dnsmasq", "/usr/sbin/dnsmasq")
        self.requireRoot()
        if 69 in boundPorts("udp"):
            raise SkipTest("port 69 is taken")
        address = f"127.{random.randrange(1, 255)}.{random.randrange(1, 255)}.69"
        self.start(
            server, "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--enable-tftp",
            f"--tftp-root={self.folder}", f"--listen-address={address}", "--bind-interfaces",
            "--user=root", f"--pid-file={self.local / 'pid'}", "--log-facility=-", udp=69,
        )  # fmt: skip
        self.base = f"tftp://{address}"

    def test_download(self) -> None:
        """Files of several sizes."""
        self.down()

    def test_missing(self) -> None:
        """What is not there has its exit status."""
        began = time.monotonic()
        self.filehub("get", f"{self.base}/nothing", "target", status=5)
        self.assertLess(time.monotonic() - began, ANSWER)
