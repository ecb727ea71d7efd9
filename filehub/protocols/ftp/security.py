"""
Protecting both connections with TLS (RFC 2228 and RFC 4217).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from filehub.errors import ProtectionRequired
from filehub.events import Direction
from filehub.protocols.ftp import replies
from filehub.protocols.ftp.thirdparty import shakeHandsAsClient
from filehub.protocols.ftp.wire import Reply
from filehub.transfer.sockets import SocketStream
from filehub.transfer.stream import ByteStream
from filehub.transfer.tls import TLSSession
from filehub.transfer.tlsstreams import TLSReceiver, TLSSender

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession
    from filehub.protocols.ftp.settings import FTPSettings

_log: Final = Logger()

#: Mechanisms of AUTH, and whether data connections are protected from then on
#: (RFC 4217 says no; the old C{SSL} and C{TLS-P} meant yes).
_MECHANISMS: Final = {"TLS": False, "TLS-C": False, "SSL": True, "TLS-P": True}

_GO_AHEAD: Final = replies.reply(234, "Begin the TLS handshake.")
_TLS_ALREADY: Final = replies.reply(503, "TLS has begun already.")
_TLS_FIRST: Final = replies.reply(503, "Say AUTH TLS first.")
_UNKNOWN_MECHANISM: Final = replies.reply(504, "Known are AUTH TLS and AUTH SSL.")
_CLEAR_REFUSED: Final = replies.reply(534, "Data connections have to be protected here.")
_NO_SUCH_LEVEL: Final = replies.reply(536, "The levels are C and P.")
_STAY_ENCRYPTED: Final = replies.reply(534, "The control connection stays encrypted.")
_CLEARED: Final = replies.reply(200, "Commands are in the clear from now on.")
_CLEAR_ALREADY: Final = replies.reply(533, "Commands are in the clear already.")
IN_THE_CLEAR: Final = replies.reply(533, "Commands are in the clear: connect again for this.")
TLS_REQUIRED: Final = replies.reply(530, "TLS is required here: say AUTH TLS first.")
PROT_REQUIRED: Final = replies.reply(521, "Data connections have to be protected: say PROT P.")


async def AUTH(session: FTPSession, argument: str) -> Reply | None:
    """Encrypt the control connection (RFC 4217 section 4)."""
    protects = _MECHANISMS.get(argument.strip().upper())
    certificates = session.listener.certificates
    if protects is None or certificates is None:
        return _UNKNOWN_MECHANISM
    if session.tls is not None:
        return _TLS_ALREADY
    if session.hasMore:
        # Whatever was sent in the clear behind AUTH could be somebody else's, and
        # must not count as said under TLS (CVE-2011-0411).
        session.violated("plain text after AUTH")
        return replies.CLOSING
    session.loggedOut()
    session.reinitialize()
    session.attempts = 0
    session.send(_GO_AHEAD)
    resumable = session.listener.settings.tlsSessions != "off"
    session.encrypt(TLSSession(certificates, resumable=resumable))
    session.protects = protects
    return None


async def PBSZ(session: FTPSession, argument: str) -> Reply:
    """TLS needs no buffer of its own (RFC 4217 section 8)."""
    if session.tls is None:
        return _TLS_FIRST
    if session.tls.isCleared:
        return IN_THE_CLEAR
    if not (argument.isascii() and argument.isdigit()):
        return replies.reply(501, "PBSZ takes a number.")
    return replies.reply(200, "PBSZ=0")


async def PROT(session: FTPSession, argument: str) -> Reply:
    """
    Protect data connections, or not (RFC 4217 section 9).  Clients that forget PBSZ are
    forgiven.
    """
    if session.tls is None:
        return _TLS_FIRST
    if session.tls.isCleared:
        return IN_THE_CLEAR
    level = argument.strip().upper()
    if level == "P":
        session.protects = True
        return replies.reply(200, "Data connections are protected.")
    if level == "C":
        if _isProtectionRequired(session):
            return _CLEAR_REFUSED
        session.protects = False
        if session.data is not None:
            # On a connection that has come already TLS may have begun.
            session.data.reset()
        return replies.reply(200, "Data connections are not protected.")
    return _NO_SUCH_LEVEL if level in ("S", "E") else replies.reply(504, "The levels are C and P.")


async def CCC(session: FTPSession, argument: str) -> Reply | None:
    """
    Go back to commands in the clear, for the sake of firewalls that read them (RFC 4217
    section 12), where the operator allows that.  Data connections stay as they are.
    """
    identity = session.tls
    if identity is None:
        return _TLS_FIRST
    if identity.isCleared:
        return _CLEAR_ALREADY
    if not session.listener.settings.allowCCC:
        return _STAY_ENCRYPTED
    if session.account is None:
        # The password is what TLS is for.
        return replies.NOT_LOGGED_IN
    if session.hasMore:
        # Was it meant for this side of the change, or for the other?
        session.violated("commands after CCC")
        return replies.CLOSING
    session.send(_CLEARED)
    identity.isCleared = True
    session.channel.stopTLS()
    return None


def mayTransfer(session: FTPSession) -> Reply | None:
    """What is in the way of a transfer: no data connection, or too little protection."""
    if session.data is None or not session.data.isArmed:
        return replies.NO_DATA_CONNECTION
    # Whoever was let in without TLS (anonymous) has nothing to protect.
    if session.tls is not None and not session.protects and _isProtectionRequired(session):
        return PROT_REQUIRED
    return None


def _isProtectionRequired(session: FTPSession) -> bool:
    """Of data connections: by the listener, or by the account that is logged in."""
    account = session.account
    return session.listener.settings.tls == "required" or (
        account is not None and account.requiresTLS
    )


async def openData(session: FTPSession, direction: Direction | None) -> ByteStream:
    """
    The data connection of one transfer, protected as was agreed.

    @param direction: L{None} for a listing.
    @raise ConnectFailed: it did not come about.
    @raise ProtectionRequired: TLS did not come about, or did not resume this very
        control connection's session where that is demanded.
    """
    identity = session.tls
    if identity is None or not session.protects:
        session.takesClientPartOnce = False
        return await session.channels().open()
    channels = session.channels()
    if session.takesClientPart or session.takesClientPartOnce:
        session.takesClientPartOnce = False
        return await channels.open(shakeHandsAsClient)
    settings, listener = session.listener.settings, session.listener
    uploading = direction is Direction.UPLOAD
    onMissing: Callable[[], object] | None = None
    if settings.closeNotify == "log":
        onMissing = partial(session.violated, "upload without close_notify")
    elif settings.closeNotify == "off":
        onMissing = _unnoticed

    async def protect(inner: SocketStream) -> ByteStream:
        stream: TLSSender | TLSReceiver | None = await identity.earlyStream(inner)
        if stream is None:
            stream = TLSReceiver(inner, identity) if uploading else TLSSender(inner, identity)
            await stream.handshake()
        if isinstance(stream, TLSReceiver):
            stream.onMissingCloseNotify = onMissing
        listener.countTLS(resumed=stream.resumed)
        if not stream.resumed and not channels.isForeign:
            problem = _doubtsAbout(stream, identity, settings, session.slot.connection.sessionId)
            if problem is not None:
                # An end that is no accident: clients then look for the reply.
                await stream.finish()
                raise problem
        return stream

    return await channels.open(protect)


def _doubtsAbout(
    stream: TLSSender | TLSReceiver,
    identity: TLSSession,
    settings: FTPSettings,
    sessionId: int,
) -> ProtectionRequired | None:
    """
    What is wrong with a data connection that does not resume the control connection's
    session.  (Another server cannot resume what is between the client and us.)
    """
    if settings.tlsSessions == "require":
        return ProtectionRequired("the control connection's TLS session must be resumed")
    if settings.tlsSessions == "prefer" and not identity.isUnbound:
        identity.isUnbound = True
        _log.info(
            "data connections of session {sessionId} do not resume its TLS session",
            sessionId=sessionId,
        )
    if identity.clientCertificate not in (None, stream.clientCertificate):
        return ProtectionRequired("the control connection's client certificate is needed")
    return None


def _unnoticed() -> None:
    """Nobody minds how uploads end."""


VERBS: Final = {"AUTH": AUTH, "PBSZ": PBSZ, "PROT": PROT, "CCC": CCC}
