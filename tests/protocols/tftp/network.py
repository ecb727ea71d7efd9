"""
A network in memory that loses, doubles, delays and reorders packets, always the same
ones for the same seed; and plain clients to talk to over it.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from filehub.events import Outcome
from filehub.protocols.tftp import wire
from filehub.protocols.tftp.options import Terms
from filehub.protocols.tftp.receiver import Receiver
from filehub.protocols.tftp.sender import Sender
from filehub.protocols.tftp.session import Buffer, Session
from filehub.protocols.tftp.settings import TFTPSettings

SETTINGS = TFTPSettings()


@dataclass
class Weather:
    """
    @ivar loss: probability that a packet is lost, in each direction.
    @ivar duplicate: that it comes twice.
    @ivar reorder: that it is overtaken by those sent within the next few delays.
    @ivar delay: seconds one way.
    @ivar room: DATA packets that fit where the way is narrow; 0: it is wide.
    @ivar service: seconds that each of them takes to get through there.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.001
    room: int = 0
    service: float = 0.0002


class Network:
    """
    Virtual time and packets on their way.

    @ivar sent: how many DATA packets were sent.
    @ivar troubles: how many packets were lost, doubled or overtaken.
    """

    def __init__(self, seed: int = 0, weather: Weather | None = None) -> None:
        self.now = 100.0
        self.random = random.Random(seed)
        self.weather = weather or Weather()
        self.sent = 0
        self.troubles = 0
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        #: When those leave the narrow place that are in it.
        self._narrow: list[float] = []
        self._count = 0

    def at(self, when: float, call: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (when, self._count, call))

    def transmit(self, packet: bytes, deliver: Callable[[bytes], None]) -> None:
        """Send a packet; it arrives, or does not."""
        weather, dice = self.weather, self.random
        if packet[1] == wire.DATA:
            self.sent += 1
        copies = 2 if dice.random() < weather.duplicate else 1
        self.troubles += copies - 1
        for _ in range(copies):
            if dice.random() < weather.loss:
                self.troubles += 1
                continue
            delay = weather.delay
            if weather.room and packet[1] == wire.DATA:
                self._narrow = [each for each in self._narrow if each > self.now]
                if len(self._narrow) >= weather.room:
                    continue
                self._narrow.append(max([self.now, *self._narrow]) + weather.service)
                delay += self._narrow[-1] - self.now
            if dice.random() < weather.reorder:
                delay *= 1 + 3 * dice.random()
                self.troubles += 1
            self.at(self.now + delay, lambda: deliver(packet))

    def run(self, peers: Sequence[Timed], seconds: float = 3600.0) -> None:
        """Until nothing is on its way and nobody waits for a timer, or time is up."""
        limit = self.now + seconds
        while True:
            due = min((peer.due for peer in peers), default=math.inf)
            arrival = self._queue[0][0] if self._queue else math.inf
            when = min(due, arrival)
            if when > limit:
                self.now = limit
                return
            self.now = max(self.now, when)
            if arrival <= due:
                heapq.heappop(self._queue)[2]()
            else:
                for peer in peers:
                    if peer.due <= self.now:
                        peer.timeout(self.now)


class Timed:
    """Somebody with a timer."""

    due: float = math.inf

    def timeout(self, now: float) -> None:
        raise AssertionError(f"no timer was set, at {now}")


class Blocks:
    """
    A file as a source of blocks, always at hand.  The memory of those that were taken
    before is used again, so that they are not what they were.
    """

    early = True

    def __init__(self, content: bytes, blksize: int) -> None:
        self.content = content
        self.blksize = blksize
        self._taken: list[memoryview] = []

    def take(self, first: int, count: int) -> Sequence[Buffer] | None:
        start = (first - 1) * self.blksize
        stop = min(start + count * self.blksize, len(self.content) + 1)
        for old in self._taken:
            old[:] = b"?" * len(old)
        self._taken = [
            memoryview(bytearray(self.content[each : each + self.blksize]))
            for each in range(start, stop, self.blksize)
        ]
        return self._taken


class Collected:
    """A target that publishes at once."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.finished = 0
        self.receiver: Receiver | None = None
        self.now: Callable[[], float] = lambda: 0.0

    def extend(self, payloads: Sequence[Buffer]) -> bool:
        self.content += b"".join(payloads)
        return True

    def finish(self) -> None:
        self.finished += 1
        if self.receiver is not None:
            self.receiver.published(self.now())


class Server(Timed):
    """A session on the network; the L{Link} of it."""

    def __init__(self, network: Network, deliver: Callable[[bytes], None]) -> None:
        self._network = network
        self._deliver = deliver
        self.session: Session
        self.outcomes: list[tuple[Outcome, str]] = []
        self.closings = 0
        #: Every packet that was sent.
        self.log: list[bytes] = []
        #: How many packets a burst may have; None: all that are wanted.
        self.room: int | None = None

    @property
    def due(self) -> float:  # type: ignore[override]
        return self.session.due

    def timeout(self, now: float) -> None:
        self.session.timeout(now)

    def receive(self, packet: bytes) -> None:
        if not self.session.over:
            self.session.packetReceived(packet, self._network.now)

    def send(self, packet: bytes) -> None:
        self.log.append(packet)
        self._network.transmit(packet, self._deliver)

    def sendBlocks(self, parts: Sequence[Buffer], segment: int) -> int:
        packets = [bytes(parts[each]) + bytes(parts[each + 1]) for each in range(0, len(parts), 2)]
        for packet in packets[:-1]:
            if len(packet) != segment:
                raise AssertionError(f"a block in the middle has {len(packet)} octets")
        taken = packets if self.room is None else packets[: self.room]
        for packet in taken:
            self.send(packet)
        return len(taken)

    def finished(self, outcome: Outcome, reason: str) -> None:
        self.outcomes.append((outcome, reason))

    def closed(self) -> None:
        self.closings += 1


class Reader(Timed):
    """
    A client that reads, as RFC 1350 and RFC 7440 have it, with a fixed timer.

    @param chatty: like EDK2, it says for each packet out of order what it has.
    @param patience: seconds until it repeats itself.
    """

    def __init__(
        self,
        network: Network,
        terms: Terms,
        *,
        chatty: bool = False,
        patience: float = 3.0,
    ) -> None:
        self._network = network
        self._terms = terms
        self._chatty = chatty
        self._patience = patience
        self.server: Callable[[bytes], None]
        self.content = bytearray()
        self.block = 0
        self._inWindow = 0
        self._gap = 0
        self.complete = False
        self.completed = math.inf
        self.duplicates = 0
        self.acks = 0
        self.due = network.now + patience

    def _number(self, block: int) -> int:
        if self._terms.rollover and block > 65535:
            return (block - 1) % 65535 + 1
        return block % 65536

    def _ack(self) -> None:
        self._inWindow = 0
        self.acks += 1
        self._network.transmit(wire.encodeAck(self._number(self.block)), self.server)

    def receive(self, packet: bytes) -> None:
        kind = wire.opcode(packet)
        if kind == wire.OACK and not self.block:
            self._ack()
        elif kind == wire.DATA:
            self._data(packet[2] << 8 | packet[3], packet[4:])
        if not self.complete:
            self.due = self._network.now + self._patience

    def _data(self, number: int, payload: bytes) -> None:
        modulus = 65535 if self._terms.rollover else 65536
        ahead = (number - self.block) % modulus
        if ahead * 2 >= modulus:
            ahead -= modulus
        if ahead <= 0:
            self.duplicates += 1
            # The last ACK got lost, or this packet was doubled.
            if ahead == 0 or self._chatty:
                self._ack()
        elif ahead > 1:
            block = self.block + ahead
            if self._chatty or not self._gap or block <= self._gap:
                self._ack()
            self._gap = block
        elif not self.complete:
            self._gap = 0
            self.block += 1
            self.content += payload
            self._inWindow += 1
            self.complete = len(payload) < self._terms.blksize
            if self.complete or self._inWindow >= self._terms.window:
                self._ack()
            if self.complete:
                self.due = math.inf
                self.completed = self._network.now

    def timeout(self, now: float) -> None:
        self.due = now + self._patience
        if self.block:
            self._ack()


class Writer(Timed):
    """A client that writes, as RFC 1350 and RFC 7440 have it, with a fixed timer."""

    def __init__(
        self, network: Network, terms: Terms, content: bytes, *, patience: float = 1.0
    ) -> None:
        self._network = network
        self._terms = terms
        self._content = content
        self._patience = patience
        self.server: Callable[[bytes], None]
        self.base = 1
        self.last = len(content) // terms.blksize + 1
        self.complete = False
        self.due = network.now + patience

    def _send(self) -> None:
        size = self._terms.blksize
        for block in range(self.base, min(self.base + self._terms.window, self.last + 1)):
            data = self._content[(block - 1) * size : block * size]
            self._network.transmit(wire.dataHeader(block) + data, self.server)
        self.due = self._network.now + self._patience

    def receive(self, packet: bytes) -> None:
        kind = wire.opcode(packet)
        if kind == wire.OACK and self.base == 1:
            self._send()
        elif kind == wire.ACK:
            ahead = ((packet[2] << 8 | packet[3]) - (self.base - 1)) % 65536
            sent = min(self._terms.window, self.last + 1 - self.base)
            started = self.base > 1 or self.due < math.inf
            if ahead == 0 and self.base == 1 and not self._terms.answer and started:
                self._send()
            elif 0 < ahead <= sent:
                self.base += ahead
                if self.base > self.last:
                    self.complete = True
                    self.due = math.inf
                else:
                    self._send()
            elif ahead == 0 and self._terms.window > 1 and self.base > 1:
                self._send()

    def timeout(self, now: float) -> None:
        self._send()


def download(
    content: bytes,
    terms: Terms,
    network: Network,
    settings: TFTPSettings = SETTINGS,
    *,
    chatty: bool = False,
    seconds: float = 3600.0,
) -> tuple[Server, Reader]:
    """Let a client read, until all is quiet."""
    reader = Reader(network, terms, chatty=chatty)
    server = Server(network, reader.receive)
    reader.server = server.receive
    server.session = Sender(server, Blocks(content, terms.blksize), terms, settings, network.now)
    server.session.begin(network.now)
    network.run((server, reader), seconds)
    return server, reader


def upload(
    content: bytes, terms: Terms, network: Network, settings: TFTPSettings = SETTINGS
) -> tuple[Server, Writer, Collected]:
    """Let a client write, until all is quiet."""
    writer = Writer(network, terms, content)
    server = Server(network, writer.receive)
    writer.server = server.receive
    target = Collected()
    receiver = Receiver(server, target, terms, settings, network.now)
    target.receiver = receiver
    target.now = lambda: network.now
    server.session = receiver
    receiver.begin(network.now)
    network.run((server, writer))
    return server, writer, target


def terms(blksize: int = 512, window: int = 1, rollover: int = 0) -> Terms:
    """Terms with the OACK that they need."""
    answer = []
    if blksize != 512:
        answer.append((b"blksize", b"%d" % blksize))
    if window > 1:
        answer.append((b"windowsize", b"%d" % window))
    if rollover:
        answer.append((b"rollover", b"%d" % rollover))
    return Terms(blksize, window, None, None, rollover, tuple(answer))
