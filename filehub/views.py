"""
The same file system with a difference: optional, asked of an account's file system as
other capabilities are.  They give no permission, and take none away.
"""

from __future__ import annotations

from zope.interface import Interface

from filehub.attributes import Ownership
from filehub.interfaces import IFileSystem


class ILiteralView(Interface):
    """
    Of file systems that follow links: for work on whole trees, where a link that
    somebody puts in the way must not lead elsewhere.
    """

    def literalView() -> IFileSystem:
        """
        The same, but no method follows any link: paths have to be
        L{resolved<IFileSystem.resolve>}.
        """


class ICreationMask(Interface):
    """Of file systems with permission bits."""

    def masked(withheld: int) -> IFileSystem:
        """The same, but what comes into being there lacks these bits, too."""


class ICreationOwner(Interface):
    """Of file systems whose files belong to users of the system."""

    def ownedBy(ownership: Ownership | None) -> IFileSystem:
        """
        The same, but files and directories that come into being there are theirs;
        L{None}: the server's.
        """


__all__ = ["ICreationMask", "ICreationOwner", "ILiteralView"]
