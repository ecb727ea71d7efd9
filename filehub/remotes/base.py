"""
What every remote can do, whatever it speaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from filehub.errors import FileHubError
from filehub.interfaces import IReadHandle, IWriteHandle
from filehub.transfer.progress import Progress


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One name on a remote.

    @ivar kind: C{"file"}, C{"dir"}, C{"link"} or C{"other"}.
    @ivar size: bytes, or L{None} where the remote does not tell.
    @ivar modified: seconds since the epoch, UTC, or L{None}.
    """

    name: str
    kind: str
    size: int | None = None
    modified: float | None = None

    @property
    def isDirectory(self) -> bool:
        return self.kind == "dir"


class NotPossible(FileHubError):
    """This protocol has no such operation."""

    summary = "this protocol cannot do that"


class Remote(Protocol):
    """
    A connection to one server, logged in.  Paths are text as in the URL, with C{/}
    between names.  Operations are awaited one at a time.

    Every method raises L{FileHubError}s: L{filehub.errors.NotFound} and
    L{filehub.errors.PermissionDenied} where the server says so clearly.
    """

    #: Can a download start in the middle of a file?
    resumesDownloads: bool
    #: Can an upload?
    resumesUploads: bool
    #: Are there directories at all?
    hasDirectories: bool

    async def entry(self, path: str) -> Entry | None:
        """What is there; L{None} for nothing, or where the protocol cannot tell."""

    async def list(self, path: str) -> list[Entry]:
        """The entries of a directory."""

    async def get(self, path: str, target: IWriteHandle, offset: int, progress: Progress) -> int:
        """Download from C{offset} on; returns the bytes moved.  Does not commit."""

    async def put(self, path: str, source: IReadHandle, offset: int, progress: Progress) -> int:
        """Upload from C{offset} on, in the source and in the target; returns the bytes moved."""

    async def removeFile(self, path: str) -> None:
        """Remove one file."""

    async def removeDirectory(self, path: str) -> None:
        """Remove one empty directory."""

    async def makeDirectory(self, path: str) -> None:
        """Make one directory."""

    async def rename(self, source: str, target: str) -> None:
        """Rename or move."""

    async def home(self) -> str:
        """Where relative paths start, e.g. C{/home/ada}; empty if nobody tells."""

    async def close(self) -> None:
        """Say goodbye.  Never raises."""

    def abort(self) -> None:
        """Close at once, also in the middle of an operation.  Idempotent."""


def joined(directory: str, name: str) -> str:
    """The path of C{name} in C{directory}."""
    return f"{directory.rstrip('/')}/{name}" if directory else name
