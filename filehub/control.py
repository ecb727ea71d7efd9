"""
What an operator asks a running server: who is there, and that somebody leaves.

Each process of a server listens at a socket of its own in the folder C{control} of the
state folder, which is closed to everybody else.  A question is one line of JSON; the
answer is lines of JSON, of which the last one says that it is whole.  Whoever asks asks
all of the sockets (L{ask}), so that nobody has to collect what several processes know.
"""

from __future__ import annotations

import ipaddress
import json
import os
import socket
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from zope.interface import implementer

from filehub.errors import StorageUnavailable
from filehub.networks import isWithin
from filehub.registry import SessionRegistry
from filehub.slots import SessionSlot

#: The folder with the sockets, in the state folder.
FOLDER: Final = "control"
#: Rows that are written before others have their turn.
_ROWS: Final = 100
#: Seconds that the answer of a process may take.
_PATIENCE: Final = 10.0
#: What the last line of an answer says.
_WHOLE: Final = {"whole": True}

Row = dict[str, Any]


def rowOf(slot: SessionSlot, now: float) -> Row:
    """
    What there is to say of a session.

    @param now: by the registry's clock, seconds.
    """
    connection = slot.connection
    nbytes, moving = slot.moved(now) or (None, None)
    return {
        "session": connection.sessionId,
        "process": os.getpid(),
        "protocol": connection.protocol,
        "secure": connection.secure,
        "account": slot.account,
        "address": connection.peer.host,
        "port": connection.peer.port,
        "seconds": round(now - slot.since, 1),
        "activity": slot.activity,
        "bytes": nbytes,
        "moving": None if moving is None else round(moving, 3),
    }


class Control(LineOnlyReceiver):
    """
    Answers one question.

    @ivar registry: whose sessions these are.
    """

    transport: Any
    delimiter = b"\n"
    MAX_LENGTH = 4096

    def __init__(self, registry: SessionRegistry) -> None:
        self.registry = registry

    def lineReceived(self, line: bytes) -> None:
        """A question; anything else is answered by the end of the connection."""
        try:
            question = json.loads(line)
            rows = self._answer(question)
        except (ValueError, TypeError, KeyError):
            self.transport.loseConnection()
            return
        self.transport.registerProducer(_Answer(self.transport, rows), False)

    def _answer(self, question: Mapping[str, Any]) -> Iterator[Row]:
        if question["ask"] == "who":
            now = self.registry.clock.seconds()
            return (rowOf(slot, now) for slot in self.registry)
        if question["ask"] == "leave":
            return iter(self._leave(question))
        raise ValueError

    def _leave(self, question: Mapping[str, Any]) -> list[Row]:
        reason = "".join(each if each.isprintable() else "?" for each in str(question["reason"]))
        number, account, address = (
            question.get(each) for each in ("session", "account", "address")
        )
        network = None if address is None else ipaddress.ip_network(address)
        found = [
            slot
            for slot in self.registry
            if (number is None or slot.connection.sessionId == number)
            and (account is None or slot.account == account)
            and (network is None or isWithin(slot.connection.peer.host, (network,)))
        ]
        now = self.registry.clock.seconds()
        gone = [rowOf(slot, now) for slot in found]
        self.registry.disconnect(found, reason)
        return gone


@implementer(IPullProducer)
class _Answer:
    """Rows as fast as they are read: there may be thousands, and others wait."""

    def __init__(self, transport: Any, rows: Iterator[Row]) -> None:
        self._transport = transport
        self._rows = rows

    def resumeProducing(self) -> None:
        rows = list(islice(self._rows, _ROWS))
        isLast = len(rows) < _ROWS
        if isLast:
            rows.append(_WHOLE)
        self._transport.write("".join(json.dumps(row) + "\n" for row in rows).encode())
        if isLast:
            self._transport.unregisterProducer()
            self._transport.loseConnection()

    def stopProducing(self) -> None:
        self._rows = iter(())


class ControlFactory(ServerFactory):
    """Answers with what one registry knows."""

    noisy = False

    def __init__(self, registry: SessionRegistry) -> None:
        self._registry = registry

    def buildProtocol(self, addr: object) -> Control:
        """One question."""
        return Control(self._registry)


class ControlService(Service):
    """Listens while the server serves; a server that cannot is served without."""

    _log = Logger()

    def __init__(self, reactor: Any, registry: SessionRegistry, state: Path) -> None:
        """
        @param reactor: provides C{IReactorSocket}.
        @param state: the state folder.
        """
        self._reactor = reactor
        self._registry = registry
        self._folder = state / FOLDER
        self._path: Path | None = None
        self._port: Any = None

    def startService(self) -> None:
        """Listen, now that it is known who this process is and whose the folder."""
        super().startService()  # type: ignore[no-untyped-call]
        path = self._folder / str(os.getpid())
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(str(path))
                self._path = path
                listening.listen(8)
                listening.setblocking(False)
                self._port = self._reactor.adoptStreamPort(
                    listening.fileno(), socket.AF_UNIX, ControlFactory(self._registry)
                )
        except OSError as error:
            reason = error.strerror or str(error)
            self._log.warn(
                "nobody can ask who is there: {path}: {reason}", path=str(path), reason=reason
            )

    def stopService(self) -> Deferred[None]:
        """Listen no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        path, self._path = self._path, None
        if path is not None:
            path.unlink(missing_ok=True)
        port, self._port = self._port, None
        if port is None:
            return succeed(None)
        stopped: Deferred[None] = Deferred.fromCoroutine(_stopped(port))
        return stopped


async def _stopped(port: Any) -> None:
    await port.stopListening()


def ask(state: Path, question: Mapping[str, Any]) -> list[Row] | None:
    """
    What all processes answer; L{None}: there is no server.  Blocks, for commands.

    @param question: C{{"ask": "who"}}, or C{{"ask": "leave", "reason": ...}} and any of
        C{session}, C{account} and C{address}.
    @raise FileHubError: a process does not answer, or the folder is somebody else's.
    """
    found: list[Row] | None = None
    try:
        paths = sorted((state / FOLDER).iterdir())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageUnavailable(None, f"{state}: {error.strerror}") from None
    for path in paths:
        try:
            rows = _askOne(path, question)
        except (ConnectionRefusedError, FileNotFoundError):
            # Of a process that was killed.
            path.unlink(missing_ok=True)
            continue
        except (OSError, ValueError) as error:
            raise StorageUnavailable(None, f"{path} does not answer: {error}") from None
        found = (found or []) + rows
    return found


def _askOne(path: Path, question: Mapping[str, Any]) -> list[Row]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_PATIENCE)
        connection.connect(str(path))
        connection.sendall(json.dumps(question).encode() + b"\n")
        with connection.makefile("rb") as lines:
            rows = [json.loads(line) for line in lines]
    if not rows or rows.pop() != _WHOLE:
        raise ValueError("the answer is not whole")
    return rows


__all__ = ["FOLDER", "Control", "ControlService", "Row", "ask", "rowOf"]
