"""
Why may, or may not, an account do this?

The answer comes from the guard itself: it is asked to do the thing on a file system
whose links and directories are the real ones, and on which nothing is ever done.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from filehub.accounts.guard import Denial, GuardedFileSystem
from filehub.attributes import AttributeChanges, Disposition
from filehub.errors import FileSystemError
from filehub.interfaces import (
    IChecksums,
    IFileSystem,
    IPermissionPolicy,
    ISymbolicLinks,
)
from filehub.paths import VirtualPath
from filehub.vfs.forwarding import ForwardingFileSystem
from filehub.vfs.mount import mounted


@dataclass(frozen=True, slots=True)
class Decision:
    """
    @ivar isAllowed: would it be tried?
    @ivar canonical: the path that was judged, links resolved; L{None} where resolving
        failed.
    @ivar reason: the rule that decided, with the file and line that it stands in, or
        what else is in the way.
    """

    isAllowed: bool
    canonical: VirtualPath | None
    reason: str


class _Admitted(Exception):
    """The guard let it through."""


class Rehearsal(ForwardingFileSystem):
    """
    A view on which everything can be looked up and nothing is done: what would change
    or open something ends in an exception that only L{explain} knows.
    """

    async def openDirectory(self, path: VirtualPath) -> NoReturn:
        """Would be done."""
        raise _Admitted

    async def makeDirectory(self, path: VirtualPath) -> None:
        """Would be done."""
        raise _Admitted

    async def removeDirectory(self, path: VirtualPath) -> None:
        """Would be done."""
        raise _Admitted

    async def removeFile(self, path: VirtualPath) -> None:
        """Would be done."""
        raise _Admitted

    async def rename(self, source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """Would be done."""
        raise _Admitted

    async def setAttributes(self, path: VirtualPath, changes: AttributeChanges) -> None:
        """Would be done."""
        raise _Admitted

    async def openForReading(self, path: VirtualPath) -> NoReturn:
        """Would be done."""
        raise _Admitted

    async def openForWriting(
        self, path: VirtualPath, disposition: Disposition, *, sizeHint: int | None = None
    ) -> NoReturn:
        """Would be done."""
        raise _Admitted

    async def openForUpdate(
        self, path: VirtualPath, offset: int, *, sizeHint: int | None = None
    ) -> NoReturn:
        """Would be done."""
        raise _Admitted

    async def makeLink(self, path: VirtualPath, target: str) -> None:
        """Would be done."""
        raise _Admitted

    async def copy(self, source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """Would be done."""
        raise _Admitted

    async def digest(
        self, path: VirtualPath, algorithm: str, offset: int = 0, length: int | None = None
    ) -> bytes:
        """Would be done."""
        raise _Admitted


_Act = Callable[[IFileSystem, VirtualPath], Coroutine[Any, Any, object]]


def _download(files: IFileSystem, path: VirtualPath) -> Coroutine[Any, Any, object]:
    return files.openForReading(path)


def _upload(files: IFileSystem, path: VirtualPath) -> Coroutine[Any, Any, object]:
    return files.openForWriting(path, Disposition.REPLACE)


def _append(files: IFileSystem, path: VirtualPath) -> Coroutine[Any, Any, object]:
    return files.openForWriting(path, Disposition.APPEND)


def _list(files: IFileSystem, path: VirtualPath) -> Coroutine[Any, Any, object]:
    return files.openDirectory(path)


def _enter(files: IFileSystem, path: VirtualPath) -> Coroutine[Any, Any, object]:
    return files.enterDirectory(path)


def _delete(files: IFileSystem, path: VirtualPath) -> Coroutine[Any, Any, object]:
    return files.removeFile(path)


def _removeDirectory(files: IFileSystem, path: VirtualPath) -> Coroutine[Any, Any, object]:
    return files.removeDirectory(path)


def _makeDirectory(files: IFileSystem, path: VirtualPath) -> Coroutine[Any, Any, object]:
    return files.makeDirectory(path)


def _rename(files: IFileSystem, path: VirtualPath) -> Coroutine[Any, Any, object]:
    # Onto itself: what has to be permitted for any rename, and where it goes apart.
    return files.rename(path, path, replace=False)


async def _look(files: IFileSystem, path: VirtualPath) -> object:
    return await files.stat(await files.resolve(path))


def _mode(files: IFileSystem, path: VirtualPath) -> Coroutine[Any, Any, object]:
    return files.setAttributes(path, AttributeChanges(mode=0o644))


def _time(files: IFileSystem, path: VirtualPath) -> Coroutine[Any, Any, object]:
    return files.setAttributes(path, AttributeChanges(modified=0.0))


def _link(files: IFileSystem, path: VirtualPath) -> Coroutine[Any, Any, object]:
    return ISymbolicLinks(files).makeLink(path, "target")


def _digest(files: IFileSystem, path: VirtualPath) -> Coroutine[Any, Any, object]:
    return IChecksums(files).digest(path, "sha256")


#: The commands of all protocols, and plain words, by what they do.
VERBS: Final[dict[str, _Act]] = {
    word: act
    for act, words in {
        _download: "GET READ RETR RRQ SEND",
        _upload: "PUT WRITE STOR STOU WRQ COMB",
        _append: "APPEND APPE",
        _list: "LS LIST NLST MLSD DSIZ",
        _enter: "CD ENTER CWD XCWD CDUP CDIR",
        _delete: "RM DELETE DELE KILL",
        _removeDirectory: "RMDIR RMD XRMD RMDA",
        _makeDirectory: "MKDIR MKD XMKD",
        _rename: "MV RENAME RNFR RNTO NAME TOBE",
        _look: "STAT SIZE MDTM MLST",
        _mode: "CHMOD",
        _time: "TOUCH MFMT UTIME",
        _link: "SYMLINK",
        _digest: "HASH XCRC XMD5 XSHA1 XSHA256 XSHA512 MD5",
    }.items()
    for word in words.split()
}


async def explain(
    views: Mapping[VirtualPath, IFileSystem],
    policy: IPermissionPolicy,
    verb: str,
    path: VirtualPath,
) -> Decision:
    """
    What the guard says.

    @param views: the account's view of the storage at each mount, made so that nothing
        can happen: L{Rehearsal}.
    @param verb: one of L{VERBS}, in any case of letters.
    @raise KeyError: it is not.
    """
    act = VERBS[verb.upper()]
    tree = mounted(dict(views))
    try:
        canonical = await tree.resolve(path)
    except FileSystemError:
        canonical = None
    judged = canonical if canonical is not None else path
    try:
        await act(GuardedFileSystem(tree, policy), path)
    except _Admitted:
        pass
    except Denial as denial:
        return Decision(False, canonical, denial.reason)
    except FileSystemError as error:
        return Decision(False, canonical, f"not for want of a permission: {error}")
    return Decision(True, canonical, policy.reasonFor(judged))
