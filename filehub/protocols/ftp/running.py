"""
A command that has to wait.

Most commands can be answered at once.  Their coroutine is started by hand and ends
without a Deferred being made; only one that really waits becomes a L{Running}.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from filehub.protocols.ftp.wire import Reply

#: What carries out a command; the reply, or L{None} when the connection just closes.
CommandCoroutine = Coroutine[Deferred[Any], Any, Reply | None]


class Running:
    """
    Drives one coroutine from where it first waited to its end.

    It does what L{Deferred.fromCoroutine} does, for a coroutine that was started
    already, and reports its end to one callable instead of a Deferred.
    """

    __slots__ = ("_coroutine", "_ended", "_waitingOn")

    def __init__(
        self,
        coroutine: CommandCoroutine,
        awaited: Deferred[Any],
        ended: Callable[[Reply | Exception | None], None],
    ) -> None:
        """
        @param awaited: what the coroutine waits for.
        @param ended: called once, with what it returned or raised.
        """
        self._coroutine: Final = coroutine
        self._ended: Final = ended
        self._waitingOn: Deferred[Any] | None = awaited

    def start(self) -> None:
        """Wait for what the coroutine waits for, and go on then."""
        waitingOn = self._waitingOn
        if waitingOn is not None:
            waitingOn.addBoth(self._resume)

    def cancel(self) -> None:
        """The coroutine finds a L{CancelledError} where it waits."""
        if self._waitingOn is not None:
            self._waitingOn.cancel()

    def _resume(self, result: Any) -> None:
        self._waitingOn = None
        outcome: Reply | Exception | None
        try:
            if isinstance(result, Failure):
                awaited = result.throwExceptionIntoGenerator(self._coroutine)  # type: ignore[no-untyped-call]
            else:
                awaited = self._coroutine.send(result)
        except StopIteration as stop:
            outcome = stop.value
        except Exception as error:
            outcome = error
        else:
            self._waitingOn = awaited
            awaited.addBoth(self._resume)
            return
        self._ended(outcome)


async def paced(waiting: Awaitable[None], command: CommandCoroutine) -> Reply | None:
    """A command that is carried out when its time has come."""
    try:
        await waiting
    except BaseException:
        command.close()
        raise
    return await command


__all__ = ["CommandCoroutine", "Running", "paced"]
