"""
One table of rules, places and verbs: what may be done where, and by which other names the
same places go.  It is asked as calls, and over every protocol.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from filehub.accounts.patterns import NamePatterns
from filehub.accounts.policy import PathRule, RulePolicy
from filehub.paths import ROOT
from filehub.permissions import parsePermissions
from tests.accounts.doubles import at
from tests.accounts.verbs import LETTERS

#: Verbs on a file that is there, and on a name that is free.
ON_FILES: Final = frozenset(
    ("read", "replace", "append", "delete", "rename", "cover", "copy", "overcopy")
)
ON_NAMES: Final = frozenset(("create", "mkdir", "arrive", "copyto", "link"))
EVERYTHING: Final = ON_FILES | ON_NAMES

#: Files of the tree at the root, and of the one that is mounted at C{/m}; each contains
#: its own path.
FILES: Final = (
    "/free/file", "/free/mover", "/up/secret/file", "/up/open", "/fixed/file", "/drop/file",
    "/names/a.exe", "/names/.dot", "/names/.dots/file", "/names/mover", "/names/sub/b.exe",
    "/only/a.bin", "/only/a.jpg", "/only/mover.jpg",
)  # fmt: skip
MOUNTED: Final = ("/.git", "/file", "/mover")
#: Links in these trees, and where they lead.
LINKS: Final = {
    "/links/free": "../free", "/links/secret": "../up/secret", "/links/fixed": "../fixed",
    "/links/drop": "../drop", "/links/names": "../names", "/links/dots": "../names/.dots",
    "/links/only": "../only",
}  # fmt: skip
MOUNTED_LINKS: Final = {"/way": "."}

#: Path, letters, and what is said of names, as it stands in a configuration file.
RULES: Final = (
    ("/", LETTERS, ""),
    ("/up/secret", "", ""),
    ("/fixed", "elr", ""),
    ("/drop", "ew", ""),
    ("/names", LETTERS, 'deny_names = ["*.exe"]\nhidden = [".*"]'),
    ("/only", LETTERS, 'allow_names = ["*.jpg"]'),
)
MOUNT_NAMES: Final = 'hidden = [".*"]'
_NAMES: Final = {
    "/names": NamePatterns((".*",), ("*.exe",)),
    "/only": NamePatterns(allow=("*.jpg",)),
}


def tablePolicy() -> RulePolicy:
    """The same as a policy."""
    rules = [
        PathRule(at(path), parsePermissions(letters), "", _NAMES.get(path))
        for path, letters, _ in RULES
    ]
    return RulePolicy(rules, (), {ROOT: NamePatterns(), at("/m"): NamePatterns((".*",))})


class Place(NamedTuple):
    """
    @ivar folder: by its first name.
    @ivar file: what is there.
    @ivar fresh: a name that is free.
    @ivar may: what may be done with both.
    @ivar near: where things come from and go to, with another file C{mover}.
    @ivar aliases: further names of the folder.
    """

    folder: str
    file: str
    fresh: str
    may: frozenset[str]
    near: str
    aliases: tuple[str, ...] = ()

    @property
    def folders(self) -> tuple[str, ...]:
        """All names of the folder."""
        return (self.folder, *self.aliases)

    @property
    def mover(self) -> str:
        """A file that may be moved and copied."""
        return f"{self.near}/mover.jpg" if self.near == "/only" else f"{self.near}/mover"

    @property
    def result(self) -> str:
        """Where it goes."""
        return f"{self.near}/result.jpg"


PLACES: Final = (
    Place("/free", "file", "new", EVERYTHING, "/free", ("/links/free",)),
    Place("/up/secret", "file", "new", frozenset(), "/free", ("/links/secret",)),
    Place("/fixed", "file", "new", frozenset(("read", "copy")), "/free", ("/links/fixed",)),
    Place("/drop", "file", "new", ON_NAMES - {"mkdir"}, "/free", ("/links/drop",)),
    Place("/names", "a.exe", "New.EXE", frozenset(("delete",)), "/names", ("/links/names",)),
    Place("/names", ".dot", ".new", frozenset(), "/names", ("/links/names",)),
    Place("/names/.dots", "file", "new", frozenset(), "/names", ("/links/dots",)),
    Place("/only", "a.bin", "b.bin", frozenset(("delete", "mkdir")), "/only", ("/links/only",)),
    Place("/only", "a.jpg", "B.JPG", EVERYTHING, "/only", ("/links/only",)),
    Place("/m", ".git", ".new", frozenset(), "/m", ("/m/way",)),
    Place("/m", "file", "new", EVERYTHING, "/m", ("/m/way",)),
)

#: Renaming a directory must not change what is denied below it: all of these fail.
PARENTS: Final = (
    ("/up", "/free/up"),
    ("/names", "/free/names"),
    ("/names/sub", "/free/sub"),
    ("/free", "/names/free"),
    ("/only", "/elsewhere"),
    ("/links/names/sub", "/free/sub"),
    ("/m", "/n"),
)
#: And this does not.
HARMLESS: Final = ("/names/sub", "/names/other")
