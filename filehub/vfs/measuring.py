"""
How much lies below a directory: the truth that usage is checked against.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from filehub.attributes import FileType
from filehub.errors import FileSystemError
from filehub.interfaces import IStorage
from filehub.paths import VirtualPath, decodeName
from filehub.usage import IMeasurable, Measure
from filehub.vfs import _openat
from filehub.vfs._openat import STAGING, Names
from filehub.vfs._staging import Staging

if TYPE_CHECKING:
    from filehub.vfs.memory import MemoryTree


def measureFolder(
    root: int, staging: Staging, names: Names, owners: Collection[str], without: frozenset[Names]
) -> Measure:
    """
    Walk a folder; blocks for as long as that takes.  Directories that vanish meanwhile
    count for nothing.

    @raise OSError: a directory that cannot be read: what is in it would not count.
    """
    staging.refresh()
    nbytes = nfiles = 0
    parts: dict[tuple[str, VirtualPath], int] = {}
    pending = [names]
    while pending:
        here = pending.pop()
        try:
            directory = _openat.openDirectory(root, here)
        except (FileNotFoundError, NotADirectoryError):
            continue
        try:
            readable = _openat.reopenForListing(directory)
        finally:
            os.close(directory)
        try:
            with os.scandir(readable) as entries:
                for entry in entries:
                    name = os.fsencode(entry.name)
                    there = (*here, name)
                    if there == (STAGING,) or there in without:
                        continue
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    nfiles += 1
                    if stat.S_ISREG(status.st_mode):
                        nbytes += status.st_size
                    elif stat.S_ISDIR(status.st_mode):
                        pending.append(there)
        finally:
            os.close(readable)
        place = VirtualPath([decodeName(name) for name in here])
        for owner in owners:
            for name, size in staging.partsIn(owner, here):
                parts[owner, place.child(decodeName(name))] = size
    return Measure(nbytes, nfiles, parts)


def measureMemory(
    tree: MemoryTree,
    path: VirtualPath,
    owners: Collection[str],
    without: Collection[VirtualPath],
) -> Measure:
    """The same for a tree in memory."""
    nbytes = nfiles = 0
    pending = [path]
    try:
        tree.findDirectory(path)
    except FileSystemError:
        pending.clear()
    while pending:
        here = pending.pop()
        for name, child in tree.find(here).children.items():
            there = here.child(name)
            if there in without:
                continue
            nfiles += 1
            nbytes += len(child.content)
            if child.type is FileType.DIRECTORY:
                pending.append(there)
    parts = {
        (owner, directory.child(name)): len(part.content)
        for (owner, directory, name), part in tree.parts.items()
        if owner in owners and directory.isWithin(path)
    }
    return Measure(nbytes, nfiles, parts)


class MountedMeasure:
    """
    Measures across all mounts.

    @param mounts: as for a mount table.  What is not L{IMeasurable} counts for nothing.
    """

    def __init__(self, mounts: Mapping[VirtualPath, IStorage]) -> None:
        self._mounts = {
            point: measurable
            for point, storage in mounts.items()
            if (measurable := IMeasurable(storage, None)) is not None
        }
        self._points = sorted(mounts, key=lambda point: -len(point.segments))

    async def measure(self, path: VirtualPath, owners: Collection[str]) -> Measure:
        """See L{IMeasurable.measure}; what mounts hide is left out."""
        nbytes = nfiles = 0
        parts: dict[tuple[str, VirtualPath], int] = {}
        above = next((point for point in self._points if path.isWithin(point)), None)
        for point in self._points:
            if point != above and not point.isWithin(path):
                continue
            storage = self._mounts.get(point)
            if storage is None:
                continue
            start = path if point == above else point
            without = [
                each.relativeTo(point)
                for each in self._points
                if each != point and each.isWithin(point)
            ]
            found = await storage.measure(start.relativeTo(point), owners, without)
            nbytes += found.nbytes
            nfiles += found.nfiles
            for (owner, inner), size in found.parts.items():
                parts[owner, inner.below(point)] = size
        return Measure(nbytes, nfiles, parts)

    async def partSize(self, owner: str, path: VirtualPath) -> int | None:
        """See L{IMeasurable.partSize}."""
        point = next((each for each in self._points if path.isWithin(each)), None)
        storage = None if point is None else self._mounts.get(point)
        if point is None or storage is None:
            return None
        size: int | None = await storage.partSize(owner, path.relativeTo(point))
        return size
