"""
The file is read again when it changes, and on SIGHUP.

What takes effect: accounts, groups, rules, networks, bans and quotas, for logins and
transfers that begin from then on; times and limits of accounts of the file and of the
server also for sessions that are there, rates for transfers that are under way.
Sessions of accounts that are gone or disabled are ended.  Listeners, mounts and whatever
else belongs to the process stay as they are until it starts again, and the log says so.
A file with a mistake in it changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from filehub.accounts.checkers import NetworkChecker
from filehub.accounts.records import ANONYMOUS_NAME, AccountRecord, AccountTable
from filehub.accounts.throttle import ThrottledPortal
from filehub.config.accounts import AccountBuilder
from filehub.config.bans import BanService
from filehub.config.limits import (
    networkRecords,
    rateSettings,
    sessionCaps,
    tftpStall,
    throttleSettings,
)
from filehub.config.loading import LoadedConfiguration, loadConfiguration
from filehub.config.quotas import UsageService, countsAnything
from filehub.config.schema import Configuration
from filehub.errors import ConfigurationError
from filehub.hangups import HangUps
from filehub.limiting import RateBook, SessionLimits
from filehub.protocols.tftp.server import TFTPService
from filehub.registry import SessionRegistry

#: Seconds between looks at the file.
INTERVAL: Final = 2.0
#: What cannot change while the server runs.
_FIXED: Final = (
    "server", "log", "tls", "ftp", "tftp", "rfc913", "mount", "source", "templates",
)  # fmt: skip


@dataclass
class Reloadable:
    """
    All that a changed configuration reaches.

    @ivar current: what holds now.
    @ivar table: the accounts of the file.
    @ivar admitAnonymous: lets anonymous logins be looked at; may be called again.
    @ivar factories: of listeners for sessions with time limits, and services of TFTP.
    """

    current: LoadedConfiguration
    registry: SessionRegistry
    rates: RateBook
    accounts: AccountBuilder
    table: AccountTable
    networks: NetworkChecker
    portal: ThrottledPortal
    bans: BanService
    usage: UsageService | None = None
    admitAnonymous: Callable[[], object] = lambda: None
    factories: list[Any] = field(default_factory=list)

    _log = Logger()

    def apply(self, loaded: LoadedConfiguration) -> None:
        """This is what the configuration says from now on."""
        before, values = self.current.values, loaded.values
        self.current = loaded
        self.accounts.use(loaded)
        records, anonymous = self.accounts.records()
        self.table.replace(records, anonymous)
        if anonymous is not None:
            self.admitAnonymous()
        self.networks.replace(networkRecords(values))
        self.bans.configure(values)
        self.portal.configure(throttleSettings(values))
        self.registry.caps = sessionCaps(values)
        self.rates.configure(rateSettings(values))
        if self.usage is not None:
            self.usage.configure(values)
        elif countsAnything(values):
            self._log.warn("the first quota takes effect when the server starts again")
        for factory in self.factories:
            _setTimes(factory, values)
        self._endSessions(before, values)
        known = {each.name: each for each in records}
        if anonymous is not None:
            known[anonymous.name] = anonymous
        self._tellSessions(known, isForAll=_times(before) != _times(values))
        for section in _FIXED:
            if _fixed(before, section) != _fixed(values, section):
                self._log.warn(
                    "changes in {section} take effect when the server starts again",
                    section=section,
                )

    def _endSessions(self, before: Configuration, values: Configuration) -> None:
        """Whoever was let in by the old file and would not be by the new one."""
        gone = {user.name for user in before.user if user.enabled}
        gone -= {user.name for user in values.user if user.enabled}
        if before.anonymous.enabled and not values.anonymous.enabled:
            gone.add(ANONYMOUS_NAME)
        for slot in self.registry:
            if slot.account in gone:
                slot.disconnect("the account is disabled")

    def _tellSessions(self, known: Mapping[str, AccountRecord], *, isForAll: bool) -> None:
        """Limits hold for sessions that are there, too."""
        for slot in self.registry:
            record = known.get(slot.account or "")
            limits = slot.limits
            isChanged = isForAll
            if record is not None and isinstance(limits, SessionLimits):
                isChanged = limits.obey(record) or isForAll
            if isChanged:
                slot.limitsChanged()


def _times(values: Configuration) -> tuple[float | None, ...]:
    limits = values.limits
    return limits.idle, limits.session_time


def _fixed(values: Configuration, section: str) -> Any:
    if section != "mount":
        return getattr(values, section)
    return [mount.model_copy(update={"quota": None, "quota_files": None}) for mount in values.mount]


def _setTimes(factory: Any, values: Configuration) -> None:
    limits = values.limits
    if isinstance(factory, TFTPService):
        factory.settings = replace(factory.settings, stall=tftpStall(values))
        return
    listener = factory.listener
    listener.settings = replace(
        listener.settings,
        loginTimeout=limits.login,
        idleTimeout=limits.idle,
        stallTimeout=limits.stall,
    )
    if hasattr(factory, "settings"):
        factory.settings = listener.settings


class ReloadingService(Service):
    """
    Looks at the file, and listens for SIGHUP.

    A change is acted upon when the file has stayed the same from one look to the next:
    who writes it has finished by then.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        path: Path,
        reloadable: Reloadable,
        *,
        load: Callable[[Path], LoadedConfiguration] = loadConfiguration,
    ) -> None:
        self._path = path
        self._reloadable = reloadable
        self._load = load
        self._seen = self._state()
        self._known = self._seen
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor
        self._hangUps = HangUps(reactor, self.reload)

    def privilegedStartService(self) -> None:
        """See L{HangUps}."""
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        self._hangUps.listen()

    def startService(self) -> None:
        """Look from now on."""
        super().startService()  # type: ignore[no-untyped-call]
        self._loop.start(INTERVAL, now=False)
        self._hangUps.listen()
        # A worker that takes another's place is a copy of the process that watches, which
        # knows the file as it was when the server began.
        if self._state() not in (None, self._known):
            self.reload()

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._loop.running:
            self._loop.stop()
        self._hangUps.stop()

    def _state(self) -> tuple[int, int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            # Out of sight, as in a chroot, or just being replaced.
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    def _look(self) -> None:
        state = self._state()
        if state is not None and state == self._seen and state != self._known:
            self.reload()
        self._seen = state

    def reload(self) -> bool:
        """Read the file now; was it taken?"""
        self._known = self._state()
        try:
            loaded = self._load(self._path)
        except ConfigurationError as error:
            for line in str(error).splitlines():
                self._log.error("{line}", line=line)
            self._log.error("{path} was not taken: the old settings stay", path=str(self._path))
            return False
        self._reloadable.apply(loaded)
        self._log.info("{path} was read again", path=str(self._path))
        return True


__all__ = ["INTERVAL", "Reloadable", "ReloadingService"]
