"""
Quotas of homes that are not in the configuration: accounts bring them from elsewhere
when they log in.

They are written down, so that after a restart they hold for whoever writes there, also
before their owner is back.  What several say of one directory holds as with those of the
configuration: the smallest.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from filehub.errors import FileHubError
from filehub.paths import ROOT, VirtualPath, decodeName
from filehub.state.database import StateDatabase, asBytes
from filehub.usage import Quota

_NONE: Final = Quota()


class BroughtRecords:
    """The table, as values."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database

    def load(self) -> dict[str, tuple[VirtualPath, Quota]]:
        """
        Homes and quotas by account; blocks.

        @raise StorageUnavailable: it cannot be read.
        """

        def work(connection: sqlite3.Connection) -> dict[str, tuple[VirtualPath, Quota]]:
            rows = connection.execute("SELECT owner, path, bytes, files FROM brought")
            return {
                decodeName(owner): (ROOT.join(decodeName(path)), Quota(nbytes, nfiles))
                for owner, path, nbytes, nfiles in rows
            }

        return self._database.perform(work)

    async def write(self, owner: str, path: VirtualPath, quota: Quota) -> None:
        """What an account says of its home, in place of what it said before."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM brought WHERE owner = ?", (asBytes(owner),))
            if quota != _NONE:
                connection.execute(
                    "INSERT INTO brought (owner, path, bytes, files) VALUES (?, ?, ?, ?)",
                    (asBytes(owner), asBytes(path), quota.nbytes, quota.nfiles),
                )

        await self._database.run(work)


class BroughtQuotas:
    """What accounts have said of their homes."""

    _log = Logger()

    def __init__(self, records: BroughtRecords, changed: Callable[[VirtualPath], object]) -> None:
        """
        @param changed: called with a directory for which something else holds now.
        """
        self._records = records
        self._changed = changed
        self._said: dict[str, tuple[VirtualPath, Quota]] = {}
        self._of: dict[VirtualPath, dict[str, Quota]] = {}

    def load(self) -> None:
        """
        Read what is written down; blocks.

        @raise StorageUnavailable: it cannot be read.
        """
        for owner, (path, quota) in self._records.load().items():
            self._note(owner, path, quota)

    def quotaOf(self, path: VirtualPath, configured: Quota | None) -> Quota:
        """What holds for a directory, with what the configuration says of it."""
        quota = configured or _NONE
        for each in self._of.get(path, {}).values():
            quota = smallest(quota, each)
        return quota

    def quotas(self, configured: Mapping[VirtualPath, Quota]) -> dict[VirtualPath, Quota]:
        """The same of all directories."""
        paths = configured.keys() | self._of.keys()
        return {path: self.quotaOf(path, configured.get(path)) for path in paths}

    def bring(self, owner: str, path: VirtualPath, quota: Quota) -> None:
        """An account says this of its home from now on."""
        before = self._said.get(owner)
        if before == (path, quota) or (before is None and quota == _NONE):
            return
        self._note(owner, path, quota)
        if before is not None and before[0] != path:
            self._changed(before[0])
        self._changed(path)
        writing: Deferred[Any] = Deferred.fromCoroutine(self._records.write(owner, path, quota))
        writing.addErrback(self._notWritten)

    def forget(self, owner: str) -> None:
        """Nothing is known of it until it says something again."""
        before = self._said.get(owner)
        if before is not None:
            self.bring(owner, before[0], _NONE)

    def _note(self, owner: str, path: VirtualPath, quota: Quota) -> None:
        before = self._said.pop(owner, None)
        if before is not None:
            of = self._of[before[0]]
            del of[owner]
            if not of:
                del self._of[before[0]]
        if quota != _NONE:
            self._said[owner] = path, quota
            self._of.setdefault(path, {})[owner] = quota

    def _notWritten(self, failure: Failure) -> None:
        if isinstance(failure.value, FileHubError):
            self._log.warn("a quota could not be written: {error}", error=str(failure.value))
        else:
            self._log.failure("a quota could not be written", failure)


def smallest(one: Quota, other: Quota) -> Quota:
    """What holds if both do."""
    return Quota(_smaller(one.nbytes, other.nbytes), _smaller(one.nfiles, other.nfiles))


def _smaller(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)


__all__ = ["BroughtQuotas", "BroughtRecords", "smallest"]
