"""
Small stand-ins for the tests of accounts.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from argon2 import PasswordHasher
from twisted.internet.defer import Deferred
from zope.interface import implementer

from filehub.accounts.policy import PathRule, RulePolicy
from filehub.credentials import Address, ConnectionInfo
from filehub.events import Event
from filehub.interfaces import IEventSink
from filehub.paths import ROOT, VirtualPath
from filehub.permissions import parsePermissions

T = TypeVar("T")

#: Hashes in microseconds what the real one hashes in 40 ms.
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def now(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that must not wait for anything."""
    try:
        work.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    work.close()
    raise AssertionError("it waits")


def at(text: str) -> VirtualPath:
    """The path of this name."""
    return ROOT.join(text)


def rules(table: dict[str, str], origin: str = "") -> tuple[PathRule, ...]:
    """Rules from paths and letters."""
    return tuple(
        PathRule(at(path), parsePermissions(letters), origin) for path, letters in table.items()
    )


def policy(table: dict[str, str], *groups: Iterable[PathRule]) -> RulePolicy:
    """A policy from paths and letters."""
    return RulePolicy(rules(table), groups)


def connection(host: str = "192.0.2.7", protocol: str = "ftp") -> ConnectionInfo:
    """A client at this address."""
    return ConnectionInfo(protocol, 1, Address(host, 4711), Address("192.0.2.1", 21))


@implementer(IEventSink)
class Events:
    """
    Remembers what it is told.
    """

    def __init__(self) -> None:
        self.seen: list[Event] = []

    def emit(self, event: Event) -> None:
        """See L{IEventSink.emit}."""
        self.seen.append(event)


class Threads:
    """
    Instead of a thread pool: checks wait until they are run.

    @ivar waiting: those that have not been run.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[Deferred[Any], Any]] = []

    def defer(self, reactor: Any, pool: Any, work: Any, *arguments: Any) -> Deferred[Any]:
        """In the place of C{deferToThreadPool}."""
        done: Deferred[Any] = Deferred()
        self.waiting.append((done, lambda: work(*arguments)))
        return done

    def runAll(self) -> None:
        """All that waits, and what that brings about."""
        while self.waiting:
            done, work = self.waiting.pop(0)
            try:
                result = work()
            except Exception:
                done.errback()
            else:
                done.callback(result)


class CountingHasher:
    """
    A cheap hasher that remembers what it was asked.

    @ivar verified: the stored hashes.
    """

    def __init__(self) -> None:
        self.verified: list[str] = []

    def hash(self, password: bytes) -> str:
        """See L{PasswordHasher.hash}."""
        return CHEAP.hash(password)

    def verify(self, stored: str, password: bytes) -> bool:
        """See L{PasswordHasher.verify}."""
        self.verified.append(stored)
        return CHEAP.verify(stored, password)
