"""
C{filehub user} and C{filehub group}: accounts in a database.

What may be set is what a C{[[user]]} or C{[[group]]} of the configuration file may
have, under the same names and checked by the same schema.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from filehub.accounts.database import (
    AccountTables,
    DatabaseUnavailable,
    openPostgreSQL,
    openSQLite,
)
from filehub.accounts.hashes import formatOf, hashPassword
from filehub.cli.imports import FORMATS, readAccounts
from filehub.cli.passwd import askPassword
from filehub.config.accounts import validated
from filehub.config.schema import Group, User
from filehub.errors import ConfigurationError

_DATABASE: Final = click.option(
    "--database",
    envvar="FILEHUB_DATABASE",
    required=True,
    metavar="FILE|URL",
    help="An SQLite file, or postgresql://...; $FILEHUB_DATABASE.",
)
#: Settings that have options of their own.
_QUOTAS: Final = {
    "quota": ("BYTES", "What may lie below the home; empty to remove, as for the next ones."),
    "quota_files": ("NUMBER", "Files, directories and links below it."),
    "upload_quota": ("BYTES", "What may be uploaded within a period."),
    "download_quota": ("BYTES", "What may be downloaded within a period."),
    "transfer_quota": ("BYTES", "Both together."),
    "upload_quota_files": ("NUMBER", "Files uploaded within a period."),
    "download_quota_files": ("NUMBER", "Files downloaded within a period."),
    "quota_period": ("hour|day|week|month", "How long a period is."),
}
#: Kept in columns of their own.
_APART: Final = frozenset(("name", "password"))


@contextmanager
def _opened(database: str, *, create: bool = False) -> Iterator[AccountTables]:
    """The tables; what is wrong with them ends the command with status 1."""
    try:
        if database.startswith(("postgresql://", "postgres://")):
            tables = openPostgreSQL(database)
        else:
            tables = openSQLite(Path(database), create=create)
        try:
            yield tables
        finally:
            tables.close()
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None
    except DatabaseUnavailable as error:
        raise click.ClickException(error.reason) from None


def _settingsFrom(
    changed: Mapping[str, Any], assignments: tuple[str, ...], rules: tuple[str, ...]
) -> dict[str, Any]:
    """
    Settings with changes: C{key=value}, the value as in TOML or else a plain text, and
    nothing to remove the key; rules as C{PATH=LETTERS}.
    """
    settings = dict(changed)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or key in _APART:
            raise click.ClickException(f"found {assignment!r}, expected KEY=VALUE")
        if not text:
            settings.pop(key, None)
            continue
        try:
            settings[key] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            settings[key] = text
    if rules:
        # What rules say besides, of names, stays as it is.
        kept = {rule["path"]: dict(rule) for rule in settings.get("rule", ())}
        for rule in rules:
            path, equals, letters = rule.rpartition("=")
            if not equals:
                raise click.ClickException(f"found {rule!r}, expected PATH=LETTERS")
            kept.setdefault(path, {"path": path})["allow"] = letters
        settings["rule"] = list(kept.values())
    return settings


def _checked(model: type[User] | type[Group], name: str, settings: Mapping[str, Any]) -> None:
    """
    Refuse what the configuration file could not have either.

    @raise click.ClickException: says which key, what was found, what was expected.
    """
    try:
        validated(model, {**settings, "name": name})
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None


def _changes(command: Callable[..., None]) -> Callable[..., None]:
    """The options with which settings are given."""
    options = (
        *(
            click.option(f"--{key.replace('_', '-')}", key, metavar=metavar, help=text)
            for key, (metavar, text) in _QUOTAS.items()
        ),
        click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE",
                     help="A setting as in the configuration file; KEY= removes it."),
        click.option("--rule", "rules", multiple=True, metavar="PATH=LETTERS",
                     help="What may be done below PATH, in letters of elradfmwMT."),
    )  # fmt: skip

    @wraps(command)
    def given(*arguments: Any, assignments: tuple[str, ...], **given: Any) -> None:
        quotas = {key: given.pop(key) for key in _QUOTAS}
        assigned = tuple(f"{key}={value}" for key, value in quotas.items() if value is not None)
        command(*arguments, assignments=assignments + assigned, **given)

    changed: Callable[..., None] = given
    for option in reversed(options):
        changed = option(changed)
    return changed


def _passwordOptions(command: Callable[..., None]) -> Callable[..., None]:
    """How a password is given: asked for, as a hash, or not at all."""

    @click.option("--hash", "hashed", metavar="HASH", help="A password hash instead of asking.")
    @click.option("--no-password", is_flag=True, help="Nobody logs in with a password.")
    @wraps(command)
    def given(*arguments: Any, hashed: str | None, no_password: bool, **options: Any) -> None:
        if hashed is not None and formatOf(hashed) is None:
            raise click.ClickException("--hash: found no password hash that is known here")

        def password() -> str | None:
            if no_password:
                return None
            return hashed if hashed is not None else hashPassword(askPassword())

        command(*arguments, password=password, **options)

    return given


@click.group()
def user() -> None:
    """Accounts in a database."""


@user.command("add")
@click.argument("name")
@_DATABASE
@_passwordOptions
@_changes
def addUser(
    name: str,
    database: str,
    password: Callable[[], str | None],
    assignments: tuple[str, ...],
    rules: tuple[str, ...],
) -> None:
    """Make an account; asks for its password. Makes the database too."""
    settings = _settingsFrom({}, assignments, rules)
    _checked(User, name, settings)
    with _opened(database, create=True) as tables:
        if tables.find(name) is not None or not tables.addUser(name, password(), settings):
            raise click.ClickException(f"{name}: there is such an account already")


@user.command("set")
@click.argument("name")
@_DATABASE
@_changes
def setUser(name: str, database: str, assignments: tuple[str, ...], rules: tuple[str, ...]) -> None:
    """Change settings of an account."""
    with _opened(database) as tables:
        found = tables.find(name)
        if found is None:
            raise _missing(name)
        settings = _settingsFrom(found.settings, assignments, rules)
        _checked(User, name, settings)
        tables.changeUser(name, settings)


@user.command("passwd")
@click.argument("name")
@_DATABASE
@_passwordOptions
def setPassword(name: str, database: str, password: Callable[[], str | None]) -> None:
    """Change the password of an account."""
    with _opened(database) as tables:
        if tables.find(name) is None or not tables.setPassword(name, password()):
            raise _missing(name)


@user.command("del")
@click.argument("name")
@_DATABASE
def removeUser(name: str, database: str) -> None:
    """Remove an account. Its files stay."""
    with _opened(database) as tables:
        if not tables.removeUser(name):
            raise _missing(name)


@user.command("list")
@_DATABASE
@click.option("--json", "asJSON", is_flag=True, help="A JSON object a line, without hashes.")
def listUsers(database: str, asJSON: bool) -> None:
    """Say which accounts there are."""
    with _opened(database) as tables:
        for each in tables.users():
            form = formatOf(each.password or "")
            how = form.name if form is not None else "no password"
            if asJSON:
                shown = {"name": each.name, "password": how, **each.settings}
                click.echo(json.dumps(shown, ensure_ascii=False))
            else:
                click.echo(f"{each.name}\t{how}\t{', '.join(each.settings.get('groups', ()))}")


@user.command("show")
@click.argument("name")
@_DATABASE
def showUser(name: str, database: str) -> None:
    """Say what is set for an account."""
    with _opened(database) as tables:
        found = tables.find(name)
        if found is None:
            raise _missing(name)
        click.echo(json.dumps(dict(found.settings), ensure_ascii=False, indent=2))


@user.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@_DATABASE
@click.option("--format", "form", type=click.Choice(sorted(FORMATS)), required=True)
@click.option("--replace", is_flag=True, help="Replace accounts that exist.")
@_changes
def importUsers(
    file: Path,
    database: str,
    form: str,
    replace: bool,
    assignments: tuple[str, ...],
    rules: tuple[str, ...],
) -> None:
    """
    Take over the accounts of another program with their passwords.

    \b
    htpasswd   Apache, nginx: htpasswd(1)
    shadow     /etc/shadow
    puredb     pure-ftpd's pureftpd.passwd (the text, not the .pdb)

    --set and --rule are for all of them.
    """
    settings = _settingsFrom({}, assignments, rules)
    taken = passed = 0
    with _opened(database, create=True) as tables:
        for name, hashed, note in readAccounts(file, form):
            if note:
                click.echo(f"{file}: {name}: {note}", err=True)
            try:
                _checked(User, name, settings)
            except click.ClickException as error:
                click.echo(f"{file}: {name}: left out: {error.message}", err=True)
                passed += 1
                continue
            added = tables.addUser(name, hashed, settings)
            if not added and replace:
                added = tables.setPassword(name, hashed) and tables.changeUser(name, settings)
            if not added:
                click.echo(f"{file}: {name}: left out: it exists already", err=True)
            taken, passed = taken + added, passed + (not added)
    click.echo(f"{taken} accounts taken over, {passed} left out")


@click.group()
def group() -> None:
    """Groups in a database: settings that several accounts share."""


@group.command("add")
@click.argument("name")
@_DATABASE
@_changes
def addGroup(
    name: str, database: str, assignments: tuple[str, ...], rules: tuple[str, ...]
) -> None:
    """Make a group."""
    settings = _settingsFrom({}, assignments, rules)
    _checked(Group, name, settings)
    with _opened(database, create=True) as tables:
        if not tables.addGroup(name, settings):
            raise click.ClickException(f"{name}: there is such a group already")


@group.command("set")
@click.argument("name")
@_DATABASE
@_changes
def setGroup(
    name: str, database: str, assignments: tuple[str, ...], rules: tuple[str, ...]
) -> None:
    """Change settings of a group."""
    with _opened(database) as tables:
        found = tables.findGroup(name)
        if found is None:
            raise _missing(name)
        settings = _settingsFrom(found, assignments, rules)
        _checked(Group, name, settings)
        tables.changeGroup(name, settings)


@group.command("del")
@click.argument("name")
@_DATABASE
def removeGroup(name: str, database: str) -> None:
    """Remove a group that no account is in."""
    with _opened(database) as tables:
        for each in tables.users():
            if name in each.settings.get("groups", ()):
                raise click.ClickException(f"{name}: {each.name} is in it")
        if not tables.removeGroup(name):
            raise _missing(name)


@group.command("list")
@_DATABASE
def listGroups(database: str) -> None:
    """Say which groups there are, and what is set for them."""
    with _opened(database) as tables:
        for name, settings in tables.groups():
            click.echo(f"{name}\t{json.dumps(dict(settings), ensure_ascii=False)}")


def _missing(name: str) -> click.ClickException:
    return click.ClickException(f"{name}: found nothing of this name in the database")
