"""
The contracts of the optional capabilities.
"""

import hashlib
import zlib

from zope.interface.verify import verifyObject

from filehub.attributes import AttributeChanges, Disposition, FileType
from filehub.errors import (
    AlreadyExists,
    InvalidName,
    IsADirectory,
    NotFound,
    OperationNotSupported,
    TooManyLinks,
)
from filehub.interfaces import (
    ICaseFolding,
    IChecksums,
    IRandomAccess,
    IServerSideCopy,
    ISpaceUsage,
    ISymbolicLinks,
)
from filehub.views import ICreationMask
from tests.contract.support import ContractCase, at, breakOff, entries, names, read, write


class LinkContract(ContractCase):
    """Symbolic links, and that nothing but C{resolve} follows them."""

    async def test_links(self) -> None:
        """A link is an entry of its own; C{readLink} gives back its text."""
        fileSystem = self.makeFileSystem(links="within-root")
        links = ISymbolicLinks(fileSystem)
        verifyObject(ISymbolicLinks, links, tentative=True)
        for name, text in (("l", "f"), ("m", "/d/e"), ("n", "../x/\udcff"), ("o", "no")):
            await links.makeLink(at(name), text)
            self.assertEqual(await links.readLink(at(name)), text)
            self.assertEqual((await fileSystem.stat(at(name))).type, FileType.SYMLINK)
            entry = (await entries(fileSystem))[name]
            self.assertEqual(entry.attributes.type, FileType.SYMLINK)
            self.assertEqual(entry.linkTarget, text)
        await fileSystem.rename(at("l"), at("k"), replace=False)
        self.assertEqual(await links.readLink(at("k")), "f")
        await fileSystem.removeFile(at("k"))
        self.assertEqual(await names(fileSystem), ["m", "n", "o"])

    async def test_refusals(self) -> None:
        """Files and missing names are no links; taken and empty ones are not made."""
        fileSystem = self.makeFileSystem(links="within-root")
        links = ISymbolicLinks(fileSystem)
        await write(fileSystem, "f", b"")
        for path in (at("f"), at("no"), at("/")):
            await self.assertRaisesLater(NotFound, links.readLink(path))
        await self.assertRaisesLater(AlreadyExists, links.makeLink(at("f"), "x"))
        await self.assertRaisesLater(AlreadyExists, links.makeLink(at("/"), "x"))
        await self.assertRaisesLater(InvalidName, links.makeLink(at("g"), ""))
        await self.assertRaisesLater(InvalidName, links.makeLink(at("g"), "a\0b"))

    async def test_resolve(self) -> None:
        """Links lead where they say, with the tree's root as the top of the world."""
        fileSystem = self.makeFileSystem(links="within-root")
        links = ISymbolicLinks(fileSystem)
        await fileSystem.makeDirectory(at("d"))
        await fileSystem.makeDirectory(at("d/e"))
        await write(fileSystem, "d/e/f", b"found")
        for name, text in (
            ("relative", "d/e"),
            ("absolute", "/d/e"),
            ("dotted", "./d//./e/../e/"),
            ("escaping", "../../../d/e"),
            ("twice", "relative"),
            ("d/up", "../d/e"),
            ("file", "d/e/f"),
            ("dangling", "d/no/such"),
            ("d/e/root", "/"),
        ):
            await links.makeLink(at(name), text)
        for text, expected in (
            ("relative/f", "d/e/f"),
            ("absolute/f", "d/e/f"),
            ("dotted/f", "d/e/f"),
            ("escaping/f", "d/e/f"),
            ("twice/f", "d/e/f"),
            ("d/up/f", "d/e/f"),
            ("file", "d/e/f"),
            ("file/x", "d/e/f/x"),
            ("dangling", "d/no/such"),
            ("dangling/deeper", "d/no/such/deeper"),
            ("relative/root/relative/root/file", "d/e/f"),
            ("relative/new", "d/e/new"),
            ("relative", "d/e"),
        ):
            self.assertEqual(await fileSystem.resolve(at(text)), at(expected), text)

    async def test_resolveKeepsTheFinalLink(self) -> None:
        """On request, the last name is left as it is."""
        fileSystem = self.makeFileSystem(links="within-root")
        links = ISymbolicLinks(fileSystem)
        await fileSystem.makeDirectory(at("d"))
        await links.makeLink(at("l"), "d")
        await links.makeLink(at("d/m"), "/l")
        for text, expected in (("l", "l"), ("l/m", "d/m"), ("l/m/m", "d/m")):
            self.assertEqual(await fileSystem.resolve(at(text), followFinal=False), at(expected))

    async def test_loops(self) -> None:
        """A loop is an error, soon."""
        fileSystem = self.makeFileSystem(links="within-root")
        links = ISymbolicLinks(fileSystem)
        await links.makeLink(at("a"), "b")
        await links.makeLink(at("b"), "a")
        await links.makeLink(at("c"), "c/c/c")
        for name in ("a", "b/x", "c"):
            await self.assertRaisesLater(TooManyLinks, fileSystem.resolve(at(name)))

    async def test_nothingElseFollows(self) -> None:
        """No other verb follows a link, in the middle or at the end of a path."""
        for policy in ("within-root", "refuse"):
            storage = self.makeStorage(links="within-root")
            self.relink(storage, policy)
            fileSystem = storage.viewFor("alice")
            await fileSystem.makeDirectory(at("d"))
            await write(fileSystem, "d/f", b"untouched")
            await write(fileSystem, "g", b"g")
            self.relink(storage, "within-root")
            await ISymbolicLinks(fileSystem).makeLink(at("dl"), "d")
            await ISymbolicLinks(fileSystem).makeLink(at("fl"), "d/f")
            self.relink(storage, policy)
            changes = AttributeChanges(mode=0o600)
            for call in (
                fileSystem.stat(at("dl/f")),
                fileSystem.openDirectory(at("dl")),
                fileSystem.openDirectory(at("dl/x")),
                fileSystem.makeDirectory(at("dl/x")),
                fileSystem.removeDirectory(at("dl/x")),
                fileSystem.removeFile(at("dl/f")),
                fileSystem.rename(at("dl/f"), at("x"), replace=True),
                fileSystem.rename(at("g"), at("dl/x"), replace=True),
                fileSystem.setAttributes(at("dl/f"), changes),
                fileSystem.openForReading(at("dl/f")),
                fileSystem.openForReading(at("fl")),
                fileSystem.openForWriting(at("dl/x"), Disposition.CREATE),
                fileSystem.openForWriting(at("dl/f"), Disposition.APPEND),
                fileSystem.openForWriting(at("fl"), Disposition.REPLACE),
                fileSystem.openForWriting(at("fl"), Disposition.APPEND),
                IRandomAccess(fileSystem).openForUpdate(at("fl"), 2),
                IServerSideCopy(fileSystem).copy(at("fl"), at("x"), replace=True),
                IServerSideCopy(fileSystem).copy(at("g"), at("dl/x"), replace=True),
                IChecksums(fileSystem).digest(at("fl"), "crc32"),
            ):
                await self.assertRaisesLater(TooManyLinks, call)
            await self.assertRaisesLater(
                OperationNotSupported, fileSystem.setAttributes(at("fl"), changes)
            )
            self.assertEqual(await names(fileSystem, "d"), ["f"])
            self.assertEqual(await read(fileSystem, "d/f"), b"untouched")
            self.assertEqual((await fileSystem.stat(at("fl"))).type, FileType.SYMLINK)

    def relink(self, storage: object, policy: str) -> None:
        """Change a tree's link policy in mid-air, which only a test may."""
        storage.links = policy  # type: ignore[attr-defined]

    async def test_refuse(self) -> None:
        """Where links are refused, nothing is told about them and none are made."""
        storage = self.makeStorage(links="within-root")
        fileSystem = storage.viewFor("alice")
        await ISymbolicLinks(fileSystem).makeLink(at("l"), "secret")
        self.relink(storage, "refuse")
        self.assertEqual(await fileSystem.resolve(at("l/x")), at("l/x"))
        self.assertIsNone((await entries(fileSystem))["l"].linkTarget)
        await self.assertRaisesLater(NotFound, ISymbolicLinks(fileSystem).readLink(at("l")))
        await self.assertRaisesLater(
            OperationNotSupported, ISymbolicLinks(fileSystem).makeLink(at("m"), "x")
        )
        await fileSystem.removeFile(at("l"))


class CapabilityContract(ContractCase):
    """Space, copies, checksums and permission bits."""

    async def test_masked(self) -> None:
        """A masked view withholds bits of what is new, and of nothing else."""
        fileSystem = self.makeFileSystem()
        masked = ICreationMask(fileSystem).masked(0o077)
        await write(fileSystem, "old", b"old")
        before = (await fileSystem.stat(at("old"))).mode
        await write(masked, "new", b"new")
        await write(masked, "old", b"newer")
        await masked.makeDirectory(at("d"))
        await write(masked, "continued", b"1", Disposition.APPEND)
        await IServerSideCopy(masked).copy(at("new"), at("copied"), replace=False)
        for name in ("new", "d", "continued", "copied"):
            mode = (await fileSystem.stat(at(name))).mode
            assert mode is not None
            self.assertEqual(mode & 0o077, 0, name)
            self.assertEqual(mode & 0o600, 0o600, name)
        self.assertEqual((await masked.stat(at("old"))).mode, before)
        self.assertEqual(await read(masked, "old"), b"newer")
        await write(fileSystem, "usual", b"")
        self.assertEqual((await fileSystem.stat(at("usual"))).mode, before)

    async def test_space(self) -> None:
        """There is room, also where the path does not exist yet."""
        fileSystem = self.makeFileSystem()
        await write(fileSystem, "f", b"")
        usage = ISpaceUsage(fileSystem)
        verifyObject(ISpaceUsage, usage, tentative=True)
        for text in ("/", "f", "new"):
            room = await usage.space(at(text))
            self.assertGreater(room.free, 0)
            if room.total is not None:
                self.assertGreaterEqual(room.total, room.free)

    async def test_copy(self) -> None:
        """A copy is a file of its own."""
        fileSystem = self.makeFileSystem()
        copies = IServerSideCopy(fileSystem)
        verifyObject(IServerSideCopy, copies, tentative=True)
        content = bytes(range(256)) * 5000
        await write(fileSystem, "f", content)
        await write(fileSystem, "empty", b"")
        await copies.copy(at("f"), at("g"), replace=False)
        self.assertEqual(await read(fileSystem, "g"), content)
        await self.assertRaisesLater(
            AlreadyExists, copies.copy(at("empty"), at("g"), replace=False)
        )
        await copies.copy(at("empty"), at("g"), replace=True)
        self.assertEqual(await read(fileSystem, "g"), b"")
        self.assertEqual(await read(fileSystem, "f"), content)
        self.assertEqual(await names(fileSystem), ["empty", "f", "g"])

    async def test_copyRefusals(self) -> None:
        """Only files that are published can be copied, and not onto directories."""
        fileSystem = self.makeFileSystem()
        copies = IServerSideCopy(fileSystem)
        await fileSystem.makeDirectory(at("d"))
        await write(fileSystem, "f", b"f")
        await breakOff(fileSystem, "p", b"part")
        for expected, source, target in (
            (IsADirectory, "d", "x"),
            (NotFound, "no", "x"),
            (NotFound, "p", "x"),
            (NotFound, "f", "no/x"),
            (IsADirectory, "f", "d"),
        ):
            await self.assertRaisesLater(
                expected, copies.copy(at(source), at(target), replace=True)
            )
        self.assertEqual(await names(fileSystem), ["d", "f", "p"])

    async def test_digest(self) -> None:
        """Digests of whole files and of ranges, by known algorithms."""
        fileSystem = self.makeFileSystem()
        sums = IChecksums(fileSystem)
        verifyObject(IChecksums, sums, tentative=True)
        content = bytes(range(256)) * 50_000
        await write(fileSystem, "f", content)
        for algorithm in ("md5", "sha1", "sha256", "sha512", "blake2b"):
            expected = hashlib.new(algorithm, content).digest()
            self.assertEqual(await sums.digest(at("f"), algorithm), expected)
        self.assertEqual(
            await sums.digest(at("f"), "crc32"), zlib.crc32(content).to_bytes(4, "big")
        )
        for offset, length in ((5, 10), (5, None), (0, 0), (len(content), 5), (3, 10**9)):
            piece = content[offset : None if length is None else offset + length]
            self.assertEqual(
                await sums.digest(at("f"), "sha256", offset, length),
                hashlib.sha256(piece).digest(),
            )

    async def test_digestRefusals(self) -> None:
        """Unknown algorithms, those without a size, and what is no file."""
        fileSystem = self.makeFileSystem()
        sums = IChecksums(fileSystem)
        await write(fileSystem, "f", b"f")
        for algorithm in ("rot13", "", "shake_128", "no\0ne"):
            await self.assertRaisesLater(OperationNotSupported, sums.digest(at("f"), algorithm))
        await self.assertRaisesLater(NotFound, sums.digest(at("no"), "md5"))
        await self.assertRaisesLater(IsADirectory, sums.digest(at("/"), "md5"))

    async def test_foldCase(self) -> None:
        """Names in another case are found: the exact one first, else always the same."""
        fileSystem = self.makeFileSystem()
        folding = ICaseFolding(fileSystem)
        verifyObject(ICaseFolding, folding, tentative=True)
        for name in ("d", "D", "d/Sub"):
            await fileSystem.makeDirectory(at(name))
        for name in ("d/Sub/f.TXT", "D/x", "\u00c4", "B", "b"):
            await write(fileSystem, name, b"")
        for asked, found in (
            ("b", "b"), ("B", "B"), ("D/SUB/F.txt", "d/Sub/f.TXT"), ("d/X", "D/x"),
            ("d/sub", "d/Sub"), ("\u00e4", "\u00c4"), ("/", "/"),
        ):  # fmt: skip
            self.assertEqual(await folding.foldCase(at(asked)), at(found), asked)
        for asked in ("no", "d/sub/no", "d/no/f.txt", "b/x", "d/sub/f.txt/x"):
            await self.assertRaisesLater(NotFound, folding.foldCase(at(asked)))

    async def test_foldCaseAtLinks(self) -> None:
        """What is behind a link is given back as it was asked for, for who may follow."""
        fileSystem = self.makeFileSystem(links="within-root")
        await fileSystem.makeDirectory(at("d"))
        await write(fileSystem, "d/f", b"")
        await ISymbolicLinks(fileSystem).makeLink(at("Link"), "d")
        folding = ICaseFolding(fileSystem)
        self.assertEqual(await folding.foldCase(at("LINK/F")), at("Link/F"))
        await self.assertRaisesLater(TooManyLinks, folding.foldCase(at("Link/F")))
