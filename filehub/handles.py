"""
What the handles of some storages can do besides reading and writing.
"""

from __future__ import annotations

from zope.interface import Interface


class IPromptReads(Interface):
    """On read handles: bytes that are at hand can be had without an object for them."""

    def readNow(offset: int, buffer: memoryview) -> int:
        """
        Read into C{buffer} as far as that does not have to wait for anything.

        @return: how many bytes.  Fewer than there is room for: the file ends there, or
            the rest is not at hand; L{filehub.interfaces.IReadHandle.readAt} knows.
        """


__all__ = ["IPromptReads"]
