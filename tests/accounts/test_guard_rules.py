"""
What the guard's table cannot say: drop boxes, renaming, listings, new names.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts.guard import GUARDED, Denial, GuardedFileSystem
from filehub.accounts.policy import RulePolicy
from filehub.attributes import FileType
from filehub.errors import AlreadyExists, InvalidName, PermissionDenied
from filehub.paths import MAXIMUM_DEPTH, VirtualPath
from filehub.permissions import NOTHING, Permission
from filehub.vfs.memory import MemoryFileSystem, MemoryTree
from tests.accounts.doubles import at, now, policy, rules
from tests.accounts.verbs import APPEND, CREATE, LETTERS, REPLACE, read, snapshot, store, update


class DropBoxTests(SynchronousTestCase):
    """A directory into which one may only throw."""

    def setUp(self) -> None:
        self.tree = MemoryTree(links="within-root")
        self.tree.putFile("/box/taken", b"first")
        self.tree.putFile("/mine/file", b"mine")

    def guard(self, letters: str) -> GuardedFileSystem:
        """What an account with these letters in the box sees."""
        return GuardedFileSystem(
            MemoryFileSystem(self.tree), policy({"/": "", "/box": letters, "/mine": LETTERS})
        )

    def test_newFiles(self) -> None:
        """A new file is taken, and then it is gone from view."""
        for letters in ("w", "wa", "we", "wf", "wm"):
            guarded = self.guard(letters)
            for number, disposition in enumerate((CREATE, REPLACE)):
                path = at(f"/box/{letters}{number}")
                now(store(guarded, path, disposition, b"thrown"))
                self.assertEqual(self.tree.content(str(path)), b"thrown")
                with self.assertRaises(Denial):
                    now(read(guarded, path))
                with self.assertRaises(Denial):
                    now(guarded.removeFile(path))
        with self.assertRaises(Denial):
            now(guarded.openDirectory(at("/box")))

    def test_nothingIsReplaced(self) -> None:
        """What lies there stays as it is, whatever is tried."""
        for letters in ("w", "wa", "we", "wf", "waefmMT"):
            guarded = self.guard(letters)
            attempts: list[Any] = [
                store(guarded, at("/box/taken"), CREATE),
                store(guarded, at("/box/taken"), REPLACE),
                store(guarded, at("/box/taken"), APPEND),
                update(guarded, at("/box/taken")),
                guarded.copy(at("/mine/file"), at("/box/taken"), replace=True),
                guarded.rename(at("/mine/file"), at("/box/taken"), replace=True),
                guarded.removeFile(at("/box/taken")),
            ]
            for work in attempts:
                with self.assertRaises((PermissionDenied, AlreadyExists)):
                    now(work)
                self.assertEqual(self.tree.content("/box/taken"), b"first", letters)

    def test_copyAndMoveIn(self) -> None:
        """New names can be copied and moved into the box."""
        guarded = self.guard("w")
        now(guarded.copy(at("/mine/file"), at("/box/copy"), replace=True))
        now(guarded.rename(at("/mine/file"), at("/box/moved"), replace=True))
        self.assertEqual(self.tree.content("/box/copy"), b"mine")
        self.assertEqual(self.tree.content("/box/moved"), b"mine")

    def test_appendOnly(self) -> None:
        """Where one may append and not store, existing files grow: that is no drop box."""
        now(store(self.guard("a"), at("/box/taken"), APPEND, b" more"))
        self.assertEqual(self.tree.content("/box/taken"), b"first more")


class RenameTests(SynchronousTestCase):
    """Renaming must not disclose."""

    def setUp(self) -> None:
        self.tree = MemoryTree(links="within-root")
        self.tree.putFile("/dark/file", b"secret")
        self.tree.putFile("/dark/folder/inside/file", b"secret")
        self.tree.putFile("/bright/file", b"public")
        self.tree.putFile("/bright/folder/private/file", b"secret")
        self.tree.putDirectory("/elsewhere")

    def guard(self, table: dict[str, str]) -> GuardedFileSystem:
        """What these rules let an account see."""
        return GuardedFileSystem(MemoryFileSystem(self.tree), policy(table))

    def denied(self, table: dict[str, str], source: str, target: str) -> str:
        """The reason why this is refused."""
        before = snapshot(self.tree.root)
        with self.assertRaises(Denial) as caught:
            now(self.guard(table).rename(at(source), at(target), replace=False))
        self.assertEqual(snapshot(self.tree.root), before)
        return str(caught.exception.reason)

    def test_intoTheLight(self) -> None:
        """What may not be read does not move to where it may be."""
        table = {"/dark": "elfdw", "/bright": LETTERS}
        for name in ("file", "folder"):
            self.assertIn("needs r", self.denied(table, f"/dark/{name}", "/bright/new"))

    def test_intoTheDark(self) -> None:
        """The other direction discloses nothing."""
        table = {"/dark": "fw", "/bright": LETTERS}
        now(self.guard(table).rename(at("/bright/file"), at("/dark/new"), replace=False))
        self.assertEqual(self.tree.content("/dark/new"), b"public")

    def test_withinTheDark(self) -> None:
        """Where neither can be read, renaming is a matter of C{f}."""
        now(self.guard({"/dark": "f"}).rename(at("/dark/file"), at("/dark/new"), replace=False))
        self.assertEqual(self.tree.content("/dark/new"), b"secret")

    def test_stricterRuleBelow(self) -> None:
        """A directory in which something is protected does not move away from its rule."""
        table = {"/": LETTERS, "/bright/folder/private": "el"}
        reason = self.denied(table, "/bright/folder", "/elsewhere/new")
        self.assertIn("stricter rule", reason)
        self.denied(table, "/bright", "/elsewhere/new")

    def test_stricterRuleBelowTheTarget(self) -> None:
        """Nor does one move to where a rule for something below waits."""
        table = {"/": LETTERS, "/elsewhere/new/inside": "el"}
        self.denied(table, "/dark/folder", "/elsewhere/new")

    def test_looserRuleBelowTheTarget(self) -> None:
        """
        A rule that opens something below the new place must not open what was closed
        in the old one.
        """
        table = {"/dark": "f", "/elsewhere": "f", "/elsewhere/new/inside": "elrf"}
        self.denied(table, "/dark/folder", "/elsewhere/new")

    def test_replacing(self) -> None:
        """Replacing needs C{d} or C{w} at the target on top."""
        guarded = self.guard({"/": "elrf"})
        with self.assertRaises(Denial):
            now(guarded.rename(at("/bright/file"), at("/dark/file"), replace=True))
        guarded = self.guard({"/": "elrfd"})
        now(guarded.rename(at("/bright/file"), at("/dark/file"), replace=True))
        self.assertEqual(self.tree.content("/dark/file"), b"public")

    def test_notReplacing(self) -> None:
        """
        FTP always asks to replace: to a new name C{f} is enough for that, and what is
        there stands.
        """
        guarded = self.guard({"/": "elrf"})
        now(guarded.rename(at("/bright/file"), at("/bright/new"), replace=True))
        self.assertEqual(self.tree.content("/bright/new"), b"public")
        with self.assertRaises(Denial) as caught:
            now(guarded.rename(at("/bright/new"), at("/dark/file"), replace=True))
        self.assertEqual(caught.exception.path, at("/dark/file"))
        self.assertEqual(self.tree.content("/dark/file"), b"secret")

    def test_namesIntoTheLight(self) -> None:
        """What may not be listed does not move to where it, or something in it, may be."""
        table = {"/dark": "erf", "/elsewhere": "elrf"}
        self.assertIn("needs l", self.denied(table, "/dark/folder", "/elsewhere/new"))
        table = {"/dark": "f", "/elsewhere": "f", "/elsewhere/new/inside": "fl"}
        self.assertIn("needs l", self.denied(table, "/dark/folder", "/elsewhere/new"))


class ListingTests(SynchronousTestCase):
    """Names that an account may do nothing with."""

    def setUp(self) -> None:
        self.tree = MemoryTree(links="within-root")
        for name in ("a", "b", "hidden"):
            self.tree.putFile(f"/list/{name}", b"")

    def names(self, table: dict[str, str], path: str = "/list") -> list[str]:
        """What a client sees."""
        guarded = GuardedFileSystem(MemoryFileSystem(self.tree), policy(table))

        async def collect() -> list[str]:
            handle = await guarded.openDirectory(at(path))
            found: list[str] = []
            while page := await handle.nextPage():
                found += [entry.name for entry in page]
            await handle.close()
            self.assertEqual(list(await handle.nextPage()), [])
            return found

        return now(collect())

    def test_all(self) -> None:
        """Without rules below, everything."""
        self.assertEqual(self.names({"/list": "l"}), ["a", "b", "hidden"])

    def test_filtered(self) -> None:
        """A name with an empty rule is left out; one with any letter is shown."""
        self.assertEqual(self.names({"/list": "l", "/list/hidden": ""}), ["a", "b"])
        self.assertEqual(self.names({"/list": "l", "/list/hidden": "w"}), ["a", "b", "hidden"])

    def test_pageOfHiddenNames(self) -> None:
        """A page of which nothing may be seen is not the end."""
        table = {"/list": "l"}
        for number in range(600):
            self.tree.putFile(f"/many/{number:04}", b"")
            table[f"/many/{number:04}"] = ""
        self.tree.putFile("/many/last", b"")
        self.assertEqual(self.names({**table, "/many": "l"}, "/many"), ["last"])

    def test_nothingLeft(self) -> None:
        """A listing of hidden names only is empty."""
        self.assertEqual(
            self.names({"/list": "l", "/list/a": "", "/list/b": "", "/list/hidden": ""}), []
        )

    def test_tooDeep(self) -> None:
        """A name deeper than any path, which others put there, spoils no listing."""
        deep = "/list" + "/d" * (MAXIMUM_DEPTH - 1)
        self.tree.putDirectory(deep)
        node = self.tree.find(at(deep))
        node.children["unreachable"] = self.tree.newNode(FileType.REGULAR)
        self.assertEqual(self.names({"/list": "l", f"{deep[:-2]}/x": ""}, deep), ["unreachable"])
        self.assertEqual(self.names({"/": LETTERS, deep: "l", "/x": ""}, deep), ["unreachable"])
        guarded = GuardedFileSystem(MemoryFileSystem(self.tree), _Uneven(rules({"/": "l"})))
        handle = now(guarded.openDirectory(at(deep)))
        self.assertEqual(list(now(handle.nextPage())), [])


class _Uneven(RulePolicy):
    """An embedder's policy, under which every directory has exceptions."""

    def strictestBelow(self, path: VirtualPath) -> Permission:
        """There is always something below that nothing may be done with."""
        return NOTHING


class NewNameTests(SynchronousTestCase):
    """Names that would forge a listing or a log."""

    BAD = ("a\rb", "a\nb", "\x1b[2J", "\x00"[:0] + "\x01", "a\x7fb", "a\x85b", "\t", "a\x9b")
    GOOD = ("ä", " leading", "trailing ", "-R", "~", "a\u200bb", "\udcff", "\u202e", "日本")

    def creations(self, guarded: GuardedFileSystem, path: VirtualPath) -> list[Any]:
        """Every way to make a name."""
        return [
            guarded.makeDirectory(path),
            guarded.rename(at("/file"), path, replace=False),
            store(guarded, path, CREATE),
            store(guarded, path, REPLACE),
            store(guarded, path, APPEND),
            guarded.openForUpdate(path, 0),
            guarded.makeLink(path, "file"),
            guarded.copy(at("/file"), path, replace=False),
        ]

    def test_refused(self) -> None:
        """No verb makes a name with control characters."""
        tree = MemoryTree(links="within-root")
        tree.putFile("/file", b"")
        guarded = GuardedFileSystem(MemoryFileSystem(tree), policy({"/": LETTERS}))
        before = snapshot(tree.root)
        creators = {name for name, rows in GUARDED.items() if any(row.creates for row in rows)}
        for name in self.BAD:
            works = self.creations(guarded, VirtualPath((name,)))
            self.assertEqual({each.cr_code.co_name for each in works} - {"store"}, creators - {
                "openForWriting"
            })  # fmt: skip
            for work in works:
                with self.assertRaises(InvalidName):
                    now(work)
        self.assertEqual(snapshot(tree.root), before)

    def test_whatLinksSay(self) -> None:
        """Listings show where a link leads, so that is held to the same."""
        tree = MemoryTree(links="within-root")
        guarded = GuardedFileSystem(MemoryFileSystem(tree), policy({"/": LETTERS}))
        for text in ("a\r\nb", "\x1b[2J", "x/\x7f"):
            with self.assertRaises(InvalidName):
                now(guarded.makeLink(at("/link"), text))
        self.assertEqual(tree.root.children, {})
        now(guarded.makeLink(at("/link"), "../ä/\u200b"))

    def test_allowed(self) -> None:
        """An embedder may take any name."""
        tree = MemoryTree(links="within-root")
        guarded = GuardedFileSystem(MemoryFileSystem(tree), policy({"/": LETTERS}), anyNames=True)
        now(store(guarded, VirtualPath(("a\nb",)), CREATE, b"x"))
        now(guarded.makeLink(at("/link"), "a\nb"))
        self.assertEqual(list(tree.root.children), ["a\nb", "link"])

    def test_taken(self) -> None:
        """Other unusual names are names."""
        for name in self.GOOD:
            tree = MemoryTree()
            guarded = GuardedFileSystem(MemoryFileSystem(tree), policy({"/": LETTERS}))
            now(store(guarded, VirtualPath((name,)), CREATE, b"x"))
            self.assertEqual(list(tree.root.children), [name])

    def test_existing(self) -> None:
        """What has such a name already can be read, renamed and removed."""
        tree = MemoryTree()
        path = VirtualPath(("a\nb",))
        tree.root.children["a\nb"] = tree.newNode(FileType.REGULAR, b"x")
        guarded = GuardedFileSystem(MemoryFileSystem(tree), policy({"/": LETTERS}))
        self.assertEqual(now(read(guarded, path)), b"x")
        now(guarded.rename(path, at("/good"), replace=False))
        self.assertEqual(list(tree.root.children), ["good"])

    def test_denialComesFirst(self) -> None:
        """Who may not create anything is not told about the name."""
        guarded = GuardedFileSystem(MemoryFileSystem(), policy({"/": "l"}))
        with self.assertRaises(Denial):
            now(guarded.makeDirectory(VirtualPath(("a\nb",))))
