"""
Who else may know whether a password is right: the system, a directory, a program, a web
service.  Each is a L{Check<filehub.accounts.sources.Check>}: it blocks, bounded by a
time, and runs in a thread.
"""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from filehub.accounts.database import StoredAccount
from filehub.accounts.sources import SourceFailed
from filehub.credentials import ConnectionInfo
from filehub.errors import ConfigurationError

#: Seconds that any of them may take.
PATIENCE: Final = 10.0
#: Bytes of an answer that are read.
_MAXIMUM_ANSWER: Final = 64 * 1024
#: The exit status of a program that knows that the password is wrong.
_REFUSED: Final = 1


@dataclass(frozen=True)
class PAMCheck:
    """
    The system's users, or whoever the PAM service lets in.

    @ivar service: the file in C{/etc/pam.d}.
    """

    service: str = "filehub"

    def __post_init__(self) -> None:
        """
        @raise ConfigurationError: the library is not installed.
        """
        _library("pam", "pam")

    def __call__(
        self, name: str, password: bytes, connection: ConnectionInfo | None
    ) -> StoredAccount | None:
        """The account, if it may log in now."""
        # A conversation for each: they run in several threads.
        session = _library("pam", "pam").PamAuthenticator()
        try:
            right = session.authenticate(
                name, password, service=self.service, encoding="utf-8", call_end=False
            )
        except (ValueError, UnicodeError):
            return None
        try:
            # 0 is PAM_SUCCESS: not locked, not expired, allowed at this hour.
            if right and session.acct_mgmt() == 0:
                return StoredAccount(name, None, {})
        finally:
            session.end()
        return None


@dataclass(frozen=True)
class LDAPCheck:
    """
    A directory: who can bind with his password is let in.

    The entry is found first, with the name as a value and never as a part of the
    filter, by an account of its own or anonymously.

    @ivar address: C{ldap://host} or C{ldaps://host}.
    @ivar base: where entries are looked for.
    @ivar filter: with C{{name}} where the user's name belongs.
    @ivar bindName: who looks for them; empty for nobody.
    @ivar startTLS: encrypt before anything is said, on C{ldap://}.
    @ivar authority: a file of the authorities that its certificate is checked against;
        L{None} for the system's.
    @ivar groups: from the name of an entry's group (its C{memberOf}) to a group here.
    """

    address: str
    base: str
    filter: str = "(uid={name})"
    bindName: str = ""
    bindPassword: str = field(default="", repr=False)
    startTLS: bool = False
    authority: str | None = None
    groups: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """
        @raise ConfigurationError: the library is not installed.
        """
        _library("ldap3", "ldap")

    def __call__(
        self, name: str, password: bytes, connection: ConnectionInfo | None
    ) -> StoredAccount | None:
        """The account, if exactly one entry has this name and can bind with the password."""
        ldap3 = _library("ldap3", "ldap")
        # An empty password is an anonymous bind, which always succeeds.
        if not password:
            return None
        try:
            text = password.decode("utf-8")
        except UnicodeDecodeError:
            return None
        try:
            server = self._server(ldap3)
            with self._bound(ldap3, server, self.bindName or None, self.bindPassword) as searching:
                escaped = ldap3.utils.conv.escape_filter_chars(name)
                searching.search(
                    self.base, self.filter.replace("{name}", escaped), attributes=["memberOf"]
                )
                found = [each for each in searching.response if each["type"] == "searchResEntry"]
            if len(found) != 1:
                return None
            entry = found[0]
            try:
                with self._bound(ldap3, server, entry["dn"], text):
                    pass
            except ldap3.core.exceptions.LDAPBindError:
                return None
        except ldap3.core.exceptions.LDAPExceptionError as error:
            raise SourceFailed(str(error).partition("\n")[0]) from None
        member = entry["attributes"].get("memberOf", [])
        names = [member] if isinstance(member, str) else member
        groups = [self.groups[each] for each in names if each in self.groups]
        return StoredAccount(name, None, {"groups": groups} if groups else {})

    def _server(self, ldap3: Any) -> Any:
        import ssl

        tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=self.authority)
        return ldap3.Server(self.address, tls=tls, connect_timeout=PATIENCE, get_info=None)

    def _bound(self, ldap3: Any, server: Any, name: str | None, password: str) -> Any:
        how = ldap3.AUTO_BIND_TLS_BEFORE_BIND if self.startTLS else ldap3.AUTO_BIND_NO_TLS
        return ldap3.Connection(
            server,
            name,
            password or None,
            auto_bind=how,
            receive_timeout=PATIENCE,
            read_only=True,
            raise_exceptions=False,
        )


@dataclass(frozen=True)
class ProgramCheck:
    """
    A program of the operator's.

    It gets one JSON object on its standard input: C{name}, C{password}, C{protocol},
    C{address}, C{secure}.  Exit status 0 lets the user in, 1 does not, and others are
    failures.  What it prints is a JSON object with whatever a C{[[user]]} may have, or
    nothing.

    @ivar command: the program and its arguments; no shell is involved.
    """

    command: Sequence[str]

    def __call__(
        self, name: str, password: bytes, connection: ConnectionInfo | None
    ) -> StoredAccount | None:
        """The account, if the program says so."""
        question = _question(name, password, connection)
        if question is None:
            return None
        try:
            done = subprocess.run(
                list(self.command),
                input=question,
                capture_output=True,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SourceFailed(f"{self.command[0]} took longer than {PATIENCE:g} s") from None
        except OSError as error:
            raise SourceFailed(f"{self.command[0]}: {error.strerror}") from None
        if done.returncode == _REFUSED:
            return None
        if done.returncode != 0:
            said = done.stderr[:200].decode("utf-8", "replace").strip()
            raise SourceFailed(f"{self.command[0]} ended with {done.returncode}: {said}")
        return StoredAccount(name, None, _settings(done.stdout, self.command[0]))


@dataclass(frozen=True)
class WebCheck:
    """
    A web service.

    The same JSON object as for L{ProgramCheck} is posted to it.  200 lets the user in,
    with a JSON object of settings or nothing as the answer; 401, 403 and 404 do not;
    others are failures.  Certificates are verified, and redirections are not followed:
    the password goes where the operator said.

    @ivar headers: sent along, e.g. a token.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __call__(
        self, name: str, password: bytes, connection: ConnectionInfo | None
    ) -> StoredAccount | None:
        """The account, if the service says so."""
        question = _question(name, password, connection)
        if question is None:
            return None
        request = urllib.request.Request(
            self.url,
            data=question,
            headers={"Content-Type": "application/json", **self.headers},
            method="POST",
        )
        opener = urllib.request.build_opener(_NoRedirection)
        try:
            with opener.open(request, timeout=PATIENCE) as answer:
                return StoredAccount(
                    name, None, _settings(answer.read(_MAXIMUM_ANSWER + 1), self.url)
                )
        except urllib.error.HTTPError as error:
            if error.code in (401, 403, 404):
                return None
            raise SourceFailed(f"{self.url} answers with {error.code}") from None
        except OSError as error:
            raise SourceFailed(f"{self.url}: {error}") from None


class _NoRedirection(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Every redirection is an error."""


def _question(name: str, password: bytes, connection: ConnectionInfo | None) -> bytes | None:
    try:
        text = password.decode("utf-8")
    except UnicodeDecodeError:
        return None
    asked: dict[str, object] = {"name": name, "password": text}
    if connection is not None:
        asked |= {
            "protocol": connection.protocol,
            "address": connection.peer.host,
            "secure": connection.secure,
        }
    return json.dumps(asked).encode()


def _settings(answer: bytes, place: str) -> Mapping[str, Any]:
    if not answer.strip():
        return {}
    try:
        settings = json.loads(answer) if len(answer) <= _MAXIMUM_ANSWER else None
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise SourceFailed(f"{place}: found something else, expected a JSON object of settings")
    return settings


def _library(name: str, extra: str) -> Any:
    """
    @raise ConfigurationError: it is not installed.
    """
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise ConfigurationError(f"this needs a library: pip install filehub[{extra}]") from None
