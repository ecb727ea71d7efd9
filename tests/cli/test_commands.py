"""
C{filehub}, as far as it needs no server.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import twisted.internet
from click.testing import CliRunner, Result
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

import filehub
from filehub import errors
from filehub.accounts import hashes
from filehub.cli import running
from filehub.cli.exits import EXIT_STATUS, INTERRUPTED, OTHER, epilogue, statusFor
from filehub.cli.main import cli
from filehub.errors import ConfigurationError, FileHubError, NotFound, PermissionDenied
from filehub.paths import ROOT
from filehub.remotes.connecting import LoginRefused
from tests.accounts.doubles import CHEAP

SOURCE = Path(filehub.__file__).parent.parent


class CommandCase(SynchronousTestCase):
    """Commands that run in this process."""

    def setUp(self) -> None:
        self.patch(hashes, "_HASHER", CHEAP)
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)

    def command(self, *arguments: str, stdin: str = "") -> Result:
        """What a command says."""
        return CliRunner().invoke(cli, arguments, input=stdin, prog_name="filehub")

    def refused(self, *arguments: str, stdin: str = "", status: int = 2) -> str:
        """What is said on standard error by a command that fails with this status."""
        result = self.command(*arguments, stdin=stdin)
        self.assertEqual(result.exit_code, status, result.output)
        self.assertIsInstance(result.exception, SystemExit)
        self.assertEqual(result.stdout, "")
        return str(result.stderr)


class OverviewTests(CommandCase):
    """C{filehub} itself."""

    def test_version(self) -> None:
        """C{--version} tells the package's version."""
        result = self.command("--version")
        self.assertEqual((result.exit_code, result.stdout.split()[-1]), (0, filehub.__version__))

    def test_help(self) -> None:
        """Every command is listed and has a help of its own; each is found by its name."""
        text = self.command("--help").stdout
        names = cli.list_commands(None)
        for expected in ("check", "passwd", "get", "put", "cp", "ls", "rm", "mv", "mkdir"):
            self.assertIn(expected, names)
        for name in names:
            self.assertIn(f"  {name} ", text)
            for flag in ("-h", "--help"):
                result = self.command(name, flag)
                self.assertEqual(result.exit_code, 0, result.output)
                self.assertTrue(result.stdout.startswith(f"Usage: filehub {name} "))

    def test_unknown(self) -> None:
        """A command that does not exist."""
        self.assertIn("No such command 'frobnicate'", self.refused("frobnicate"))

    def test_quickStart(self) -> None:
        """The overview imports no command, no reactor and no protocol."""
        code = (
            "import sys, filehub.cli.main\n"
            "heavy = ('filehub.cli.files', 'filehub.cli.check', 'filehub.protocols',\n"
            "         'filehub.remotes', 'twisted', 'rich', 'pydantic', 'argon2')\n"
            "print([name for name in sys.modules if name.startswith(heavy)])\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=SOURCE, timeout=60, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        self.assertEqual(done.stdout.strip(), "[]")


class PasswdTests(CommandCase):
    """C{filehub passwd} from a pipe."""

    def test_hash(self) -> None:
        """Two equal lines: one line with a hash of exactly that password."""
        for password in ("sesame", "two words ", "pässwörd€", "x" * 1024):
            result = self.command("passwd", stdin=f"{password}\n{password}\n")
            self.assertEqual(result.exit_code, 0, result.output)
            (line,) = result.stdout.splitlines()
            self.assertTrue(CHEAP.verify(line, password.encode()))

    def test_withoutLineEnd(self) -> None:
        """The last line need not end."""
        self.assertEqual(self.command("passwd", stdin="sesame\nsesame").exit_code, 0)

    def test_mistakes(self) -> None:
        """Different lines, one line, none, an empty or too long password; never an echo."""
        for text, expected in (
            ("hunter2\nhunter3\n", "the two passwords differ"),
            ("hunter2\n", "found one line, expected the password on two lines"),
            ("", "found one line"),
            ("\n\n", "found one line"),
            ("x" * 1025 + "\n" + "x" * 1025 + "\n", "expected 1 to 1024 bytes"),
            ("a\0b\na\0b\n", "without NUL"),
        ):
            text = self.refused("passwd", stdin=text, status=1)
            self.assertIn(expected, text)
            self.assertNotIn("hunter", text)


class CheckTests(CommandCase):
    """C{filehub check}."""

    def configuration(self, text: str) -> Path:
        """A file."""
        path = self.folder / "filehub.toml"
        path.write_text(text.replace("FOLDER", self.folder.as_uri()))
        path.chmod(0o600)
        return path

    def test_good(self) -> None:
        """Listeners, mounts, accounts, networks, and that it can be used."""
        path = self.configuration(
            '[ftp]\nlisten = ["tcp:2121"]\n[tftp]\nlisten = ["udp:69"]\nwrite = "create"\n'
            '[[mount]]\npath = "/files"\nsource = "FOLDER"\nread_only = true\n'
            f'[[user]]\nname = "ann"\npassword = "{hashes.hashPassword(b"x")}"\n'
            '[[user.rule]]\npath = "/files"\nallow = "elr"\n[[user]]\nname = "boot"\n'
            '[[network]]\naddress = "10.0.0.0/8"\naccount = "boot"\nprotocols = ["tftp"]\n'
        )
        result = self.command("check", str(path))
        self.assertEqual(result.exit_code, 0, result.output)
        text = " ".join(result.stdout.split())
        for word in ("tcp:2121", "udp:69", "write create", "/files", "ann", "elr", "10.0.0.0/8"):
            self.assertIn(word, text)
        self.assertIn("can be used", text)
        self.assertNotIn("argon2", text)

    def test_bad(self) -> None:
        """All mistakes, a line each, on standard error; status 1."""
        path = self.configuration("[ftp]\nlissten = 1\n[limits]\nidle = 0\n")
        lines = self.refused("check", str(path), status=1).splitlines()
        self.assertEqual(
            [line.partition(": found")[0] for line in lines],
            [f"{path}:2: ftp.lissten", f"{path}:4: limits.idle"],
        )

    def test_missing(self) -> None:
        """A file that is not there."""
        text = self.refused("check", str(self.folder / "none"), status=1)
        self.assertIn("cannot be read: No such file", text)

    def test_readableByOthers(self) -> None:
        """Hashes that everybody can read are worth a note, not a refusal."""
        path = self.configuration(
            '[ftp]\nlisten = ["tcp:1"]\n[[mount]]\npath = "/"\nsource = "FOLDER"\n'
            f'[[user]]\nname = "ann"\npassword = "{hashes.hashPassword(b"x")}"\n'
        )
        self.assertNotIn("chmod", self.command("check", str(path)).stdout)
        path.chmod(0o644)
        result = self.command("check", str(path))
        self.assertEqual(result.exit_code, 0)
        self.assertIn("chmod", result.stdout)

    def test_markup(self) -> None:
        """Names are printed as they are, not as markup of the table."""
        path = self.configuration(
            '[ftp]\nlisten = ["tcp:1"]\n[[mount]]\npath = "/[red]x[/red]"\nsource = "FOLDER"\n'
        )
        self.assertIn("[red]x[/red]", self.command("check", str(path)).stdout)


class LocationTests(CommandCase):
    """Places that are none: told before anything is connected."""

    def test_mistakes(self) -> None:
        """Scheme, password, host and port; the password is not repeated."""
        for url, expected in (
            ("gopher://host/x", "found scheme 'gopher', expected one of ftp"),
            ("ftp://ann:hunter2@host/x", "found a password in the URL"),
            ("ftp:///x", "found no host"),
            ("ftp://host:0/x", "found port '0'"),
            ("ftp://host:99999/x", "found port '99999'"),
            ("ftp://host:x/x", "found port 'x'"),
        ):
            for arguments in (("get", url), ("put", "file", url), ("ls", url), ("rm", url)):
                text = self.refused(*arguments)
                self.assertIn(expected, text)
                self.assertNotIn("hunter2", text)
                self.assertEqual(len(text.splitlines()), 1, text)

    def test_usage(self) -> None:
        """Missing and wrong arguments are click's to complain of."""
        for arguments in (
            ("get",), ("put", "x"), ("ls",), ("ls", "--frob", "x"), ("get", "-j", "0", "x"),
            ("get", "--timeout", "0", "x"), ("get", "--verify-ca", "/none/such", "x"),
        ):  # fmt: skip
            self.assertTrue(self.refused(*arguments).startswith("Usage: filehub "), arguments)


class LocalTests(SynchronousTestCase):
    """The real command on local files."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        (self.folder / "a").write_bytes(b"content")

    def filehub(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it."""
        return subprocess.run(
            [sys.executable, "-c", "from filehub.cli.main import main; main()", *arguments],
            cwd=self.folder, env={"PYTHONPATH": str(SOURCE), "PATH": "", "HOME": str(self.folder)},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def test_get(self) -> None:
        """A file is copied whole, and the line says so."""
        done = self.filehub("get", f"{self.folder.as_uri()}/a", "b")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual((self.folder / "b").read_bytes(), b"content")
        self.assertIn("7 bytes", done.stdout)
        self.assertEqual(sorted(each.name for each in self.folder.iterdir()), ["a", "b"])

    def test_missing(self) -> None:
        """A file that is not there: one line, the status for that, nothing made."""
        done = self.filehub("get", "none", "b")
        self.assertEqual(done.returncode, statusFor(NotFound()), done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertEqual([each.name for each in self.folder.iterdir()], ["a"])

    def test_list(self) -> None:
        """As JSON: an object a line."""
        done = self.filehub("ls", "--json", str(self.folder))
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        (row,) = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual((row["name"], row["kind"], row["size"]), ("a", "file", 7))


class _Reactor:
    """Runs what is to be run, and stops."""

    running = False

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.stops = 0

    def callWhenRunning(self, call: Any) -> None:
        self.calls.append(call)

    def run(self) -> None:
        self.running = True
        for call in self.calls:
            call()

    def stop(self) -> None:
        self.stops += 1


class RunningTests(CommandCase):
    """L{running.run}: from outcomes to exit statuses."""

    def run_(self, work: Any) -> tuple[int, list[str]]:
        """Status and what was printed."""
        # There has to be one before it can be replaced.
        importlib.import_module("twisted.internet.reactor")
        said: list[str] = []
        self.reactor = _Reactor()
        self.patch(twisted.internet, "reactor", self.reactor)
        self.patch(running.click, "echo", lambda text, err: said.append(text))
        return running.run(work), said

    def test_done(self) -> None:
        """All went well: 0, silence, and the reactor is stopped."""

        async def work(reactor: Any) -> None:
            self.assertIs(reactor, self.reactor)

        self.assertEqual(self.run_(work), (0, []))
        self.assertEqual(self.reactor.stops, 1)

    def test_failures(self) -> None:
        """Each kind of failure has its status and one line, in which nothing is active."""

        async def work(reactor: Any) -> None:
            raise failure

        for failure in (
            NotFound(ROOT.join("/x")), PermissionDenied(None, "a\x1b[2J\nb"), LoginRefused("no"),
            ConfigurationError("bad"), FileHubError(),
        ):  # fmt: skip
            status, (line,) = self.run_(work)
            self.assertEqual(status, statusFor(failure))
            self.assertTrue(line.startswith("filehub: ") and line.isprintable(), line)

    def test_defect(self) -> None:
        """What is our own mistake is not dressed up."""

        async def work(reactor: Any) -> None:
            raise ZeroDivisionError

        with self.assertRaises(ZeroDivisionError):
            self.run_(work)

    def test_interrupted(self) -> None:
        """A reactor that stops before the work is done was interrupted."""

        async def work(reactor: Any) -> None:
            await Deferred()

        self.assertEqual(self.run_(work), (INTERRUPTED, []))


class ExitTests(SynchronousTestCase):
    """The table of exit statuses."""

    def test_mostSpecific(self) -> None:
        """No row is hidden behind one for a class above it."""
        seen: list[type[FileHubError]] = []
        for kind, _, _ in EXIT_STATUS:
            self.assertFalse(any(issubclass(kind, other) for other in seen), kind)
            seen.append(kind)

    def test_everyError(self) -> None:
        """Every error has a status of its kind, never 0 and never that of a signal."""
        for value in vars(errors).values():
            if isinstance(value, type) and issubclass(value, FileHubError):
                self.assertIn(statusFor(value()), range(1, 126), value)
        self.assertEqual(statusFor(FileHubError()), OTHER)

    def test_documented(self) -> None:
        """The help of the commands lists them all."""
        text = epilogue()
        for _, status, meaning in EXIT_STATUS:
            self.assertIn(f"{status:>2}  ", text)
            self.assertTrue(meaning)


class TFTPRulesTests(CommandCase):
    """C{filehub tftp-rules}."""

    def test_import(self) -> None:
        """A map file comes out as tables; one with a mistake as a line that says where."""
        path = self.folder / "map"
        path.write_text("rg \\\\ /\n# nothing\naP .\n")
        result = self.command("tftp-rules", "import", str(path))
        self.assertEqual(
            result.stdout,
            "[[tftp.rule]]\nmatch = '\\\\'\nreplace = '/'\nrepeat = 'again'\n\n"
            "[[tftp.rule]]\nmatch = '.'\nthen = 'deny'\nverbs = ['put']\n",
        )
        path.write_text("rg \\\\ /\nwhat . .\n")
        said = self.refused("tftp-rules", "import", str(path), status=1)
        self.assertIn("map: line 2: found operation 'what'", said)

    def test_try(self) -> None:
        """What becomes of a name is said step by step."""
        path = self.folder / "filehub.toml"
        path.write_text(
            f"[tftp]\nlisten = [\"udp:0\"]\nclient_roots = ['/clients/\\mac']\n"
            "[[tftp.rule]]\nmatch = '^'\nreplace = '\\ip/'\nthen = 'found'\n"
            "[[tftp.rule]]\nmatch = 'x'\nreplace = 'y'\n"
            "[[tftp.rule]]\nmatch = 'secret'\nthen = 'deny'\n"
            f'[[mount]]\npath = "/"\nsource = "{self.folder.as_uri()}"\n'
        )
        result = self.command(
            "tftp-rules", "try", str(path), "boot\\x", "--mac", "52:54:00:12:34:56"
        )
        self.assertEqual(
            result.stdout.splitlines(),
            [
                "asked for: 192.0.2.1/boot\\x",
                "rewritten: boot\\y",
                "first:     /clients/52-54-00-12-34-56/boot/y",
                "then:      HOME/boot/y",
            ],
        )
        result = self.command("tftp-rules", "try", str(path), "secret")
        self.assertEqual((result.exit_code, result.stdout.splitlines()[-1][:7]), (1, "denied:"))
