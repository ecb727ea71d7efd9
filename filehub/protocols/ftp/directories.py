"""
Listing directories: LIST, NLST and STAT (RFC 959), MLSD and MLST (RFC 3659).

A listing takes as much memory as a few pages of a directory, however large it is.
Small ones are sorted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from filehub.attributes import DirectoryEntry, FileType
from filehub.errors import FileSystemError, NotADirectory, NotFound
from filehub.interfaces import IDirectoryHandle, IFileSystem
from filehub.paths import VirtualPath, decodeName
from filehub.protocols.ftp import replies
from filehub.protocols.ftp.doslisting import DosFormatter
from filehub.protocols.ftp.facts import FACTS, FactFormatter
from filehub.protocols.ftp.listing import (
    MAXIMUM_SORTED,
    ListFormatter,
    ListRequest,
    Pattern,
    arrange,
    formatNames,
    namePrefix,
    parseListArguments,
    splitPattern,
)
from filehub.protocols.ftp.ongoing import announce, begin, conclude
from filehub.protocols.ftp.ranges import takeRange
from filehub.protocols.ftp.representation import listingEncoderFor
from filehub.protocols.ftp.security import mayTransfer, openData
from filehub.protocols.ftp.wire import Reply, encodeInner, encodeOpening
from filehub.transfer.pump import sendChunks
from filehub.views import IWorkedPages

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

_log: Final = Logger()

T = TypeVar("T")

_Page = Sequence[DirectoryEntry]
_Format = Callable[[Iterable[DirectoryEntry]], bytes]


class Found(NamedTuple):
    """
    What is to be listed.

    @ivar handle: the directory; L{None} for a single entry.
    @ivar single: the entry, if it is one.
    @ivar pattern: what names must match.
    """

    path: VirtualPath
    handle: IDirectoryHandle | None
    single: DirectoryEntry | None = None
    pattern: Pattern | None = None


async def _find(session: FTPSession, fileSystem: IFileSystem, request: ListRequest) -> Found:
    """
    The directory, file or pattern that is meant, in this order: a name may hold what
    looks like a wildcard.
    """
    path = session.path(request.path)
    if "d" in request.flags:
        return await _one(fileSystem, path, request)
    try:
        return Found(path, await fileSystem.openDirectory(path))
    except NotADirectory:
        return await _one(fileSystem, path, request)
    except NotFound:
        directory, pattern = splitPattern(request.path)
        if pattern is None:
            raise
    path = session.path(directory)
    return Found(path, await fileSystem.openDirectory(path), pattern=pattern)


async def _one(fileSystem: IFileSystem, path: VirtualPath, request: ListRequest) -> Found:
    attributes = await fileSystem.stat(path)
    return Found(path, None, DirectoryEntry(request.path or ".", attributes))


async def _text(
    session: FTPSession, found: Found, request: ListRequest, format: _Format
) -> AsyncIterator[bytes]:
    """
    Lines about the entries, filtered, and in order as far as that is affordable.

    @param format: makes lines of entries, in any thread.
    """
    handle = found.handle
    if handle is None:
        if found.single is not None:
            yield session.listed(format([found.single]))
        return
    held: list[DirectoryEntry] = []
    many = MAXIMUM_SORTED if request.isOrdered else 1
    while page := await handle.nextPage():
        chosen = _choose(page, found.pattern, request.showsHidden)
        if held and len(held) + len(chosen) > many:
            yield session.listed(format(held))
            yield session.listed(format(chosen))
            break
        held += chosen
    else:
        yield session.listed(format(arrange(held, request.flags)))
        return

    def lines(page: _Page) -> bytes | None:
        if not page:
            return None
        return session.listed(format(_choose(page, found.pattern, request.showsHidden)))

    while (text := await _worked(handle, lines)) is not None:
        yield text


async def _worked(handle: IDirectoryHandle, work: Callable[[_Page], T]) -> T:
    """What C{work} makes of the next page, where that is read if possible."""
    pages = IWorkedPages(handle, None)
    if pages is None:
        return work(await handle.nextPage())
    made: T = await pages.nextWorked(work)
    return made


def _choose(page: _Page, pattern: Pattern | None, hidden: bool) -> list[DirectoryEntry]:
    if pattern is not None:
        return [entry for entry in page if pattern.matches(entry.name, hidden)]
    if hidden:
        return list(page)
    return [entry for entry in page if not entry.name.startswith(".")]


def _listFormatter(session: FTPSession, request: ListRequest) -> ListFormatter | DosFormatter:
    if session.listener.settings.listFormat == "dos":
        return DosFormatter()
    return ListFormatter(session.listener.now(), request.flags)


async def LIST(session: FTPSession, argument: str) -> Reply | None:
    """Lines of C{ls -l}."""
    request = parseListArguments(argument)
    formatter = _listFormatter(session, request)
    return await _list(session, "LIST", request, lambda found: formatter.page)


async def NLST(session: FTPSession, argument: str) -> Reply | None:
    """Names, nothing but names, such that RETR takes them."""
    request = parseListArguments(argument)

    def formatFor(found: Found) -> _Format:
        prefix = "" if found.handle is None else namePrefix(request.path, found.pattern)
        return lambda page: formatNames(page, prefix)

    return await _list(session, "NLST", request, formatFor)


async def _list(
    session: FTPSession, verb: str, request: ListRequest, formatFor: Callable[[Found], _Format]
) -> Reply | None:
    takeRange(session)
    account = session.account
    if account is None:
        return replies.NOT_LOGGED_IN
    if (refusal := mayTransfer(session)) is not None:
        return refusal
    transfer = begin(session, verb, session.path(request.path), None)
    found = stream = error = None
    try:
        found = await _find(session, account.fileSystem, request)
        announce(session, transfer, "Here comes the listing.")
        stream = await openData(session, transfer.direction)
        await sendChunks(
            _text(session, found, request, formatFor(found)),
            stream,
            encoder=listingEncoderFor(session.representation, session.listener.settings),
            limiter=account.limits.download,
            progress=transfer.progress,
        )
    except Exception as problem:
        error = problem
    handle = None if found is None else found.handle
    return await conclude(session, transfer, error, stream, source=handle)


async def MLSD(session: FTPSession, argument: str) -> Reply | None:
    """Facts about everything in a directory (RFC 3659 section 7)."""
    takeRange(session)
    path = session.path(argument)
    account = session.account
    if account is None:
        return replies.NOT_LOGGED_IN
    if (refusal := mayTransfer(session)) is not None:
        return refusal
    transfer = begin(session, "MLSD", path, None)
    handle = stream = error = None
    try:
        handle = await account.fileSystem.openDirectory(path)
        announce(session, transfer, "Here come the facts.")
        stream = await openData(session, transfer.direction)
        formatter = _factFormatter(session, path)
        await sendChunks(
            _facts(session, path, handle, formatter.page),
            stream,
            encoder=listingEncoderFor(
                session.representation, session.listener.settings, facts=True
            ),
            limiter=account.limits.download,
            progress=transfer.progress,
        )
    except NotADirectory as problem:
        # RFC 3659 7.2: the argument is wrong, clients need not try LIST.
        await conclude(session, transfer, problem, stream, source=handle)
        return replies.reply(501, f"{path}: not a directory")
    except Exception as problem:
        error = problem
    return await conclude(session, transfer, error, stream, source=handle)


async def _facts(
    session: FTPSession, path: VirtualPath, handle: IDirectoryHandle, format: _Format
) -> AsyncIterator[bytes]:
    """
    Facts in which a symbolic link has those of what it leads to, if it may be told.

    @param format: makes lines of entries, in any thread.
    """
    fileSystem = session.fileSystem
    symlink = FileType.SYMLINK

    def lines(page: _Page) -> bytes | _Page:
        for _, attributes, _ in page:
            if attributes[0] is symlink:
                return page
        return session.listed(format(page))

    while made := await _worked(handle, lines):
        if not isinstance(made, bytes):
            page = [await _follow(fileSystem, path, entry) for entry in made]
            made = session.listed(format(page))
        yield made


async def _follow(
    fileSystem: IFileSystem, path: VirtualPath, entry: DirectoryEntry
) -> DirectoryEntry:
    if entry.attributes.type is not FileType.SYMLINK:
        return entry
    try:
        canonical = await fileSystem.resolve(path.child(entry.name))
        return DirectoryEntry(entry.name, await fileSystem.stat(canonical))
    except FileSystemError:
        # It leads nowhere, or where this account may not look.
        return entry


def _factFormatter(session: FTPSession, directory: VirtualPath) -> FactFormatter:
    selected = FACTS if session.facts is None else session.facts
    account = session.account
    if account is None:
        return FactFormatter(selected)
    common = account.commonLetters(directory)
    if common is not None:
        return FactFormatter(selected, common)

    def letters(name: str) -> str:
        try:
            return account.permissionLetters(directory.child(name))
        except FileSystemError:
            # Deeper than any path: nothing can be done with it.
            return ""

    return FactFormatter(selected, letters)


async def MLST(session: FTPSession, argument: str) -> Reply:
    """Facts about one file or directory."""
    path = session.path(argument)
    attributes = await session.stat(path)
    selected = FACTS if session.facts is None else session.facts
    letters = "" if session.account is None else session.account.permissionLetters(path)
    line = FactFormatter(selected, letters).line(str(path), attributes)
    return replies.reply(250, f"Facts about {path}:", decodeName(line), "End")


async def listOnControl(session: FTPSession, argument: str) -> Reply:
    """STAT with a path: the same as LIST, on the control connection."""
    account = session.account
    if account is None:
        return replies.NOT_LOGGED_IN
    request = parseListArguments(argument)
    found = await _find(session, account.fileSystem, request)
    code = 213 if found.handle is None else 212
    try:
        await session.write(encodeOpening(code, f"Status of {found.path}:", session.charset))
        formatter = _listFormatter(session, request)
        async for lines in _text(session, found, request, formatter.page):
            await session.write(encodeInner(lines))
    finally:
        if found.handle is not None:
            # Not awaited: a client that leaves now would cancel the closing.
            closed = Deferred.fromCoroutine(found.handle.close())
            closed.addErrback(lambda reason: _log.failure("a directory was not closed", reason))
    return replies.reply(code, "End of status.")


VERBS: Final = {"LIST": LIST, "NLST": NLST, "MLSD": MLSD, "MLST": MLST}
