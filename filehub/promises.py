"""
Coroutines as Deferreds, without the price of waiting where nothing is waited for.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred, fail, succeed

_T = TypeVar("_T")


def promised(coroutine: Coroutine[Any, Any, _T]) -> Deferred[_T]:
    """
    What L{Deferred.fromCoroutine} does; of a coroutine that never has to wait it takes a
    fraction of the time.
    """
    try:
        awaited = coroutine.send(None)
    except StopIteration as stop:
        return succeed(stop.value)
    except Exception:
        return fail()
    return proceed(coroutine, awaited)


def proceed(coroutine: Coroutine[Any, Any, _T], awaited: Any) -> Deferred[_T]:
    """
    Bring a coroutine to its end that was started by hand.

    @param awaited: what it waits for.
    """
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


__all__ = ["proceed", "promised"]
