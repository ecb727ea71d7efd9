"""
The permission check: every verb, every letter, by every way to a file.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface, implementer
from zope.interface.interface import InterfaceClass, Method

from filehub import interfaces
from filehub.accounts.audit import AuditedFileSystem
from filehub.accounts.guard import CAPABILITIES, GUARDED, Denial, GuardedFileSystem
from filehub.accounts.policy import RulePolicy
from filehub.attributes import AttributeChanges, Disposition, FileType
from filehub.errors import (
    AlreadyExists,
    FileHubError,
    InvalidName,
    NotFound,
    PermissionDenied,
    TooManyLinks,
)
from filehub.events import Denied, NameChanged
from filehub.interfaces import (
    IChecksums,
    IFileSystem,
    IRandomAccess,
    IServerSideCopy,
    ISpaceUsage,
    ISymbolicLinks,
)
from filehub.paths import MAXIMUM_DEPTH, VirtualPath
from filehub.permissions import NOTHING, Permission
from filehub.vfs._memorynodes import Node
from filehub.vfs.memory import MemoryFileSystem, MemoryTree
from tests.accounts.doubles import Events, at, connection, now, policy, rules

LETTERS = "elradfmwMT"


def storageInterfaces() -> list[InterfaceClass]:
    """
    The interfaces in which a path is given to a storage: a new one is found here
    without being listed.
    """
    found = []
    for value in vars(interfaces).values():
        if isinstance(value, InterfaceClass) and value.__module__ == interfaces.__name__:
            takesPath = any(
                isinstance(method, Method)
                and inspect.iscoroutinefunction(getattr(FULL, name, None))
                and {"path", "source"} & set(method.positional)
                for name, method in value.namesAndDescriptions()
            )
            if takesPath:
                found.append(value)
    return found


class _Full(MemoryFileSystem):
    """Whatever any storage interface has; only looked at."""


FULL = _Full


def link(tree: MemoryTree, path: str, target: str) -> None:
    """Put a symbolic link into a tree."""
    node = tree.newNode(FileType.SYMLINK)
    node.target = target
    where = at(path)
    tree.putDirectory(str(where.parent))
    tree.find(where.parent).children[where.name] = node


def newTree() -> MemoryTree:
    """A tree with every kind of thing in C{/real}, and C{/alias} that leads there."""
    tree = MemoryTree(links="within-root", clock=lambda: 1000.0)
    tree.putFile("/real/file", b"content")
    tree.putDirectory("/real/directory")
    tree.putFile("/real/full/inside", b"inside")
    link(tree, "/real/link", "file")
    link(tree, "/alias", "real")
    return tree


def snapshot(node: Node) -> Any:
    """Everything that can be told of a tree."""
    return (
        node.type,
        node.content,
        node.target,
        node.mode,
        node.modified,
        {name: snapshot(child) for name, child in node.children.items()},
    )


async def read(fileSystem: Any, path: VirtualPath) -> bytes:
    """The whole file."""
    handle = await fileSystem.openForReading(path)
    content: bytes = await handle.readAt(0, 1 << 20)
    await handle.close()
    return content


async def store(
    fileSystem: Any, path: VirtualPath, disposition: Disposition, data: bytes = b"new"
) -> None:
    """Write and commit."""
    handle = await fileSystem.openForWriting(path, disposition)
    await handle.writeAt(handle.position, data)
    await handle.commit()


async def update(fileSystem: Any, path: VirtualPath) -> None:
    """Continue a file."""
    handle = await IRandomAccess(fileSystem).openForUpdate(path, 3)
    await handle.writeAt(3, b"new")
    await handle.commit()


Verb = Callable[[Any, Callable[[str], VirtualPath]], Any]
CREATE, REPLACE, APPEND = Disposition.CREATE, Disposition.REPLACE, Disposition.APPEND

#: Method, what is done, and the letters each of which is enough on its own.
CASES: list[tuple[str, Verb, str]] = [
    ("resolve", lambda fs, p: fs.resolve(p("file")), LETTERS),
    ("resolve", lambda fs, p: fs.resolve(p("link"), followFinal=False), LETTERS),
    ("resolve", lambda fs, p: fs.resolve(p("missing")), LETTERS),
    ("stat", lambda fs, p: fs.stat(p("file")), "elr"),
    ("stat", lambda fs, p: fs.stat(p("directory")), "e"),
    ("openDirectory", lambda fs, p: fs.openDirectory(p("directory")), "l"),
    ("makeDirectory", lambda fs, p: fs.makeDirectory(p("new")), "m"),
    ("removeDirectory", lambda fs, p: fs.removeDirectory(p("directory")), "d"),
    ("removeFile", lambda fs, p: fs.removeFile(p("file")), "d"),
    ("removeFile", lambda fs, p: fs.removeFile(p("link")), "d"),
    ("rename", lambda fs, p: fs.rename(p("file"), p("new"), replace=False), "f"),
    ("rename", lambda fs, p: fs.rename(p("file"), p("full/inside"), replace=True), ""),
    ("rename", lambda fs, p: fs.rename(p("full"), p("new"), replace=False), "f"),
    ("setAttributes", lambda fs, p: fs.setAttributes(p("file"), MODE), "M"),
    ("setAttributes", lambda fs, p: fs.setAttributes(p("file"), MODIFIED), "T"),
    ("setAttributes", lambda fs, p: fs.setAttributes(p("file"), ACCESSED), "T"),
    ("setAttributes", lambda fs, p: fs.setAttributes(p("file"), BOTH), ""),
    ("openForReading", lambda fs, p: read(fs, p("file")), "r"),
    ("openForWriting", lambda fs, p: store(fs, p("new"), CREATE), "w"),
    ("openForWriting", lambda fs, p: store(fs, p("new"), REPLACE), "w"),
    ("openForWriting", lambda fs, p: store(fs, p("file"), APPEND), "a"),
    ("openForUpdate", lambda fs, p: update(fs, p("file")), ""),
    ("readLink", lambda fs, p: ISymbolicLinks(fs).readLink(p("link")), "elr"),
    ("makeLink", lambda fs, p: ISymbolicLinks(fs).makeLink(p("new"), "file"), "w"),
    ("space", lambda fs, p: ISpaceUsage(fs).space(p("file")), LETTERS),
    ("copy", lambda fs, p: IServerSideCopy(fs).copy(p("file"), p("new"), replace=False), ""),
    ("digest", lambda fs, p: IChecksums(fs).digest(p("file"), "md5"), "r"),
]
MODE = AttributeChanges(mode=0o600)
MODIFIED = AttributeChanges(modified=5.0)
ACCESSED = AttributeChanges(accessed=5.0)
BOTH = AttributeChanges(mode=0o600, modified=5.0)

#: What is enough where no single letter is.
PAIRS: list[tuple[str, Verb, str]] = [
    ("setAttributes", lambda fs, p: fs.setAttributes(p("file"), BOTH), "MT"),
    ("openForUpdate", lambda fs, p: update(fs, p("file")), "wr"),
    ("openForUpdate", lambda fs, p: update(fs, p("file")), "wl"),
    ("openForUpdate", lambda fs, p: update(fs, p("file")), "wd"),
    ("openForWriting", lambda fs, p: store(fs, p("file"), REPLACE), "wr"),
    ("openForWriting", lambda fs, p: store(fs, p("file"), REPLACE), "wd"),
    ("rename", lambda fs, p: fs.rename(p("file"), p("full/inside"), replace=True), "fd"),
    ("rename", lambda fs, p: fs.rename(p("file"), p("full/inside"), replace=True), "fwl"),
    ("copy", lambda fs, p: IServerSideCopy(fs).copy(p("file"), p("new"), replace=False), "rw"),
    (
        "copy",
        lambda fs, p: IServerSideCopy(fs).copy(p("file"), p("full/inside"), replace=True),
        "rw",
    ),
]


class TableTests(SynchronousTestCase):
    """The table is the whole decision."""

    def test_everyMethodHasARow(self) -> None:
        """Every method of every storage interface is in the table, and nothing else."""
        expected = {
            name
            for interface in (IFileSystem, *CAPABILITIES)
            for name in interface.names()
            if isinstance(interface[name], Method)
        }
        self.assertEqual(set(GUARDED), expected)

    def test_everyStorageInterfaceIsKnown(self) -> None:
        """
        An interface whose methods take paths and that a storage provides is guarded:
        one that is added to the vocabulary must be added to the guard.
        """
        self.assertEqual(set(storageInterfaces()), {IFileSystem, *CAPABILITIES})

    def test_optionalCapabilities(self) -> None:
        """What stands between the storage and the handles in the vocabulary is all guarded."""
        source = inspect.getsource(interfaces)
        optional = source.partition("# Optional capabilities")[2].partition("# --- accounts")[0]
        named = {
            line.split()[1].partition("(")[0]
            for line in optional.splitlines()
            if line.startswith("class I")
        }
        # Of handles, which are only had from an open that was permitted.
        named.discard("IDescriptorBacked")
        self.assertEqual(named, {each.__name__ for each in CAPABILITIES})

    def test_rowsNameParameters(self) -> None:
        """Each row names the path parameters of its method, all of them, in order."""
        for interface in (IFileSystem, *CAPABILITIES):
            for name in interface.names():
                paths = [
                    each
                    for each in interface[name].positional
                    if each in ("path", "source", "target")
                ]
                if name == "makeLink":
                    # The text of a link; what it leads to is judged when it is used.
                    paths.remove("target")
                self.assertEqual([row.argument for row in GUARDED[name]], paths, name)

    def test_everyRowIsTried(self) -> None:
        """The matrix below has a case for every row."""
        self.assertEqual({name for name, _, _ in CASES}, set(GUARDED))

    def test_everyRowNeedsSomething(self) -> None:
        """No row lets an account through that may do nothing."""
        for name, rows in GUARDED.items():
            for row in rows:
                self.assertTrue(row.every | row.some, name)

    def test_guardImplementsAll(self) -> None:
        """Each method of the table is one of the guard's own, as a coroutine."""
        for name in GUARDED:
            self.assertTrue(inspect.iscoroutinefunction(vars(GuardedFileSystem)[name]), name)
            self.assertTrue(inspect.iscoroutinefunction(vars(AuditedFileSystem)[name]), name)


class MatrixTests(SynchronousTestCase):
    """Verbs against letters against ways."""

    def attempt(
        self, verb: Verb, letters: str, way: str, table: dict[str, str]
    ) -> tuple[Any, bool]:
        """Did it work, and did anything change?"""
        tree = newTree()
        before = snapshot(tree.root)
        guarded = GuardedFileSystem(MemoryFileSystem(tree), policy(table))
        try:
            now(verb(guarded, lambda name: at(f"{way}/{name}")))
        except PermissionDenied as error:
            return error, snapshot(tree.root) != before
        return None, snapshot(tree.root) != before

    def test_singleLetters(self) -> None:
        """
        Each verb works with each of its letters and with no other one; a refusal
        changes nothing.  Through a link only the rule of where it leads counts.
        """
        for way in ("/real", "/alias"):
            for name, verb, enough in CASES:
                for letter in LETTERS:
                    table = {"/": "", "/real": letter, "/alias": LETTERS}
                    error, changed = self.attempt(verb, letter, way, table)
                    what = f"{name} with {letter} in {way}"
                    if letter in enough:
                        self.assertIsNone(error, what)
                    else:
                        self.assertIsInstance(error, Denial, what)
                        self.assertFalse(changed, what)

    def test_combinations(self) -> None:
        """Several letters together are enough, and each of them is needed."""
        for way in ("/real", "/alias"):
            for name, verb, enough in PAIRS:
                error, changed = self.attempt(verb, enough, way, {"/": "", "/real": enough})
                self.assertIsNone(error, f"{name} with {enough} in {way}")
                self.assertTrue(changed, f"{name} with {enough} in {way}")

    def test_nothing(self) -> None:
        """Without a letter nothing works, whether the thing exists or not."""
        for way in ("/real", "/alias", "/real/missing"):
            for name, verb, _ in CASES:
                for table in ({}, {"/real": ""}, {"/alias": LETTERS}, {"/": LETTERS, "/real": ""}):
                    error, changed = self.attempt(verb, "", way, table)
                    self.assertIsInstance(error, Denial, f"{name} in {way} under {table}")
                    self.assertFalse(changed, name)

    def test_aliasNeedsNoRule(self) -> None:
        """A link in a forbidden place gives what may be done where it leads, and no more."""
        for name, verb, enough in CASES:
            table = {"/": "", "/real": enough, "/alias": ""}
            error, _ = self.attempt(verb, enough, "/alias", table)
            if enough:
                self.assertIsNone(error, name)

    def test_everything(self) -> None:
        """With all letters every verb does its work."""
        for way in ("/real", "/alias"):
            for name, verb, _ in CASES + PAIRS:
                error, _ = self.attempt(verb, LETTERS, way, {"/": LETTERS})
                self.assertIsNone(error, name)


class ForbiddenWayTests(SynchronousTestCase):
    """What goes wrong before the policy is asked about where a path leads."""

    def test_loopsAndFilesInTheWay(self) -> None:
        """In a forbidden place they look like everything else: denied."""
        tree = MemoryTree(links="within-root")
        link(tree, "/secret/loop", "loop")
        tree.putFile("/secret/file", b"")
        for table in ({"/": LETTERS, "/secret": ""}, {}):
            guarded = GuardedFileSystem(MemoryFileSystem(tree), policy(table))
            for name in ("loop", "loop/x", "file/x", "missing/x", "missing"):
                for work in (
                    read(guarded, at(f"/secret/{name}")),
                    guarded.resolve(at(f"/secret/{name}")),
                    guarded.makeDirectory(at(f"/secret/{name}/new")),
                ):
                    with self.assertRaises(Denial):
                        now(work)

    def test_loopElsewhere(self) -> None:
        """Where something may be done, a loop is a loop."""
        tree = MemoryTree(links="within-root")
        link(tree, "/loop", "loop")
        guarded = GuardedFileSystem(MemoryFileSystem(tree), policy({"/": "w"}))
        with self.assertRaises(TooManyLinks):
            now(guarded.resolve(at("/loop")))


class FinalLinkTests(SynchronousTestCase):
    """A link as the last name of a path."""

    def setUp(self) -> None:
        self.tree = MemoryTree(links="within-root")
        self.tree.putFile("/secret/file", b"secret")
        link(self.tree, "/open/link", "/secret/file")
        link(self.tree, "/open/hole", "/secret")
        self.guarded = GuardedFileSystem(
            MemoryFileSystem(self.tree), policy({"/": LETTERS, "/secret": ""})
        )

    def test_content(self) -> None:
        """What follows the link is judged where it leads."""
        verbs: list[Any] = [
            read(self.guarded, at("/open/link")),
            store(self.guarded, at("/open/link"), REPLACE),
            store(self.guarded, at("/open/link"), APPEND),
            update(self.guarded, at("/open/link")),
            self.guarded.digest(at("/open/link"), "md5"),
            self.guarded.copy(at("/open/link"), at("/open/new"), replace=False),
            self.guarded.copy(at("/open/new"), at("/open/link"), replace=True),
            self.guarded.setAttributes(at("/open/link"), MODIFIED),
            self.guarded.openDirectory(at("/open/hole")),
            self.guarded.resolve(at("/open/link")),
            self.guarded.space(at("/open/hole")),
        ]
        for work in verbs:
            with self.assertRaises(Denial):
                now(work)
        self.assertEqual(self.tree.content("/secret/file"), b"secret")

    def test_itself(self) -> None:
        """What is about the link itself is judged where it lies."""
        self.assertIs(now(self.guarded.stat(at("/open/link"))).type, FileType.SYMLINK)
        self.assertEqual(now(self.guarded.readLink(at("/open/link"))), "/secret/file")
        now(self.guarded.rename(at("/open/link"), at("/open/other"), replace=False))
        with self.assertRaises(Denial):
            now(read(self.guarded, at("/open/other")))
        now(self.guarded.removeFile(at("/open/other")))
        self.assertEqual(self.tree.content("/secret/file"), b"secret")

    def test_madeLink(self) -> None:
        """Who makes a link to what he may not read does not read it through that."""
        now(self.guarded.makeLink(at("/open/mine"), "../secret/file"))
        with self.assertRaises(Denial) as caught:
            now(read(self.guarded, at("/open/mine")))
        self.assertEqual(caught.exception.path, at("/open/mine"))
        self.assertNotIn("secret", str(caught.exception))
        self.assertIn("/secret/file", caught.exception.reason)


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


class _Swapping(MemoryFileSystem):
    """Puts a link where C{resolve} saw none: the attacker who is quicker than the check."""

    def __init__(self, tree: MemoryTree, swap: Callable[[], None]) -> None:
        super().__init__(tree)
        self._swap = swap

    async def resolve(self, path: VirtualPath, *, followFinal: bool = True) -> VirtualPath:
        canonical = await super().resolve(path, followFinal=followFinal)
        self._swap()
        return canonical


class SwapTests(SynchronousTestCase):
    """A link swapped in between check and use."""

    def attempt(self, verb: Verb, *, directory: bool) -> tuple[Any, bytes]:
        """Run C{verb} while a link to C{/secret} appears in its path."""
        tree = MemoryTree(links="within-root", clock=lambda: 1000.0)
        tree.putFile("/real/file", b"public")
        tree.putDirectory("/real/directory")
        tree.putFile("/secret/file", b"secret")
        tree.putFile("/secret/directory/inside", b"secret")
        link(tree, "/secret/link", "file")

        def swap() -> None:
            if directory:
                link(tree, "/real", "secret")
            else:
                link(tree, "/real/file", "../secret/file")
                link(tree, "/real/directory", "../secret/directory")

        guarded = GuardedFileSystem(
            _Swapping(tree, swap), policy({"/": "", "/real": LETTERS, "/secret": ""})
        )
        result: Any = None
        try:
            result = now(verb(guarded, lambda name: at(f"/real/{name}")))
        except FileHubError as error:
            result = error
        secret = snapshot(tree.find(at("/secret")))
        return result, repr(secret).encode()

    def test_directory(self) -> None:
        """A directory that becomes a link: every verb that touches a file fails."""
        for name, verb, _ in CASES:
            if name in ("resolve", "space"):
                # They touch nothing.
                continue
            result, secret = self.attempt(verb, directory=True)
            self.assertIsInstance(result, (TooManyLinks, Denial), name)
            self.assertEqual(secret, self.attempt(_nothing, directory=True)[1], name)

    def test_file(self) -> None:
        """A file that becomes a link: no content of where it leads, no change there."""
        for name, verb, _ in CASES:
            result, secret = self.attempt(verb, directory=False)
            self.assertNotEqual(result, b"secret", name)
            self.assertEqual(secret, self.attempt(_nothing, directory=False)[1], name)
            if name in ("openForReading", "digest", "copy", "openForUpdate"):
                self.assertIsInstance(result, TooManyLinks, name)


async def _nothing(fileSystem: Any, path: Any) -> None:
    """The verb that does nothing."""


class CapabilityTests(SynchronousTestCase):
    """Optional interfaces are there if the storage has them."""

    def test_present(self) -> None:
        """A storage with everything gives a guard with everything: the guard itself."""
        guarded = GuardedFileSystem(MemoryFileSystem(), policy({"/": LETTERS}))
        audited = AuditedFileSystem(guarded, Events(), connection(), "ann")
        for capability in CAPABILITIES:
            self.assertIs(capability(guarded, None), guarded)
            self.assertIs(capability(audited, None), audited)

    def test_absent(self) -> None:
        """A storage with nothing gives a guard with nothing."""

        @implementer(IFileSystem)
        class Bare:
            """Only what every storage has."""

        guarded = GuardedFileSystem(Bare(), policy({"/": LETTERS}))
        audited = AuditedFileSystem(guarded, Events(), connection(), "ann")
        for capability in CAPABILITIES:
            self.assertIsNone(capability(guarded, None))
            self.assertIsNone(capability(audited, None))

    def test_unguarded(self) -> None:
        """An interface that the guard does not know is never passed on."""

        class IOther(Interface):
            """Something that storages of the future have."""

        @implementer(IOther)
        class Other(MemoryFileSystem):
            """Such a storage."""

        inner = Other()
        self.assertIsNotNone(IOther(inner, None))
        self.assertIsNone(IOther(GuardedFileSystem(inner, policy({"/": LETTERS})), None))


class AuditTests(SynchronousTestCase):
    """What the observers are told."""

    def setUp(self) -> None:
        self.sink = Events()
        self.tree = newTree()

    def audited(self, table: dict[str, str]) -> AuditedFileSystem:
        """The whole stack over C{/real}."""
        guarded = GuardedFileSystem(MemoryFileSystem(self.tree), policy(table))
        return AuditedFileSystem(guarded, self.sink, connection(), "ann")

    def test_denials(self) -> None:
        """Every verb's denial is told once, with verb, path and reason, and still raised."""
        for name, verb, _ in CASES:
            self.sink.seen.clear()
            with self.assertRaises(Denial) as caught:
                now(verb(self.audited({"/": ""}), lambda name: at(f"/real/{name}")))
            (event,) = self.sink.seen
            assert isinstance(event, Denied)
            self.assertEqual((event.account, event.verb), ("ann", name))
            self.assertEqual(event.path, caught.exception.path)
            self.assertIn("rule / allow nothing", event.reason)
            self.assertNotIn("rule", str(caught.exception))

    def test_changes(self) -> None:
        """Changes of names are told after they happened; other verbs are silent."""
        told = {
            "makeDirectory", "removeDirectory", "removeFile", "rename", "setAttributes",
            "makeLink", "copy",
        }  # fmt: skip
        for name, verb, _ in CASES:
            self.tree = newTree()
            self.sink.seen.clear()
            now(verb(self.audited({"/": LETTERS}), lambda name: at(f"/real/{name}")))
            kinds = [type(event) for event in self.sink.seen]
            self.assertEqual(kinds, [NameChanged] if name in told else [], name)

    def test_failures(self) -> None:
        """What fails for another reason is neither a denial nor a change."""
        with self.assertRaises(NotFound):
            now(self.audited({"/": LETTERS}).removeFile(at("/missing")))
        self.assertEqual(self.sink.seen, [])


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
    from filehub.permissions import formatPermissions

    return formatPermissions(rule.permissionsFor(path))


def _everywhere(node: Node, segments: tuple[str, ...]) -> list[VirtualPath]:
    found = [VirtualPath(segments)]
    for name, child in node.children.items():
        found += _everywhere(child, (*segments, name))
    return found
