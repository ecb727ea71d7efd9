"""
Everything takes its time and may be interrupted anywhere; nothing is lost or left.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from filehub.events import Outcome, TransferEnded
from filehub.interfaces import IRandomAccess
from filehub.vfs.memory import MemoryFileSystem
from tests.protocols.ftp.doubles import Client, finalCodes


class Gates:
    """Every storage call waits here until it is let through."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[None]] = []
        self.opened = 0
        self.ended = 0

    def wait(self) -> Deferred[None]:
        gate: Deferred[None] = Deferred(self.waiting.remove)
        self.waiting.append(gate)
        return gate

    def letThrough(self) -> None:
        if self.waiting:
            self.waiting.pop(0).callback(None)


class Handle:
    """
    A handle whose methods take time, and which counts its endings.
    """

    def __init__(self, inner: Any, gates: Gates) -> None:
        self._inner = inner
        self._gates = gates
        self._isEnded = False
        gates.opened += 1

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if name not in ("readAt", "writeAt", "nextPage", "commit", "abort", "close"):
            return attribute

        async def slowly(*arguments: Any) -> Any:
            await self._gates.wait()
            if self._isEnded and name in ("readAt", "writeAt", "nextPage", "commit"):
                raise AssertionError(f"{name} after the end")
            try:
                return await attribute(*arguments)
            finally:
                if name in ("commit", "abort", "close") and not self._isEnded:
                    self._isEnded = True
                    self._gates.ended += 1

        return slowly


@implementer(IRandomAccess)
class SlowFileSystem:
    """A file system whose methods take time."""

    def __init__(self, inner: MemoryFileSystem, gates: Gates) -> None:
        self._inner = inner
        self._gates = gates

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        async def slowly(*arguments: Any, **keywords: Any) -> Any:
            await self._gates.wait()
            result = await method(*arguments, **keywords)
            return Handle(result, self._gates) if name.startswith("open") else result

        return slowly


LINES = st.sampled_from(
    [
        *("RETR f", "RETR none", "STOR new", "STOR f", "APPE f", "STOU", "LIST", "NLST *", "MLSD"),
        *("PASV", "PASV", "PASV", "ABOR", "ABOR", "STAT", "STAT /", "NOOP", "SIZE f", "MLST f"),
        *("CWD d", "RNFR f", "RNTO g", "TYPE A", "TYPE I", "REST 5", "DELE new", "MDTM f"),
        *("USER ann", "PASS secret", "REIN"),
    ]
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), LINES),
        st.tuples(st.just("gate"), st.none()),
        st.tuples(st.just("gate"), st.none()),
        st.tuples(
            st.sampled_from(
                ["data", "end", "break", "block", "unblock", "connect", "slow", "time"]
            ),
            st.none(),
        ),
    ),
    max_size=60,
)


class TurmoilTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=400)
    @given(STEPS, st.booleans())
    def test_nothingIsLostOrLeft(self, steps: list[tuple[str, Any]], lost: bool) -> None:
        """
        T-D10, T-D12, T-D20: one reply for each line; every handle ended once; the
        account ended once; what was reported complete was told complete.
        """
        client = Client()
        gates = Gates()
        client.tree.putFile("/f", b"0123456789")
        client.tree.putDirectory("/d")
        client.users.fileSystem = SlowFileSystem(client.tree.viewFor("ann"), gates)
        client.logIn()
        said, lines = b"", 0
        for action, argument in steps:
            stream = client.data.streams[-1] if client.data.streams else client.data.stream
            if action == "say":
                said += client.say(argument)
                lines += 1
            elif action == "gate":
                gates.letThrough()
            elif action == "data":
                stream.receive(b"abc")
            elif action == "end":
                stream.receive(b"")
            elif action == "break":
                stream.break_()
            elif action == "block":
                client.data.stream.isBlocked = True
            elif action == "unblock":
                stream.unblock()
            elif action == "slow":
                client.data.isSlow = not client.data.isSlow
            elif action == "connect":
                client.data.connect()
            else:
                client.clock.advance(2)
            said += client.take()
        if lost:
            client.disconnect()
        self.settle(client, gates)
        said += client.take()
        logins = said.count(b"230 ") + 1
        if not lost:
            complete = said.count(b"226 Transfer complete")
            events = [e for e in client.events(TransferEnded) if e.outcome is Outcome.COMPLETED]
            self.assertLessEqual(len(events), complete)
            self.assertEqual(len(finalCodes(said)), lines)
            client.disconnect()
            self.settle(client, gates)
        self.assertEqual(gates.ended, gates.opened)
        self.assertEqual(client.users.loggedOut, ["ann"] * logins)
        self.assertEqual(client.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def settle(self, client: Client, gates: Gates) -> None:
        """Let all go on until nothing does."""
        for _ in range(400):
            client.data.isSlow = False
            client.data.connect()
            for stream in [*client.data.streams, client.data.stream]:
                if not stream.end:
                    stream.unblock()
                    stream.receive(b"")
            if not gates.waiting:
                client.clock.advance(0)
                if not gates.waiting:
                    return
            gates.letThrough()
        raise AssertionError("it never ends")
