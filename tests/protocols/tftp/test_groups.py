"""
Which requests share a group, and which are served by themselves (RFC 2090).
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import replace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from filehub.errors import ConfigurationError, PermissionDenied, StorageUnavailable
from filehub.events import Outcome
from filehub.protocols.tftp import wire
from filehub.protocols.tftp.settings import MulticastSettings, TFTPSettings
from filehub.transfer.datagrams import Datagram, ListeningSocket
from filehub.transfer.groupsocket import GroupSocket
from tests.protocols.tftp.doubles import Host, Network, Site

GROUP = ("239.255.0.1", 1758)
MULTICAST = MulticastSettings((ipaddress.ip_network("239.255.0.1"),))


class GroupSocketDouble:
    """In the place of a L{GroupSocket}."""

    def __init__(self, network: Network, asked: Datagram, group: Any, port: int) -> None:
        network.port += 1
        self.local = (asked.local, network.port)
        self.group = (str(group), port)
        self.inbox: list[tuple[bytes, Any]] = []
        self.isClosed = False
        self.descriptor = network.nextDescriptor()
        self._network = network
        network.sockets[self.local] = self  # type: ignore[assignment]

    def fileno(self) -> int:
        return -1 if self.isClosed else self.descriptor

    def recvfrom(self, size: int) -> tuple[bytes, Any]:
        if not self.inbox:
            raise BlockingIOError()
        return self.inbox.pop(0)

    def sendto(self, packet: bytes, peer: Any) -> None:
        self._network.arrived(self.local, peer, packet)

    def sendmsg(self, parts: Any, ancillary: Any, flags: int, peer: Any) -> None:
        self._network.arrived(self.local, peer, b"".join(bytes(each) for each in parts))

    def close(self) -> None:
        self.isClosed = True


class GroupsCase(SynchronousTestCase):
    """
    A service with one address for groups.

    @ivar opened: the sockets of groups.
    """

    def setUp(self) -> None:
        self.opened: list[GroupSocketDouble] = []
        self.site = self.start(TFTPSettings(multicast=MULTICAST))

    def start(self, settings: TFTPSettings) -> Site:
        site = Site(settings)

        def openSocket(asked: Datagram, group: Any, port: int, **_: Any) -> GroupSocketDouble:
            self.opened.append(GroupSocketDouble(site.network, asked, group, port))
            return self.opened[-1]

        self.patch(GroupSocket, "open", openSocket)
        site.store("image", b"x" * 1300)
        return site

    def ask(self, host: str, *options: tuple[bytes, bytes], name: bytes = b"image") -> Host:
        client = self.site.client(host)
        client.read(name, (b"multicast", b""), *options)
        return client

    def say(self, client: Host, packet: bytes) -> None:
        """What a client says to the group's socket."""
        client.take()
        sock = self.opened[-1]
        sock.inbox.append((packet, client.address))
        reader = self.site.network.watcher.readers.get(sock.fileno())
        if reader is not None:
            reader.doRead()

    def role(self, client: Host) -> bytes:
        """C{multicast} in the OACK that came."""
        packet = client.one()
        self.assertEqual(packet[:2], b"\0\6")
        return dict(wire.parseOptions(packet))[b"multicast"]

    def heard(self) -> list[bytes]:
        """What the group heard since the last call."""
        inbox = self.site.network.inboxes.pop(GROUP, [])
        return [packet for _, packet in inbox]

    def assertAlone(self, client: Host) -> None:
        """The client is served as if it had not asked."""
        packet = client.one()
        self.assertNotIn(b"multicast", packet)
        self.assertIn(packet[1], (wire.DATA, wire.OACK))


class SharingTests(GroupsCase):
    """Clients that get the same bytes."""

    def test_share(self) -> None:
        """Two clients, one socket, one file; each has a record of its own."""
        one, two = self.ask("192.0.2.1"), self.ask("192.0.2.2")
        self.assertEqual(self.role(one), b"239.255.0.1,1758,1")
        self.assertEqual(self.role(two), b"239.255.0.1,1758,0")
        self.assertEqual(len(self.opened), 1)
        for block in range(3):
            self.say(one, wire.encodeAck(block))
        self.assertEqual(
            [each[:4] for each in self.heard()], [b"\0\3\0\1", b"\0\3\0\2", b"\0\3\0\3"]
        )
        self.say(one, wire.encodeAck(3))
        self.assertEqual(self.role(two), b"239.255.0.1,1758,1")
        self.say(two, wire.encodeAck(3))
        self.assertEqual(self.heard(), [])
        first, second = self.site.events.transfers
        self.assertEqual((first.outcome, second.outcome), (Outcome.COMPLETED, Outcome.COMPLETED))
        self.assertEqual((first.nbytes, second.nbytes), (1300, 1300))
        self.assertIn(("group", "239.255.0.1:1758"), first.notes)
        self.assertEqual((self.site.service.transfers, self.opened[0].isClosed), (0, True))
        self.assertEqual((self.site.door.logins, self.site.door.logouts), (2, 2))

    def test_firstLeaves(self) -> None:
        """The file stays open when the client leaves that opened it first."""
        one, two = self.ask("192.0.2.1"), self.ask("192.0.2.2")
        self.say(one, wire.encodeAck(0))
        two.take()
        self.say(one, wire.encodeError(0, "bye"))
        self.site.advance(0.01)
        self.assertEqual(self.role(two), b"239.255.0.1,1758,1")
        self.say(two, wire.encodeAck(1))
        self.assertEqual([each[3] for each in self.heard()], [1, 2])
        self.assertFalse(self.opened[0].isClosed)

    def test_asksAgain(self) -> None:
        """A listener that repeats its request is told its role again."""
        self.ask("192.0.2.1").take()
        two = self.ask("192.0.2.2")
        self.assertEqual(self.role(two), b"239.255.0.1,1758,0")
        self.site.advance(1.0)
        two.take()
        two.read(b"image", (b"multicast", b""))
        self.assertEqual(self.role(two), b"239.255.0.1,1758,0")
        self.assertEqual(self.site.door.logins, 2)

    def test_stranger(self) -> None:
        """Who is in no group gets no answer from one."""
        self.ask("192.0.2.1").take()
        stranger = self.site.client("192.0.2.77")
        self.say(stranger, wire.encodeAck(0))
        self.assertEqual((stranger.take(), self.heard()), ([], []))

    def test_manyListeners(self) -> None:
        """Those who listen make no room for others: they cannot answer yet."""
        self.site = self.start(
            TFTPSettings(multicast=MULTICAST, maximumUnproven=2, requestBurst=1000)
        )
        listeners = [self.ask(f"192.0.2.{each}") for each in range(1, 20)]
        self.assertEqual({len(each.take()) for each in listeners}, {1})
        self.assertEqual(self.site.service.transfers, 19)

    def test_storageFails(self) -> None:
        """When the file cannot be read any more, everybody is told."""
        one, two = self.ask("192.0.2.1"), self.ask("192.0.2.2")
        one.take(), two.take()

        async def readAt(offset: int, length: int) -> bytes:
            raise StorageUnavailable()

        for port in self.site.service.groups._keys:  # type: ignore[union-attr]
            port.handle.readAt = readAt  # type: ignore[method-assign]
        self.say(one, wire.encodeAck(0))
        self.assertEqual((one.one()[:2], two.one()[:2]), (b"\0\5", b"\0\5"))
        self.assertEqual((self.site.service.transfers, self.opened[0].isClosed), (0, True))

    def test_stop(self) -> None:
        """When the service stops, everybody is told and nothing stays open."""
        one, two = self.ask("192.0.2.1"), self.ask("192.0.2.2")
        one.take(), two.take()
        stopped = self.site.service.stopService()
        self.successResultOf(stopped)
        self.assertEqual((one.one()[:2], two.one()[:2]), (b"\0\5", b"\0\5"))
        self.assertTrue(self.opened[0].isClosed)
        self.assertEqual(self.site.reactor.getDelayedCalls(), [])


class SeparateTests(GroupsCase):
    """Clients that are not put together."""

    def test_blockSizes(self) -> None:
        """With other blocks it is another group, and there is but one address."""
        self.ask("192.0.2.1")
        self.assertAlone(self.ask("192.0.2.2", (b"blksize", b"1024")))

    def test_addresses(self) -> None:
        """With a second address, it is a second group."""
        networks = (ipaddress.ip_network("239.255.0.0/31"),)
        self.site = self.start(TFTPSettings(multicast=MulticastSettings(networks)))
        self.assertEqual(self.role(self.ask("192.0.2.1")), b"239.255.0.0,1758,1")
        other = self.ask("192.0.2.2", (b"blksize", b"1024"))
        self.assertEqual(self.role(other), b"239.255.0.1,1758,1")

    def test_changed(self) -> None:
        """A file that was replaced meanwhile is another file."""
        self.ask("192.0.2.1")
        self.site.store("image", b"y" * 1301)
        self.assertAlone(self.ask("192.0.2.2"))

    def test_accounts(self) -> None:
        """Another account may see another file under the same path."""
        self.ask("192.0.2.1")
        self.site.account.name = "other"
        self.assertAlone(self.ask("192.0.2.2"))

    def test_made(self) -> None:
        """What a storage made for this client is for nobody else."""
        view = self.site.view
        openForReading = view.openForReading

        async def openMade(path: Any) -> Any:
            handle = await openForReading(path)
            handle.attributes = handle.attributes._replace(uniqueId=None)
            return handle

        self.patch(view, "openForReading", openMade)
        self.assertAlone(self.ask("192.0.2.1"))

    def test_forbidden(self) -> None:
        """Who may not read the file gets error 2, and no group to listen to."""
        self.ask("192.0.2.1").take()

        async def openForReading(path: Any) -> Any:
            raise PermissionDenied(path)

        self.patch(self.site.view, "openForReading", openForReading)
        client = self.ask("192.0.2.2")
        self.assertEqual(client.one()[:4], b"\0\5\0\2")
        self.assertEqual(self.site.service.transfers, 1)

    def test_missing(self) -> None:
        """A file that is not there is error 1."""
        self.assertEqual(self.ask("192.0.2.1", name=b"missing").one()[:4], b"\0\5\0\1")

    def test_full(self) -> None:
        """Above the limits, clients are served by themselves."""
        few = replace(MULTICAST, maximumClients=1)
        self.site = self.start(TFTPSettings(multicast=few))
        self.ask("192.0.2.1")
        self.assertAlone(self.ask("192.0.2.2"))

    def test_tooLong(self) -> None:
        """Block numbers must not come twice."""
        self.site.store("image", b"x" * (8 * 65535))
        self.assertAlone(self.ask("192.0.2.1", (b"blksize", b"8")))

    def test_longest(self) -> None:
        """65535 blocks are not too many."""
        self.site.store("image", b"x" * (8 * 65535 - 1))
        self.assertEqual(self.role(self.ask("192.0.2.1", (b"blksize", b"8")))[-2:], b",1")

    def test_netascii(self) -> None:
        """Converted files are sent one by one."""
        client = self.site.client()
        client.read(b"image", (b"multicast", b""), mode=b"netascii")
        self.assertAlone(client)

    def test_off(self) -> None:
        """Without addresses, with a single port, or without the option, nothing changes."""
        self.site.client().read(b"image")
        self.assertEqual(len(self.opened), 0)
        for settings in (TFTPSettings(), TFTPSettings(multicast=MULTICAST, singlePort=True)):
            self.site = self.start(settings)
            self.assertAlone(self.ask("192.0.2.1"))

    def test_noSocket(self) -> None:
        """If there is no such interface, clients are served by themselves."""

        def openSocket(*_: Any, **__: Any) -> Any:
            raise OSError(19, "No such device")

        self.patch(GroupSocket, "open", openSocket)
        self.assertAlone(self.ask("192.0.2.1"))

    def test_family(self) -> None:
        """IPv6 clients hear no IPv4 group."""
        client = self.site.client("2001:db8::1", local="2001:db8::2")
        client.read(b"image", (b"multicast", b""))
        self.assertAlone(client)


class SettingsTests(SynchronousTestCase):
    """What an operator may say."""

    def test_mistakes(self) -> None:
        """Values that cannot work are refused."""
        group = ipaddress.ip_network("239.255.0.0/30")
        for values in (
            {"networks": ()},
            {"networks": (ipaddress.ip_network("10.0.0.0/8"),)},
            {"networks": (group,), "ports": (0, 5)},
            {"networks": (group,), "ports": (9, 5)},
            {"networks": (group,), "hops": 0},
        ):
            self.assertRaises(ConfigurationError, MulticastSettings, **values)


class SocketTests(SynchronousTestCase):
    """Real sockets, over loopback."""

    def test_loopback(self) -> None:
        """A member and the group hear the same port; the socket hears the member."""
        listening = ListeningSocket.bind("127.0.0.1", 0)
        self.addCleanup(listening.close)
        loopback = socket.if_nametoindex("lo")
        member = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(member.close)
        member.bind(("", 0))
        member.settimeout(5)
        membership = socket.inet_aton("239.255.0.1") + socket.inet_aton("127.0.0.1")
        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        port = member.getsockname()[1]
        asked = Datagram(b"", ("127.0.0.1", port), "127.0.0.1", loopback, True)
        sock = GroupSocket.open(asked, ipaddress.IPv4Address("239.255.0.1"), port, hops=1)
        self.addCleanup(sock.close)
        sock.sendto(b"single", ("127.0.0.1", port))
        one, source = member.recvfrom(100)
        sock.sendmsg((b"all", b"blocks"), (), 0, sock.group)
        both, again = member.recvfrom(100)
        self.assertEqual((one, both, source), (b"single", b"allblocks", again))
