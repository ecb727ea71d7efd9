"""
One file for many clients (RFC 2090): who is the master, who hears what, and who is
waited for, on a network in memory.
"""

from __future__ import annotations

import math

from twisted.trial.unittest import SynchronousTestCase

from filehub.events import Outcome
from filehub.protocols.tftp import wire
from filehub.protocols.tftp.multicast import Group, Member
from filehub.protocols.tftp.options import Bounds, Terms, withMulticast
from filehub.protocols.tftp.session import Buffer
from filehub.protocols.tftp.wire import Mode, Request
from tests.integration.harness import content
from tests.protocols.tftp.network import SETTINGS, Blocks, Network, Timed, Weather

TERMS = Terms(answer=((b"multicast", b"239.255.0.1,1758,"),))


class Listener(Timed):
    """
    A client that marks which blocks it has, and acknowledges while it is the master.

    @ivar heard: the payloads by block number.
    @ivar roles: what the OACKs said.
    @ivar ended: when the server was done with it.
    """

    patience = 3.0

    def __init__(self, room: Room, name: str) -> None:
        self.name = name
        self.heard: dict[int, bytes] = {}
        self.last = math.inf
        self.master = False
        self.done = False
        self.gone = False
        self.roles: list[bytes] = []
        self.errors: list[int] = []
        self.acks: list[int] = []
        self.outcomes: list[tuple[Outcome, str]] = []
        self.ended = math.inf
        self.due = math.inf
        self._room = room
        self.member = Member(self, room.group, TERMS, SETTINGS, room.network.now)

    # --- the way to it: a link ------------------------------------------------------

    def send(self, packet: bytes) -> None:
        self._room.network.transmit(packet, self.receive)

    def sendBlocks(self, parts: object, segment: int) -> int:
        raise AssertionError("blocks go to the group")

    def finished(self, outcome: Outcome, reason: str) -> None:
        self.outcomes.append((outcome, reason))
        self.ended = self._room.network.now

    def closed(self) -> None:
        """See L{filehub.protocols.tftp.session.Link}."""

    # --- the client -------------------------------------------------------------------

    @property
    def contiguous(self) -> int:
        block = 0
        while block + 1 in self.heard:
            block += 1
        return block

    def content(self) -> bytes:
        return b"".join(self.heard[each] for each in sorted(self.heard))

    def receive(self, packet: bytes) -> None:
        if self.gone or self.done:
            return
        kind = wire.opcode(packet)
        if kind == wire.OACK:
            role = dict(wire.parseOptions(packet))[b"multicast"].rpartition(b",")[2]
            self.roles.append(role)
            self.master = role == b"1"
        elif kind == wire.ERROR:
            self.errors.append(packet[3])
            self.done = True
            return
        elif kind == wire.DATA:
            block = packet[2] << 8 | packet[3]
            self.heard[block] = packet[4:]
            if len(packet) < 516:
                self.last = block
        if self.master:
            self.acknowledge()

    def acknowledge(self) -> None:
        self.due = self._room.network.now + self.patience
        block = self.contiguous
        self.say(wire.encodeAck(block))
        if block == self.last:
            self.done = True
            self.due = math.inf

    def say(self, packet: bytes) -> None:
        if packet[1] == wire.ACK:
            self.acks.append(packet[3])
        self._room.network.transmit(packet, self._arrived)

    def _arrived(self, packet: bytes) -> None:
        self.member.packetReceived(packet, self._room.network.now)

    def timeout(self, now: float) -> None:
        self.due = math.inf
        if not (self.gone or self.done):
            self.acknowledge()


class Room(Timed):
    """A group and its clients."""

    def __init__(self, data: bytes, network: Network | None = None) -> None:
        self.network = network or Network()
        self.data = data
        self.group = Group(self, Blocks(data, 512), len(data), 512, SETTINGS)
        self.listeners: list[Listener] = []
        #: The number of each block that was sent.
        self.blocks: list[int] = []

    def sendToGroup(self, header: bytes, payload: Buffer) -> None:
        self.blocks.append(header[2] << 8 | header[3])
        packet = header + bytes(payload)
        for each in self.listeners:
            self.network.transmit(packet, each.receive)

    def enter(self, after: float = 0.0) -> Listener:
        """One more client, now or in a while."""
        listener = Listener(self, f"client {len(self.listeners)}")
        self.network.at(self.network.now + after, lambda: self._begin(listener))
        return listener

    def _begin(self, listener: Listener) -> None:
        self.listeners.append(listener)
        listener.member.begin(self.network.now)

    @property
    def due(self) -> float:  # type: ignore[override]
        return self.group.due

    def timeout(self, now: float) -> None:
        self.group.timeout(now)

    def run(self, *listeners: Listener, seconds: float = 3600.0) -> None:
        self.network.run((self, *listeners), seconds)


class GroupTests(SynchronousTestCase):
    """One thing after the other, without loss."""

    def assertComplete(self, room: Room, *listeners: Listener) -> None:
        for each in listeners:
            self.assertEqual(each.content(), room.data)
            self.assertEqual(each.outcomes, [(Outcome.COMPLETED, "")])
            self.assertEqual(each.member.nbytes, len(room.data))
        self.assertEqual(len(room.group), 0)

    def test_alone(self) -> None:
        """One client gets every block once, whatever the size."""
        for size in (0, 1, 511, 512, 513, 5000):
            room = Room(content(size))
            one = room.enter()
            room.run(one)
            self.assertComplete(room, one)
            self.assertEqual(room.blocks, list(range(1, size // 512 + 2)))
            self.assertEqual(one.roles, [b"1"])

    def test_together(self) -> None:
        """Three clients hear every block once; the second and third ask for nothing."""
        room = Room(content(100_000))
        clients = [room.enter() for _ in range(3)]
        room.run(*clients)
        self.assertComplete(room, *clients)
        self.assertEqual(room.blocks, list(range(1, 197)))
        self.assertEqual([each.roles for each in clients], [[b"1"], [b"0", b"1"], [b"0", b"1"]])
        self.assertEqual([each.acks for each in clients[1:]], [[196], [196]])

    def test_late(self) -> None:
        """Who comes late is sent what he missed, and only that."""
        room = Room(content(100_000))
        first, late = room.enter(), room.enter(0.1)
        room.run(first, late)
        self.assertComplete(room, first, late)
        repeated = room.blocks[196:]
        self.assertEqual(repeated, list(range(1, len(repeated) + 1)))
        self.assertLess(len(repeated), 60)

    def test_masterLeaves(self) -> None:
        """When the master gives up, the next one goes on where it is."""
        room = Room(content(100_000))
        first, second = room.enter(), room.enter()
        room.network.at(room.network.now + 0.1, lambda: first.say(wire.encodeError(0, "bye")))
        first.gone = False
        room.network.at(room.network.now + 0.1, lambda: setattr(first, "gone", True))
        room.run(first, second)
        self.assertEqual(first.outcomes, [(Outcome.ABORTED, "client error 0: bye")])
        self.assertComplete(room, second)
        self.assertLess(len(room.blocks), 200)

    def test_masterVanishes(self) -> None:
        """A silent master is waited for five seconds, tried once more, and given up."""
        room = Room(content(100_000))
        first, second, third = room.enter(), room.enter(), room.enter()
        started = room.network.now
        room.network.at(started + 0.1, lambda: setattr(first, "gone", True))
        room.run(first, second, third, seconds=7)
        self.assertEqual((second.done, third.done), (True, True))
        room.run(first)
        self.assertComplete(room, second, third)
        self.assertEqual([outcome for outcome, _ in first.outcomes], [Outcome.STALLED])
        self.assertEqual(second.roles, [b"0", b"1"])

    def test_vanishedAlone(self) -> None:
        """A master that nobody waits for has all the time that any client has."""
        room = Room(content(100_000))
        one = room.enter()
        room.network.at(room.network.now + 0.1, lambda: setattr(one, "gone", True))
        room.run(one, seconds=SETTINGS.stall - 1)
        self.assertEqual(one.outcomes, [])
        room.run(one)
        self.assertEqual(one.outcomes, [(Outcome.STALLED, "timed out")])

    def test_comesBack(self) -> None:
        """A master that was passed over gets its turn again at the end of the queue."""
        room = Room(content(100_000))
        first, second = room.enter(), room.enter()
        now = room.network.now
        room.network.at(now + 0.1, lambda: setattr(first, "gone", True))
        room.network.at(now + 5.2, lambda: setattr(first, "gone", False))
        room.run(first, second)
        self.assertComplete(room, first, second)
        self.assertEqual(first.roles[-1], b"1")

    def test_neverAnswers(self) -> None:
        """Who does not answer when it is its turn gets few packets, and no ERROR."""
        room = Room(content(3000))
        silent, other = room.enter(), room.enter()
        sent: list[bytes] = []
        silent.receive = sent.append  # type: ignore[method-assign]
        room.run(silent, other)
        self.assertComplete(room, other)
        self.assertEqual(silent.outcomes, [(Outcome.STALLED, "the client never answered")])
        oacks = [each for each in sent if each[1] == wire.OACK]
        self.assertEqual(len(oacks), 2 * SETTINGS.firstCopies)
        self.assertEqual([each for each in sent if each[1] == wire.ERROR], [])

    def test_forged(self) -> None:
        """Nothing but four OACKs goes out for a client that is not there."""
        room = Room(content(3000))
        silent = room.enter()
        silent.gone = True
        room.run(silent)
        self.assertEqual(room.blocks, [])
        self.assertEqual(silent.member._copies, SETTINGS.firstCopies)

    def test_finishedListener(self) -> None:
        """A client may finish by itself, by an ACK for the last block."""
        room = Room(content(100_000))
        first, second = room.enter(), room.enter()
        room.run(first, second, seconds=0.1)
        second.heard = dict.fromkeys(range(1, 197), b"")
        second.say(wire.encodeAck(196))
        second.done = True
        room.run(first, second)
        self.assertEqual(second.outcomes, [(Outcome.COMPLETED, "")])
        self.assertEqual(second.roles, [b"0"])
        self.assertComplete(room, first)

    def test_outOfTurn(self) -> None:
        """An ACK out of turn is answered with C{mc=0}; too many are an ERROR."""
        room = Room(content(500_000))
        first, second = room.enter(), room.enter()
        room.run(first, second, seconds=0.1)
        second.say(wire.encodeAck(3))
        room.run(first, second, seconds=0.1)
        self.assertEqual(second.roles, [b"0", b"0"])
        for _ in range(Member.STRAYS):
            second.say(wire.encodeAck(3))
        room.run(first, second)
        self.assertEqual(second.errors, [wire.ErrorCode.ILLEGAL_OPERATION])
        self.assertEqual([each for each, _ in second.outcomes], [Outcome.FAILED])
        self.assertComplete(room, first)

    def test_sorcerer(self) -> None:
        """An ACK that comes twice does not send a block twice."""
        room = Room(content(5000))
        one = room.enter()
        room.network.weather.duplicate = 1.0
        room.run(one)
        self.assertEqual(one.content(), room.data)
        self.assertEqual(room.blocks, list(range(1, 11)))

    def test_nonsense(self) -> None:
        """ACKs for blocks that do not exist, and other packets, are ignored."""
        room = Room(content(5000))
        one = room.enter()
        room.run(one, seconds=0.0015)
        for packet in (wire.encodeAck(999), b"", b"\0\4", b"\0\3\0\1", b"\1\4\0\1", b"\0\1a\0b\0"):
            one.say(packet + b"") if len(packet) > 3 else one._arrived(packet)
        room.run(one)
        self.assertComplete(room, one)

    def test_lastAckLost(self) -> None:
        """The last ACK often gets lost; others wait for it only shortly."""
        room = Room(content(5000))
        first, second = room.enter(), room.enter()
        say = first.say
        first.say = lambda packet: None if packet[3] == 10 else say(packet)  # type: ignore[method-assign]
        started = room.network.now
        room.run(first, second)
        self.assertEqual([each for each, _ in first.outcomes], [Outcome.UNCONFIRMED])
        self.assertComplete(room, second)
        self.assertLess(second.ended - started, 5)

    def test_asksAgain(self) -> None:
        """Who asks again, because the OACK got lost, is told its role again."""
        room = Room(content(100_000))
        first, second = room.enter(), room.enter()
        room.run(first, second, seconds=0.1)
        second.member.requestRepeated(room.network.now)
        room.run(first, second)
        self.assertEqual(second.roles, [b"0", b"0", b"1"])
        self.assertComplete(room, first, second)

    def test_probe(self) -> None:
        """Who only wanted to see the OACK is no failure."""
        room = Room(content(5000))
        one = room.enter()
        one.acknowledge = lambda: one.say(wire.encodeError(8, "only asking"))  # type: ignore[method-assign]
        room.run(one)
        self.assertEqual(one.outcomes, [(Outcome.PROBED, "only asking")])
        self.assertEqual(len(room.group), 0)


class WeatherTests(SynchronousTestCase):
    """Loss, doubles and disorder, always the same for a seed."""

    def test_seeds(self) -> None:
        """Everybody gets everything, and little is sent twice."""
        for seed in range(600):
            weather = Weather(
                loss=(0.0, 0.02, 0.15)[seed % 3],
                duplicate=(0.0, 0.1)[seed % 2],
                reorder=(0.0, 0.2)[seed // 2 % 2],
            )
            data = content((0, 511, 512, 20_000, 60_000)[seed % 5], str(seed))
            room = Room(data, Network(seed, weather))
            clients = [room.enter(0.03 * number * (seed % 4)) for number in range(1 + seed % 6)]
            # An OACK or a request that is lost is asked for again.
            for each in clients:
                self._insist(room, each)
            room.run(*clients)
            last = len(data) // 512 + 1
            for each in clients:
                self.assertEqual((seed, each.name, len(each.outcomes)), (seed, each.name, 1))
                outcome, reason = each.outcomes[0]
                expected = [Outcome.COMPLETED, Outcome.UNCONFIRMED]
                if each.done and each.acks.count(last) == 1:
                    # That it has everything was lost on the way, and it is gone.
                    expected.append(Outcome.STALLED)
                self.assertIn(outcome, expected, (seed, each.name, reason))
                self.assertEqual(each.content(), data, (seed, each.name))
            # Late clients miss the beginning; losses cost what was lost, and ACKs; and
            # those who are gone are waited for.
            missed = sum(last for each in clients[1:] if seed % 4)
            gone = sum(each.outcomes[0][0] is not Outcome.COMPLETED for each in clients)
            allowed = last * (1 + 4 * weather.loss * (1 + len(clients))) + missed + 12 + 50 * gone
            self.assertLess(len(room.blocks), allowed, seed)

    def _insist(self, room: Room, listener: Listener) -> None:
        def again() -> None:
            if not listener.roles and not listener.done:
                listener.member.requestRepeated(room.network.now)
                room.network.at(room.network.now + 1.0, again)

        room.network.at(room.network.now + 1.0, again)


class OptionTests(SynchronousTestCase):
    """What is granted together with multicast."""

    def test_order(self) -> None:
        """In the client's order and spelling, and no window."""
        request = Request(
            False,
            b"x",
            Mode.OCTET,
            ((b"tsize", b"0"), (b"Multicast", b""), (b"windowsize", b"8"), (b"blksize", b"1428")),
        )
        terms = withMulticast(request, Bounds(1468, 64, 1 << 20), 5000, b"239.1.1.1,1758,")
        self.assertEqual(
            terms.answer,
            ((b"tsize", b"5000"), (b"Multicast", b"239.1.1.1,1758,"), (b"blksize", b"1428")),
        )
        self.assertEqual((terms.window, terms.blksize), (1, 1428))
