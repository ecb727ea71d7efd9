"""
Checksums of files on disk: computed step by step in the workers, a few steps at a
time, and remembered for as long as the file is what it was.

Those that are being computed take turns: who wants the checksum of a small file does not
wait for that of a large one.
"""

from __future__ import annotations

import hashlib
import os
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from twisted.internet.defer import DeferredSemaphore

from filehub.errors import OperationNotSupported
from filehub.paths import VirtualPath
from filehub.vfs._openfile import OpenFile

#: How much is digested in one piece of work: some ten milliseconds.
STEP: Final = 8 * 1024 * 1024
#: Steps at the same time, so that transfers find a worker.
AT_ONCE: Final = 2
#: Results that are kept, some 150 bytes each.
REMEMBERED: Final = 4096
#: Seconds that a file must have been left alone: within one tick of the kernel's clock
#: two states of it can have the same time.
SETTLED: Final = 2.0

_Key = tuple[int, int, int, int, int, str, int, int | None]


class Digest:
    """A digest that grows with pieces of a file."""

    def __init__(self, path: VirtualPath, algorithm: str) -> None:
        """
        @raise OperationNotSupported: an unknown algorithm, or one without a size.
        """
        self.algorithm = algorithm
        self._checksum = 0
        self._hash = None
        if algorithm != "crc32":
            try:
                self._hash = hashlib.new(algorithm, usedforsecurity=False)
            except (ValueError, TypeError):
                raise OperationNotSupported(path, "unknown algorithm") from None
            if not self._hash.digest_size:
                raise OperationNotSupported(path, "unknown algorithm")

    def update(self, descriptor: int, offset: int, length: int) -> int:
        """Blocks.  How many bytes were there."""
        got = 0
        while got < length:
            data = os.pread(descriptor, min(length - got, 256 * 1024), offset + got)
            if not data:
                break
            got += len(data)
            self.feed(data)
        return got

    def feed(self, data: bytes) -> None:
        """The next bytes."""
        if self._hash is None:
            self._checksum = zlib.crc32(data, self._checksum)
        else:
            self._hash.update(data)

    def result(self) -> bytes:
        """The digest; of CRC-32, four bytes in network order."""
        if self._hash is None:
            return self._checksum.to_bytes(4, "big")
        return self._hash.digest()


class Digests:
    """
    Those of one tree.

    @param clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._turns = DeferredSemaphore(AT_ONCE)
        self._known: OrderedDict[_Key, bytes] = OrderedDict()

    async def of(
        self,
        file: OpenFile,
        status: os.stat_result,
        digest: Digest,
        offset: int,
        length: int | None,
    ) -> bytes:
        """
        The digest of a range of an open file.  Cancelling ends it after the step that
        is being worked on.

        @param status: of the file, when it was opened.
        @raise OSError: it cannot be read.
        """
        key = _key(status, digest.algorithm, offset, length)
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known
        await self._feed(digest, file, offset, length)
        result = digest.result()
        after = await file.work(os.fstat, file.descriptor)
        if _key(after, *key[5:]) == key and self._clock() - after.st_ctime >= SETTLED:
            self._remember(key, result)
        return result

    async def _feed(self, digest: Digest, file: OpenFile, offset: int, length: int | None) -> None:
        while length is None or length > 0:
            wanted = STEP if length is None else min(length, STEP)
            await self._turns.acquire()
            try:
                got = await file.work(digest.update, file.descriptor, offset, wanted)
            finally:
                self._turns.release()
            if not got:
                break
            offset += got
            if length is not None:
                length -= got

    def _remember(self, key: _Key, result: bytes) -> None:
        self._known[key] = result
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)


def _key(status: os.stat_result, algorithm: str, offset: int, length: int | None) -> _Key:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        algorithm,
        offset,
        length,
    )
