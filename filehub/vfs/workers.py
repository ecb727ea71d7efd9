"""
The threads that wait for disks, so that the reactor does not.

They are our own and bounded: the reactor's pool also resolves host names, and a
hung disk must not stop that.  Results come back in batches, one wake-up of the
reactor for as many as have piled up.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger

from filehub.errors import StorageUnavailable

_T = TypeVar("_T")


class Workers(Protocol):
    """Where the blocking work of a storage is done."""

    def run(self, function: Callable[..., _T], *args: Any) -> Deferred[_T]:
        """
        Call C{function} where it may block.  Cancelling the Deferred means that
        nobody waits any more; the call is made all the same.  Errback:
        L{StorageUnavailable} when there is too much to do, or after L{stop}.
        """

    def call(
        self,
        function: Callable[..., _T],
        *args: Any,
        discard: Callable[[_T], object] | None = None,
        after: Callable[[], object] | None = None,
        always: bool = False,
    ) -> Deferred[_T]:
        """
        L{run} with a say in what becomes of the work.

        @param discard: gets the result if nobody waits for it any more, e.g. to
            close what was opened.
        @param after: called, in the reactor's thread and before the result is
            given out, when the work has really ended.
        @param always: the work is an ending (a close, an abort): it is never refused.
        """

    def start(self) -> None:
        """Accept work.  Idempotent; the first piece of work does it too."""

    def stop(self) -> Deferred[None]:
        """Refuse new work; fires when what was accepted is done."""


class _Job:
    """One call, and who waits for it."""

    __slots__ = ("after", "args", "discard", "error", "function", "result", "waiter")

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        discard: Callable[[Any], object] | None,
        after: Callable[[], object] | None,
    ) -> None:
        self.function = function
        self.args = args
        self.discard = discard
        self.after = after
        self.waiter: Deferred[Any] = Deferred()
        self.result: Any = None
        self.error: Exception | None = None

    def work(self) -> None:
        """The part that runs in a worker."""
        try:
            self.result = self.function(*self.args)
        except Exception as error:  # handed over, not swallowed
            self.error = error

    def deliver(self) -> None:
        """The part that runs in the reactor's thread."""
        try:
            if self.after is not None:
                self.after()
        finally:
            self._giveOut()

    def _giveOut(self) -> None:
        waiter = self.waiter
        if not waiter.called:
            if self.error is not None:
                waiter.errback(self.error)
            else:
                waiter.callback(self.result)
        elif self.error is None and self.discard is not None:
            self.discard(self.result)


class FileWorkers:
    """
    A bounded pool of daemon threads, started as they are needed.

    @ivar threads: how many calls may block at once.
    @ivar queue: how many more may wait for a thread.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorFromThreads, threads: int = 8, queue: int = 512) -> None:
        self._reactor = reactor
        self.threads = threads
        self.queue = queue
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._done: deque[_Job] = deque()
        self._lock = threading.Lock()
        self._waking = False
        self._started = 0
        # Accepted and not yet delivered; only the reactor's thread touches it.
        self._pending = 0
        self._stopped = False
        self._drained: list[Deferred[None]] = []

    def start(self) -> None:
        """Accept work (again).  Idempotent; threads appear with the work."""
        self._stopped = False

    def run(self, function: Callable[..., _T], *args: Any) -> Deferred[_T]:
        """See L{Workers.run}."""
        return self.call(function, *args)

    def call(
        self,
        function: Callable[..., _T],
        *args: Any,
        discard: Callable[[_T], object] | None = None,
        after: Callable[[], object] | None = None,
        always: bool = False,
    ) -> Deferred[_T]:
        """See L{Workers.call}."""
        full = self._stopped or self._pending >= self.threads + self.queue
        if full and not always:
            if after is not None:
                after()
            return fail(StorageUnavailable())
        job = _Job(function, args, discard, after)
        self._pending += 1
        if self._started < self.threads and self._started < self._pending:
            self._startThread()
        self._jobs.put(job)
        return job.waiter

    def stop(self) -> Deferred[None]:
        """See L{Workers.stop}.  Bound the wait: a hung disk hangs this too."""
        self._stopped = True
        drained: Deferred[None] = Deferred()
        self._drained.append(drained)
        self._checkDrained()
        return drained

    def _startThread(self) -> None:
        # Daemons: a thread that a dead disk holds must not hold the process too.
        # What it was doing ends as a power cut would end it, which is planned for.
        name = f"filehub-files-{self._started}"
        threading.Thread(target=self._loop, name=name, daemon=True).start()
        self._started += 1

    def _loop(self) -> None:
        while (job := self._jobs.get()) is not None:
            job.work()
            with self._lock:
                self._done.append(job)
                wake, self._waking = not self._waking, True
            if wake:
                self._reactor.callFromThread(self._deliver)
            # Otherwise this frame would keep the last job's result alive.
            del job

    def _deliver(self) -> None:
        with self._lock:
            self._waking = False
            done, self._done = self._done, deque()
        for job in done:
            self._pending -= 1
            with self._log.failuresHandled("the end of a storage job failed"):
                job.deliver()
        if self._stopped:
            self._checkDrained()

    def _checkDrained(self) -> None:
        if self._pending:
            return
        for _ in range(self._started):
            self._jobs.put(None)
        self._started = 0
        drained, self._drained = self._drained, []
        for waiter in drained:
            waiter.callback(None)


class ImmediateWorkers:
    """
    A double that does the work at once, in place: for tests, and for command line
    tools that have nothing else to do meanwhile.
    """

    def __init__(self) -> None:
        self.calls = 0

    def run(self, function: Callable[..., _T], *args: Any) -> Deferred[_T]:
        """See L{Workers.run}."""
        return self.call(function, *args)

    def call(
        self,
        function: Callable[..., _T],
        *args: Any,
        discard: Callable[[_T], object] | None = None,
        after: Callable[[], object] | None = None,
        always: bool = False,
    ) -> Deferred[_T]:
        """See L{Workers.call}."""
        self.calls += 1
        job = _Job(function, args, discard, after)
        job.work()
        job.deliver()
        return job.waiter

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> Deferred[None]:
        """Nothing to stop."""
        return succeed(None)
