"""
What may be written in the configuration file, with every default.

The names are a contract with operators.  An unknown key is an error: a misspelt limit
must not be no limit.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, get_args
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from filehub.errors import FileHubError
from filehub.paths import ROOT, VirtualPath
from filehub.permissions import Permission, parsePermissions


def _virtualPath(value: object) -> VirtualPath:
    if isinstance(value, VirtualPath):
        return value
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError("expected an absolute virtual path such as /pub")
    if ".." in value.split("/"):
        raise ValueError("expected a path without ..")
    try:
        return ROOT.join(value)
    except FileHubError as error:
        raise ValueError(str(error)) from None


def _permissions(value: object) -> Permission:
    if isinstance(value, Permission):
        return value
    if not isinstance(value, str):
        raise ValueError("expected letters of elradfmwMT")
    return parsePermissions(value)


def _ports(value: object) -> range:
    if isinstance(value, range):
        return value
    first, dash, last = value.partition("-") if isinstance(value, str) else ("", "", "")
    if not (dash and first.isascii() and last.isascii() and first.isdigit() and last.isdigit()):
        raise ValueError('expected a range of ports such as "50000-50999"')
    if not 1 <= int(first) <= int(last) <= 65535:
        raise ValueError("expected 1 to 65535, the lower end first")
    return range(int(first), int(last) + 1)


def _folder(value: object) -> Path:
    if isinstance(value, Path):
        return value
    parts = urlsplit(value) if isinstance(value, str) else None
    if parts is None or parts.scheme != "file" or parts.netloc or not parts.path.startswith("/"):
        raise ValueError("expected a folder such as file:///srv/files")
    return Path(unquote(parts.path))


def _network(value: object) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    if isinstance(value, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
        return value
    if not isinstance(value, str):
        raise ValueError("expected an address or network such as 10.0.0.0/8")
    try:
        return ipaddress.ip_network(value)
    except ValueError as error:
        raise ValueError(f"expected an address or network such as 10.0.0.0/8: {error}") from None


def _name(value: str) -> str:
    if not value or len(value.encode()) > 256 or not value.isprintable() or "/" in value:
        raise ValueError("expected a name of printable characters without /")
    return value


def _address(value: str) -> str:
    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError:
        raise ValueError("expected an IPv4 address such as 203.0.113.7") from None


VirtualPathValue = Annotated[VirtualPath, BeforeValidator(_virtualPath)]
PermissionValue = Annotated[Permission, BeforeValidator(_permissions)]
PortRange = Annotated[range, BeforeValidator(_ports)]
FolderURL = Annotated[Path, BeforeValidator(_folder)]
NetworkValue = Annotated[ipaddress.IPv4Network | ipaddress.IPv6Network, BeforeValidator(_network)]
NameValue = Annotated[str, AfterValidator(_name)]
IPv4Value = Annotated[str, AfterValidator(_address)]
Seconds = Annotated[float, Field(gt=0, le=31_536_000)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
Rate = Annotated[int, Field(ge=1024)]


class Section(BaseModel):
    """One table of the file."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, strict=False
    )


class Server(Section):
    """The process itself."""

    #: The first word of RFC 913's greeting; empty: the name that the system has.
    name: str = ""
    state: Path | None = None
    workers: Literal[1] = 1


class Log(Section):
    """What is written where."""

    level: Literal["debug", "info", "warn", "error"] = "info"
    format: Literal["text", "json"] = "text"
    xferlog: Path | None = None


class TLS(Section):
    """Certificates and how strict to be."""

    certificate: Path | None = None
    key: Path | None = None
    minimum: Literal["1.2", "1.3"] = "1.2"
    strict_sni: bool = False


class FTP(Section):
    """FTP and FTPS listeners."""

    listen: list[str] = []
    implicit_tls: list[str] = []
    tls: Literal["off", "optional", "required"] | None = None
    passive_ports: PortRange | None = None
    tls_sessions: Literal["prefer", "require"] = "prefer"
    close_notify: Literal["strict", "off"] = "strict"
    external_address: IPv4Value | None = None
    allow_fxp: bool = False
    active: bool = True
    ascii: Literal["convert", "binary"] = "convert"
    banner: str = "FTP server ready."


class TFTP(Section):
    """TFTP listeners."""

    listen: list[str] = []
    write: Literal["deny", "create", "overwrite"] = "deny"
    single_port: bool = False
    port_range: PortRange | None = None
    blksize: Annotated[int, Field(ge=8, le=65464)] = 65464
    windowsize: Annotated[int, Field(ge=1, le=65535)] = 64
    backslashes: bool = True


class RFC913(Section):
    """Simple FTP listeners."""

    listen: list[str] = []
    accounts: Literal["none", "optional", "required"] = "none"
    generations: bool = False
    lenient_framing: bool = False


class Mount(Section):
    """A storage and where it appears."""

    path: VirtualPathValue
    source: FolderURL
    read_only: bool = False
    links: Literal["refuse", "within-root"] = "refuse"
    partial: Literal["owner", "delete", "visible"] = "owner"
    fsync: Literal["off", "commit"] = "off"


class Rule(Section):
    """What may be done at and below a path."""

    path: VirtualPathValue
    allow: PermissionValue


class Group(Section):
    """Rules that several users share."""

    name: NameValue
    rule: list[Rule] = []


class User(Section):
    """An account."""

    name: NameValue
    password: str | None = Field(default=None, repr=False)
    account: str | None = Field(default=None, repr=False)
    groups: list[str] = []
    home: VirtualPathValue = ROOT
    enabled: bool = True
    sessions: Count | None = None
    rule: list[Rule] = []


class Anonymous(Section):
    """The account of those who do not say who they are."""

    enabled: bool = False
    home: VirtualPathValue = ROOT
    rule: list[Rule] = []


class Network(Section):
    """Clients that are known by their address."""

    address: NetworkValue
    account: str
    protocols: list[Literal["tftp"]] = Field(min_length=1)


class Limits(Section):
    """How much is too much."""

    sessions: Count = 1000
    per_address: Count = 20
    per_user: Count = 20
    idle: Seconds = 300.0
    login: Seconds = 60.0
    stall: Seconds = 120.0
    upload_rate: Rate | None = None
    download_rate: Rate | None = None


class Ban(Section):
    """What guessing passwords costs."""

    attempts: Annotated[int, Field(ge=0)] = 10
    window: Seconds = 600.0
    duration: Seconds = 900.0
    delay: Annotated[float, Field(ge=0, le=60)] = 1.0
    exempt: list[NetworkValue] = [
        ipaddress.ip_network("127.0.0.0/8"),
        ipaddress.ip_network("::1/128"),
    ]


class Configuration(Section):
    """The whole file."""

    server: Server = Server()
    log: Log = Log()
    tls: TLS | None = None
    ftp: FTP = FTP()
    tftp: TFTP = TFTP()
    rfc913: RFC913 = RFC913()
    mount: list[Mount] = []
    group: list[Group] = []
    user: list[User] = []
    anonymous: Anonymous = Anonymous()
    network: list[Network] = []
    limits: Limits = Limits()
    ban: Ban = Ban()


def keysAt(place: Iterable[str | int]) -> list[str]:
    """The keys that a table may have; C{place} is where it stands, e.g. C{("user", 0)}."""
    model: type[BaseModel] = Configuration
    for part in place:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        tables = [each for each in (annotation, *get_args(annotation)) if isinstance(each, type)]
        model = next(each for each in tables if issubclass(each, Section))
    return list(model.model_fields)
