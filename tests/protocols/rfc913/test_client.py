"""
The client, against the server and against servers that differ.
"""

from __future__ import annotations

import itertools
from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts.records import AccountLimits
from filehub.attributes import Disposition
from filehub.deadlines import Deadlines
from filehub.errors import InvalidName, NoSpace, PeerGone, Stalled
from filehub.paths import ROOT
from filehub.protocols.rfc913.client import MoreNeeded, Refused, RFC913Client
from filehub.protocols.rfc913.settings import RFC913Settings
from filehub.protocols.rfc913.wire import NotRFC913
from filehub.transfer.progress import Progress
from filehub.vfs.memory import MemoryFileSystem, MemoryTree
from tests.protocols.rfc913.doubles import ClientStream, Peer

SIZES = (0, 1, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1)
ALPHABET = b"abc\n\r\0de\r\nKILL victim\0"


def content(size: int) -> bytes:
    """So many bytes, commands and line ends among them."""
    return (ALPHABET * (size // len(ALPHABET) + 1))[:size]


class Slow:
    """A rate limit: one second for each grant."""

    grain = 32 * 1024
    granted = 0

    def grant(self, nbytes: int) -> float:
        self.granted += nbytes
        return 1.0


class ClientTestCase(SynchronousTestCase):
    peer: Peer

    def run_(self, coroutine: Coroutine[Any, Any, Any], turns: int = 2000) -> Any:
        """Run to the end, with the clock."""
        deferred = Deferred.fromCoroutine(coroutine)
        for _ in range(turns):
            if deferred.called:
                break
            self.peer.clock.advance(0.01)
        if isinstance(getattr(deferred, "result", None), Exception):
            raise AssertionError
        return self.successResultOf(deferred)

    def failing(self, kind: type[Exception], coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run to an error of this kind."""
        deferred = Deferred.fromCoroutine(coroutine)
        for _ in range(2000):
            if deferred.called:
                break
            self.peer.clock.advance(0.01)
        return self.failureResultOf(deferred, kind).value

    def connect(self, peer: Peer, fragment: int = 1 << 20) -> RFC913Client:
        self.peer = peer
        self.stream = ClientStream(peer, fragment)
        client: RFC913Client = self.run_(RFC913Client(peer.clock, self.stream).start())
        return client

    def loggedIn(self, peer: Peer | None = None, fragment: int = 1 << 20) -> RFC913Client:
        client = self.connect(peer or Peer(silent=True), fragment)
        self.run_(client.login("mkl", "foo"))
        return client

    def local(self, data: bytes = b"") -> MemoryFileSystem:
        """A file system of the client's, with a file."""
        tree = MemoryTree(partial="delete")
        tree.putFile("local", data)
        return tree.viewFor("")

    async def upload(self, client: RFC913Client, name: str, data: bytes, **options: Any) -> int:
        source = await self.local(data).openForReading(ROOT.join("local"))
        return await client.store(name, source, **options)

    async def download(self, client: RFC913Client, name: str, **options: Any) -> bytes:
        local = self.local()
        target = await local.openForWriting(ROOT.join("local"), Disposition.REPLACE)
        await client.retrieve(name, target, **options)
        await target.commit()
        return local.tree.content("local")


class RoundTripTests(ClientTestCase):
    def test_everyCombination(self) -> None:
        """Every type, disposition and size, whole or in pieces, comes back as it was."""
        for type, mode, size, fragment in itertools.product(
            "ABC", ("NEW", "OLD", "APP"), SIZES, (1 << 20, 1000)
        ):
            case = (type, mode, size, fragment)
            client = self.loggedIn(fragment=fragment)
            tree = self.peer.tree
            if mode != "NEW":
                tree.putFile("file", b"before")
            data = content(size)
            self.run_(client.setType(type))
            self.assertEqual(self.run_(self.upload(client, "file", data, mode=mode)), size, case)
            stored = b"before" + data if mode == "APP" else data
            self.assertEqual(tree.content("file"), stored, case)
            self.assertEqual(self.run_(self.download(client, "file")), stored, case)
            self.run_(client.quit())
            self.assertEqual(
                self.peer.events.transfers,
                [
                    ("upload", "/file", "completed", size),
                    ("download", "/file", "completed", len(stored)),
                ],
                case,
            )

    def test_oneByteAtATime(self) -> None:
        """A whole session in single bytes, in both directions."""
        client = self.loggedIn(fragment=1)
        data = content(3000)
        for type in "AB":
            self.run_(client.setType(type))
            self.run_(self.upload(client, "file", data))
            self.assertEqual(self.run_(self.download(client, "file")), data)
        self.assertEqual(self.run_(client.names()), ["file"])
        self.run_(client.quit())

    def test_accountPolicies(self) -> None:
        """The client satisfies each policy, and says so if an account is missing."""
        for policy in ("none", "optional", "required"):
            for account in (None, "acct"):
                settings = RFC913Settings(accounts=policy, failureDelay=0)  # type: ignore[arg-type]
                client = self.connect(Peer(settings, silent=True))
                if policy == "required" and account is None:
                    self.failing(MoreNeeded, client.login("mkl", "foo"))
                    continue
                self.run_(client.login("mkl", "foo", account))
                self.assertEqual(self.run_(client.names()), [])
        client = self.connect(Peer(silent=True))
        self.peer.users.wantsAccount = True
        self.run_(client.login("mkl", "foo", "acct"))

    def test_anonymous(self) -> None:
        """An anonymous login needs the name only."""
        client = self.connect(Peer(silent=True))
        self.assertEqual(client.greeting, "mit SFTP Service")
        self.run_(client.login("anonymous"))
        self.assertEqual(self.run_(client.names()), [])

    def test_names(self) -> None:
        """Lists, directories, renames, removals and sizes."""
        client = self.loggedIn()
        tree = self.peer.tree
        tree.putFile("dir/a b", b"12345")
        tree.putDirectory("dir/sub")
        self.assertEqual(self.run_(client.names("dir")), ["a b", "sub"])
        listed = self.run_(client.list("dir"))
        self.assertEqual(
            [(each.name, each.kind, each.size, each.modified) for each in listed],
            [("a b", "file", 5, 1795556040.0), ("sub", "dir", 0, 1795556040.0)],
        )
        self.run_(client.changeDirectory("dir"))
        self.assertEqual(self.run_(client.size("a b")), 5)
        self.run_(client.rename("a b", "c"))
        self.assertEqual(self.run_(client.names()), ["c", "sub"])
        self.run_(client.removeFile("c"))
        self.assertEqual(self.run_(client.names()), ["sub"])

    def test_refusals(self) -> None:
        """A refusal has the server's words and leaves the session usable."""
        client = self.loggedIn()
        error = self.failing(Refused, client.removeFile("none"))
        self.assertEqual(str(error), "Not deleted because file doesn't exist")
        self.failing(Refused, client.rename("none", "other"))
        self.failing(Refused, client.size("none"))
        self.failing(Refused, client.setType("Z"))
        self.failing(Refused, self.download(client, "none"))
        self.failing(Refused, self.upload(client, "no/where", b"x"))
        self.failing(InvalidName, client.removeFile("a\0b"))
        self.assertEqual(self.run_(client.names()), [])

    def test_refusedUpload(self) -> None:
        """Storage that fails in the middle is the server's last word, and no more."""
        client = self.loggedIn()
        self.peer.tree.capacity = 300_000
        error = self.failing(Refused, self.upload(client, "f", b"x" * 300_001))
        self.assertEqual(str(error), "Not enough room, don't send it")
        self.peer.tree.requireRoom = lambda nbytes, path: None  # type: ignore[method-assign]

        def fullNow(nbytes: int, path: object) -> None:
            if nbytes > 100_000:
                raise NoSpace

        self.run_(self.upload(client, "small", b"x"))
        self.peer.tree.requireRoom = fullNow  # type: ignore[method-assign]
        self.peer.account.fileSystem.openForWriting = self.withoutHint(self.peer)
        error = self.failing(Refused, self.upload(client, "f", b"x" * 900_001))
        self.assertEqual(str(error), "Couldn't save because not enough room")
        self.assertEqual(self.run_(client.names()), ["small"])

    def test_lastWords(self) -> None:
        """A server that closes in the middle of an upload, and says why, is heard."""
        client = self.loggedIn(Peer(RFC913Settings(maximumDiscarded=1000), silent=True))
        self.peer.account.fileSystem.openForWriting = self.withoutHint(self.peer)
        self.peer.tree.capacity = 100_000
        error = self.failing(Refused, self.upload(client, "f", b"x" * 3_000_000))
        self.assertEqual(str(error), "Couldn't save because not enough room")
        self.failing(PeerGone, client.names())

    def test_localFailure(self) -> None:
        """A download that cannot be stored here ends the connection."""
        client = self.loggedIn()
        self.peer.tree.putFile("f", b"x" * 1000)
        local = self.local()
        local.tree.capacity = 10

        async def download() -> None:
            target = await local.openForWriting(ROOT.join("local"), Disposition.REPLACE)
            await client.retrieve("f", target)

        self.failing(NoSpace, download())
        self.failing(PeerGone, client.names())

    def withoutHint(self, peer: Peer) -> Any:
        inner = peer.account.fileSystem.openForWriting

        async def openForWriting(*args: Any, sizeHint: int | None = None) -> Any:
            return await inner(*args)

        return openForWriting

    def test_progress(self) -> None:
        """Progress counts the bytes of the file."""
        client = self.loggedIn()
        progress = Progress()
        self.run_(self.upload(client, "f", b"x" * 1000, progress=progress))
        self.assertEqual(progress.nbytes, 1000)
        progress = Progress()
        self.run_(self.download(client, "f", progress=progress))
        self.assertEqual(progress.nbytes, 1000)

    def test_cancel(self) -> None:
        """Cancelling a transfer ends the connection; the server publishes nothing."""
        client = self.loggedIn()
        peer = self.peer
        peer.tree.putFile("f", b"x" * 5_000_000)
        self.stream.patience = 1_000_000
        work = Deferred.fromCoroutine(self.download(client, "f"))
        peer.clock.advance(1)
        self.assertFalse(work.called)
        work.cancel()
        self.failureResultOf(work, CancelledError)
        peer.clock.advance(1)
        self.assertNotEqual(peer.transport.state, "open")
        self.assertEqual(peer.events.transfers[0][2], "peer gone")
        self.assertEqual(peer.users.loggedOut, ["mkl"])

    def test_cancelUpload(self) -> None:
        """A cancelled upload publishes nothing."""
        client = self.loggedIn()
        peer = self.peer
        limiter = Slow()
        peer.account.limits = AccountLimits(upload=limiter)
        work = Deferred.fromCoroutine(self.upload(client, "f", b"x" * 5_000_000))
        for _ in range(10):
            peer.clock.advance(1)
        self.assertFalse(work.called)
        self.assertGreater(limiter.granted, 0)
        work.cancel()
        self.failureResultOf(work, CancelledError)
        for _ in range(200):
            peer.clock.advance(1)
        self.assertIsNone(peer.stored("f"))
        self.assertEqual(peer.events.transfers[0][2], "peer gone")

    def test_directoryCredentials(self) -> None:
        """Directories that want words of their own get them."""
        from tests.protocols.rfc913.test_resolutions import Gate

        client = self.loggedIn()
        self.peer.account.gate = Gate("account", "password")
        self.peer.tree.putDirectory("secret")
        self.failing(MoreNeeded, client.changeDirectory("secret"))
        self.failing(MoreNeeded, client.changeDirectory("secret", password="sesame"))
        self.run_(client.changeDirectory("secret", account="open", password="sesame"))

    def test_outToLunch(self) -> None:
        """A server that greets with an error has refused."""
        server = Script(b"-mit Out to Lunch\0")
        error = self.failingAgainst(server, Refused, lambda client: client.start())
        self.assertEqual(str(error), "mit Out to Lunch")

    def failingAgainst(self, server: Script, kind: type[Exception], use: Any) -> Any:
        deferred = Deferred.fromCoroutine(use(RFC913Client(server.clock, server)))
        return self.failureResultOf(deferred, kind).value


class Script:
    """
    A server that says what it is told to.

    @param parts: what it says, each part after the client has sent something more.
    """

    kernelSocket = None

    def __init__(self, *parts: bytes) -> None:
        self.clock = Clock()
        self.parts = list(parts)
        self.sent = b""
        self.aborted = False
        self._buffer = self.parts.pop(0)
        self._reader: Deferred[None] | None = None

    async def read(self, maximum: int) -> bytes:
        if not self._buffer:
            if self.aborted or not self.parts:
                raise PeerGone
            self._reader = Deferred()
            await self._reader
        data, self._buffer = self._buffer[:maximum], self._buffer[maximum:]
        return data

    async def write(self, data: bytes) -> None:
        self.sent += data
        if self.parts:
            self._buffer += self.parts.pop(0)

    def pause(self, seconds: float) -> Deferred[None]:
        return self.clock.sleep(seconds)  # type: ignore[attr-defined,no-any-return]

    def backlog(self) -> int:
        return 0

    async def finish(self) -> None:
        self.aborted = True

    def abort(self) -> None:
        self.aborted = True
        waiting, self._reader = self._reader, None
        if waiting is not None:
            waiting.errback(PeerGone())


class ToleranceTests(ClientTestCase):
    def against(self, *parts: bytes) -> RFC913Client:
        self.server = Script(*parts)
        self.peer = self.server  # type: ignore[assignment]
        client = RFC913Client(self.server.clock, self.server)
        return self.successResultOf(Deferred.fromCoroutine(client.start()))  # type: ignore[no-any-return]

    def test_greeting(self) -> None:
        """A greeting of many lines, or of none."""
        self.assertEqual(self.against(b"+mit\r\n hello\r\nyou\0").greeting, "mit\n hello\nyou")
        self.assertEqual(self.against(b"+\0").greeting, "")

    def test_numbers(self) -> None:
        """Every form of the number, padded or not, and only the file's own bytes."""
        for number in (b" 3\0", b"3\0", b"#3\0", b" 3".ljust(255, b"\0")):
            client = self.against(b"+\0", number, b"a\0b")
            self.assertEqual(self.run_(self.download(client, "f")), b"a\0b", number)
            self.assertEqual(self.server.sent, b"RETR f\0SEND\0")

    def test_replyBehindAFile(self) -> None:
        """What comes behind a file, in the same piece, is the next reply."""
        client = self.against(b"+\0", b" 3\0", b"\0\0\0+next\0", b"")
        self.assertEqual(self.run_(self.download(client, "f")), b"\0\0\0")
        self.assertEqual(self.run_(client.command("TYPE", "B")).text, "next")

    def test_lists(self) -> None:
        """LF alone, dot entries, trailing blanks, other formats."""
        client = self.against(b"+\0", b"+/x:\n.\n..\na \nb\n./\n\0")
        self.assertEqual(self.run_(client.names()), ["a", "b"])
        client = self.against(b"+\0", b"+/\r\nf 12 bytes\r\n\r\n\0")
        (listed,) = self.run_(client.list())
        self.assertEqual((listed.name, listed.kind, listed.size), ("f 12 bytes", None, None))

    def test_blanks(self) -> None:
        """Codes with and without a blank after them."""
        client = self.against(b"+\0", b"! mkl logged in\0")
        self.run_(client.login("mkl"))
        client = self.against(b"+\0", b"+ ok\0", b"!logged\0")
        self.run_(client.login("mkl", "foo"))
        self.assertEqual(self.server.sent, b"USER mkl\0PASS foo\0")

    def test_noPipelining(self) -> None:
        """SIZE is sent after the answer to STOR, bytes after the answer to SIZE."""
        client = self.against(b"+\0", b"+ok\0", b"-no room\0")
        self.failing(Refused, self.upload(client, "f", b"bytes"))
        self.assertEqual(self.server.sent, b"STOR OLD f\0SIZE 5\0")

    def test_silence(self) -> None:
        """A server that does not answer is given up."""
        client = self.against(b"+\0", b"", b"")
        work = Deferred.fromCoroutine(client.names())
        self.server.clock.advance(119)
        self.assertNoResult(work)
        self.server.clock.advance(1)
        self.failureResultOf(work, Stalled)

    def test_stalledDownload(self) -> None:
        """A download without a byte is given up by its watch."""
        client = self.against(b"+\0", b" 10\0", b"abc", b"")
        progress = Progress(Deadlines(self.server.clock), 30.0)
        work = Deferred.fromCoroutine(self.download(client, "f", progress=progress))
        for _ in range(40):
            self.server.clock.advance(1)
        self.failureResultOf(work, Stalled)

    def test_otherServers(self) -> None:
        """What is no RFC 913 server is told from one."""
        script = Script(b"220 ftp ready\r\n\0")
        deferred = Deferred.fromCoroutine(RFC913Client(script.clock, script).start())
        self.failureResultOf(deferred, NotRFC913)
        self.assertTrue(script.aborted)
        client = self.against(b"+\0", b"+no number\0")
        self.failing(NotRFC913, client.size("f"))

    def test_endlessReplies(self) -> None:
        """A reply, or a list, that does not end is given up."""
        client = self.against(b"+\0", b"+" + b"x" * 70_000)
        self.failing(NotRFC913, client.removeFile("f"))
        client = self.against(b"+\0", b"+" + b"x" * 70_000 + b"\0")
        client.maximumListing = 60_000
        self.failing(NotRFC913, client.names())

    def test_lostAtGoodbye(self) -> None:
        """A server that is gone before the goodbye is no error."""
        self.run_(self.against(b"+\0").quit())
        self.assertTrue(self.server.aborted)
