"""
What is known about a file, and what a client may want to change of it.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from filehub.paths import VirtualPath


class FileType(enum.Enum):
    """The kinds of directory entry that clients are told apart."""

    REGULAR = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    OTHER = "other"


class FileAttributes(NamedTuple):
    """
    Facts about one file.  What the storage does not know is L{None}, never invented.

    @ivar size: bytes.
    @ivar modified: seconds since the epoch, UTC.
    @ivar accessed: seconds since the epoch, UTC.
    @ivar mode: permission bits, C{0o7777} at most.
    @ivar owner: a name, or a number in decimal where there is no name.
    @ivar links: number of hard links.
    @ivar uniqueId: equal for two names of the same file (RFC 3659 7.5.2); opaque,
        it discloses no inode or device number.
    """

    type: FileType
    size: int
    modified: float
    accessed: float | None = None
    mode: int | None = None
    owner: str | None = None
    group: str | None = None
    links: int | None = None
    uniqueId: str | None = None

    @property
    def isDirectory(self) -> bool:
        return self.type is FileType.DIRECTORY

    @property
    def isRegular(self) -> bool:
        return self.type is FileType.REGULAR


class AttributeChanges(NamedTuple):
    """
    The attributes to set; L{None} leaves one as it is.

    @ivar mode: permission bits; set-id and sticky bits are never set.
    @ivar modified: seconds since the epoch, UTC.
    @ivar accessed: seconds since the epoch, UTC.
    """

    mode: int | None = None
    modified: float | None = None
    accessed: float | None = None


class Ownership(NamedTuple):
    """
    To whom new files belong: numbers of the system; -1 leaves it to the system.
    """

    user: int = -1
    group: int = -1


class DirectoryEntry(NamedTuple):
    """
    One name in a directory.

    @ivar attributes: those of the entry itself; a symbolic link is not followed.
    @ivar linkTarget: where a symbolic link leads, as text, if it may be told.
    """

    name: str
    attributes: FileAttributes
    linkTarget: str | None = None


class Disposition(enum.Enum):
    """What opening for writing does with an existing file."""

    CREATE = "must not exist"
    REPLACE = "stands until the new content is committed"
    APPEND = "is continued at its end"


class QuotaUsage(NamedTuple):
    """
    How far the quota of a directory is used, with what is set aside for uploads.

    @ivar path: the directory, or what of it can be told.
    @ivar maximumBytes: L{None} for any number.
    @ivar nfiles: names, of files, directories and links.
    @ivar maximumFiles: L{None} for any number.
    """

    path: VirtualPath
    nbytes: int
    maximumBytes: int | None
    nfiles: int
    maximumFiles: int | None


class SpaceUsage(NamedTuple):
    """
    Room on a storage.

    @ivar free: bytes that this account could still write.
    @ivar total: bytes in all, or L{None} where that means nothing.
    @ivar quotas: all that hold there.
    """

    free: int
    total: int | None
    quotas: tuple[QuotaUsage, ...] = ()
