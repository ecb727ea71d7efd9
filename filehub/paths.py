"""
What a client calls a path.

A L{VirtualPath} is absolute, immutable and never an operating system path.  Names
are C{str}; bytes that are not UTF-8 travel as surrogates (PEP 383), so any name
that a file system can hold comes back as the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from filehub.errors import InvalidName

#: The longest name, in bytes (POSIX C{NAME_MAX} on every Linux file system).
MAXIMUM_NAME_LENGTH: Final = 255
#: How many names deep a path may go.  Work below is relative to directory
#: descriptors, so C{PATH_MAX} does not bound it; this does.
MAXIMUM_DEPTH: Final = 128
#: So many characters are short enough as bytes, too: four each at the most.
_SURELY_SHORT: Final = MAXIMUM_NAME_LENGTH // 4


def decodeName(raw: bytes) -> str:
    """The name for these bytes; undecodable ones become surrogates."""
    return raw.decode("utf-8", "surrogateescape")


def encodeName(name: str) -> bytes:
    """
    The bytes of a name, the inverse of L{decodeName}.

    @raise InvalidName: for text that did not come from bytes, e.g. half a
        surrogate pair from an escape sequence.
    """
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidName(None, "name is not encodable") from None


def checkName(name: str) -> None:
    """
    Accept one segment: not empty, no C{/}, no NUL, not C{.} or C{..}, at most
    L{MAXIMUM_NAME_LENGTH} bytes.

    @raise InvalidName: otherwise.
    """
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise InvalidName(None, "invalid name")
    if len(name) > _SURELY_SHORT and len(encodeName(name)) > MAXIMUM_NAME_LENGTH:
        raise InvalidName(None, "name too long")


class VirtualPath:
    """
    An absolute path as clients see it: a tuple of names below the root.

    There is deliberately no method that returns an OS path.

    @ivar segments: the names from the root down; empty for the root.
    """

    __slots__ = ("segments",)
    segments: tuple[str, ...]

    def __init__(self, segments: Iterable[str] = ()) -> None:
        """
        @raise InvalidName: if a segment cannot be a name, or there are too many.
        """
        checked = tuple(segments)
        for name in checked:
            checkName(name)
        if len(checked) > MAXIMUM_DEPTH:
            raise InvalidName(None, "path too deep")
        self.segments = checked

    @classmethod
    def _trusted(cls, segments: tuple[str, ...]) -> VirtualPath:
        path = cls.__new__(cls)
        path.segments = segments
        return path

    def join(self, text: str) -> VirtualPath:
        """
        The path that C{text} names when this is the current directory.  An
        absolute text starts at the root; C{.}, empty segments and trailing
        slashes vanish; C{..} goes up and stops at the root.

        @raise InvalidName: for NUL, over-long names and too deep paths.
        """
        segments = [] if text.startswith("/") else list(self.segments)
        for name in text.split("/"):
            if name == "" or name == ".":
                continue
            if name == "..":
                if segments:
                    segments.pop()
                continue
            if len(name) > _SURELY_SHORT or "\0" in name:
                checkName(name)
            segments.append(name)
        if len(segments) > MAXIMUM_DEPTH:
            raise InvalidName(None, "path too deep")
        return self._trusted(tuple(segments))

    def child(self, name: str) -> VirtualPath:
        """
        The path of one name in this directory, taken literally.

        @raise InvalidName: if it cannot be a name.
        """
        checkName(name)
        if len(self.segments) >= MAXIMUM_DEPTH:
            raise InvalidName(None, "path too deep")
        return self._trusted((*self.segments, name))

    @property
    def name(self) -> str:
        """The last name; empty for the root."""
        return self.segments[-1] if self.segments else ""

    @property
    def parent(self) -> VirtualPath:
        """The directory that holds this; the root's parent is the root."""
        return self._trusted(self.segments[:-1])

    def isWithin(self, ancestor: VirtualPath) -> bool:
        """Is this C{ancestor} itself or something below it?"""
        length = len(ancestor.segments)
        return self.segments[:length] == ancestor.segments

    def relativeTo(self, ancestor: VirtualPath) -> VirtualPath:
        """
        The same place seen from C{ancestor} as the root.

        @raise ValueError: if this is not within C{ancestor}.
        """
        if not self.isWithin(ancestor):
            raise ValueError(f"{self} is not within {ancestor}")
        return self._trusted(self.segments[len(ancestor.segments) :])

    def below(self, ancestor: VirtualPath) -> VirtualPath:
        """This path moved below C{ancestor}; the inverse of L{relativeTo}."""
        return self._trusted(ancestor.segments + self.segments)

    def encode(self) -> bytes:
        """C{/name/name} as bytes, for the wire."""
        return encodeName(str(self))

    def __str__(self) -> str:
        return "/" + "/".join(self.segments)

    def __repr__(self) -> str:
        return f"VirtualPath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VirtualPath) and self.segments == other.segments

    def __hash__(self) -> int:
        return hash(self.segments)

    def __reduce__(self) -> tuple[type[VirtualPath], tuple[tuple[str, ...]]]:
        return VirtualPath, (self.segments,)


ROOT: Final = VirtualPath()
