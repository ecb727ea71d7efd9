"""
Commands that come too quickly: they wait, in their order, and in the end for nothing.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from filehub.errors import LimitExceeded
from filehub.uncounted import UncountedSlot
from tests.protocols.ftp.doubles import Client


class PaceTests(SynchronousTestCase):
    """What a session makes of its slot's pace."""

    def setUp(self) -> None:
        self.client = Client().logIn()
        self.waits: list[Deferred[None]] = []
        self.patch(UncountedSlot, "pace", self.pace)

    def pace(self, *_: Any) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self.waits.append(waiting)
        return waiting

    def test_waits(self) -> None:
        """Each is answered when its time has come, none before those that came earlier."""
        self.assertEqual(self.client.say("NOOP\r\nPWD"), b"")
        self.assertEqual(len(self.waits), 1)
        self.waits[0].callback(None)
        self.assertTrue(self.client.take().startswith(b"200 "))
        self.waits[1].callback(None)
        self.assertTrue(self.client.take().startswith(b"257 "))

    def test_tooLong(self) -> None:
        """Who does not slow down is sent away."""

        def refuse(*_: Any) -> None:
            raise LimitExceeded("Too many commands.")

        self.patch(UncountedSlot, "pace", refuse)
        self.assertEqual(self.client.say("NOOP"), b"421 Too many commands.\r\n")
        self.assertTrue(self.client.isClosed)

    def test_lost(self) -> None:
        """A client that goes meanwhile leaves nothing behind."""
        self.client.say("NOOP")
        self.client.disconnect()
        self.assertTrue(self.waits[0].called)
        self.assertEqual(self.client.take(), b"")
