"""
SIGHUP: somebody wants what has changed to hold.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any


class HangUps:
    """
    Tells of each, in the reactor's thread.  From the first port on that is bound whoever
    sends one means this, and not the end of the process; so both starts of a service listen.
    """

    def __init__(self, reactor: Any, callback: Callable[[], object]) -> None:
        """
        @param reactor: provides L{IReactorFromThreads}.
        """
        self._reactor = reactor
        self._callback = callback
        self._before: Any = None

    def listen(self) -> None:
        """From now on, where this is the main thread.  Idempotent."""
        if threading.current_thread() is threading.main_thread():
            before = signal.signal(signal.SIGHUP, self._signalled)
            if self._before is None:
                self._before = before

    def stop(self) -> None:
        """Give it back.  Idempotent."""
        before, self._before = self._before, None
        if before is not None:
            signal.signal(signal.SIGHUP, before)

    def _signalled(self, *_: object) -> None:
        self._reactor.callFromThread(self._callback)


__all__ = ["HangUps"]
