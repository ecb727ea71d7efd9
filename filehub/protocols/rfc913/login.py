"""
USER, ACCT, PASS and DONE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.cred.credentials import Anonymous, ICredentials
from twisted.cred.error import LoginFailed, UnhandledCredentials

from filehub.credentials import (
    AccountPassword,
    AccountRequired,
    ConnectionPassword,
    LoginUnavailable,
)
from filehub.errors import FileHubError
from filehub.logins import MAXIMUM_PASSWORD, MAXIMUM_USER, askPortal, discard
from filehub.paths import encodeName
from filehub.protocols.rfc913 import directories, replies
from filehub.protocols.rfc913.wire import Reply

if TYPE_CHECKING:
    from filehub.protocols.rfc913.session import RFC913Session

_ANONYMOUS: Final = frozenset((b"anonymous", b"ftp", b"guest"))
#: Of a welcome.
_MAXIMUM_LINES: Final = 50

# The same for every name: nobody learns here which ones exist.
_VALID: Final = replies.success("User-id valid, send account and password")
_LOGGED_IN: Final = replies.loggedIn(" Logged in")
_ACCOUNT_VALID: Final = replies.loggedIn(" Account valid, logged-in")
_SEND_PASSWORD: Final = replies.success("Account valid, send password")
_SEND_ACCOUNT: Final = replies.success("Send account")
_USER_FIRST: Final = replies.failure("Say USER first")
_WRONG_PASSWORD: Final = replies.failure("Wrong password, try again")
_UNAVAILABLE: Final = replies.failure("Login is temporarily unavailable, try again later")
_WRONG_ACCOUNT: Final = replies.failure("Invalid account, try again")


async def USER(session: RFC913Session, argument: str) -> Reply | None:
    """Begin to log in; whoever was logged in is out."""
    session.loggedOut()
    name = encodeName(argument)
    if not name or len(name) > MAXIMUM_USER:
        return replies.failure("Invalid user-id, try again")
    if name.lower() in _ANONYMOUS and await _anonymous(session):
        return _welcomed(session, replies.loggedIn(f"{argument} logged in"))
    known = session.listener.knownUser
    if known is not None and not known(name):
        return await _refused(session, replies.failure("Invalid user-id, try again"))
    session.user = name
    return _VALID


async def ACCT(session: RFC913Session, argument: str) -> Reply | None:
    """The account, before or after the password; perhaps that of a directory."""
    if session.pending is not None:
        return await directories.authenticate(session, "account", encodeName(argument))
    if session.account is not None:
        return _ACCOUNT_VALID
    if session.user is None:
        return _USER_FIRST
    account = encodeName(argument)
    if len(account) > MAXIMUM_PASSWORD:
        return await _refused(session, _WRONG_ACCOUNT)
    session.billing = account
    if session.password is None:
        return _SEND_PASSWORD
    return await _tryIn(session, _ACCOUNT_VALID, _WRONG_ACCOUNT)


async def PASS(session: RFC913Session, argument: str) -> Reply | None:
    """The password, of which every space counts; perhaps that of a directory."""
    password = encodeName(argument)
    if session.pending is not None:
        return await directories.authenticate(session, "password", password)
    if session.account is not None:
        return _LOGGED_IN
    if session.user is None:
        return _USER_FIRST
    if len(password) > MAXIMUM_PASSWORD:
        return await _refused(session, _WRONG_PASSWORD)
    session.password = password
    if session.billing is None and session.listener.settings.accounts == "required":
        # Not a word on the password: it is verified together with the account.
        return _SEND_ACCOUNT
    return await _tryIn(session, _LOGGED_IN, _WRONG_PASSWORD)


async def DONE(session: RFC913Session, argument: str) -> None:
    """End the session; also before a login."""
    session.end("done", replies.success(f"{session.hostName} closing connection"))


async def _anonymous(session: RFC913Session) -> bool:
    try:
        await _logIn(session, Anonymous())
    except (LoginFailed, UnhandledCredentials):
        return False
    return True


async def _tryIn(session: RFC913Session, granted: Reply, wrong: Reply) -> Reply | None:
    """
    Ask the portal with what has been said.
    """
    user, password, account = session.user or b"", session.password or b"", session.billing
    policy = session.listener.settings.accounts
    connection = session.slot.connection
    session.password = None
    try:
        if account is None or policy == "none":
            try:
                await _logIn(session, ConnectionPassword(user, password, connection))
                return _welcomed(session, granted)
            except AccountRequired:
                if account is None:
                    session.password = password
                    return _SEND_ACCOUNT
        await _logIn(session, AccountPassword(user, password, account or b"", connection))
        return _welcomed(session, granted)
    except LoginUnavailable:
        return await _refused(session, _UNAVAILABLE)
    except (LoginFailed, UnhandledCredentials):
        return await _refused(session, wrong)


async def _logIn(session: RFC913Session, credentials: ICredentials) -> None:
    """
    @raise LoginFailed: and L{UnhandledCredentials}.
    @raise LimitExceeded: the account has its fill of sessions.
    """
    _, account, logout = await askPortal(
        session.listener.portal, credentials, session.slot.connection
    )
    session.startOver()
    try:
        session.slot.loggedIn(account, session)
    except FileHubError:
        discard(logout)
        raise
    session.account = account
    session.logout = logout
    session.directory = account.home
    session.attempts = 0
    session.takeUp()
    idle = account.limits.idle
    session.channel.loggedIn(session.listener.settings.idleTimeout if idle is None else idle)


def _welcomed(session: RFC913Session, granted: Reply) -> Reply:
    """The operator's text behind the line that a login has anyway."""
    text = session.listener.settings.welcome
    return Reply(granted.code, (*granted.lines, *text.splitlines()[:_MAXIMUM_LINES]))


async def _refused(session: RFC913Session, reply: Reply) -> Reply | None:
    """One answer for every reason there is."""
    session.billing = session.password = None
    return await session.refuse(reply)


VERBS: Final = {"USER": USER, "ACCT": ACCT, "PASS": PASS, "DONE": DONE}
