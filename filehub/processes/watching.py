"""
The process that watches: it binds, lets others serve, and puts new ones in the place of
those that die.

A worker that ends without being told to is replaced: at once if it lived for a while,
otherwise after a delay that doubles, because what killed it so soon may well do so
again.  Its ports outlive it: connections and datagrams wait in the kernel for the next.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NoReturn

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from zope.interface import implementer

from filehub.errors import ConfigurationError
from filehub.hangups import HangUps
from filehub.processes.bulletin import Channel
from filehub.processes.crew import Crew
from filehub.processes.parting import freshReactor, part, run
from filehub.registry import SessionRegistry
from filehub.service import DRAIN, FileHubService, warnOfRoot

#: Seconds after which a worker's end is no sign that the next would end as well.
STEADY: Final = 10.0
#: Seconds until a worker that did not get so old is replaced, at first and at the most.
FIRST_DELAY: Final = 0.5
LONGEST_DELAY: Final = 30.0
#: Seconds that workers get to end, before they are killed.
_PATIENCE: Final = DRAIN + 5.0

_log: Final = Logger(namespace="filehub")


@implementer(IReadDescriptor)
class Ending:
    """Notices the end of a process of ours."""

    def __init__(self, reactor: Any, number: int, ended: Callable[[int], None]) -> None:
        """
        @param ended: called with its status, as L{os.waitstatus_to_exitcode} has it.
        """
        self._reactor = reactor
        self._number = number
        self._ended = ended
        self._descriptor = os.pidfd_open(number)
        reactor.addReader(self)

    def fileno(self) -> int:
        """See L{IReadDescriptor}."""
        return self._descriptor

    def logPrefix(self) -> str:
        """See L{twisted.internet.interfaces.ILoggingContext}."""
        return "workers"

    def doRead(self) -> None:
        """It has ended."""
        self._reactor.removeReader(self)
        os.close(self._descriptor)
        _, status = os.waitpid(self._number, 0)
        self._ended(os.waitstatus_to_exitcode(status))

    def connectionLost(self, reason: Any) -> None:
        """There is no connection to lose."""


class Worker:
    """
    A place for a process that serves, and who has it.

    @ivar number: of the process; L{None} while there is none.
    @ivar channel: our end of what connects us with it.
    """

    def __init__(self, watcher: Watcher, seat: int) -> None:
        self.seat = seat
        self.number: int | None = None
        self.channel: Channel | None = None
        self._watcher = watcher
        self._since = 0.0
        self._delay = 0.0

    def begin(self) -> None:
        """Let a process begin, if the server is not about to end."""
        if not self._watcher.stopping:
            self._since = self._watcher.reactor.seconds()
            try:
                self._watcher.launch(self)
            except OSError as error:
                _log.error("no worker could be started: {reason}", reason=error.strerror)
                self.ended(1)

    def ended(self, status: int) -> None:
        """The process is gone."""
        watcher, number = self._watcher, self.number
        self.number = None
        watcher.crew.lost(self.seat)
        if watcher.stopping:
            watcher.checkEnded()
            return
        if watcher.reactor.seconds() - self._since >= STEADY:
            self._delay = 0.0
        else:
            self._delay = min(LONGEST_DELAY, max(FIRST_DELAY, 2 * self._delay))
        how = f"signal {-status}" if status < 0 else f"status {status}"
        _log.error(
            "worker {number} ended ({how}); another one begins in {delay} s",
            number=number,
            how=how,
            delay=self._delay,
        )
        watcher.reactor.callLater(self._delay, self.begin)


class Watcher:
    """
    All workers.

    @ivar stopping: none may begin any more.
    """

    def __init__(self, reactor: Any, crew: Crew, serve: Callable[[Any], None]) -> None:
        """
        @param serve: what a new process does before its reactor runs, which it is given.
        """
        self.reactor = reactor
        self.crew = crew
        self.stopping = False
        self.workers = [Worker(self, seat) for seat in range(crew.size)]
        self._serve = serve
        self._allEnded: Deferred[None] | None = None

    def begin(self) -> None:
        """Let all begin."""
        for worker in self.workers:
            worker.begin()

    def launch(self, worker: Worker) -> None:
        """
        Let a process begin in this place.

        @raise OSError: the system has no room for it.
        """
        ours, its = socket.socketpair()
        with ours, its:
            ours.setblocking(False)
            its.setblocking(False)
            worker.number = part(
                lambda: self._live(worker.seat, its),
                # Whoever holds our end of another's channel hides our death from it.
                [ours.fileno(), *self._channels()],
            )
            worker.channel = self._connect(self.reactor, ours, self._heard, lambda: None)
        Ending(self.reactor, worker.number, worker.ended)
        _log.info("worker {number} begins", number=worker.number)

    def _channels(self) -> list[int]:
        found = []
        for worker in self.workers:
            transport: Any = None if worker.channel is None else worker.channel.transport
            if transport is not None and transport.fileno() != -1:
                found.append(transport.fileno())
        return found

    @staticmethod
    def _connect(reactor: Any, sock: socket.socket, heard: Any, lost: Any) -> Channel:
        channel = Channel(heard, lost)
        factory = Factory.forProtocol(lambda: channel)
        factory.noisy = False
        reactor.adoptStreamConnection(sock.fileno(), socket.AF_UNIX, factory)
        return channel

    def _heard(self, teller: Channel, topic: str, words: list[bytes], everybody: bool) -> None:
        self.crew.bulletin.heard(topic, words)
        if everybody:
            for worker in self.workers:
                channel = worker.channel
                if worker.number is not None and channel is not None and channel is not teller:
                    channel.tell(topic, words)

    def _live(self, seat: int, sock: socket.socket) -> None:
        """The life of a worker, in its own process."""
        reactor = freshReactor(self.reactor)
        bulletin = self.crew.bulletin

        def orphaned() -> None:
            # Nobody would replace us, nor stop us.
            bulletin.channel = None
            os.kill(os.getpid(), signal.SIGTERM)

        self.crew.sit(seat, reactor)
        bulletin.channel = self._connect(
            reactor, sock, lambda _, topic, words, __: bulletin.heard(topic, words), orphaned
        )
        sock.close()
        self._serve(reactor)
        run(reactor)

    # --- the end ------------------------------------------------------------------------

    def signal(self, number: int) -> None:
        """Send it to all workers."""
        for worker in self.workers:
            if worker.number is not None:
                with suppress(ProcessLookupError):
                    os.kill(worker.number, number)

    def end(self) -> Deferred[None]:
        """Ask all to end, and see to it that they do; fires when there is none."""
        self.stopping = True
        self._allEnded = Deferred()
        killing = self.reactor.callLater(_PATIENCE, self.signal, signal.SIGKILL)
        self._allEnded.addCallback(lambda _: killing.cancel() if killing.active() else None)
        found = self._allEnded
        self.signal(signal.SIGTERM)
        self.checkEnded()
        return found

    def checkEnded(self) -> None:
        """One is gone; was it the last?"""
        waiting = self._allEnded
        if waiting is not None and all(each.number is None for each in self.workers):
            self._allEnded = None
            waiting.callback(None)


class WorkersService(FileHubService):
    """
    A L{FileHubService} that several processes run.  In the one that watches nothing of
    it is ever started.
    """

    def __init__(
        self,
        reactor: Any,
        crew: Crew,
        registry: SessionRegistry,
        furnish: Callable[[FileHubService], None],
        *,
        report: Callable[[], object],
        **options: Any,
    ) -> None:
        """
        @param reactor: of this process.
        @param report: called here when all workers have ended.
        @param options: as L{FileHubService} has them.
        """
        super().__init__(crew.reactor, registry, furnish, **options)
        self._watcher = Watcher(reactor, crew, self._serve)
        self._crew = crew
        self._report = report
        self._hangUps = HangUps(reactor, lambda: self._watcher.signal(signal.SIGHUP))

    def privilegedStartService(self) -> None:
        """Bind all ports."""
        super().privilegedStartService()
        self._hangUps.listen()

    def startService(self) -> None:
        """Let workers serve, when the reactor runs."""
        try:
            warnOfRoot()
            self._furnishOnce()
            # Under twist nothing is bound yet.
            MultiService.privilegedStartService(self)  # type: ignore[no-untyped-call]
            for prepare in self._crew.preparing:
                prepare()
        except ConfigurationError as error:
            self.giveUp(error)
        Service.startService(self)  # type: ignore[no-untyped-call]
        if self.whenListening is not None:
            self.whenListening()
        self._hangUps.listen()
        self._watcher.reactor.callWhenRunning(self._watcher.begin)

    def _serve(self, _reactor: Any) -> None:
        """Serve, in a process of our own."""
        self.whenListening = None
        self.giveUp = _giveUp
        self.running = False
        _reactor.addSystemEventTrigger("before", "shutdown", self.stopService)
        super().startService()

    def stopService(self) -> Deferred[None]:
        """In the process that watches: end the others.  In those: as ever."""
        if self._crew.seat >= 0:
            return super().stopService()
        Service.stopService(self)  # type: ignore[no-untyped-call]
        self._hangUps.stop()
        return self._watcher.end().addCallback(lambda _: self._closeAll())

    def _closeAll(self) -> None:
        for port in self._crew.reactor.ports:
            port.stopListening()
        for conclude in self._crew.concluding:
            conclude()
        self._report()


def _giveUp(error: ConfigurationError) -> NoReturn:
    for line in str(error).splitlines():
        _log.critical("{line}", line=line)
    raise SystemExit(1)


__all__ = ["Watcher", "Worker", "WorkersService"]
