"""
The TFTP server: its listening port, and which requests become transfers.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from functools import partial
from typing import Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from filehub.credentials import Address, ConnectionInfo
from filehub.deadlines import Deadline, Deadlines
from filehub.errors import LimitExceeded
from filehub.events import Event
from filehub.interfaces import IEventSink, ISessionRegistry, ISessionSlot
from filehub.logins import IAddressLogin, LoginPortal
from filehub.protocols.tftp import wire
from filehub.protocols.tftp.alarms import Alarms
from filehub.protocols.tftp.exchange import Exchange
from filehub.protocols.tftp.gate import RequestGate, isLoopback
from filehub.protocols.tftp.groups import Groups
from filehub.protocols.tftp.hub import Hub
from filehub.protocols.tftp.listening import openListener
from filehub.protocols.tftp.lockstep import Lockstep
from filehub.protocols.tftp.names import Naming
from filehub.protocols.tftp.options import Bounds, Terms
from filehub.protocols.tftp.ports import OwnPort, PortOwner, SharedPort
from filehub.protocols.tftp.settings import TFTPSettings
from filehub.protocols.tftp.spares import SparePorts
from filehub.transfer.datagrams import (
    Datagram,
    ListeningSocket,
    SocketAddress,
    addressOf,
    interfaceMTU,
    plainHost,
)
from filehub.transfer.sharing import SharedReads

#: Requests that are looked at in one turn of the reactor; transfers have their turn too.
_TURN: Final = 16
#: Seconds between looks at crawling transfers, and at what may be forgotten.
_SWEEP: Final = 10.0
#: IP, UDP and TFTP headers.
_OVERHEAD4: Final = 32
_OVERHEAD6: Final = 52
#: Octets of a window that fit into a socket's receive buffer of the usual size.
_RECEIVABLE: Final = 128 * 1024

#: What boots the machines we know of.
DEFAULTS: Final = TFTPSettings()

#: How a datagram begins that asks for something.
_REQUESTS: Final = (b"\0\x01", b"\0\x02")

#: Peer, and the address of ours that it asked.
Key = tuple[SocketAddress, str]


def _tellNobody(event: Event) -> None:
    """There are no observers."""


class _Listener:
    """The listening socket in the hub: new requests take turns with running transfers."""

    _log = Logger()

    def __init__(self, sock: ListeningSocket, service: TFTPService) -> None:
        self.socket = sock
        self._service = service
        shared = service.settings.singlePort
        self._turn = 1
        self._size = (wire.MAXIMUM_PACKET if shared else wire.MAXIMUM_REQUEST) + 1

    def fileno(self) -> int:
        return self.socket.fileno()

    def doRead(self) -> None:
        # A look that finds nothing costs as much as a request: as many as came last time.
        for _ in range(self._turn):
            datagram = self.socket.receive(self._size)
            if datagram is None:
                self._turn = 1
                return
            try:
                self._service.datagramReceived(datagram)
            except Exception:
                # Our mistake must cost one client its transfer, not all their port.
                self._log.failure("a TFTP request failed in a way that it must not")
        self._turn = min(2 * self._turn, _TURN)

    def doWrite(self) -> None:
        """Nobody waits for that: what does not fit into the kernel's buffer is lost."""

    def connectionLost(self, reason: Failure) -> None:
        """There is none to lose: an error that a reply met is to be read away."""
        if self.socket.fileno() != -1:
            self.doRead()


class TFTPService(Service):
    """
    Serves a portal's accounts over TFTP.

    The client is logged in by its address: L{filehub.credentials.PeerAddress}.
    """

    _log = Logger()
    name: str | None = "tftp"

    def __init__(
        self,
        reactor: IReactorFDSet,
        portal: LoginPortal,
        listen: str = "udp:6969:interface=127.0.0.1",
        settings: TFTPSettings = DEFAULTS,
        *,
        sessions: ISessionRegistry | None = None,
        sink: IEventSink | None = None,
        deadlines: Deadlines | None = None,
        openSocket: Callable[[], ListeningSocket] | None = None,
    ) -> None:
        """
        @param reactor: also provides L{IReactorTime}.
        @param listen: C{udp:PORT[:interface=ADDRESS]} or C{systemd:...}.
        @param sessions: of the whole server; each transfer is a session.
        @param deadlines: those of the whole server, for what takes its time.
        @param openSocket: binds in another way what C{listen} says.
        """
        self.clock = IReactorTime(reactor)
        self.portal = portal
        self.addresses: IAddressLogin | None = IAddressLogin(portal, None)
        self.settings = settings
        self.reads = SharedReads(self.clock.seconds)
        self._reactor = reactor
        self._openSocket = openSocket or partial(openListener, listen)
        self._sessions = sessions
        self.emit: Callable[[Event], None] = _tellNobody if sink is None else sink.emit
        self._deadlines = deadlines if deadlines is not None else Deadlines(self.clock)
        self._alarms = Alarms(self.clock)
        self.groups: Groups | None = None
        self._spares: SparePorts | None = None
        self._listener: _Listener | None = None
        self._exchanges: dict[Key, Exchange] = {}
        #: Those whose client has not answered yet, oldest first.
        self._unproven: dict[Key, Exchange] = {}
        #: Those whose client has not answered because it only listens.
        self._listening: set[Key] = set()
        self._clients: dict[str, int] = {}
        self._all: set[Exchange] = set()
        self._gate = self._newGate()
        self.naming = Naming(settings.names, self.clock.seconds)
        self._numbers = itertools.count(1)
        self._sweeping: Deadline | None = None
        self._misses = 0
        #: By interface, address of ours and direction; an MTU may change.
        self._bounds: dict[tuple[int, str, bool], Bounds] = {}
        self._locals: dict[str, Address] = {}

    # --- life -----------------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """
        Bind, while root may.

        @raise ConfigurationError: that is not possible; says why in one line.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        self._bind()

    def startService(self) -> None:
        """Serve."""
        super().startService()  # type: ignore[no-untyped-call]
        listener = self._bind()
        hub = self._newHub()
        self._spares = SparePorts(hub, self.clock)
        multicast = self.settings.multicast
        if multicast is not None and not self.settings.singlePort:
            self.groups = Groups(self.clock, self._alarms, hub, self.settings, multicast)
        hub.addReader(listener)
        self._sweeping = self._deadlines.after(_SWEEP, self._sweep)
        self._log.info("TFTP listens on {address}", address=str(listener.socket.address))

    def stopService(self) -> Deferred[None]:
        """End all transfers; fires when nothing is open any more."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        listener, self._listener = self._listener, None
        running = []
        for exchange in list(self._all):
            running.append(exchange.whenReleased())
            exchange.refuse("server is shutting down")
        if listener is not None:
            if self._spares is not None:
                self._spares.hub.removeReader(listener)
            listener.socket.close()
        return DeferredList(running).addCallback(self._stopped)

    def _stopped(self, _: object) -> None:
        if self._spares is not None:
            self._spares.clear()
            self._spares.hub.close()
            self._spares = None
        self._alarms.stop()

    @property
    def address(self) -> Address:
        """
        Where it listens, once it does.

        @raise LimitExceeded: it does not.
        """
        if self._listener is None:
            raise LimitExceeded("not listening")
        return self._listener.socket.address

    @property
    def transfers(self) -> int:
        """How many there are now."""
        return len(self._all)

    def _bind(self) -> _Listener:
        if self._listener is None:
            self._listener = _Listener(self._open(), self)
        return self._listener

    def _open(self) -> ListeningSocket:
        return self._openSocket()

    def _newHub(self) -> Hub:
        return Hub(self._reactor)

    def _newGate(self) -> RequestGate:
        s = self.settings
        return RequestGate(
            s.requestRate,
            s.requestBurst,
            s.totalRequestRate,
            s.totalRequestBurst,
            self.clock.seconds(),
        )

    # --- requests -------------------------------------------------------------------

    def datagramReceived(self, datagram: Datagram) -> None:
        """
        Something came to the listening port.  Only RRQ and WRQ get an answer there,
        ever (CVE-2024-2169); with a single port the rest goes to running transfers.
        """
        data = datagram.data
        key = (datagram.peer, datagram.local)
        running = self._exchanges.get(key)
        if data[:2] not in _REQUESTS:
            if running is not None and self.settings.singlePort:
                running.packetReceived(data)
            return
        if datagram.peer[1] in self.settings.refusedPorts:
            return
        if not (datagram.direct or self.settings.answerBroadcast):
            return
        if running is not None:
            if running.datagram.data == data and (key in self._unproven or key in self._listening):
                running.requestRepeated()
                return
            # Ports are used again, by firmware after a reset above all.
            self._drop(running, "the client asked for something new")
        request = wire.parseRequest(data)
        peer = addressOf(datagram.peer)
        if request is None or not self._hasRoom(peer.host):
            return
        if request.mode is None or request.mode is wire.Mode.MAIL:
            self.reply(datagram, wire.encodeError(wire.ErrorCode.ILLEGAL_OPERATION, "unknown mode"))
            return
        self._serve(key, datagram, request, peer)

    def _hasRoom(self, host: str) -> bool:
        settings = self.settings
        if self._clients.get(host, 0) >= settings.maximumTransfersPerClient:
            if not isLoopback(host):
                return False
        if not self._gate.admit(host, self.clock.seconds()):
            return False
        if (
            len(self._exchanges) < settings.maximumTransfers
            and len(self._unproven) < settings.maximumUnproven
        ):
            return True
        # A flood from forged addresses fills the table with those who never answer.
        # Those whose storage still has to let go of them count as well, to a point.
        oldest = next(iter(self._unproven.values()), None)
        if oldest is None or len(self._all) >= 2 * settings.maximumTransfers:
            return False
        self._drop(oldest, "made room for others")
        return True

    def _serve(self, key: Key, datagram: Datagram, request: wire.Request, peer: Address) -> None:
        local = self._locals.get(datagram.local)
        if local is None:
            local = Address(plainHost(datagram.local), self.address.port)
            self._locals[datagram.local] = local
        exchange = Exchange(self, key, datagram, request)
        slot: ISessionSlot | None = None
        if self._sessions is not None:
            try:
                slot = self._sessions.admit(
                    "tftp", peer, local, secure=False, disconnect=exchange.refuse
                )
            except LimitExceeded:
                # Silence: an answer would only help to reach somebody with it.
                return
            connection = slot.connection
        else:
            connection = ConnectionInfo("tftp", next(self._numbers), peer, local)
        self._exchanges[key] = self._unproven[key] = exchange
        self._all.add(exchange)
        self._clients[peer.host] = self._clients.get(peer.host, 0) + 1
        exchange.start(connection, slot)

    def _drop(self, exchange: Exchange, reason: str) -> None:
        """End it, and hear nothing of it any more, even if its storage takes its time."""
        exchange.abandon(reason)
        if self._exchanges.get(exchange.key) is exchange:
            del self._exchanges[exchange.key]
            self._unproven.pop(exchange.key, None)
            self._listening.discard(exchange.key)

    # --- what exchanges need ----------------------------------------------------------

    def boundsFor(self, datagram: Datagram, *, write: bool) -> Bounds:
        """The most that is granted on the way that this request came."""
        way = (datagram.interface, datagram.local, write)
        bounds = self._bounds.get(way)
        if bounds is None:
            bounds = self._bounds[way] = self._boundsOf(datagram, write)
        return bounds

    def _boundsOf(self, datagram: Datagram, write: bool) -> Bounds:
        settings = self.settings
        blksize = settings.maximumBlksize
        if settings.fitInterface and datagram.interface:
            mtu = interfaceMTU(datagram.interface)
            if mtu is not None:
                overhead = _OVERHEAD6 if ":" in plainHost(datagram.local) else _OVERHEAD4
                blksize = max(8, min(blksize, mtu - overhead))
        inFlight = settings.maximumInFlight
        return Bounds(
            blksize, settings.maximumWindow, min(inFlight, _RECEIVABLE) if write else inFlight
        )

    def openPort(self, datagram: Datagram, owner: PortOwner, blksize: int) -> OwnPort | SharedPort:
        """
        A way to send and receive.

        @param blksize: octets in a block.
        @raise LimitExceeded: there is no descriptor or no port left.
        """
        listener, spares = self._serving()
        if self.settings.singlePort:
            return SharedPort(self.clock, self._alarms, owner, listener, datagram)
        large = blksize > wire.DEFAULT_BLKSIZE
        try:
            sock = spares.open(listener, datagram, self.settings.portRange, large=large)
        except OSError as error:
            raise LimitExceeded("no port left for a transfer") from error
        return OwnPort(spares.hub, self.clock, self._alarms, owner, sock)

    def openLockstep(
        self,
        datagram: Datagram,
        owner: Exchange,
        content: bytes,
        terms: Terms,
        settings: TFTPSettings,
    ) -> Lockstep:
        """
        A way to send a small file with a window of one, from a port of its own.

        @raise LimitExceeded: as L{openPort}.
        """
        listener, spares = self._serving()
        large = terms.blksize > wire.DEFAULT_BLKSIZE
        try:
            spare = spares.connect(listener, datagram, settings.portRange, large=large)
        except OSError as error:
            raise LimitExceeded("no port left for a transfer") from error
        return Lockstep(spares, spare, self._alarms, owner, content, terms, settings)

    def _serving(self) -> tuple[ListeningSocket, SparePorts]:
        if self._listener is None or self._spares is None:
            raise LimitExceeded("not listening")
        return self._listener.socket, self._spares

    def reply(self, datagram: Datagram, packet: bytes) -> None:
        """Send one packet from the listening port; what cannot be sent is lost."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.socket.send((packet,), datagram)

    def missed(self, filename: bytes) -> None:
        """Boot loaders try a dozen names before they find one: no news for anybody."""
        self._misses += 1
        self._log.debug("no such file: {name!r}", name=filename)

    def proved(self, exchange: Exchange) -> None:
        """The peer has answered: its address is not forged."""
        key = exchange.key
        if self._unproven.get(key) is exchange:
            del self._unproven[key]
        self._listening.discard(key)
        self._gate.proved(exchange.connection.peer.host)

    def listens(self, exchange: Exchange) -> None:
        """The client answers when it is its turn, and makes no room for others until then."""
        if self._unproven.get(exchange.key) is exchange:
            del self._unproven[exchange.key]
            self._listening.add(exchange.key)

    def forget(self, exchange: Exchange) -> None:
        """Nothing is left of it."""
        if exchange not in self._all:
            return
        self._all.discard(exchange)
        if self._exchanges.get(exchange.key) is exchange:
            del self._exchanges[exchange.key]
            self._unproven.pop(exchange.key, None)
            self._listening.discard(exchange.key)
        host = exchange.connection.peer.host
        left = self._clients[host] - 1
        if left:
            self._clients[host] = left
        else:
            del self._clients[host]

    def _sweep(self) -> None:
        self._sweeping = self._deadlines.after(_SWEEP, self._sweep)
        now = self.clock.seconds()
        for exchange in list(self._all):
            exchange.checkRate(now)
        self._bounds.clear()
        self._locals.clear()
        if self._misses:
            self._log.info("{count} requests for files that are not there", count=self._misses)
            self._misses = 0
