"""
What the server's own tools have in common: whose configuration they work on, and how they
end when that cannot be done.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import click

from filehub.cli.exits import OTHER, USAGE
from filehub.errors import FileHubError

#: Gives a command the path as C{file}.
configurationOption: Final = click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    envvar="FILEHUB_CONFIG",
    default=Path("/etc/filehub.toml"),
    show_default=True,
    help="The server's configuration file; $FILEHUB_CONFIG.",
)


class Failed(click.ClickException):
    """Ends the program with a line or more, when the terminal is what it was before."""

    exit_code = OTHER

    def show(self, file: IO[Any] | None = None) -> None:
        """On standard error, unless told otherwise."""
        for line in self.message.splitlines():
            click.echo(f"filehub: {line}", file=file, err=file is None)


class Unusable(Failed):
    """A configuration or a state that nothing can be done with."""

    exit_code = USAGE


@contextmanager
def inWords() -> Iterator[None]:
    """
    @raise Unusable: for what is done here and cannot be done.
    """
    try:
        yield
    except FileHubError as error:
        raise Unusable(str(error)) from None
