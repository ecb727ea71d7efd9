"""
Accounts seen from a virtual host: other names, another root.
"""

from __future__ import annotations

from typing import Any

from twisted.cred.credentials import Anonymous, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from filehub.accounts.account import FileAccount
from filehub.accounts.guard import GUARDED, GuardedFileSystem
from filehub.accounts.hosted import HostedAccount, HostPortal
from filehub.accounts.records import NO_LIMITS
from filehub.accounts.rooted import RootedFileSystem
from filehub.credentials import AccountPassword, Certificate
from filehub.errors import NotFound
from filehub.interfaces import (
    IClientPreferences,
    IFileAccount,
    IFileSystem,
    IStorage,
    ISymbolicLinks,
)
from filehub.paths import ROOT
from filehub.vfs.memory import MemoryTree
from filehub.views import ILiteralView
from tests.accounts.doubles import at, connection, now, policy
from tests.contract.capabilities import CapabilityContract
from tests.contract.filesystem import FileSystemContract, ReadingContract
from tests.contract.support import ContractCase
from tests.contract.uploads import PartialContract, UpdateContract, WritingContract

INSIDE = at("/hosts/acme")


@implementer(IStorage)
class Folder:
    """A storage that is a folder of another one."""

    def __init__(self, **options: Any) -> None:
        self.tree = MemoryTree(**options)
        self.tree.putDirectory(str(INSIDE))

    def viewFor(self, owner: str) -> IFileSystem:
        view: IFileSystem = RootedFileSystem(self.tree.viewFor(owner), INSIDE)
        return view

    async def sweep(self) -> None:
        await self.tree.sweep()

    async def close(self) -> None:
        await self.tree.close()


class InFolder(ContractCase):
    """How one is made."""

    def makeStorage(self, **options: Any) -> IStorage:
        storage: Any = Folder(**options)
        return storage  # type: ignore[no-any-return]


class RootedFileSystemTests(InFolder, FileSystemContract, TestCase):
    pass


class RootedReadingTests(InFolder, ReadingContract, TestCase):
    pass


class RootedWritingTests(InFolder, WritingContract, TestCase):
    pass


class RootedPartialTests(InFolder, PartialContract, TestCase):
    pass


class RootedUpdateTests(InFolder, UpdateContract, TestCase):
    pass


class RootedCapabilityTests(InFolder, CapabilityContract, TestCase):
    pass


class RootTests(SynchronousTestCase):
    """What only a root has."""

    def setUp(self) -> None:
        self.tree = MemoryTree(links="within-root")
        self.tree.putFile("/hosts/acme/mine", b"mine")
        self.tree.putFile("/hosts/other/theirs", b"theirs")
        everything = policy({"/": "elradfmwMT"})
        self.whole = GuardedFileSystem(self.tree.viewFor("ann"), everything)
        self.rooted = RootedFileSystem(self.whole, INSIDE)

    def test_everyVerb(self) -> None:
        """There is no verb of a guarded file system that a root forgets."""
        for verb in (*GUARDED, "literalView", "masked"):
            self.assertTrue(callable(getattr(RootedFileSystem, verb, None)), verb)

    def test_outside(self) -> None:
        """Neither .. nor links lead out; what is wrong is told in the client's own words."""
        now(ISymbolicLinks(self.whole).makeLink(at("/hosts/acme/out"), "../other"))
        for path in ("/out/theirs", "/out"):
            for verb in (self.rooted.openForReading, self.rooted.openDirectory,
                         self.rooted.resolve, self.rooted.enterDirectory):  # fmt: skip
                with self.assertRaises(NotFound) as caught:
                    now(verb(at(path)))
                self.assertEqual(str(caught.exception.path), path)
        with self.assertRaises(NotFound) as caught:
            now(self.rooted.openForReading(at("/../../other/theirs")))
        self.assertEqual(str(caught.exception.path), "/other/theirs")
        now(self.rooted.removeFile(at("/out")))
        self.assertEqual(self.tree.root.children["hosts"].children["other"].children.keys(),
                         {"theirs"})  # fmt: skip

    def test_links(self) -> None:
        """An absolute link means the client's own root."""
        now(ISymbolicLinks(self.rooted).makeLink(at("/link"), "/mine"))
        self.assertEqual(now(self.rooted.resolve(at("/link"))), at("/mine"))
        self.assertEqual(now(now(self.rooted.openForReading(at("/link"))).readAt(0, 9)), b"mine")

    def test_literal(self) -> None:
        """The view for work on whole trees is of the same root."""
        literal = ILiteralView(self.rooted).literalView()
        self.assertEqual(now(literal.stat(at("/mine"))).size, 4)
        with self.assertRaises(NotFound):
            now(literal.stat(at("/hosts")))


class PortalTests(SynchronousTestCase):
    """L{HostPortal}"""

    def setUp(self) -> None:
        self.asked: list[Any] = []
        tree = MemoryTree()
        tree.putFile("/hosts/acme/home/f", b"x")
        rule = policy({"/hosts/acme": "elr"})
        self.account = FileAccount(
            "acme-joe", at("/hosts/acme/home"), GuardedFileSystem(tree.viewFor("joe"), rule), rule,
            NO_LIMITS, True, [ROOT, at("/hosts/acme/home")], True, "camera",
        )  # fmt: skip

    def login(self, credentials: Any, mind: Any, *interfaces: Any) -> Deferred[Any]:
        self.asked.append(credentials)
        return succeed((interfaces[0], self.account, lambda: None))

    def account_(self, credentials: Any, **options: Any) -> Any:
        portal = HostPortal(self, **options)
        login = portal.login(credentials, connection(), IFileAccount)
        return self.successResultOf(login)[1]

    def test_names(self) -> None:
        """The prefix is put before every kind of name, and nothing else changes."""
        for credentials in (
            UsernamePassword(b"joe", b"secret"),
            AccountPassword(b"joe", b"secret", b"acct"),
            Certificate(b"joe", b"DER"),
        ):
            self.account_(credentials, prefix="acme-")
            asked = self.asked.pop()
            self.assertIs(type(asked), type(credentials))
            self.assertEqual(asked.username, b"acme-joe")
            for name in ("password", "account", "certificate"):
                self.assertEqual(getattr(asked, name, None), getattr(credentials, name, None))

    def test_anonymous(self) -> None:
        """Anonymous logins have no name to change, and may be unwanted."""
        self.account_(Anonymous(), prefix="acme-")
        self.assertEqual(len(self.asked), 1)
        refused = HostPortal(self, anonymous=False).login(Anonymous(), None, IFileAccount)
        self.failureResultOf(refused, UnauthorizedLogin)
        self.assertEqual(len(self.asked), 1)

    def test_root(self) -> None:
        """Home, files, permissions and mounts are as seen from the root."""
        seen = self.account_(UsernamePassword(b"joe", b"x"), root=at("/hosts/acme"))
        self.assertEqual((seen.name, seen.home, seen.requiresTLS), ("acme-joe", at("/home"), True))
        self.assertEqual(now(seen.fileSystem.stat(at("/home/f"))).size, 1)
        self.assertEqual(seen.permissionLetters(at("/home")), "elr")
        self.assertEqual(list(seen.mounts), [at("/home")])
        preferences = IClientPreferences(seen)
        self.assertEqual((preferences.foreignData, preferences.profile), (True, "camera"))
        elsewhere = HostedAccount(self.account, at("/hosts/other"))
        self.assertEqual(elsewhere.home, ROOT)
        self.assertIs(self.account_(UsernamePassword(b"joe", b"x")), self.account)
