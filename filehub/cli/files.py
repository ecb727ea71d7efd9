"""
The commands that move files: get, put, cp, ls, rm, mv, mkdir.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from filehub.cli.exits import epilogue, statusFor
from filehub.cli.progress import BarDisplay, Display, LineDisplay
from filehub.cli.running import complain, run
from filehub.errors import ConfigurationError, FileHubError, IsADirectory, NotFound
from filehub.remotes.base import Entry, Remote, joined
from filehub.remotes.connecting import Connector
from filehub.remotes.copying import Copier, CopyOptions
from filehub.remotes.passwords import PasswordSources
from filehub.remotes.url import Location, parseLocation
from filehub.transfer.tlsclient import ServerTrust

_MAXIMUM_DEPTH = 100


def _prompt(text: str) -> str:
    answer: str = click.prompt(text.rstrip(": "), hide_input=True, err=True, default="")
    return answer


class _Context:
    """What the connection options of a command say."""

    def __init__(
        self,
        verify_ca: Path | None,
        insecure: bool,
        pin: str | None,
        timeout: float,
        as_json: bool,
        quiet: bool,
    ) -> None:
        self.trust = ServerTrust(verify_ca, insecure, pin)
        self.timeout = timeout
        self.asJSON = as_json
        self.quiet = quiet
        interactive = sys.stdin.isatty() and sys.stderr.isatty()
        self.passwords = PasswordSources(_prompt if interactive else None)

    def connector(self, reactor: Any) -> Connector:
        return Connector(reactor, self.passwords, self.trust, self.timeout)

    def display(self) -> Display:
        console = Console()
        if self.asJSON or self.quiet or not console.is_terminal:
            if self.quiet and not self.asJSON:
                console = Console(quiet=True)
            return LineDisplay(console, asJSON=self.asJSON)
        return BarDisplay(console)


def _connectionOptions(command: Callable[..., None]) -> Callable[..., None]:
    @click.option(
        "--verify-ca",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="PEM file of authorities to trust instead of the system's.",
    )
    @click.option("--insecure", is_flag=True, help="Believe any TLS server.")
    @click.option("--pin", metavar="SHA256", help="Believe exactly this certificate.")
    @click.option(
        "--timeout", type=click.FloatRange(0.1), default=30.0, help="Seconds for connecting."
    )
    @click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
    @click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors.")
    @functools.wraps(command)
    def wrapped(
        verify_ca: Path | None,
        insecure: bool,
        pin: str | None,
        timeout: float,
        as_json: bool,
        quiet: bool,
        **arguments: Any,
    ) -> None:
        command(_Context(verify_ca, insecure, pin, timeout, as_json, quiet), **arguments)

    return wrapped


def _locations(*texts: str) -> list[Location]:
    try:
        return [parseLocation(text) for text in texts]
    except ConfigurationError as error:
        complain(error)
        raise SystemExit(statusFor(error)) from None


_recursive = click.option("-r", "--recursive", is_flag=True, help="Directories too.")
_resume = click.option(
    "-c", "--continue", "resume", is_flag=True, help="Go on where an earlier attempt ended."
)
_parallel = click.option(
    "-j", "--parallel", type=click.IntRange(1, 32), default=1, help="Files at a time."
)


def _copy(context: _Context, source: Location, target: Location, options: CopyOptions) -> None:
    display = context.display()
    problems: list[FileHubError] = []

    async def work(reactor: Any) -> None:
        copier = Copier(context.connector(reactor).connect, display, options)
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
@_recursive
@_resume
@_parallel
@_connectionOptions
def get(
    context: _Context, url: str, local: str | None, recursive: bool, resume: bool, parallel: int
) -> None:
    """
    Download URL to LOCAL (by default a file of the same name here).

    The file gets its name when it is whole; until then it is NAME.part.
    """
    source, target = _locations(url, local or ".")
    _copy(context, source, target, CopyOptions(recursive, resume, parallel))


@click.command(epilog=epilogue())
@click.argument("local")
@click.argument("url")
@_recursive
@_resume
@_parallel
@_connectionOptions
def put(
    context: _Context, local: str, url: str, recursive: bool, resume: bool, parallel: int
) -> None:
    """
    Upload LOCAL to URL; a URL that ends in / is a directory to put it in.
    """
    source, target = _locations(local, url)
    _copy(context, source, target, CopyOptions(recursive, resume, parallel))


@click.command(epilog=epilogue())
@click.argument("source")
@click.argument("target")
@_recursive
@_resume
@_parallel
@_connectionOptions
def cp(
    context: _Context, source: str, target: str, recursive: bool, resume: bool, parallel: int
) -> None:
    """
    Copy SOURCE to TARGET; either may be a URL or a local path.
    """
    origin, destination = _locations(source, target)
    _copy(context, origin, destination, CopyOptions(recursive, resume, parallel))


def _withRemote(
    context: _Context, location: Location, use: Callable[[Remote], Awaitable[None]]
) -> None:
    async def work(reactor: Any) -> None:
        remote = await context.connector(reactor).connect(location)
        try:
            await use(remote)
        finally:
            await remote.close()

    raise SystemExit(run(work))


def describe(entry: Entry) -> str:
    """One line of a listing for people."""
    size = f"{entry.size:>14,}" if entry.size is not None else f"{'':>14}"
    moment = (
        time.strftime("%Y-%m-%d %H:%M", time.gmtime(entry.modified))
        if entry.modified is not None
        else ""
    )
    name = "".join(each if each.isprintable() else "?" for each in entry.name)
    return f"{entry.kind:<5} {size}  {moment:16}  {name}{'/' if entry.isDirectory else ''}"


@click.command(epilog=epilogue())
@click.argument("url")
@click.option("-1", "names", is_flag=True, help="Names only.")
@_connectionOptions
def ls(context: _Context, url: str, names: bool) -> None:
    """
    List the directory URL (times are UTC).
    """
    (location,) = _locations(url)

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
                click.echo("".join(each if each.isprintable() else "?" for each in entry.name))
            else:
                click.echo(describe(entry))

    _withRemote(context, location, use)


@click.command(epilog=epilogue())
@click.argument("url")
@_recursive
@_connectionOptions
def rm(context: _Context, url: str, recursive: bool) -> None:
    """
    Remove the file URL, or with -r a directory and all that is in it.
    """
    (location,) = _locations(url)

    async def use(remote: Remote) -> None:
        entry = await remote.entry(location.path)
        if entry is None or not entry.isDirectory:
            await remote.removeFile(location.path)
        elif recursive:
            await removeTree(remote, location.path)
        else:
            raise IsADirectory(None, f"{location}: is a directory (remove it with -r)")

    _withRemote(context, location, use)


async def removeTree(remote: Remote, path: str, depth: int = 0) -> None:
    """
    Remove a directory and all that is in it.  Links are removed, not followed.

    @raise FileHubError: something could not be removed; what was before it is gone.
    """
    if depth > _MAXIMUM_DEPTH:
        raise NotFound(None, f"{path}: nested too deep")
    for entry in await remote.list(path):
        if entry.name in ("", ".", "..") or "/" in entry.name:
            raise NotFound(None, f"{path}: dangerous name in the listing")
        below = joined(path, entry.name)
        if entry.isDirectory:
            await removeTree(remote, below, depth + 1)
        else:
            await remote.removeFile(below)
    await remote.removeDirectory(path)


@click.command(epilog=epilogue())
@click.argument("source")
@click.argument("target")
@_connectionOptions
def mv(context: _Context, source: str, target: str) -> None:
    """
    Rename SOURCE to TARGET: both on the same server, or TARGET just a path there.
    """
    (origin,) = _locations(source)
    if "://" in target or origin.isLocal:
        (destination,) = _locations(target)
        if destination.server != origin.server:
            raise click.UsageError("SOURCE and TARGET are on different servers: use cp and rm")
        target = destination.path

    async def use(remote: Remote) -> None:
        await remote.rename(origin.path, target)

    _withRemote(context, origin, use)


@click.command(epilog=epilogue())
@click.argument("url")
@click.option("-p", "--parents", is_flag=True, help="Missing parents too; no error if it exists.")
@_connectionOptions
def mkdir(context: _Context, url: str, parents: bool) -> None:
    """
    Make the directory URL.
    """
    (location,) = _locations(url)

    async def use(remote: Remote) -> None:
        if not parents:
            await remote.makeDirectory(location.path)
            return
        names = [name for name in location.path.split("/") if name]
        start = "/" if location.path.startswith("/") else ""
        for count in range(1, len(names) + 1):
            path = start + "/".join(names[:count])
            try:
                await remote.makeDirectory(path)
            except FileHubError:
                found = await remote.entry(path)
                if found is None or not found.isDirectory:
                    raise

    _withRemote(context, location, use)
