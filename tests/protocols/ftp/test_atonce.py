"""
Small files that are over before the command returns, or after one wait.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from filehub.accounts.records import AccountLimits
from filehub.errors import PeerGone
from filehub.events import Direction, Outcome, TransferEnded
from filehub.interfaces import IWriteHandle
from filehub.paths import VirtualPath
from filehub.protocols.ftp.atonce import MOST
from filehub.transfer.progress import Progress
from filehub.transfer.ratelimit import TokenBucket
from filehub.transfer.sockets import SocketStream
from filehub.vfs.forwarding import ForwardingFileSystem
from filehub.views import IAtOnce, IStoresAtOnce
from tests.protocols.ftp.doubles import Client, Stream


@implementer(IWriteHandle, IStoresAtOnce)
class Target:
    """
    Where an upload goes.

    @ivar prompt: can it be stored at once?
    """

    position = 0

    def __init__(self) -> None:
        self.prompt = True
        self.stored = b""
        self.story: list[str] = []

    def storeAtOnce(self, content: bytes) -> bool:
        if self.prompt:
            self.stored = content
            self.story.append("stored")
        return self.prompt

    async def writeAt(self, offset: int, data: bytes) -> None:
        assert offset == len(self.stored)
        self.stored += data
        self.story.append("written")

    async def commit(self) -> None:
        self.story.append("committed")

    async def abort(self) -> None:
        self.story.append("aborted")


@implementer(IAtOnce)
class Cached(ForwardingFileSystem):
    """Has some of its files at hand."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.cached: dict[str, bytes] = {}
        self.target: Target | None = None
        self.asked: list[str] = []

    def readAtOnce(self, path: VirtualPath, most: int) -> bytes | None:
        self.asked.append(str(path))
        content = self.cached.get(str(path))
        return content if content is not None and len(content) <= most else None

    def replaceAtOnce(self, path: VirtualPath) -> Any:
        self.asked.append(str(path))
        return self.target


class Early(Stream):
    """
    A connection that has come before the command.

    @ivar room: bytes that its buffer takes.
    """

    def __init__(self, room: int = 1 << 20) -> None:
        super().__init__()
        self.room = room
        self.isGone = False

    def offer(self, data: bytes) -> int:
        if self.isGone:
            raise PeerGone
        self.written += data[: self.room]
        return min(len(data), self.room)

    def finishLittle(self) -> None:
        self.end = "finished"


class Prompt(Stream, SocketStream):  # type: ignore[misc]
    """A connection on which an upload comes."""

    async def gather(self, most: int, pieces: list[bytes], progress: Progress) -> bool:
        while most > 0:
            data = await self.read(most)
            if not data:
                return True
            pieces.append(data)
            progress.nbytes += len(data)
            most -= len(data)
        return False


class StoreAtOnceTests(SynchronousTestCase):
    """Uploads to a target that is at hand."""

    def setUp(self) -> None:
        self.client = Client()
        files = self.client.users.fileSystem = Cached(self.client.tree.viewFor("ann"))
        self.target = files.target = Target()
        self.client.logIn()

    def begin(self) -> Prompt:
        self.client.code("PASV")
        stream = self.client.data.early = Prompt()
        self.assertEqual(self.client.say("STOR new")[:3], b"150")
        return stream

    def outcome(self) -> tuple[Outcome, int]:
        (event,) = self.client.events(TransferEnded)
        return event.outcome, event.nbytes

    def test_whole(self) -> None:
        """What comes in pieces is stored as one, an empty file too."""
        for pieces in ((b"con", b"tent"), ()):
            stream = self.begin()
            stream.receive(*pieces, b"")
            self.assertEqual(self.client.take(), b"226 Transfer complete.\r\n")
            self.assertEqual((self.target.stored, stream.end), (b"".join(pieces), "finished"))
        self.assertEqual(self.target.story, ["stored", "stored"])
        events = self.client.events(TransferEnded)
        self.assertEqual([each.nbytes for each in events], [7, 0])

    def test_order(self) -> None:
        """The client is told when the file is there, and not kept waiting for our own affairs."""
        stream = self.begin()
        seen: list[object] = []

        async def finish() -> None:
            seen.append((self.target.story[:], self.client.transport.value()[-24:]))

        stream.finish = finish  # type: ignore[method-assign]
        stream.receive(b"content", b"")
        self.assertEqual(seen, [(["stored"], b"226 Transfer complete.\r\n")])

    def test_goneAfterwards(self) -> None:
        """What becomes of the connection when the file is there changes nothing any more."""
        stream = self.begin()

        async def finish() -> None:
            raise PeerGone

        stream.finish = finish  # type: ignore[method-assign]
        stream.receive(b"content", b"")
        self.assertEqual(self.client.take(), b"226 Transfer complete.\r\n")
        self.assertEqual(self.outcome(), (Outcome.COMPLETED, 7))
        self.assertEqual(self.client.code("NOOP"), 200)

    def test_notAtOnce(self) -> None:
        """Storage that has become slow gets the same in the usual way."""
        self.target.prompt = False
        self.begin().receive(b"content", b"")
        self.assertEqual(self.client.take()[:3], b"226")
        self.assertEqual(
            (self.target.stored, self.target.story), (b"content", ["written", "committed"])
        )

    def test_long(self) -> None:
        """A longer file is no small one: what has come is stored, and what follows."""
        self.begin().receive(b"a" * 70_000, b"b", b"")
        self.assertEqual(self.client.take()[:3], b"226")
        self.assertEqual(self.target.stored, b"a" * 70_000 + b"b")
        self.assertEqual(self.target.story[-1], "committed")
        self.assertEqual(self.outcome(), (Outcome.COMPLETED, 70_001))

    def test_broken(self) -> None:
        """Of half an upload all is kept that has come, and nothing is published."""
        stream = self.begin()
        stream.receive(b"half")
        stream.break_()
        self.assertEqual(self.client.take()[:3], b"426")
        self.assertEqual((self.target.stored, self.target.story), (b"half", ["written", "aborted"]))
        self.assertEqual((stream.end, self.outcome()), ("aborted", (Outcome.PEER_GONE, 4)))

    def test_aborted(self) -> None:
        """It can be broken off while it waits."""
        stream = self.begin()
        self.assertEqual(self.client.say("ABOR")[:3], b"426")
        self.assertEqual((self.target.story, stream.end), (["aborted"], "aborted"))


class AtOnceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.client = Client()
        self.files = self.client.users.fileSystem = Cached(self.client.tree.viewFor("ann"))
        self.client.tree.putFile("/small", b"stored")
        self.files.cached["/small"] = b"cached"
        self.client.logIn()

    def arrive(self, stream: Early | None = None) -> Early:
        self.client.code("PASV")
        early = self.client.data.early = stream or Early()
        return early

    def test_atOnce(self) -> None:
        """Opening, data, completion, in this order, and one event that tells of it."""
        early = self.arrive()
        self.assertEqual(
            self.client.say("RETR small"),
            b"150 Opening BINARY mode data connection (6 bytes).\r\n226 Transfer complete.\r\n",
        )
        self.assertEqual((early.written, early.end), (b"cached", "finished"))
        (event,) = self.client.events(TransferEnded)
        self.assertEqual(
            (event.account, event.direction, str(event.path), event.outcome, event.nbytes),
            ("ann", Direction.DOWNLOAD, "/small", Outcome.COMPLETED, 6),
        )
        self.assertEqual(self.client.code("NOOP"), 200)
        self.assertEqual(self.client.code("RETR small"), 425)

    def test_notConnected(self) -> None:
        """Who connects after the command gets the file in the usual way."""
        self.assertEqual(self.client.retrieve("RETR small")[1], b"stored")
        self.assertEqual(self.files.asked, [])

    def test_notAtHand(self) -> None:
        """So does who wants what is not at hand, or too long; and what is missing is missed."""
        self.client.tree.putFile("/other", b"other")
        self.client.tree.putFile("/long", b"l" * (MOST + 1))
        self.files.cached["/long"] = b"l" * (MOST + 1)
        for name, size in (("other", 5), ("long", MOST + 1)):
            self.client.code("PASV")
            self.client.data.early = Early()
            stream = self.client.data.stream
            self.client.say(f"RETR {name}")
            self.assertEqual(len(stream.written), size)
        self.arrive()
        self.assertEqual(self.client.code("RETR missing"), 550)

    def test_onlyAsItIsStored(self) -> None:
        """Parts of files, text and other modes take the usual way, and so do limits."""
        for prepare in (["REST 2"], ["RANG 1 2"], ["TYPE A"], ["TYPE I", "MODE B"]):
            self.client.codes(prepare)
            self.arrive()
            self.client.say("RETR small")
        self.client.users.limits = AccountLimits(download=TokenBucket(self.client.clock, 1e9))
        self.client.codes(["MODE S", "USER ann", "PASS secret", "TYPE I"])
        self.arrive()
        self.client.say("RETR small")
        self.assertEqual(self.files.asked, [])

    def test_slowPeer(self) -> None:
        """What the buffer does not take follows as fast as the client reads, and can be ended."""
        early = self.arrive(Early(room=2))
        early.isBlocked = True
        self.assertEqual(self.client.say("RETR small")[:4], b"150 ")
        self.assertIn(b"RETR /small", self.client.say("STAT"))
        early.isBlocked = False
        early.unblock()
        self.assertEqual(self.client.take(), b"226 Transfer complete.\r\n")
        self.assertEqual((early.written, early.end), (b"cached", "finished"))
        again = self.arrive(Early(room=2))
        again.isBlocked = True
        self.client.say("RETR small")
        self.assertEqual(self.client.say("ABOR")[:3], b"426")
        self.assertEqual(again.end, "aborted")
        outcomes = [(each.outcome, each.nbytes) for each in self.client.events(TransferEnded)]
        self.assertEqual(outcomes[0], (Outcome.COMPLETED, 6))
        self.assertEqual(outcomes[1][0], Outcome.ABORTED)

    def test_gonePeer(self) -> None:
        """A client that has gone away is told so, and the event says it."""
        early = self.arrive()
        early.isGone = True
        answer = self.client.say("RETR small")
        self.assertEqual([line[:3] for line in answer.split(b"\r\n")[:-1]], [b"150", b"426"])
        self.assertEqual(early.end, "aborted")
        (event,) = self.client.events(TransferEnded)
        self.assertEqual(event.outcome, Outcome.PEER_GONE)

    def test_anotherLogin(self) -> None:
        """What is at hand for one account is not for the next."""
        self.arrive()
        self.client.say("RETR small")
        self.client.users.fileSystem = self.client.tree.viewFor("ann")
        self.client.codes(["USER ann", "PASS secret", "TYPE I"])
        self.arrive()
        self.client.say("RETR small")
        self.assertEqual(self.files.asked, ["/small"])
