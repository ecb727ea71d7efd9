"""
Who is this?  Credentials to avatar names.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any, Final

from twisted.cred.checkers import ANONYMOUS, ICredentialsChecker
from twisted.cred.credentials import IAnonymous, ICredentials, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from filehub.accounts.hashes import isAcceptable, isUsableHash
from filehub.accounts.passwords import PasswordVerifier
from filehub.accounts.records import AccountRecord, AccountSource, NetworkRecord
from filehub.credentials import AccountRequired, IAccountPassword, IPeerAddress
from filehub.errors import LimitExceeded

#: The longest user name that is looked up, bytes.
MAXIMUM_NAME: Final = 256


class CheckOverloaded(UnauthorizedLogin):
    """Nobody looked at the password, as too many are being looked at."""


@implementer(ICredentialsChecker)
class PasswordChecker:
    """
    Name and password, and ACCT where the account wants one.

    Unknown, disabled and passwordless accounts are refused with the same exception
    after the same work as a wrong password.
    """

    credentialInterfaces = (IUsernamePassword, IAccountPassword)

    def __init__(self, source: AccountSource, verifier: PasswordVerifier) -> None:
        self._source = source
        self._verifier = verifier

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """See L{ICredentialsChecker.requestAvatarId}."""
        return Deferred.fromCoroutine(self._check(credentials))

    async def _check(self, credentials: Any) -> bytes:
        name, password = credentials.username, credentials.password
        if len(name) > MAXIMUM_NAME or b"\0" in name or not isAcceptable(password):
            raise UnauthorizedLogin("unacceptable name or password")
        try:
            record = await self._source.find(name.decode("utf-8"))
        except UnicodeDecodeError:
            record = None
        try:
            if record is None or not _hasPassword(record) or record.password is None:
                await self._verifier.verifyNobody(password)
                raise UnauthorizedLogin("no such account with a password")
            if not await self._verifier.verify(record.password, password):
                raise UnauthorizedLogin("wrong password")
            if record.account is not None:
                await self._checkAccount(record.account, credentials)
        except LimitExceeded as error:
            raise CheckOverloaded(str(error)) from None
        return record.name.encode("utf-8")

    async def _checkAccount(self, stored: str, credentials: Any) -> None:
        if not IAccountPassword.providedBy(credentials):
            raise AccountRequired("account needed")
        account = credentials.account
        if not isAcceptable(account) or not await self._verifier.verify(stored, account):
            raise UnauthorizedLogin("wrong account")


def _hasPassword(record: AccountRecord) -> bool:
    return record.enabled and record.password is not None and isUsableHash(record.password)


@implementer(ICredentialsChecker)
class AnonymousChecker:
    """Lets anybody in who does not say who he is."""

    credentialInterfaces = (IAnonymous,)

    def requestAvatarId(self, credentials: ICredentials) -> Deferred[Any]:
        """See L{ICredentialsChecker.requestAvatarId}."""
        return succeed(ANONYMOUS)


@implementer(ICredentialsChecker)
class NetworkChecker:
    """
    The account of a client that is known by its address only.  The smallest network
    that holds the address decides.
    """

    credentialInterfaces = (IPeerAddress,)

    def __init__(self, networks: Iterable[NetworkRecord], protocol: str) -> None:
        """
        @param protocol: only networks that list it count.
        """
        chosen = [each for each in networks if protocol in each.protocols]
        self._networks = sorted(chosen, key=lambda each: -each.network.prefixlen)

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """See L{ICredentialsChecker.requestAvatarId}."""
        # A scope (%eth0) says where a link-local address is, not which.
        address = ipaddress.ip_address(credentials.peer.host.partition("%")[0])
        for each in self._networks:
            if address.version == each.network.version and address in each.network:
                return succeed(each.account.encode("utf-8"))
        return fail(UnauthorizedLogin("no network lists this address"))
