"""
Ledgers for tests: a real database, no threads and no time of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from twisted.internet.task import Clock

from filehub.interfaces import IStorage
from filehub.paths import ROOT, VirtualPath
from filehub.state.database import StateDatabase
from filehub.state.figures import Figures
from filehub.state.ledger import FLUSH, UsageLedger
from filehub.state.records import SCHEMA, UsageRecords
from filehub.usage import Quota
from filehub.vfs.claims import Claims
from filehub.vfs.measuring import MountedMeasure
from filehub.vfs.mount import mounted
from filehub.vfs.quota import NOBODY, QuotaFileSystem
from filehub.vfs.workers import ImmediateWorkers


class Books:
    """
    A ledger over some storages.

    @param path: of the database; L{None}: in memory.
    """

    def __init__(
        self,
        mounts: Mapping[str, IStorage],
        quotas: Mapping[str, Quota],
        path: Path | None = None,
        figures: Figures | None = None,
    ) -> None:
        self.mounts = {ROOT.join(point): storage for point, storage in mounts.items()}
        self.clock = Clock()
        self.database = StateDatabase(path, SCHEMA, ImmediateWorkers())
        self.database.open(exclusive=False)
        self.measure = MountedMeasure(self.mounts)
        records = UsageRecords(self.database)
        self.ledger = UsageLedger(self.clock, records, self.measure, figures)
        limits = {ROOT.join(each): quota for each, quota in quotas.items()}
        if figures is None or figures.seat < 0:
            self.ledger.load(limits)
        else:
            # Read it has the process that this one comes from.
            for place, quota in limits.items():
                self.ledger.setQuota(place, quota)
        self.claims = Claims(self.ledger)

    def view(self, owner: str = "ada") -> QuotaFileSystem:
        """What an account sees."""
        plain, inner = (
            mounted({point: storage.viewFor(name) for point, storage in self.mounts.items()})
            for name in (NOBODY, owner)
        )
        return QuotaFileSystem(inner, plain, owner, self.claims, self.measure)

    def used(self, path: str = "/") -> tuple[int, int]:
        """Bytes and names below a directory with a quota, as the ledger knows it."""
        (root,) = [root for root in self.ledger.roots if root.path == ROOT.join(path)]
        return root.nbytes, root.nfiles

    def held(self, path: str = "/") -> tuple[int, int]:
        """What is reserved there."""
        (root,) = [root for root in self.ledger.roots if root.path == ROOT.join(path)]
        return root.heldBytes, root.heldFiles

    async def truth(
        self, path: str = "/", owners: tuple[str, ...] = ("ada", "bob")
    ) -> tuple[int, int]:
        """What is really there."""
        found = await self.measure.measure(ROOT.join(path), owners)
        return found.nbytes + sum(found.parts.values()), found.nfiles + len(found.parts)

    def rows(self) -> list[tuple[str, int, int, bool]]:
        """What is written down."""
        rows, _ = UsageRecords(self.database).load()
        return [(str(row.path), row.nbytes, row.nfiles, row.exact) for row in rows]

    def flush(self) -> None:
        """Let it be written."""
        self.clock.advance(FLUSH)

    def close(self) -> None:
        """As a crash does: nothing more is written."""
        self.database.closeNow()


def at(path: str) -> VirtualPath:
    """The path of this name."""
    return ROOT.join(path)
