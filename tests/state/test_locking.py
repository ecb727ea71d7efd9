"""
Tests of L{filehub.state.locking}.
"""

from __future__ import annotations

import fcntl
import os
import tempfile

from twisted.trial.unittest import SynchronousTestCase

from filehub.state.locking import KernelLock


class KernelLockTests(SynchronousTestCase):
    """As another process sees it."""

    def setUp(self) -> None:
        self.file = tempfile.TemporaryFile()  # noqa: SIM115 - it is open as long as the test
        self.addCleanup(self.file.close)
        self.lock = KernelLock(self.file.fileno())

    def isTaken(self) -> bool:
        """Would somebody else have to wait?"""
        child = os.fork()
        if not child:
            try:
                fcntl.lockf(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status) == 1

    def test_nested(self) -> None:
        """Taken twice, it is given back at the second end, and then free for all."""
        with self.lock:
            with self.lock:
                self.assertTrue(self.isTaken())
            self.assertTrue(self.isTaken())
        self.assertFalse(self.isTaken())
        with self.assertRaises(ZeroDivisionError), self.lock:
            raise ZeroDivisionError
        self.assertFalse(self.isTaken())
