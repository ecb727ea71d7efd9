"""
Listener strings: C{udp:PORT[:interface=ADDRESS]} and C{systemd:...}.

Twisted's endpoint strings are about streams; these follow their syntax for UDP.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping

from twisted.python.systemd import ListenFDs

from filehub.errors import ConfigurationError
from filehub.transfer.datagrams import ListeningSocket


def _fields(text: str) -> list[str]:
    """The fields between colons; a backslash makes the next character ordinary."""
    return [
        re.sub(r"\\(.)", r"\1", field)
        for field in re.findall(r"(?:^|:)((?:[^:\\]|\\.)*)", text, re.DOTALL)
    ]


def _keywords(fields: list[str], text: str, allowed: set[str]) -> dict[str, str]:
    found = {}
    for field in fields:
        key, equals, value = field.partition("=")
        if not equals or key not in allowed:
            raise ConfigurationError(
                f"TFTP listener {text!r}: expected {' or '.join(sorted(allowed))}=...,"
                f" found {field!r}"
            )
        found[key] = value
    return found


def firstEnvironment() -> Mapping[str, str]:
    """
    The environment that this process was started with.  Twisted removes systemd's word
    about inherited sockets as soon as its endpoints are imported, and nothing public
    tells what it was.
    """
    try:
        with open("/proc/self/environ", "rb") as file:
            words = file.read().split(b"\0")
    except OSError:
        return os.environ
    pairs = (os.fsdecode(word).partition("=") for word in words)
    return {name: value for name, equals, value in pairs if equals}


def openListener(
    text: str, environ: Mapping[str, str] | None = None, first: int = 3
) -> ListeningSocket:
    """
    Bind what a listener string says.

    @param environ: where systemd says which descriptors it hands over; by default
        L{firstEnvironment}.
    @param first: the number of the first of them.
    @raise ConfigurationError: the string is wrong, or it cannot be bound; says why in
        one line.
    """
    kind, *rest = _fields(text)
    if kind == "udp":
        return _openPort(text, rest)
    if kind == "systemd":
        words = dict(firstEnvironment() if environ is None else environ)
        return _adopt(text, rest, ListenFDs.fromEnvironment(words, first))
    raise ConfigurationError(
        f"TFTP listener {text!r}: expected udp:PORT[:interface=ADDRESS] or systemd:..."
    )


def _openPort(text: str, fields: list[str]) -> ListeningSocket:
    host, number = _place(text, fields)
    try:
        return ListeningSocket.bind(host, number)
    except (OSError, UnicodeError) as error:
        raise _cannotListen(text, error) from error


def _cannotListen(text: str, error: Exception) -> ConfigurationError:
    reason = getattr(error, "strerror", None) or str(error)
    return ConfigurationError(f"TFTP listener {text!r}: cannot listen: {reason}")


def openShared(text: str, count: int) -> list[ListeningSocket]:
    """
    Bind what a listener string says, once for each of several processes.

    @raise ConfigurationError: as L{openListener}; also for a socket of systemd, which
        cannot be divided.
    """
    kind, *rest = _fields(text)
    if kind != "udp":
        raise ConfigurationError(
            f"TFTP listener {text!r}: expected udp:PORT[:interface=ADDRESS] with several workers"
        )
    host, number = _place(text, rest)
    found: list[ListeningSocket] = []
    try:
        # Whether it is free: those below would share it with another server of ours.
        probe = ListeningSocket.bind(host, number)
        number = probe.address.port
        probe.close()
        for _ in range(count):
            found.append(ListeningSocket.bind(host, number, shared=True))
    except (OSError, UnicodeError) as error:
        for sock in found:
            sock.close()
        raise _cannotListen(text, error) from error
    return found


def _place(text: str, fields: list[str]) -> tuple[str, int]:
    number = fields[0] if fields else ""
    if not re.fullmatch("[0-9]{1,5}", number) or int(number) > 65535:
        raise ConfigurationError(
            f"TFTP listener {text!r}: expected a port number from 0 to 65535, found {number!r}"
        )
    host = _keywords(fields[1:], text, {"interface"}).get("interface", "")
    return host, int(number)


def _adopt(text: str, fields: list[str], inherited: ListenFDs) -> ListeningSocket:
    words = _keywords(fields, text, {"name", "index", "domain"})
    if "name" in words:
        descriptor = inherited.inheritedNamedDescriptors().get(words["name"])
    else:
        every = inherited.inheritedDescriptors()
        index = words.get("index", "0")
        known = index.isdigit() and int(index) < len(every)
        descriptor = every[int(index)] if known else None
    if descriptor is None:
        raise ConfigurationError(f"TFTP listener {text!r}: systemd handed over no such socket")
    try:
        # A copy, so that closing it does not close what systemd may hand over again.
        sock = socket.socket(fileno=os.dup(descriptor))
    except OSError as error:
        raise ConfigurationError(f"TFTP listener {text!r}: {error.strerror}") from error
    if sock.type != socket.SOCK_DGRAM or sock.family not in (socket.AF_INET, socket.AF_INET6):
        sock.close()
        raise ConfigurationError(f"TFTP listener {text!r}: not a UDP socket")
    os.set_inheritable(sock.fileno(), False)
    return ListeningSocket(sock)
