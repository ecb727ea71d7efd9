"""
From an avatar's name to an avatar.

A session begins in the account's home, which is made if the account says so and it is
missing.  One that does not exist, or that the account
may not enter, is no reason to shut the account out: the session then begins in the
nearest directory above it that can be entered, at worst in the root, where everybody
may stand (what can be seen there is another matter), and the log says so.  TFTP has no
current directory: a home there is but the beginning of relative names, and stays as it
is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from twisted.cred.checkers import ANONYMOUS
from twisted.cred.error import LoginDenied
from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import Interface, implementer

from filehub.accounts.account import FileAccount
from filehub.accounts.admission import NotAdmitted
from filehub.accounts.homes import makeHome
from filehub.accounts.patterns import NamePatterns
from filehub.accounts.policy import RulePolicy
from filehub.accounts.records import ANONYMOUS_NAME, AccountRecord, AccountSource
from filehub.accounts.stack import AccountView
from filehub.credentials import ConnectionInfo, EncryptionRequired
from filehub.errors import Busy, FileSystemError, NotFound, StorageUnavailable
from filehub.interfaces import IEventSink, IFileAccount, ISessionLimits, IStorage
from filehub.paths import VirtualPath, decodeName
from filehub.promises import promised
from filehub.vfs.claims import Claims
from filehub.vfs.ownership import mayGiveAway
from filehub.vfs.templates import Templates

#: Accounts whose layers are kept between logins.
_REMEMBERED: Final = 1024
#: The protocol whose clients have no current directory.
_STATELESS: Final = "tftp"

#: Says what a session of an account, over this connection, may use.
Limiting = Callable[[AccountRecord, ConnectionInfo | None], ISessionLimits]

_Avatar = tuple[type[Interface], Any, Callable[[], None]]


def _nothingToDo() -> None:
    """An account holds nothing that a logout would have to give back."""


@implementer(IRealm)
class FileHubRealm:
    """
    See L{IRealm}.  Needs nothing of the daemon: a Twisted application gives it an
    account source and storages, puts it behind a L{Portal<twisted.cred.portal.Portal>}
    and hands that to any of the protocol factories.
    """

    _log = Logger()

    def __init__(
        self,
        source: AccountSource,
        mounts: Mapping[VirtualPath, IStorage],
        *,
        sink: IEventSink | None = None,
        claims: Claims | None = None,
        limiting: Limiting | None = None,
        now: Callable[[], float] = time.time,
        templates: Templates | None = None,
        naming: Mapping[VirtualPath, NamePatterns] | None = None,
    ) -> None:
        """
        @param mounts: which storage appears where.
        @param now: seconds since the epoch, for accounts that may be used at certain
            times only.
        @param claims: who counts what is stored; L{None}: nobody.
        @param limiting: what a session may use; by default what its record says.
        @param templates: makes files for whoever asks; L{None}: all are as they are.
        @param naming: what each mount says of names; L{None}: nothing.
        """
        self._source = source
        self._mounts = dict(mounts)
        self._points = tuple(self._mounts)
        self._sink = sink
        self._claims = claims
        self._limiting = limiting
        self._now = now
        self._templates = templates
        self._naming = naming
        #: By whether it is the anonymous account, and its name.
        self._views: dict[tuple[bool, str], tuple[AccountRecord, AccountView]] = {}

    def requestAvatar(
        self, avatarId: Any, mind: Any, *interfaces: type[Interface]
    ) -> Deferred[_Avatar]:
        """
        The first of C{interfaces} that the account provides or can be adapted to.

        @param avatarId: a name, or L{ANONYMOUS}.
        @param mind: a L{ConnectionInfo}, or L{None}.
        """
        return promised(self.avatarFor(avatarId, mind, interfaces))

    async def avatarFor(
        self, avatarId: Any, mind: Any, interfaces: Iterable[type[Interface]]
    ) -> _Avatar:
        """The same without a Deferred."""
        anonymous = avatarId is ANONYMOUS
        if anonymous:
            name, record = ANONYMOUS_NAME, await self._source.findAnonymous()
        else:
            name = decodeName(avatarId) if isinstance(avatarId, bytes) else avatarId
            record = await self._source.find(name)
        connection = mind if isinstance(mind, ConnectionInfo) else None
        account = await self._admit(record, connection, anonymous)
        for interface in interfaces:
            avatar = account if interface is IFileAccount else interface(account, None)
            if avatar is not None:
                return interface, avatar, _nothingToDo
        raise TypeError(f"the account {name} provides none of {interfaces}")

    async def accountFor(self, name: str, connection: ConnectionInfo) -> IFileAccount:
        """
        The account of this name, for a client that has shown that it is his.

        @raise LoginDenied: there is none, or it may not be used now or like this.
        """
        return await self._admit(await self._source.find(name), connection, False)

    async def _admit(
        self, record: AccountRecord | None, connection: ConnectionInfo | None, anonymous: bool
    ) -> FileAccount:
        if record is None or not record.enabled:
            raise LoginDenied("no such account")
        if record.admissions:
            moment = datetime.fromtimestamp(self._now())
            for admission in record.admissions:
                refusal = admission.refusal(connection, moment)
                if refusal is not None:
                    raise NotAdmitted(refusal)
        if record.requiresTLS and (connection is None or not connection.secure):
            raise EncryptionRequired("the account is for encrypted connections only")
        view = self._viewOf(record, anonymous)
        home = record.home
        if connection is None or connection.protocol != _STATELESS:
            home = await self._nearestHome(record, view)
        return FileAccount(
            record.name,
            home,
            view.forConnection(record.name, connection, self._sink, self._templates),
            view.policy,
            record.limits if self._limiting is None else self._limiting(record, connection),
            record.requiresTLS,
            self._points,
            record.foreignData,
            record.profile,
        )

    async def _nearestHome(self, record: AccountRecord, view: AccountView) -> VirtualPath:
        place = record.home
        while place.segments:
            try:
                await view.guarded.enterDirectory(place)
                break
            except NotFound:
                if place == record.home and record.homeMode is not None:
                    if await self._makeHome(record, view):
                        break
            except (Busy, StorageUnavailable):
                # That says nothing about the home, and will pass.
                return record.home
            except FileSystemError:
                pass
            place = place.parent
        if place != record.home and not view.lacksHome:
            view.lacksHome = True
            self._log.warn(
                "{account} cannot enter its home {home}: sessions begin in {place}",
                account=record.name,
                home=record.home,
                place=place,
            )
        return place

    async def _makeHome(self, record: AccountRecord, view: AccountView) -> bool:
        """Returns whether it is there now.  What went wrong is said once."""
        try:
            await makeHome(view.files, record.home, record.homeMode or 0)
        except FileSystemError as error:
            if not view.lacksHome:
                self._log.warn(
                    "{account}: its home {home} cannot be made: {error}",
                    account=record.name,
                    home=record.home,
                    error=error,
                )
            return False
        self._log.info("{account}: its home {home} was made", account=record.name, home=record.home)
        return True

    def _viewOf(self, record: AccountRecord, anonymous: bool) -> AccountView:
        # A record is immutable: one that was changed is another one.  Mostly it is the
        # very same, and nothing of it has to be compared.
        key = anonymous, record.name
        known, view = self._views.get(key, (None, None))
        if view is None or (known is not record and known != record):
            if len(self._views) >= _REMEMBERED:
                self._views.clear()
            policy = RulePolicy(record.rules, record.groupRules, self._naming)
            ownership = record.ownership
            if ownership is not None and not mayGiveAway():
                self._log.warn(
                    "{account}: its files stay the server's, which may give none away",
                    account=record.name,
                )
                ownership = None
            view = AccountView(
                record.name, self._mounts, policy, self._claims, record.umask, ownership
            )
            self._views[key] = record, view
        return view
