"""
Running asynchronous work from a command, to the end or to Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import click
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from filehub.cli.exits import INTERRUPTED, OK, statusFor
from filehub.errors import FileHubError

#: Something that a command does, given the reactor.
Work = Callable[[Any], Coroutine[Deferred[Any], Any, None]]


def run(work: Work) -> int:
    """
    Run C{work} in a reactor; returns the exit status and has printed why, if it is
    not 0.  A failure that is not a L{FileHubError} is a defect of ours and comes out
    as it is.
    """
    from twisted.internet import reactor as _reactor

    reactor: Any = _reactor
    outcome: list[object] = []

    def stop(result: object) -> None:
        outcome.append(result)
        if reactor.running:
            reactor.stop()

    def start() -> None:
        running = Deferred.fromCoroutine(work(reactor))
        running.addBoth(stop)

    reactor.callWhenRunning(start)
    reactor.run()
    if not outcome:
        return INTERRUPTED
    result = outcome[0]
    if isinstance(result, Failure):
        error = result.value
        if not isinstance(error, FileHubError):
            result.raiseException()
        assert isinstance(error, FileHubError)
        complain(error)
        return statusFor(error)
    return OK


def complain(error: FileHubError) -> None:
    """One line on standard error; control characters from a server do nothing there."""
    text = "".join(each if each.isprintable() else "?" for each in str(error))
    click.echo(f"filehub: {text}", err=True)
