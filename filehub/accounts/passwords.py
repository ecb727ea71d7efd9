"""
Passwords: checked off the reactor, remembered for a moment.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from filehub.accounts.hashes import hashPassword, verifyHash
from filehub.accounts.turns import Turns
from filehub.errors import LimitExceeded

_T = TypeVar("_T")

#: Each takes 19 MiB.
MOST_THREADS: Final = 4
#: How much less of a processor a check gets than a session (see nice(2)).
_NICENESS: Final = 10

_thread: Final = threading.local()


def _giveWay() -> None:
    """Of this thread alone, which Linux can tell from others."""
    isOwn = threading.current_thread() is not threading.main_thread()
    if isOwn and sys.platform == "linux" and not getattr(_thread, "isNice", False):
        _thread.isNice = True
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)


class PasswordVerifier:
    """
    Checks passwords in threads of its own: few, because each check takes 19 MiB and a
    processor, and with a bounded queue, because the login flood is what it is for.  They
    give way to whatever else the machine has to do, sessions above all; and addresses
    take turns, so that nobody waits behind all the guesses of somebody else.

    Clients that log in a thousand times in a row would pay 40 ms each, so a success
    is remembered for a moment.  What is kept is a MAC of stored hash and password
    under a key that exists in this process only.  It helps nobody who cannot read our
    memory, and who can, sees passwords pass anyway.  A changed hash is another entry,
    so a changed password works, and stops working, at once.
    """

    def __init__(
        self,
        reactor: Any,
        threads: int | None = None,
        queue: int = 32,
        rememberFor: float = 60.0,
        remembered: int = 1024,
    ) -> None:
        """
        @param reactor: provides L{IReactorTime} and C{callFromThread}.
        @param threads: L{None}: a processor less than there are, so that one is left
            for sessions; L{MOST_THREADS} at the most.
        @param queue: checks that may wait; more are refused.
        @param rememberFor: seconds; 0 turns remembering off.
        """
        self._reactor = reactor
        if threads is None:
            threads = max(1, min(MOST_THREADS, (os.cpu_count() or 1) - 1))
        self._pool = ThreadPool(0, threads, "passwords")
        self._turns = Turns(threads, queue)
        self._rememberFor = rememberFor
        self._capacity = remembered
        self._key = os.urandom(32)
        self._remembered: OrderedDict[bytes, float] = OrderedDict()
        self._dummy = ""
        self._stopped = False

    async def verify(self, stored: str, password: bytes, source: object = None) -> bool:
        """
        Is this the password?

        @param stored: in any of the L{FORMATS<filehub.accounts.hashes.FORMATS>}.
        @param source: who asks; each has to wait for its own checks above all.
        @raise LimitExceeded: too many checks are waiting.
        """
        mac = self._mac(stored, password)
        now = self._reactor.seconds()
        until = self._remembered.get(mac)
        if until is not None and until > now:
            return True
        good = await self._inThread(source, verifyHash, stored, password)
        if good and self._rememberFor:
            self._remembered[mac] = now + self._rememberFor
            self._remembered.move_to_end(mac)
            if len(self._remembered) > self._capacity:
                self._remembered.popitem(last=False)
        return good

    async def verifyNobody(self, password: bytes, source: object = None) -> None:
        """
        Take as long as a check of a real account takes, so that the time of the
        answer does not tell which accounts exist.

        @raise LimitExceeded: as a real one would.
        """
        await self._inThread(source, self._checkNobody, password)

    async def hash(self, password: bytes, source: object = None) -> str:
        """
        A new hash of an acceptable password.

        @raise LimitExceeded: too many checks are waiting.
        """
        return await self._inThread(source, hashPassword, password)

    def _mac(self, stored: str, password: bytes) -> bytes:
        text = stored.encode() + b"\0" + password
        return hmac.digest(self._key, text, hashlib.sha256)

    def _checkNobody(self, password: bytes) -> None:
        # Made once, at its first use, in the thread.
        self._dummy = self._dummy or hashPassword(os.urandom(16).hex().encode())
        verifyHash(self._dummy, password)

    def _unlessStopped(self, work: Callable[..., _T], *arguments: object) -> _T:
        if self._stopped:
            # Whoever waits for the end of the threads would wait for the whole queue.
            raise LimitExceeded("shutting down")
        _giveWay()
        return work(*arguments)

    async def _inThread(self, source: object, work: Callable[..., _T], *arguments: object) -> _T:
        if self._stopped:
            raise LimitExceeded("shutting down")
        turn = self._turns.enter(source)
        if turn is not None:
            await turn
            if self._stopped:
                self._turns.leave()
                raise LimitExceeded("shutting down")
        if not self._pool.started:
            self._pool.start()
        checking: Deferred[_T] = deferToThreadPool(
            self._reactor, self._pool, self._unlessStopped, work, *arguments
        )
        # A client that leaves ends the waiting, not the check.
        waiting: Deferred[_T] = Deferred()
        checking.addBoth(self._checked).chainDeferred(waiting)
        return await waiting

    def _checked(self, result: Any) -> Any:
        self._turns.leave()
        return result

    def stop(self) -> None:
        """
        End the threads, after the checks that they are at.  Those that wait, and any
        that follow, are refused.
        """
        self._stopped = True
        self._remembered.clear()
        if self._pool.started and not self._pool.joined:
            self._pool.stop()
