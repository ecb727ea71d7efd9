"""
Looking for names that differ in case only: what Windows loaders count on.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from filehub.paths import VirtualPath, decodeName
from filehub.vfs import _openat

_Place = TypeVar("_Place")

#: Names of one directory that differ in case only and are tried one after another.
_MAXIMUM_TWINS = 16


def twins(name: str, names: Iterable[str]) -> list[str]:
    """Those that differ in case at most: the very same first, the others sorted."""
    folded = name.casefold()
    found = sorted(each for each in names if each.casefold() == folded)
    return sorted(found, key=lambda each: each != name)[:_MAXIMUM_TWINS]


def foldInMemory(
    segments: tuple[str, ...], place: _Place, children: Callable[[_Place], dict[str, _Place] | None]
) -> tuple[str, ...] | None:
    """
    The names of what there is; L{None} if there is nothing.

    @param children: what is in a place; L{None} if it is a link, empty for a file.
    """
    if not segments:
        return ()
    inside = children(place)
    if inside is None:
        return segments
    for name in twins(segments[0], inside):
        rest = foldInMemory(segments[1:], inside[name], children)
        if rest is not None:
            return (name, *rest)
    return None


def foldOnDisk(root: int, segments: tuple[str, ...]) -> VirtualPath | None:
    """
    The same for a directory of the disk.  Blocks.  Links are not followed: what is
    behind one is given back as it was asked for.
    """
    found = _walk(root, segments, True)
    if found is None:
        return None
    path = VirtualPath(found)
    if found == segments:
        # As it is called: a link in the way is an error as for any other verb.
        _openat.statPath(root, _openat.encodeNames(path))
    return path


def _walk(directory: int, segments: tuple[str, ...], top: bool) -> tuple[str, ...] | None:
    if not segments:
        return ()
    for name in _present(directory, segments[0]):
        if top and _openat.isReserved(VirtualPath((name,))):
            continue
        encoded = os.fsencode(name)
        try:
            mode = _openat.statEntry(directory, encoded).st_mode
            if len(segments) == 1 or stat.S_ISLNK(mode):
                return (name, *segments[1:])
            inside = _openat.openChildDirectory(directory, encoded)
        except OSError:
            # Gone, or not for us: as if it were not there.
            continue
        try:
            rest = _walk(inside, segments[1:], False)
        finally:
            os.close(inside)
        if rest is not None:
            return (name, *rest)
    return None


def _present(directory: int, name: str) -> Iterator[str]:
    """The names to try; where the very same one leads on, nothing else is looked for."""
    try:
        _openat.statEntry(directory, os.fsencode(name))
    except (OSError, UnicodeEncodeError):
        pass
    else:
        yield name
    try:
        found = twins(name, map(decodeName, _openat.listNames(directory)))
    except OSError:
        return
    yield from (each for each in found if each != name)
