"""
What the server's own tools have in common: whose configuration they work on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

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
