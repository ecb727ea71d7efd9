"""
Copying between any two places: files and trees, resumed, several at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.python.failure import Failure

from filehub.errors import Aborted, AlreadyExists, FileHubError, IsADirectory, NotFound
from filehub.protocols.ftp.fxp import copyDirectly
from filehub.remotes.base import Entry, Remote, joined
from filehub.remotes.ftp import FTPRemote
from filehub.remotes.local import LocalReadHandle, LocalWriteHandle
from filehub.remotes.pipe import Pipe
from filehub.remotes.trees import MAXIMUM_DEPTH, harmless
from filehub.remotes.url import Location
from filehub.transfer.progress import Progress

#: Gives a connection of its own each time it is called.
Connect = Callable[[Location], Awaitable[Remote]]


class Watcher(Protocol):
    """Who is told how it goes, e.g. a progress bar."""

    def started(self, source: Location, target: Location, size: int | None, done: int) -> Progress:
        """
        A file's turn has come.

        @param size: bytes of the whole file, where known.
        @param done: bytes that are there already from an earlier attempt.
        """

    def ended(self, source: Location, progress: Progress, problem: FileHubError | None) -> None:
        """The file is copied, or is not and why."""

    def noted(self, text: str) -> None:
        """Something that a person may want to know."""


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """
    @ivar recursive: directories with all that is in them.
    @ivar resume: go on where an earlier attempt ended.
    @ivar parallel: files at a time, each over connections of its own.
    """

    recursive: bool = False
    resume: bool = False
    parallel: int = 1


@dataclass(frozen=True, slots=True)
class _Item:
    source: Location
    target: Location
    entry: Entry | None


class Copier:
    """
    One copy operation.

    @ivar problems: what could not be copied and why; the rest was.
    """

    def __init__(self, connect: Connect, watcher: Watcher, options: CopyOptions) -> None:
        self._connect = connect
        self._watcher = watcher
        self._options = options
        self._queue: deque[_Item] = deque()
        #: Why servers do not copy between them; empty until they refused.
        self._refusal = ""
        self.problems: list[tuple[Location, FileHubError]] = []

    async def copy(self, source: Location, target: Location) -> None:
        """
        Copy C{source} to C{target}, or into it if that is a directory.

        @raise FileHubError: nothing could be copied.  Single failures in a tree go
            to C{problems} instead.
        """
        remote, other = await self._connect(source), None
        try:
            other = await self._connect(target)
            entry = await remote.entry(source.path)
            if entry is None and source.isLocal:
                raise NotFound(None, f"{source}: no such file or directory")
            target = await self._inside(source, target, other)
            if entry is not None and entry.isDirectory:
                if not self._options.recursive:
                    raise IsADirectory(None, f"{source}: is a directory (copy it with -r)")
                await self._plan(remote, other, source, target, 0)
            else:
                self._queue.append(_Item(source, target, entry))
            whole = len(self._queue) == 1 and not (entry is not None and entry.isDirectory)
            first = Deferred.fromCoroutine(self._work(remote, other))
            helpers = [
                Deferred.fromCoroutine(self._workAlone(source, target))
                for _ in range(min(self._options.parallel, len(self._queue)) - 1)
            ]
            try:
                await gatherResults([first, *helpers], consumeErrors=True)
            except FirstError as error:
                error.subFailure.raiseException()
        finally:
            await remote.close()
            if other is not None:
                await other.close()
        if whole and self.problems:
            raise self.problems.pop()[1]

    async def _inside(self, source: Location, target: Location, other: Remote) -> Location:
        """Copying into a directory keeps the name."""
        path = target.path
        if path.endswith("/") or path in ("", "."):
            isDirectory = True
        else:
            found = await other.entry(path)
            isDirectory = found is not None and found.isDirectory
        return target.withPath(joined(path, source.name)) if isDirectory else target

    async def _plan(
        self, remote: Remote, other: Remote, source: Location, target: Location, depth: int
    ) -> None:
        """Queue all files of a tree, and make its directories."""
        if depth > MAXIMUM_DEPTH:
            self.problems.append((source, NotFound(None, f"{source}: nested too deep")))
            return
        try:
            if other.hasDirectories:
                await other.makeDirectory(target.path)
        except AlreadyExists:
            # A second run over the same tree.
            pass
        except FileHubError as error:
            found = await other.entry(target.path)
            if found is None or not found.isDirectory:
                self.problems.append((target, error))
                return
        try:
            entries = await remote.list(source.path)
        except FileHubError as error:
            self.problems.append((source, error))
            return
        for entry in sorted(entries, key=lambda each: each.name):
            if not harmless(entry.name):
                # A hostile server must not choose where we write.
                self.problems.append((source, NotFound(None, f"{source}: dangerous name skipped")))
                continue
            below = source.withPath(joined(source.path, entry.name))
            beside = target.withPath(joined(target.path, entry.name))
            if entry.isDirectory:
                await self._plan(remote, other, below, beside, depth + 1)
            elif entry.kind == "file":
                self._queue.append(_Item(below, beside, entry))

    async def _workAlone(self, source: Location, target: Location) -> None:
        remote = await self._connect(source)
        try:
            other = await self._connect(target)
            try:
                await self._work(remote, other)
            finally:
                await other.close()
        finally:
            await remote.close()

    async def _work(self, remote: Remote, other: Remote) -> None:
        while self._queue:
            item = self._queue.popleft()
            progress: Progress | None = None
            problem: FileHubError | None = None
            try:
                size = item.entry.size if item.entry is not None else None
                done = await self._alreadyThere(item, remote, other)
                progress = self._watcher.started(item.source, item.target, size, done)
                await self._copyFile(item, remote, other, done, progress)
            except FileHubError as error:
                problem = error
                self.problems.append((item.source, error))
            if progress is not None:
                self._watcher.ended(item.source, progress, problem)

    async def _alreadyThere(self, item: _Item, remote: Remote, other: Remote) -> int:
        """How much an earlier attempt has left at the target, bytes."""
        if not (self._options.resume and remote.resumesDownloads and other.resumesUploads):
            return 0
        if item.target.isLocal:
            for path in (f"{item.target.path}.part", item.target.path):
                found = await other.entry(path)
                if found is not None:
                    break
        else:
            found = await other.entry(item.target.path)
        there = (found.size or 0) if found is not None else 0
        size = item.entry.size if item.entry is not None else None
        # What is longer than the original is something else: start again.
        return there if size is None or there <= size else 0

    async def _copyFile(
        self, item: _Item, remote: Remote, other: Remote, done: int, progress: Progress
    ) -> None:
        if item.target.isLocal:
            target = LocalWriteHandle(Path(item.target.path), resume=done > 0)
            try:
                await remote.get(item.source.path, target, done, progress)
                if item.entry is not None and item.entry.modified is not None:
                    target.setModified(item.entry.modified)
                await target.commit()
            finally:
                await target.abort()
        elif item.source.isLocal:
            source = LocalReadHandle(Path(item.source.path))
            try:
                await other.put(item.target.path, source, done, progress)
            finally:
                await source.close()
        elif not await self._copyDirectly(item, remote, other, done, progress):
            await self._copyAcross(item, remote, other, done, progress)

    async def _copyDirectly(
        self, item: _Item, remote: Remote, other: Remote, done: int, progress: Progress
    ) -> bool:
        """Let two FTP servers do it between them, if they want to."""
        if self._refusal or not (isinstance(remote, FTPRemote) and isinstance(other, FTPRemote)):
            return False
        # On connections of their own: after a refusal they would be of no use.
        source = await self._connect(item.source)
        try:
            target = await self._connect(item.target)
            try:
                if not (isinstance(source, FTPRemote) and isinstance(target, FTPRemote)):
                    return False
                await copyDirectly(
                    source.client, item.source.path, target.client, item.target.path, offset=done
                )
            except FileHubError as error:
                self._refusal = str(error)
                self._watcher.noted(
                    f"the servers do not copy between them ({error}); copying through here"
                )
                source.abort()
                target.abort()
                return False
            await target.close()
        finally:
            await source.close()
        if item.entry is not None and item.entry.size is not None:
            progress.nbytes = item.entry.size - done
        return True

    async def _copyAcross(
        self, item: _Item, remote: Remote, other: Remote, done: int, progress: Progress
    ) -> None:
        size = item.entry.size if item.entry is not None else None
        if size is None:
            raise NotFound(None, f"{item.source}: its size is unknown, which the target needs")
        pipe = Pipe(size, (item.entry and item.entry.modified) or 0.0, done)

        async def download() -> None:
            try:
                await remote.get(item.source.path, pipe.writer, done, Progress())
                await pipe.writer.commit()
            except BaseException:
                await pipe.writer.abort()
                raise

        async def upload() -> None:
            try:
                await other.put(item.target.path, pipe.reader, done, progress)
            finally:
                await pipe.reader.close()

        halves: list[Deferred[None]] = [
            Deferred.fromCoroutine(download()),
            Deferred.fromCoroutine(upload()),
        ]
        problems: list[Failure] = []
        for half in halves:
            half.addErrback(problems.append)
        await gatherResults(halves)
        # The end that broke first says why; the other one only says "aborted".
        problems.sort(key=lambda failure: isinstance(failure.value, Aborted))
        if problems:
            problems[0].raiseException()
