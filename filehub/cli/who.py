"""
C{filehub who} and C{filehub kick}: the sessions of a running server.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console, Group, RenderableType
from rich.filesize import decimal
from rich.live import Live
from rich.table import Table
from rich.text import Text

from filehub.cli.ban import NetworkParameter
from filehub.cli.configured import Failed, configurationOption, inWords
from filehub.config.loading import loadConfiguration
from filehub.control import Row, ask
from filehub.errors import ConfigurationError
from filehub.networks import Network
from filehub.observers import escaped

#: Seconds between two looks.
_INTERVAL: Final = 1.0
#: Columns that a table needs, and those that nothing needs.
_NARROWEST: Final = 80
_ENDLESS: Final = 10_000


@click.command()
@configurationOption
@click.option("--as-json", is_flag=True, help="A line of JSON for each session.")
@click.option("--watch", is_flag=True, help="Look again every second, until Ctrl-C.")
def who(file: Path, as_json: bool, watch: bool) -> None:
    """
    Say who is there, what they do, and how quickly.  Exit status 1 if no server runs.
    """
    if watch and as_json:
        raise click.UsageError("--watch is for people, --as-json for programs")
    if watch:
        _watch(file)
        return
    rows = _present(file)
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
    else:
        _console().print(_shown(rows, {}))


def _watch(file: Path) -> None:
    """Until there is no server, or nobody looks any more."""
    console = _console()
    if not console.is_terminal:
        raise click.UsageError("--watch needs a terminal")
    rows = _present(file)
    try:
        with Live(_shown(rows, {}), console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(_INTERVAL)
                earlier = {_transferOf(row): row for row in rows}
                rows = _present(file)
                live.update(_shown(rows, earlier), refresh=True)
    except KeyboardInterrupt:
        # That is how it ends.
        return


def _console() -> Console:
    """Programs get a line for each session, and narrow terminals break what is too long."""
    console = Console(highlight=False)
    console.width = max(console.width, _NARROWEST) if console.is_terminal else _ENDLESS
    return console


def _present(file: Path) -> list[Row]:
    """Who is there, those first who have been there the longest."""
    return sorted(_asked(file, {"ask": "who"}), key=lambda row: -float(row["seconds"]))


def _transferOf(row: Row) -> tuple[object, ...]:
    return row["process"], row["session"], row["activity"]


def _shown(rows: list[Row], earlier: Mapping[tuple[object, ...], Row]) -> RenderableType:
    """
    @param earlier: what was seen the last time; rates are those since then.
    """
    total = f"{len(rows)} session{'' if len(rows) == 1 else 's'}"
    if not rows:
        return total
    table = Table(box=None, padding=(0, 1, 0, 0))
    # What is too long is broken, and whole.
    for name in ("session", "protocol", "account"):
        table.add_column(name, min_width=len(name), overflow="fold")
    table.add_column("address", min_width=15, overflow="fold")
    for name in ("for", "moved", "rate"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("does", overflow="fold")
    for row in rows:
        cells = (
            str(row["session"]),
            row["protocol"] + (" TLS" if row["secure"] else ""),
            escaped(row["account"] or "-"),
            row["address"],
            _duration(row["seconds"]),
            "" if row["bytes"] is None else decimal(row["bytes"]),
            _rate(row, earlier.get(_transferOf(row))),
            escaped(row["activity"]),
        )
        table.add_row(*(Text(cell) for cell in cells))
    return Group(table, total)


def _rate(row: Row, before: Row | None) -> str:
    nbytes, seconds = row["bytes"], row["moving"]
    if nbytes is None:
        return ""
    if before is not None and before["bytes"] is not None:
        # Where it has not grown in both, another transfer of the same name has begun.
        if before["bytes"] <= nbytes and before["moving"] < seconds:
            nbytes -= before["bytes"]
            seconds -= before["moving"]
    return f"{decimal(int(nbytes / seconds))}/s" if seconds > 0 else ""


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
        raise Failed("there is no such session")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _asked(file: Path, question: dict[str, Any]) -> list[Row]:
    """
    @raise Failed: there is no answer.
    """
    with inWords():
        state = loadConfiguration(file).values.server.state
        if state is None:
            raise ConfigurationError(f"{file}: no [server] state, where a server could be asked")
        rows = ask(state, question)
    if rows is None:
        raise Failed(f"no server runs with {state}")
    return rows
