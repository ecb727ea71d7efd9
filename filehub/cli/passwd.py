"""
C{filehub passwd}: the hash of a password, for the configuration file.
"""

from __future__ import annotations

import getpass
import sys

import click

from filehub.accounts.hashes import hashPassword


@click.command()
def passwd() -> None:
    """
    Make the hash of a password for the configuration file.

    Asks twice on a terminal; reads two equal lines from a pipe. Prints one line for
    the key "password" of a [[user]].
    """
    try:
        hashed = hashPassword(askPassword())
    except ValueError as error:
        raise click.ClickException(f"password: {error}") from None
    click.echo(hashed)


def askPassword() -> bytes:
    """
    A new password, given twice: on the terminal, or on two lines of a pipe.

    @raise click.ClickException: the two differ, or one is missing.
    """
    first, second = _ask() if sys.stdin.isatty() else _read()
    if first != second:
        raise click.ClickException("the two passwords differ")
    return first.encode("utf-8", "surrogateescape")


def _ask() -> tuple[str, str]:
    return getpass.getpass("Password: "), getpass.getpass("Again: ")


def _read() -> tuple[str, str]:
    lines = sys.stdin.read().split("\n")
    if len(lines) < 2 or not lines[1]:
        raise click.ClickException("found one line, expected the password on two lines")
    return lines[0], lines[1]
