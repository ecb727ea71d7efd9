"""
The folder C{.filehub} at the root of a local tree: what must not be seen yet.

  - C{drafts/}: new content without a name of its own, where the file system has no
    C{O_TMPFILE}, and for the instant in which one file replaces another;
  - C{parts/KEY/NAME}: what broken uploads left.  C{KEY} is a digest of the account
    and the directory, so C{NAME} may use all the bytes that a name can have;
  - C{appends/LENGTH-MTIME-RANDOM}: a second (hard) link to a file that is being
    continued in place, whose name says how long it was.  It is made before the first
    byte is written, and finds the file wherever it may be renamed to.

Who works on one of them holds C{flock} on it.  So a lock that can be had marks a
leftover: that is how L{Staging.sweep} tells the dead from the living, in this
process and in others.  The folder appears with the first need for it: a tree that
is only read stays as it is.  Everything here blocks.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import blake2b
from typing import Final

from twisted.logger import Logger

from filehub.vfs import _openat
from filehub.vfs._openat import STAGING, Names
from filehub.vfs._openfile import OpenFile

_DRAFTS: Final = b"drafts"
_PARTS: Final = b"parts"
_APPENDS: Final = b"appends"

#: Seconds within which a folder may change again without a new time.
_MOMENT: Final = 1.0


def tryLock(descriptor: int) -> bool:
    """
    Lock an open file, without waiting; the lock ends with the descriptor.

    @return: False if somebody else has it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Where there are no locks at all, the best that can be done is to go on.
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


def unlock(descriptor: int) -> None:
    """Give the lock back before the descriptor is closed."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def newName(prefix: bytes = b"") -> bytes:
    """A name that nobody else has."""
    return prefix + secrets.token_hex(12).encode("ascii")


class Staging:
    """
    @param root: the tree's root.
    @param lifetime: seconds that an untouched part is kept.
    @param clock: the time, in seconds since the epoch, as the file system stamps it.
    """

    _log = Logger()

    def __init__(self, root: OpenFile, lifetime: float, clock: Callable[[], float]) -> None:
        self._root = root
        self._lifetime = lifetime
        self._clock = clock
        self._lock = threading.Lock()
        self._folders: dict[bytes, int] = {}
        #: Keys that may have parts.  Read without the lock, also by the reactor's
        #: thread: a miss there costs nothing, a hit is looked up by a worker.
        self._keys: set[bytes] = set()
        self._changed = 0.0
        self.refresh()

    def close(self) -> None:
        """Let go of the descriptors."""
        with self._lock:
            folders, self._folders = self._folders, {}
        for descriptor in folders.values():
            os.close(descriptor)

    def _folder(self, name: bytes, *, create: bool = True) -> int:
        """
        @raise FileNotFoundError: it is not there and shall not be made.
        """
        with self._lock:
            found = self._folders.get(name)
            if found is not None and not os.fstat(found).st_nlink:
                # Somebody tidied up, thoroughly.
                os.close(self._folders.pop(name))
                found = None
            if found is None:
                if create:
                    for names in ((STAGING,), (STAGING, name)):
                        with suppress(FileExistsError):
                            _openat.makeDirectory(self._root.descriptor, names, 0o700)
                found = self._folders[name] = _openat.openDirectory(
                    self._root.descriptor, (STAGING, name)
                )
            return found

    @property
    def drafts(self) -> int:
        """The descriptor of the folder for content without a name."""
        return self._folder(_DRAFTS)

    # --- parts ---

    @staticmethod
    def _key(owner: str, directory: Names) -> bytes:
        text = owner.encode("utf-8", "surrogatepass") + b"\0" + b"/".join(directory)
        return blake2b(text, digest_size=20).hexdigest().encode("ascii")

    def refresh(self) -> None:
        """Other processes leave parts as well."""
        with suppress(OSError):
            folder = self._folder(_PARTS, create=False)
            changed = os.fstat(folder).st_mtime
            # What changes twice within a moment has the same time.
            if changed != self._changed or self._clock() - changed < _MOMENT:
                self._keys.update(_openat.listNames(folder))
                self._changed = changed

    def mayHaveParts(self, owner: str, directory: Names) -> bool:
        """Does it make sense to look?  Never blocks."""
        return bool(self._keys) and self._key(owner, directory) in self._keys

    def openPartFolder(self, owner: str, directory: Names, *, create: bool = False) -> int:
        """
        A new descriptor of the folder with this account's parts of a directory.

        @raise FileNotFoundError: there are none, and C{create} is false.
        """
        key = self._key(owner, directory)
        if create:
            parts = self._folder(_PARTS)
            with suppress(FileExistsError):
                os.mkdir(key, 0o700, dir_fd=parts)
            self._keys.add(key)
        elif key not in self._keys:
            self.refresh()
            if key not in self._keys:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return _openat.openChildDirectory(self._folder(_PARTS), key)

    def dropIfEmpty(self, owner: str, directory: Names) -> None:
        """Remove the folder after its last part."""
        key = self._key(owner, directory)
        with suppress(OSError):
            os.rmdir(key, dir_fd=self._folder(_PARTS, create=False))
            self._keys.discard(key)

    def statPart(self, owner: str, names: Names) -> os.stat_result:
        """
        @raise FileNotFoundError:
        """
        folder = self.openPartFolder(owner, names[:-1])
        try:
            return _openat.statEntry(folder, names[-1])
        finally:
            os.close(folder)

    def removePart(self, owner: str, names: Names) -> None:
        """
        Remove what a broken upload left, unless it is being continued.

        @raise FileNotFoundError:
        @raise BlockingIOError: it is being continued.
        """
        folder = self.openPartFolder(owner, names[:-1])
        try:
            if not self._removeUnlocked(folder, names[-1]):
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        finally:
            os.close(folder)
        self.dropIfEmpty(owner, names[:-1])

    def forgetPart(self, owner: str, names: Names) -> None:
        """The name was published: an older part of it is of no use, and no harm."""
        if self._keys and self.mayHaveParts(owner, names[:-1]):
            with suppress(OSError):
                self.removePart(owner, names)

    def parts(
        self, owner: str, directory: Names, published: int
    ) -> Iterator[tuple[bytes, os.stat_result]]:
        """
        This account's parts in a directory whose names are not taken.

        @param published: the directory's descriptor.
        """
        try:
            folder = self.openPartFolder(owner, directory)
        except OSError:
            return
        try:
            for name in _openat.listNames(folder):
                try:
                    _openat.statEntry(published, name)
                except FileNotFoundError:
                    with suppress(FileNotFoundError):
                        yield name, _openat.statEntry(folder, name)
        finally:
            os.close(folder)

    def partsIn(self, owner: str, directory: Names) -> Iterator[tuple[bytes, int]]:
        """Names and sizes of all parts, also of those whose names are taken."""
        if not self.mayHaveParts(owner, directory):
            return
        with suppress(FileNotFoundError):
            folder = self.openPartFolder(owner, directory)
            try:
                for name in _openat.listNames(folder):
                    yield name, _openat.statEntry(folder, name).st_size
            finally:
                os.close(folder)

    # --- appends ---

    def noteAppend(self, directory: int, name: bytes, status: os.stat_result) -> bytes:
        """
        Write down how long a file is before it is continued in place.

        @return: what L{forgetAppend} wants.
        @raise OSError: no second link can be made here.
        """
        note = newName(b"%d-%d-" % (status.st_size, status.st_mtime_ns))
        folder = self._folder(_APPENDS)
        os.link(name, note, src_dir_fd=directory, dst_dir_fd=folder, follow_symlinks=False)
        linked = _openat.statEntry(folder, note)
        if (linked.st_dev, linked.st_ino) != (status.st_dev, status.st_ino):
            os.unlink(note, dir_fd=folder)
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return note

    def forgetAppend(self, note: bytes) -> None:
        """The file is as it should be."""
        os.unlink(note, dir_fd=self._folder(_APPENDS))

    def syncAppends(self) -> None:
        """Get the notes to the disk."""
        _openat.syncDirectory(self._folder(_APPENDS))

    # --- leftovers ---

    def sweep(self) -> None:
        """
        Put right what a crash left, and remove parts that have outlived their time.
        Harmless to uploads that are going on, here or in another process.
        """
        self._each(_APPENDS, self._repairAppend)
        self._each(_DRAFTS, self._removeUnlocked)
        self._each(_PARTS, self._sweepParts)

    def _each(self, name: bytes, act: Callable[[int, bytes], object]) -> None:
        try:
            folder = self._folder(name, create=False)
            entries = list(_openat.listNames(folder))
        except FileNotFoundError:
            return
        for entry in entries:
            # One leftover that resists must not keep the others.
            with self._log.failuresHandled("cannot clear away a leftover"):
                act(folder, entry)

    def _removeUnlocked(self, folder: int, name: bytes) -> bool:
        try:
            descriptor, _ = _openat.openRegular(folder, name, _openat.READ)
        except FileNotFoundError:
            return True
        try:
            if not tryLock(descriptor):
                return False
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
            return True
        finally:
            os.close(descriptor)

    def _repairAppend(self, folder: int, note: bytes) -> None:
        descriptor, status = _openat.openRegular(folder, note, _openat.UPDATE)
        try:
            if not tryLock(descriptor):
                return
            length, modified, _ = note.split(b"-")
            restoreLength(descriptor, status, int(length), int(modified))
            os.fsync(descriptor)
            os.unlink(note, dir_fd=folder)
        finally:
            os.close(descriptor)

    def _sweepParts(self, parts: int, key: bytes) -> None:
        oldest = self._clock() - self._lifetime
        folder = _openat.openChildDirectory(parts, key)
        try:
            self._keys.add(key)
            for name in list(_openat.listNames(folder)):
                if _openat.statEntry(folder, name).st_mtime < oldest:
                    self._removeUnlocked(folder, name)
        finally:
            os.close(folder)
        with suppress(OSError):
            os.rmdir(key, dir_fd=parts)
            self._keys.discard(key)


def restoreLength(descriptor: int, status: os.stat_result, length: int, modified: int) -> None:
    """Cut off what was appended, and give back the old time."""
    if status.st_size > length:
        os.ftruncate(descriptor, length)
        os.utime(descriptor, ns=(status.st_atime_ns, modified))
