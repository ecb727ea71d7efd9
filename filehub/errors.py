"""
Everything that can go wrong in the words of files and transfers.

No protocol number appears here: each protocol has one table from these classes
to its own replies, and a test walks all leaf classes over all tables.  Text that
a client may see names the virtual path only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filehub.paths import VirtualPath


class FileHubError(Exception):
    """
    The root of the tree.  C{str()} of any instance may be shown to a client.

    @cvar summary: one clause, lower case, without a full stop.
    """

    summary = "internal error"

    def __str__(self) -> str:
        detail = super().__str__()
        return detail or self.summary


class ConfigurationError(FileHubError):
    """
    The operator's input cannot be used.  C{str()} says where, what was found and
    what was expected; it is for the operator and never sent to a client.
    """

    summary = "bad configuration"


class FileSystemError(FileHubError):
    """
    An operation on a virtual path failed.

    @ivar path: the virtual path, or L{None} where no single path is to blame.
    @ivar detail: a clause that replaces the class's summary.
    """

    def __init__(self, path: VirtualPath | None = None, detail: str = "") -> None:
        super().__init__(path, detail)
        self.path = path
        self.detail = detail

    def __str__(self) -> str:
        text = self.detail or self.summary
        return f"{self.path}: {text}" if self.path is not None else text


class NotFound(FileSystemError):
    """There is no such file or directory, or the account may not know of it."""

    summary = "no such file or directory"


class AlreadyExists(FileSystemError):
    """The name is taken."""

    summary = "already exists"


class NotADirectory(FileSystemError):
    """A directory was needed and something else is there."""

    summary = "not a directory"


class IsADirectory(FileSystemError):
    """A file was needed and a directory is there."""

    summary = "is a directory"


class NotARegularFile(FileSystemError):
    """The name is a device, FIFO or socket; those are never opened."""

    summary = "not a regular file"


class DirectoryNotEmpty(FileSystemError):
    """A directory that still has entries cannot be removed or replaced."""

    summary = "directory not empty"


class InvalidName(FileSystemError):
    """The name cannot exist: NUL, control bytes, too long, too deep, reserved."""

    summary = "invalid name"


class InvalidOffset(FileSystemError):
    """A restart position lies beyond the end of the file."""

    summary = "restart position beyond the end of the file"


class CrossDevice(FileSystemError):
    """A rename would have to copy between mounts or file systems."""

    summary = "cannot be moved to another file system"


class PermissionDenied(FileSystemError):
    """The account's policy, a read-only mount or the operating system says no."""

    summary = "permission denied"


class TooManyLinks(FileSystemError):
    """Symbolic links form a loop, or lead where the mount's policy forbids."""

    summary = "too many symbolic links"


class Busy(FileSystemError):
    """Somebody else is at it; trying again later may work."""

    summary = "busy, try again later"


class NoSpace(FileSystemError):
    """The storage is full."""

    summary = "no space left"


class QuotaExceeded(FileSystemError):
    """The account's quota does not allow it."""

    summary = "quota exceeded"


class FileTooLarge(FileSystemError):
    """The file would grow beyond what policy or storage allows."""

    summary = "file too large"


class OperationNotSupported(FileSystemError):
    """This storage, or this build, has no such operation."""

    summary = "operation not supported here"


class StorageUnavailable(FileSystemError):
    """The storage failed or is overloaded; nothing is known to be wrong with the request."""

    summary = "storage unavailable, try again later"


class TransferError(FileHubError):
    """A transfer ended before all bytes were where they belong."""

    summary = "transfer failed"


class PeerGone(TransferError):
    """The peer closed or reset the connection early, or ended TLS without close_notify."""

    summary = "connection lost"


class CorruptData(TransferError):
    """What the peer sends breaks the rules of the format that it announced."""

    summary = "the data does not follow its format"


class UnknownPage(CorruptData):
    """A page of a kind that nobody knows (RFC 959 3.1.2.3)."""

    summary = "page type unknown"


class Stalled(TransferError):
    """No byte moved for the allowed time."""

    summary = "no progress within the allowed time"


class Aborted(TransferError):
    """The client, an administrator or a shutdown ended the transfer on purpose."""

    summary = "transfer aborted"


class ConnectFailed(TransferError):
    """A data connection could not be opened."""

    summary = "cannot open data connection"


class ProtectionRequired(TransferError):
    """The data connection's TLS handshake failed or does not meet the policy."""

    summary = "data connection not properly protected"


class LimitExceeded(FileHubError):
    """A cap on sessions, attempts or rates was reached."""

    summary = "limit exceeded"


class NotWelcome(LimitExceeded):
    """Nobody talks to this address: it is banned or denied."""

    summary = "not welcome"
