"""
Words for storage tests.
"""

from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import TestCase

from filehub.attributes import DirectoryEntry, Disposition, FileAttributes
from filehub.interfaces import IFileSystem, IStorage
from filehub.paths import ROOT, VirtualPath


def at(text: str) -> VirtualPath:
    """The path of this name, seen from the root."""
    return ROOT.join(text)


async def write(
    fileSystem: IFileSystem,
    path: str,
    content: bytes,
    disposition: Disposition = Disposition.REPLACE,
) -> FileAttributes:
    """Upload a whole file."""
    handle = await fileSystem.openForWriting(at(path), disposition)
    await handle.writeAt(handle.position, content)
    return await handle.commit()


async def breakOff(fileSystem: IFileSystem, path: str, content: bytes) -> None:
    """Upload the beginning of a file, and no more."""
    handle = await fileSystem.openForWriting(at(path), Disposition.REPLACE)
    await handle.writeAt(handle.position, content)
    await handle.abort()


async def read(fileSystem: IFileSystem, path: str) -> bytes:
    """Download a whole file."""
    handle = await fileSystem.openForReading(at(path))
    try:
        parts = []
        offset = 0
        while data := await handle.readAt(offset, 65536):
            parts.append(data)
            offset += len(data)
        return b"".join(parts)
    finally:
        await handle.close()


async def entries(fileSystem: IFileSystem, path: str = "/") -> dict[str, DirectoryEntry]:
    """A directory's entries by their names."""
    handle = await fileSystem.openDirectory(at(path))
    found: dict[str, DirectoryEntry] = {}
    try:
        while page := await handle.nextPage():
            for entry in page:
                assert entry.name not in found, "listed twice"
                found[entry.name] = entry
    finally:
        await handle.close()
    return found


async def names(fileSystem: IFileSystem, path: str = "/") -> list[str]:
    """The names in a directory, sorted."""
    return sorted(await entries(fileSystem, path))


# A mix-in that were a test case itself would be run where it is imported.
_Base = TestCase if TYPE_CHECKING else object


class ContractCase(_Base):
    """
    The base of the mix-ins.  Who inherits says how a storage is made:
    C{makeStorage(links=..., partial=..., partialLifetime=..., clock=...)}.
    """

    timeout = 60

    def makeStorage(self, **options: Any) -> IStorage:
        """An empty storage."""
        raise NotImplementedError("say how one is made")

    def makeFileSystem(self, owner: str = "alice", **options: Any) -> IFileSystem:
        """One account's view of an empty storage."""
        return self.makeStorage(**options).viewFor(owner)

    async def assertRaisesLater(self, expected: type[Exception], awaitable: Any) -> Any:
        """The awaitable fails like this; returns the error."""
        try:
            result = await awaitable
        except expected as error:
            self.assertIs(type(error), expected)
            return error
        raise self.failureException(f"{expected.__name__} was not raised: {result!r}")
