"""
Content on its way to a name.

A draft has one of two endings, C{publish} or C{abandon}; both block, and both leave
the descriptor open for its owner to close.  What an abandoned draft leaves is the
mount's policy:

  - C{"owner"}: a part in the L{Staging} folder that its account can go on with, if
    the name is not taken (where it is, the published file is what a client would
    see and go on with);
  - C{"delete"}: nothing;
  - C{"visible"}: the incomplete file under its name, if that is not taken.
"""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from filehub.attributes import Ownership
from filehub.vfs import _openat
from filehub.vfs._openat import Names
from filehub.vfs._staging import Staging, newName, restoreLength, tryLock, unlock
from filehub.vfs._syscalls import reflink
from filehub.vfs.ownership import give

Partial = Literal["owner", "delete", "visible"]

#: How much of a published file is copied in one piece of work.
COPY_STEP: Final = 32 * 1024 * 1024


@dataclass(frozen=True)
class WritePolicy:
    """
    What the mount says about uploads.

    @ivar sync: is a commit finished only when the disk has it?
    @ivar mode: permission bits of new files, whatever the umask.
    @ivar procLinks: can an unnamed file be given a name through C{/proc}?
    @ivar distant: may a write fail as late as when the file is closed?
    @ivar ownership: whose new files are, if not the server's.
    """

    partial: Partial
    sync: bool
    mode: int
    procLinks: bool
    distant: bool
    ownership: Ownership | None = None


@dataclass(slots=True)
class Place:
    """
    The name that a draft is for.

    @ivar directory: a descriptor that belongs to the draft.  A directory that is
        renamed meanwhile takes the upload with it.
    """

    owner: str
    names: Names
    directory: int
    staging: Staging
    policy: WritePolicy

    @property
    def name(self) -> bytes:
        return self.names[-1]

    def status(self) -> os.stat_result | None:
        """Of what is published under the name."""
        try:
            return _openat.statEntry(self.directory, self.names[-1])
        except FileNotFoundError:
            return None


class Draft(ABC):
    """
    @ivar position: where the next sequential byte belongs.
    @ivar prompt: are the endings a few changes of names, and nothing else?
    """

    prompt = False
    _locked = False

    def __init__(self, place: Place, descriptor: int, position: int) -> None:
        self.place = place
        self.descriptor = descriptor
        self.position = position

    def prepare(self) -> bool:
        """Do one step of what comes before the first byte; True when it is done."""
        return True

    @abstractmethod
    def publish(self) -> None:
        """
        Put the content under its name.

        @raise OSError: it is not there; the draft still wants to be abandoned.
        """

    @abstractmethod
    def abandon(self) -> None:
        """Leave what the policy says."""

    def close(self) -> None:
        """Let go of everything but the descriptor."""
        if self._locked:
            # Now, for the descriptor may be lent, or closed by a worker later on.
            unlock(self.descriptor)
        os.close(self.place.directory)

    def _settle(self, mode: int) -> None:
        """What is done to content before it gets its name."""
        status = os.fstat(self.descriptor)
        if status.st_mode & 0o7777 != mode:
            os.fchmod(self.descriptor, mode)
        policy = self.place.policy
        if policy.ownership is not None:
            give(self.descriptor, self._ownership(policy.ownership), status)
        if policy.sync or policy.distant:
            self._flush()

    def _ownership(self, usual: Ownership) -> Ownership:
        """Whose it becomes, where new files are not the server's."""
        return usual

    def _flush(self) -> None:
        """Learn now of what would only be told at the very end."""
        if self.place.policy.sync:
            os.fsync(self.descriptor)
        elif self.place.policy.distant:
            # Network file systems report lost writes when a descriptor is closed, any
            # descriptor of the file; ours stays open beyond the moment that counts.
            os.close(os.dup(self.descriptor))

    def _published(self) -> None:
        """What is done after it."""
        place = self.place
        if place.policy.sync:
            _openat.syncDirectory(place.directory)
        place.staging.forgetPart(place.owner, place.names)


class NewDraft(Draft):
    """
    New content: an unnamed file (C{O_TMPFILE}) next to its target, which a crash
    takes away by itself, or a hidden one where the file system has no such thing.

    @param existing: what is published under the name.
    @param replace: may C{publish} replace it?
    """

    def __init__(self, place: Place, existing: os.stat_result | None, *, replace: bool) -> None:
        policy = place.policy
        self._existing = existing
        self._replace = replace
        self._mode = policy.mode if existing is None else existing.st_mode & 0o777
        #: Folder and name of the file, once it has one.
        self._hidden: tuple[int, bytes] | None = None
        descriptor = -1
        if policy.procLinks:
            descriptor = self._openUnnamed(place.directory)
        if descriptor < 0:
            self._hidden = _hiddenPlace(place)
            descriptor = os.open(
                self._hidden[1],
                os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC,
                self._mode,
                dir_fd=self._hidden[0],
            )
            self._locked = tryLock(descriptor)
        super().__init__(place, descriptor, 0)
        self.prompt = not policy.sync

    def _openUnnamed(self, directory: int) -> int:
        try:
            return os.open(
                b".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, self._mode, dir_fd=directory
            )
        except OSError as error:
            # The second and third are how kernels and file systems say that they
            # do not know the flag.
            if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                return -1
            raise

    def publish(self) -> None:
        """See L{Draft.publish}."""
        self._settle(self._mode)
        self._name(replace=self._replace)
        self._published()

    def _name(self, *, replace: bool) -> None:
        directory, name = self.place.directory, self.place.name
        if self._hidden is None:
            if not replace or self._existing is None:
                try:
                    _link(self.descriptor, directory, name)
                    return
                except FileExistsError:
                    if not replace:
                        raise
            self._hide(_hiddenPlace(self.place))
        assert self._hidden is not None  # for the type checker: _hide() sees to it
        folder, hidden = self._hidden
        if replace:
            os.rename(hidden, name, src_dir_fd=folder, dst_dir_fd=directory)
        else:
            _openat.renameNew(hidden, name, src_dir_fd=folder, dst_dir_fd=directory)
        self._hidden = None

    def _hide(self, hidden: tuple[int, bytes]) -> None:
        # Locked before it has a name, or a sweep could take it for a leftover.
        self._locked = tryLock(self.descriptor)
        _link(self.descriptor, *hidden)
        self._hidden = hidden

    def abandon(self) -> None:
        """See L{Draft.abandon}."""
        try:
            partial = self.place.policy.partial
            if self._worthKeeping():
                if partial == "owner":
                    self._keep()
                elif partial == "visible":
                    with suppress(FileExistsError):
                        self._settle(self._mode)
                        self._name(replace=False)
        finally:
            if self._hidden is not None:
                os.unlink(self._hidden[1], dir_fd=self._hidden[0])
                self._hidden = None

    def _worthKeeping(self) -> bool:
        return os.fstat(self.descriptor).st_size > 0 and self.place.status() is None

    def _keep(self) -> None:
        """Make it a part, in the place of an older one that nobody is at."""
        place = self.place
        with suppress(FileNotFoundError):
            try:
                place.staging.removePart(place.owner, place.names)
            except BlockingIOError:
                return
        folder = place.staging.openPartFolder(place.owner, place.names[:-1], create=True)
        try:
            if self._hidden is None:
                _link(self.descriptor, folder, place.name)
            else:
                os.rename(
                    self._hidden[1], place.name, src_dir_fd=self._hidden[0], dst_dir_fd=folder
                )
                self._hidden = None
        except OSError as error:
            # Another file system that is mounted inside the tree, or two uploads
            # that broke together: there is no part then, as after a crash.
            if error.errno not in (errno.EXDEV, errno.EEXIST):
                raise
        finally:
            os.close(folder)


class CopyDraft(NewDraft):
    """
    A published file that is continued in a copy of its beginning, which replaces it
    at the end; abandoned, it leaves the published file as it was.

    @param source: the published file, locked; the descriptor becomes this object's.
    """

    def __init__(self, place: Place, source: int, status: os.stat_result, offset: int) -> None:
        super().__init__(place, status, replace=True)
        self.position = offset
        self._source = source
        self._sourceStatus = status
        self._copied = 0

    def share(self) -> bool:
        """Share the blocks of the published file instead of copying them, if possible."""
        if not reflink(self._source, self.descriptor):
            return False
        os.ftruncate(self.descriptor, self.position)
        self._copied = self.position
        return True

    def prepare(self) -> bool:
        """See L{Draft.prepare}: copy what is not shared."""
        end = min(self.position, self._copied + COPY_STEP)
        while self._copied < end:
            done = copyRange(self._source, self.descriptor, self._copied, end - self._copied)
            if not done:
                # Somebody cut it meanwhile, though not through us: it is locked.
                raise OSError(errno.EIO, "the file has become shorter")
            self._copied += done
        return self._copied == self.position

    def publish(self) -> None:
        """See L{Draft.publish}."""
        _requireSame(self.place, self._sourceStatus)
        super().publish()

    def abandon(self) -> None:
        """See L{Draft.abandon}."""
        # Visible means visible: what came is there to be continued.
        longer = os.fstat(self.descriptor).st_size > self._sourceStatus.st_size
        try:
            if self.place.policy.partial == "visible" and longer:
                self.publish()
        finally:
            super().abandon()

    def _worthKeeping(self) -> bool:
        return False

    def _ownership(self, usual: Ownership) -> Ownership:
        # It is the same file as before, as far as anybody can tell.
        return Ownership(self._sourceStatus.st_uid, self._sourceStatus.st_gid)

    def close(self) -> None:
        """See L{Draft.close}."""
        super().close()
        os.close(self._source)


class PartDraft(Draft):
    """
    What a broken upload left, continued where it is.

    @param descriptor: of the part, locked.
    """

    _locked = True

    def publish(self) -> None:
        """See L{Draft.publish}."""
        self._settle(self.place.policy.mode)
        self._move(replace=True)
        self._published()

    def _move(self, *, replace: bool) -> None:
        place = self.place
        folder = place.staging.openPartFolder(place.owner, place.names[:-1])
        try:
            names = {"src_dir_fd": folder, "dst_dir_fd": place.directory}
            if replace:
                os.rename(place.name, place.name, **names)
            else:
                _openat.renameNew(place.name, place.name, **names)
        finally:
            os.close(folder)
        place.staging.dropIfEmpty(place.owner, place.names[:-1])

    def abandon(self) -> None:
        """See L{Draft.abandon}."""
        place = self.place
        if place.policy.partial == "visible":
            with suppress(FileExistsError):
                self._settle(place.policy.mode)
                self._move(replace=False)
        elif place.policy.partial == "delete" or not os.fstat(self.descriptor).st_size:
            folder = place.staging.openPartFolder(place.owner, place.names[:-1])
            try:
                os.unlink(place.name, dir_fd=folder)
            finally:
                os.close(folder)
            place.staging.dropIfEmpty(place.owner, place.names[:-1])


class AppendDraft(Draft):
    """
    A published file that is continued in place, because a copy would be too dear.
    Whoever reads it meanwhile may see what has come so far.

    @param descriptor: of the published file, locked.
    """

    _locked = True

    def __init__(self, place: Place, descriptor: int, status: os.stat_result) -> None:
        self._before = status
        self._note = place.staging.noteAppend(place.directory, place.name, status)
        if place.policy.sync:
            place.staging.syncAppends()
        super().__init__(place, descriptor, status.st_size)

    def publish(self) -> None:
        """See L{Draft.publish}."""
        place = self.place
        _requireSame(place, self._before)
        self._flush()
        place.staging.forgetAppend(self._note)
        if place.policy.sync:
            place.staging.syncAppends()

    def abandon(self) -> None:
        """See L{Draft.abandon}."""
        # A failure here leaves the note, and with it the next sweep to put it right.
        if self.place.policy.partial != "visible":
            before = self._before
            restoreLength(
                self.descriptor, os.fstat(self.descriptor), before.st_size, before.st_mtime_ns
            )
        self.place.staging.forgetAppend(self._note)


def _link(descriptor: int, directory: int, name: bytes) -> None:
    """Give an unnamed file a name; it replaces nothing."""
    os.link(f"/proc/self/fd/{descriptor}", name, dst_dir_fd=directory, follow_symlinks=True)


def _hiddenPlace(place: Place) -> tuple[int, bytes]:
    """Where a file can wait from which one rename leads to the target."""
    drafts = place.staging.drafts
    if os.fstat(drafts).st_dev == os.fstat(place.directory).st_dev:
        return drafts, newName()
    # Another file system is mounted there, and no rename crosses that.
    return place.directory, newName(b".filehub-")


def _requireSame(place: Place, status: os.stat_result) -> None:
    """
    @raise OSError: the file that was continued is no longer the published one.
    """
    now = place.status()
    if now is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    if (now.st_dev, now.st_ino) != (status.st_dev, status.st_ino):
        raise BlockingIOError(errno.EAGAIN, "the file was replaced meanwhile")


def copyRange(source: int, target: int, offset: int, length: int) -> int:
    """
    Copy bytes to the same offset of another file, in the kernel where it can.

    @return: how many; 0 at the end of the source.
    """
    try:
        return os.copy_file_range(source, target, length, offset, offset)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
    data = os.pread(source, min(length, 1024 * 1024), offset)
    written = 0
    while written < len(data):
        written += os.pwrite(target, data[written:], offset + written)
    return written
