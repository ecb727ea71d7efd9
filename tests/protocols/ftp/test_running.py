"""
Coroutines that were started by hand and have to wait.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from filehub.protocols.ftp.running import Running


class RunningTests(SynchronousTestCase):
    def run_(self, coroutine: Any) -> tuple[Running, list[Any]]:
        """Start it, let it wait; what it ends with comes in the list."""
        ended: list[Any] = []
        running = Running(coroutine, coroutine.send(None), ended.append)
        running.start()
        return running, ended

    def test_result(self) -> None:
        """What is returned in the end is reported once."""
        waits: list[Deferred[int]] = [Deferred(), Deferred()]

        async def add() -> Any:
            return await waits[0] + await waits[1]

        _, ended = self.run_(add())
        waits[0].callback(1)
        self.assertEqual(ended, [])
        waits[1].callback(2)
        self.assertEqual(ended, [3])

    def test_failure(self) -> None:
        """A Deferred that fails raises where it is awaited."""
        wait: Deferred[int] = Deferred()

        async def rescue() -> Any:
            try:
                await wait
            except ZeroDivisionError:
                return "rescued"

        _, ended = self.run_(rescue())
        wait.errback(ZeroDivisionError())
        self.assertEqual(ended, ["rescued"])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_raises(self) -> None:
        """What the coroutine raises is reported as a value."""
        wait: Deferred[int] = Deferred()

        async def fail() -> Any:
            await wait
            raise ZeroDivisionError

        _, ended = self.run_(fail())
        wait.callback(0)
        self.assertIsInstance(ended[0], ZeroDivisionError)

    def test_cancel(self) -> None:
        """Cancelling raises where it waits, and it may wait for something else then."""
        first: Deferred[int] = Deferred()
        second: Deferred[int] = Deferred()

        async def tidy() -> Any:
            try:
                await first
            except CancelledError:
                return await second

        running, ended = self.run_(tidy())
        running.cancel()
        self.assertEqual(ended, [])
        second.callback(7)
        self.assertEqual(ended, [7])
        running.cancel()

    def test_manyDeferredsThatHaveFired(self) -> None:
        """A long row of answers that are there already does not exhaust the stack."""
        wait: Deferred[int] = Deferred()

        async def loop() -> Any:
            total = await wait
            for _ in range(5000):
                fired: Deferred[int] = Deferred()
                fired.callback(1)
                total += await fired
            return total

        _, ended = self.run_(loop())
        wait.callback(0)
        self.assertEqual(ended, [5000])
