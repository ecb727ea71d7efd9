"""
The figures of transfer quotas in memory that outlives the process.

Each scope has a row of whole numbers in a file that is mapped into memory.  What is added
there is with the kernel, so after a crash of the server the next one reads how much had
been moved, to the byte; only after one of the machine what was booked has to count
(L{filehub.state.tallies}).  Processes that part after the table was opened share it.

Rows are given out one after the other and stay until the server begins again.  Room for
them is set aside before it is used: a full disk must be an error, and not a signal.
"""

from __future__ import annotations

import mmap
import os
from contextlib import AbstractContextManager, nullcontext
from hashlib import blake2s
from pathlib import Path
from typing import Final

from filehub.errors import StorageUnavailable
from filehub.state.database import asBytes
from filehub.state.locking import KernelLock
from filehub.usage import Scope

# The places of the numbers in a row.
PERIOD: Final = 0
BEGIN: Final = 1
MOVING: Final = 2
#: Four each: bytes uploaded and downloaded, files uploaded and downloaded.
USED: Final = 3
ASKED: Final = 7
BOOKED: Final = 11
#: From here on: for each process the bytes that it holds, upwards and downwards.
HELD: Final = 15
PER_SEAT: Final = 2

#: Scopes, at the most.
ROWS: Final = 1 << 17
#: Rows for which room is set aside at a time.
_CHUNK: Final = 1024
#: Words of 8 bytes: of a row's key, and of the file's head.
_KEY: Final = 2
_HEAD: Final = 8
# What the head says.
_MAGIC: Final = 0
_SEATS: Final = 1
_COUNT: Final = 2
_BOOT: Final = 3
_FORM: Final = 0x46485451_00000001

Key = tuple[int, int]
Row = memoryview


class TallyTable:
    """
    See this module's introduction.

    @ivar path: the file, or L{None}.
    @ivar seat: which process this is, from 0 on.
    @ivar together: what is done within is done while no other process is there; never for
        long.
    """

    def __init__(self, path: Path | None, seats: int = 1) -> None:
        """
        @param path: the file, made anew; L{None}: nothing outlives the process.
        @param seats: processes that will share it.
        """
        self.seat = 0
        self.path = path
        self._seats = seats
        self._size = _KEY + HELD + PER_SEAT * seats
        self._room = 0
        self._known = 0
        self._rows: dict[Key, Row[int]] = {}
        self._descriptor = -1
        self._words: Row[int] = memoryview(b"").cast("q")
        self.together: AbstractContextManager[object] = nullcontext()

    def open(self) -> None:
        """
        Make it, in memory; L{publish} gives it its name.

        @raise StorageUnavailable: there is no room for it.
        """
        try:
            if self.path is None:
                self._descriptor = os.memfd_create("filehub-transfers")
            else:
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                self._unfinished.unlink(missing_ok=True)
                self._descriptor = os.open(self._unfinished, flags, 0o600)
            length = 8 * (_HEAD + ROWS * self._size)
            os.ftruncate(self._descriptor, length)
            self._reserve(1)
            self._words = memoryview(mmap.mmap(self._descriptor, length)).cast("q")
        except OSError as error:
            raise self._failed(error) from None
        if self._seats > 1:
            self.together = KernelLock(self._descriptor)
        words = self._words
        words[_SEATS] = self._seats
        words[_BOOT], words[_BOOT + 1] = _boot()
        words[_MAGIC] = _FORM

    @property
    def _unfinished(self) -> Path:
        assert self.path is not None
        return self.path.with_name(self.path.name + ".new")

    def _failed(self, error: OSError) -> StorageUnavailable:
        return StorageUnavailable(None, f"cannot use {self.path}: {error.strerror}")

    def publish(self) -> None:
        """
        Take the place of what a former server has left, now that all of that is here.

        @raise StorageUnavailable: the folder does not take it.
        """
        if self.path is not None:
            try:
                os.rename(self._unfinished, self.path)
            except OSError as error:
                raise self._failed(error) from None

    def close(self) -> None:
        """Nothing may follow but another L{open}.  Idempotent."""
        self._rows.clear()
        self._room = self._known = 0
        # Whoever ends later than that still has its rows, and changes the file.
        self.together = nullcontext()
        self._words = memoryview(b"").cast("q")
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    # --- rows

    def row(self, scope: Scope) -> Row[int]:
        """
        Its figures; all of them 0 if nobody has asked for it before.

        @raise StorageUnavailable: there is no room for one more.
        """
        key = keyOf(scope)
        found = self._rows.get(key)
        if found is None:
            with self.together:
                # Others may have made it.
                self._learn()
                found = self._rows.get(key)
                if found is None:
                    found = self._add(key)
        return found

    def _learn(self) -> None:
        words, size = self._words, self._size
        for number in range(self._known, words[_COUNT]):
            at = _HEAD + number * size
            self._rows[words[at], words[at + 1]] = words[at + _KEY : at + size]
        self._known = words[_COUNT]

    def _add(self, key: Key) -> Row[int]:
        words, number = self._words, self._known
        if number >= ROWS:
            raise StorageUnavailable(None, "there are too many quotas of transfers")
        try:
            self._reserve(number + 1)
        except OSError as error:
            raise self._failed(error) from None
        at = _HEAD + number * self._size
        words[at], words[at + 1] = key
        # What was written before this is found by the next server, and is all zeros.
        words[_COUNT] = number + 1
        self._learn()
        return self._rows[key]

    def _reserve(self, rows: int) -> None:
        if rows > self._room:
            room = min(ROWS, -(-rows // _CHUNK) * _CHUNK)
            first = 8 * (_HEAD + self._room * self._size) if self._room else 0
            os.posix_fallocate(self._descriptor, first, 8 * (_HEAD + room * self._size) - first)
            self._room = room

    def lost(self, seat: int) -> None:
        """The process that sat there is gone, and what it held is free again."""
        at = HELD + PER_SEAT * seat
        with self.together:
            self._learn()
            for row in self._rows.values():
                row[at] = row[at + 1] = 0


def clear(row: Row[int]) -> None:
    """Nothing was used; what is held is held."""
    for at in range(USED, HELD):
        row[at] = 0


def leftBehind(path: Path | None) -> dict[Key, list[int]]:
    """
    The rows of a former server's table, up to C{BOOKED}: by L{keyOf} a scope.  None if the
    machine has started since, because nobody knows what of it had got to the disk.
    """
    if path is None:
        return {}
    try:
        with path.open("rb") as file:
            words = memoryview(file.read(8 * _HEAD)).cast("q")
            if len(words) < _HEAD or words[_MAGIC] != _FORM or not 0 < words[_SEATS] < 1 << 16:
                return {}
            if (words[_BOOT], words[_BOOT + 1]) != _boot():
                return {}
            size = _KEY + HELD + PER_SEAT * words[_SEATS]
            count = min(max(0, words[_COUNT]), ROWS)
            data = file.read(8 * size * count)
    except (OSError, TypeError, ValueError):
        # What was booked counts then.
        return {}
    whole = len(data) // (8 * size) * 8 * size
    rows = memoryview(data[:whole]).cast("q").tolist()
    return {
        (rows[at], rows[at + 1]): rows[at + _KEY : at + _KEY + BOOKED]
        for at in range(0, len(rows), size)
    }


def keyOf(scope: Scope) -> Key:
    """What a row is found by."""
    text = scope.level.encode() + b"\0" + asBytes(scope.name)
    first, second = memoryview(blake2s(text, digest_size=16).digest()).cast("q").tolist()
    return first, second


def _boot() -> Key:
    """Which start of this machine this is."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        # In a chroot: no two starts are the same then.
        text = os.urandom(16)
    first, second = memoryview(blake2s(text, digest_size=16).digest()).cast("q").tolist()
    return first, second


__all__ = [
    "ASKED",
    "BEGIN",
    "BOOKED",
    "HELD",
    "MOVING",
    "PERIOD",
    "PER_SEAT",
    "USED",
    "TallyTable",
    "clear",
    "keyOf",
    "leftBehind",
]
