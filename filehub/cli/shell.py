"""
C{filehub sh}: commands from a person, with completion and history, or from a pipe.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import click
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.threads import blockingCallFromThread, deferToThread
from twisted.python.failure import Failure
from zope.interface import implementer

from filehub.cli.exits import OK, epilogue, statusFor
from filehub.cli.files import shown
from filehub.cli.options import Context, connectionOptions, locations
from filehub.cli.running import complain, run
from filehub.cli.shellcommands import Shell
from filehub.errors import Aborted, FileHubError, TransferError

#: Bytes of a line from a pipe; what is longer is no command.
_MAXIMUM_LINE: Final = 64 * 1024
#: Seconds that a completion may take.
_COMPLETION: Final = 5.0


@click.command(epilog=epilogue())
@click.argument("url")
@connectionOptions
def sh(context: Context, url: str) -> None:
    """
    Work on the server of URL with commands such as ls, cd, get and put.

    On a terminal there is completion (Tab) and a history; "help" shows all commands.
    From a pipe, commands are read one a line; the first that fails ends it with its exit
    status, unless "-" stands in front of it.
    """
    (location,) = locations(url)
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    statuses: list[int] = []

    async def work(reactor: Any) -> None:
        shell = Shell(
            context.connector(reactor).connect, location, context.display, reactor, click.echo
        )
        try:
            await shell.open()
            if interactive:
                await _converse(shell, reactor)
            else:
                statuses.append(await _obey(shell, reactor))
        except BaseException:
            shell.drop()
            raise
        await shell.close()

    status = run(work)
    raise SystemExit(status or (statuses[0] if statuses else OK))


async def _do(shell: Shell, line: str) -> FileHubError | None:
    """Run a line; what went wrong, if anything did."""
    try:
        await shell.run(line)
    except FileHubError as error:
        if isinstance(error, TransferError):
            # Whatever state the connection is in: the next command makes a new one.
            shell.drop()
        return error
    return None


# --- from a pipe


async def _obey(shell: Shell, reactor: Any) -> int:
    """Commands from a pipe or a file; returns the exit status."""
    async for line in _lines(reactor, sys.stdin.fileno()):
        line = line.strip()
        forgiving = line.startswith("-")
        problem = await _do(shell, line.removeprefix("-"))
        if problem is not None:
            complain(problem)
            if not forgiving:
                return statusFor(problem)
        if shell.ended:
            break
    return OK


async def _lines(reactor: Any, descriptor: int) -> AsyncIterator[str]:
    regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
    buffer = b""
    while True:
        if not regular:
            # Reading in place would be deaf to Ctrl-C; epoll takes no plain files.
            await _Readable(reactor, descriptor).wait()
        data = os.read(descriptor, 65536)
        buffer += data
        *lines, buffer = buffer.split(b"\n")
        for line in lines:
            yield line.decode("utf-8", "surrogateescape")
        if not data:
            break
        if len(buffer) > _MAXIMUM_LINE:
            raise FileHubError("standard input has a line that is no command")
    if buffer:
        yield buffer.decode("utf-8", "surrogateescape")


@implementer(IReadDescriptor)
class _Readable:
    """Waits once for a descriptor."""

    def __init__(self, reactor: Any, descriptor: int) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._done: Deferred[None] = Deferred()

    async def wait(self) -> None:
        """Until something can be read, or the end."""
        try:
            self._reactor.addReader(self)
        except PermissionError:
            # Such as /dev/null: never blocks.
            return
        await self._done

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def logPrefix(self) -> str:
        """See L{twisted.internet.interfaces.ILoggingContext}."""
        return "input"

    def doRead(self) -> None:
        """It can be read."""
        self._reactor.removeReader(self)
        if not self._done.called:
            self._done.callback(None)

    def connectionLost(self, reason: Failure) -> None:
        """The writing end is closed; what is left can be read."""
        self.doRead()


# --- on a terminal


def _historyFile() -> Path | None:
    """Where the history is kept, if it can be: readable for its owner only."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    folder = Path(state) / "filehub"
    path = folder / "history"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError:
        return None
    return path


async def _converse(shell: Shell, reactor: Any) -> None:
    """Prompt until there is an end."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory

    from filehub.cli.completion import ShellCompleter

    path = _historyFile()
    history: History = FileHistory(str(path)) if path is not None else InMemoryHistory()
    session: PromptSession[str] = PromptSession(
        history=history,
        completer=ShellCompleter(_remoteNames(shell, reactor)),
        complete_in_thread=True,
        complete_while_typing=False,
        enable_history_search=True,
    )

    def endPrompt() -> None:
        loop = session.app.loop
        if loop is not None and session.app.is_running:
            loop.call_soon_threadsafe(lambda: session.app.exit(exception=EOFError()))

    # Otherwise the reactor would wait for the prompt's thread when it is told to stop.
    reactor.addSystemEventTrigger("before", "shutdown", endPrompt)
    click.echo(f"Connected to {shown(shell.location.host or 'this machine')}. Try help, or Tab.")
    while not shell.ended:
        prompt = f"{shown(shell.location.host)}:{shown(shell.location.path) or '.'}> "
        try:
            line = await deferToThread(session.prompt, prompt)
        except KeyboardInterrupt:
            continue
        except EOFError:
            break
        problem = await _interruptible(shell, line, reactor)
        if problem is not None:
            complain(problem)


async def _interruptible(shell: Shell, line: str, reactor: Any) -> FileHubError | None:
    """Run a line that Ctrl-C ends without ending the shell."""
    running = Deferred.fromCoroutine(_do(shell, line))
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        reactor.callFromThread(running.cancel)

    previous = signal.signal(signal.SIGINT, interrupt)
    try:
        return await running
    except CancelledError:
        shell.drop()
        return Aborted("interrupted")
    finally:
        signal.signal(signal.SIGINT, previous)


def _remoteNames(shell: Shell, reactor: Any) -> Callable[[str], list[str]]:
    """For the completer: names of remote directories, remembered until the next prompt."""

    async def ask(directory: str) -> list[str]:
        remote = await shell.remote()
        path = shell.path(directory)
        return [
            each.name + ("/" if each.isDirectory else "") for each in await remote.list(path or "")
        ]

    def bounded(directory: str) -> Deferred[list[str]]:
        return Deferred.fromCoroutine(ask(directory)).addTimeout(_COMPLETION, reactor)

    def names(directory: str) -> list[str]:
        try:
            found: list[str] = blockingCallFromThread(reactor, bounded, directory)
        except (FileHubError, CancelledError, TimeoutError):
            # A completion that does not come is no event; a connection in the middle of
            # something is of no more use.
            with contextlib.suppress(RuntimeError):
                reactor.callFromThread(shell.drop)
            return []
        return found

    return names
