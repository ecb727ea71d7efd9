"""
What all sessions of one FTP listener share.
"""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from filehub.credentials import ConnectionInfo
from filehub.deadlines import Deadlines
from filehub.events import Event, PassivePortsExhausted
from filehub.interfaces import IEventSink
from filehub.logins import LoginPortal
from filehub.protocols.ftp.commands import CommandSpec
from filehub.protocols.ftp.external import ExternalAddresses
from filehub.protocols.ftp.settings import FTPSettings, SiteCommand
from filehub.transfer.sockets import SocketStream
from filehub.transfer.stream import ByteStream
from filehub.transfer.tls import CertificateSource


class DataConnections(Protocol):
    """
    A session's data connection, in all its states; see C{data.py}.

    @ivar onEarly: told of a connection that has come before it is asked for.
    """

    onEarly: Callable[[SocketStream], None] | None

    @property
    def isArmed(self) -> bool:
        """Was PASV or PORT said since the last transfer?"""

    @property
    def isForeign(self) -> bool:
        """Was the last connection one of another server (FXP)?"""

    def passive(self, family: int | None = None) -> int:
        """
        Listen for the client, instead of whatever was arranged before.  Returns the port.

        @param family: C{socket.AF_INET} or C{AF_INET6}, if the client asks for one.
        @raise OperationNotSupported: that is not the control connection's.
        @raise ConnectFailed: no port is free.
        """

    def active(self, host: str, port: int) -> None:
        """
        Connect there when a transfer starts, instead of what was arranged before.

        @raise PermissionDenied: that is not the client.
        """

    def hasArrived(self) -> bool:
        """Has the client connected already?"""

    def take(self) -> SocketStream | None:
        """That connection, if it has, for something that needs no waiting."""

    def remind(self, call: Callable[[], object]) -> None:
        """Call this in a second or two, for a transfer that lasts so long."""

    def open(
        self, protect: Callable[[SocketStream], Awaitable[ByteStream]] | None = None
    ) -> Coroutine[Any, Any, ByteStream]:
        """
        The connection for one transfer, which uses up the arrangement.

        @param protect: puts TLS on it.
        @raise ConnectFailed: it did not come about in time.
        @raise ProtectionRequired: TLS did not come about.
        """

    def reset(self) -> None:
        """Close what is open and forget what was arranged."""


class Verb(NamedTuple):
    """
    A command and what carries it out.

    @ivar run: called with the session and the argument.
    """

    spec: CommandSpec
    run: Callable[[Any, str], Coroutine[Deferred[Any], Any, Any]]


#: Seconds between two complaints about the same.
_COMPLAINT_INTERVAL: Final = 60.0
#: Variants that are kept; a configuration file has a handful of them.
_MAXIMUM_VARIANTS: Final = 64


class Listener:
    """
    Everything that is the same for all sessions, so that none holds it by itself.

    @ivar verbs: the commands that are enabled, by name.
    @ivar site: those within SITE.
    @ivar certificates: for TLS; L{None} without.
    @ivar resumedHandshakes: protected data connections that resumed the TLS session
        of their control connection.
    @ivar fullHandshakes: those that did not.
    @ivar hosts: virtual hosts by name, as sessions of this listener may choose them.
    @ivar root: where sessions begin, before they choose one.
    @ivar base: what this is a variant of, or itself: sessions that log out return there.
    @ivar chooseVerbs: the commands that are enabled by settings.
    @ivar openData: makes the L{DataConnections} of a session.
    @ivar external: what the 227 reply tells.
    @ivar now: seconds since the epoch, for dates in listings.
    @ivar random: for names nobody should guess.
    """

    _log: Final = Logger()

    __slots__ = (
        "_complained",
        "_variants",
        "base",
        "certificates",
        "chooseVerbs",
        "deadlines",
        "external",
        "fullHandshakes",
        "hosts",
        "now",
        "openData",
        "portal",
        "random",
        "resumedHandshakes",
        "root",
        "settings",
        "sink",
        "site",
        "verbs",
    )

    def __init__(
        self,
        portal: LoginPortal,
        settings: FTPSettings,
        verbs: Mapping[str, Verb],
        deadlines: Deadlines,
        openData: Callable[[Any], DataConnections],
        *,
        chooseVerbs: Callable[[FTPSettings], Mapping[str, Verb]] | None = None,
        external: ExternalAddresses | None = None,
        site: Mapping[str, SiteCommand],
        sink: IEventSink | None = None,
        certificates: CertificateSource | None = None,
        now: Callable[[], float] = time.time,
        randomness: random.Random | None = None,
    ) -> None:
        self.portal = portal
        self.settings = settings
        self.verbs = verbs
        self.site = site
        self.deadlines = deadlines
        self.openData = openData
        self.base = self
        self.root = self
        self.hosts: dict[str, Listener] = {}
        self.chooseVerbs = chooseVerbs or (lambda _: verbs)
        self._variants: dict[Hashable, Listener] = {}
        self.external = external or ExternalAddresses(
            settings.externalAddress, settings.externalRules
        )
        self._complained = -_COMPLAINT_INTERVAL
        self.sink = sink
        self.certificates = certificates
        self.resumedHandshakes = 0
        self.fullHandshakes = 0
        self.now = now
        self.random = randomness or random.SystemRandom()

    def countTLS(self, *, resumed: bool) -> None:
        """A protected data connection came about."""
        if resumed:
            self.base.resumedHandshakes += 1
        else:
            self.base.fullHandshakes += 1

    def become(self, settings: FTPSettings) -> None:
        """Take these settings; for copies, before they have sessions."""
        self.settings = settings
        self.verbs = self.chooseVerbs(settings)
        self._variants = {}

    def variant(self, wishes: Hashable, settings: Callable[[], FTPSettings]) -> Listener:
        """
        The same with other settings, for those sessions whose account wants them.

        @param wishes: what makes the difference: the same wishes, the same variant.
        @param settings: makes them.
        """
        variant = self._variants.get(wishes)
        if variant is None:
            if len(self._variants) >= _MAXIMUM_VARIANTS:
                self._variants.clear()
            variant = self._variants[wishes] = copy.copy(self)
            variant.become(settings())
            if variant.settings.externalAddress != self.settings.externalAddress:
                variant.external = ExternalAddresses(variant.settings.externalAddress)
        return variant

    def countExhaustion(self, connection: ConnectionInfo) -> None:
        """There was no passive port left for this client."""
        self.emit(PassivePortsExhausted(connection))
        now = self.deadlines.seconds()
        if now - self._complained >= _COMPLAINT_INTERVAL:
            self._complained = now
            self._log.warn("all passive ports are in use: clients are told to try again")

    def emit(self, event: Event) -> None:
        """Tell the sink, if there is one."""
        if self.sink is not None:
            self.sink.emit(event)


__all__ = ["DataConnections", "Listener", "Verb"]
