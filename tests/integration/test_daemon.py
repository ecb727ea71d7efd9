"""
The command itself: what it serves without a word of configuration, what it says when it
cannot, how it ends, and whose rights it has.
"""

import ftplib
import io
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SkipTest

from tests.integration.harness import (
    ANSWER,
    PATIENCE,
    ClientTestCase,
    Daemon,
    IntegrationTestCase,
    Site,
    boundPorts,
    content,
    daemonEnvironment,
    refused,
    until,
)
from tests.integration.rawftp import RawFTP, drain
from tests.integration.rawrfc913 import RawRFC913
from tests.integration.rawtftp import RawTFTP, TFTPError
from tests.ports import freePort

SCRIPTS = Path(sysconfig.get_path("scripts"))


class CommandTestCase(ClientTestCase):
    """
    @ivar folder: a working directory with C{hello} in it.
    """

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.local / "folder"
        self.folder.mkdir()
        (self.folder / "hello").write_bytes(b"hello, world\n")

    def command(
        self, *command: str | Path, timeout: float = PATIENCE, stdin: str = ""
    ) -> tuple[int, str]:
        """Run to the end: exit status and what was printed."""
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.folder,
            env=daemonEnvironment(),
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        return done.returncode, done.stdout

    def twistd(self, *arguments: str) -> tuple[int, str]:
        """C{twistd -n filehub ...}, which is expected to end by itself."""
        return self.command(SCRIPTS / "twistd", "-n", "--pidfile=", "filehub", *arguments)

    def daemon(self, *arguments: str, tcp: list[int], udp: list[int], **keywords: object) -> Daemon:
        daemon = Daemon(self.folder, arguments, tcp=tcp, udp=udp, **keywords)  # type: ignore[arg-type]
        self.addCleanup(daemon.stop)
        return daemon


class WithoutConfigurationTests(CommandTestCase):
    """C{twistd -n filehub} and its few options."""

    def test_defaults(self) -> None:
        """
        Without a word it serves the current folder to anybody, read-only, on loopback
        only, and prints the URLs.
        """
        for number, kind in ((2121, "tcp"), (1150, "tcp"), (6969, "udp")):
            if number in boundPorts(kind):
                raise SkipTest(f"port {number} is in use on this machine")
        daemon = self.daemon(tcp=[2121, 1150], udp=[6969])
        with RawFTP(2121) as ftp:
            ftp.command("USER anonymous")
            ftp.expect(230, "PASS guest@")
            ftp.expect(200, "TYPE I")
            self.assertEqual(ftp.retrieve("RETR hello"), b"hello, world\n")
            with ftp.passive():
                self.assertIn(ftp.command("STOR new").code, (550, 553))
        with RawTFTP(6969) as tftp:
            self.assertEqual(tftp.read(b"hello"), b"hello, world\n")
            self.assertRaises(TFTPError, tftp.write, b"new", b"x")
        with RawRFC913(1150) as client:
            self.assertEqual(client.command("USER anonymous")[:1], b"!")
            self.assertEqual(client.retrieve("hello"), b"hello, world\n")
        for url in ("ftp://127.0.0.1:2121", "tftp://127.0.0.1:6969"):
            self.assertIn(url, daemon.log())
        self.assertIn("1150", daemon.log())
        self.assertNotIn("new", os.listdir(self.folder))
        if socket.has_ipv6:
            self.assertTrue(refused(("127.0.0.2", 2121)))

    def test_options(self) -> None:
        """--root, --writable, --user and the listeners do what they say."""
        root = self.folder / "root"
        root.mkdir()
        ftp, rfc913, tftp = freePort(), freePort(), freePort(socket.SOCK_DGRAM)
        self.daemon(
            "--root", str(root), "--writable", "--user", "ada:secret", "--user", "bob:s:e",
            "--ftp", f"tcp:{ftp}:interface=127.0.0.1", "--tftp", f"udp:{tftp}:interface=127.0.0.1",
            "--rfc913", f"tcp:{rfc913}:interface=127.0.0.1", tcp=[ftp, rfc913], udp=[tftp],
        )  # fmt: skip
        with RawFTP(ftp).login("ada", "secret") as client:
            self.assertEqual(client.store("STOR new", b"by ftp").code, 226)
        with RawFTP(ftp).login("bob", "s:e") as client:
            self.assertEqual(client.retrieve("RETR new"), b"by ftp")
        with RawFTP(ftp) as client:
            client.command("USER anonymous")
            self.assertEqual(client.command("PASS x").code, 530)
        with RawTFTP(tftp) as datagrams:
            datagrams.write(b"tftp", b"by tftp")
        self.assertEqual((root / "tftp").read_bytes(), b"by tftp")
        with RawRFC913(rfc913).login("ada", "secret") as connection:
            self.assertEqual(connection.store("NEW", "rfc913", b"by rfc913")[:1], b"+")
        self.assertEqual((root / "rfc913").read_bytes(), b"by rfc913")

    def test_help(self) -> None:
        """C{--help} names the options; twist runs it too."""
        status, text = self.twistd("--help")
        self.assertEqual(status, 0)
        for option in ("--config", "--root", "--writable", "--user", "--ftp", "--tftp", "--rfc913"):
            self.assertIn(option, text)
        status, text = self.command(SCRIPTS / "twist", "filehub", "--help")
        self.assertEqual(status, 0)
        self.assertIn("--config", text)

    def test_twist(self) -> None:
        """C{twist filehub} serves as well."""
        port, other, datagrams = freePort(), freePort(), freePort(socket.SOCK_DGRAM)
        process = subprocess.Popen(
            [sys.executable, SCRIPTS / "twist", "filehub", "--ftp", f"tcp:{port}",
             "--tftp", f"udp:{datagrams}", "--rfc913", f"tcp:{other}"],
            cwd=self.folder, env=daemonEnvironment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.addCleanup(process.wait, PATIENCE)
        self.addCleanup(process.kill)
        until(
            lambda: {port, other} <= boundPorts("tcp") and datagrams in boundPorts("udp"),
            "twist listens", PATIENCE,
        )  # fmt: skip
        with RawTFTP(datagrams) as tftp:
            self.assertEqual(tftp.read(b"hello"), b"hello, world\n")
        with ftplib.FTP(timeout=ANSWER) as client:
            client.connect("127.0.0.1", port)
            client.login()
            received = io.BytesIO()
            client.retrbinary("RETR hello", received.write)
        self.assertEqual(received.getvalue(), b"hello, world\n")


class RefusalTests(CommandTestCase):
    """What stops the daemon from starting is one clear line, and never a traceback."""

    def assertRefused(self, result: tuple[int, str], *words: str) -> None:
        status, text = result
        self.assertNotEqual(status, 0, text)
        self.assertNotIn("Traceback", text)
        for word in words:
            self.assertIn(word, text)

    def configuration(self, text: str) -> str:
        path = self.folder / "filehub.toml"
        path.write_text(text)
        return str(path)

    def test_portInUse(self) -> None:
        """A port that is taken is named."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            number = taken.getsockname()[1]
            self.assertRefused(
                self.twistd(
                    "--ftp", f"tcp:{number}:interface=127.0.0.1",
                    "--tftp", f"udp:{freePort(socket.SOCK_DGRAM)}",
                    "--rfc913", f"tcp:{freePort()}",
                ), str(number),
            )  # fmt: skip

    def test_datagramPortInUse(self) -> None:
        """The same for TFTP."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            number = taken.getsockname()[1]
            self.assertRefused(
                self.twistd(
                    "--tftp", f"udp:{number}:interface=127.0.0.1",
                    "--ftp", f"tcp:{freePort()}", "--rfc913", f"tcp:{freePort()}",
                ), str(number),
            )  # fmt: skip

    def test_missingFolder(self) -> None:
        """A root that is not there is named."""
        self.assertRefused(self.twistd("--root", "/none/such"), "/none/such")

    def test_missingFile(self) -> None:
        """A configuration that is not there is named."""
        self.assertRefused(self.twistd("--config", "/none/such.toml"), "/none/such.toml")

    def test_badFile(self) -> None:
        """
        A bad file is named with the place, what was found and what was expected; C{filehub
        check} says the same.
        """
        cases = [
            ("[ftp\n", "line 1", "filehub.toml"),
            ('[ftp]\nlisten = ["tcp:0"]\nlissten = 1\n', "lissten"),
            ('[ftp]\npassive_ports = "many"\n', "passive_ports", "many"),
            ('[[user]]\nname = "x"\n[[user.rule]]\npath = "/"\nallow = "elz"\n', "z"),
            ('[tftp]\nwrite = "sometimes"\n', "sometimes", "overwrite"),
            ('[[mount]]\npath = "/"\nsource = "file:///none/such"\n', "/none/such"),
        ]
        for number, (text, *words) in enumerate(cases):
            path = self.configuration(text)
            self.assertRefused(self.command(SCRIPTS / "filehub", "check", path), *words)
            if number % 3 == 0:  # both read it with the same code, and take their time
                self.assertRefused(self.twistd("--config", path), *words)

    def test_badOption(self) -> None:
        """An option that does not exist, or an endpoint that is none."""
        self.assertRefused(self.twistd("--frobnicate"), "frobnicate")
        self.assertRefused(self.twistd("--ftp", "nonsense:1:2"), "nonsense")
        self.assertRefused(self.twistd("--tftp", "tcp:69"), "tcp:69")


class CommandLineTests(CommandTestCase):
    """C{filehub}, the other command."""

    def test_passwd(self) -> None:
        """C{filehub passwd} reads two lines from a pipe and prints a string that works."""
        status, text = self.command(SCRIPTS / "filehub", "passwd", stdin="sesame\nsesame\n")
        self.assertEqual(status, 0, text)
        phc = text.strip().splitlines()[-1]
        self.assertTrue(phc.startswith("$argon2id$"), phc)
        site = Site(
            accounts=f"""
[[user]]
name = "carol"
password = "{phc}"
[[user.rule]]
path = "/"
allow = "elr"
"""
        )
        self.addCleanup(site.stop)
        with RawFTP(site.ftp).login("carol", "sesame"):
            pass
        with RawFTP(site.ftp) as ftp:
            ftp.command("USER carol")
            self.assertEqual(ftp.command("PASS open").code, 530)

    def test_passwdTwice(self) -> None:
        """Two different lines make no password."""
        status, text = self.command(SCRIPTS / "filehub", "passwd", stdin="one\ntwo\n")
        self.assertNotEqual(status, 0)
        self.assertNotIn("$argon2id$", text)

    def test_check(self) -> None:
        """C{filehub check} says what a good file would serve, and starts nothing."""
        site = Site()
        self.addCleanup(site.stop)
        status, text = self.command(SCRIPTS / "filehub", "check", site.configuration)
        self.assertEqual(status, 0, text)
        self.assertIn(str(site.ftp), text)
        self.assertIn(str(site.root), text)


class EndingTests(IntegrationTestCase):
    """SIGTERM."""

    def makeSite(self) -> Site:
        return self.newSite()

    def test_idle(self) -> None:
        """Sessions that do nothing are told and closed; all ports are free at once."""
        ftp = RawFTP(self.site.ftp).login()
        self.addCleanup(ftp.close)
        self.site.daemon.process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        self.site.daemon.process.wait(PATIENCE)
        self.assertLess(time.monotonic() - started, 10)
        ftp.control.settimeout(ANSWER)
        with self.assertRaises((EOFError, ConnectionError)):
            while True:
                self.assertEqual(ftp.reply().code, 421)
        for number in (self.site.ftp, self.site.rfc913):
            self.assertTrue(refused(("127.0.0.1", number)))
        self.site.start()
        self.assertEqual(RawFTP(self.site.ftp).login().command("NOOP").code, 200)

    def test_inTransfer(self) -> None:
        """A transfer that is cut off is not 226, and its file is not published."""
        (self.work / "old").write_bytes(b"old")
        ftp = RawFTP(self.site.ftp).login()
        self.addCleanup(ftp.close)
        with ftp.passive() as data:
            self.assertEqual(ftp.command(f"STOR {self.virtual}/old").code, 150)
            data.sendall(content(100_000))
            self.site.daemon.process.send_signal(signal.SIGTERM)
            self.site.daemon.process.wait(PATIENCE)
        with self.assertRaises((EOFError, ConnectionError)):
            while True:
                self.assertNotEqual(ftp.reply().code, 226)
        self.assertEqual((self.work / "old").read_bytes(), b"old")
        self.assertNotIn("Traceback", self.site.daemon.log())


class PrivilegesTests(ClientTestCase):
    """Started as root, running as somebody else."""

    def setUp(self) -> None:
        self.requireRoot()
        try:
            self.nobody = pwd.getpwnam("nobody")
        except KeyError:
            raise SkipTest("there is no user nobody") from None
        super().setUp()

    def lowPort(self, kind: socket.SocketKind) -> int:
        bound = boundPorts("tcp") | boundPorts("udp")
        for number in range(700, 1023):
            if number not in bound:
                with socket.socket(socket.AF_INET, kind) as probe:
                    try:
                        probe.bind(("127.0.0.1", number))
                    except OSError:
                        continue
                    return number
        raise SkipTest("no free port below 1024")

    def start(self, *options: str) -> tuple[Daemon, Path, int, int]:
        folder = Path(tempfile.mkdtemp(prefix="filehub-privileges-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        os.chown(folder, self.nobody.pw_uid, self.nobody.pw_gid)
        folder.chmod(0o755)
        root = folder / "root"
        root.mkdir()
        os.chown(root, self.nobody.pw_uid, self.nobody.pw_gid)
        (root / "hello").write_bytes(b"hello")
        (root / "private").write_bytes(b"root's")
        (root / "private").chmod(0o600)
        tcp, udp = self.lowPort(socket.SOCK_STREAM), self.lowPort(socket.SOCK_DGRAM)
        other = freePort()
        daemon = Daemon(
            folder,
            ["--root", str(root), "--writable", "--user", "ada:lovelace",
             "--ftp", f"tcp:{tcp}:interface=127.0.0.1", "--tftp", f"udp:{udp}:interface=127.0.0.1",
             "--rfc913", f"tcp:{other}:interface=127.0.0.1"],
            tcp=[tcp], udp=[udp], options=["--nodaemon", "--pidfile=", *options],
        )  # fmt: skip
        self.addCleanup(daemon.stop)
        return daemon, root, tcp, udp

    def test_dropped(self) -> None:
        """
        Ports below 1024 are bound, then all rights of root are gone, supplementary groups
        too; files belong to the new user.
        """
        daemon, root, tcp, udp = self.start(
            f"--uid={self.nobody.pw_uid}", f"--gid={self.nobody.pw_gid}"
        )
        status = Path(f"/proc/{daemon.process.pid}/status").read_text()

        def ids(key: str) -> set[int]:
            found = re.search(rf"^{key}:(.*)$", status, re.MULTILINE)
            assert found is not None
            return {int(each) for each in found[1].split()}

        self.assertEqual(ids("Uid"), {self.nobody.pw_uid})
        self.assertEqual(ids("Gid"), {self.nobody.pw_gid})
        self.assertNotIn(0, ids("Groups"))
        with RawFTP(tcp).login() as ftp:
            self.assertEqual(ftp.retrieve("RETR hello"), b"hello")
            with ftp.passive():
                self.assertEqual(ftp.command("RETR private").code, 550)
            self.assertEqual(ftp.store("STOR new", b"new").code, 226)
        self.assertEqual((root / "new").stat().st_uid, self.nobody.pw_uid)
        with RawTFTP(udp) as tftp:
            self.assertEqual(tftp.read(b"hello"), b"hello")

    def test_chroot(self) -> None:
        """twistd's --chroot: the root is a folder inside of it."""
        folder = Path(tempfile.mkdtemp(prefix="filehub-chroot-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        (folder / "srv").mkdir()
        (folder / "tmp").mkdir()
        (folder / "srv" / "hello").write_bytes(b"hello")
        # twistd looks the user up when it is inside already.
        (folder / "etc").mkdir()
        uid, gid = self.nobody.pw_uid, self.nobody.pw_gid
        (folder / "etc" / "passwd").write_text(f"nobody:x:{uid}:{gid}::/:/bin/false\n")
        (folder / "etc" / "group").write_text(f"nogroup:x:{gid}:\n")
        tcp, udp, other = freePort(), freePort(socket.SOCK_DGRAM), freePort()
        daemon = Daemon(
            folder,
            ["--root", "/srv", "--ftp", f"tcp:{tcp}", "--tftp", f"udp:{udp}",
             "--rfc913", f"tcp:{other}"],
            tcp=[tcp], udp=[udp],
            options=["--nodaemon", "--pidfile=", f"--chroot={folder}",
                     f"--uid={self.nobody.pw_uid}", f"--gid={self.nobody.pw_gid}"],
        )  # fmt: skip
        self.addCleanup(daemon.stop)
        with RawFTP(tcp) as ftp:
            ftp.command("USER anonymous")
            ftp.expect(230, "PASS x")
            ftp.expect(200, "TYPE I")
            with ftp.passive() as data:
                self.assertEqual(ftp.command("RETR hello").code, 150)
                self.assertEqual(drain(data), b"hello")
        self.assertNotIn("Traceback", daemon.log())

    def test_groupAlone(self) -> None:
        """
        --gid without --uid would keep root's other rights: FileHub does not run like that
        without saying so.
        """
        try:
            daemon, *_ = self.start(f"--gid={self.nobody.pw_gid}")
        except AssertionError:
            return
        self.assertIn("root", daemon.log())
