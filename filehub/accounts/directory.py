"""
Who is in the directory: LDAP and Active Directory.
"""

from __future__ import annotations

import re
import ssl
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from filehub.accounts.database import StoredAccount
from filehub.accounts.outside import library
from filehub.accounts.records import PATIENCE
from filehub.accounts.sources import SourceFailed
from filehub.credentials import ConnectionInfo

#: The attribute that a user's name is compared with, in a filter.
_COMPARED = re.compile(r"\(\s*([A-Za-z][A-Za-z0-9;-]*)\s*=\s*\{name\}\s*\)")
#: Settings that an entry for POSIX systems has.
_POSIX = {"owner": "uidNumber", "owner_group": "gidNumber"}
#: What ldap3 makes of answers that are no LDAP, and of networks that are none.
_NONSENSE = (OSError, ValueError, TypeError, LookupError, AttributeError, struct.error)


@dataclass(frozen=True)
class LDAPCheck:
    """
    A directory: who can bind with his password is let in.

    The entry is found first, with the name as a value and never as a part of the
    filter, by an account of its own or anonymously.  Referrals are not followed: the
    password goes where the operator said.

    Directories compare names without regard to case and spaces.  The account's name is
    the one that is written in the entry, so that nobody is two accounts.

    @ivar address: C{ldap://host} or C{ldaps://host}.
    @ivar base: where entries are looked for.
    @ivar filter: with C{{name}} where the user's name belongs.
    @ivar bindName: who looks for them; empty for nobody.
    @ivar startTLS: encrypt before anything is said, on C{ldap://}.
    @ivar authority: a file of the authorities that its certificate is checked against;
        L{None} for the system's.
    @ivar groups: from the name of an entry's group (its C{memberOf}) to a group here.
    @ivar posixOwner: do files belong to who the entry says that he is on POSIX systems
        (C{uidNumber} and C{gidNumber}, RFC 2307)?  Root's numbers are not believed.
    """

    address: str
    base: str
    filter: str = "(uid={name})"
    bindName: str = ""
    bindPassword: str = field(default="", repr=False)
    startTLS: bool = False
    authority: str | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    posixOwner: bool = False

    def __post_init__(self) -> None:
        """
        @raise ConfigurationError: the library is not installed.
        """
        library("ldap3", "ldap")

    def __call__(
        self, name: str, password: bytes, connection: ConnectionInfo | None
    ) -> StoredAccount | None:
        """The account, if exactly one entry has this name and can bind with the password."""
        ldap3 = library("ldap3", "ldap")
        # An empty password is an anonymous bind, which always succeeds.
        if not password:
            return None
        try:
            text = password.decode("utf-8")
        except UnicodeDecodeError:
            return None
        try:
            return self._checked(ldap3, name, text)
        except ldap3.core.exceptions.LDAPException as error:
            raise SourceFailed(_firstLine(error)) from None
        except _NONSENSE as error:
            raise SourceFailed(f"no sensible answer: {_firstLine(error)}") from None

    def _checked(self, ldap3: Any, name: str, password: str) -> StoredAccount | None:
        server = self._server(ldap3)
        entry = self._entry(ldap3, server, name)
        if entry is None:
            return None
        attributes = entry["attributes"]
        known = self._nameIn(attributes, name)
        if known is None:
            return None
        try:
            with self._bound(ldap3, server, entry["dn"], password):
                pass
        except ldap3.core.exceptions.LDAPBindError:
            return None
        names = {_comparable(ldap3, each) for each in _texts(attributes.get("memberOf"))}
        groups = [group for each, group in self.groups.items() if _comparable(ldap3, each) in names]
        settings: dict[str, Any] = {"groups": groups} if groups else {}
        if self.posixOwner:
            for key, attribute in _POSIX.items():
                number = next(_texts(attributes.get(attribute)), "")
                if number.isascii() and number.isdigit() and int(number):
                    settings[key] = int(number)
        return StoredAccount(known, None, settings)

    def _entry(self, ldap3: Any, server: Any, name: str) -> Any:
        """
        The only entry of this name.

        @raise SourceFailed: the search was refused; says why.
        """
        escaped = ldap3.utils.conv.escape_filter_chars(name)
        with self._bound(ldap3, server, self.bindName or None, self.bindPassword) as searching:
            searching.search(
                self.base,
                self.filter.replace("{name}", escaped),
                attributes=[
                    *_COMPARED.findall(self.filter),
                    "memberOf",
                    *(_POSIX.values() if self.posixOwner else ()),
                ],
                # Two are too many already.
                size_limit=2,
                time_limit=int(PATIENCE),
            )
            result, response = searching.result, searching.response or ()
        found = [each for each in response if each["type"] == "searchResEntry"]
        if result["description"] not in ("success", "sizeLimitExceeded", "referral"):
            raise SourceFailed(f"the search under {self.base} ends with {result['description']}")
        return found[0] if len(found) == 1 else None

    def _nameIn(self, attributes: Mapping[str, Any], name: str) -> str | None:
        """As the entry has it; C{name} where the filter compares nothing that can be read."""
        compared = _COMPARED.findall(self.filter)
        if not compared:
            return name
        written = [each for key in compared for each in _texts(attributes.get(key))]
        if name in written or not written:
            return name
        folded = _folded(name)
        return next((each for each in written if _folded(each) == folded), None)

    def _server(self, ldap3: Any) -> Any:
        host = urlsplit(self.address).hostname
        tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=self.authority, sni=host)
        return ldap3.Server(self.address, tls=tls, connect_timeout=PATIENCE, get_info=ldap3.NONE)

    def _bound(self, ldap3: Any, server: Any, name: str | None, password: str) -> Any:
        how = ldap3.AUTO_BIND_TLS_BEFORE_BIND if self.startTLS else ldap3.AUTO_BIND_NO_TLS
        return ldap3.Connection(
            server,
            name,
            password or None,
            auto_bind=how,
            auto_referrals=False,
            receive_timeout=int(PATIENCE),
            read_only=True,
            raise_exceptions=False,
        )


def _texts(value: Any) -> Iterator[str]:
    """The values of an attribute, which may be missing, single, or no text."""
    for each in value if isinstance(value, list | tuple) else (value,):
        if isinstance(each, bytes):
            yield each.decode("utf-8", "replace")
        elif isinstance(each, str | int):
            yield str(each)


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _comparable(ldap3: Any, name: str) -> str:
    """Of a distinguished name: case, and spaces around its signs, make no difference."""
    try:
        parts = ldap3.utils.dn.parse_dn(name, strip=True)
    except ldap3.core.exceptions.LDAPInvalidDnError:
        return name.casefold()
    return "".join(f"{key}={_folded(value)}{sign}" for key, value, sign in parts).casefold()


def _firstLine(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
