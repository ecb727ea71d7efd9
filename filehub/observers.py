"""
Where events go: the log, the transfer log, all of them at once.

Events carry text from clients.  It is escaped here, once, for all that is written for
people, so that no name can forge a line or drive a terminal.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, Final, Literal

from twisted.logger import ILogObserver, Logger, LogLevel, formatEvent
from zope.interface import implementer

from filehub.credentials import ConnectionInfo
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
from filehub.interfaces import IEventSink
from filehub.logfile import LineFile

#: The longest text from a client that is logged.
_LONGEST: Final = 512


def escaped(text: str) -> str:
    """
    C{text} on one line, with everything that is not plainly printable (control and
    bidirectional characters, bytes that are no UTF-8) as backslash escapes.
    """
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + "..."
    if text.isprintable():
        return text.replace("\\", "\\\\")
    return "".join(
        "\\\\" if each == "\\" else each if each.isprintable() else _escape(each) for each in text
    )


def _escape(character: str) -> str:
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:
        # A byte that was not UTF-8.
        return f"\\x{number - 0xDC00:02x}"
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


@implementer(IEventSink)
class Sinks:
    """Several sinks as one; one that fails does not keep the event from the others."""

    _log = Logger()

    def __init__(self, sinks: Iterable[IEventSink]) -> None:
        """
        @param sinks: one that has a method C{wants(kind)} is told only events of the
            classes for which it says yes.
        """
        self._sinks = tuple(sinks)
        #: Whom to tell, by class of event.
        self._tell: dict[type[Event], tuple[Callable[[Event], None], ...]] = {}

    def emit(self, event: Event) -> None:
        """See L{IEventSink.emit}."""
        kind = type(event)
        try:
            tell = self._tell[kind]
        except KeyError:
            tell = self._tell[kind] = tuple(sink.emit for sink in self._sinks if _wants(sink, kind))
        for each in tell:
            try:
                each(event)
            except Exception:
                self._log.failure("an event sink failed")


def _wants(sink: Any, kind: type[Event]) -> bool:
    wants = getattr(sink, "wants", None)
    return wants is None or bool(wants(kind))


#: Which events are worth which level.
_LEVELS: Final[dict[type[Event], LogLevel]] = {
    SessionStarted: LogLevel.debug,
    SessionEnded: LogLevel.debug,
    SessionRefused: LogLevel.warn,
    # Whoever is banned may come a thousand times a second.
    AddressRefused: LogLevel.debug,
    AddressBanned: LogLevel.warn,
    ClientNamed: LogLevel.info,
    LoggedIn: LogLevel.info,
    LoginRefused: LogLevel.warn,
    Denied: LogLevel.info,
    NameChanged: LogLevel.info,
    TransferEnded: LogLevel.info,
    ProtocolViolation: LogLevel.warn,
    # Whoever is short of ports is told once a minute, by the listener.
    PassivePortsExhausted: LogLevel.debug,
}


#: What Twisted's formatter and L{str.format_map} make the same of: names only.
_LINE: Final = "{protocol} {peer} #{session} {name}{facts}"

#: The fields of each kind of event that has been seen, besides the connection.
_names: Final[dict[type[Event], tuple[str, ...]]] = {}


@implementer(IEventSink)
class LogSink:
    """
    A line for each event in Twisted's log.  The address comes first and what clients
    chose comes last, as tools that read logs for attacks need it.
    """

    log = Logger(namespace="filehub")

    def __init__(self, level: LogLevel = LogLevel.info) -> None:
        """
        @param level: lesser events are not even formatted.
        """
        self._kinds = frozenset(kind for kind, each in _LEVELS.items() if each >= level)
        # Each look at the class makes a new logger.
        self._emit = self.log.emit

    def wants(self, kind: type[Event]) -> bool:
        """Are events of this class worth the level?"""
        return kind in self._kinds

    def emit(self, event: Event) -> None:
        """See L{IEventSink.emit}."""
        kind = type(event)
        if kind not in self._kinds:
            return
        connection = event.connection
        self._emit(
            _LEVELS[kind],
            _LINE,
            protocol=connection.protocol,
            peer=connection.peer.host,
            session=connection.sessionId,
            name=kind.__name__,
            facts="".join(f" {name}={_shown(value)}" for name, value in factsOf(event)),
            filehubEvent=event,
        )


def factsOf(event: Event) -> list[tuple[str, Any]]:
    """The fields of an event besides its connection, without the empty ones."""
    found: list[tuple[str, Any]] = []
    kind = type(event)
    names = _names.get(kind)
    if names is None:
        names = tuple(each.name for each in fields(event) if each.name != "connection")
        _names[kind] = names
    for name in names:
        value = getattr(event, name)
        if value is None or value == "" or value == ():
            continue
        if name == "notes":
            found.extend(value)
        else:
            found.append((name, value))
    return found


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, (Outcome, Direction)):
        value = value.value
    elif isinstance(value, int):
        return str(value)
    text = escaped(str(value))
    return json.dumps(text, ensure_ascii=False) if " " in text or '"' in text else text


@implementer(IEventSink)
class TransferLogSink:
    """
    The transfer log that wu-ftpd began and every log analyser reads (xferlog(5)): one
    line for each transfer.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """
        @param clock: seconds since the epoch.
        @raise ConfigurationError: it cannot be written.
        """
        self._file = LineFile(path)
        self._clock = clock

    def wants(self, kind: type[Event]) -> bool:
        """Is it told what it writes down?"""
        return issubclass(kind, TransferEnded)

    def emit(self, event: Event) -> None:
        """See L{IEventSink.emit}."""
        if isinstance(event, TransferEnded):
            self._file.writeLine(self._line(event))

    def _line(self, event: TransferEnded) -> str:
        moment = time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(self._clock()))
        complete = event.outcome in (Outcome.COMPLETED, Outcome.UNCONFIRMED)
        anonymous = event.account == "anonymous"
        words = (
            moment,
            str(max(1, round(event.seconds))),
            event.connection.peer.host,
            str(event.nbytes),
            escaped(str(event.path)).replace(" ", "_"),
            "b",
            "_",
            "i" if event.direction is Direction.UPLOAD else "o",
            "a" if anonymous else "r",
            escaped(event.account).replace(" ", "_"),
            event.connection.protocol,
            "0",
            "*",
            "c" if complete else "i",
        )
        return " ".join(words)

    def close(self) -> None:
        """No event may follow."""
        self._file.close()


@implementer(IEventSink)
class CountingSink:
    """
    How often what happened.

    @ivar events: by name of the event's class.
    @ivar transfers: by protocol, direction and outcome.
    @ivar nbytes: file bytes that moved, by protocol and direction.
    """

    _log = Logger(namespace="filehub")

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.transfers: Counter[tuple[str, Direction, Outcome]] = Counter()
        self.nbytes: Counter[tuple[str, Direction]] = Counter()

    def emit(self, event: Event) -> None:
        """See L{IEventSink.emit}."""
        kind = type(event)
        self.events[kind.__name__] += 1
        if kind is SessionStarted or kind is SessionEnded:
            # As most are.
            return
        if isinstance(event, (SessionRefused, AddressRefused)):
            self.events[kind.__name__] += event.more
        elif isinstance(event, TransferEnded):
            protocol = event.connection.protocol
            self.transfers[protocol, event.direction, event.outcome] += 1
            self.nbytes[protocol, event.direction] += event.nbytes

    def asText(self) -> str:
        """What L{add} takes, in another process for instance."""
        rows = [(key[0], key[1].value, count) for key, count in self.nbytes.items()]
        return json.dumps([dict(self.events), rows])

    def add(self, text: str) -> None:
        """Count also what another one has counted, as far as L{report} tells it."""
        events, rows = json.loads(text)
        self.events.update(events)
        for protocol, direction, count in rows:
            self.nbytes[protocol, Direction(direction)] += count

    def report(self) -> None:
        """A line in the log for what was served: at the end, for instance."""
        self._log.info(
            "served {sessions} sessions, {transfers} transfers, {sent} bytes out, {received} in;"
            " refused {refused} sessions and {logins} logins",
            sessions=self.events["SessionStarted"],
            transfers=self.events["TransferEnded"],
            sent=self._bytes(Direction.DOWNLOAD),
            received=self._bytes(Direction.UPLOAD),
            refused=self.events["SessionRefused"] + self.events["AddressRefused"],
            logins=self.events["LoginRefused"],
        )

    def _bytes(self, direction: Direction) -> int:
        return sum(count for (_, each), count in self.nbytes.items() if each is direction)


@implementer(ILogObserver)
class LineObserver:
    """
    Twisted's log as text or as JSON lines.

    @ivar level: lesser records are left out.
    """

    def __init__(
        self,
        writeLine: Callable[[str], object],
        form: Literal["text", "json"],
        level: LogLevel = LogLevel.info,
    ) -> None:
        """
        @param writeLine: takes a record without its line end, e.g. that of a
            L{LineFile<filehub.logfile.LineFile>}.
        """
        self._writeLine = writeLine
        self._asJSON = form == "json"
        self.level = level

    def __call__(self, record: Any) -> None:
        """See L{ILogObserver}."""
        level = record.get("log_level", LogLevel.info)
        if level < self.level:
            return
        self._writeLine(self._json(record, level) if self._asJSON else self._text(record, level))

    def _text(self, record: Any, level: LogLevel) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record["log_time"]))
        return f"{moment} {level.name:<5} {_message(record)}"

    def _json(self, record: Any, level: LogLevel) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record["log_time"]))
        milliseconds = int(record["log_time"] % 1 * 1000)
        row: dict[str, Any] = {"time": f"{moment}.{milliseconds:03d}Z", "level": level.name}
        event = record.get("filehubEvent")
        if event is None:
            row["message"] = _message(record)
        else:
            row["event"] = type(event).__name__
            row.update(_plain(event.connection))
            row.update((name, _jsonable(value)) for name, value in factsOf(event))
        return json.dumps(row)


def _message(record: Any) -> str:
    """One message: its own line breaks (tracebacks) stay, other controls do not."""
    # Twisted's formatter takes ten times as long, and transfers may be short.
    text = _LINE.format_map(record) if "filehubEvent" in record else formatEvent(record)
    if "log_failure" in record:
        text += "\n" + record["log_failure"].getTraceback()
    if text.isprintable():
        # As nearly always, and found out a hundred times as fast as below.
        return text
    return "\n  ".join(
        "".join(each if each.isprintable() else _escape(each) for each in line)
        for line in text.splitlines()
    )


def _plain(connection: ConnectionInfo) -> dict[str, Any]:
    return {
        "protocol": connection.protocol,
        "session": connection.sessionId,
        "peer": connection.peer.host,
        "port": connection.peer.port,
        "secure": connection.secure,
    }


def _jsonable(value: Any) -> Any:
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (Outcome, Direction)):
        return value.value
    return escaped(str(value))
