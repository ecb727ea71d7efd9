"""
C{filehub explain}: why may, or may not, somebody do this?
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from filehub.accounts.database import DatabaseUnavailable, openPostgreSQL, openSQLite
from filehub.accounts.explaining import VERBS, Rehearsal
from filehub.accounts.explaining import explain as askGuard
from filehub.accounts.policy import RulePolicy
from filehub.accounts.records import ANONYMOUS_NAME, AccountRecord
from filehub.cli.configured import configurationOption
from filehub.cli.exits import OK, OTHER
from filehub.cli.running import run
from filehub.config.accounts import AccountBuilder
from filehub.config.loading import LoadedConfiguration, loadConfiguration
from filehub.config.storages import namesOf, openStorage
from filehub.credentials import Address, ConnectionInfo
from filehub.errors import ConfigurationError
from filehub.paths import VirtualPath
from filehub.vfs.readonly import ReadOnlyFileSystem
from filehub.vfs.workers import FileWorkers

#: The exit status of a denial, as that of a denied transfer.
_DENIED: Final = 6
#: Those that make a file over TFTP.
_TFTP_WRITES: Final = frozenset(("PUT", "WRITE", "WRQ", "STOR"))
#: All that TFTP has.
_TFTP_VERBS: Final = _TFTP_WRITES | {"GET", "READ", "RETR", "RRQ"}


@dataclass(frozen=True)
class Answer:
    """What is said; the names are those of the JSON object."""

    user: str
    address: str | None
    protocol: str
    verb: str
    path: str
    canonical: str | None
    allowed: bool
    reason: str
    owner: str | None


@click.command()
@click.argument("user", metavar="USER[@ADDRESS]")
@click.argument("verb")
@click.argument("path")
@configurationOption
@click.option("--protocol", type=click.Choice(["ftp", "rfc913", "tftp"]), default="ftp")
@click.option("--tls", is_flag=True, help="Over an encrypted connection.")
@click.option("--as-json", is_flag=True, help="One JSON object instead of a sentence.")
def explain(
    user: str, verb: str, path: str, file: Path, protocol: str, tls: bool, as_json: bool
) -> None:
    """
    Say whether USER (from ADDRESS) may do VERB at PATH, and which rule, in which line of
    which file, decides.

    VERB is a command of any protocol (RETR, STOR, CWD, WRQ, KILL, ...) or a word like
    get, put, ls, cd, rm, mkdir, mv. The files are looked at, for links, and nothing is
    changed. Exit status 0: allowed, 6: denied.
    """
    name, _, address = user.rpartition("@") if "@" in user else (user, "", "")
    if verb.upper() not in VERBS:
        raise click.ClickException(f"found {verb!r}, expected one of {', '.join(sorted(VERBS))}")
    try:
        loaded = loadConfiguration(file)
    except ConfigurationError as error:
        raise click.ClickException(str(error)) from None
    connection = ConnectionInfo(protocol, 0, Address(address, 0), Address("", 0), secure=tls)
    answers: list[Answer] = []

    def say(allowed: bool, reason: str, canonical: VirtualPath | None = None) -> None:
        shown = str(canonical) if canonical is not None else None
        answers.append(
            Answer(
                name, address or None, protocol, verb.upper(), path, shown, allowed, reason, owner
            )
        )

    owner: str | None = None

    async def work(reactor: Any) -> None:
        nonlocal owner
        record = await _find(loaded, name)
        if record is None:
            say(False, f"{file} has no account {name!r}")
            return
        if record.ownership is not None:
            owner = ":".join("" if each < 0 else str(each) for each in record.ownership)
        refusal = _refusal(loaded, record, connection, verb.upper())
        if refusal is not None:
            say(False, refusal)
            return
        workers = FileWorkers(reactor)
        try:
            views = {}
            for mount in loaded.values.mount:
                view = Rehearsal(openStorage(reactor, workers, mount).viewFor(record.name))
                readOnly = mount.read_only or not isinstance(mount.source, Path)
                views[mount.path] = ReadOnlyFileSystem(view) if readOnly else view
            policy = RulePolicy(record.rules, record.groupRules, namesOf(loaded.values))
            decision = await askGuard(views, policy, verb, record.home.join(path))
        finally:
            workers.stop()
        say(decision.isAllowed, decision.reason, decision.canonical)

    status = run(work)
    if status != OK or not answers:
        raise SystemExit(status or OTHER)
    (answer,) = answers
    click.echo(json.dumps(asdict(answer)) if as_json else _sentence(answer))
    raise SystemExit(OK if answer.allowed else _DENIED)


def _sentence(answer: Answer) -> str:
    place = answer.path
    if answer.canonical is not None and answer.canonical != answer.path:
        place = f"{answer.path} (which is {answer.canonical})"
    may = "may" if answer.allowed else "may not"
    owner = f"; what it makes belongs to {answer.owner}" if answer.allowed and answer.owner else ""
    return f"{answer.user} {may} {answer.verb} {place}: {answer.reason}{owner}"


async def _find(loaded: LoadedConfiguration, name: str) -> AccountRecord | None:
    """
    The account, in the file or in a database; places that check passwords themselves
    do not say whom they know.

    @raise ConfigurationError: it makes no sense, or cannot be looked up.
    """
    builder = AccountBuilder(loaded)
    table = builder.table()
    found = await (table.findAnonymous() if name == ANONYMOUS_NAME else table.find(name))
    if found is not None:
        return found
    for source in loaded.values.source:
        if source.type not in ("sqlite", "postgresql"):
            continue
        try:
            if source.file is not None:
                tables = openSQLite(source.file)
            else:
                tables = openPostgreSQL(source.url or "")
            try:
                stored = tables.find(name)
            finally:
                tables.close()
        except DatabaseUnavailable as error:
            raise ConfigurationError(error.reason) from None
        if stored is not None:
            return builder.fromStored(stored, tables.place)
    return None


def _refusal(
    loaded: LoadedConfiguration,
    record: AccountRecord,
    connection: ConnectionInfo,
    verb: str,
) -> str | None:
    """What is in the way before any file is looked at."""
    if not record.enabled:
        return "the account is disabled"
    for admission in record.admissions:
        if admission.networks and not connection.peer.host:
            return "the account is for certain addresses only: say USER@ADDRESS"
        refusal = admission.refusal(connection, datetime.now())
        if refusal is not None:
            return refusal
    if record.requiresTLS and not connection.secure:
        return "the account is for encrypted connections only"
    if connection.protocol == "tftp":
        if verb not in _TFTP_VERBS:
            return "TFTP has nothing for this"
        if verb in _TFTP_WRITES and loaded.values.tftp.write == "deny":
            where = loaded.originOf(("tftp", "write"))
            return f'tftp.write is "deny" ({where})'
    return None
