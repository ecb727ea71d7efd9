"""
What lies on a web server, below one address, as a tree that can be read.

Theory of operation
===================

Opening a file asks for its first piece; the answer tells the length and the time of
the whole.  Further pieces are asked for as they are read, each only once for all who
read it, and remembered in a cache of bounded size.  A server that knows no ranges
sends the whole file at once, which is taken up to a bound.  What changes while it is
read is an error, never a mixture.

Clients choose nothing but names below the address that the operator chose: a virtual
path has no C{..}, and what would end a path in a URL (C{?}, C{#}, C{%}) is escaped.
Folders are what the server says they are (it adds a slash); they cannot be listed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any, Final
from urllib.parse import quote

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from filehub.attributes import FileAttributes, FileType
from filehub.errors import (
    FileTooLarge,
    IsADirectory,
    NotADirectory,
    NotFound,
    OperationNotSupported,
    PermissionDenied,
    StorageUnavailable,
)
from filehub.interfaces import IDirectoryHandle, IFileSystem, IReadHandle, IStorage
from filehub.paths import ROOT, VirtualPath, encodeName
from filehub.vfs._http import Piece, TooLong, WebServer
from filehub.vfs.readonly import ReadOnlyFileSystem

#: Octets of one piece.
PIECE: Final = 1 << 20
#: Octets of a file whose server knows no ranges.
MAXIMUM_WHOLE: Final = 64 << 20
#: Seconds for which it is not asked again whether a file has changed.
_FRESH: Final = 5.0
#: Files that are remembered.
_MAXIMUM_FILES: Final = 4096

_FOLDER: Final = FileAttributes(FileType.DIRECTORY, 0, 0.0, mode=0o555)


class _Resource:
    """
    One version of one file.

    @ivar pieces: their numbers, and what is being fetched.
    """

    __slots__ = ("askedAt", "attributes", "fetching", "name", "pieces", "validator")

    def __init__(self, name: str, validator: str, attributes: FileAttributes) -> None:
        self.name = name
        self.validator = validator
        self.attributes = attributes
        self.pieces: dict[int, bytes] = {}
        self.fetching: dict[int, list[Deferred[bytes]]] = {}
        self.askedAt = 0.0

    @property
    def size(self) -> int:
        return self.attributes.size


@implementer(IStorage)
class WebTree:
    """
    A web server as a storage; every account sees the same of it.
    """

    def __init__(self, reactor: Any, server: WebServer, *, cache: int = 64 << 20) -> None:
        """
        @param reactor: provides L{IReactorTime}.
        @param cache: octets that are remembered, besides what is just being read.
        """
        self._clock = reactor
        self._server = server
        self._capacity = cache
        self._used = 0
        self._resources: OrderedDict[VirtualPath, _Resource] = OrderedDict()
        self._finding: dict[VirtualPath, list[Deferred[_Resource | None]]] = {}
        #: Pieces that are remembered, those used last at the end.
        self._recent: OrderedDict[tuple[_Resource, int], None] = OrderedDict()

    def viewFor(self, owner: str) -> IFileSystem:
        """See L{IStorage.viewFor}."""
        return WebFileSystem(self)

    async def sweep(self) -> None:
        """Nothing is ever written here."""

    async def close(self) -> None:
        """See L{IStorage.close}."""
        self._resources.clear()
        self._recent.clear()
        await self._server.close()

    # --- files ---

    async def find(self, path: VirtualPath) -> _Resource | None:
        """
        The file as it is now; L{None} for a folder.

        @raise NotFound: and what else a web server can answer.
        """
        known = self._resources.get(path)
        now: float = self._clock.seconds()
        if known is not None and now - known.askedAt < _FRESH:
            self._resources.move_to_end(path)
            return known
        # Many machines that boot ask for the same at the same time.
        waiter: Deferred[_Resource | None] = Deferred()
        waiters = self._finding.get(path)
        if waiters is not None:
            waiters.append(waiter)
        else:
            self._finding[path] = [waiter]
            work = Deferred.fromCoroutine(self._look(path, known, now))
            work.addBoth(self._found, path)
        return await waiter

    def _found(self, result: _Resource | Failure | None, path: VirtualPath) -> None:
        for waiter in self._finding.pop(path):
            if not waiter.called:
                waiter.callback(result)

    async def _look(
        self, path: VirtualPath, known: _Resource | None, now: float
    ) -> _Resource | None:
        name = "/".join(quote(encodeName(each), safe="") for each in path.segments)
        piece = await self._ask(path, name, 0)
        if piece.isFolder:
            return None
        found = self._version(path, name, piece, known)
        found.askedAt = now
        self._resources[path] = found
        self._resources.move_to_end(path)
        if len(self._resources) > _MAXIMUM_FILES:
            self._resources.popitem(last=False)
        return found

    async def _ask(self, path: VirtualPath, name: str, number: int) -> Piece:
        try:
            piece = await self._server.ask(name, number * PIECE, PIECE, MAXIMUM_WHOLE)
        except TooLong:
            raise FileTooLarge(path, "too long for a web server without ranges") from None
        except StorageUnavailable as error:
            raise type(error)(path, error.detail) from error
        if piece.status in (404, 410):
            raise NotFound(path)
        if piece.status in (401, 403):
            raise PermissionDenied(path)
        if piece.status == 206:
            start = number * PIECE
            if piece.start != start or len(piece.data) != min(PIECE, (piece.total or 0) - start):
                raise StorageUnavailable(path, "the web server sends another range")
            return piece
        if piece.isFolder or piece.status == 200 or piece.total == 0:
            return piece
        raise StorageUnavailable(path, f"the web server answers {piece.status}")

    def _version(
        self, path: VirtualPath, name: str, piece: Piece, known: _Resource | None
    ) -> _Resource:
        """The version that this piece is of: the known one or another."""
        size = piece.total or 0
        if known is not None and known.validator == piece.validator != "" and known.size == size:
            return known
        attributes = FileAttributes(
            FileType.REGULAR, size, piece.modified or 0.0, mode=0o444, links=1
        )
        found = _Resource(name, piece.validator, attributes)
        if piece.status == 200:
            # All of it: there is no other way to get a part.
            for number in range((size + PIECE - 1) // PIECE):
                self._keep(found, number, piece.data[number * PIECE : (number + 1) * PIECE])
        elif piece.data:
            self._keep(found, 0, piece.data)
        return found

    # --- pieces ---

    def cached(self, resource: _Resource, number: int) -> bytes | None:
        """A piece, if it is here."""
        data = resource.pieces.get(number)
        if data is not None and (resource, number) in self._recent:
            self._recent.move_to_end((resource, number))
        return data

    def _keep(self, resource: _Resource, number: int, data: bytes) -> None:
        resource.pieces[number] = data
        self._recent[resource, number] = None
        self._used += len(data)
        while self._used > self._capacity and len(self._recent) > 1:
            (old, piece), _ = self._recent.popitem(last=False)
            self._used -= len(old.pieces.pop(piece))

    async def piece(self, path: VirtualPath, resource: _Resource, number: int) -> bytes:
        """
        A piece, fetched if need be; whoever else wants it waits for the same.

        @raise StorageUnavailable: the file is another one now, or cannot be had.
        """
        waiter: Deferred[bytes] = Deferred()
        waiters = resource.fetching.get(number)
        if waiters is not None:
            waiters.append(waiter)
        else:
            resource.fetching[number] = [waiter]
            work = Deferred.fromCoroutine(self._fetch(path, resource, number))
            work.addBoth(self._fetched, resource, number)
        return await waiter

    async def _fetch(self, path: VirtualPath, resource: _Resource, number: int) -> bytes:
        piece = await self._ask(path, resource.name, number)
        start = number * PIECE
        data = piece.data
        if piece.status == 200:
            data = data[start : start + PIECE]
        changed = piece.total != resource.size or piece.validator != resource.validator
        if changed or len(data) != min(PIECE, resource.size - start):
            raise StorageUnavailable(path, "the file has changed meanwhile")
        self._keep(resource, number, data)
        return data

    def _fetched(self, result: bytes | Failure, resource: _Resource, number: int) -> None:
        for waiter in resource.fetching.pop(number):
            if not waiter.called:
                waiter.callback(result)


class WebFileSystem(ReadOnlyFileSystem):
    """See L{WebTree}."""

    capabilities = ()

    def __init__(self, tree: WebTree) -> None:
        super().__init__(self)
        self._tree = tree

    def resolve(
        self, path: VirtualPath, *, followFinal: bool = True
    ) -> Coroutine[Any, Any, VirtualPath]:
        """See L{IFileSystem.resolve}.  There are no links."""
        return _itself(path)

    async def stat(self, path: VirtualPath) -> FileAttributes:
        """See L{IFileSystem.stat}."""
        if path == ROOT:
            return _FOLDER
        found = await self._tree.find(path)
        return found.attributes if found is not None else _FOLDER

    async def enterDirectory(self, path: VirtualPath) -> None:
        """See L{IFileSystem.enterDirectory}."""
        if not (await self.stat(path)).isDirectory:
            raise NotADirectory(path)

    async def openDirectory(self, path: VirtualPath) -> IDirectoryHandle:
        """Folders cannot be listed."""
        await self.enterDirectory(path)
        raise OperationNotSupported(path, "a web server has no listings")

    async def openForReading(self, path: VirtualPath) -> IReadHandle:
        """See L{IFileSystem.openForReading}."""
        found = await self._tree.find(path) if path != ROOT else None
        if found is None:
            raise IsADirectory(path)
        return _WebReadHandle(self._tree, path, found)


async def _itself(path: VirtualPath) -> VirtualPath:
    return path


@implementer(IReadHandle)
class _WebReadHandle:
    """One version of a file, whose pieces are where they are."""

    def __init__(self, tree: WebTree, path: VirtualPath, resource: _Resource) -> None:
        self.attributes = resource.attributes
        self._tree = tree
        self._path = path
        self._resource: _Resource | None = resource

    async def readAt(self, offset: int, length: int) -> bytes:
        """See L{IReadHandle.readAt}."""
        parts: list[bytes] = []
        end = min(offset + length, self.attributes.size)
        while offset < end:
            resource = self._resource
            if resource is None:
                break
            number, inside = divmod(offset, PIECE)
            data = self._tree.cached(resource, number)
            if data is None:
                data = await self._tree.piece(self._path, resource, number)
            part = data[inside : inside + end - offset]
            parts.append(part)
            offset += len(part)
        if self._resource is None:
            raise StorageUnavailable(self._path, "the file is closed")
        return b"".join(parts) if len(parts) != 1 else parts[0]

    async def close(self) -> None:
        """See L{IReadHandle.close}."""
        self._resource = None


__all__ = ["WebFileSystem", "WebServer", "WebTree"]
