"""
The groups of a TFTP service (RFC 2090): who is in which, on what address, and the socket
of each.

Clients share a group if they would get the very same blocks: one account, one path, one
state of the file, one block size, asked at one address of ours over one interface.  Each
of them was let in by itself, and has opened the file by itself; a group shows nobody a
file that he could not read alone.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from filehub.credentials import Address
from filehub.errors import FileHubError
from filehub.interfaces import IFileAccount, IReadHandle
from filehub.paths import VirtualPath
from filehub.protocols.tftp import replies, wire
from filehub.protocols.tftp.alarms import Alarms
from filehub.protocols.tftp.hub import Watcher
from filehub.protocols.tftp.multicast import MAXIMUM_BLOCKS, Group, Member
from filehub.protocols.tftp.options import Bounds, withMulticast
from filehub.protocols.tftp.ports import Port, PortOwner
from filehub.protocols.tftp.session import Buffer
from filehub.protocols.tftp.settings import MulticastSettings, TFTPSettings
from filehub.transfer.blocks import BlockReader, RateGate
from filehub.transfer.datagrams import Datagram, SocketAddress, plainHost
from filehub.transfer.groupsocket import GroupAddress, GroupSocket

#: Enough for an ACK and for an ERROR.
_ANSWER_SIZE: Final = 600
#: Datagrams that are looked at before others have their turn.
_TURN: Final = 16

#: Address and port of a group.
Place = tuple[GroupAddress, int]


@implementer(IReadDescriptor)
class GroupPort:
    """
    The socket and the timer of one group.

    @ivar group: what the clients hear.
    @ivar place: where they hear it.
    @ivar handle: what it is read from; that of the first client.
    """

    group: Group
    reader: BlockReader

    def __init__(
        self,
        watcher: Watcher,
        clock: IReactorTime,
        alarms: Alarms,
        sock: GroupSocket,
        place: Place,
        handle: IReadHandle,
    ) -> None:
        self.place = place
        self.handle = handle
        self.seconds = clock.seconds
        self._watcher = watcher
        self._alarms = alarms
        self._socket = sock
        #: By their address, as the socket tells it.
        self._members: dict[tuple[str, int], MemberPort] = {}
        watcher.addReader(self)

    def begin(self, group: Group, reader: BlockReader) -> None:
        """This is what clients hear from now on."""
        self.group = group
        self.reader = reader
        self._alarms.add(self)

    def enter(self, port: MemberPort) -> None:
        """One more client."""
        self._members[_key(port.peer)] = port

    def leave(self, port: MemberPort) -> None:
        """One less; whoever asks twice from one port has but one place."""
        if self._members.get(_key(port.peer)) is port:
            del self._members[_key(port.peer)]
        self.settle()

    def failed(self, error: FileHubError) -> None:
        """There are no more blocks to be had: everybody is told."""
        for port in list(self._members.values()):
            port.session.fail(replies.codeFor(error), replies.textFor(error))

    def resume(self) -> None:
        """Storage is ready again."""
        self.group.resume(self.seconds())
        self.settle()

    def settle(self) -> None:
        """After anything happened: see to the timer."""
        if self.group.due < self._alarms.next:
            self._alarms.expect(self.group.due)

    @property
    def due(self) -> float:
        """See L{filehub.protocols.tftp.alarms.Sleeper}."""
        return self.group.due

    def ring(self, now: float) -> None:
        """See L{filehub.protocols.tftp.alarms.Sleeper}."""
        # If it was we who were late, the answer is in the kernel's buffer.
        self.doRead()
        if self.group.due <= now:
            self.group.timeout(now)
        self.settle()

    def fileno(self) -> int:
        """The descriptor; -1 when closed."""
        return self._socket.fileno()

    def logPrefix(self) -> str:
        """See L{twisted.internet.interfaces.ILoggingContext}."""
        return "TFTP"

    def doRead(self) -> None:
        """Clients say something.  Nobody else gets an answer here."""
        for _ in range(_TURN):
            if self._socket.fileno() == -1:
                return
            try:
                packet, peer = self._socket.recvfrom(_ANSWER_SIZE)
            except OSError:
                # Nothing there, or an error that an earlier packet met on its way.
                return
            port = self._members.get(_key(peer))
            if port is not None:
                port.packetReceived(packet)

    def doWrite(self) -> None:
        """It is never waited for: what cannot be sent at once is lost."""

    def connectionLost(self, reason: Failure) -> None:
        """There is no connection to lose."""

    def sendTo(self, packet: bytes, peer: SocketAddress) -> None:
        """Send to one client."""
        try:
            self._socket.sendto(packet, peer)
        except OSError:
            # Lost before the first wire; the timer repairs that as any other loss.
            return

    def sendToGroup(self, header: bytes, payload: Buffer) -> None:
        """See L{filehub.protocols.tftp.multicast.GroupLink}."""
        try:
            self._socket.sendmsg((header, payload), (), 0, self._socket.group)
        except OSError:
            return

    def close(self) -> None:
        """Give the socket back."""
        self._alarms.discard(self)
        self._watcher.removeReader(self)
        self._socket.close()


class MemberPort(Port):
    """
    A L{filehub.protocols.tftp.session.Link} to one client of a group.

    @ivar peer: the client's address, as the socket module has it.
    """

    session: Member

    def __init__(
        self,
        house: Groups,
        port: GroupPort,
        owner: PortOwner,
        peer: SocketAddress,
        handle: IReadHandle,
    ) -> None:
        super().__init__(house.clock, house.alarms, owner)
        self.peer = peer
        self._house = house
        self._port = port
        self._handle = handle

    async def release(self) -> None:
        """Close what this client has opened, and the group's file after the last one."""
        port = self._port
        if self._handle is not port.handle:
            await self._handle.close()
        if not len(port.group):
            await port.reader.close()

    def send(self, packet: bytes) -> None:
        """See L{filehub.protocols.tftp.session.Link}."""
        self._port.sendTo(packet, self.peer)

    def sendBlocks(self, parts: Sequence[Buffer], segment: int) -> int:
        """See L{filehub.protocols.tftp.session.Link}.  Blocks go to the group."""
        return len(parts) // 2

    def _settle(self) -> None:
        super()._settle()
        self._port.settle()

    def _close(self) -> None:
        self._port.leave(self)
        self._house.left(self._port)


class Groups:
    """
    All groups of a service.

    @ivar clock: that of the service; C{alarms} likewise.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        alarms: Alarms,
        watcher: Watcher,
        settings: TFTPSettings,
        multicast: MulticastSettings,
    ) -> None:
        self.clock = clock
        self.alarms = alarms
        self._watcher = watcher
        self._settings = settings
        self._multicast = multicast
        self._ports: dict[Any, GroupPort] = {}
        self._keys: dict[GroupPort, Any] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._ports)

    def join(
        self,
        owner: PortOwner,
        started: float,
        request: wire.Request,
        datagram: Datagram,
        bounds: Bounds,
        account: IFileAccount,
        path: VirtualPath,
        handle: IReadHandle,
    ) -> MemberPort | None:
        """
        A place in the group that hears this file; L{None} if the client is to be served
        by itself.

        @param handle: the client's own.  The group may read from it until the last
            client has left.
        """
        if not any(name.lower() == b"multicast" for name, _ in request.options):
            return None
        facts = handle.attributes
        size = facts.size
        if facts.uniqueId is None:
            # Made for this client alone, for all we know.
            return None
        terms = withMulticast(request, bounds, size, b"")
        if size // terms.blksize + 1 > MAXIMUM_BLOCKS:
            return None
        key = (
            *(account.name, path, facts.uniqueId, facts.modified, size, terms.blksize),
            *(datagram.local, datagram.interface),
        )
        settings = self._settings.patient(account.limits.stall)
        port = self._ports.get(key)
        if port is None:
            port = self._open(datagram, handle)
            if port is None:
                return None
            gate = RateGate(self.clock, account.limits.download)
            reader = BlockReader(handle, terms.blksize, 1, gate, port.resume, port.failed)
            port.begin(Group(port, reader, size, terms.blksize, settings), reader)
            self._ports[key] = port
            self._keys[port] = key
        elif len(port.group) >= self._multicast.maximumClients:
            return None
        address, number = port.place
        terms = withMulticast(request, bounds, size, b"%s,%d," % (str(address).encode(), number))
        way = MemberPort(self, port, owner, datagram.peer, handle)
        way.session = Member(way, port.group, terms, settings, started)
        way.session.notes = (("group", str(Address(str(address), number))),)
        port.enter(way)
        return way

    def left(self, port: GroupPort) -> None:
        """A client has left this group; if it was the last one, there is no group."""
        if not len(port.group) and port in self._keys:
            del self._ports[self._keys.pop(port)]
            port.close()

    def _open(self, datagram: Datagram, handle: IReadHandle) -> GroupPort | None:
        place = self._place(6 if ":" in plainHost(datagram.local) else 4)
        if place is None:
            return None
        try:
            sock = self._socket(datagram, place)
        except OSError as error:
            self._log.warn("TFTP multicast: {reason}", reason=error.strerror or str(error))
            return None
        return GroupPort(self._watcher, self.clock, self.alarms, sock, place, handle)

    def _socket(self, datagram: Datagram, place: Place) -> GroupSocket:
        multicast = self._multicast
        name = multicast.interface
        return GroupSocket.open(
            datagram,
            *place,
            hops=multicast.hops,
            interface=socket.if_nametoindex(name) if name else 0,
            ports=self._settings.portRange,
        )

    def _place(self, version: int) -> Place | None:
        """An address and a port that no group is sent to; so that nobody hears two."""
        if len(self._ports) >= self._multicast.maximumGroups:
            return None
        taken = {port.place for port in self._ports.values()}
        return next((each for each in self._places(version) if each not in taken), None)

    def _places(self, version: int) -> Iterator[Place]:
        first, last = self._multicast.ports
        for network in self._multicast.networks:
            if network.version == version:
                for port in range(first, last + 1):
                    for address in network:
                        yield address, port


def _key(peer: SocketAddress) -> tuple[str, int]:
    return plainHost(peer[0]), peer[1]


__all__ = ["GroupPort", "Groups", "MemberPort"]
