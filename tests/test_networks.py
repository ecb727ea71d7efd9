"""
Addresses of peers, and what they are counted by.
"""

from __future__ import annotations

import ipaddress

from twisted.trial.unittest import SynchronousTestCase

from filehub.networks import addressOf, holdingOf, isWithin


class PeerTests(SynchronousTestCase):
    """L{addressOf}, L{holdingOf} and L{isWithin}."""

    def test_addresses(self) -> None:
        """One form for each address: no scope, no IPv4 in IPv6's clothes."""
        self.assertEqual(addressOf("::ffff:192.0.2.7"), ipaddress.ip_address("192.0.2.7"))
        self.assertEqual(addressOf("fe80::1%eth0"), ipaddress.ip_address("fe80::1"))
        self.assertIsNone(addressOf("/run/socket"))

    def test_holdings(self) -> None:
        """An IPv6 client has all of its /64, an IPv4 client one address."""
        self.assertEqual(holdingOf("2001:db8::1"), holdingOf("2001:db8::ffff:1"))
        self.assertNotEqual(holdingOf("2001:db8::1"), holdingOf("2001:db8:0:1::1"))
        self.assertNotEqual(holdingOf("192.0.2.1"), holdingOf("192.0.2.2"))
        self.assertEqual(holdingOf("::ffff:192.0.2.1"), holdingOf("192.0.2.1"))
        self.assertEqual(holdingOf("/run/socket"), "/run/socket")

    def test_within(self) -> None:
        """What is no address is in no network, not even in all of them."""
        everything = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
        self.assertTrue(isWithin("192.0.2.1", everything))
        self.assertTrue(isWithin("fe80::1%eth0", everything))
        self.assertFalse(isWithin("/run/socket", everything))
        self.assertFalse(isWithin("192.0.2.1", everything[1:]))
