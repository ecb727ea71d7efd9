"""
Accounts in a real PostgreSQL.
"""

from pathlib import Path
from typing import Any

from filehub.accounts.database import DatabaseUnavailable, openPostgreSQL
from filehub.errors import ConfigurationError
from tests.integration.harness import ACCOUNTS, Site, hashPassword, sharedSite
from tests.integration.services import AccountsTestCase, PostgreSQL

EVERYTHING = [{"path": "/", "allow": "elradfmwMT"}]

_running: list[PostgreSQL] = []


class PostgreSQLTests(AccountsTestCase):
    """C{type = "postgresql"}"""

    def makeSite(self) -> Site:
        if not _running:
            versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
            if not versions:
                raise self._missing("postgresql")
            database = PostgreSQL(versions[-1].parent)
            _running.append(database)
        self.database = _running[0]
        source = f'[[source]]\ntype = "postgresql"\nurl = "{self.database.url()}"\n'
        return sharedSite("postgresql", accounts=ACCOUNTS + source, ban="delay = 0")

    def setUp(self) -> None:
        super().setUp()
        self.tables = openPostgreSQL(self.database.url())
        self.addCleanup(self.tables.close)

    def account(self, name: str, password: str, **settings: Any) -> None:
        """A new one for this test."""
        self.assertTrue(
            self.tables.addUser(name, hashPassword(password), {"rule": EVERYTHING, **settings})
        )
        self.forgotten(name)

    def forgotten(self, name: str) -> None:
        """This account is gone after the test, whatever becomes of our connection."""
        self.addCleanup(self.database.execute, f"DELETE FROM filehub_user WHERE name = '{name}'")

    def test_login(self) -> None:
        """Right, wrong, unknown, and a name that would be SQL; those of the file go on."""
        self.account("dora", "sesame")
        self.assertLetIn("dora", "sesame")
        self.assertRefused(("dora", "wrong"), ("nobody", "sesame"), ("x' OR '1'='1", "sesame"))
        self.assertLetIn("ada", "lovelace")

    def test_changes(self) -> None:
        """What is changed by others counts from the next login on."""
        self.account("dora", "sesame")
        self.assertLetIn("dora", "sesame")
        self.tables.setPassword("dora", hashPassword("other"))
        self.assertRefused(("dora", "sesame"))
        self.assertLetIn("dora", "other")
        self.tables.changeUser("dora", {"rule": EVERYTHING, "enabled": False})
        self.assertRefused(("dora", "other"))
        self.tables.changeUser("dora", {"rule": EVERYTHING})
        self.assertLetIn("dora", "other")
        self.tables.removeUser("dora")
        self.assertRefused(("dora", "other"))

    def test_nonsense(self) -> None:
        """An account that makes no sense is none, and the log says which and why."""
        self.account("dora", "sesame", home="/", enabled="perhaps")
        self.database.execute(
            "INSERT INTO filehub_user VALUES ('list', NULL, '[1]')",
            "INSERT INTO filehub_user VALUES ('deep', NULL, repeat('[', 9999))",
        )
        self.forgotten("list")
        self.forgotten("deep")
        self.account("number", "sesame", groups=7)
        self.assertRefused(*((name, "sesame") for name in ("dora", "list", "deep", "number")))
        self.assertLogged("account dora cannot be used", "enabled")
        self.assertLogged("account number cannot be used", "groups")
        self.assertLogged("the settings of 'list' are no object")
        self.assertLogged("the settings of 'deep' are no object")

    def test_json(self) -> None:
        """Settings may be of PostgreSQL's own JSON type."""
        self.account("dora", "sesame", groups=["staff"])
        self.tables.addGroup("staff", {"rule": EVERYTHING})
        self.addCleanup(self.tables.removeGroup, "staff")
        change = (
            "ALTER TABLE filehub_user ALTER settings DROP DEFAULT,"
            " ALTER settings TYPE {0} USING settings::{0}"
        )
        self.database.execute(change.format("jsonb"))
        self.addCleanup(self.database.execute, change.format("text"))
        self.assertLetIn("dora", "sesame")

    def test_gone(self) -> None:
        """
        While it is gone its users get 530 and the log says why; others are not held up.
        They are back when it is.
        """
        self.account("dora", "sesame")
        self.assertLetIn("dora", "sesame")
        self.database.stop()
        try:
            self.assertRefused(("dora", "sesame"))
            self.assertLogged("accounts cannot be looked up", "PostgreSQL")
            self.assertLetIn("ada", "lovelace")
        finally:
            self.database.start()
        self.assertLetIn("dora", "sesame")

    def test_restarted(self) -> None:
        """A restart between two logins is not noticed by the second."""
        self.account("dora", "sesame")
        self.assertLetIn("dora", "sesame")
        self.database.stop()
        self.database.start()
        self.assertLetIn("dora", "sesame")

    def test_rights(self) -> None:
        """Who may only read the tables can use them, and only them."""
        with self.assertRaises(DatabaseUnavailable) as caught:
            openPostgreSQL(self.database.url("reader", "wrong"))
        self.assertIn("password authentication failed", caught.exception.reason)
        self.database.execute(
            "GRANT SELECT ON filehub_version, filehub_user, filehub_group TO reader"
        )
        tables = openPostgreSQL(self.database.url("reader"))
        self.addCleanup(tables.close)
        self.account("dora", "sesame")
        found = tables.find("dora")
        assert found is not None
        self.assertEqual(found.settings, {"rule": EVERYTHING})
        with self.assertRaises(DatabaseUnavailable) as caught:
            tables.removeUser("dora")
        self.assertIn("permission denied", caught.exception.reason)

    def test_newer(self) -> None:
        """Tables that a newer program made are left alone."""
        self.database.execute("UPDATE filehub_version SET version = 99")
        self.addCleanup(self.database.execute, "UPDATE filehub_version SET version = 1")
        with self.assertRaises(ConfigurationError):
            openPostgreSQL(self.database.url())
