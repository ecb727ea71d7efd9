"""
conch's SFTP client with a FileHub account on the other side.
"""

from __future__ import annotations

from typing import Any

from twisted.conch.interfaces import IConchUser, ISFTPFile, ISFTPServer
from twisted.conch.ssh import filetransfer as sftp
from twisted.cred.credentials import UsernamePassword
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from filehub.embedding.sftp import AccountFiles, FilesOnly, Subsystem
from filehub.permissions import READ_ONLY
from filehub.testing import MemoryTree, memoryPortal
from tests.accounts.doubles import at, now

UPLOAD = sftp.FXF_WRITE | sftp.FXF_CREAT | sftp.FXF_TRUNC
LOST = Failure(ConnectionLost())


class SFTPCase(SynchronousTestCase):
    """Client and server, and bytes carried between them."""

    allow: Any = None

    def setUp(self) -> None:
        self.tree = MemoryTree()
        options = {} if self.allow is None else {"allow": self.allow}
        portal = memoryPortal(self.tree, users={"ann": "sesame"}, **options)
        credentials: Any = UsernamePassword(b"ann", b"sesame")
        answer: Any = self.successResultOf(portal.login(credentials, None, IConchUser))
        self.interface, self.user, _ = answer
        self.files = self.tree.viewFor("ann")
        self.server = self.user.lookupSubsystem(b"sftp", b"")
        self.client = sftp.FileTransferClient()
        self.ends = (self.client, StringTransport()), (self.server, StringTransport())
        for protocol, transport in self.ends:
            protocol.makeConnection(transport)
        self.carry()

    def carry(self) -> None:
        """Until nobody says anything any more."""
        (client, there), (server, here) = self.ends
        while there.value() or here.value():
            said, answered = there.value(), here.value()
            there.clear()
            here.clear()
            server.dataReceived(said)
            client.dataReceived(answered)

    def result(self, asking: Deferred[Any]) -> Any:
        """What the server answers."""
        self.carry()
        return self.successResultOf(asking)

    def code(self, asking: Deferred[Any]) -> int:
        """What the server refuses with."""
        self.carry()
        failure = self.failureResultOf(asking, sftp.SFTPError, NotImplementedError)
        if failure.check(NotImplementedError):
            # The client's word for it.
            return sftp.FX_OP_UNSUPPORTED
        return int(failure.value.code)

    def store(self, name: str, data: bytes, flags: int = UPLOAD, offset: int = 0) -> None:
        """An upload."""
        file = self.result(self.client.openFile(name, flags, {}))
        for start in range(0, len(data), 30_000):
            self.result(file.writeChunk(offset + start, data[start : start + 30_000]))
        self.result(file.close())

    def load(self, name: str) -> bytes:
        """A download."""
        file = self.result(self.client.openFile(name, sftp.FXF_READ, {}))
        data = b""
        while True:
            reading = file.readChunk(len(data), 30_000)
            self.carry()
            outcome: list[Any] = []
            reading.addBoth(outcome.append)
            if isinstance(outcome[0], Failure):
                outcome[0].trap(EOFError)
                break
            data += outcome[0]
        self.result(file.close())
        return data


class SFTPTests(SFTPCase):
    """An account that may do everything."""

    def test_adapted(self) -> None:
        """The realm answers with what conch wants."""
        self.assertIs(self.interface, IConchUser)
        verifyObject(ISFTPServer, AccountFiles(self.user.account))
        self.assertIsInstance(self.server, Subsystem)
        self.assertIsNone(self.user.lookupSubsystem(b"shell", b""))
        file = self.successResultOf(self.server.client.openFile(b"x", UPLOAD, {}))
        verifyObject(ISFTPFile, file)

    def test_files(self) -> None:
        """Bytes go in and come out; names are changed and removed; facts are true."""
        data = bytes(range(256)) * 1000
        self.store("a", data)
        self.assertEqual(self.load("a"), data)
        self.result(self.client.makeDirectory("d", {}))
        self.result(self.client.renameFile("a", "d/b"))
        found = self.result(self.client.getAttrs("d/b"))
        self.assertEqual((found["size"], found["permissions"] & 0o170000), (256_000, 0o100000))
        self.result(self.client.setAttrs("d/b", {"atime": 5, "mtime": 7}))
        self.assertEqual(now(self.files.stat(at("/d/b"))).modified, 7)
        self.result(self.client.removeFile("d/b"))
        self.result(self.client.removeDirectory("d"))
        self.assertEqual(self.code(self.client.getAttrs("d")), sftp.FX_NO_SUCH_FILE)

    def test_listing(self) -> None:
        """Names with their facts, more than one answer holds."""
        for number in range(300):
            self.store(f"{number}é", b"x" * number)
        directory = self.result(self.client.openDirectory("."))
        rows: list[Any] = []
        while True:
            reading = directory.read()
            self.carry()
            outcome: list[Any] = []
            reading.addBoth(outcome.append)
            if isinstance(outcome[0], Failure):
                outcome[0].trap(EOFError)
                break
            rows += outcome[0]
        self.result(directory.close())
        self.assertEqual(
            {name: attributes["size"] for name, _, attributes in rows},
            {f"{number}é".encode(): number for number in range(300)},
        )
        self.assertTrue(rows[0][1].startswith(b"-rw"))

    def test_names(self) -> None:
        """Names are bytes; nothing climbs out of the root."""
        self.assertEqual(self.result(self.client.realPath("a/../../../b")), "/b")
        self.assertEqual(self.result(self.client.realPath(".")), "/")
        self.store("../../../up", b"x")
        self.assertEqual(now(self.files.stat(at("/up"))).size, 1)

    def test_invisible(self) -> None:
        """An upload appears when it is closed; the old file stands until then."""
        self.store("f", b"old")
        file = self.result(self.client.openFile("f", UPLOAD, {}))
        self.result(file.writeChunk(0, b"new one"))
        self.assertEqual(self.load("f"), b"old")
        self.result(file.close())
        self.assertEqual(self.load("f"), b"new one")

    def test_lost(self) -> None:
        """A lost connection publishes nothing."""
        self.store("f", b"old")
        file = self.result(self.client.openFile("f", UPLOAD, {}))
        self.result(file.writeChunk(0, b"half"))
        self.server.connectionLost(LOST)
        handle = now(self.files.openForReading(at("/f")))
        self.assertEqual(now(handle.readAt(0, 100)), b"old")

    def test_continued(self) -> None:
        """Uploads are continued and appended to; an exclusive one is."""
        self.store("f", b"hello")
        self.store("f", b", world", sftp.FXF_WRITE | sftp.FXF_CREAT, offset=5)
        self.store("f", b"!", sftp.FXF_WRITE | sftp.FXF_APPEND)
        self.assertEqual(self.load("f"), b"hello, world!")
        exclusive = sftp.FXF_WRITE | sftp.FXF_CREAT | sftp.FXF_EXCL
        self.assertEqual(
            self.code(self.client.openFile("f", exclusive, {})), sftp.FX_FILE_ALREADY_EXISTS
        )
        self.store("empty", b"", sftp.FXF_WRITE | sftp.FXF_CREAT)
        self.assertEqual(self.load("empty"), b"")

    def test_attributesOfAnUpload(self) -> None:
        """C{put -p}: the time is set when the file is there."""
        file = self.result(self.client.openFile("f", UPLOAD, {}))
        self.result(file.writeChunk(0, b"x"))
        # conch's client asks with the wrong packet.
        (opened,) = self.server.openFiles.values()
        opened.setAttrs({"atime": 5, "mtime": 7})
        self.result(file.close())
        self.assertEqual(now(self.files.stat(at("/f"))).modified, 7)

    def test_refused(self) -> None:
        """What there is not is said, and nothing is logged as a defect."""
        self.store("f", b"x")
        for attempt, code in (
            (lambda: self.client.openFile("none", sftp.FXF_READ, {}), sftp.FX_NO_SUCH_FILE),
            (lambda: self.client.openFile("none", sftp.FXF_WRITE, {}), sftp.FX_NO_SUCH_FILE),
            (lambda: self.client.openFile("f", UPLOAD | sftp.FXF_READ, {}), sftp.FX_OP_UNSUPPORTED),
            (lambda: self.client.setAttrs("f", {"size": 0}), sftp.FX_OP_UNSUPPORTED),
            (lambda: self.client.extendedRequest(b"x@y", b""), sftp.FX_OP_UNSUPPORTED),
            (lambda: self.client.openDirectory("f"), sftp.FX_FAILURE),
            (lambda: self.client.getAttrs("né"), sftp.FX_NO_SUCH_FILE),
        ):
            self.assertEqual(self.code(attempt()), code)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_noShell(self) -> None:
        """There is a channel for subsystems, and no shell in it."""
        channel = self.user.lookupChannel(b"session", 1, 1, b"")
        self.assertIsInstance(channel, FilesOnly)
        self.assertEqual(
            [channel.request_shell(b""), channel.request_exec(b""), channel.request_pty_req(b"")],
            [0, 0, 0],
        )


class RulesTests(SFTPCase):
    """An account that may read."""

    allow = READ_ONLY

    def test_denied(self) -> None:
        """The account's rules hold here as everywhere."""
        for attempt in (
            lambda: self.client.openFile("f", UPLOAD, {}),
            lambda: self.client.makeDirectory("d", {}),
            lambda: self.client.removeFile("f"),
        ):
            self.assertEqual(self.code(attempt()), sftp.FX_PERMISSION_DENIED)
