"""
Checksums of files on disk: remembered, bounded, and broken off.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from filehub.interfaces import IChecksums
from filehub.vfs import _digests
from filehub.vfs.workers import ImmediateWorkers
from tests.contract.support import at
from tests.vfs.local_support import OnDisk


class HeldWorkers(ImmediateWorkers):
    """
    Does the work when it is told to.

    @ivar held: work that waits.
    """

    def __init__(self) -> None:
        super().__init__()
        self.holds = False
        self.held: list[Any] = []

    def call(self, function: Any, *args: Any, **options: Any) -> Deferred[Any]:
        if not self.holds:
            return super().call(function, *args, **options)
        waiter: Deferred[Any] = Deferred()
        self.held.append((waiter, function, args, options))
        return waiter

    def step(self) -> None:
        """Do what has waited the longest."""
        waiter, function, args, options = self.held.pop(0)
        done = super().call(function, *args, **options)
        if not waiter.called:
            done.chainDeferred(waiter)


class DigestTests(OnDisk):
    def write(self, content: bytes, name: str = "f", age: float = 100.0) -> None:
        """A file that was last changed some time ago."""
        path = self.folder / name
        path.write_bytes(content)
        os.utime(path, (time.time() - age,) * 2)

    async def test_remembered(self) -> None:
        """What was computed once is not read again, until the file changes."""
        self.write(b"first")
        workers = ImmediateWorkers()
        tree = self.makeTree(workers, clock=lambda: time.time() + 100.0)
        sums = IChecksums(tree.viewFor("ann"))
        first = await sums.digest(at("f"), "sha256")
        self.assertEqual(first, hashlib.sha256(b"first").digest())
        before = workers.calls
        self.assertEqual(await sums.digest(at("f"), "sha256"), first)
        self.assertLessEqual(workers.calls - before, 1)
        self.assertEqual(await sums.digest(at("f"), "md5"), hashlib.md5(b"first").digest())
        self.assertEqual(await sums.digest(at("f"), "md5", 1, 2), hashlib.md5(b"ir").digest())
        self.write(b"other")
        self.assertEqual(await sums.digest(at("f"), "sha256"), hashlib.sha256(b"other").digest())

    async def test_freshFilesAreReadAgain(self) -> None:
        """Two states of a file within one tick of the clock are told apart."""
        self.write(b"first")
        tree = self.makeTree()
        sums = IChecksums(tree.viewFor("ann"))
        await sums.digest(at("f"), "md5")
        self.assertEqual(len(tree.digests._known), 0)

    async def test_bounded(self) -> None:
        """Only so many are remembered; those that are asked for stay."""
        self.patch(_digests, "REMEMBERED", 2)
        for name in "abc":
            self.write(name.encode(), name)
        tree = self.makeTree(clock=lambda: time.time() + 100.0)
        sums = IChecksums(tree.viewFor("ann"))
        for name in "abac":
            await sums.digest(at(name), "md5")
        self.assertEqual(len(tree.digests._known), 2)
        self.assertIn(hashlib.md5(b"a").digest(), tree.digests._known.values())

    def test_turns(self) -> None:
        """A few steps at a time, by turns: a small file does not wait for large ones."""
        self.patch(_digests, "STEP", 10)
        for name in "abc":
            self.write(b"x" * 1000, name)
        self.write(b"x" * 10, "small")
        workers = HeldWorkers()
        sums = IChecksums(self.makeTree(workers).viewFor("ann"))
        workers.holds = True
        running = {
            name: Deferred.fromCoroutine(sums.digest(at(name), "md5"))
            for name in ("a", "b", "c", "small")
        }
        for _ in running:
            workers.step()
        for _ in range(20):
            self.assertLessEqual(len(workers.held), _digests.AT_ONCE + 1)
            workers.step()
        self.assertEqual(
            self.successResultOf(running.pop("small")), hashlib.md5(b"x" * 10).digest()
        )
        for each in running.values():
            self.assertNoResult(each)
        while workers.held:
            workers.step()
        for each in running.values():
            self.assertEqual(self.successResultOf(each), hashlib.md5(b"x" * 1000).digest())

    def test_brokenOff(self) -> None:
        """Who breaks off, running or waiting, makes way for others and leaves nothing open."""
        self.patch(_digests, "STEP", 10)
        self.write(b"x" * 100)
        workers = HeldWorkers()
        sums = IChecksums(self.makeTree(workers).viewFor("ann"))
        workers.holds = True
        running = [Deferred.fromCoroutine(sums.digest(at("f"), "md5")) for _ in range(4)]
        for _ in running:
            workers.step()
        for each in (running[0], running[3]):
            each.cancel()
            self.failureResultOf(each, CancelledError)
        while workers.held:
            workers.step()
        for each in running[1:3]:
            self.assertEqual(self.successResultOf(each), hashlib.md5(b"x" * 100).digest())

    async def test_steps(self) -> None:
        """A large file is read in several pieces of work."""
        self.patch(_digests, "STEP", 10)
        self.write(b"x" * 95)
        workers = ImmediateWorkers()
        tree = self.makeTree(workers)
        sums = IChecksums(tree.viewFor("ann"))
        before = workers.calls
        self.assertEqual(await sums.digest(at("f"), "md5"), hashlib.md5(b"x" * 95).digest())
        self.assertGreater(workers.calls - before, 9)
