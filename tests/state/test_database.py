"""
A database that can be used, and those that cannot.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from filehub.errors import ConfigurationError, StorageUnavailable
from filehub.state.database import StateDatabase
from filehub.vfs.workers import ImmediateWorkers
from tests.accounts.doubles import now

SCHEMA = ("CREATE TABLE one (a)", "CREATE TABLE two (b); INSERT INTO two VALUES (1)")


class DatabaseTests(SynchronousTestCase):
    """One file."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "state" / "test.sqlite"

    def opened(self, schema: tuple[str, ...] = SCHEMA, *, exclusive: bool = True) -> StateDatabase:
        """One that is open."""
        database = StateDatabase(self.path, schema, ImmediateWorkers())
        self.addCleanup(database.closeNow)
        database.open(exclusive=exclusive)
        return database

    def refused(self) -> str:
        """Why it cannot be opened: one line."""
        with self.assertRaises(ConfigurationError) as caught:
            self.opened()
        text = str(caught.exception)
        self.assertIn(str(self.path), text)
        self.assertNotIn("\n", text)
        return text

    def test_migrates(self) -> None:
        """An older one is brought to this version, once."""
        self.opened(SCHEMA[:1]).closeNow()
        for _ in range(2):
            database = self.opened()
            rows = now(database.run(lambda each: each.execute("SELECT b FROM two").fetchall()))
            self.assertEqual(rows, [(1,)])
            database.closeNow()

    def test_private(self) -> None:
        """Nobody else reads it."""
        self.opened()
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.path.parent.stat().st_mode & 0o777, 0o700)

    def test_later(self) -> None:
        """One of a later version is left alone."""
        self.opened((*SCHEMA, "CREATE TABLE three (c)")).closeNow()
        self.assertIn("later version", self.refused())

    def test_damaged(self) -> None:
        """What is no database, and what is a broken one."""
        self.path.parent.mkdir(parents=True)
        self.path.write_bytes(b"not a database" * 100)
        self.assertIn("not a database", self.refused())
        self.path.unlink()
        self.opened(("CREATE TABLE t (a); CREATE INDEX i ON t (a)",)).closeNow()
        data = bytearray(self.path.read_bytes())
        data[4096:] = b"\xff" * (len(data) - 4096)
        self.path.write_bytes(data)
        self.assertIn("move it away", self.refused())

    def test_notWritable(self) -> None:
        """A folder that is a file."""
        self.path.parent.parent.mkdir(parents=True)
        self.path.parent.write_text("")
        self.assertIn("cannot use", self.refused())

    def test_forbidden(self) -> None:
        """What may not be opened is not called damaged, or somebody would move it away."""
        self.path.mkdir(parents=True)
        refusal = self.refused()
        self.assertIn("may the server's user write", refusal)
        self.assertNotIn("damaged", refusal)

    def test_oneServer(self) -> None:
        """Two servers never have it; a look from outside does no harm."""
        first = self.opened()
        self.assertIn("in use by another server", self.refused())
        other = self.opened(exclusive=False)
        self.assertTrue(other.isServed())
        first.closeNow()
        self.assertFalse(other.isServed())

    def test_rolledBack(self) -> None:
        """A piece of work that fails has done nothing."""
        database = self.opened()

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM two")
            connection.execute("NOT SQL")

        self.assertRaises(StorageUnavailable, now, database.run(work))
        rows = now(database.run(lambda each: each.execute("SELECT b FROM two").fetchall()))
        self.assertEqual(rows, [(1,)])

    def test_locked(self) -> None:
        """Somebody who keeps it locked is waited for, and then it is an error."""
        database = self.opened()
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute("BEGIN IMMEDIATE")
        database._connection.execute("PRAGMA busy_timeout = 10")
        self.assertRaises(StorageUnavailable, now, database.run(lambda each: None))
        other.execute("COMMIT")
        now(database.run(lambda each: None))

    def test_closed(self) -> None:
        """Nothing is done after the end."""
        database = self.opened()
        now(database.close())
        self.assertRaises(StorageUnavailable, now, database.run(lambda each: None))
