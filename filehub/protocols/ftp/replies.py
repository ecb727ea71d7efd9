"""
Replies, and the one table from errors to reply codes.
"""

from __future__ import annotations

from typing import Final

from filehub import errors
from filehub.errors import FileHubError
from filehub.protocols.ftp.wire import Reply


def reply(code: int, *lines: str) -> Reply:
    """A reply of these lines."""
    return Reply(code, lines)


#: What a client is told for each kind of error.  The nearest class counts.
CODES: Final[dict[type[FileHubError], int]] = {
    FileHubError: 451,
    errors.ConfigurationError: 451,
    errors.FileSystemError: 550,
    errors.NotFound: 550,
    errors.AlreadyExists: 553,
    errors.NotADirectory: 550,
    errors.IsADirectory: 550,
    errors.NotARegularFile: 550,
    errors.DirectoryNotEmpty: 550,
    errors.InvalidName: 553,
    errors.InvalidOffset: 554,
    errors.CrossDevice: 553,
    errors.PermissionDenied: 550,
    errors.TooManyLinks: 550,
    errors.Busy: 450,
    errors.NoSpace: 452,
    errors.QuotaExceeded: 552,
    errors.FileTooLarge: 552,
    errors.OperationNotSupported: 504,
    errors.StorageUnavailable: 451,
    errors.TransferError: 426,
    errors.PeerGone: 426,
    errors.CorruptData: 451,
    errors.UnknownPage: 551,
    errors.Stalled: 426,
    errors.Aborted: 426,
    errors.ConnectFailed: 425,
    errors.ProtectionRequired: 522,
    errors.LimitExceeded: 421,
    errors.NotWelcome: 421,
}


def failure(error: FileHubError) -> Reply:
    """The reply for an error, in its own words: they name virtual paths only."""
    for kind in type(error).__mro__:
        if kind in CODES:
            text = str(error)
            return Reply(CODES[kind], (text[:1].upper() + text[1:],))
    return INTERNAL_ERROR


def quoted(path: str) -> str:
    """A path as 257 has it (RFC 959 appendix II): in quotes, its own ones doubled."""
    return '"' + path.replace('"', '""') + '"'


OK: Final = reply(200, "OK.")
NOT_LOGGED_IN: Final = reply(530, "Log in with USER and PASS.")
LOGIN_INCORRECT: Final = reply(530, "Login incorrect.")
LOGIN_UNAVAILABLE: Final = reply(530, "Login is temporarily unavailable, try again later.")
UNKNOWN_COMMAND: Final = reply(500, "Unknown command.")
NOT_IMPLEMENTED: Final = reply(502, "Command not implemented.")
LINE_TOO_LONG: Final = reply(500, "Line too long.")
ARGUMENT_MISSING: Final = reply(501, "An argument is needed.")
ARGUMENT_UNEXPECTED: Final = reply(501, "This command takes no argument.")
WRONG_CHARSET: Final = reply(501, "That is not in the character set of this session.")
INVALID_CHARACTER: Final = reply(501, "NUL is not allowed.")
INTERNAL_ERROR: Final = reply(451, "Internal error.")
NO_DATA_CONNECTION: Final = reply(425, "Use PASV or EPSV, or PORT or EPRT, first.")
TRANSFER_COMPLETE: Final = reply(226, "Transfer complete.")
GOODBYE: Final = reply(221, "Goodbye.")
CLOSING: Final = reply(421, "Closing the connection.")


__all__ = [
    "ARGUMENT_MISSING",
    "ARGUMENT_UNEXPECTED",
    "CLOSING",
    "CODES",
    "GOODBYE",
    "INTERNAL_ERROR",
    "INVALID_CHARACTER",
    "LINE_TOO_LONG",
    "LOGIN_INCORRECT",
    "LOGIN_UNAVAILABLE",
    "NOT_IMPLEMENTED",
    "NOT_LOGGED_IN",
    "NO_DATA_CONNECTION",
    "OK",
    "TRANSFER_COMPLETE",
    "UNKNOWN_COMMAND",
    "WRONG_CHARSET",
    "failure",
    "quoted",
    "reply",
]
