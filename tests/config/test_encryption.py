"""
Which listeners speak TLS, with what.
"""

from __future__ import annotations

import socket
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import Logger, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from filehub.certificates import makeSelfSigned
from filehub.config import encryption, storages
from filehub.config.building import buildService
from filehub.config.encryption import CertificateWatch, certificatesFor, effectiveTLS
from filehub.config.loading import loadConfiguration
from filehub.config.schema import Configuration
from filehub.errors import ConfigurationError
from tests.config.doubles import Reactor, Trees


class EncryptionTests(SynchronousTestCase):
    """From keys to certificates."""

    def setUp(self) -> None:
        self.patch(socket, "getfqdn", lambda: "files.example")
        self.seen: list[Any] = []
        self.patch(encryption, "_log", Logger("x", observer=self.seen.append))
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.pem = self.folder / "server.pem"

    def values(self, **sections: Any) -> Configuration:
        """A configuration."""
        return Configuration.model_validate(sections)

    def test_effective(self) -> None:
        """What [ftp] says; else required where there is a certificate, off where none is."""
        tls = {"certificate": str(self.pem)}
        for sections, expected in (
            ({}, "off"),
            ({"tls": tls}, "required"),
            ({"tls": {}}, "required"),
            ({"tls": tls, "ftp": {"tls": "optional"}}, "optional"),
            ({"tls": tls, "ftp": {"tls": "off"}}, "off"),
            ({"ftp": {"tls": "required"}}, "required"),
        ):
            self.assertEqual(effectiveTLS(self.values(**sections)), expected, sections)

    def test_none(self) -> None:
        """Without TLS no certificate is looked at."""
        self.assertIsNone(certificatesFor(self.values()))
        tls = {"certificate": "/none/such"}
        self.assertIsNone(certificatesFor(self.values(tls=tls, ftp={"tls": "off"})))

    def test_configured(self) -> None:
        """The certificate of the file; implicit TLS alone needs it, too."""
        makeSelfSigned(self.pem, ["own.example"], timedelta(days=90))
        tls = {"certificate": str(self.pem)}
        for ftp in ({}, {"tls": "off", "implicit_tls": ["tcp:990"]}):
            store = certificatesFor(self.values(tls=tls, ftp=ftp))
            assert store is not None
            self.assertEqual(store.default.names, ("own.example",))
        self.assertEqual(self.seen, [])

    def test_unusable(self) -> None:
        """A file that is no certificate is a mistake of the operator's."""
        self.pem.write_text("nothing")
        with self.assertRaises(ConfigurationError):
            certificatesFor(self.values(tls={"certificate": str(self.pem)}))

    def test_made(self) -> None:
        """Without one it is made in the state folder, told with its fingerprint, and kept."""
        state = self.folder / "state" / "deep"
        sections = {"server": {"state": str(state)}, "ftp": {"tls": "required"}}
        first = certificatesFor(self.values(**sections))
        again = certificatesFor(self.values(**sections))
        assert first is not None
        assert again is not None
        self.assertEqual(first.default.names, ("files.example", "localhost"))
        self.assertEqual(first.default.fingerprint, again.default.fingerprint)
        self.assertEqual(stat.S_IMODE(state.stat().st_mode), 0o700)
        self.assertIn(first.default.fingerprint, formatEvent(self.seen[0]))

    def test_tickets(self) -> None:
        """Where reuse is required and tickets cannot be renewed, that is said at start."""
        makeSelfSigned(self.pem, ["own.example"], timedelta(days=90))
        tls = {"certificate": str(self.pem)}
        for possible, sessions, expected in (
            (True, "require", 0), (False, "prefer", 0), (False, "require", 1),
        ):  # fmt: skip
            self.patch(encryption, "canRenewTickets", lambda known=possible: known)
            self.seen.clear()
            certificatesFor(self.values(tls=tls, ftp={"tls_sessions": sessions}))
            self.assertEqual(len(self.seen), expected, (possible, sessions))

    def test_cannotBeMade(self) -> None:
        """Without a folder, or one that cannot be made, that is said."""
        with self.assertRaises(ConfigurationError) as caught:
            certificatesFor(self.values(ftp={"tls": "required"}))
        self.assertIn("tls.certificate: found nothing", str(caught.exception))
        self.pem.write_text("a file")
        with self.assertRaises(ConfigurationError) as caught:
            certificatesFor(
                self.values(ftp={"tls": "required"}, server={"state": str(self.pem / "x")})
            )
        self.assertIn("cannot be made: Not a directory", str(caught.exception))

    def test_built(self) -> None:
        """
        Explicit and implicit listeners differ in when TLS begins and in nothing else; what
        is not FTP has none.
        """
        makeSelfSigned(self.pem, ["own.example"], timedelta(days=90))
        self.patch(storages, "LocalTree", Trees())
        path = self.folder / "filehub.toml"
        path.write_text(
            f'[tls]\ncertificate = "{self.pem}"\n'
            '[ftp]\nlisten = ["tcp:21"]\nimplicit_tls = ["tcp:990"]\nclose_notify = "off"\n'
            f'[[mount]]\npath = "/"\nsource = "{self.folder.as_uri()}"\n'
        )
        service = buildService(Reactor(), loadConfiguration(path))
        service._furnishOnce()
        explicit, implicit = service.listeners
        self.assertEqual((explicit.description, implicit.description), ("tcp:21", "tcp:990"))
        self.assertEqual(
            [(each.factory.settings.tls, each.factory.settings.implicitTLS,
              each.factory.settings.closeNotify) for each in service.listeners],
            [("required", False, "off"), ("required", True, "off")],
        )  # fmt: skip
        self.assertIs(
            explicit.factory.listener.certificates, implicit.factory.listener.certificates
        )
        self.assertIs(explicit.factory.listener.portal, implicit.factory.listener.portal)


class _Store:
    """Counts how often it is asked."""

    asked = 0

    def reloadIfChanged(self) -> bool:
        self.asked += 1
        return False


class WatchTests(SynchronousTestCase):
    """L{CertificateWatch}."""

    def test_rhythm(self) -> None:
        """The files are looked at every two seconds while the service runs."""
        clock, store = Clock(), _Store()
        watch = CertificateWatch(clock, store)
        self.assertEqual(store.asked, 0)
        watch.startService()
        clock.pump([1.0] * 10)
        self.assertEqual(store.asked, 6)
        watch.stopService()
        clock.pump([1.0] * 10)
        self.assertEqual(store.asked, 6)
        self.assertEqual(clock.getDelayedCalls(), [])
