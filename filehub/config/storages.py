"""
From C{[[mount]]} to the storage that it names.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from zope.interface import implementer

from filehub.accounts.patterns import NamePatterns
from filehub.config.schema import Configuration, Mount
from filehub.interfaces import IFileSystem, IStorage
from filehub.paths import VirtualPath
from filehub.vfs.bounds import BoundedStorage
from filehub.vfs.local import LocalTree
from filehub.vfs.readonly import ReadOnlyFileSystem
from filehub.vfs.web import WebServer, WebTree
from filehub.vfs.workers import FileWorkers


def openStorage(reactor: Any, workers: FileWorkers, mount: Mount) -> IStorage:
    """The storage of a mount; nothing of it is looked at yet."""
    if not isinstance(mount.source, Path):
        return WebTree(reactor, WebServer(reactor, mount.source.url))
    tree = LocalTree(
        mount.source,
        workers,
        links=mount.links,
        partial=mount.partial,
        fsync=mount.fsync,
        clock=time.time,
    )
    if mount.read_only:
        return _ReadOnlyStorage(tree)
    if mount.largest_file is None and not mount.reserve:
        return tree
    return BoundedStorage(tree, reactor.seconds, largest=mount.largest_file, reserve=mount.reserve)


def namesOf(values: Configuration) -> dict[VirtualPath, NamePatterns]:
    """What each mount says of names."""
    return {mount.path: mount.names or NamePatterns() for mount in values.mount}


@implementer(IStorage)
class _ReadOnlyStorage:
    """A mount with C{read_only = true}."""

    def __init__(self, storage: IStorage) -> None:
        self._storage = storage

    def viewFor(self, owner: str) -> IFileSystem:
        return ReadOnlyFileSystem(self._storage.viewFor(owner))

    async def sweep(self) -> None:
        """Nothing was ever written here."""

    async def close(self) -> None:
        await self._storage.close()
