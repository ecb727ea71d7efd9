"""
No extension gives what the policy denies.

Each command is said by accounts with one letter, with two, with all but one, and in a tree
whose inner part has a stricter rule; who may not, changes nothing and learns nothing.
"""

from __future__ import annotations

import itertools
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts.guard import GuardedFileSystem
from filehub.accounts.stack import AccountView
from filehub.errors import PermissionDenied, TooManyLinks
from filehub.paths import ROOT
from filehub.vfs.forwarding import ForwardingFileSystem
from filehub.vfs.memory import MemoryTree
from filehub.views import ILiteralView
from tests.accounts.doubles import Events, at, connection, now, policy
from tests.accounts.verbs import LETTERS, link, newTree, snapshot
from tests.protocols.ftp.doubles import Client

#: What is said, in the tree of L{newTree}, and sets of letters each of which is enough.
#: The reply to the last line counts.
CASES: list[tuple[list[str], list[str]]] = [
    (["HASH real/file"], ["r"]),
    (["XCRC real/file 0 3"], ["r"]),
    (["XSHA512 real/file"], ["r"]),
    (["MD5 real/file"], ["r"]),
    (["MMD5 real/file"], ["r"]),
    (["DSIZ real/full"], ["el"]),
    (["RMDA real/full"], ["eld"]),
    (["SITE RMDIR real/full"], ["eld"]),
    (["COMB real/new real/file"], ["rw"]),
    (["COMB real/full/inside real/file"], ["raw"]),
    (["SITE CPFR real/file", "SITE CPTO real/new"], ["rw"]),
    (["SITE COPY real/file real/new"], ["rw"]),
    (["SITE COPY real/file real/full/inside"], ["rw"]),
    (["SITE SYMLINK real/file real/new"], ["w"]),
    (["SITE MKDIR real/new/er"], ["m"]),
    (["MFF Modify=20200102030405; real/file"], ["T"]),
    (["MFF UNIX.mode=600; real/file"], ["M"]),
    (["SITE CHMOD 600 real/file"], ["M"]),
    (["AVBL real/file"], ["e", "l", "r"]),
    (["CWD real/directory"], ["e"]),
]


def letterSets() -> list[str]:
    """Few, many, and what is in between where it matters."""
    single = list(LETTERS)
    pairs = ["".join(each) for each in itertools.combinations("elradwmMT", 2)]
    almost = [LETTERS.replace(letter, "") for letter in LETTERS]
    return ["", *single, *pairs, "eld", "raw", *almost, LETTERS]


class Swapping(ForwardingFileSystem):
    """Somebody else puts a link in the place of C{/real/inner}, at the n-th listing."""

    def __init__(self, tree: MemoryTree, moment: int) -> None:
        super().__init__(tree.viewFor("ann"))
        self._tree = tree
        self._moment = moment
        self.listings = 0

    async def openDirectory(self, path: Any) -> Any:
        handle = await self.inner.openDirectory(path)
        self.listings += 1
        if self.listings == self._moment and self._tree.find(at("/real")).children.pop("inner", 0):
            link(self._tree, "/real/inner", "/outside")
        return handle


class RightsTests(SynchronousTestCase):
    def say(self, lines: list[str], table: dict[str, str]) -> tuple[int, bool]:
        """The code of the last reply, and whether anything changed."""
        tree = newTree()
        before = snapshot(tree.root)
        guarded = GuardedFileSystem(tree.viewFor("ann"), policy(table))
        client = Client(fileSystem=guarded).logIn()
        code = client.codes(lines)[-1]
        return code, snapshot(tree.root) != before

    def test_letters(self) -> None:
        """A command works with letters that are enough, and with nothing less."""
        for lines, enough in CASES:
            for letters in letterSets():
                code, changed = self.say(lines, {"/": "", "/real": letters})
                may = any(set(each) <= set(letters) for each in enough)
                what = f"{lines} with {letters or 'nothing'}: {code}"
                self.assertEqual(code < 400, may, what)
                self.assertFalse(changed and not may, what)

    def test_throughLinks(self) -> None:
        """The rule of where a link leads counts, not that of the link."""
        for lines, enough in CASES:
            if "SYMLINK" in lines[0]:
                continue
            through = [line.replace("real/", "alias/") for line in lines]
            denied, changed = self.say(through, {"/": LETTERS, "/real": ""})
            self.assertGreaterEqual(denied, 400, through)
            self.assertFalse(changed, through)
            table = {"/": "", "/alias": "", "/real": enough[0]}
            self.assertLess(self.say(through, table)[0], 400, through)

    def test_removalStopsAtRules(self) -> None:
        """One entry that may not be listed or removed saves what cannot be removed."""
        for inner in ("", "elraf", "d"):
            code, _ = self.say(["RMDA real"], {"/": LETTERS, "/real/full": inner})
            self.assertEqual(code, 550, inner)

    def test_swappedForALink(self) -> None:
        """A directory that becomes a link while its tree is removed leads nowhere."""
        for moment in range(1, 6):
            tree = MemoryTree(links="within-root")
            tree.putFile("/outside/kept", b"kept")
            tree.putFile("/real/inner/kept", b"x")
            swapping = Swapping(tree, moment)
            guarded = GuardedFileSystem(swapping, policy({"/": LETTERS}))
            code = Client(fileSystem=guarded).logIn().code("RMDA real")
            self.assertEqual(tree.content("/outside/kept"), b"kept", f"{moment}: {code}")
            self.assertGreaterEqual(swapping.listings, 2)

    def test_nothingHiddenIsLost(self) -> None:
        """What an account does not see it cannot remove by removing what is around it."""
        tree = newTree()
        table = {"/": LETTERS, "/real/full/inside": ""}
        guarded = GuardedFileSystem(tree.viewFor("ann"), policy(table))
        client = Client(fileSystem=guarded).logIn()
        self.assertEqual(client.code("RMDA real"), 550)
        self.assertEqual(tree.content("/real/full/inside"), b"inside")

    def test_hiddenSizes(self) -> None:
        """DSIZ counts what may be listed."""
        tree = newTree()
        table = {"/": LETTERS, "/real/full": ""}
        guarded = GuardedFileSystem(tree.viewFor("ann"), policy(table))
        client = Client(fileSystem=guarded).logIn()
        self.assertEqual(client.say("DSIZ real"), b"213 7\r\n")

    def test_dropBox(self) -> None:
        """In a drop box nothing is replaced or continued, also not by COMB and CPTO."""
        for lines in (["COMB box/taken file"], ["SITE COPY file box/taken"]):
            tree = MemoryTree()
            tree.putFile("/file", b"new")
            tree.putFile("/box/taken", b"old")
            guarded = GuardedFileSystem(tree.viewFor("ann"), policy({"/": LETTERS, "/box": "ewa"}))
            client = Client(fileSystem=guarded).logIn()
            self.assertGreaterEqual(client.codes(lines)[-1], 400, lines)
            self.assertEqual(tree.content("/box/taken"), b"old")
            self.assertEqual(tree.content("/file"), b"new")


class LiteralTests(SynchronousTestCase):
    """The view in which nothing follows a link."""

    def test_links(self) -> None:
        """A path with a link in it fails, whatever the policy; the rights are the same."""
        tree = newTree()
        view = AccountView("ann", {ROOT: tree}, policy({"/": "elrd", "/real/full": ""}))
        for fileSystem in (
            view.guarded,
            view.forConnection("ann", connection(), Events()),
        ):
            literal = ILiteralView(fileSystem).literalView()
            with self.assertRaises(TooManyLinks):
                now(literal.removeFile(at("/alias/file")))
            with self.assertRaises(TooManyLinks):
                now(literal.openDirectory(at("/alias")))
            with self.assertRaises(PermissionDenied):
                now(literal.removeFile(at("/real/full/inside")))
            self.assertTrue(now(literal.stat(at("/real"))).isDirectory)
        self.assertEqual(tree.content("/real/file"), b"content")
        now(literal.removeFile(at("/real/file")))
        self.assertNotIn("file", tree.find(at("/real")).children)
