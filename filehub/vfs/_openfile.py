"""
Descriptors that live as long as their last use, and what may be done on the calling
thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred

from filehub.errors import FileHubError, StorageUnavailable
from filehub.vfs.workers import Workers

_T = TypeVar("_T")


class InPlace:
    """
    Whether work that is expected to be quick may be done on the calling thread.

    A write into the page cache and a change of names on a local file system are some
    microseconds of work in memory, a tenth of what a hop to a worker costs; but when
    the kernel throttles writers or its journal is full they wait for the disk, and
    nothing can tell in advance.  So it is a bet with a stop-loss: after one call that
    took longer than C{LIMIT}, everything goes to the workers for C{REST} seconds, and
    for twice as long each time that it happens again soon, up to C{LONGEST_REST}.  So
    a disk that is in trouble costs the reactor one such wait a minute, never one per
    upload.  (Less than C{LIMIT} is as likely to be another process' turn on this CPU.)

    @ivar cached: may what is answered from the kernel's caches, or not at all, be
        asked for?  That is no bet.
    """

    LIMIT: Final = 0.020
    REST: Final = 1.0
    LONGEST_REST: Final = 60.0

    def __init__(self, *, cached: bool, bet: bool) -> None:
        self.cached = cached
        self._bet = bet
        self._resumes = 0.0
        self._rest = self.REST

    @property
    def bet(self) -> bool:
        """May something be tried that is quick most of the time?"""
        return self._bet and (not self._resumes or self._rested())

    def _rested(self) -> bool:
        return time.monotonic() >= self._resumes

    def run(self, function: Callable[..., _T], *args: Any) -> _T:
        """Call it here and now, and learn from how long it took."""
        began = time.monotonic()
        try:
            return function(*args)
        finally:
            ended = time.monotonic()
            if ended - began > self.LIMIT:
                self._lost(ended)

    def _lost(self, now: float) -> None:
        recently = self._resumes and now - self._resumes < self.LONGEST_REST
        self._rest = min(self._rest * 2, self.LONGEST_REST) if recently else self.REST
        self._resumes = now + self._rest


class OpenFile:
    """
    A descriptor and who uses it.  It is closed only when no piece of work and no lease
    has it any more: a number that is closed too early may be another account's file a
    moment later.  For one thread; workers only borrow the number.

    @ivar descriptor: -1 once it is closed, so that late work fails and does no harm.
    @param parent: a file that must stay open as long as this one.
    @param whenClosed: called when it is.
    """

    __slots__ = (
        "_closing",
        "_idle",
        "_jobs",
        "_leases",
        "_parent",
        "_small",
        "_whenClosed",
        "descriptor",
        "workers",
    )

    def __init__(
        self,
        descriptor: int,
        workers: Workers,
        parent: OpenFile | None = None,
        whenClosed: Callable[[], object] | None = None,
    ) -> None:
        self.descriptor = descriptor
        self.workers = workers
        self._jobs = 0
        self._leases = 0
        self._parent = parent
        if parent is not None:
            parent._leases += 1
        self._whenClosed = whenClosed
        self._closing = False
        self._small = True
        self._idle: list[Callable[[], object]] = []

    async def work(
        self,
        function: Callable[..., _T],
        *args: Any,
        discard: Callable[[_T], object] | None = None,
        always: bool = False,
    ) -> _T:
        """
        A hop to a worker that keeps the descriptor open until it has ended; see
        L{Workers.call}.
        """
        self._jobs += 1
        return await self.workers.call(
            function, *args, discard=discard, after=self._worked, always=always
        )

    def _worked(self) -> None:
        self._jobs -= 1
        if not self._jobs:
            idle, self._idle = self._idle, []
            for call in idle:
                call()
            self._closeIfUnused()

    def whenIdle(self, call: Callable[[], object]) -> None:
        """Make a call as soon as no worker uses it."""
        if self._jobs:
            self._idle.append(call)
        else:
            call()

    async def idle(self) -> None:
        """Wait for that."""
        if self._jobs:
            waiter: Deferred[None] = Deferred()
            self._idle.append(partial(_fire, waiter))
            await waiter

    @contextmanager
    def lease(self) -> Iterator[int]:
        """See L{IDescriptorBacked.lease}."""
        if self._closing:
            raise closed()
        self._leases += 1
        try:
            yield self.descriptor
        finally:
            self._leases -= 1
            self._closeIfUnused()

    def close(self, *, small: bool) -> None:
        """Close it as soon as nobody uses it.  Idempotent."""
        if not self._closing:
            self._closing = True
            self._small = small
            self._closeIfUnused()

    def _closeIfUnused(self) -> None:
        if self._closing and not self._jobs and not self._leases and self.descriptor >= 0:
            descriptor, self.descriptor = self.descriptor, -1
            if self._small:
                os.close(descriptor)
            else:
                # Nothing is learnt from it: what was written is committed by now.
                self.workers.call(os.close, descriptor, always=True)
            if self._whenClosed is not None:
                self._whenClosed()
            if self._parent is not None:
                self._parent._leases -= 1
                if self._parent._closing:
                    self._parent._closeIfUnused()


def _fire(waiter: Deferred[None]) -> None:
    if not waiter.called:  # cancelled: nobody waits any more
        waiter.callback(None)


def closed() -> FileHubError:
    """For the use of a handle after its end."""
    return StorageUnavailable(None, "the file is closed")
