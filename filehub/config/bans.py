"""
What the configuration says about clients that are not wanted, and the service that keeps
it up to date: lists in files, and bans that are written down.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from filehub.accounts.bans import Ban, Bans, BanSettings, Points
from filehub.config.schema import Configuration
from filehub.errors import ConfigurationError, FileHubError
from filehub.networks import Network, NetworkMap, Networks, readNetworks
from filehub.state.bans import FILE_NAME, SCHEMA, BanRecords, BanRow
from filehub.state.database import StateDatabase
from filehub.vfs.workers import FileWorkers, Workers

#: Seconds between looks at lists, and at what C{filehub ban} has written.
INTERVAL: Final = 2.0
#: Bans that may wait to be written down.
_QUEUE: Final = 1024


def banSettings(values: Configuration) -> BanSettings:
    """What misbehaving costs."""
    ban = values.ban
    points = ban.points
    return BanSettings(
        limit=float(ban.attempts),
        window=ban.window,
        duration=ban.duration,
        points=Points(points.bad_password, points.unknown_user, points.violation, points.scan),
        exempt=tuple(ban.exempt),
        prefixes=(ban.ipv4_prefix, ban.ipv6_prefix),
    )


@dataclass
class _ListFile:
    """
    @ivar found: what stands in it.
    @ivar known: its state when that was read.
    @ivar seen: its state at the last look.
    """

    path: Path
    found: Networks
    known: object
    seen: object


def _stateOf(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        # Out of sight, as in a chroot, or just being replaced.
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


class BanLists:
    """
    The operator's lists: those in the configuration, and in files that it names.

    @raise ConfigurationError: a file cannot be used.
    """

    _log = Logger()

    def __init__(self, values: Configuration) -> None:
        self._files: dict[str, _ListFile] = {}
        self.use(values)

    def __len__(self) -> int:
        """Files."""
        return len(self._files)

    def use(self, values: Configuration) -> None:
        """This is what the configuration says.  Blocks; see above for errors."""
        ban = values.ban
        files = {}
        for key, path in (("allow", ban.allow_file), ("deny", ban.deny_file)):
            if path is not None:
                state = _stateOf(path)
                files[key] = _ListFile(path, readNetworks(path), state, state)
        self._values, self._files = values, files

    def refresh(self) -> bool:
        """
        Read files that have changed, and have stayed the same since the last look; one
        with a mistake is not taken.  Blocks.  Was any taken?
        """
        taken = False
        for file in list(self._files.values()):
            state = _stateOf(file.path)
            if state is not None and state == file.seen and state != file.known:
                file.known = state
                try:
                    file.found = readNetworks(file.path)
                except ConfigurationError as error:
                    self._log.error("{error}: the old list stays", error=str(error))
                else:
                    taken = True
                    self._log.info("{path} was read again", path=str(file.path))
            file.seen = state
        return taken

    def apply(self, bans: Bans) -> None:
        """They hold from now on."""
        ban = self._values.ban
        bans.allowed = self._mapOf("allow", ban.allow)
        bans.denied = self._mapOf("deny", ban.deny)

    def _mapOf(self, key: str, networks: list[Network]) -> NetworkMap[str]:
        found: NetworkMap[str] = NetworkMap()
        file = self._files.get(key)
        for network in (*networks, *(file.found if file is not None else ())):
            found[network] = key
        return found


class BanService(Service):
    """
    Writes bans down and reads what others have written, in a thread of its own.

    @ivar bans: for the registry and the portal.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        bans: Bans,
        values: Configuration,
        *,
        workers: Workers | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        @param now: seconds since the epoch.
        @raise ConfigurationError: a list cannot be used.
        """
        self.bans = bans
        self._reactor = reactor
        self._now = now
        self._lists = BanLists(values)
        self._lists.apply(bans)
        self._workers = workers or FileWorkers(reactor, threads=1, queue=_QUEUE)
        state = values.server.state
        self._database = (
            None if state is None else StateDatabase(state / FILE_NAME, SCHEMA, self._workers)
        )
        self._records = None if self._database is None else BanRecords(self._database)
        #: What has changed here since the last reading began.
        self._fresh: dict[Network, Ban | None] = {}
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor

    def startService(self) -> None:
        """
        Read what is written down, now that privileges are dropped.

        @raise ConfigurationError: the database cannot be used.
        """
        super().startService()  # type: ignore[no-untyped-call]
        if self._database is not None and self._records is not None:
            try:
                # Several processes may share it.
                self._database.open(exclusive=False)
                self._take(self._records.loadIfChanged(self._now()))
            except FileHubError as error:
                self._database.closeNow()
                raise ConfigurationError(str(error)) from None
            self.bans.onChange = self._changed
        self._loop.start(INTERVAL, now=False)

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._loop.running:
            self._loop.stop()

    def configure(self, values: Configuration) -> None:
        """
        These are the settings and lists from now on.

        @raise ConfigurationError: a list cannot be used; then nothing changes.
        """
        self._lists.use(values)
        self._lists.apply(self.bans)
        self.bans.configure(banSettings(values))

    def _changed(self, network: Network, ban: Ban | None) -> None:
        self._fresh[network] = ban
        records = self._records
        if records is None:
            return
        if ban is None:
            writing: Deferred[Any] = self._workers.run(records.remove, network)
        else:
            row = BanRow(network, self._wall(ban.until), self._now(), ban.reason)
            writing = self._workers.run(records.add, row)
        writing.addErrback(self._failed)

    def _look(self) -> Deferred[None] | None:
        self.bans.sweep()
        if self._records is None and not self._lists:
            return None
        self._fresh.clear()
        looking: Deferred[Any] = self._workers.run(self._read)
        return looking.addCallback(self._seen).addErrback(self._failed)

    def _read(self) -> tuple[bool, list[BanRow] | None]:
        """In the thread."""
        taken = self._lists.refresh()
        return taken, None if self._records is None else self._records.loadIfChanged(self._now())

    def _seen(self, found: tuple[bool, list[BanRow] | None]) -> None:
        taken, rows = found
        if taken:
            self._lists.apply(self.bans)
        self._take(rows)

    def _take(self, rows: list[BanRow] | None) -> None:
        if rows is None:
            return
        found = {row.network: Ban(row.network, self._own(row.until), row.reason) for row in rows}
        for network, ban in self._fresh.items():
            if ban is None:
                found.pop(network, None)
            else:
                found[network] = ban
        self.bans.replace(found.values())

    def _own(self, until: float | None) -> float | None:
        """By the reactor's clock, which nobody sets."""
        return None if until is None else until - self._now() + self._reactor.seconds()

    def _wall(self, until: float | None) -> float | None:
        return None if until is None else until - self._reactor.seconds() + self._now()

    def _failed(self, failure: Failure) -> None:
        if not isinstance(failure.value, FileHubError):
            self._log.failure("bans could not be kept up to date", failure)
        else:
            self._log.warn("bans are not up to date: {error}", error=str(failure.value))

    def close(self) -> Deferred[None]:
        """After all sessions."""
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        self.bans.onChange = lambda network, ban: None
        if self._database is not None:
            await self._database.close()
        await self._workers.stop()


__all__ = ["INTERVAL", "BanLists", "BanService", "banSettings"]
