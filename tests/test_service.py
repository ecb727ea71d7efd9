"""
Starting, stopping and giving up, with nothing bound and nobody killed.
"""

from __future__ import annotations

import gc
import io
import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import Application, IServiceCollection, MultiService
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, Logger
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
    settleMemory,
)

PEER, LOCAL = Address("192.0.2.9", 4711), Address("192.0.2.1", 21)


class Port:
    """What an endpoint gives."""

    def __init__(self) -> None:
        self.closing: Deferred[None] = Deferred()
        self.stopped = 0

    def stopListening(self) -> Deferred[None]:
        """Not at once."""
        self.stopped += 1
        return self.closing


class Endpoint:
    """An endpoint that answers as it is told."""

    def __init__(self, answer: Exception | None = None) -> None:
        self.answer = answer
        self.port = Port()
        self.factories: list[Any] = []

    def listen(self, factory: Any) -> Deferred[Any]:
        """Remember the factory."""
        self.factories.append(factory)
        return succeed(self.port) if self.answer is None else fail(self.answer)


class Storage:
    """A storage that is only swept and closed."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem = problem
        self.calls: list[str] = []

    async def sweep(self) -> None:
        """Remember it, or fail."""
        self.calls.append("sweep")
        if self.problem is not None:
            raise self.problem

    async def close(self) -> None:
        """The same."""
        self.calls.append("close")
        if self.problem is not None:
            raise self.problem


class ServiceCase(SynchronousTestCase):
    """
    @ivar records: what was logged.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.records: list[Any] = []
        self.patch(module, "_log", Logger("x", observer=self.records.append))
        self.patch(os, "geteuid", lambda: 1000)

    def listener(self, endpoint: Endpoint) -> ListenerService:
        return ListenerService(endpoint, Factory(), "tcp:21")  # type: ignore[arg-type]


class ListenerTests(ServiceCase):
    """L{ListenerService}."""

    def test_boundEarly(self) -> None:
        """The port is bound while privileges last, once; and let go of at the end."""
        endpoint = Endpoint()
        listener = self.listener(endpoint)
        listener.privilegedStartService()
        self.assertIs(listener.port, endpoint.port)
        listener.startService()
        self.assertEqual(endpoint.factories, [listener.factory])
        stopping = listener.stopService()
        self.assertIs(stopping, endpoint.port.closing)
        self.assertIsNone(listener.port)

    def test_boundLate(self) -> None:
        """Where there is no privileged start, the start binds."""
        endpoint = Endpoint()
        self.listener(endpoint).startService()
        self.assertEqual(len(endpoint.factories), 1)

    def test_again(self) -> None:
        """A service that was stopped can be started."""
        endpoint = Endpoint()
        listener = self.listener(endpoint)
        listener.startService()
        listener.stopService()
        listener.startService()
        self.assertEqual(len(endpoint.factories), 2)

    def test_neverBound(self) -> None:
        """What has not been bound is not closed."""
        self.assertIsNone(self.listener(Endpoint()).stopService())

    def test_refused(self) -> None:
        """What is in the way is one line: the endpoint and the reason."""
        inUse = OSError(98, "Address already in use")
        for error, reason in (
            (CannotListenError("", 21, inUse), "Address already in use"),
            (PermissionError(13, "Permission denied"), "Permission denied"),
            (ValueError("no such thing"), "no such thing"),
        ):
            listener = self.listener(Endpoint(error))
            with self.assertRaises(ConfigurationError) as caught:
                listener.privilegedStartService()
            self.assertEqual(str(caught.exception), f"cannot listen on tcp:21: {reason}")


class SweepingTests(ServiceCase):
    """L{SweepingService}."""

    def test_hourly(self) -> None:
        """At the start and then every hour, until the end."""
        storage = Storage()
        sweeping = SweepingService(self.clock, [storage])  # type: ignore[list-item]
        sweeping.startService()
        self.assertEqual(storage.calls, ["sweep"])
        self.clock.advance(SWEEP)
        self.assertEqual(storage.calls, ["sweep"] * 2)
        sweeping.stopService()
        self.clock.advance(SWEEP)
        self.assertEqual(storage.calls, ["sweep"] * 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failure(self) -> None:
        """A storage that fails is logged; the others are swept, and it is asked again."""
        broken, sound = Storage(StorageUnavailable()), Storage()
        sweeping = SweepingService(self.clock, [broken, sound])  # type: ignore[list-item]
        self.patch(SweepingService, "_log", Logger("x", observer=self.records.append))
        sweeping.startService()
        self.clock.advance(SWEEP)
        self.assertEqual((broken.calls, sound.calls), (["sweep"] * 2, ["sweep"] * 2))
        self.assertEqual(len(self.records), 2)
        sweeping.stopService()


class WholeCase(ServiceCase):
    """
    A service with two listeners and one storage.

    @ivar events: what happened, in order.
    """

    def setUp(self) -> None:
        super().setUp()
        self.registry = SessionRegistry(self.clock)
        self.endpoints = [Endpoint(), Endpoint()]
        self.storage = Storage()
        self.events: list[str] = []
        self.furnished = 0

    def furnish(self, service: FileHubService) -> None:
        self.furnished += 1
        service.addStorages([self.storage])  # type: ignore[list-item]
        for endpoint in self.endpoints:
            service.addListener(self.listener(endpoint))

    def service(self, *closing: Callable[[], Any]) -> FileHubService:
        service = FileHubService(self.clock, self.registry, self.furnish, closing=closing)
        service.whenListening = lambda: self.events.append("listening")
        return service


class StartTests(WholeCase):
    """The start of L{FileHubService}."""

    def test_ports(self) -> None:
        """Ports first, then everything else, then word that it listens."""
        service = self.service()
        self.assertEqual(self.furnished, 0)
        service.privilegedStartService()
        self.assertEqual([len(each.factories) for each in self.endpoints], [1, 1])
        self.assertEqual((self.storage.calls, self.events), ([], []))
        service.startService()
        self.assertEqual((self.storage.calls, self.events), (["sweep"], ["listening"]))
        self.assertEqual((self.furnished, len(service.listeners)), (1, 2))

    def test_twist(self) -> None:
        """Without a privileged start all happens at the start."""
        service = self.service()
        service.startService()
        self.assertEqual([len(each.factories) for each in self.endpoints], [1, 1])
        self.assertEqual((self.furnished, self.events), (1, ["listening"]))

    def test_obstacle(self) -> None:
        """An obstacle goes to C{giveUp}, at either start."""
        self.endpoints[1].answer = OSError(98, "Address already in use")
        for start in ("privilegedStartService", "startService"):
            given: list[str] = []

            def end(error: ConfigurationError, given: list[str] = given) -> Any:
                given.append(str(error))
                raise SystemExit(1)

            service = self.service()
            service.giveUp = end
            self.assertRaises(SystemExit, getattr(service, start))
            self.assertEqual(given, ["cannot listen on tcp:21: Address already in use"])
        self.assertEqual(self.events, [])

    def test_rootIsLogged(self) -> None:
        """Whoever serves as root is told how not to."""
        self.service().startService()
        self.assertEqual(self.records, [])
        self.patch(os, "geteuid", lambda: 0)
        self.patch(module, "checkPrivileges", lambda: None)
        self.service().startService()
        self.assertIn("--uid", self.records[0]["log_format"])

    def test_observer(self) -> None:
        """The log observer is handed to an application, which is what twistd asks."""
        service = self.service()
        service.observer = self.records.append
        application = Application("x")  # type: ignore[no-untyped-call]
        service.setServiceParent(application)
        self.assertEqual(application.getComponent(ILogObserver), self.records.append)
        self.assertEqual(list(IServiceCollection(application)), [service])

    def test_noApplication(self) -> None:
        """Another parent has no use for an observer."""
        parent = MultiService()  # type: ignore[no-untyped-call]
        service = self.service()
        service.observer = self.records.append
        service.setServiceParent(parent)
        self.assertEqual(list(parent), [service])


class StopTests(WholeCase):
    """The end of L{FileHubService}."""

    def start(self, *closing: Callable[[], Any]) -> FileHubService:
        service = self.service(*closing)
        service.startService()
        return service

    def admit(self, disconnect: Callable[[str], None]) -> Any:
        return self.registry.admit("ftp", PEER, LOCAL, secure=False, disconnect=disconnect)

    def test_order(self) -> None:
        """
        Nobody is let in any more, sessions are asked to end and waited for, then storages
        are closed, then the rest.
        """
        service = self.start(lambda: self.events.append("workers"))
        told: list[str] = []
        slot = self.admit(told.append)
        stopping = service.stopService()
        self.assertEqual([each.port.stopped for each in self.endpoints], [1, 1])
        self.assertEqual(told, ["server is shutting down"])
        self.clock.advance(1)
        self.assertNotIn("close", self.storage.calls)
        slot.leave("shutdown")
        self.clock.advance(0.05)
        self.assertNotIn("close", self.storage.calls)  # the ports are not closed yet
        for endpoint in self.endpoints:
            endpoint.port.closing.callback(None)
        self.successResultOf(stopping)
        self.assertEqual(self.storage.calls, ["sweep", "close"])
        self.assertEqual(self.events, ["listening", "workers"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stubborn(self) -> None:
        """Sessions that do not end are not waited for for ever."""
        service = self.start()
        self.admit(lambda reason: None)
        for endpoint in self.endpoints:
            endpoint.port.closing.callback(None)
        stopping = service.stopService()
        self.clock.pump([0.05] * int(DRAIN / 0.05 - 1))
        self.assertNoResult(stopping)
        self.clock.pump([0.05] * 3)
        self.successResultOf(stopping)

    def test_brokenEndings(self) -> None:
        """What cannot be closed is logged and keeps nothing else from being closed."""
        waiting: Deferred[None] = Deferred()

        def broken() -> None:
            raise OSError(5, "Input/output error")

        service = self.start(broken, lambda: waiting, lambda: self.events.append("last"))
        self.storage.problem = StorageUnavailable()
        for endpoint in self.endpoints:
            endpoint.port.closing.callback(None)
        stopping = service.stopService()
        self.assertNoResult(stopping)
        waiting.errback(ValueError("late"))
        self.successResultOf(stopping)
        self.assertEqual(self.events[-1], "last")
        kinds = [record["log_failure"].type for record in self.records]
        self.assertEqual(kinds, [StorageUnavailable, OSError, ValueError])


class GivingUpTests(ServiceCase):
    """L{giveUp}."""

    def setUp(self) -> None:
        super().setUp()
        self.stderr = io.StringIO()
        self.patch(sys, "__stderr__", self.stderr)

    def giveUp(self, text: str, *arguments: Any) -> None:
        with self.assertRaises(SystemExit) as caught:
            giveUp(ConfigurationError(text), *arguments)
        self.assertEqual(caught.exception.code, 1)

    def test_lines(self) -> None:
        """Every mistake is a line on standard error."""
        self.giveUp("one\ntwo")
        self.assertEqual(self.stderr.getvalue(), "filehub: one\nfilehub: two\n")
        self.assertEqual(self.records, [])

    def test_pidFile(self) -> None:
        """Our own pid file goes, another's stays, and none is no matter."""
        path = Path(self.mktemp())
        path.write_text(str(os.getpid()))
        self.giveUp("x", str(path))
        self.assertFalse(path.exists())
        self.giveUp("x", str(path))
        for content in ("1", "", "words"):
            path.write_text(content)
            self.giveUp("x", str(path))
            self.assertEqual(path.read_text(), content)

    def test_background(self) -> None:
        """
        In the background the log gets the lines, and the process that waits at the other
        end of the pipe a short text.
        """
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, writing)
        self.giveUp("one\n" + "two" * 100, None, writing)
        self.assertEqual(self.stderr.getvalue(), "")
        self.assertEqual([each["line"] for each in self.records], ["one", "two" * 100])
        said = os.read(reading, 1000)
        self.assertEqual(said[:8], b"1 one\ntw")
        self.assertEqual(len(said), 100)


class MemoryTests(SynchronousTestCase):
    """What the garbage collector looks at."""

    def test_settled(self) -> None:
        """What was made before the server serves is not looked at again."""
        before = gc.get_threshold()
        self.addCleanup(gc.set_threshold, *before)
        self.addCleanup(gc.unfreeze)
        settleMemory()
        self.assertGreater(gc.get_freeze_count(), 1000)
        self.assertGreater(gc.get_threshold()[0], 700)


class PrivilegesTests(SynchronousTestCase):
    """L{checkPrivileges} and L{raiseLimits}."""

    def ids(
        self, user: int, group: int, groups: list[int], *, savedUser: int | None = None
    ) -> None:
        saved = user if savedUser is None else savedUser
        self.patch(os, "getresuid", lambda: (user, user, saved))
        self.patch(os, "getresgid", lambda: (group, group, group))
        self.patch(os, "getgroups", lambda: groups)

    def test_sound(self) -> None:
        """Root that stays root, and somebody who is nobody else as well."""
        for user, group, groups in ((0, 0, [0, 1]), (1000, 1000, [1000, 27]), (1000, 1000, [])):
            self.ids(user, group, groups)
            checkPrivileges()

    def test_left(self) -> None:
        """Half a change of user is none: groups of root, its group, a way back."""
        for user, group, groups, saved in (
            (1000, 1000, [0], 1000),
            (1000, 0, [1000], 1000),
            (0, 1000, [1000], 0),
            (1000, 1000, [1000], 0),
        ):
            self.ids(user, group, groups, savedUser=saved)
            error = self.assertRaises(ConfigurationError, checkPrivileges)
            self.assertIn("--uid and --gid", str(error))

    def test_limits(self) -> None:
        """As many files as there may be; no core dump."""
        limits: dict[int, tuple[int, int]] = {
            resource.RLIMIT_NOFILE: (1024, 20_000),
            resource.RLIMIT_CORE: (50, 100),
        }
        self.patch(resource, "getrlimit", limits.__getitem__)
        self.patch(resource, "setrlimit", limits.__setitem__)
        raiseLimits()
        self.assertEqual(
            limits, {resource.RLIMIT_NOFILE: (20_000, 20_000), resource.RLIMIT_CORE: (0, 100)}
        )

    def test_limitsForbidden(self) -> None:
        """A sandbox that forbids it does not keep the server from starting."""

        def refuse(*arguments: Any) -> None:
            raise PermissionError(1, "Operation not permitted")

        self.patch(resource, "setrlimit", refuse)
        raiseLimits()
