"""
Transfer parameters (RFC 959 4.1.2): how, and between which addresses, bytes will move.
"""

from __future__ import annotations

import re
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
from filehub.transfer.deflate import DEFAULT_LEVEL, LEVELS
from filehub.transfer.pages import PAGE_FORMATS

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

#: "L8", "AN": printers and scanners save the space.
_TYPE: Final = re.compile(r"([AEIL]) *([A-Z]|[0-9]{1,3}|)")

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
    reached = session.reachedAt or connection.local.host
    if ":" in reached:
        return replies.reply(501, "PASV is for IPv4 only; use EPSV.")
    port = _listen(session, None)
    host = session.listener.external.addressFor(connection.peer.host, reached)
    # Exactly so: some clients take apart nothing else.
    return replies.reply(227, f"Entering Passive Mode ({formatPort(host, port)}).")


def _listen(session: FTPSession, family: int | None) -> int:
    """
    @raise ConnectFailed: and L{OperationNotSupported}, as C{passive} does.
    """
    session.takesClientPartOnce = False
    channels = session.channels()
    channels.onEarly = session.onEarly
    try:
        return channels.passive(family)
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
    if family is not None and session.reachedAt is not None:
        if (family == socket.AF_INET6) != (":" in session.reachedAt):
            return _wrongFamily(session)
        # Behind a proxy ours need not be the client's.
        family = None
    try:
        port = _listen(session, family)
    except OperationNotSupported:
        return _wrongFamily(session)
    # No full stop at the end: clients exist that stumble over it.
    return replies.reply(229, f"Entering Extended Passive Mode (|||{port}|)")


def _wrongFamily(session: FTPSession) -> Reply:
    usable = IPV6 if ":" in (session.reachedAt or session.slot.connection.local.host) else IPV4
    return replies.reply(522, f"Network protocol not supported, use ({usable})")


async def TYPE(session: FTPSession, argument: str) -> Reply:
    """Text or bytes (RFC 959 3.1.1), in all the spellings that clients use."""
    match = _TYPE.fullmatch(argument.strip().upper())
    if match is None:
        return replies.reply(501, "That is no type.")
    type, detail = match[1], match[2]
    text, bits = type in ("A", "E"), int(detail) if detail.isdigit() else 8
    format = detail or "N"
    if format not in ("N", "T", "C") if text else format != "N" and not detail.isdigit():
        return replies.reply(504, "The formats are N, T and C.")
    if not text and bits not in (PAGE_FORMATS if type == "L" else (8,)):
        return replies.reply(504, "The logical bytes are TYPE L 8 and, for STRU P, TYPE L 32.")
    changed = session.representation.but(type=type, format=format if text else "N", bits=bits)
    session.representation = changed
    return replies.reply(200, f"Type set to {'I' if type == 'L' and bits == 8 else type}.")


async def STRU(session: FTPSession, argument: str) -> Reply:
    """The structure of files (RFC 959 3.1.2)."""
    code = argument.strip().upper()
    if code not in ("F", "R", "P"):
        return replies.reply(501, "Structure is not known.")
    session.representation = session.representation.but(structure=code)
    return replies.reply(200, f"Structure set to {code}.")


async def MODE(session: FTPSession, argument: str) -> Reply:
    """The transmission mode (RFC 959 3.4)."""
    code = argument.strip().upper()
    if code not in ("S", "B", "C", "Z"):
        return replies.reply(501, "Mode is not known.")
    if code == "Z" and not session.listener.settings.deflate:
        return replies.reply(504, "Mode Z is not supported.")
    session.representation = session.representation.but(mode=code)
    return replies.reply(200, f"Mode set to {code}.")


def _modeOptions(session: FTPSession, options: str) -> Reply:
    """
    C{OPTS MODE Z} (draft-preston-ftpext-deflate): zlib's deflate is the only engine and
    the only method, so what can be chosen is how hard it tries.
    """
    words = options.upper().split()
    if words[:1] != ["Z"] or len(words) % 2 == 0 or not session.listener.settings.deflate:
        return replies.reply(501, "Only MODE Z has options.")
    level = DEFAULT_LEVEL
    for name, value in zip(words[1::2], words[2::2], strict=True):
        if name == "LEVEL" and value.isascii() and value.isdigit() and int(value[:3]) in LEVELS:
            level = int(value)
        elif (name, value) not in (("ENGINE", "ZLIB"), ("METHOD", "DEFLATE"), ("METHOD", "8")):
            return replies.reply(501, f"{name} {value} is not known; the levels are 1 to 9.")
    session.representation = session.representation.but(level=level)
    return replies.reply(200, f"MODE Z LEVEL set to {level}.")


async def OPTS(session: FTPSession, argument: str) -> Reply:
    """Options of other commands (RFC 2389 section 4)."""
    command, _, options = argument.partition(" ")
    command = command.upper()
    if command in ("UTF8", "UTF-8"):
        return _chooseUTF8(session, options.strip().upper())
    if command == "MLST":
        session.facts = parseFacts(options)
        return replies.reply(200, factsReply(session.facts).rstrip())
    if command == "HASH" and command in session.listener.verbs:
        return hashOptions(session, options)
    if command == "MODE":
        return _modeOptions(session, options)
    if command in session.listener.verbs:
        return replies.reply(501, f"{command} has no options.")
    return replies.reply(501, "That command is not known.")


def _chooseUTF8(session: FTPSession, choice: str) -> Reply:
    """Some clients say this before they log in, and insist on 200."""
    usual = session.listener.settings.charset
    if choice in ("", "ON", "NLST"):
        session.charset = None
        return replies.reply(200, "UTF-8 is always on." if usual is None else "UTF-8 is on.")
    if usual is None or choice != "OFF":
        return replies.reply(504, "UTF-8 cannot be turned off.")
    session.charset = usual
    return replies.reply(200, "UTF-8 is off.")


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
