"""
FTP over TLS by clients in other languages, every data connection resuming the control
connection's session: uploads arrive whole, many in a row, in TLS 1.2 and 1.3.

With C{FILEHUB_UPLOADS=500} each client uploads so many files instead of a few, with
C{FILEHUB_TRANSFERS=3000} so many transfers are made in one session.
"""

import ftplib
import io
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from tests.integration.harness import ANSWER, Site, content, sharedSite
from tests.integration.test_ftps import TLSTestCase

#: Transfers in one session.
TRANSFERS = int(os.environ.get("FILEHUB_TRANSFERS", "300"))
#: Files that each client uploads.
UPLOADS = int(os.environ.get("FILEHUB_UPLOADS", "12"))
#: Bytes of each.
SIZE = 3_000_000
SCRIPTS = Path(__file__).parent / "clients"


class ReuseTestCase(TLSTestCase):
    """
    A daemon that requires TLS and its resumption.

    @ivar source: what is uploaded, in a local file.
    """

    def makeSite(self) -> Site:
        return sharedSite("tls require", tls=True, ftp='tls_sessions = "require"')

    def setUp(self) -> None:
        super().setUp()
        self.data = content(SIZE)
        self.source = self.local / "source"
        self.source.write_bytes(self.data)
        half = self.data[: SIZE // 2]
        (self.work / "half").write_bytes(half)
        (self.local / "part").write_bytes(half)
        self.ca = self.site.folder / "server.pem"

    def check(self, count: int, *, renamed: bool = True) -> None:
        """Every file arrived whole; downloads and resumed ones, too."""
        expected = {f"up-{number}" for number in range(1 + renamed, count + 1)}
        self.assertEqual(
            {each.name for each in self.work.iterdir()} - {"file", "half", "renamed"}, expected
        )
        for name in sorted(expected) + ["renamed"] * renamed + ["half"]:
            self.assertSameContent((self.work / name).read_bytes(), self.data)
            (self.work / name).unlink()
        for name in ("down", "part"):
            self.assertSameContent((self.local / name).read_bytes(), self.data)

    def again(self) -> None:
        """As at the beginning."""
        half = self.data[: SIZE // 2]
        (self.work / "half").write_bytes(half)
        (self.local / "part").write_bytes(half)
        (self.local / "down").unlink()

    def script(self, *program: str, **environment: str) -> None:
        for count, version in ((UPLOADS, "1.3"), (2, "1.2")):
            done = self.run_(
                *program, str(self.site.ftp), self.ca, self.virtual, self.source, str(count),
                version, timeout=30 + count, **environment,
            )  # fmt: skip
            self.assertIn(b"listed %d\n" % (count + 2), done.stdout)
            self.check(count)
            self.again()

    def requireModule(self, *command: str) -> None:
        """Skip (or fail, see L{requireClient}) unless this command works."""
        if self.run_(*command, succeeds=False).returncode != 0:
            missing = f"{' '.join(command)} does not work"
            if os.environ.get("FILEHUB_REQUIRE_CLIENTS") == "1":
                self.fail(missing)
            raise SkipTest(missing)


class OtherLanguagesTests(ReuseTestCase):
    """Perl, Ruby and Node: list, upload, download, resume both ways, rename."""

    def test_perl(self) -> None:
        """Net::FTP with IO::Socket::SSL."""
        perl = self.requireClient("perl")
        self.requireModule(perl, "-MNet::FTP", "-MIO::Socket::SSL", "-e", "1")
        self.script(perl, str(SCRIPTS / "netftp.pl"))

    def test_ruby(self) -> None:
        """net/ftp."""
        ruby = self.requireClient("ruby")
        self.requireModule(ruby, "-rnet/ftp", "-e", "1")
        self.script(ruby, str(SCRIPTS / "netftp.rb"))

    def test_node(self) -> None:
        """
        basic-ftp, from npm's registry: where that or Node is missing, the test is skipped,
        as Debian does not have it.
        """
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            raise SkipTest("Node and npm are not installed")
        folder = tempfile.mkdtemp(prefix="filehub-npm-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        try:
            subprocess.run(
                [npm, "install", "--no-audit", "--no-fund", "basic-ftp@6"],
                cwd=folder, capture_output=True, check=True, timeout=30,
            )  # fmt: skip
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            raise SkipTest("npm cannot install basic-ftp") from None
        self.script(node, str(SCRIPTS / "basicftp.js"), NODE_PATH=f"{folder}/node_modules")


class ResumingContext(ssl.SSLContext):
    """For C{ftplib}, which does not resume by itself: what programs do about it."""

    control: ssl.SSLSocket | None = None

    def wrap_socket(self, *arguments: Any, **keywords: Any) -> ssl.SSLSocket:
        if self.control is None:
            self.control = super().wrap_socket(*arguments, **keywords)
            return self.control
        return super().wrap_socket(*arguments, session=self.control.session, **keywords)


class PythonTests(ReuseTestCase):
    """C{ftplib} and aioftp."""

    def connect(self, kind: type[ssl.SSLContext], version: ssl.TLSVersion) -> ftplib.FTP_TLS:
        context = kind(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.ca)
        context.minimum_version = context.maximum_version = version
        ftp = ftplib.FTP_TLS(timeout=ANSWER, context=context)
        self.addCleanup(ftp.close)
        ftp.connect("localhost", self.site.ftp)
        ftp.login("ada", "lovelace")
        ftp.prot_p()
        ftp.cwd(self.virtual)
        return ftp

    def test_ftplib(self) -> None:
        """With a context that hands out the session, as in many programs."""
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            ftp = self.connect(ResumingContext, version)
            for number in range(1, 4):
                ftp.storbinary(f"STOR up-{number}", io.BytesIO(self.data))
            self.assertEqual(len(ftp.nlst()), 5)
            half = SIZE // 2
            for name, offset in (("down", None), ("part", half)):
                with (self.local / name).open("ab") as file:
                    ftp.retrbinary("RETR up-1", file.write, rest=offset)
            ftp.storbinary("STOR half", io.BytesIO(self.data[half:]), rest=half)
            ftp.rename("up-1", "renamed")
            ftp.quit()
            self.check(3)
            self.again()

    def test_ftplibAsItIs(self) -> None:
        """Without it, uploads and downloads are refused with the reason, and nothing else."""
        ftp = self.connect(ssl.SSLContext, ssl.TLSVersion.TLSv1_3)
        for _ in range(2):
            error = self.assertRaises(ftplib.error_perm, ftp.nlst)
            self.assertEqual(str(error), "522 The control connection's TLS session must be resumed")
        self.assertEqual(ftp.pwd(), self.virtual)

    def test_aioftp(self) -> None:
        """aioftp, which resumes by itself since its version 0.26."""
        self.requireModule(sys.executable, "-c", "import aioftp")
        self.script(sys.executable, str(SCRIPTS / "aioftp_client.py"))

    def test_manyTransfers(self) -> None:
        """Hundreds of transfers in one session, up, down and lists, all of them resumed."""
        for version, count in ((ssl.TLSVersion.TLSv1_3, TRANSFERS), (ssl.TLSVersion.TLSv1_2, 30)):
            ftp = self.login(version)
            small = content(5_000)
            for number in range(count // 3):
                self.assertEqual(ftp.store("STOR small", small).code, 226)
                self.assertSameContent(ftp.retrieve("RETR small"), small)
                self.assertIn(b"small", ftp.retrieve("NLST"), number)


class ToolTests(ReuseTestCase):
    """rclone, lftp and curl, likewise."""

    def test_rclone(self) -> None:
        """rclone, on one connection: those that it opens beside it share its tickets."""
        rclone = self.requireClient("rclone")
        secret = self.run_(rclone, "obscure", "lovelace").stdout.decode().strip()
        environment = {
            "RCLONE_CONFIG": "/dev/null", "RCLONE_CONFIG_FH_TYPE": "ftp",
            "RCLONE_CONFIG_FH_HOST": "localhost", "RCLONE_CONFIG_FH_PORT": str(self.site.ftp),
            "RCLONE_CONFIG_FH_USER": "ada", "RCLONE_CONFIG_FH_PASS": secret,
            "RCLONE_CONFIG_FH_EXPLICIT_TLS": "true", "RCLONE_CONFIG_FH_CONCURRENCY": "1",
            # It has no option for this.
            "SSL_CERT_FILE": str(self.ca),
        }  # fmt: skip
        folder = self.local / "up"
        folder.mkdir()
        for number in range(1, UPLOADS + 1):
            (folder / f"up-{number}").hardlink_to(self.source)
        where = f"fh:{self.virtual[1:]}"

        def run(*arguments: str | Path) -> bytes:
            options = ("--transfers", "1", "--checkers", "1")
            return self.run_(
                rclone, *arguments, *options, timeout=60 + UPLOADS, **environment
            ).stdout

        run("copy", folder, where, "--no-traverse")
        self.assertIn(b"3000000 up-1\n", run("ls", where))
        run("copyto", f"{where}/up-1", self.local / "down")
        rest = run("cat", f"{where}/up-1", "--offset", str(SIZE // 2))
        with (self.local / "part").open("ab") as file:
            file.write(rest)
        run("moveto", f"{where}/up-1", f"{where}/renamed")
        # It cannot resume uploads.
        (self.work / "half").write_bytes(self.data)
        self.check(UPLOADS)

    def test_lftp(self) -> None:
        """lftp, linked with GnuTLS."""
        lftp = self.requireClient("lftp")
        folder = self.local / "up"
        folder.mkdir()
        for number in range(1, UPLOADS + 1):
            (folder / f"up-{number}").hardlink_to(self.source)
        self.run_(
            lftp, "--norc", "-c",
            "; ".join([
                "set cmd:fail-exit yes", "set net:max-retries 1", "set net:timeout 10",
                "set ftp:ssl-force yes", "set ftp:ssl-protect-data yes",
                f"set ssl:ca-file {self.ca}",
                f"open -u ada,lovelace -p {self.site.ftp} localhost", f"cd {self.virtual}",
                f"mirror -R {folder} .", "ls", "get up-1 -o down", "get -c up-1 -o part",
                f"put -c {self.source} -o half", "mv up-1 renamed",
            ]),
            timeout=60 + UPLOADS,
        )  # fmt: skip
        self.check(UPLOADS)

    def test_curl(self) -> None:
        """curl, all files over one connection."""
        curl = self.requireClient("curl")
        base = f"ftp://localhost:{self.site.ftp}{self.virtual}/"
        common = [
            "-sS", "--max-time", str(20 + UPLOADS), "--user", "ada:lovelace", "--cacert",
            str(self.ca), "--ssl-reqd",
        ]  # fmt: skip
        uploads: list[str] = []
        for number in range(1, UPLOADS + 1):
            uploads += ["-T", str(self.source), f"{base}up-{number}"]
        self.run_(curl, *common, *uploads, timeout=60 + UPLOADS)
        self.assertIn(b"up-1\n", self.run_(curl, *common, "-l", base).stdout.replace(b"\r", b""))
        self.run_(curl, *common, "-o", "down", f"{base}up-1")
        self.run_(curl, *common, "-C", "-", "-o", "part", f"{base}up-1")
        self.run_(curl, *common, "-C", "-", "-T", str(self.source), f"{base}half")
        renaming = ["-Q", f"-RNFR {self.virtual}/up-1", "-Q", f"-RNTO {self.virtual}/renamed"]
        self.run_(curl, *common, "-l", "-o", "/dev/null", *renaming, base)
        self.check(UPLOADS)
