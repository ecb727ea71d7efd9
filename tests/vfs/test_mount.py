"""
Several trees in one.
"""

from typing import Any

from twisted.trial.unittest import TestCase
from zope.interface import implementer

from filehub.attributes import AttributeChanges, Disposition, FileType
from filehub.errors import (
    AlreadyExists,
    CrossDevice,
    DirectoryNotEmpty,
    IsADirectory,
    NotADirectory,
    NotFound,
    OperationNotSupported,
    PermissionDenied,
    StorageUnavailable,
    TooManyLinks,
)
from filehub.interfaces import (
    IChecksums,
    IFileSystem,
    IRandomAccess,
    IServerSideCopy,
    ISpaceUsage,
    IStorage,
    ISymbolicLinks,
)
from filehub.paths import ROOT, VirtualPath
from filehub.vfs.forwarding import ForwardingFileSystem
from filehub.vfs.memory import MemoryTree
from filehub.vfs.mount import MountTable, mounted
from filehub.vfs.readonly import ReadOnlyFileSystem
from tests.contract.capabilities import CapabilityContract, LinkContract
from tests.contract.filesystem import FileSystemContract, ReadingContract
from tests.contract.support import ContractCase, at, entries, names, read, write
from tests.contract.uploads import PartialContract, UpdateContract, WritingContract

REPLACE = Disposition.REPLACE


@implementer(IStorage)
class _Wrapped:
    """A storage whose views are wrapped."""

    def __init__(self, tree: MemoryTree, wrap: Any) -> None:
        self.tree = tree
        self.wrap = wrap

    @property
    def links(self) -> str:
        return self.tree.links

    @links.setter
    def links(self, policy: str) -> None:
        self.tree.links = policy  # type: ignore[assignment]

    def viewFor(self, owner: str) -> IFileSystem:
        return self.wrap(self.tree.viewFor(owner))  # type: ignore[no-any-return]

    async def sweep(self) -> None:
        await self.tree.sweep()

    async def close(self) -> None:
        await self.tree.close()


def _table(fileSystem: IFileSystem) -> IFileSystem:
    return MountTable({ROOT: fileSystem})


class AtTheRoot(ContractCase):
    """One mount, at the root."""

    def makeStorage(self, **options: Any) -> IStorage:
        return _Wrapped(MemoryTree(**options), _table)


class Forwarded(ContractCase):
    """Through the base of file systems that change a little."""

    def makeStorage(self, **options: Any) -> IStorage:
        return _Wrapped(MemoryTree(**options), ForwardingFileSystem)


def _makeCases() -> None:
    for way in (AtTheRoot, Forwarded):
        for contract in (
            FileSystemContract,
            ReadingContract,
            WritingContract,
            PartialContract,
            UpdateContract,
            LinkContract,
            CapabilityContract,
        ):
            name = f"{contract.__name__.removesuffix('Contract')}{way.__name__}Tests"
            members = {"__doc__": f"{contract.__doc__} {way.__doc__}", "__module__": __name__}
            globals()[name] = type(name, (way, contract, TestCase), members)


_makeCases()


class MountCase(ContractCase):
    """A table of memory trees."""

    def makeTrees(self, *points: str, **options: Any) -> MountTable:
        self.trees = {point: MemoryTree(**options) for point in points}
        return MountTable({at(point): tree.viewFor("a") for point, tree in self.trees.items()})


class MountTests(MountCase, TestCase):
    """Which mount a path belongs to, and what is between them."""

    async def test_longestPointWins(self) -> None:
        """The deepest mount above a path has it; siblings with like names do not."""
        table = self.makeTrees("/", "/a", "/a/b/c")
        for path in ("x", "a/x", "a/b", "a/bc", "a/b/c/x", "ab"):
            if path == "a/b":
                await table.makeDirectory(at("a/bb"))
                continue
            await write(table, path, path.encode())
        self.assertEqual(self.trees["/"].content("/x"), b"x")
        self.assertEqual(self.trees["/"].content("/ab"), b"ab")
        self.assertEqual(self.trees["/a"].content("/x"), b"a/x")
        self.assertEqual(self.trees["/a"].content("/bc"), b"a/bc")
        self.assertEqual(self.trees["/a/b/c"].content("/x"), b"a/b/c/x")

    async def test_listings(self) -> None:
        """Mount points are shown in the directories that they are in, once."""
        table = self.makeTrees("/", "/pub", "/a/b")
        self.trees["/"].putFile("/pub/hidden", b"hidden by the mount")
        self.trees["/"].putFile("/file", b"")
        self.trees["/pub"].putFile("/shown", b"")
        self.assertEqual(await names(table), ["a", "file", "pub"])
        self.assertEqual(await names(table, "pub"), ["shown"])
        self.assertEqual(await names(table, "a"), ["b"])
        self.assertEqual(await names(table, "a/b"), [])
        for name, entry in (await entries(table)).items():
            self.assertEqual(entry.attributes.isDirectory, name != "file")
            self.assertEqual(entry.attributes, await table.stat(at(name)))

    async def test_manyEntriesBesides(self) -> None:
        """The rest of such a directory still comes in pages; a hidden page is no end."""
        table = self.makeTrees("/", "/000")
        for number in range(1100):
            self.trees["/"].putFile(f"/{number:03}", b"")
        found = await entries(table)
        self.assertEqual(len(found), 1100)
        self.assertTrue(found["000"].attributes.isDirectory)

    async def test_onTheWay(self) -> None:
        """Directories on the way to a mount can be listed, and nothing else."""
        table = self.makeTrees("/a/b", "/a/c")
        self.assertEqual(await names(table), ["a"])
        self.assertEqual(await names(table, "a"), ["b", "c"])
        for path in (ROOT, at("a")):
            known = await table.stat(path)
            self.assertEqual((known.type, known.mode), (FileType.DIRECTORY, 0o555))
            self.assertEqual(await table.resolve(path), path)
        await write(table, "a/b/f", b"f")
        for expected, call in (
            (PermissionDenied, table.makeDirectory(at("new"))),
            (PermissionDenied, table.makeDirectory(at("a/new"))),
            (PermissionDenied, table.openForWriting(at("a/new"), REPLACE)),
            (PermissionDenied, table.rename(at("a/b/f"), at("a/f"), replace=True)),
            (PermissionDenied, table.removeDirectory(at("a"))),
            (PermissionDenied, table.removeDirectory(ROOT)),
            (PermissionDenied, table.rename(at("a"), at("d"), replace=True)),
            (AlreadyExists, table.makeDirectory(at("a"))),
            (AlreadyExists, table.makeDirectory(ROOT)),
            (IsADirectory, table.openForReading(at("a"))),
            (IsADirectory, table.openForWriting(at("a"), REPLACE)),
            (IsADirectory, table.removeFile(at("a"))),
            (PermissionDenied, table.setAttributes(at("a"), AttributeChanges(mode=0o777))),
            (NotFound, table.stat(at("no"))),
            (NotFound, table.openDirectory(at("no"))),
            (NotFound, table.openForReading(at("no"))),
            (NotFound, table.removeFile(at("no"))),
            (NotFound, table.makeDirectory(at("no/new"))),
        ):
            await self.assertRaisesLater(expected, call)

    async def test_mountPointsAreFixed(self) -> None:
        """What is mounted cannot be removed, renamed, replaced or opened as a file."""
        table = self.makeTrees("/", "/m", "/d/n")
        await write(table, "f", b"f")
        self.trees["/"].putFile("/d/x", b"")
        for path in (at("m"), at("d/n"), at("d"), ROOT):
            for expected, call in (
                (PermissionDenied, table.removeDirectory(path)),
                (PermissionDenied, table.rename(path, at("new"), replace=True)),
                (
                    AlreadyExists if path.segments else PermissionDenied,
                    table.rename(at("f"), path, replace=True),
                ),
                (AlreadyExists, table.makeDirectory(path)),
                (IsADirectory, table.removeFile(path)),
                (IsADirectory, table.openForReading(path)),
                (IsADirectory, table.openForWriting(path, REPLACE)),
                (IsADirectory, IRandomAccess(table).openForUpdate(path, 0)),
                (IsADirectory, IServerSideCopy(table).copy(at("f"), path, replace=True)),
                (AlreadyExists, ISymbolicLinks(table).makeLink(path, "f")),
            ):
                await self.assertRaisesLater(expected, call)
        self.assertEqual(await names(table), ["d", "f", "m"])

    async def test_acrossMounts(self) -> None:
        """Nothing moves or is copied from one mount to another by itself."""
        table = self.makeTrees("/", "/m")
        await write(table, "f", b"f")
        await self.assertRaisesLater(CrossDevice, table.rename(at("f"), at("m/f"), replace=True))
        await self.assertRaisesLater(
            CrossDevice, IServerSideCopy(table).copy(at("f"), at("m/f"), replace=True)
        )
        await table.rename(at("f"), at("g"), replace=False)
        await write(table, "m/f", b"f")
        await table.rename(at("m/f"), at("m/g"), replace=False)
        self.assertEqual(await names(table, "m"), ["g"])

    async def test_errorsNameTheWholePath(self) -> None:
        """A mount knows its own paths only; errors name those that the client used."""
        table = self.makeTrees("/", "/m")
        await table.makeDirectory(at("m/d"))
        await write(table, "m/d/f", b"")
        for expected, path, call in (
            (NotFound, "m/no", table.stat(at("m/no"))),
            (NotADirectory, "m/d/f", table.openDirectory(at("m/d/f"))),
            (DirectoryNotEmpty, "m/d", table.removeDirectory(at("m/d"))),
            (NotFound, "no", table.stat(at("no"))),
        ):
            error = await self.assertRaisesLater(expected, call)
            self.assertEqual(error.path, at(path))

    async def test_links(self) -> None:
        """Links lead within their mount, and from there into what is mounted inside."""
        table = self.makeTrees("/", "/d/m", "/n", links="within-root")
        links = ISymbolicLinks(table)
        self.trees["/"].putDirectory("/d")
        await write(table, "d/m/f", b"mounted")
        await links.makeLink(at("l"), "d")
        await links.makeLink(at("n/l"), "/f")
        await links.makeLink(at("d/m/up"), "../../f")
        await write(table, "n/f", b"n")
        self.assertEqual(await table.resolve(at("l/m/f")), at("d/m/f"))
        self.assertEqual(await table.resolve(at("n/l")), at("n/f"))
        self.assertEqual(await table.resolve(at("d/m/up")), at("d/m/f"))
        self.assertEqual(await table.resolve(at("l"), followFinal=False), at("l"))
        self.assertEqual(await links.readLink(at("n/l")), "/f")
        await links.makeLink(at("loop"), "loop")
        error = await self.assertRaisesLater(TooManyLinks, table.resolve(at("loop")))
        self.assertEqual(error.path, at("loop"))

    async def test_capabilities(self) -> None:
        """There if any mount has them; elsewhere they say that they are not."""
        plain = MemoryTree()
        plain.putFile("/f", b"f")
        rich = MemoryTree(links="within-root")
        rich.putFile("/f", b"f")
        table = MountTable({ROOT: _Plain(plain.viewFor("a")), at("m"): rich.viewFor("a")})
        self.assertEqual(len(await IChecksums(table).digest(at("m/f"), "md5")), 16)
        self.assertGreater((await ISpaceUsage(table).space(at("m"))).free, 0)
        for call in (
            IChecksums(table).digest(at("f"), "md5"),
            ISpaceUsage(table).space(at("f")),
            IRandomAccess(table).openForUpdate(at("f"), 1),
            IServerSideCopy(table).copy(at("f"), at("g"), replace=True),
            ISymbolicLinks(table).makeLink(at("l"), "f"),
            ISymbolicLinks(table).readLink(at("f")),
        ):
            await self.assertRaisesLater(OperationNotSupported, call)
        none = MountTable({ROOT: _Plain(plain.viewFor("a"))})
        for capability in (IChecksums, ISpaceUsage, IRandomAccess, IServerSideCopy):
            self.assertIsNone(capability(none, None))
        self.assertIs(IFileSystem(none), none)

    async def test_troubleBelow(self) -> None:
        """A mount in trouble does not cost the listing of the directory that it is in."""
        good = MemoryTree()
        good.putFile("/f", b"")
        table = MountTable({ROOT: good.viewFor("a"), at("bad"): _Broken(good.viewFor("a"))})
        self.assertEqual(await names(table), ["bad", "f"])
        await self.assertRaisesLater(StorageUnavailable, table.stat(at("bad")))

    def test_oneAtTheRoot(self) -> None:
        """A single mount at the root needs no table at all."""
        fileSystem = MemoryTree().viewFor("a")
        self.assertIs(mounted({ROOT: fileSystem}), fileSystem)
        self.assertIsInstance(mounted({at("m"): fileSystem}), MountTable)

    async def test_nothing(self) -> None:
        """An empty table is an empty directory."""
        table = MountTable({})
        self.assertEqual(await names(table), [])
        await self.assertRaisesLater(NotFound, table.stat(at("f")))


class _Plain(ForwardingFileSystem):
    """Has no capabilities."""

    capabilities = ()


class _Broken(ForwardingFileSystem):
    """Is out of order."""

    async def stat(self, path: VirtualPath) -> Any:
        raise StorageUnavailable(path)


class ReadOnlyTests(ContractCase, TestCase):
    """Nothing can be changed."""

    async def test_readOnly(self) -> None:
        """Reading goes on, every change is denied, and nothing happened."""
        tree = MemoryTree(links="within-root")
        tree.putFile("/d/f", b"content")
        await ISymbolicLinks(tree.viewFor("a")).makeLink(at("l"), "d")
        fileSystem = ReadOnlyFileSystem(tree.viewFor("a"))
        self.assertEqual(await read(fileSystem, "d/f"), b"content")
        self.assertEqual(await names(fileSystem), ["d", "l"])
        self.assertEqual((await fileSystem.stat(at("d/f"))).size, 7)
        self.assertEqual(await fileSystem.resolve(at("l/f")), at("d/f"))
        self.assertEqual(await ISymbolicLinks(fileSystem).readLink(at("l")), "d")
        self.assertEqual(len(await IChecksums(fileSystem).digest(at("d/f"), "md5")), 16)
        self.assertGreater((await ISpaceUsage(fileSystem).space(ROOT)).free, 0)
        for call in (
            fileSystem.makeDirectory(at("x")),
            fileSystem.removeDirectory(at("d")),
            fileSystem.removeFile(at("d/f")),
            fileSystem.rename(at("d/f"), at("x"), replace=True),
            fileSystem.setAttributes(at("d/f"), AttributeChanges(mode=0o600)),
            *(fileSystem.openForWriting(at("x"), each) for each in Disposition),
            ISymbolicLinks(fileSystem).makeLink(at("x"), "d"),
            fileSystem.openForUpdate(at("d/f"), 1),
            fileSystem.copy(at("d/f"), at("x"), replace=True),
        ):
            error = await self.assertRaisesLater(PermissionDenied, call)
            self.assertIn("read-only", str(error))
        self.assertIsNone(IRandomAccess(fileSystem, None))
        self.assertIsNone(IServerSideCopy(fileSystem, None))
        self.assertEqual(await names(tree.viewFor("a")), ["d", "l"])
