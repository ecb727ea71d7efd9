"""
Files that belong to users of the system.
"""

import errno
import os
from pathlib import Path
from unittest import skipUnless

from twisted.trial.unittest import TestCase

from filehub.attributes import Disposition, Ownership
from filehub.interfaces import IFileSystem, IRandomAccess, IServerSideCopy, IWriteHandle
from filehub.paths import ROOT
from filehub.vfs import ownership
from filehub.vfs.local import LocalFileSystem
from filehub.vfs.mount import MountTable
from filehub.vfs.readonly import ReadOnlyFileSystem
from filehub.views import ICreationMask, ICreationOwner
from tests.accounts.doubles import at, now
from tests.vfs.local_support import FailingOS, OnDisk

#: Numbers that nobody has.
ANN = Ownership(54321, 54322)


class RightsTests(TestCase):
    """L{ownership.mayGiveAway}"""

    def says(self, text: str) -> bool:
        path = Path(self.mktemp())
        path.write_text(text)
        return ownership.mayGiveAway(path)

    def test_capabilities(self) -> None:
        """It takes CAP_CHOWN, and what it takes to go on using such files."""
        self.assertTrue(self.says("Name:\tx\nCapEff:\t000001ffffffffff\n"))
        self.assertTrue(self.says("CapEff:\t000000000000000b\n"))
        for number in ("0000000000000001", "000000000000000a", "0000000000000000"):
            self.assertFalse(self.says(f"CapEff:\t{number}\n"), number)

    def test_elsewhere(self) -> None:
        """Where the kernel does not say so, root may, and nobody else."""
        self.assertEqual(ownership.mayGiveAway(Path("/nowhere")), os.geteuid() == 0)


@skipUnless(os.geteuid() == 0, "only root gives files away")
class OwnershipTests(OnDisk):
    """L{LocalFileSystem.ownedBy}"""

    def setUp(self) -> None:
        super().setUp()
        self.tree = self.makeTree()
        self.plain = self.tree.viewFor("ann")
        self.files: LocalFileSystem = self.plain.ownedBy(ANN)

    def owner(self, name: str) -> tuple[int, int]:
        status = os.lstat(self.folder / name)
        return status.st_uid, status.st_gid

    def begin(self, name: str, files: IFileSystem | None = None) -> IWriteHandle:
        files = files or self.files
        return now(files.openForWriting(at(name), Disposition.REPLACE))

    def store(self, name: str, files: IFileSystem | None = None) -> None:
        handle = self.begin(name, files)
        now(handle.writeAt(0, b"content"))
        now(handle.commit())

    def test_stored(self) -> None:
        """What is stored, made or copied is theirs, whoever had the name before."""
        self.store("/old", self.plain)
        self.assertEqual(self.owner("old"), (0, 0))
        self.store("/new")
        self.store("/old")
        now(self.files.makeDirectory(at("/made")))
        now(IServerSideCopy(self.files).copy(at("/new"), at("/copy"), replace=False))
        for name in ("new", "old", "made", "copy"):
            self.assertEqual(self.owner(name), tuple(ANN), name)
        self.store("/made/inner")
        self.assertEqual(self.owner("made/inner"), tuple(ANN))

    def test_masked(self) -> None:
        """Permission bits and owners do not get into each other's way."""
        files = ICreationMask(self.files).masked(0o027)
        self.store("/file", files)
        now(files.makeDirectory(at("/made")))
        for name, mode in (("file", 0o640), ("made", 0o750)):
            self.assertEqual(self.owner(name), tuple(ANN))
            self.assertEqual(os.stat(self.folder / name).st_mode & 0o777, mode)

    def test_half(self) -> None:
        """The user alone, or the group alone."""
        self.store("/user", self.plain.ownedBy(Ownership(user=ANN.user)))
        self.store("/group", self.plain.ownedBy(Ownership(group=ANN.group)))
        self.assertEqual(self.owner("user"), (ANN.user, 0))
        self.assertEqual(self.owner("group"), (0, ANN.group))

    def test_inherited(self) -> None:
        """Where only the user is said, a set-group-id directory still passes on its group."""
        os.chown(self.folder, 0, ANN.group)
        os.chmod(self.folder, 0o2755)
        files = self.plain.ownedBy(Ownership(user=ANN.user))
        self.store("/file", files)
        now(files.makeDirectory(at("/made")))
        self.assertEqual([self.owner("file"), self.owner("made")], [tuple(ANN)] * 2)

    def test_withoutName(self) -> None:
        """Where files cannot be without a name, they are theirs all the same."""
        self.patch(os, "O_TMPFILE", os.O_RDONLY | os.O_DIRECTORY)
        self.store("/file")
        self.assertEqual(self.owner("file"), tuple(ANN))

    def test_part(self) -> None:
        """A part is the server's, which goes on with it; published, it is theirs."""
        handle = self.begin("/part")
        now(handle.writeAt(0, b"half"))
        now(handle.abort())
        kept = next(each for each in self.folder.glob(".filehub/parts/*/part"))
        self.assertEqual(kept.stat().st_uid, 0)
        again = now(IRandomAccess(self.files).openForUpdate(at("/part"), 4))
        now(again.writeAt(4, b" and half"))
        now(again.commit())
        self.assertEqual(self.owner("part"), tuple(ANN))
        self.assertEqual((self.folder / "part").read_bytes(), b"half and half")

    def test_visible(self) -> None:
        """What a broken upload leaves to be seen is theirs, also when it was continued."""
        files = self.makeTree(partial="visible").viewFor("ann").ownedBy(ANN)
        handle = self.begin("/half", files)
        now(handle.writeAt(0, b"half"))
        now(handle.abort())
        self.assertEqual(self.owner("half"), tuple(ANN))

    def test_continued(self) -> None:
        """A file that is continued stays whose it is."""
        bob = Ownership(61234, 61235)
        self.store("/file", self.plain.ownedBy(bob))
        handle = now(self.files.openForWriting(at("/file"), Disposition.APPEND))
        now(handle.writeAt(7, b" more"))
        now(handle.commit())
        self.assertEqual(self.owner("file"), tuple(bob))
        self.assertEqual((self.folder / "file").read_bytes(), b"content more")

    def test_refused(self) -> None:
        """Where the system does not let us, nothing fails, and the log says it."""
        failing = FailingOS("fchown", errno.EPERM)
        self.patch(ownership, "os", failing)
        self.store("/file")
        self.assertEqual(self.owner("file"), (0, 0))

    def test_swapped(self) -> None:
        """Whatever was put under the name meanwhile is given to nobody."""
        secret = self.folder / "secret"
        secret.write_text("secret")
        os.link(secret, self.folder / "link")
        descriptor = os.open(self.folder / "link", os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        ownership.give(descriptor, ANN)
        self.assertEqual(self.owner("secret"), (0, 0))
        os.chown(secret, 61234, 0)
        os.unlink(self.folder / "link")
        ownership.give(descriptor, ANN)
        self.assertEqual(self.owner("secret"), (61234, 0))

    def test_mounted(self) -> None:
        """Through mounts, and layers that forward; storages without owners stay as they are."""
        table = MountTable({ROOT: self.plain, at("/ro"): ReadOnlyFileSystem(self.plain)})
        owned = ICreationOwner(table).ownedBy(ANN)
        self.store("/file", owned)
        self.assertEqual(self.owner("file"), tuple(ANN))
        back = ICreationOwner(owned).ownedBy(None)
        self.store("/file2", back)
        self.assertEqual(self.owner("file2"), (0, 0))
