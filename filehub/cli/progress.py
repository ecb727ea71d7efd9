"""
How a copy is shown: a bar on a terminal, a line per file in a pipe, or JSON.
"""

from __future__ import annotations

import json
import time
from typing import Any, Protocol

import click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text
from twisted.internet.task import LoopingCall

from filehub.errors import FileHubError
from filehub.remotes.url import Location
from filehub.transfer.progress import Progress

#: How often the bars move, seconds.
_REFRESH = 0.1


class Display(Protocol):
    """A L{filehub.remotes.copying.Watcher} that is switched on and off."""

    def begin(self, reactor: Any) -> None:
        """Before the first file."""

    def finish(self) -> None:
        """After the last."""

    def started(self, source: Location, target: Location, size: int | None, done: int) -> Progress:
        """See L{filehub.remotes.copying.Watcher.started}."""

    def ended(self, source: Location, progress: Progress, problem: FileHubError | None) -> None:
        """See L{filehub.remotes.copying.Watcher.ended}."""

    def noted(self, text: str) -> None:
        """See L{filehub.remotes.copying.Watcher.noted}."""


def _note(text: str) -> None:
    """Notes go where errors go, so that listings and JSON stay clean."""
    safe = "".join(each if each.isprintable() else "?" for each in text)
    click.echo(f"filehub: note: {safe}", err=True)


class _Rate(ProgressColumn):
    """Bytes a second: lately while it runs, on average when it is done."""

    def render(self, task: Task) -> Text:
        """See L{ProgressColumn.render}."""
        seconds = task.finished_time or task.elapsed or 0.0
        speed = task.speed if not task.finished else None
        if speed is None:
            moved = task.completed - task.fields["begin"]
            speed = moved / seconds if seconds else 0.0
        return Text(f"{decimal(int(speed))}/s", style="progress.data.speed")


class BarDisplay:
    """Bars with rate and remaining time, for people."""

    def __init__(self, console: Console) -> None:
        self._bars = Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            DownloadColumn(binary_units=True),
            _Rate(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=console,
            auto_refresh=False,
            expand=True,
        )
        self._running: dict[Progress, tuple[TaskID, int]] = {}
        self._loop = LoopingCall(self._refresh)

    def begin(self, reactor: Any) -> None:
        """See L{Display.begin}."""
        self._bars.start()
        self._loop.clock = reactor
        self._loop.start(_REFRESH)

    def finish(self) -> None:
        """See L{Display.finish}."""
        if self._loop.running:
            self._loop.stop()
        self._bars.refresh()
        self._bars.stop()

    def started(self, source: Location, target: Location, size: int | None, done: int) -> Progress:
        """See L{Display.started}."""
        progress = Progress()
        task = self._bars.add_task(
            source.name or str(source), total=size, completed=done, begin=done
        )
        self._running[progress] = task, done
        return progress

    def ended(self, source: Location, progress: Progress, problem: FileHubError | None) -> None:
        """See L{Display.ended}."""
        task, done = self._running.pop(progress)
        moved = done + progress.nbytes
        if problem is None:
            self._bars.update(task, completed=moved, total=moved)
        else:
            self._bars.update(task, completed=moved, description=f"{source.name}: failed")

    def noted(self, text: str) -> None:
        """See L{Display.noted}."""
        _note(text)

    def _refresh(self) -> None:
        for progress, (task, done) in self._running.items():
            self._bars.update(task, completed=done + progress.nbytes)
        self._bars.refresh()


class LineDisplay:
    """One line per file, for logs; or one JSON object per file, for programs."""

    def __init__(self, console: Console, *, asJSON: bool) -> None:
        self._console = console
        self._asJSON = asJSON
        self._running: dict[Progress, tuple[Location, float, int]] = {}

    def begin(self, reactor: Any) -> None:
        """See L{Display.begin}."""

    def finish(self) -> None:
        """See L{Display.finish}."""

    def started(self, source: Location, target: Location, size: int | None, done: int) -> Progress:
        """See L{Display.started}."""
        progress = Progress()
        self._running[progress] = target, time.monotonic(), done
        return progress

    def ended(self, source: Location, progress: Progress, problem: FileHubError | None) -> None:
        """See L{Display.ended}."""
        target, began, done = self._running.pop(progress)
        seconds = time.monotonic() - began
        if self._asJSON:
            record = {
                "source": str(source),
                "target": str(target),
                "bytes": progress.nbytes,
                "resumedAt": done,
                "seconds": round(seconds, 3),
                "error": None if problem is None else str(problem),
            }
            self._console.file.write(json.dumps(record) + "\n")
            self._console.file.flush()
        elif problem is None:
            text = f"{source} -> {target}: {progress.nbytes} bytes in {seconds:.2f} s"
            self._console.out(text, highlight=False)

    def noted(self, text: str) -> None:
        """See L{Display.noted}."""
        _note(text)
