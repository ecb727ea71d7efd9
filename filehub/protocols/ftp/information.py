"""
What a client wants to be told: about us, about the session, about a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from filehub.protocols.ftp import replies
from filehub.protocols.ftp.checksums import hashFeature
from filehub.protocols.ftp.commands import GENERAL_FEATURES, Group
from filehub.protocols.ftp.directories import listOnControl
from filehub.protocols.ftp.facts import FACTS, factsFeature
from filehub.protocols.ftp.languages import languageFeature
from filehub.protocols.ftp.representation import describe
from filehub.protocols.ftp.wire import Reply

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

_SYSTEMS: Final = {
    "unix": replies.reply(215, "UNIX Type: L8"),
    "dos": replies.reply(215, "Windows_NT"),
}
_WORDS_IN_A_LINE: Final = 8


async def SYST(session: FTPSession, argument: str) -> Reply:
    """Clients choose their parser for LIST by this."""
    return _SYSTEMS[session.listener.settings.listFormat]


async def NOOP(session: FTPSession, argument: str) -> Reply:
    """Nothing; but it counts as activity."""
    return replies.OK


async def FEAT(session: FTPSession, argument: str) -> Reply:
    """The extensions that are enabled here (RFC 2389 section 3)."""
    features = [each for each in GENERAL_FEATURES if each != "UTF8" or _speaksUTF8(session)]
    for verb in session.listener.verbs.values():
        feature = verb.spec.feature
        if feature is not None:
            tell = _DEPENDING.get(feature)
            told = feature if tell is None else tell(session)
            if told is not None:
                features.append(told)
    return replies.reply(211, "Features:", *sorted(features), "End")


def _speaksUTF8(session: FTPSession) -> bool:
    return session.charset is None and session.listener.settings.announceUTF8


def _factsFeature(session: FTPSession) -> str:
    return f"MLST {factsFeature(FACTS if session.facts is None else session.facts)}"


def _deflateFeature(session: FTPSession) -> str | None:
    return "MODE Z" if session.listener.settings.deflate else None


def _clearFeature(session: FTPSession) -> str | None:
    return "CCC" if session.listener.settings.allowCCC else None


#: Lines that depend on what the session has chosen, or the operator.
_DEPENDING: Final[dict[str, Callable[[FTPSession], str | None]]] = {
    "CCC": _clearFeature,
    "MLST": _factsFeature,
    "HASH": hashFeature,
    "LANG": languageFeature,
    "MODE Z": _deflateFeature,
}


async def HELP(session: FTPSession, argument: str) -> Reply:
    """All commands, or one."""
    wanted = argument.strip().upper()
    verbs = session.listener.verbs
    if wanted == "SITE" and wanted in verbs:
        return await verbs["SITE"].run(session, "HELP")  # type: ignore[no-any-return]
    if wanted:
        verb = verbs.get(wanted)
        if verb is None:
            return replies.reply(502, "That command is not known.")
        return replies.reply(214, verb.spec.help)
    lines = []
    for group in Group:
        names = [verb.spec.verb for verb in verbs.values() if verb.spec.group is group]
        lines.append(f"{group.value.capitalize()}:")
        lines += [
            "  "
            + "".join(f"{name:<8}" for name in names[index : index + _WORDS_IN_A_LINE]).rstrip()
            for index in range(0, len(names), _WORDS_IN_A_LINE)
        ]
    return replies.reply(214, "Commands:", *lines, "HELP command tells more.")


async def STAT(session: FTPSession, argument: str) -> Reply:
    """The session and its transfer (also while that runs), or a listing."""
    if argument:
        return await listOnControl(session, argument)
    return replies.reply(211, "Status:", *statusOf(session), "End of status.")


def statusOf(session: FTPSession) -> Iterator[str]:
    """The lines of STAT."""
    connection, account = session.slot.connection, session.account
    yield f"Connected from {connection.peer.host}"
    yield f"Logged in as {account.name}" if account is not None else "Not logged in"
    if session.client:
        yield f"Client: {session.client}"
    yield describe(session.representation)
    transfer = session.transfer
    if transfer is None:
        armed = session.data is not None and session.data.isArmed
        yield "Waiting for a transfer" if armed else "No data connection"
        return
    size = "" if transfer.size is None else f" of {transfer.size}"
    seconds = session.listener.deadlines.seconds() - transfer.started
    yield (
        f"{transfer.verb} {transfer.path}: {transfer.progress.nbytes}{size} bytes"
        f" in {seconds:.0f} s"
    )


VERBS: Final = {
    "SYST": SYST,
    "NOOP": NOOP,
    "FEAT": FEAT,
    "HELP": HELP,
    "STAT": STAT,
}
