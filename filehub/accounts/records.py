"""
What is known of accounts before anybody logs in, and where it is looked up.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from zope.interface import implementer

from filehub.accounts.admission import Admission
from filehub.accounts.certrules import CertificateRule
from filehub.accounts.policy import PathRule
from filehub.attributes import Ownership
from filehub.credentials import ConnectionInfo
from filehub.interfaces import IRateLimiter, ISessionLimits
from filehub.networks import Networks
from filehub.paths import ROOT, VirtualPath
from filehub.usage import Quota, Scope, TransferQuota

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: The name under which anonymous sessions appear.
ANONYMOUS_NAME = "anonymous"

#: Seconds that a place outside of this process may take to answer.
PATIENCE = 10.0


@implementer(ISessionLimits)
@dataclass(frozen=True, slots=True)
class AccountLimits:
    """
    See L{ISessionLimits}.

    @ivar maximumSessions: at one time over all protocols; L{None} for the server's.
    @ivar idle: seconds; L{None} for the listener's.
    @ivar stall: likewise.
    @ivar sessionTime: seconds; L{None} for the server's.
    @ivar commands: a second; L{None} for the server's.
    @ivar downloadRate: bytes a second, over all sessions, of an account whose rate the
        server's own settings do not know.
    @ivar uploadRate: likewise.
    """

    maximumSessions: int | None = None
    idle: float | None = None
    stall: float | None = None
    sessionTime: float | None = None
    commands: float | None = None
    downloadRate: float | None = None
    uploadRate: float | None = None
    download: IRateLimiter | None = None
    upload: IRateLimiter | None = None


NO_LIMITS = AccountLimits()


class PasswordStore(Protocol):
    """Where a hash can be replaced by a better one of the same password."""

    async def replacePassword(self, name: str, old: str, new: str) -> None:
        """
        @param old: only if this is stored still.
        @raise StorageUnavailable: it does not answer.
        """


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """
    One account.

    @ivar password: a PHC string; L{None} where nobody logs in by password.
    @ivar account: the ACCT password (RFC 913, RFC 959) as a PHC string, if one is
        wanted on top.
    @ivar groups: the names of its groups.
    @ivar groupRules: the rules of each group.
    @ivar oneTimeSecret: what one-time codes are made of (base 32); they are wanted in
        place of C{account}.
    @ivar certificates: client certificates that are as good as the password.
    @ivar requiresTLS: may it be used over encrypted connections only?
    @ivar foreignData: see L{IClientPreferences<filehub.interfaces.IClientPreferences>}.
    @ivar profile: likewise.
    @ivar umask: permission bits that nothing gets that it makes.
    @ivar ownership: whose that is, as the system sees it; L{None}: the server's.
    @ivar homeMode: the bits of its home, if that is made at the first login; L{None}:
        it is not.
    @ivar admissions: its own and its groups' restrictions; all have to be met.
    @ivar quota: of its home, if the server's own settings do not know of it.
    @ivar transferQuotas: likewise, of itself and its groups.
    @ivar store: where it came from, if a better hash of its password can be kept there.
    """

    name: str
    password: str | None = field(default=None, repr=False)
    account: str | None = field(default=None, repr=False)
    oneTimeSecret: str | None = field(default=None, repr=False)
    home: VirtualPath = ROOT
    rules: tuple[PathRule, ...] = ()
    groups: tuple[str, ...] = ()
    groupRules: tuple[tuple[PathRule, ...], ...] = ()
    certificates: tuple[CertificateRule, ...] = ()
    requiresTLS: bool = False
    foreignData: bool | Networks | None = None
    profile: str | None = None
    admissions: tuple[Admission, ...] = ()
    umask: int = 0
    ownership: Ownership | None = None
    homeMode: int | None = None
    limits: AccountLimits = NO_LIMITS
    enabled: bool = True
    quota: Quota | None = None
    transferQuotas: Mapping[Scope, TransferQuota] | None = None
    store: PasswordStore | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class NetworkRecord:
    """
    Clients from this network are that account, for protocols without a login.

    @ivar protocols: e.g. C{{"tftp"}}.
    """

    network: Network
    account: str
    protocols: frozenset[str]


class AccountSource(Protocol):
    """Where accounts are found."""

    async def find(self, name: str) -> AccountRecord | None:
        """The account of this name."""

    async def findAnonymous(self) -> AccountRecord | None:
        """The account of anonymous logins, if they are allowed."""


class LoginSource(Protocol):
    """A place that checks passwords itself, and shows no hashes."""

    async def authenticate(
        self, name: str, password: bytes, connection: ConnectionInfo | None
    ) -> AccountRecord | None:
        """
        The account, if this is its password.

        @raise LimitExceeded: too many logins are waiting.
        @raise StorageUnavailable: it does not answer.
        """

    async def find(self, name: str) -> AccountRecord | None:
        """An account that was authenticated a moment ago."""

    def forget(self, name: str) -> None:
        """Somebody else has this name."""


class AccountTable:
    """Accounts in memory: an L{AccountSource}."""

    def __init__(
        self, accounts: Iterable[AccountRecord], anonymous: AccountRecord | None = None
    ) -> None:
        self._accounts: Mapping[str, AccountRecord] = {}
        self._anonymous: AccountRecord | None = None
        self.replace(accounts, anonymous)

    def replace(
        self, accounts: Iterable[AccountRecord], anonymous: AccountRecord | None = None
    ) -> None:
        """These are all there are, from now on."""
        self._accounts = {each.name: each for each in accounts}
        self._anonymous = anonymous

    async def find(self, name: str) -> AccountRecord | None:
        """See L{AccountSource.find}."""
        return self._accounts.get(name)

    async def findAnonymous(self) -> AccountRecord | None:
        """See L{AccountSource.findAnonymous}."""
        return self._anonymous
