"""
SITE: commands of ours within one command (RFC 959 4.1.3).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from filehub.attributes import AttributeChanges
from filehub.errors import AlreadyExists, CrossDevice, NotFound, OperationNotSupported
from filehub.interfaces import ISymbolicLinks
from filehub.paths import ROOT, VirtualPath
from filehub.protocols.ftp import copying, replies, space, trees
from filehub.protocols.ftp.arguments import unquoted, words
from filehub.protocols.ftp.facts import parseTime
from filehub.protocols.ftp.settings import FTPSettings, SiteCommand
from filehub.protocols.ftp.wire import Reply
from filehub.views import ICreationMask

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

#: The least that SITE IDLE takes, in seconds.
MINIMUM_IDLE: Final = 10

_MODE: Final = re.compile(r"[0-7]{3,4}")
_SECONDS: Final = re.compile(r"[0-9]{1,9}")
_SHORT_TIME: Final = re.compile(r"[0-9]{12}")

_UNKNOWN: Final = replies.reply(500, "That SITE command is not known.")
_SUPERFLUOUS: Final = replies.reply(202, "That SITE command changes nothing here.")
_DISABLED: Final = replies.reply(504, "That SITE command is not enabled.")


async def SITE(session: FTPSession, argument: str) -> Reply:
    """Hand on to one of L{COMMANDS}, or to one of the embedder's."""
    name, _, rest = argument.strip().partition(" ")
    name = name.upper()
    if session.copyFrom is not None and name != "CPTO":
        session.copyFrom = None
    commands = session.listener.site
    if name == "HELP":
        lines = [command.help for _, command in sorted(commands.items())]
        return replies.reply(214, "SITE commands:", *lines, "SITE HELP", "End")
    command = commands.get(name)
    if command is None:
        if session.listener.settings.toleratesSITE:
            return _SUPERFLUOUS
        return _DISABLED if name in COMMANDS else _UNKNOWN
    return await command.run(session, rest)


async def CHMOD(session: FTPSession, argument: str) -> Reply:
    """Permission bits in octal.  Set-id and sticky bits are quietly left out."""
    mode, _, name = argument.partition(" ")
    if not _MODE.fullmatch(mode) or not name:
        return _syntax("CHMOD")
    changes = AttributeChanges(mode=int(mode, 8) & 0o777)
    await session.fileSystem.setAttributes(session.path(name), changes)
    return replies.reply(200, "Mode changed.")


async def UTIME(session: FTPSession, argument: str) -> Reply:
    """When a file was accessed and modified, in either of the two spellings in use."""
    parsed = _parseFiveWords(argument) or _parseTwoWords(argument)
    if parsed is None:
        return _syntax("UTIME")
    name, changes = parsed
    await session.fileSystem.setAttributes(session.path(name), changes)
    return replies.reply(200, "Times changed.")


def _parseFiveWords(argument: str) -> tuple[str, AttributeChanges] | None:
    """C{name accessed modified created UTC}; a time of creation cannot be set."""
    parts = argument.rsplit(" ", 4)
    if len(parts) != 5 or not parts[0] or parts[4].upper() != "UTC":
        return None
    try:
        accessed, modified, _ = map(parseTime, parts[1:4])
    except ValueError:
        return None
    return parts[0], AttributeChanges(accessed=accessed, modified=modified)


def _parseTwoWords(argument: str) -> tuple[str, AttributeChanges] | None:
    """C{time name}; seconds may be missing."""
    word, _, name = argument.partition(" ")
    try:
        modified = parseTime(f"{word}00" if _SHORT_TIME.fullmatch(word) else word)
    except ValueError:
        return None
    return (name, AttributeChanges(modified=modified)) if name else None


async def SYMLINK(session: FTPSession, argument: str) -> Reply:
    """
    Make a symbolic link.  What is asked for are two paths as the client sees them; what
    the link says is the way from one to the other, so it means the same to everybody.
    """
    names = words(argument)
    if names is None or len(names) != 2 or not all(names):
        return _syntax("SYMLINK")
    fileSystem = session.fileSystem
    links = ISymbolicLinks(fileSystem, None)
    if links is None:
        raise OperationNotSupported(session.path(names[1]))
    target = await fileSystem.resolve(session.path(names[0]), followFinal=False)
    link = await fileSystem.resolve(session.newPath(names[1]), followFinal=False)
    if _mountOf(session, target) != _mountOf(session, link):
        raise CrossDevice(target)
    await links.makeLink(link, _wayTo(target, link.parent))
    return replies.reply(200, "Link made.")


def _mountOf(session: FTPSession, path: VirtualPath) -> VirtualPath:
    points = () if session.account is None else session.account.mounts
    within = [point for point in points if path.isWithin(point)]
    return max(within, key=lambda point: len(point.segments), default=ROOT)


def _wayTo(target: VirtualPath, directory: VirtualPath) -> str:
    """C{target} as it is called in C{directory}."""
    common = directory
    while not target.isWithin(common):
        common = common.parent
    up = [".."] * (len(directory.segments) - len(common.segments))
    return "/".join([*up, *target.relativeTo(common).segments]) or "."


async def MKDIR(session: FTPSession, argument: str) -> Reply:
    """Make a directory and those above it, as far as they are missing."""
    path = session.newPath(unquoted(argument))
    fileSystem = session.fileSystem
    depth = 0
    # Upwards to what is there, and down again.
    while True:
        place = VirtualPath(path.segments[: len(path.segments) - depth])
        try:
            await fileSystem.makeDirectory(place)
        except NotFound:
            depth += 1
            if depth >= len(path.segments):
                raise
        except AlreadyExists:
            await fileSystem.enterDirectory(path)
            break
        else:
            break
    for length in range(len(path.segments) - depth + 1, len(path.segments) + 1):
        await fileSystem.makeDirectory(VirtualPath(path.segments[:length]))
    return replies.reply(200, "Directory made.")


async def UMASK(session: FTPSession, argument: str) -> Reply:
    """
    Permission bits that new files and directories of this session do not get.  A mount
    may withhold others; nothing here gives more than it does.
    """
    text = argument.strip()
    if not text:
        return replies.reply(200, f"The umask is {session.umask:03o}.")
    if not _MODE.fullmatch(text):
        return _syntax("UMASK")
    session.masked, session.umask = None, 0
    mask = int(text, 8) & 0o777
    if mask:
        able = ICreationMask(session.fileSystem, None)
        if able is None:
            raise OperationNotSupported(None, "there are no permission bits here")
        session.masked, session.umask = able.masked(mask), mask
    return replies.reply(200, f"The umask is {mask:03o}.")


async def IDLE(session: FTPSession, argument: str) -> Reply:
    """How long the session may be idle, within what the operator allows."""
    account, settings = session.account, session.listener.settings
    if account is None:
        return replies.NOT_LOGGED_IN
    usual = account.limits.idle
    most = int(max(settings.idleTimeout, settings.maximumIdle) if usual is None else usual)
    if not argument.strip():
        seconds = session.channel.idle
        return replies.reply(200, f"Idle time is {seconds:.0f} seconds, {most} at the most.")
    if not _SECONDS.fullmatch(argument.strip()):
        return _syntax("IDLE")
    wanted = int(argument)
    if not MINIMUM_IDLE <= wanted <= most:
        return replies.reply(501, f"Idle time may be {MINIMUM_IDLE} to {most} seconds.")
    session.channel.loggedIn(wanted)
    return replies.reply(200, f"Idle time is {wanted} seconds now.")


COMMANDS: Final = {
    "CHMOD": SiteCommand("SITE CHMOD mode path", CHMOD),
    "COPY": SiteCommand("SITE COPY path path", copying.COPY),
    "CPFR": SiteCommand("SITE CPFR path", copying.CPFR),
    "CPTO": SiteCommand("SITE CPTO path", copying.CPTO),
    "IDLE": SiteCommand("SITE IDLE [seconds]", IDLE),
    "MKDIR": SiteCommand("SITE MKDIR path", MKDIR),
    "QUOTA": SiteCommand("SITE QUOTA [path]", space.QUOTA),
    "RMDIR": SiteCommand("SITE RMDIR path", trees.RMDA),
    "SYMLINK": SiteCommand("SITE SYMLINK target link", SYMLINK),
    "UMASK": SiteCommand("SITE UMASK [mask]", UMASK),
    "UTIME": SiteCommand("SITE UTIME time path | path accessed modified created UTC", UTIME),
}


def _syntax(name: str) -> Reply:
    return replies.reply(501, COMMANDS[name].help)


def enabledSiteCommands(settings: FTPSettings) -> dict[str, SiteCommand]:
    """Those that these settings leave, with those that they add."""
    every = {**COMMANDS, **settings.siteCommands}
    return {
        name: command for name, command in every.items() if f"SITE {name}" not in settings.disabled
    }


VERBS: Final = {"SITE": SITE}
