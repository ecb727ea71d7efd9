"""
Exit statuses: one per kind of failure, so that scripts need not read messages.
"""

from __future__ import annotations

from typing import Final

from filehub.errors import (
    AlreadyExists,
    ConfigurationError,
    ConnectFailed,
    FileHubError,
    NoSpace,
    NotFound,
    PermissionDenied,
    ProtectionRequired,
    QuotaExceeded,
    TransferError,
)
from filehub.remotes.connecting import LoginRefused

OK: Final = 0
OTHER: Final = 1
USAGE: Final = 2
INTERRUPTED: Final = 130

#: The first class that fits decides.
EXIT_STATUS: Final[tuple[tuple[type[FileHubError], int, str], ...]] = (
    (ConfigurationError, USAGE, "the command line or a file it names cannot be used"),
    (ConnectFailed, 3, "no connection"),
    (LoginRefused, 4, "login refused"),
    (NotFound, 5, "no such file or directory"),
    (PermissionDenied, 6, "permission denied"),
    (ProtectionRequired, 7, "TLS failed or the server cannot be believed"),
    (NoSpace, 8, "no space or quota left at the target"),
    (QuotaExceeded, 8, "no space or quota left at the target"),
    (AlreadyExists, 9, "the target exists"),
    (TransferError, 10, "the transfer broke off"),
)


def statusFor(error: FileHubError) -> int:
    """The exit status for a failure."""
    for kind, status, _ in EXIT_STATUS:
        if isinstance(error, kind):
            return status
    return OTHER


def epilogue() -> str:
    """The table for C{--help}."""
    seen: dict[int, str] = {1: "another failure"}
    for _, status, meaning in EXIT_STATUS:
        seen.setdefault(status, meaning)
    lines = [f"{status:>2}  {meaning}" for status, meaning in sorted(seen.items())]
    return "Exit status:\n\n\b\n 0  all done\n" + "\n".join(lines)
