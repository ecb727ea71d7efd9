"""
C{filehub ban}: who is not let in, and who is from now on.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from filehub.cli.configured import Failed, configurationOption, inWords
from filehub.config.loading import loadConfiguration
from filehub.errors import ConfigurationError
from filehub.networks import Network
from filehub.state.bans import FILE_NAME, SCHEMA, BanRecords, BanRow
from filehub.state.database import StateDatabase
from filehub.vfs.workers import ImmediateWorkers

_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class NetworkParameter(click.ParamType):  # type: ignore[type-arg]
    """An address or network."""

    name = "address"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Network:
        try:
            return ipaddress.ip_network(str(value))
        except ValueError as error:
            self.fail(f"expected an address or network such as 10.0.0.0/8: {error}", param, ctx)


class _DurationParameter(click.ParamType):  # type: ignore[type-arg]
    """Seconds, or with a unit."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        match = re.fullmatch(r"([0-9]{1,9})([smhd]?)", str(value), re.ASCII)
        if match is None or not int(match[1]):
            self.fail("expected a time such as 900, 30m, 12h or 7d", param, ctx)
        return float(int(match[1]) * _UNITS[match[2]])


@click.group()
def ban() -> None:
    """
    Addresses that are not let in.

    What is changed here holds at once if no server runs, and otherwise within seconds.
    """


@ban.command("list")
@configurationOption
def list_(file: Path) -> None:
    """
    Those that are written down.
    """
    with _records(file) as records:
        table = Table("address", "since", "until", "reason", show_edge=False)
        for row in sorted(records.load(time.time()), key=lambda each: each.since):
            until = "for ever" if row.until is None else _moment(row.until)
            cells = [_shown(row.network), _moment(row.since), until, row.reason]
            table.add_row(*(Text(cell) for cell in cells))
        Console(highlight=False).print(table)


@ban.command()
@configurationOption
@click.option(
    "--for",
    "seconds",
    type=_DurationParameter(),
    help="How long: 900, 30m, 12h, 7d; else for ever.",
)
@click.option("--reason", default="by the operator", help="For the list.")
@click.argument("network", type=NetworkParameter(), metavar="ADDRESS")
def add(file: Path, seconds: float | None, reason: str, network: Network) -> None:
    """
    Do not let an address, or a network, in.
    """
    now = time.time()
    shown = "".join(each if each.isprintable() else "?" for each in reason)
    with _records(file) as records:
        until = None if seconds is None else now + seconds
        records.add(BanRow(network, until, now, shown))


@ban.command("del")
@configurationOption
@click.argument("network", type=NetworkParameter(), metavar="ADDRESS")
def del_(file: Path, network: Network) -> None:
    """
    Let it in again.  Exit status 1 if it is not banned.
    """
    with _records(file) as records:
        if not records.remove(network):
            raise Failed(f"{_shown(network)} is not banned")


def _shown(network: Network) -> str:
    single = network.prefixlen == network.max_prefixlen
    return str(network.network_address if single else network)


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


@contextmanager
def _records(file: Path) -> Iterator[BanRecords]:
    """
    @raise Unusable: they cannot be had.
    """
    with inWords():
        state = loadConfiguration(file).values.server.state
        if state is None:
            raise ConfigurationError(f"{file}: no [server] state, so no bans are written down")
        database = StateDatabase(state / FILE_NAME, SCHEMA, ImmediateWorkers())
        database.open(exclusive=False)
        try:
            yield BanRecords(database)
        finally:
            database.closeNow()
