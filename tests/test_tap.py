"""
C{twistd filehub}: the plug-in, the command line, the first mistakes.
"""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.application.service import IService, IServiceMaker
from twisted.logger import Logger, formatEvent
from twisted.plugin import IPlugin
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

import filehub
from filehub import tap
from filehub.accounts import hashes
from filehub.service import FileHubService
from filehub.tap import DEFAULT_LISTENERS, Options, makeService
from tests.accounts.doubles import CHEAP
from tests.config.doubles import Reactor

ROOT = Path(filehub.__file__).parent.parent


def python(code: str) -> str:
    """What an interpreter of its own prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False,
    )  # fmt: skip
    if done.returncode:
        raise AssertionError(done.stdout)
    return done.stdout


class PluginTests(SynchronousTestCase):
    """The module in C{twisted/plugins}."""

    def test_maker(self) -> None:
        """It names a command C{filehub} and the module that makes the service."""
        from twisted.plugins import filehub_plugin

        maker = filehub_plugin.filehub
        verifyObject(IServiceMaker, maker)
        self.assertTrue(IPlugin.providedBy(maker))
        self.assertEqual((maker.tapname, maker.module), ("filehub", "filehub.tap"))
        self.assertIs(maker.options, Options)
        self.assertIs(maker.makeService, makeService)

    def test_discoverable(self) -> None:
        """twistd finds it, once, and that imports nothing of FileHub."""
        code = (
            "import sys\n"
            "from twisted.plugin import getPlugins\n"
            "from twisted.application.service import IServiceMaker\n"
            "print([p.tapname for p in getPlugins(IServiceMaker)].count('filehub'))\n"
            "print(sorted(m for m in sys.modules if m.startswith('filehub')))\n"
        )
        self.assertEqual(python(code).splitlines()[-2:], ["1", "[]"])

    def test_light(self) -> None:
        """
        Importing the plug-in imports none of the package; the options, which C{--help}
        needs, bring none of its layers.
        """
        code = (
            "import sys\n"
            "import twisted.plugins.filehub_plugin as plugin\n"
            "print(sorted(m for m in sys.modules if m.startswith('filehub')))\n"
            "plugin.filehub.options()\n"
            "heavy = ('filehub.protocols', 'filehub.config', 'filehub.accounts', 'filehub.vfs',\n"
            "         'filehub.transfer', 'pydantic', 'twisted.internet.reactor')\n"
            "print(sorted(m for m in sys.modules if m.startswith(heavy)))\n"
        )
        self.assertEqual(python(code).splitlines(), ["[]", "[]"])


class OptionsTests(SynchronousTestCase):
    """The command line."""

    def parse(self, *arguments: str) -> Options:
        """Options."""
        options = Options()
        options.parseOptions(list(arguments))
        return options

    def refused(self, *arguments: str) -> str:
        """The complaint."""
        with self.assertRaises(UsageError) as caught:
            self.parse(*arguments)
        return str(caught.exception)

    def test_defaults(self) -> None:
        """The current folder, read-only, to everybody, on the usual ports."""
        options = self.parse()
        self.assertEqual((options["config"], options["root"]), (None, "."))
        self.assertFalse(options["writable"])
        self.assertEqual(options["users"], [])
        self.assertEqual([options[name] for name in DEFAULT_LISTENERS], [[], [], []])

    def test_loopback(self) -> None:
        """What listens by default listens on loopback, on ports that need no privileges."""
        for endpoint in DEFAULT_LISTENERS.values():
            _, port, interface = endpoint.split(":")
            self.assertEqual(interface, "interface=127.0.0.1")
            self.assertGreater(int(port), 1023)

    def test_repeated(self) -> None:
        """Users and listeners may be given several times."""
        options = self.parse(
            "--user", "ann:a:b", "--user", "bob:x", "--ftp", "tcp:1", "--ftp", "tcp:2", "--tftp",
            "udp:3", "--rfc913", "tcp:4", "-w", "-r", "/srv",
        )  # fmt: skip
        self.assertEqual(options["users"], [("ann", "a:b"), ("bob", "x")])
        self.assertEqual(options["ftp"], ["tcp:1", "tcp:2"])
        self.assertEqual((options["tftp"], options["rfc913"]), (["udp:3"], ["tcp:4"]))
        self.assertTrue(options["writable"])
        self.assertEqual(options["root"], "/srv")

    def test_notShared(self) -> None:
        """Two command lines have nothing to do with one another."""
        self.parse("--user", "ann:x", "--ftp", "tcp:1")
        self.assertEqual((Options()["users"], Options()["ftp"]), ([], []))

    def test_contradictions(self) -> None:
        """With a configuration file nothing else is said."""
        for arguments, name in (
            (("--root", "/srv"), "--root"), (("--writable",), "--writable"),
            (("--user", "ann:hunter2"), "--user"), (("--ftp", "tcp:1"), "--ftp"),
            (("--tftp", "udp:1"), "--tftp"), (("--rfc913", "tcp:1"), "--rfc913"),
        ):  # fmt: skip
            text = self.refused("--config", "x.toml", *arguments)
            self.assertEqual(text, f"--config says everything; expected no {name} with it")

    def test_badUser(self) -> None:
        """A user needs name and password; what was typed is not repeated."""
        for text in ("hunter2", "hunter2:", ":hunter2", ":", ""):
            complaint = self.refused("--user", text)
            self.assertEqual(complaint, "--user: found no NAME:PASSWORD")

    def test_unknown(self) -> None:
        """An option that does not exist, an argument too many."""
        self.assertIn("frobnicate", self.refused("--frobnicate"))
        self.refused("extra")

    def test_help(self) -> None:
        """Every option is explained."""
        text = str(self.parse())
        for name in ("--config", "--root", "--writable", "--user", *DEFAULT_LISTENERS):
            self.assertIn(name, text)


class MakeServiceTests(SynchronousTestCase):
    """L{makeService}, without a process of its own."""

    def setUp(self) -> None:
        self.patch(hashes, "_HASHER", CHEAP)
        self.patch(tap, "_monotonicReactor", Reactor)
        self.patch(sys.modules["filehub.service"], "raiseLimits", lambda: None)
        self.stderr = io.StringIO()
        self.patch(sys, "__stderr__", self.stderr)
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.path = self.folder / "filehub.toml"

    def make(self, *arguments: str, parent: dict[str, Any] | None = None) -> Any:
        """The service."""
        options = Options()
        options.parent = parent
        options.parseOptions(list(arguments))
        return makeService(options)

    def gaveUp(self, *arguments: str) -> list[str]:
        """What was said before the end."""
        with self.assertRaises(SystemExit) as caught:
            self.make(*arguments)
        self.assertEqual(caught.exception.code, 1)
        text = self.stderr.getvalue()
        self.assertNotIn("Traceback", text)
        return text.splitlines()

    def test_badConfiguration(self) -> None:
        """A line for each mistake, status 1, no traceback."""
        self.path.write_text('[ftp]\nlissten = 1\npassive_ports = "x"\n[nonsense]\n')
        lines = self.gaveUp("--config", str(self.path))
        self.assertEqual(len(lines), 3, lines)
        for line in lines:
            self.assertRegex(line, rf"^filehub: {self.path}:\d: \S+: found .*, expected ")

    def test_otherMistakes(self) -> None:
        """Missing file, no TOML, missing folder, bad name: one line each."""
        self.path.write_text("[ftp\n")
        for arguments, word in (
            (("--config", str(self.folder / "none")), "cannot be read"),
            (("--config", str(self.path)), "not TOML"),
            (("--root", str(self.folder / "none")), "expected an existing folder"),
            (("--root", str(self.folder), "--user", "ftp:x"), "anonymous login"),
        ):
            self.stderr.truncate(0)
            self.stderr.seek(0)
            (line,) = self.gaveUp(*arguments)
            self.assertTrue(line.startswith("filehub: "), line)
            self.assertIn(word, line)

    def test_service(self) -> None:
        """A configuration that can be used makes a service; nothing is bound yet."""
        self.path.write_text(
            f'[ftp]\nlisten = ["tcp:0"]\n[[mount]]\npath = "/"\nsource = "{self.folder.as_uri()}"'
        )
        for arguments in (("--config", str(self.path)), ("--root", str(self.folder))):
            service = self.make(*arguments)
            self.assertIsInstance(service, FileHubService)
            self.assertTrue(IService.providedBy(service))
            self.assertEqual(service.listeners, [])

    def test_ownLog(self) -> None:
        """Our log format is for twistd's own logs, not for syslog or a chosen observer."""
        root = str(self.folder)
        for parent, ours in (
            ({"nodaemon": True}, True),
            ({"nodaemon": True, "logfile": str(self.folder / "log")}, True),
            ({"nodaemon": True, "syslog": True}, False),
            ({"nodaemon": True, "logger": "x.y"}, False),
            (None, False),
        ):
            service = self.make("--root", root, parent=parent)
            self.assertEqual(service.observer is not None, ours, parent)

    def test_badLogFile(self) -> None:
        """A log that cannot be written is told like every other mistake."""
        parent = {"nodaemon": True, "logfile": str(self.folder / "none" / "log")}
        with self.assertRaises(SystemExit):
            self.make("--root", str(self.folder), parent=parent)
        (line,) = self.stderr.getvalue().splitlines()
        self.assertIn("cannot be written", line)


class OutputTests(SynchronousTestCase):
    """What goes to standard output."""

    def write(self, line: str, raw: io.BytesIO) -> bytes:
        """The bytes of a line."""
        self.patch(sys, "__stdout__", io.TextIOWrapper(raw, encoding="ascii"))
        tap._writeToOutput(line)
        return raw.getvalue()

    def test_encoding(self) -> None:
        """UTF-8 whatever the locale; what is no text is escaped; flushed at once."""
        self.assertEqual(self.write("ä€\udcff", io.BytesIO()), "ä€\\udcff\n".encode())

    def test_nobodyReads(self) -> None:
        """No room, nobody who reads, no output at all: nothing is raised."""

        class Full(io.BytesIO):
            """No room."""

            def write(self, data: Any) -> int:
                raise OSError(28, "No space left on device")

        self.assertEqual(self.write("line", Full()), b"")
        closed = io.BytesIO()
        self.patch(sys, "__stdout__", io.TextIOWrapper(closed))
        closed.close()
        tap._writeToOutput("line")
        self.patch(sys, "__stdout__", None)
        tap._writeToOutput("line")

    def test_background(self) -> None:
        """In the background the welcome goes to the log, a record for each line."""
        seen: list[Any] = []
        self.patch(tap, "_log", Logger("x", observer=seen.append))
        tap._tell("one\ntwo {x}", True)
        self.assertEqual([formatEvent(each) for each in seen], ["one", "two {x}"])
        raw = io.BytesIO()
        self.patch(sys, "__stdout__", io.TextIOWrapper(raw))
        tap._tell("one\ntwo", False)
        self.assertEqual(raw.getvalue(), b"one\ntwo\n")
        self.assertEqual(len(seen), 2)


class ProcessTests(SynchronousTestCase):
    """The real command."""

    def test_badConfiguration(self) -> None:
        """C{twistd -n filehub --config FILE} with mistakes: lines, status 1, nothing left."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir(parents=True)
        path = folder / "filehub.toml"
        path.write_text("[ftp]\nlissten = 1\n[limits]\nidle = 0\n")
        code = (
            "import sys; from twisted.scripts.twistd import run;"
            f"sys.argv = ['twistd', '-n', 'filehub', '--config', {str(path)!r}]; run()"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=folder, stdin=subprocess.DEVNULL, timeout=60,
            capture_output=True, text=True, check=False,
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
        )  # fmt: skip
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertNotIn("Traceback", done.stderr + done.stdout)
        lines = [line for line in done.stderr.splitlines() if line.startswith("filehub: ")]
        self.assertEqual(len(lines), 2, done.stderr)
        self.assertEqual(sorted(each.name for each in folder.iterdir()), ["filehub.toml"])
