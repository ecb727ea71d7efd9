"""
No history of permitted verbs brings hidden content to light.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts.guard import GuardedFileSystem
from filehub.errors import FileHubError
from filehub.paths import VirtualPath
from filehub.permissions import formatPermissions
from filehub.vfs._memorynodes import Node
from filehub.vfs.memory import MemoryFileSystem, MemoryTree
from tests.accounts.doubles import at, now, policy
from tests.accounts.verbs import APPEND, LETTERS, REPLACE, read, store, update

#: Small trees: names, letters and verbs that meet one another often.
NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(lambda names: "/" + "/".join(names))
#: Those that matter here often, and any others.
ALLOWED = st.sampled_from(["", "f", "fw", "fwd", "rf", "elrfw", LETTERS]) | st.sets(
    st.sampled_from(LETTERS)
).map(lambda letters: "".join(sorted(letters)))
RULES = st.dictionaries(PATHS | st.just("/"), ALLOWED, max_size=5)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["rename", "replace", "copy", "link", "mkdir", "rmdir", "remove", "store", "append",
             "update"]
        ),
        PATHS,
        PATHS,
    ),
    max_size=8,
)  # fmt: skip
FILES = st.lists(PATHS, min_size=1, max_size=4, unique=True)


def step(fileSystem: GuardedFileSystem, verb: str, first: VirtualPath, second: VirtualPath) -> Any:
    """The coroutine of one step."""
    return {
        "rename": lambda: fileSystem.rename(first, second, replace=False),
        "replace": lambda: fileSystem.rename(first, second, replace=True),
        "copy": lambda: fileSystem.copy(first, second, replace=True),
        "link": lambda: fileSystem.makeLink(first, str(second)),
        "mkdir": lambda: fileSystem.makeDirectory(first),
        "rmdir": lambda: fileSystem.removeDirectory(first),
        "remove": lambda: fileSystem.removeFile(first),
        "store": lambda: store(fileSystem, first, REPLACE, b"mine"),
        "append": lambda: store(fileSystem, first, APPEND, b"mine"),
        "update": lambda: update(fileSystem, first),
    }[verb]()


class SecrecyTests(SynchronousTestCase):
    """Whole histories."""

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
    @given(FILES, RULES, STEPS)
    @example(["/a/b"], {"/a": "f", "/c": "f", "/c/b": "r"}, [("rename", "/a", "/c")])
    @example(["/a"], {"/": "f", "/b": "rf"}, [("rename", "/a", "/b")])
    @example(["/a/b"], {"/": LETTERS, "/a/b": "f"}, [("rename", "/a", "/c")])
    @example(["/a"], {"/": LETTERS, "/a": ""}, [("link", "/b", "/a"), ("copy", "/b", "/c")])
    def test_noHistoryDiscloses(
        self, files: list[str], table: dict[str, str], steps: list[tuple[str, str, str]]
    ) -> None:
        """
        No sequence of verbs, permitted or not, brings content that the rules hide to
        where it can be read or its digest be had.
        """
        tree = MemoryTree(links="within-root", partial="owner")
        rule = policy(table)
        secret: list[bytes] = []
        for number, path in enumerate(files):
            content = b"<%d>" % number
            try:
                tree.putFile(path, content)
            except FileHubError:
                continue
            if "r" not in _letters(rule, at(path)):
                secret.append(content)
        guarded = GuardedFileSystem(MemoryFileSystem(tree, "ann"), rule)
        for verb, first, second in steps:
            try:
                now(step(guarded, verb, at(first), at(second)))
            except FileHubError:
                pass
        for path in _everywhere(tree.root, ()):
            try:
                content = now(read(guarded, path))
            except FileHubError:
                with self.assertRaises(FileHubError):
                    now(guarded.digest(path, "crc32"))
                continue
            for each in secret:
                self.assertNotIn(each, content, f"{path} under {table} after {steps}")


def _letters(rule: Any, path: VirtualPath) -> str:
    return formatPermissions(rule.permissionsFor(path))


def _everywhere(node: Node, segments: tuple[str, ...]) -> list[VirtualPath]:
    found = [VirtualPath(segments)]
    for name, child in node.children.items():
        found += _everywhere(child, (*segments, name))
    return found
