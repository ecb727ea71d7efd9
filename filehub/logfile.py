"""
A log that outlives full disks and rotation.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from twisted.logger import Logger

from filehub.errors import ConfigurationError

#: Readable by the owner and an administrators' group.
_MODE: Final = 0o640


class LineFile:
    """
    Lines at the end of a file.

    A line is one C{write} to the kernel, so lines of several processes do not mix.  A
    file that was renamed or removed meanwhile (by logrotate, say) is made anew, without
    any signal.  What cannot be written is dropped and counted, and the loss is
    logged where the server's log can still be written: a full disk stops the log, not the server.

    @ivar lost: lines dropped since the last one that was written.
    """

    _log = Logger()

    def __init__(self, path: Path) -> None:
        """
        @raise ConfigurationError: the file cannot be written.
        """
        # Absolute, because a daemon may change its folder.
        self._path = path.absolute()
        self.lost = 0
        try:
            self._descriptor: int | None = self._open()
            self._identity = self._identify(self._descriptor)
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be written: {error.strerror}") from None

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)

    @staticmethod
    def _identify(descriptor: int) -> tuple[int, int]:
        status = os.fstat(descriptor)
        return status.st_dev, status.st_ino

    def writeLine(self, text: str) -> None:
        """Append a line, or count it as lost.  Never raises."""
        if self._descriptor is None:
            return
        try:
            self._followRotation(self._descriptor)
            self._write(text)
        except OSError as error:
            self.lost += 1
            # Once: this log entry may end up in this very file.
            if self.lost == 1:
                self._log.error(
                    "cannot write {path}: {reason}", path=str(self._path), reason=error.strerror
                )
            return
        if self.lost:
            lost, self.lost = self.lost, 0
            self._log.warn(
                "{path}: {lost} lines could not be written", path=str(self._path), lost=lost
            )

    def _write(self, text: str) -> None:
        assert self._descriptor is not None
        data = text.encode("utf-8", "backslashreplace") + b"\n"
        written = os.write(self._descriptor, data)
        if written < len(data):
            # The disk is full in the middle of a line; the rest goes, or does not.
            os.write(self._descriptor, data[written:])

    def _followRotation(self, descriptor: int) -> None:
        try:
            status = os.stat(self._path)
            if (status.st_dev, status.st_ino) == self._identity:
                return
        except FileNotFoundError:
            pass
        try:
            fresh = self._open()
        except OSError:
            # After a change of user the folder may be closed to us: the old file,
            # renamed or not, is then better than nothing.
            return
        self._descriptor, self._identity = fresh, self._identify(fresh)
        os.close(descriptor)

    def close(self) -> None:
        """No line may follow; those that do are dropped.  Idempotent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
