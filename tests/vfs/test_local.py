"""
A folder of this machine against the contract, in each of the ways that it can be
carried out: on the calling thread where nothing waits, by workers, without
C{O_TMPFILE}, with every byte on the disk, and in a file system that is memory.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from filehub.interfaces import IStorage
from filehub.vfs.local import LocalTree
from filehub.vfs.workers import FileWorkers, ImmediateWorkers, Workers
from tests.contract.capabilities import CapabilityContract, LinkContract
from tests.contract.filesystem import FileSystemContract, ReadingContract
from tests.contract.support import ContractCase
from tests.contract.uploads import PartialContract, UpdateContract, WritingContract
from tests.vfs.local_support import openDescriptors


class OnDisk(ContractCase):
    """How one is made, and that it leaves no descriptor behind."""

    options: dict[str, Any] = {}

    def setUp(self) -> None:
        super().setUp()
        self.before = openDescriptors()
        self.addCleanup(self.checkDescriptors)

    def makeWorkers(self) -> Workers:
        return ImmediateWorkers()

    def makeFolder(self) -> Path:
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        return folder

    def makeStorage(self, **options: Any) -> IStorage:
        tree = LocalTree(self.makeFolder(), self.makeWorkers(), **{**self.options, **options})
        self.addCleanup(lambda: Deferred.fromCoroutine(tree.close()))
        return tree

    def checkDescriptors(self) -> None:
        """Whatever a test did, nothing stays open."""
        self.assertEqual(openDescriptors() - self.before, set())


class ByWorkers(OnDisk):
    """Every verb is a piece of work for a worker."""

    options = {"inPlace": False}


class WithoutUnnamedFiles(OnDisk):
    """As on a file system without C{O_TMPFILE}."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(os, "O_TMPFILE", os.O_RDONLY | os.O_DIRECTORY)


class OnTheDisk(OnDisk):
    """With C{fsync = "commit"}."""

    options = {"fsync": "commit"}


class InTmpfs(OnDisk):
    """Where memory is all there is."""

    if not os.access("/dev/shm", os.W_OK):
        skip = "no tmpfs here"

    def makeFolder(self) -> Path:
        folder = tempfile.mkdtemp(dir="/dev/shm")
        self.addCleanup(shutil.rmtree, folder)
        return Path(folder)


class InThreads(OnDisk):
    """With real threads, and nothing in place."""

    options = {"inPlace": False}

    def makeWorkers(self) -> Workers:
        workers = FileWorkers(reactor, threads=3)
        self.addCleanup(workers.stop)
        return workers


def _makeCases() -> None:
    """One test case for each way and each contract."""
    for way in (OnDisk, ByWorkers, WithoutUnnamedFiles, OnTheDisk, InTmpfs, InThreads):
        for contract in (
            FileSystemContract,
            ReadingContract,
            WritingContract,
            PartialContract,
            UpdateContract,
            LinkContract,
            CapabilityContract,
        ):
            name = f"{contract.__name__.removesuffix('Contract')}{way.__name__}Tests"
            members = {"__doc__": f"{contract.__doc__} {way.__doc__}", "__module__": __name__}
            globals()[name] = type(name, (way, contract, TestCase), members)


_makeCases()
