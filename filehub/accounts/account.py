"""
The avatar.
"""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from filehub.accounts.records import AccountLimits
from filehub.interfaces import IFileAccount, IFileSystem, IPermissionPolicy
from filehub.paths import VirtualPath
from filehub.permissions import formatPermissions


@implementer(IFileAccount)
class FileAccount:
    """See L{IFileAccount}."""

    __slots__ = ("_policy", "fileSystem", "home", "limits", "mounts", "name", "requiresTLS")

    def __init__(
        self,
        name: str,
        home: VirtualPath,
        fileSystem: IFileSystem,
        policy: IPermissionPolicy,
        limits: AccountLimits,
        requiresTLS: bool = False,
        mounts: Sequence[VirtualPath] = (),
    ) -> None:
        self.name = name
        self.home = home
        self.fileSystem = fileSystem
        self.limits = limits
        self.requiresTLS = requiresTLS
        self.mounts = mounts
        self._policy = policy

    def permissionLetters(self, path: VirtualPath) -> str:
        """See L{IFileAccount.permissionLetters}."""
        return formatPermissions(self._policy.permissionsFor(path))
