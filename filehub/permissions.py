"""
The ten permissions, with the letters that FTP administrators know.
"""

from __future__ import annotations

import enum
from typing import Final


class Permission(enum.IntFlag):
    """What may be done with a file, or in a directory."""

    #: C{e}: make it the current directory, learn its attributes.
    ENTER = 1
    #: C{l}: list it.
    LIST = 2
    #: C{r}: read the content.
    RETRIEVE = 4
    #: C{a}: add at the end.
    APPEND = 8
    #: C{d}: remove.
    DELETE = 16
    #: C{f}: rename.
    RENAME = 32
    #: C{m}: make a directory.
    MAKE = 64
    #: C{w}: store a file, new or in place of another.
    STORE = 128
    #: C{M}: change the mode bits.
    MODE = 256
    #: C{T}: change the times.
    TIME = 512


NOTHING: Final = Permission(0)
EVERYTHING: Final = Permission(1023)
READ_ONLY: Final = Permission.ENTER | Permission.LIST | Permission.RETRIEVE

LETTERS: Final = dict(zip("elradfmwMT", Permission, strict=True))


def parsePermissions(letters: str) -> Permission:
    """
    The permissions that these letters stand for.

    @raise ValueError: another letter; says which are known.
    """
    found = NOTHING
    for letter in letters:
        permission = LETTERS.get(letter)
        if permission is None:
            raise ValueError(f"found {letter!r}, expected letters of {''.join(LETTERS)}")
        found |= permission
    return found


def formatPermissions(permissions: Permission) -> str:
    """The letters, in their usual order."""
    return "".join(letter for letter, each in LETTERS.items() if each in permissions)
