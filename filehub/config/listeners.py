"""
Endpoint strings: read once for L{filehub check<filehub.cli.check>}, which binds
nothing, and once for the daemon.
"""

from __future__ import annotations

import re
from typing import Any, Final

from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamServerEndpoint

from filehub.deadlines import Deadlines
from filehub.errors import ConfigurationError
from filehub.networks import Networks
from filehub.transfer.proxied import ProxiedEndpoint

_STREAM_EXAMPLE: Final = "an endpoint such as tcp:2121:interface=127.0.0.1"
_DATAGRAM_EXAMPLE: Final = "udp:PORT, udp:PORT:interface=ADDRESS or systemd:..."
#: Endpoints whose second word is a port; a prefix for HAProxy's protocol may come first.
_PORT: Final = re.compile(r"(?:haproxy:)?(?:tcp6?|ssl|tls|udp):(?:port=)?([^:]*)")
_SYSTEMD: Final = re.compile(r"(?:haproxy:)?systemd:")
_PROXIED: Final = "haproxy:"


def isProxied(text: str) -> bool:
    """Do the clients of this listener come through a proxy that introduces them?"""
    return text.startswith(_PROXIED)


def streamEndpoint(
    reactor: Any, text: str, trusted: Networks = (), deadlines: Deadlines | None = None
) -> IStreamServerEndpoint:
    """
    What a listener string for a stream protocol means; nothing is bound.

    @param trusted: the proxies that a listener with C{haproxy:} believes.
    @param deadlines: needed by such a listener when it listens.
    @raise ConfigurationError: nothing; says what was found and what was expected.
    """
    _checkPort(text, _STREAM_EXAMPLE)
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, text.removeprefix(_PROXIED))  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, LookupError, OSError, RuntimeError) as error:
        # Twisted's parser has no exception of its own for what it cannot read.
        if _SYSTEMD.match(text) and isinstance(error, LookupError):
            expected = "a socket that systemd hands over"
        else:
            expected = _STREAM_EXAMPLE
        hint = ""
        if "::" in text:
            hint = " (colons in an address are written \\:)"
        elif isinstance(error, OSError):
            hint = f" ({error.filename}: {error.strerror})"
        raise ConfigurationError(f"found {text!r}, expected {expected}{hint}") from error
    if isProxied(text) and deadlines is not None:
        return ProxiedEndpoint(endpoint, trusted, deadlines)
    return endpoint


def complaintAbout(text: str, *, stream: bool) -> str | None:
    """
    What is wrong with a listener string, as far as can be told without binding it and
    outside of systemd.
    """
    if _SYSTEMD.match(text):
        return None
    try:
        if stream:
            streamEndpoint(None, text)
        elif not re.fullmatch(r"udp:[^:]+(:interface=(?:[^:\\]|\\.)+)?", text, re.DOTALL):
            raise ConfigurationError(f"found {text!r}, expected {_DATAGRAM_EXAMPLE}")
        else:
            _checkPort(text, _DATAGRAM_EXAMPLE)
    except ConfigurationError as error:
        return str(error)
    return None


def fixedPort(text: str) -> int | None:
    """The port that a well-formed string asks for, unless any will do."""
    found = _PORT.match(text)
    return int(found[1]) or None if found is not None else None


def _checkPort(text: str, expected: str) -> None:
    found = _PORT.match(text)
    if found is None:
        return
    if not re.fullmatch("[0-9]{1,5}", found[1]) or int(found[1]) > 65535:
        raise ConfigurationError(
            f"found {text!r}, expected {expected}, with a port from 0 to 65535"
        )
