"""
How a process parts from the one that watches.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, NoReturn

from twisted.internet.main import installReactor
from twisted.logger import Logger

_log: Final = Logger(namespace="filehub")

#: What the watching process acts upon, and a new one must not lose or die of.
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def part(work: Callable[[], None], closing: Iterable[int]) -> int:
    """
    Let a new process work.

    @param work: what it does; it ends when that returns.
    @param closing: descriptors that it must not have.
    @return: its number.
    @raise OSError: the system has no room for it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        number = os.fork()
        if number == 0:
            _live(work, closing, before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return number


def _live(work: Callable[[], None], closing: Iterable[int], mask: Any) -> NoReturn:
    """The new process's whole life: nothing of the frames above may run on in it."""
    status = 1
    try:
        for descriptor in closing:
            os.close(descriptor)
        # A terminal interrupts all of its processes; the one that watches tells us.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        work()
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        _log.failure("a worker process failed")
    finally:
        with suppress(OSError, ValueError, AttributeError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def freshReactor(former: Any) -> Any:
    """
    A reactor of the same kind for a process that has just parted; the former one's
    queues are the other process's as well.
    """
    sys.modules.pop("twisted.internet.reactor", None)
    reactor = type(former)()
    installReactor(reactor)  # type: ignore[no-untyped-call]
    reactor.seconds = time.monotonic
    return reactor


def run(reactor: Any) -> None:
    """Run it until the first SIGTERM; further ones do no harm."""

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: reactor.callFromThread(stopOnce))

    stopped: list[bool] = []

    def stopOnce() -> None:
        if not stopped:
            stopped.append(True)
            reactor.stop()

    reactor.callWhenRunning(prepare)
    reactor.run()


__all__ = ["freshReactor", "part", "run"]
