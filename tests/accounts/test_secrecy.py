"""
No history of permitted verbs brings hidden content to light.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts.guard import GuardedFileSystem
from filehub.accounts.patterns import NamePatterns
from filehub.accounts.policy import PathRule, RulePolicy
from filehub.attributes import FileType
from filehub.errors import FileHubError
from filehub.paths import ROOT, VirtualPath
from filehub.permissions import formatPermissions, parsePermissions
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
             "update", "combine"]
        ),
        PATHS,
        PATHS,
    ),
    max_size=8,
)  # fmt: skip
#: What rules and the mount say of names.
PATTERNS = st.builds(
    NamePatterns,
    hidden=st.sampled_from([(), ("a",), ("B",)]),
    deny=st.sampled_from([(), ("b",), ("[bC]",)]),
    allow=st.sampled_from([None, None, ("a",), ("[ab]",), ()]),
)
NAMED = st.dictionaries(PATHS | st.just("/"), st.tuples(ALLOWED, PATTERNS), max_size=4)
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
        "combine": lambda: combine(fileSystem, first, second),
    }[verb]()


async def combine(files: GuardedFileSystem, target: VirtualPath, source: VirtualPath) -> None:
    """Append one file to another, as COMB does."""
    await store(files, target, APPEND, await read(files, await files.resolve(source)))


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
        self.play(files, policy(table), steps, table)

    @settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
    @given(FILES, NAMED, PATTERNS, STEPS)
    @example(["/a/b"], {"/a": (LETTERS, NamePatterns(deny=("b",))), "/": (LETTERS, NamePatterns())},
             NamePatterns(), [("rename", "/a", "/c")])  # fmt: skip
    @example(["/a/c"], {"/": (LETTERS, NamePatterns(allow=("[ab]",)))},
             NamePatterns(), [("rename", "/a/c", "/a/b")])  # fmt: skip
    @example(["/b/a"], {"/": (LETTERS, NamePatterns()), "/a": (LETTERS, NamePatterns(("a",)))},
             NamePatterns(), [("store", "/b/a", "/b"), ("rename", "/b", "/a/b")])  # fmt: skip
    def test_noHistoryMakesDeniedNames(
        self,
        files: list[str],
        table: dict[str, tuple[str, NamePatterns]],
        mount: NamePatterns,
        steps: list[tuple[str, str, str]],
    ) -> None:
        """
        The same with patterns of names; and nothing comes into being under a name that
        they deny, whatever the order of steps.
        """
        rules = [
            PathRule(at(path), parsePermissions(letters), "", names)
            for path, (letters, names) in table.items()
        ]
        tree, old = self.play(files, RulePolicy(rules, (), {ROOT: mount}), steps, table)
        plain = RulePolicy([PathRule(each.path, each.allow) for each in rules])
        ofFiles = RulePolicy(rules, (), {ROOT: mount})
        ofDirectories = RulePolicy(
            [
                PathRule(each.path, each.allow, "", replace(each.names, allow=None))
                for each in rules
                if each.names is not None
            ],
            (),
            {ROOT: replace(mount, allow=None)},
        )
        for path, node in _nodes(tree.root, ()):
            if not any(node is each for each in old):
                judged = ofDirectories if node.type is FileType.DIRECTORY else ofFiles
                self.assertEqual(
                    judged.permissionsFor(path),
                    plain.permissionsFor(path),
                    f"{path} under {table} and {mount} after {steps}",
                )

    def play(
        self, files: list[str], rule: RulePolicy, steps: list[tuple[str, str, str]], table: Any
    ) -> tuple[MemoryTree, list[Node]]:
        """
        Carry out the steps, and look for content that could not be read at first.

        @return: the tree and what was there from the beginning.
        """
        tree = MemoryTree(links="within-root", partial="owner")
        secret: list[bytes] = []
        for number, path in enumerate(files):
            content = b"<%d>" % number
            try:
                tree.putFile(path, content)
            except FileHubError:
                continue
            if "r" not in _letters(rule, at(path)):
                secret.append(content)
        old = [node for _, node in _nodes(tree.root, ())]
        guarded = GuardedFileSystem(MemoryFileSystem(tree, "ann"), rule)
        for verb, first, second in steps:
            try:
                now(step(guarded, verb, at(first), at(second)))
            except FileHubError:
                pass
        for path, _ in _nodes(tree.root, ()):
            try:
                content = now(read(guarded, path))
            except FileHubError:
                with self.assertRaises(FileHubError):
                    now(guarded.digest(path, "crc32"))
                continue
            for each in secret:
                self.assertNotIn(each, content, f"{path} under {table} after {steps}")
        return tree, old


def _letters(rule: Any, path: VirtualPath) -> str:
    return formatPermissions(rule.permissionsFor(path))


def _nodes(node: Node, segments: tuple[str, ...]) -> list[tuple[VirtualPath, Node]]:
    found = [(VirtualPath(segments), node)]
    for name, child in node.children.items():
        found += _nodes(child, (*segments, name))
    return found
