"""
Every public seam of FileHub, in reading order: storage, accounts, observers,
sessions (those of quotas are in L{filehub.usage}).  These docstrings are the contract;
C{tests/contract} checks them.

Rules that hold for every storage method:

  - it is awaited exactly once, and is at most one hop to a worker thread;
  - only L{FileHubError}s leave it (and L{CancelledError});
  - cancelling means that nobody waits any more: the work may still finish, and
    whatever it opened is closed;
  - B{no method follows symbolic links, except} L{IFileSystem.resolve}.  A link in
    the middle of a path or at its end makes the others fail, so what was checked
    is what is used.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from zope.interface import Attribute, Interface

from filehub.attributes import (
    AttributeChanges,
    DirectoryEntry,
    Disposition,
    FileAttributes,
    SpaceUsage,
)
from filehub.credentials import Address, ConnectionInfo
from filehub.events import Event
from filehub.paths import VirtualPath
from filehub.permissions import Permission

# --- storage -----------------------------------------------------------------


class IReadHandle(Interface):
    """An open regular file.  A handle is not a path: renames do not disturb it."""

    attributes: FileAttributes = Attribute("The file's attributes when it was opened.")

    async def readAt(offset: int, length: int) -> bytes:
        """
        Up to C{length} bytes from C{offset}; fewer only at the end of the file,
        empty beyond it.
        """

    async def close() -> None:
        """Idempotent; waits for reads in flight."""


class IWriteHandle(Interface):
    """
    A file being written.  It has exactly one ending, L{commit} or L{abort}; until
    C{commit} returns, nobody sees anything of it under its name.
    """

    position: int = Attribute(
        "Where the next sequential byte belongs: the old length for APPEND, the"
        " restart position for a resumed upload, else 0."
    )

    async def writeAt(offset: int, data: bytes) -> None:
        """
        Store all of C{data}.

        @raise NoSpace: and the other reasons that storage refuses bytes; the
            handle then still wants its L{abort}.
        """

    async def commit() -> FileAttributes:
        """
        Publish.  Returns only when the content is where it belongs (and on disk,
        where the mount says C{fsync = "commit"}).

        @raise AlreadyExists: CREATE, and the name was taken meanwhile.
        @raise FileSystemError: nothing was published; the handle is finished.
        """

    async def abort() -> None:
        """
        Do not publish.  What stays is the mount's policy (C{partial}).  Idempotent,
        and without effect after L{commit}.
        """


class IDirectoryHandle(Interface):
    """A directory being read."""

    async def nextPage() -> Sequence[DirectoryEntry]:
        """
        Some hundred further entries in the storage's order, without C{.} and C{..};
        empty at the end.
        """

    async def close() -> None:
        """Idempotent."""


class IFileSystem(Interface):
    """
    A view of one tree, as one account sees it.
    """

    async def resolve(path: VirtualPath, *, followFinal: bool = True) -> VirtualPath:
        """
        The canonical path: symbolic links replaced by where they lead, as far as
        the mount's policy lets them, never above the root of the mount.  Names that
        do not exist are kept.

        @param followFinal: whether a link at the very end is replaced too.
        @raise TooManyLinks: for loops.
        """

    async def stat(path: VirtualPath) -> FileAttributes:
        """
        @raise NotFound:
        """

    async def enterDirectory(path: VirtualPath) -> None:
        """
        Make sure that this is a directory, which a session may have as its current
        one.  Nothing is opened.

        @raise NotFound:
        @raise NotADirectory: also for a symbolic link.
        """

    async def openDirectory(path: VirtualPath) -> IDirectoryHandle:
        """
        @raise NotFound:
        @raise NotADirectory:
        """

    async def makeDirectory(path: VirtualPath) -> None:
        """
        @raise AlreadyExists:
        @raise NotFound: the parent is missing.
        """

    async def removeDirectory(path: VirtualPath) -> None:
        """
        @raise DirectoryNotEmpty:
        @raise NotADirectory:
        """

    async def removeFile(path: VirtualPath) -> None:
        """
        Remove a file, or a symbolic link itself.

        @raise IsADirectory:
        """

    async def rename(source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """
        @param replace: whether an existing target file is replaced, atomically.
        @raise AlreadyExists: the target exists and C{replace} is false, or it is a
            directory.
        @raise CrossDevice: it cannot be done without copying.
        """

    async def setAttributes(path: VirtualPath, changes: AttributeChanges) -> None:
        """
        @raise OperationNotSupported: an attribute that this storage has not.
        """

    async def openForReading(path: VirtualPath) -> IReadHandle:
        """
        @raise IsADirectory:
        @raise NotARegularFile: never opens a FIFO, device or socket.
        """

    async def openForWriting(
        path: VirtualPath, disposition: Disposition, *, sizeHint: int | None = None
    ) -> IWriteHandle:
        """
        @param sizeHint: the whole size in bytes, where the client announced it.
        @raise AlreadyExists: CREATE, and the name is taken.
        @raise IsADirectory:
        @raise NotFound: the parent directory is missing.
        @raise NoSpace: C{sizeHint} bytes cannot fit.
        """


class IStorage(Interface):
    """What a mount points at: one tree, of which every account gets its own view."""

    def viewFor(owner: str) -> IFileSystem:
        """
        The tree as this account sees it: resumable parts of broken uploads are shown
        to their owner alone.
        """

    async def sweep() -> None:
        """Remove leftovers of broken uploads that have outlived their time."""

    async def close() -> None:
        """Let go of everything; no view is used afterwards."""


# Optional capabilities: ask with C{ICapability(fileSystem, None)}.  More of them, that
# need no permission, are in C{views}.


class IRandomAccess(Interface):
    """Continue an upload (REST + STOR, RFC 3659 section 5)."""

    async def openForUpdate(
        path: VirtualPath, offset: int, *, sizeHint: int | None = None
    ) -> IWriteHandle:
        """
        Continue at C{offset} the file of this name: the published one, or else what
        a broken upload of this account left.  The committed file is its first
        C{offset} bytes followed by what is written.  The published file stands until
        then, and an abort or a crash leaves it as it was.

        @raise InvalidOffset: the file is shorter than C{offset}.
        @raise NotFound: there is none and C{offset} is not 0.
        """


class ISymbolicLinks(Interface):
    """Symbolic links as entries of their own."""

    async def readLink(path: VirtualPath) -> str:
        """
        @raise NotFound: also where the policy hides links.
        """

    async def makeLink(path: VirtualPath, target: str) -> None:
        """
        Make C{path} a symbolic link with the relative or virtual-absolute text
        C{target}.
        """


class ISpaceUsage(Interface):
    """How much room there is."""

    async def space(path: VirtualPath) -> SpaceUsage:
        """The room on the storage that holds C{path}."""


class IServerSideCopy(Interface):
    """Copies that never leave the storage."""

    async def copy(source: VirtualPath, target: VirtualPath, *, replace: bool) -> None:
        """
        Copy one regular file, published atomically.

        @raise AlreadyExists: the target exists and C{replace} is false.
        """


class IChecksums(Interface):
    """Digests computed where the bytes are."""

    async def digest(
        path: VirtualPath, algorithm: str, offset: int = 0, length: int | None = None
    ) -> bytes:
        """
        @param algorithm: C{"crc32"} or a name that L{hashlib.new} knows.
        @raise OperationNotSupported: an unknown algorithm.
        """


class ICaseFolding(Interface):
    """Names that differ in case only, for clients that do not know which is right."""

    async def foldCase(path: VirtualPath) -> VirtualPath:
        """
        The path of something that is there and whose names differ from those of
        C{path} in case at most.  The right case counts most; of several others, the
        first in the order of their letters.  Links are not followed: below one, the
        names are given back as they are.

        @raise NotFound: there is nothing, or nothing that the account may read.
        """


class IDescriptorBacked(Interface):
    """On read and write handles: there is a kernel file behind it."""

    def lease() -> AbstractContextManager[int]:
        """
        Lend the descriptor.  It stays valid inside the C{with} block even if the
        handle is closed meanwhile.  On write handles, bytes written through it count
        as written by L{IWriteHandle.writeAt}.
        """


class ISparse(Interface):
    """On read handles of files that may have holes."""

    async def nextData(offset: int) -> tuple[int, int]:
        """Start and end of what is no hole, from C{offset} on; else twice the length."""


# --- accounts ----------------------------------------------------------------


class IRateLimiter(Interface):
    """A bandwidth limit; asked by the pump, so it governs every path that bytes take."""

    grain: int = Attribute("Bytes that should be asked for at a time, so that traffic is even.")

    def grant(nbytes: int) -> float:
        """
        Account for C{nbytes} that are about to move.  Returns the seconds to wait
        before they do, or before more do; 0.0 when there is no need.  Less than 0
        gives back what did not move.

        @raise QuotaExceeded: they may not move, now or later.
        """


class ISessionLimits(Interface):
    """What one account may use."""

    maximumSessions: int | None = Attribute("Concurrent sessions, over all protocols.")
    idle: float | None = Attribute("Seconds without a command; None: the listener's.")
    stall: float | None = Attribute("Seconds without a byte; None: the listener's.")
    sessionTime: float | None = Attribute("Seconds in all; None: the server's.")
    commands: float | None = Attribute(
        "Commands a second of one session, or TFTP's requests of one client; None: the server's."
    )
    download: IRateLimiter | None = Attribute("Limits RETR, RRQ, SEND.")
    upload: IRateLimiter | None = Attribute("Limits STOR, WRQ, SIZE.")


class IPermissionPolicy(Interface):
    """
    What an account may do where.  Pure and synchronous: the guard asks it for every
    operation.
    """

    def permissionsFor(path: VirtualPath) -> Permission:
        """The permissions at a canonical path (links resolved)."""

    def reasonFor(path: VirtualPath) -> str:
        """Which rule decides there, and where it was written, for the operator."""

    def strictestBelow(path: VirtualPath) -> Permission:
        """
        What may be done everywhere at and below C{path}: renaming a directory moves
        everything that lies in it.
        """

    def loosestBelow(path: VirtualPath) -> Permission:
        """What may be done somewhere at or below C{path}."""


class IFileAccount(Interface):
    """The avatar that every protocol asks the portal for."""

    name: str = Attribute("The account's name, for logs and greetings.")
    home: VirtualPath = Attribute("The current directory after login.")
    fileSystem = Attribute("An L{IFileSystem}: audited, guarded, the account's own view.")
    limits = Attribute("An L{ISessionLimits}.")
    requiresTLS: bool = Attribute("Are data connections to be encrypted, too?")
    mounts = Attribute("Where in C{fileSystem} storages are mounted: some L{VirtualPath}s.")

    def permissionLetters(path: VirtualPath) -> str:
        """
        What this account may do at C{path}, in the letters C{elradfmwMT}; feeds the
        C{perm} fact of RFC 3659.  Advisory: the guard decides.
        """

    def commonLetters(path: VirtualPath) -> str | None:
        """
        The same, if it is the same for every name that may be in the directory
        C{path}; L{None}: each has to be asked for.
        """


class IClientPreferences(Interface):
    """
    Optional, asked of accounts with C{IClientPreferences(account, None)}: how the FTP
    clients of this account differ from those that the listener expects.
    """

    foreignData = Attribute(
        "Networks of the servers that its files may be exchanged with (FXP), true for"
        " all, false for none; None: as the listener says."
    )
    profile = Attribute("A name for a set of compatibility switches; None: the listener's.")


class IDirectoryCredentials(Interface):
    """
    Optional, asked of accounts with C{IDirectoryCredentials(account, None)}: some
    directories open only for words of their own (C{CDIR} of RFC 913).
    """

    def wanted(path: VirtualPath) -> frozenset[str]:
        """
        What has to be shown before the directory opens: C{"account"}, C{"password"},
        both, or nothing.
        """

    async def unlock(path: VirtualPath, *, account: bytes | None, password: bytes | None) -> None:
        """
        Open the directory for this account, until it is logged out.  Who is logged
        in stays the same.

        @raise PermissionDenied: those are not the right words.
        """


class IEventSink(Interface):
    """An observer.  It cannot veto: what may refuse is a policy or a ledger."""

    def emit(event: Event) -> None:
        """Never blocks, never raises."""


# --- sessions ----------------------------------------------------------------


class ISessionSlot(Interface):
    """One admitted session's place among all; see L{ISessionRegistry}."""

    connection: ConnectionInfo = Attribute("The mind for the portal.")

    def secured() -> None:
        """The control channel is encrypted from now on; replaces C{connection}."""

    def loggedIn(account: IFileAccount, session: Any = None) -> None:
        """
        Count this session for the account, after counting it out for an earlier one.

        @param session: its C{limitsChanged()} is called when limits are not what they
            were, until it is logged out.
        @raise LimitExceeded: the account has its maximum of sessions.
        """

    def loggedOut() -> None:
        """The session goes on without an account (REIN, a new USER)."""

    def pace() -> Awaitable[None] | None:
        """
        What to wait for before the next command; L{None}: nothing.

        @raise LimitExceeded: this session has been too quick for too long.
        """

    def doing(verb: str, path: VirtualPath | None = None, moving: Any = None) -> None:
        """What it is at, for the operator; C{moving.nbytes} have moved.  No verb: nothing."""

    def leave(reason: str) -> None:
        """The session is over.  Idempotent; must be called on every way out."""


class ISessionRegistry(Interface):
    """All live sessions of a server, over all protocols; enforces the caps."""

    def admit(
        protocol: str,
        peer: Address,
        local: Address,
        *,
        secure: bool,
        disconnect: Callable[[str], None],
    ) -> ISessionSlot:
        """
        @param disconnect: ends the session with this reason (kick, shutdown).
        @raise NotWelcome: the address is banned or denied; it gets no answer at all.
        @raise LimitExceeded: too many sessions in all or from this address; C{str()}
            of it may be shown to the client.
        """


__all__ = [
    "ICaseFolding",
    "IChecksums",
    "IClientPreferences",
    "IDescriptorBacked",
    "IDirectoryCredentials",
    "IDirectoryHandle",
    "IEventSink",
    "IFileAccount",
    "IFileSystem",
    "IPermissionPolicy",
    "IRandomAccess",
    "IRateLimiter",
    "IReadHandle",
    "IServerSideCopy",
    "ISessionLimits",
    "ISessionRegistry",
    "ISessionSlot",
    "ISpaceUsage",
    "ISparse",
    "IStorage",
    "ISymbolicLinks",
    "IWriteHandle",
]
