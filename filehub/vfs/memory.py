"""
A tree in memory: the reference for what the other ones must do, and the quickest
one for tests and for small read-only trees.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Collection, Iterator
from typing import Final, Literal

from zope.interface import implementer

from filehub.attributes import (
    AttributeChanges,
    DirectoryEntry,
    Disposition,
    FileAttributes,
    FileType,
    SpaceUsage,
)
from filehub.errors import (
    AlreadyExists,
    Busy,
    DirectoryNotEmpty,
    InvalidName,
    InvalidOffset,
    IsADirectory,
    NoSpace,
    NotADirectory,
    NotFound,
    OperationNotSupported,
    PermissionDenied,
    TooManyLinks,
)
from filehub.interfaces import (
    ICaseFolding,
    IChecksums,
    IDirectoryHandle,
    IFileSystem,
    IRandomAccess,
    IReadHandle,
    IServerSideCopy,
    ISpaceUsage,
    IStorage,
    ISymbolicLinks,
    IWriteHandle,
)
from filehub.paths import ROOT, VirtualPath, encodeName
from filehub.usage import IMeasurable, Measure
from filehub.vfs._casefold import foldInMemory
from filehub.vfs._digests import Digest
from filehub.vfs._memorynodes import (
    MemoryDirectoryHandle,
    MemoryReadHandle,
    MemoryWriteHandle,
    Node,
    childrenOf,
)
from filehub.vfs.measuring import measureMemory
from filehub.views import ICreationMask

_MAXIMUM_LINKS: Final = 40


@implementer(IStorage, IMeasurable)
class MemoryTree:
    """
    One tree, of which every account gets its own view.

    @param capacity: bytes that all its files may have together.
    @param links: as for a local tree: C{"refuse"} or C{"within-root"}.
    @param partial: what a broken upload leaves: C{"owner"}, C{"delete"} or
        C{"visible"}.
    @param partialLifetime: seconds that a part is kept for its owner.
    @param clock: seconds since the epoch.
    """

    def __init__(
        self,
        *,
        capacity: int | None = None,
        links: Literal["refuse", "within-root"] = "refuse",
        partial: Literal["owner", "delete", "visible"] = "owner",
        partialLifetime: float = 86400.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.capacity = capacity
        self.links = links
        self.partial = partial
        self.partialLifetime = partialLifetime
        self.clock = clock
        self._ids = itertools.count(1)
        self.root = self.newNode(FileType.DIRECTORY)
        #: (owner, directory, name) -> what a broken upload left.
        self.parts: dict[tuple[str, VirtualPath, str], Node] = {}
        #: Nodes that an upload goes on with; a second one is L{Busy}.
        self.continued: set[Node] = set()

    def viewFor(self, owner: str) -> MemoryFileSystem:
        """See L{IStorage.viewFor}."""
        return MemoryFileSystem(self, owner)

    async def sweep(self) -> None:
        """See L{IStorage.sweep}."""
        oldest = self.clock() - self.partialLifetime
        for key, node in list(self.parts.items()):
            if node.modified < oldest and node not in self.continued:
                del self.parts[key]

    async def measure(
        self, path: VirtualPath, owners: Collection[str], without: Collection[VirtualPath] = ()
    ) -> Measure:
        """See L{IMeasurable.measure}."""
        return measureMemory(self, path, owners, without)

    async def partSize(self, owner: str, path: VirtualPath) -> int | None:
        """See L{IMeasurable.partSize}."""
        part = self.parts.get((owner, path.parent, path.name))
        return None if part is None else len(part.content)

    async def close(self) -> None:
        """See L{IStorage.close}."""

    # --- for tests and for whoever fills the tree ---

    def putFile(self, path: str, content: bytes) -> None:
        """Publish a file, with the directories above it."""
        target = ROOT.join(path)
        self.putDirectory(str(target.parent))
        self.find(target.parent).children[target.name] = self.newNode(FileType.REGULAR, content)

    def putDirectory(self, path: str) -> None:
        """Make a directory and those above it, as far as they are missing."""
        node = self.root
        for name in ROOT.join(path).segments:
            if name not in node.children:
                node.children[name] = self.newNode(FileType.DIRECTORY)
            node = node.children[name]

    def content(self, path: str) -> bytes:
        """
        The bytes of a published file.

        @raise NotFound:
        """
        return self.find(ROOT.join(path)).content

    # --- for views and handles ---

    def newNode(self, type: FileType, content: bytes = b"") -> Node:
        """Something new, which has no name yet."""
        return Node(type, next(self._ids), self.clock(), content)

    def find(self, path: VirtualPath, blamed: VirtualPath | None = None) -> Node:
        """
        What is published there.

        @param blamed: the path that errors name.
        @raise NotFound:
        @raise NotADirectory:
        @raise TooManyLinks: a link is in the way.
        """
        blamed = path if blamed is None else blamed
        node = self.root
        for name in path.segments:
            node = self._inside(node, blamed)
            found = node.children.get(name)
            if found is None:
                raise NotFound(blamed)
            node = found
        return node

    def findDirectory(self, path: VirtualPath, blamed: VirtualPath | None = None) -> Node:
        """The same for a directory."""
        return self._inside(self.find(path, blamed), path if blamed is None else blamed)

    def _inside(self, node: Node, path: VirtualPath) -> Node:
        if node.type is FileType.SYMLINK:
            raise TooManyLinks(path)
        if node.type is not FileType.DIRECTORY:
            raise NotADirectory(path)
        return node

    def used(self) -> int:
        """Bytes in all published files and parts."""

        def sizes(node: Node) -> Iterator[int]:
            yield len(node.content)
            for child in node.children.values():
                yield from sizes(child)

        return sum(sizes(self.root)) + sum(len(part.content) for part in self.parts.values())

    def requireRoom(self, nbytes: int, path: VirtualPath) -> None:
        """
        @raise NoSpace: C{nbytes} more cannot fit.
        """
        if self.capacity is not None and self.used() + nbytes > self.capacity:
            raise NoSpace(path)


@implementer(
    IFileSystem,
    IRandomAccess,
    ISymbolicLinks,
    ISpaceUsage,
    IServerSideCopy,
    IChecksums,
    ICaseFolding,
    ICreationMask,
)
class MemoryFileSystem:
    """
    A L{MemoryTree} as one account sees it; by default, of a tree of its own.
    """

    def __init__(self, tree: MemoryTree | None = None, owner: str = "", withheld: int = 0) -> None:
        self.tree = MemoryTree() if tree is None else tree
        self._owner = owner
        self._withheld = withheld

    def masked(self, withheld: int) -> MemoryFileSystem:
        """See L{ICreationMask.masked}."""
        return MemoryFileSystem(self.tree, self._owner, withheld | self._withheld)

    def _part(self, path: VirtualPath) -> Node | None:
        return self.tree.parts.get((self._owner, path.parent, path.name))

    def _parentOf(self, path: VirtualPath) -> Node:
        """
        The directory in which a name is about to change.

        @raise PermissionDenied: the root is never made, moved or removed.
        """
        if not path.segments:
            raise PermissionDenied(path)
        encodeName(path.name)
        return self.tree.findDirectory(path.parent, path)

    def _regular(self, path: VirtualPath) -> Node:
        return _requireRegular(self.tree.find(path), path)

    # --- IFileSystem ---

    async def resolve(self, path: VirtualPath, *, followFinal: bool = True) -> VirtualPath:
        """See L{IFileSystem.resolve}."""
        if self.tree.links == "refuse":
            return path
        pending = list(reversed(path.segments))
        done = ROOT
        links = 0
        while pending:
            name = pending.pop()
            if name in ("", ".", ".."):
                done = done.join(name)
                continue
            here = self.tree.find(done)
            node = here.children.get(name) if here.type is FileType.DIRECTORY else None
            if node is None:
                return done.join("/".join([name, *reversed(pending)]))
            if node.type is not FileType.SYMLINK or not (pending or followFinal):
                done = done.child(name)
                continue
            links += 1
            if links > _MAXIMUM_LINKS:
                raise TooManyLinks(path)
            if node.target.startswith("/"):
                done = ROOT
            pending.extend(reversed(node.target.split("/")))
        return done

    async def stat(self, path: VirtualPath) -> FileAttributes:
        """See L{IFileSystem.stat}."""
        try:
            return self.tree.find(path).attributes()
        except NotFound:
            part = self._part(path)
            if part is None:
                raise
            return part.attributes()

    async def enterDirectory(self, path: VirtualPath) -> None:
        """See L{IFileSystem.enterDirectory}."""
        if not (await self.stat(path)).isDirectory:
            raise NotADirectory(path)

    async def openDirectory(self, path: VirtualPath) -> IDirectoryHandle:
        """See L{IFileSystem.openDirectory}."""
        node = self.tree.findDirectory(path)
        return MemoryDirectoryHandle(self._entries(path, node))

    def _entries(self, path: VirtualPath, node: Node) -> Iterator[DirectoryEntry]:
        tell = self.tree.links != "refuse"
        for name in list(node.children):
            child = node.children.get(name)
            if child is not None:
                target = child.target if tell and child.type is FileType.SYMLINK else None
                yield DirectoryEntry(name, child.attributes(), target)
        for (owner, directory, name), part in list(self.tree.parts.items()):
            if owner == self._owner and directory == path and name not in node.children:
                yield DirectoryEntry(name, part.attributes())

    async def makeDirectory(self, path: VirtualPath) -> None:
        """See L{IFileSystem.makeDirectory}."""
        if not path.segments:
            raise AlreadyExists(path)
        parent = self._parentOf(path)
        if path.name in parent.children:
            raise AlreadyExists(path)
        made = self.tree.newNode(FileType.DIRECTORY)
        made.mode &= ~self._withheld
        parent.add(path.name, made, self.tree.clock())

    async def removeDirectory(self, path: VirtualPath) -> None:
        """See L{IFileSystem.removeDirectory}."""
        parent = self._parentOf(path)
        node = self.tree.find(path)
        if node.type is not FileType.DIRECTORY:
            raise NotADirectory(path)
        if node.children:
            raise DirectoryNotEmpty(path)
        parent.remove(path.name, self.tree.clock())
        node.isRemoved = True

    async def removeFile(self, path: VirtualPath) -> None:
        """See L{IFileSystem.removeFile}."""
        if not path.segments:
            raise IsADirectory(path)
        parent = self._parentOf(path)
        node = parent.children.get(path.name)
        if node is None:
            part = self._part(path)
            if part is None:
                raise NotFound(path)
            if part in self.tree.continued:
                raise Busy(path)
            del self.tree.parts[self._owner, path.parent, path.name]
            return
        if node.type is FileType.DIRECTORY:
            raise IsADirectory(path)
        parent.remove(path.name, self.tree.clock())

    async def rename(self, source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """See L{IFileSystem.rename}."""
        old, new = self._parentOf(source), self._parentOf(target)
        moved = self.tree.find(source)
        there = new.children.get(target.name)
        if moved.type is FileType.DIRECTORY and source != target and target.isWithin(source):
            raise InvalidName(source)
        if there is moved and replace:
            return
        if there is not None and (not replace or FileType.DIRECTORY in (there.type, moved.type)):
            raise AlreadyExists(target)
        now = self.tree.clock()
        old.remove(source.name, now)
        new.add(target.name, moved, now)

    async def setAttributes(self, path: VirtualPath, changes: AttributeChanges) -> None:
        """See L{IFileSystem.setAttributes}."""
        node = self.tree.find(path)
        if changes.mode is not None:
            if node.type is FileType.SYMLINK:
                raise OperationNotSupported(path)
            node.mode = changes.mode & 0o777
        if changes.modified is not None:
            node.modified = changes.modified
        if changes.accessed is not None:
            node.accessed = changes.accessed

    async def openForReading(self, path: VirtualPath) -> IReadHandle:
        """See L{IFileSystem.openForReading}."""
        node = self._regular(path)
        return MemoryReadHandle(node.attributes(), node.content)

    async def openForWriting(
        self, path: VirtualPath, disposition: Disposition, *, sizeHint: int | None = None
    ) -> IWriteHandle:
        """See L{IFileSystem.openForWriting}."""
        if not path.segments:
            raise IsADirectory(path)
        existing = self._parentOf(path).children.get(path.name)
        if existing is not None and disposition is Disposition.CREATE:
            raise AlreadyExists(path)
        if existing is not None:
            _requireRegular(existing, path)
        self.tree.requireRoom(sizeHint or 0, path)
        if disposition is Disposition.APPEND:
            base = existing or self._part(path)
            if base is not None:
                return self._continue(path, base, len(base.content))
        return MemoryWriteHandle(
            self.tree,
            self._owner,
            path,
            replace=disposition is not Disposition.CREATE,
            withheld=self._withheld,
        )

    # --- capabilities ---

    async def openForUpdate(
        self, path: VirtualPath, offset: int, *, sizeHint: int | None = None
    ) -> IWriteHandle:
        """See L{IRandomAccess.openForUpdate}."""
        if offset == 0:
            return await self.openForWriting(path, Disposition.REPLACE, sizeHint=sizeHint)
        if not path.segments:
            raise IsADirectory(path)
        base = self._parentOf(path).children.get(path.name) or self._part(path)
        if base is None:
            raise NotFound(path)
        _requireRegular(base, path)
        self.tree.requireRoom(max(0, (sizeHint or 0) - offset), path)
        if offset > len(base.content):
            raise InvalidOffset(path)
        return self._continue(path, base, offset)

    def _continue(self, path: VirtualPath, base: Node, offset: int) -> MemoryWriteHandle:
        if base in self.tree.continued:
            raise Busy(path)
        return MemoryWriteHandle(self.tree, self._owner, path, base=base, offset=offset)

    async def readLink(self, path: VirtualPath) -> str:
        """See L{ISymbolicLinks.readLink}."""
        node = self.tree.find(path)
        if node.type is not FileType.SYMLINK or self.tree.links == "refuse":
            raise NotFound(path)
        return node.target

    async def makeLink(self, path: VirtualPath, target: str) -> None:
        """See L{ISymbolicLinks.makeLink}."""
        if self.tree.links == "refuse":
            raise OperationNotSupported(path)
        if not target or "\0" in target:
            raise InvalidName(path, "invalid link")
        if not path.segments:
            raise AlreadyExists(path)
        parent = self._parentOf(path)
        if path.name in parent.children:
            raise AlreadyExists(path)
        link = self.tree.newNode(FileType.SYMLINK)
        link.target = target
        parent.add(path.name, link, self.tree.clock())

    async def space(self, path: VirtualPath) -> SpaceUsage:
        """See L{ISpaceUsage.space}."""
        capacity = self.tree.capacity
        if capacity is None:
            return SpaceUsage(1 << 62, None)
        return SpaceUsage(max(0, capacity - self.tree.used()), capacity)

    async def foldCase(self, path: VirtualPath) -> VirtualPath:
        """See L{ICaseFolding.foldCase}."""
        found = foldInMemory(path.segments, self.tree.root, childrenOf)
        if found is None:
            raise NotFound(path)
        if found == path.segments:
            # As it is called: a link in the way is an error as for any other verb.
            self.tree.find(path)
        return VirtualPath(found)

    async def copy(self, source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """See L{IServerSideCopy.copy}."""
        content = self._regular(source).content
        disposition = Disposition.REPLACE if replace else Disposition.CREATE
        handle = await self.openForWriting(target, disposition, sizeHint=len(content))
        try:
            await handle.writeAt(0, content)
            await handle.commit()
        finally:
            await handle.abort()

    async def digest(
        self, path: VirtualPath, algorithm: str, offset: int = 0, length: int | None = None
    ) -> bytes:
        """See L{IChecksums.digest}."""
        digest = Digest(path, algorithm)
        end = None if length is None else offset + length
        digest.feed(self._regular(path).content[offset:end])
        return digest.result()


def _requireRegular(node: Node, path: VirtualPath) -> Node:
    """
    @raise IsADirectory:
    @raise TooManyLinks: for a link, which is not followed.
    """
    if node.type is FileType.DIRECTORY:
        raise IsADirectory(path)
    if node.type is FileType.SYMLINK:
        raise TooManyLinks(path)
    return node
