"""
Checkers that nobody here wrote, behind a portal with our realm.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.cred.checkers import FilePasswordDB, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts.realm import FileHubRealm
from filehub.accounts.records import AccountRecord, AccountTable
from filehub.accounts.throttle import ThrottledPortal, ThrottleSettings
from filehub.credentials import AccountPassword, ConnectionPassword
from filehub.interfaces import IFileAccount
from tests.accounts.doubles import connection


class ForeignCheckerTests(SynchronousTestCase):
    """Twisted's own, unchanged."""

    def portal(self, checker: Any, *records: AccountRecord) -> ThrottledPortal:
        realm = FileHubRealm(AccountTable(records), {})
        return ThrottledPortal(Portal(realm, [checker]), Clock(), None, ThrottleSettings(delay=0))

    def login(self, portal: ThrottledPortal, name: bytes, password: bytes) -> Any:
        credentials = ConnectionPassword(name, password, connection())
        return portal.login(credentials, connection(), IFileAccount)

    def file(self, *lines: bytes) -> str:
        path = Path(self.mktemp())
        path.write_bytes(b"\n".join(lines))
        return str(path)

    def test_file(self) -> None:
        """C{FilePasswordDB}: right, wrong, unknown, and known to the file alone."""
        checker = FilePasswordDB(self.file(b"ann:sesame", b"bob:apple"))
        portal = self.portal(checker, AccountRecord("ann"))
        interface, account, _ = self.successResultOf(self.login(portal, b"ann", b"sesame"))
        self.assertEqual((interface, account.name), (IFileAccount, "ann"))
        for name, password in ((b"ann", b"apple"), (b"eve", b"sesame"), (b"bob", b"apple")):
            self.failureResultOf(self.login(portal, name, password), UnauthorizedLogin)

    def test_names(self) -> None:
        """The account is the one that the checker names."""
        checker = FilePasswordDB(self.file(b"ann:sesame"), caseSensitive=False)
        portal = self.portal(checker, AccountRecord("ann"))
        _, account, _ = self.successResultOf(self.login(portal, b"ANN", b"sesame"))
        self.assertEqual(account.name, "ann")

    def test_missingFile(self) -> None:
        """A file that is gone lets nobody in."""
        portal = self.portal(FilePasswordDB("/none/such"), AccountRecord("ann"))
        self.failureResultOf(self.login(portal, b"ann", b"sesame"), UnauthorizedLogin)

    def test_memory(self) -> None:
        """C{InMemoryUsernamePasswordDatabaseDontUse}."""
        checker = InMemoryUsernamePasswordDatabaseDontUse(ann=b"sesame")
        portal = self.portal(checker, AccountRecord("ann"))
        self.successResultOf(self.login(portal, b"ann", b"sesame"))
        self.failureResultOf(self.login(portal, b"ann", b"wrong"), UnauthorizedLogin)

    def test_account(self) -> None:
        """Who does not know ACCT looks at the password alone."""
        portal = self.portal(FilePasswordDB(self.file(b"ann:sesame")), AccountRecord("ann"))
        for password, right in ((b"sesame", True), (b"wrong", False)):
            credentials = AccountPassword(b"ann", password, b"x")
            asked = portal.login(credentials, connection(), IFileAccount)
            if right:
                self.successResultOf(asked)
            else:
                self.failureResultOf(asked, UnauthorizedLogin)
