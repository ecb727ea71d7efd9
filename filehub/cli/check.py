"""
C{filehub check}: what a configuration file would serve.
"""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from filehub.accounts.hashes import isUsableHash
from filehub.config.advice import adviceOn
from filehub.config.encryption import certificatesFor, effectiveTLS
from filehub.config.loading import LoadedConfiguration, loadConfiguration
from filehub.config.quotas import quotasOf
from filehub.config.schema import Rule
from filehub.errors import ConfigurationError
from filehub.permissions import formatPermissions


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def check(file: Path) -> None:
    """
    Say what the configuration FILE would serve, or all that is wrong with it.

    Exit status 1 if it cannot be used.
    """
    try:
        loaded = loadConfiguration(file)
        if loaded.values.tls is not None and loaded.values.tls.certificate is not None:
            # Without one the daemon may make its own, which is not for us to do.
            certificatesFor(loaded.values)
    except ConfigurationError as error:
        for line in str(error).splitlines():
            click.echo(line, err=True)
        raise SystemExit(1) from None
    console = Console(highlight=False)
    for title, columns, rows in _sections(loaded):
        if rows:
            console.print(_table(title, columns, rows))
    for line in adviceOn(loaded):
        click.echo(f"note: {line}")
    click.echo(f"{file}: can be used")


def _table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    table = Table(*columns, title=title, title_justify="left", show_edge=False, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


#: A title, the names of the columns, and the rows.
_Section = tuple[str, tuple[str, ...], list[tuple[str, ...]]]


def _sections(loaded: LoadedConfiguration) -> list[_Section]:
    values = loaded.values
    listeners: list[tuple[str, ...]] = []
    for _, options in values.ftp.variants:
        tls = effectiveTLS(values, options)
        listeners += [("ftp", text, f"TLS {tls}") for text in options.listen]
        listeners += [("ftps", text, "implicit TLS") for text in options.implicit_tls]
    listeners += [("tftp", text, f"write {values.tftp.write}") for text in values.tftp.listen]
    listeners += [
        ("rfc913", text, f"accounts {values.rfc913.accounts}") for text in values.rfc913.listen
    ]
    mounts: list[tuple[str, ...]] = [
        (str(each.path), str(each.source), "read-only" if each.read_only else "", each.links)
        for each in values.mount
    ]
    hosts: list[tuple[str, ...]] = [
        (each.name, str(each.root), f"{each.user_prefix}*", ", ".join(each.aliases))
        for each in values.ftp.host
    ]
    accounts: list[tuple[str, ...]] = []
    for user in values.user:
        usable = user.password is not None and isUsableHash(user.password)
        how = "disabled" if not user.enabled else "password" if usable else "no password"
        inherited = [
            rule for group in values.group if group.name in user.groups for rule in group.rule
        ]
        accounts.append((user.name, how, ", ".join(user.groups), _rules(user.rule + inherited)))
    if values.anonymous.enabled:
        accounts.append(("anonymous", "anybody", "", _rules(values.anonymous.rule)))
    sources: list[tuple[str, ...]] = [
        (each.type, each.place, ", ".join(each.groups)) for each in values.source
    ]
    networks: list[tuple[str, ...]] = [
        (str(each.address), each.account or "", ", ".join(each.protocols or ()))
        for each in values.network
    ]
    quotas: list[tuple[str, ...]] = [
        (str(path), _orNone(quota.nbytes), _orNone(quota.nfiles))
        for path, quota in quotasOf(values).items()
    ]
    return [
        ("Listeners", ("protocol", "endpoint", "mode"), listeners),
        ("Hosts", ("name", "root", "users", "also"), hosts),
        ("Mounts", ("path", "folder", "access", "links"), mounts),
        ("Accounts", ("name", "login", "groups", "rules"), accounts),
        ("Further accounts", ("type", "place", "groups"), sources),
        ("Quotas", ("path", "bytes", "files"), quotas),
        ("Networks", ("address", "account", "protocols"), networks),
    ]


def _orNone(value: int | None) -> str:
    return "" if value is None else str(value)


def _rules(rules: list[Rule]) -> str:
    return "\n".join(
        f"{rule.path} {formatPermissions(rule.allow) or '(nothing)'}" for rule in rules
    )
