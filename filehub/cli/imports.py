"""
Accounts as other programs write them down: names and password hashes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import click

from filehub.accounts.hashes import formatOf

#: A name, its hash if it has a usable one, and what the operator should know.
Imported = tuple[str, str | None, str]


def readAccounts(path: Path, form: str) -> Iterator[Imported]:
    """
    The accounts in a file, in its order.

    @param form: one of L{FORMATS}.
    @raise click.ClickException: the file cannot be read.
    """
    try:
        text = path.read_text("utf-8", "surrogateescape")
    except OSError as error:
        raise click.ClickException(f"{path}: cannot be read: {error.strerror}") from None
    for line in text.splitlines():
        line = line.strip()
        if line and not line.startswith("#"):
            found = FORMATS[form](line.split(":"))
            if found is not None:
                yield found


def _htpasswd(fields: list[str]) -> Imported | None:
    """C{name:hash}."""
    return _account(fields[0], fields[1]) if len(fields) >= 2 else None


def _shadow(fields: list[str]) -> Imported | None:
    """
    C{name:hash:changed:...}; accounts of the system, which have no hash, are left out.
    """
    if len(fields) < 2 or not fields[1] or fields[1][0] in "!*":
        return None
    return _account(fields[0], fields[1])


def _puredb(fields: list[str]) -> Imported | None:
    """C{name:hash:uid:gid:gecos:home:...}."""
    return _account(fields[0], fields[1]) if len(fields) >= 6 else None


def _account(name: str, hashed: str) -> Imported:
    form = formatOf(hashed)
    if form is None:
        return name, None, "its password is stored in a way that is not known: no password"
    if form.isWeak:
        return name, hashed, f"its password hash is weak ({form.name}): not accepted by default"
    return name, hashed, ""


FORMATS: Final[dict[str, Callable[[list[str]], Imported | None]]] = {
    "htpasswd": _htpasswd,
    "shadow": _shadow,
    "puredb": _puredb,
}
