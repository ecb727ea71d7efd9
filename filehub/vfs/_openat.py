"""
The only code that touches real names.

Every name is used relative to the descriptor of its directory, one component at a
time, and no link is followed: there is nothing between a check and its use that a
renaming attacker could change.  Paths arrive as tuples of encoded names, as
L{encodeNames} makes them.  All functions here block, and L{OSError} leaves them.

Facts that the code rests on (Linux): C{O_DIRECTORY|O_NOFOLLOW} on a link says
C{ENOTDIR}, not C{ELOOP}; C{scandir}, C{fsync} and C{fchmod} refuse C{O_PATH}
descriptors with C{EBADF}; C{rename} silently replaces empty directories.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import Final

from filehub.paths import ROOT, VirtualPath, decodeName, encodeName
from filehub.vfs._oserrors import failure, notRegular
from filehub.vfs._syscalls import renameWithoutReplacing

Names = tuple[bytes, ...]

#: The folder at the root of every tree that FileHub keeps for itself.
STAGING: Final = b".filehub"
#: As Linux' own limit on links in one look-up.
MAXIMUM_LINKS: Final = 40

_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: For whatever may turn out not to be a regular file: neither waits for the other
#: end of a FIFO nor makes a terminal ours.
_CAUTIOUS: Final = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW
READ: Final = os.O_RDONLY | _CAUTIOUS
UPDATE: Final = os.O_RDWR | _CAUTIOUS

#: What a L{CachedOpen} says of a name that certainly is not there.
MISSING: Final = -errno.ENOENT


def encodeNames(path: VirtualPath) -> Names:
    """
    The names as the kernel wants them.

    @raise InvalidName: a name that did not come from bytes.
    """
    # All in one go: no name has a slash, nor has a byte of one.
    return tuple(encodeName("/".join(path.segments)).split(b"/")) if path.segments else ()


def joined(names: Names) -> bytes:
    """The path for a L{CachedOpen}, which walks in the kernel."""
    return b"/".join(names) or b"."


def isReserved(path: VirtualPath) -> bool:
    """Is this our own folder or something in it?  No client ever gets there."""
    if not path.segments:
        return False
    first = path.segments[0]
    # Case-insensitive file systems know it by other spellings too.
    return first[:1] == "." and first.casefold() == ".filehub"


# --- walking -------------------------------------------------------------------


def openRoot(path: str) -> int:
    """The descriptor below which everything happens; here, once, links are followed."""
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def openChildDirectory(directory: int, name: bytes) -> int:
    """
    One step down.

    @raise NotADirectoryError: a file is there.
    @raise OSError: C{ELOOP} for a symbolic link.
    """
    try:
        return os.open(name, _DIRECTORY, dir_fd=directory)
    except NotADirectoryError:
        if stat.S_ISLNK(statEntry(directory, name).st_mode):
            raise failure(errno.ELOOP) from None
        raise


def openDirectory(root: int, names: Names) -> int:
    """A new C{O_PATH} descriptor of the directory at the end of C{names}."""
    current = os.open(b".", _DIRECTORY, dir_fd=root)
    for name in names:
        try:
            following = openChildDirectory(current, name)
        finally:
            os.close(current)
        current = following
    return current


def openNearestDirectory(root: int, names: Names) -> int:
    """The directory that this is, or that would hold it."""
    try:
        return openDirectory(root, names)
    except (NotADirectoryError, FileNotFoundError):
        return openDirectory(root, names[:-1])


def reopenForListing(directory: int) -> int:
    """A descriptor that can be read (and synced), for an C{O_PATH} one."""
    return os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)


def listNames(directory: int) -> Iterator[bytes]:
    """The names in a directory of our own."""
    readable = reopenForListing(directory)
    try:
        with os.scandir(readable) as entries:
            for entry in entries:
                yield os.fsencode(entry.name)
    finally:
        os.close(readable)


def syncDirectory(directory: int) -> None:
    """Get a directory's names to the disk."""
    readable = reopenForListing(directory)
    try:
        os.fsync(readable)
    finally:
        os.close(readable)


def statEntry(directory: int, name: bytes) -> os.stat_result:
    """The entry itself; a link is not followed."""
    return os.stat(name, dir_fd=directory, follow_symlinks=False)


def statPath(root: int, names: Names) -> os.stat_result:
    """The same for a whole path."""
    if not names:
        return os.fstat(root)
    directory = openDirectory(root, names[:-1])
    try:
        return statEntry(directory, names[-1])
    finally:
        os.close(directory)


def requireRegular(status: os.stat_result) -> os.stat_result:
    """
    @raise OSError: C{EISDIR}, C{ELOOP} or L{notRegular}.
    """
    mode = status.st_mode
    if not stat.S_ISREG(mode):
        if stat.S_ISDIR(mode):
            raise failure(errno.EISDIR)
        raise failure(errno.ELOOP) if stat.S_ISLNK(mode) else notRegular()
    return status


def openRegular(directory: int, name: bytes, flags: int) -> tuple[int, os.stat_result]:
    """
    Open an existing regular file and nothing else.

    @param flags: L{READ} or L{UPDATE}.
    """
    # Opening some devices has effects of its own, so look first; what was opened
    # is looked at again, for it may have been swapped.
    requireRegular(statEntry(directory, name))
    descriptor = os.open(name, flags, dir_fd=directory)
    try:
        return descriptor, requireRegular(os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise


def openRegularPath(root: int, names: Names, flags: int) -> tuple[int, os.stat_result]:
    """The same for a whole path."""
    if not names:
        raise failure(errno.EISDIR)
    directory = openDirectory(root, names[:-1])
    try:
        return openRegular(directory, names[-1], flags)
    finally:
        os.close(directory)


# --- changing names -------------------------------------------------------------


def within(root: int, names: Names, act: Callable[[int, bytes], None]) -> None:
    """
    Call C{act(directory, name)} for the last of C{names}.

    @raise PermissionError: for the root, which is never made, moved or removed.
    """
    if not names:
        raise failure(errno.EPERM)
    directory = openDirectory(root, names[:-1])
    try:
        act(directory, names[-1])
    finally:
        os.close(directory)


def makeDirectory(root: int, names: Names, mode: int) -> None:
    """Make a directory of exactly this mode, whatever the process' umask."""
    if not names:
        raise failure(errno.EEXIST)

    def act(directory: int, name: bytes) -> None:
        os.mkdir(name, mode, dir_fd=directory)
        made = statEntry(directory, name)
        if stat.S_ISDIR(made.st_mode) and made.st_mode & 0o777 != mode:
            _changeMode(directory, name, mode)

    within(root, names, act)


def removeDirectory(root: int, names: Names) -> None:
    """Remove an empty directory."""

    def act(directory: int, name: bytes) -> None:
        try:
            os.rmdir(name, dir_fd=directory)
        except FileExistsError:  # POSIX lets it mean ENOTEMPTY
            raise failure(errno.ENOTEMPTY) from None

    within(root, names, act)


def removeFile(root: int, names: Names) -> None:
    """Remove anything that is not a directory; a link itself."""
    if not names:
        raise failure(errno.EISDIR)

    def act(directory: int, name: bytes) -> None:
        try:
            os.unlink(name, dir_fd=directory)
        except PermissionError:
            # What POSIX says of directories where Linux says EISDIR.
            if stat.S_ISDIR(statEntry(directory, name).st_mode):
                raise failure(errno.EISDIR) from None
            raise

    within(root, names, act)


def renameNew(source: bytes, target: bytes, *, src_dir_fd: int, dst_dir_fd: int) -> None:
    """
    Rename, never replacing anything.

    @raise FileExistsError:
    """
    if renameWithoutReplacing(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd):
        return
    if not stat.S_ISDIR(statEntry(src_dir_fd, source).st_mode):
        os.link(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=False)
        os.unlink(source, dir_fd=src_dir_fd)
        return
    # A directory cannot be linked.  Between this look and the rename, only another
    # directory that is still empty could be replaced.
    try:
        statEntry(dst_dir_fd, target)
    except FileNotFoundError:
        os.rename(source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
    else:
        raise failure(errno.EEXIST)


def rename(root: int, source: Names, target: Names, replace: bool) -> None:
    """
    Move one entry; with C{replace}, an existing target that is no directory goes.

    @raise FileExistsError: also for any existing directory.
    """
    if not source or not target:
        raise failure(errno.EPERM)
    sourceDirectory = openDirectory(root, source[:-1])
    try:
        targetDirectory = openDirectory(root, target[:-1])
        try:
            places = {"src_dir_fd": sourceDirectory, "dst_dir_fd": targetDirectory}
            moved = statEntry(sourceDirectory, source[-1])
            if replace and not stat.S_ISDIR(moved.st_mode):
                try:
                    os.rename(source[-1], target[-1], **places)
                except IsADirectoryError:
                    raise failure(errno.EEXIST) from None
            elif not (replace and source == target):
                renameNew(source[-1], target[-1], **places)
        finally:
            os.close(targetDirectory)
    finally:
        os.close(sourceDirectory)


# --- changing attributes ---------------------------------------------------------


def _changeMode(directory: int, name: bytes, mode: int) -> None:
    """
    Set permission bits of a file or directory, and clear a file's set-id bits; a
    directory keeps those that its parent gave it.
    """
    # O_PATH needs no permission on the file and has no effect on devices; the
    # magic link then names exactly the file that was looked at.
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        current = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(current):
            mode |= current & 0o7000
        elif not stat.S_ISREG(current):
            raise failure(errno.EOPNOTSUPP)
        try:
            os.chmod(f"/proc/self/fd/{descriptor}", mode)
        except FileNotFoundError:  # no /proc: needs permission to read the file
            readable = os.open(name, READ, dir_fd=directory)
            try:
                os.fchmod(readable, mode)
            finally:
                os.close(readable)
    finally:
        os.close(descriptor)


def setAttributes(
    root: int,
    names: Names,
    mode: int | None,
    times: tuple[int | None, int | None],
) -> None:
    """
    @param mode: permission bits, at most C{0o777}.
    @param times: accessed and modified, in nanoseconds; L{None} stays as it is.
    """
    target = names or (b".",)
    directory = openDirectory(root, target[:-1])
    try:
        if mode is not None:
            _changeMode(directory, target[-1], mode)
        accessed, modified = times
        if accessed is not None or modified is not None:
            now = statEntry(directory, target[-1])
            os.utime(
                target[-1],
                ns=(
                    now.st_atime_ns if accessed is None else accessed,
                    now.st_mtime_ns if modified is None else modified,
                ),
                dir_fd=directory,
                follow_symlinks=False,
            )
    finally:
        os.close(directory)


# --- links -------------------------------------------------------------------------


def readLink(root: int, names: Names) -> bytes:
    """
    The text of a link.

    @raise FileNotFoundError: what is there is no link.
    """
    if not names:
        raise failure(errno.ENOENT)
    directory = openDirectory(root, names[:-1])
    try:
        return os.readlink(names[-1], dir_fd=directory)
    except OSError as error:
        if error.errno == errno.EINVAL:
            raise failure(errno.ENOENT) from None
        raise
    finally:
        os.close(directory)


def makeLink(root: int, names: Names, text: bytes) -> None:
    """Make a symbolic link with this text."""
    if not names:
        raise failure(errno.EEXIST)
    within(root, names, lambda directory, name: os.symlink(text, name, dir_fd=directory))


def resolve(root: int, path: VirtualPath, followFinal: bool) -> VirtualPath:
    """
    Replace links by where they lead, with the root of the tree as C{/}: absolute
    texts start there and C{..} stops there, so no link leads out.

    @raise OSError: C{ELOOP} after L{MAXIMUM_LINKS}.
    """
    pending = list(reversed(path.segments))
    done = ROOT
    stack = [os.open(b".", _DIRECTORY, dir_fd=root)]
    links = 0
    try:
        while pending:
            name = pending.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if done.segments:
                    done = done.parent
                    os.close(stack.pop())
                continue
            raw = encodeName(name)
            try:
                mode = statEntry(stack[-1], raw).st_mode
                text = None
                if stat.S_ISLNK(mode) and (pending or followFinal):
                    text = decodeName(os.readlink(raw, dir_fd=stack[-1]))
                elif stat.S_ISDIR(mode):
                    stack.append(openChildDirectory(stack[-1], raw))
            except (FileNotFoundError, NotADirectoryError):
                # Nothing is there, so nothing below it can lead anywhere.
                return done.join("/".join([name, *reversed(pending)]))
            if text is None:
                done = done.child(name)
                if not stat.S_ISDIR(mode):
                    return done.join("/".join(reversed(pending)))
                continue
            links += 1
            if links > MAXIMUM_LINKS:
                raise failure(errno.ELOOP)
            if text.startswith("/"):
                done = ROOT
                while len(stack) > 1:
                    os.close(stack.pop())
            # A trailing slash asks for what is behind the link, which we give anyway.
            pending.extend(reversed(text.split("/")))
        return done
    finally:
        for descriptor in stack:
            os.close(descriptor)
