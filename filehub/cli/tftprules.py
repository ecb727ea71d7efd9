"""
C{filehub tftp-rules}: map files of tftp-hpa, and what rules make of a name.
"""

from __future__ import annotations

from pathlib import Path

import click

from filehub.config.loading import loadConfiguration
from filehub.config.tftpnames import nameSettings, readMap
from filehub.errors import ConfigurationError, PermissionDenied
from filehub.paths import ROOT
from filehub.protocols.tftp.clientroots import rootsFor
from filehub.protocols.tftp.mapfile import asTOML
from filehub.protocols.tftp.names import pathOf
from filehub.protocols.tftp.rules import Caller, Verb
from filehub.transfer.neighbours import readNeighbours


@click.group("tftp-rules")
def tftprules() -> None:
    """
    Rules for the names in TFTP requests.
    """


@tftprules.command("import")
@click.argument("file", type=click.Path(path_type=Path))
def importMap(file: Path) -> None:
    """
    Print the map FILE of tftp-hpa (in.tftpd --map-file) as tables [[tftp.rule]].
    """
    try:
        rules = readMap(file)
    except ConfigurationError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from None
    click.echo(asTOML(rules), nl=False)


@tftprules.command("try")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("name")
@click.option("--address", default="192.0.2.1", show_default=True, help="The client's address.")
@click.option("--mac", help="Its hardware address; by default what the kernel knows.")
@click.option("--local", default="192.0.2.254", show_default=True, help="Our address.")
@click.option("--put", "write", is_flag=True, help="A write request.")
def tryName(file: Path, name: str, address: str, mac: str | None, local: str, write: bool) -> None:
    """
    Say where the configuration FILE looks for NAME, below the account's home.

    Questions of rules whether a file exists are answered with no.
    """
    try:
        settings = nameSettings(loadConfiguration(file, checkFolders=False).values.tftp)
    except ConfigurationError as error:
        for line in str(error).splitlines():
            click.echo(line, err=True)
        raise SystemExit(1) from None
    table = {address: mac} if mac is not None else readNeighbours()
    caller = Caller(address, local, table.get)
    verb: Verb = "put" if write else "get"
    run = settings.rules.run(name, caller, verb)
    try:
        asked = next(run)
        while True:
            click.echo(f"asked for: {asked}")
            asked = run.send(False)
    except StopIteration as stop:
        rewritten: str = stop.value
    except PermissionDenied as error:
        click.echo(f"denied: {error.detail or error.summary}")
        raise SystemExit(1) from None
    if settings.case == "lower":
        rewritten = rewritten.lower()
    click.echo(f"rewritten: {rewritten}")
    for root in rootsFor(settings.roots, caller):
        click.echo(f"first:     {pathOf(rewritten, root, backslashes=settings.backslashes)}")
    home = pathOf(rewritten, ROOT, backslashes=settings.backslashes)
    click.echo(f"then:      HOME{home}")
