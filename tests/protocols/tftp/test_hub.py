"""
Many sockets behind one reader of the reactor.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor as globalReactor
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import TestCase

from filehub.protocols.tftp.hub import Hub


class Pair:
    """Two connected sockets, one of them watched."""

    def __init__(self) -> None:
        self.socket, self.other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.story: list[str] = []
        self.broken = False

    def fileno(self) -> int:
        return self.socket.fileno()

    def doRead(self) -> None:
        self.story.append(self.socket.recv(100).decode())
        if self.broken:
            raise ZeroDivisionError

    def doWrite(self) -> None:
        self.story.append("write")

    def connectionLost(self, reason: Any) -> None:
        self.story.append(reason.type.__name__)

    def close(self) -> None:
        self.socket.close()
        self.other.close()


class HubTests(TestCase):
    def setUp(self) -> None:
        self.now = self.work = 0.0
        #: What somebody else needs the processor for between two turns, in seconds.
        self.others = 1.0
        self.hub = Hub(globalReactor, lambda: self.now, self.processorSeconds)  # type: ignore[arg-type]
        self.queue = self.hub._queue
        self.addCleanup(self.hub.close)
        self.pairs = [Pair() for _ in range(3)]
        for pair in self.pairs:
            self.addCleanup(pair.close)
            self.hub.addReader(pair)

    def processorSeconds(self) -> float:
        self.work += self.others
        return self.work

    def converse(self, seconds: float, last: int = 1000) -> None:
        """Let a peer answer whatever is read from it, after so long."""
        pair = self.pairs[0]

        def doRead() -> None:
            self.now += seconds
            pair.story.append(pair.socket.recv(100).decode())
            if len(pair.story) < last:
                pair.other.send(b"x")

        pair.doRead = doRead  # type: ignore[method-assign]
        pair.other.send(b"x")

    def test_lingers(self) -> None:
        """Prompt answers are served at once, for a millisecond, if nobody else has work."""
        self.others = 0.0
        self.hub.doRead()
        self.converse(0.00005)
        self.hub.doRead()
        self.assertIn(len(self.pairs[0].story), range(20, 23))

    def test_othersHaveTheirTurn(self) -> None:
        """If others had something to do since, one event each is enough."""
        self.hub.doRead()
        self.converse(0.00005)
        self.hub.doRead()
        self.assertEqual(len(self.pairs[0].story), 1)

    def watchQueue(self, look: float) -> list[float]:
        """How long the hub sleeps, each time; a look without sleep takes so many seconds."""
        poll = self.queue.poll
        sleeps: list[float] = []

        class Queue:
            closed = False
            fileno = self.queue.fileno
            close = self.queue.close

            def poll(queue, timeout: float, most: int) -> object:
                events = poll(0, most)
                self.now += look
                if not events:
                    self.looks += 1
                    if timeout:
                        self.now += timeout
                        sleeps.append(timeout)
                return events

        self.looks = 0
        self.hub._queue = Queue()  # type: ignore[assignment]
        return sleeps

    def test_silence(self) -> None:
        """A wait for nothing is short, and not repeated for a good while."""
        self.others = 0.0
        self.hub._isAwake = False
        self.hub.doRead()
        self.converse(0.0, last=3)
        sleeps = self.watchQueue(0.0)
        for _ in range(100):
            self.hub.doRead()
        self.assertEqual((len(self.pairs[0].story), sleeps), (3, [0.001]))
        for _ in range(3):
            self.hub.doRead()
        self.assertEqual(sleeps, [0.001, 0.001])

    def test_awake(self) -> None:
        """
        With a processor to spare nobody sleeps over it; a wait for nothing is as short,
        and ends even if the clock stands still.
        """
        self.others = 0.0
        self.hub._isAwake = True
        self.hub.doRead()
        self.converse(0.0, last=3)
        for look, least, most in ((0.00001, 8, 13), (0.0, 1000, 3000)):
            self.hub._discouraged = 0
            sleeps = self.watchQueue(look)
            self.hub.doRead()
            self.assertTrue(least <= self.looks <= most, self.looks)
            for _ in range(90):
                self.hub.doRead()
            self.assertEqual(sleeps, [])
            self.assertTrue(least + 90 <= self.looks <= most + 90, self.looks)
        self.assertEqual(len(self.pairs[0].story), 3)

    def test_patience(self) -> None:
        """
        Who is served alone while the hub lingers may look again and again; not for a
        while after that was in vain.
        """
        self.others = 0.0
        self.hub._patience = 7
        self.hub.doRead()
        pair = self.pairs[0]
        seen: list[int] = []

        def doRead() -> None:
            # At the end it has lingered long enough.
            self.now += 0.00001 if len(seen) < 109 else 1.0
            pair.socket.recv(100)
            seen.append(self.hub.patience)
            if len(seen) < 110:
                pair.other.send(b"x")
            if len(seen) == 3:
                self.hub.disappointed()

        pair.doRead = doRead  # type: ignore[method-assign]
        pair.other.send(b"x")
        while len(seen) < 110:
            self.hub.doRead()
        # The first of each turn is not one that was lingered for.
        self.assertEqual([each for each in seen[:4] if each], [7, 7])
        self.assertEqual(set(seen[3:100]), {0})
        self.assertEqual(self.hub.patience, 0)

    def test_reading(self) -> None:
        """Each that has something is served once a turn."""
        for pair in self.pairs[:2]:
            pair.other.send(b"one")
            pair.other.send(b"two")
        self.hub.doRead()
        self.assertEqual([pair.story for pair in self.pairs], [["one"], ["one"], []])
        self.hub.doRead()
        self.assertEqual(self.pairs[0].story, ["one", "two"])

    def test_close(self) -> None:
        """A hub is one reader, which is gone at the end."""
        reactor = MemoryReactor()
        hub = Hub(reactor)
        for pair in self.pairs:
            hub.addReader(pair)
            hub.addWriter(pair)
        self.assertEqual((reactor.getReaders(), reactor.getWriters()), ([hub], []))
        hub.close()
        self.assertEqual(reactor.getReaders(), [])

    def test_removed(self) -> None:
        """One that is closed while its turn comes is left out, also when removed twice."""
        first, second = self.pairs[:2]
        for pair in (first, second):
            pair.other.send(b"x")
        for one, other in ((first, second), (second, first)):
            one.doRead = lambda one=one, other=other: (  # type: ignore[misc]
                one.story.append("read"),
                self.hub.removeReader(other),
            )
        self.hub.doRead()
        self.assertEqual(len(first.story) + len(second.story), 1)
        for pair in self.pairs:
            self.hub.removeReader(pair)
            self.hub.removeReader(pair)

    def test_writing(self) -> None:
        """Room is told while it is wanted."""
        pair = self.pairs[0]
        self.hub.addWriter(pair)
        self.hub.doRead()
        self.hub.removeWriter(pair)
        self.hub.doRead()
        self.assertEqual(pair.story, ["write"])

    def test_broken(self) -> None:
        """One that raises is told so, and the others are served."""
        self.pairs[0].broken = True
        for pair in self.pairs:
            pair.other.send(b"x")
        self.hub.doRead()
        self.assertEqual(self.pairs[0].story, ["x", "ZeroDivisionError"])
        self.assertEqual([pair.story for pair in self.pairs[1:]], [["x"], ["x"]])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_error(self) -> None:
        """An error on a socket is told as a refusal."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
            closed.bind(("127.0.0.1", 0))
            address = closed.getsockname()
        pair = self.pairs[0]
        self.hub.removeReader(pair)
        pair.socket.close()
        pair.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        pair.socket.connect(address)
        self.hub.addReader(pair)
        pair.socket.send(b"x")
        self.hub.doRead()
        self.assertEqual(pair.story, ["ConnectionRefusedError"])

    def test_inPlace(self) -> None:
        """Another one for the same socket takes the place of the first."""
        pair, other = self.pairs[0], Pair()
        other.close()
        other.socket = pair.socket
        self.hub.addReader(other)
        pair.other.send(b"x")
        self.hub.removeReader(pair)
        self.hub.doRead()
        self.assertEqual((pair.story, other.story), ([], ["x"]))

    def test_together(self) -> None:
        """What those have to send who are served in one turn leaves after they were read."""
        story: list[str] = []

        class Sender(Pair):
            def doRead(self) -> None:
                story.append("read")
                self.socket.recv(100)
                hub.send(self)

            def sendNow(self) -> None:
                story.append("sent")
                if self.broken:
                    raise ZeroDivisionError

        hub = self.hub
        senders = [Sender() for _ in range(6)]
        for each in senders:
            self.addCleanup(each.close)
            hub.addReader(each)
            each.other.send(b"x")
        # One that fails is no concern of the others.
        senders[0].broken = True
        hub.doRead()
        self.assertEqual(story, ["read"] * 4 + ["sent"] * 4 + ["read"] * 2 + ["sent"] * 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        # Who is not being served need not wait for anybody.
        story.clear()
        hub.send(senders[1])
        self.assertEqual(story, ["sent"])
