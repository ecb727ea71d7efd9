"""
Which certificates a configuration means, and looking after them.
"""

from __future__ import annotations

import socket
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from filehub.certificates import CertificateStore, TLSPolicy, makeSelfSigned
from filehub.config.listening import FTPListener
from filehub.config.schema import TLS, Configuration
from filehub.errors import ConfigurationError
from filehub.transfer._openssl import lookAhead
from filehub.transfer._tickets import canRenewTickets
from filehub.transfer.tls import resumptionIsSeen

#: How often the files are looked at, seconds.
_INTERVAL: Final = 2.0
_LIFETIME: Final = timedelta(days=3650)

_log: Final = Logger()


def effectiveTLS(
    values: Configuration, options: FTPListener | None = None
) -> Literal["off", "optional", "required"]:
    """
    C{tls} of a listener: by default passwords need TLS wherever there is a certificate.

    @param options: the listener; L{None} for what C{[ftp]} says.
    """
    chosen = (options or values.ftp).tls
    if chosen is not None:
        return chosen
    return "off" if values.tls is None else "required"


def certificatesFor(values: Configuration) -> CertificateStore | None:
    """
    The certificates that the listeners need; L{None} if none of them speaks TLS.

    @raise ConfigurationError: they cannot be used.
    """
    listeners = [options for _, options in values.ftp.variants]
    if not any(each.implicit_tls or effectiveTLS(values, each) != "off" for each in listeners):
        return None
    tls = values.tls or TLS()
    policy = TLSPolicy(
        minimum=tls.minimum,
        strictNames=tls.strict_sni,
        clientAuthorities=tls.client_ca,
        clientCertificates=tls.client_certificates,
        revocationList=tls.crl,
    )
    if tls.certificate is not None:
        store = CertificateStore(tls.certificate, tls.key, policy)
    else:
        store = CertificateStore(_selfSigned(values.server.state), None, policy)
    required = any(each.tls_sessions == "require" for each in listeners)
    if required and not resumptionIsSeen(store):
        raise ConfigurationError(
            "ftp.tls_sessions: found 'require', but the installed TLS library does not"
            " let us see whether a session was resumed"
        )
    lookAhead()
    if not canRenewTickets() and required:
        _log.warn(
            "the installed TLS library brings clients no new tickets after uploads: those that"
            " use each once, such as curl, need TLS 1.2 for more than one upload"
        )
    return store


def _selfSigned(state: Path | None) -> Path:
    if state is None:
        raise ConfigurationError("tls.certificate: found nothing, expected a PEM file")
    path = state / "self-signed.pem"
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            makeSelfSigned(path, [socket.getfqdn(), "localhost"], _LIFETIME)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be made: {error.strerror}") from None
    fingerprint = CertificateStore(path).default.fingerprint
    _log.warn(
        "no certificate is configured: using {path}, which vouches for itself;"
        " its SHA-256 fingerprint is {fingerprint}",
        path=str(path),
        fingerprint=fingerprint,
    )
    return path


class CertificateWatch(Service):
    """Looks at the files now and then, so that a renewed certificate is used at once."""

    def __init__(self, clock: Any, store: CertificateStore) -> None:
        self._loop = LoopingCall(store.reloadIfChanged)
        self._loop.clock = clock

    def startService(self) -> None:
        """Look every few seconds."""
        super().startService()  # type: ignore[no-untyped-call]
        self._loop.start(_INTERVAL)

    def stopService(self) -> None:
        """Look no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._loop.running:
            self._loop.stop()
