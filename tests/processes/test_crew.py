"""
Tests of L{filehub.processes.crew}, with sockets on loopback.
"""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from filehub.errors import ConfigurationError
from filehub.processes.crew import Crew
from filehub.protocols.tftp.listening import openShared
from filehub.transfer.lingering import Lingering


class DatagramTests(SynchronousTestCase):
    """A socket for each process, on one port."""

    def test_seat(self) -> None:
        """The process of a seat reads from that seat's socket, the others' stay as they are."""
        crew = Crew(None, 2)
        own = crew.datagrams("udp:0:interface=127.0.0.1")()
        self.addCleanup(own.close)
        _, sockets = crew._datagrams[0]
        for each in sockets:
            self.addCleanup(each.close)
        self.assertEqual(len({each.address for each in sockets}), 1)
        self.patch(Lingering, "processes", 1)
        crew.sit(1, None)
        # Peers have no processor left where each of these takes one.
        self.assertEqual(Lingering.processes, 2)
        datagram = None
        for _ in range(200):
            # The kernel chooses by the client's port.
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(b"hello", (sockets[0].address.host, sockets[0].address.port))
            datagram = own.receive(100)
            if datagram is not None:
                break
        self.assertEqual(datagram and datagram.data, b"hello")

    def test_taken(self) -> None:
        """Another server's port is not shared, though it is of the same user."""
        first = openShared("udp:0:interface=127.0.0.1", 2)
        for each in first:
            self.addCleanup(each.close)
        text = f"udp:{first[0].address.port}:interface=127.0.0.1"
        error = self.assertRaises(ConfigurationError, openShared, text, 2)
        self.assertIn("cannot listen", str(error))

    def test_systemd(self) -> None:
        """A socket that is handed over cannot be divided."""
        self.assertRaises(ConfigurationError, openShared, "systemd:index=0", 2)
