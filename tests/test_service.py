"""
The service's life: binding, serving, ending, and not starting at all.
"""

from __future__ import annotations

import errno
import io
import os
import resource
import sys
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from filehub import service as module
from filehub.credentials import Address
from filehub.errors import ConfigurationError, StorageUnavailable
from filehub.registry import SessionRegistry
from filehub.service import (
    DRAIN,
    SWEEP,
    FileHubService,
    ListenerService,
    SweepingService,
    checkPrivileges,
    giveUp,
    raiseLimits,
)


class _Port:
    """A bound port."""

    def __init__(self) -> None:
        self.stops = 0
        self.stopping: Deferred[None] | None = None

    def stopListening(self) -> Any:
        self.stops += 1
        return self.stopping


class _Endpoint:
    """Binds, or fails."""

    def __init__(self, failure: BaseException | None = None) -> None:
        self.failure = failure
        self.port = _Port()
        self.listens = 0

    def listen(self, factory: Any) -> Deferred[Any]:
        self.listens += 1
        return succeed(self.port) if self.failure is None else fail(self.failure)


class _Storage:
    """Remembers what it is told."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name = name
        self.calls = calls
        self.failure: BaseException | None = None

    async def sweep(self) -> None:
        self.calls.append(f"sweep {self.name}")
        if self.failure is not None:
            raise self.failure

    async def close(self) -> None:
        self.calls.append(f"close {self.name}")
        if self.failure is not None:
            raise self.failure


def listener(endpoint: _Endpoint) -> ListenerService:
    """A listener on it."""
    return ListenerService(endpoint, Factory(), "tcp:21")


class ListenerTests(SynchronousTestCase):
    """L{ListenerService}."""

    def test_once(self) -> None:
        """Bound at the privileged start, and not again."""
        endpoint = _Endpoint()
        service = listener(endpoint)
        service.privilegedStartService()
        service.startService()
        self.assertEqual(endpoint.listens, 1)
        self.assertIs(service.port, endpoint.port)

    def test_late(self) -> None:
        """Without one, bound at the start."""
        endpoint = _Endpoint()
        listener(endpoint).startService()
        self.assertEqual(endpoint.listens, 1)

    def test_stop(self) -> None:
        """Stopping waits for the port, happens once, and a start binds anew."""
        endpoint = _Endpoint()
        endpoint.port.stopping = Deferred()
        service = listener(endpoint)
        service.startService()
        self.assertIs(service.stopService(), endpoint.port.stopping)
        self.assertIsNone(service.stopService())
        self.assertEqual(endpoint.port.stops, 1)
        service.startService()
        self.assertEqual(endpoint.listens, 2)

    def test_obstacles(self) -> None:
        """Why it cannot be bound, in one line, with the endpoint."""
        for failure, text in (
            (CannotListenError("", 21, OSError(errno.EADDRINUSE, "Address already in use")),
             "Address already in use"),
            (CannotListenError("", 21, PermissionError(errno.EACCES, "Permission denied")),
             "Permission denied"),
            (OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"),
             "Cannot assign requested address"),
            (ValueError("what is that"), "what is that"),
        ):  # fmt: skip
            for start in ("privilegedStartService", "startService"):
                with self.assertRaises(ConfigurationError) as caught:
                    getattr(listener(_Endpoint(failure)), start)()
                self.assertEqual(str(caught.exception), f"cannot listen on tcp:21: {text}")


class SweepingTests(SynchronousTestCase):
    """L{SweepingService}."""

    def test_rhythm(self) -> None:
        """All storages, now and every hour; one that fails keeps it from no other."""
        clock = Clock()
        calls: list[str] = []
        storages = [_Storage("a", calls), _Storage("b", calls)]
        storages[0].failure = StorageUnavailable()
        service = SweepingService(clock, storages)
        service.startService()
        self.assertEqual(calls, ["sweep a", "sweep b"])
        clock.advance(SWEEP)
        self.assertEqual(calls, ["sweep a", "sweep b"] * 2)
        service.stopService()
        clock.advance(SWEEP * 3)
        self.assertEqual(len(calls), 4)
        self.assertEqual(clock.getDelayedCalls(), [])


class ServiceTests(SynchronousTestCase):
    """L{FileHubService}."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.calls: list[str] = []
        self.registry = SessionRegistry(self.clock)
        self.furnished = 0
        self.endpoint = _Endpoint()
        self.storages = [_Storage("a", self.calls), _Storage("b", self.calls)]
        self.patch(module, "checkPrivileges", lambda: None)

    def furnish(self, service: FileHubService) -> None:
        """Two storages and a listener."""
        self.furnished += 1
        service.addStorages(self.storages)
        service.addListener(listener(self.endpoint))

    def newService(self, **options: Any) -> FileHubService:
        """One that would end the process by raising here."""
        service = FileHubService(self.clock, self.registry, self.furnish, **options)

        def giveUp(error: ConfigurationError) -> Any:
            self.calls.append(f"give up: {error}")
            raise SystemExit(1)

        service.giveUp = giveUp
        return service

    def admit(self, disconnect: Any) -> Any:
        """A session."""
        return self.registry.admit(
            "ftp", Address("192.0.2.1", 1), Address("192.0.2.2", 2), secure=False,
            disconnect=disconnect,
        )  # fmt: skip

    def test_furnishedAtStart(self) -> None:
        """Nothing is made before the start, and then once."""
        service = self.newService()
        self.assertEqual(self.furnished, 0)
        service.privilegedStartService()
        service.startService()
        self.assertEqual(self.furnished, 1)
        self.assertEqual(len(service.listeners), 1)

    def test_whenListening(self) -> None:
        """Called once, after all ports are bound."""
        service = self.newService()

        def listening() -> None:
            self.calls.append(f"listening {self.endpoint.listens}")

        service.whenListening = listening
        service.privilegedStartService()
        self.assertNotIn("listening 1", self.calls)
        service.startService()
        self.assertEqual(self.calls.count("listening 1"), 1)

    def test_cannotListen(self) -> None:
        """An obstacle ends the process, at either kind of start."""
        self.endpoint.failure = OSError(errno.EADDRINUSE, "Address already in use")
        for start in ("privilegedStartService", "startService"):
            self.calls.clear()
            with self.assertRaises(SystemExit):
                getattr(self.newService(), start)()
            self.assertIn("give up: cannot listen on tcp:21: Address already in use", self.calls)

    def test_privilegesAreChecked(self) -> None:
        """Root's leftovers end the process before anything is served."""

        def refuse() -> None:
            raise ConfigurationError("root is left")

        self.patch(module, "checkPrivileges", refuse)
        with self.assertRaises(SystemExit):
            self.newService().startService()
        self.assertEqual(self.calls, ["give up: root is left"])
        self.assertEqual(self.endpoint.listens, 0)

    def test_defects(self) -> None:
        """What is not the operator's mistake is not told as if it were."""

        def furnish(service: FileHubService) -> None:
            raise ZeroDivisionError

        service = FileHubService(self.clock, self.registry, furnish)
        with self.assertRaises(ZeroDivisionError):
            service.startService()

    def test_stop(self) -> None:
        """Without sessions: ports, storages and the rest are closed at once, in order."""
        service = self.newService(
            closing=[lambda: self.calls.append("workers"), lambda: self.calls.append("log")]
        )
        service.startService()
        self.calls.clear()
        self.successResultOf(service.stopService())
        self.assertEqual(self.endpoint.port.stops, 1)
        self.assertEqual(self.calls, ["close a", "close b", "workers", "log"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_drain(self) -> None:
        """Sessions are asked to end; nothing is closed before they have."""
        asked: list[str] = []
        slot = self.admit(asked.append)
        service = self.newService()
        service.startService()
        self.calls.clear()
        stopping = service.stopService()
        self.assertEqual(asked, ["server is shutting down"])
        self.assertEqual(self.endpoint.port.stops, 1)
        self.clock.pump([0.05] * 20)
        self.assertNoResult(stopping)
        self.assertEqual(self.calls, [])
        slot.leave("done")
        self.clock.advance(0.05)
        self.successResultOf(stopping)
        self.assertEqual(self.calls, ["close a", "close b"])

    def test_drainIsBounded(self) -> None:
        """A session that does not end holds the end up for ten seconds."""
        self.admit(lambda reason: None)
        service = self.newService()
        service.startService()
        stopping = service.stopService()
        self.clock.pump([0.05] * int(DRAIN / 0.05 - 2))
        self.assertNoResult(stopping)
        self.clock.pump([0.05] * 4)
        self.successResultOf(stopping)
        self.assertEqual(self.calls[-1], "close b")

    def test_slowPort(self) -> None:
        """The end waits for the ports."""
        self.endpoint.port.stopping = Deferred()
        service = self.newService()
        service.startService()
        stopping = service.stopService()
        self.assertNoResult(stopping)
        self.endpoint.port.stopping.callback(None)
        self.successResultOf(stopping)

    def test_slowClosing(self) -> None:
        """The end waits for each thing that is closed."""
        waiting: Deferred[None] = Deferred()
        service = self.newService(closing=[lambda: waiting, lambda: self.calls.append("log")])
        service.startService()
        stopping = service.stopService()
        self.assertNoResult(stopping)
        self.assertNotIn("log", self.calls)
        waiting.callback(None)
        self.successResultOf(stopping)
        self.assertIn("log", self.calls)

    def test_closingFails(self) -> None:
        """What cannot be closed is logged and keeps nothing else open."""
        self.storages[0].failure = StorageUnavailable()

        def broken() -> None:
            raise ZeroDivisionError

        service = self.newService(
            closing=[broken, lambda: fail(KeyError("x")), lambda: self.calls.append("log")]
        )
        service.startService()
        self.calls.clear()
        self.successResultOf(service.stopService())
        self.assertEqual(self.calls, ["close a", "close b", "log"])
        logged = self.flushLoggedErrors(ZeroDivisionError, KeyError, StorageUnavailable)
        self.assertEqual(len(logged), 3)

    def test_neverStarted(self) -> None:
        """Stopping what never started works."""
        self.successResultOf(self.newService().stopService())

    def test_otherServices(self) -> None:
        """It can be a part of another application's services."""
        from twisted.application.service import MultiService

        parent = MultiService()
        service = self.newService()
        service.setServiceParent(parent)
        other = Service()
        other.setServiceParent(parent)
        parent.privilegedStartService()
        parent.startService()
        self.assertEqual(self.endpoint.listens, 1)
        self.successResultOf(parent.stopService())


class GiveUpTests(SynchronousTestCase):
    """L{giveUp}."""

    def giveUp(self, *arguments: Any) -> str:
        """What is on standard error."""
        stream = io.StringIO()
        self.patch(sys, "__stderr__", stream)
        with self.assertRaises(SystemExit) as caught:
            giveUp(ConfigurationError("f.toml:1: x\nf.toml:2: y"), *arguments)
        self.assertEqual(caught.exception.code, 1)
        return stream.getvalue()

    def test_lines(self) -> None:
        """A line for each mistake, and status 1."""
        self.assertEqual(self.giveUp(), "filehub: f.toml:1: x\nfilehub: f.toml:2: y\n")

    def test_pidFile(self) -> None:
        """Our own pid file does not stay; another process's does."""
        path = Path(self.mktemp())
        path.write_text(str(os.getpid()))
        self.giveUp(str(path))
        self.assertFalse(path.exists())
        path.write_text("1")
        self.giveUp(str(path))
        self.assertTrue(path.exists())
        path.write_text("not a number")
        self.giveUp(str(path))
        self.giveUp(str(path) + ".missing")


class PrivilegeTests(SynchronousTestCase):
    """L{checkPrivileges}."""

    def check(
        self, users: tuple[int, ...], groups: tuple[int, ...], others: list[int]
    ) -> str | None:
        """The complaint."""
        self.patch(os, "getresuid", lambda: users)
        self.patch(os, "getresgid", lambda: groups)
        self.patch(os, "getgroups", lambda: others)
        try:
            checkPrivileges()
        except ConfigurationError as error:
            return str(error)
        return None

    def test_whole(self) -> None:
        """All of root, or nothing of root, is right."""
        self.assertIsNone(self.check((0, 0, 0), (0, 0, 0), [0]))
        self.assertIsNone(self.check((5, 5, 5), (5, 5, 5), [5, 6]))
        self.assertIsNone(self.check((5, 5, 5), (5, 5, 5), []))

    def test_leftovers(self) -> None:
        """Anything of root that is left is not."""
        for users, groups, others in (
            ((5, 5, 0), (5, 5, 5), []),
            ((5, 0, 5), (5, 5, 5), []),
            ((0, 0, 0), (5, 5, 5), []),
            ((5, 5, 5), (5, 5, 0), []),
            ((5, 5, 5), (0, 0, 0), []),
            ((5, 5, 5), (5, 5, 5), [5, 0]),
        ):
            self.assertIn("privileges of root", self.check(users, groups, others) or "")


class LimitTests(SynchronousTestCase):
    """L{raiseLimits}."""

    def test_limits(self) -> None:
        """Open files up to what is allowed, core files none."""
        done: dict[int, tuple[int, int]] = {}
        self.patch(resource, "getrlimit", lambda which: (1024, 4096))
        self.patch(resource, "setrlimit", done.__setitem__)
        raiseLimits()
        self.assertEqual(
            done, {resource.RLIMIT_NOFILE: (4096, 4096), resource.RLIMIT_CORE: (0, 4096)}
        )
