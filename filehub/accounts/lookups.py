"""
Asking a database of accounts from a thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from filehub.accounts.database import AccountTables, DatabaseUnavailable, StoredAccount
from filehub.accounts.records import PATIENCE, AccountRecord
from filehub.errors import ConfigurationError, LimitExceeded

#: Look-ups that may wait; more are refused.
_MAXIMUM_WAITING: Final = 256


class DatabaseSource:
    """
    An L{AccountSource<filehub.accounts.records.AccountSource>} over
    L{AccountTables}, in a thread of its own.

    A connection that broke is opened again by the next look-up.  While there is none,
    look-ups raise L{StorageUnavailable}, and the log says why.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        connect: Callable[[], AccountTables],
        convert: Callable[[StoredAccount], AccountRecord],
    ) -> None:
        """
        @param connect: called in the thread.
        @param convert: from a row to an account.  Raises L{ConfigurationError} for one
            that makes no sense.
        """
        self._reactor = reactor
        self._connect = connect
        self._convert = convert
        self._pool = ThreadPool(0, 1, "accounts")
        self._tables: AccountTables | None = None
        self._waiting = 0
        self._stopped = False

    async def find(self, name: str) -> AccountRecord | None:
        """
        See L{AccountSource.find<filehub.accounts.records.AccountSource.find>}.

        @raise StorageUnavailable: the database does not answer.
        """
        stored = await self._ask(lambda tables: tables.find(name))
        if stored is None:
            return None
        try:
            return replace(self._convert(stored), store=self)
        except ConfigurationError as error:
            self._log.error("account {name} cannot be used: {reason}", name=name, reason=str(error))
            return None

    async def findAnonymous(self) -> AccountRecord | None:
        """Nobody: anonymous logins are the configuration's."""
        return None

    async def replacePassword(self, name: str, old: str, new: str) -> None:
        """
        Store another hash of the same password.

        @raise StorageUnavailable: the database does not answer.
        """
        await self._ask(lambda tables: tables.setPassword(name, new, instead=old))

    async def _ask(self, question: Callable[[AccountTables], Any]) -> Any:
        if self._stopped or self._waiting >= _MAXIMUM_WAITING:
            raise LimitExceeded("too many logins at once, try again later")
        if not self._pool.started:
            self._pool.start()
        self._waiting += 1
        answer: Deferred[Any] = Deferred()

        def isWanted() -> bool:
            # Nobody waits any more for what was asked too long ago.
            return not (answer.called or self._stopped)

        def work() -> Any:
            return self._work(question, isWanted) if isWanted() else None

        def arrived(success: bool, result: Any) -> None:
            self._waiting -= 1
            if overdue.active():
                overdue.cancel()
            if not answer.called:
                (answer.callback if success else answer.errback)(result)

        def inThread(success: bool, result: Any) -> None:
            self._reactor.callFromThread(arrived, success, result)

        overdue = self._reactor.callLater(PATIENCE, self._late, answer)
        self._pool.callInThreadWithCallback(inThread, work)
        return await answer

    def _late(self, answer: Deferred[Any]) -> None:
        tables = self._tables
        if tables is not None:
            tables.interrupt()
        if not answer.called:
            place = "the database" if tables is None else tables.place
            problem = DatabaseUnavailable(f"{place}: no answer within {PATIENCE:g} s")
            self._complain(problem)
            answer.errback(problem)

    def _complain(self, problem: DatabaseUnavailable) -> None:
        self._log.error("accounts cannot be looked up: {reason}", reason=problem.reason)

    def _work(self, question: Callable[[AccountTables], Any], isWanted: Callable[[], bool]) -> Any:
        # A server that was restarted shows in the first statement only: once more, then.
        for fresh in (self._tables is None, True):
            try:
                if self._tables is None:
                    self._tables = self._connect()
                return question(self._tables)
            except DatabaseUnavailable as error:
                problem = error
            except ConfigurationError as error:
                problem = DatabaseUnavailable(str(error))
            if self._tables is not None:
                self._tables.close()
                self._tables = None
            if fresh or not isWanted():
                break
        if isWanted():
            self._complain(problem)
        raise problem

    def stop(self) -> None:
        """Let go of the database; what it is asked just now fails."""
        self._stopped = True
        if self._tables is not None:
            self._tables.interrupt()
        if self._pool.started and not self._pool.joined:
            self._pool.stop()
        if self._tables is not None:
            self._tables.close()
            self._tables = None
