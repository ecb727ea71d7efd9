"""
The contract of L{IFileSystem}: names, attributes, directories, reading and writing.
"""

import stat

from zope.interface.verify import verifyObject

from filehub.attributes import AttributeChanges, Disposition, FileType
from filehub.errors import (
    AlreadyExists,
    DirectoryNotEmpty,
    FileHubError,
    InvalidName,
    IsADirectory,
    NotADirectory,
    NotFound,
    PermissionDenied,
)
from filehub.interfaces import IDirectoryHandle, IFileSystem, IReadHandle, IStorage, IWriteHandle
from filehub.paths import ROOT, decodeName
from tests.contract.support import ContractCase, at, entries, names, read, write

CREATE, REPLACE, APPEND = Disposition.CREATE, Disposition.REPLACE, Disposition.APPEND


class FileSystemContract(ContractCase):
    """Names, attributes and directories."""

    async def test_interfaces(self) -> None:
        """Everything that is handed out provides what it says."""
        storage = self.makeStorage()
        verifyObject(IStorage, storage)
        fileSystem = storage.viewFor("alice")
        verifyObject(IFileSystem, fileSystem)
        writer = await fileSystem.openForWriting(at("f"), CREATE)
        verifyObject(IWriteHandle, writer)
        await writer.commit()
        reader = await fileSystem.openForReading(at("f"))
        verifyObject(IReadHandle, reader)
        await reader.close()
        directory = await fileSystem.openDirectory(ROOT)
        verifyObject(IDirectoryHandle, directory)
        await directory.close()

    async def test_rootIsThere(self) -> None:
        """An empty tree is an empty directory."""
        fileSystem = self.makeFileSystem()
        self.assertTrue((await fileSystem.stat(ROOT)).isDirectory)
        self.assertEqual(await names(fileSystem), [])
        self.assertEqual(await fileSystem.resolve(ROOT), ROOT)

    async def test_rootIsFixed(self) -> None:
        """The root cannot be made, removed, renamed, replaced or opened as a file."""
        fileSystem = self.makeFileSystem()
        await write(fileSystem, "f", b"f")
        for expected, call in (
            (AlreadyExists, fileSystem.makeDirectory(ROOT)),
            (PermissionDenied, fileSystem.removeDirectory(ROOT)),
            (IsADirectory, fileSystem.removeFile(ROOT)),
            (PermissionDenied, fileSystem.rename(ROOT, at("new"), replace=True)),
            (PermissionDenied, fileSystem.rename(at("f"), ROOT, replace=True)),
            (IsADirectory, fileSystem.openForReading(ROOT)),
            (IsADirectory, fileSystem.openForWriting(ROOT, REPLACE)),
        ):
            await self.assertRaisesLater(expected, call)
        self.assertEqual(await names(fileSystem), ["f"])

    async def test_missing(self) -> None:
        """What does not exist is not found, by any verb, and not made either."""
        fileSystem = self.makeFileSystem()
        for path in (at("no"), at("no/nor")):
            for call in (
                fileSystem.stat(path),
                fileSystem.openDirectory(path),
                fileSystem.removeDirectory(path),
                fileSystem.removeFile(path),
                fileSystem.rename(path, at("x"), replace=True),
                fileSystem.setAttributes(path, AttributeChanges(mode=0o600)),
                fileSystem.openForReading(path),
            ):
                error = await self.assertRaisesLater(NotFound, call)
                self.assertEqual(error.path, path)
                self.assertEqual(str(error), f"{path}: no such file or directory")
        for call in (
            fileSystem.makeDirectory(at("no/nor")),
            fileSystem.openForWriting(at("no/nor"), CREATE),
            fileSystem.openForWriting(at("no/nor"), REPLACE),
            fileSystem.openForWriting(at("no/nor"), APPEND),
        ):
            await self.assertRaisesLater(NotFound, call)
        self.assertEqual(await names(fileSystem), [])

    async def test_filesAreNoDirectories(self) -> None:
        """Nothing is below a file, and a file is no directory."""
        fileSystem = self.makeFileSystem()
        await write(fileSystem, "f", b"1")
        await write(fileSystem, "g", b"2")
        for call in (
            fileSystem.openDirectory(at("f")),
            fileSystem.removeDirectory(at("f")),
            fileSystem.stat(at("f/x")),
            fileSystem.openDirectory(at("f/x")),
            fileSystem.makeDirectory(at("f/x")),
            fileSystem.removeFile(at("f/x")),
            fileSystem.openForReading(at("f/x")),
            fileSystem.openForWriting(at("f/x"), CREATE),
            fileSystem.rename(at("g"), at("f/x"), replace=True),
        ):
            await self.assertRaisesLater(NotADirectory, call)
        self.assertEqual(await read(fileSystem, "f"), b"1")

    async def test_directoriesAreNoFiles(self) -> None:
        """A directory is not opened, removed or replaced as a file."""
        fileSystem = self.makeFileSystem()
        await fileSystem.makeDirectory(at("d"))
        for call in (
            fileSystem.openForReading(at("d")),
            fileSystem.openForWriting(at("d"), REPLACE),
            fileSystem.openForWriting(at("d"), APPEND),
            fileSystem.removeFile(at("d")),
        ):
            await self.assertRaisesLater(IsADirectory, call)
        await self.assertRaisesLater(AlreadyExists, fileSystem.openForWriting(at("d"), CREATE))
        await self.assertRaisesLater(AlreadyExists, fileSystem.makeDirectory(at("d")))
        self.assertTrue((await fileSystem.stat(at("d"))).isDirectory)

    async def test_directories(self) -> None:
        """Directories are made one at a time, listed, and removed when empty."""
        fileSystem = self.makeFileSystem()
        await fileSystem.makeDirectory(at("a"))
        await fileSystem.makeDirectory(at("a/b"))
        await write(fileSystem, "a/f", b"four")
        found = await entries(fileSystem, "a")
        self.assertEqual(sorted(found), ["b", "f"])
        self.assertEqual(found["b"].attributes.type, FileType.DIRECTORY)
        self.assertEqual(found["f"].attributes.type, FileType.REGULAR)
        self.assertEqual(found["f"].attributes.size, 4)
        await self.assertRaisesLater(DirectoryNotEmpty, fileSystem.removeDirectory(at("a")))
        await fileSystem.removeFile(at("a/f"))
        await fileSystem.removeDirectory(at("a/b"))
        await fileSystem.removeDirectory(at("a"))
        self.assertEqual(await names(fileSystem), [])

    async def test_enterDirectory(self) -> None:
        """A directory can be entered; a file, and what is not there, cannot."""
        fileSystem = self.makeFileSystem()
        await fileSystem.makeDirectory(at("d"))
        await write(fileSystem, "f", b"")
        await fileSystem.enterDirectory(ROOT)
        await fileSystem.enterDirectory(at("d"))
        for expected, name in ((NotADirectory, "f"), (NotADirectory, "f/x"), (NotFound, "no")):
            await self.assertRaisesLater(expected, fileSystem.enterDirectory(at(name)))

    async def test_attributes(self) -> None:
        """C{stat}, the listing, the handle and C{commit} say the same of a file."""
        fileSystem = self.makeFileSystem()
        committed = await write(fileSystem, "f", b"content")
        known = await fileSystem.stat(at("f"))
        reader = await fileSystem.openForReading(at("f"))
        await reader.close()
        listed = (await entries(fileSystem))["f"].attributes
        for facts in (committed, reader.attributes, listed):
            self.assertEqual(facts._replace(accessed=None), known._replace(accessed=None))
        self.assertEqual(known.size, 7)
        self.assertTrue(known.isRegular)
        self.assertEqual(known.mode, 0o640)
        self.assertEqual((await entries(fileSystem))["f"].linkTarget, None)

    async def test_uniqueIds(self) -> None:
        """An id tells files apart, and survives a rename."""
        fileSystem = self.makeFileSystem()
        await write(fileSystem, "f", b"")
        await write(fileSystem, "g", b"")
        first = (await fileSystem.stat(at("f"))).uniqueId
        self.assertNotEqual(first, (await fileSystem.stat(at("g"))).uniqueId)
        await fileSystem.rename(at("f"), at("h"), replace=False)
        self.assertEqual(first, (await fileSystem.stat(at("h"))).uniqueId)

    async def test_setAttributes(self) -> None:
        """Times are set to the fraction, permission bits without the dangerous ones."""
        fileSystem = self.makeFileSystem()
        await write(fileSystem, "f", b"")
        await fileSystem.makeDirectory(at("d"))
        for path in (at("f"), at("d")):
            changes = AttributeChanges(mode=0o7751, modified=1234567890.25)
            await fileSystem.setAttributes(path, changes)
            known = await fileSystem.stat(path)
            self.assertEqual((known.mode, known.modified), (0o751, 1234567890.25))
            await fileSystem.setAttributes(path, AttributeChanges(accessed=5.5))
            known = await fileSystem.stat(path)
            self.assertEqual(
                (known.mode, known.modified, known.accessed), (0o751, 1234567890.25, 5.5)
            )
        await fileSystem.setAttributes(at("f"), AttributeChanges(modified=-1.0))
        self.assertEqual((await fileSystem.stat(at("f"))).modified, -1.0)

    async def test_rename(self) -> None:
        """Files and directories move, with what is in them, within and across directories."""
        fileSystem = self.makeFileSystem()
        await fileSystem.makeDirectory(at("a"))
        await write(fileSystem, "a/f", b"1")
        await fileSystem.rename(at("a"), at("b"), replace=False)
        await fileSystem.makeDirectory(at("c"))
        await fileSystem.rename(at("b/f"), at("c/g"), replace=False)
        self.assertEqual(await names(fileSystem), ["b", "c"])
        self.assertEqual(await names(fileSystem, "b"), [])
        self.assertEqual(await read(fileSystem, "c/g"), b"1")

    async def test_renameReplaces(self) -> None:
        """An existing file is replaced if that was asked for, and not otherwise."""
        fileSystem = self.makeFileSystem()
        await write(fileSystem, "f", b"1")
        await write(fileSystem, "g", b"2")
        await self.assertRaisesLater(
            AlreadyExists, fileSystem.rename(at("f"), at("g"), replace=False)
        )
        self.assertEqual(await read(fileSystem, "g"), b"2")
        await fileSystem.rename(at("f"), at("g"), replace=True)
        self.assertEqual(await names(fileSystem), ["g"])
        self.assertEqual(await read(fileSystem, "g"), b"1")

    async def test_renameToItself(self) -> None:
        """The name is taken, unless it may be replaced; then nothing happens."""
        fileSystem = self.makeFileSystem()
        await write(fileSystem, "f", b"1")
        await fileSystem.makeDirectory(at("d"))
        for path in (at("f"), at("d")):
            await self.assertRaisesLater(
                AlreadyExists, fileSystem.rename(path, path, replace=False)
            )
            await fileSystem.rename(path, path, replace=True)
        self.assertEqual(await names(fileSystem), ["d", "f"])

    async def test_renameNeverReplacesDirectories(self) -> None:
        """Not even an empty one, and a directory replaces no file."""
        fileSystem = self.makeFileSystem()
        await write(fileSystem, "f", b"1")
        await fileSystem.makeDirectory(at("d"))
        await fileSystem.makeDirectory(at("e"))
        for source, target in (("f", "d"), ("e", "d"), ("d", "f")):
            for replace in (False, True):
                error = await self.assertRaisesLater(
                    AlreadyExists, fileSystem.rename(at(source), at(target), replace=replace)
                )
                self.assertEqual(error.path, at(target))
        self.assertEqual(await names(fileSystem), ["d", "e", "f"])

    async def test_renameIntoItself(self) -> None:
        """A directory cannot be moved below itself."""
        fileSystem = self.makeFileSystem()
        await fileSystem.makeDirectory(at("d"))
        for replace in (False, True):
            await self.assertRaisesLater(
                InvalidName, fileSystem.rename(at("d"), at("d/x"), replace=replace)
            )

    async def test_anyBytesAreAName(self) -> None:
        """Any bytes but NUL and slash make a name, up to 255 of them."""
        fileSystem = self.makeFileSystem()
        everything = bytes(byte for byte in range(1, 256) if byte != 0x2F)
        for raw in (everything, b"-rf", b" ", b"\n", b"...", b"a\\b", b"\xff" * 255, b"~"):
            name = decodeName(raw)
            path = ROOT.child(name)
            await write(fileSystem, "plain", raw)
            await fileSystem.rename(at("plain"), path, replace=False)
            self.assertEqual(await names(fileSystem), [name])
            self.assertEqual((await fileSystem.stat(path)).size, len(raw))
            await fileSystem.removeFile(path)
            await fileSystem.makeDirectory(path)
            self.assertEqual(await names(fileSystem, str(path)), [])
            await fileSystem.removeDirectory(path)

    async def test_namesThatAreNoBytes(self) -> None:
        """Text that no bytes stand for is an invalid name, nothing worse."""
        fileSystem = self.makeFileSystem()
        path = ROOT.child("half \ud800 pair")
        for call in (
            fileSystem.makeDirectory(path),
            fileSystem.openForWriting(path, CREATE),
        ):
            await self.assertRaisesLater(InvalidName, call)
        for call in (fileSystem.stat(path), fileSystem.openForReading(path)):
            try:
                await call
            except FileHubError:
                pass
            else:
                self.fail("there is no such thing")

    async def test_deepPaths(self) -> None:
        """Paths may go as deep as a virtual path can, in names of any length."""
        fileSystem = self.makeFileSystem()
        path = ROOT
        for _ in range(127):
            path = path.child("d" * 200)
            await fileSystem.makeDirectory(path)
        await write(fileSystem, str(path.child("f")), b"deep")
        self.assertEqual(await read(fileSystem, str(path.child("f"))), b"deep")
        self.assertEqual(await fileSystem.resolve(path), path)
        # Few other tools could clear it away.
        await fileSystem.removeFile(path.child("f"))
        while path.segments:
            await fileSystem.removeDirectory(path)
            path = path.parent

    async def test_resolveKeepsWhatIsNotThere(self) -> None:
        """Without links, a path is canonical, whether it exists or not."""
        for links in ("refuse", "within-root"):
            fileSystem = self.makeFileSystem(links=links)
            await fileSystem.makeDirectory(at("d"))
            await write(fileSystem, "f", b"")
            for text in ("d", "d/x/y", "f", "f/x", "no/such"):
                self.assertEqual(await fileSystem.resolve(at(text)), at(text))

    async def test_manyEntries(self) -> None:
        """A large directory comes in pages of some hundred, complete."""
        fileSystem = self.makeFileSystem()
        expected = {f"{number:04}" for number in range(1300)}
        for name in expected:
            await fileSystem.makeDirectory(at(name))
        handle = await fileSystem.openDirectory(ROOT)
        found: list[str] = []
        while page := await handle.nextPage():
            self.assertLessEqual(len(page), 512)
            found += [entry.name for entry in page]
        self.assertEqual(list(await handle.nextPage()), [])
        await handle.close()
        self.assertEqual(len(found), len(expected))
        self.assertEqual(set(found), expected)

    async def test_directoryCloses(self) -> None:
        """A directory can be closed early, and twice; no more comes then."""
        fileSystem = self.makeFileSystem()
        await write(fileSystem, "f", b"")
        handle = await fileSystem.openDirectory(ROOT)
        await handle.close()
        await handle.close()
        self.assertEqual(list(await handle.nextPage()), [])

    async def test_modeBitsOnly(self) -> None:
        """New files and directories have no bits beyond the mount's own."""
        fileSystem = self.makeFileSystem()
        await write(fileSystem, "f", b"")
        await fileSystem.makeDirectory(at("d"))
        for name, mode in (("f", 0o640), ("d", 0o750)):
            known = (await fileSystem.stat(at(name))).mode
            self.assertIsNotNone(known)
            self.assertEqual(stat.S_IMODE(known or 0), mode)


class ReadingContract(ContractCase):
    """Positioned reads."""

    async def test_readAt(self) -> None:
        """Any range, in any order; short at the end only, empty beyond."""
        fileSystem = self.makeFileSystem()
        content = bytes(range(256)) * 2048
        await write(fileSystem, "f", content)
        handle = await fileSystem.openForReading(at("f"))
        self.assertEqual(handle.attributes.size, len(content))
        for offset, length in (
            (0, 10),
            (300_000, 70_000),
            (5, 1),
            (0, len(content)),
            (0, len(content) + 1),
            (len(content) - 3, 3),
            (len(content) - 3, 300),
            (len(content), 10),
            (len(content) + 1, 10),
            (1 << 40, 10),
            (7, 0),
        ):
            got = await handle.readAt(offset, length)
            self.assertIsInstance(got, bytes)
            self.assertEqual(got, content[offset : offset + length])
        await handle.close()
        await handle.close()

    async def test_afterClose(self) -> None:
        """A closed handle refuses, in our words."""
        fileSystem = self.makeFileSystem()
        await write(fileSystem, "f", b"f")
        handle = await fileSystem.openForReading(at("f"))
        await handle.close()
        try:
            await handle.readAt(0, 1)
        except FileHubError:
            pass
        else:
            self.fail("read from a closed file")

    async def test_handleIsNoPath(self) -> None:
        """A reader keeps its file when the name is replaced, renamed or removed."""
        fileSystem = self.makeFileSystem()
        await write(fileSystem, "f", b"old")
        handle = await fileSystem.openForReading(at("f"))
        await write(fileSystem, "f", b"replaced")
        self.assertEqual(await handle.readAt(0, 100), b"old")
        await fileSystem.rename(at("f"), at("g"), replace=False)
        self.assertEqual(await handle.readAt(0, 100), b"old")
        await fileSystem.removeFile(at("g"))
        self.assertEqual(await handle.readAt(0, 100), b"old")
        await handle.close()
