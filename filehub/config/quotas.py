"""
Which directories have quotas, and the service that keeps count.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from filehub.accounts.realm import Limiting
from filehub.accounts.records import ANONYMOUS_NAME, AccountRecord
from filehub.config.homes import homeOf
from filehub.config.limits import transferSettings
from filehub.config.schema import Configuration, Group, Limits, User
from filehub.config.values import Stored
from filehub.credentials import ConnectionInfo
from filehub.errors import ConfigurationError, FileHubError
from filehub.interfaces import ISessionLimits, IStorage
from filehub.paths import ROOT, VirtualPath
from filehub.state.brought import BroughtQuotas, BroughtRecords, smallest
from filehub.state.database import StateDatabase
from filehub.state.figures import Figures
from filehub.state.ledger import UsageLedger
from filehub.state.records import FILE_NAME, SCHEMA, UsageRecords
from filehub.state.tallytable import TallyTable
from filehub.state.transferrecords import TransferRecords
from filehub.state.transfers import TransferLedger
from filehub.usage import Quota
from filehub.vfs.claims import Claims
from filehub.vfs.measuring import MountedMeasure
from filehub.vfs.quota import refreshParts
from filehub.vfs.workers import FileWorkers, Workers

#: Of what is moved, beside the database.
TALLIES_NAME: Final = "transfers.table"
#: Changes that may wait to be written down: more than sessions can make.
_QUEUE: Final = 4096
#: Seconds between looks at what became of broken uploads.
PARTS: Final = 600.0
#: Seconds between looks at what C{filehub quota check --repair} asks for.
REQUESTS: Final = 2.0


def quotasOf(values: Configuration) -> dict[VirtualPath, Quota]:
    """
    The quota of each directory that has one: what a mount says holds for its mount
    point, what an account's own table, its groups or the limits say for its home.  Of
    several for one directory the smallest holds.
    """
    found: dict[VirtualPath, Quota] = {}
    for path, quota in _each(values):
        found[path] = smallest(found.get(path, Quota()), quota)
    return found


def _each(values: Configuration) -> Iterator[tuple[VirtualPath, Quota]]:
    for mount in values.mount:
        if mount.quota is not None or mount.quota_files is not None:
            yield mount.path, Quota(mount.quota, mount.quota_files)
    groups = {group.name: group for group in values.group}
    for user in values.user:
        mine = [groups[name] for name in user.groups]
        home = homeOf(user, mine)
        quota = quotaOfHome(user, mine, values.limits, shared=isShared(home, values))
        if quota != Quota():
            yield home, quota


def isShared(home: VirtualPath, values: Configuration) -> bool:
    """Is it a mount point?"""
    return home == ROOT or any(mount.path == home for mount in values.mount)


def quotaOfHome(user: User, groups: Iterable[Group], limits: Limits, *, shared: bool) -> Quota:
    """
    What may lie in a user's home.

    @param shared: what is a mount point is not one user's home: only what he says himself
        holds for it.
    """
    tables: list[Stored] = [user]
    if not shared or user.quota is not None or user.quota_files is not None:
        tables += [*groups, limits]
    return Quota(
        next((each.quota for each in tables if each.quota is not None), None),
        next((each.quota_files for each in tables if each.quota_files is not None), None),
    )


def countsAnything(values: Configuration) -> bool:
    """Is there any quota, of what is stored or of what is moved?"""
    return bool(quotasOf(values)) or transferSettings(values).isLimited


def tallyFile(state: Path | None) -> Path | None:
    """Where the figures of transfers are, beside the database."""
    return None if state is None else state / TALLIES_NAME


def ownersIn(values: Configuration) -> set[str]:
    """The accounts that may leave broken uploads."""
    return {ANONYMOUS_NAME, *(user.name for user in values.user)}


class UsageService(Service):
    """
    Counts what is stored and what is moved, from the start of the server to its end.

    @ivar claims: for the realm; L{None} where nobody counts what is stored.
    @ivar transfers: for whoever says what a session may use.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        state: Path | None,
        storages: Mapping[VirtualPath, IStorage],
        values: Configuration,
        workers: Workers | None = None,
        figures: Figures | None = None,
        table: TallyTable | None = None,
    ) -> None:
        """
        @param state: the state folder; L{None}: nothing outlives the process.
        @param figures: what several processes share; then one of them L{prepare}s before
            they part, and L{conclude}s.
        @param table: likewise, of what is moved.
        """
        self._workers = workers or FileWorkers(reactor, threads=1, queue=_QUEUE)
        path = None if state is None else state / FILE_NAME
        self._database = StateDatabase(path, SCHEMA, self._workers)
        self._measure = MountedMeasure(storages)
        self._isDivided = figures is not None
        self.ledger = UsageLedger(reactor, UsageRecords(self._database), self._measure, figures)
        self.ledger.owners |= ownersIn(values)
        self._quotas = quotasOf(values)
        self.transfers = TransferLedger(
            reactor,
            TransferRecords(self._database),
            transferSettings(values),
            table=table or TallyTable(tallyFile(state)),
        )
        self._brought = BroughtQuotas(BroughtRecords(self._database), self._saidOf)
        # What an account brings along, only the process knows that it has logged in to.
        self._mayBring = bool(values.source) and not self._isDivided
        self.claims = Claims(self.ledger) if self._quotas or self._mayBring else None
        self._opened = self._complained = self._saidNotKept = False
        self._loops = [
            (LoopingCall(self._refresh), PARTS),
            (LoopingCall(lambda: self._try(self._obey())), REQUESTS),
        ]
        for loop, _ in self._loops:
            loop.clock = reactor

    def startService(self) -> None:
        """
        Open the database, now that privileges are dropped, and count what is not known.

        @raise ConfigurationError: the database cannot be used.
        """
        super().startService()  # type: ignore[no-untyped-call]
        try:
            self._database.open(exclusive=not self._isDivided)
            if self._mayBring:
                self._brought.load()
            if not self._isDivided:
                self.ledger.load(self._brought.quotas(self._quotas))
                self.transfers.load()
        except FileHubError as error:
            self._database.closeNow()
            raise ConfigurationError(str(error)) from None
        self._opened = True
        self.ledger.start()
        for loop, seconds in self._loops:
            loop.start(seconds, now=False)

    def prepare(self) -> None:
        """
        Read what is written down, in the process that the others come from; blocks.

        @raise ConfigurationError: the database cannot be used.
        """
        self._database.open()
        try:
            self.ledger.load(self._quotas)
            self.transfers.load()
        except FileHubError as error:
            self._database.closeNow()
            raise ConfigurationError(str(error)) from None
        self._database.suspend()

    def conclude(self) -> None:
        """Say how much there is, now that all other processes have ended; blocks."""
        try:
            self._database.open(exclusive=False)
            self.ledger.conclude()
            self.transfers.conclude()
        except FileHubError as error:
            self._log.warn("usage could not be written: {error}", error=str(error))
        finally:
            self._database.closeNow()

    def configure(self, values: Configuration) -> None:
        """These are the quotas from now on; a directory that has a new one is counted."""
        quotas = quotasOf(values)
        if self.claims is None and quotas:
            self._log.warn("the first quota takes effect when the server starts again")
            quotas = {}
        changed = self._quotas.keys() | quotas.keys()
        self._quotas = quotas
        for path in changed:
            self.ledger.setQuota(path, self._brought.quotaOf(path, quotas.get(path)))
        self.transfers.configure(transferSettings(values))
        self.ledger.owners |= ownersIn(values)
        if self._opened:
            self.ledger.start()

    def limiting(self, limits: Limiting) -> Limiting:
        """
        Say what a session may use, and note the quotas that its account brings along.

        @param limits: who says the first.
        """

        def noting(record: AccountRecord, connection: ConnectionInfo | None) -> ISessionLimits:
            if record.quota is not None and self._isDivided:
                self._notKept(record)
            elif record.quota is not None:
                self.ledger.owners.add(record.name)
                self._brought.bring(record.name, record.home, record.quota)
            if record.transferQuotas is not None:
                self.transfers.bring(record.transferQuotas)
            return limits(record, connection)

        return noting

    def _notKept(self, record: AccountRecord) -> None:
        if record.quota != Quota() and not self._saidNotKept:
            self._saidNotKept = True
            self._log.warn(
                "{account}: its quota is not kept, which takes server.workers = 1",
                account=record.name,
            )

    def _saidOf(self, path: VirtualPath) -> None:
        self.ledger.setQuota(path, self._brought.quotaOf(path, self._quotas.get(path)))
        if self._opened:
            self.ledger.count(path)

    async def _obey(self) -> None:
        """Do what somebody outside has asked for."""
        await self.ledger.obey()
        for scope in await self.transfers.obey():
            if scope.level == "user":
                self._brought.forget(scope.name)

    def stopService(self) -> None:
        """Sessions that still end are counted."""
        super().stopService()  # type: ignore[no-untyped-call]
        for loop, _ in self._loops:
            if loop.running:
                loop.stop()

    def _refresh(self) -> Deferred[None]:
        if self.claims is None:
            return succeed(None)
        return self._try(refreshParts(self.claims, self._measure))

    def _try(self, work: Coroutine[Any, Any, None]) -> Deferred[None]:
        return Deferred.fromCoroutine(work).addCallbacks(self._worked, self._failed)

    def _worked(self, _: None) -> None:
        self._complained = False

    def _failed(self, failure: Failure) -> None:
        if not isinstance(failure.value, FileHubError):
            self._log.failure("usage could not be kept up to date", failure)
        elif not self._complained:
            # It is tried every few seconds.
            self._complained = True
            self._log.warn("usage is not up to date: {error}", error=str(failure.value))

    def close(self) -> Deferred[None]:
        """After all sessions and storages."""
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        if self._opened:
            self._opened = False
            try:
                await self.transfers.stop()
                await self.ledger.stop()
            finally:
                await self._database.close()
        await self._workers.stop()


__all__ = [
    "UsageService",
    "countsAnything",
    "isShared",
    "ownersIn",
    "quotaOfHome",
    "quotasOf",
    "tallyFile",
]
