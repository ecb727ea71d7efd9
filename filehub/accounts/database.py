"""
Accounts in an SQL database: SQLite for one server, PostgreSQL for several.

An account is a name, a password hash, and a JSON object with whatever else a C{[[user]]}
of the configuration file may have: one set of keys, wherever an account is written
down.  Groups are the same without a password.  The tables are meant to be filled by
other programs too; what they write is checked when it is read, and an account that
makes no sense is none.

L{AccountTables} is the data and knows nothing of threads;
L{DatabaseSource<filehub.accounts.lookups.DatabaseSource>} asks it from one, for a server.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from filehub.accounts.records import PATIENCE
from filehub.errors import ConfigurationError, FileHubError, StorageUnavailable

#: Rises with every change of the tables that older programs would not understand.
SCHEMA_VERSION: Final = 1

_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS filehub_version (version INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS filehub_user"
    " (name TEXT PRIMARY KEY, password TEXT, settings TEXT NOT NULL DEFAULT '{}')",
    "CREATE TABLE IF NOT EXISTS filehub_group"
    " (name TEXT PRIMARY KEY, settings TEXT NOT NULL DEFAULT '{}')",
)


class DatabaseUnavailable(StorageUnavailable):
    """
    The database does not answer, or not with what it should.

    @ivar reason: for the operator, never for a client.
    """

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """
    One row, as it was found.

    @ivar settings: keys and values as under C{[[user]]}, without name and password.
    @ivar groups: those of its groups that the database has, by name.
    """

    name: str
    password: str | None = field(repr=False)
    settings: Mapping[str, Any]
    groups: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class AccountTables:
    """
    The tables, through one DB-API connection.  What changes them is committed when the
    call returns, or not at all.

    All methods raise L{DatabaseUnavailable} where the database does not answer.
    """

    def __init__(self, connection: Any, errors: type[Exception], place: str) -> None:
        """
        @param errors: what the connection's module raises.
        @param place: where this is, for messages.
        """
        self._connection = connection
        self._errors = errors
        # SQLite's parameters are question marks, PostgreSQL's are not.
        self._mark = "?" if isinstance(connection, sqlite3.Connection) else "%s"
        self.place = place

    def create(self) -> None:
        """
        Make the tables where they are missing.

        @raise ConfigurationError: a newer FileHub made them.
        """
        try:
            with self._transaction() as run:
                found = list(run("SELECT version FROM filehub_version"))
        except DatabaseUnavailable:
            # Only now: who may use them need not be allowed to make them.
            found = []
        if not found:
            with self._transaction() as run:
                for statement in _TABLES:
                    run(statement)
                found = list(run("SELECT version FROM filehub_version"))
                if not found:
                    run(f"INSERT INTO filehub_version VALUES ({self._mark})", SCHEMA_VERSION)
        if found and found[0][0] > SCHEMA_VERSION:
            raise ConfigurationError(
                f"{self.place}: found tables of version {found[0][0]}, expected at most"
                f" {SCHEMA_VERSION}: a newer FileHub made them"
            )

    # --- users

    def find(self, name: str) -> StoredAccount | None:
        """The account of this name, with its groups."""
        with self._transaction() as run:
            rows = list(
                run(
                    f"SELECT name, password, settings FROM filehub_user WHERE name = {self._mark}",
                    name,
                )
            )
            if not rows:
                return None
            settings = self._decoded(rows[0][2], name)
            groups = {}
            listed = settings.get("groups")
            # What else may be there is complained of later, by whoever makes an account of it.
            for group in listed if isinstance(listed, list) else ():
                if isinstance(group, str):
                    for row in run(
                        f"SELECT settings FROM filehub_group WHERE name = {self._mark}", group
                    ):
                        groups[group] = self._decoded(row[0], group)
        return StoredAccount(rows[0][0], rows[0][1], settings, groups)

    def users(self) -> Iterator[StoredAccount]:
        """All accounts in the order of their names, without their groups."""
        with self._transaction() as run:
            for name, password, settings in run(
                "SELECT name, password, settings FROM filehub_user ORDER BY name"
            ):
                yield StoredAccount(name, password, self._decoded(settings, name))

    def addUser(self, name: str, password: str | None, settings: Mapping[str, Any]) -> bool:
        """Returns whether the name was free."""
        return self._insert(
            "filehub_user (name, password, settings)", name, password, _encoded(settings)
        )

    def changeUser(self, name: str, settings: Mapping[str, Any]) -> bool:
        """Returns whether there is such an account."""
        return self._update("filehub_user", name, "settings", _encoded(settings))

    def setPassword(self, name: str, password: str | None, *, instead: str | None = None) -> bool:
        """
        @param instead: only if this is the stored one still: a login that makes a hash
            anew must not undo a change of the password.
        """
        if instead is None:
            return self._update("filehub_user", name, "password", password)
        with self._transaction() as run:
            return self._counted(
                run(
                    f"UPDATE filehub_user SET password = {self._mark}"
                    f" WHERE name = {self._mark} AND password = {self._mark}",
                    password,
                    name,
                    instead,
                )
            )

    def removeUser(self, name: str) -> bool:
        """Returns whether there was such an account."""
        return self._delete("filehub_user", name)

    # --- groups

    def groups(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """All groups in the order of their names."""
        with self._transaction() as run:
            for name, settings in run("SELECT name, settings FROM filehub_group ORDER BY name"):
                yield name, self._decoded(settings, name)

    def findGroup(self, name: str) -> Mapping[str, Any] | None:
        """The settings of a group."""
        with self._transaction() as run:
            for row in run(f"SELECT settings FROM filehub_group WHERE name = {self._mark}", name):
                return self._decoded(row[0], name)
        return None

    def addGroup(self, name: str, settings: Mapping[str, Any]) -> bool:
        """Returns whether the name was free."""
        return self._insert("filehub_group (name, settings)", name, _encoded(settings))

    def changeGroup(self, name: str, settings: Mapping[str, Any]) -> bool:
        """Returns whether there is such a group."""
        return self._update("filehub_group", name, "settings", _encoded(settings))

    def removeGroup(self, name: str) -> bool:
        """Returns whether there was such a group."""
        return self._delete("filehub_group", name)

    def interrupt(self) -> None:
        """Let what another thread waits for here fail; the connection may be lost by it."""
        # That thread may be closing it just now, and then there is nothing to interrupt.
        with suppress(self._errors, OSError):
            if isinstance(self._connection, sqlite3.Connection):
                self._connection.interrupt()
            else:
                # Its own way to cancel is a question to a server that does not answer.
                with socket.socket(fileno=os.dup(self._connection.fileno())) as link:
                    link.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Nothing is asked afterwards."""
        self._connection.close()

    # --- statements

    def _insert(self, table: str, *values: object) -> bool:
        marks = ", ".join([self._mark] * len(values))
        with self._transaction() as run:
            return self._counted(
                run(f"INSERT INTO {table} VALUES ({marks}) ON CONFLICT (name) DO NOTHING", *values)
            )

    def _update(self, table: str, name: str, column: str, value: object) -> bool:
        with self._transaction() as run:
            return self._counted(
                run(
                    f"UPDATE {table} SET {column} = {self._mark} WHERE name = {self._mark}",
                    value,
                    name,
                )
            )

    def _delete(self, table: str, name: str) -> bool:
        with self._transaction() as run:
            return self._counted(run(f"DELETE FROM {table} WHERE name = {self._mark}", name))

    @staticmethod
    def _counted(cursor: Any) -> bool:
        return bool(cursor.rowcount)

    def _transaction(self) -> _Transaction:
        return _Transaction(self._connection, self._errors, self.place)

    def _decoded(self, text: Any, name: str) -> Mapping[str, Any]:
        try:
            # PostgreSQL's own JSON types arrive as objects.
            settings = text if isinstance(text, dict) else json.loads(text)
        except (TypeError, ValueError, RecursionError):
            settings = None
        if not isinstance(settings, dict):
            raise DatabaseUnavailable(f"{self.place}: the settings of {name!r} are no object")
        return settings


class _Transaction:
    """
    All of its statements are committed at its end, or none; its errors are ours.
    """

    def __init__(self, connection: Any, errors: type[Exception], place: str) -> None:
        self._connection = connection
        self._errors = errors
        self._place = place

    def __enter__(self) -> Callable[..., Any]:
        try:
            cursor = self._connection.cursor()
        except self._errors as error:
            raise self._unavailable(error) from None

        def run(statement: str, *values: object) -> Any:
            cursor.execute(statement, values)
            return cursor

        return run

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self._connection.commit()
            else:
                self._connection.rollback()
        except self._errors as problem:
            if error is None:
                error = problem
        if isinstance(error, self._errors):
            raise self._unavailable(error) from None

    def _unavailable(self, error: BaseException) -> DatabaseUnavailable:
        said = str(error).strip().partition("\n")[0]
        return DatabaseUnavailable(f"{self._place}: {said}")


def _encoded(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, ensure_ascii=False, sort_keys=True)


def openSQLite(path: Path, *, create: bool = False) -> AccountTables:
    """
    The tables in a file.

    @param create: make the file where there is none.
    @raise ConfigurationError: there is none, or it is no database of accounts.
    @raise DatabaseUnavailable: somebody keeps it locked.
    """
    if not create and not path.exists():
        raise ConfigurationError(f"{path}: found no file; filehub user add makes it")
    try:
        connection = sqlite3.connect(path, timeout=PATIENCE, check_same_thread=False)
        with closing(connection.execute("PRAGMA journal_mode = WAL")):
            pass
    except sqlite3.Error as error:
        raise ConfigurationError(f"{path}: no database of accounts: {error}") from None
    if create:
        # Password hashes are nobody else's.
        path.chmod(0o600)
    return _made(AccountTables(connection, sqlite3.Error, str(path)))


def openPostgreSQL(address: str) -> AccountTables:
    """
    The tables in a PostgreSQL database.

    @param address: C{postgresql://user@host/database}, as libpq has it.
    @raise ConfigurationError: the library for it is not installed.
    @raise DatabaseUnavailable: it does not answer.
    """
    try:
        import psycopg
    except ImportError:
        raise ConfigurationError(
            "PostgreSQL needs its library: pip install filehub[postgresql]"
        ) from None
    try:
        # Who does not answer a connection will not answer a question in what is left of the
        # time.  Statements that are prepared do not survive some connection poolers.
        connection = psycopg.connect(
            address, connect_timeout=int(PATIENCE / 2), prepare_threshold=None
        )
    except psycopg.Error as error:
        said = str(error).strip().partition("\n")[0]
        raise DatabaseUnavailable(f"PostgreSQL: {said}") from None
    return _made(AccountTables(connection, psycopg.Error, "PostgreSQL"))


def _made(tables: AccountTables) -> AccountTables:
    """With all tables there, or else closed."""
    try:
        tables.create()
    except FileHubError:
        tables.close()
        raise
    return tables
