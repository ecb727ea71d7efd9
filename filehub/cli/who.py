"""
C{filehub who} and C{filehub kick}: the sessions of a running server.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from filehub.cli.ban import NetworkParameter
from filehub.cli.configured import configurationOption
from filehub.config.loading import loadConfiguration
from filehub.control import Row, ask
from filehub.errors import ConfigurationError, FileHubError
from filehub.networks import Network
from filehub.observers import escaped


@click.command()
@configurationOption
@click.option("--as-json", is_flag=True, help="A line of JSON for each session.")
def who(file: Path, as_json: bool) -> None:
    """
    Say who is there, and what they do.  Exit status 1 if no server runs.
    """
    rows = _asked(file, {"ask": "who"})
    rows.sort(key=lambda row: -float(row["seconds"]))
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    table = Table("session", "protocol", "account", "address", "for", "does", show_edge=False)
    for row in rows:
        cells = (
            str(row["session"]),
            row["protocol"] + (" TLS" if row["secure"] else ""),
            escaped(row["account"] or "-"),
            row["address"],
            _duration(row["seconds"]),
            escaped(row["activity"]),
        )
        table.add_row(*(Text(cell) for cell in cells))
    console = Console(highlight=False)
    if rows:
        console.print(table)
    console.print(f"{len(rows)} session{'' if len(rows) == 1 else 's'}")


@click.command()
@configurationOption
@click.option("--user", "account", help="All sessions of this account.")
@click.option("--address", "network", type=NetworkParameter(), help="All from there.")
@click.option("--reason", default="ended by the operator", help="What the client is told.")
@click.argument("session", type=int, required=False)
def kick(
    file: Path, account: str | None, network: Network | None, reason: str, session: int | None
) -> None:
    """
    End a session, by its number as C{filehub who} says it, or all that match.  They may
    come back at once: see C{filehub ban}.  Exit status 1 if there is none.
    """
    if session is None and account is None and network is None:
        raise click.UsageError("say which: a number, --user or --address")
    address = None if network is None else str(network)
    question = {"ask": "leave", "reason": reason, "session": session}
    rows = _asked(file, question | {"account": account, "address": address})
    for row in rows:
        name = escaped(row["account"] or "-")
        click.echo(f"{row['session']}: {row['protocol']} {name} {row['address']}")
    if not rows:
        click.echo("filehub: there is no such session", err=True)
        raise SystemExit(1)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _asked(file: Path, question: dict[str, Any]) -> list[Row]:
    """Ends the program with a word if there is no answer."""
    try:
        state = loadConfiguration(file).values.server.state
        if state is None:
            raise ConfigurationError(f"{file}: no [server] state, where a server could be asked")
        rows = ask(state, question)
    except FileHubError as error:
        for line in str(error).splitlines():
            click.echo(f"filehub: {line}", err=True)
        raise SystemExit(2) from None
    if rows is None:
        click.echo(f"filehub: no server runs with {state}", err=True)
        raise SystemExit(1)
    return rows
