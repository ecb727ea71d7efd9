"""
What a server's refusal means, read from its words: FTP says 550 and RFC 913 says C{-}
to all and sundry, and every server's words differ.
"""

from __future__ import annotations

from typing import Final

from filehub.errors import (
    AlreadyExists,
    DirectoryNotEmpty,
    FileHubError,
    FileSystemError,
    IsADirectory,
    NoSpace,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
)

_WORDS: Final[tuple[tuple[type[FileSystemError], tuple[str, ...]], ...]] = (
    (DirectoryNotEmpty, ("not empty",)),
    (QuotaExceeded, ("quota",)),
    (NoSpace, ("no space", "disk full", "not enough space", "not enough room")),
    (
        PermissionDenied,
        ("denied", "not permitted", "not allowed", "read-only", "not enough pr", "permission"),
    ),
    (
        NotFound,
        ("no such", "not found", "doesn't exist", "does not exist", "can't find", "not exist"),
    ),
    (AlreadyExists, ("exists", "already there")),
    (IsADirectory, ("is a directory",)),
)


def meaningOf(text: str, path: str, otherwise: FileHubError) -> FileHubError:
    """
    The error that a server's text speaks of.

    @param path: what the operation was about.
    @param otherwise: what to return if the text says nothing that is known.
    """
    lower = text.lower()
    for kind, words in _WORDS:
        if any(word in lower for word in words):
            return kind(None, f"{path}: {text}")
    return otherwise
