"""
Certificates: read, chosen, renewed, and what is wrong with them.
"""

from __future__ import annotations

import os
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from filehub.certificates import (
    CertificateStore,
    TLSPolicy,
    loadCertificate,
    makeSelfSigned,
)
from filehub.errors import ConfigurationError

YEAR = timedelta(days=365)


class CertificateCase(SynchronousTestCase):
    """Files with certificates."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.seen: list[Any] = []
        self.patch(CertificateStore, "_log", Logger("x", observer=self.seen.append))

    def make(self, name: str, *names: str, lifetime: timedelta = YEAR) -> Path:
        """One that vouches for itself."""
        path = self.folder / name
        makeSelfSigned(path, names or ("localhost",), lifetime)
        return path

    def refused(self, *arguments: Any) -> str:
        """Why a store cannot be made of it."""
        with self.assertRaises(ConfigurationError) as caught:
            CertificateStore(*arguments)
        text = str(caught.exception)
        self.assertEqual(len(text.splitlines()), 1, text)
        return text

    def warnings(self) -> list[str]:
        """Formats of what was logged."""
        return [record["log_format"] for record in self.seen]


class FileTests(CertificateCase):
    """What is read from files, and written."""

    def test_selfSigned(self) -> None:
        """Key and certificate in one file for its owner alone; nothing is left beside it."""
        path = self.make("pem", "Files.example", "localhost")
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        self.assertEqual([each.name for each in self.folder.iterdir()], ["pem"])
        found = loadCertificate(path, path)
        self.assertEqual(found.names, ("files.example", "localhost"))
        self.assertRegex(found.fingerprint, r"^([0-9A-F]{2}:){31}[0-9A-F]{2}$")

    def test_longName(self) -> None:
        """A host name that is too long for a common name is no obstacle."""
        name = "x" * 60 + ".example.org"
        path = self.make("pem", name)
        self.assertTrue(loadCertificate(path, path).fits(name))

    def test_mistakes(self) -> None:
        """Missing, unreadable as PEM, without key, with another's key: one line each."""
        good, other = self.make("good"), self.make("other")
        pem = good.read_text()
        start = pem.index("-----BEGIN CERTIFICATE")
        bare = self.folder / "bare"
        bare.write_text(pem[start:])
        garbage = self.folder / "garbage"
        garbage.write_text("nothing\n")
        for arguments, expected in (
            ((self.folder / "none",), "none: No such file or directory"),
            ((garbage,), "found no PEM certificate"),
            ((bare,), "bare: found no usable private key"),
            ((good, garbage), "garbage: found no usable private key"),
            ((good, self.folder / "none"), "none: No such file or directory"),
            ((good, other), f"the key does not belong to {good}"),
        ):
            text = self.refused(*arguments)
            self.assertIn(expected, text)
            self.assertNotIn("PRIVATE", text)
        self.assertEqual(CertificateStore(bare, good).default.origin, bare)

    def test_emptyFolder(self) -> None:
        """A folder needs a file."""
        (self.folder / "empty").mkdir()
        self.assertIn("found no *.pem file", self.refused(self.folder / "empty"))

    def test_secrets(self) -> None:
        """The key does not show in what a certificate looks like."""
        path = self.make("pem")
        self.assertNotIn("PRIVATE", repr(loadCertificate(path, path)))


class ChoiceTests(CertificateCase):
    """Which certificate for which name."""

    def setUp(self) -> None:
        super().setUp()
        self.make("1.pem", "first.example")
        self.make("2.pem", "*.second.example", "second.example")
        (self.folder / "notes.txt").write_text("no certificate")

    def chosen(self, store: CertificateStore, name: bytes) -> str | None:
        """The file of the certificate."""
        context = store.contextForName(name)
        if context is None:
            return None
        (origin,) = [
            certificate.origin.name
            for certificate, each in store._loaded.contexts.items()
            if each is context
        ]
        return origin

    def test_names(self) -> None:
        """Exact names and one label of a wildcard, in any case; else the default."""
        store = CertificateStore(self.folder)
        self.assertEqual(store.default.origin.name, "1.pem")
        for name, expected in (
            (b"first.example", "1.pem"), (b"FIRST.example", "1.pem"), (b"second.example", "2.pem"),
            (b"a.second.example", "2.pem"), (b"a.b.second.example", None),
            (b"first.example.org", None), (b"", None), (b"\xff", None), (b"*", None),
        ):  # fmt: skip
            self.assertEqual(self.chosen(store, name), expected, name)

    def test_strict(self) -> None:
        """Whoever insists gets names that are there, or none."""
        store = CertificateStore(self.folder, None, TLSPolicy(strictNames=True))
        self.assertEqual(self.chosen(store, b"first.example"), "1.pem")
        with self.assertRaises(LookupError):
            store.contextForName(b"other.example")

    def test_protocols(self) -> None:
        """A client that names FTP among its protocols gets it; one that names others fails."""
        policy = TLSPolicy()
        self.assertEqual(policy.selectProtocol(None, [b"h2", b"ftp"]), b"ftp")
        with self.assertRaises(SSL.Error):
            policy.selectProtocol(None, [b"h2", b"http/1.1"])

    def test_prepare(self) -> None:
        """A context gets the minimum version and no renegotiation; certificates are shared."""
        for minimum in ("1.2", "1.3"):
            context = SSL.Context(SSL.TLS_SERVER_METHOD)
            store = CertificateStore(self.folder, None, TLSPolicy(minimum=minimum))
            store.prepare(context)
            self.assertTrue(context.set_options(0) & SSL.OP_NO_RENEGOTIATION)
            connection = SSL.Connection(context, None)
            self.assertIsNone(connection.get_certificate())
            connection.set_context(store.defaultContext)
            self.assertIsNotNone(connection.get_certificate())
            self.assertNotIn("AES128-SHA", connection.get_cipher_list())


class RenewalTests(CertificateCase):
    """Files that change."""

    def replace(self, path: Path, *names: str) -> None:
        """A new certificate, of another time in any case."""
        makeSelfSigned(path, names, YEAR)
        os.utime(path, ns=(1, self.stamp))
        self.stamp += 1

    stamp = 1

    def test_reload(self) -> None:
        """A changed file is read once; contexts that are in use stay what they are."""
        path = self.make("pem", "old.example")
        store = CertificateStore(path)
        old = store.contextForName(b"old.example")
        self.assertFalse(store.reloadIfChanged())
        self.replace(path, "new.example")
        self.assertTrue(store.reloadIfChanged())
        self.assertFalse(store.reloadIfChanged())
        self.assertEqual(store.default.names, ("new.example",))
        self.assertIsNone(store.contextForName(b"old.example"))
        self.assertIsNotNone(old)

    def test_broken(self) -> None:
        """A file that cannot be used is complained of once; the old certificate stays."""
        path = self.make("pem", "old.example")
        store = CertificateStore(path)
        path.write_text("half a certifi")
        for _ in range(3):
            self.assertFalse(store.reloadIfChanged())
        path.unlink()
        for _ in range(3):
            self.assertFalse(store.reloadIfChanged())
        self.assertEqual(self.warnings(), ["certificates not reloaded: {error}"] * 2)
        self.assertEqual(store.default.names, ("old.example",))
        self.replace(path, "new.example")
        self.assertTrue(store.reloadIfChanged())
        self.assertEqual(store.default.names, ("new.example",))

    def test_keyAlone(self) -> None:
        """A certificate and a key that do not fit for a moment: the old ones stay."""
        path, key = self.make("pem", "old.example"), self.make("key", "old.example")
        key.write_text(path.read_text())
        store = CertificateStore(path, key)
        self.replace(path, "new.example")
        self.assertFalse(store.reloadIfChanged())
        self.assertEqual(store.default.names, ("old.example",))
        key.write_text(path.read_text())
        self.assertTrue(store.reloadIfChanged())
        self.assertEqual(store.default.names, ("new.example",))

    def test_folder(self) -> None:
        """A file that is added to a folder is found, one that is removed is gone."""
        first = self.make("1.pem", "one.example")
        self.make("2.pem", "two.example")
        store = CertificateStore(self.folder)
        self.make("3.pem", "three.example")
        self.assertTrue(store.reloadIfChanged())
        self.assertIsNotNone(store.contextForName(b"three.example"))
        first.unlink()
        self.assertTrue(store.reloadIfChanged())
        self.assertEqual(store.default.names, ("two.example",))

    def test_expiry(self) -> None:
        """A certificate that is about to end is complained of once."""
        store = CertificateStore(self.make("pem", lifetime=timedelta(days=20)))
        store.reloadIfChanged()
        self.assertEqual(self.warnings(), ["certificate {path} expires on {date:%Y-%m-%d}"])
        self.seen.clear()
        CertificateStore(self.make("other", lifetime=timedelta(days=22)))
        self.assertEqual(self.seen, [])
