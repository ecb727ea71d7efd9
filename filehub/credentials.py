"""
What a client shows at the door, and the connection that it shows it on.

These are in the vocabulary because protocols build them and checkers read them.
A name and password travel as L{twisted.cred.credentials.UsernamePassword} with
C{bytes} values; an anonymous login as L{twisted.cred.credentials.Anonymous}.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from twisted.cred.credentials import ICredentials, IUsernamePassword, UsernamePassword
from twisted.cred.error import LoginDenied, UnauthorizedLogin
from zope.interface import Attribute, implementer


@dataclass(frozen=True, slots=True)
class Address:
    """
    One end of a connection.

    @ivar host: an IP address as text; IPv4-mapped IPv6 is written as IPv4.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """
    The I{mind} of every login: which connection asks.

    @ivar protocol: C{"ftp"}, C{"tftp"} or C{"rfc913"}.
    @ivar sessionId: unique within this process.
    @ivar secure: is the control channel encrypted?
    """

    protocol: str
    sessionId: int
    peer: Address
    local: Address
    secure: bool = False


class IAccountPassword(IUsernamePassword):
    """A password together with an account (C{ACCT} of RFC 959 and RFC 913)."""

    account: bytes = Attribute("The billing account.")


class ConnectionPassword(UsernamePassword):
    """
    A name, a password, and the connection that they came over: some places that check
    passwords want to know.
    """

    username: bytes
    password: bytes

    def __init__(self, username: bytes, password: bytes, connection: ConnectionInfo) -> None:
        super().__init__(username, password)
        self.connection = connection


@implementer(IAccountPassword)
@dataclass(slots=True)
class AccountPassword:
    """See L{IAccountPassword} and L{ConnectionPassword}."""

    username: bytes
    password: bytes = field(repr=False)
    account: bytes
    connection: ConnectionInfo | None = field(default=None, compare=False, repr=False)

    def checkPassword(self, password: bytes) -> bool:
        """Only checkers decide; a credential never holds the right answer to compare."""
        return bool(self.password == password)


class AccountRequired(UnauthorizedLogin):
    """
    A checker raises this for a right name and password that need an account (ACCT)
    on top; the login is then tried again with L{IAccountPassword}.
    """


class PasswordRequired(UnauthorizedLogin):
    """
    A checker raises this for an L{ICertificate} that is no login by itself; the login is
    then tried again with a password.
    """


class LoginUnavailable(UnauthorizedLogin):
    """
    Raised instead of a plain failure while somebody who has to be asked does not answer,
    or too many ask: nobody is told that a name or a password is wrong, for it may be right.
    """


class EncryptionRequired(LoginDenied):
    """
    A realm raises this for an account that logs in over encrypted connections only.
    """


class IPeerAddress(ICredentials):
    """The only identity that a TFTP client has: where it calls from."""

    peer: Address = Attribute("The client's address.")
    local: Address = Attribute("The address of ours that it asked.")


@implementer(IPeerAddress)
@dataclass(frozen=True, slots=True)
class PeerAddress:
    """See L{IPeerAddress}."""

    peer: Address
    local: Address


class ICertificate(ICredentials):
    """A client certificate that was verified against the configured authorities."""

    username: bytes = Attribute("The name given with USER, or empty.")
    certificate: bytes = Attribute("The end-entity certificate, DER.")


@implementer(ICertificate)
@dataclass(frozen=True, slots=True)
class Certificate:
    """See L{ICertificate}."""

    username: bytes
    certificate: bytes
