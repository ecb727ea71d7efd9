"""
C{filehub quota}: how much is used, and whether that is true.
"""

from __future__ import annotations

import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from filehub.cli.configured import configurationOption, inWords
from filehub.config.limits import transferSettings
from filehub.config.loading import loadConfiguration
from filehub.config.quotas import countsAnything, ownersIn, quotasOf
from filehub.config.schema import Configuration
from filehub.errors import ConfigurationError
from filehub.paths import ROOT, VirtualPath
from filehub.periods import formatMoment
from filehub.state.brought import BroughtQuotas, BroughtRecords
from filehub.state.database import StateDatabase
from filehub.state.records import FILE_NAME, SCHEMA, PartName, UsageRecords, UsageRow
from filehub.state.transferrecords import TransferRecords, TransferRow
from filehub.usage import Quota, Scope
from filehub.vfs.local import LocalTree
from filehub.vfs.measuring import MountedMeasure
from filehub.vfs.workers import ImmediateWorkers

_T = TypeVar("_T")


@click.group()
def quota() -> None:
    """How much is used of each quota, and whether that is true."""


@quota.command()
@configurationOption
def show(file: Path) -> None:
    """
    What the server has written down: some seconds old while it runs.

    Of what is moved, the second figure is what a crash now would leave.
    """
    with _books(file) as books:
        console = Console(highlight=False)
        if books.quotas:
            console.print(_stored(books))
        if books.moved:
            if books.quotas:
                console.print()
            console.print(_transfers(books))


def _stored(books: _Books) -> Table:
    table = Table("path", "bytes", "quota", "files", "quota", "", show_edge=False)
    for path, limit in sorted(books.quotas.items(), key=lambda each: each[0].segments):
        row = books.rows.get(path)
        cells = [
            str(path),
            "?" if row is None else str(row.nbytes),
            _limit(limit.nbytes),
            "?" if row is None else str(row.nfiles),
            _limit(limit.nfiles),
            "" if row is not None and row.exact else "changing" if row else "not counted yet",
        ]
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _transfers(books: _Books) -> Table:
    table = Table("transfers of", "", "used", "quota", "period", "ends", show_edge=False)
    settings = transferSettings(books.values)
    for row in books.moved:
        quota, used, booked = settings.quotaOf(row.scope), row.used, row.booked
        ends = formatMoment(row.period.endOf(row.begin))
        lines = (
            ("uploaded", used[0], booked[0], quota.upload),
            ("downloaded", used[1], booked[1], quota.download),
            ("both", used[0] + used[1], booked[0] + booked[1], quota.both),
            ("files uploaded", used[2], booked[2], quota.uploadFiles),
            ("files downloaded", used[3], booked[3], quota.downloadFiles),
        )
        name = str(row.scope)
        for what, figure, most, limit in lines:
            if not (figure or most or limit is not None) or (what == "both" and limit is None):
                continue
            shown = str(figure) if figure == most else f"{figure} ({most})"
            cells = [name, what, shown, _limit(limit), row.period.value, ends]
            table.add_row(*(Text(cell) for cell in cells))
            name = ""
    return table


@quota.command()
@configurationOption
@click.argument("scopes", nargs=-1, required=True, metavar="SCOPE...")
def reset(file: Path, scopes: tuple[str, ...]) -> None:
    """
    Let transfer quotas begin again, now rather than with the next period.

    SCOPE is "user NAME", "group NAME" or "server".  A server that runs does it within
    seconds.  What a user's source said of the quota of his home is forgotten too, until he
    logs in again.
    """
    with _books(file) as books:
        wanted = [_scope(each) for each in scopes]
        records = books.transfers
        if records.database.isServed():
            records.want(wanted)
            click.echo("the server begins again")
        else:
            records.forget(wanted)
            brought = BroughtRecords(records.database)
            for scope in wanted:
                if scope.level == "user":
                    _now(brought.write(scope.name, ROOT, Quota()))
            click.echo("begun again")


def _scope(text: str) -> Scope:
    level, _, name = text.partition(" ")
    if level not in ("user", "group", "server") or (level == "server") == bool(name):
        raise ConfigurationError(f'found {text!r}, expected "user NAME", "group NAME" or "server"')
    return Scope(level, name)


@quota.command()
@configurationOption
@click.option("--repair", is_flag=True, help="Write down what was found.")
def check(file: Path, repair: bool) -> None:
    """
    Compare what is written down with what is there.

    A server that runs counts again by itself what is to be repaired.  Exit status 1 if
    there are differences that were not repaired.
    """
    with _books(file) as books:
        served = books.records.database.isServed()
        wrong = []
        for path in sorted(books.quotas, key=lambda each: each.segments):
            row = books.rows.get(path)
            found = books.count(path)
            if row is not None and (row.nbytes, row.nfiles) == (found.nbytes, found.nfiles):
                click.echo(f"{path}: {found.nbytes} bytes, {found.nfiles} files")
                continue
            wrong.append(found)
            known = "nothing" if row is None else f"{row.nbytes} bytes, {row.nfiles} files"
            click.echo(
                f"{path}: found {found.nbytes} bytes, {found.nfiles} files; written down: {known}"
            )
        if wrong and repair:
            books.repair(wrong, served=served)
            click.echo("the server counts again" if served else "repaired")
        elif wrong:
            raise SystemExit(1)


def _limit(value: int | None) -> str:
    return "" if value is None else str(value)


@dataclass
class _Books:
    """
    @ivar rows: what is written down, by path.
    @ivar moved: what is written down of transfer quotas that have not ended.
    @ivar parts: known parts of broken uploads.
    """

    values: Configuration
    quotas: dict[VirtualPath, Quota]
    records: UsageRecords
    transfers: TransferRecords
    moved: list[TransferRow]
    rows: dict[VirtualPath, UsageRow]
    parts: dict[PartName, int | None]
    measure: MountedMeasure

    def count(self, path: VirtualPath) -> UsageRow:
        """What is there; the parts are noted."""
        owners = ownersIn(self.values) | {owner for owner, _ in self.parts}
        found = _now(self.measure.measure(path, owners))
        for owner, name in self.parts:
            if name.isWithin(path):
                self.parts[owner, name] = _now(self.measure.partSize(owner, name))
        self.parts.update(found.parts)
        parts = {
            part: size
            for part, size in self.parts.items()
            if size is not None and part[1].isWithin(path)
        }
        return UsageRow(
            path, found.nbytes + sum(parts.values()), found.nfiles + len(parts), exact=True
        )

    def repair(self, rows: list[UsageRow], *, served: bool) -> None:
        if served:
            self.records.want(row.path for row in rows)
        else:
            _now(self.records.write(rows, self.parts.items()))


@contextmanager
def _books(file: Path) -> Iterator[_Books]:
    """
    Everything that is needed.

    @raise Unusable: it cannot be had.
    """
    with inWords():
        values = loadConfiguration(file).values
        if not (countsAnything(values) or values.source):
            raise ConfigurationError(f"{file}: there are no quotas")
        if values.server.state is None:
            raise ConfigurationError(f"{file}: no [server] state, so nothing is written down")
        database = StateDatabase(values.server.state / FILE_NAME, SCHEMA, ImmediateWorkers())
        database.open(exclusive=False)
        trees = {
            mount.path: LocalTree(mount.source, ImmediateWorkers())
            for mount in values.mount
            if isinstance(mount.source, Path) and not mount.read_only
        }
        try:
            records = UsageRecords(database)
            rows, parts = records.load()
            known = {row.path: row for row in rows}
            quotas = quotasOf(values)
            if values.source:
                brought = BroughtQuotas(BroughtRecords(database), lambda _: None)
                brought.load()
                quotas = brought.quotas(quotas)
            transfers = TransferRecords(database)
            moved = [row for row in transfers.load() if row.period.endOf(row.begin) > time.time()]
            measure = MountedMeasure(trees)
            yield _Books(values, quotas, records, transfers, moved, known, dict(parts), measure)
        finally:
            database.closeNow()
            for tree in trees.values():
                tree.root.close(small=True)


def _now(work: Coroutine[Any, Any, _T]) -> _T:
    """What never waits, as all is done in place."""
    try:
        work.send(None)
    except StopIteration as stop:
        result: _T = stop.value
        return result
    raise RuntimeError("it waits")
