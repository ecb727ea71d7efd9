"""
Giving what was made to a user and a group of the system.

What is given away was made here a moment ago, and that is looked at first, through the
descriptor that is used: whoever can write into a directory can put something else under
a name meanwhile, and must not become its owner.  Everything here blocks.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from twisted.logger import Logger

from filehub.attributes import Ownership
from filehub.vfs import _openat
from filehub.vfs._openat import Names

_log: Final = Logger()

#: CAP_CHOWN; CAP_DAC_OVERRIDE and CAP_FOWNER: to go on using what is somebody else's.
_NEEDED: Final = 1 << 0 | 1 << 1 | 1 << 3
#: How it is said that a file system, or this machine, has no such thing.
_REFUSED: Final = frozenset((errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP, errno.EROFS))


def mayGiveAway(status: Path = Path("/proc/self/status")) -> bool:
    """
    Has this process the rights that it takes?

    @param status: where the kernel says so.
    """
    with suppress(OSError, ValueError):
        for line in status.read_text("ascii", "replace").splitlines():
            key, _, value = line.partition(":")
            if key == "CapEff":
                return int(value, 16) & _NEEDED == _NEEDED
    # Without /proc, only root is known to have them.
    return os.geteuid() == 0


def give(descriptor: int, ownership: Ownership, status: os.stat_result | None = None) -> None:
    """
    Make the open file or directory theirs.  Where the system does not let us, it stays
    as it is, and the log says so.

    @param status: of it, if that is known.
    """
    status = os.fstat(descriptor) if status is None else status
    user, group = ownership
    if user in (-1, status.st_uid) and group in (-1, status.st_gid):
        return
    isFile = stat.S_ISREG(status.st_mode)
    if status.st_uid != os.geteuid() or (isFile and status.st_nlink > 1):
        # It was not made here.
        _log.warn("what a name stands for has been swapped: it keeps its owner")
        return
    try:
        os.fchown(descriptor, user, group)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        _log.warn(
            "the system lets nobody make {user}:{group} an owner there: {reason}",
            user=user,
            group=group,
            reason=error.strerror,
        )


def makeDirectory(root: int, names: Names, mode: int, ownership: Ownership) -> None:
    """As L{_openat.makeDirectory}, of theirs."""
    _openat.makeDirectory(root, names, mode)
    made = _openat.openDirectory(root, names)
    try:
        readable = _openat.reopenForListing(made)
        try:
            # One with something in it was put there by somebody else.
            if not os.listdir(readable):
                give(readable, ownership)
        finally:
            os.close(readable)
    finally:
        os.close(made)


__all__ = ["give", "makeDirectory", "mayGiveAway"]
