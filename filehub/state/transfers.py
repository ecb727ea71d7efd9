"""
Transfer quotas of a server: whose transfers count for what, and writing that down.

A quota of a user is the file's, or what the source of the account brought along; where
neither says anything, what the file says of all users.  Those of groups and of the server
are of all their transfers together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from filehub.errors import FileHubError, StorageUnavailable
from filehub.periods import Period
from filehub.state.tallies import DOWNLOAD, NUMBERS, UPLOAD, Tally, TransferMeter
from filehub.state.tallytable import (
    ASKED,
    BEGIN,
    BOOKED,
    PERIOD,
    USED,
    TallyTable,
    clear,
    keyOf,
    leftBehind,
)
from filehub.state.transferrecords import Figures, TransferRecords, TransferRow
from filehub.usage import ITransferMeter, Scope, TransferQuota, TransferState

#: Seconds between a change and writing it down.
FLUSH: Final = 2.0
#: Users whose figures are kept in memory; beyond that, those of older periods are not.
_REMEMBERED: Final = 4096

SERVER: Final = Scope("server")
_NONE: Final = TransferQuota()


@dataclass(frozen=True)
class TransferSettings:
    """
    What the configuration says.

    @ivar server: of all transfers together.
    @ivar groups: of all members of each together.
    @ivar users: of each of these.
    @ivar user: where a user's own says nothing.
    @ivar period: where a quota says nothing.
    """

    server: TransferQuota = _NONE
    groups: Mapping[str, TransferQuota] = field(default_factory=dict)
    users: Mapping[str, TransferQuota] = field(default_factory=dict)
    user: TransferQuota = _NONE
    period: Period = Period.MONTH

    @property
    def isLimited(self) -> bool:
        """Does it say anything?"""
        quotas = (self.server, self.user, *self.groups.values(), *self.users.values())
        return any(each.isLimited for each in quotas)

    def quotaOf(self, scope: Scope, brought: TransferQuota | None = None) -> TransferQuota:
        """
        What holds.

        @param brought: what an account from elsewhere has said.
        """
        if scope.level == "server":
            return self.server
        if scope.level == "group":
            return brought or self.groups.get(scope.name, _NONE)
        own = self.users.get(scope.name) or brought or _NONE
        # Each limit by itself, as everywhere.
        usual = self.user
        return TransferQuota(
            usual.upload if own.upload is None else own.upload,
            usual.download if own.download is None else own.download,
            usual.both if own.both is None else own.both,
            usual.uploadFiles if own.uploadFiles is None else own.uploadFiles,
            usual.downloadFiles if own.downloadFiles is None else own.downloadFiles,
            usual.period if own.period is None else own.period,
        )


class TransferLedger:
    """
    See this module's introduction.

    @ivar isEmpty: are there no quotas at all?
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        records: TransferRecords,
        settings: TransferSettings,
        now: Callable[[], float] = time.time,
        table: TallyTable | None = None,
    ) -> None:
        """
        @param now: seconds since the epoch.
        @param table: where figures are; L{None}: they do not outlive the process.
        """
        self._clock = clock
        self._table = table or TallyTable(None)
        self._records = records
        self._settings = settings
        self.now = now
        self._brought: dict[Scope, TransferQuota] = {}
        self._tallies: dict[Scope, Tally] = {}
        self._booking: dict[Tally, None] = {}
        self._touched: dict[Tally, None] = {}
        self._forgotten: set[Scope] = set()
        self._trouble: StorageUnavailable | None = None
        self._said = False
        self._writing: Deferred[None] | None = None
        self._waiting: list[Deferred[None]] = []
        self._call: IDelayedCall | None = None
        self.isEmpty = not settings.isLimited

    # --- whose

    @property
    def together(self) -> AbstractContextManager[object]:
        """See L{Bookkeeper<filehub.state.tallies.Bookkeeper>}."""
        return self._table.together

    def load(self) -> None:
        """
        Read what is written down, and what a former server has left in its table; blocks.

        @raise StorageUnavailable: it cannot be read.
        """
        now, left = self.now(), leftBehind(self._table.path)
        self._table.open()
        self._tallies.clear()
        for row in self._records.load():
            if row.period.endOf(row.begin) <= now:
                self._forgotten.add(row.scope)
                continue
            known = left.get(keyOf(row.scope))
            if known is None or known[PERIOD : BEGIN + 1] != [NUMBERS[row.period], row.begin]:
                self._enter(row, row.booked)
                if row.used != row.booked:
                    self._log.warn(
                        "transfers of {scope}: not closed properly, up to {upload} bytes"
                        " uploaded and {download} downloaded are counted that may not have been",
                        scope=str(row.scope),
                        upload=row.booked[UPLOAD] - row.used[UPLOAD],
                        download=row.booked[DOWNLOAD] - row.used[DOWNLOAD],
                    )
            else:
                # Nothing moves that is not booked.
                used = map(min, known[USED : USED + 4], row.booked)
                self._enter(row, _figures(list(used)))
        self._table.publish()

    def _enter(self, row: TransferRow, used: Figures) -> None:
        words = self._table.row(row.scope)
        words[PERIOD], words[BEGIN] = NUMBERS[row.period], row.begin
        for at in range(4):
            words[USED + at] = used[at]
            words[ASKED + at] = words[BOOKED + at] = row.booked[at]

    def conclude(self) -> None:
        """
        Say how much was moved, now that all processes have ended; blocks.

        @raise StorageUnavailable: it cannot be written.
        """
        exact = []
        for row in self._records.load():
            words = self._table.row(row.scope)
            if row.used != row.booked and words[BEGIN] == row.begin:
                used = _figures(words[USED : USED + 4].tolist())
                exact.append(row._replace(used=used, booked=used))
        self._records.writeNow(exact)

    def configure(self, settings: TransferSettings) -> None:
        """These are the quotas from now on, for transfers that are under way as well."""
        self._settings = settings
        self._refresh()

    def bring(self, quotas: Mapping[Scope, TransferQuota]) -> None:
        """An account from elsewhere logs in, and these hold for it and its groups."""
        if any(self._brought.get(scope, _NONE) != quota for scope, quota in quotas.items()):
            for scope, quota in quotas.items():
                if quota.isLimited:
                    self._brought[scope] = quota
                else:
                    self._brought.pop(scope, None)
            self._refresh()

    def _refresh(self) -> None:
        self.isEmpty = not (self._settings.isLimited or self._brought)
        for tally in self._tallies.values():
            tally.quota = self._quotaOf(tally.scope)
            period = tally.quota.period or self._settings.period
            if period is not tally.period:
                with self.together:
                    tally.follow(period, self.now())

    def _quotaOf(self, scope: Scope) -> TransferQuota:
        return self._settings.quotaOf(scope, self._brought.get(scope))

    def _tally(self, scope: Scope) -> Tally | None:
        tally = self._tallies.get(scope)
        if tally is None:
            quota = self._quotaOf(scope)
            if not quota.isLimited:
                return None
            if len(self._tallies) >= _REMEMBERED:
                self._forget()
            period = quota.period or self._settings.period
            with self.together:
                tally = Tally(scope, quota, period, self.now(), self._table)
            self._tallies[scope] = tally
        return tally if tally.quota.isLimited else None

    def _forget(self) -> None:
        """Figures of periods that are over say nothing."""
        now = self.now()
        for scope, tally in list(self._tallies.items()):
            if tally.end <= now and tally.isIdle:
                del self._tallies[scope]
                self._forgotten.add(scope)

    def _of(self, name: str, groups: Iterable[str]) -> list[Tally]:
        scopes = [SERVER, *(Scope("group", each) for each in groups), Scope("user", name)]
        return [tally for scope in scopes if (tally := self._tally(scope)) is not None]

    def meter(self, direction: str, name: str, groups: Iterable[str]) -> ITransferMeter | None:
        """
        For one transfer of this account; L{None}: nothing limits it.

        @param direction: C{"upload"} or C{"download"}.
        """
        tallies = self._of(name, groups)
        if not tallies:
            return None
        return TransferMeter(self, tallies, UPLOAD if direction == "upload" else DOWNLOAD)

    def statesOf(self, name: str, groups: Iterable[str]) -> list[TransferState]:
        """How far the quotas are used that hold for this account."""
        tallies = self._of(name, groups)
        with self.together:
            for tally in tallies:
                tally.turn(self.now())
            return [tally.state() for tally in tallies]

    def startAgain(self, scope: Scope) -> None:
        """Nothing was used in this period."""
        tally = self._tallies.get(scope)
        with self.together:
            clear(self._table.row(scope))
        if tally is not None:
            tally.dirty = tally.moving = True
            self.changed([tally], book=False)
        else:
            self._forgotten.add(scope)
            self._schedule()

    async def obey(self) -> list[Scope]:
        """
        Do what somebody outside has asked for by way of the database: begin again.

        @return: whose figures.
        @raise StorageUnavailable: it cannot be read now.
        """
        scopes = await self._records.wanted()
        for scope in scopes:
            self.startAgain(scope)
        return scopes

    # --- writing down

    def changed(self, tallies: Iterable[Tally], *, book: bool) -> None:
        """See L{Bookkeeper.changed}."""
        for tally in tallies:
            self._touched[tally] = None
            if book:
                self._booking[tally] = None
        if book and self._writing is None:
            self._write()
        self._schedule()

    def failing(self) -> bool:
        """
        Is what was asked for not going to be written?

        @raise StorageUnavailable: so it is.
        """
        if self._trouble is not None:
            raise self._trouble
        return False

    async def written(self, tallies: Iterable[Tally] = ()) -> None:
        """See L{Bookkeeper.written}; or until it could not be."""
        if self._writing is None:
            uncovered = [each for each in tallies if not each.isCovered()]
            if uncovered:
                # Another process has asked; whoever waits for it writes it.
                self.changed(uncovered, book=True)
        if self._writing is not None:
            waiter: Deferred[None] = Deferred(self._waiting.remove)
            self._waiting.append(waiter)
            await waiter

    def _write(self) -> None:
        """Everything that is to be booked, in one go."""
        tallies, self._booking = list(self._booking), {}
        self._trouble = None
        work = Deferred.fromCoroutine(self._writeDown(tallies))
        # It may have come to its end already.
        self._writing = work
        work.addErrback(self._notWritten, tallies).addBoth(self._wrote)

    async def _writeDown(self, tallies: Iterable[Tally]) -> None:
        rows = []
        snapshots: list[tuple[Tally, int, Figures]] = []
        with self.together:
            for tally in tallies:
                asked, used = _figures(tally.asked.tolist()), _figures(tally.used.tolist())
                snapshots.append((tally, tally.begin, asked))
                rows.append(TransferRow(tally.scope, tally.period, tally.begin, used, asked))
                tally.dirty = False
        forgotten, self._forgotten = self._forgotten, set()
        forgotten -= self._tallies.keys()
        try:
            await self._records.write(rows, forgotten)
        except BaseException:
            self._forgotten |= forgotten
            for tally in tallies:
                tally.dirty = True
            raise
        self._said = False
        with self.together:
            for tally, begin, asked in snapshots:
                if tally.begin == begin:
                    tally.take(asked)

    def _notWritten(self, failure: Failure, tallies: Iterable[Tally]) -> None:
        error = failure.value
        if not isinstance(error, FileHubError):
            self._log.failure("transfers could not be written down", failure)
        elif not self._said:
            self._said = True
            self._log.warn("transfers could not be written down: {error}", error=str(error))
        self._trouble = StorageUnavailable()
        for tally in tallies:
            # They are tried again with the next ones, or in a moment.
            self._booking[tally] = None
            self._touched[tally] = None
        self._schedule()

    def _wrote(self, _: object) -> None:
        self._writing = None
        if self._booking and self._trouble is None:
            self._write()
        if self._writing is None:
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                waiter.callback(None)

    def _schedule(self) -> None:
        if self._call is None:
            self._call = self._clock.callLater(FLUSH, self._flush)

    def _flush(self) -> None:
        """Write the figures of all that have changed; exactly, of those that rest."""
        self._call = None
        touched, self._touched = self._touched, {}
        for tally in touched:
            if tally.moving:
                tally.moving = False
                self._touched[tally] = None
            else:
                with self.together:
                    tally.rest()
            self._booking[tally] = None
        if (self._booking or self._forgotten) and self._writing is None:
            self._write()
        if self._touched:
            self._schedule()

    async def stop(self) -> None:
        """Write down everything, exactly."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        await self.written()
        with self.together:
            for tally in self._touched:
                tally.rest()
        await self._writeDown(list(self._touched))
        self._touched = {}
        self._table.close()


def _figures(values: list[int]) -> Figures:
    return values[0], values[1], values[2], values[3]


__all__ = ["FLUSH", "SERVER", "TransferLedger", "TransferSettings"]
