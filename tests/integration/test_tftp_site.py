"""
What a site makes of names and files, in the daemon: rules, folders of clients, any
case, templates, and files of a web server; and tftpd-hpa's own reading of its map files.
"""

from __future__ import annotations

import pwd
import shutil
import socket
import subprocess
import sysconfig
import tempfile
from pathlib import Path

from filehub.config.tftpnames import TFTPRule
from filehub.errors import PermissionDenied
from filehub.protocols.tftp.mapfile import rulesOf
from filehub.protocols.tftp.rules import Caller, RuleSet
from tests.integration.harness import (
    ClientTestCase,
    Daemon,
    IntegrationTestCase,
    boundPorts,
    content,
    daemonEnvironment,
    until,
)
from tests.ports import freePort

#: Every line is for names of its own, so that one server answers for all.
MAP = r"""
rge \\ /
re ^one(.*)x$ A\U\1\Eb
re ^two(..) Q\U\1
re ^(thr)(.)e \L\1\E_\i_\x
rge ^fou?aa foub
re ^esc\ z y\ k\#
ri ^FOO bar
re ^bar baz
rs ^loop(.*) lo\1
re ^lo(.*) end\1
a ^deny
rePG ^both b_
reP ^put no
reG ^get got
re6 ^fam six
re4 ^fam four
re ^long(a|ab)(c|bcd)(d*) [\1][\2][\3]
re ^num[[:digit:]]+ \0-\0
~a ^[a-z]
"""
NAMES = (
    "a\\b\\c", "onefoox", "oneX", "twoxyz", "thrXe!", "fouaaaa", "foaaaa", "esc zq", "foo1",
    "bar1", "loopa", "denyx", "both", "put", "get", "fam", "longabcd", "num12x", "Other", "other",
)  # fmt: skip


class MapFileTests(ClientTestCase):
    """in.tftpd and our rules make the same of every name."""

    def ours(self, name: str) -> str | None:
        rules = RuleSet(tuple(TFTPRule.model_validate(each).compiled() for each in rulesOf(MAP)))
        try:
            next(rules.run(name, Caller("127.0.0.1", "127.0.0.1"), "get"))
        except StopIteration as stop:
            made: str = stop.value
            return made
        except PermissionDenied:
            return None
        raise AssertionError("nobody asks for files here")

    def test_oracle(self) -> None:
        """The file that we would serve is the one that tftpd-hpa serves, or both deny."""
        server = self.requireClient("in.tftpd", "/usr/sbin/in.tftpd")
        self.requireRoot()
        root = self.local / "root"
        root.mkdir()
        (self.local / "map").write_text(MAP)
        wanted = {name: self.ours(name) for name in NAMES}
        port = freePort(socket.SOCK_DGRAM)
        for made in filter(None, wanted.values()):
            (root / made).parent.mkdir(parents=True, exist_ok=True)
            (root / made).write_text(made)
            (root / made).chmod(0o644)
        process = subprocess.Popen(
            [server, "-L", "-a", f"127.0.0.1:{port}", "-u", "root", "-s", root,
             "-m", self.local / "map"],
        )  # fmt: skip
        try:
            until(lambda: port in boundPorts("udp", process.pid), "in.tftpd to listen")
            for name, made in wanted.items():
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                    client.settimeout(5)
                    client.sendto(b"\0\1%s\0octet\0" % name.encode(), ("127.0.0.1", port))
                    answer, peer = client.recvfrom(2000)
                    client.sendto(b"\0\4\0\1", peer)
                if made is None:
                    self.assertEqual(answer[:4], b"\0\5\0\2", name)
                else:
                    self.assertEqual(answer, b"\0\3\0\1" + made.encode(), name)
        finally:
            process.terminate()
            process.wait(10)


class SiteTests(IntegrationTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.requireClient("curl")
        self.webPort = freePort()

    def serveWeb(self, folder: Path) -> None:
        """A web server for a folder."""
        twistd = str(Path(sysconfig.get_path("scripts")) / "twistd")
        process = subprocess.Popen(
            [twistd, "--nodaemon", "--pidfile=", "--logfile", self.local / "web.log", "web",
             "--listen", f"tcp:{self.webPort}:interface=127.0.0.1", "--path", folder],
            env=daemonEnvironment(), cwd=self.local,
        )  # fmt: skip
        self.addCleanup(process.wait, 10)
        self.addCleanup(process.terminate)
        until(lambda: self.webPort in boundPorts("tcp", process.pid), "the web server to listen")

    def curl(self, url: str, *options: str) -> bytes:
        target = self.local / "got"
        target.unlink(missing_ok=True)
        self.run_("curl", "-sS", "--path-as-is", "-o", target, *options, url)
        return target.read_bytes() if target.exists() else b""

    def test_everything(self) -> None:
        """One daemon with all of it, asked by curl over TFTP and FTP."""
        web = self.local / "web"
        (web / "sub").mkdir(parents=True)
        image = content(3_000_000)
        (web / "sub" / "image").write_bytes(image)
        table = self.local / "tftpd.map"
        table.write_text("r ^alias/ common/\naG ^forbidden\n")
        site = self.newSite(
            tftp=f'case = "any"\nrules = "{table}"\nclient_roots = [\'/clients/\\ip\']\n'
            "[[tftp.rule]]\nmatch = '^toml'\nreplace = 'common'\n"
            '[[tftp.client]]\naddress = "127.0.0.0/8"\nroot = "/loopback"\n',
            mount=f'[[mount]]\npath = "/web"\nsource = "http://127.0.0.1:{self.webPort}/sub"\n',
            templates='paths = ["/made"]',
        )
        for name, text in (
            ("common/f", "common"),
            ("common/Boot.CFG", "any case"),
            ("clients/127.0.0.1/common/f2", "by address"),
            ("loopback/common/f3", "by network"),
            ("common/f3", "hidden by the client's own"),
            ("made/menu.ipxe.j2", "#!ipxe\necho {{ client.address }} {{ query.uuid }}\n"),
            ("made/plain.j2", "{{ client.protocol }}\n"),
        ):
            (site.root / name).parent.mkdir(parents=True, exist_ok=True)
            (site.root / name).write_text(text)
        self.serveWeb(web)
        tftp = f"tftp://127.0.0.1:{site.tftp}"
        ftp = f"ftp://bob:builder@127.0.0.1:{site.ftp}"
        for url, expected in (
            (f"{tftp}/common/f", b"common"),
            (f"{tftp}/alias/f", b"common"),
            (f"{tftp}/toml/f", b"common"),
            (f"{tftp}/common/f2", b"by address"),
            (f"{tftp}/common/f3", b"by network"),
            (f"{tftp}/COMMON%5Cboot.cfg", b"any case"),
            (f"{tftp}/made/menu.ipxe%3Fuuid=42", b"#!ipxe\necho 127.0.0.1 42\n"),
            (f"{ftp}/made/plain", b"ftp\n"),
            (f"{tftp}/made/plain", b"tftp\n"),
            (f"{ftp}/common/f3", b"hidden by the client's own"),
        ):
            self.assertEqual(self.curl(url), expected, url)
        self.assertSameContent(self.curl(f"{tftp}/web/image", "--tftp-blksize", "8192"), image)
        self.assertSameContent(self.curl(f"{ftp}/web/image"), image)
        self.assertSameContent(self.curl(f"{ftp}/web/image", "-r", "2999990-"), image[-10:])
        for url, status in ((f"{tftp}/forbidden", 69), (f"{tftp}/web/no", 68),
                            (f"{ftp}/made/plain.j2", 78)):  # fmt: skip
            done = self.run_("curl", "-sS", "-o", "/dev/null", url, succeeds=False)
            self.assertEqual(done.returncode, status, url)


class ChrootTests(ClientTestCase):
    def test_chroot(self) -> None:
        """
        Under twistd's --chroot, as nobody: the map file is read before, from outside, and
        what is made is made inside.
        """
        self.requireRoot()
        folder = Path(tempfile.mkdtemp(prefix="filehub-chroot-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        nobody = pwd.getpwnam("nobody")
        (folder / "srv" / "made").mkdir(parents=True)
        (folder / "tmp").mkdir()
        (folder / "etc").mkdir()
        (folder / "etc" / "passwd").write_text(
            f"nobody:x:{nobody.pw_uid}:{nobody.pw_gid}::/:/bin/false\n"
        )
        (folder / "etc" / "group").write_text(f"nogroup:x:{nobody.pw_gid}:\n")
        (folder / "srv" / "made" / "f.j2").write_text("for {{ client.address }}")
        (folder / "srv" / "made" / "bad.j2").write_text("{{ nothing }}")
        table = self.local / "tftpd.map"
        table.write_text("r ^alias made\n")
        udp = freePort(socket.SOCK_DGRAM)
        configuration = self.local / "filehub.toml"
        configuration.write_text(
            f'[tftp]\nlisten = ["udp:{udp}:interface=127.0.0.1"]\nrules = "{table}"\n'
            '[[mount]]\npath = "/"\nsource = "file:///srv"\n[templates]\npaths = ["/"]\n'
            '[[user]]\nname = "netboot"\n[[user.rule]]\npath = "/"\nallow = "er"\n'
            '[[network]]\naddress = "127.0.0.0/8"\naccount = "netboot"\nprotocols = ["tftp"]\n'
        )
        daemon = Daemon(
            folder, ["--config", str(configuration)], tcp=[], udp=[udp],
            options=["--nodaemon", "--pidfile=", f"--chroot={folder}",
                     f"--uid={nobody.pw_uid}", f"--gid={nobody.pw_gid}"],
        )  # fmt: skip
        self.addCleanup(daemon.stop)
        for name, answer in (
            (b"alias/f", b"\0\3\0\1for 127.0.0.1"),
            (b"made/bad", b"\0\5\0\0the file cannot be made\0"),
        ):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.settimeout(5)
                client.sendto(b"\0\1%s\0octet\0" % name, ("127.0.0.1", udp))
                packet, peer = client.recvfrom(2000)
                client.sendto(b"\0\4\0\1", peer)
            self.assertEqual(packet, answer)
        self.assertNotIn("Traceback", daemon.log())
