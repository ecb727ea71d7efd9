"""
What only a folder of this machine has.
"""

import errno
import os
import pwd
import shutil
import tracemalloc
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from filehub.attributes import AttributeChanges, Disposition, FileType
from filehub.errors import ConfigurationError, OperationNotSupported, StorageUnavailable
from filehub.interfaces import IDescriptorBacked, ISparse
from filehub.paths import ROOT
from filehub.vfs import _drafts, _openat, _openfile, local
from filehub.vfs._facts import Facts
from filehub.vfs._openfile import InPlace
from filehub.vfs._syscalls import fileSystemKind
from filehub.vfs.local import LocalTree
from filehub.vfs.workers import ImmediateWorkers
from filehub.views import IWorkedPages
from tests.contract.support import at, breakOff, entries, names, read, write
from tests.vfs.local_support import FailingOS, OnDisk

REPLACE, APPEND = Disposition.REPLACE, Disposition.APPEND


class ConfigurationTests(OnDisk):
    """One clear line for the operator."""

    def assertRefused(self, path: Any, words: str) -> None:
        error = self.assertRaises(ConfigurationError, LocalTree, path, ImmediateWorkers())
        self.assertEqual(str(error), f"cannot {words}")

    def test_unusableFolders(self) -> None:
        """A folder that is missing, no folder or unreadable is named, with the reason."""
        (self.folder / "f").write_bytes(b"")
        missing = self.folder / "no"
        self.assertRefused(missing, f"serve {missing}: No such file or directory")
        self.assertRefused(str(self.folder / "f"), f"serve {self.folder}/f: Not a directory")
        self.patch(_openat, "os", FailingOS("open", errno.EACCES, 2))
        self.assertRefused(self.folder, f"read {self.folder}: Permission denied")

    async def test_rootBehindALink(self) -> None:
        """The root itself may be given as a link; it is followed once, at the start."""
        (self.folder / "real").mkdir()
        (self.folder / "other").mkdir()
        os.symlink("real", self.folder / "link")
        tree = LocalTree(self.folder / "link", ImmediateWorkers())
        self.addCleanup(tree.root.close, small=True)
        os.unlink(self.folder / "link")
        os.symlink("other", self.folder / "link")
        await write(tree.viewFor("alice"), "f", b"")
        self.assertEqual(os.listdir(self.folder / "real"), ["f"])

    async def test_readingLeavesNoTrace(self) -> None:
        """A tree that is only read stays as it is, also when it is swept."""
        (self.folder / "f").write_bytes(b"f")
        tree = self.makeTree()
        fileSystem = tree.viewFor("alice")
        await read(fileSystem, "f")
        await names(fileSystem)
        await tree.sweep()
        self.assertEqual(os.listdir(self.folder), ["f"])

    async def test_newFilesLeaveNoTrace(self) -> None:
        """Nor is there more than the file after an upload of a new one."""
        fileSystem = self.makeTree().viewFor("alice")
        await write(fileSystem, "f", b"f")
        self.assertEqual(os.listdir(self.folder), ["f"])

    async def test_stagingIsPrivate(self) -> None:
        """Other users of the machine do not get at what is not published."""
        await breakOff(self.makeTree().viewFor("alice"), "f", b"half")
        for folder in (".filehub", ".filehub/parts"):
            self.assertEqual((self.folder / folder).stat().st_mode & 0o777, 0o700)

    async def test_stagingThatVanishes(self) -> None:
        """Who removes the staging folder loses the parts, and no upload."""
        fileSystem = self.makeTree().viewFor("alice")
        for content in (b"1", b"2", b"3"):
            await write(fileSystem, "f", content)
            await breakOff(fileSystem, "p", content)
            shutil.rmtree(self.folder / ".filehub")
        self.assertEqual(await read(fileSystem, "f"), b"3")
        self.assertEqual(await names(fileSystem), ["f"])

    async def test_stagingIsNoLink(self) -> None:
        """Somebody who plants a link as staging folder gains nothing."""
        (self.folder / "trap").mkdir()
        os.symlink("trap", self.folder / ".filehub")
        fileSystem = self.makeTree().viewFor("alice")
        handle = await fileSystem.openForWriting(at("f"), REPLACE)
        await handle.writeAt(0, b"half")
        try:
            await handle.abort()
        except Exception as error:
            self.assertEqual(type(error).__name__, "TooManyLinks")
        self.assertEqual(os.listdir(self.folder / "trap"), [])

    async def test_fileModes(self) -> None:
        """Files get the mount's mode whatever the umask is, in every way of writing."""
        before = os.umask(0o077)
        self.addCleanup(os.umask, before)
        for named in (False, True):
            if named:
                self.patch(os, "O_TMPFILE", os.O_DIRECTORY)
            fileSystem = self.makeTree(fileMode=0o664).viewFor("alice")
            await write(fileSystem, "f", b"")
            await breakOff(fileSystem, "p", b"half")
            await write(fileSystem, "p", b"whole", APPEND)
            for name in ("f", "p"):
                self.assertEqual((self.folder / name).stat().st_mode & 0o7777, 0o664)
                await fileSystem.removeFile(at(name))

    async def test_otherFileSystemsInside(self) -> None:
        """
        Where the target is on another file system than the root, uploads are hidden
        next to it, and a broken one leaves nothing.
        """
        fileSystem = self.makeTree().viewFor("alice")
        await write(fileSystem, "f", b"old")
        self.patch(_drafts, "_hiddenPlace", lambda place: (place.directory, b".filehub-x"))
        await write(fileSystem, "f", b"new")
        self.assertEqual((self.folder / "f").read_bytes(), b"new")
        self.patch(_drafts, "os", FailingOS("link", errno.EXDEV))
        await breakOff(fileSystem, "g", b"half")
        self.assertEqual(await names(fileSystem), ["f"])
        self.assertEqual(self.staged(), [])

    async def test_withoutProc(self) -> None:
        """Without C{/proc} nothing that is unnamed could be named: it never is."""
        self.patch(os.path, "isdir", lambda path: False)
        fileSystem = self.makeTree().viewFor("alice")
        handle = await fileSystem.openForWriting(at("f"), REPLACE)
        self.assertEqual(len(self.staged()), 1)
        await handle.commit()
        self.assertEqual((self.staged(), await names(fileSystem)), ([], ["f"]))


class AttributeTests(OnDisk):
    """Facts of files on disk."""

    async def test_owners(self) -> None:
        """Owners have names, where the system knows them."""
        fileSystem = self.makeTree().viewFor("alice")
        await write(fileSystem, "f", b"")
        known = await fileSystem.stat(at("f"))
        self.assertEqual(known.owner, pwd.getpwuid(os.geteuid()).pw_name)

    def test_namesAreAskedOnce(self) -> None:
        """The name service is asked once for each number, and not by the reactor."""
        asked: list[int] = []

        def name(number: int) -> str:
            asked.append(number)
            return f"n{number}"

        facts = Facts(name, name)
        status = os.stat(self.folder)
        self.assertFalse(facts.known(status))
        for _ in range(3):
            self.assertEqual(facts.attributes(status).owner, f"n{status.st_uid}")
        self.assertTrue(facts.known(status))
        self.assertEqual(len(asked), 2)

    def test_namesAreForgotten(self) -> None:
        """A folder with files of very many owners does not fill the memory."""
        facts = Facts(str, str)
        status = os.stat(self.folder)
        fields = list(status)
        for number in range(10_000):
            fields[4] = fields[5] = number
            facts.attributes(os.stat_result(fields))
        self.assertLessEqual(len(facts._users), 4096)

    async def test_idsTellNothing(self) -> None:
        """Two names of one file have one id, which does not show the inode."""
        fileSystem = self.makeTree().viewFor("alice")
        await write(fileSystem, "f", b"")
        os.link(self.folder / "f", self.folder / "g")
        first, second = await fileSystem.stat(at("f")), await fileSystem.stat(at("g"))
        self.assertEqual(first.uniqueId, second.uniqueId)
        self.assertEqual(first.links, 2)
        inode = (self.folder / "f").stat().st_ino
        self.assertNotIn(f"{inode:x}", first.uniqueId or "")
        other = await self.makeTree().viewFor("alice").stat(at("f"))
        self.assertNotEqual(other.uniqueId, first.uniqueId)

    async def test_impossibleTimes(self) -> None:
        """Times that no file system holds are refused in our words."""
        fileSystem = self.makeTree().viewFor("alice")
        await write(fileSystem, "f", b"")
        for seconds in (float("inf"), float("nan"), 1e30, -1e30):
            try:
                await fileSystem.setAttributes(at("f"), AttributeChanges(modified=seconds))
            except OperationNotSupported:
                continue
            self.fail(f"{seconds} is no time")

    async def test_setIdIsCleared(self) -> None:
        """A client's chmod takes set-id bits away and never gives them."""
        fileSystem = self.makeTree().viewFor("alice")
        await write(fileSystem, "f", b"")
        os.chmod(self.folder / "f", 0o6755)
        await fileSystem.setAttributes(at("f"), AttributeChanges(mode=0o4755))
        self.assertEqual((self.folder / "f").stat().st_mode & 0o7777, 0o755)


class ListingTests(OnDisk):
    """Large and lively directories."""

    async def test_large(self) -> None:
        """20 000 entries come in pages; memory holds one of them at a time."""
        source = self.folder / "0"
        source.write_bytes(b"")
        for number in range(1, 20_000):
            os.link(source, self.folder / str(number))
        tree = self.makeTree()
        handle = await tree.viewFor("alice").openDirectory(ROOT)
        found = set()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        base = tracemalloc.get_traced_memory()[0]
        pages = 0
        while page := await handle.nextPage():
            pages += 1
            found.update(int(entry.name) for entry in page)
        peak = tracemalloc.get_traced_memory()[1] - base
        await handle.close()
        self.assertEqual(found, set(range(20_000)))
        self.assertGreaterEqual(pages, 40)
        # The set of numbers is most of this; a list of entries would be 10 MiB.
        self.assertLess(peak, 5 * 1024 * 1024)

    async def test_vanishing(self) -> None:
        """Entries that vanish between two looks are left out, the others are there."""
        for name in ("a", "b", "c"):
            (self.folder / name).write_bytes(b"")
        fileSystem = self.makeTree().viewFor("alice")
        real = Facts.attributes

        def attributes(facts: Facts, status: os.stat_result) -> Any:
            known = real(facts, status)
            if (self.folder / "b").exists():
                os.unlink(self.folder / "b")
                raise FileNotFoundError(errno.ENOENT, "gone")
            return known

        self.patch(Facts, "attributes", attributes)
        tree = self.makeTree()
        self.assertEqual(len(await names(tree.viewFor("alice"))), 2)
        self.assertEqual(len(await names(fileSystem)), 2)

    async def test_workedPages(self) -> None:
        """What is made of pages where they are read is made of every entry once."""
        for number in range(1200):
            (self.folder / f"f{number:04}").touch()
        handle = await self.makeTree().viewFor("alice").openDirectory(ROOT)
        pages = IWorkedPages(handle)
        found: list[str] = []
        while page := await pages.nextWorked(lambda page: [entry.name for entry in page]):
            found += page
        self.assertEqual(sorted(found), [f"f{number:04}" for number in range(1200)])
        self.assertEqual(await pages.nextWorked(list), [])
        await handle.close()

    async def test_danglingLinks(self) -> None:
        """A link to nowhere is an entry like others."""
        os.symlink("nowhere", self.folder / "l")
        (self.folder / "f").write_bytes(b"")
        found = await entries(self.makeTree(links="within-root").viewFor("alice"))
        self.assertEqual(found["l"].attributes.type, FileType.SYMLINK)
        self.assertEqual(found["l"].linkTarget, "nowhere")

    async def test_removedMeanwhile(self) -> None:
        """A directory that is removed while it is read just ends."""
        (self.folder / "d").mkdir()
        handle = await self.makeTree().viewFor("alice").openDirectory(at("d"))
        (self.folder / "d").rmdir()
        self.assertEqual(list(await handle.nextPage()), [])
        await handle.close()


class HopTests(OnDisk):
    """How many pieces of work for workers a verb is."""

    def setUp(self) -> None:
        super().setUp()
        self.workers = ImmediateWorkers()
        (self.folder / "d").mkdir()
        (self.folder / "d/f").write_bytes(b"content")

    async def hops(self, call: Any) -> int:
        before = self.workers.calls
        await call
        return self.workers.calls - before

    async def test_withoutWorkers(self) -> None:
        """
        A small file that is cached is looked at, opened, read, and a small one is
        uploaded, without any.
        """
        tree = self.makeTree(self.workers)
        if not tree.inPlace.cached:
            raise self.skipTest("this kernel has no RESOLVE_CACHED")
        fileSystem = tree.viewFor("alice")
        await write(fileSystem, "d/f", b"content")
        self.assertEqual(await self.hops(fileSystem.stat(at("d/f"))), 0)
        self.assertEqual(await self.hops(read(fileSystem, "d/f")), 0)
        # (New blocks are reserved in memory; replacing waits for nothing either.)
        self.assertEqual(await self.hops(write(fileSystem, "d/f", b"newer")), 0)

    async def test_byWorkers(self) -> None:
        """Each verb is one, and a small directory is one in all."""
        fileSystem = self.makeTree(self.workers, inPlace=False).viewFor("alice")
        self.assertEqual(await self.hops(fileSystem.stat(at("d/f"))), 1)
        self.assertEqual(await self.hops(fileSystem.makeDirectory(at("d/g"))), 1)
        self.assertEqual(await self.hops(names(fileSystem, "d")), 1)
        # Open, read, and the end of the file.
        self.assertEqual(await self.hops(read(fileSystem, "d/f")), 3)
        # Open, write, commit, and a close that nobody waits for.
        self.assertEqual(await self.hops(write(fileSystem, "d/f", b"newer")), 4)

    async def test_syncIsForWorkers(self) -> None:
        """What waits for the disk is never done in place."""
        fileSystem = self.makeTree(self.workers, fsync="commit").viewFor("alice")
        handle = await fileSystem.openForWriting(at("d/f"), REPLACE)
        await handle.writeAt(0, b"x")
        self.assertGreater(await self.hops(handle.commit()), 0)

    async def test_resolve(self) -> None:
        """The guard's question costs nothing where links are refused."""
        fileSystem = self.makeTree(self.workers, inPlace=False).viewFor("alice")
        path = at("d/f")
        self.assertIs(await fileSystem.resolve(path), path)
        self.assertEqual(self.workers.calls, 0)

    async def test_stopLoss(self) -> None:
        """A slow call sends what follows to the workers, for a time."""
        fileSystem = self.makeTree(self.workers).viewFor("alice")
        now = [0.0]
        slow = [0.0]

        class Clock:
            @staticmethod
            def monotonic() -> float:
                now[0] += slow[0]
                return now[0]

        self.patch(_openfile, "time", Clock)
        now[0] = 100.0
        handle = await fileSystem.openForWriting(at("d/g"), REPLACE)
        self.assertEqual(await self.hops(handle.writeAt(0, b"quick")), 0)
        for rest in (InPlace.REST, InPlace.REST * 2, InPlace.REST * 4):
            slow[0] = InPlace.LIMIT * 2
            self.assertEqual(await self.hops(handle.writeAt(0, b"slow")), 0)
            slow[0] = 0.0
            now[0] += rest * 0.9
            self.assertEqual(await self.hops(handle.writeAt(0, b"careful")), 1)
            now[0] += rest * 0.2
            self.assertEqual(await self.hops(handle.writeAt(0, b"quick")), 0)
        await handle.abort()

    async def test_leases(self) -> None:
        """Both kinds of handle lend their descriptor."""
        fileSystem = self.makeTree(self.workers).viewFor("alice")
        reader = await fileSystem.openForReading(at("d/f"))
        with IDescriptorBacked(reader).lease() as descriptor:
            self.assertEqual(os.pread(descriptor, 3, 0), b"con")
        await reader.close()
        writer = await fileSystem.openForWriting(at("d/g"), REPLACE)
        with IDescriptorBacked(writer).lease() as descriptor:
            os.pwrite(descriptor, b"by the kernel", 0)
        self.assertEqual((await writer.commit()).size, 13)

    async def test_holes(self) -> None:
        """A read handle finds the data of a sparse file, and its end behind the last."""
        fileSystem = self.makeTree(self.workers).viewFor("alice")
        writer = await fileSystem.openForWriting(at("d/sparse"), REPLACE)
        await writer.writeAt(1 << 20, b"data")
        await writer.writeAt((4 << 20) - 1, b"\0")
        await writer.commit()
        reader = await fileSystem.openForReading(at("d/sparse"))
        start, end = await ISparse(reader).nextData(0)
        if start == 0:
            raise SkipTest("this file system has no holes")
        self.assertLessEqual(start, 1 << 20)
        self.assertGreater(end, 1 << 20)
        self.assertGreater((await ISparse(reader).nextData(end))[0], end)
        self.assertEqual(await ISparse(reader).nextData(4 << 20), (4 << 20, 4 << 20))
        await reader.close()
        with self.assertRaises(StorageUnavailable):
            await ISparse(reader).nextData(0)


class FileSystemKindTests(SynchronousTestCase):
    """Which file systems are close enough to be asked in place."""

    def test_kinds(self) -> None:
        """Memory is told from what nobody knows."""
        kinds = {}
        for path in ("/dev/shm", "/proc"):
            if os.path.isdir(path):
                descriptor = os.open(path, os.O_PATH)
                self.addCleanup(os.close, descriptor)
                kinds[path] = fileSystemKind(descriptor)
        self.assertEqual(kinds.get("/proc", "other"), "other")
        self.assertIn(kinds.get("/dev/shm", "memory"), ("memory", "other"))
        self.assertEqual(fileSystemKind(-1), "other")

    def test_otherKinds(self) -> None:
        """On a network everything is for workers."""
        folder = self.mktemp()
        os.mkdir(folder)
        self.patch(local, "fileSystemKind", lambda descriptor: "other")
        workers = ImmediateWorkers()
        tree = LocalTree(folder, workers)
        self.addCleanup(tree.root.close, small=True)
        fileSystem = tree.viewFor("alice")
        done: list[Any] = []
        Deferred.fromCoroutine(write(fileSystem, "f", b"f")).addBoth(done.append)
        Deferred.fromCoroutine(fileSystem.stat(at("f"))).addBoth(done.append)
        self.assertEqual([each.size for each in done], [1, 1])
        self.assertGreaterEqual(workers.calls, 4)
