"""
Logins by address without a Deferred: whatever changes holds for the very next one.
"""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from datetime import date
from typing import Any

from twisted.cred.error import LoginFailed, UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from filehub.accounts.admission import Admission, NotAdmitted
from filehub.accounts.checkers import NetworkChecker
from filehub.accounts.peers import PeerPortal
from filehub.accounts.realm import FileHubRealm
from filehub.accounts.records import AccountRecord, AccountTable, NetworkRecord
from filehub.credentials import Address, ConnectionInfo, PeerAddress
from filehub.interfaces import IFileAccount
from filehub.logins import IAddressLogin
from filehub.paths import ROOT
from filehub.vfs.memory import MemoryTree
from tests.accounts.doubles import at, now, rules

BOOT = AccountRecord("boot", rules=rules({"/": "elr"}))
OTHER = AccountRecord("other", rules=rules({"/": "elr"}))


def network(text: str, account: str) -> NetworkRecord:
    return NetworkRecord(ipaddress.ip_network(text), account, frozenset(["tftp"]))


def caller(host: str = "192.0.2.7") -> ConnectionInfo:
    return ConnectionInfo("tftp", 1, Address(host, 2000), Address("192.0.2.1", 69))


class PeerPortalTests(SynchronousTestCase):
    """L{PeerPortal}."""

    def setUp(self) -> None:
        tree = MemoryTree()
        tree.putFile("/file", b"public")
        self.table = AccountTable([BOOT, OTHER])
        # Ten years after the beginning of the clock.
        self.realm = FileHubRealm(self.table, {ROOT: tree}, now=lambda: 3650 * 86400.0)
        self.networks = NetworkChecker([network("192.0.2.0/24", "boot")], "tftp")
        self.portal = Portal(self.realm, [self.networks])
        self.peers = PeerPortal(self.portal, self.networks, self.realm)

    def enter(self, host: str = "192.0.2.7") -> IFileAccount:
        account: IFileAccount = now(self.peers.accountAt(caller(host)))
        return account

    def refused(self, kind: type[LoginFailed], host: str = "192.0.2.7") -> None:
        """By both doors alike."""
        login = self.peers.login(PeerAddress(caller(host).peer, caller(host).local), caller(host))
        self.failureResultOf(login, kind)
        self.failureResultOf(Deferred.fromCoroutine(self.peers.accountAt(caller(host))), kind)

    def test_interface(self) -> None:
        """It provides what it says."""
        verifyObject(IAddressLogin, self.peers)

    def test_same(self) -> None:
        """The account is that of the portal's own login."""
        where = caller()
        credentials = PeerAddress(where.peer, where.local)
        _, account, _ = self.successResultOf(self.peers.login(credentials, where, IFileAccount))
        found = self.enter()
        self.assertEqual((found.name, found.home), (account.name, account.home))
        self.assertEqual(found.permissionLetters(at("/file")), "elr")

    def test_strangers(self) -> None:
        """An address of no network is nobody's, the first time and later."""
        for _ in range(2):
            self.refused(UnauthorizedLogin, "198.51.100.1")

    def test_otherNetworks(self) -> None:
        """Networks that are read anew hold for addresses that were here before."""
        self.assertEqual(self.enter().name, "boot")
        self.networks.replace([network("192.0.2.0/24", "boot"), network("192.0.2.7/32", "other")])
        self.assertEqual(self.enter().name, "other")
        self.networks.replace([])
        self.refused(UnauthorizedLogin)
        self.networks.replace([network("192.0.2.0/24", "boot")])
        self.assertEqual(self.enter().name, "boot")

    def test_otherRules(self) -> None:
        """Rules that an account has now are those that count."""
        self.enter()
        self.table.replace([replace(BOOT, rules=rules({"/": "el"}))])
        self.assertEqual(self.enter().permissionLetters(at("/file")), "el")

    def test_otherLimits(self) -> None:
        """So are its limits."""
        before: Any = self.enter().limits
        self.assertIsNone(before.sessionTime)
        self.table.replace([replace(BOOT, limits=replace(BOOT.limits, sessionTime=5.0))])
        self.assertEqual(self.enter().limits.sessionTime, 5.0)

    def test_notAnyMore(self) -> None:
        """Accounts that were disabled, have expired or are gone serve nobody any more."""
        expired = Admission(expires=date(1975, 1, 1))
        for records in (
            [replace(BOOT, enabled=False)],
            [replace(BOOT, admissions=(expired,))],
            [],
        ):
            with self.subTest(records=len(records)):
                self.table.replace([BOOT])
                self.assertEqual(self.enter().name, "boot")
                self.table.replace(records)
                self.refused(LoginFailed)
        self.table.replace([replace(BOOT, admissions=(expired,))])
        self.refused(NotAdmitted)
