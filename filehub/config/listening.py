"""
What may be written in the configuration file about who listens, and how.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field

from filehub.config.tftpnames import RootPattern, TFTPClient, TFTPRule
from filehub.config.values import (
    CharsetValue,
    Count,
    ExternalValue,
    FileName,
    ForeignValue,
    FTPCommandName,
    HostName,
    MulticastValue,
    NetworkValue,
    PortRange,
    ProfileValue,
    Seconds,
    Section,
    Text,
    VirtualPathValue,
)
from filehub.paths import ROOT

#: Who may speak for clients where a listener is behind a proxy: this machine.
_LOOPBACK: Final = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")]


class FTPListener(Section):
    """FTP and FTPS listeners that have all this in common."""

    listen: list[str] = []
    implicit_tls: list[str] = []
    tls: Literal["off", "optional", "required"] | None = None
    passive_ports: PortRange | None = None
    tls_sessions: Literal["off", "prefer", "require"] = "prefer"
    close_notify: Literal["strict", "log", "off"] = "strict"
    ccc: Literal["deny", "allow"] = "deny"
    external_address: ExternalValue | None = None
    trusted_proxies: list[NetworkValue] = _LOOPBACK
    data_proxy_protocol: bool = False
    allow_fxp: ForeignValue = False
    active: bool = True
    ascii: Literal["convert", "binary"] = "convert"
    ebcdic: Literal["cp037", "cp500"] = "cp037"
    records: Literal["marks", "literal"] = "marks"
    mode_z: bool = False
    banner: str = "FTP server ready."
    welcome: Text = ""
    message_file: FileName = ""
    checksums: bool = True
    disabled_commands: list[FTPCommandName] = []
    tells_version: bool = False
    tree_entries: Count = 100_000
    maximum_idle: Seconds = 7200.0
    profile: ProfileValue | None = None
    charset: CharsetValue = None
    announce_utf8: bool = True
    backslashes: bool = False
    list_format: Literal["unix", "dos"] = "unix"
    make_parents: bool = False
    accept_existing: bool = False
    tolerate_site: bool = False


class Multicast(Section):
    """One file for many TFTP clients at once."""

    addresses: list[MulticastValue] = []
    ports: PortRange = range(1758, 1759)
    ttl: Annotated[int, Field(ge=1, le=255)] = 1
    interface: str | None = None
    groups: Count = 16
    clients: Count = 250


class FTPHost(Section):
    """A virtual host of all FTP listeners; what is not said is as there."""

    name: HostName
    aliases: list[HostName] = []
    banner: str | None = None
    welcome: Text | None = None
    root: VirtualPathValue = ROOT
    user_prefix: str = ""
    anonymous: bool = True
    profile: ProfileValue | None = None
    charset: CharsetValue = None


class FTP(FTPListener):
    """FTP: what holds for all its listeners, and those that differ."""

    listener: list[FTPListener] = []
    host: list[FTPHost] = []

    @property
    def variants(self) -> Iterator[tuple[tuple[str | int, ...], FTPListener]]:
        """
        The listeners with all that holds for them, and where in the file they are: what a
        C{[[ftp.listener]]} does not say is as in C{[ftp]}.
        """
        yield ("ftp",), self
        for index, listener in enumerate(self.listener):
            own = {key: getattr(listener, key) for key in listener.model_fields_set}
            whole = self.model_copy(update={"listen": [], "implicit_tls": [], **own})
            yield ("ftp", "listener", index), whole


class TFTP(Section):
    """TFTP listeners."""

    listen: list[str] = []
    write: Literal["deny", "create", "overwrite"] = "deny"
    single_port: bool = False
    port_range: PortRange | None = None
    blksize: Annotated[int, Field(ge=8, le=65464)] = 65464
    windowsize: Annotated[int, Field(ge=1, le=65535)] = 64
    backslashes: bool = True
    case: Literal["exact", "lower", "any"] = "exact"
    rules: Path | None = None
    client_roots: list[RootPattern] = []
    rule: list[TFTPRule] = []
    client: list[TFTPClient] = []
    multicast: Multicast = Multicast()


class RFC913(Section):
    """Simple FTP listeners."""

    listen: list[str] = []
    accounts: Literal["none", "optional", "required"] = "none"
    generations: bool = False
    lenient_framing: bool = False
    welcome: Text = ""
    trusted_proxies: list[NetworkValue] = _LOOPBACK
