"""
What a tree in memory is made of, and its open files.

The content of a published file never changes; a commit publishes a new one.  So a
reader keeps what it opened, whatever happens to the name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from zope.interface import implementer

from filehub.attributes import DirectoryEntry, FileAttributes, FileType
from filehub.errors import AlreadyExists, Busy, IsADirectory, NotFound, StorageUnavailable
from filehub.interfaces import IDirectoryHandle, IReadHandle, IWriteHandle
from filehub.paths import VirtualPath

if TYPE_CHECKING:
    from filehub.vfs.memory import MemoryTree

_PAGE: Final = 512
_MODES: Final = {
    FileType.REGULAR: 0o640,
    FileType.DIRECTORY: 0o750,
    FileType.SYMLINK: 0o777,
    FileType.OTHER: 0o600,
}


class Node:
    """
    A file, directory or link.

    @ivar children: of a directory.
    @ivar target: of a link.
    @ivar isRemoved: of a directory; what was opened in it has no place any more.
    """

    def __init__(self, type: FileType, number: int, now: float, content: bytes = b"") -> None:
        self.type = type
        self.number = number
        self.modified = now
        self.accessed = now
        self.mode = _MODES[type]
        self.content = content
        self.children: dict[str, Node] = {}
        self.target = ""
        self.isRemoved = False

    def attributes(self) -> FileAttributes:
        """What may be known of it."""
        size = len(self.target) if self.type is FileType.SYMLINK else len(self.content)
        return FileAttributes(
            self.type,
            size,
            self.modified,
            self.accessed,
            self.mode,
            links=1,
            uniqueId=f"{self.number:x}",
        )

    def add(self, name: str, child: Node, now: float) -> None:
        """Publish under a name, in the place of what had it."""
        self.children[name] = child
        self.modified = now

    def remove(self, name: str, now: float) -> None:
        """Let go of a name."""
        del self.children[name]
        self.modified = now


@implementer(IReadHandle)
class MemoryReadHandle:
    """A file's content as it was when it was opened, or made."""

    def __init__(self, attributes: FileAttributes, content: bytes) -> None:
        self.attributes = attributes
        self._content: bytes | None = content

    async def readAt(self, offset: int, length: int) -> bytes:
        """See L{IReadHandle.readAt}."""
        if self._content is None:
            raise StorageUnavailable(None, "the file is closed")
        return self._content[offset : offset + length]

    async def close(self) -> None:
        """See L{IReadHandle.close}."""
        self._content = None


@implementer(IDirectoryHandle)
class MemoryDirectoryHandle:
    """A directory's entries, some at a time."""

    def __init__(self, entries: Iterator[DirectoryEntry]) -> None:
        self._entries = entries

    async def nextPage(self) -> Sequence[DirectoryEntry]:
        """See L{IDirectoryHandle.nextPage}."""
        return list(islice(self._entries, _PAGE))

    async def close(self) -> None:
        """See L{IDirectoryHandle.close}."""
        self._entries = iter(())


@implementer(IWriteHandle)
class MemoryWriteHandle:
    """
    New content for a name.

    @param base: the published file or the part that is continued.
    """

    def __init__(
        self,
        tree: MemoryTree,
        owner: str,
        path: VirtualPath,
        *,
        replace: bool = True,
        base: Node | None = None,
        offset: int = 0,
        withheld: int = 0,
    ) -> None:
        self.position = offset
        self._tree = tree
        self._key = (owner, path.parent, path.name)
        self._path = path
        self._replace = replace
        self._withheld = withheld
        self._base = base
        # A directory that is renamed meanwhile takes the upload with it.
        self._directory = tree.findDirectory(path.parent)
        self._existing = self._directory.children.get(path.name)
        self._content = bytearray(base.content[:offset] if base is not None else b"")
        self._ended = False
        if base is not None:
            tree.continued.add(base)

    async def writeAt(self, offset: int, data: bytes) -> None:
        """See L{IWriteHandle.writeAt}."""
        if self._ended:
            raise StorageUnavailable(None, "the file is closed")
        growth = max(0, offset + len(data) - len(self._content))
        if self._tree.capacity is not None:
            self._tree.requireRoom(len(self._content) + growth, self._path)
        if offset > len(self._content):
            self._content.extend(bytes(offset - len(self._content)))
        self._content[offset : offset + len(data)] = data

    async def commit(self) -> FileAttributes:
        """See L{IWriteHandle.commit}."""
        if self._ended:
            raise StorageUnavailable(None, "the file is closed")
        try:
            self._requireTarget()
        except BaseException:
            await self.abort()
            raise
        self._end()
        self._dropPart()
        return self._publish()

    def _requireTarget(self) -> None:
        if self._directory.isRemoved:
            raise NotFound(self._path)
        there = self._directory.children.get(self._path.name)
        if there is not None:
            if not self._replace:
                raise AlreadyExists(self._path)
            if there.type is FileType.DIRECTORY:
                raise IsADirectory(self._path)
        if self._base is not None and self._base is self._existing and there is not self._base:
            # What was continued is no longer what would be replaced.
            raise NotFound(self._path) if there is None else Busy(self._path)

    def _publish(self) -> FileAttributes:
        node = self._tree.newNode(FileType.REGULAR, bytes(self._content))
        node.mode &= ~self._withheld
        if self._existing is not None:
            node.mode = self._existing.mode
        self._directory.add(self._path.name, node, self._tree.clock())
        return node.attributes()

    async def abort(self) -> None:
        """See L{IWriteHandle.abort}."""
        if self._ended:
            return
        self._end()
        policy = self._tree.partial
        free = self._path.name not in self._directory.children
        continuesPublished = self._base is not None and self._base is self._existing
        if continuesPublished:
            if policy == "visible" and self._base is self._directory.children.get(self._path.name):
                self._publish()
            return
        if self._base is not None:
            # What it went on with is part of what it leaves.
            self._tree.parts.pop(self._key, None)
        if not self._content or not free:
            return
        if policy == "visible":
            self._publish()
        elif policy == "owner":
            self._dropPart()
            self._tree.parts.setdefault(
                self._key, self._tree.newNode(FileType.REGULAR, bytes(self._content))
            )

    def _end(self) -> None:
        self._ended = True
        if self._base is not None:
            self._tree.continued.discard(self._base)

    def _dropPart(self) -> None:
        """An older part of the name, unless somebody is at it."""
        part = self._tree.parts.get(self._key)
        if part is not None and part not in self._tree.continued:
            del self._tree.parts[self._key]


def childrenOf(node: Node) -> dict[str, Node] | None:
    """What is in a node; L{None} if it is a link."""
    return None if node.type is FileType.SYMLINK else node.children
