"""
The queue in front of password hashes.
"""

from __future__ import annotations

from typing import Any

from argon2 import extract_parameters
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults, inlineCallbacks
from twisted.internet.task import Clock, LoopingCall
from twisted.trial.unittest import SynchronousTestCase, TestCase

from filehub.accounts import hashes, passwords
from filehub.accounts.hashes import hashPassword
from filehub.accounts.passwords import PasswordVerifier
from filehub.errors import LimitExceeded
from tests.accounts.doubles import CHEAP, CountingHasher, Threads

#: What stands where nobody logs in by password.
LOCKED = ("", "!", "*", "x", "*LK*", "plain")


class VerifierTests(SynchronousTestCase):
    """L{PasswordVerifier}."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.threads = Threads()
        self.hasher = CountingHasher()
        self.patch(hashes, "_HASHER", self.hasher)
        self.patch(passwords, "deferToThreadPool", self.threads.defer)
        self.verifier = self.newVerifier()
        self.stored = CHEAP.hash(b"sesame")

    def newVerifier(self, **options: Any) -> PasswordVerifier:
        """With these settings."""
        verifier = PasswordVerifier(self.clock, **options)
        self.addCleanup(verifier.stop)
        return verifier

    def verify(self, password: bytes, stored: str | None = None) -> bool:
        """What comes out after all threads have done their work."""
        checking = Deferred.fromCoroutine(
            self.verifier.verify(self.stored if stored is None else stored, password)
        )
        self.threads.runAll()
        return bool(self.successResultOf(checking))

    def test_verdicts(self) -> None:
        """The password, and nothing else, not even with more behind it."""
        self.assertTrue(self.verify(b"sesame"))
        for wrong in (b"Sesame", b"sesame ", b"", b"sesame\0x", b"x" * 72):
            self.assertFalse(self.verify(wrong), wrong)

    def test_noTruncation(self) -> None:
        """Every byte of a long password counts."""
        stored = CHEAP.hash(b"x" * 1023 + b"a")
        self.assertFalse(self.verify(b"x" * 1023 + b"b", stored))
        self.assertTrue(self.verify(b"x" * 1023 + b"a", stored))

    def test_garbage(self) -> None:
        """Hashes that are none match nothing and raise nothing."""
        for stored in (*LOCKED, "$argon2id$", "$argon2id$v=19$m=8", "$argon2id$\u00e9", "$argon2"):
            self.assertFalse(self.verify(b"sesame", stored), stored)

    def test_remembered(self) -> None:
        """A success is not computed again for a minute; then it is."""
        for moment, expected in ((0, 1), (59.9, 1), (0.2, 2), (30, 2)):
            self.clock.advance(moment)
            self.assertTrue(self.verify(b"sesame"))
            self.assertEqual(len(self.hasher.verified), expected)

    def test_rememberedPairs(self) -> None:
        """What is remembered is hash and password together."""
        self.assertTrue(self.verify(b"sesame"))
        self.assertFalse(self.verify(b"wrong"))
        self.assertFalse(self.verify(b"sesame", CHEAP.hash(b"changed")))
        self.assertEqual(len(self.hasher.verified), 3)

    def test_failuresAreNotRemembered(self) -> None:
        """A wrong password costs its time each time."""
        self.verify(b"wrong")
        self.verify(b"wrong")
        self.assertEqual(len(self.hasher.verified), 2)

    def test_memoryIsBounded(self) -> None:
        """The oldest success is forgotten first."""
        self.verifier = self.newVerifier(remembered=2)
        stored = [CHEAP.hash(b"%d" % number) for number in range(3)]
        for number in (0, 1, 2, 2, 1, 0):
            self.assertTrue(self.verify(b"%d" % number, stored[number]))
        self.assertEqual(self.hasher.verified, [*stored, stored[0]])

    def test_memoryCanBeOff(self) -> None:
        """With 0 seconds nothing is remembered."""
        self.verifier = self.newVerifier(rememberFor=0.0)
        self.verify(b"sesame")
        self.verify(b"sesame")
        self.assertEqual(len(self.hasher.verified), 2)

    def test_nobody(self) -> None:
        """An account that is not there costs one check of a hash like the others."""
        for _ in range(2):
            checking = Deferred.fromCoroutine(self.verifier.verifyNobody(b"sesame"))
            self.threads.runAll()
            self.assertIsNone(self.successResultOf(checking))
        first, second = map(extract_parameters, self.hasher.verified)
        self.assertEqual(first, extract_parameters(self.stored))
        self.assertEqual(second, first)

    def test_queueIsBounded(self) -> None:
        """With two at work and three waiting the sixth is refused; later there is room."""
        self.verifier = self.newVerifier(threads=2, queue=3)
        checks = [Deferred.fromCoroutine(self.verifier.verify(self.stored, b"%d" % n))
                  for n in range(4)]  # fmt: skip
        nobody = Deferred.fromCoroutine(self.verifier.verifyNobody(b"x"))
        for work in (self.verifier.verify(self.stored, b"x"), self.verifier.verifyNobody(b"x")):
            self.failureResultOf(Deferred.fromCoroutine(work), LimitExceeded)
        self.assertEqual(len(self.threads.waiting), 2)
        self.threads.runAll()
        self.assertEqual([self.successResultOf(each) for each in checks], [False] * 4)
        self.assertIsNone(self.successResultOf(nobody))
        self.assertTrue(self.verify(b"sesame"))

    def test_turns(self) -> None:
        """Somebody who asks once does not wait behind all that another address asked."""
        self.verifier = self.newVerifier(threads=1, queue=10)
        done: list[str] = []
        for source in ("a", "a", "a", "b"):
            checking = Deferred.fromCoroutine(self.verifier.verify(self.stored, b"x", source))
            checking.addCallback(lambda _, source=source: done.append(source))
        self.threads.runAll()
        self.assertEqual(done, ["a", "a", "b", "a"])

    def test_leavingKeepsThePlace(self) -> None:
        """Clients that leave while they wait do not make room for more checks."""
        self.verifier = self.newVerifier(threads=1, queue=1)
        for _ in range(2):
            checking = Deferred.fromCoroutine(self.verifier.verify(self.stored, b"x"))
            checking.cancel()
            self.failureResultOf(checking, CancelledError)
        self.failureResultOf(
            Deferred.fromCoroutine(self.verifier.verify(self.stored, b"x")), LimitExceeded
        )
        self.threads.runAll()
        self.assertTrue(self.verify(b"sesame"))

    def test_failureInTheThread(self) -> None:
        """What goes wrong there arrives, and the place is free again."""
        self.verifier = self.newVerifier(threads=1, queue=0)
        self.patch(self.hasher, "verify", lambda *_: 1 / 0)
        for _ in range(2):
            checking = Deferred.fromCoroutine(self.verifier.verify(self.stored, b"x"))
            self.threads.runAll()
            self.failureResultOf(checking, ZeroDivisionError)

    def test_secrets(self) -> None:
        """Neither password nor hash is kept in what is remembered."""
        self.verify(b"sesame")
        kept = repr(vars(self.verifier))
        self.assertNotIn("sesame", kept)
        self.assertNotIn("argon2", kept)

    def test_stop(self) -> None:
        """Stopping works before the first check, and twice; no check follows."""
        self.verify(b"sesame")
        for _ in range(2):
            self.verifier.stop()
            checking = Deferred.fromCoroutine(self.verifier.verify(self.stored, b"sesame"))
            self.failureResultOf(checking, LimitExceeded)
        self.newVerifier().stop()

    def test_stopWithAQueue(self) -> None:
        """What waits when the server stops costs nothing any more."""
        checks = [Deferred.fromCoroutine(self.verifier.verify(self.stored, b"%d" % n))
                  for n in range(10)]  # fmt: skip
        self.verifier.stop()
        self.threads.runAll()
        for checking in checks:
            self.failureResultOf(checking, LimitExceeded)
        self.assertEqual(self.hasher.verified, [])


class ThreadTests(TestCase):
    """With threads and hashes as they are."""

    @inlineCallbacks
    def test_manyAtOnce(self) -> Any:
        """Right ones are right and wrong ones wrong, while the reactor has its turns."""
        verifier = PasswordVerifier(reactor)
        self.addCleanup(verifier.stop)
        stored = hashPassword(b"sesame")
        turns = 0

        def turn() -> None:
            nonlocal turns
            turns += 1

        ticking = LoopingCall(turn)
        ticking.start(0.001)
        tried = [b"wrong", b"sesame"] * 3
        checks = [Deferred.fromCoroutine(verifier.verify(stored, each)) for each in tried]
        checks.append(Deferred.fromCoroutine(verifier.verifyNobody(b"sesame")))
        results = yield gatherResults(checks).addTimeout(30, reactor)
        ticking.stop()
        self.assertEqual(results, [False, True] * 3 + [None])
        self.assertGreater(turns, 10)
        again = Deferred.fromCoroutine(verifier.verify(stored, b"sesame"))
        self.assertTrue(self.successResultOf(again))

    @inlineCallbacks
    def test_leavingWhileItRuns(self) -> Any:
        """A client that leaves during its check harms nobody."""
        verifier = PasswordVerifier(reactor, threads=1, queue=1)
        self.addCleanup(verifier.stop)
        stored = hashPassword(b"sesame")
        left = Deferred.fromCoroutine(verifier.verify(stored, b"sesame"))
        left.cancel()
        self.failureResultOf(left, CancelledError)
        other = Deferred.fromCoroutine(verifier.verify(stored, b"sesame"))
        self.assertTrue((yield other.addTimeout(30, reactor)))
