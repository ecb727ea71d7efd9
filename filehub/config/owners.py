"""
Users and groups of the system, to whom files are given.
"""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Final

from pydantic import BeforeValidator
from twisted.application.service import Service
from twisted.logger import Logger

from filehub.attributes import Ownership
from filehub.vfs.ownership import mayGiveAway

_log: Final = Logger()

#: The one above means "leave it as it is".
_HIGHEST: Final = 2**32 - 2


# The first time for each name, these may wait for whoever knows the system's users.


@lru_cache(1024)
def _numberOfUser(name: str) -> int:
    return pwd.getpwnam(name).pw_uid


@lru_cache(1024)
def _numberOfGroup(name: str) -> int:
    return grp.getgrnam(name).gr_gid


def _found(find: Callable[[str], int], name: str) -> int | None:
    """L{None}: there is none of this name, as yet."""
    try:
        return find(name)
    except (KeyError, ValueError):
        return None


def _checked(kind: str, find: Callable[[str], int]) -> Callable[[object], int | str]:
    def check(value: object) -> int | str:
        if type(value) is int and 0 <= value <= _HIGHEST:
            return value
        if isinstance(value, str):
            number = _found(find, value)
            if "%u" in value or number is not None:
                return value if number is None else number
        raise ValueError(f"expected a {kind} of this system, by name or number, or %u")

    return check


#: A number; or a text with C{%u} in it.
SystemUser = Annotated[int | str, BeforeValidator(_checked("user", _numberOfUser))]
SystemGroup = Annotated[int | str, BeforeValidator(_checked("group", _numberOfGroup))]


def ownershipOf(account: str, owner: int | str | None, group: int | str | None) -> Ownership | None:
    """
    Whose the files of an account are; L{None}: the server's, also where the system has
    nobody of the name that C{%u} stands for.
    """
    user = _numberOf(account, "owner", owner, _numberOfUser)
    found = Ownership(user, _numberOf(account, "owner_group", group, _numberOfGroup))
    return None if found == Ownership() else found


def _numberOf(account: str, key: str, said: int | str | None, find: Callable[[str], int]) -> int:
    if not isinstance(said, str):
        return -1 if said is None else said
    name = said.replace("%u", account)
    number = _found(find, name)
    if number is None:
        _log.warn(
            "{account}: {key}: the system knows no {name}: its files stay the server's",
            account=account,
            key=key,
            name=name,
        )
        return -1
    return number


class OwnersService(Service):
    """
    Says at the start, when the process has the rights that it will have, if files are to
    be given away and cannot be.
    """

    def startService(self) -> None:
        """Look."""
        super().startService()  # type: ignore[no-untyped-call]
        if not mayGiveAway():
            _log.warn(
                "owner: all files stay the server's: it takes root,"
                " or CAP_CHOWN, CAP_FOWNER and CAP_DAC_OVERRIDE, to give them away"
            )


__all__ = ["OwnersService", "SystemGroup", "SystemUser", "ownershipOf"]
