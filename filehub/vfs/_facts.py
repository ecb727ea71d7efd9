"""
From C{os.stat_result} to L{FileAttributes}.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Callable
from struct import Struct
from typing import Final, NamedTuple

from filehub.attributes import FileAttributes, FileType

_TYPES: Final = {
    stat.S_IFREG: FileType.REGULAR,
    stat.S_IFDIR: FileType.DIRECTORY,
    stat.S_IFLNK: FileType.SYMLINK,
}

#: What an identity is made of: a key, device and inode.
_IDENTITY: Final = Struct("=16sQQ")
_64_BITS: Final = (1 << 64) - 1


class _Look(NamedTuple):
    """What most files of a directory have in common."""

    type: FileType
    mode: int
    owner: str
    group: str


def _userName(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _groupName(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


class Facts:
    """
    Turns numbers into what clients may see, and remembers the names of owners.

    The name service may be a directory server far away, so C{attributes} is for
    workers; the reactor's thread asks C{known} first.
    """

    _LIMIT: Final = 4096

    def __init__(
        self,
        userName: Callable[[int], str] = _userName,
        groupName: Callable[[int], str] = _groupName,
    ) -> None:
        self._userName = userName
        self._groupName = groupName
        self._users: dict[int, str] = {}
        self._groups: dict[int, str] = {}
        self._looks: dict[tuple[int, int, int], _Look] = {}
        # Of this process: ids are compared within one session, never stored.
        self._key = os.urandom(16)

    def known(self, status: os.stat_result) -> bool:
        """Can C{attributes} answer without asking the name service?"""
        return status.st_uid in self._users and status.st_gid in self._groups

    def attributes(self, status: os.stat_result) -> FileAttributes:
        """May block, unless the owner is L{known}."""
        # As a tuple it is taken apart in half the time that its names take.
        mode, inode, device, links, uid, gid, size, _, _, _ = status
        look = self._looks.get((mode, uid, gid))
        if look is None:
            look = self._look(mode, uid, gid)
        kind, bits, owner, group = look
        # The interpreter's hash of bytes is keyed by itself (SipHash), and takes a
        # third of the time of any other that does not tell what it was made of.
        identity = hash(_IDENTITY.pack(self._key, device, inode)) & _64_BITS
        modified, accessed = status.st_mtime, status.st_atime
        return tuple.__new__(
            FileAttributes,
            (kind, size, modified, accessed, bits, owner, group, links, f"{identity:016x}"),
        )

    def _look(self, mode: int, user: int, group: int) -> _Look:
        if len(self._looks) >= self._LIMIT:
            self._looks.clear()
        look = self._looks[mode, user, group] = _Look(
            _TYPES.get(stat.S_IFMT(mode), FileType.OTHER),
            mode & 0o7777,
            self._remember(self._users, user, self._userName),
            self._remember(self._groups, group, self._groupName),
        )
        return look

    def _remember(self, names: dict[int, str], number: int, ask: Callable[[int], str]) -> str:
        name = names.get(number)
        if name is None:
            if len(names) >= self._LIMIT:
                names.clear()
            name = names[number] = ask(number)
        return name
