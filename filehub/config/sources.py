"""
C{[[source]]}: accounts that are kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, model_validator

from filehub.accounts.database import StoredAccount, openPostgreSQL, openSQLite
from filehub.accounts.directory import LDAPCheck
from filehub.accounts.lookups import DatabaseSource
from filehub.accounts.outside import PAMCheck, ProgramCheck, WebCheck
from filehub.accounts.records import AccountRecord, AccountSource, LoginSource
from filehub.accounts.sources import CheckedSource
from filehub.config.owners import SystemGroup, SystemUser
from filehub.config.values import Bits, Section
from filehub.errors import ConfigurationError

#: The keys that each type has to have, and those that it may have.
_KEYS: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = {
    "sqlite": (frozenset(("file",)), frozenset()),
    "postgresql": (frozenset(("url",)), frozenset()),
    "pam": (frozenset(), frozenset(("service",))),
    "ldap": (
        frozenset(("url", "base")),
        frozenset(
            (
                "filter",
                "bind_name",
                "bind_password",
                "start_tls",
                "authority",
                "group_names",
                "posix_owner",
            )
        ),
    ),
    "program": (frozenset(("command",)), frozenset()),
    "http": (frozenset(("url",)), frozenset(("headers", "authority"))),
}
_SCHEMES: Final[Mapping[str, tuple[str, ...]]] = {
    "postgresql": ("postgresql://", "postgres://"),
    "ldap": ("ldap://", "ldaps://"),
    "http": ("https://", "http://"),
}
#: Passwords may go in the clear to this machine only.
_LOOPBACK: Final = frozenset(("127.0.0.1", "::1", "localhost"))
#: What accounts that are checked elsewhere have in common.
_COMMON: Final = frozenset(
    ("type", "groups", "home", "create_home", "home_mode", "owner", "owner_group")
)


class Source(Section):
    """
    A place that knows accounts.

    What C{groups} and C{home} say is for accounts that are checked there (PAM, LDAP, a
    program, a web service); C{%u} in C{home} is the user's name.  A database says such
    things of each account.
    """

    type: Literal["sqlite", "postgresql", "pam", "ldap", "program", "http"]
    file: Path | None = None
    url: str | None = Field(default=None, repr=False)
    service: str = "filehub"
    base: str | None = None
    filter: str = "(uid={name})"
    bind_name: str = ""
    bind_password: str = Field(default="", repr=False)
    start_tls: bool = False
    authority: Path | None = None
    group_names: dict[str, str] = {}
    posix_owner: bool = False
    command: list[str] = []
    headers: dict[str, str] = Field(default={}, repr=False)
    groups: list[str] = []
    home: str = "/"
    create_home: bool = False
    home_mode: Bits | None = None
    owner: SystemUser | None = None
    owner_group: SystemGroup | None = None

    @model_validator(mode="after")
    def _belong(self) -> Source:
        needed, possible = _KEYS[self.type]
        missing = sorted(needed - self.model_fields_set)
        if missing:
            raise ValueError(f"expected {', '.join(missing)} for type {self.type!r}")
        common = _COMMON if self.type not in ("sqlite", "postgresql") else {"type"}
        foreign = sorted(self.model_fields_set - needed - possible - common)
        if foreign:
            raise ValueError(f"expected no {', '.join(foreign)} for type {self.type!r}")
        schemes = _SCHEMES.get(self.type)
        if schemes is not None and not (self.url or "").startswith(schemes):
            raise ValueError(f"expected a url that begins with {' or '.join(schemes)}")
        if self.type in ("http", "ldap") and not _hostOf(self.url):
            raise ValueError("expected a url with the name of a host")
        if self.type == "http" and not (self.isEncrypted or self.isLocal):
            raise ValueError("expected https://, or http:// to 127.0.0.1, [::1] or localhost")
        if self.type == "ldap" and "{name}" not in self.filter:
            raise ValueError("expected {name} in the filter")
        if self.type == "program" and not self.command:
            raise ValueError("expected a program and its arguments")
        if not self.home.startswith("/") or ".." in self.home.split("/"):
            raise ValueError("expected an absolute virtual path such as /home/%u")
        return self

    @property
    def isLocal(self) -> bool:
        """Is it asked without a network?"""
        host = _hostOf(self.url)
        return host is None or host.startswith("/") or host in _LOOPBACK

    @property
    def isEncrypted(self) -> bool:
        """Is it certain that nobody reads along, and that the right one answers?"""
        url = self.url or ""
        if self.type == "postgresql":
            return "sslmode=verify-full" in url
        return self.start_tls or url.startswith(("ldaps://", "https://"))

    @property
    def isSecret(self) -> bool:
        """Does it hold what the server itself logs in with?"""
        inAddress = urlsplit(self.url or "").password is not None
        return bool(inAddress or self.bind_password or self.headers)

    @property
    def place(self) -> str:
        """Where it is, for logs and lists; never a secret."""
        if self.type == "pam":
            return self.service
        if self.type == "program":
            return " ".join(self.command)
        if self.url is None:
            return str(self.file)
        scheme, _, _ = self.url.partition("://")
        return f"{scheme}://{_hostOf(self.url) or '(this machine)'}"


def _hostOf(url: str | None) -> str | None:
    """
    @raise ValueError: it is no URL.
    """
    parts = urlsplit(url or "")
    # PostgreSQL's may be a parameter, and the folder of a socket.
    return parts.hostname or next(iter(parse_qs(parts.query).get("host", ())), None)


class BuiltSource(NamedTuple):
    """
    @ivar stored: if it shows password hashes.
    @ivar login: if it checks passwords itself.
    @ivar stop: ends its threads.
    """

    stored: AccountSource | None
    login: LoginSource | None
    stop: Callable[[], None]


def buildSource(
    reactor: Any, source: Source, convert: Callable[[StoredAccount, str], AccountRecord]
) -> BuiltSource:
    """
    @param convert: from what a place knows of an account, and the place's name, to the
        account.
    @raise ConfigurationError: a library is missing, or a database is none.
    """
    place = f"{source.type} {source.place}"
    if source.type in ("sqlite", "postgresql"):
        if source.file is not None:
            connect = partial(openSQLite, source.file)
            # Said now, where the operator looks, and not at the first login.
            connect().close()
        else:
            connect = partial(openPostgreSQL, source.url or "")
        database = DatabaseSource(reactor, connect, lambda stored: convert(stored, place))
        return BuiltSource(database, None, database.stop)

    def completed(stored: StoredAccount) -> AccountRecord:
        if stored.name in (".", ".."):
            # It would be the home of everybody.
            raise ConfigurationError(f"found {stored.name!r}, expected the name of a user")
        usual: dict[str, Any] = {}
        if "home" in source.model_fields_set:
            usual["home"] = source.home
        if source.create_home:
            usual["create_home"] = True
        if source.home_mode is not None:
            usual["home_mode"] = f"{source.home_mode:03o}"
        if source.owner is not None:
            usual["owner"] = source.owner
        if source.owner_group is not None:
            usual["owner_group"] = source.owner_group
        settings = {**usual, **stored.settings}
        own = settings.get("groups", [])
        if isinstance(own, list):
            # Groups add up: what everybody is in, and what is said of this one.
            settings["groups"] = [*source.groups, *own]
        return convert(StoredAccount(stored.name, None, settings), place)

    checked = CheckedSource(reactor, place, _checkOf(source), completed)
    return BuiltSource(None, checked, checked.stop)


def _checkOf(source: Source) -> Any:
    if source.type == "pam":
        return PAMCheck(source.service)
    if source.type == "ldap":
        return LDAPCheck(
            source.url or "",
            source.base or "",
            source.filter,
            source.bind_name,
            source.bind_password,
            source.start_tls,
            str(source.authority) if source.authority is not None else None,
            source.group_names,
            source.posix_owner,
        )
    if source.type == "program":
        return ProgramCheck(tuple(source.command))
    return WebCheck(
        source.url or "",
        source.headers,
        str(source.authority) if source.authority is not None else None,
    )
