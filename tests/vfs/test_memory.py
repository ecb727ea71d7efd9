"""
The reference tree against the contract that it stands for.
"""

from typing import Any

from twisted.trial.unittest import TestCase

from filehub.errors import NoSpace, NotFound
from filehub.interfaces import IStorage
from filehub.vfs.memory import MemoryFileSystem, MemoryTree
from tests.contract.capabilities import CapabilityContract, LinkContract
from tests.contract.filesystem import REPLACE, FileSystemContract, ReadingContract
from tests.contract.support import ContractCase, at, names, read, write
from tests.contract.uploads import PartialContract, UpdateContract, WritingContract


class InMemory(ContractCase):
    """How one is made."""

    def makeStorage(self, **options: Any) -> IStorage:
        return MemoryTree(**options)


class MemoryFileSystemTests(InMemory, FileSystemContract, TestCase):
    pass


class MemoryReadingTests(InMemory, ReadingContract, TestCase):
    pass


class MemoryWritingTests(InMemory, WritingContract, TestCase):
    pass


class MemoryPartialTests(InMemory, PartialContract, TestCase):
    pass


class MemoryUpdateTests(InMemory, UpdateContract, TestCase):
    pass


class MemoryLinkTests(InMemory, LinkContract, TestCase):
    pass


class MemoryCapabilityTests(InMemory, CapabilityContract, TestCase):
    pass


class MemoryTreeTests(InMemory, TestCase):
    """What only a tree in memory has."""

    async def test_filling(self) -> None:
        """Files can be put and looked at without an account."""
        tree = MemoryTree()
        tree.putFile("/boot/images/kernel", b"zImage")
        tree.putDirectory("/boot/images/more/of/them")
        fileSystem = tree.viewFor("anybody")
        self.assertEqual(await read(fileSystem, "boot/images/kernel"), b"zImage")
        self.assertEqual(await names(fileSystem, "boot/images"), ["kernel", "more"])
        await write(fileSystem, "f", b"uploaded")
        self.assertEqual(tree.content("/f"), b"uploaded")
        self.assertRaises(NotFound, tree.content, "/no")

    async def test_capacity(self) -> None:
        """A full tree says so, at the announcement of a size or at the byte."""
        fileSystem = MemoryFileSystem(MemoryTree(capacity=10))
        await write(fileSystem, "f", b"12345")
        await self.assertRaisesLater(
            NoSpace, fileSystem.openForWriting(at("g"), REPLACE, sizeHint=6)
        )
        handle = await fileSystem.openForWriting(at("g"), REPLACE)
        await handle.writeAt(0, b"12345")
        await self.assertRaisesLater(NoSpace, handle.writeAt(5, b"6"))
        await handle.abort()
