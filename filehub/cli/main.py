"""
C{filehub}: subcommands are imported when they are called, so that each starts quickly.
"""

from __future__ import annotations

import importlib
from typing import Final

import click

import filehub
from filehub.errors import FileHubError

#: Where each subcommand lives, and its line in the overview.
_COMMANDS: Final = {
    "check": ("filehub.cli.check", "Say what a configuration file would serve, or what is wrong."),
    "quota": ("filehub.cli.quota", "How much is used of each quota, and whether that is true."),
    "who": ("filehub.cli.who", "Say who is connected to the server, and what they do."),
    "kick": ("filehub.cli.who", "End sessions of the server."),
    "ban": ("filehub.cli.ban", "Say which addresses are not let in, and change that."),
    "explain": ("filehub.cli.explain", "Say why somebody may, or may not, do something."),
    "passwd": ("filehub.cli.passwd", "Make the hash of a password for the configuration file."),
    "user": ("filehub.cli.accounts", "Make, change and import accounts in a database."),
    "group": ("filehub.cli.accounts", "Make and change groups in a database."),
    "tftp-rules": ("filehub.cli.tftprules", "Import and try rules for names in TFTP requests."),
    "get": ("filehub.cli.files", "Download a file or tree."),
    "put": ("filehub.cli.files", "Upload a file or tree."),
    "cp": ("filehub.cli.files", "Copy between any two places."),
    "ls": ("filehub.cli.files", "List a directory."),
    "rm": ("filehub.cli.files", "Remove a file or tree."),
    "mv": ("filehub.cli.files", "Rename."),
    "mkdir": ("filehub.cli.files", "Make a directory."),
    "sh": ("filehub.cli.shell", "Work on a server interactively, or from a script."),
}


class _LazyGroup(click.Group):
    """Knows its commands' names and loads the one that is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = _COMMANDS.get(cmd_name)
        if place is None:
            return None
        command: click.Command = getattr(
            importlib.import_module(place[0]), cmd_name.replace("-", "")
        )
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(filehub.__version__, prog_name="filehub")
def cli() -> None:
    """
    Files over FTP, FTPS, TFTP and RFC 913, and the FileHub server's own tools.

    A place is a local path or a URL: ftp://host/path, ftpes:// (FTP with AUTH TLS),
    ftps:// (implicit TLS), tftp://, rfc913:// or file://. Passwords come from a
    prompt, ~/.netrc or $FILEHUB_PASSWORD.

    The server itself is started with: twistd filehub
    """


def main() -> None:
    """The console script."""
    try:
        cli(prog_name="filehub")
    except FileHubError as error:
        # Commands turn their failures into exit statuses; this is for what fails
        # before they could.
        for line in str(error).splitlines():
            click.echo(f"filehub: {line}", err=True)
        raise SystemExit(2) from None
