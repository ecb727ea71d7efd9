"""
What the commands that connect have in common: options, passwords, displays.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from filehub.cli.exits import statusFor
from filehub.cli.progress import BarDisplay, Display, LineDisplay
from filehub.cli.running import complain
from filehub.errors import ConfigurationError
from filehub.remotes.connecting import Connector
from filehub.remotes.passwords import PasswordSources
from filehub.remotes.url import Location, parseLocation
from filehub.transfer.tlsclient import ServerTrust


def _prompt(text: str) -> str:
    answer: str = click.prompt(text.rstrip(": "), hide_input=True, err=True, default="")
    return answer


class Context:
    """What the connection options of a command say."""

    def __init__(
        self,
        verify_ca: Path | None,
        insecure: bool,
        pin: str | None,
        timeout: float,
        as_json: bool,
        quiet: bool,
        blksize: int = 1428,
        windowsize: int = 16,
    ) -> None:
        self.blksize = blksize
        self.windowsize = windowsize
        self.trust = ServerTrust(verify_ca, insecure, pin)
        self.timeout = timeout
        self.asJSON = as_json
        self.quiet = quiet
        interactive = sys.stdin.isatty() and sys.stderr.isatty()
        self.passwords = PasswordSources(_prompt if interactive else None)

    def connector(self, reactor: Any) -> Connector:
        """How to connect."""
        return Connector(
            reactor, self.passwords, self.trust, self.timeout, self.blksize, self.windowsize
        )

    def display(self) -> Display:
        """How to show a copy; one for each."""
        console = Console()
        if self.asJSON or self.quiet or not console.is_terminal:
            if self.quiet and not self.asJSON:
                console = Console(quiet=True)
            return LineDisplay(console, asJSON=self.asJSON)
        return BarDisplay(console)


def connectionOptions(command: Callable[..., None]) -> Callable[..., None]:
    """
    Give a command the options of all that connect; it gets a L{Context} first.
    """

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
    @click.option(
        "--blksize",
        type=click.IntRange(8, 65464),
        default=1428,
        show_default=True,
        help="TFTP: octets in a block.",
    )
    @click.option(
        "--windowsize",
        type=click.IntRange(1, 65535),
        default=16,
        show_default=True,
        help="TFTP: blocks in a window.",
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
        blksize: int,
        windowsize: int,
        **arguments: Any,
    ) -> None:
        context = Context(verify_ca, insecure, pin, timeout, as_json, quiet, blksize, windowsize)
        command(context, **arguments)

    return wrapped


def locations(*texts: str) -> list[Location]:
    """
    Parse URLs; ends the program with its words if one is wrong.
    """
    try:
        return [parseLocation(text) for text in texts]
    except ConfigurationError as error:
        complain(error)
        raise SystemExit(statusFor(error)) from None


#: The options of commands that copy.
recursive = click.option("-r", "--recursive", is_flag=True, help="Directories too.")
resume = click.option(
    "-c", "--continue", "resume", is_flag=True, help="Go on where an earlier attempt ended."
)
parallel = click.option(
    "-j", "--parallel", type=click.IntRange(1, 32), default=1, help="Files at a time."
)
