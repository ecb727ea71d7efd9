"""
Names that are hidden, denied, or not among those that are allowed.

  - What is hidden is as good as not there: nothing is permitted, listings leave it out.
  - What is denied can be removed, where the rule permits that, and nothing else.
  - A name that is none of the allowed ones is fit for directories only: it keeps C{e},
    C{l}, C{m} and C{d}.  It cannot be renamed, so that no file gets another name first.

Hidden and denied names count in every part of a path, what is allowed in the last one:
the names of directories are free.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from filehub.permissions import NOTHING, Permission

P = Permission

_OF_DIRECTORIES: Final = P.ENTER | P.LIST | P.MAKE | P.DELETE


@dataclass(frozen=True, slots=True)
class NamePatterns:
    """
    Patterns as in a shell: C{*}, C{?}, C{[...]}; a leading dot is nothing special.

    @ivar allow: L{None} for all names.
    @ivar ignoreCase: are C{x.exe} and C{X.EXE} the same?
    """

    hidden: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    allow: tuple[str, ...] | None = None
    ignoreCase: bool = True

    def __bool__(self) -> bool:
        """Do they say anything?"""
        return bool(self.hidden or self.deny or self.allow is not None)

    def limit(self, names: tuple[str, ...], allow: Permission) -> tuple[Permission, str]:
        """
        What is left of C{allow} for a path, and why; an empty text if all of it is.

        @param names: from below the place where these patterns begin.
        """
        if not names:
            return allow, ""
        for key, patterns in (("hidden", self.hidden), ("deny_names", self.deny)):
            if not patterns:
                continue
            found = _compiled(patterns, self.ignoreCase)
            for index, name in enumerate(names):
                if found.match(name) is None:
                    continue
                isLast = index == len(names) - 1
                left = allow & P.DELETE if key == "deny_names" and isLast else NOTHING
                return left, f"{key} {self._which(patterns, name)!r} matches {name!r}"
        if self.allow is not None and not _compiled(self.allow, self.ignoreCase).match(names[-1]):
            return allow & _OF_DIRECTORIES, f"allow_names has nothing that matches {names[-1]!r}"
        return allow, ""

    def _which(self, patterns: tuple[str, ...], name: str) -> str:
        return next(each for each in patterns if _compiled((each,), self.ignoreCase).match(name))


@lru_cache(maxsize=1024)
def _compiled(patterns: tuple[str, ...], ignoreCase: bool) -> re.Pattern[str]:
    """One expression that matches whole names; without patterns it matches nothing."""
    text = "|".join(map(fnmatch.translate, patterns)) if patterns else "(?!)"
    return re.compile(text, re.IGNORECASE if ignoreCase else 0)


__all__ = ["NamePatterns"]
