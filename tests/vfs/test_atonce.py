"""
Small files without waiting: what the storage gives, and what the guard lets through.
"""

from __future__ import annotations

import errno
import os

from filehub.accounts.audit import AuditedFileSystem
from filehub.accounts.guard import GuardedFileSystem
from filehub.errors import FileSystemError
from filehub.paths import ROOT, VirtualPath
from filehub.vfs import _localfile
from filehub.vfs.mount import MountTable
from filehub.vfs.readonly import ReadOnlyFileSystem
from filehub.views import IAtOnce, IStoresAtOnce
from tests.accounts.doubles import Events, at, connection, now, policy
from tests.vfs.local_support import FailingOS, OnDisk

LETTERS = "elradfmwMT"


class AtOnceTests(OnDisk):
    """A local tree at two mount points, and an account that may do little."""

    def setUp(self) -> None:
        super().setUp()
        for name, content in (("free/file", b"free"), ("secret/file", b"secret")):
            path = self.folder / name
            path.parent.mkdir()
            path.write_bytes(content)
        (self.folder / "box").mkdir()
        (self.folder / "free" / "link").symlink_to("../secret")
        (self.folder / "free" / "direct").symlink_to("../secret/file")
        os.mkfifo(self.folder / "free" / "fifo")
        self.tree = self.makeTree(links="within-root")
        if not self.tree.inPlace.cached:
            self.skipTest("this kernel or file system cannot")
        self.view = self.tree.viewFor("ann")
        self.warm()
        self.events = Events()
        rules = {"/": "", "/free": LETTERS, "/box": "w", "/readonly": "elr"}
        self.guarded = AuditedFileSystem(
            GuardedFileSystem(self.view, policy(rules)), self.events, connection(), "ann"
        )

    def warm(self) -> None:
        """What is looked for is in the kernel's caches."""
        for name in ("free/file", "secret/file", "box"):
            os.stat(self.folder / name)

    def files(self, fileSystem: object) -> IAtOnce:
        """What it can do at once."""
        found: IAtOnce = IAtOnce(fileSystem)
        return found

    def test_read(self) -> None:
        """The whole content of a file that is not too long, and of nothing else."""
        files = self.files(self.view)
        self.assertEqual(files.readAtOnce(at("/free/file"), 4), b"free")
        (self.folder / "empty").write_bytes(b"")
        self.assertEqual(files.readAtOnce(at("/empty"), 4), b"")
        for path, most in (
            ("/free/file", 3),
            ("/free/missing", 9),
            ("/free", 9),
            ("/", 9),
            ("/free/fifo", 9),
            ("/free/link/file", 9),
            ("/free/direct", 9),
            ("/.filehub/x", 9),
        ):
            self.assertIsNone(files.readAtOnce(at(path), most), path)
        self.assertIsNone(files.readAtOnce(VirtualPath(["\ud800"]), 9))

    def test_store(self) -> None:
        """A file is there as soon as it is stored, with all of its content."""
        for path, before in (("new", None), ("file", b"free")):
            handle = self.files(self.view).replaceAtOnce(at(f"/free/{path}"))
            assert handle is not None
            stored = self.folder / "free" / path
            self.assertEqual(stored.read_bytes() if stored.exists() else None, before)
            self.assertTrue(IStoresAtOnce(handle).storeAtOnce(b"content"))
            self.assertEqual(stored.read_bytes(), b"content")
            self.assertEqual(stored.stat().st_mode & 0o777, 0o640 if before is None else 0o644)
            now(handle.abort())
            self.assertEqual(stored.read_bytes(), b"content")
        self.assertEqual(self.staged(), [])

    def test_notStored(self) -> None:
        """What cannot be stored at once is not begun."""
        for path in ("/free/link/x", "/free/direct", "/free", "/nowhere/x", "/", "/.filehub/x"):
            self.assertIsNone(self.files(self.view).replaceAtOnce(at(path)), path)
        handle = self.files(self.view).replaceAtOnce(at("/free/x"))
        assert handle is not None
        self.assertFalse(IStoresAtOnce(handle).storeAtOnce(b"x" * (1 << 20)))
        now(handle.writeAt(0, b"y"))
        now(handle.commit())
        self.assertEqual((self.folder / "free" / "x").read_bytes(), b"y")

    def test_failure(self) -> None:
        """A disk that is full says so, and the old file stands."""
        for function in ("pwrite", "link"):
            handle = self.files(self.view).replaceAtOnce(at("/free/other"))
            assert handle is not None
            self.patch(_localfile, "os", FailingOS(function, errno.ENOSPC))
            if function == "link":
                from filehub.vfs import _drafts

                self.patch(_drafts, "os", FailingOS(function, errno.ENOSPC))
            with self.assertRaises(FileSystemError):
                IStoresAtOnce(handle).storeAtOnce(b"content")
            now(handle.abort())
            self.assertFalse((self.folder / "free" / "other").exists())

    def test_guard(self) -> None:
        """Only what is permitted, no drop box, no strange name, and never a word of it."""
        files = self.files(self.guarded)
        self.assertEqual(files.readAtOnce(at("/free/file"), 9), b"free")
        for path in ("/secret/file", "/box/x", "/free/link/file", "/free/direct"):
            self.assertIsNone(files.readAtOnce(at(path), 9), path)
        for path in ("/secret/file", "/readonly/x", "/box/x", "/free/a\x1bb", "/free/link/x"):
            self.assertIsNone(files.replaceAtOnce(at(path)), path)
        handle = files.replaceAtOnce(at("/free/x"))
        assert handle is not None
        now(handle.abort())
        self.assertEqual(self.events.seen, [])

    def test_mounts(self) -> None:
        """Each mount is asked for its own; mount points and what cannot are left alone."""
        other = ReadOnlyFileSystem(self.view)
        table = MountTable({ROOT: self.view, at("/a"): self.view, at("/b"): other})
        files = self.files(table)
        self.assertEqual(files.readAtOnce(at("/free/file"), 9), b"free")
        self.assertEqual(files.readAtOnce(at("/a/free/file"), 9), b"free")
        for path in ("/b/free/file", "/a", "/a/missing"):
            self.assertIsNone(files.readAtOnce(at(path), 9), path)
            self.assertIsNone(files.replaceAtOnce(at(path if path != "/a/missing" else "/b/x")))
        handle = files.replaceAtOnce(at("/a/free/x"))
        assert handle is not None
        IStoresAtOnce(handle).storeAtOnce(b"mounted")
        self.assertEqual((self.folder / "free" / "x").read_bytes(), b"mounted")
        self.assertIsNone(IAtOnce(MountTable({at("/b"): other}), None))
