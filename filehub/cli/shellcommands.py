"""
What the commands of C{filehub sh} do, without a terminal.
"""

from __future__ import annotations

import codecs
import os
import posixpath
import shlex
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, cast

import click
from zope.interface import implementer

from filehub.attributes import FileAttributes, FileType
from filehub.cli.files import describe, shown
from filehub.cli.progress import Display
from filehub.errors import ConfigurationError, IsADirectory, NotADirectory, NotFound
from filehub.interfaces import IWriteHandle
from filehub.remotes.base import Entry, Remote, joined
from filehub.remotes.copying import Copier, CopyOptions
from filehub.remotes.local import LocalRemote
from filehub.remotes.trees import makeParents, removeTree
from filehub.remotes.url import Location
from filehub.transfer.progress import Progress

#: Each command, how it is written, and what it does.
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "ls": ("ls [-1] [DIRECTORY]", "list a remote directory"),
    "cd": ("cd [DIRECTORY]", "change the remote directory; without one, to where we began"),
    "pwd": ("pwd", "show the remote directory"),
    "get": ("get [-r] [-c] REMOTE [LOCAL]", "download; -r directories too, -c go on"),
    "put": ("put [-r] [-c] LOCAL [REMOTE]", "upload; -r directories too, -c go on"),
    "cat": ("cat REMOTE...", "show remote files"),
    "rm": ("rm [-r] REMOTE...", "remove remote files"),
    "mv": ("mv REMOTE REMOTE", "rename"),
    "mkdir": ("mkdir [-p] DIRECTORY...", "make remote directories"),
    "lcd": ("lcd [DIRECTORY]", "change the local directory"),
    "lls": ("lls [DIRECTORY]", "list a local directory"),
    "lpwd": ("lpwd", "show the local directory"),
    "help": ("help", "show this"),
    "quit": ("quit", "end; so do exit, bye and Ctrl-D"),
}
ENDINGS: Final = frozenset(("quit", "exit", "bye"))
#: What completes to local names; other arguments are remote ones.
LOCAL: Final = frozenset(("put", "lcd", "lls"))


class UsageError(ConfigurationError):
    """A command was written wrong."""


class Shell:
    """
    One session.

    @ivar location: the server, and the directory that we are in.
    @ivar ended: C{quit} was said.
    """

    def __init__(
        self,
        connect: Callable[[Location], Awaitable[Remote]],
        location: Location,
        display: Callable[[], Display],
        reactor: Any,
        write: Callable[[str], None],
    ) -> None:
        """
        @param connect: makes a connection; called again when one got lost.
        @param display: makes something that shows one copy.
        @param write: prints text.
        """
        self._connect = connect
        self._display = display
        self._reactor = reactor
        self._write = write
        self._remote: Remote | None = None
        self._start = ""
        self.location = location
        self.ended = False

    async def open(self) -> None:
        """
        Connect, and enter the directory of the URL.

        @raise FileHubError: that is not possible.
        """
        remote = await self.remote()
        home = await remote.home()
        wanted = self.location.path.rstrip("/") or self.location.path[:1]
        self._start = self.location.withPath(home).path
        self.location = self.location.withPath(home)
        if wanted:
            await self._cd(wanted)
            self._start = self.location.path

    async def remote(self) -> Remote:
        """The connection; a new one if the last one got lost."""
        if self._remote is None:
            self._remote = await self._connect(self.location)
        return self._remote

    def drop(self) -> None:
        """The connection is of no use any more."""
        remote, self._remote = self._remote, None
        if remote is not None:
            remote.abort()

    async def close(self) -> None:
        """Say goodbye."""
        remote, self._remote = self._remote, None
        if remote is not None:
            await remote.close()

    def path(self, text: str) -> str:
        """The remote path that a person means by C{text}, from the current directory."""
        here = self.location.path
        path = posixpath.normpath(posixpath.join(here, text)) if text else here
        if path.startswith("//"):
            path = path[1:]
        return "" if path == "." else path

    async def run(self, line: str) -> None:
        """
        Do what one line says.

        @raise FileHubError: why it was not done.
        """
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise UsageError(f"{error}".lower()) from None
        if not words:
            return
        name, *arguments = words
        if name in ENDINGS:
            self.ended = True
            return
        command: Callable[..., Awaitable[None]] | None = None
        if name in COMMANDS:
            command = getattr(self, f"do_{name}")
        if command is None:
            raise UsageError(f"{name}: no such command (help shows them all)")
        usage, _ = COMMANDS[name]
        allowed = {word[2] for word in usage.split() if word.startswith("[-")}
        flags, operands = _split(name, arguments, allowed)
        least, most = _counts(usage)
        if not least <= len(operands) <= most:
            raise UsageError(f"expected: {usage}")
        await command(flags, *operands)

    # --- the commands

    async def do_help(self, flags: set[str]) -> None:
        """Show all commands."""
        width = max(len(usage) for usage, _ in COMMANDS.values())
        for usage, meaning in COMMANDS.values():
            self._write(f"{usage:<{width}}  {meaning}")

    async def do_pwd(self, flags: set[str]) -> None:
        """Show where we are."""
        self._write(shown(str(self.location)))

    async def do_cd(self, flags: set[str], directory: str = "") -> None:
        """Change the directory."""
        if not directory:
            self.location = self.location.withPath(self._start)
            return
        await self._cd(directory)

    async def _cd(self, directory: str) -> None:
        path = self.path(directory)
        remote = await self.remote()
        if path not in ("", "/"):
            found = await remote.entry(path)
            if found is None:
                raise NotFound(None, f"{path}: no such directory")
            if not found.isDirectory:
                raise NotADirectory(None, f"{path}: not a directory")
        self.location = self.location.withPath(path)

    async def do_ls(self, flags: set[str], directory: str = "") -> None:
        """List a directory."""
        remote = await self.remote()
        self._show(await remote.list(self.path(directory)), "1" in flags)

    def _show(self, entries: list[Entry], names: bool) -> None:
        for entry in sorted(entries, key=lambda each: each.name):
            self._write(shown(entry.name) if names else describe(entry))

    async def do_get(self, flags: set[str], remote: str, local: str = ".") -> None:
        """Download."""
        source = self.location.withPath(self.path(remote))
        await self._copy(source, Location("file", path=os.path.expanduser(local)), flags)

    async def do_put(self, flags: set[str], local: str, remote: str = "") -> None:
        """Upload."""
        source = Location("file", path=os.path.expanduser(local))
        path = self.path(remote)
        if not remote:
            path = joined(path, source.name)
        elif remote.endswith("/"):
            path += "/"
        await self._copy(source, self.location.withPath(path), flags)

    async def _copy(self, source: Location, target: Location, flags: set[str]) -> None:
        lent = _Lent(await self.remote())

        async def connect(location: Location) -> Remote:
            remote: Remote = LocalRemote() if location.isLocal else cast(Remote, lent)
            return remote

        display = self._display()
        copier = Copier(connect, display, CopyOptions("r" in flags, "c" in flags))
        display.begin(self._reactor)
        try:
            await copier.copy(source, target)
        finally:
            display.finish()
        if copier.problems:
            for _, problem in copier.problems[:-1]:
                self._write(shown(str(problem)))
            raise copier.problems[-1][1]

    async def do_cat(self, flags: set[str], *paths: str) -> None:
        """Show files."""
        remote = await self.remote()
        for each in paths:
            await remote.get(self.path(each), _Screen(), 0, Progress())

    async def do_rm(self, flags: set[str], *paths: str) -> None:
        """Remove files, with C{-r} directories as well."""
        remote = await self.remote()
        for each in paths:
            path = self.path(each)
            entry = await remote.entry(path)
            if entry is None or not entry.isDirectory:
                await remote.removeFile(path)
            elif "r" in flags:
                await removeTree(remote, path)
            else:
                raise IsADirectory(None, f"{path}: is a directory (remove it with -r)")

    async def do_mv(self, flags: set[str], source: str, target: str) -> None:
        """Rename; into a directory if the target is one."""
        remote = await self.remote()
        origin, path = self.path(source), self.path(target)
        found = await remote.entry(path)
        if target.endswith("/") or (found is not None and found.isDirectory):
            path = joined(path, posixpath.basename(origin))
        await remote.rename(origin, path)

    async def do_mkdir(self, flags: set[str], *paths: str) -> None:
        """Make directories, with C{-p} those above as well."""
        remote = await self.remote()
        for each in paths:
            if "p" in flags:
                await makeParents(remote, self.path(each))
            else:
                await remote.makeDirectory(self.path(each))

    async def do_lcd(self, flags: set[str], directory: str = "~") -> None:
        """Change the local directory."""
        try:
            os.chdir(os.path.expanduser(directory))
        except OSError as error:
            raise NotFound(None, f"{directory}: {error.strerror}") from None

    async def do_lls(self, flags: set[str], directory: str = ".") -> None:
        """List a local directory."""
        self._show(await LocalRemote().list(os.path.expanduser(directory)), False)

    async def do_lpwd(self, flags: set[str]) -> None:
        """Show the local directory."""
        self._write(str(Path.cwd()))


def _split(name: str, arguments: list[str], allowed: set[str]) -> tuple[set[str], list[str]]:
    """Flags, and the rest; C{--} ends the flags."""
    flags: set[str] = set()
    operands = list(arguments)
    while operands and operands[0].startswith("-") and operands[0] != "-":
        word = operands.pop(0)
        if word == "--":
            break
        for letter in word[1:]:
            if letter not in allowed:
                raise UsageError(f"{name}: no option -{letter} (expected: {COMMANDS[name][0]})")
            flags.add(letter)
    return flags, operands


def _counts(usage: str) -> tuple[int, float]:
    """How many operands a command takes, as its usage line says."""
    words = [word for word in usage.split()[1:] if not word.startswith("[-")]
    least = sum(not word.startswith("[") for word in words)
    most = float("inf") if words and words[-1].endswith("...") else len(words)
    return least, most


class _Lent:
    """The shell's connection, which a copy must not close."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def __getattr__(self, name: str) -> Any:
        return getattr(self._remote, name)

    async def close(self) -> None:
        """The shell does that."""

    def abort(self) -> None:
        """The shell does that."""


@implementer(IWriteHandle)
class _Screen:
    """Prints what is written; on a terminal only what cannot harm it."""

    position = 0

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    async def writeAt(self, offset: int, data: bytes) -> None:
        """See L{IWriteHandle.writeAt}."""
        if not sys.stdout.isatty():
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return
        text = self._decoder.decode(data)
        safe = "".join(each if each.isprintable() or each in "\n\t" else "?" for each in text)
        click.echo(safe, nl=False)

    async def commit(self) -> FileAttributes:
        """Nothing is left to do."""
        return FileAttributes(FileType.REGULAR, 0, 0.0)

    async def abort(self) -> None:
        """What is printed stays printed."""


__all__ = ["COMMANDS", "ENDINGS", "LOCAL", "Shell", "UsageError"]
