"""
Who is who: CLNT, and CSID (draft-peterson-streamlined-ftp-command-extensions).

Names of programs are for logs and people; nothing here depends on them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from filehub import __version__
from filehub.events import ClientNamed
from filehub.protocols.ftp import replies
from filehub.protocols.ftp.facts import printableName
from filehub.protocols.ftp.wire import Reply

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

#: Characters of a client's name that are kept.
MAXIMUM_LENGTH: Final = 128


async def CLNT(session: FTPSession, argument: str) -> Reply:
    """The client's name."""
    _remember(session, argument)
    return replies.OK


async def CSID(session: FTPSession, argument: str) -> Reply:
    """The client's name and ours, with a version only if the operator wants to give one."""
    pairs = [each.partition("=") for each in argument.split(";")]
    facts = {key.strip().lower(): value.strip() for key, _, value in pairs}
    if "name" in facts:
        _remember(session, f"{facts['name']} {facts.get('version', '')}")
    version = f"Version={__version__}; " if session.listener.settings.tellsVersion else ""
    return replies.reply(200, f"Name=FileHub; {version}CaseSensitive=1; DirSep=/;")


def _remember(session: FTPSession, name: str) -> None:
    name = printableName(name.strip())[:MAXIMUM_LENGTH]
    if name and name != session.client:
        session.client = name
        session.listener.emit(ClientNamed(session.slot.connection, name))


VERBS: Final = {"CLNT": CLNT, "CSID": CSID}
