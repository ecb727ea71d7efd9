"""
From what went wrong to what the client is told: the one table of this protocol.

Clients act on the code: U-Boot gives up on 1 and 2 and starts over on any other, so
what may go better next time is 0.  Texts are fixed; they name no path.
"""

from __future__ import annotations

from typing import Final

from filehub import errors
from filehub.protocols.tftp.wire import ErrorCode

#: Every leaf of the tree of errors, or a class above it.
CODES: Final[dict[type[errors.FileHubError], ErrorCode]] = {
    errors.NotFound: ErrorCode.FILE_NOT_FOUND,
    errors.NotADirectory: ErrorCode.FILE_NOT_FOUND,
    errors.InvalidName: ErrorCode.FILE_NOT_FOUND,
    errors.IsADirectory: ErrorCode.ACCESS_VIOLATION,
    errors.NotARegularFile: ErrorCode.ACCESS_VIOLATION,
    errors.PermissionDenied: ErrorCode.ACCESS_VIOLATION,
    errors.TooManyLinks: ErrorCode.ACCESS_VIOLATION,
    errors.DirectoryNotEmpty: ErrorCode.ACCESS_VIOLATION,
    errors.CrossDevice: ErrorCode.ACCESS_VIOLATION,
    errors.OperationNotSupported: ErrorCode.ACCESS_VIOLATION,
    errors.ProtectionRequired: ErrorCode.ACCESS_VIOLATION,
    errors.AlreadyExists: ErrorCode.FILE_EXISTS,
    errors.NoSpace: ErrorCode.DISK_FULL,
    errors.QuotaExceeded: ErrorCode.DISK_FULL,
    errors.FileTooLarge: ErrorCode.DISK_FULL,
    errors.InvalidOffset: ErrorCode.NOT_DEFINED,
    errors.Busy: ErrorCode.NOT_DEFINED,
    errors.StorageUnavailable: ErrorCode.NOT_DEFINED,
    errors.TransferError: ErrorCode.NOT_DEFINED,
    errors.LimitExceeded: ErrorCode.NOT_DEFINED,
    errors.NotWelcome: ErrorCode.NOT_DEFINED,
    errors.ConfigurationError: ErrorCode.NOT_DEFINED,
}


def codeFor(error: errors.FileHubError) -> ErrorCode:
    """The code of an error; that of the nearest class that has one."""
    for each in type(error).__mro__:
        if each in CODES:
            return CODES[each]
    return ErrorCode.NOT_DEFINED


def textFor(error: errors.FileHubError) -> str:
    """What the client is shown."""
    if isinstance(error, errors.ConfigurationError):
        # For the operator only.
        return errors.FileHubError.summary
    if isinstance(error, errors.FileSystemError):
        # Without the path: the client knows what it asked for.
        return error.detail or error.summary
    return str(error)
