"""
What is written about events: one line each, whatever clients call themselves.
"""

from __future__ import annotations

import errno
import json
import os
import unicodedata
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import Logger, LogLevel
from twisted.trial.unittest import SynchronousTestCase

from filehub import events, observers
from filehub.credentials import Address, ConnectionInfo
from filehub.errors import ConfigurationError
from filehub.events import (
    AddressBanned,
    AddressRefused,
    ClientNamed,
    Denied,
    Direction,
    Event,
    LoggedIn,
    LoginRefused,
    NameChanged,
    Outcome,
    PassivePortsExhausted,
    ProtocolViolation,
    SessionEnded,
    SessionRefused,
    SessionStarted,
    TransferEnded,
)
from filehub.logfile import LineFile
from filehub.observers import (
    CountingSink,
    LineObserver,
    LogSink,
    Sinks,
    TransferLogSink,
    escaped,
    factsOf,
)
from filehub.paths import ROOT, VirtualPath
from tests.accounts.doubles import Events

CLIENT = ConnectionInfo("ftp", 7, Address("192.0.2.9", 4711), Address("192.0.2.1", 21), True)

#: What clients call themselves to forge lines, drive terminals and fool formats.
HOSTILE = (
    "\n2026-11-24T00:00:00Z info  ftp 192.0.2.1 #1 LoggedIn account=root",
    "\r\n250 ok",
    "\x1b]0;title\x07\x1b[2J",
    "\u202egnp.exe",
    "\u2066isolate\u2069",
    "\u2028line\u2029paragraph\x85next\x0b\x0c\x1c",
    "{log_source.x}",
    "{facts!r} {0} {connection.peer} %s %(x)s",
    "{",
    "\x9b31m",
    "\udcff\udc80",
    "\ud800",
    "\x7f\x00",
    "\ufeff\u200b",
    '" level="critical',
    "a b\\nc",
    "x" * 100_000,
)


def allEvents(text: str) -> list[Event]:
    """Every kind of event with C{text} in all places that clients fill."""
    path = VirtualPath._trusted((text,))
    return [
        SessionStarted(CLIENT),
        SessionRefused(CLIENT, text),
        AddressRefused(CLIENT, text),
        AddressBanned(CLIENT, "192.0.2.0/24", 900.0, text),
        SessionEnded(CLIENT, text, text, 1.5),
        ClientNamed(CLIENT, text),
        LoggedIn(CLIENT, text),
        LoginRefused(CLIENT, text, text),
        Denied(CLIENT, text, "stat", path, text),
        NameChanged(CLIENT, text, "rename", path, path),
        TransferEnded(
            CLIENT, text, Direction.UPLOAD, path, Outcome.ABORTED, 5, 2.0, text, (("note", text),)
        ),
        ProtocolViolation(CLIENT, text),
        PassivePortsExhausted(CLIENT),
    ]


def isClean(line: str) -> bool:
    """No character that does more than stand there."""
    return not any(unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") for each in line)


class LoggingCase(SynchronousTestCase):
    """Events on their way through Twisted's log."""

    def lines(
        self, happened: list[Event], form: Any, level: LogLevel = LogLevel.debug
    ) -> list[str]:
        """What is written."""
        written: list[str] = []
        observer = LineObserver(written.append, form, level)
        self.patch(LogSink, "log", Logger("filehub", observer=observer))
        sink = LogSink(level)
        for event in happened:
            sink.emit(event)
        return "\n".join(written).split("\n") if written else []


class ForgeryTests(LoggingCase):
    """T-I3 and T-I4 of every log."""

    def test_everyKind(self) -> None:
        """The list of this test knows every kind of event that there is."""
        kinds = {
            value
            for value in vars(events).values()
            if isinstance(value, type) and issubclass(value, Event) and value is not Event
        }
        self.assertEqual({type(each) for each in allEvents("x")}, kinds)
        self.assertEqual(set(observers._LEVELS), kinds)

    def test_text(self) -> None:
        """One line per event, without a character that is not plainly printed."""
        for text in HOSTILE:
            happened = allEvents(text)
            lines = self.lines(happened, "text")
            self.assertEqual(len(lines), len(happened), repr(text[:40]))
            for line in lines:
                self.assertTrue(isClean(line), repr(line[:200]))
                self.assertRegex(
                    line, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \w+ +ftp 192\.0\.2\.9 #7 \w+"
                )
                self.assertLess(len(line), 8000)

    def test_json(self) -> None:
        """One JSON object per line, in which nothing is more than text."""
        for text in HOSTILE:
            happened = allEvents(text)
            lines = self.lines(happened, "json")
            self.assertEqual(len(lines), len(happened), repr(text[:40]))
            for line, event in zip(lines, happened, strict=True):
                self.assertTrue(line.isascii())
                row = json.loads(line)
                self.assertEqual(row["event"], type(event).__name__)
                self.assertEqual((row["peer"], row["session"]), ("192.0.2.9", 7))
                for value in row.values():
                    self.assertTrue(not isinstance(value, str) or isClean(value), repr(value))

    def test_formats(self) -> None:
        """Text that looks like a format is printed as it is."""
        for text in ("{log_source.x}", "{facts!r}", "%s", "{0}"):
            (line,) = self.lines([LoginRefused(CLIENT, text, "why")], "text")
            self.assertTrue(line.endswith(f"LoginRefused user={text} reason=why"), line)
            (line,) = self.lines([LoginRefused(CLIENT, text, "why")], "json")
            self.assertEqual(json.loads(line)["user"], text)

    @given(st.text())
    def test_anyText(self, text: str) -> None:
        """Whatever the name is, it is one clean line, and different names look different."""
        for form in ("text", "json"):
            (line,) = self.lines([LoggedIn(CLIENT, text)], form)
            self.assertTrue(isClean(line))
        self.assertEqual(escaped(escaped(text)[:0]), "")
        self.assertTrue(isClean(escaped(text)))

    @given(st.text(max_size=50), st.text(max_size=50))
    def test_escapingKeepsApart(self, first: str, second: str) -> None:
        """Escaping is reversible: a name that contains an escape is not the other name."""
        self.assertEqual(first == second, escaped(first) == escaped(second))

    def test_escapes(self) -> None:
        """The forms of the escapes, which nothing else looks like."""
        for real, written in (("\n", r"\x0a"), ("\u202e", r"\u202e"), ("\udcff", r"\xff")):
            self.assertEqual(escaped(real), written)
            self.assertNotEqual(escaped(written), written)
        self.assertEqual(
            escaped("ä\n\x1b\x85\u202e\U000e0001\udcff\\"),
            r"ä\x0a\x1b\x85\u202e\U000e0001\xff" + "\\\\",
        )

    def test_truncated(self) -> None:
        """Long text is cut, visibly."""
        self.assertEqual(escaped("x" * 513), "x" * 512 + "...")
        self.assertEqual(escaped("x" * 512), "x" * 512)

    def test_failures(self) -> None:
        """
        What an exception says cannot begin a line: tracebacks are indented.
        """
        written: list[str] = []
        log = Logger("x", observer=LineObserver(written.append, "text"))
        try:
            raise ValueError("bad\n2026-11-24T00:00:00Z info  forged\x1b[2J")
        except ValueError:
            log.failure("it {what}", what="broke\n2026 forged")
        first, *rest = "\n".join(written).split("\n")
        self.assertRegex(first, r"^\S+Z critical it broke")
        self.assertTrue(rest)
        for line in rest:
            self.assertTrue(line.startswith("  "), line)
            self.assertTrue(isClean(line))
        written.clear()
        Logger("x", observer=LineObserver(written.append, "json")).info(
            "it {what}", what="a\nb\x1b"
        )
        (line,) = written
        self.assertNotIn("\n", line)
        self.assertTrue(isClean(line))


class LogSinkTests(LoggingCase):
    """What is said, and when."""

    def test_line(self) -> None:
        """Address first, what clients chose last; text with spaces is quoted."""
        event = TransferEnded(
            CLIENT, "ann", Direction.DOWNLOAD, ROOT.join("/a b"), Outcome.STALLED, 12, 1.23456,
            "no progress", (("resent", 3),),
        )  # fmt: skip
        (line,) = self.lines([event], "text")
        self.assertEqual(
            line.partition("Z ")[2],
            "info  ftp 192.0.2.9 #7 TransferEnded account=ann direction=download"
            ' path="/a b" outcome=stalled nbytes=12 seconds=1.235 reason="no progress" resent=3',
        )

    def test_row(self) -> None:
        """The same as JSON has numbers where there are numbers."""
        event = TransferEnded(
            CLIENT, "ann", Direction.DOWNLOAD, ROOT.join("/a b"), Outcome.STALLED, 12, 1.25, "",
            (("resent", 3),),
        )  # fmt: skip
        row = json.loads(self.lines([event], "json")[0])
        self.assertRegex(row.pop("time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(
            row,
            {
                "level": "info", "event": "TransferEnded", "protocol": "ftp", "session": 7,
                "peer": "192.0.2.9", "port": 4711, "secure": True, "account": "ann",
                "direction": "download", "path": "/a b", "outcome": "stalled", "nbytes": 12,
                "seconds": 1.25, "resent": 3,
            },
        )  # fmt: skip

    def test_levels(self) -> None:
        """Each level leaves out what is less."""
        counts = {
            level: len(self.lines(allEvents("x"), "text", LogLevel.levelWithName(level)))
            for level in ("debug", "info", "warn", "error")
        }
        self.assertEqual(counts, {"debug": 13, "info": 9, "warn": 4, "error": 0})

    def test_emptyFacts(self) -> None:
        """Facts that are not there are left out; zero is there."""
        event = TransferEnded(CLIENT, "ann", Direction.UPLOAD, ROOT, Outcome.COMPLETED, 0, 0.0)
        self.assertEqual(
            [name for name, _ in factsOf(event)],
            ["account", "direction", "path", "outcome", "nbytes", "seconds"],
        )


class _Failing:
    """A sink with a defect."""

    def emit(self, event: Event) -> None:
        raise ZeroDivisionError


class SinksTests(SynchronousTestCase):
    """L{Sinks}."""

    def test_failing(self) -> None:
        """One that fails is logged and keeps the event from nobody."""
        before, after = Events(), Events()
        Sinks([before, _Failing(), after]).emit(SessionStarted(CLIENT))
        self.assertEqual(before.seen, [SessionStarted(CLIENT)])
        self.assertEqual(after.seen, [SessionStarted(CLIENT)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_wants(self) -> None:
        """Who says what it wants is told that and nothing else, each time."""
        some, every = _Choosy(), Events()
        sinks = Sinks([some, every])
        ended = SessionEnded(CLIENT, "ann", "quit", 1.0)
        for event in (SessionStarted(CLIENT), ended, SessionStarted(CLIENT), ended):
            sinks.emit(event)
        self.assertEqual(some.seen, [ended, ended])
        self.assertEqual(len(every.seen), 4)


class _Choosy(Events):
    """Wants to know how sessions end."""

    def wants(self, kind: type[Event]) -> bool:
        """See L{Sinks}."""
        return kind is SessionEnded


class TransferLogTests(SynchronousTestCase):
    """The xferlog."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.patch(observers.time, "localtime", observers.time.gmtime)

    def sink(self, path: Path | None = None) -> TransferLogSink:
        """It stands at noon of a day in 2026."""
        sink = TransferLogSink(path or self.path, clock=lambda: 1_795_521_600.0)
        self.addCleanup(sink.close)
        return sink

    def event(self, **changes: Any) -> TransferEnded:
        """A download."""
        given: dict[str, Any] = {
            "connection": CLIENT, "account": "ann", "direction": Direction.DOWNLOAD,
            "path": ROOT.join("/pub/file"), "outcome": Outcome.COMPLETED, "nbytes": 1234,
            "seconds": 2.6,
        }  # fmt: skip
        return TransferEnded(**{**given, **changes})

    def line(self, **changes: Any) -> str:
        """Its line."""
        self.sink().emit(self.event(**changes))
        return self.path.read_text().splitlines()[-1]

    def test_shape(self) -> None:
        """The fourteen fields of xferlog(5)."""
        self.assertEqual(
            self.line(),
            "Tue Nov 24 12:00:00 2026 3 192.0.2.9 1234 /pub/file b _ o r ann ftp 0 * c",
        )

    def test_variants(self) -> None:
        """Uploads, anonymous users, broken transfers, quick ones."""
        for changes, expected in (
            ({"direction": Direction.UPLOAD}, "b _ i r ann ftp 0 * c"),
            ({"account": "anonymous"}, "b _ o a anonymous ftp 0 * c"),
            ({"outcome": Outcome.UNCONFIRMED}, "b _ o r ann ftp 0 * c"),
            ({"outcome": Outcome.ABORTED}, "b _ o r ann ftp 0 * i"),
            ({"outcome": Outcome.PEER_GONE}, "b _ o r ann ftp 0 * i"),
            ({"outcome": Outcome.FAILED}, "b _ o r ann ftp 0 * i"),
        ):
            self.assertTrue(self.line(**changes).endswith(f" {expected}"), changes)
        self.assertIn(" 2026 1 192.0.2.9 ", self.line(seconds=0.0))

    def test_hostile(self) -> None:
        """Every line has the same number of words and only ASCII, whatever the names are."""
        for text in HOSTILE:
            path = VirtualPath._trusted(("a " + text,))
            line = self.line(account=text, path=path)
            self.assertTrue(isClean(line), repr(line[:200]))
            self.assertEqual(len(line.split(" ")), 18, repr(text[:40]))
        count = len(self.path.read_bytes().split(b"\n")) - 1
        self.assertEqual(count, len(HOSTILE))

    def test_otherEvents(self) -> None:
        """Only transfers are written."""
        sink = self.sink()
        for event in allEvents("x"):
            sink.emit(event)
        self.assertEqual(len(self.path.read_text().splitlines()), 1)

    def test_appends(self) -> None:
        """What is there stays."""
        self.path.write_text("older\n")
        self.line()
        self.assertTrue(self.path.read_text().startswith("older\n"))

    def test_cannotBeWritten(self) -> None:
        """A place that cannot be written is a line for the operator at the start."""
        with self.assertRaises(ConfigurationError) as caught:
            TransferLogSink(self.path / "missing" / "log")
        self.assertIn("cannot be written: No such file or directory", str(caught.exception))

    def test_fullDisk(self) -> None:
        """A full disk is complained of once, and raises nothing, not even at the end."""
        if not os.path.exists("/dev/full"):
            self.skipTest("needs /dev/full")
        seen: list[Any] = []
        self.patch(LineFile, "_log", Logger("x", observer=seen.append))
        sink = TransferLogSink(Path("/dev/full"))
        for _ in range(5):
            sink.emit(self.event())
        self.assertEqual([each["reason"] for each in seen], [os.strerror(errno.ENOSPC)])
        sink.close()
        sink.emit(self.event())
        self.assertEqual(len(seen), 1)


class CountingTests(SynchronousTestCase):
    """L{CountingSink}."""

    def transfer(self, direction: Direction, outcome: Outcome, nbytes: int) -> Event:
        return TransferEnded(CLIENT, "ann", direction, ROOT, outcome, nbytes, 1.0)

    def test_counts(self) -> None:
        """Events by name; transfers and bytes by protocol, direction and outcome."""
        sink = CountingSink()
        for event in allEvents("x"):
            sink.emit(event)
        for outcome, nbytes in ((Outcome.COMPLETED, 7), (Outcome.ABORTED, 2)):
            sink.emit(self.transfer(Direction.DOWNLOAD, outcome, nbytes))
        self.assertEqual(sink.events["Denied"], 1)
        self.assertEqual(sink.events["TransferEnded"], 3)
        self.assertEqual(sink.transfers["ftp", Direction.DOWNLOAD, Outcome.COMPLETED], 1)
        self.assertEqual(sink.transfers["ftp", Direction.UPLOAD, Outcome.COMPLETED], 0)
        self.assertEqual(sink.nbytes["ftp", Direction.DOWNLOAD], 9)
        self.assertEqual(sink.nbytes["ftp", Direction.UPLOAD], 5)

    def test_report(self) -> None:
        """One line for all."""
        written: list[str] = []
        self.patch(CountingSink, "_log", Logger("x", observer=LineObserver(written.append, "text")))
        sink = CountingSink()
        for event in allEvents("x"):
            sink.emit(event)
        sink.report()
        self.assertEqual(
            [line.partition("served ")[2] for line in written],
            ["1 sessions, 1 transfers, 0 bytes out, 5 in; refused 2 sessions and 1 logins"],
        )


class LineObserverTests(SynchronousTestCase):
    """The daemon's log itself."""

    def test_level(self) -> None:
        """Lesser records are left out; without a level a record is information."""
        written: list[str] = []
        observer = LineObserver(written.append, "text", LogLevel.warn)
        log = Logger("x", observer=observer)
        log.info("no")
        log.emit(LogLevel.warn, "yes")
        observer({"log_time": 0.0, "log_format": "no"})
        self.assertEqual([line.partition("Z ")[2] for line in written], ["warn  yes"])

    def test_brokenFormat(self) -> None:
        """A record that cannot be formatted is written as what it is."""
        written: list[str] = []
        Logger("x", observer=LineObserver(written.append, "text")).info("{missing.field}")
        self.assertIn("Unable to format", written[0])

    def test_milliseconds(self) -> None:
        """JSON records have milliseconds, rounded down: never the next second's."""
        written: list[str] = []
        observer = LineObserver(written.append, "json")
        observer({"log_time": 59.9999, "log_format": "x"})
        self.assertEqual(json.loads(written[0])["time"], "1970-01-01T00:00:59.999Z")
