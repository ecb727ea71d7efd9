"""
Where a client's password comes from: the environment, C{~/.netrc} or a prompt, and
never the command line, which everybody on the machine can read.
"""

from __future__ import annotations

import netrc
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from filehub.errors import ConfigurationError
from filehub.remotes.url import Location

#: The environment variable for the password.
VARIABLE = "FILEHUB_PASSWORD"
#: And for the account that some servers want on top.
ACCOUNT_VARIABLE = "FILEHUB_ACCOUNT"


class Login(NamedTuple):
    """Who logs in: C{account} is for servers that want one (ACCT)."""

    user: str
    password: str
    account: str | None = None

    @property
    def isAnonymous(self) -> bool:
        return self.user == "anonymous"


ANONYMOUS = Login("anonymous", "anonymous@")


class PasswordSources:
    """
    Finds the login for a place; asks once for each server.
    """

    def __init__(
        self,
        prompt: Callable[[str], str] | None,
        environment: Mapping[str, str] = os.environ,
        netrcFile: Path | None = None,
    ) -> None:
        """
        @param prompt: asks a person and returns the answer; L{None} where nobody is.
        @param netrcFile: by default C{~/.netrc}.
        """
        self._prompt = prompt
        self._environment = environment
        self._netrc = netrcFile or Path.home() / ".netrc"
        self._known: dict[tuple[str, str, int, str, bool], Login] = {}

    def loginFor(self, location: Location) -> Login:
        """
        With a user in the URL: the environment's password, that of this user in
        C{~/.netrc}, or the prompt's.  Without: what C{~/.netrc} has for the host, or
        anonymous.

        @raise ConfigurationError: a password is needed and nobody can be asked, or
            C{~/.netrc} cannot be read.
        """
        known = self._known.get(location.server)
        if known is None:
            known = self._known[location.server] = self._find(location)
        return known

    def _find(self, location: Location) -> Login:
        entry = self._fromNetrc(location.host)
        if not location.user:
            return entry or ANONYMOUS
        password = self._environment.get(VARIABLE)
        if password is not None:
            return Login(location.user, password, self._environment.get(ACCOUNT_VARIABLE))
        if entry is not None and entry.user == location.user:
            return entry
        if self._prompt is None:
            raise ConfigurationError(
                f"no password for {location.user} at {location.host}: expected it in"
                f" ${VARIABLE} or ~/.netrc (there is no terminal to ask on)"
            )
        return Login(
            location.user,
            self._prompt(f"Password for {location.user}@{location.host}: "),
            self._environment.get(ACCOUNT_VARIABLE),
        )

    def accountFor(self, location: Location) -> str | None:
        """
        The account for a server that wants one besides the password; asked for once.
        L{None} where nobody can be asked.
        """
        login = self.loginFor(location)
        account = login.account or self._environment.get(ACCOUNT_VARIABLE)
        if not account and self._prompt is not None:
            account = self._prompt(f"Account of {login.user} at {location.host}: ")
        if account:
            self._known[location.server] = login._replace(account=account)
        return account or None

    def _fromNetrc(self, host: str) -> Login | None:
        try:
            found = netrc.netrc(str(self._netrc)).authenticators(host)
        except FileNotFoundError:
            return None
        except (netrc.NetrcParseError, OSError) as error:
            raise ConfigurationError(f"{self._netrc}: {error}") from None
        if found is None:
            return None
        user, account, password = found
        return Login(user or "anonymous", password or "", account or None)
