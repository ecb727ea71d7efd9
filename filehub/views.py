"""
The same file system with a difference: optional, asked of an account's file system as
other capabilities are.  They give no permission, and take none away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from zope.interface import Interface

from filehub.attributes import DirectoryEntry, Ownership
from filehub.interfaces import IFileSystem, IWriteHandle
from filehub.paths import VirtualPath

T = TypeVar("T")


class ILiteralView(Interface):
    """
    Of file systems that follow links: for work on whole trees, where a link that
    somebody puts in the way must not lead elsewhere.
    """

    def literalView() -> IFileSystem:
        """
        The same, but no method follows any link: paths have to be
        L{resolved<IFileSystem.resolve>}.
        """


class ICreationMask(Interface):
    """Of file systems with permission bits."""

    def masked(withheld: int) -> IFileSystem:
        """The same, but what comes into being there lacks these bits, too."""


class ICreationOwner(Interface):
    """Of file systems whose files belong to users of the system."""

    def ownedBy(ownership: Ownership | None) -> IFileSystem:
        """
        The same, but files and directories that come into being there are theirs;
        L{None}: the server's.
        """


class IWorkedPages(Interface):
    """
    Of directory handles whose pages are read in other threads: what is made of a page
    may be made there as well, at half the price and without keeping the reactor.
    """

    async def nextWorked(work: Callable[[Sequence[DirectoryEntry]], T]) -> T:
        """
        What C{work} makes of the L{next page<IDirectoryHandle.nextPage>}.  It runs in
        another thread, and its errors are C{nextWorked}'s.
        """


class IAtOnce(Interface):
    """
    What takes no time, without waiting for it: small files that are in memory.

    These are verbs of L{IFileSystem} under the same conditions, permissions included, as
    far as they succeed at once.  L{None} means that nothing has happened, whatever the
    reason: then the verb itself has to be asked.
    """

    def readAtOnce(path: VirtualPath, most: int) -> bytes | None:
        """
        All of a file of at most so many bytes, as L{IFileSystem.openForReading} gives it.
        """

    def replaceAtOnce(path: VirtualPath) -> IWriteHandle | None:
        """
        As L{IFileSystem.openForWriting} to replace what is there.  The handle may
        provide L{IStoresAtOnce}.
        """


class IStoresAtOnce(Interface):
    """On write handles."""

    def storeAtOnce(content: bytes) -> bool:
        """
        Write this, to which nothing may have been written, and commit; see
        L{IWriteHandle}.  False: nothing has happened.

        @raise FileSystemError: nothing was published; the handle still wants its
            C{abort}.
        """


__all__ = [
    "IAtOnce",
    "ICreationMask",
    "ICreationOwner",
    "ILiteralView",
    "IStoresAtOnce",
    "IWorkedPages",
]
