"""
C{scheme://user@host:port/path}: where something is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from filehub.errors import ConfigurationError
from filehub.paths import decodeName

#: Schemes and the ports that belong to them; a local file has none.
PORTS: Final = {"ftp": 21, "ftps": 990, "ftpes": 21, "tftp": 69, "rfc913": 115, "file": 0}


@dataclass(frozen=True, slots=True)
class Location:
    """
    A parsed URL, or a local path.

    @ivar scheme: a key of L{PORTS}; C{ftps} is implicit TLS, C{ftpes} is FTP with
        AUTH TLS.
    @ivar user: from the URL, or empty.
    @ivar path: decoded.  For C{ftp} it is relative to the login directory unless it
        starts with C{/} (RFC 1738 3.2.2: C{ftp://host//etc} is absolute).
    @ivar netascii: C{;mode=netascii} stood behind the name (RFC 3617).
    """

    scheme: str
    host: str = ""
    port: int = 0
    user: str = ""
    path: str = ""
    netascii: bool = False

    @property
    def isLocal(self) -> bool:
        return self.scheme == "file"

    @property
    def name(self) -> str:
        """The last name of the path."""
        return self.path.rstrip("/").rpartition("/")[2]

    def withPath(self, path: str) -> Location:
        """The same server, another path."""
        return replace(self, path=path)

    @property
    def server(self) -> tuple[str, str, int, str, bool]:
        """Equal for two locations that one connection can serve."""
        return self.scheme, self.host, self.port, self.user, self.netascii

    def __str__(self) -> str:
        if self.isLocal:
            return self.path
        user = f"{quote(self.user)}@" if self.user else ""
        shown = self.host.replace("%", "%25", 1)
        host = f"[{shown}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port != PORTS[self.scheme] else ""
        path = quote(self.path, errors="surrogateescape")
        mode = ";mode=netascii" if self.netascii else ""
        return f"{self.scheme}://{user}{host}{port}/{path}{mode}"


def parseLocation(text: str) -> Location:
    """
    Read a URL; what has no scheme is a local path.

    @raise ConfigurationError: an unknown scheme or mode, a password in the URL (everybody on
        the machine could read it), no host, a bad port.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return Location("file", path=text)
    scheme = scheme.lower()
    if scheme not in PORTS:
        known = ", ".join(PORTS)
        raise ConfigurationError(f"{text}: found scheme {scheme!r}, expected one of {known}")
    authority, _, path = rest.partition("/")
    netascii = False
    if scheme == "tftp":
        path, netascii = _mode(text, path)
    decoded = _decode(path)
    if scheme == "file":
        return Location("file", path="/" + decoded)
    user, _, address = authority.rpartition("@")
    if ":" in user:
        raise ConfigurationError(
            "found a password in the URL, which everybody on this machine could read;"
            " expected it from the prompt, ~/.netrc or $FILEHUB_PASSWORD"
        )
    host, port = _address(text, address, PORTS[scheme])
    return Location(scheme, host, port, _decode(user), decoded, netascii)


def _mode(text: str, path: str) -> tuple[str, bool]:
    """The path without its C{;mode=...} (RFC 3617 section 3), and whether it is a text."""
    path, found, mode = path.partition(";mode=")
    if found and mode.lower() not in ("octet", "netascii"):
        raise ConfigurationError(f"{text}: found mode {mode!r}, expected octet or netascii")
    return path, mode.lower() == "netascii"


def _address(text: str, address: str, default: int) -> tuple[str, int]:
    if address.startswith("["):
        host, _, after = address[1:].partition("]")
        # A scope stands behind an escaped % (RFC 6874).
        host = host.replace("%25", "%", 1)
        port = after.removeprefix(":")
    else:
        host, _, port = address.partition(":")
    if not host:
        raise ConfigurationError(f"{text}: found no host, expected scheme://host/path")
    if not port:
        return host, default
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ConfigurationError(f"{text}: found port {port!r}, expected 1 to 65535")
    return host, int(port)


def _decode(text: str) -> str:
    return decodeName(unquote_to_bytes(text))
