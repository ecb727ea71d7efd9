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
from filehub.config.schema import TLS, Configuration
from filehub.errors import ConfigurationError
from filehub.transfer.tls import resumptionIsSeen

#: How often the files are looked at, seconds.
_INTERVAL: Final = 2.0
_LIFETIME: Final = timedelta(days=3650)

_log: Final = Logger()


def effectiveTLS(values: Configuration) -> Literal["off", "optional", "required"]:
    """C{[ftp] tls}: by default passwords need TLS wherever there is a certificate."""
    if values.ftp.tls is not None:
        return values.ftp.tls
    return "off" if values.tls is None else "required"


def certificatesFor(values: Configuration) -> CertificateStore | None:
    """
    The certificates that the listeners need; L{None} if none of them speaks TLS.

    @raise ConfigurationError: they cannot be used.
    """
    if effectiveTLS(values) == "off" and not values.ftp.implicit_tls:
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
    if values.ftp.tls_sessions == "require" and not resumptionIsSeen(store):
        raise ConfigurationError(
            "ftp.tls_sessions: found 'require', but the installed TLS library does not"
            " let us see whether a session was resumed"
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
