"""
What every view of a local tree does beyond the ten verbs: the optional
capabilities, and the ways in which work gets to a worker and its errors back.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from zope.interface import implementer

from filehub.attributes import Disposition, FileAttributes, Ownership, SpaceUsage
from filehub.errors import FileSystemError, InvalidName, NotFound, OperationNotSupported
from filehub.interfaces import (
    ICaseFolding,
    IChecksums,
    IRandomAccess,
    IServerSideCopy,
    ISpaceUsage,
    ISymbolicLinks,
    IWriteHandle,
)
from filehub.paths import VirtualPath, decodeName, encodeName
from filehub.vfs import _openat
from filehub.vfs._casefold import foldOnDisk
from filehub.vfs._digests import Digest
from filehub.vfs._drafts import COPY_STEP, Draft, copyRange
from filehub.vfs._localfile import LocalReadHandle, LocalWriteHandle
from filehub.vfs._openat import Names
from filehub.vfs._openfile import OpenFile
from filehub.vfs._oserrors import errorFor
from filehub.vfs._syscalls import reflink

if TYPE_CHECKING:
    from filehub.vfs.local import LocalTree

_T = TypeVar("_T")


@implementer(IRandomAccess, ISymbolicLinks, ISpaceUsage, IServerSideCopy, IChecksums, ICaseFolding)
class LocalView:
    """
    @param owner: whose parts of broken uploads are shown.
    @param withheld: permission bits that nothing new gets.
    @param ownership: whose is what is new, if not the server's.
    """

    def __init__(
        self,
        tree: LocalTree,
        owner: str,
        withheld: int = 0,
        ownership: Ownership | None = None,
    ) -> None:
        self._tree = tree
        self._owner = owner
        self._withheld = withheld
        self._ownership = ownership
        self._uploads = tree.uploads.masked(withheld) if withheld else tree.uploads
        if ownership is not None:
            self._uploads = self._uploads.ownedBy(ownership)

    # --- how work is done ---

    async def _hop(self, path: VirtualPath, function: Callable[..., _T], *args: Any) -> _T:
        """One piece of work for a worker, with its errors in our words."""
        try:
            return await self._tree.root.work(function, *args)
        except OSError as error:
            raise errorFor(error, path) from error
        except FileSystemError as error:
            raise _at(path, error) from error

    async def _open(
        self,
        path: VirtualPath,
        discard: Callable[[_T], object],
        function: Callable[..., _T],
        *args: Any,
    ) -> _T:
        """The same for work whose result must be closed if nobody waits for it."""
        try:
            return await self._tree.root.work(function, *args, discard=discard)
        except OSError as error:
            raise errorFor(error, path) from error
        except FileSystemError as error:
            raise _at(path, error) from error

    def _seen(self, path: VirtualPath) -> Names:
        """The names of something that is looked up."""
        if _openat.isReserved(path):
            raise NotFound(path)
        return _openat.encodeNames(path)

    def _made(self, path: VirtualPath) -> Names:
        """The names of something that is to exist."""
        if _openat.isReserved(path):
            raise InvalidName(path, "reserved name")
        return _openat.encodeNames(path)

    def _reader(
        self, path: VirtualPath, descriptor: int, attributes: FileAttributes
    ) -> LocalReadHandle:
        tree = self._tree
        return LocalReadHandle(
            OpenFile(descriptor, tree.workers),
            attributes,
            path,
            tree.inPlace,
            tree.readFlags,
            tree.scratch,
        )

    def _writer(self, path: VirtualPath, draft: Draft) -> LocalWriteHandle:
        tree = self._tree
        return LocalWriteHandle(draft, path, tree.facts, tree.inPlace, tree.root)

    async def _prepared(
        self, path: VirtualPath, begin: Callable[..., Draft], *args: Any
    ) -> LocalWriteHandle:
        """A draft that may have to be filled with what is published, step by step."""
        draft, ready = await self._open(path, _discardDraft, _beginDraft, begin, *args)
        handle = self._writer(path, draft)
        try:
            while not ready:
                ready = await self._hop(path, draft.prepare)
        except BaseException:
            await handle.abort()
            raise
        return handle

    # --- capabilities ---

    async def openForUpdate(
        self, path: VirtualPath, offset: int, *, sizeHint: int | None = None
    ) -> IWriteHandle:
        """See L{IRandomAccess.openForUpdate}."""
        names = self._made(path)
        return await self._prepared(
            path, self._uploads.resume, self._owner, names, offset, sizeHint
        )

    async def readLink(self, path: VirtualPath) -> str:
        """See L{ISymbolicLinks.readLink}."""
        names = self._seen(path)
        if self._tree.links == "refuse":
            raise NotFound(path)
        text = await self._hop(path, _openat.readLink, self._tree.root.descriptor, names)
        return decodeName(text)

    async def makeLink(self, path: VirtualPath, target: str) -> None:
        """See L{ISymbolicLinks.makeLink}."""
        names = self._made(path)
        if self._tree.links == "refuse":
            raise OperationNotSupported(path)
        if not target or "\0" in target:
            raise InvalidName(path, "invalid link")
        text = encodeName(target)
        await self._hop(path, _openat.makeLink, self._tree.root.descriptor, names, text)

    async def space(self, path: VirtualPath) -> SpaceUsage:
        """See L{ISpaceUsage.space}."""
        names = self._seen(path)
        return await self._hop(path, _space, self._tree.root.descriptor, names)

    async def foldCase(self, path: VirtualPath) -> VirtualPath:
        """See L{ICaseFolding.foldCase}."""
        self._seen(path)
        found = await self._hop(path, foldOnDisk, self._tree.root.descriptor, path.segments)
        if found is None:
            raise NotFound(path)
        return found

    async def copy(self, source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """See L{IServerSideCopy.copy}."""
        old, new = self._seen(source), self._made(target)
        tree = self._tree
        opened, status = await self._open(
            source, _discardOpened, _openat.openRegularPath, tree.root.descriptor, old, _openat.READ
        )
        file = OpenFile(opened, tree.workers)
        try:
            disposition = Disposition.REPLACE if replace else Disposition.CREATE
            handle = await self._prepared(
                target, self._uploads.begin, self._owner, new, disposition, status.st_size
            )
            try:
                with handle.lease() as descriptor:
                    await self._copyAll(file, descriptor, status.st_size, target)
                await handle.commit()
            finally:
                await handle.abort()
        finally:
            file.close(small=True)

    async def _copyAll(self, source: OpenFile, target: int, length: int, path: VirtualPath) -> None:
        try:
            if length and await source.work(reflink, source.descriptor, target):
                return
            done = 0
            while step := await source.work(copyRange, source.descriptor, target, done, COPY_STEP):
                done += step
        except OSError as error:
            raise errorFor(error, path) from error

    async def digest(
        self, path: VirtualPath, algorithm: str, offset: int = 0, length: int | None = None
    ) -> bytes:
        """See L{IChecksums.digest}."""
        names = self._seen(path)
        tree = self._tree
        digest = Digest(path, algorithm)
        opened, status = await self._open(
            path, _discardOpened, _openat.openRegularPath, tree.root.descriptor, names, _openat.READ
        )
        file = OpenFile(opened, tree.workers)
        try:
            return await tree.digests.of(file, status, digest, offset, length)
        except OSError as error:
            raise errorFor(error, path) from error
        finally:
            file.close(small=True)


def _at(path: VirtualPath, error: FileSystemError) -> FileSystemError:
    """An error that was raised where the virtual path is not known."""
    return error if error.path is not None else type(error)(path, error.detail)


def _beginDraft(begin: Callable[..., Draft], *args: Any) -> tuple[Draft, bool]:
    draft = begin(*args)
    try:
        return draft, draft.prepare()
    except BaseException:
        _discardDraft((draft, False))
        raise


def _discardDraft(begun: tuple[Draft, bool]) -> None:
    draft = begun[0]
    try:
        draft.abandon()
    finally:
        try:
            draft.close()
        finally:
            os.close(draft.descriptor)


def _discardOpened(opened: tuple[int, os.stat_result]) -> None:
    os.close(opened[0])


def _space(root: int, names: Names) -> SpaceUsage:
    directory = _openat.openNearestDirectory(root, names)
    try:
        room = os.fstatvfs(directory)
    finally:
        os.close(directory)
    return SpaceUsage(room.f_bavail * room.f_frsize, room.f_blocks * room.f_frsize)
