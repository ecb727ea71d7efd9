"""
The real daemon, started and watched, and what the tests of this folder have in common.

Every wait here has a bound.  Whatever a test does, the daemon must not log a traceback;
each test looks at what was logged while it ran.
"""

import atexit
import contextlib
import errno
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from twisted.trial.unittest import SkipTest, SynchronousTestCase

import filehub
from filehub.certificates import makeSelfSigned
from tests.ports import freePort, haveIPv6

SOURCE = Path(filehub.__file__).parent.parent

#: How long a daemon may take to listen, and to end when it is told to (seconds).
PATIENCE = 30.0
#: How long one exchange with a daemon on this machine may take.
ANSWER = 10.0

#: Lines that no peer may be able to bring about.
TROUBLE = re.compile(r"Traceback \(most recent call last\)|Unhandled|^Failure\b|Exception ignored")

#: A cheap hash: tests of the cost are elsewhere.
hashPassword = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash


def boundPorts(protocol: str, process: int | str = "self") -> set[int]:
    """
    The local ports of C{"tcp"} listeners or C{"udp"} sockets of this machine, without
    disturbing any of them.

    @param process: its number; those of the network that it lives in.
    """
    ports = set()
    for name in (protocol, protocol + "6"):
        try:
            table = (Path(f"/proc/{process}/net") / name).read_text()
        except OSError:
            continue
        for line in table.splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            if protocol == "udp" or state == "0A":
                ports.add(int(local.rpartition(":")[2], 16))
    return ports


def until(condition: Callable[[], object], what: str, seconds: float = ANSWER) -> None:
    """Wait until the condition holds, or fail and say C{what} did not happen."""
    limit = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > limit:
            raise AssertionError(f"not within {seconds} s: {what} (it is {value!r})")
        time.sleep(0.01)


def digest(data: bytes) -> str:
    """Content is compared by this, so that a failure prints a line and not a file."""
    return hashlib.sha256(data).hexdigest()


def content(size: int, seed: str = "") -> bytes:
    """C{size} bytes without a pattern in them, the same at every call."""
    return hashlib.shake_256(f"{size} {seed}".encode()).digest(size)


class Daemon:
    """
    C{twistd filehub} as a process of its own.

    @ivar folder: its working directory; the log and the configuration are here.
    """

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        *,
        tcp: Sequence[int] = (),
        udp: Sequence[int] = (),
        options: Sequence[str] = ("--nodaemon", "--pidfile="),
        prefix: Sequence[str] = (),
        program: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """
        @param arguments: what follows C{filehub} on the command line.
        @param tcp: ports that it listens on when it is ready.
        @param udp: the same for datagrams.
        @param options: what precedes C{filehub}.
        @param prefix: a command that runs the rest of its arguments.
        @param program: arguments for Python in place of the C{twistd} script.
        """
        self.folder = folder
        self.logFile = folder / "daemon.log"
        self._read = 0
        self._expected: list[str] = []
        program = program or [str(Path(sysconfig.get_path("scripts")) / "twistd")]
        with self.logFile.open("ab") as log:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, *program, *options, "filehub", *arguments],
                cwd=folder,
                env=daemonEnvironment(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._awaitPorts(set(tcp), set(udp))
        except BaseException:
            self.kill()
            raise

    def _awaitPorts(self, tcp: set[int], udp: set[int]) -> None:
        limit = time.monotonic() + PATIENCE
        own = self.process.pid
        while not (tcp <= boundPorts("tcp", own) and udp <= boundPorts("udp", own)):
            if self.process.poll() is not None:
                raise AssertionError(
                    f"the daemon exited with {self.process.returncode}:\n{self.log()}"
                )
            if time.monotonic() > limit:
                raise AssertionError(f"the daemon does not listen:\n{self.log()}")
            time.sleep(0.02)

    def log(self) -> str:
        """All that it printed so far."""
        return self.logFile.read_text(errors="surrogateescape")

    def trouble(self) -> str:
        """What it logged since the last call, if there is a traceback in it, else empty."""
        text = self.log()
        new, self._read = text[self._read :], len(text)
        return new if TROUBLE.search(new) else ""

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def descriptors(self) -> int:
        """How many descriptors it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def residentBytes(self) -> int:
        """How much memory it has in use."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    def stop(self) -> str:
        """Ask it to end, as an administrator would; returns its log."""
        if self.running:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"SIGTERM does not end the daemon:\n{self.log()}") from None
        return self.log()

    def kill(self) -> None:
        """End it as a power failure would."""
        self.process.kill()
        self.process.wait(PATIENCE)


def daemonEnvironment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """
    This environment, so that the daemon is the code under test, less what only this
    process is for: a killed daemon could not hand in its coverage.
    """
    environment = {key: value for key, value in os.environ.items() if "COVERAGE" not in key}
    environment["PYTHONPATH"] = str(SOURCE)
    environment["PYTHONUNBUFFERED"] = "1"
    environment.update(extra or {})
    return environment


def endpoint(kind: str, port: int, address: str) -> str:
    """An endpoint string; colons of an address are escaped."""
    return f"{kind}:{port}:interface=" + address.replace(":", r"\:")


#: What L{Site} lets in, unless it is told otherwise.
ACCOUNTS = f"""
[[user]]
name = "ada"
password = "{hashPassword("lovelace")}"
[[user.rule]]
path = "/"
allow = "elradfmwMT"
[[user]]
name = "bob"
password = "{hashPassword("builder")}"
[[user.rule]]
path = "/"
allow = "elr"
[anonymous]
enabled = true
[[anonymous.rule]]
path = "/"
allow = "elr"
[[network]]
address = "127.0.0.0/8"
account = "ada"
protocols = ["tftp"]
[[network]]
address = "::1/128"
account = "ada"
protocols = ["tftp"]
"""


def tomlList(items: Sequence[str]) -> str:
    """As TOML's literal strings, which know no escapes."""
    return "[" + ", ".join(f"'{item}'" for item in items) + "]"


class Site:
    """
    A daemon with one tree and some accounts, on free ports of both loopbacks.  If not
    told otherwise:

      - C{ada}, password C{lovelace}: everything everywhere; TFTP clients are C{ada} too.
      - C{bob}, password C{builder}: reads, lists and enters everything, changes nothing.
      - anonymous: as C{bob}.

    @ivar root: the served folder.
    @ivar ftp: the FTP port; C{tftp} and C{rfc913} likewise, C{ftps} if there is TLS.
    """

    def __init__(
        self,
        *,
        accounts: str = ACCOUNTS,
        tls: bool | str = False,
        mount: str = "",
        root: Path | None = None,
        addresses: Sequence[str] = ("127.0.0.1", "::1"),
        **sections: Any,
    ) -> None:
        """
        @param accounts: TOML for users, groups, anonymous and networks.
        @param tls: offer TLS, with a certificate of our own making; a text is further keys
            of its section.
        @param mount: further keys of the mount.
        @param root: the folder to serve, if not a new one.
        @param addresses: where to listen, as far as this machine has them.
        @param sections: further keys of the sections C{ftp}, C{tftp}, C{rfc913},
            C{server}, C{limits}, C{ban}, C{log}.  C{prefix} and others that
            L{Daemon} knows are its.
        """
        self._options = {key: sections.pop(key) for key in ("prefix", "program") if key in sections}
        self.folder = Path(tempfile.mkdtemp(prefix="filehub-site-"))
        self.root = root or self.folder / "root"
        self.root.mkdir(exist_ok=True)
        self.ftp, self.rfc913 = freePort(), freePort()
        self.tftp = freePort(socket.SOCK_DGRAM)
        self.ftps = freePort() if tls else None
        usable = [each for each in addresses if "." in each or haveIPv6()]

        def listen(kind: str, port: int) -> str:
            return tomlList([endpoint(kind, port, address) for address in usable])

        text = f"""
[server]
name = "files.test"
state = "{self.folder / "state"}"
{sections.pop("server", "")}
[ftp]
listen = {listen("tcp", self.ftp)}
{sections.pop("ftp", "")}
[tftp]
listen = {listen("udp", self.tftp)}
write = "overwrite"
{sections.pop("tftp", "")}
[rfc913]
listen = {listen("tcp", self.rfc913)}
{sections.pop("rfc913", "")}
[[mount]]
path = "/"
source = "file://{self.root}"
{mount}
"""
        if self.ftps is not None:
            pem = self.folder / "server.pem"
            makeSelfSigned(pem, ["files.test", "localhost"], timedelta(days=30))
            keys = tls if isinstance(tls, str) else ""
            sections["tls"] = f'certificate = "{pem}"\n{keys}'
            text = text.replace(
                "[ftp]\n", f'[ftp]\nimplicit_tls = {listen("tcp", self.ftps)}\ntls = "optional"\n'
            )
        for name, keys in sections.items():
            text += f"[{name}]\n{keys}\n"
        self.configuration = self.folder / "filehub.toml"
        self.configuration.write_text(text + accounts)
        self.start()

    def start(self, **options: Any) -> None:
        """Start the daemon (again)."""
        self.daemon = Daemon(
            self.folder,
            ["--config", str(self.configuration)],
            tcp=[self.ftp, self.rfc913],
            udp=[self.tftp],
            **{**self._options, **options},
        )

    def stop(self) -> None:
        """End the daemon and remove its folder; fails if it has logged a traceback."""
        try:
            self.daemon.stop()
            trouble = self.daemon.trouble()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
        if trouble:
            raise AssertionError(f"the daemon logged a traceback:\n{trouble}")


_shared: dict[str, Site] = {}
_failed: dict[str, str] = {}


def sharedSite(kind: str = "site", **keywords: Any) -> Site:
    """
    One site for all tests that only use it; starting a daemon takes longer than most of
    them.  It runs until the tests have ended.

    @param kind: those with other C{keywords} for L{Site} have other names.
    """
    site = _shared.get(kind)
    if site is None or not site.daemon.running:
        keywords.setdefault("limits", "per_address = 500\nper_user = 500")
        site = _shared[kind] = Site(**keywords)
    return site


@atexit.register
def _stopShared() -> None:
    for site in _shared.values():
        site.stop()


class ClientTestCase(SynchronousTestCase):
    """
    What every test with real programs needs.

    @ivar local: an empty folder for the client.
    """

    def setUp(self) -> None:
        self.local = Path(tempfile.mkdtemp(prefix="filehub-client-"))
        self.addCleanup(shutil.rmtree, self.local, ignore_errors=True)

    def requireClient(self, *names: str) -> str:
        """
        The path of the first of these programs that is installed.  Without one the
        test is skipped, or fails where C{FILEHUB_REQUIRE_CLIENTS=1} promises that all
        are there.
        """
        for name in names:
            found = shutil.which(name)
            if found:
                return found
        raise self._missing(" or ".join(names))

    def requireFiles(self, *paths: str) -> None:
        """The same for what clients need besides programs."""
        for path in paths:
            if not Path(path).exists():
                raise self._missing(path)

    def _missing(self, what: str) -> Exception:
        missing = f"{what} is not installed"
        required = os.environ.get("FILEHUB_REQUIRE_CLIENTS") == "1"
        return self.failureException(missing) if required else SkipTest(missing)

    def requireIPv6(self) -> None:
        """Skip the test on a machine without C{::1}."""
        if not haveIPv6():
            raise SkipTest("no IPv6 on this machine")

    def requireRoot(self) -> None:
        """Skip a test that only the superuser can run."""
        if os.geteuid() != 0:
            raise SkipTest("only root can do this")

    def run_(
        self,
        *command: str | bytes | Path,
        stdin: str | bytes = b"",
        timeout: float = 30.0,
        succeeds: bool = True,
        **environment: str,
    ) -> subprocess.CompletedProcess[bytes]:
        """
        Run a client in its own folder, with a home that holds no settings of anybody.

        @param succeeds: fail unless it exits with 0.
        """
        done = subprocess.run(
            command,
            cwd=self.local,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.local),
                "LANG": "C.UTF-8",
                "TERM": "dumb",
                **environment,
            },
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )
        if succeeds and done.returncode != 0:
            self.fail(
                f"{command} exited with {done.returncode}:\n{done.stdout.decode(errors='replace')}"
            )
        return done

    def assertSameContent(self, found: bytes, expected: bytes) -> None:
        """Compare by hash."""
        self.assertEqual((len(found), digest(found)), (len(expected), digest(expected)))

    def assertNothingLeft(self, folder: Path, *expected: str) -> None:
        """The folder holds these names, and not one more that a client can see."""
        self.assertEqual(sorted(os.listdir(folder)), sorted(expected))


class IntegrationTestCase(ClientTestCase):
    """
    A test of the real daemon.

    @ivar site: the shared site, unless L{makeSite} gives another.
    @ivar work: a folder of this test's own inside the served tree.
    @ivar virtual: how clients call it, e.g. C{"/test_download-1"}.
    """

    def setUp(self) -> None:
        super().setUp()
        self.useSite(self.makeSite())

    def makeSite(self) -> Site:
        """The site for this test.  One that is made here stops with the test."""
        return sharedSite()

    def newSite(self, **keywords: Any) -> Site:
        """A site of this test's own; see L{Site}."""
        site = Site(**keywords)
        self.addCleanup(site.stop)
        return site

    def useSite(self, site: Site) -> None:
        self.site = site
        site.daemon.trouble()
        if site in _shared.values():
            self.addCleanup(self._checkLog)
        self.work = Path(tempfile.mkdtemp(prefix=f"{self._testMethodName}-", dir=site.root))
        self.work.chmod(0o755)
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)
        self.virtual = "/" + self.work.name

    def _checkLog(self) -> None:
        if not self.site.daemon.running:
            self.fail(f"the daemon died:\n{self.site.daemon.log()}")
        trouble = self.site.daemon.trouble()
        if trouble:
            self.fail(f"the daemon logged a traceback:\n{trouble}")


@contextlib.contextmanager
def smallFileSystem(folder: Path, size: str = "1m") -> Iterator[None]:
    """
    Mount a file system of this size over the folder.

    @raise SkipTest: where this is not allowed.
    """
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "filehub-test", str(folder)],
        capture_output=True,
        timeout=ANSWER,
        check=False,
    )
    if mounted.returncode != 0:
        raise SkipTest(f"cannot mount a small file system: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], timeout=ANSWER, check=True)


def refused(address: tuple[str, int]) -> bool:
    """Does nothing listen at this address?"""
    with socket.socket() as probe:
        probe.settimeout(ANSWER)
        return probe.connect_ex(address) == errno.ECONNREFUSED
