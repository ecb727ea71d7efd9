"""
Lists in files, and bans that are written down.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts.bans import Bans
from filehub.cli.main import cli
from filehub.config.bans import INTERVAL, BanService, banSettings
from filehub.config.loading import loadConfiguration
from filehub.errors import ConfigurationError
from filehub.vfs.workers import ImmediateWorkers
from tests.accounts.doubles import connection


class BanServiceTests(SynchronousTestCase):
    """L{BanService} and C{filehub ban}."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.wall = 1_000_000_000.0
        self.folder = Path(self.mktemp()).absolute()
        (self.folder / "files").mkdir(parents=True)
        self.path = self.folder / "filehub.toml"
        self.number = 0
        self.errors: list[str] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event: dict[str, Any]) -> None:
        if event.get("log_level", LogLevel.debug) >= LogLevel.warn:
            self.errors.append(event["log_format"].format_map(event))

    def write(self, name: str, text: str) -> Path:
        """A file, of its own time."""
        path = self.folder / name
        path.write_text(text)
        self.number += 1
        os.utime(path, (self.number, self.number))
        return path

    def load(self, ban: str = "", state: bool = True) -> Any:
        """A configuration."""
        server = f'[server]\nstate = "{self.folder}/state"\n' if state else ""
        files = (self.folder / "files").as_uri()
        self.path.write_text(
            f'{server}[ftp]\nlisten = ["tcp:1"]\n[ban]\n{ban}\n'
            f'[[mount]]\npath = "/"\nsource = "{files}"\n'
        )
        return loadConfiguration(self.path).values

    def start(self, ban: str = "", state: bool = True) -> BanService:
        """A server begins."""
        values = self.load(ban, state)
        bans = Bans(self.clock, banSettings(values))
        service = BanService(
            self.clock, bans, values, workers=ImmediateWorkers(),
            now=lambda: self.wall + self.clock.seconds(),
        )  # fmt: skip
        service.startService()
        self.addCleanup(self.stop, service)
        return service

    def stop(self, service: BanService) -> None:
        if service.running:
            service.stopService()
            self.successResultOf(service.close())

    def run_(self, *arguments: str) -> tuple[int, str]:
        """C{filehub ban}."""
        first, *rest = arguments
        result = CliRunner().invoke(cli, ["ban", first, "--config", str(self.path), *rest])
        return result.exit_code, result.output

    def offend(self, service: BanService, host: str = "192.0.2.7") -> None:
        """Often enough."""
        for _ in range(10):
            service.bans.count(connection(host), 1.0, "wrong password")

    def test_restart(self) -> None:
        """A ban outlives the server, and not its own time."""
        service = self.start()
        self.offend(service)
        self.stop(service)
        self.clock.advance(800)
        # The reactor's clock begins anew with a new process.
        self.wall, self.clock = self.wall + self.clock.seconds(), Clock()
        service = self.start()
        self.assertEqual(service.bans.refusalFor("192.0.2.7"), "address is banned")
        self.clock.advance(101)
        self.assertIsNone(service.bans.refusalFor("192.0.2.7"))
        self.assertEqual(self.errors, [])

    def test_noState(self) -> None:
        """Without a state folder bans live as long as the process; the command says so."""
        service = self.start(state=False)
        self.offend(service)
        self.clock.advance(INTERVAL)
        self.assertIsNotNone(service.bans.refusalFor("192.0.2.7"))
        self.stop(service)
        self.assertIsNone(self.start(state=False).bans.refusalFor("192.0.2.7"))
        status, text = self.run_("list")
        self.assertEqual(status, 2)
        self.assertIn("no [server] state", text)

    def test_live(self) -> None:
        """What the command changes reaches a server that runs; its own bans stay."""
        service = self.start()
        self.offend(service)
        self.assertEqual(self.run_("add", "203.0.113.0/24", "--reason", "spam"), (0, ""))
        self.assertEqual(self.run_("add", "198.51.100.1", "--for", "1h"), (0, ""))
        self.clock.advance(INTERVAL)
        for host in ("203.0.113.9", "198.51.100.1", "192.0.2.7"):
            self.assertEqual(service.bans.refusalFor(host), "address is banned", host)
        self.assertEqual(self.run_("del", "203.0.113.0/24"), (0, ""))
        self.assertEqual(self.run_("del", "203.0.113.0/24")[0], 1)
        self.clock.advance(INTERVAL)
        self.assertIsNone(service.bans.refusalFor("203.0.113.9"))
        self.assertIsNotNone(service.bans.refusalFor("198.51.100.1"))

    def test_list(self) -> None:
        """The list says who, until when, and why; expired ones are not in it."""
        self.load()
        self.run_("add", "203.0.113.0/24", "--reason", "spam\x1b[m")
        self.run_("add", "2001:db8::1", "--for", "7d")
        status, text = self.run_("list")
        self.assertEqual(status, 0)
        self.assertRegex(text, r"203\.0\.113\.0/24.*for ever.*spam\?\[m")
        self.assertIn("2001:db8::1 ", text)
        for wrong in ("10.0.0.1/8", "lan", ""):
            self.assertEqual(self.run_("add", wrong)[0], 2, wrong)
        self.assertEqual(self.run_("add", "10.0.0.1", "--for", "0")[0], 2)

    def test_damaged(self) -> None:
        """A file that is no database is a reason not to start, in one line."""
        (self.folder / "state").mkdir()
        (self.folder / "state" / "bans.sqlite").write_bytes(b"nonsense" * 1000)
        with self.assertRaises(ConfigurationError) as caught:
            self.start()
        self.assertRegex(str(caught.exception), r"cannot use .*bans\.sqlite: .*move it away")

    def test_lists(self) -> None:
        """Lists in files are read again when they have changed and stay as they are."""
        self.write("deny", "# strangers\n203.0.113.0/24   # all of them\n\n2001:db8::/32\n")
        self.write("allow", "203.0.113.5\n")
        service = self.start(
            f'deny = ["198.51.100.0/24"]\ndeny_file = "{self.folder}/deny"\n'
            f'allow_file = "{self.folder}/allow"'
        )
        bans = service.bans
        for host, expected in (
            ("203.0.113.9", "address is denied"), ("203.0.113.5", None),
            ("2001:db8::7", "address is denied"), ("198.51.100.7", "address is denied"),
            ("192.0.2.7", None),
        ):  # fmt: skip
            self.assertEqual(bans.refusalFor(host), expected, host)
        self.write("deny", "192.0.2.7\n")
        self.clock.pump([INTERVAL] * 3)
        self.assertEqual(bans.refusalFor("192.0.2.7"), "address is denied")
        self.assertIsNone(bans.refusalFor("203.0.113.9"))
        self.assertIsNotNone(bans.refusalFor("198.51.100.7"))

    def test_listMistake(self) -> None:
        """A list with a mistake is not taken, and the line is named; nor one that is gone."""
        self.write("deny", "192.0.2.7\n")
        bans = self.start(f'deny_file = "{self.folder}/deny"').bans
        self.write("deny", "192.0.2.8\nlan\n")
        self.clock.pump([INTERVAL] * 5)
        (self.folder / "deny").unlink()
        self.clock.pump([INTERVAL] * 5)
        self.assertIsNotNone(bans.refusalFor("192.0.2.7"))
        (line,) = self.errors
        self.assertRegex(line, r"deny:2: found 'lan', expected an address.*the old list stays")

    def test_listMissing(self) -> None:
        """At the start it is a mistake of the configuration, with its line."""
        with self.assertRaises(ConfigurationError) as caught:
            self.load('deny_file = "/none/such"')
        self.assertRegex(
            str(caught.exception), r"toml:6: ban\.deny_file: /none/such: cannot be read"
        )

    def test_configure(self) -> None:
        """The file's own lists and prices change while the server runs."""
        service = self.start('deny = ["192.0.2.7"]')
        service.configure(self.load("attempts = 3\nipv4_prefix = 24\n[ban.points]\nviolation = 5"))
        self.assertIsNone(service.bans.refusalFor("192.0.2.7"))
        settings = service.bans.settings
        self.assertEqual(
            (settings.limit, settings.prefixes, settings.points.violation), (3.0, (24, 64), 5.0)
        )
