"""
Virtual hosts (RFC 7151).
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from filehub.protocols.ftp.hosts import VirtualHost, followServerName
from filehub.protocols.ftp.settings import FTPSettings
from filehub.vfs.memory import MemoryTree
from tests.protocols.ftp.doubles import Client, Users


class Named:
    """The TLS identity of a client that named a host."""

    isCleared = False
    clientCertificate = None

    def __init__(self, serverName: bytes | None) -> None:
        self.serverName = serverName


class HostTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree = MemoryTree()
        self.tree.putFile("/acme", b"x")
        self.users = Users(self.tree.viewFor("ann"))
        self.settings = FTPSettings(banner="Default.")
        self.client = self.connect()

    def connect(self, **keywords: Any) -> Client:
        hosts = [
            VirtualHost(
                ("acme.example.org", "ftp.acme.example"),
                FTPSettings(banner="Acme.", charset="iso8859-1"),
                self.users,
            ),
            VirtualHost(("other.example.org",), FTPSettings(banner="Other."), Users(None)),
        ]
        return Client(self.settings, hosts=hosts, **keywords)

    def session(self, client: Client | None = None) -> Any:
        return (client or self.client).protocol._session

    def test_choice(self) -> None:
        """HOST gives the host's own greeting, settings and accounts; case does not count."""
        self.assertEqual(self.client.greeting, b"220 Default.\r\n")
        self.assertIn(b" HOST\r\n", self.client.say("FEAT"))
        for name in ("acme.example.org", "ACME.Example.ORG", "ftp.acme.example."):
            self.assertEqual(self.client.say(f"HOST {name}"), b"220 Acme.\r\n")
        self.assertNotIn(b"UTF8", self.client.say("FEAT"))
        self.client.logIn()
        self.assertEqual(self.client.retrieve("NLST")[1], b"acme\r\n")
        self.assertEqual(len(self.users.asked), 1)
        self.assertEqual(self.client.users.asked, [])

    def test_replies(self) -> None:
        """501 for no name, 504 for an unknown one, 503 once a login has begun."""
        for line in ("HOST", "HOST a b", "HOST -x", "HOST a..b", "HOST \u00e4.org",
                     "HOST [1.2.3.4]", "HOST " + "a" * 300, "HOST [::1"):  # fmt: skip
            self.assertEqual(self.connect().code(line), 501, line)
        self.assertEqual(self.client.codes(["HOST nobody.example", "HOST 203.0.113.9"]), [504, 504])
        lines = ["USER ann", "HOST acme.example.org", "PASS secret", "HOST acme.example.org"]
        self.assertEqual(self.client.codes(lines), [331, 503, 230, 503])
        self.assertEqual(Client().code("HOST acme.example.org"), 502)

    def test_address(self) -> None:
        """An address that is this server's is the default host."""
        self.client.code("HOST acme.example.org")
        self.assertEqual(self.client.say("HOST 192.0.2.254"), b"220 Default.\r\n")
        six = self.connect(peer="2001:db8::1", local="2001:db8::2")
        self.assertEqual(six.codes(["HOST [2001:DB8::2]", "HOST [2001:db8::3]"]), [220, 504])

    def test_again(self) -> None:
        """The last HOST counts; REIN forgets it; USER does not."""
        self.client.codes(["HOST other.example.org", "HOST acme.example.org"])
        self.client.logIn()
        self.client.code("USER ann")
        self.assertEqual(self.session().listener.settings.banner, "Acme.")
        self.client.code("REIN")
        self.assertEqual(self.session().listener.settings.banner, "Default.")
        self.assertEqual(self.client.code("HOST other.example.org"), 220)

    def test_serverName(self) -> None:
        """The name of the TLS handshake chooses, and HOST has to agree."""
        self.session().tls = Named(b"Acme.example.org")
        followServerName(self.session())
        self.assertEqual(self.session().listener.settings.banner, "Acme.")
        self.assertEqual(
            self.client.codes(
                ["HOST other.example.org", "HOST 192.0.2.254", "HOST ftp.acme.example", "REIN"]
            ),
            [504, 504, 220, 220],
        )
        self.assertEqual(self.session().listener.settings.banner, "Acme.")

    def test_otherServerName(self) -> None:
        """A name that no host has, or none, chooses nothing and hinders nothing."""
        for name in (None, b"elsewhere.example", b"\xff"):
            client = self.connect()
            self.session(client).tls = Named(name)
            self.assertEqual(client.code("HOST acme.example.org"), 220)
