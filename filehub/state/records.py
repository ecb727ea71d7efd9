"""
What the ledger writes down.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final, NamedTuple

from filehub.paths import ROOT, VirtualPath, decodeName
from filehub.state.database import StateDatabase, asBytes

#: The name of the file in the state folder.
FILE_NAME: Final = "usage.sqlite"

SCHEMA: Final = (
    """
    CREATE TABLE usage (path BLOB PRIMARY KEY, bytes INTEGER NOT NULL,
        files INTEGER NOT NULL, exact INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE part (owner BLOB, path BLOB, bytes INTEGER NOT NULL,
        PRIMARY KEY (owner, path)) WITHOUT ROWID;
    CREATE TABLE recount (path BLOB PRIMARY KEY) WITHOUT ROWID
    """,
    # Transfers: what was used, and what is booked; see L{filehub.state.transferrecords}.
    """
    CREATE TABLE transfer (level TEXT, name BLOB, period TEXT NOT NULL,
        start INTEGER NOT NULL,
        upload INTEGER NOT NULL, download INTEGER NOT NULL,
        uploads INTEGER NOT NULL, downloads INTEGER NOT NULL,
        booked_upload INTEGER NOT NULL, booked_download INTEGER NOT NULL,
        booked_uploads INTEGER NOT NULL, booked_downloads INTEGER NOT NULL,
        PRIMARY KEY (level, name)) WITHOUT ROWID;
    CREATE TABLE restart (level TEXT, name BLOB, PRIMARY KEY (level, name)) WITHOUT ROWID;
    CREATE TABLE brought (owner BLOB PRIMARY KEY, path BLOB NOT NULL,
        bytes INTEGER, files INTEGER) WITHOUT ROWID
    """,
)

#: An account and its part of a name.
PartName = tuple[str, VirtualPath]


class UsageRow(NamedTuple):
    """
    @ivar exact: was nothing under way when this was written?
    """

    path: VirtualPath
    nbytes: int
    nfiles: int
    exact: bool


class UsageRecords:
    """The tables, as values."""

    def __init__(self, database: StateDatabase) -> None:
        self.database = database

    def load(self) -> tuple[list[UsageRow], dict[PartName, int]]:
        """Everything; blocks."""

        def work(connection: sqlite3.Connection) -> tuple[list[UsageRow], dict[PartName, int]]:
            rows = connection.execute("SELECT path, bytes, files, exact FROM usage ORDER BY path")
            usage = [
                UsageRow(_path(path), nbytes, nfiles, exact > 0)
                for path, nbytes, nfiles, exact in rows
            ]
            return usage, _partsIn(connection)

        return self.database.perform(work)

    async def mark(self, paths: Iterable[VirtualPath]) -> None:
        """Something is about to change there."""
        rows = [(asBytes(path),) for path in paths]
        await self.database.run(
            lambda connection: connection.executemany(
                "UPDATE usage SET exact = 0 WHERE path = ?", rows
            )
        )

    async def write(
        self,
        rows: Iterable[UsageRow],
        parts: Iterable[tuple[PartName, int | None]],
        forget: Iterable[VirtualPath] = (),
    ) -> None:
        """Write down what has changed."""
        usage = [(asBytes(row.path), row.nbytes, row.nfiles, row.exact) for row in rows]
        kept = [(asBytes(o), asBytes(path), size) for (o, path), size in parts if size is not None]
        gone = [(asBytes(o), asBytes(path)) for (o, path), size in parts if size is None]
        forgotten = [(asBytes(path),) for path in forget]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany("INSERT OR REPLACE INTO usage VALUES (?, ?, ?, ?)", usage)
            connection.executemany("INSERT OR REPLACE INTO part VALUES (?, ?, ?)", kept)
            connection.executemany("DELETE FROM part WHERE owner = ? AND path = ?", gone)
            connection.executemany("DELETE FROM usage WHERE path = ?", forgotten)

        await self.database.run(work)

    async def parts(self) -> dict[PartName, int]:
        """What broken uploads have left, by the words of all processes."""
        return await self.database.run(_partsIn)

    def conclude(self, rows: Iterable[UsageRow]) -> None:
        """L{write} usage at once; blocks."""
        usage = [(asBytes(row.path), row.nbytes, row.nfiles, row.exact) for row in rows]
        self.database.perform(
            lambda connection: connection.executemany(
                "INSERT OR REPLACE INTO usage VALUES (?, ?, ?, ?)", usage
            )
        )

    async def wanted(self) -> list[VirtualPath]:
        """What somebody outside wants to have counted again; see L{want}."""

        def work(connection: sqlite3.Connection) -> list[VirtualPath]:
            rows = connection.execute("SELECT path FROM recount").fetchall()
            if rows:
                connection.execute("DELETE FROM recount")
            return [_path(path) for (path,) in rows]

        return await self.database.run(work)

    def want(self, paths: Iterable[VirtualPath]) -> None:
        """Ask the server that has the database to count again; blocks."""
        rows = [(asBytes(path),) for path in paths]
        self.database.perform(
            lambda connection: connection.executemany(
                "INSERT OR IGNORE INTO recount VALUES (?)", rows
            )
        )


def _partsIn(connection: sqlite3.Connection) -> dict[PartName, int]:
    return {
        (decodeName(owner), _path(path)): nbytes
        for owner, path, nbytes in connection.execute("SELECT * FROM part")
    }


def _path(raw: bytes) -> VirtualPath:
    return ROOT.join(decodeName(raw))


__all__ = ["FILE_NAME", "SCHEMA", "PartName", "UsageRecords", "UsageRow"]
