"""
FTP clients that nobody here wrote, against the daemon: what they fetch and store is
compared by hash, over IPv4 and IPv6, passive and active.
"""

import ftplib
import io
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from tests.integration.harness import ANSWER, IntegrationTestCase, content

#: Names that broke clients or servers, and that every client here can say.
ODD_NAMES = (
    "plain.txt",
    "with space",
    " leading space",
    "-dash",
    "--help",
    "single'quote",
    'double"quote',
    "back\\slash",
    "semi;colon",
    "hash#mark",
    "percent%20",
    "tilde~",
    "{brace}",
    "grüße",
    "日本語",
    "e\u0301",
    "...",
    "20200101000000 dated",
)


def makeTree(root: Path, names: tuple[str, ...] = ODD_NAMES) -> dict[bytes, bytes]:
    """
    Files of each name, at the top and in a directory of each name, of sizes around the
    edges; returns path -> content.
    """
    tree = {}
    for number, name in enumerate(names):
        folder = root / f"{name} dir"
        folder.mkdir()
        for path, size in ((root / name, number * 1000), (folder / name, number)):
            data = content(size, name)
            path.write_bytes(data)
            tree[os.fsencode(path.relative_to(root))] = data
    (root / "empty dir").mkdir()
    return tree


def readTree(root: Path) -> dict[bytes, bytes]:
    """The files below a folder: path -> content."""
    return {
        os.fsencode(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


class FTPClientTestCase(IntegrationTestCase):
    """
    @ivar file: a file in the served tree, of C{data}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.data = content(1_234_567)
        self.file = self.work / "served file"
        self.file.write_bytes(self.data)
        self.source = self.local / "source"
        self.source.write_bytes(content(765_432, "up"))
        self.target = self.local / "target"

    def assertFetched(self) -> None:
        self.assertSameContent(self.target.read_bytes(), self.data)

    def assertStored(self, name: str = "stored file") -> None:
        self.assertSameContent((self.work / name).read_bytes(), self.source.read_bytes())

    def assertSameTree(self, found: Mapping[bytes, bytes], expected: Mapping[bytes, bytes]) -> None:
        """The same paths with the same content."""
        self.assertEqual(sorted(found), sorted(expected))
        for path, data in expected.items():
            self.assertSameContent(found[path], data)


class CurlTests(FTPClientTestCase):
    """curl: EPSV before PASV, absolute paths by CWD, SIZE and REST."""

    def curl(self, *options: str | Path, path: str = "", host: str = "127.0.0.1") -> bytes:
        curl = self.requireClient("curl")
        url = f"ftp://{host}:{self.site.ftp}{self.virtual}/{path}"
        arguments = ["-sS", "--globoff", "--max-time", "20", "--user", "ada:lovelace"]
        return self.run_(curl, *arguments, *options, url).stdout

    def test_download(self) -> None:
        """curl fetches a file over an extended passive connection."""
        self.curl("-o", self.target, path="served%20file")
        self.assertFetched()

    def test_downloadPASV(self) -> None:
        """... over PASV."""
        self.curl("--disable-epsv", "-o", self.target, path="served%20file")
        self.assertFetched()

    def test_downloadActive(self) -> None:
        """... over an extended active connection."""
        self.curl("--ftp-port", "-", "-o", self.target, path="served%20file")
        self.assertFetched()

    def test_downloadPORT(self) -> None:
        """... over PORT."""
        self.curl("--ftp-port", "-", "--disable-eprt", "-o", self.target, path="served%20file")
        self.assertFetched()

    def test_downloadIPv6(self) -> None:
        """... over IPv6, passive."""
        self.requireIPv6()
        self.curl("-o", self.target, path="served%20file", host="[::1]")
        self.assertFetched()

    def test_downloadIPv6Active(self) -> None:
        """... over IPv6, active."""
        self.requireIPv6()
        self.curl("--ftp-port", "-", "-o", self.target, path="served%20file", host="[::1]")
        self.assertFetched()

    def test_downloadResumed(self) -> None:
        """curl goes on where its own file ends."""
        self.target.write_bytes(self.data[:400_001])
        self.curl("-C", "-", "-o", self.target, path="served%20file")
        self.assertFetched()

    def test_downloadRange(self) -> None:
        """curl fetches a range out of the middle and hangs up on the rest."""
        self.curl("-r", "1000-1999", "-o", self.target, path="served%20file")
        self.assertSameContent(self.target.read_bytes(), self.data[1000:2000])

    def test_head(self) -> None:
        """curl asks for the size and the time of a file without fetching it."""
        os.utime(self.file, (1_000_000_000, 1_000_000_000))
        shown = self.curl("-I", path="served%20file")
        self.assertIn(b"Content-Length: 1234567", shown)
        self.assertIn(b"Last-Modified: Sun, 09 Sep 2001 01:46:40 GMT", shown)

    def test_downloadASCII(self) -> None:
        """In ASCII mode a text arrives as a text of this machine."""
        (self.work / "text").write_bytes(b"one\ntwo\n")
        self.curl("-o", self.target, path="text;type=a")
        self.assertEqual(self.target.read_bytes(), b"one\ntwo\n")

    def test_upload(self) -> None:
        """curl stores a file."""
        self.curl("-T", self.source, path="stored%20file")
        self.assertStored()

    def test_uploadActive(self) -> None:
        """curl stores a file over an active connection."""
        self.curl("--ftp-port", "-", "-T", self.source, path="stored%20file")
        self.assertStored()

    def test_uploadIPv6(self) -> None:
        """curl stores a file over IPv6."""
        self.requireIPv6()
        self.curl("-T", self.source, path="stored%20file", host="[::1]")
        self.assertStored()

    def test_uploadOverwrites(self) -> None:
        """curl replaces a file by a shorter one; nothing of the old one shows."""
        (self.work / "stored file").write_bytes(content(2_000_000, "old"))
        self.curl("-T", self.source, path="stored%20file")
        self.assertStored()

    def test_uploadEmpty(self) -> None:
        """An empty upload makes an empty file."""
        self.source.write_bytes(b"")
        self.curl("-T", self.source, path="stored%20file")
        self.assertStored()

    def test_uploadAppends(self) -> None:
        """curl -a continues the file that is there (APPE)."""
        (self.work / "stored file").write_bytes(b"first ")
        self.source.write_bytes(b"second")
        self.curl("-a", "-T", self.source, path="stored%20file")
        self.assertEqual((self.work / "stored file").read_bytes(), b"first second")

    def test_uploadResumed(self) -> None:
        """curl -C - asks for the SIZE of what is there and appends the rest."""
        (self.work / "stored file").write_bytes(self.source.read_bytes()[:300_003])
        self.curl("-C", "-", "-T", self.source, path="stored%20file")
        self.assertStored()

    def test_uploadMakesDirectories(self) -> None:
        """curl makes the directories on the way."""
        self.curl("--ftp-create-dirs", "-T", self.source, path="a/b%20c/stored")
        self.assertStored("a/b c/stored")

    def test_oddNames(self) -> None:
        """Every odd name goes up, is listed and comes down again, also one not in UTF-8."""
        names = [*map(os.fsencode, ODD_NAMES), b"latin\xe9"]
        for number, name in enumerate(names):
            self.source.write_bytes(content(100 + number))
            quoted = "".join(f"%{byte:02x}" for byte in name)
            self.curl("-T", self.source, path=quoted)
            self.curl("-o", self.target, path=quoted)
            self.assertSameContent(self.target.read_bytes(), self.source.read_bytes())
        # "--list-only" is NLST, which leaves out names with a dot in front.
        listed = self.curl("--list-only").splitlines()
        visible = [name for name in names if not name.startswith(b".")]
        self.assertEqual(sorted(listed), sorted([*visible, b"served file"]))

    def test_quotedCommands(self) -> None:
        """curl renames and deletes by quoted commands."""
        self.curl(
            "-Q", f"RNFR {self.virtual}/served file", "-Q", f"RNTO {self.virtual}/renamed",
            "-Q", f"MKD {self.virtual}/made",
        )  # fmt: skip
        self.assertNothingLeft(self.work, "renamed", "made")
        self.curl("-Q", f"DELE {self.virtual}/renamed", "-Q", f"RMD {self.virtual}/made")
        self.assertNothingLeft(self.work)

    def test_wrongPassword(self) -> None:
        """curl says that the login was denied (its exit status 67)."""
        curl = self.requireClient("curl")
        url = f"ftp://127.0.0.1:{self.site.ftp}/"
        done = self.run_(curl, "-sS", "--user", "ada:wrong", url, succeeds=False)
        self.assertEqual(done.returncode, 67)

    def test_missingFile(self) -> None:
        """curl says that there is no such file (its exit status 78)."""
        curl = self.requireClient("curl")
        url = f"ftp://127.0.0.1:{self.site.ftp}{self.virtual}/missing"
        done = self.run_(curl, "-sS", "--user", "ada:lovelace", url, succeeds=False)
        self.assertEqual(done.returncode, 78)

    def test_anonymous(self) -> None:
        """Without a name curl is anonymous: it may read and may not write."""
        curl = self.requireClient("curl")
        base = f"ftp://127.0.0.1:{self.site.ftp}{self.virtual}"
        self.run_(curl, "-sS", "-o", self.target, f"{base}/served%20file")
        self.assertFetched()
        done = self.run_(curl, "-sS", "-T", self.source, f"{base}/stored", succeeds=False)
        self.assertEqual(done.returncode, 25)
        self.assertNothingLeft(self.work, "served file")


class LftpTests(FTPClientTestCase):
    """
    lftp: FEAT, MLSD, pipelining, mirrors in both directions.  Not active over IPv6: there
    it names C{::} as its address, and then falls silent.
    """

    def lftp(self, *commands: str, host: str = "127.0.0.1", settings: str = "") -> str:
        lftp = self.requireClient("lftp")
        script = "; ".join([
            "set cmd:fail-exit yes", "set net:max-retries 1", "set net:timeout 10",
            "set ftp:ssl-allow no", settings or "set ftp:passive-mode on",
            f"open -u ada,lovelace -p {self.site.ftp} {host}", *commands,
        ])  # fmt: skip
        return self.run_(lftp, "--norc", "-c", script).stdout.decode()

    def mirrorBothWays(self, host: str = "127.0.0.1", settings: str = "") -> None:
        up, down = self.local / "up", self.local / "down"
        up.mkdir()
        tree = makeTree(up)
        remote = shlex.quote(f"{self.virtual}/tree")
        self.lftp(f"mirror -R {up} {remote}", host=host, settings=settings)
        self.assertSameTree(readTree(self.work / "tree"), tree)
        self.assertTrue((self.work / "tree" / "empty dir").is_dir())
        self.lftp(f"mirror {remote} {down}", host=host, settings=settings)
        self.assertSameTree(readTree(down), tree)
        self.assertTrue((down / "empty dir").is_dir())

    def test_mirror(self) -> None:
        """A tree of odd names goes up and comes down unchanged."""
        self.mirrorBothWays()

    def test_mirrorActive(self) -> None:
        """... over active connections."""
        self.mirrorBothWays(settings="set ftp:passive-mode off")

    def test_mirrorIPv6(self) -> None:
        """... over IPv6."""
        self.requireIPv6()
        self.mirrorBothWays(host="::1")

    def test_mirrorPipelined(self) -> None:
        """... with commands sent ahead of the replies."""
        self.mirrorBothWays(settings="set ftp:sync-mode off")

    def test_mirrorByList(self) -> None:
        """... when lftp reads LIST instead of MLSD."""
        self.mirrorBothWays(settings="set ftp:use-mlsd off; set ftp:list-options -a")

    def test_mirrorParallel(self) -> None:
        """... with several sessions at once."""
        up = self.local / "up"
        up.mkdir()
        tree = makeTree(up)
        self.lftp(f"mirror -R --parallel=4 {up} {self.virtual}/tree")
        self.assertSameTree(readTree(self.work / "tree"), tree)

    def test_mirrorLatin1(self) -> None:
        """A name that is not UTF-8 keeps its bytes when the client speaks bytes."""
        up, down = self.local / "up", self.local / "down"
        up.mkdir()
        (up / os.fsdecode(b"caf\xe9")).write_bytes(b"latin")
        plain = "set ftp:use-utf8 no; set ftp:charset ISO-8859-1; set file:charset ISO-8859-1"
        # Where FEAT tells of LANG, lftp takes names for UTF-8 whatever it was told.
        plain += "; set ftp:use-feat no"
        self.lftp(f"mirror -R {up} {self.virtual}/tree", settings=plain)
        self.assertEqual(readTree(self.work / "tree"), {b"caf\xe9": b"latin"})
        self.lftp(f"mirror {self.virtual}/tree {down}", settings=plain)
        self.assertEqual(readTree(down), {b"caf\xe9": b"latin"})

    def test_mirrorKeepsTimes(self) -> None:
        """A mirror up keeps the time of a file (MFMT), and one down again finds it equal."""
        up = self.local / "up"
        up.mkdir()
        (up / "old").write_bytes(b"x")
        os.utime(up / "old", (1_000_000_000, 1_000_000_000))
        self.lftp(f"mirror -R {up} {self.virtual}/tree")
        self.assertEqual(int((self.work / "tree/old").stat().st_mtime), 1_000_000_000)

    def test_commands(self) -> None:
        """lftp moves, deletes, makes and removes, and sees what is there."""
        self.lftp(
            f"cd {self.virtual}",
            "mkdir -p a/b",
            "mv 'served file' a/b/moved",
            "chmod 600 a/b/moved",
        )
        self.assertSameContent((self.work / "a/b/moved").read_bytes(), self.data)
        self.assertEqual((self.work / "a/b/moved").stat().st_mode & 0o777, 0o600)
        shown = self.lftp(f"cd {self.virtual}/a", "cls -1 b", "du -s .")
        self.assertIn("b/moved", shown)
        self.lftp(f"rm -r {self.virtual}/a")
        self.assertNothingLeft(self.work)

    def test_resume(self) -> None:
        """lftp continues a download and an upload."""
        self.target.write_bytes(self.data[:500_001])
        self.lftp(f"get -c '{self.virtual}/served file' -o {self.target}")
        self.assertFetched()
        (self.work / "stored file").write_bytes(self.source.read_bytes()[:300_003])
        self.lftp(f"put -c {self.source} -o '{self.virtual}/stored file'")
        self.assertStored()

    def test_segments(self) -> None:
        """pget fetches one file over several sessions, each from its own offset."""
        self.lftp(f"pget -n 4 '{self.virtual}/served file' -o {self.target}")
        self.assertFetched()


class TnftpTests(FTPClientTestCase):
    """tnftp: the BSD client; wildcards by NLST, EPSV over both families."""

    def tnftp(self, *lines: str, host: str = "127.0.0.1", options: str = "-p") -> str:
        tnftp = self.requireClient("tnftp")
        script = "\n".join([
            f"open {host} {self.site.ftp}", "user ada lovelace", "binary",
            f"cd {self.virtual}", *lines, "bye", "",
        ])  # fmt: skip
        return self.run_(tnftp, "-n", "-v", "-i", options, stdin=script).stdout.decode()

    def bothWays(self, host: str = "127.0.0.1", options: str = "-p") -> None:
        shown = self.tnftp(
            f'get "served file" {self.target}', f'put {self.source} "stored file"',
            host=host, options=options,
        )  # fmt: skip
        self.assertIn("226", shown)
        self.assertFetched()
        self.assertStored()

    def test_passive(self) -> None:
        """tnftp gets and puts."""
        self.bothWays()

    def test_active(self) -> None:
        """... active."""
        self.bothWays(options="-A")

    def test_IPv6(self) -> None:
        """... over IPv6."""
        self.requireIPv6()
        self.bothWays("::1")

    def test_IPv6Active(self) -> None:
        """... over IPv6, active."""
        self.requireIPv6()
        self.bothWays("::1", "-A")

    def test_wildcards(self) -> None:
        """mget asks for the names that match, and fetches those."""
        for name in ("one.txt", "two.txt", "three.dat"):
            (self.work / name).write_bytes(name.encode())
        self.tnftp("mget *.txt")
        found = {path.name: path.read_bytes() for path in self.local.glob("*.*")}
        self.assertEqual(found, {"one.txt": b"one.txt", "two.txt": b"two.txt"})

    def test_ascii(self) -> None:
        """In ASCII mode a text goes up and comes down as this machine's own text."""
        self.source.write_bytes(b"one\ntwo\n")
        self.tnftp("ascii", f"put {self.source} text", f"get text {self.target}")
        self.assertEqual((self.work / "text").read_bytes(), b"one\ntwo\n")
        self.assertEqual(self.target.read_bytes(), b"one\ntwo\n")

    def test_commands(self) -> None:
        """Directories, renames, sizes and times by tnftp's own words."""
        os.utime(self.file, (1_000_000_000, 1_000_000_000))
        shown = self.tnftp(
            'size "served file"', 'modtime "served file"', "mkdir made", "ls", "mlsd",
            'rename "served file" made/moved', "rmdir made", "system", "pwd", "features",
        )  # fmt: skip
        self.assertIn("1234567", shown)
        self.assertIn("2001", shown)
        self.assertIn(f"Remote directory: {self.virtual}", shown)
        self.assertEqual(os.listdir(self.work / "made"), ["moved"])

    def test_resumed(self) -> None:
        """reget continues a file that is partly here."""
        self.target.write_bytes(self.data[:700_000])
        self.tnftp(f'reget "served file" {self.target}')
        self.assertFetched()


class NcftpTests(FTPClientTestCase):
    """ncftpget and ncftpput: CLNT, SITE UTIME, recursion by LIST or MLSD."""

    def options(self) -> list[str]:
        return ["-V", "-u", "ada", "-p", "lovelace", "-P", str(self.site.ftp), "-t", "10"]

    def bothWays(self, mode: str) -> None:
        get, put = self.requireClient("ncftpget"), self.requireClient("ncftpput")
        self.run_(get, *self.options(), mode, "127.0.0.1", ".", f"{self.virtual}/served file")
        self.assertSameContent((self.local / "served file").read_bytes(), self.data)
        self.run_(put, *self.options(), mode, "127.0.0.1", self.virtual, self.source)
        self.assertStored("source")

    def test_passive(self) -> None:
        """ncftp gets and puts, passive."""
        self.bothWays("-F")

    def test_active(self) -> None:
        """ncftp gets and puts, active."""
        self.bothWays("-E")

    def test_trees(self) -> None:
        """A tree goes up and comes down with ncftp's recursion."""
        get, put = self.requireClient("ncftpget"), self.requireClient("ncftpput")
        up = self.local / "tree"
        up.mkdir()
        tree = makeTree(up, ("plain.txt", "with space", "grüße", "single'quote"))
        self.run_(put, *self.options(), "-R", "127.0.0.1", self.virtual, "tree")
        self.assertSameTree(readTree(self.work / "tree"), tree)
        down = self.local / "down"
        down.mkdir()
        self.run_(get, *self.options(), "-R", "127.0.0.1", "down", f"{self.virtual}/tree")
        self.assertSameTree(readTree(down / "tree"), tree)


class WgetTests(FTPClientTestCase):
    """wget: LIST parsed by the name that SYST gives, recursion, time stamps."""

    def wget(self, *options: str | Path, path: str, host: str = "127.0.0.1") -> None:
        wget = self.requireClient("wget")
        url = f"ftp://{host}:{self.site.ftp}{self.virtual}/{path}"
        login = ["--no-config", "-nv", "--tries=1", "--timeout=10", "--user=ada"]
        self.run_(wget, *login, "--password=lovelace", *options, url)

    def test_passive(self) -> None:
        """wget fetches a file and gives it the time that it has here."""
        os.utime(self.file, (1_000_000_000, 1_000_000_000))
        self.wget("-N", path="served%20file")
        fetched = self.local / "served file"
        self.assertSameContent(fetched.read_bytes(), self.data)
        # wget knows only what LIST says: a day for old files.
        self.assertTrue(abs(fetched.stat().st_mtime - 1_000_000_000) < 86400)

    def test_active(self) -> None:
        """... active."""
        self.wget("--no-passive-ftp", "-O", self.target, path="served%20file")
        self.assertFetched()

    def test_IPv6(self) -> None:
        """... over IPv6."""
        self.requireIPv6()
        self.wget("-O", self.target, path="served%20file", host="[::1]")
        self.assertFetched()

    def test_continued(self) -> None:
        """wget -c goes on where its file ends."""
        (self.local / "served file").write_bytes(self.data[:99_999])
        self.wget("-c", path="served%20file")
        self.assertSameContent((self.local / "served file").read_bytes(), self.data)

    def test_recursion(self) -> None:
        """wget -r walks a tree by its listings."""
        tree = makeTree(self.work, ("plain.txt", "with space", "grüße", "single'quote"))
        down = self.local / "down"
        self.wget(
            "-r", "-nH", "--cut-dirs=1", "--restrict-file-names=nocontrol", "-P", down, path=""
        )
        expected = {**tree, b"served file": self.data}
        self.assertSameTree(readTree(down), expected)


class BusyboxTests(FTPClientTestCase):
    """busybox: the client of small devices."""

    def test_bothWays(self) -> None:
        """ftpget and ftpput."""
        busybox = self.requireClient("busybox")
        login = ["-u", "ada", "-p", "lovelace", "-P", str(self.site.ftp), "127.0.0.1"]
        self.run_(busybox, "ftpget", *login, self.target, f"{self.virtual}/served file")
        self.assertFetched()
        self.run_(busybox, "ftpput", *login, f"{self.virtual}/stored file", self.source)
        self.assertStored()


class FtplibTests(FTPClientTestCase):
    """Python's ftplib, strict about the form of replies."""

    host = "127.0.0.1"
    isPassive = True

    def setUp(self) -> None:
        if self.host == "::1":
            self.requireIPv6()
        super().setUp()
        self.ftp = ftplib.FTP(timeout=ANSWER, encoding="utf-8")
        self.ftp.connect(self.host, self.site.ftp)
        self.addCleanup(self.ftp.close)
        self.ftp.login("ada", "lovelace")
        self.ftp.set_pasv(self.isPassive)
        self.ftp.cwd(self.virtual)

    def fetch(self, name: str, rest: int | None = None) -> bytes:
        received = io.BytesIO()
        self.ftp.retrbinary(f"RETR {name}", received.write, rest=rest)
        return received.getvalue()

    def test_bothWays(self) -> None:
        """A file goes up and another comes down, several times over one session."""
        for _ in range(3):
            self.assertSameContent(self.fetch("served file"), self.data)
            with self.source.open("rb") as source:
                self.assertTrue(self.ftp.storbinary("STOR stored file", source).startswith("226"))
            self.assertStored()
        self.assertTrue(self.ftp.quit().startswith("221"))

    def test_restarted(self) -> None:
        """Both directions restart at an offset."""
        self.assertSameContent(self.fetch("served file", 1_000_001), self.data[1_000_001:])
        (self.work / "stored file").write_bytes(self.source.read_bytes()[:100])
        rest = io.BytesIO(self.source.read_bytes()[100:])
        self.ftp.storbinary("STOR stored file", rest, rest=100)
        self.assertStored()

    def test_lines(self) -> None:
        """Text goes both ways line by line."""
        self.ftp.storlines("STOR text", io.BytesIO(b"one\ntwo\nthree\n"))
        self.assertEqual((self.work / "text").read_bytes(), b"one\ntwo\nthree\n")
        lines: list[str] = []
        self.ftp.retrlines("RETR text", lines.append)
        self.assertEqual(lines, ["one", "two", "three"])

    def test_listings(self) -> None:
        """NLST, LIST and MLSD show the same names and sizes."""
        (self.work / "folder").mkdir()
        names = {"served file", "folder"}
        self.assertEqual(set(self.ftp.nlst()), names)
        listed: list[str] = []
        self.ftp.dir(listed.append)
        self.assertEqual({line.split(None, 8)[8] for line in listed}, names)
        facts = dict(self.ftp.mlsd(facts=["type", "size", "modify", "perm"]))
        self.assertEqual(set(facts) - {".", ".."}, names)
        self.assertEqual(facts["served file"]["size"], "1234567")
        self.assertEqual(facts["served file"]["type"], "file")
        self.assertEqual(facts["folder"]["type"], "dir")

    def test_emptyListings(self) -> None:
        """An empty directory is an empty listing, not an error."""
        (self.work / "folder").mkdir()
        self.assertEqual(self.ftp.nlst("folder"), [])
        lines: list[str] = []
        self.ftp.retrlines("LIST folder", lines.append)
        self.assertEqual(lines, [])

    def test_nameSpace(self) -> None:
        """Directories and names, with a quote in one, by ftplib's own methods."""
        self.assertEqual(self.ftp.mkd('a "b" c'), f'{self.virtual}/a "b" c')
        self.ftp.cwd('a "b" c')
        self.assertEqual(self.ftp.pwd(), f'{self.virtual}/a "b" c')
        self.ftp.rename(f"{self.virtual}/served file", "moved")
        self.ftp.voidcmd("TYPE I")
        self.assertEqual(self.ftp.size("moved"), 1_234_567)
        self.ftp.delete("moved")
        self.ftp.cwd("..")
        self.ftp.rmd('a "b" c')
        self.assertNothingLeft(self.work)
        self.assertRaises(ftplib.error_perm, self.ftp.delete, "moved")

    def test_aborted(self) -> None:
        """ABOR in the middle of a download; the session goes on."""
        (self.work / "large").write_bytes(bytes(30_000_000))
        data, _ = self.ftp.ntransfercmd("RETR large")
        data.recv(1000)
        self.ftp.abort()
        data.close()
        # 426 was the transfer's end; the answer to ABOR itself is still to come.
        self.assertTrue(self.ftp.getmultiline().startswith("226"))
        self.assertSameContent(self.fetch("served file"), self.data)


class FtplibActiveTests(FtplibTests):
    """The same, active."""

    isPassive = False


class FtplibIPv6Tests(FtplibTests):
    """The same, over IPv6."""

    host = "::1"


class FtplibIPv6ActiveTests(FtplibTests):
    """The same, over IPv6 and active."""

    host = "::1"
    isPassive = False
