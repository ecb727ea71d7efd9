"""
Homes that are made at the login, and permission bits that accounts do not give.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts import realm
from filehub.accounts.homes import makeHome
from filehub.accounts.realm import FileHubRealm
from filehub.accounts.records import AccountRecord, AccountTable
from filehub.attributes import Ownership
from filehub.errors import AlreadyExists, FileSystemError, NotADirectory, NotFound
from filehub.interfaces import IFileAccount
from filehub.paths import ROOT, VirtualPath
from filehub.vfs.memory import MemoryFileSystem, MemoryTree
from filehub.vfs.readonly import ReadOnlyFileSystem
from filehub.views import ICreationMask
from tests.accounts.doubles import at, connection, now, rules
from tests.accounts.verbs import CREATE, LETTERS, link, store


class MakeHomeTests(SynchronousTestCase):
    """L{makeHome}"""

    def setUp(self) -> None:
        self.tree = MemoryTree(links="within-root")
        self.files = MemoryFileSystem(self.tree, "ann")

    def test_made(self) -> None:
        """With what is missing above it, and exactly the bits that are asked for."""
        now(makeHome(self.files.masked(0o077), at("/srv/homes/ann"), 0o710))
        self.assertEqual(self.tree.find(at("/srv/homes/ann")).mode, 0o710)
        self.assertEqual(self.tree.find(at("/srv")).mode & 0o077, 0)

    def test_there(self) -> None:
        """One that is there is left as it is."""
        self.tree.putDirectory("/home/ann")
        before = self.tree.find(at("/home/ann")).mode
        now(makeHome(self.files, at("/home/ann"), 0o700))
        self.assertEqual(self.tree.find(at("/home/ann")).mode, before)
        now(makeHome(self.files, ROOT, 0o700))

    def test_links(self) -> None:
        """Links on the way, and in its place, are not followed: nothing is made anywhere."""
        self.tree.putDirectory("/elsewhere")
        link(self.tree, "/home", "elsewhere")
        link(self.tree, "/ann", "elsewhere/ann")
        for home in ("/home/ann", "/ann", "/ann/deep"):
            with self.assertRaises(FileSystemError):
                now(makeHome(self.files, at(home), 0o755))
        self.assertEqual(list(self.tree.find(at("/elsewhere")).children), [])

    def test_readOnly(self) -> None:
        """A storage that takes nothing says so."""
        with self.assertRaises(FileSystemError):
            now(makeHome(ReadOnlyFileSystem(self.files), at("/ann"), 0o755))

    def test_race(self) -> None:
        """Another session was faster: that is as good, unless it made something else."""
        made: list[VirtualPath] = []

        async def late(files: Any, path: VirtualPath) -> None:
            made.append(path)
            if path.name == "f":
                self.tree.putFile(str(path), b"")
            else:
                self.tree.putDirectory(str(path))
            raise AlreadyExists(path)

        self.patch(MemoryFileSystem, "makeDirectory", late)
        now(makeHome(self.files, at("/home/ann"), 0o700))
        self.assertEqual(made, [at("/home"), at("/home/ann")])
        with self.assertRaises(NotADirectory):
            now(makeHome(self.files, at("/home/f"), 0o700))


class LoginTests(SynchronousTestCase):
    """When a L{FileHubRealm} makes one."""

    def login(self, record: AccountRecord, protocol: str = "ftp") -> Any:
        realm = FileHubRealm(AccountTable([record]), {ROOT: self.tree})
        asking = realm.requestAvatar(record.name, connection(protocol=protocol), IFileAccount)
        return self.successResultOf(asking)[1]

    def setUp(self) -> None:
        self.tree = MemoryTree(links="within-root")

    def test_firstLogin(self) -> None:
        """The session begins in a home that was just made; it counts no permission above it."""
        table = rules({"/home/eve": "elrw"})
        record = AccountRecord("eve", home=at("/home/eve"), rules=table, homeMode=0o700)
        self.assertEqual(self.login(record).home, at("/home/eve"))
        self.assertEqual(self.tree.find(at("/home/eve")).mode, 0o700)
        now(self.tree.viewFor("").removeDirectory(at("/home/eve")))
        self.assertEqual(self.login(record).home, at("/home/eve"))

    def test_notMade(self) -> None:
        """None is made unasked, over TFTP, or for who may not enter it."""
        home = at("/home/eve")
        for record, protocol in (
            (AccountRecord("eve", home=home, rules=rules({"/": LETTERS})), "ftp"),
            (AccountRecord("eve", home=home, rules=rules({"/": "r"}), homeMode=0o700), "ftp"),
            (AccountRecord("eve", home=home, rules=rules({"/": "e"}), homeMode=0o700), "tftp"),
        ):
            self.login(record, protocol)
            with self.assertRaises(NotFound):
                self.tree.find(home)

    def test_mayNotGiveAway(self) -> None:
        """A server without the rights lets the account in; files stay its own, and it says so."""
        self.patch(realm, "mayGiveAway", lambda: False)
        record = AccountRecord("eve", rules=rules({"/": LETTERS}), ownership=Ownership(1))
        with capturedLogs() as events:
            files = self.login(record).fileSystem
        now(store(files, at("/f"), CREATE))
        formats = [event["log_format"] for event in events]
        self.assertEqual(
            formats, ["{account}: its files stay the server's, which may give none away"]
        )

    def test_cannotBeMade(self) -> None:
        """A link in the way: the session begins above, and nothing was made behind it."""
        self.tree.putDirectory("/elsewhere")
        link(self.tree, "/home", "elsewhere")
        record = AccountRecord(
            "eve", home=at("/home/eve"), rules=rules({"/": LETTERS}), homeMode=0o700
        )
        self.assertEqual(self.login(record).home, at("/home"))
        self.assertEqual(list(self.tree.find(at("/elsewhere")).children), [])

    def test_umask(self) -> None:
        """What the account makes lacks its bits, and a session's own mask adds to them."""
        record = AccountRecord("eve", rules=rules({"/": LETTERS}), umask=0o027)
        files = self.login(record).fileSystem
        now(files.makeDirectory(at("/d")))
        now(store(files, at("/f"), CREATE))
        now(store(ICreationMask(files).masked(0o200), at("/g"), CREATE))
        modes = [self.tree.find(at(path)).mode for path in ("/d", "/f", "/g")]
        self.assertEqual([mode & 0o027 for mode in modes], [0, 0, 0])
        self.assertEqual(modes[2] & 0o200, 0)
        self.assertEqual(modes[1] & 0o200, 0o200)
