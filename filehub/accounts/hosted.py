"""
Accounts of a virtual host: the same portal, seen from one of several host names.

A host has users of its own by a prefix: where C{joe} logs in at a host whose prefix is
C{acme-}, the account is C{acme-joe}.  What they see is the tree from the host's root on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.cred.credentials import IAnonymous, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail
from zope.interface import Interface, implementer

from filehub.accounts.rooted import RootedFileSystem
from filehub.credentials import (
    AccountPassword,
    Certificate,
    IAccountPassword,
    ICertificate,
)
from filehub.interfaces import IClientPreferences, IFileAccount
from filehub.logins import LoginPortal
from filehub.networks import Networks
from filehub.paths import ROOT, VirtualPath


@implementer(IFileAccount, IClientPreferences)
class HostedAccount:
    """
    An account, seen from a root.

    @ivar home: where that is within the root, else the root.
    """

    def __init__(self, account: IFileAccount, root: VirtualPath) -> None:
        self._account = account
        self._root = root
        self.name: str = account.name
        self.limits: Any = account.limits
        self.requiresTLS: bool = account.requiresTLS
        self.home = account.home.relativeTo(root) if account.home.isWithin(root) else ROOT
        self.fileSystem = RootedFileSystem(account.fileSystem, root)
        self.mounts: Sequence[VirtualPath] = [
            each.relativeTo(root) for each in account.mounts if each.isWithin(root)
        ]
        preferences = IClientPreferences(account, None)
        self.foreignData: bool | Networks | None = getattr(preferences, "foreignData", None)
        self.profile: str | None = getattr(preferences, "profile", None)

    def permissionLetters(self, path: VirtualPath) -> str:
        """See L{IFileAccount.permissionLetters}."""
        return self._account.permissionLetters(path.below(self._root))

    def commonLetters(self, path: VirtualPath) -> str | None:
        """See L{IFileAccount.commonLetters}."""
        return self._account.commonLetters(path.below(self._root))


class HostPortal:
    """A L{LoginPortal} in front of another one."""

    def __init__(
        self,
        portal: LoginPortal,
        *,
        root: VirtualPath = ROOT,
        prefix: str = "",
        anonymous: bool = True,
    ) -> None:
        """
        @param root: what accounts see as the root.
        @param prefix: of the names of accounts.
        @param anonymous: may clients log in that do not say who they are?
        """
        self._portal = portal
        self._root = root
        self._prefix = prefix.encode("utf-8", "surrogateescape")
        self._anonymous = anonymous

    def login(self, credentials: Any, mind: Any, *interfaces: type[Interface]) -> Deferred[Any]:
        """See L{LoginPortal.login}."""
        if IAnonymous.providedBy(credentials) and not self._anonymous:
            return fail(UnauthorizedLogin("no anonymous logins at this host"))
        login = self._portal.login(self._prefixed(credentials), mind, *interfaces)
        return login.addCallback(self._rooted)

    def _prefixed(self, credentials: Any) -> Any:
        if not self._prefix or IAnonymous.providedBy(credentials):
            return credentials
        name = self._prefix + credentials.username
        if ICertificate.providedBy(credentials):
            return Certificate(name, credentials.certificate)
        if IAccountPassword.providedBy(credentials):
            return AccountPassword(name, credentials.password, credentials.account)
        return UsernamePassword(name, credentials.password)

    def _rooted(self, granted: tuple[Any, Any, Callable[[], Any]]) -> Any:
        interface, account, logout = granted
        if interface is IFileAccount and self._root != ROOT:
            account = HostedAccount(account, self._root)
        return interface, account, logout


__all__ = ["HostPortal", "HostedAccount"]
