"""
One SQLite file in the state folder, and the one thread that works on it.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from filehub.errors import ConfigurationError, StorageUnavailable
from filehub.vfs.workers import Workers

_T = TypeVar("_T")

#: Seconds that SQLite waits for another process' lock.
_PATIENCE: Final = 5.0
#: SQLite's codes for files that it may not open or write.
_FORBIDDEN: Final = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}


class StateDatabase:
    """
    A database in WAL mode: what was written survives the process, at once, and a loss of
    power up to the last moments.

    @param path: its file; the folder is made if need be.  L{None}: in memory, for
        servers without a state folder, which start from nothing.
    @param schema: statements that bring an empty database to version 1, and each
        further entry from one version to the next.
    @param workers: where the work is done; must have one thread.
    """

    def __init__(self, path: Path | None, schema: Sequence[str], workers: Workers) -> None:
        self.path = path
        self._schema = schema
        self._workers = workers
        self._connection: sqlite3.Connection | None = None
        self._lock = -1

    def open(self, *, exclusive: bool = True) -> None:
        """
        Blocks.

        @param exclusive: for the server itself, of which there is one.
        @raise ConfigurationError: it cannot be used; says why, and what to do.
        """
        try:
            if self.path is not None:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                if exclusive and not self._tryLock():
                    raise ConfigurationError(f"{self.path} is in use by another server")
            self._connection = self._connect()
        except (OSError, sqlite3.Error) as error:
            self.closeNow()
            raise ConfigurationError(f"cannot use {self.path}: {_reason(error)}") from None

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path or ":memory:",
            timeout=_PATIENCE,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            if self.path is not None:
                os.chmod(self.path, 0o600)
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
            connection.execute("PRAGMA synchronous = NORMAL")
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _migrate(self, connection: sqlite3.Connection) -> None:
        (damage,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if damage != "ok":
            raise sqlite3.DatabaseError(damage)
        # Several processes may open a new one at the same moment.
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(self._schema):
            raise sqlite3.DatabaseError(f"it is of a later version ({version})")
        for number in range(version, len(self._schema)):
            for statement in self._schema[number].split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")

    def _tryLock(self) -> bool:
        lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def isServed(self) -> bool:
        """Is a server at it?  Blocks for an instant."""
        if not self._tryLock():
            return True
        os.close(self._lock)
        self._lock = -1
        return False

    def suspend(self) -> None:
        """
        Keep it from other servers, but have no connection any more: this process is about
        to be divided, and the others open it themselves, not exclusively.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def perform(self, function: Callable[[sqlite3.Connection], _T]) -> _T:
        """
        Do it here and now, in a transaction; blocks.

        @raise StorageUnavailable: it is locked, damaged, or the disk is full.
        """
        connection = self._connection
        if connection is None:
            raise StorageUnavailable(None, "the state is not available")
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = function(connection)
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise StorageUnavailable(
                None, f"the state cannot be written: {_line(error)}"
            ) from error
        return result

    async def run(self, function: Callable[[sqlite3.Connection], _T]) -> _T:
        """The same in the thread; pieces of work are done in their order."""
        result: _T = await self._workers.call(self.perform, function, always=True)
        return result

    async def close(self) -> None:
        """After all work."""
        await self._workers.call(self.closeNow, always=True)

    def closeNow(self) -> None:
        """Blocks.  Idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _line(error: sqlite3.Error) -> str:
    return " ".join(str(error).split())


def _reason(error: OSError | sqlite3.Error) -> str:
    """Why a database cannot be used, and what may help."""
    if isinstance(error, OSError):
        return str(error.strerror)
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _FORBIDDEN:
        return f"{_line(error)} (may the server's user write to its folder?)"
    return f"{_line(error)} (if it is damaged, move it away)"


def asBytes(text: Any) -> bytes:
    """A name or path, for a column; names may be no proper text."""
    return str(text).encode("utf-8", "surrogateescape")


__all__ = ["StateDatabase", "asBytes"]
