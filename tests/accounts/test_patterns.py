"""
Names that are hidden, denied, or not among the allowed ones.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts.guard import Denial, GuardedFileSystem
from filehub.accounts.patterns import NamePatterns
from filehub.accounts.policy import PathRule, RulePolicy
from filehub.paths import ROOT, VirtualPath
from filehub.permissions import EVERYTHING, NOTHING, Permission, parsePermissions
from filehub.vfs.memory import MemoryFileSystem, MemoryTree
from tests.accounts.doubles import at, now
from tests.accounts.verbs import APPEND, CREATE, LETTERS, REPLACE, link, read, store, update

P = Permission

EXE = NamePatterns(deny=("*.exe", ".ht*"))
DOTS = NamePatterns(hidden=(".*",))
IMAGES = NamePatterns(allow=("*.jpg", "*.png"))


def names(files: Any, path: VirtualPath) -> list[str]:
    """What a listing shows."""

    async def work() -> list[str]:
        handle = await files.openDirectory(path)
        found: list[str] = []
        while page := await handle.nextPage():
            found += [entry.name for entry in page]
        await handle.close()
        return sorted(found)

    return now(work())


class NamePatternsTests(SynchronousTestCase):
    """L{NamePatterns} by itself."""

    def left(self, patterns: NamePatterns, path: str) -> Permission:
        return patterns.limit(at(path).segments, EVERYTHING)[0]

    def test_hidden(self) -> None:
        """Nothing is left of it, nor of what lies below."""
        for path in ("/.x", "/a/.x", "/.x/a", "/a/.x/b/c"):
            self.assertEqual(self.left(DOTS, path), NOTHING, path)
        for path in ("/", "/x", "/a.b/c."):
            self.assertEqual(self.left(DOTS, path), EVERYTHING, path)

    def test_denied(self) -> None:
        """It can be removed; below it there is nothing."""
        for path in ("/a.exe", "/b/A.EXE", "/.htaccess"):
            self.assertEqual(self.left(EXE, path), P.DELETE, path)
        self.assertEqual(self.left(EXE, "/a.exe/file"), NOTHING)
        for path in ("/exe", "/a.exe2", "/a.exe "):
            self.assertEqual(self.left(EXE, path), EVERYTHING, path)

    def test_allowed(self) -> None:
        """Other names are fit for directories, and files below them may be right again."""
        self.assertEqual(self.left(IMAGES, "/album"), P.ENTER | P.LIST | P.MAKE | P.DELETE)
        self.assertEqual(self.left(IMAGES, "/album/a.JPG"), EVERYTHING)
        self.assertEqual(self.left(NamePatterns(allow=()), "/x") & (P.RETRIEVE | P.STORE), NOTHING)

    def test_case(self) -> None:
        """It counts if that is said."""
        exact = NamePatterns(deny=("*.exe",), ignoreCase=False)
        self.assertEqual(self.left(exact, "/a.EXE"), EVERYTHING)
        self.assertEqual(self.left(exact, "/a.exe"), P.DELETE)

    def test_anyName(self) -> None:
        """Line ends and bytes that are not UTF-8 hide nothing from a pattern."""
        for name in ("a\n.exe", "\udcff.exe", "\n.exe"):
            self.assertEqual(EXE.limit((name,), EVERYTHING)[0], P.DELETE, repr(name))

    def test_hostilePattern(self) -> None:
        """A pattern of many stars takes no time."""
        many = NamePatterns(deny=("*a" * 60 + "b",))
        self.assertEqual(many.limit(("a" * 255,), EVERYTHING)[0], EVERYTHING)


class RuleTests(SynchronousTestCase):
    """Patterns of rules, groups and mounts in a L{RulePolicy}."""

    def test_belowTheRuleOnly(self) -> None:
        """The names of the rule's own path are not looked at."""
        policy = RulePolicy([PathRule(at("/.git/x.exe"), EVERYTHING, "", NamePatterns((".*",)))])
        self.assertEqual(policy.permissionsFor(at("/.git/x.exe/a")), EVERYTHING)
        self.assertEqual(policy.permissionsFor(at("/.git/x.exe/.a")), NOTHING)

    def test_longerRuleAlone(self) -> None:
        """A longer rule has patterns of its own, or none."""
        policy = RulePolicy(
            [PathRule(ROOT, EVERYTHING, "", EXE), PathRule(at("/tools"), EVERYTHING)]
        )
        self.assertEqual(policy.permissionsFor(at("/a.exe")), P.DELETE)
        self.assertEqual(policy.permissionsFor(at("/tools/a.exe")), EVERYTHING)

    def test_groups(self) -> None:
        """Of several groups' rules for one path one is enough."""
        some = parsePermissions("elr")
        strict = PathRule(ROOT, EVERYTHING, "f:1", EXE)
        policy = RulePolicy([], [[strict], [PathRule(ROOT, some, "f:2")]])
        self.assertEqual(policy.permissionsFor(at("/a.exe")), some | P.DELETE)
        self.assertEqual(policy.permissionsFor(at("/a")), EVERYTHING)
        self.assertIn("f:1, f:2", policy.reasonFor(at("/a.exe")))
        same = RulePolicy([], [[strict], [strict]])
        self.assertEqual(same.permissionsFor(at("/a.exe")), P.DELETE)
        self.assertEqual(same.namingBelow(ROOT), (EXE,))

    def test_mounts(self) -> None:
        """What a mount says holds for every rule, and not in the mounts within it."""
        policy = RulePolicy(
            [PathRule(ROOT, EVERYTHING), PathRule(at("/a/b"), EVERYTHING)],
            mounts={ROOT: DOTS, at("/other"): NamePatterns()},
        )
        self.assertEqual(policy.permissionsFor(at("/a/b/.c")), NOTHING)
        self.assertEqual(policy.permissionsFor(at("/other/.c")), EVERYTHING)

    def test_reason(self) -> None:
        """The rule, where it stands, and the pattern that decided."""
        rule = PathRule(at("/pub"), parsePermissions("elr"), "files.toml:7", EXE)
        policy = RulePolicy([rule], mounts={ROOT: DOTS})
        self.assertEqual(
            policy.reasonFor(at("/pub/setup.EXE")),
            "rule /pub allow elr (files.toml:7): deny_names '*.exe' matches 'setup.EXE'",
        )
        self.assertEqual(
            policy.reasonFor(at("/pub/.x")),
            "rule /pub allow elr (files.toml:7): of the mount /, hidden '.*' matches '.x'",
        )
        self.assertEqual(policy.reasonFor(at("/pub/x")), "rule /pub allow elr (files.toml:7)")


class GuardTests(SynchronousTestCase):
    """Every verb, on names that patterns forbid, under every alias."""

    def setUp(self) -> None:
        self.tree = MemoryTree(links="within-root")
        for path in ("/d/a.exe", "/d/a.txt", "/d/.dot", "/d/.dots/file", "/free/x.exe", "/e/y"):
            self.tree.putFile(path, path.encode())
        link(self.tree, "/d/alias.txt", "a.exe")
        link(self.tree, "/d/way", ".dots")
        link(self.tree, "/free/in", "../d")
        both = NamePatterns(hidden=(".*",), deny=("*.exe",))
        self.policy = RulePolicy(
            [
                PathRule(ROOT, parsePermissions(LETTERS), "f:1"),
                PathRule(at("/d"), parsePermissions(LETTERS), "f:2", both),
            ]
        )
        self.files = GuardedFileSystem(MemoryFileSystem(self.tree, "ann"), self.policy)

    def denied(self, work: Any) -> Denial:
        return self.assertRaises(Denial, now, work)

    def test_forbidden(self) -> None:
        """Neither read, listed, changed, made, nor renamed or copied from or to."""
        files = self.files
        for path in map(
            at,
            ("/d/a.exe", "/d/A.EXE", "/d/new.exe", "/d/.dot", "/d/.new", "/d/.dots/file",
             "/d/alias.txt", "/d/way/file", "/free/in/a.exe", "/free/in/.dot", "/free/in/way/new"),
        ):  # fmt: skip
            for work in (
                read(files, path),
                files.digest(path, "crc32"),
                files.openDirectory(path),
                store(files, path, CREATE, b"x"),
                store(files, path, REPLACE, b"x"),
                store(files, path, APPEND, b"x"),
                update(files, path),
                files.copy(path, at("/free/new"), replace=False),
                files.copy(at("/d/a.txt"), path, replace=True),
            ):
                error = self.denied(work)
                self.assertIn("f:2", error.reason)
        for path in map(at, ("/d/a.exe", "/d/.dot", "/d/.dots", "/free/in/a.exe", "/d/n.exe")):
            for work in (
                files.stat(path),
                files.makeDirectory(path),
                files.makeLink(path, "a.txt"),
                files.readLink(path),
                files.rename(path, at("/d/b"), replace=False),
                files.rename(at("/d/a.txt"), path, replace=True),
            ):
                self.denied(work)
        self.assertEqual(self.tree.find(at("/d/a.exe")).content, b"/d/a.exe")
        self.assertEqual(self.tree.find(at("/d/a.txt")).content, b"/d/a.txt")

    def test_listing(self) -> None:
        """Hidden names are left out; denied ones are there, for they can be removed."""
        self.assertEqual(names(self.files, at("/d")), ["a.exe", "a.txt", "alias.txt", "way"])
        now(self.files.removeFile(at("/d/a.exe")))
        self.denied(self.files.removeFile(at("/d/.dot")))

    def test_renamedParents(self) -> None:
        """What patterns judge is not moved to where they do not, in any number of steps."""
        for target in ("/free/d", "/d2"):
            self.denied(self.files.rename(at("/d"), at(target), replace=False))
        self.tree.putFile("/d/sub/s.exe", b"")
        self.denied(self.files.rename(at("/d/sub"), at("/free/sub"), replace=False))
        self.denied(self.files.rename(at("/e"), at("/d.exe/../d/e.exe"), replace=False))
        now(self.files.rename(at("/d/sub"), at("/d/sub2"), replace=False))
        self.denied(read(self.files, at("/d/sub2/s.exe")))
        # Nor the other way round: who knows what lies in it?
        self.denied(self.files.rename(at("/free"), at("/d/free"), replace=False))

    def test_onlyAllowed(self) -> None:
        """Directories are free, files are not, and nothing becomes a file by renaming."""
        policy = RulePolicy([PathRule(ROOT, parsePermissions(LETTERS), "", IMAGES)])
        files = GuardedFileSystem(MemoryFileSystem(self.tree, "ann"), policy)
        now(files.makeDirectory(at("/album")))
        now(store(files, at("/album/a.jpg"), CREATE, b"image"))
        for work in (
            read(files, at("/e/y")),
            store(files, at("/album/a.gif"), CREATE, b""),
            store(files, at("/e/y"), APPEND, b""),
            files.rename(at("/e/y"), at("/e/y.jpg"), replace=False),
            files.rename(at("/album/a.jpg"), at("/album/a.exe"), replace=False),
            files.rename(at("/album"), at("/photos"), replace=False),
            files.copy(at("/album/a.jpg"), at("/album/a"), replace=False),
            files.makeLink(at("/album/b"), "a.jpg"),
        ):
            self.denied(work)
        self.assertIn("y", names(files, at("/e")))

    def test_makeDoesNotRename(self) -> None:
        """Where only directories may be made, no file arrives by renaming."""
        policy = RulePolicy(
            [PathRule(ROOT, parsePermissions(LETTERS)), PathRule(at("/e"), parsePermissions("elm"))]
        )
        files = GuardedFileSystem(MemoryFileSystem(self.tree, "ann"), policy)
        self.denied(files.rename(at("/d/a.txt"), at("/e/a.txt"), replace=False))

    def test_dropBox(self) -> None:
        """New files only; nothing is seen, replaced, continued or removed."""
        policy = RulePolicy([PathRule(ROOT, parsePermissions("ew"), "", EXE)])
        files = GuardedFileSystem(MemoryFileSystem(self.tree, "ann"), policy)
        now(store(files, at("/new"), REPLACE, b"mine"))
        self.denied(store(files, at("/new.exe"), CREATE, b""))
        self.denied(files.openDirectory(ROOT))
        self.denied(read(files, at("/new")))
        self.denied(update(files, at("/new")))
        self.denied(files.removeFile(at("/new")))
        self.assertEqual(self.tree.find(at("/new")).content, b"mine")
