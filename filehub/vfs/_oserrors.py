"""
What the operating system's refusals mean.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from filehub import errors
from filehub.paths import VirtualPath

_MEANINGS: Final[dict[int, type[errors.FileSystemError]]] = {
    errno.ENOENT: errors.NotFound,
    errno.EEXIST: errors.AlreadyExists,
    errno.ENOTDIR: errors.NotADirectory,
    errno.EISDIR: errors.IsADirectory,
    errno.ENOTEMPTY: errors.DirectoryNotEmpty,
    errno.ENAMETOOLONG: errors.InvalidName,
    errno.EILSEQ: errors.InvalidName,
    # Of names: characters that this file system cannot store; of rename: a
    # directory into itself.
    errno.EINVAL: errors.InvalidName,
    errno.EXDEV: errors.CrossDevice,
    errno.EACCES: errors.PermissionDenied,
    errno.EPERM: errors.PermissionDenied,
    errno.EROFS: errors.PermissionDenied,
    errno.ELOOP: errors.TooManyLinks,
    errno.EAGAIN: errors.Busy,
    errno.EBUSY: errors.Busy,
    errno.ETXTBSY: errors.Busy,
    errno.EDEADLK: errors.Busy,
    errno.ENOLCK: errors.Busy,
    errno.ENOSPC: errors.NoSpace,
    errno.EMLINK: errors.NoSpace,
    errno.EDQUOT: errors.QuotaExceeded,
    errno.EFBIG: errors.FileTooLarge,
    errno.EOVERFLOW: errors.FileTooLarge,
    errno.EOPNOTSUPP: errors.OperationNotSupported,
    errno.ENOSYS: errors.OperationNotSupported,
    errno.ENOTTY: errors.OperationNotSupported,
    errno.ENXIO: errors.NotARegularFile,
    errno.ENODEV: errors.NotARegularFile,
    errno.EMEDIUMTYPE: errors.NotARegularFile,
}


def errorFor(error: OSError, path: VirtualPath | None) -> errors.FileSystemError:
    """
    What the system's refusal means in our words.  What is not in the table (EIO,
    ESTALE, EMFILE, ENOMEM, ...) is the storage's trouble and not the request's.
    """
    return _MEANINGS.get(error.errno or 0, errors.StorageUnavailable)(path)


def notRegular() -> OSError:
    """For a device, FIFO or socket, which are never opened."""
    # No call that we make fails with this one, so the table can give it a meaning.
    return OSError(errno.EMEDIUMTYPE, "not a regular file")


def failure(code: int) -> OSError:
    """What the system would say."""
    return OSError(code, os.strerror(code))
