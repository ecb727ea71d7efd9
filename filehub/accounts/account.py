"""
The avatar.
"""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from filehub.interfaces import (
    IClientPreferences,
    IFileAccount,
    IFileSystem,
    IPermissionPolicy,
    ISessionLimits,
)
from filehub.networks import Networks
from filehub.paths import VirtualPath
from filehub.permissions import formatPermissions


@implementer(IFileAccount, IClientPreferences)
class FileAccount:
    """See L{IFileAccount} and L{IClientPreferences}."""

    __slots__ = (
        "_policy",
        "fileSystem",
        "foreignData",
        "home",
        "limits",
        "mounts",
        "name",
        "profile",
        "requiresTLS",
    )

    def __init__(
        self,
        name: str,
        home: VirtualPath,
        fileSystem: IFileSystem,
        policy: IPermissionPolicy,
        limits: ISessionLimits,
        requiresTLS: bool = False,
        mounts: Sequence[VirtualPath] = (),
        foreignData: bool | Networks | None = None,
        profile: str | None = None,
    ) -> None:
        self.name = name
        self.home = home
        self.fileSystem = fileSystem
        self.limits = limits
        self.requiresTLS = requiresTLS
        self.mounts = mounts
        self.foreignData = foreignData
        self.profile = profile
        self._policy = policy

    def permissionLetters(self, path: VirtualPath) -> str:
        """See L{IFileAccount.permissionLetters}."""
        return formatPermissions(self._policy.permissionsFor(path))

    def commonLetters(self, path: VirtualPath) -> str | None:
        """See L{IFileAccount.commonLetters}."""
        strictest = self._policy.strictestBelow(path)
        return (
            formatPermissions(strictest) if self._policy.loosestBelow(path) == strictest else None
        )
