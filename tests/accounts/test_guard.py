"""
The permission check: every verb, every letter, by every way to a file.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface, implementer
from zope.interface.interface import InterfaceClass, Method

from filehub import interfaces
from filehub.accounts.audit import AuditedFileSystem
from filehub.accounts.guard import CAPABILITIES, GUARDED, Denial, GuardedFileSystem
from filehub.attributes import FileType
from filehub.errors import FileHubError, PermissionDenied, TooManyLinks
from filehub.interfaces import IFileSystem
from filehub.paths import VirtualPath
from filehub.vfs.memory import MemoryFileSystem, MemoryTree
from tests.accounts.doubles import Events, at, connection, now, policy
from tests.accounts.verbs import (
    APPEND,
    CASES,
    LETTERS,
    MODIFIED,
    PAIRS,
    REPLACE,
    Verb,
    link,
    newTree,
    read,
    snapshot,
    store,
    update,
)


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
        named -= {"IDescriptorBacked", "ISparse"}
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
