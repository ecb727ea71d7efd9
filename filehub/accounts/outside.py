"""
Who else may know whether a password is right: the system, a program, a web service.
Each is a L{Check<filehub.accounts.sources.Check>}: it blocks, bounded by a
time, and runs in a thread.
"""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from filehub.accounts.database import StoredAccount
from filehub.accounts.records import PATIENCE
from filehub.accounts.sources import SourceFailed
from filehub.credentials import ConnectionInfo
from filehub.errors import ConfigurationError

#: Bytes of an answer that are read.
_MAXIMUM_ANSWER: Final = 64 * 1024
#: PAM's numbers, of what is said of a user and of how to ask.
_PAM_RHOST: Final = 4
_PAM_DISALLOW_NULL_AUTHTOK: Final = 1
#: What PAM answers when it cannot say whether a password is right: no module, no service,
#: no answer from whoever keeps the passwords.
_PAM_TROUBLE: Final = frozenset((1, 2, 3, 5, 9, 19, 26, 28))
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
        library("pam", "pam")

    def __call__(
        self, name: str, password: bytes, connection: ConnectionInfo | None
    ) -> StoredAccount | None:
        """The account, if it may log in now: not locked, not expired, allowed at this hour."""
        # Nobody without a password is let in, whatever the service's file says.
        if not password:
            return None
        # A conversation for each: they run in several threads.
        session = library("pam", "pam").PamAuthenticator()
        _prepare(session, None if connection is None else connection.peer.host)
        try:
            # This asks for the state of the account, too (pam_acct_mgmt).
            right = session.authenticate(
                name, password, service=self.service, encoding="utf-8", resetcreds=False
            )
        except (ValueError, UnicodeError):
            return None
        if right:
            return StoredAccount(name, None, {})
        if session.code in _PAM_TROUBLE:
            raise SourceFailed(str(session.reason))
        return None


def _prepare(session: Any, host: str | None) -> None:
    """
    Say what the library has no words for: that users without a password are nobody
    (C{pam_unix.so nullok} lets them in with any), and where this one calls from, which
    modules such as pam_access and pam_faillock want to know.
    """
    authenticate = session.pam_authenticate

    def prepared(handle: Any, flags: int) -> Any:
        if host is not None:
            session.pam_set_item(handle, _PAM_RHOST, host.encode())
        return authenticate(handle, flags | _PAM_DISALLOW_NULL_AUTHTOK)

    session.pam_authenticate = prepared


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
    @ivar authority: a file of the authorities that its certificate is checked against;
        L{None} for the system's.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    authority: str | None = None

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
        try:
            context = ssl.create_default_context(cafile=self.authority)
            opener = urllib.request.build_opener(
                _NoRedirection,
                # Nor to the proxy of an environment variable.
                urllib.request.ProxyHandler({}),
                urllib.request.HTTPSHandler(context=context),
            )
            with opener.open(request, timeout=PATIENCE) as answer:
                return StoredAccount(
                    name, None, _settings(answer.read(_MAXIMUM_ANSWER + 1), self.url)
                )
        except urllib.error.HTTPError as error:
            if error.code in (401, 403, 404):
                return None
            raise SourceFailed(f"{self.url} answers with {error.code}") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            said = str(error) or type(error).__name__
            raise SourceFailed(f"{self.url}: {said}") from None


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
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        raise SourceFailed(f"{place}: found something else, expected a JSON object of settings")
    return settings


def library(name: str, extra: str) -> Any:
    """
    A module of a library that comes with an extra of this package.

    @raise ConfigurationError: it is not installed.
    """
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise ConfigurationError(f"this needs a library: pip install filehub[{extra}]") from None
