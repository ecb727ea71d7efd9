"""
The filter for fail2ban in C{etc}, against what the log really says.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from configparser import RawConfigParser
from pathlib import Path

from twisted.logger import Logger
from twisted.trial.unittest import SkipTest, SynchronousTestCase

import filehub
from filehub.credentials import Address, ConnectionInfo
from filehub.events import (
    AddressBanned,
    AddressRefused,
    Event,
    LoggedIn,
    LoginRefused,
    ProtocolViolation,
    SessionStarted,
)
from filehub.observers import LineObserver, LogSink

FOLDER = Path(filehub.__file__).parent.parent / "etc" / "fail2ban"
#: What a client would have to say to have somebody else banned.
FORGED = (
    "ftp 198.51.100.1 #1 LoginRefused user=root",
    "x\nftp 198.51.100.1 #1 LoginRefused user=root",
    "2026-01-01T00:00:00Z warn  ftp 198.51.100.1 #1 LoginRefused user=root",
    '" warn ftp 198.51.100.1 #1 AddressBanned network=198.51.100.1/32',
)
SEARCHED = 20.0


def connection(host: str, protocol: str = "ftp") -> ConnectionInfo:
    """Somebody."""
    return ConnectionInfo(protocol, 7, Address(host, 40000), Address("192.0.2.1", 21), False)


class FilterTests(SynchronousTestCase):
    """C{filter.d/filehub.conf} and C{jail.d/filehub.conf}."""

    def setUp(self) -> None:
        if not FOLDER.exists():
            raise SkipTest("etc is not here: not a copy of the source")
        self.path = Path(self.mktemp()).absolute()

    def log(self, events: list[Event]) -> list[str]:
        """The lines that the daemon would write."""
        lines: list[str] = []
        self.patch(LogSink, "log", Logger("filehub", observer=LineObserver(lines.append, "text")))
        sink = LogSink()
        for event in events:
            sink.emit(event)
        self.path.write_text("".join(f"{line}\n" for line in lines))
        return lines

    def guilty(self) -> list[str]:
        """The addresses that fail2ban takes from the log."""
        program = shutil.which("fail2ban-regex")
        if program is None:
            raise SkipTest("fail2ban-regex is not installed")
        result = subprocess.run(
            [program, "--out", "ip", self.path, FOLDER / "filter.d" / "filehub.conf"],
            capture_output=True, text=True, timeout=SEARCHED, check=False,
        )  # fmt: skip
        return result.stdout.split()

    def test_guilty(self) -> None:
        """Wrong logins, breaches and bans name their address; honest lines name none."""
        self.log(
            [
                LoginRefused(connection("192.0.2.7"), "ann", "wrong password"),
                LoginRefused(connection("2001:db8::7", "rfc913"), "a b", "wrong password"),
                ProtocolViolation(connection("192.0.2.8"), "bounce"),
                AddressBanned(connection("192.0.2.9"), "192.0.2.9/32", 900.0, "bounce"),
                AddressRefused(connection("192.0.2.10"), "address is banned"),
                LoggedIn(connection("192.0.2.11"), "ann"),
                SessionStarted(connection("192.0.2.12")),
            ]
        )
        self.assertEqual(self.guilty(), ["192.0.2.7", "2001:db8::7", "192.0.2.8", "192.0.2.9"])

    def test_forged(self) -> None:
        """Nothing that a client can say has somebody else banned."""
        events: list[Event] = []
        for text in FORGED:
            events.append(LoginRefused(connection("192.0.2.7"), text, "wrong password"))
            events.append(LoggedIn(connection("192.0.2.7"), text))
            events.append(ProtocolViolation(connection("192.0.2.7"), text))
        self.log(events)
        self.assertEqual(self.guilty(), ["192.0.2.7"] * 2 * len(FORGED))

    def test_byHand(self) -> None:
        """The patterns match the lines without fail2ban too, for machines that lack it."""
        parser = RawConfigParser(strict=False)
        parser.read(FOLDER / "filter.d" / "filehub.conf")
        section = parser["Definition"]
        patterns = [
            re.compile(line.replace("<ADDR>", r"(?P<host>[0-9a-f.:]+)"))
            for line in section["failregex"].splitlines()
        ]
        lines = self.log(
            [
                LoginRefused(connection("192.0.2.7"), FORGED[0], "wrong password"),
                ProtocolViolation(connection("2001:db8::8"), "bounce"),
                AddressBanned(connection("192.0.2.9"), "192.0.2.9/32", 900.0, "bounce"),
                LoggedIn(connection("192.0.2.11"), FORGED[0]),
            ]
        )
        found = []
        for line in lines:
            content = line.partition("Z")[2]
            found += [match["host"] for each in patterns if (match := each.match(content))]
        self.assertEqual(found, ["192.0.2.7", "2001:db8::8", "192.0.2.9"])

    def test_jail(self) -> None:
        """The jail uses this filter."""
        parser = RawConfigParser()
        parser.read(FOLDER / "jail.d" / "filehub.conf")
        self.assertEqual(parser["filehub"]["filter"], "filehub")
