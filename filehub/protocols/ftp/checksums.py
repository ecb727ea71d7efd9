"""
Checksums of files: HASH (draft-bryan-ftpext-hash) and the commands that came before it.

The storage computes them, aside and a few at a time; here is only how clients ask.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from filehub.errors import InvalidOffset, NotARegularFile, NotFound, OperationNotSupported
from filehub.interfaces import IChecksums
from filehub.paths import VirtualPath
from filehub.protocols.ftp import replies
from filehub.protocols.ftp.arguments import ranged, unquoted
from filehub.protocols.ftp.interruptible import interruptible
from filehub.protocols.ftp.ranges import takeRange
from filehub.protocols.ftp.wire import Reply

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

#: Names of HASH (IANA's, where it has one) and what L{IChecksums} calls them.
ALGORITHMS: Final = {
    "CRC32": "crc32",
    "MD5": "md5",
    "SHA-1": "sha1",
    "SHA-256": "sha256",
    "SHA-512": "sha512",
}
DEFAULT: Final = "SHA-256"
#: Files in one MMD5.
MAXIMUM_FILES: Final = 32

_BAD_RANGE: Final = replies.reply(501, "The end lies before the start.")
_TOO_MANY: Final = replies.reply(501, "MMD5 takes a few paths with commas between them.")
_UNKNOWN_ALGORITHM: Final = replies.reply(504, "Unknown algorithm, the current one stays.")


def algorithmOf(session: FTPSession) -> str:
    """What HASH uses."""
    return session.algorithm or DEFAULT


def hashFeature(session: FTPSession) -> str:
    """The line of FEAT, with a star at the current algorithm."""
    current = algorithmOf(session)
    return "HASH " + ";".join([f"{each}*" if each == current else each for each in ALGORITHMS])


def hashOptions(session: FTPSession, options: str) -> Reply:
    """OPTS HASH: tell, or choose, the algorithm."""
    wanted = options.strip().upper()
    if wanted:
        if wanted not in ALGORITHMS:
            return _UNKNOWN_ALGORITHM
        session.algorithm = wanted
    return replies.reply(200, algorithmOf(session))


async def HASH(session: FTPSession, argument: str) -> Reply:
    """The digest of a file, or of the range that RANG chose."""
    start, end = takeRange(session)
    path = session.path(argument)
    algorithm = algorithmOf(session)
    work = _ofRange(session, path, ALGORITHMS[algorithm], start, end)
    stop, value = await interruptible(session, "HASH", path, work)
    covered = f"{start}-{max(start, stop - 1)}"
    return replies.reply(213, f"{algorithm} {covered} {value.hex()} {argument}")


async def _ofRange(
    session: FTPSession, path: VirtualPath, algorithm: str, start: int, end: int | None
) -> tuple[int, bytes]:
    """Where the range ends, and the digest of it."""
    size = await _sizeOf(session, path)
    if start > size:
        raise InvalidOffset(path)
    stop = size if end is None else min(size, end + 1)
    return stop, await _digest(session, path, algorithm, start, stop)


def _command(verb: str, algorithm: str) -> Callable[[FTPSession, str], Coroutine[Any, Any, Reply]]:
    """C{verb path [start [end]]}; the byte at the end is not counted."""

    async def checksum(session: FTPSession, argument: str) -> Reply:
        literal = session.path(unquoted(argument))
        return await interruptible(session, verb, literal, work(session, argument, literal))

    async def work(session: FTPSession, argument: str, literal: VirtualPath) -> Reply:
        path, start, end = await _target(session, argument, literal)
        size = await _sizeOf(session, path)
        stop = size if end is None else end
        if stop < start <= size:
            return _BAD_RANGE
        if start > size or stop > size:
            raise InvalidOffset(path)
        value = await _digest(session, path, algorithm, start, stop)
        return replies.reply(250, value.hex().upper())

    return checksum


async def _target(
    session: FTPSession, argument: str, literal: VirtualPath
) -> tuple[VirtualPath, int, int | None]:
    """
    What is meant: numbers at the end are a range, unless there is a file of that name.
    """
    begin, end = takeRange(session)
    chosen = begin, None if end is None else end + 1
    parts = ranged(argument)
    if parts is None:
        return literal, *chosen
    try:
        await session.stat(literal)
    except NotFound:
        name, start, stop = parts
        return session.path(unquoted(name)), start, stop
    return literal, *chosen


async def MD5(session: FTPSession, argument: str) -> Reply:
    """draft-twine-ftpmd5."""
    path = session.path(unquoted(argument))
    _, value = await interruptible(
        session, "MD5", path, _ofRange(session, path, "md5", *takeRange(session))
    )
    return replies.reply(251, f"{argument} {value.hex().upper()}")


async def MMD5(session: FTPSession, argument: str) -> Reply:
    """The same for several files."""
    names = [each.strip(" ") for each in argument.split(",")]
    if not all(names) or len(names) > MAXIMUM_FILES:
        return _TOO_MANY
    values = []
    for name in names:
        path = session.path(unquoted(name))
        work = _ofRange(session, path, "md5", 0, None)
        _, value = await interruptible(session, "MMD5", path, work)
        values.append(f"{name} {value.hex().upper()}")
    return replies.reply(252, ", ".join(values))


async def _sizeOf(session: FTPSession, path: VirtualPath) -> int:
    attributes = await session.stat(path)
    if not attributes.isRegular:
        raise NotARegularFile(path)
    return attributes.size


async def _digest(
    session: FTPSession, path: VirtualPath, algorithm: str, start: int, stop: int
) -> bytes:
    checksums = IChecksums(session.fileSystem, None)
    if checksums is None:
        raise OperationNotSupported(path)
    digest: bytes = await checksums.digest(path, algorithm, start, stop - start)
    return digest


VERBS: Final = {
    "HASH": HASH,
    "MD5": MD5,
    "MMD5": MMD5,
    "XCRC": _command("XCRC", "crc32"),
    "XMD5": _command("XMD5", "md5"),
    "XSHA": _command("XSHA", "sha1"),
    "XSHA1": _command("XSHA1", "sha1"),
    "XSHA256": _command("XSHA256", "sha256"),
    "XSHA512": _command("XSHA512", "sha512"),
}
