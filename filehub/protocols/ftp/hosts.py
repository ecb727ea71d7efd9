"""
Virtual hosts (RFC 7151): several servers at one address.

A client says before it logs in which one it means, by HOST or by the name in its TLS
handshake (SNI), which also chooses the certificate.  From then on the session belongs to
that host's L{Listener}: its banner, its settings, its portal.  The name in the handshake
is what the certificate was shown for, so HOST cannot name another one; REIN, and nothing
else, returns to where the connection began.
"""

from __future__ import annotations

import copy
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from filehub.logins import LoginPortal
from filehub.networks import canonicalHost
from filehub.protocols.ftp import replies
from filehub.protocols.ftp.external import ExternalAddresses
from filehub.protocols.ftp.listener import Listener
from filehub.protocols.ftp.settings import FTPSettings
from filehub.protocols.ftp.wire import Reply

if TYPE_CHECKING:
    from filehub.protocols.ftp.session import FTPSession

_NAME: Final = re.compile(
    r"(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
    r"(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
)

_NO_NAME: Final = replies.reply(501, "That is no host name.")
_UNKNOWN: Final = replies.reply(504, "There is no such host here.")
_TOO_LATE: Final = replies.reply(503, "Say HOST before you log in.")
_OTHER_NAME: Final = replies.reply(504, "The host is another one than that of the TLS handshake.")


@dataclass(frozen=True)
class VirtualHost:
    """
    One of several servers behind one listener.

    @ivar names: what clients may call it; case does not count.
    @ivar settings: those that concern what is said before the host is known (TLS,
        implicit TLS, ports) have to be the listener's.
    @ivar portal: who may log in there, and as what.
    """

    names: tuple[str, ...]
    settings: FTPSettings
    portal: LoginPortal


def addHosts(listener: Listener, hosts: Iterable[VirtualHost]) -> None:
    """Let clients of this listener choose one of these hosts."""
    for host in hosts:
        chosen = copy.copy(listener)
        chosen.become(host.settings)
        chosen.base = chosen
        chosen.portal = host.portal
        chosen.external = (
            listener.external
            if host.settings.externalAddress == listener.settings.externalAddress
            else ExternalAddresses(host.settings.externalAddress)
        )
        for name in host.names:
            # All copies share this one table.
            listener.hosts[_canonical(name)] = chosen


def _canonical(name: str) -> str:
    return name.lower().removesuffix(".")


async def HOST(session: FTPSession, argument: str) -> Reply:
    """Choose a virtual host; the answer is its greeting."""
    if session.account is not None or session.user is not None:
        return _TOO_LATE
    name = _canonical(argument.strip())
    literal = _address(name)
    if literal is None and not _NAME.fullmatch(name):
        return _NO_NAME
    root = session.listener.root
    chosen = root.hosts.get(name)
    if chosen is None and literal in (session.slot.connection.local.host, session.reachedAt):
        # Whoever names the address names no host in particular.
        chosen = root if literal is not None else None
    if chosen is None:
        return _UNKNOWN
    shown = _byServerName(session)
    if shown is not None and shown is not chosen:
        return _OTHER_NAME
    session.adopt(chosen)
    return greeting(session)


def _address(name: str) -> str | None:
    """An address as HOST may have it, IPv6 in brackets; L{None} if it is none."""
    try:
        if name.startswith("[") and name.endswith("]"):
            return str(ipaddress.IPv6Address(canonicalHost(name[1:-1])))
        return str(ipaddress.IPv4Address(name))
    except ValueError:
        return None


def _byServerName(session: FTPSession) -> Listener | None:
    """The host that the client named in the TLS handshake, if it did and there is one."""
    identity = session.tls
    if identity is None or identity.serverName is None:
        return None
    name = identity.serverName.decode("ascii", "replace")
    return session.listener.root.hosts.get(_canonical(name))


def followServerName(session: FTPSession) -> None:
    """The TLS handshake is done: what name was the certificate shown for?"""
    chosen = _byServerName(session)
    if chosen is not None:
        session.adopt(chosen)


def greeting(session: FTPSession) -> Reply:
    """The banner of where the session is (RFC 959 5.4)."""
    return _welcome(session.listener.settings.banner)


@lru_cache(maxsize=64)
def _welcome(banner: str) -> Reply:
    return replies.reply(220, *banner.splitlines() or ("Ready.",))


VERBS: Final = {"HOST": HOST}

__all__ = ["VERBS", "VirtualHost", "addHosts", "followServerName", "greeting"]
