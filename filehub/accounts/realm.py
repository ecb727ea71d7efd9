"""
From an avatar's name to an avatar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.cred.checkers import ANONYMOUS
from twisted.cred.error import LoginDenied
from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred
from zope.interface import Interface, implementer

from filehub.accounts.account import FileAccount
from filehub.accounts.policy import RulePolicy
from filehub.accounts.records import ANONYMOUS_NAME, AccountRecord, AccountSource
from filehub.accounts.stack import AccountView
from filehub.credentials import ConnectionInfo
from filehub.interfaces import IEventSink, IFileAccount, IStorage
from filehub.paths import VirtualPath

#: Accounts whose layers are kept between logins.
_REMEMBERED: Final = 1024

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

    def __init__(
        self,
        source: AccountSource,
        mounts: Mapping[VirtualPath, IStorage],
        *,
        sink: IEventSink | None = None,
    ) -> None:
        """
        @param mounts: which storage appears where.
        """
        self._source = source
        self._mounts = dict(mounts)
        self._sink = sink
        self._views: dict[AccountRecord, AccountView] = {}

    def requestAvatar(
        self, avatarId: Any, mind: Any, *interfaces: type[Interface]
    ) -> Deferred[_Avatar]:
        """
        The first of C{interfaces} that the account provides or can be adapted to.

        @param avatarId: a name, or L{ANONYMOUS}.
        @param mind: a L{ConnectionInfo}, or L{None}.
        """
        return Deferred.fromCoroutine(self._request(avatarId, mind, interfaces))

    async def _request(
        self, avatarId: Any, mind: Any, interfaces: tuple[type[Interface], ...]
    ) -> _Avatar:
        if avatarId is ANONYMOUS:
            name, record = ANONYMOUS_NAME, await self._source.findAnonymous()
        else:
            name = avatarId.decode("utf-8") if isinstance(avatarId, bytes) else avatarId
            record = await self._source.find(name)
        if record is None or not record.enabled:
            raise LoginDenied("no such account")
        connection = mind if isinstance(mind, ConnectionInfo) else None
        view = self._viewOf(record)
        account = FileAccount(
            record.name,
            record.home,
            view.forConnection(record.name, connection, self._sink),
            view.policy,
            record.limits,
        )
        for interface in interfaces:
            avatar = account if interface is IFileAccount else interface(account, None)
            if avatar is not None:
                return interface, avatar, _nothingToDo
        raise TypeError(f"the account {name} provides none of {interfaces}")

    def _viewOf(self, record: AccountRecord) -> AccountView:
        # A record is immutable: one that was changed is another one.
        view = self._views.get(record)
        if view is None:
            if len(self._views) >= _REMEMBERED:
                self._views.clear()
            policy = RulePolicy(record.rules, record.groupRules)
            view = self._views[record] = AccountView(record.name, self._mounts, policy)
        return view
