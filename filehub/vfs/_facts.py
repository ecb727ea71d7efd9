"""
From C{os.stat_result} to L{FileAttributes}.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Callable
from hashlib import blake2s
from typing import Final

from filehub.attributes import FileAttributes, FileType

_TYPES: Final = {
    stat.S_IFREG: FileType.REGULAR,
    stat.S_IFDIR: FileType.DIRECTORY,
    stat.S_IFLNK: FileType.SYMLINK,
}


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
        # Of this process: ids are compared within one session, never stored.
        self._key = os.urandom(16)

    def known(self, status: os.stat_result) -> bool:
        """Can C{attributes} answer without asking the name service?"""
        return status.st_uid in self._users and status.st_gid in self._groups

    def attributes(self, status: os.stat_result) -> FileAttributes:
        """May block, unless the owner is L{known}."""
        mode = status.st_mode
        owner = self._users.get(status.st_uid)
        if owner is None:
            owner = self._remember(self._users, status.st_uid, self._userName)
        group = self._groups.get(status.st_gid)
        if group is None:
            group = self._remember(self._groups, status.st_gid, self._groupName)
        identity = b"%x:%x" % (status.st_dev, status.st_ino)
        return FileAttributes(
            _TYPES.get(stat.S_IFMT(mode), FileType.OTHER),
            status.st_size,
            status.st_mtime,
            status.st_atime,
            mode & 0o7777,
            owner,
            group,
            status.st_nlink,
            blake2s(identity, digest_size=8, key=self._key).hexdigest(),
        )

    def _remember(self, names: dict[int, str], number: int, ask: Callable[[int], str]) -> str:
        if len(names) >= self._LIMIT:
            names.clear()
        name = names[number] = ask(number)
        return name
