"""
That no name leads out of a tree, and what the system's refusals mean.
"""

import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase, TestCase

from filehub import errors
from filehub.attributes import AttributeChanges, Disposition
from filehub.errors import FileHubError, FileSystemError, NotARegularFile, TooManyLinks
from filehub.interfaces import IChecksums, IFileSystem, IRandomAccess, IServerSideCopy
from filehub.paths import ROOT, VirtualPath
from filehub.vfs import _openat, _syscalls
from filehub.vfs._oserrors import errorFor
from filehub.vfs.local import LocalTree
from filehub.vfs.workers import ImmediateWorkers
from tests.contract.support import at, entries, names, read, write

SECRET = b"of no concern to clients"


class Fenced(TestCase):
    """A tree beside which there is something that nobody may reach."""

    timeout = 60

    def setUp(self) -> None:
        self.base = Path(self.mktemp())
        self.outside = self.base / "outside"
        self.inside = self.base / "inside"
        self.outside.mkdir(parents=True)
        self.inside.mkdir()
        (self.outside / "secret").write_bytes(SECRET)
        (self.outside / "folder").mkdir()

    def makeFileSystem(self, **options: Any) -> IFileSystem:
        tree = LocalTree(self.inside, ImmediateWorkers(), **options)
        self.addCleanup(tree.root.close, small=True)
        return tree.viewFor("mallory")

    def assertOutsideUntouched(self) -> None:
        self.assertEqual(sorted(os.listdir(self.outside)), ["folder", "secret"])
        self.assertEqual(os.listdir(self.outside / "folder"), [])
        self.assertEqual((self.outside / "secret").read_bytes(), SECRET)
        self.assertEqual((self.outside / "secret").stat().st_nlink, 1)

    def everything(self, fileSystem: IFileSystem, path: VirtualPath) -> list[Any]:
        """Every way to use a path."""
        below = path.child("new")
        return [
            fileSystem.stat(path),
            fileSystem.openDirectory(path),
            fileSystem.makeDirectory(below),
            fileSystem.removeDirectory(path),
            fileSystem.removeFile(below),
            fileSystem.rename(at("mine"), below, replace=True),
            fileSystem.rename(below, at("stolen"), replace=True),
            fileSystem.setAttributes(path, AttributeChanges(mode=0o777, modified=1.0)),
            fileSystem.openForReading(path),
            fileSystem.openForReading(below),
            *(fileSystem.openForWriting(path, each) for each in Disposition),
            *(fileSystem.openForWriting(below, each) for each in Disposition),
            IRandomAccess(fileSystem).openForUpdate(path, 1),
            IServerSideCopy(fileSystem).copy(path, at("stolen"), replace=True),
            IServerSideCopy(fileSystem).copy(at("mine"), below, replace=True),
            IChecksums(fileSystem).digest(path, "sha256"),
        ]


class EscapeTests(Fenced):
    """Links that were put into the tree by somebody else."""

    async def assertFenced(self, **options: Any) -> None:
        links = {
            "relative": "../outside",
            "absolute": str(self.outside.resolve()),
            "file": "../outside/secret",
            "dotted": "./.././inside/../outside/folder",
            "root": "/",
            "magic": "/proc/self/cwd",
            "twice": "relative/folder",
            "d/up": "../../outside",
        }
        (self.inside / "d").mkdir()
        for name, text in links.items():
            os.symlink(text, self.inside / name)
        fileSystem = self.makeFileSystem(**options)
        await write(fileSystem, "mine", b"mine")
        for name in links:
            for path in (at(name), at(name).child("secret"), at(name).child("folder")):
                canonical = await fileSystem.resolve(path)
                # With a guard, verbs see canonical paths; without one, what was asked.
                for used in {path, canonical}:
                    for call in self.everything(fileSystem, used):
                        try:
                            result = await call
                        except FileSystemError as error:
                            self.assertIn(error.path, (used, at("mine"), *self.targets(used)))
                        else:
                            await self.putDown(result)
                        self.assertOutsideUntouched()
        self.assertNotIn(SECRET, [file.read_bytes() for file in self.files()])

    def targets(self, path: VirtualPath) -> list[VirtualPath]:
        return [path.child("new"), at("stolen")]

    def files(self) -> list[Path]:
        return [each for each in self.inside.rglob("*") if each.is_file() and not each.is_symlink()]

    async def putDown(self, result: Any) -> None:
        """Nothing that succeeded may have shown anything."""
        if hasattr(result, "readAt"):
            self.assertNotIn(SECRET, await result.readAt(0, 100))
            await result.close()
        elif hasattr(result, "nextPage"):
            shown = [entry.name for entry in await result.nextPage()]
            self.assertNotIn("secret", shown)
            await result.close()
        elif hasattr(result, "commit"):
            await result.writeAt(0, b"!")
            await result.commit()

    async def test_refused(self) -> None:
        """By default no link leads anywhere."""
        await self.assertFenced()

    async def test_refusedByWorkers(self) -> None:
        """The walk is as strict as the kernel."""
        await self.assertFenced(inPlace=False)

    async def test_withinRoot(self) -> None:
        """Where links are followed, the root is the top of the world."""
        await self.assertFenced(links="within-root")

    async def test_withinRootByWorkers(self) -> None:
        """There too, on both ways."""
        await self.assertFenced(links="within-root", inPlace=False)

    async def test_stagingIsReserved(self) -> None:
        """Our own folder is there for no client, in any spelling, at the root only."""
        fileSystem = self.makeFileSystem(links="within-root")
        await write(fileSystem, "mine", b"mine")
        handle = await fileSystem.openForWriting(at("p"), Disposition.REPLACE)
        await handle.writeAt(0, b"part")
        await handle.abort()
        self.assertIn(".filehub", os.listdir(self.inside))
        self.assertEqual(await names(fileSystem), ["mine", "p"])
        os.symlink(".filehub", self.inside / "link")
        for path in (at(".filehub"), at(".filehub/parts"), at(".FileHub"), at("link")):
            canonical = await fileSystem.resolve(path)
            for call in self.everything(fileSystem, canonical):
                try:
                    await call
                except FileHubError:
                    continue
                self.fail(f"could do something with {canonical}")
        await fileSystem.makeDirectory(at("d"))
        await write(fileSystem, "d/.filehub", b"just a name")
        self.assertEqual(await names(fileSystem, "d"), [".filehub"])


class RaceTests(Fenced):
    """A local attacker who swaps a directory for a link to the outside, all the time."""

    def swap(self, stop: threading.Event) -> None:
        inside = self.inside
        while not stop.is_set():
            os.rename(inside / "d", inside / "was")
            os.rename(inside / "l", inside / "d")
            os.rename(inside / "d", inside / "l")
            os.rename(inside / "was", inside / "d")

    async def assertFenced(self, **options: Any) -> None:
        (self.inside / "d").mkdir()
        (self.inside / "d/secret").write_bytes(b"mine")
        os.symlink("../outside", self.inside / "l")
        fileSystem = self.makeFileSystem(**options)
        stop = threading.Event()
        attacker = threading.Thread(target=self.swap, args=(stop,), daemon=True)
        attacker.start()
        outcomes = {"well": 0, "refused": 0}
        ends = time.monotonic() + 0.4
        try:
            while time.monotonic() < ends:
                for call in (
                    read(fileSystem, "d/secret"),
                    names(fileSystem, "d"),
                    write(fileSystem, "d/new", b"mine"),
                    fileSystem.removeFile(at("d/new")),
                    fileSystem.makeDirectory(at("d/folder/x")),
                    fileSystem.setAttributes(at("d/secret"), AttributeChanges(mode=0o666)),
                ):
                    try:
                        result = await call
                    except FileSystemError:
                        outcomes["refused"] += 1
                    else:
                        self.assertNotEqual(result, SECRET)
                        if isinstance(result, list):
                            self.assertNotIn("folder", result)
                        outcomes["well"] += 1
        finally:
            stop.set()
            attacker.join(10)
        self.assertOutsideUntouched()
        self.assertEqual((self.outside / "secret").stat().st_mode & 0o777, self.mode)
        # Both must have happened, or there was no race.
        self.assertGreater(outcomes["well"], 0)
        self.assertGreater(outcomes["refused"], 0)

    def setUp(self) -> None:
        super().setUp()
        self.mode = (self.outside / "secret").stat().st_mode & 0o777

    async def test_race(self) -> None:
        """The outside is never reached, on the calling thread."""
        await self.assertFenced()

    async def test_raceByWorkers(self) -> None:
        """Nor by the walk."""
        await self.assertFenced(inPlace=False)


class SpecialFileTests(Fenced):
    """What is neither file nor directory."""

    async def test_neverOpened(self) -> None:
        """FIFOs, devices and sockets are refused at once and left alone."""
        os.mkfifo(self.inside / "fifo")
        os.mknod(self.inside / "socket", 0o140600)
        special = ["fifo", "socket"]
        try:
            os.mknod(self.inside / "zero", 0o20666, os.makedev(1, 5))
            special.append("zero")
        except PermissionError:
            pass  # only root makes devices
        for quick in (True, False):
            fileSystem = self.makeFileSystem(inPlace=quick)
            began = time.monotonic()
            for name in special:
                for call in (
                    fileSystem.openForReading(at(name)),
                    fileSystem.openForWriting(at(name), Disposition.REPLACE),
                    fileSystem.openForWriting(at(name), Disposition.APPEND),
                    IRandomAccess(fileSystem).openForUpdate(at(name), 1),
                    IServerSideCopy(fileSystem).copy(at(name), at("x"), replace=True),
                    IChecksums(fileSystem).digest(at(name), "md5"),
                ):
                    try:
                        await call
                    except NotARegularFile as error:
                        self.assertEqual(str(error), f"/{name}: not a regular file")
                    else:
                        self.fail(f"{name} was opened")
                self.assertEqual((await fileSystem.stat(at(name))).type.value, "other")
            self.assertLess(time.monotonic() - began, 5)
            self.assertEqual(sorted(await entries(fileSystem)), sorted(special))
        for name in special:
            await fileSystem.removeFile(at(name))


class WalkTests(SynchronousTestCase):
    """What the walk says of what it meets."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        (self.folder / "d").mkdir(parents=True)
        (self.folder / "f").write_bytes(b"")
        os.symlink("d", self.folder / "l")
        self.root = _openat.openRoot(str(self.folder))
        self.addCleanup(os.close, self.root)

    def test_linksAndFiles(self) -> None:
        """A link in the way is told from a file in the way."""
        for name, code in ((b"l", errno.ELOOP), (b"f", errno.ENOTDIR), (b"no", errno.ENOENT)):
            with self.assertRaises(OSError) as caught:
                _openat.openDirectory(self.root, (name,))
            self.assertEqual(caught.exception.errno, code)

    def test_renameFallback(self) -> None:
        """Without renameat2, nothing is replaced either."""
        self.patch(_openat, "renameWithoutReplacing", lambda *args, **kwargs: False)
        (self.folder / "g").write_bytes(b"g")
        (self.folder / "e").mkdir()
        for source, target in ((b"f", b"g"), (b"f", b"d"), (b"e", b"d"), (b"l", b"g")):
            with self.assertRaises(FileExistsError):
                _openat.rename(self.root, (source,), (target,), False)
        _openat.rename(self.root, (b"f",), (b"h",), False)
        _openat.rename(self.root, (b"e",), (b"i",), False)
        _openat.rename(self.root, (b"l",), (b"m",), False)
        self.assertEqual(sorted(os.listdir(self.folder)), ["d", "g", "h", "i", "m"])
        self.assertEqual(os.readlink(self.folder / "m"), "d")

    def test_exactModes(self) -> None:
        """The umask has no say, and a directory keeps the group bit of its parent."""
        before = os.umask(0o077)
        self.addCleanup(os.umask, before)
        os.chmod(self.folder / "d", 0o2755)
        _openat.makeDirectory(self.root, (b"n",), 0o755)
        _openat.makeDirectory(self.root, (b"d", b"n"), 0o775)
        self.assertEqual((self.folder / "n").stat().st_mode & 0o7777, 0o755)
        self.assertEqual((self.folder / "d/n").stat().st_mode & 0o7777, 0o2775)

    def test_modeWithoutProc(self) -> None:
        """Modes are set in a place without C{/proc} too."""
        real = os.chmod

        def chmod(path: Any, mode: int, **more: Any) -> None:
            if str(path).startswith("/proc"):
                raise FileNotFoundError(errno.ENOENT, "no such thing")
            real(path, mode, **more)

        self.patch(os, "chmod", chmod)
        _openat.setAttributes(self.root, (b"f",), 0o604, (None, None))
        self.assertEqual((self.folder / "f").stat().st_mode & 0o7777, 0o604)


class CachedOpenTests(SynchronousTestCase):
    """The kernel's own walk."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        (self.folder / "d").mkdir(parents=True)
        (self.folder / "d/f").write_bytes(b"content")
        os.symlink("d", self.folder / "l")
        self.root = _openat.openRoot(str(self.folder))
        self.addCleanup(os.close, self.root)
        if not _syscalls.cachedOpenWorks(self.root):
            raise self.skipTest("this kernel has no RESOLVE_CACHED")

    def test_answers(self) -> None:
        """It opens what is cached and refuses what is not a plain way down."""
        (self.folder / "d/f").read_bytes()
        opened = _syscalls.CachedOpen(os.O_RDONLY)
        descriptor = opened(self.root, b"d/f")
        self.assertGreaterEqual(descriptor, 0)
        self.assertEqual(os.read(descriptor, 10), b"content")
        self.assertFalse(os.get_inheritable(descriptor))
        os.close(descriptor)
        for path in (b"l/f", b"l", b"../x", b"d/../../x", b"/etc/passwd", b"x" * 5000):
            self.assertLess(opened(self.root, path), 0, path)

    def test_missing(self) -> None:
        """Once the kernel knows that a name is free, it says so."""
        self.assertFalse((self.folder / "d/no").exists())
        opened = _syscalls.CachedOpen(os.O_RDONLY)
        self.assertIn(opened(self.root, b"d/no"), (_openat.MISSING, -errno.EAGAIN))

    def test_kernelsWithoutIt(self) -> None:
        """A kernel or filter that refuses the call costs speed, not service."""
        self.patch(_syscalls, "_SYS_OPENAT2", 1 << 20)
        self.assertFalse(_syscalls.cachedOpenWorks(self.root))
        tree = LocalTree(self.folder, ImmediateWorkers())
        self.addCleanup(tree.root.close, small=True)
        self.assertFalse(tree.inPlace.cached)
        done: list[Any] = []
        from twisted.internet.defer import Deferred

        Deferred.fromCoroutine(read(tree.viewFor("a"), "d/f")).addBoth(done.append)
        self.assertEqual(done, [b"content"])


class MeaningTests(SynchronousTestCase):
    """The table of the system's refusals."""

    def test_meanings(self) -> None:
        """Each errno that an operator meets has a meaning of its own."""
        for code, expected in (
            (errno.ENOENT, errors.NotFound),
            (errno.EEXIST, errors.AlreadyExists),
            (errno.ENOTDIR, errors.NotADirectory),
            (errno.EISDIR, errors.IsADirectory),
            (errno.ENOTEMPTY, errors.DirectoryNotEmpty),
            (errno.ENAMETOOLONG, errors.InvalidName),
            (errno.EXDEV, errors.CrossDevice),
            (errno.EACCES, errors.PermissionDenied),
            (errno.EPERM, errors.PermissionDenied),
            (errno.EROFS, errors.PermissionDenied),
            (errno.ELOOP, errors.TooManyLinks),
            (errno.ETXTBSY, errors.Busy),
            (errno.ENOSPC, errors.NoSpace),
            (errno.EDQUOT, errors.QuotaExceeded),
            (errno.EFBIG, errors.FileTooLarge),
            (errno.EOPNOTSUPP, errors.OperationNotSupported),
            (errno.ENXIO, errors.NotARegularFile),
            (errno.EIO, errors.StorageUnavailable),
            (errno.ESTALE, errors.StorageUnavailable),
            (errno.EMFILE, errors.StorageUnavailable),
            (errno.ENOMEM, errors.StorageUnavailable),
        ):
            path = ROOT.child("f")
            error = errorFor(OSError(code, "the system's words", "/srv/secret"), path)
            self.assertIs(type(error), expected, errno.errorcode[code])
            self.assertEqual(str(error), f"/f: {expected.summary}")

    def test_linksAreNotFollowed(self) -> None:
        """The word for a link in the way says what it is about."""
        self.assertIn("link", TooManyLinks.summary)
