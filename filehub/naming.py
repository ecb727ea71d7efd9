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
    Things may be renamed where the same names are judged in the same way afterwards, and
    nowhere else, as nobody knows what lies in a directory.
    """

    def namingBelow(path: VirtualPath) -> tuple[object, ...]:
        """How names below C{path} are judged: equal values judge alike, empty not at all."""

    def strictestRuleBelow(path: VirtualPath) -> Permission:
        """
        As L{strictestBelow<filehub.interfaces.IPermissionPolicy.strictestBelow>}, but
        names that L{namingBelow} forbids do not count.
        """


__all__ = ["INamePolicy"]
