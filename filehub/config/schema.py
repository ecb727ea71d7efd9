"""
What may be written in the configuration file, with every default.

The names are a contract with operators.  An unknown key is an error: a misspelt limit
must not be no limit.  (C{values} has the kinds of values, C{listening} the sections of
the protocols.)
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, model_validator

from filehub.config.listening import FTP, RFC913, TFTP
from filehub.config.owners import SystemGroup, SystemUser
from filehub.config.sources import Source
from filehub.config.values import (
    Bits,
    CertificateRules,
    CommandRate,
    Count,
    ForeignValue,
    HoursList,
    Named,
    NameValue,
    NetworkValue,
    OneTimeSecret,
    PermissionValue,
    Points,
    ProfileValue,
    Rate,
    Rated,
    Seconds,
    Section,
    Size,
    SourceURL,
    Stored,
    Transferring,
    VirtualPathValue,
    WorkerCount,
)
from filehub.paths import ROOT


class Server(Section):
    """The process itself."""

    #: The first word of RFC 913's greeting; empty: the name that the system has.
    name: str = ""
    state: Path | None = None
    #: Do password hashes of weak forms (MD5, SHA-1, DES) count?
    weak_hashes: bool = False
    workers: WorkerCount = 1


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
    client_certificates: Literal["off", "optional", "required"] = "off"
    client_ca: Path | None = None
    crl: Path | None = None


class Mount(Named, Stored):
    """A storage and where it appears."""

    path: VirtualPathValue
    source: SourceURL
    read_only: bool = False
    links: Literal["refuse", "within-root"] = "refuse"
    partial: Literal["owner", "delete", "visible"] = "owner"
    fsync: Literal["off", "commit"] = "off"
    largest_file: Size | None = None
    reserve: Size = 0


class Templates(Section):
    """Files that are made for whoever asks for them."""

    paths: list[VirtualPathValue] = []
    suffix: Annotated[str, Field(pattern=r"^\.[A-Za-z0-9._-]+$", max_length=20)] = ".j2"


class Rule(Named):
    """What may be done at and below a path."""

    path: VirtualPathValue
    allow: PermissionValue


class Restricted(Section):
    """
    When, from where and over what an account may be used, whose its files are, and which
    permission bits they do not get.
    """

    expires: date | None = None
    hours: HoursList = ()
    networks: list[NetworkValue] = []
    protocols: list[Literal["ftp", "tftp", "rfc913"]] = []
    umask: Bits | None = None
    owner: SystemUser | None = None
    owner_group: SystemGroup | None = None


class Admitted(Restricted, Stored):
    """What users and groups have in common."""

    create_home: bool | None = None
    home_mode: Bits | None = None
    sessions: Count | None = None
    idle: Seconds | None = None
    stall: Seconds | None = None
    session_time: Seconds | None = None
    commands: CommandRate | None = None
    tls: bool = False
    allow_fxp: ForeignValue | None = None
    profile: ProfileValue | None = None


class Group(Admitted, Rated, Transferring):
    """
    Rules that several users share, and what holds for each of them that says nothing of
    its own.
    """

    name: NameValue
    home: VirtualPathValue | None = None
    rule: list[Rule] = []


class User(Admitted, Rated, Transferring):
    """An account."""

    name: NameValue
    password: str | None = Field(default=None, repr=False)
    account: str | None = Field(default=None, repr=False)
    one_time_secret: OneTimeSecret | None = Field(default=None, repr=False)
    groups: list[str] = []
    home: VirtualPathValue = ROOT
    enabled: bool = True
    certificate: CertificateRules = ()
    rule: list[Rule] = []

    @model_validator(mode="before")
    @classmethod
    def _fillTemplates(cls, data: Any) -> Any:
        """C{%u} in the home is the name."""
        if not isinstance(data, dict):
            return data
        home, name = data.get("home"), data.get("name")
        if not isinstance(home, str) or not isinstance(name, str) or "%u" not in home:
            return data
        if name in (".", "..") or "/" in name:
            raise ValueError(f"found the name {name!r}, which is no name of a directory")
        return {**data, "home": home.replace("%u", name)}


class Anonymous(Restricted, Rated, Transferring):
    """The account of those who do not say who they are."""

    enabled: bool = False
    home: VirtualPathValue = ROOT
    rule: list[Rule] = []


class Network(Rated):
    """Clients that are known by their address."""

    address: NetworkValue
    account: str | None = None
    protocols: list[Literal["tftp"]] | None = Field(default=None, min_length=1)
    sessions: Count | None = None


class Limits(Stored, Rated, Transferring):
    """How much is too much."""

    sessions: Count = 1000
    per_address: Count = 20
    per_user: Count = 20
    idle: Seconds = 300.0
    login: Seconds = 60.0
    handshake: Seconds = 30.0
    stall: Seconds = 120.0
    session_time: Seconds | None = None
    commands: CommandRate | None = None
    total_upload_rate: Rate | None = None
    total_download_rate: Rate | None = None
    total_upload_quota: Size | None = None
    total_download_quota: Size | None = None
    total_transfer_quota: Size | None = None
    session_upload_rate: Rate | None = None
    session_download_rate: Rate | None = None


class BanPoints(Section):
    """What an offence costs an address."""

    bad_password: Points = 1.0
    unknown_user: Points = 1.0
    violation: Points = 2.0
    scan: Points = 0.1


class Ban(Section):
    """What guessing passwords and other offences cost, and who is never let in."""

    attempts: Annotated[int, Field(ge=0)] = 10
    window: Seconds = 600.0
    duration: Seconds = 900.0
    delay: Annotated[float, Field(ge=0, le=60)] = 1.0
    exempt: list[NetworkValue] = [
        ipaddress.ip_network("127.0.0.0/8"),
        ipaddress.ip_network("::1/128"),
    ]
    points: BanPoints = BanPoints()
    ipv4_prefix: Annotated[int, Field(ge=8, le=32)] = 32
    ipv6_prefix: Annotated[int, Field(ge=16, le=128)] = 64
    allow: list[NetworkValue] = []
    allow_file: Path | None = None
    deny: list[NetworkValue] = []
    deny_file: Path | None = None


class Configuration(Section):
    """The whole file."""

    server: Server = Server()
    log: Log = Log()
    tls: TLS | None = None
    ftp: FTP = FTP()
    tftp: TFTP = TFTP()
    rfc913: RFC913 = RFC913()
    mount: list[Mount] = []
    templates: Templates = Templates()
    group: list[Group] = []
    user: list[User] = []
    source: list[Source] = []
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
    # Its own first, then those that it shares with other tables.
    return sorted(model.model_fields, key=lambda name: name not in model.__annotations__)
