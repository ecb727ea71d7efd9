"""
Small downloads that are over before the command returns.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from filehub.accounts.records import AccountLimits
from filehub.errors import PeerGone
from filehub.events import Direction, Outcome, TransferEnded
from filehub.paths import VirtualPath
from filehub.protocols.ftp.atonce import MOST
from filehub.transfer.ratelimit import TokenBucket
from filehub.vfs.forwarding import ForwardingFileSystem
from filehub.views import IAtOnce
from tests.protocols.ftp.doubles import Client, Stream


@implementer(IAtOnce)
class Cached(ForwardingFileSystem):
    """Has some of its files at hand."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.cached: dict[str, bytes] = {}
        self.asked: list[str] = []

    def readAtOnce(self, path: VirtualPath, most: int) -> bytes | None:
        self.asked.append(str(path))
        content = self.cached.get(str(path))
        return content if content is not None and len(content) <= most else None

    def replaceAtOnce(self, path: VirtualPath) -> None:
        return None


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
