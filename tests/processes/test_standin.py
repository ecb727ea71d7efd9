"""
Tests of L{filehub.processes.standin}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from filehub.errors import ConfigurationError
from filehub.processes.standin import StandIn


class BoundPort:
    """A port of the process that binds."""

    addressFamily = 2

    def __init__(self) -> None:
        self.reading = True

    def stopReading(self) -> None:
        self.reading = False

    def fileno(self) -> int:
        return 77


class Binding:
    """The reactor of the process that binds."""

    def __init__(self) -> None:
        self.bound: list[Any] = []

    def listenTCP(self, port: int, factory: Any, backlog: int, interface: str) -> BoundPort:
        self.bound.append((port, interface, factory))
        return BoundPort()


class Later(Clock):
    """The reactor of the process that serves."""

    def __init__(self) -> None:
        super().__init__()
        self.adopted: list[Any] = []

    def adoptStreamPort(self, descriptor: int, family: int, factory: Any) -> Any:
        self.adopted.append((descriptor, family, factory))
        return type("Port", (), {})()


class StandInTests(SynchronousTestCase):
    """Built with one, running on another."""

    def setUp(self) -> None:
        self.binding, self.reactor = Binding(), Later()
        self.standIn = StandIn(self.binding)

    def test_methods(self) -> None:
        """A method that was looked up early reaches the reactor that comes later."""
        early = self.standIn.callLater
        self.standIn.become(self.reactor)
        called: list[int] = []
        early(1.0, called.append, 1)
        self.standIn.callLater(2.0, called.append, 2)
        self.reactor.advance(2)
        self.assertEqual(called, [1, 2])

    def test_interfaces(self) -> None:
        """Who adapts it gets it."""
        for interface in (IReactorTime, IReactorFDSet):
            self.assertIs(interface(self.standIn), self.standIn)

    def test_ports(self) -> None:
        """A port is bound at once, by the other reactor, and accepts only later."""
        factory = Factory()
        port: Any = self.standIn.listenTCP(21, factory, interface="192.0.2.1")
        number, interface, silent = self.binding.bound[0]
        self.assertEqual((number, interface), (21, "192.0.2.1"))
        self.assertIsNot(silent, factory)
        self.assertFalse(port._bound.reading)
        opened: list[Any] = []
        port.whenOpen(lambda *told: opened.append(told))
        self.standIn.become(self.reactor)
        self.assertEqual(self.reactor.adopted, [(77, 2, factory)])
        # One connection at a time.
        self.assertEqual(opened, [(port._port, 1)])

    def test_otherPorts(self) -> None:
        """What cannot be shared is refused in words."""
        self.assertRaises(ConfigurationError, self.standIn.listenUNIX, "socket", Factory())
