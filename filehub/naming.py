"""
Rules about names, in addition to those about places: optional, asked of a policy with
C{INamePolicy(policy, None)}.
"""

from __future__ import annotations

from zope.interface import Interface

from filehub.paths import VirtualPath
from filehub.permissions import Permission


class INamePolicy(Interface):
    """
    Of an L{IPermissionPolicy<filehub.interfaces.IPermissionPolicy>} that looks at names.
    What it says of a path must not get looser when the directories above it, below the
    place where a rule begins, get other names that are permitted: so a directory may be
    renamed where the same names are judged in the same way afterwards.
    """

    def namingBelow(path: VirtualPath) -> tuple[object, ...]:
        """How names below C{path} are judged: equal values judge alike, empty not at all."""

    def strictestRuleBelow(path: VirtualPath) -> Permission:
        """
        As L{strictestBelow<filehub.interfaces.IPermissionPolicy.strictestBelow>}, but
        names that L{namingBelow} forbids do not count.
        """


__all__ = ["INamePolicy"]
