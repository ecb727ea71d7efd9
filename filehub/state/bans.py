"""
Bans that are written down, so that they outlive the server and can be changed by others.
"""

from __future__ import annotations

import ipaddress
import sqlite3
from typing import Final, NamedTuple

from filehub.networks import Network
from filehub.state.database import StateDatabase

#: The name of the file in the state folder.
FILE_NAME: Final = "bans.sqlite"

SCHEMA: Final = (
    """
    CREATE TABLE ban (network TEXT PRIMARY KEY, until REAL, since REAL NOT NULL,
        reason TEXT NOT NULL) WITHOUT ROWID
    """,
)


class BanRow(NamedTuple):
    """
    @ivar until: seconds since the epoch; L{None}: until it is taken back.
    @ivar since: the same, of its begin.
    """

    network: Network
    until: float | None
    since: float
    reason: str


class BanRecords:
    """
    The table, as values.  Everything blocks.

    @raise StorageUnavailable: (all methods) it is locked, damaged, or the disk is full.
    """

    def __init__(self, database: StateDatabase) -> None:
        self.database = database
        self._version: int | None = None

    def load(self, now: float) -> list[BanRow]:
        """All that hold; the others are removed."""

        def work(connection: sqlite3.Connection) -> list[BanRow]:
            connection.execute("DELETE FROM ban WHERE until <= ?", (now,))
            rows = connection.execute("SELECT network, until, since, reason FROM ban")
            return [BanRow(ipaddress.ip_network(network), *rest) for network, *rest in rows]

        return self.database.perform(work)

    def loadIfChanged(self, now: float) -> list[BanRow] | None:
        """The same, if another process has changed something since the last time."""

        def work(connection: sqlite3.Connection) -> int:
            (version,) = connection.execute("PRAGMA data_version").fetchone()
            return int(version)

        version = self.database.perform(work)
        if version == self._version:
            return None
        self._version = version
        return self.load(now)

    def add(self, row: BanRow) -> None:
        """Takes the place of another one of this network."""
        values = (str(row.network), row.until, row.since, row.reason)
        self.database.perform(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO ban (network, until, since, reason) VALUES (?, ?, ?, ?)",
                values,
            ).close()
        )

    def remove(self, network: Network) -> bool:
        """Returns whether there was one."""
        count = self.database.perform(
            lambda connection: (
                connection.execute("DELETE FROM ban WHERE network = ?", (str(network),)).rowcount
            )
        )
        return count > 0


__all__ = ["FILE_NAME", "SCHEMA", "BanRecords", "BanRow"]
