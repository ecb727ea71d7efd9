"""
Accounts in several places, one after the other.

There are two kinds of places.  An L{AccountSource} knows accounts and their password
hashes, and FileHub checks the password: the configuration file, a database.  A
L{LoginSource} keeps the password to itself, and is asked whether this one is right:
PAM, a directory, a program, a web service.

The first place that knows a name decides about it.  A login source cannot tell an
unknown name from a wrong password; when it says no, the next place is asked.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from filehub.accounts.database import StoredAccount
from filehub.accounts.records import PATIENCE, AccountRecord, AccountSource, LoginSource
from filehub.credentials import ConnectionInfo
from filehub.errors import ConfigurationError, LimitExceeded, StorageUnavailable

#: Accounts that a login source has just let in are looked up by the realm next.
_REMEMBERED: Final = 1024


class SourceChain:
    """
    An L{AccountSource} over several places.
    """

    def __init__(self, stored: Iterable[AccountSource], logins: Iterable[LoginSource] = ()) -> None:
        """
        @param stored: asked first, in this order.
        @param logins: asked for names that none of those knows.
        """
        self._stored = tuple(stored)
        self._places: tuple[AccountSource | LoginSource, ...] = (*self._stored, *logins)

    async def find(self, name: str) -> AccountRecord | None:
        """See L{AccountSource.find}."""
        for source in self._places:
            record = await source.find(name)
            if record is not None:
                return record
        return None

    async def findAnonymous(self) -> AccountRecord | None:
        """See L{AccountSource.findAnonymous}."""
        for source in self._stored:
            record = await source.findAnonymous()
            if record is not None:
                return record
        return None


def chained(stored: Sequence[AccountSource], logins: Sequence[LoginSource] = ()) -> AccountSource:
    """The same; if there is but one place, that is asked itself."""
    return stored[0] if len(stored) == 1 and not logins else SourceChain(stored, logins)


class Check(Protocol):
    """Asks somebody else whether a password is right; may block."""

    def __call__(
        self, name: str, password: bytes, connection: ConnectionInfo | None
    ) -> StoredAccount | None:
        """
        What is known of the account, if the password is right.

        @raise SourceFailed: nobody could be asked.
        """


class SourceFailed(Exception):
    """Why a place did not answer; for the operator."""


class CheckedSource:
    """
    A L{LoginSource} that asks from threads of its own: few, and with a bounded queue,
    so that a place that hangs holds up its own accounts only.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        title: str,
        check: Check,
        convert: Callable[[StoredAccount], AccountRecord],
        *,
        threads: int = 4,
        queue: int = 32,
    ) -> None:
        """
        @param title: what it is, for the log.
        @param convert: from what is known of an account to an account.  Raises
            L{ConfigurationError} for one that makes no sense.
        """
        self._reactor = reactor
        self._title = title
        self._check = check
        self._convert = convert
        self._pool = ThreadPool(0, threads, title)
        self._limit = threads + queue
        self._pending = 0
        self._stopped = False
        self._remembered: OrderedDict[str, AccountRecord] = OrderedDict()

    async def authenticate(
        self, name: str, password: bytes, connection: ConnectionInfo | None
    ) -> AccountRecord | None:
        """See L{LoginSource.authenticate}."""
        if self._stopped or self._pending >= self._limit:
            raise LimitExceeded("too many logins at once, try again later")
        if not self._pool.started:
            self._pool.start()
        self._pending += 1
        # A client that leaves ends the waiting, and so does time, but not the check.
        waiting: Deferred[StoredAccount | None] = Deferred()

        def work() -> StoredAccount | None:
            return None if waiting.called else self._check(name, password, connection)

        def checked(result: Any) -> None:
            self._pending -= 1
            if overdue.active():
                overdue.cancel()
            if not waiting.called:
                waiting.callback(result)

        def late() -> None:
            if not waiting.called:
                waiting.errback(SourceFailed(f"no answer within {PATIENCE:g} s"))

        overdue = self._reactor.callLater(PATIENCE, late)
        checking: Deferred[Any] = deferToThreadPool(self._reactor, self._pool, work)
        checking.addBoth(checked)
        try:
            stored = await waiting
            record = None if stored is None else self._convert(stored)
        except SourceFailed as error:
            self._log.error("{source}: {reason}", source=self._title, reason=str(error))
            raise StorageUnavailable from None
        except ConfigurationError as error:
            self._log.error(
                "{source}: the account {name} cannot be used: {reason}",
                source=self._title,
                name=name,
                reason=str(error),
            )
            return None
        if record is not None:
            self._remembered[record.name] = record
            self._remembered.move_to_end(record.name)
            if len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        return record

    async def find(self, name: str) -> AccountRecord | None:
        """See L{LoginSource.find}."""
        return self._remembered.get(name)

    def forget(self, name: str) -> None:
        """See L{LoginSource.forget}."""
        self._remembered.pop(name, None)

    def stop(self) -> None:
        """End the threads, after the checks that they are at."""
        self._stopped = True
        self._remembered.clear()
        if self._pool.started and not self._pool.joined:
            self._pool.stop()
