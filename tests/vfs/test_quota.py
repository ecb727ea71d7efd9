"""
Quotas: what every verb costs, and that nothing ever costs more than there is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from filehub.attributes import Disposition, QuotaUsage
from filehub.errors import (
    AlreadyExists,
    Busy,
    FileHubError,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
)
from filehub.interfaces import IDescriptorBacked, IRandomAccess, IServerSideCopy, ISpaceUsage
from filehub.usage import Quota
from filehub.vfs.local import LocalTree
from filehub.vfs.memory import MemoryTree
from filehub.vfs.workers import ImmediateWorkers
from tests.accounts.doubles import now
from tests.state.doubles import Books, at

CREATE, REPLACE, APPEND = Disposition.CREATE, Disposition.REPLACE, Disposition.APPEND


async def write(view: Any, path: str, content: bytes, disposition: Disposition = REPLACE) -> None:
    """Upload a file, as protocols do."""
    handle = await view.openForWriting(at(path), disposition)
    try:
        await handle.writeAt(handle.position, content)
        await handle.commit()
    finally:
        await handle.abort()


async def breakOff(view: Any, path: str, content: bytes) -> None:
    """Upload the beginning of a file, and no more."""
    handle = await view.openForWriting(at(path), REPLACE)
    try:
        await handle.writeAt(handle.position, content)
    finally:
        await handle.abort()


class QuotaCase(SynchronousTestCase):
    """A tree in memory with a quota of 100 bytes and 10 names for C{/}."""

    def setUp(self) -> None:
        self.tree = MemoryTree()
        self.books = Books({"/": self.tree}, {"/": Quota(100, 10)})
        self.addCleanup(self.books.close)
        self.ada = self.books.view("ada")
        self.bob = self.books.view("bob")

    def check(self, *used: int) -> None:
        """So much is used, and that is the truth, and nothing is held any more."""
        self.assertEqual(self.books.used(), used)
        self.assertEqual(now(self.books.truth()), used)
        self.assertEqual(self.books.held(), (0, 0))


class StoringTests(QuotaCase):
    """Uploads."""

    def test_toTheByte(self) -> None:
        """A file may fill the quota, and not by one byte more."""
        now(write(self.ada, "/a", bytes(60)))
        self.assertRaises(QuotaExceeded, now, write(self.ada, "/b", bytes(41)))
        self.check(60, 1)
        now(write(self.ada, "/b", bytes(40)))
        self.check(100, 2)

    def test_existing(self) -> None:
        """What was there before the quota counts."""
        self.tree.putFile("/old/file", bytes(90))
        self.assertRaises(QuotaExceeded, now, write(self.ada, "/a", bytes(11)))
        self.check(90, 2)

    def test_parallel(self) -> None:
        """Twenty uploads at the edge: never a byte too many, and no byte is wasted."""
        handles = [now(self.ada.openForWriting(at(f"/{n}"), CREATE)) for n in range(10)]
        for number in range(10, 20):
            opening = self.bob.openForWriting(at(f"/{number}"), CREATE)
            self.assertRaises(QuotaExceeded, now, opening)
        stored = 0
        for offset in range(0, 60, 3):
            for handle in handles:
                try:
                    now(handle.writeAt(offset, bytes(3)))
                except QuotaExceeded:
                    continue
                stored += 3
        self.assertEqual(stored, 99)
        for handle in handles:
            now(handle.commit())
        self.check(99, 10)

    def test_announced(self) -> None:
        """A size that does not fit is refused before a byte has moved."""
        opening = self.ada.openForWriting(at("/a"), CREATE, sizeHint=101)
        self.assertRaises(QuotaExceeded, now, opening)
        handle = now(self.ada.openForWriting(at("/a"), CREATE, sizeHint=100))
        self.assertRaises(QuotaExceeded, now, write(self.bob, "/b", b"1"))
        now(handle.abort())
        self.check(0, 0)

    def test_replace(self) -> None:
        """A file can be replaced without room for both."""
        now(write(self.ada, "/a", bytes(90)))
        now(write(self.ada, "/a", bytes(95)))
        self.check(95, 1)
        self.assertRaises(QuotaExceeded, now, write(self.ada, "/a", bytes(101)))
        self.check(95, 1)
        now(write(self.ada, "/a", bytes(5)))
        self.check(5, 1)

    def test_replacedMeanwhile(self) -> None:
        """Room that a deletion gives is not given to two."""
        now(write(self.ada, "/a", bytes(90)))
        handle = now(self.ada.openForWriting(at("/a"), REPLACE))
        now(handle.writeAt(0, bytes(90)))
        now(self.ada.removeFile(at("/a")))
        self.assertRaises(QuotaExceeded, now, write(self.ada, "/b", bytes(11)))
        now(handle.commit())
        self.check(90, 1)

    def test_twoOfOneName(self) -> None:
        """Two uploads of one name hold for both, and only the last one stays."""
        one, two = (now(self.ada.openForWriting(at("/a"), REPLACE)) for _ in range(2))
        now(one.writeAt(0, bytes(60)))
        self.assertRaises(QuotaExceeded, now, two.writeAt(0, bytes(41)))
        now(two.writeAt(0, bytes(40)))
        now(two.commit())
        now(one.commit())
        self.check(60, 1)

    def test_append(self) -> None:
        """What is added counts, up to the last byte."""
        now(write(self.ada, "/a", bytes(50)))
        now(write(self.ada, "/a", bytes(50), APPEND))
        self.check(100, 1)
        self.assertRaises(QuotaExceeded, now, write(self.ada, "/a", bytes(1), APPEND))
        self.check(100, 1)

    def test_sparse(self) -> None:
        """An offset far away costs what lies before it."""
        handle = now(self.ada.openForWriting(at("/a"), CREATE))
        self.assertRaises(QuotaExceeded, now, handle.writeAt(10**12, b"1"))
        now(handle.abort())
        self.check(0, 0)

    def test_continue(self) -> None:
        """REST and STOR on a published file."""
        now(write(self.ada, "/a", bytes(60)))
        handle = now(IRandomAccess(self.ada).openForUpdate(at("/a"), 30))
        now(handle.writeAt(30, bytes(70)))
        self.assertRaises(QuotaExceeded, now, handle.writeAt(100, b"1"))
        now(handle.commit())
        self.check(100, 1)

    def test_refusedByStorage(self) -> None:
        """An upload that cannot begin costs nothing."""
        now(write(self.ada, "/a", bytes(10)))
        self.assertRaises(AlreadyExists, now, self.ada.openForWriting(at("/a"), CREATE))
        self.assertRaises(NotFound, now, self.ada.openForWriting(at("/b/c"), CREATE))
        self.check(10, 1)

    def test_lostRace(self) -> None:
        """A commit that comes too late costs no more than what it leaves."""
        handle = now(self.ada.openForWriting(at("/a"), CREATE))
        now(handle.writeAt(0, bytes(30)))
        now(write(self.bob, "/a", bytes(20)))
        self.assertRaises(AlreadyExists, now, handle.commit())
        self.check(20, 1)

    def test_endedTwice(self) -> None:
        """An abort after a commit changes nothing."""
        handle = now(self.ada.openForWriting(at("/a"), CREATE))
        now(handle.writeAt(0, bytes(30)))
        now(handle.commit())
        now(handle.abort())
        self.assertRaises(FileHubError, now, handle.commit())
        self.check(30, 1)

    def test_descriptor(self) -> None:
        """There is one only if storage has one."""
        handle = now(self.ada.openForWriting(at("/a"), CREATE))
        self.assertIsNone(IDescriptorBacked(handle, None))
        now(handle.abort())


class PartTests(QuotaCase):
    """Broken uploads."""

    def test_counts(self) -> None:
        """A part counts until it is removed."""
        now(breakOff(self.ada, "/a", bytes(70)))
        self.check(70, 1)
        self.assertRaises(QuotaExceeded, now, write(self.bob, "/b", bytes(31)))
        now(self.ada.removeFile(at("/a")))
        self.check(0, 0)

    def test_resume(self) -> None:
        """Going on with it costs only what comes."""
        now(breakOff(self.ada, "/a", bytes(70)))
        handle = now(IRandomAccess(self.ada).openForUpdate(at("/a"), 70, sizeHint=100))
        now(handle.writeAt(70, bytes(30)))
        self.assertRaises(QuotaExceeded, now, handle.writeAt(100, bytes(1)))
        now(handle.commit())
        self.check(100, 1)

    def test_again(self) -> None:
        """So does beginning anew."""
        now(breakOff(self.ada, "/a", bytes(70)))
        now(write(self.ada, "/a", bytes(80)))
        self.check(80, 1)

    def test_brokenAgain(self) -> None:
        """The new part takes the place of the old one."""
        now(breakOff(self.ada, "/a", bytes(70)))
        now(breakOff(self.ada, "/a", bytes(10)))
        self.check(10, 1)

    def test_two(self) -> None:
        """Each account has its own."""
        now(breakOff(self.ada, "/a", bytes(30)))
        now(breakOff(self.bob, "/a", bytes(20)))
        self.check(50, 2)
        now(write(self.bob, "/a", bytes(60)))
        self.check(90, 2)
        now(write(self.ada, "/a", bytes(70)))
        self.check(70, 1)

    def test_nothingKept(self) -> None:
        """Where the mount keeps nothing, nothing counts."""
        self.tree.partial = "delete"
        now(breakOff(self.ada, "/a", bytes(70)))
        self.check(0, 0)

    def test_visible(self) -> None:
        """Where it publishes parts, they count as files."""
        self.tree.partial = "visible"
        now(breakOff(self.ada, "/a", bytes(70)))
        self.check(70, 1)
        now(self.bob.removeFile(at("/a")))
        self.check(0, 0)


class NameTests(QuotaCase):
    """Changes of names."""

    def test_names(self) -> None:
        """Directories, links and files count as names, and no longer than they are there."""
        self.tree.links = "within-root"
        for number in range(9):
            now(self.ada.makeDirectory(at(f"/{number}")))
        now(self.ada.makeLink(at("/link"), "0"))
        self.check(0, 10)
        self.assertRaises(QuotaExceeded, now, self.ada.makeDirectory(at("/d")))
        self.assertRaises(QuotaExceeded, now, self.ada.makeLink(at("/d"), "0"))
        self.assertRaises(QuotaExceeded, now, self.ada.openForWriting(at("/d"), CREATE))
        now(self.ada.removeDirectory(at("/3")))
        now(self.ada.removeFile(at("/link")))
        self.check(0, 8)

    def test_refused(self) -> None:
        """What storage refuses costs nothing."""
        now(self.ada.makeDirectory(at("/d")))
        self.assertRaises(AlreadyExists, now, self.ada.makeDirectory(at("/d")))
        self.assertRaises(NotFound, now, self.ada.removeDirectory(at("/e")))
        self.assertRaises(NotFound, now, self.ada.removeFile(at("/e")))
        self.check(0, 1)

    def test_renameOver(self) -> None:
        """What a rename replaces is given back."""
        now(write(self.ada, "/a", bytes(40)))
        now(write(self.ada, "/b", bytes(50)))
        now(self.ada.rename(at("/a"), at("/b"), replace=True))
        self.check(40, 1)
        now(self.ada.rename(at("/b"), at("/c"), replace=False))
        now(self.ada.rename(at("/c"), at("/c"), replace=True))
        self.check(40, 1)

    def test_renameUnderUpload(self) -> None:
        """A directory that is renamed takes its uploads with it."""
        now(self.ada.makeDirectory(at("/d")))
        handle = now(self.ada.openForWriting(at("/d/a"), CREATE))
        now(handle.writeAt(0, bytes(50)))
        now(self.ada.rename(at("/d"), at("/e"), replace=False))
        now(handle.commit())
        self.check(50, 2)
        now(write(self.ada, "/e/a", bytes(10)))
        self.check(10, 2)

    def test_copy(self) -> None:
        """A copy needs room like an upload."""
        now(write(self.ada, "/a", bytes(40)))
        copies = IServerSideCopy(self.ada)
        now(copies.copy(at("/a"), at("/b"), replace=False))
        self.check(80, 2)
        self.assertRaises(QuotaExceeded, now, copies.copy(at("/a"), at("/c"), replace=False))
        now(copies.copy(at("/a"), at("/b"), replace=True))
        self.check(80, 2)

    def test_space(self) -> None:
        """The smaller of what storage and quota leave."""
        now(write(self.ada, "/a", bytes(40)))
        space = now(ISpaceUsage(self.ada).space(at("/")))
        self.assertEqual(space[:2], (60, 100))
        self.assertEqual(space.quotas, (QuotaUsage(at("/"), 40, 100, 1, 10),))
        self.tree.capacity = 50
        self.assertEqual(now(ISpaceUsage(self.ada).space(at("/")))[:2], (10, 50))


class SeveralTests(SynchronousTestCase):
    """Quotas beside and inside one another."""

    def setUp(self) -> None:
        self.tree, self.other = MemoryTree(), MemoryTree()
        for folder in ("/home/ada", "/home/bob", "/free"):
            self.tree.putDirectory(folder)
        quotas = {"/home": Quota(150), "/home/ada": Quota(100), "/home/bob": Quota(100, 3)}
        self.books = Books({"/": self.tree, "/other": self.other}, quotas)
        self.addCleanup(self.books.close)
        self.ada = self.books.view("ada")

    def check(self, **expected: tuple[int, int]) -> None:
        """By the last name of each path."""
        for name in ("home", "ada", "bob"):
            path = "/home" if name == "home" else f"/home/{name}"
            self.assertEqual(self.books.used(path), expected[name], name)
            self.assertEqual(now(self.books.truth(path)), expected[name], name)
            self.assertEqual(self.books.held(path), (0, 0), name)

    def test_nested(self) -> None:
        """All that hold a place have a say."""
        now(write(self.ada, "/home/ada/a", bytes(100)))
        self.assertRaises(QuotaExceeded, now, write(self.ada, "/home/ada/b", bytes(1)))
        self.assertRaises(QuotaExceeded, now, write(self.ada, "/home/bob/b", bytes(51)))
        now(write(self.ada, "/home/bob/b", bytes(50)))
        now(write(self.ada, "/free/b", bytes(5000)))
        self.check(home=(150, 4), ada=(100, 1), bob=(50, 1))

    def test_moveFile(self) -> None:
        """A file takes its size along, and needs room where it goes."""
        now(write(self.ada, "/home/ada/a", bytes(90)))
        now(self.ada.rename(at("/home/ada/a"), at("/home/bob/a"), replace=False))
        self.check(home=(90, 3), ada=(0, 0), bob=(90, 1))
        now(write(self.ada, "/home/ada/a", bytes(20)))
        moving = self.ada.rename(at("/home/ada/a"), at("/home/bob/b"), replace=False)
        self.assertRaises(QuotaExceeded, now, moving)
        self.check(home=(110, 4), ada=(20, 1), bob=(90, 1))

    def test_moveDirectory(self) -> None:
        """So does all that lies in a directory."""
        now(self.ada.makeDirectory(at("/home/ada/d")))
        now(write(self.ada, "/home/ada/d/a", bytes(30)))
        now(write(self.ada, "/home/ada/d/b", bytes(30)))
        now(self.ada.rename(at("/home/ada/d"), at("/home/bob/d"), replace=False))
        self.check(home=(60, 5), ada=(0, 0), bob=(60, 3))
        now(self.ada.rename(at("/home/bob/d"), at("/free/d"), replace=False))
        self.check(home=(0, 2), ada=(0, 0), bob=(0, 0))
        now(write(self.ada, "/free/d/c", bytes(30)))
        moving = self.ada.rename(at("/free/d"), at("/home/bob/d"), replace=False)
        self.assertRaises(QuotaExceeded, now, moving)

    def test_moveUnderUpload(self) -> None:
        """A directory with an upload in it does not go where another quota holds."""
        now(self.ada.makeDirectory(at("/home/ada/d")))
        handle = now(self.ada.openForWriting(at("/home/ada/d/a"), CREATE))
        moving = self.ada.rename(at("/home/ada/d"), at("/home/bob/d"), replace=False)
        self.assertRaises(Busy, now, moving)
        now(handle.abort())

    def test_moveAwayFromUpload(self) -> None:
        """
        An upload in the place of a file needs room of its own once that file is elsewhere.
        """
        now(write(self.ada, "/home/ada/a", bytes(60)))
        handle = now(self.ada.openForWriting(at("/home/ada/a"), REPLACE))
        now(handle.writeAt(0, bytes(50)))
        moving = self.ada.rename(at("/home/ada/a"), at("/home/ada/b"), replace=False)
        self.assertRaises(QuotaExceeded, now, moving)
        now(handle.commit())
        self.check(home=(50, 3), ada=(50, 1), bob=(0, 0))

    def test_moveInTheWayOfUpload(self) -> None:
        """An upload stays where it began when a directory of that name moves on."""
        handle = now(self.ada.openForWriting(at("/home/ada/a"), REPLACE))
        now(handle.writeAt(0, bytes(30)))
        now(self.ada.makeDirectory(at("/home/ada/a")))
        now(self.ada.rename(at("/home/ada/a"), at("/home/ada/b"), replace=False))
        now(handle.commit())
        self.check(home=(30, 4), ada=(30, 2), bob=(0, 0))

    def test_removeQuota(self) -> None:
        """Nor can it be removed: what came in its place would count for nothing."""
        removing = self.ada.removeDirectory(at("/home/bob"))
        self.assertRaises(PermissionDenied, now, removing)

    def test_moveQuota(self) -> None:
        """A directory with a quota stays where it is."""
        for path in ("/home", "/home/bob"):
            moving = self.ada.rename(at(path), at("/free/h"), replace=False)
            self.assertRaises(PermissionDenied, now, moving)

    def test_acrossMounts(self) -> None:
        """What is mounted inside counts; what the mount hides does not."""
        self.tree.putFile("/other/hidden", bytes(1000))
        self.other.putFile("/seen", bytes(7))
        books = Books({"/": self.tree, "/other": self.other}, {"/": Quota(100)})
        self.addCleanup(books.close)
        now(write(books.view(), "/other/more", bytes(10)))
        self.assertEqual(books.used(), now(books.truth()))
        self.assertEqual(books.used()[0], 17)


VERBS = st.sampled_from(
    ["store", "break", "append", "remove", "rename", "copy", "mkdir", "rmdir", "open", "close"]
)
NAMES = st.sampled_from(["/a", "/b", "/d", "/d/a", "/d/b"])
STEPS = st.lists(
    st.tuples(VERBS, NAMES, NAMES, st.sampled_from(["ada", "bob"]), st.integers(0, 60)),
    max_size=30,
)


class AnyOrderTests(SynchronousTestCase):
    """Whatever happens in whatever order."""

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def test_memory(self, steps: list[tuple[str, str, str, str, int]]) -> None:
        """The ledger is right after each step, and the quota holds."""
        self.play(MemoryTree(), steps)

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def test_disk(self, steps: list[tuple[str, str, str, str, int]]) -> None:
        """The same on a disk."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        tree = LocalTree(folder, ImmediateWorkers())
        try:
            self.play(tree, steps)
        finally:
            tree.root.close(small=True)

    def play(self, tree: Any, steps: list[tuple[str, str, str, str, int]]) -> None:
        books = Books({"/": tree}, {"/": Quota(100, 6), "/d": Quota(70)})
        views = {name: books.view(name) for name in ("ada", "bob")}
        now(views["ada"].makeDirectory(at("/d")))
        opened: list[Any] = []
        try:
            for step in steps:
                try:
                    now(self.act(views[step[3]], opened, *step))
                except FileHubError:
                    pass
                self.assertLessEqual(books.used()[0], 100)
                self.assertLessEqual(books.used("/d")[0], 70)
                for path in ("/", "/d"):
                    used, truth = books.used(path), now(books.truth(path))
                    if any(handle.position for handle in opened):
                        # On a disk a part that is continued grows, or shrinks, in its place.
                        held = books.held(path)
                        self.assertLessEqual(truth[0], used[0] + held[0], step)
                        self.assertLessEqual(truth[1], used[1] + held[1], step)
                    else:
                        self.assertEqual(used, truth, step)
            for handle in opened:
                now(handle.abort())
            for path in ("/", "/d"):
                self.assertEqual(books.used(path), now(books.truth(path)))
                self.assertEqual(books.held(path), (0, 0))
        finally:
            books.close()

    async def act(
        self,
        view: Any,
        opened: list[Any],
        verb: str,
        path: str,
        other: str,
        _owner: str,
        size: int,
    ) -> None:
        if verb == "store":
            await write(view, path, bytes(size))
        elif verb == "append":
            await write(view, path, bytes(size), APPEND)
        elif verb == "break":
            await breakOff(view, path, bytes(size))
        elif verb == "remove":
            await view.removeFile(at(path))
        elif verb == "rename":
            await view.rename(at(path), at(other), replace=bool(size % 2))
        elif verb == "copy":
            await view.copy(at(path), at(other), replace=bool(size % 2))
        elif verb == "mkdir":
            await view.makeDirectory(at(path))
        elif verb == "rmdir":
            await view.removeDirectory(at(path))
        elif verb == "open":
            if size % 3:
                handle = await view.openForWriting(at(path), REPLACE)
            else:
                handle = await view.openForUpdate(at(path), size)
            opened.append(handle)
            await handle.writeAt(handle.position, bytes(size))
        elif opened:
            handle = opened.pop(size % len(opened))
            await (handle.commit() if size % 2 else handle.abort())
