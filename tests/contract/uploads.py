"""
The contract of uploads: invisible until they are whole, exactly one ending, and what a
broken one leaves.
"""

from filehub.attributes import AttributeChanges, Disposition
from filehub.errors import (
    AlreadyExists,
    Busy,
    FileHubError,
    FileSystemError,
    InvalidOffset,
    IsADirectory,
    NotFound,
)
from filehub.interfaces import IRandomAccess
from tests.contract.support import ContractCase, at, breakOff, entries, names, read, write

CREATE, REPLACE, APPEND = Disposition.CREATE, Disposition.REPLACE, Disposition.APPEND


class WritingContract(ContractCase):
    """Dispositions, commit and abort."""

    async def test_invisibleUntilCommitted(self) -> None:
        """Until C{commit} there is nothing under the name, whatever the disposition."""
        for disposition in Disposition:
            fileSystem = self.makeFileSystem()
            handle = await fileSystem.openForWriting(at("f"), disposition)
            self.assertEqual(handle.position, 0)
            await handle.writeAt(0, b"whole")
            await self.assertRaisesLater(NotFound, fileSystem.stat(at("f")))
            await self.assertRaisesLater(NotFound, fileSystem.openForReading(at("f")))
            self.assertEqual(await names(fileSystem), [])
            committed = await handle.commit()
            self.assertEqual(committed.size, 5)
            self.assertEqual(await names(fileSystem), ["f"])
            self.assertEqual(await read(fileSystem, "f"), b"whole")

    async def test_replaceKeepsTheOld(self) -> None:
        """The old file stands until the new one is committed."""
        fileSystem = self.makeFileSystem()
        await write(fileSystem, "f", b"old content")
        handle = await fileSystem.openForWriting(at("f"), REPLACE)
        await handle.writeAt(0, b"new")
        self.assertEqual(await read(fileSystem, "f"), b"old content")
        await handle.commit()
        self.assertEqual(await read(fileSystem, "f"), b"new")

    async def test_replaceKeepsTheMode(self) -> None:
        """Permission bits that were given to a name survive its new content."""
        fileSystem = self.makeFileSystem()
        await write(fileSystem, "f", b"old")
        await fileSystem.setAttributes(at("f"), AttributeChanges(mode=0o600))
        await write(fileSystem, "f", b"new")
        self.assertEqual((await fileSystem.stat(at("f"))).mode, 0o600)

    async def test_emptyFiles(self) -> None:
        """No bytes make a file too."""
        fileSystem = self.makeFileSystem()
        for disposition in Disposition:
            handle = await fileSystem.openForWriting(at(disposition.name), disposition)
            await handle.commit()
            self.assertEqual(await read(fileSystem, disposition.name), b"")

    async def test_createMustBeNew(self) -> None:
        """CREATE refuses a name that is taken."""
        fileSystem = self.makeFileSystem()
        await write(fileSystem, "f", b"old")
        await self.assertRaisesLater(AlreadyExists, fileSystem.openForWriting(at("f"), CREATE))

    async def test_createRace(self) -> None:
        """Of two that create one name, the first to commit has it; the other is told."""
        fileSystem = self.makeFileSystem()
        first = await fileSystem.openForWriting(at("f"), CREATE)
        second = await fileSystem.openForWriting(at("f"), CREATE)
        await first.writeAt(0, b"first")
        await second.writeAt(0, b"second")
        await second.commit()
        await self.assertRaisesLater(AlreadyExists, first.commit())
        await first.abort()
        self.assertEqual(await read(fileSystem, "f"), b"second")
        self.assertEqual(await names(fileSystem), ["f"])

    async def test_lastReplacementWins(self) -> None:
        """Of two that replace one name, the last to commit wins, whole."""
        fileSystem = self.makeFileSystem()
        first = await fileSystem.openForWriting(at("f"), REPLACE)
        second = await fileSystem.openForWriting(at("f"), REPLACE)
        await first.writeAt(0, b"first, longer")
        await second.writeAt(0, b"second")
        await second.commit()
        await first.commit()
        self.assertEqual(await read(fileSystem, "f"), b"first, longer")

    async def test_directoryInTheWay(self) -> None:
        """A directory that took the name meanwhile is not replaced."""
        for disposition, expected in ((CREATE, AlreadyExists), (REPLACE, IsADirectory)):
            fileSystem = self.makeFileSystem()
            handle = await fileSystem.openForWriting(at("f"), disposition)
            await handle.writeAt(0, b"content")
            await fileSystem.makeDirectory(at("f"))
            await self.assertRaisesLater(expected, handle.commit())
            self.assertTrue((await fileSystem.stat(at("f"))).isDirectory)

    async def test_anyOrder(self) -> None:
        """Bytes may come in any order; what was left out is zero."""
        fileSystem = self.makeFileSystem()
        handle = await fileSystem.openForWriting(at("f"), REPLACE)
        await handle.writeAt(6, b"world")
        await handle.writeAt(0, b"hello")
        await handle.writeAt(100_000, b"!" * 100_000)
        await handle.commit()
        expected = (b"hello\0world").ljust(100_000, b"\0") + b"!" * 100_000
        self.assertEqual(await read(fileSystem, "f"), expected)

    async def test_append(self) -> None:
        """APPEND starts at the old end; abort leaves the old file as it was."""
        fileSystem = self.makeFileSystem()
        await write(fileSystem, "f", b"one")
        handle = await fileSystem.openForWriting(at("f"), APPEND)
        self.assertEqual(handle.position, 3)
        await handle.writeAt(3, b"two")
        await handle.abort()
        self.assertEqual(await read(fileSystem, "f"), b"one")
        committed = await write(fileSystem, "f", b"three", APPEND)
        self.assertEqual(committed.size, 8)
        self.assertEqual(await read(fileSystem, "f"), b"onethree")

    async def test_appendToEmpty(self) -> None:
        """An empty file can be continued too."""
        fileSystem = self.makeFileSystem()
        await write(fileSystem, "f", b"")
        await write(fileSystem, "f", b"x", APPEND)
        self.assertEqual(await read(fileSystem, "f"), b"x")

    async def test_oneAppenderAtATime(self) -> None:
        """Two that continue one file would lose bytes: the second is told to wait."""
        fileSystem = self.makeFileSystem()
        await write(fileSystem, "f", b"1")
        handle = await fileSystem.openForWriting(at("f"), APPEND)
        await self.assertRaisesLater(Busy, fileSystem.openForWriting(at("f"), APPEND))
        await handle.writeAt(1, b"2")
        await handle.commit()
        await write(fileSystem, "f", b"3", APPEND)
        self.assertEqual(await read(fileSystem, "f"), b"123")

    async def test_appendToWhatIsGone(self) -> None:
        """What was continued must still be what has the name."""
        fileSystem = self.makeFileSystem()
        for expected in (Busy, NotFound):
            await write(fileSystem, "f", b"base")
            handle = await fileSystem.openForWriting(at("f"), APPEND)
            await handle.writeAt(4, b"more")
            await fileSystem.removeFile(at("f"))
            if expected is Busy:
                await write(fileSystem, "f", b"other")
            await self.assertRaisesLater(expected, handle.commit())
            if expected is Busy:
                self.assertEqual(await read(fileSystem, "f"), b"other")
        self.assertEqual(await names(fileSystem), [])

    async def test_oneEnding(self) -> None:
        """After an ending nothing more can be written or committed; abort is harmless."""
        fileSystem = self.makeFileSystem()
        handle = await fileSystem.openForWriting(at("f"), REPLACE)
        await handle.writeAt(0, b"content")
        await handle.commit()
        await handle.abort()
        other = await fileSystem.openForWriting(at("g"), REPLACE)
        await other.abort()
        await other.abort()
        for ended in (handle, other):
            for call in (ended.writeAt(0, b"x"), ended.commit()):
                try:
                    await call
                except FileHubError:
                    pass
                else:
                    self.fail("it was over")
        self.assertEqual(await names(fileSystem), ["f"])
        self.assertEqual(await read(fileSystem, "f"), b"content")

    async def test_directoryMovesAlong(self) -> None:
        """An upload goes where its directory goes."""
        fileSystem = self.makeFileSystem()
        await fileSystem.makeDirectory(at("d"))
        handle = await fileSystem.openForWriting(at("d/f"), REPLACE)
        await handle.writeAt(0, b"moved")
        await fileSystem.rename(at("d"), at("e"), replace=False)
        await handle.commit()
        self.assertEqual(await read(fileSystem, "e/f"), b"moved")

    async def test_failedCommitIsTheEnd(self) -> None:
        """After a commit that failed, nothing is left and nothing is published."""
        fileSystem = self.makeFileSystem(partial="delete")
        handle = await fileSystem.openForWriting(at("f"), CREATE)
        await write(fileSystem, "f", b"other")
        try:
            await handle.commit()
        except FileSystemError as error:
            self.assertEqual(error.path, at("f"))
        await handle.abort()
        await fileSystem.removeFile(at("f"))
        self.assertEqual(await names(fileSystem), [])


class PartialContract(ContractCase):
    """What a broken upload leaves."""

    async def test_ownerSeesItsPart(self) -> None:
        """
        The account that broke off sees the part under the name, in every way that a
        client looks for the offset; no other account sees anything.
        """
        storage = self.makeStorage()
        alice, bob = storage.viewFor("alice"), storage.viewFor("bob")
        await alice.makeDirectory(at("d"))
        await breakOff(alice, "d/f", b"half")
        known = await alice.stat(at("d/f"))
        self.assertTrue(known.isRegular)
        self.assertEqual(known.size, 4)
        self.assertEqual((await entries(alice, "d"))["f"].attributes, known)
        self.assertEqual(await names(bob, "d"), [])
        await self.assertRaisesLater(NotFound, bob.stat(at("d/f")))
        self.assertEqual(await names(alice), ["d"])

    async def test_aPartIsNoFile(self) -> None:
        """It cannot be read, renamed or changed, and it is not in anyone's way."""
        storage = self.makeStorage()
        alice, bob = storage.viewFor("alice"), storage.viewFor("bob")
        await breakOff(alice, "f", b"half")
        await self.assertRaisesLater(NotFound, alice.openForReading(at("f")))
        await self.assertRaisesLater(NotFound, alice.rename(at("f"), at("g"), replace=False))
        await write(bob, "f", b"bob's", CREATE)
        self.assertEqual((await alice.stat(at("f"))).size, 5)
        self.assertEqual(await read(alice, "f"), b"bob's")
        self.assertEqual(await names(alice), ["f"])

    async def test_createOverAPart(self) -> None:
        """One's own part does not take the name."""
        alice = self.makeFileSystem()
        await breakOff(alice, "f", b"half")
        await write(alice, "f", b"whole", CREATE)
        await alice.removeFile(at("f"))
        await self.assertRaisesLater(NotFound, alice.stat(at("f")))

    async def test_continued(self) -> None:
        """A part is continued at its end, or at any place before it, and published."""
        for offset in (4, 2):
            alice = self.makeFileSystem()
            await breakOff(alice, "f", b"half")
            handle = await IRandomAccess(alice).openForUpdate(at("f"), offset)
            self.assertEqual(handle.position, offset)
            await handle.writeAt(offset, b" & rest")
            await handle.commit()
            self.assertEqual(await read(alice, "f"), b"half"[:offset] + b" & rest")
            self.assertEqual(await names(alice), ["f"])

    async def test_appended(self) -> None:
        """APPEND continues a part too: that is how curl resumes."""
        alice = self.makeFileSystem()
        await breakOff(alice, "f", b"half")
        handle = await alice.openForWriting(at("f"), APPEND)
        self.assertEqual(handle.position, 4)
        await handle.writeAt(4, b" more")
        await handle.abort()
        self.assertEqual((await alice.stat(at("f"))).size, 9)
        await write(alice, "f", b", whole", APPEND)
        self.assertEqual(await read(alice, "f"), b"half more, whole")

    async def test_brokenAgain(self) -> None:
        """A continued upload that breaks again leaves a longer part."""
        alice = self.makeFileSystem()
        await breakOff(alice, "f", b"one")
        handle = await IRandomAccess(alice).openForUpdate(at("f"), 3)
        await handle.writeAt(3, b"two")
        await handle.abort()
        self.assertEqual((await alice.stat(at("f"))).size, 6)
        handle = await IRandomAccess(alice).openForUpdate(at("f"), 6)
        await handle.commit()
        self.assertEqual(await read(alice, "f"), b"onetwo")

    async def test_startedOver(self) -> None:
        """A new broken upload takes the place of an older one; a whole one clears it."""
        alice = self.makeFileSystem()
        await breakOff(alice, "f", b"a long beginning")
        await breakOff(alice, "f", b"short")
        self.assertEqual((await alice.stat(at("f"))).size, 5)
        await breakOff(alice, "f", b"")
        self.assertEqual((await alice.stat(at("f"))).size, 5)
        await write(alice, "f", b"whole")
        await alice.removeFile(at("f"))
        await self.assertRaisesLater(NotFound, alice.stat(at("f")))

    async def test_othersCannotContinue(self) -> None:
        """A part is of no use to another account."""
        storage = self.makeStorage()
        alice, bob = storage.viewFor("alice"), storage.viewFor("bob")
        await breakOff(alice, "f", b"half")
        await self.assertRaisesLater(NotFound, IRandomAccess(bob).openForUpdate(at("f"), 4))
        await self.assertRaisesLater(NotFound, bob.removeFile(at("f")))
        handle = await bob.openForWriting(at("f"), APPEND)
        self.assertEqual(handle.position, 0)
        await handle.abort()

    async def test_directoryIsRemoved(self) -> None:
        """An upload whose directory is gone is published nowhere, and says so."""
        storage = self.makeStorage()
        alice, bob = storage.viewFor("alice"), storage.viewFor("bob")
        await alice.makeDirectory(at("d"))
        handle = await alice.openForWriting(at("d/f"), REPLACE)
        await handle.writeAt(0, b"content")
        await alice.removeDirectory(at("d"))
        await self.assertRaisesLater(NotFound, handle.commit())
        await alice.makeDirectory(at("d"))
        self.assertEqual(await names(bob, "d"), [])

    async def test_partsArePerDirectory(self) -> None:
        """One name in two directories is two parts."""
        alice = self.makeFileSystem()
        await alice.makeDirectory(at("a"))
        await alice.makeDirectory(at("b"))
        await breakOff(alice, "a/f", b"half")
        await self.assertRaisesLater(NotFound, alice.stat(at("b/f")))
        await self.assertRaisesLater(NotFound, alice.stat(at("f")))

    async def test_removed(self) -> None:
        """The owner can remove a part, once."""
        alice = self.makeFileSystem()
        await breakOff(alice, "f", b"half")
        await alice.removeFile(at("f"))
        await self.assertRaisesLater(NotFound, alice.removeFile(at("f")))
        self.assertEqual(await names(alice), [])

    async def test_oneContinuesAtATime(self) -> None:
        """A part that is being continued is busy, and is not replaced by another's end."""
        alice = self.makeFileSystem()
        await breakOff(alice, "f", b"half")
        handle = await IRandomAccess(alice).openForUpdate(at("f"), 4)
        await self.assertRaisesLater(Busy, IRandomAccess(alice).openForUpdate(at("f"), 4))
        await self.assertRaisesLater(Busy, alice.openForWriting(at("f"), APPEND))
        await self.assertRaisesLater(Busy, alice.removeFile(at("f")))
        await breakOff(alice, "f", b"another")
        await handle.writeAt(4, b" done")
        await handle.commit()
        self.assertEqual(await read(alice, "f"), b"half done")

    async def test_nothingIsKeptUnderAPublishedName(self) -> None:
        """What a client would see and continue there is the published file."""
        alice = self.makeFileSystem()
        await write(alice, "f", b"published")
        await breakOff(alice, "f", b"half")
        self.assertEqual((await alice.stat(at("f"))).size, 9)
        await alice.removeFile(at("f"))
        await self.assertRaisesLater(NotFound, alice.stat(at("f")))

    async def test_longNames(self) -> None:
        """The longest name can have a part."""
        alice = self.makeFileSystem()
        name = "\xe9" * 127 + "x"
        await breakOff(alice, name, b"half")
        self.assertEqual(await names(alice), [name])
        await write(alice, name, b" & rest", APPEND)
        self.assertEqual(await read(alice, name), b"half & rest")

    async def test_sweep(self) -> None:
        """Parts live as long as the mount says, counted from their last byte."""
        now = 1e9
        storage = self.makeStorage(partialLifetime=100.0, clock=lambda: now)
        alice = storage.viewFor("alice")
        await breakOff(alice, "f", b"half")
        now = (await alice.stat(at("f"))).modified + 99
        await storage.sweep()
        self.assertEqual(await names(alice), ["f"])
        now += 2
        handle = await IRandomAccess(alice).openForUpdate(at("f"), 4)
        await storage.sweep()
        await handle.abort()
        self.assertEqual(await names(alice), ["f"])
        now = (await alice.stat(at("f"))).modified + 101
        await storage.sweep()
        self.assertEqual(await names(alice), [])

    async def test_delete(self) -> None:
        """With C{partial = "delete"} nothing is left."""
        alice = self.makeFileSystem(partial="delete")
        await breakOff(alice, "f", b"half")
        await self.assertRaisesLater(NotFound, alice.stat(at("f")))
        self.assertEqual(await names(alice), [])

    async def test_visible(self) -> None:
        """With C{partial = "visible"} everybody sees it, but no old file suffers."""
        storage = self.makeStorage(partial="visible")
        alice, bob = storage.viewFor("alice"), storage.viewFor("bob")
        await breakOff(alice, "f", b"half")
        self.assertEqual(await read(bob, "f"), b"half")
        await breakOff(alice, "f", b"ha")
        self.assertEqual(await read(bob, "f"), b"half")
        handle = await IRandomAccess(alice).openForUpdate(at("f"), 4)
        await handle.writeAt(4, b" more")
        await handle.abort()
        self.assertEqual(await read(bob, "f"), b"half more")
        await breakOff(alice, "g", b"")
        self.assertEqual(await names(bob), ["f"])


class UpdateContract(ContractCase):
    """L{IRandomAccess} on published files."""

    async def test_atTheEnd(self) -> None:
        """The published file stands until the continued one is committed."""
        fileSystem = self.makeFileSystem()
        await write(fileSystem, "f", b"published")
        handle = await IRandomAccess(fileSystem).openForUpdate(at("f"), 9)
        self.assertEqual(handle.position, 9)
        await handle.writeAt(9, b" & more")
        self.assertEqual(await read(fileSystem, "f"), b"published")
        await handle.commit()
        self.assertEqual(await read(fileSystem, "f"), b"published & more")

    async def test_inTheMiddle(self) -> None:
        """The result is the first bytes and what was written, nothing of the old rest."""
        fileSystem = self.makeFileSystem()
        await write(fileSystem, "f", b"published")
        handle = await IRandomAccess(fileSystem).openForUpdate(at("f"), 3)
        await handle.writeAt(3, b"!")
        await handle.commit()
        self.assertEqual(await read(fileSystem, "f"), b"pub!")

    async def test_abort(self) -> None:
        """An abort leaves the published file as it was."""
        fileSystem = self.makeFileSystem()
        await write(fileSystem, "f", b"published")
        before = await fileSystem.stat(at("f"))
        handle = await IRandomAccess(fileSystem).openForUpdate(at("f"), 3)
        await handle.writeAt(3, b"xyz and much more")
        await handle.abort()
        self.assertEqual(await read(fileSystem, "f"), b"published")
        after = await fileSystem.stat(at("f"))
        self.assertEqual(before._replace(accessed=None), after._replace(accessed=None))

    async def test_fromTheStart(self) -> None:
        """Offset 0 is a new file, or a new content."""
        fileSystem = self.makeFileSystem()
        for content in (b"first", b"2nd"):
            handle = await IRandomAccess(fileSystem).openForUpdate(at("f"), 0)
            self.assertEqual(handle.position, 0)
            await handle.writeAt(0, content)
            await handle.commit()
            self.assertEqual(await read(fileSystem, "f"), content)

    async def test_refusals(self) -> None:
        """Offsets beyond the end, missing files, directories."""
        fileSystem = self.makeFileSystem()
        await write(fileSystem, "f", b"12345")
        await fileSystem.makeDirectory(at("d"))
        await breakOff(fileSystem, "p", b"123")
        update = IRandomAccess(fileSystem).openForUpdate
        error = await self.assertRaisesLater(InvalidOffset, update(at("f"), 6))
        self.assertEqual(error.path, at("f"))
        await self.assertRaisesLater(InvalidOffset, update(at("p"), 4))
        await self.assertRaisesLater(NotFound, update(at("no"), 1))
        await self.assertRaisesLater(IsADirectory, update(at("d"), 1))
        await self.assertRaisesLater(IsADirectory, update(at("/"), 1))
        self.assertEqual(await read(fileSystem, "f"), b"12345")
        self.assertEqual((await fileSystem.stat(at("p"))).size, 3)
