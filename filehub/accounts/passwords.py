"""
Password hashes: made, checked off the reactor, remembered for a moment.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections import OrderedDict
from typing import Any, Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from filehub.errors import LimitExceeded

#: OWASP's minimum for argon2id: 19 MiB, two passes, one lane; some 40 ms.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
#: A PHC string: parameters, at least 8 bytes of salt, at least 12 of hash.
_PHC: Final = re.compile(
    r"\$argon2(?:id|i|d)\$v=[0-9]+\$m=[0-9]+,t=[0-9]+,p=[0-9]+"
    r"\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}"
)
#: Longer ones are refused before they are hashed.
MAXIMUM_PASSWORD: Final = 1024


def hashPassword(password: bytes) -> str:
    """
    A PHC string for the configuration file.  Takes some 40 ms.

    @raise ValueError: empty, too long, or with NUL in it.
    """
    if not isAcceptable(password):
        raise ValueError(f"expected 1 to {MAXIMUM_PASSWORD} bytes without NUL")
    return _HASHER.hash(password)


def isAcceptable(password: bytes) -> bool:
    """May this be a password at all?"""
    return 0 < len(password) <= MAXIMUM_PASSWORD and b"\0" not in password


def isUsableHash(stored: str) -> bool:
    """
    Can a password ever match this?  Empty and locked fields (C{!}, C{*}) cannot, and
    neither can a hash that was mangled on its way here.
    """
    return _PHC.fullmatch(stored) is not None


def needsRehash(stored: str) -> bool:
    """
    Was this made with other parameters than L{hashPassword} uses now?

    @param stored: a usable hash.
    """
    return _HASHER.check_needs_rehash(stored)


def _verify(stored: str, password: bytes) -> bool:
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


class PasswordVerifier:
    """
    Checks passwords in threads of its own: few, because each check takes 19 MiB and a
    processor, and with a bounded queue, because the login flood is what it is for.

    Clients that log in a thousand times in a row would pay 40 ms each, so a success
    is remembered for a moment.  What is kept is a MAC of stored hash and password
    under a key that exists in this process only.  It helps nobody who cannot read our
    memory, and who can, sees passwords pass anyway.  A changed hash is another entry,
    so a changed password works, and stops working, at once.
    """

    def __init__(
        self,
        reactor: Any,
        threads: int = 2,
        queue: int = 32,
        rememberFor: float = 60.0,
        remembered: int = 1024,
    ) -> None:
        """
        @param reactor: provides L{IReactorTime} and C{callFromThread}.
        @param queue: checks that may wait; more are refused.
        @param rememberFor: seconds; 0 turns remembering off.
        """
        self._reactor = reactor
        self._pool = ThreadPool(0, threads, "passwords")
        self._limit = threads + queue
        self._pending = 0
        self._rememberFor = rememberFor
        self._capacity = remembered
        self._key = os.urandom(32)
        self._remembered: OrderedDict[bytes, float] = OrderedDict()
        self._dummy = ""
        self._stopped = False

    async def verify(self, stored: str, password: bytes) -> bool:
        """
        Is this the password?

        @param stored: a PHC string.
        @raise LimitExceeded: too many checks are waiting.
        """
        mac = self._mac(stored, password)
        now = self._reactor.seconds()
        until = self._remembered.get(mac)
        if until is not None and until > now:
            return True
        good = await self._inThread(stored, password)
        if good and self._rememberFor:
            self._remembered[mac] = now + self._rememberFor
            self._remembered.move_to_end(mac)
            if len(self._remembered) > self._capacity:
                self._remembered.popitem(last=False)
        return good

    async def verifyNobody(self, password: bytes) -> None:
        """
        Take as long as a check of a real account takes, so that the time of the
        answer does not tell which accounts exist.

        @raise LimitExceeded: as a real one would.
        """
        await self._inThread(None, password)

    def _mac(self, stored: str, password: bytes) -> bytes:
        text = stored.encode() + b"\0" + password
        return hmac.digest(self._key, text, hashlib.sha256)

    def _check(self, stored: str | None, password: bytes) -> bool:
        if self._stopped:
            # Whoever waits for the end of the threads would wait for the whole queue.
            raise LimitExceeded("shutting down")
        if stored is None:
            # Made once, at its first use, in the thread.
            self._dummy = self._dummy or _HASHER.hash(os.urandom(16))
            _verify(self._dummy, password)
            return False
        return _verify(stored, password)

    async def _inThread(self, stored: str | None, password: bytes) -> bool:
        if self._stopped or self._pending >= self._limit:
            raise LimitExceeded("too many logins at once, try again later")
        if not self._pool.started:
            self._pool.start()
        self._pending += 1
        checking: Deferred[bool] = deferToThreadPool(
            self._reactor, self._pool, self._check, stored, password
        )
        # A client that leaves ends the waiting, not the check: that still has its
        # place in the queue.
        waiting: Deferred[bool] = Deferred()
        checking.addBoth(self._checked).chainDeferred(waiting)
        return await waiting

    def _checked(self, result: Any) -> Any:
        self._pending -= 1
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
