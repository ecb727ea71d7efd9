"""
From the file to the server: without sockets, threads and time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.cred.credentials import Anonymous, UsernamePassword
from twisted.cred.error import UnauthorizedLogin, UnhandledCredentials
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts import hashes, passwords
from filehub.accounts.guard import Denial
from filehub.config import storages
from filehub.config.building import buildService
from filehub.config.loading import loadConfiguration
from filehub.credentials import AccountPassword, AccountRequired, Address, PeerAddress
from filehub.errors import ConfigurationError, PermissionDenied
from filehub.interfaces import IFileAccount
from filehub.protocols.ftp.server import FTPFactory
from filehub.protocols.rfc913.server import RFC913Factory
from filehub.protocols.tftp.server import TFTPService
from filehub.service import FileHubService
from tests.accounts.doubles import CHEAP, Threads, at, connection, now
from tests.config.doubles import Reactor, Trees

USERS = f"""
[[group]]
name = "staff"
[[group.rule]]
path = "/"
allow = "elr"
[[user]]
name = "ann"
password = "{CHEAP.hash(b"sesame")}"
groups = ["staff"]
home = "/home"
sessions = 3
[[user.rule]]
path = "/home"
allow = "elrw"
[[user]]
name = "acct"
password = "{CHEAP.hash(b"sesame")}"
account = "{CHEAP.hash(b"billing")}"
[[user]]
name = "gone"
enabled = false
password = "{CHEAP.hash(b"sesame")}"
[[user]]
name = "netboot"
[[user.rule]]
path = "/boot"
allow = "r"
[[network]]
address = "10.0.0.0/8"
account = "netboot"
protocols = ["tftp"]
"""


class BuildingCase(SynchronousTestCase):
    """Configurations that are built."""

    def setUp(self) -> None:
        self.threads = Threads()
        self.patch(hashes, "_HASHER", CHEAP)
        self.patch(passwords, "deferToThreadPool", self.threads.defer)
        self.trees = Trees()
        self.patch(storages, "LocalTree", self.trees)
        self.reactor = Reactor()
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.path = self.folder / "filehub.toml"

    def build(self, text: str) -> FileHubService:
        """The service, nothing started."""
        self.path.write_text(f'{text}\n[[mount]]\npath = "/"\nsource = "{self.folder.as_uri()}"\n')
        return buildService(self.reactor, loadConfiguration(self.path))

    def stop(self, service: FileHubService) -> None:
        """Stop it."""
        stopping = service.stopService()
        self.reactor.pump([0.05] * 3)
        self.successResultOf(stopping)


class ListenerTests(BuildingCase):
    """Ports and what is behind them."""

    def test_ports(self) -> None:
        """Each endpoint is bound where it says, before privileges are dropped."""
        service = self.build(
            '[ftp]\nlisten = ["tcp:21:interface=192.0.2.1", "tcp:2121"]\n[rfc913]\nlisten = '
            '["tcp:115:interface=\\\\:\\\\:1"]'
        )
        self.assertEqual(self.reactor.tcpServers, [])
        service.privilegedStartService()
        self.assertEqual(
            [(port, interface, type(factory)) for port, factory, _, interface in
             self.reactor.tcpServers],
            [(21, "192.0.2.1", FTPFactory), (2121, "", FTPFactory), (115, "::1", RFC913Factory)],
        )  # fmt: skip
        service.startService()
        self.assertEqual(len(self.reactor.tcpServers), 3)
        self.stop(service)

    def test_withoutPrivileges(self) -> None:
        """C{twist} starts without the privileged part, and everything is bound too."""
        service = self.build('[ftp]\nlisten = ["tcp:21"]')
        service.startService()
        self.assertEqual(len(self.reactor.tcpServers), 1)
        self.stop(service)

    def test_shared(self) -> None:
        """All listeners of a protocol share a factory, all protocols share one portal."""
        service = self.build(
            '[ftp]\nlisten = ["tcp:1", "tcp:2"]\n[rfc913]\nlisten = ["tcp:3"]\n'
            '[tftp]\nlisten = ["udp:4", "udp:5"]'
        )
        service._furnishOnce()
        one, two, three, four, five = service.listeners
        self.assertIs(one.factory, two.factory)
        self.assertIs(one.factory.listener.portal, three.factory.listener.portal)
        self.assertIsInstance(four, TFTPService)
        self.assertIsNot(four, five)

    def test_noSocketFromSystemd(self) -> None:
        """
        What only the daemon can find out: file, line, key, what was found; one line.
        """
        for text in ("systemd:domain=INET:index=7", "haproxy:systemd:domain=INET6:name=ftp"):
            service = self.build(f'\n[ftp]\nlisten = ["tcp:1",\n "{text}"]')
            with self.assertRaises(ConfigurationError) as caught:
                service._furnishOnce()
            self.assertEqual(
                str(caught.exception),
                f"{self.path}:3: ftp.listen: found {text!r},"
                " expected a socket that systemd hands over",
            )

    def test_settings(self) -> None:
        """What the file says arrives where it is used."""
        service = self.build(
            '[ftp]\nlisten = ["tcp:1"]\nbanner = "Hi"\npassive_ports = "5000-5009"\n'
            'external_address = "203.0.113.7"\nallow_fxp = true\nactive = false\nascii = "binary"\n'
            '[rfc913]\nlisten = ["tcp:2"]\naccounts = "required"\ngenerations = true\n'
            "lenient_framing = true\n"
            '[tftp]\nlisten = ["udp:3"]\nwrite = "create"\nsingle_port = true\nblksize = 1024\n'
            'windowsize = 8\nport_range = "6000-6009"\nbackslashes = false\n'
            '[limits]\nlogin = 11\nidle = 22\nstall = 33\n[server]\nname = "files.example"\n'
        )
        service._furnishOnce()
        ftp, rfc913, tftp = service.listeners
        found = ftp.factory.settings
        self.assertEqual(
            (found.banner, found.passivePorts, found.externalAddress, found.allowFXP, found.active,
             found.asciiConvert, found.tls, found.implicitTLS),
            ("Hi", range(5000, 5010), "203.0.113.7", True, False, False, "off", False),
        )  # fmt: skip
        self.assertEqual((found.loginTimeout, found.idleTimeout, found.stallTimeout), (11, 22, 33))
        found = rfc913.factory.listener.settings
        self.assertEqual(
            (found.hostName, found.accounts, found.generations, found.lenientFraming),
            ("files.example", "required", True, True),
        )
        self.assertEqual((found.loginTimeout, found.idleTimeout, found.stallTimeout), (11, 22, 33))
        found = tftp.settings
        self.assertEqual(
            (found.write, found.singlePort, found.portRange, found.maximumBlksize,
             found.maximumWindow, found.names.backslashes),
            ("create", True, (6000, 6009), 1024, 8, False),
        )  # fmt: skip

    def test_commands(self) -> None:
        """What an operator takes away, or lets go on for longer, is so."""
        service = self.build(
            '[ftp]\nlisten = ["tcp:1"]\nchecksums = false\ntells_version = true\n'
            'disabled_commands = ["rmda", "Site  Chmod"]\ntree_entries = 7\nmaximum_idle = 44\n'
        )
        service._furnishOnce()
        (ftp,) = service.listeners
        found = ftp.factory.settings
        self.assertEqual(
            (found.checksums, found.tellsVersion, found.maximumTreeEntries, found.maximumIdle),
            (False, True, 7, 44),
        )
        self.assertFalse({"RMDA", "HASH"} & set(ftp.factory.listener.verbs))
        self.assertNotIn("CHMOD", ftp.factory.listener.site)
        for name in ("USER", "QUIT", "BLAH", "SITE BLAH", "CHMOD"):
            with self.assertRaises(ConfigurationError, msg=name):
                self.build(f'[ftp]\nlisten = ["tcp:1"]\ndisabled_commands = ["{name}"]\n')

    def test_names(self) -> None:
        """Rules from the map file and the table, and clients' folders, reach the listener."""
        path = Path(self.mktemp())
        path.write_text("r ^one two\n")
        service = self.build(
            f'[tftp]\nlisten = ["udp:3"]\ncase = "any"\nrules = "{path}"\n'
            "client_roots = ['/clients/\\ip']\n"
            "[[tftp.rule]]\nmatch = 'two'\nreplace = 'three'\n"
            '[[tftp.client]]\naddress = "10.0.0.0/8"\nroot = "/ten"\n'
            '[[tftp.client]]\nmac = "52:54:00:12:34:56"\nroot = "/one"\n'
        )
        service._furnishOnce()
        found = service.listeners[0].settings.names
        self.assertEqual([each.pattern.text for each in found.rules.rules], ["^one", "two"])
        self.assertEqual(
            [each.root.text for each in found.roots], ["/one", "/ten", "/clients/\\ip"]
        )
        self.assertEqual(found.case, "any")


class MountTests(BuildingCase):
    """Folders and how they are served."""

    def test_options(self) -> None:
        """Each mount's keys arrive at its storage."""
        other = self.folder / "other"
        other.mkdir()
        service = self.build(
            '[ftp]\nlisten = ["tcp:1"]\n[[mount]]\npath = "/o"\n'
            f'source = "{other.as_uri()}"\nlinks = "within-root"\npartial = "delete"\n'
            'fsync = "commit"\n'
        )
        self.assertEqual(self.trees.made, {})
        service._furnishOnce()
        given = {
            folder: (options["links"], options["partial"], options["fsync"])
            for folder, options in self.trees.made.items()
        }
        self.assertEqual(
            given,
            {
                other: ("within-root", "delete", "commit"),
                self.folder: ("refuse", "owner", "off"),
            },
        )

    def test_readOnly(self) -> None:
        """A read-only mount takes nothing, whatever the rules say; others do."""
        other = self.folder / "other"
        other.mkdir()
        service = self.build(
            f'[ftp]\nlisten = ["tcp:1"]\n[[mount]]\npath = "/o"\nsource = "{other.as_uri()}"\n'
            'read_only = true\n[anonymous]\nenabled = true\n[[anonymous.rule]]\npath = "/"\n'
            'allow = "elradfmw"\n'
        )
        service._furnishOnce()
        portal = service.listeners[0].factory.listener.portal
        login = portal.login(Anonymous(), connection(), IFileAccount)
        _, account, _ = self.successResultOf(login)
        with self.assertRaises(PermissionDenied):
            now(account.fileSystem.makeDirectory(at("/o/new")))
        now(account.fileSystem.makeDirectory(at("/new")))
        self.assertEqual(list(self.trees.trees[other].root.children), [])
        self.assertEqual(list(self.trees.trees[self.folder].root.children), ["new"])

    def test_life(self) -> None:
        """Storages are swept at the start and every hour, and closed at the end."""
        calls: list[str] = []

        async def sweep() -> None:
            calls.append("sweep")

        async def close() -> None:
            calls.append("close")

        service = self.build('[ftp]\nlisten = ["tcp:1"]')
        service._furnishOnce()
        tree = self.trees.trees[self.folder]
        tree.sweep, tree.close = sweep, close
        service.privilegedStartService()
        service.startService()
        self.assertEqual(calls, ["sweep"])
        self.reactor.advance(3600)
        self.assertEqual(calls, ["sweep", "sweep"])
        self.stop(service)
        self.assertEqual(calls, ["sweep", "sweep", "close"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class AccountTests(BuildingCase):
    """Who may log in, and do what."""

    def portal(self, text: str = "") -> Any:
        """The portal of all protocols."""
        service = self.build(f'[ftp]\nlisten = ["tcp:1"]\n{USERS}\n{text}')
        service._furnishOnce()
        tree = self.trees.trees[self.folder]
        tree.putDirectory("/home")
        tree.putDirectory("/pub")
        return service.listeners[0].factory.listener.portal

    def login(self, portal: Any, credentials: Any) -> Deferred[Any]:
        """Ask, and let the threads work."""
        asking: Deferred[Any] = portal.login(credentials, connection(), IFileAccount)
        self.threads.runAll()
        return asking

    def test_user(self) -> None:
        """A user has home, rules, groups' rules and maximum as the file says."""
        asking = self.login(self.portal(), UsernamePassword(b"ann", b"sesame"))
        account = self.successResultOf(asking)[1]
        self.assertEqual((account.name, account.home), ("ann", at("/home")))
        self.assertEqual(account.permissionLetters(at("/x")), "elr")
        self.assertEqual(account.permissionLetters(at("/home/x")), "elrw")
        self.assertEqual(account.limits.maximumSessions, 3)
        self.assertIsNone(account.limits.download)

    def test_origin(self) -> None:
        """A denial's reason names file and line of the rule."""
        asking = self.login(self.portal(), UsernamePassword(b"ann", b"sesame"))
        account = self.successResultOf(asking)[1]
        with self.assertRaises(Denial) as caught:
            now(account.fileSystem.removeFile(at("/x")))
        lines = self.path.read_text().splitlines()
        line = lines.index("[[group.rule]]") + 1
        self.assertIn(f"({self.path}:{line})", caught.exception.reason)
        self.assertNotIn(str(self.folder), str(caught.exception))

    def test_refused(self) -> None:
        """Wrong, unknown, disabled, passwordless: the same answer after the same second."""
        portal = self.portal()
        for name, password in (
            (b"ann", b"wrong"), (b"nobody", b"sesame"), (b"gone", b"sesame"), (b"netboot", b""),
            (b"netboot", b"x"),
        ):  # fmt: skip
            asking = self.login(portal, UsernamePassword(name, password))
            self.assertNoResult(asking)
            self.reactor.pump([1] * (2 if (name, password) == (b"netboot", b"x") else 1))
            self.assertEqual(str(self.failureResultOf(asking).value), "")

    def test_account(self) -> None:
        """ACCT is wanted where the file says so."""
        portal = self.portal()
        self.failureResultOf(
            self.login(portal, UsernamePassword(b"acct", b"sesame")), AccountRequired
        )
        asking = self.login(portal, AccountPassword(b"acct", b"sesame", b"billing"))
        self.assertEqual(self.successResultOf(asking)[1].name, "acct")

    def test_anonymous(self) -> None:
        """Off by default; on, with its own rules only."""
        asking = self.login(self.portal(), Anonymous())
        self.reactor.advance(1)
        self.failureResultOf(asking, UnauthorizedLogin, UnhandledCredentials)
        portal = self.portal(
            '[anonymous]\nenabled = true\nhome = "/pub"\n[[anonymous.rule]]\npath = "/pub"\n'
            'allow = "elr"'
        )
        account = self.successResultOf(self.login(portal, Anonymous()))[1]
        self.assertEqual((account.name, account.home), ("anonymous", at("/pub")))
        self.assertEqual(account.permissionLetters(at("/pub")), "elr")
        self.assertEqual(account.permissionLetters(at("/home")), "")

    def test_network(self) -> None:
        """TFTP clients of a network are its account; others are nobody."""
        portal = self.portal()
        for host, expected in (("10.1.2.3", "netboot"), ("192.0.2.1", None)):
            peer = PeerAddress(Address(host, 1), Address("192.0.2.1", 69))
            asking = portal.login(peer, connection(host, "tftp"), IFileAccount)
            if expected is None:
                self.failureResultOf(asking)
            else:
                account = self.successResultOf(asking)[1]
                self.assertEqual(account.name, expected)
                self.assertEqual(account.permissionLetters(at("/boot/x")), "r")

    def test_rates(self) -> None:
        """Rates are of one account: two users do not share a bucket."""
        portal = self.portal("[limits]\nupload_rate = 2048\ndownload_rate = 4096")
        accounts = [
            self.successResultOf(self.login(portal, credentials))[1]
            for credentials in (
                UsernamePassword(b"ann", b"sesame"),
                UsernamePassword(b"ann", b"sesame"),
                AccountPassword(b"acct", b"sesame", b"billing"),
            )
        ]
        first, again, other = (each.limits for each in accounts)
        self.assertIs(first.upload, again.upload)
        self.assertIsNot(first.upload, other.upload)
        self.assertIsNot(first.upload, first.download)
        self.assertGreater(first.upload.grant(1 << 20), other.download.grant(1 << 20))

    def test_ban(self) -> None:
        """The section [ban] sets the price of guessing."""
        portal = self.portal("[ban]\nattempts = 2\nduration = 100\ndelay = 5\nwindow = 50")
        for delay in (5, 10):
            asking = self.login(portal, UsernamePassword(b"ann", b"wrong"))
            self.reactor.advance(delay - 0.1)
            self.assertNoResult(asking)
            self.reactor.advance(0.1)
            self.failureResultOf(asking)
        asking = self.login(portal, UsernamePassword(b"ann", b"sesame"))
        self.reactor.advance(16)
        self.failureResultOf(asking)
        self.reactor.advance(100)
        self.successResultOf(self.login(portal, UsernamePassword(b"ann", b"sesame")))

    def test_limits(self) -> None:
        """The caps are the registry's."""
        service = self.build(
            '[ftp]\nlisten = ["tcp:1"]\n[limits]\nsessions = 7\nper_address = 5\nper_user = 3'
        )
        caps = service._registry.caps
        self.assertEqual((caps.total, caps.perAddress, caps.perUser), (7, 5, 3))

    def test_xferlog(self) -> None:
        """A transfer log that cannot be written is told before anything is bound."""
        with self.assertRaises(ConfigurationError):
            self.build(f'[ftp]\nlisten = ["tcp:1"]\n[log]\nxferlog = "{self.folder}/none/such"')
