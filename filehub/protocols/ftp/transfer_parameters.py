"""
Transfer parameters (RFC 959 4.1.2): how, and between which addresses, bytes will move.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from filehub.errors import OperationNotSupported, PermissionDenied
from filehub.protocols.ftp import replies
from filehub.protocols.ftp.addresses import (
    IPV4,
    IPV6,
    UnsupportedFamily,
    formatPort,
    isForeignAllowed,
    isUnspecified,
    parseExtendedPort,
    parsePort,
)
from filehub.protocols.ftp.checksums import hashOptions
from filehub.protocols.ftp.facts import factsReply, parseFacts
from filehub.protocols.ftp.passive import NoPortFree, canonicalHost
from filehub.protocols.ftp.wire import Reply

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

_BAD_ADDRESS: Final = replies.reply(501, "That is no address.")
_FOREIGN_ADDRESS: Final = replies.reply(501, "Only your own address may be used.")
_PRIVILEGED_PORT: Final = replies.reply(504, "Ports below 1024 may not be used.")
_FAMILIES: Final = {IPV4: socket.AF_INET, IPV6: socket.AF_INET6}
_EPSV_ONLY: Final = replies.reply(503, "After EPSV ALL only EPSV is accepted.")


async def PORT(session: FTPSession, argument: str) -> Reply:
    """The client listens at this IPv4 address."""
    if session.epsvAll:
        return _EPSV_ONLY
    try:
        host, port = parsePort(argument)
    except ValueError:
        return _void(session, _BAD_ADDRESS)
    return _active(session, host, port, "PORT")


async def EPRT(session: FTPSession, argument: str) -> Reply:
    """The client listens at this address (RFC 2428)."""
    if session.epsvAll:
        return _EPSV_ONLY
    try:
        host, port = parseExtendedPort(argument)
    except UnsupportedFamily:
        return _void(session, _wrongFamily(session))
    except ValueError:
        return _void(session, _BAD_ADDRESS)
    return _active(session, host, port, "EPRT")


def _active(session: FTPSession, host: str, port: int, verb: str) -> Reply:
    """
    Accept an address only if it is the client's own, or one of the servers that it may
    exchange files with (RFC 2577): a server that connects wherever it is told scans and
    attacks for others.
    """
    if port < 1024:
        session.violated("bounce")
        return _void(session, _PRIVILEGED_PORT)
    own, wanted = canonicalHost(session.slot.connection.peer.host), canonicalHost(host)
    if wanted != own and not isUnspecified(wanted):
        if not isForeignAllowed(wanted, session.listener.settings.allowFXP):
            session.violated("bounce")
            return _void(session, _FOREIGN_ADDRESS)
    session.takesClientPartOnce = False
    try:
        session.channels().active(host, port)
    except PermissionDenied:
        return _FOREIGN_ADDRESS
    return replies.reply(200, f"{verb} command successful.")


def _void(session: FTPSession, reply: Reply) -> Reply:
    """What was arranged before does not hold any more."""
    if session.data is not None:
        session.data.reset()
    return reply


async def PASV(session: FTPSession, argument: str) -> Reply:
    """Listen, and say where: an IPv4 address and a port."""
    if session.epsvAll:
        return _EPSV_ONLY
    connection = session.slot.connection
    if ":" in connection.local.host:
        return replies.reply(501, "PASV is for IPv4 only; use EPSV.")
    port = _listen(session, None)
    reached = session.reachedAt or connection.local.host
    host = session.listener.external.addressFor(connection.peer.host, reached)
    # Exactly so: some clients take apart nothing else.
    return replies.reply(227, f"Entering Passive Mode ({formatPort(host, port)}).")


def _listen(session: FTPSession, family: int | None) -> int:
    """
    @raise ConnectFailed: and L{OperationNotSupported}, as C{passive} does.
    """
    session.takesClientPartOnce = False
    try:
        return session.channels().passive(family)
    except NoPortFree:
        session.listener.countExhaustion(session.slot.connection)
        raise


async def EPSV(session: FTPSession, argument: str) -> Reply:
    """Listen, and say on which port (RFC 2428)."""
    if argument.upper() == "ALL":
        session.epsvAll = True
        return replies.reply(200, "Only EPSV will be accepted.")
    family = None
    if argument:
        family = _FAMILIES.get(argument)
        if family is None:
            known = argument.isascii() and argument.isdigit()
            return _wrongFamily(session) if known else replies.reply(501, "EPSV takes 1, 2 or ALL.")
    try:
        port = _listen(session, family)
    except OperationNotSupported:
        return _wrongFamily(session)
    # No full stop at the end: clients exist that stumble over it.
    return replies.reply(229, f"Entering Extended Passive Mode (|||{port}|)")


def _wrongFamily(session: FTPSession) -> Reply:
    usable = IPV6 if ":" in session.slot.connection.local.host else IPV4
    return replies.reply(522, f"Network protocol not supported, use ({usable})")


async def TYPE(session: FTPSession, argument: str) -> Reply:
    """Text or bytes, in all the spellings that clients use."""
    words = argument.upper().split()
    kind, format = words[0] if words else "", words[1] if len(words) > 1 else ""
    if len(kind) == 2 and not format:
        # "L8", "AN": printers and scanners save the space.
        kind, format = kind[0], kind[1]
    if len(words) > 2 or kind not in ("A", "E", "I", "L"):
        return replies.reply(501, "That is no type.")
    if kind == "A" and format in ("", "N"):
        session.text = True
    elif (kind == "I" and format in ("", "N")) or (kind == "L" and format in ("", "8")):
        session.text = False
    else:
        return replies.reply(504, "Only TYPE A, I and L 8 are supported.")
    return replies.reply(200, f"Type set to {'A' if session.text else 'I'}.")


async def STRU(session: FTPSession, argument: str) -> Reply:
    """The structure of files (RFC 959 3.1.2)."""
    return _only("F", "RP", argument, "Structure")


async def MODE(session: FTPSession, argument: str) -> Reply:
    """The transmission mode (RFC 959 3.4)."""
    return _only("S", "BCZ", argument, "Mode")


def _only(supported: str, others: str, argument: str, what: str) -> Reply:
    code = argument.strip().upper()
    if code == supported:
        return replies.reply(200, f"{what} set to {supported}.")
    if len(code) == 1 and code in others:
        return replies.reply(504, f"{what} {code} is not supported.")
    return replies.reply(501, f"{what} is not known.")


async def OPTS(session: FTPSession, argument: str) -> Reply:
    """Options of other commands (RFC 2389 section 4)."""
    command, _, options = argument.partition(" ")
    command = command.upper()
    if command in ("UTF8", "UTF-8"):
        # Some clients insist on 200, before they log in.
        if options.strip().upper() in ("", "ON", "NLST"):
            return replies.reply(200, "UTF-8 is always on.")
        return replies.reply(504, "UTF-8 cannot be turned off.")
    if command == "MLST":
        session.facts = parseFacts(options)
        return replies.reply(200, factsReply(session.facts).rstrip())
    if command == "HASH" and command in session.listener.verbs:
        return hashOptions(session, options)
    if command in session.listener.verbs:
        return replies.reply(501, f"{command} has no options.")
    return replies.reply(501, "That command is not known.")


VERBS: Final = {
    "PORT": PORT,
    "EPRT": EPRT,
    "PASV": PASV,
    "EPSV": EPSV,
    "TYPE": TYPE,
    "STRU": STRU,
    "MODE": MODE,
    "OPTS": OPTS,
}
