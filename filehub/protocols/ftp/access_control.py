"""
Access control commands (RFC 959 4.1.1): who is this?
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.cred.credentials import Anonymous, ICredentials
from twisted.cred.error import LoginFailed, UnhandledCredentials

from filehub.credentials import (
    AccountPassword,
    AccountRequired,
    Certificate,
    ConnectionPassword,
    EncryptionRequired,
    ICertificate,
    LoginUnavailable,
    PasswordRequired,
)
from filehub.errors import FileHubError
from filehub.logins import MAXIMUM_PASSWORD, MAXIMUM_USER, askPortal, discard
from filehub.paths import encodeName
from filehub.protocols.ftp import replies
from filehub.protocols.ftp.hosts import followServerName
from filehub.protocols.ftp.messages import withText
from filehub.protocols.ftp.preferences import preferred
from filehub.protocols.ftp.security import IN_THE_CLEAR, TLS_REQUIRED
from filehub.protocols.ftp.wire import Reply

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

_ANONYMOUS: Final = frozenset((b"anonymous", b"ftp"))
# The same for every name: nobody learns here which ones exist.
_PASSWORD_NEEDED: Final = replies.reply(331, "Password required.")
_ACCOUNT_NEEDED: Final = replies.reply(332, "Account required.")
_LOGGED_IN: Final = replies.reply(230, "Logged in.")
_LOGGED_IN_BY_CERTIFICATE: Final = replies.reply(232, "Logged in by certificate.")
_USER_FIRST: Final = replies.reply(503, "Say USER first.")
_TOO_MANY_ATTEMPTS: Final = replies.reply(421, "Too many failed logins.")


async def USER(session: FTPSession, argument: str) -> Reply:
    """Begin to log in; whoever was logged in is out (RFC 959 4.1.1)."""
    name = encodeName(argument)
    identity = session.tls
    if identity is not None and identity.isCleared:
        return IN_THE_CLEAR
    session.loggedOut()
    session.password = None
    required = session.listener.settings.tls == "required"
    if required and session.tls is None and name.lower() not in _ANONYMOUS:
        # Said now, before the password is on its way for all to read.
        return TLS_REQUIRED
    if len(name) > MAXIMUM_USER:
        session.user = None
        return replies.reply(501, "The name is too long.")
    session.user = name
    if identity is None or identity.clientCertificate is None or name.lower() in _ANONYMOUS:
        return _PASSWORD_NEEDED
    try:
        credentials = Certificate(name, identity.clientCertificate)
        return await _logIn(session, credentials, _LOGGED_IN_BY_CERTIFICATE)
    except (PasswordRequired, UnhandledCredentials):
        return _PASSWORD_NEEDED


async def PASS(session: FTPSession, argument: str) -> Reply:
    """Log in.  The password may be empty, and every space of it counts."""
    user = session.user
    if user is None or session.password is not None:
        return _USER_FIRST
    if user.lower() in _ANONYMOUS:
        return await _logIn(session, Anonymous())
    password = encodeName(argument)
    if len(password) > MAXIMUM_PASSWORD:
        return _refused(session)
    try:
        credentials = ConnectionPassword(user, password, session.slot.connection)
        return await _logIn(session, credentials)
    except AccountRequired:
        session.password = password
        return _ACCOUNT_NEEDED


async def ACCT(session: FTPSession, argument: str) -> Reply:
    """The last word of a login that a 332 asked for; superfluous otherwise."""
    user, password = session.user, session.password
    if user is not None and password is not None:
        account = encodeName(argument)
        try:
            connection = session.slot.connection
            return await _logIn(session, AccountPassword(user, password, account, connection))
        except AccountRequired:
            return _refused(session)
    if session.account is not None:
        return replies.reply(202, "No account is needed.")
    return replies.reply(503, "Say USER and PASS first.")


async def REIN(session: FTPSession, argument: str) -> Reply:
    """Forget everything but the connection (RFC 959 4.1.1)."""
    if session.tls is not None and session.tls.isCleared:
        return IN_THE_CLEAR
    session.loggedOut()
    # The host has to be said again (RFC 7151 section 3.2.1), unless TLS says it.
    session.adopt(session.listener.root)
    followServerName(session)
    session.reinitialize()
    return replies.reply(220, "Ready for a new user.")


async def QUIT(session: FTPSession, argument: str) -> None:
    """End the session; a transfer before it has ended by now (RFC 959 4.1.1)."""
    session.send(replies.GOODBYE)
    session.end("quit")


async def _logIn(
    session: FTPSession, credentials: ICredentials, welcome: Reply = _LOGGED_IN
) -> Reply:
    """
    Ask the portal.

    @raise AccountRequired: it wants an account too.
    @raise PasswordRequired: the certificate is no login by itself.
    @raise UnhandledCredentials: nobody looks at certificates.
    """
    try:
        _, account, logout = await askPortal(
            session.listener.portal, credentials, session.slot.connection
        )
    except (AccountRequired, PasswordRequired):
        raise
    except EncryptionRequired:
        session.user = session.password = None
        return TLS_REQUIRED
    except UnhandledCredentials:
        if ICertificate.providedBy(credentials):
            raise
        return _refused(session)
    except LoginUnavailable:
        return _refused(session, replies.LOGIN_UNAVAILABLE)
    except LoginFailed:
        return _refused(session)
    session.user = session.password = None
    try:
        # Before anything else: this may find that the account has its fill.
        session.slot.loggedIn(account, session)
    except FileHubError:
        discard(logout)
        raise
    session.account = account
    session.logout = logout
    session.adopt(preferred(session.listener, account))
    session.directory = account.home
    session.attempts = 0
    idle = account.limits.idle
    session.channel.loggedIn(session.listener.settings.idleTimeout if idle is None else idle)
    return withText(session.listener.settings.welcome, welcome)


def _refused(session: FTPSession, answer: Reply = replies.LOGIN_INCORRECT) -> Reply:
    """One answer for every reason there is, as often as the operator allows."""
    session.user = session.password = None
    session.attempts += 1
    if session.attempts >= session.listener.settings.maximumAttempts:
        return _TOO_MANY_ATTEMPTS
    return answer


VERBS: Final = {"USER": USER, "PASS": PASS, "ACCT": ACCT, "REIN": REIN, "QUIT": QUIT}
