"""
What tests of the configuration share.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.testing import MemoryReactorClock

from filehub.vfs.memory import MemoryTree


class Reactor(MemoryReactorClock):
    """
    Without sockets, time and threads.
    """

    def callFromThread(self, call: Any, *arguments: Any) -> None:
        """Nothing runs in threads here."""
        raise AssertionError("a thread was used")


class Trees:
    """
    In the place of L{filehub.vfs.local.LocalTree}.

    @ivar made: folder and options of each.
    """

    def __init__(self) -> None:
        self.made: dict[Path, dict[str, Any]] = {}
        self.trees: dict[Path, MemoryTree] = {}

    def __call__(self, folder: Path, workers: Any, **options: Any) -> MemoryTree:
        """Make one in memory."""
        self.made[folder] = options
        tree = self.trees[folder] = MemoryTree(links=options["links"], partial=options["partial"])
        return tree
