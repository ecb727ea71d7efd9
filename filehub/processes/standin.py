"""
A reactor to come: what a server is built with before the process that it will run in.

The server is made, and its ports are bound, while root may and where the operator looks;
but it runs in processes that part from this one later, each with a reactor of its own.
Until then this stands in for it.  Ports are bound by the reactor of the process that
binds, which never accepts anything from them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import (
    IListeningPort,
    IReactorCore,
    IReactorFDSet,
    IReactorFromThreads,
    IReactorTime,
)
from twisted.internet.protocol import Factory
from zope.interface import classImplements, implementer

from filehub.errors import ConfigurationError


@implementer(IListeningPort)
class WaitingPort:
    """A port that is bound now and accepts when there is a reactor."""

    def __init__(self, port: Any, factory: Any) -> None:
        """
        @param port: bound with the reactor of this process.
        """
        # The queue of connections is the kernel's, and all processes take from it.
        port.stopReading()
        self._bound = port
        self._factory = factory
        self._port: Any = None
        self._opened: Callable[[Any, int], object] | None = None

    def open(self, reactor: Any) -> None:
        """Accept, in the process that this reactor runs."""
        self._port = reactor.adoptStreamPort(
            self._bound.fileno(), self._bound.addressFamily, self._factory
        )
        if self._opened is not None:
            # One at a time: who is busy leaves the next to another process.
            self._opened(self._port, 1)

    def whenOpen(self, opened: Callable[[Any, int], object]) -> None:
        """
        @param opened: called with the port in the process that serves it, and with how
            many connections it should take in a turn.
        """
        self._opened = opened

    def startListening(self) -> None:
        """See L{IListeningPort}: it has been bound."""

    def stopListening(self) -> Any:
        """See L{IListeningPort}: no more in this process."""
        port, self._port = self._port or self._bound, None
        return port.stopListening()

    def getHost(self) -> Any:
        """See L{IListeningPort}."""
        return self._bound.getHost()


class StandIn:
    """
    See this module's introduction.

    @ivar ports: those that were bound so far.
    """

    def __init__(self, binding: Any) -> None:
        """
        @param binding: the reactor of this process.
        """
        self._binding = binding
        self._reactor: Any = None
        self.ports: list[WaitingPort] = []

    def become(self, reactor: Any) -> None:
        """From now on everything is this reactor's; it accepts from all ports."""
        self._reactor = reactor
        for port in self.ports:
            port.open(reactor)

    @staticmethod
    def seconds() -> float:
        """See L{IReactorTime.seconds}; nobody can set this clock."""
        return time.monotonic()

    def listenTCP(
        self, port: int, factory: Any, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        """See L{twisted.internet.interfaces.IReactorTCP.listenTCP}."""
        if self._reactor is not None:
            found: IListeningPort = self._reactor.listenTCP(port, factory, backlog, interface)
            return found
        return self._keep(self._binding.listenTCP(port, _silent(), backlog, interface), factory)

    def adoptStreamPort(self, descriptor: int, family: int, factory: Any) -> IListeningPort:
        """See L{twisted.internet.interfaces.IReactorSocket.adoptStreamPort}."""
        if self._reactor is not None:
            found: IListeningPort = self._reactor.adoptStreamPort(descriptor, family, factory)
            return found
        return self._keep(self._binding.adoptStreamPort(descriptor, family, _silent()), factory)

    def _keep(self, port: Any, factory: Any) -> WaitingPort:
        waiting = WaitingPort(port, factory)
        self.ports.append(waiting)
        return waiting

    def listenUNIX(self, *_: Any, **__: Any) -> IListeningPort:
        """
        See L{twisted.internet.interfaces.IReactorUNIX.listenUNIX}.

        @raise ConfigurationError: always: its lock is one process's.
        """
        raise ConfigurationError(
            "with several workers: expected a listener of tcp: or systemd:, found a unix: one"
        )

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """
        Any other method: a call that reaches the reactor that there is by then.
        """

        if name.startswith("_"):
            raise AttributeError(name)
        if self._reactor is not None:
            found: Callable[..., Any] = getattr(self._reactor, name)
            return found

        def later(*args: Any, **keywords: Any) -> Any:
            return getattr(self._reactor, name)(*args, **keywords)

        return later


def _silent() -> Factory:
    factory = Factory()
    factory.noisy = False
    return factory


# Said so, and not declared: its methods are those of the reactor that it stands for.
classImplements(StandIn, IReactorTime, IReactorFDSet, IReactorCore, IReactorFromThreads)


__all__ = ["StandIn", "WaitingPort"]
