"""
Copying over the L{Remote} interface, with remotes that are dictionaries.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from filehub.errors import AlreadyExists, FileHubError, IsADirectory, NotFound, PermissionDenied
from filehub.remotes.base import Entry, NotPossible, Remote
from filehub.remotes.copying import Copier, CopyOptions
from filehub.remotes.local import LocalRemote
from filehub.remotes.trees import makeParents, removeTree
from filehub.remotes.url import Location, parseLocation
from filehub.transfer.progress import Progress


def outcomeOf(work: Coroutine[Any, Any, Any]) -> Any:
    """What work that need not wait returns or raises."""
    results: list[Any] = []
    Deferred.fromCoroutine(work).addBoth(results.append)
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    return result


class FakeRemote:
    """A server that is a dictionary: path -> content, or None for a directory."""

    hasDirectories = True

    def __init__(self, tree: dict[str, bytes | None], resumes: bool = True) -> None:
        self.tree = tree
        self.resumesDownloads = self.resumesUploads = resumes
        self.offsets: list[int] = []
        self.forbidden: set[str] = set()
        self.extra: list[Entry] = []
        self.open = 0
        self.opened = 0

    def _entry(self, path: str) -> Entry:
        data = self.tree[path]
        name = path.rpartition("/")[2]
        return Entry(name, "dir") if data is None else Entry(name, "file", len(data), 1e9)

    async def entry(self, path: str) -> Entry | None:
        if path == "":
            return Entry("", "dir")
        return self._entry(path) if path in self.tree else None

    async def list(self, path: str) -> list[Entry]:
        begin = f"{path}/" if path else ""
        return [
            self._entry(each)
            for each in self.tree
            if each.startswith(begin) and "/" not in each[len(begin) :]
        ] + self.extra

    async def get(self, path: str, target: Any, offset: int, progress: Progress) -> int:
        if path in self.forbidden:
            raise PermissionDenied(None, f"{path}: no")
        self.offsets.append(offset)
        data = self.tree.get(path)
        if data is None:
            raise NotFound(None, f"{path}: nothing")
        await target.writeAt(target.position, data[offset:])
        progress.nbytes += len(data) - offset
        return len(data) - offset

    async def put(self, path: str, source: Any, offset: int, progress: Progress) -> int:
        self.offsets.append(offset)
        data = (self.tree.get(path) or b"")[:offset] if offset else b""
        while piece := await source.readAt(len(data), 3):
            data += piece
            progress.nbytes += len(piece)
        self.tree[path] = data
        return len(data) - offset

    async def removeFile(self, path: str) -> None:
        if self.tree.get(path) is None:
            raise NotFound(None, path)
        del self.tree[path]

    async def removeDirectory(self, path: str) -> None:
        del self.tree[path]

    async def makeDirectory(self, path: str) -> None:
        if path in self.tree:
            raise AlreadyExists(None, path)
        self.tree[path] = None

    async def rename(self, source: str, target: str) -> None:
        self.tree[target] = self.tree.pop(source)

    async def home(self) -> str:
        return ""

    async def close(self) -> None:
        self.open -= 1

    def abort(self) -> None:
        self.open -= 1


class Watcher:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.ends: list[tuple[str, int, FileHubError | None]] = []
        self.begins: list[int] = []
        self.notes: list[str] = []

    def started(self, source: Location, target: Location, size: int | None, done: int) -> Progress:
        self.begins.append(done)
        return Progress()

    def ended(self, source: Location, progress: Progress, problem: FileHubError | None) -> None:
        self.ends.append((source.path, progress.nbytes, problem))

    def noted(self, text: str) -> None:
        self.notes.append(text)


class CopierTests(SynchronousTestCase):
    """L{Copier}"""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="filehub-copy-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.remotes: dict[str, FakeRemote] = {}
        self.watcher = Watcher()

    def copy(self, source: str, target: str, **options: Any) -> Copier:
        async def connect(location: Location) -> Remote:
            if location.isLocal:
                return LocalRemote()
            remote = self.remotes[location.host]
            remote.open += 1
            remote.opened += 1
            return remote

        copier = Copier(connect, self.watcher, CopyOptions(**options))
        outcomeOf(copier.copy(parseLocation(source), parseLocation(target)))
        for remote in self.remotes.values():
            self.assertEqual(remote.open, 0)
        return copier

    def test_getIntoDirectory(self) -> None:
        """A file keeps its name in a directory, and its time."""
        self.remotes["a"] = FakeRemote({"d/f": b"content"})
        self.copy("ftp://a/d/f", str(self.folder))
        self.assertEqual((self.folder / "f").read_bytes(), b"content")
        self.assertEqual((self.folder / "f").stat().st_mtime, 1e9)

    def test_resume(self) -> None:
        """Only what is missing is fetched."""
        self.remotes["a"] = FakeRemote({"f": b"content"})
        (self.folder / "f.part").write_bytes(b"con")
        self.copy("ftp://a/f", str(self.folder / "f"), resume=True)
        self.assertEqual(self.remotes["a"].offsets, [3])
        self.assertEqual((self.folder / "f").read_bytes(), b"content")
        self.assertEqual(self.watcher.begins, [3])

    def test_resumeLonger(self) -> None:
        """What is longer than the original is something else: it is fetched whole."""
        self.remotes["a"] = FakeRemote({"f": b"content"})
        (self.folder / "f.part").write_bytes(b"much longer than that")
        self.copy("ftp://a/f", str(self.folder / "f"), resume=True)
        self.assertEqual((self.folder / "f").read_bytes(), b"content")

    def test_resumeImpossible(self) -> None:
        """A protocol without restarts begins at the beginning."""
        self.remotes["a"] = FakeRemote({"f": b"content"}, resumes=False)
        (self.folder / "f.part").write_bytes(b"xxx")
        self.copy("ftp://a/f", str(self.folder / "f"), resume=True)
        self.assertEqual((self.folder / "f").read_bytes(), b"content")

    def test_resumeUpload(self) -> None:
        """An upload goes on at what the server has."""
        self.remotes["a"] = FakeRemote({"f": b"con"})
        (self.folder / "f").write_bytes(b"content")
        self.copy(str(self.folder / "f"), "ftp://a/f", resume=True)
        self.assertEqual(self.remotes["a"].tree["f"], b"content")
        self.assertEqual(self.remotes["a"].offsets, [3])

    def test_directoryNeedsRecursion(self) -> None:
        """A directory is not copied by accident."""
        self.remotes["a"] = FakeRemote({"d": None})
        with self.assertRaises(IsADirectory):
            self.copy("ftp://a/d", str(self.folder))

    def test_tree(self) -> None:
        """A tree is copied; the failure of one file does not stop the others."""
        tree: dict[str, bytes | None] = {"d": None, "d/e": None, "d/e/empty": None}
        tree.update({f"d/e/{n}": b"%d" % n for n in range(9)})
        source = self.remotes["a"] = FakeRemote(tree)
        source.forbidden.add("d/e/4")
        copier = self.copy("ftp://a/d", str(self.folder), recursive=True, parallel=3)
        self.assertEqual((self.folder / "d" / "e" / "7").read_bytes(), b"7")
        self.assertTrue((self.folder / "d" / "e" / "empty").is_dir())
        self.assertFalse((self.folder / "d" / "e" / "4").exists())
        self.assertEqual([type(error) for _, error in copier.problems], [PermissionDenied])

    def test_hostileNames(self) -> None:
        """A server cannot make us write outside of the target."""
        source = self.remotes["a"] = FakeRemote({"d": None, "d/f": b"x"})
        source.extra = [Entry("../evil", "file", 1), Entry("..", "dir"), Entry("", "file", 1)]
        copier = self.copy("ftp://a/d", str(self.folder / "t"), recursive=True)
        self.assertEqual(len(copier.problems), 3)
        self.assertEqual([each.name for each in self.folder.rglob("*")], ["t", "f"])

    def test_between(self) -> None:
        """From one server to the other through a pipe."""
        self.remotes["a"] = FakeRemote({"f": b"content" * 1000})
        self.remotes["b"] = FakeRemote({})
        self.copy("ftp://a/f", "rfc913://b/g")
        self.assertEqual(self.remotes["b"].tree["g"], b"content" * 1000)

    def test_missing(self) -> None:
        """What is not there is said, and leaves nothing."""
        self.remotes["a"] = FakeRemote({})
        with self.assertRaises(NotFound):
            self.copy("ftp://a/f", str(self.folder / "f"))
        self.assertEqual(list(self.folder.iterdir()), [])


class TreeTests(SynchronousTestCase):
    """L{removeTree} and L{makeParents}"""

    def test_remove(self) -> None:
        """All that is below goes, and nothing beside."""
        remote = FakeRemote({"a": None, "a/b": None, "a/b/c": b"", "d": b""})
        self.successResultOf(Deferred.fromCoroutine(removeTree(remote, "a")))
        self.assertEqual(remote.tree, {"d": b""})

    def test_parents(self) -> None:
        """Missing directories are made; those that exist do not matter."""
        remote = FakeRemote({"a": None})
        self.successResultOf(Deferred.fromCoroutine(makeParents(remote, "a/b/c")))
        self.assertEqual(remote.tree, {"a": None, "a/b": None, "a/b/c": None})

    def test_impossible(self) -> None:
        """A protocol that has no such thing says so."""
        self.assertIn("cannot do that", str(NotPossible()))
