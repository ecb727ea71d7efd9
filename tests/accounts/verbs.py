"""
Every verb of a storage, as something to try.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from filehub.attributes import AttributeChanges, Disposition, FileType
from filehub.interfaces import (
    ICaseFolding,
    IChecksums,
    IRandomAccess,
    IServerSideCopy,
    ISpaceUsage,
    ISymbolicLinks,
)
from filehub.paths import VirtualPath
from filehub.vfs._memorynodes import Node
from filehub.vfs.memory import MemoryTree
from tests.accounts.doubles import at

LETTERS = "elradfmwMT"


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
    ("enterDirectory", lambda fs, p: fs.enterDirectory(p("directory")), "e"),
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
    ("foldCase", lambda fs, p: ICaseFolding(fs).foldCase(p("FILE")), "r"),
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
