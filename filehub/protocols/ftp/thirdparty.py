"""
Files that go from server to server (FXP), one of which is this one.

The client arms both: one listens (PASV), the other is told to connect there (PORT); see
C{data.py} for who may be named.  With TLS one of the two has to take the client's part in
the handshake.  SSCN says so for all data connections from then on, CPSV for the one that
it arms.  Neither server knows what certificate to expect of the other, so that protects
against listeners only.

PRET is for servers that are many: it tells the command that will follow, before PASV,
so that the right one of them may listen.  Here that means to say early what would be
said later.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from OpenSSL import SSL

from filehub.errors import NotARegularFile
from filehub.protocols.ftp import replies
from filehub.protocols.ftp.refusals import refusal
from filehub.protocols.ftp.transfer_parameters import PASV
from filehub.protocols.ftp.wire import Command, Reply
from filehub.transfer.sockets import SocketStream
from filehub.transfer.tlsclient import ServerTrust, TLSClientStream

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

_TRANSFERS: Final = frozenset(("RETR", "STOR", "APPE", "STOU", "LIST", "NLST", "MLSD"))
_PROTECT_FIRST: Final = replies.reply(503, "Say AUTH TLS and PROT P first.")


async def SSCN(session: FTPSession, argument: str) -> Reply:
    """Take the client's part in TLS on data connections, or the server's again."""
    wanted = argument.strip().upper()
    if wanted not in ("", "ON", "OFF"):
        return replies.reply(501, "SSCN takes ON or OFF.")
    if wanted == "ON" and not session.protects:
        return _PROTECT_FIRST
    if wanted:
        session.takesClientPart = wanted == "ON"
    return replies.reply(
        200, "SSCN:CLIENT METHOD" if session.takesClientPart else "SSCN:SERVER METHOD"
    )


async def CPSV(session: FTPSession, argument: str) -> Reply:
    """PASV, and the client's part in TLS on that connection."""
    if not session.protects:
        return _PROTECT_FIRST
    reply = await PASV(session, argument)
    session.takesClientPartOnce = reply.code == 227
    return reply


async def PRET(session: FTPSession, argument: str) -> Reply:
    """Hear the command that will follow PASV, and say at once if it cannot succeed."""
    word, _, rest = argument.partition(" ")
    verb = session.listener.verbs.get(word.upper())
    if verb is None or verb.spec.verb not in _TRANSFERS:
        return replies.reply(501, "PRET takes a command that transfers.")
    wrong = refusal(session, verb, Command(verb.spec.verb, rest))
    if wrong is not None:
        return wrong
    if verb.spec.verb == "RETR":
        path = session.path(rest)
        if not (await session.stat(path)).isRegular:
            raise NotARegularFile(path)
    elif verb.spec.verb in ("STOR", "APPE"):
        session.newPath(rest)
    return replies.OK


@cache
def _context() -> SSL.Context:
    """For all connections on which this is the client; they resume nothing."""
    return ServerTrust(insecure=True).context()


async def shakeHandsAsClient(inner: SocketStream) -> TLSClientStream:
    """
    TLS with a server that is no more known than by its address.

    @raise ProtectionRequired: the handshake failed.
    @raise PeerGone:
    """
    # An address is no name for SNI, so none is sent.
    stream = TLSClientStream(inner, _context(), "0.0.0.0")
    await stream.handshake()
    return stream


VERBS: Final = {"SSCN": SSCN, "CPSV": CPSV, "PRET": PRET}
