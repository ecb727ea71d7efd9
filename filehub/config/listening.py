"""
What may be written in the configuration file about who listens, and how.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from filehub.config.values import Count, IPv4Value, MulticastValue, PortRange, Section


class FTP(Section):
    """FTP and FTPS listeners."""

    listen: list[str] = []
    implicit_tls: list[str] = []
    tls: Literal["off", "optional", "required"] | None = None
    passive_ports: PortRange | None = None
    tls_sessions: Literal["off", "prefer", "require"] = "prefer"
    close_notify: Literal["strict", "log", "off"] = "strict"
    ccc: Literal["deny", "allow"] = "deny"
    external_address: IPv4Value | None = None
    allow_fxp: bool = False
    active: bool = True
    ascii: Literal["convert", "binary"] = "convert"
    banner: str = "FTP server ready."
    checksums: bool = True


class Multicast(Section):
    """One file for many TFTP clients at once."""

    addresses: list[MulticastValue] = []
    ports: PortRange = range(1758, 1759)
    ttl: Annotated[int, Field(ge=1, le=255)] = 1
    interface: str | None = None
    groups: Count = 16
    clients: Count = 250


class TFTP(Section):
    """TFTP listeners."""

    listen: list[str] = []
    write: Literal["deny", "create", "overwrite"] = "deny"
    single_port: bool = False
    port_range: PortRange | None = None
    blksize: Annotated[int, Field(ge=8, le=65464)] = 65464
    windowsize: Annotated[int, Field(ge=1, le=65535)] = 64
    backslashes: bool = True
    multicast: Multicast = Multicast()


class RFC913(Section):
    """Simple FTP listeners."""

    listen: list[str] = []
    accounts: Literal["none", "optional", "required"] = "none"
    generations: bool = False
    lenient_framing: bool = False
