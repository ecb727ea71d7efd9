"""
The server without a configuration file: what the options of the command line mean,
and what it says when it runs.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from twisted.internet.address import UNIXAddress

from filehub.accounts.hashes import hashPassword
from filehub.config.loading import LoadedConfiguration, crossCheck
from filehub.config.schema import Configuration
from filehub.errors import ConfigurationError
from filehub.protocols.rfc913.server import RFC913Factory
from filehub.protocols.tftp.server import TFTPService

_READ: Final = "elr"
_WRITE: Final = "elradfmwMT"
#: The account of TFTP clients, who cannot log in.
_NETWORK_ACCOUNT: Final = "network"


def embeddedConfiguration(
    options: Mapping[str, Any], defaults: Mapping[str, str], *, checkFolders: bool = True
) -> LoadedConfiguration:
    """
    What C{--root}, C{--writable}, C{--user} and the listeners describe.

    @param defaults: where each protocol listens if no listener is given at all.
    @param checkFolders: whether the folder has to exist already, seen from here.
    @raise ConfigurationError: the folder or a name cannot be used.
    """
    root = Path(options["root"]).absolute()
    if checkFolders and not root.is_dir():
        raise ConfigurationError(f"--root: found {str(root)!r}, expected an existing folder")
    allow = _WRITE if options["writable"] else _READ
    rule = [{"path": "/", "allow": allow}]
    given = any(options[protocol] for protocol in defaults)
    listen = {
        protocol: options[protocol] if given else [default]
        for protocol, default in defaults.items()
    }
    users = [
        {"name": name, "password": _hash(password), "rule": rule}
        for name, password in options["users"]
    ]
    data = {
        "server": {"workers": _workers(options.get("workers"))},
        "ftp": {"listen": listen["ftp"]},
        "tftp": {
            "listen": listen["tftp"],
            "write": "overwrite" if options["writable"] else "deny",
        },
        "rfc913": {"listen": listen["rfc913"]},
        "mount": [{"path": "/", "source": root.as_uri()}],
        "user": [*users, {"name": _NETWORK_ACCOUNT, "rule": rule}],
        "anonymous": {"enabled": not users, "rule": rule},
        "network": [
            {"address": network, "account": _NETWORK_ACCOUNT, "protocols": ["tftp"]}
            for network in ("0.0.0.0/0", "::/0")
        ],
    }
    try:
        loaded = LoadedConfiguration(Configuration.model_validate(data), "command line")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigurationError(
            f"command line: found {first['input']!r}: {first['msg']}"
        ) from None
    problems = crossCheck(loaded, checkFolders=checkFolders)
    if problems:
        raise ConfigurationError("\n".join(problems))
    return loaded


def _workers(text: str | None) -> object:
    """As the configuration file has it."""
    return 1 if text is None else int(text) if text.isdecimal() else text


def _hash(password: str) -> str:
    try:
        return hashPassword(password.encode("utf-8", "surrogateescape"))
    except ValueError as error:
        raise ConfigurationError(f"--user: password: {error}") from None


def welcome(service: Any, options: Mapping[str, Any]) -> str:
    """What to try, with the ports that were bound in the end."""
    writable = options["writable"]
    user = options["users"][0][0] if options["users"] else None
    kind = "read and write" if writable else "read-only"
    who = "the users given" if user else "anonymous"
    root = Path(options["root"]).absolute()
    lines = [f"FileHub serves {root} to {who}, {kind}.  Try:"]
    for listener in service.listeners:
        lines += _suggestion(listener, user)
    if not writable:
        lines.append("  (add --writable to allow uploads, --config FILE for everything else)")
    return "\n".join(lines)


def _suggestion(listener: Any, user: str | None) -> list[str]:
    if isinstance(listener, TFTPService):
        place = _place(listener.address.host, listener.address.port)
        return [f"  tftp://{place}/      curl -O tftp://{place}/FILE"]
    host = listener.port.getHost()
    if isinstance(host, UNIXAddress):
        # No URL leads there.
        return [f"  {listener.description}"]
    place = _place(host.host, host.port)
    if isinstance(listener.factory, RFC913Factory):
        return [f"  rfc913://{place}/    filehub ls rfc913://{place}/"]
    login = f" --user {user}" if user else ""
    return [f"  ftp://{place}/       curl{login} ftp://{place}/"]


def _place(host: str, port: int) -> str:
    address = ipaddress.ip_address(host.partition("%")[0])
    if address.is_unspecified:
        host = "localhost"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
