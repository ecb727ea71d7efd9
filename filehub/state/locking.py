"""
One process at a time, among those that share figures in memory.
"""

from __future__ import annotations

import fcntl
from contextlib import AbstractContextManager


class KernelLock(AbstractContextManager[None]):
    """
    A lock of the kernel, so that it ends with who has it; taken for some additions at a
    time.  Whoever has it may take it again.  Of one thread in each process.
    """

    __slots__ = ("_depth", "_descriptor")

    def __init__(self, descriptor: int) -> None:
        """
        @param descriptor: of a file that all of them have open.
        """
        self._descriptor = descriptor
        self._depth = 0

    def __enter__(self) -> None:
        if not self._depth:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            # The kernel does not count: it would be given away at the first end.
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


__all__ = ["KernelLock"]
