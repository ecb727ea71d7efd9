"""
Coroutines that usually have nothing to wait for.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from filehub.transfer.eager import begin


class BeginTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.done: list[Any] = []
        self.failed: list[Exception] = []

    def begin(self, coroutine: Any) -> Deferred[object] | None:
        return begin(coroutine, self.done.append, self.failed.append)

    def test_atOnce(self) -> None:
        """What does not wait is done before the call returns."""

        async def quick() -> int:
            return 7

        self.assertIsNone(self.begin(quick()))
        self.assertEqual((self.done, self.failed), ([7], []))

    def test_failsAtOnce(self) -> None:
        """So is what fails."""

        async def broken() -> None:
            raise ZeroDivisionError

        self.assertIsNone(self.begin(broken()))
        self.assertIsInstance(self.failed[0], ZeroDivisionError)

    def test_waits(self) -> None:
        """What waits, several times and in a coroutine of its own, goes on later."""
        first: Deferred[int] = Deferred()
        second: Deferred[int] = Deferred()

        async def inner() -> int:
            return await first

        async def slow() -> int:
            return await inner() + await second

        self.assertIsNotNone(self.begin(slow()))
        self.assertEqual(self.done, [])
        first.callback(1)
        self.assertEqual(self.done, [])
        second.callback(2)
        self.assertEqual((self.done, self.failed), ([3], []))

    def test_failsLater(self) -> None:
        """An error is raised where it is waited for, and may be handled there."""
        first: Deferred[int] = Deferred()
        second: Deferred[int] = Deferred()

        async def slow() -> int:
            try:
                await first
            except ZeroDivisionError:
                return await second
            return 0

        self.begin(slow())
        first.errback(ZeroDivisionError())
        second.errback(KeyError("x"))
        self.assertIsInstance(self.failed[0], KeyError)

    def test_cancelled(self) -> None:
        """Cancelling is noticed where it waits."""
        cleaned = []

        async def slow() -> None:
            try:
                await Deferred()
            finally:
                cleaned.append(True)

        waiting = self.begin(slow())
        assert waiting is not None
        waiting.cancel()
        self.assertEqual(cleaned, [True])
        self.assertIsInstance(self.failed[0], CancelledError)
