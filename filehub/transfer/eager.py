"""
Coroutines that usually have nothing to wait for, without a Deferred for each.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from filehub.promises import proceed

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
    return proceed(coroutine, awaited).addCallbacks(done, lambda failure: failed(failure.value))


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
    return proceed(coroutine, awaited)


__all__ = ["begin", "start"]
