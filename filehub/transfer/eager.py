"""
Coroutines that usually have nothing to wait for, without a Deferred for each.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred

_T = TypeVar("_T")


def begin(
    coroutine: Coroutine[Any, Any, _T],
    done: Callable[[_T], object],
    failed: Callable[[Exception], object],
) -> Deferred[object] | None:
    """
    Run a coroutine and call C{done} with what it returns, or C{failed} with what it
    raises; before this returns, if it never has to wait.

    @return: L{None} in that case, else what can be cancelled.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration as stop:
        done(stop.value)
        return None
    except Exception as error:
        failed(error)
        return None
    rest = Deferred.fromCoroutine(_finish(_Suspended(coroutine, awaited)))
    return rest.addCallbacks(done, lambda failure: failed(failure.value))


def start(coroutine: Coroutine[Any, Any, _T]) -> Deferred[_T] | None:
    """
    Run a coroutine of which nothing matters but its end.

    @return: L{None} if that has come.
    @raise Exception: what it raises before it first has to wait.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration:
        return None
    return Deferred.fromCoroutine(_finish(_Suspended(coroutine, awaited)))


async def _finish(suspended: _Suspended[_T]) -> _T:
    return await suspended


class _Suspended(Generic[_T]):
    """A coroutine that has been started and waits for something."""

    def __init__(self, coroutine: Coroutine[Any, Any, _T], awaited: Any) -> None:
        self._coroutine = coroutine
        self._awaited = awaited

    def __await__(self) -> Generator[Any, Any, _T]:
        awaited = self._awaited
        while True:
            try:
                try:
                    value = yield awaited
                except Exception as error:
                    awaited = self._coroutine.throw(error)
                else:
                    awaited = self._coroutine.send(value)
            except StopIteration as stop:
                result: _T = stop.value
                return result


__all__ = ["begin", "start"]
