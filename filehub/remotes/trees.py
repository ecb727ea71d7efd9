"""
Directories with all that is in them, on any remote.
"""

from __future__ import annotations

from typing import Final

from filehub.errors import FileHubError, NotFound
from filehub.remotes.base import Remote, joined

#: Directories deeper than this are taken for a loop of links.
MAXIMUM_DEPTH: Final = 100


def harmless(name: str) -> bool:
    """Is a name from a listing a name, and no way to somewhere else?"""
    return name not in ("", ".", "..") and "/" not in name and "\0" not in name


async def removeTree(remote: Remote, path: str, depth: int = 0) -> None:
    """
    Remove a directory and all that is in it.  Links are removed, not followed.

    @raise FileHubError: something could not be removed; what was before it is gone.
    """
    if depth > MAXIMUM_DEPTH:
        raise NotFound(None, f"{path}: nested too deep")
    for entry in await remote.list(path):
        if not harmless(entry.name):
            raise NotFound(None, f"{path}: dangerous name in the listing")
        below = joined(path, entry.name)
        if entry.isDirectory:
            await removeTree(remote, below, depth + 1)
        else:
            await remote.removeFile(below)
    await remote.removeDirectory(path)


async def makeParents(remote: Remote, path: str) -> None:
    """
    Make a directory and those above it that are missing.

    @raise FileHubError: one of them cannot be made.
    """
    names = [name for name in path.split("/") if name]
    start = "/" if path.startswith("/") else ""
    for count in range(1, len(names) + 1):
        each = start + "/".join(names[:count])
        try:
            await remote.makeDirectory(each)
        except FileHubError:
            found = await remote.entry(each)
            if found is None or not found.isDirectory:
                raise
