"""
Who is this?  Credentials to avatar names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from twisted.cred.checkers import ANONYMOUS, ICredentialsChecker
from twisted.cred.credentials import (
    IAnonymous,
    ICredentials,
    IUsernamePassword,
    UsernamePassword,
)
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from zope.interface import implementer

from filehub.accounts.codes import CODE_LENGTH, CodeVerifier
from filehub.accounts.hashes import isAcceptable, isUsableHash, needsRehash
from filehub.accounts.passwords import PasswordVerifier
from filehub.accounts.records import (
    AccountRecord,
    AccountSource,
    LoginSource,
    NetworkRecord,
    PasswordStore,
)
from filehub.credentials import AccountRequired, IAccountPassword, IPeerAddress
from filehub.errors import LimitExceeded, StorageUnavailable
from filehub.networks import addressOf, holdingOf
from filehub.promises import promised

#: The longest user name that is looked up, bytes.
MAXIMUM_NAME: Final = 256
#: Addresses whose account is remembered.
_REMEMBERED: Final = 4096


class CheckOverloaded(UnauthorizedLogin):
    """Nobody looked at the password, as too many are being looked at."""


class UnknownUser(UnauthorizedLogin):
    """There is nobody of this name who could log in like this."""


@implementer(ICredentialsChecker)
class PasswordChecker:
    """
    Name and password, and on top, for accounts that want it, a one-time code or ACCT.

    Names that the source does not know are taken to the login sources.  Unknown,
    disabled and passwordless accounts are refused with the same exception after the
    same work as a wrong password.

    A one-time code is the ACCT of a login, or, for clients that do not know ACCT, the
    last six digits of what they send as the password.
    """

    credentialInterfaces = (IUsernamePassword, IAccountPassword)

    _log = Logger()

    def __init__(
        self,
        source: AccountSource,
        verifier: PasswordVerifier,
        *,
        logins: Iterable[LoginSource] = (),
        codes: CodeVerifier | None = None,
        allowWeak: bool = False,
    ) -> None:
        """
        @param logins: asked in this order.
        @param allowWeak: whether password hashes of weak forms count.
        """
        self._source = source
        self._verifier = verifier
        self._logins = tuple(logins)
        self._codes = codes or CodeVerifier()
        self._allowWeak = allowWeak

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """See L{ICredentialsChecker.requestAvatarId}."""
        return promised(self.identify(credentials))

    async def identify(self, credentials: Any) -> bytes:
        """The same without a Deferred."""
        if isinstance(credentials.username, str):
            # Twisted's own FTP server decodes what it reads.
            credentials = UsernamePassword(
                credentials.username.encode("utf-8", "surrogateescape"),
                credentials.password.encode("utf-8", "surrogateescape"),
            )
        name, password = credentials.username, credentials.password
        if len(name) > MAXIMUM_NAME or b"\0" in name or not isAcceptable(password):
            raise UnauthorizedLogin("unacceptable name or password")
        try:
            text = name.decode("utf-8")
        except UnicodeDecodeError:
            text = None
        try:
            record = await self._source.find(text) if text is not None else None
            if record is None and text is not None:
                record = await self._elsewhere(text, credentials)
                if record is not None:
                    return record.name.encode("utf-8")
            if record is None or not self._hasPassword(record) or record.password is None:
                await self._verifier.verifyNobody(password, _sourceOf(credentials))
                raise UnknownUser("no such account with a password")
            await self._checkPassword(record, record.password, credentials)
        except (LimitExceeded, StorageUnavailable) as error:
            raise CheckOverloaded(str(error)) from None
        return record.name.encode("utf-8")

    def _hasPassword(self, record: AccountRecord) -> bool:
        return (
            record.enabled
            and record.password is not None
            and isUsableHash(record.password, allowWeak=self._allowWeak)
        )

    async def _checkPassword(self, record: AccountRecord, stored: str, credentials: Any) -> None:
        password, source = credentials.password, _sourceOf(credentials)
        secret = record.oneTimeSecret
        if secret is not None and not IAccountPassword.providedBy(credentials):
            # Told apart by their ends, not by two checks: a check takes its time.
            start, code = password[:-CODE_LENGTH], password[-CODE_LENGTH:]
            if start and code.isdigit() and await self._verifier.verify(stored, start, source):
                if not self._codes.take(record.name, secret, code):
                    raise UnauthorizedLogin("wrong one-time code")
                return
        if not await self._verifier.verify(stored, password, source):
            raise UnauthorizedLogin("wrong password")
        if secret is not None or record.account is not None:
            if not IAccountPassword.providedBy(credentials):
                raise AccountRequired("account needed")
            if secret is not None and not self._codes.take(
                record.name, secret, credentials.account
            ):
                raise UnauthorizedLogin("wrong one-time code")
            if record.account is not None and secret is None:
                await self._checkAccount(record.account, credentials.account, source)
        if record.store is not None and needsRehash(stored):
            await self._hashAnew(record.store, record.name, stored, password, source)

    async def _checkAccount(self, stored: str, account: bytes, source: object) -> None:
        if not isAcceptable(account) or not await self._verifier.verify(stored, account, source):
            raise UnauthorizedLogin("wrong account")

    async def _hashAnew(
        self, store: PasswordStore, name: str, stored: str, password: bytes, source: object
    ) -> None:
        """The password is here now, so a better hash of it can be made."""
        try:
            hashed = await self._verifier.hash(password, source)
            await store.replacePassword(name, stored, hashed)
        except (LimitExceeded, StorageUnavailable) as error:
            # The old one is as good as it was; the next login tries again.
            self._log.warn("no new hash for {account}: {reason}", account=name, reason=str(error))

    async def _elsewhere(self, name: str, credentials: Any) -> AccountRecord | None:
        connection = getattr(credentials, "connection", None)
        problems: list[LimitExceeded | StorageUnavailable] = []
        for source in self._logins:
            try:
                record = await source.authenticate(name, credentials.password, connection)
            except (LimitExceeded, StorageUnavailable) as error:
                # It refuses its own users only.
                problems.append(error)
                continue
            if record is None:
                continue
            if not record.enabled:
                return None
            # It may call him by another name, which must not be somebody else's here.
            if record.name == name or await self._source.find(record.name) is None:
                self._forgetElsewhere(record.name, source)
                return record
        if problems:
            # It may be the password of somebody whom that place knows.
            raise problems[0]
        return None

    def _forgetElsewhere(self, name: str, known: LoginSource) -> None:
        """The realm looks him up next, and must not find who had this name before."""
        for source in self._logins:
            if source is not known:
                source.forget(name)


def _sourceOf(credentials: Any) -> object:
    """Who asks, as far as it is known."""
    connection = getattr(credentials, "connection", None)
    return None if connection is None else holdingOf(connection.peer.host)


@implementer(ICredentialsChecker)
class AnonymousChecker:
    """Lets anybody in who does not say who he is."""

    credentialInterfaces = (IAnonymous,)

    def requestAvatarId(self, credentials: ICredentials) -> Deferred[Any]:
        """See L{ICredentialsChecker.requestAvatarId}."""
        return succeed(ANONYMOUS)

    async def identify(self, credentials: ICredentials) -> tuple[()]:
        """The same without a Deferred."""
        return ANONYMOUS


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
        self._protocol = protocol
        self._networks: list[NetworkRecord] = []
        #: Addresses that came lately, and whose account it is.
        self._found: dict[str, str | None] = {}
        self.replace(networks)

    def replace(self, networks: Iterable[NetworkRecord]) -> None:
        """These are the networks from now on."""
        chosen = [each for each in networks if self._protocol in each.protocols]
        self._networks = sorted(chosen, key=lambda each: -each.network.prefixlen)
        self._found.clear()

    def accountAt(self, host: str) -> str:
        """
        Whose account it is.

        @raise UnauthorizedLogin: nobody's.
        """
        try:
            name = self._found[host]
        except KeyError:
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            name = self._found[host] = self._accountOf(host)
        if name is None:
            raise UnauthorizedLogin("no network lists this address")
        return name

    def _accountOf(self, host: str) -> str | None:
        address = addressOf(host)
        for each in self._networks:
            if address is not None and address in each.network:
                return each.account
        return None

    def requestAvatarId(self, credentials: Any) -> Deferred[bytes | tuple[()]]:
        """See L{ICredentialsChecker.requestAvatarId}."""
        try:
            return succeed(self.accountAt(credentials.peer.host).encode("utf-8"))
        except UnauthorizedLogin as error:
            return fail(error)
