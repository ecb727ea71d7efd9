"""
Linux system calls that the standard library lacks.

Each is asked for once, by trying it; where the kernel (or a seccomp filter) does
not have it, callers take the portable way.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import sys
from typing import Final

# Both numbers are the same on every architecture since the tables were unified.
_SYS_OPENAT2: Final = 437
_RESOLVE_NO_XDEV: Final = 0x01
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_NO_SYMLINKS: Final = 0x04
_RESOLVE_BENEATH: Final = 0x08
_RESOLVE_CACHED: Final = 0x20
_RENAME_NOREPLACE: Final = 1
_FICLONE: Final = 0x40049409

_BELOW: Final = _RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_XDEV


class _OpenHow(ctypes.Structure):
    """C{struct open_how}."""

    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


# PyDLL keeps the interpreter's lock: right for a call that never waits, where giving
# the lock away could cost a whole switch interval to get it back.
_quick = ctypes.PyDLL(None, use_errno=True)
_quick.syscall.argtypes = [
    ctypes.c_long,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_void_p,
    ctypes.c_size_t,
]
_quick.syscall.restype = ctypes.c_long
_waiting = ctypes.CDLL(None, use_errno=True)


class CachedOpen:
    """
    C{openat2} that answers from the directory cache or not at all: it never waits
    for a disk, follows no link, stays below its directory and on its file system.

    @param flags: C{os.O_*}.
    @param inMemory: the file system is memory itself, so there is nothing to wait for.
    """

    __slots__ = ("_address", "_how")

    def __init__(self, flags: int, *, inMemory: bool = False) -> None:
        self._how = _OpenHow(flags | os.O_CLOEXEC, 0, _BELOW | (0 if inMemory else _RESOLVE_CACHED))
        self._address = ctypes.addressof(self._how)

    def __call__(self, directory: int, path: bytes) -> int:
        """
        A new descriptor, or a negative errno: C{-EAGAIN} where it would have to
        wait, C{-EXDEV} where it would leave, C{-ELOOP} for a link.
        """
        result: int = _quick.syscall(_SYS_OPENAT2, directory, path, self._address, 24)
        return result if result >= 0 else -ctypes.get_errno()


def cachedOpenWorks(directory: int, *, inMemory: bool = False) -> bool:
    """Does this kernel have it, and does the file system take part?"""
    if not sys.platform.startswith("linux"):
        return False
    descriptor = CachedOpen(os.O_PATH | os.O_DIRECTORY, inMemory=inMemory)(directory, b".")
    if descriptor < 0:
        return False
    os.close(descriptor)
    return True


_renameat2 = getattr(_waiting, "renameat2", None)
if _renameat2 is not None:
    _renameat2.argtypes = [
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_uint,
    ]
    _renameat2.restype = ctypes.c_int


def renameWithoutReplacing(
    source: bytes, target: bytes, *, src_dir_fd: int, dst_dir_fd: int
) -> bool:
    """
    Rename unless C{target} exists, in one step.

    @return: False if this kernel or file system cannot do that.
    @raise FileExistsError:
    @raise OSError:
    """
    if _renameat2 is None:
        return False
    if _renameat2(src_dir_fd, source, dst_dir_fd, target, _RENAME_NOREPLACE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        # EINVAL also means "a directory into itself"; the caller's way tells them apart.
        return False
    raise OSError(code, os.strerror(code))


def reflink(source: int, target: int) -> bool:
    """
    Let C{target} share all of C{source}'s blocks until either is written to.

    @return: False where the file system cannot.
    """
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


#: File systems on this machine's own disks, where what is cached is at hand and a
#: change of metadata goes to a journal in memory.
_LOCAL_TYPES: Final = {
    0xEF53: "ext",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0xF2F52010: "f2fs",
}
_MEMORY_TYPES: Final = {0x01021994: "tmpfs", 0x858458F6: "ramfs"}


class _StatFs(ctypes.Structure):
    """The one field of C{struct statfs} that we want, and room for the others."""

    _fields_ = (("type", ctypes.c_long), ("rest", ctypes.c_char * 504))


def fileSystemKind(descriptor: int) -> str:
    """C{"memory"}, C{"local"}, or C{"other"} for networks and what is unknown."""
    if not sys.platform.startswith("linux"):
        return "other"
    answer = _StatFs()
    if _waiting.fstatfs(ctypes.c_int(descriptor), ctypes.byref(answer)) != 0:
        return "other"
    magic = answer.type & 0xFFFFFFFF
    if magic in _MEMORY_TYPES:
        return "memory"
    return "local" if magic in _LOCAL_TYPES else "other"
