"""
Coroutines as Deferreds.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from filehub.promises import promised


class PromisedTests(SynchronousTestCase):
    def test_atOnce(self) -> None:
        """What need not wait has its result, or its exception, at once."""

        async def work(number: int) -> float:
            return 1 / number

        self.assertEqual(self.successResultOf(promised(work(2))), 0.5)
        self.failureResultOf(promised(work(0)), ZeroDivisionError)

    def test_later(self) -> None:
        """What waits goes on, also with an exception, and may be cancelled there."""

        async def work(waiting: Deferred[int]) -> int:
            return await waiting + 1

        good, bad, ended = Deferred[int](), Deferred[int](), Deferred[int]()
        results = [promised(work(each)) for each in (good, bad, ended)]
        for each in results:
            self.assertNoResult(each)
        good.callback(1)
        bad.errback(ZeroDivisionError())
        results[2].cancel()
        self.assertEqual(self.successResultOf(results[0]), 2)
        self.failureResultOf(results[1], ZeroDivisionError)
        self.failureResultOf(results[2], CancelledError)
