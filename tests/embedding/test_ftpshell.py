"""
Twisted's own FTP server and client with a FileHub account between them.
"""

from __future__ import annotations

from typing import Any

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import UsernamePassword
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols import ftp
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from filehub.attributes import Disposition
from filehub.embedding.ftpshell import AccountShell, ActionNotTaken, NoRoom
from filehub.errors import NoSpace
from filehub.interfaces import IFileAccount
from filehub.permissions import READ_ONLY
from filehub.testing import MemoryTree, RecordingSink, memoryPortal
from tests.accounts.doubles import at, now


class ShellCase(SynchronousTestCase):
    """An account in memory."""

    allow: Any = None

    def setUp(self) -> None:
        self.tree = MemoryTree()
        self.sink = RecordingSink()
        options = {} if self.allow is None else {"allow": self.allow}
        self.portal = memoryPortal(self.tree, users={"ann": "sesame"}, sink=self.sink, **options)
        credentials: Any = UsernamePassword(b"ann", b"sesame")
        answer: Any = self.successResultOf(self.portal.login(credentials, None, ftp.IFTPShell))
        self.interface, self.shell, _ = answer
        self.files = self.tree.viewFor("ann")

    def store(self, name: str, data: bytes) -> None:
        """Through the shell."""
        file = self.successResultOf(self.shell.openForWriting([name]))
        consumer = self.successResultOf(file.receive())
        consumer.registerProducer(StringTransport(), True)
        consumer.write(data)
        consumer.unregisterProducer()
        self.successResultOf(file.close())

    def load(self, name: str) -> bytes:
        """Through the shell."""
        file = self.successResultOf(self.shell.openForReading([name]))
        transport = StringTransport()
        self.successResultOf(file.send(transport))
        return transport.value()


class ShellTests(ShellCase):
    """L{AccountShell}."""

    def test_adapted(self) -> None:
        """The realm answers with it, and it is what Twisted wants."""
        self.assertIs(self.interface, ftp.IFTPShell)
        verifyObject(ftp.IFTPShell, self.shell)

    def test_files(self) -> None:
        """Bytes go in, come out, are renamed and removed; facts are true."""
        data = bytes(range(256)) * 1000
        self.store("a", data)
        self.assertEqual(self.load("a"), data)
        self.successResultOf(self.shell.makeDirectory(["d"]))
        self.successResultOf(self.shell.rename(["a"], ["d", "b"]))
        self.assertEqual(
            self.successResultOf(self.shell.stat(["d", "b"], ("size", "directory"))),
            [len(data), False],
        )
        self.assertEqual(
            self.successResultOf(self.shell.list([], ("directory",))), [(b"d", [True])]
        )
        self.assertEqual(
            self.successResultOf(self.shell.list(["d", "b"], ("size",))), [(b"b", [len(data)])]
        )
        self.successResultOf(self.shell.access(["d"]))
        self.successResultOf(self.shell.removeFile(["d", "b"]))
        self.successResultOf(self.shell.removeDirectory(["d"]))
        self.assertEqual(self.successResultOf(self.shell.list([], ())), [])

    def test_names(self) -> None:
        """UTF-8 that was read as Latin-1 is the name that the client meant."""
        self.store("é".encode().decode("latin-1"), b"x")
        self.assertEqual(now(self.files.stat(at("/é"))).size, 1)
        self.assertEqual(self.load("é"), b"x")

    def test_errors(self) -> None:
        """What goes wrong is said in Twisted's words."""
        self.successResultOf(self.shell.makeDirectory(["d"]))
        self.store("f", b"")
        shell = self.shell
        for attempt, expected in (
            (shell.openForReading(["none"]), ftp.FileNotFoundError),
            (shell.openForReading(["d"]), ftp.IsADirectoryError),
            (shell.makeDirectory(["d"]), ftp.FileExistsError),
            (shell.rename(["f"], ["d"]), ftp.FileExistsError),
            (shell.access(["f"]), ftp.IsNotADirectoryError),
        ):
            self.failureResultOf(attempt, expected)
        self.store("d2", b"")
        self.successResultOf(shell.rename(["d2"], ["d", "x"]))
        failure = self.failureResultOf(shell.removeDirectory(["d"]), ActionNotTaken)
        self.assertIn("not empty", failure.value.response())
        self.assertRaises(ftp.FileNotFoundError, shell.stat, ["a\0b"], ())

    def test_full(self) -> None:
        """A full storage stops the client; nothing is published, the old file stands."""
        self.store("f", b"old")
        file = self.successResultOf(self.shell.openForWriting(["f"]))

        async def full(offset: int, data: bytes) -> None:
            raise NoSpace

        file._handle = _Failing(file._handle, full)
        transport = StringTransport()
        file.registerProducer(transport, True)
        file.write(b"new")
        self.assertEqual(transport.producerState, "stopped")
        file.write(b"more")
        self.failureResultOf(file.close(), NoRoom)
        self.assertEqual(self.load("f"), b"old")

    def test_backPressure(self) -> None:
        """A slow storage makes the client wait; a slow client the storage."""
        file = self.successResultOf(self.shell.openForWriting(["f"]))
        gate: Deferred[None] = Deferred()

        async def slow(offset: int, data: bytes) -> None:
            await gate

        file._handle = _Failing(file._handle, slow)
        transport = StringTransport()
        file.registerProducer(transport, True)
        for _ in range(3):
            file.write(b"x" * (1 << 20))
        self.assertEqual(transport.producerState, "paused")
        closing = file.close()
        self.assertNoResult(closing)
        gate.callback(None)
        self.successResultOf(closing)
        self.assertEqual(transport.producerState, "producing")

        self.store("g", b"y" * 300_000)
        file = self.successResultOf(self.shell.openForReading(["g"]))
        file.pauseProducing()
        transport = StringTransport()
        sending = file.send(transport)
        self.assertEqual(transport.value(), b"")
        file.resumeProducing()
        self.successResultOf(sending)
        self.assertEqual(len(transport.value()), 300_000)

    def test_gone(self) -> None:
        """A client that leaves ends the reading."""
        self.store("g", b"y" * 300_000)
        file = self.successResultOf(self.shell.openForReading(["g"]))
        file.pauseProducing()
        sending = file.send(StringTransport())
        file.stopProducing()
        self.failureResultOf(sending, ActionNotTaken)


class RulesTests(ShellCase):
    """An account that may read."""

    allow = READ_ONLY

    def test_denied(self) -> None:
        """The account's rules hold here as everywhere."""
        handle = now(self.files.openForWriting(at("/f"), Disposition.CREATE))
        now(handle.commit())
        self.assertEqual(self.load("f"), b"")
        for attempt in (
            self.shell.openForWriting(["g"]),
            self.shell.removeFile(["f"]),
            self.shell.makeDirectory(["d"]),
        ):
            self.failureResultOf(attempt, ftp.PermissionDeniedError)


class _Failing:
    """A handle that writes in another way."""

    def __init__(self, inner: Any, writeAt: Any) -> None:
        self.writeAt = writeAt
        self.commit, self.abort = inner.commit, inner.abort


class ServerTests(ShellCase):
    """L{ftp.FTPFactory} as it is, with L{ftp.FTPClient} as it is."""

    def setUp(self) -> None:
        super().setUp()
        from twisted.internet import reactor

        # Twisted's server lets a client go on by the installed reactor's next turn.
        self.clock = Clock()
        self.patch(reactor, "callLater", self.clock.callLater)
        # It asks with text where all others ask with bytes.
        checker = InMemoryUsernamePasswordDatabaseDontUse()
        checker.addUser("ann", "sesame")
        self.portal.registerChecker(checker)
        self.server = ftp.FTPFactory(self.portal).buildProtocol(None)
        self.transport = StringTransport()
        self.server.makeConnection(self.transport)

    def say(self, line: bytes) -> bytes:
        """What is answered."""
        self.transport.clear()
        self.server.dataReceived(line + b"\r\n")
        self.clock.advance(0)
        return self.transport.value()

    def openData(self) -> StringTransport:
        """As if a data connection had been made."""
        transport = StringTransport()
        server = self.server.wrappedProtocol
        factory = ftp.DTPFactory(server)
        self.data = factory.buildProtocol(None)
        server.dtpFactory, server.dtpInstance = factory, self.data
        self.data.makeConnection(transport)
        return transport

    def test_session(self) -> None:
        """Login, upload, listing, download; a wrong password; a file that is not there."""
        self.say(b"USER ann")
        self.assertTrue(self.say(b"PASS wrong").startswith(b"530"))
        self.say(b"USER ann")
        self.assertTrue(self.say(b"PASS sesame").startswith(b"230"))
        self.say(b"TYPE I")
        self.openData()
        self.say(b"STOR hello")
        self.data.dataReceived(b"hello, world\n")
        self.transport.clear()
        self.data.connectionLost(None)
        self.clock.advance(0)
        self.assertIn(b"226", self.transport.value())
        self.assertEqual(self.load("hello"), b"hello, world\n")
        self.assertEqual(self.say(b"SIZE hello"), b"213 13\r\n")
        data = self.openData()
        self.assertIn(b"226", self.say(b"RETR hello"))
        self.assertEqual(data.value(), b"hello, world\n")
        data = self.openData()
        self.assertIn(b"226", self.say(b"LIST"))
        self.assertRegex(data.value(), rb"^-rw.* 13 .* hello\r\n$")
        self.openData()
        self.assertTrue(self.say(b"RETR none").startswith(b"550"))
        self.assertTrue(self.say(b"CWD hello").startswith(b"550"))
        self.assertTrue(self.say(b"DELE hello").startswith(b"250"))

    def test_client(self) -> None:
        """Twisted's client understands it."""
        client = ftp.FTPClient("ann", "sesame", passive=1)
        transport = StringTransport()
        client.makeConnection(transport)
        asked: list[bytes] = []
        outcome = [client.makeDirectory("d"), client.pwd()]
        server = self.transport.value()
        for _ in range(20):
            client.dataReceived(server)
            said, server = transport.value(), b""
            transport.clear()
            for line in said.splitlines():
                asked.append(line)
                server += self.say(line)
        self.successResultOf(outcome[0])
        self.assertIn(b"MKD d", asked)
        self.assertTrue(now(self.files.stat(at("/d"))).isDirectory)


class AdapterTests(ShellCase):
    """Without a realm."""

    def test_anyAccount(self) -> None:
        """Whatever provides IFileAccount can be adapted."""
        credentials: Any = UsernamePassword(b"ann", b"sesame")
        answer = self.successResultOf(self.portal.login(credentials, None, IFileAccount))
        self.assertIsInstance(ftp.IFTPShell(answer[1]), AccountShell)
