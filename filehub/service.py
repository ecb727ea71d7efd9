"""
The server as a Twisted service: ports before privileges drop, an orderly end.
"""

from __future__ import annotations

import gc
import os
import resource
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from twisted.internet.task import LoopingCall
from twisted.logger import ILogObserver, Logger
from twisted.python.failure import Failure

from filehub.errors import ConfigurationError, FileHubError
from filehub.gate import AT_ONCE, Gate, guard
from filehub.interfaces import IStorage
from filehub.registry import SessionRegistry

_log: Final = Logger(namespace="filehub")

#: Seconds that sessions get to end when the server stops.
DRAIN: Final = 10.0
#: How often leftovers of broken uploads are looked for, seconds.
SWEEP: Final = 3600.0
#: Objects that come into being before the garbage collector looks at them.
_YOUNG: Final = 5_000


class ListenerService(Service):
    """
    One stream listener.

    @ivar description: the endpoint string, for complaints.
    @ivar port: once it listens.
    """

    def __init__(
        self, endpoint: IStreamServerEndpoint, factory: IProtocolFactory, description: str
    ) -> None:
        self._endpoint = endpoint
        self.factory = factory
        self.description = description
        self.port: IListeningPort | None = None
        self._gate: Gate | None = None

    def privilegedStartService(self) -> None:
        """
        Bind, while root may.

        @raise ConfigurationError: that is not possible; says why in one line.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        self._bind()

    def startService(self) -> None:
        """Bind, if that has not been done (C{twist} has no privileged start)."""
        super().startService()  # type: ignore[no-untyped-call]
        self._bind()

    def _bind(self) -> None:
        if self.port is not None:
            return
        outcome: list[Any] = []
        self._endpoint.listen(self.factory).addBoth(outcome.append)
        result = outcome[0] if outcome else None
        if isinstance(result, Failure):
            error = result.value
            reason = error.socketError if isinstance(error, CannotListenError) else error
            text = getattr(reason, "strerror", None) or str(reason)
            raise ConfigurationError(f"cannot listen on {self.description}: {text}")
        self.port = result
        # One that waits for the process that serves it is read there.
        whenOpen = getattr(result, "whenOpen", None)
        if whenOpen is None:
            self._guard(result, AT_ONCE)
        else:
            whenOpen(self._guard)

    def _guard(self, port: Any, atOnce: int) -> None:
        self._gate = guard(port, self.factory, atOnce)

    def stopService(self) -> Deferred[None] | None:
        """Accept nobody any more."""
        super().stopService()  # type: ignore[no-untyped-call]
        port, self.port = self.port, None
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.close()
        return port.stopListening() if port is not None else None


class SweepingService(Service):
    """Removes leftovers of broken uploads at start and now and then."""

    _log = Logger()

    def __init__(self, clock: Any, storages: Iterable[IStorage]) -> None:
        self._storages = tuple(storages)
        self._loop = LoopingCall(self._sweep)
        self._loop.clock = clock

    def startService(self) -> None:
        """Sweep now, and then every hour."""
        super().startService()  # type: ignore[no-untyped-call]
        self._loop.start(SWEEP)

    def stopService(self) -> None:
        """Sweep no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._loop.running:
            self._loop.stop()

    def _sweep(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._sweepAll())

    async def _sweepAll(self) -> None:
        for storage in self._storages:
            try:
                await storage.sweep()
            except FileHubError as error:
                self._log.warn("leftovers could not be removed: {error}", error=str(error))


class FileHubService(MultiService):
    """
    All listeners and what they share.

    @ivar listeners: in the order in which they were added.
    @ivar observer: takes the place of twistd's log observer, if it is set before the
        service gets its parent.
    @ivar whenListening: called once all listeners are bound.
    @ivar giveUp: called with the L{ConfigurationError} that keeps the server from
        starting; does not return.
    """

    def __init__(
        self,
        reactor: Any,
        registry: SessionRegistry,
        furnish: Callable[[FileHubService], None],
        *,
        closing: Sequence[Callable[[], Any]] = (),
    ) -> None:
        """
        @param furnish: adds storages and listeners, when the process is where it
            stays: C{twistd --chroot} moves it between construction and start.
        @param closing: called at the end, in this order; may return Deferreds.
        """
        super().__init__()  # type: ignore[no-untyped-call]
        self._reactor = reactor
        self._registry = registry
        self._furnish: Callable[[FileHubService], None] | None = furnish
        self._storages: list[IStorage] = []
        self._closing = tuple(closing)
        self.observer: Any = None
        self.whenListening: Callable[[], None] | None = None
        self.giveUp: Callable[[ConfigurationError], NoReturn] = giveUp
        self.listeners: list[Service] = []

    def _furnishOnce(self) -> None:
        furnish, self._furnish = self._furnish, None
        if furnish is not None:
            furnish(self)

    def addStorages(self, storages: Iterable[IStorage]) -> None:
        """Storages that are swept, and closed at the end."""
        added = list(storages)
        self._storages += added
        SweepingService(self._reactor, added).setServiceParent(self)  # type: ignore[no-untyped-call]

    def addListener(self, service: Any) -> None:
        """A service that binds a port and serves it."""
        self.listeners.append(service)
        service.setServiceParent(self)

    def setServiceParent(self, parent: Any) -> None:
        """Under C{twistd} the parent is the application, which carries the log observer."""
        if self.observer is not None and hasattr(parent, "setComponent"):
            parent.setComponent(ILogObserver, self.observer)
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]

    def privilegedStartService(self) -> None:
        """Bind all ports; an obstacle is one line, and the end."""
        try:
            self._furnishOnce()
            super().privilegedStartService()  # type: ignore[no-untyped-call]
        except ConfigurationError as error:
            self.giveUp(error)

    def startService(self) -> None:
        """Serve."""
        try:
            warnOfRoot()
            self._furnishOnce()
            super().startService()  # type: ignore[no-untyped-call]
        except ConfigurationError as error:
            self.giveUp(error)
        if self.whenListening is not None:
            self.whenListening()

    def stopService(self) -> Deferred[None]:
        """
        Stop accepting, ask sessions to end, wait a moment for them, close everything.
        """
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        stopping = super().stopService()  # type: ignore[no-untyped-call]
        self._registry.disconnect(self._registry, "server is shutting down")
        limit = self._reactor.seconds() + DRAIN
        while len(self._registry) and self._reactor.seconds() < limit:
            waiting: Deferred[None] = Deferred()
            self._reactor.callLater(0.05, waiting.callback, None)
            await waiting
        if stopping is not None:
            await stopping
        for close in (*(storage.close for storage in self._storages), *self._closing):
            try:
                await maybeDeferred(close)
            except Exception:
                # The others are closed all the same.
                _log.failure("something could not be closed")


def giveUp(
    error: ConfigurationError, pidFile: str | None = None, statusPipe: int | None = None
) -> NoReturn:
    """
    Say what is wrong, a line each, and end the process.

    @param pidFile: what twistd has written and now would leave behind.
    @param statusPipe: how to reach the process that the operator started, which waits
        for word from this one.  Then it is said there and in the log, because standard
        error leads nowhere; otherwise on standard error.
    """
    for line in str(error).splitlines():
        if statusPipe is None:
            print(f"filehub: {line}", file=sys.__stderr__, flush=True)
        else:
            _log.critical("{line}", line=line)
    if pidFile:
        with suppress(OSError, ValueError):
            if int(Path(pidFile).read_text()) == os.getpid():
                os.unlink(pidFile)
    if statusPipe is not None:
        # The protocol of twistd's _waitForStart: a status and a text, 100 bytes at most.
        os.write(statusPipe, b"1 " + str(error).encode("utf-8", "replace")[:98])
    raise SystemExit(1)


def checkPrivileges() -> None:
    """
    After a change of user nothing of root may be left: C{twistd --gid} alone, for one,
    keeps root's supplementary groups.

    @raise ConfigurationError: something is left.
    """
    users, groups = os.getresuid(), os.getresgid()
    changed = any(users) or any(groups)
    if changed and (0 in users or 0 in groups or 0 in os.getgroups()):
        raise ConfigurationError(
            "privileges of root are left after the change of user or group:"
            " give twistd both --uid and --gid and not --euid, or start without root"
        )


def warnOfRoot() -> None:
    """
    Say so where root's privileges are kept.

    @raise ConfigurationError: they were dropped, but not all of them.
    """
    checkPrivileges()
    if os.geteuid() == 0:
        _log.warn("runs as root: give twistd --uid and --gid, or systemd User=")


def settleMemory() -> None:
    """
    What was made so far stays for as long as the process: the garbage collector need not
    look through it again and again, nor touch memory that worker processes share.  And
    of what is made from now on, almost all is gone before it would look.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])


def raiseLimits() -> None:
    """
    As many open files as the system lets us have, and no core dumps with passwords; as
    far as whoever starts us does not forbid even that.
    """
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    _, cores = resource.getrlimit(resource.RLIMIT_CORE)
    for kind, soft, hard in (
        (resource.RLIMIT_NOFILE, files, files),
        (resource.RLIMIT_CORE, 0, cores),
    ):
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (soft, hard))
