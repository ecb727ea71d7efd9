"""
Which kind of draft an upload gets.
"""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from typing import Final

from filehub.attributes import Disposition, Ownership
from filehub.errors import InvalidOffset
from filehub.vfs import _openat
from filehub.vfs._drafts import (
    AppendDraft,
    CopyDraft,
    Draft,
    NewDraft,
    PartDraft,
    Place,
    WritePolicy,
)
from filehub.vfs._openat import Names
from filehub.vfs._openfile import OpenFile
from filehub.vfs._staging import Staging, tryLock

#: A published file up to this many bytes is continued in a copy of it.  Longer ones
#: only where the file system can share the blocks, or where they are not continued
#: at their very end.
COPY_LIMIT: Final = 8 * 1024 * 1024


class Uploads:
    """Begins writing into one tree.  Everything here blocks."""

    def __init__(self, root: OpenFile, staging: Staging, policy: WritePolicy) -> None:
        self._root = root
        self._staging = staging
        self._policy = policy

    def masked(self, withheld: int) -> Uploads:
        """The same, but new files lack these permission bits."""
        policy = replace(self._policy, mode=self._policy.mode & ~withheld)
        return Uploads(self._root, self._staging, policy)

    def ownedBy(self, ownership: Ownership) -> Uploads:
        """The same, but new files are theirs."""
        return Uploads(self._root, self._staging, replace(self._policy, ownership=ownership))

    def begin(
        self, owner: str, names: Names, disposition: Disposition, sizeHint: int | None
    ) -> Draft:
        """
        For L{IFileSystem.openForWriting}.

        @raise OSError:
        """
        place = self._place(owner, names)
        try:
            return self.beginAt(place, disposition, sizeHint)
        except BaseException:
            os.close(place.directory)
            raise

    def beginAt(self, place: Place, disposition: Disposition, sizeHint: int | None) -> Draft:
        """The same where the directory is open already."""
        existing = place.status()
        if existing is not None:
            if disposition is Disposition.CREATE:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            _openat.requireRegular(existing)
            self._requireWritable(place)
        if sizeHint:
            self._requireRoom(place, sizeHint)
        if disposition is Disposition.APPEND:
            if existing is not None:
                return self._continue(place, None)
            part = self._openPart(place)
            if part is not None:
                return PartDraft(place, part[0], part[1].st_size)
        return NewDraft(place, existing, replace=disposition is not Disposition.CREATE)

    def resume(self, owner: str, names: Names, offset: int, sizeHint: int | None) -> Draft:
        """
        For L{IRandomAccess.openForUpdate}.

        @raise OSError:
        @raise InvalidOffset:
        """
        if offset == 0:
            return self.begin(owner, names, Disposition.REPLACE, sizeHint)
        place = self._place(owner, names)
        try:
            existing = place.status()
            if existing is not None:
                _openat.requireRegular(existing)
                self._requireWritable(place)
            # What is there already needs no more room.
            if sizeHint and sizeHint > offset:
                self._requireRoom(place, sizeHint - offset)
            if existing is not None:
                return self._continue(place, offset)
            part = self._openPart(place)
            if part is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            descriptor, status = part
            try:
                _requireOffset(offset, status)
                os.ftruncate(descriptor, offset)
                return PartDraft(place, descriptor, offset)
            except BaseException:
                os.close(descriptor)
                raise
        except BaseException:
            os.close(place.directory)
            raise

    def _place(self, owner: str, names: Names) -> Place:
        if not names:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        directory = _openat.openDirectory(self._root.descriptor, names[:-1])
        return self.placeIn(owner, names, directory)

    def placeIn(self, owner: str, names: Names, directory: int) -> Place:
        """@param directory: a descriptor, which becomes the place's."""
        return Place(owner, names, directory, self._staging, self._policy)

    def _requireWritable(self, place: Place) -> None:
        # A rename asks only the directory; a file that was made read-only is meant
        # to stay, as it would if it were opened for writing.
        if not os.access(
            place.name,
            os.W_OK,
            dir_fd=place.directory,
            effective_ids=True,
            follow_symlinks=False,
        ):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def _requireRoom(self, place: Place, nbytes: int) -> None:
        room = os.fstatvfs(place.directory)
        if room.f_bavail * room.f_frsize < nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _openPart(self, place: Place) -> tuple[int, os.stat_result] | None:
        try:
            folder = self._staging.openPartFolder(place.owner, place.names[:-1])
        except FileNotFoundError:
            return None
        try:
            return self._openLocked(folder, place.name)
        except FileNotFoundError:
            return None
        finally:
            os.close(folder)

    def _openLocked(self, directory: int, name: bytes) -> tuple[int, os.stat_result]:
        descriptor, _ = _openat.openRegular(directory, name, _openat.UPDATE)
        try:
            busy = BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            if not tryLock(descriptor):
                raise busy
            # Looked at under the lock: what it was before may have been published,
            # removed or continued meanwhile.
            status = os.fstat(descriptor)
            named = _openat.statEntry(directory, name)
            if (named.st_dev, named.st_ino) != (status.st_dev, status.st_ino):
                raise busy
            return descriptor, status
        except BaseException:
            os.close(descriptor)
            raise

    def _continue(self, place: Place, offset: int | None) -> Draft:
        """@param offset: L{None} for the end of the file."""
        descriptor, status = self._openLocked(place.directory, place.name)
        try:
            if offset is None:
                offset = status.st_size
            _requireOffset(offset, status)
            copy = CopyDraft(place, descriptor, status, offset)
            try:
                if copy.share() or offset <= COPY_LIMIT or offset < status.st_size:
                    return copy
                draft = self._continueInPlace(place, descriptor, status)
                if draft is None:
                    return copy
            except BaseException:
                _discard(copy)
                raise
            _discard(copy)
            return draft
        except BaseException:
            os.close(descriptor)
            raise

    def _continueInPlace(
        self, place: Place, descriptor: int, status: os.stat_result
    ) -> Draft | None:
        try:
            return AppendDraft(place, descriptor, status)
        except OSError as error:
            # No second link here: another device, or a file system without them.
            if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
                return None
            raise


def _discard(copy: CopyDraft) -> None:
    """Its source lives on."""
    try:
        copy.abandon()
    finally:
        os.close(copy.descriptor)


def _requireOffset(offset: int, status: os.stat_result) -> None:
    if offset > status.st_size:
        raise InvalidOffset()
