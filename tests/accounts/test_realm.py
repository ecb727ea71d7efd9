"""
Avatars: for the daemon and for any other Twisted application.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twisted.cred.checkers import ANONYMOUS, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import Anonymous, UsernamePassword
from twisted.cred.error import LoginDenied, UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.components import registerAdapter
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface, implementer
from zope.interface.verify import verifyObject

from filehub.accounts import realm as module
from filehub.accounts.account import FileAccount
from filehub.accounts.audit import AuditedFileSystem
from filehub.accounts.checkers import AnonymousChecker
from filehub.accounts.guard import Denial, GuardedFileSystem
from filehub.accounts.patterns import NamePatterns
from filehub.accounts.policy import PathRule
from filehub.accounts.realm import FileHubRealm
from filehub.accounts.records import NO_LIMITS, AccountLimits, AccountRecord, AccountTable
from filehub.attributes import Disposition
from filehub.errors import NotFound, StorageUnavailable
from filehub.events import Denied
from filehub.interfaces import IFileAccount, IFileSystem
from filehub.paths import ROOT, VirtualPath
from filehub.permissions import parsePermissions
from filehub.vfs.memory import MemoryFileSystem, MemoryTree
from tests.accounts.doubles import Events, at, connection, now, rules

ANN = AccountRecord("ann", home=at("/home/ann"), rules=rules({"/": "elr", "/home/ann": "elrw"}))
BOB = AccountRecord("bob", rules=rules({"/": "elr"}), enabled=False)
NOBODY = AccountRecord("anonymous", rules=rules({"/pub": "elr"}))


class IShell(Interface):
    """What another protocol wants of an account."""


@implementer(IShell)
class Shell:
    """An adapter."""

    def __init__(self, account: Any) -> None:
        self.account = account


registerAdapter(Shell, IFileAccount, IShell)


class RealmTests(SynchronousTestCase):
    """L{FileHubRealm}."""

    def setUp(self) -> None:
        self.tree = MemoryTree()
        self.tree.putFile("/pub/file", b"public")
        self.tree.putDirectory("/home/ann")
        self.sink = Events()
        self.table = AccountTable([ANN, BOB], NOBODY)
        self.realm = FileHubRealm(self.table, {ROOT: self.tree}, sink=self.sink)
        self.logged: list[Any] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def avatar(self, name: Any = b"ann", mind: Any = None, *interfaces: Any) -> Any:
        """The avatar alone."""
        asked = interfaces or (IFileAccount,)
        found, avatar, logout = self.successResultOf(self.realm.requestAvatar(name, mind, *asked))
        self.assertIn(found, asked)
        self.assertTrue(found.providedBy(avatar))
        self.assertIsNone(logout())
        return avatar

    def test_interfaces(self) -> None:
        """Realm, account and file system are what they say."""
        verifyObject(IRealm, self.realm)
        account = self.avatar()
        verifyObject(IFileAccount, account)
        verifyObject(IFileSystem, account.fileSystem)

    def test_embedded(self) -> None:
        """
        Without daemon, configuration, mind and observers: a portal with a checker of
        the application's own.
        """
        checker = InMemoryUsernamePasswordDatabaseDontUse(ann=b"sesame")
        portal = Portal(FileHubRealm(self.table, {ROOT: self.tree}), [checker])
        login = portal.login(UsernamePassword(b"ann", b"sesame"), None, IFileAccount)
        _, account, logout = self.successResultOf(login)
        self.assertEqual((account.name, account.home), ("ann", at("/home/ann")))
        self.assertIs(account.limits, NO_LIMITS)
        self.assertEqual(account.permissionLetters(at("/home/ann/x")), "elrw")
        self.assertEqual(account.permissionLetters(at("/pub")), "elr")
        handle = now(account.fileSystem.openForReading(at("/pub/file")))
        self.assertEqual(now(handle.readAt(0, 10)), b"public")
        with self.assertRaises(Denial):
            now(account.fileSystem.removeFile(at("/pub/file")))
        logout()
        wrong = portal.login(UsernamePassword(b"ann", b"wrong"), None, IFileAccount)
        self.failureResultOf(wrong, UnauthorizedLogin)

    def home(self, home: str, table: dict[str, str], mind: Any = None) -> str:
        """Where a session of an account with this home begins."""
        record = AccountRecord("eve", home=at(home), rules=rules(table))
        self.table._accounts["eve"] = record
        return str(self.avatar(b"eve", mind).home)

    def warnings(self) -> list[tuple[str, str]]:
        """Home and beginning of the sessions, as far as they were told."""
        found = [
            (str(event["home"]), str(event["place"]))
            for event in self.logged
            if event["log_level"] is LogLevel.warn
        ]
        self.logged.clear()
        return found

    def test_home(self) -> None:
        """A home that is there and can be entered needs no C{e} above it."""
        self.assertEqual(self.home("/home/ann", {"/home/ann": "e"}), "/home/ann")
        self.assertEqual(self.home("/", {}), "/")
        self.assertEqual(self.warnings(), [])

    def test_nearestHome(self) -> None:
        """
        A home that is missing, that is a file, or that may not be entered: the nearest
        directory above that can be; the log says so, once for each account.
        """
        for home, table, expected in (
            ("/home/eve/deep", {"/": "elr"}, "/home"),
            ("/home/ann", {"/": "elr", "/home/ann": "lr"}, "/home"),
            ("/home/ann", {"/": "elr", "/home": ""}, "/"),
            ("/pub/file", {"/": "elr"}, "/pub"),
            ("/home/ann", {}, "/"),
            ("/" + "x" * 255 + "/x", {"/": "elr"}, "/"),
        ):
            for _ in range(3):
                self.assertEqual(self.home(home, table), expected)
                self.assertEqual(self.home(home, table, connection()), expected)
            self.assertEqual(self.warnings(), [(home, expected)])
        self.assertEqual(self.sink.seen, [])

    def test_homeBehindALink(self) -> None:
        """What counts is where it leads."""
        tree = MemoryTree(links="within-root")
        tree.putDirectory("/real")
        now(tree.viewFor("").makeLink(at("/link"), "real"))
        self.realm = FileHubRealm(self.table, {ROOT: tree})
        self.assertEqual(self.home("/link", {"/": "elr"}), "/link")
        self.assertEqual(self.home("/link", {"/": "elr", "/real": "l"}), "/")

    def test_homeInTrouble(self) -> None:
        """A storage that has trouble just now keeps nobody from his home."""

        async def trouble(_: Any, path: VirtualPath) -> None:
            raise StorageUnavailable(path)

        self.patch(MemoryFileSystem, "stat", trouble)
        self.assertEqual(self.home("/home/ann", {"/": "elr"}), "/home/ann")
        self.assertEqual(self.warnings(), [])

    def test_homeWithoutDirectory(self) -> None:
        """For TFTP a home is the beginning of names: nothing has to be there."""
        mind = connection(protocol="tftp")
        for table in ({}, {"/": "r"}):
            self.assertEqual(self.home("/boot/later", table, mind), "/boot/later")
        self.assertEqual(self.warnings(), [])

    def test_strangeNames(self) -> None:
        """Names of foreign checkers that are not UTF-8 are unknown, like others."""
        asking = self.realm.requestAvatar(b"\xff\xfe", None, IFileAccount)
        self.failureResultOf(asking, LoginDenied)

    def test_textName(self) -> None:
        """Checkers of other applications may name avatars with text."""
        self.assertEqual(self.avatar("ann").name, "ann")

    def test_mind(self) -> None:
        """With a connection denials are told; the guard is beneath."""
        account = self.avatar(b"ann", connection())
        self.assertIsInstance(account.fileSystem, AuditedFileSystem)
        with self.assertRaises(Denial):
            now(account.fileSystem.removeFile(at("/pub/file")))
        (event,) = self.sink.seen
        assert isinstance(event, Denied)
        self.assertEqual((event.connection, event.account), (connection(), "ann"))

    def test_otherMind(self) -> None:
        """Without one, or with a mind of another application's, nothing is told."""
        for mind in (None, object(), "192.0.2.7"):
            account = self.avatar(b"ann", mind)
            self.assertIsInstance(account.fileSystem, GuardedFileSystem)
            with self.assertRaises(Denial):
                now(account.fileSystem.removeFile(at("/pub/file")))
        self.assertEqual(self.sink.seen, [])

    def test_adaptation(self) -> None:
        """Another protocol's interface is had by an adapter, in the order of preference."""
        shell = self.avatar(b"ann", None, IShell)
        self.assertIsInstance(shell, Shell)
        self.assertIsInstance(shell.account, FileAccount)
        self.assertIsInstance(self.avatar(b"ann", None, IShell, IFileAccount), Shell)
        self.assertIsInstance(self.avatar(b"ann", None, IFileAccount, IShell), FileAccount)

    def test_unknownInterface(self) -> None:
        """An interface that an account cannot have is the application's mistake."""

        class IOther(Interface):
            """Nobody has that."""

        asking = self.realm.requestAvatar(b"ann", None, IOther)
        self.assertIn("ann", str(self.failureResultOf(asking, TypeError).value))
        self.assertIsInstance(self.avatar(b"ann", None, IOther, IShell), Shell)

    def test_noAccount(self) -> None:
        """Unknown and disabled accounts are denied alike."""
        texts = set()
        for name in (b"nobody", b"bob", "bob", b""):
            asking = self.realm.requestAvatar(name, None, IFileAccount)
            texts.add(str(self.failureResultOf(asking, LoginDenied).value))
        self.assertEqual(len(texts), 1)

    def test_disabledMeanwhile(self) -> None:
        """An account that is disabled gets no further avatar, at once."""
        self.avatar()
        self.table._accounts["ann"] = replace(ANN, enabled=False)
        self.failureResultOf(self.realm.requestAvatar(b"ann", None, IFileAccount), LoginDenied)

    def test_changedMeanwhile(self) -> None:
        """An account with new rules has them from its next login on."""
        self.avatar()
        self.table._accounts["ann"] = replace(ANN, rules=rules({"/": "l"}))
        self.assertEqual(self.avatar().permissionLetters(at("/home/ann")), "l")

    def test_lettersInCommon(self) -> None:
        """Names of a directory need not be asked for one by one where all may do the same."""
        account = self.avatar()
        self.assertEqual(account.commonLetters(at("/home/ann")), "elrw")
        self.assertIsNone(account.commonLetters(ROOT))
        names = NamePatterns(hidden=("*.key",))
        hidden = PathRule(ROOT, parsePermissions("elr"), "", names)
        self.table._accounts["ann"] = replace(ANN, rules=[hidden])
        self.assertIsNone(self.avatar().commonLetters(at("/pub")))

    def test_anonymous(self) -> None:
        """Who is nobody gets the anonymous account, if there is one."""
        portal = Portal(self.realm, [AnonymousChecker()])
        _, account, _ = self.successResultOf(portal.login(Anonymous(), None, IFileAccount))
        self.assertEqual(account.name, "anonymous")
        self.assertEqual(account.permissionLetters(at("/pub")), "elr")
        self.assertEqual(account.permissionLetters(ROOT), "")
        realm = FileHubRealm(AccountTable([ANN]), {ROOT: self.tree})
        self.failureResultOf(realm.requestAvatar(ANONYMOUS, None, IFileAccount), LoginDenied)

    def test_anonymousIsNoName(self) -> None:
        """Whoever logs in by that name is not thereby the anonymous account."""
        asking = self.realm.requestAvatar(b"anonymous", None, IFileAccount)
        self.failureResultOf(asking, LoginDenied)

    def test_shared(self) -> None:
        """All sessions of an account share what does not depend on the connection."""
        first, second = self.avatar(), self.avatar()
        self.assertIsNot(first, second)
        self.assertIs(first.fileSystem, second.fileSystem)

    def test_ownViews(self) -> None:
        """The rest of a broken upload is seen by its owner alone."""
        self.table._accounts["eve"] = AccountRecord("eve", rules=rules({"/": "elrw"}))
        ann, eve = self.avatar(), self.avatar(b"eve")
        path = at("/home/ann/part")
        handle = now(ann.fileSystem.openForWriting(path, Disposition.CREATE))
        now(handle.writeAt(0, b"half"))
        now(handle.abort())
        self.assertEqual(now(ann.fileSystem.stat(path)).size, 4)
        with self.assertRaises(NotFound):
            now(eve.fileSystem.stat(path))

    def test_mounts(self) -> None:
        """Several storages appear where the application put them."""
        other = MemoryTree()
        other.putFile("/file", b"other")
        realm = FileHubRealm(self.table, {ROOT: self.tree, at("/other"): other})
        _, account, _ = self.successResultOf(realm.requestAvatar(b"ann", None, IFileAccount))
        handle = now(account.fileSystem.openForReading(at("/other/file")))
        self.assertEqual(now(handle.readAt(0, 10)), b"other")

    def test_bounded(self) -> None:
        """However many accounts log in, what is kept of them is bounded."""
        self.patch(module, "_REMEMBERED", 5)
        for number in range(20):
            name = f"user{number}"
            self.table._accounts[name] = AccountRecord(name)
            self.avatar(name)
            self.assertLessEqual(len(self.realm._views), 5)

    def test_limits(self) -> None:
        """The account carries its limits."""
        limits = AccountLimits(maximumSessions=3, idle=5.0)
        self.table._accounts["ann"] = replace(ANN, limits=limits)
        self.assertIs(self.avatar().limits, limits)
