"""
Accounts in an SQL database, here in SQLite.
"""

from __future__ import annotations

import sqlite3
import stat
import threading
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.trial.unittest import SynchronousTestCase, TestCase

from filehub.accounts import lookups
from filehub.accounts.database import (
    AccountTables,
    DatabaseUnavailable,
    StoredAccount,
    openSQLite,
)
from filehub.accounts.lookups import DatabaseSource
from filehub.accounts.records import AccountRecord
from filehub.errors import ConfigurationError, LimitExceeded, StorageUnavailable

PATIENCE = 30


class DatabaseCase(SynchronousTestCase):
    """A database in a folder of its own."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.tables = openSQLite(self.path, create=True)
        self.addCleanup(self.tables.close)


class TablesTests(DatabaseCase):
    """L{AccountTables}."""

    def test_users(self) -> None:
        """What was put in is found again, also through another connection."""
        settings = {"home": "/h", "rule": [{"path": "/", "allow": "elr"}]}
        self.assertTrue(self.tables.addUser("ann", "hash", settings))
        self.assertFalse(self.tables.addUser("ann", "other", {}))
        other = openSQLite(self.path)
        self.addCleanup(other.close)
        found = other.find("ann")
        self.assertEqual(found, StoredAccount("ann", "hash", settings))
        self.assertIsNone(other.find("Ann"))
        self.assertNotIn("hash", repr(found))

    def test_changes(self) -> None:
        """Settings and passwords change apart; what is not there says so."""
        self.tables.addUser("ann", "hash", {"home": "/h"})
        self.assertTrue(self.tables.changeUser("ann", {"sessions": 2}))
        self.assertTrue(self.tables.setPassword("ann", None))
        self.assertEqual(self.tables.find("ann"), StoredAccount("ann", None, {"sessions": 2}))
        self.assertFalse(self.tables.changeUser("bob", {}))
        self.assertFalse(self.tables.setPassword("bob", "x"))
        self.assertTrue(self.tables.removeUser("ann"))
        self.assertFalse(self.tables.removeUser("ann"))
        self.assertIsNone(self.tables.find("ann"))

    def test_newHashOfTheOldPassword(self) -> None:
        """A hash is made anew only for the password that is still the account's."""
        self.tables.addUser("ann", "old", {})
        self.assertFalse(self.tables.setPassword("ann", "anew", instead="older"))
        self.assertTrue(self.tables.setPassword("ann", "anew", instead="old"))
        found = self.tables.find("ann")
        assert found is not None
        self.assertEqual(found.password, "anew")

    def test_groups(self) -> None:
        """An account comes with its groups, as far as they are here."""
        self.tables.addGroup("staff", {"rule": []})
        self.tables.addUser("ann", None, {"groups": ["staff", "elsewhere"]})
        found = self.tables.find("ann")
        assert found is not None
        self.assertEqual(found.groups, {"staff": {"rule": []}})
        self.assertTrue(self.tables.changeGroup("staff", {}))
        self.assertEqual(dict(self.tables.groups()), {"staff": {}})
        self.assertEqual(self.tables.findGroup("staff"), {})
        self.assertTrue(self.tables.removeGroup("staff"))
        self.assertIsNone(self.tables.findGroup("staff"))

    def test_listed(self) -> None:
        """All accounts, in order."""
        for name in ("bob", "ann", "é"):
            self.tables.addUser(name, None, {})
        self.assertEqual([each.name for each in self.tables.users()], ["ann", "bob", "é"])

    def test_quotes(self) -> None:
        """A name is never a piece of a statement."""
        name = "'; DROP TABLE filehub_user; --"
        self.tables.addUser(name, None, {})
        self.assertIsNone(self.tables.find("x' OR 'a'='a"))
        self.assertIsNotNone(self.tables.find(name))

    def test_otherProgramsNonsense(self) -> None:
        """Settings that are no object are the database's fault, and the row is named."""
        connection = sqlite3.connect(self.path)
        self.addCleanup(connection.close)
        for text in ("{", "[]", "7"):
            connection.execute(
                "INSERT OR REPLACE INTO filehub_user VALUES ('ann', NULL, ?)", (text,)
            )
            connection.commit()
            with self.assertRaises(DatabaseUnavailable) as caught:
                self.tables.find("ann")
            self.assertIn("'ann'", caught.exception.reason)
            self.assertNotIn("ann", str(caught.exception))

    def test_nothingByHalves(self) -> None:
        """A statement that fails leaves what was there."""
        self.tables.addUser("ann", "hash", {})
        connection = sqlite3.connect(self.path)
        connection.execute("DROP TABLE filehub_group")
        connection.commit()
        connection.close()
        with self.assertRaises(DatabaseUnavailable):
            self.tables.addGroup("staff", {})
        self.assertIsNotNone(self.tables.find("ann"))


class OpeningTests(SynchronousTestCase):
    """L{openSQLite}"""

    def test_missing(self) -> None:
        """A file that is not there is not made by looking."""
        path = Path(self.mktemp())
        with self.assertRaises(ConfigurationError):
            openSQLite(path)
        self.assertFalse(path.exists())

    def test_private(self) -> None:
        """Hashes are nobody else's."""
        path = Path(self.mktemp())
        openSQLite(path, create=True).close()
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)

    def test_noDatabase(self) -> None:
        """Another file is refused and left as it is."""
        path = Path(self.mktemp())
        path.write_bytes(b"something else entirely, but long enough" * 100)
        before = path.read_bytes()
        with self.assertRaises(ConfigurationError) as caught:
            openSQLite(path)
        self.assertIn(str(path), str(caught.exception))
        self.assertEqual(path.read_bytes(), before)

    def test_newer(self) -> None:
        """Tables of a later version are not touched."""
        path = Path(self.mktemp())
        openSQLite(path, create=True).close()
        connection = sqlite3.connect(path)
        connection.execute("UPDATE filehub_version SET version = 99")
        connection.commit()
        connection.close()
        with self.assertRaises(ConfigurationError) as caught:
            openSQLite(path)
        self.assertIn("99", str(caught.exception))


def convert(stored: StoredAccount) -> AccountRecord:
    if "bad" in stored.settings:
        raise ConfigurationError("bad: found a key that nobody knows")
    return AccountRecord(stored.name, stored.password)


class SourceTests(TestCase):
    """L{DatabaseSource}, with its real thread."""

    timeout = PATIENCE

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.tables = openSQLite(self.path, create=True)
        self.addCleanup(self.tables.close)
        self.opened: list[AccountTables] = []
        self.source = DatabaseSource(reactor, self.connect, convert)
        self.addCleanup(self.source.stop)

    def connect(self) -> AccountTables:
        self.opened.append(openSQLite(self.path))
        return self.opened[-1]

    def find(self, name: str) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.source.find(name))

    @inlineCallbacks
    def test_found(self) -> Any:
        """Accounts are found while others change them, over one connection."""
        self.assertIsNone((yield self.find("ann")))
        self.tables.addUser("ann", "hash", {})
        record = yield self.find("ann")
        self.assertEqual((record.name, record.password), ("ann", "hash"))
        self.tables.setPassword("ann", "other")
        self.assertEqual((yield self.find("ann")).password, "other")
        self.assertEqual(len(self.opened), 1)

    @inlineCallbacks
    def test_manyAtOnce(self) -> Any:
        """Each question has its own answer."""
        for number in range(50):
            self.tables.addUser(f"user{number}", None, {})
        found = yield gatherResults([self.find(f"user{number}") for number in range(60)])
        names = [record.name if record else None for record in found]
        self.assertEqual(names, [f"user{n}" for n in range(50)] + [None] * 10)

    @inlineCallbacks
    def test_flood(self) -> Any:
        """Questions that would wait too long are refused at once."""
        asked = [self.find("ann") for _ in range(400)]
        refused = [each for each in asked if each.called]
        self.assertGreater(len(refused), 100)
        for each in refused:
            self.failureResultOf(each, LimitExceeded)
        yield gatherResults([each for each in asked if each not in refused])

    @inlineCallbacks
    def test_nonsense(self) -> Any:
        """An account that makes no sense is none, and the log says why."""
        self.tables.addUser("ann", "hash", {"bad": 1})
        self.assertIsNone((yield self.find("ann")))
        logged = self.flushLoggedErrors()
        self.assertEqual(logged, [])

    @inlineCallbacks
    def test_reconnects(self) -> Any:
        """A connection that broke is made again, and the question is answered."""
        self.tables.addUser("ann", "hash", {})
        yield self.find("ann")
        self.opened[0].close()
        self.assertEqual((yield self.find("ann")).name, "ann")
        self.assertEqual(len(self.opened), 2)

    @inlineCallbacks
    def test_gone(self) -> Any:
        """While there is no database look-ups fail as the storage's failure, without names."""
        self.path.unlink()
        with self.assertRaises(StorageUnavailable) as caught:
            yield self.find("ann")
        self.assertNotIn(str(self.path), str(caught.exception))

    @inlineCallbacks
    def test_hangs(self) -> Any:
        """
        A database that hangs is given up after a while, with all who wait for it, and is
        asked on a new connection afterwards.
        """
        self.patch(lookups, "PATIENCE", 0.1)
        self.tables.addUser("ann", "hash", {})
        given, isBack = threading.Event(), threading.Event()
        tables = openSQLite(self.path)

        def hang(name: str) -> StoredAccount:
            given.wait(PATIENCE)
            raise DatabaseUnavailable("interrupted")

        self.patch(tables, "find", hang)
        self.patch(tables, "interrupt", given.set)
        self.source = DatabaseSource(
            reactor, lambda: self.connect() if isBack.is_set() else tables, convert
        )
        self.addCleanup(self.source.stop)
        waiting = [self.find("ann"), self.find("ann")]
        for each in waiting:
            with self.assertRaises(StorageUnavailable):
                yield each
        isBack.set()
        self.patch(lookups, "PATIENCE", PATIENCE)
        self.assertEqual((yield self.find("ann")).name, "ann")

    @inlineCallbacks
    def test_anew(self) -> Any:
        """A hash that was made anew is stored."""
        self.tables.addUser("ann", "old", {})
        yield Deferred.fromCoroutine(self.source.replacePassword("ann", "old", "new"))
        self.assertEqual((yield self.find("ann")).password, "new")

    @inlineCallbacks
    def test_stopped(self) -> Any:
        """Afterwards nothing is asked."""
        yield self.find("ann")
        self.source.stop()
        self.failureResultOf(self.find("ann"), LimitExceeded)
