"""
C{filehub quota}: how much is used, and whether that is true.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from filehub.cli.configured import configurationOption
from filehub.config.loading import loadConfiguration
from filehub.config.quotas import ownersIn, quotasOf
from filehub.config.schema import Configuration
from filehub.errors import ConfigurationError, FileHubError
from filehub.paths import VirtualPath
from filehub.state.database import StateDatabase
from filehub.state.records import FILE_NAME, SCHEMA, PartName, UsageRecords, UsageRow
from filehub.usage import Quota
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
    """
    with _books(file) as books:
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
        Console(highlight=False).print(table)


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
    @ivar parts: known parts of broken uploads.
    """

    values: Configuration
    quotas: dict[VirtualPath, Quota]
    records: UsageRecords
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
    Everything that is needed; ends the program with a word if it cannot be had.
    """
    try:
        values = loadConfiguration(file).values
        quotas = quotasOf(values)
        if not quotas:
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
            yield _Books(values, quotas, records, known, dict(parts), MountedMeasure(trees))
        finally:
            database.closeNow()
            for tree in trees.values():
                tree.root.close(small=True)
    except FileHubError as error:
        for line in str(error).splitlines():
            click.echo(f"filehub: {line}", err=True)
        raise SystemExit(2) from None


def _now(work: Coroutine[Any, Any, _T]) -> _T:
    """What never waits, as all is done in place."""
    try:
        work.send(None)
    except StopIteration as stop:
        result: _T = stop.value
        return result
    raise RuntimeError("it waits")
