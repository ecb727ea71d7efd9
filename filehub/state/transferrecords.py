"""
What is written down of transfer quotas.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from filehub.errors import StorageUnavailable
from filehub.paths import decodeName
from filehub.periods import Period
from filehub.state.database import StateDatabase, asBytes
from filehub.usage import Scope

#: Bytes uploaded, bytes downloaded, files uploaded, files downloaded.
Figures = tuple[int, int, int, int]


class TransferRow(NamedTuple):
    """
    @ivar begin: of the period, seconds since the epoch.
    @ivar used: when this was written.
    @ivar booked: it may have become as much as that since.
    """

    scope: Scope
    period: Period
    begin: int
    used: Figures
    booked: Figures


class TransferRecords:
    """The tables, as values."""

    def __init__(self, database: StateDatabase) -> None:
        self.database = database

    def load(self) -> list[TransferRow]:
        """
        Everything; blocks.

        @raise StorageUnavailable: it cannot be read.
        """

        def work(connection: sqlite3.Connection) -> list[TransferRow]:
            rows = connection.execute("SELECT * FROM transfer ORDER BY level, name").fetchall()
            return [_row(row) for row in rows]

        try:
            return self.database.perform(work)
        except (ValueError, OverflowError, OSError) as error:
            # A period that there is not, or a time that no calendar has.
            raise StorageUnavailable(
                None, f"{self.database.path}: transfers make no sense: {error}"
            ) from None

    async def write(self, rows: Iterable[TransferRow], forget: Iterable[Scope] = ()) -> None:
        """Write down what has changed."""
        written = _values(rows)
        forgotten = [_key(scope) for scope in forget]

        def work(connection: sqlite3.Connection) -> None:
            _write(connection, written)
            connection.executemany("DELETE FROM transfer WHERE level = ? AND name = ?", forgotten)

        await self.database.run(work)

    def writeNow(self, rows: Iterable[TransferRow]) -> None:
        """
        The same; blocks.

        @raise StorageUnavailable: it cannot be written.
        """
        written = _values(rows)
        self.database.perform(lambda connection: _write(connection, written))

    async def wanted(self) -> list[Scope]:
        """Whose figures somebody outside wants to begin again; see L{want}."""

        def work(connection: sqlite3.Connection) -> list[Scope]:
            rows = connection.execute("SELECT level, name FROM restart").fetchall()
            if rows:
                connection.execute("DELETE FROM restart")
            return [Scope(level, decodeName(name)) for level, name in rows]

        return await self.database.run(work)

    def want(self, scopes: Iterable[Scope]) -> None:
        """Ask the server that has the database to begin these again; blocks."""
        rows = [_key(scope) for scope in scopes]
        self.database.perform(
            lambda connection: connection.executemany(
                "INSERT OR IGNORE INTO restart VALUES (?, ?)", rows
            )
        )

    def forget(self, scopes: Iterable[Scope]) -> None:
        """The same where there is no server; blocks."""
        rows = [_key(scope) for scope in scopes]
        self.database.perform(
            lambda connection: connection.executemany(
                "DELETE FROM transfer WHERE level = ? AND name = ?", rows
            )
        )


def _key(scope: Scope) -> tuple[str, bytes]:
    return scope.level, asBytes(scope.name)


def _values(rows: Iterable[TransferRow]) -> list[tuple[object, ...]]:
    return [(*_key(row.scope), row.period.value, row.begin, *row.used, *row.booked) for row in rows]


def _write(connection: sqlite3.Connection, rows: list[tuple[object, ...]]) -> None:
    marks = ", ".join("?" * 12)
    connection.executemany(f"INSERT OR REPLACE INTO transfer VALUES ({marks})", rows)


def _row(row: tuple[object, ...]) -> TransferRow:
    level, name, text, moment, *figures = row
    period, begin = Period(text), int(str(moment))
    period.endOf(begin)
    first = [int(str(each)) for each in figures]
    return TransferRow(
        Scope(str(level), decodeName(name if isinstance(name, bytes) else b"")),
        period,
        begin,
        (first[0], first[1], first[2], first[3]),
        (first[4], first[5], first[6], first[7]),
    )


__all__ = ["Figures", "TransferRecords", "TransferRow"]
