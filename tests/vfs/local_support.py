"""
Trees on disk for tests, and ways to hurt them.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from filehub.vfs import _drafts, _localfile, _openat, _staging, _uploads
from filehub.vfs.local import LocalTree
from filehub.vfs.workers import ImmediateWorkers, Workers


def openDescriptors() -> set[str]:
    """The files and folders that this process has open, with their numbers."""
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue
        if target.startswith("/") and not target.startswith("/dev/"):
            found.add(f"{number} {target}")
    return found


class OnDisk(TestCase):
    """A folder that is made anew for each test, and no descriptor that is left."""

    timeout = 60

    def setUp(self) -> None:
        self.before = openDescriptors()
        self.addCleanup(self.checkDescriptors)
        self.folder = Path(self.mktemp())
        self.folder.mkdir(parents=True)

    def makeTree(self, workers: Workers | None = None, **options: Any) -> LocalTree:
        """A tree of the folder; the second one is what comes after a restart."""
        tree = LocalTree(self.folder, workers or ImmediateWorkers(), **options)
        self.addCleanup(tree.root.close, small=True)
        return tree

    def checkDescriptors(self) -> None:
        self.assertEqual(openDescriptors() - self.before, set())

    def staged(self) -> list[str]:
        """What is in the staging folder."""
        staging = self.folder / ".filehub"
        return sorted(
            str(each.relative_to(staging)) for each in staging.rglob("*") if not each.is_dir()
        )


class FailingOS:
    """
    The C{os} module, of which one function fails at its n-th call.

    @ivar calls: how often it was called.
    """

    def __init__(self, function: str, code: int, nth: int = 1, lasting: bool = False) -> None:
        self._function = function
        self._code = code
        self._nth = nth
        self._lasting = lasting
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name != self._function:
            return real
        return self._wrap(real)

    def _wrap(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == self._nth or (self._lasting and self.calls > self._nth):
                if self._function == "close":
                    # Linux closes it, and tells of what went wrong before.
                    real(*args, **kwargs)
                raise OSError(self._code, os.strerror(self._code))
            return real(*args, **kwargs)

        return call

    def install(self, case: TestCase) -> list[Any]:
        """For all code that names or writes files; what is returned can C{restore}."""
        modules = (_drafts, _localfile, _openat, _staging, _uploads)
        return [case.patch(module, "os", self) for module in modules]
