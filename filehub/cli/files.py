"""
The commands that move files: get, put, cp, ls, rm, mv, mkdir.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import click

from filehub.cli import options
from filehub.cli.exits import epilogue, statusFor
from filehub.cli.options import Context, connectionOptions, locations
from filehub.cli.running import complain, run
from filehub.errors import FileHubError, IsADirectory
from filehub.remotes.base import Entry, Remote
from filehub.remotes.copying import Copier, CopyOptions
from filehub.remotes.trees import makeParents, removeTree
from filehub.remotes.url import Location


def _copy(context: Context, source: Location, target: Location, how: CopyOptions) -> None:
    display = context.display()
    problems: list[FileHubError] = []

    async def work(reactor: Any) -> None:
        copier = Copier(context.connector(reactor).connect, display, how)
        display.begin(reactor)
        try:
            await copier.copy(source, target)
        finally:
            display.finish()
            problems.extend(error for _, error in copier.problems)

    status = run(work)
    for problem in problems:
        complain(problem)
    raise SystemExit(status or (statusFor(problems[0]) if problems else 0))


@click.command(epilog=epilogue())
@click.argument("url")
@click.argument("local", required=False)
@options.recursive
@options.resume
@options.parallel
@connectionOptions
def get(
    context: Context, url: str, local: str | None, recursive: bool, resume: bool, parallel: int
) -> None:
    """
    Download URL to LOCAL (by default a file of the same name here).

    The file gets its name when it is whole; until then it is NAME.part.
    """
    source, target = locations(url, local or ".")
    _copy(context, source, target, CopyOptions(recursive, resume, parallel))


@click.command(epilog=epilogue())
@click.argument("local")
@click.argument("url")
@options.recursive
@options.resume
@options.parallel
@connectionOptions
def put(
    context: Context, local: str, url: str, recursive: bool, resume: bool, parallel: int
) -> None:
    """
    Upload LOCAL to URL; a URL that ends in / is a directory to put it in.
    """
    source, target = locations(local, url)
    _copy(context, source, target, CopyOptions(recursive, resume, parallel))


@click.command(epilog=epilogue())
@click.argument("source")
@click.argument("target")
@options.recursive
@options.resume
@options.parallel
@connectionOptions
def cp(
    context: Context, source: str, target: str, recursive: bool, resume: bool, parallel: int
) -> None:
    """
    Copy SOURCE to TARGET; either may be a URL or a local path.
    """
    origin, destination = locations(source, target)
    _copy(context, origin, destination, CopyOptions(recursive, resume, parallel))


def _withRemote(
    context: Context, location: Location, use: Callable[[Remote], Awaitable[None]]
) -> None:
    async def work(reactor: Any) -> None:
        remote = await context.connector(reactor).connect(location)
        try:
            await use(remote)
        finally:
            await remote.close()

    raise SystemExit(run(work))


def shown(text: str) -> str:
    """A server's words, harmless to a terminal."""
    return "".join(each if each.isprintable() else "?" for each in text)


def describe(entry: Entry) -> str:
    """One line of a listing for people."""
    size = f"{entry.size:>14,}" if entry.size is not None else f"{'':>14}"
    moment = (
        time.strftime("%Y-%m-%d %H:%M", time.gmtime(entry.modified))
        if entry.modified is not None
        else ""
    )
    name = shown(entry.name)
    return f"{entry.kind:<5} {size}  {moment:16}  {name}{'/' if entry.isDirectory else ''}"


@click.command(epilog=epilogue())
@click.argument("url")
@click.option("-1", "names", is_flag=True, help="Names only.")
@connectionOptions
def ls(context: Context, url: str, names: bool) -> None:
    """
    List the directory URL (times are UTC).
    """
    (location,) = locations(url)

    async def use(remote: Remote) -> None:
        entries = await remote.list(location.path)
        for entry in sorted(entries, key=lambda each: each.name):
            if context.asJSON:
                record = {
                    "name": entry.name,
                    "kind": entry.kind,
                    "size": entry.size,
                    "modified": entry.modified,
                }
                click.echo(json.dumps(record))
            elif names:
                click.echo(shown(entry.name))
            else:
                click.echo(describe(entry))

    _withRemote(context, location, use)


@click.command(epilog=epilogue())
@click.argument("url")
@options.recursive
@connectionOptions
def rm(context: Context, url: str, recursive: bool) -> None:
    """
    Remove the file URL, or with -r a directory and all that is in it.
    """
    (location,) = locations(url)

    async def use(remote: Remote) -> None:
        entry = await remote.entry(location.path)
        if entry is None or not entry.isDirectory:
            await remote.removeFile(location.path)
        elif recursive:
            await removeTree(remote, location.path)
        else:
            raise IsADirectory(None, f"{location}: is a directory (remove it with -r)")

    _withRemote(context, location, use)


@click.command(epilog=epilogue())
@click.argument("source")
@click.argument("target")
@connectionOptions
def mv(context: Context, source: str, target: str) -> None:
    """
    Rename SOURCE to TARGET: both on the same server, or TARGET just a path there.
    """
    (origin,) = locations(source)
    if "://" in target or origin.isLocal:
        (destination,) = locations(target)
        if destination.server != origin.server:
            raise click.UsageError("SOURCE and TARGET are on different servers: use cp and rm")
        target = destination.path

    async def use(remote: Remote) -> None:
        await remote.rename(origin.path, target)

    _withRemote(context, origin, use)


@click.command(epilog=epilogue())
@click.argument("url")
@click.option("-p", "--parents", is_flag=True, help="Missing parents too; no error if it exists.")
@connectionOptions
def mkdir(context: Context, url: str, parents: bool) -> None:
    """
    Make the directory URL.
    """
    (location,) = locations(url)

    async def use(remote: Remote) -> None:
        if not parents:
            await remote.makeDirectory(location.path)
            return
        await makeParents(remote, location.path)

    _withRemote(context, location, use)
