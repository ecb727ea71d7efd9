"""
Reading directories page by page.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

from zope.interface import implementer

from filehub.attributes import DirectoryEntry, FileAttributes, FileType
from filehub.interfaces import IDirectoryHandle
from filehub.paths import VirtualPath, decodeName, encodeName
from filehub.vfs._oserrors import errorFor
from filehub.vfs.workers import Workers
from filehub.views import IWorkedPages

T = TypeVar("T")

#: Entries a page: some milliseconds of a worker's time on a cold disk cache.
PAGE: Final = 512

#: Do the names that the interpreter makes of entries look like ours already?
_SAME_NAMES: Final = (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()) == (
    "utf-8",
    "surrogateescape",
)


class Listing:
    """
    The blocking side: the entries of one open directory, a page at a time.

    @param directory: a readable descriptor, which becomes this object's.
    @param hidden: names that are passed over.
    @param extra: called at the end, with the descriptor, for entries that are in no
        directory: the account's resumable parts.
    """

    def __init__(
        self,
        directory: int,
        attributes: Callable[[os.stat_result], FileAttributes],
        *,
        hidden: frozenset[str] = frozenset(),
        tellTargets: bool = False,
        extra: Callable[[int], Iterator[DirectoryEntry]] | None = None,
    ) -> None:
        self._directory = directory
        self._attributes = attributes
        self._hidden = hidden
        self._tellTargets = tellTargets
        self._extra = extra
        try:
            self._scan = os.scandir(directory)
        except BaseException:
            os.close(directory)
            raise
        self._extras: Iterator[DirectoryEntry] | None = None
        # A page may still be read by a worker when nobody waits for it any more.
        self._lock = threading.Lock()
        self._closed = False
        self.atEnd = False

    def page(self) -> list[DirectoryEntry]:
        """The next entries; none at the end."""
        with self._lock:
            if self._closed or self.atEnd:
                return []
            page: list[DirectoryEntry] = []
            self._read(page)
            if len(page) < PAGE:
                if self._extra is not None and self._extras is None:
                    self._extras = self._extra(self._directory)
                if self._extras is not None:
                    page += islice(self._extras, PAGE - len(page))
            self.atEnd = len(page) < PAGE
            return page

    def close(self) -> None:
        """Waits for a page that is being read."""
        with self._lock:
            self._close()

    def closeAtOnce(self) -> bool:
        """Close, unless that would have to wait: then say False."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._close()
        finally:
            self._lock.release()
        return True

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._extras = None
            self._scan.close()
            os.close(self._directory)

    def _read(self, page: list[DirectoryEntry]) -> None:
        """Fill the page with what is in the directory."""
        # For the sake of directories of many thousands: locals, and tuples that are made
        # without asking the class how.
        attributes, hidden, add, new = self._attributes, self._hidden, page.append, tuple.__new__
        room = PAGE - len(page)
        for entry in self._scan:
            name = entry.name if _SAME_NAMES else decodeName(os.fsencode(entry.name))
            if name in hidden:
                continue
            try:
                facts = attributes(entry.stat(follow_symlinks=False))
            except OSError:
                # It vanished meanwhile, or nothing may be known of it.  One bad
                # entry never costs the others.
                continue
            target = None
            if self._tellTargets and facts.type is FileType.SYMLINK:
                target = self._targetOf(name)
            add(new(DirectoryEntry, (name, facts, target)))
            room -= 1
            if not room:
                return

    def _targetOf(self, name: str) -> str | None:
        try:
            return decodeName(os.readlink(encodeName(name), dir_fd=self._directory))
        except OSError:
            return None


@implementer(IDirectoryHandle, IWorkedPages)
class LocalDirectoryHandle:
    """A L{Listing} whose pages are read by workers; the first comes with the opening."""

    def __init__(
        self, listing: Listing, first: list[DirectoryEntry], path: VirtualPath, workers: Workers
    ) -> None:
        self._listing = listing
        self._ready: list[DirectoryEntry] | None = first
        self._path = path
        self._workers = workers

    async def nextPage(self) -> Sequence[DirectoryEntry]:
        """See L{IDirectoryHandle.nextPage}."""
        if self._ready is not None:
            page, self._ready = self._ready, None
            return page
        if self._listing.atEnd:
            return ()
        return await self._read(self._listing.page)

    async def nextWorked(self, work: Callable[[Sequence[DirectoryEntry]], T]) -> T:
        """See L{IWorkedPages.nextWorked}."""
        if self._ready is not None or self._listing.atEnd:
            return work(await self.nextPage())
        return await self._read(lambda: work(self._listing.page()))

    async def _read(self, read: Callable[[], T]) -> T:
        try:
            return await self._workers.run(read)
        except OSError as error:
            raise errorFor(error, self._path) from error

    async def close(self) -> None:
        """See L{IDirectoryHandle.close}."""
        self._ready = None
        self._listing.atEnd = True
        if not self._listing.closeAtOnce():
            await self._workers.call(self._listing.close, always=True)
