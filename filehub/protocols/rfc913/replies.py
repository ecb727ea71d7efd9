"""
From errors to words: RFC 913 knows one negative reply, so all there is to choose is
the reason that stands in it.
"""

from __future__ import annotations

from typing import Final

from filehub import errors
from filehub.errors import FileHubError
from filehub.protocols.rfc913.wire import Code, Reply

#: Looked up along the class's ancestors.
REASONS: Final[dict[type[FileHubError], str]] = {
    errors.NotFound: "file doesn't exist",
    errors.AlreadyExists: "file exists",
    errors.NotADirectory: "not a directory",
    errors.IsADirectory: "it is a directory",
    errors.NotARegularFile: "not a regular file",
    errors.DirectoryNotEmpty: "directory not empty",
    errors.InvalidName: "invalid name",
    errors.InvalidOffset: "invalid position",
    errors.CrossDevice: "can't be moved to another file system",
    errors.PermissionDenied: "permission denied",
    errors.TooManyLinks: "permission denied",
    errors.Busy: "in use, try again later",
    errors.NoSpace: "not enough room",
    errors.QuotaExceeded: "not enough room, quota exceeded",
    errors.FileTooLarge: "not enough room, file too large",
    errors.OperationNotSupported: "not supported here",
    errors.StorageUnavailable: "storage unavailable, try again later",
    errors.PeerGone: "connection lost",
    errors.CorruptData: "it does not follow its format",
    errors.UnknownPage: "it has pages of an unknown kind",
    errors.Stalled: "nothing came for too long",
    errors.Aborted: "aborted",
    errors.ConnectFailed: "can't connect",
    errors.ProtectionRequired: "not properly protected",
    errors.NotWelcome: "not welcome",
    errors.LimitExceeded: "limit exceeded, try again later",
    errors.ConfigurationError: "internal error",
    FileHubError: "internal error",
}

#: Those that SIZE answers with the RFC's "Not enough room, don't send it".
NO_ROOM: Final = (errors.NoSpace, errors.QuotaExceeded, errors.FileTooLarge)


def reason(error: FileHubError) -> str:
    """Why, in one clause that begins with a small letter."""
    if isinstance(error, errors.FileSystemError) and error.detail:
        return error.detail
    for each in type(error).__mro__:
        text = REASONS.get(each)
        if text is not None:
            return text
    return REASONS[FileHubError]


def success(*lines: str) -> Reply:
    """C{+}"""
    return Reply(Code.SUCCESS, lines)


def failure(*lines: str) -> Reply:
    """C{-}"""
    return Reply(Code.ERROR, lines)


def loggedIn(*lines: str) -> Reply:
    """C{!}"""
    return Reply(Code.LOGGED_IN, lines)


def number(value: int) -> Reply:
    """Exactly one blank, then digits: what the RFC's example shows."""
    return Reply(Code.NUMBER, (str(value),))


def refusal(error: FileHubError) -> Reply:
    """C{-} and the reason."""
    text = reason(error)
    return failure(text[:1].upper() + text[1:])


INTERNAL_ERROR: Final = failure("Internal error")

__all__ = [
    "INTERNAL_ERROR",
    "NO_ROOM",
    "REASONS",
    "failure",
    "loggedIn",
    "number",
    "reason",
    "refusal",
    "success",
]
