"""
What a changed file changes, and what it leaves alone.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from twisted.cred.credentials import Anonymous, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, globalLogPublisher

from filehub.config.reloading import INTERVAL, ReloadingService
from filehub.credentials import Address, PeerAddress
from filehub.interfaces import IFileAccount
from filehub.protocols.tftp.server import TFTPService
from filehub.service import FileHubService
from filehub.slots import SessionSlot
from tests.accounts.doubles import CHEAP, connection
from tests.config.test_building import BuildingCase

LISTEN = '[ftp]\nlisten = ["tcp:1"]\n[rfc913]\nlisten = ["tcp:2"]\n[ban]\ndelay = 0\n'


def user(name: str, password: str, more: str = "") -> str:
    """An account of the file."""
    return f"""
[[user]]
name = "{name}"
password = "{CHEAP.hash(password.encode())}"
{more}
[[user.rule]]
path = "/"
allow = "elr"
"""


class ReloadingCase(BuildingCase):
    """A server whose file changes."""

    def setUp(self) -> None:
        super().setUp()
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)
        self.number = 0

    def observe(self, event: dict[str, Any]) -> None:
        if event.get("log_level", LogLevel.debug) >= LogLevel.warn:
            line = event["log_format"].format_map(event)
            if "LoginRefused" not in line:
                self.lines.append(line)

    def start(self, text: str) -> FileHubService:
        """Furnished, and looking at its file."""
        service = self.build(text)
        service._furnishOnce()
        self.service = next(each for each in service if isinstance(each, ReloadingService))
        self.service.startService()
        self.addCleanup(self.service.stopService)
        self.portal = service.listeners[0].factory.listener.portal
        self.registry = service._registry
        return service

    def change(self, text: str) -> None:
        """Write another file, and wait."""
        self.write(text)
        self.reactor.pump([INTERVAL] * 3)

    def write(self, text: str) -> None:
        self.path.write_text(f'{text}\n[[mount]]\npath = "/"\nsource = "{self.folder.as_uri()}"\n')
        self.number += 1
        os.utime(self.path, (self.number, self.number))

    def logIn(self, name: str, password: str) -> Any:
        """The account, or None."""
        credentials: Any = UsernamePassword(name.encode(), password.encode())
        return self.ask(credentials)

    def ask(self, credentials: Any) -> Any:
        waiting: Deferred[Any] = self.portal.login(credentials, connection(), IFileAccount)
        self.threads.runAll()
        self.reactor.pump([0.0] * 3)
        found: list[Any] = []
        waiting.addCallbacks(
            lambda each: found.append(each[1]), lambda why: why.trap(UnauthorizedLogin)
        )
        return found[0] if found else None


class AccountTests(ReloadingCase):
    """Who may log in."""

    def test_accounts(self) -> None:
        """New accounts come, old ones go, passwords and rules change."""
        self.start(LISTEN + user("ann", "old") + user("bob", "same"))
        self.assertIsNotNone(self.logIn("ann", "old"))
        self.change(LISTEN + user("ann", "new") + user("eve", "x"))
        self.assertIsNone(self.logIn("ann", "old"))
        self.assertIsNotNone(self.logIn("ann", "new"))
        self.assertIsNone(self.logIn("bob", "same"))
        self.assertIsNotNone(self.logIn("eve", "x"))
        self.assertEqual(self.lines, [])

    def test_anonymous(self) -> None:
        """Anonymous logins can be opened and closed."""
        anonymous: Any = Anonymous()
        self.start(LISTEN)
        self.assertIsNone(self.ask(anonymous))
        self.change(LISTEN + "[anonymous]\nenabled = true\n")
        self.assertIsNotNone(self.ask(anonymous))
        self.change(LISTEN)
        self.assertIsNone(self.ask(anonymous))

    def test_ended(self) -> None:
        """Sessions of accounts that are gone are ended, others are not."""
        self.start(LISTEN + user("ann", "1") + user("bob", "2"))
        ended: list[tuple[str, str]] = []
        for name in ("ann", "bob"):
            slot = self.registry.admit(
                "ftp",
                Address("192.0.2.7", 1),
                Address("192.0.2.1", 21),
                secure=False,
                disconnect=lambda reason, name=name: ended.append((name, reason)),
            )
            slot.loggedIn(self.logIn(name, "1" if name == "ann" else "2"))
        self.change(LISTEN + user("ann", "1") + user("bob", "2", "enabled = false"))
        self.assertEqual(ended, [("bob", "the account is disabled")])

    def test_networks(self) -> None:
        """So do the machines that are known by their addresses."""
        network = '[[network]]\naddress = "192.0.2.0/24"\naccount = "ann"\nprotocols = ["tftp"]\n'
        credentials: Any = PeerAddress(Address("192.0.2.7", 1), "tftp")
        self.start(LISTEN + user("ann", "1"))
        self.assertIsNone(self.ask(credentials))
        self.change(LISTEN + user("ann", "1") + network)
        self.assertIsNotNone(self.ask(credentials))


class LimitTests(ReloadingCase):
    """How much and how fast."""

    def test_live(self) -> None:
        """Rates reach sessions that are there; caps and times those that come."""
        service = self.start(LISTEN + user("ann", "1"))
        account = self.logIn("ann", "1")
        self.assertIsNone(account.limits.download)
        self.change(
            LISTEN + user("ann", "1", "download_rate = 10000")
            + "[limits]\nidle = 11\nstall = 12\nlogin = 13\nsessions = 14\n"
        )  # fmt: skip
        running = account.limits.download
        self.assertEqual(running.rate, 10000)
        self.assertEqual(self.registry.caps.total, 14)
        for listener in service.listeners:
            settings = listener.factory.listener.settings
            found = settings.idleTimeout, settings.stallTimeout, settings.loginTimeout
            self.assertEqual(found, (11, 12, 13))
        self.change(LISTEN + user("ann", "1", "download_rate = 20000"))
        self.assertEqual(running.rate, 20000)

    def enter(self, name: str) -> SessionSlot:
        """A session, whose end and changes are written down."""
        told = self.told

        class Session:
            """Notices changes."""

            def limitsChanged(self) -> None:
                told.append(name)

        slot: SessionSlot = self.registry.admit(
            "ftp",
            Address("192.0.2.7", 1),
            Address("192.0.2.1", 21),
            secure=False,
            disconnect=lambda reason: told.append(f"{name}: {reason}"),
        )
        slot.loggedIn(self.logIn(name, "1"), Session())
        return slot

    def test_sessions(self) -> None:
        """An account's own limits, and its groups', reach sessions that are there, alone."""
        self.told: list[str] = []
        staff = '[[group]]\nname = "staff"\n'
        users = user("ann", "1", 'groups = ["staff"]') + user("bob", "1")
        self.start(LISTEN + staff + users)
        ann, bob = self.enter("ann"), self.enter("bob")
        self.change(LISTEN + staff + "idle = 77\ncommands = 1\n" + users)
        self.assertEqual(self.told, ["ann"])
        assert ann.limits is not None
        self.assertEqual(ann.limits.idle, 77)
        self.assertEqual((ann.pace(), bob.pace(), bob.pace()), (None, None, None))
        self.assertIsNotNone(ann.pace())
        self.change(LISTEN + staff + "session_time = 30\n" + users)
        self.assertEqual(self.told, ["ann", "ann"])
        self.reactor.pump([1.0] * 40)
        self.assertEqual(self.told[2:], ["ann: session time is over"])

    def test_allSessions(self) -> None:
        """So do those of the server, for all who have none of their own."""
        self.told = []
        text = LISTEN + user("ann", "1") + user("bob", "1", "session_time = 1000")
        self.start(text)
        self.enter("ann")
        self.enter("bob")
        self.change(text + "[limits]\nsession_time = 20\n")
        self.assertEqual(self.told, ["ann", "bob"])
        self.reactor.pump([1.0] * 30)
        self.assertEqual(self.told[2:], ["ann: session time is over"])
        self.change(text + "[limits]\nsession_time = 20\nper_user = 7\n")
        self.assertEqual(len(self.told), 3)

    def test_tftp(self) -> None:
        """TFTP has its own stall time, unless something is said of all protocols."""
        text = LISTEN + '[tftp]\nlisten = ["udp:69"]\n'
        service = self.start(text)
        (tftp,) = (each for each in service.listeners if isinstance(each, TFTPService))
        self.assertEqual(tftp.settings.stall, 60)
        self.change(text + "[limits]\nstall = 90\n")
        self.assertEqual(tftp.settings.stall, 90)
        self.change(text)
        self.assertEqual(tftp.settings.stall, 60)


class FileTests(ReloadingCase):
    """The file itself."""

    def test_mistake(self) -> None:
        """A file with a mistake changes nothing, and the log says which."""
        self.start(LISTEN + user("ann", "1"))
        self.change(LISTEN + user("bob", "2") + "[limits]\nsesions = 3\n")
        self.assertIsNotNone(self.logIn("ann", "1"))
        self.assertIsNone(self.logIn("bob", "2"))
        self.assertIn("limits.sesions: found an unknown key", self.lines[0])
        self.assertIn("was not taken: the old settings stay", self.lines[1])
        self.change(LISTEN + user("bob", "2"))
        self.assertIsNotNone(self.logIn("bob", "2"))

    def test_fixed(self) -> None:
        """What needs a new start is said, once for each section."""
        self.start(LISTEN)
        self.change(LISTEN.replace("tcp:1", "tcp:7") + '[tftp]\nlisten = ["udp:9"]\n')
        expected = "changes in {} take effect when the server starts again"
        self.assertEqual(self.lines, [expected.format("ftp"), expected.format("tftp")])

    def test_unfinished(self) -> None:
        """A file that is still being written is left alone."""
        self.start(LISTEN + user("ann", "1"))
        for _ in range(4):
            self.write(LISTEN + "[[us")
            self.reactor.advance(INTERVAL)
        self.write(LISTEN + user("bob", "2"))
        self.reactor.pump([INTERVAL] * 2)
        self.assertEqual(self.lines, [])
        self.assertIsNotNone(self.logIn("bob", "2"))

    def test_gone(self) -> None:
        """Without the file all stays as it is; no word is said until somebody asks."""
        self.start(LISTEN + user("ann", "1"))
        self.path.unlink()
        self.reactor.pump([INTERVAL] * 3)
        self.assertEqual(self.lines, [])
        self.assertFalse(self.service.reload())
        self.assertIsNotNone(self.logIn("ann", "1"))

    def test_since(self) -> None:
        """What has changed since the file was read holds from the first client on."""
        server = self.build(LISTEN + user("ann", "1"))
        server._furnishOnce()
        self.write(LISTEN)
        server.startService()
        self.addCleanup(server.stopService)
        self.portal = server.listeners[0].factory.listener.portal
        self.assertIsNone(self.logIn("ann", "1"))

    def test_signal(self) -> None:
        """SIGHUP is a wish to have it read now; it is given back at the end."""
        calls: list[Any] = []
        self.patch(self.reactor, "callFromThread", calls.append)
        before = signal.getsignal(signal.SIGHUP)
        self.start(LISTEN)
        os.kill(os.getpid(), signal.SIGHUP)
        self.assertEqual(calls, [self.service.reload])
        self.assertTrue(calls[0]())
        self.service.stopService()
        self.assertIsNot(signal.getsignal(signal.SIGHUP), self.service._hangUps._signalled)
        self.service.startService()
        self.assertNotEqual(before, signal.getsignal(signal.SIGHUP))

    def test_early(self) -> None:
        """Once the first port is bound SIGHUP no longer ends the process."""
        calls: list[Any] = []
        self.patch(self.reactor, "callFromThread", calls.append)
        before = signal.getsignal(signal.SIGHUP)
        server = self.build(LISTEN)
        server._furnishOnce()
        reloading = next(each for each in server if isinstance(each, ReloadingService))
        children = list(server)
        self.assertLess(children.index(reloading), children.index(server.listeners[0]))
        reloading.privilegedStartService()
        os.kill(os.getpid(), signal.SIGHUP)
        self.assertEqual(calls, [reloading.reload])
        reloading.startService()
        reloading.stopService()
        self.assertEqual(signal.getsignal(signal.SIGHUP), before)
