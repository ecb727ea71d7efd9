"""
What is answered to a line that is no command, or none that can be carried out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from filehub.errors import FileHubError
from filehub.protocols.ftp import replies
from filehub.protocols.ftp.commands import KNOWN, Argument
from filehub.protocols.ftp.listener import Verb
from filehub.protocols.ftp.wire import Command, Malformed, Reply

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

_log: Final = Logger()

#: Lines beyond the limit in one session; the last closes it.
MAXIMUM_LONG_LINES: Final = 3

#: First words of other protocols.  What a browser was tricked into sending must not
#: be taken for commands (ALPACA), and scanners need no answer.
# fmt: off
_FOREIGN: Final = frozenset((
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PRI",
    "HELO", "EHLO", "LHLO", "MAIL", "RCPT", "DATA", "INVITE", "REGISTER", "DESCRIBE", "SETUP",
))
# fmt: on


def isForeign(verb: str) -> bool:
    """Is this the first word of a line of another protocol?"""
    return (
        verb in _FOREIGN
        or verb.endswith(":")
        # The second is a TLS handshake on a connection that is not encrypted yet.
        or verb.startswith(("SSH-", "\x16\x03"))
    )


def refusal(session: FTPSession, verb: Verb, command: Command) -> Reply | None:
    """What is wrong with the command before it is even tried."""
    spec = verb.spec
    if session.renameFrom is not None and command.verb != "RNTO":
        session.renameFrom = None
    if session.copyFrom is not None and command.verb != "SITE":
        session.copyFrom = None
    if spec.needsLogin and session.account is None:
        return replies.NOT_LOGGED_IN
    wanted = spec.argument
    if wanted is Argument.OPTIONAL:
        pass
    elif wanted is Argument.REQUIRED:
        if not command.argument:
            return _mistake(session, replies.ARGUMENT_MISSING)
    elif command.argument and command.argument.strip():
        return _mistake(session, replies.ARGUMENT_UNEXPECTED)
    if "\0" in command.argument:
        return _mistake(session, replies.INVALID_CHARACTER)
    return None


def unknown(session: FTPSession, event: Command | Malformed) -> Reply | None:
    """The reply to what is no command; L{None} closes the connection without one."""
    if event is Malformed.ENDLESS:
        session.violated("endless line")
        return replies.CLOSING
    if event is Malformed.TOO_LONG:
        session.longLines += 1
        if session.longLines >= MAXIMUM_LONG_LINES:
            session.violated("long lines")
            return replies.CLOSING
        return _mistake(session, replies.LINE_TOO_LONG)
    if isinstance(event, Command):
        session.renameFrom = session.copyFrom = None
        if event.verb in KNOWN:
            return replies.NOT_IMPLEMENTED
        if session.account is None and isForeign(event.verb):
            session.violated("wrong protocol")
            session.end("wrong protocol")
            return None
    return _mistake(session, replies.UNKNOWN_COMMAND)


def failed(session: FTPSession, error: Exception) -> Reply:
    """The reply to a command that raised."""
    if isinstance(error, FileHubError):
        return replies.failure(error)
    if not isinstance(error, CancelledError):
        _log.failure(
            "an FTP command failed in session {sessionId}",
            failure=Failure(error),  # type: ignore[no-untyped-call]
            sessionId=session.slot.connection.sessionId,
        )
    return replies.INTERNAL_ERROR


def _mistake(session: FTPSession, reply: Reply) -> Reply:
    """Count mistakes before login: somebody without an account gets few of them."""
    if session.account is None:
        session.mistakes += 1
        if session.mistakes >= session.listener.settings.maximumMistakes:
            return replies.CLOSING
    return reply


__all__ = ["MAXIMUM_LONG_LINES", "failed", "isForeign", "refusal", "unknown"]
