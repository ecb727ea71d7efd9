"""
C{filehub explain}.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import filehub
from filehub.accounts.database import openSQLite

_MAIN = "from filehub.cli.main import main; main()"
SOURCE = Path(filehub.__file__).parent.parent

CONFIGURATION = """[ftp]
listen = ["tcp:2121"]
[tftp]
listen = ["udp:6969"]
[[mount]]
path = "/"
source = "file://{root}"
links = "within-root"
[[mount]]
path = "/ro"
source = "file://{root}"
read_only = true
[[source]]
type = "sqlite"
file = "{database}"
[[group]]
name = "staff"
[[group.rule]]
path = "/"
allow = "elr"
[[user]]
name = "ann"
groups = ["staff"]
networks = ["10.0.0.0/8"]
[[user.rule]]
path = "/secret"
allow = ""
[[user]]
name = "boot"
[[user.rule]]
path = "/"
allow = "elradfmwMT"
"""


class ExplainTests(SynchronousTestCase):
    """The command, in a process of its own: it runs a reactor."""

    def setUp(self) -> None:
        folder = Path(self.mktemp()).absolute()
        self.root = folder / "root"
        (self.root / "secret").mkdir(parents=True)
        (self.root / "file").write_text("content")
        (self.root / "way").symlink_to("secret")
        self.file = folder / "files.toml"
        database = folder / "users.db"
        tables = openSQLite(database, create=True)
        tables.addUser("dora", None, {"groups": ["staff"]})
        tables.close()
        self.file.write_text(CONFIGURATION.format(root=self.root, database=database))

    def ask(self, *arguments: str) -> tuple[int, str]:
        """The exit status, and what is said."""
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                _MAIN,
                "explain",
                "--config",
                str(self.file),
                *arguments,
            ],
            capture_output=True,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, (done.stdout + done.stderr).strip()

    def test_allowed(self) -> None:
        """0, the rule, its file and its line."""
        self.assertEqual(
            self.ask("ann@10.1.1.1", "RETR", "/file"),
            (0, f"ann may RETR /file: rule / allow elr ({self.file}:18)"),
        )

    def test_denied(self) -> None:
        """6, and what is missing where; links are followed first."""
        self.assertEqual(
            self.ask("ann@10.1.1.1", "ls", "way"),
            (
                6,
                "ann may not LS way (which is /secret): needs l at /secret: rule /secret allow"
                f" nothing ({self.file}:25)",
            ),
        )

    def test_names(self) -> None:
        """The pattern that denies a name, and the rule that it belongs to."""
        text = self.file.read_text()
        self.file.write_text(
            text.replace('allow = "elr"\n', 'allow = "elr"\ndeny_names = ["*.exe"]\n', 1)
        )
        self.assertEqual(
            self.ask("ann@10.1.1.1", "RETR", "/file/Setup.exe"),
            (
                6,
                "ann may not RETR /file/Setup.exe: needs r at /file/Setup.exe: rule / allow elr"
                f" ({self.file}:18): deny_names '*.exe' matches 'Setup.exe'",
            ),
        )

    def test_notAdmitted(self) -> None:
        """What is in the way before any rule is."""
        for arguments, expected in (
            (("ann@192.0.2.1", "RETR", "/file"), "not from this address"),
            (("ann", "RETR", "/file"), "USER@ADDRESS"),
            (("eve", "RETR", "/file"), "no account"),
            (("--protocol", "tftp", "boot", "WRQ", "/file"), "tftp.write"),
            (("--protocol", "tftp", "boot", "KILL", "/file"), "TFTP has nothing"),
            (("boot", "STOR", "/ro/new"), "read-only"),
        ):
            status, said = self.ask(*arguments)
            self.assertEqual(status, 6, said)
            self.assertIn(expected, said)

    def test_database(self) -> None:
        """Accounts of a database are found, with the groups of the file."""
        status, said = self.ask("dora", "RETR", "/file")
        self.assertEqual((status, said[:18]), (0, "dora may RETR /fil"))

    def test_JSON(self) -> None:
        """One object."""
        status, said = self.ask("--as-json", "boot@10.0.0.1", "stor", "new")
        self.assertEqual(status, 0)
        found = json.loads(said)
        self.assertEqual(
            (found["user"], found["verb"], found["canonical"], found["allowed"]),
            ("boot", "STOR", "/new", True),
        )
        self.assertFalse((self.root / "new").exists())

    def test_mistakes(self) -> None:
        """An unknown verb, and a file that cannot be used, are said."""
        self.assertIn("expected one of", self.ask("ann", "fly", "/")[1])
        self.file.write_text("nonsense")
        self.assertIn("not TOML", self.ask("ann", "RETR", "/")[1])
