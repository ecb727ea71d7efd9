"""
Authorities and revocation lists of client certificates, from files.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from filehub.clienttrust import ClientTrust
from filehub.errors import ConfigurationError
from tests.certauthority import Authority, Issued


class ClientTrustTests(SynchronousTestCase):
    """L{ClientTrust}."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.authority = Authority()
        self.good, self.bad = self.authority.issue("good"), self.authority.issue("bad")
        self.ca = self.authority.write(self.folder / "ca.pem")
        self.seen: list[Any] = []
        self.patch(ClientTrust, "_log", Logger("x", observer=self.seen.append))

    def stands(self, trust: ClientTrust, issued: Issued) -> bool:
        return trust.isStanding(issued.certificate, isClient=True)

    def test_withoutList(self) -> None:
        """Nobody is revoked where nobody says so."""
        self.assertTrue(self.stands(ClientTrust.load(self.ca), self.bad))

    def test_revoked(self) -> None:
        """Whoever is on the list is out, in PEM and in DER."""
        pem = self.authority.writeRevocations(self.folder / "pem", self.bad)
        der = self.folder / "der"
        der.write_bytes(
            self.authority.revocations(self.bad).public_bytes(serialization.Encoding.DER)
        )
        for path in (pem, der):
            trust = ClientTrust.load(self.ca, path)
            self.assertTrue(self.stands(trust, self.good))
            self.assertFalse(self.stands(trust, self.bad))
            self.assertTrue(trust.isStanding(self.authority.certificate, isClient=False))

    def test_twoLists(self) -> None:
        """Several lists of one authority all count."""
        one = self.authority.writeRevocations(self.folder / "one", self.good)
        two = self.authority.writeRevocations(self.folder / "two", self.bad)
        both = self.folder / "both"
        both.write_bytes(one.read_bytes() + two.read_bytes())
        trust = ClientTrust.load(self.ca, both)
        self.assertFalse(self.stands(trust, self.good))
        self.assertFalse(self.stands(trust, self.bad))

    def test_outOfDate(self) -> None:
        """A list that should have been replaced vouches for nobody; that is said once."""
        path = self.authority.writeRevocations(self.folder / "crl", due=-timedelta(hours=1))
        trust = ClientTrust.load(self.ca, path)
        for _ in range(3):
            self.assertFalse(self.stands(trust, self.good))
        self.assertEqual(len(self.seen), 1)

    def test_missing(self) -> None:
        """With a list of one authority, clients of another that has none are refused."""
        other = Authority("Other CA")
        self.ca.write_bytes(self.ca.read_bytes() + other.write(self.folder / "o").read_bytes())
        path = self.authority.writeRevocations(self.folder / "crl")
        trust = ClientTrust.load(self.ca, path)
        self.assertFalse(self.stands(trust, other.issue("x")))
        self.assertTrue(self.stands(trust, self.good))

    def test_mistakes(self) -> None:
        """Missing files, other files, lists of strangers and forged ones: one line each."""
        garbage = self.folder / "garbage"
        garbage.write_text("nothing")
        stranger = Authority("Stranger").writeRevocations(self.folder / "stranger")
        forged = Authority("Test CA").writeRevocations(self.folder / "forged")
        for arguments, expected in (
            ((self.folder / "none",), "No such file"),
            ((garbage,), "found no PEM certificate"),
            ((self.ca, self.folder / "none"), "No such file"),
            ((self.ca, garbage), "found no revocation list"),
            ((self.ca, stranger), "revocation list of CN=Stranger"),
            ((self.ca, forged), "an authority of client_ca has signed"),
        ):
            with self.assertRaises(ConfigurationError) as caught:
                ClientTrust.load(*arguments)
            self.assertIn(expected, str(caught.exception))
            self.assertEqual(len(str(caught.exception).splitlines()), 1)
