"""
Disks that fail, processes that die, clients that leave: what was published stands, and
nothing is left lying about.
"""

import errno
import os
import shutil
import signal
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from filehub.attributes import Disposition
from filehub.errors import (
    Busy,
    FileHubError,
    FileTooLarge,
    NoSpace,
    PermissionDenied,
    QuotaExceeded,
    StorageUnavailable,
)
from filehub.interfaces import IDescriptorBacked, IFileSystem, IRandomAccess
from filehub.vfs import _drafts, _localfile, _staging, _uploads, local
from filehub.vfs.workers import _Job
from tests.contract.support import at, breakOff, names, read, write
from tests.vfs.local_support import FailingOS, OnDisk, openDescriptors

CREATE, REPLACE, APPEND = Disposition.CREATE, Disposition.REPLACE, Disposition.APPEND


class FaultTests(OnDisk):
    """One call fails at a time, each in its turn."""

    async def upload(self, fileSystem: IFileSystem, how: str) -> bool:
        """@return: whether it was said to be published."""
        try:
            if how == "update":
                handle = await IRandomAccess(fileSystem).openForUpdate(at("f"), 3)
            else:
                handle = await fileSystem.openForWriting(at("f"), Disposition[how])
        except FileHubError:
            return False
        try:
            await handle.writeAt(handle.position, b"new content")
            await handle.commit()
        except FileHubError:
            published = False
        else:
            published = True
        finally:
            try:
                await handle.abort()
            except FileHubError:
                # A disk that fails even then; the sweep has the rest.
                pass
        return published

    async def test_sweepOfFaults(self) -> None:
        """
        Whichever call fails, and when: old content or new, and what is said to be
        published is.  After the next start nothing is left but what was published.
        """
        results = {"CREATE": b"new content", "REPLACE": b"new content"}
        results |= {"APPEND": b"oldnew content", "update": b"oldnew content"}
        functions = ["open", "mkdir", "link", "rename", "unlink", "pwrite", "fsync", "fchmod"]
        functions += ["stat", "fstat", "access", "copy_file_range", "ftruncate", "utime", "dup"]
        ways = [
            {"fsync": "off", "inPlace": True},
            {"fsync": "commit", "inPlace": False},
            {"named": True, "kind": "other"},
            {"limit": 2, "fileMode": 0o604},
        ]
        self.faults = 0
        for how in results:
            for way in ways:
                for function in functions:
                    nth = 1
                    while await self.fails(how, results[how], function, nth, **way):
                        nth += 1
        # Or this would have tested nothing.
        self.assertGreater(self.faults, 200)

    async def fails(
        self,
        how: str,
        expected: bytes,
        function: str,
        nth: int,
        named: bool = False,
        limit: int = 1000,
        kind: str = "local",
        **options: Any,
    ) -> bool:
        """One upload with one fault.  @return: whether there was one."""
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        if how != "CREATE":
            (self.folder / "f").write_bytes(b"old")
        # So that all the ways are gone: unnamed or hidden drafts, copies or in place.
        patches = [self.patch(_uploads, "COPY_LIMIT", limit)]
        if named:
            patches.append(self.patch(os, "O_TMPFILE", os.O_DIRECTORY))
        patches.append(self.patch(local, "fileSystemKind", lambda descriptor: kind))
        tree = self.makeTree(partial="delete", **options)
        failing = FailingOS(function, errno.EIO, nth)
        patches += failing.install(self)
        published = await self.upload(tree.viewFor("alice"), how)
        for patch in reversed(patches):
            patch.restore()
        happened = failing.calls >= nth
        self.faults += happened
        await tree.close()
        place = f"{how} {options} named={named} limit={limit} {kind}, {function} number {nth}"
        restarted = self.makeTree()
        await restarted.sweep()
        content = await self.contentOf(restarted.viewFor("alice"))
        await restarted.close()
        if published:
            self.assertEqual(content, expected, place)
        elif content != expected:
            # (What fails after the moment of publication has published.)
            self.assertEqual(content, None if how == "CREATE" else b"old", place)
        self.assertEqual(self.staged(), [], place)
        self.assertEqual(openDescriptors() - self.before, set(), place)
        self.flushLoggedErrors(OSError)
        return happened

    async def contentOf(self, fileSystem: IFileSystem) -> bytes | None:
        return await read(fileSystem, "f") if "f" in await names(fileSystem) else None

    async def test_reasons(self) -> None:
        """A full disk, a quota, a limit and a broken disk are told apart, by name."""
        for code, expected in (
            (errno.ENOSPC, NoSpace),
            (errno.EDQUOT, QuotaExceeded),
            (errno.EFBIG, FileTooLarge),
            (errno.EIO, StorageUnavailable),
        ):
            for quick in (True, False):
                fileSystem = self.makeTree(inPlace=quick).viewFor("alice")
                handle = await fileSystem.openForWriting(at("f"), REPLACE)
                await handle.writeAt(0, b"begin")
                patch = self.patch(_localfile, "os", FailingOS("pwrite", code, lasting=True))
                try:
                    await handle.writeAt(5, b"more")
                except FileHubError as error:
                    self.assertIs(type(error), expected)
                    self.assertEqual(str(error), f"/f: {expected.summary}")
                else:
                    self.fail("the disk said no")
                patch.restore()
                await handle.abort()
                self.assertEqual((await fileSystem.stat(at("f"))).size, 5)
                await fileSystem.removeFile(at("f"))

    async def test_errorAtTheEnd(self) -> None:
        """What only C{fsync} tells of is an upload that failed."""
        fileSystem = self.makeTree(fsync="commit").viewFor("alice")
        await write(fileSystem, "f", b"old")
        handle = await fileSystem.openForWriting(at("f"), REPLACE)
        await handle.writeAt(0, b"new")
        self.patch(_drafts, "os", FailingOS("fsync", errno.EIO))
        try:
            await handle.commit()
        except StorageUnavailable:
            pass
        else:
            self.fail("it is not on the disk")
        self.assertEqual(await read(fileSystem, "f"), b"old")

    async def test_errorAtTheClose(self) -> None:
        """On a network file system, what only C{close} tells of is one too."""
        self.patch(local, "fileSystemKind", lambda descriptor: "other")
        fileSystem = self.makeTree().viewFor("alice")
        await write(fileSystem, "f", b"old")
        for how in (REPLACE, APPEND):
            handle = await fileSystem.openForWriting(at("f"), how)
            await handle.writeAt(handle.position, b"new")
            patch = self.patch(_drafts, "os", FailingOS("close", errno.EDQUOT))
            try:
                await handle.commit()
            except QuotaExceeded:
                patch.restore()
            else:
                self.fail("the server has not got it")
            self.assertEqual(await read(fileSystem, "f"), b"old")

    async def test_shortWrites(self) -> None:
        """A system that takes a byte at a time is asked again."""
        real = os.pwrite
        self.patch(os, "pwrite", lambda fd, data, offset: real(fd, bytes(data[:1]), offset))
        fileSystem = self.makeTree().viewFor("alice")
        await write(fileSystem, "f", b"byte by byte")
        self.assertEqual(await read(fileSystem, "f"), b"byte by byte")

    async def test_shortReads(self) -> None:
        """Likewise."""
        real = os.pread
        self.patch(os, "pread", lambda fd, length, offset: real(fd, min(length, 2), offset))
        fileSystem = self.makeTree(inPlace=False).viewFor("alice")
        await write(fileSystem, "f", b"two by two")
        handle = await fileSystem.openForReading(at("f"))
        self.assertEqual(await handle.readAt(1, 100), b"wo by two")
        await handle.close()

    async def test_unreadableDisk(self) -> None:
        """A read error is the storage's trouble."""
        for quick in (True, False):
            fileSystem = self.makeTree(inPlace=quick).viewFor("alice")
            await write(fileSystem, "f", b"content")
            handle = await fileSystem.openForReading(at("f"))
            patches = [
                self.patch(os, name, FailingOS(name, errno.EIO)._wrap(getattr(os, name)))
                for name in ("pread", "preadv")
            ]
            try:
                await handle.readAt(0, 10)
            except StorageUnavailable as error:
                self.assertEqual(error.path, at("f"))
            else:
                self.fail("the disk said no")
            for patch in patches:
                patch.restore()
            await handle.close()

    async def test_noRoomForTheAnnouncedSize(self) -> None:
        """What cannot fit is refused before the first byte."""
        fileSystem = self.makeTree().viewFor("alice")
        for call in (
            fileSystem.openForWriting(at("f"), REPLACE, sizeHint=1 << 60),
            fileSystem.openForWriting(at("f"), CREATE, sizeHint=1 << 60),
        ):
            try:
                await call
            except NoSpace:
                continue
            self.fail("that much does not fit")
        self.assertEqual(await names(fileSystem), [])

    async def test_readOnlyFilesStay(self) -> None:
        """A file that may not be written is not replaced or continued either."""
        fileSystem = self.makeTree().viewFor("alice")
        await write(fileSystem, "f", b"protected")
        self.patch(os, "access", lambda path, mode, **more: path != b"f")
        for call in (
            fileSystem.openForWriting(at("f"), REPLACE),
            fileSystem.openForWriting(at("f"), APPEND),
            IRandomAccess(fileSystem).openForUpdate(at("f"), 3),
        ):
            try:
                await call
            except PermissionDenied:
                continue
            self.fail("it was protected")


class CrashTests(OnDisk):
    """The process is killed (C{kill -9}), and another starts on the same folder."""

    def killedDuring(self, upload: Any) -> None:
        """Run an upload in a child process that dies at its end, without a commit."""
        child = os.fork()
        if not child:
            try:
                Deferred.fromCoroutine(upload())
            finally:
                os.kill(os.getpid(), signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        self.assertEqual(os.WTERMSIG(status), signal.SIGKILL)

    async def begin(self, fileSystem: IFileSystem, how: Disposition) -> None:
        handle = await fileSystem.openForWriting(at("f"), how)
        await handle.writeAt(handle.position, b"new")

    async def test_newContent(self) -> None:
        """Whatever was under way, the old file stands and the staging folder is empty."""
        for unnamed in (os.O_TMPFILE, os.O_DIRECTORY):
            self.patch(os, "O_TMPFILE", unnamed)
            for how in (REPLACE, APPEND):
                (self.folder / "f").write_bytes(b"old")
                self.killedDuring(lambda how=how: self.begin(self.view(), how))
                await self.makeTree().sweep()
                self.assertEqual((self.folder / "f").read_bytes(), b"old")
                self.assertEqual(self.staged(), [])
                self.assertEqual(await names(self.view()), ["f"])

    def view(self) -> IFileSystem:
        return self.makeTree().viewFor("alice")

    async def test_appendInPlace(self) -> None:
        """What was appended in place is cut off again, wherever the file is now."""
        self.patch(_uploads, "COPY_LIMIT", 2)
        (self.folder / "d").mkdir()
        (self.folder / "f").write_bytes(b"old")
        os.utime(self.folder / "f", ns=(10**18, 10**18 + 5))
        self.killedDuring(lambda: self.begin(self.view(), APPEND))
        self.assertEqual((self.folder / "f").read_bytes(), b"oldnew")
        os.rename(self.folder / "f", self.folder / "d/g")
        await self.makeTree().sweep()
        self.assertEqual((self.folder / "d/g").read_bytes(), b"old")
        self.assertEqual((self.folder / "d/g").stat().st_mtime_ns, 10**18 + 5)
        self.assertEqual((self.folder / "d/g").stat().st_nlink, 1)
        self.assertEqual(self.staged(), [])

    async def test_continuedPart(self) -> None:
        """A part that was being continued is a longer part."""
        await breakOff(self.view(), "f", b"one")

        async def more() -> None:
            handle = await IRandomAccess(self.view()).openForUpdate(at("f"), 3)
            await handle.writeAt(3, b"two")

        self.killedDuring(more)
        tree = self.makeTree()
        await tree.sweep()
        fileSystem = tree.viewFor("alice")
        self.assertEqual((await fileSystem.stat(at("f"))).size, 6)
        await write(fileSystem, "f", b"three", APPEND)
        self.assertEqual(await read(fileSystem, "f"), b"onetwothree")

    async def test_partsSurviveARestart(self) -> None:
        """Parts are found again by a new process, before any sweep."""
        await breakOff(self.view(), "f", b"half")
        self.assertEqual(await names(self.view()), ["f"])
        self.assertEqual(await names(self.makeTree().viewFor("bob")), [])

    async def test_theLivingAreSpared(self) -> None:
        """A second process on the same folder takes nothing away from the first."""
        self.patch(_uploads, "COPY_LIMIT", 2)
        self.patch(os, "O_TMPFILE", os.O_DIRECTORY)
        await breakOff(self.view(), "part", b"half")
        (self.folder / "old").write_bytes(b"old")
        fileSystem = self.view()
        new = await fileSystem.openForWriting(at("new"), CREATE)
        await new.writeAt(0, b"new")
        append = await fileSystem.openForWriting(at("old"), APPEND)
        await append.writeAt(3, b" & new")
        part = await IRandomAccess(fileSystem).openForUpdate(at("part"), 4)
        await self.makeTree(partialLifetime=-100.0).sweep()
        for handle in (new, append, part):
            await handle.commit()
        self.assertEqual((self.folder / "new").read_bytes(), b"new")
        self.assertEqual((self.folder / "old").read_bytes(), b"old & new")
        self.assertEqual((self.folder / "part").read_bytes(), b"half")
        self.assertEqual(self.staged(), [])

    async def test_oneBadLeftover(self) -> None:
        """A leftover that resists does not keep the others."""
        fileSystem = self.view()
        await write(fileSystem, "f", b"1")
        await write(fileSystem, "f", b"2")
        for name in ("a", "z"):
            (self.folder / ".filehub/drafts" / name).write_bytes(b"")
        (self.folder / ".filehub/drafts/m").mkdir()
        await self.makeTree().sweep()
        self.assertEqual(os.listdir(self.folder / ".filehub/drafts"), ["m"])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)


class AppendInPlaceTests(OnDisk):
    """Large files are continued where they are."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(_uploads, "COPY_LIMIT", 2)
        (self.folder / "f").write_bytes(b"old")

    async def test_commit(self) -> None:
        """The same file is longer."""
        inode = (self.folder / "f").stat().st_ino
        for sync in ("off", "commit"):
            fileSystem = self.makeTree(fsync=sync).viewFor("alice")
            await write(fileSystem, "f", b"+", APPEND)
            handle = await IRandomAccess(fileSystem).openForUpdate(
                at("f"), len(await read(fileSystem, "f"))
            )
            await handle.writeAt(handle.position, b"-")
            self.assertEqual((await handle.commit()).links, 1)
        self.assertEqual((self.folder / "f").read_bytes(), b"old+-+-")
        self.assertEqual((self.folder / "f").stat().st_ino, inode)
        self.assertEqual(self.staged(), [])

    async def test_abort(self) -> None:
        """It is as long and as old as before."""
        os.utime(self.folder / "f", ns=(10**18, 10**18 + 5))
        fileSystem = self.makeTree().viewFor("alice")
        handle = await fileSystem.openForWriting(at("f"), APPEND)
        await handle.writeAt(3, b"new")
        self.assertEqual(len(self.staged()), 1)
        await handle.abort()
        self.assertEqual((self.folder / "f").read_bytes(), b"old")
        self.assertEqual((self.folder / "f").stat().st_mtime_ns, 10**18 + 5)
        self.assertEqual(self.staged(), [])

    async def test_visible(self) -> None:
        """With C{partial = "visible"} what came stays."""
        fileSystem = self.makeTree(partial="visible").viewFor("alice")
        handle = await fileSystem.openForWriting(at("f"), APPEND)
        await handle.writeAt(3, b"new")
        await handle.abort()
        self.assertEqual((self.folder / "f").read_bytes(), b"oldnew")
        self.assertEqual(self.staged(), [])

    async def test_inTheMiddle(self) -> None:
        """Before its end, a large file is continued in a copy: nothing can undo that."""
        inode = (self.folder / "f").stat().st_ino
        fileSystem = self.makeTree().viewFor("alice")
        handle = await IRandomAccess(fileSystem).openForUpdate(at("f"), 1)
        await handle.writeAt(1, b"x")
        self.assertEqual((self.folder / "f").read_bytes(), b"old")
        await handle.commit()
        self.assertEqual((self.folder / "f").read_bytes(), b"ox")
        self.assertNotEqual((self.folder / "f").stat().st_ino, inode)

    async def test_copiedInSteps(self) -> None:
        """A long beginning is copied piece by piece."""
        self.patch(_drafts, "COPY_STEP", 10)
        content = bytes(range(95))
        (self.folder / "f").write_bytes(content)
        fileSystem = self.makeTree().viewFor("alice")
        handle = await IRandomAccess(fileSystem).openForUpdate(at("f"), 94)
        await handle.writeAt(94, b"!")
        await handle.commit()
        self.assertEqual((self.folder / "f").read_bytes(), content[:94] + b"!")

    async def test_busy(self) -> None:
        """One at a time, also with another process; readers are not disturbed."""
        fileSystem, other = self.makeTree().viewFor("alice"), self.makeTree().viewFor("bob")
        handle = await fileSystem.openForWriting(at("f"), APPEND)
        for each in (fileSystem, other):
            try:
                await each.openForWriting(at("f"), APPEND)
            except Busy:
                continue
            self.fail("two would append")
        self.assertEqual(await read(other, "f"), b"old")
        await handle.abort()

    async def test_withoutLinks(self) -> None:
        """Where no second link can be made, a copy it is."""
        self.patch(_staging, "os", FailingOS("link", errno.EPERM))
        fileSystem = self.makeTree().viewFor("alice")
        handle = await fileSystem.openForWriting(at("f"), APPEND)
        await handle.writeAt(3, b"new")
        self.assertEqual((self.folder / "f").read_bytes(), b"old")
        await handle.commit()
        self.assertEqual((self.folder / "f").read_bytes(), b"oldnew")


class PatientWorkers:
    """Work is done when the test says so."""

    def __init__(self) -> None:
        self.jobs: list[_Job] = []

    def run(self, function: Any, *args: Any) -> Deferred[Any]:
        return self.call(function, *args)

    def call(
        self,
        function: Any,
        *args: Any,
        discard: Any = None,
        after: Any = None,
        always: bool = False,
    ) -> Deferred[Any]:
        self.jobs.append(_Job(function, args, discard, after))
        return self.jobs[-1].waiter

    def start(self) -> None:
        pass

    def stop(self) -> Deferred[None]:
        raise AssertionError("not here")

    def work(self) -> None:
        """Do all that waits, and what comes of it."""
        while self.jobs:
            job = self.jobs.pop(0)
            job.work()
            job.deliver()


class CancelTests(OnDisk):
    """Nobody waits any more: nothing leaks, and nothing is closed too early."""

    def setUp(self) -> None:
        super().setUp()
        (self.folder / "f").write_bytes(b"old")
        self.workers = PatientWorkers()
        self.tree = self.makeTree(self.workers, inPlace=False)
        self.fileSystem = self.tree.viewFor("alice")

    def start(self, call: Any) -> Deferred[Any]:
        return Deferred.fromCoroutine(call)

    def cancel(self, call: Any) -> None:
        waiting = self.start(call)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.workers.work()

    def result(self, call: Any) -> Any:
        waiting = self.start(call)
        self.workers.work()
        return self.successResultOf(waiting)

    def test_opens(self) -> None:
        """What a cancelled verb opened is closed, and leaves no trace."""
        before = len(os.listdir("/proc/self/fd"))
        for call in (
            self.fileSystem.openForReading(at("f")),
            self.fileSystem.openDirectory(at("/")),
            self.fileSystem.openForWriting(at("g"), CREATE),
            self.fileSystem.openForWriting(at("f"), APPEND),
            IRandomAccess(self.fileSystem).openForUpdate(at("f"), 2),
        ):
            self.cancel(call)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
        self.assertEqual(self.staged(), [])
        self.assertEqual((self.folder / "f").read_bytes(), b"old")

    def test_readThatNobodyWaitsFor(self) -> None:
        """The descriptor is kept for the worker, and closed after it."""
        handle = self.result(self.fileSystem.openForReading(at("f")))
        reading = self.start(handle.readAt(0, 10))
        reading.cancel()
        self.failureResultOf(reading, CancelledError)
        closing = self.start(handle.close())
        self.assertNoResult(closing)
        job = self.workers.jobs[0]
        os.fstat(job.args[0])
        self.workers.work()
        self.assertIsNone(self.successResultOf(closing))
        self.assertEqual(job.result, b"old")
        self.assertRaises(OSError, os.fstat, job.args[0])

    def test_commitThatNobodyWaitsFor(self) -> None:
        """It is published or not, and the handle is finished."""
        handle = self.result(self.fileSystem.openForWriting(at("g"), CREATE))
        self.result(handle.writeAt(0, b"new"))
        self.cancel(handle.commit())
        self.result(handle.abort())
        self.assertEqual((self.folder / "g").read_bytes(), b"new")

    def test_abortThatNobodyWaitsFor(self) -> None:
        """It is abandoned all the same, after what was under way."""
        handle = self.result(self.fileSystem.openForWriting(at("g"), CREATE))
        writing = self.start(handle.writeAt(0, b"new"))
        self.cancel(handle.abort())
        self.assertIsNone(self.successResultOf(writing))
        self.assertEqual(self.result(self.fileSystem.stat(at("g"))).size, 3)

    def test_writesBeforeTheEnd(self) -> None:
        """A commit waits for writes that are under way."""
        handle = self.result(self.fileSystem.openForWriting(at("g"), CREATE))
        writing = self.start(handle.writeAt(0, b"new"))
        committing = self.start(handle.commit())
        self.assertEqual(len(self.workers.jobs), 1)
        self.workers.work()
        self.assertIsNone(self.successResultOf(writing))
        self.assertEqual(self.successResultOf(committing).size, 3)

    def test_leases(self) -> None:
        """A lent descriptor stays valid after the handle's end, and not longer."""
        for ending in ("commit", "abort"):
            handle = self.result(self.fileSystem.openForWriting(at("g"), REPLACE))
            with IDescriptorBacked(handle).lease() as descriptor:
                os.pwrite(descriptor, b"lent", 0)
                self.result(getattr(handle, ending)())
                self.assertEqual(os.fstat(descriptor).st_size, 4)
            self.workers.work()
            self.assertRaises(OSError, os.fstat, descriptor)
        self.assertEqual((self.folder / "g").read_bytes(), b"lent")
        reader = self.result(self.fileSystem.openForReading(at("g")))
        with IDescriptorBacked(reader).lease() as descriptor:
            self.result(reader.close())
            self.assertEqual(os.pread(descriptor, 10, 0), b"lent")
        self.assertRaises(OSError, os.fstat, descriptor)
        with self.assertRaises(FileHubError), IDescriptorBacked(reader).lease():
            self.fail("it is closed")

    def test_closeOfTheTree(self) -> None:
        """Work that is under way when the tree is closed still ends well; later work fails."""
        making = self.start(self.fileSystem.makeDirectory(at("d")))
        handle = self.result(self.fileSystem.openForWriting(at("f"), REPLACE))
        self.result(handle.writeAt(0, b"new"))
        self.result(self.tree.close())
        self.workers.work()
        self.assertIsNone(self.successResultOf(making))
        self.result(handle.commit())
        self.assertEqual((self.folder / "f").read_bytes(), b"new")
        late = self.start(self.fileSystem.makeDirectory(at("e")))
        self.workers.work()
        self.failureResultOf(late, StorageUnavailable)
        self.assertFalse((self.folder / "e").exists())
