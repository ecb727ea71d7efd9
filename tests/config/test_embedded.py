"""
The server without a configuration file.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.internet.address import UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts import hashes
from filehub.config.embedded import embeddedConfiguration, welcome
from filehub.errors import ConfigurationError
from filehub.permissions import formatPermissions
from filehub.tap import DEFAULT_LISTENERS, Options
from tests.accounts.doubles import CHEAP


class EmbeddedTests(SynchronousTestCase):
    """L{embeddedConfiguration}."""

    def setUp(self) -> None:
        self.patch(hashes, "_HASHER", CHEAP)
        self.root = Path(self.mktemp()).absolute()
        self.root.mkdir(parents=True)

    def values(self, *arguments: str) -> Any:
        """What these arguments mean."""
        options = Options()
        options.parseOptions(["--root", str(self.root), *arguments])
        return embeddedConfiguration(options, DEFAULT_LISTENERS).values

    def refused(self, *arguments: str) -> str:
        """Why they cannot be used."""
        with self.assertRaises(ConfigurationError) as caught:
            self.values(*arguments)
        return str(caught.exception)

    def letters(self, rules: Any) -> dict[str, str]:
        """Rules as text."""
        return {str(rule.path): formatPermissions(rule.allow) for rule in rules}

    def test_defaults(self) -> None:
        """Read-only, to anybody, on loopback only."""
        values = self.values()
        self.assertEqual(values.ftp.listen, ["tcp:2121:interface=127.0.0.1"])
        self.assertEqual(values.tftp.listen, ["udp:6969:interface=127.0.0.1"])
        self.assertEqual(values.rfc913.listen, ["tcp:1150:interface=127.0.0.1"])
        self.assertTrue(values.anonymous.enabled)
        self.assertEqual(self.letters(values.anonymous.rule), {"/": "elr"})
        self.assertEqual(values.tftp.write, "deny")
        self.assertEqual([mount.source for mount in values.mount], [self.root])
        self.assertEqual(values.mount[0].links, "refuse")

    def test_network(self) -> None:
        """TFTP clients from anywhere are an account that nobody logs in as."""
        values = self.values()
        self.assertEqual({str(each.address) for each in values.network}, {"0.0.0.0/0", "::/0"})
        (user,) = values.user
        self.assertEqual({each.account for each in values.network}, {user.name})
        self.assertIsNone(user.password)
        self.assertEqual(self.letters(user.rule), {"/": "elr"})

    def test_writable(self) -> None:
        """Whoever may read may write, by TFTP too."""
        values = self.values("--writable")
        for rules in (values.anonymous.rule, *(user.rule for user in values.user)):
            self.assertEqual(self.letters(rules), {"/": "elradfmwMT"})
        self.assertEqual(values.tftp.write, "overwrite")

    def test_users(self) -> None:
        """With users nobody is anonymous; passwords are hashed, colons and all."""
        values = self.values("--user", "ann:a:b", "--user", "bob:x")
        self.assertFalse(values.anonymous.enabled)
        ann, bob, _ = values.user
        self.assertEqual((ann.name, bob.name), ("ann", "bob"))
        self.assertTrue(CHEAP.verify(ann.password, "a:b"))
        self.assertEqual(self.letters(ann.rule), {"/": "elr"})

    def test_listeners(self) -> None:
        """One listener given: only that protocol is served."""
        values = self.values("--ftp", "tcp:21", "--ftp", "tcp:2100")
        self.assertEqual(values.ftp.listen, ["tcp:21", "tcp:2100"])
        self.assertEqual((values.tftp.listen, values.rfc913.listen), ([], []))

    def test_mistakes(self) -> None:
        """What cannot be used is told in a line, without the password."""
        self.assertIn("'/none/such', expected an existing", self.refused("--root", "/none/such"))
        for name in ("anonymous", "FTP", "network", "a/b", "a\nb"):
            text = self.refused("--user", f"{name}:hunter2")
            self.assertNotIn("hunter2", text)
            self.assertEqual(len(text.splitlines()), 1, text)
        self.assertIn("'ann' a second time", self.refused("--user", "ann:x", "--user", "ann:y"))
        self.assertIn("--user: password", self.refused("--user", "ann:" + "x" * 2000))


class _Port:
    """A port that is bound."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port

    def getHost(self) -> Any:
        return self


class _Listener:
    """One that listens."""

    factory = None

    def __init__(self, host: str, port: int) -> None:
        self.port = _Port(host, port)


class WelcomeTests(SynchronousTestCase):
    """L{welcome}."""

    def text(self, *arguments: str, host: str = "127.0.0.1") -> str:
        """What is printed."""
        options = Options()
        options.parseOptions(list(arguments))

        class Service:
            """Has listeners."""

            listeners = (_Listener(host, 2121),)

        return welcome(Service(), options)

    def test_readOnly(self) -> None:
        """Says where, for whom, what to try, and what else there is."""
        text = self.text()
        self.assertIn("to anonymous, read-only", text)
        self.assertIn("curl ftp://127.0.0.1:2121/", text)
        self.assertIn("--writable", text)

    def test_users(self) -> None:
        """Names a user, not the password."""
        text = self.text("--user", "ann:hunter2", "--writable")
        self.assertIn("to the users given, read and write", text)
        self.assertIn("curl --user ann ftp://", text)
        self.assertNotIn("hunter2", text)

    def test_unix(self) -> None:
        """A socket in the file system has no URL; it is named."""

        class Service:
            """Has one listener."""

            listeners = (
                SimpleNamespace(
                    port=SimpleNamespace(getHost=lambda: UNIXAddress(b"/run/ftp")),
                    factory=None,
                    description="unix:/run/ftp",
                ),
            )

        options = Options()
        options.parseOptions([])
        self.assertIn("\n  unix:/run/ftp\n", welcome(Service(), options))

    def test_places(self) -> None:
        """IPv6 in brackets; every address is called localhost."""
        self.assertIn("ftp://[::1]:2121/", self.text(host="::1"))
        self.assertIn("ftp://localhost:2121/", self.text(host="0.0.0.0"))
        self.assertIn("ftp://localhost:2121/", self.text(host="::"))
