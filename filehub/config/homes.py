"""
Where sessions begin: what users and groups say of homes.
"""

from __future__ import annotations

from collections.abc import Iterable

from filehub.config.schema import Group, User
from filehub.errors import ConfigurationError
from filehub.paths import ROOT, VirtualPath


def homeOf(user: User, groups: Iterable[Group]) -> VirtualPath:
    """
    What the user says, or else the first of its groups that says anything.

    @param groups: those that there are, in the order that counts.
    @raise ConfigurationError: a group's home has C{%u} in it, and the name is none of a
        directory.
    """
    if "home" not in user.model_fields_set:
        known = {group.name: group.home for group in groups}
        for name in user.groups:
            home = known.get(name)
            if home is not None:
                return _filledIn(user.name, home)
    return user.home


def _filledIn(name: str, home: VirtualPath) -> VirtualPath:
    text = str(home)
    if "%u" not in text:
        return home
    if name in (".", "..") or "/" in name:
        raise ConfigurationError(f"found the name {name!r}, which is no name of a directory")
    return ROOT.join(text.replace("%u", name))


__all__ = ["homeOf"]
