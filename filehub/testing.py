"""
Doubles for the tests of applications that embed FileHub: no sockets, no threads, no
disk.  Nothing here is fit to serve strangers.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from zope.interface import implementer

from filehub.accounts.checkers import AnonymousChecker, NetworkChecker
from filehub.accounts.policy import PathRule
from filehub.accounts.realm import FileHubRealm
from filehub.accounts.records import (
    ANONYMOUS_NAME,
    AccountRecord,
    AccountTable,
    NetworkRecord,
)
from filehub.events import Event
from filehub.interfaces import IEventSink, IStorage
from filehub.paths import ROOT
from filehub.permissions import EVERYTHING, READ_ONLY, Permission
from filehub.vfs.memory import MemoryTree
from filehub.vfs.workers import ImmediateWorkers

_E = TypeVar("_E", bound=Event)

#: The account of clients that cannot log in.
_DEVICE: Final = "device"
_EVERYWHERE: Final = ("0.0.0.0/0", "::/0")


@implementer(IEventSink)
class RecordingSink:
    """
    Remembers what happened.

    @ivar events: oldest first.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        """See L{IEventSink.emit}."""
        self.events.append(event)

    def of(self, kind: type[_E]) -> list[_E]:
        """The events of one class."""
        return [event for event in self.events if isinstance(event, kind)]


def memoryPortal(
    storage: IStorage,
    *,
    users: Mapping[str, str] | None = None,
    allow: Permission = EVERYTHING,
    anonymous: Permission | None = READ_ONLY,
    device: Permission | None = READ_ONLY,
    networks: Iterable[str] = _EVERYWHERE,
    sink: IEventSink | None = None,
) -> Portal:
    """
    A portal for any of the protocol factories, with one storage, such as a
    L{MemoryTree}, and passwords in the clear, which are checked at once.

    @param users: passwords by name.
    @param allow: what users may do, everywhere.
    @param anonymous: what anonymous clients may do; L{None}: they are refused.
    @param device: what TFTP clients may do; L{None}: they are refused.
    @param networks: where TFTP clients are.
    """

    def record(name: str, permission: Permission) -> AccountRecord:
        return AccountRecord(name, rules=(PathRule(ROOT, permission),))

    users = users or {}
    records = [record(name, allow) for name in users]
    if device is not None:
        records.append(record(_DEVICE, device))
    guest = record(ANONYMOUS_NAME, anonymous) if anonymous is not None else None
    realm = FileHubRealm(AccountTable(records, guest), {ROOT: storage}, sink=sink)
    passwords = InMemoryUsernamePasswordDatabaseDontUse()
    for name, password in users.items():
        passwords.addUser(name.encode(), password.encode())
    portal = Portal(realm, [passwords])
    if guest is not None:
        portal.registerChecker(AnonymousChecker())
    if device is not None:
        known = [
            NetworkRecord(ipaddress.ip_network(each), _DEVICE, frozenset({"tftp"}))
            for each in networks
        ]
        portal.registerChecker(NetworkChecker(known, "tftp"))
    return portal


__all__ = ["ImmediateWorkers", "MemoryTree", "RecordingSink", "memoryPortal"]
