"""
C{[[source]]}: what may be written, and what of it is shown.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from filehub.config.sources import Source, buildSource


def source(**keys: Any) -> Source:
    return Source.model_validate(keys)


class SourceTests(SynchronousTestCase):
    """L{Source}."""

    def complaint(self, **keys: Any) -> str:
        with self.assertRaises(ValidationError) as caught:
            source(**keys)
        return str(caught.exception)

    def test_clear(self) -> None:
        """Passwords leave the machine encrypted only, whatever a host's name begins with."""
        for host in ("127.0.0.1", "localhost:8080", "[::1]:1", "me@localhost"):
            self.assertTrue(source(type="http", url=f"http://{host}/check").isLocal)
        for host in (
            "example.org", "127.0.0.1.example.org", "localhost.example.org",
            "localhost@example.org", "[::2]", "127.0.0.2.nip.example",
        ):  # fmt: skip
            self.assertIn("expected https://", self.complaint(type="http", url=f"http://{host}/"))

    def test_schemes(self) -> None:
        """Each type has its own addresses and keys."""
        for keys, words in (
            ({"type": "ldap", "url": "http://x", "base": "dc=x"}, "ldap:// or ldaps://"),
            ({"type": "ldap", "url": "ldap://x", "base": "dc=x", "filter": "(uid=x)"}, "{name}"),
            ({"type": "ldap", "url": "ldap://x"}, "expected base"),
            ({"type": "pam", "url": "ldap://x"}, "expected no url"),
            ({"type": "sqlite", "file": "x", "groups": ["staff"]}, "expected no groups"),
            ({"type": "program", "command": []}, "expected a program"),
            ({"type": "pam", "home": "/home/../%u"}, "absolute virtual path"),
            ({"type": "http", "url": "https://[x"}, "url"),
            ({"type": "ldap", "url": "ldap://", "base": "dc=x"}, "the name of a host"),
        ):
            self.assertIn(words, self.complaint(**keys))

    def test_encrypted(self) -> None:
        """What is certain to be encrypted, and verified."""
        ldap = {"type": "ldap", "base": "dc=x"}
        for keys, encrypted, local in (
            ({**ldap, "url": "ldap://x"}, False, False),
            ({**ldap, "url": "ldap://x", "start_tls": True}, True, False),
            ({**ldap, "url": "ldaps://x"}, True, False),
            ({**ldap, "url": "ldap://127.0.0.1:389"}, False, True),
            ({"type": "postgresql", "url": "postgresql://me:it@x/db"}, False, False),
            ({"type": "postgresql", "url": "postgresql://x/db?sslmode=require"}, False, False),
            ({"type": "postgresql", "url": "postgresql://x/db?sslmode=verify-full"}, True, False),
            ({"type": "postgresql", "url": "postgresql:///db"}, False, True),
            ({"type": "postgresql", "url": "postgresql:///db?host=/run/x"}, False, True),
            ({"type": "postgresql", "url": "postgresql:///db?host=x"}, False, False),
        ):
            found = source(**keys)
            self.assertEqual((found.isEncrypted, found.isLocal), (encrypted, local), keys)

    def test_places(self) -> None:
        """Where it is, without a secret of its address."""
        for keys, place in (
            ({"type": "postgresql", "url": "postgresql://me:it@x:1/db"}, "postgresql://x"),
            ({"type": "postgresql", "url": "postgresql:///db"}, "postgresql://(this machine)"),
            ({"type": "http", "url": "https://me:it@x/?token=t"}, "https://x"),
            ({"type": "sqlite", "file": "/x.db"}, "/x.db"),
            ({"type": "program", "command": ["/bin/x", "y"]}, "/bin/x y"),
            ({"type": "pam"}, "filehub"),
        ):
            self.assertEqual(source(**keys).place, place)

    def test_started(self) -> None:
        """A server that is down, or will be, is no reason not to start."""
        for keys in (
            {"type": "postgresql", "url": "postgresql://127.0.0.1:1/db"},
            {"type": "ldap", "url": "ldap://127.0.0.1:1", "base": "dc=x"},
            {"type": "pam"},
            {"type": "http", "url": "https://127.0.0.1:1/"},
        ):
            built = buildSource(MemoryReactorClock(), source(**keys), lambda *_: None)  # type: ignore
            self.assertNotEqual(built.stored, built.login)
            built.stop()
