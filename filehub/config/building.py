"""
From a configuration to the server that it describes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel

from filehub.accounts.bans import Bans
from filehub.accounts.checkers import AnonymousChecker, NetworkChecker, PasswordChecker
from filehub.accounts.clientcerts import CertificateChecker
from filehub.accounts.codes import CodeVerifier
from filehub.accounts.passwords import PasswordVerifier
from filehub.accounts.peers import PeerPortal
from filehub.accounts.realm import FileHubRealm, Limiting
from filehub.accounts.records import AccountSource, LoginSource
from filehub.accounts.sources import chained
from filehub.accounts.throttle import ThrottledPortal
from filehub.config.accounts import AccountBuilder, givesAway
from filehub.config.bans import BanService, banSettings
from filehub.config.encryption import CertificateWatch, certificatesFor
from filehub.config.ftp import ftpSettings, virtualHosts
from filehub.config.limits import (
    networkRecords,
    rateSettings,
    sessionCaps,
    tftpStall,
    throttleSettings,
)
from filehub.config.listeners import streamEndpoint
from filehub.config.loading import LoadedConfiguration, dotted
from filehub.config.owners import OwnersService
from filehub.config.quotas import UsageService, countsAnything, tallyFile
from filehub.config.reloading import Reloadable, ReloadingService
from filehub.config.sources import buildSource
from filehub.config.storages import namesOf, openStorage
from filehub.config.tftpnames import nameSettings
from filehub.config.workers import workerCount
from filehub.control import ControlService
from filehub.deadlines import Deadlines
from filehub.errors import ConfigurationError
from filehub.interfaces import IEventSink, IStorage
from filehub.limiting import RateBook
from filehub.logins import LoginPortal
from filehub.networks import Networks
from filehub.observers import CountingSink, LogSink, Sinks, TransferLogSink
from filehub.paths import VirtualPath
from filehub.processes.crew import Crew
from filehub.processes.watching import WorkersService
from filehub.protocols.ftp.server import FTPFactory
from filehub.protocols.rfc913.server import RFC913Factory
from filehub.protocols.rfc913.settings import RFC913Settings
from filehub.protocols.tftp.server import TFTPService
from filehub.protocols.tftp.settings import MulticastSettings, TFTPSettings
from filehub.registry import SessionRegistry
from filehub.service import FileHubService, ListenerService
from filehub.transfer.neighbours import Neighbours
from filehub.vfs.claims import Claims
from filehub.vfs.templates import Render, Templates, jinjaRenderer
from filehub.vfs.workers import FileWorkers


def buildService(reactor: Any, loaded: LoadedConfiguration) -> FileHubService:
    """
    Everything that the configuration asks for; nothing is bound or started yet.

    @raise ConfigurationError: a file cannot be used.
    """
    count = workerCount(loaded.values)
    if count == 1:
        return _Builder(reactor, loaded).build()
    crew = Crew(reactor, count)
    return _Builder(crew.reactor, loaded, crew).buildFor(reactor, crew)


class _Builder:
    def __init__(self, reactor: Any, loaded: LoadedConfiguration, crew: Crew | None = None) -> None:
        """
        @param crew: what the processes have in common, if there are several.
        """
        self._reactor = reactor
        self._crew = crew
        self._loaded = loaded
        self._values = loaded.values
        self._deadlines = Deadlines(reactor)
        self._workers = FileWorkers(reactor)
        self._verifier = PasswordVerifier(reactor)
        self._counting = CountingSink()
        self._codes = CodeVerifier()
        self._sink, self._closeSinks = self._buildSinks()
        self._bans = BanService(reactor, self._banned, self._values)
        self._registry = SessionRegistry(
            reactor,
            sessionCaps(self._values),
            self._sink,
            self._banned,
            counts=None if crew is None else crew.counts,
            ids=None if crew is None else crew.sessionIds(),
        )
        share = 1 if crew is None else crew.size
        self._rates = RateBook(reactor, rateSettings(self._values), share=share)
        self._networks = NetworkChecker(networkRecords(self._values), "tftp")
        self._usage: UsageService | None = None
        self._limiting: Limiting = self._rates.limitsFor
        self._closeSources: list[Callable[[], None]] = []
        # Read now, while root may, and from where the operator looks at the files.
        self._certificates = certificatesFor(self._values)
        self._names = nameSettings(self._values.tftp)
        self._render = self._renderer()

    def build(self) -> FileHubService:
        closing = [*self._closing(), self._counting.report, *self._closeSinks]
        return FileHubService(self._reactor, self._registry, self._furnish, closing=closing)

    def buildFor(self, reactor: Any, crew: Crew) -> WorkersService:
        """
        The same for several processes.

        @param reactor: of this one, which will watch the others.
        """
        counting, bulletin = self._counting, crew.bulletin
        bulletin.listen("served", counting.add)
        bulletin.listen("code", lambda name, step: self._codes.usedElsewhere(name, int(step)))
        self._codes.whenUsed = lambda name, step: bulletin.tell("code", name, str(step))

        banned = self._banned
        banned.whenEarned = lambda host, points, reason, isTold: bulletin.tell(
            "points", host, str(points), reason, "told" if isTold else ""
        )
        bulletin.listen(
            "points",
            lambda host, points, reason, told: banned.earnedElsewhere(
                host, float(points), reason, bool(told)
            ),
        )

        def tellCounts() -> Deferred[None]:
            return bulletin.tell("served", counting.asText(), everybody=False)

        return WorkersService(
            reactor,
            crew,
            self._registry,
            self._furnish,
            closing=[*self._closing(), tellCounts, *self._closeSinks],
            report=counting.report,
        )

    def _closing(self) -> list[Callable[[], Any]]:
        return [
            self._closeUsage,
            self._bans.close,
            self._stopSources,
            self._workers.stop,
            self._verifier.stop,
        ]

    def _furnish(self, service: FileHubService) -> None:
        storages = {
            mount.path: openStorage(self._reactor, self._workers, mount)
            for mount in self._values.mount
        }
        service.addStorages(storages.values())
        self._bans.setServiceParent(service)  # type: ignore[no-untyped-call]
        state = self._values.server.state
        if state is not None:
            control = ControlService(self._reactor, self._registry, state)
            control.setServiceParent(service)  # type: ignore[no-untyped-call]
        if self._certificates is not None:
            watch = CertificateWatch(self._reactor, self._certificates)
            watch.setServiceParent(service)  # type: ignore[no-untyped-call]
        if givesAway(self._values):
            OwnersService().setServiceParent(service)  # type: ignore[no-untyped-call]
        accounts = AccountBuilder(self._loaded)
        file = accounts.table()
        sources = [
            buildSource(self._reactor, each, accounts.fromStored) for each in self._values.source
        ]
        self._closeSources = [each.stop for each in sources]
        stored = chained([file, *(each.stored for each in sources if each.stored is not None)])
        logins = [each.login for each in sources if each.login is not None]
        table = chained([stored], logins)
        claims = self._claims(service, storages)
        realm = FileHubRealm(
            table,
            storages,
            sink=self._sink,
            claims=claims,
            limiting=self._limiting,
            templates=self._templates(),
            naming=namesOf(self._values),
        )
        door = self._portal(realm, stored, logins)
        portal = ThrottledPortal(
            door,
            self._reactor,
            self._sink,
            throttleSettings(self._values),
            self._banned,
        )
        listeners = list(self._listeners(portal, PeerPortal(portal, self._networks, realm)))
        if self._loaded.places:
            reloadable = Reloadable(
                self._loaded,
                self._registry,
                self._rates,
                accounts,
                file,
                self._networks,
                portal,
                self._bans,
                self._usage,
                lambda: door.registerChecker(AnonymousChecker()),
                [each.factory if isinstance(each, ListenerService) else each for each in listeners],
            )
            reloading = ReloadingService(self._reactor, Path(self._loaded.origin), reloadable)
            # Before the first port is bound.
            reloading.setServiceParent(service)  # type: ignore[no-untyped-call]
        for listener in listeners:
            service.addListener(listener)

    def _renderer(self) -> Render | None:
        """
        @raise ConfigurationError: templates are wanted, and Jinja2 is missing.
        """
        if not self._values.templates.paths:
            return None
        try:
            return jinjaRenderer()
        except ImportError:
            where = self._loaded.originOf(("templates", "paths"))
            raise ConfigurationError(
                f"{where}: templates.paths: found no Jinja2, expected filehub[templates]"
                " to be installed"
            ) from None

    def _templates(self) -> Templates | None:
        wanted = self._values.templates
        if self._render is None:
            return None
        neighbours = Neighbours(self._reactor.seconds)
        return Templates(
            self._render,
            self._workers,
            wanted.paths,
            suffix=wanted.suffix,
            findMAC=neighbours.find,
        )

    def _claims(
        self, service: FileHubService, storages: Mapping[VirtualPath, IStorage]
    ) -> Claims | None:
        """Who counts what is stored, if there are quotas; and what is moved."""
        crew = self._crew
        if not (countsAnything(self._values) or self._values.source):
            return None
        state = self._values.server.state
        usage = self._usage = UsageService(
            self._reactor,
            state,
            storages,
            self._values,
            figures=None if crew is None else crew.figures,
            table=None if crew is None else crew.tallies(tallyFile(state)),
        )
        if crew is not None:
            crew.preparing.append(usage.prepare)
            crew.concluding.append(usage.conclude)
        usage.setServiceParent(service)  # type: ignore[no-untyped-call]
        self._rates.transfers = usage.transfers
        self._limiting = usage.limiting(self._limiting)
        return usage.claims

    def _closeUsage(self) -> Deferred[None] | None:
        return None if self._usage is None else self._usage.close()

    def _stopSources(self) -> None:
        for stop in self._closeSources:
            stop()

    # --- what is observed

    def _buildSinks(self) -> tuple[IEventSink, list[Callable[[], Any]]]:
        log = self._values.log
        sinks: list[IEventSink] = [LogSink(LogLevel.levelWithName(log.level)), self._counting]
        closing: list[Callable[[], Any]] = []
        if log.xferlog is not None:
            transfers = TransferLogSink(log.xferlog)
            sinks.append(transfers)
            closing.append(transfers.close)
        self._banned = Bans(self._reactor, banSettings(self._values), Sinks(sinks))
        return Sinks([*sinks, self._banned]), closing

    # --- who may do what

    def _portal(
        self, realm: FileHubRealm, stored: AccountSource, logins: Iterable[LoginSource]
    ) -> Portal:
        passwords = PasswordChecker(
            stored,
            self._verifier,
            logins=logins,
            codes=self._codes,
            allowWeak=self._values.server.weak_hashes,
        )
        portal = Portal(realm, [passwords, CertificateChecker(stored)])
        portal.registerChecker(self._networks)
        if self._values.anonymous.enabled:
            portal.registerChecker(AnonymousChecker())
        return portal

    # --- who listens

    def _listeners(self, portal: Any, peers: LoginPortal) -> Iterable[Any]:
        shared: dict[str, Any] = {
            "sessions": self._registry,
            "sink": self._sink,
            "deadlines": self._deadlines,
        }
        values = self._values
        for place, options in values.ftp.variants:
            explicit = ftpSettings(values, options)
            implicit = replace(explicit, implicitTLS=True, tls="required")
            for key, settings, texts in (
                ("listen", explicit, options.listen),
                ("implicit_tls", implicit, options.implicit_tls),
            ):
                if texts:
                    ftp = FTPFactory(
                        self._reactor,
                        portal,
                        settings,
                        certificates=self._certificates,
                        hosts=virtualHosts(values, options, settings, portal),
                        **shared,
                    )
                    trusted = tuple(options.trusted_proxies)
                    for index, text in enumerate(texts):
                        yield self._listener(ftp, text, trusted, *place, key, index)
        if values.rfc913.listen:
            simple = RFC913Factory(self._reactor, portal, self._rfc913Settings(), **shared)
            trusted = tuple(values.rfc913.trusted_proxies)
            for index, text in enumerate(values.rfc913.listen):
                yield self._listener(simple, text, trusted, "rfc913", "listen", index)
        for text in values.tftp.listen:
            service = TFTPService(
                self._reactor,
                peers,
                text,
                self._tftpSettings(),
                openSocket=None if self._crew is None else self._crew.datagrams(text),
                **shared,
            )
            # Names are unique in a collection of services.
            service.name = f"tftp {text}"
            yield service

    def _listener(
        self, factory: Any, text: str, trusted: Networks, *place: str | int
    ) -> ListenerService:
        try:
            endpoint = streamEndpoint(self._reactor, text, trusted, self._deadlines)
        except ConfigurationError as error:
            where = self._loaded.originOf(place)
            raise ConfigurationError(f"{where}: {dotted(place[:-1])}: {error}") from None
        return ListenerService(endpoint, factory, text)

    def _rfc913Settings(self) -> RFC913Settings:
        rfc913, limits = self._values.rfc913, self._values.limits
        return RFC913Settings(
            hostName=self._values.server.name,
            accounts=rfc913.accounts,
            generations=rfc913.generations,
            lenientFraming=rfc913.lenient_framing,
            welcome=rfc913.welcome,
            loginTimeout=limits.login,
            idleTimeout=limits.idle,
            stallTimeout=limits.stall,
            failureDelay=0.0,  # the throttled portal waits, for all protocols alike
        )

    def _tftpSettings(self) -> TFTPSettings:
        tftp = self._values.tftp
        ports = tftp.port_range
        return TFTPSettings(
            write=tftp.write,
            singlePort=tftp.single_port,
            portRange=(ports.start, ports.stop - 1) if ports is not None else None,
            maximumBlksize=tftp.blksize,
            maximumWindow=tftp.windowsize,
            names=self._names,
            multicast=self._multicastSettings(),
            stall=tftpStall(self._values),
        )

    def _multicastSettings(self) -> MulticastSettings | None:
        multicast = self._values.tftp.multicast
        if not multicast.addresses:
            return None
        return MulticastSettings(
            tuple(multicast.addresses),
            (multicast.ports.start, multicast.ports.stop - 1),
            multicast.ttl,
            multicast.interface or "",
            multicast.groups,
            multicast.clients,
        )
