"""
The table of rules as calls.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts.guard import GuardedFileSystem
from filehub.errors import FileHubError
from filehub.paths import ROOT
from filehub.vfs.memory import MemoryFileSystem, MemoryTree
from filehub.vfs.mount import mounted
from tests.accounts.doubles import at, now
from tests.accounts.table import (
    EVERYTHING,
    FILES,
    HARMLESS,
    LINKS,
    MOUNTED,
    MOUNTED_LINKS,
    ON_FILES,
    PARENTS,
    PLACES,
    Place,
    tablePolicy,
)
from tests.accounts.verbs import APPEND, CREATE, REPLACE, link, read, snapshot, store


def doing(files: Any, verb: str, path: str, place: Place) -> Any:
    """The coroutine of a verb of the table."""
    here, mover, result = at(path), at(place.mover), at(place.result)
    return {
        "read": lambda: read(files, here),
        "replace": lambda: store(files, here, REPLACE),
        "append": lambda: store(files, here, APPEND),
        "delete": lambda: files.removeFile(here),
        "rename": lambda: files.rename(here, result, replace=False),
        "cover": lambda: files.rename(mover, here, replace=True),
        "copy": lambda: files.copy(here, result, replace=False),
        "overcopy": lambda: files.copy(mover, here, replace=True),
        "create": lambda: store(files, here, CREATE),
        "mkdir": lambda: files.makeDirectory(here),
        "arrive": lambda: files.rename(mover, here, replace=False),
        "copyto": lambda: files.copy(mover, here, replace=False),
        "link": lambda: files.makeLink(here, "file"),
    }[verb]()


class PolicyTableTests(SynchronousTestCase):
    """Each verb at each place under each of its names."""

    def lay(self) -> Any:
        self.trees = [MemoryTree(links="within-root"), MemoryTree(links="within-root")]
        for tree, files, links in zip(
            self.trees, (FILES, MOUNTED), (LINKS, MOUNTED_LINKS), strict=True
        ):
            for path in files:
                tree.putFile(path, path.encode())
            for path, target in links.items():
                link(tree, path, target)
        views = {
            point: MemoryFileSystem(tree, "ann")
            for point, tree in zip((ROOT, at("/m")), self.trees, strict=True)
        }
        return GuardedFileSystem(mounted(views), tablePolicy())

    def seen(self) -> Any:
        return [snapshot(tree.root) for tree in self.trees]

    def test_table(self) -> None:
        """It succeeds where the table says so; what fails changes nothing."""
        for place in PLACES:
            for folder in place.folders:
                for verb in sorted(EVERYTHING):
                    path = f"{folder}/{place.file if verb in ON_FILES else place.fresh}"
                    files = self.lay()
                    before = self.seen()
                    try:
                        now(doing(files, verb, path, place))
                        done = True
                    except FileHubError:
                        done = False
                    self.assertEqual(done, verb in place.may, f"{verb} {path}")
                    if not done:
                        self.assertEqual(self.seen(), before, f"{verb} {path}")

    def test_parents(self) -> None:
        """No directory is renamed if that changes what is denied below it."""
        for source, target in PARENTS:
            files = self.lay()
            before = self.seen()
            with self.assertRaises(FileHubError, msg=f"{source} to {target}"):
                now(files.rename(at(source), at(target), replace=False))
            self.assertEqual(self.seen(), before)
        now(self.lay().rename(*map(at, HARMLESS), replace=False))
