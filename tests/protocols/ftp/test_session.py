"""
One reply for every command, in order, whatever is said when.
"""

from __future__ import annotations

import gc
import re
import sys
from types import FunctionType
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from filehub.errors import NotFound
from filehub.events import ProtocolViolation
from filehub.protocols.ftp.commands import COMMANDS
from filehub.protocols.ftp.session import MAXIMUM_QUEUED
from filehub.protocols.ftp.settings import FTPSettings
from tests.protocols.ftp.doubles import EVERYTHING, Client, finalCodes


class Slow:
    """Storage whose C{stat} answers later, in order."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[None]] = []

    async def resolve(self, path: Any, *, followFinal: bool = True) -> Any:
        return path

    async def stat(self, path: Any) -> Any:
        deferred: Deferred[None] = Deferred()
        self.waiting.append(deferred)
        await deferred
        raise NotFound(path)

    def answer(self) -> None:
        """Let the oldest go on."""
        self.waiting.pop(0).callback(None)


class DispatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.client = Client(EVERYTHING).logIn()

    def test_unknown(self) -> None:
        """500 for what is no command, 502 for what RFCs have and we have not."""
        self.assertEqual(self.client.codes(["BLAH", "", " NOOP", "LIST\u00a0x"]), [500] * 4)
        self.assertEqual(self.client.codes(["SMNT /", "LPRT x", "lpsv", "ADAT x"]), [502] * 4)

    def test_case(self) -> None:
        """Verbs in any case."""
        self.assertEqual(self.client.codes(["noop", "Syst", "pWd"]), [200, 215, 257])

    def test_arguments(self) -> None:
        """Missing and unexpected arguments are 501; spaces alone are none."""
        for spec in COMMANDS:
            if spec.argument.value == "required":
                self.assertEqual(self.client.code(spec.verb), 501, spec.verb)
                self.assertEqual(self.client.code(spec.verb + " "), 501, spec.verb)
            elif spec.argument.value == "none" and spec.verb not in ("QUIT", "REIN"):
                self.assertEqual(self.client.code(f"{spec.verb} x"), 501, spec.verb)
        self.assertEqual(self.client.codes(["PWD ", "PASV  "]), [257, 227])

    def test_byteByByte(self) -> None:
        """A session that comes one byte at a time is the same session."""
        client = Client()
        client.tree.putFile("/f", b"0123456789")
        said = b""
        for byte in b"USER ann\r\nPASS secret\r\nTYPE I\r\nSIZE f\r\nPASV\r\nRETR f\r\nQUIT\r\n":
            client.protocol.dataReceived(bytes((byte,)))
            said += client.take()
        self.assertEqual(finalCodes(said), [331, 230, 200, 213, 227, 226, 221])
        self.assertEqual(client.data.streams[0].written, b"0123456789")

    def test_formats(self) -> None:
        """T-I4: nothing that a client says is evaluated."""
        said = self.client.say("CWD {session.account} %s %(x)s")
        self.assertIn(b"{session.account} %s %(x)s", said)

    def test_echo(self) -> None:
        """T-I1: a control character in a name is never sent back."""
        said = self.client.say(b"DELE a\r\0\x1b[2J\x85b")
        self.assertEqual(said, b"550 /a??[2J\x85b: no such file or directory\r\n")


class QueueTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.storage = Slow()
        self.client = Client(fileSystem=self.storage).logIn()

    def test_order(self) -> None:
        """Commands behind a slow one wait, and are answered in order."""
        self.assertEqual(self.client.say("MDTM a\r\nNOOP\r\nSIZE b\r\nSYST\r\nBLAH"), b"")
        self.storage.answer()
        self.assertEqual(finalCodes(self.client.take()), [550, 200])
        self.storage.answer()
        self.assertEqual(finalCodes(self.client.take()), [550, 215, 500])

    def test_bounded(self) -> None:
        """T-R5: with too many waiting, reading stops; it goes on when there is room."""
        self.client.say("MDTM a")
        self.client.say("\r\n".join(["NOOP"] * (MAXIMUM_QUEUED + 10)))
        self.assertEqual(self.client.transport.producerState, "paused")
        self.storage.answer()
        self.assertEqual(self.client.transport.producerState, "producing")
        self.assertEqual(finalCodes(self.client.take()), [550] + [200] * (MAXIMUM_QUEUED + 10))

    def test_abortWithoutTransfer(self) -> None:
        """ABOR interrupts transfers only; other commands are finished first."""
        self.client.say("MDTM a\r\nABOR")
        self.assertEqual(self.client.take(), b"")
        self.storage.answer()
        self.assertEqual(finalCodes(self.client.take()), [550, 226])

    def test_quitInBetween(self) -> None:
        """QUIT waits for its turn; what comes after it is not answered."""
        self.client.say("MDTM a\r\nQUIT\r\nNOOP")
        self.assertFalse(self.client.isClosed)
        self.storage.answer()
        self.assertEqual(finalCodes(self.client.take()), [550, 221])
        self.assertTrue(self.client.isClosed)

    def test_lost(self) -> None:
        """A connection that is lost ends the command and the account, once."""
        self.client.say("MDTM a\r\nMDTM b")
        self.client.disconnect()
        self.assertEqual(self.client.users.loggedOut, ["ann"])
        self.assertEqual(len(self.storage.waiting), 1)
        self.assertTrue(self.storage.waiting[0].called)

    def test_lostWhileClosing(self) -> None:
        """A session that was told to end while it is busy ends once."""
        self.client.say("MDTM a")
        session = self.client.protocol._session
        assert session is not None
        session.kick("test", "Bye.")
        self.assertEqual(self.client.take(), b"421 Bye.\r\n")
        self.client.disconnect()
        self.assertEqual(self.client.users.loggedOut, ["ann"])


class TransferQueueTests(SynchronousTestCase):
    """T-D13: what is said while bytes flow."""

    def setUp(self) -> None:
        self.client = Client().logIn()
        self.client.tree.putFile("/f", b"0123456789")
        self.client.code("PASV")
        self.stream = self.client.data.stream
        self.stream.isBlocked = True
        self.client.say("RETR f")

    def finish(self) -> list[int]:
        """The client reads; the codes that follow."""
        self.stream.unblock()
        return finalCodes(self.client.take())

    def test_quit(self) -> None:
        """QUIT waits for the transfer (RFC 959)."""
        self.assertEqual(self.client.say("QUIT"), b"")
        self.assertEqual(self.finish(), [226, 221])
        self.assertEqual(self.stream.written, b"0123456789")

    def test_others(self) -> None:
        """Everything but ABOR and STAT waits, and does no harm to the transfer."""
        self.assertEqual(
            self.client.say("NOOP\r\nPASV\r\nRNFR f\r\nTYPE A\r\nREIN\r\nUSER ann"), b""
        )
        self.assertEqual(self.finish(), [226, 200, 227, 350, 200, 220, 331])
        self.assertEqual(self.stream.end, "finished")
        self.assertEqual(self.stream.written, b"0123456789")
        self.assertEqual(self.client.users.loggedOut, ["ann"])

    def test_secondTransfer(self) -> None:
        """A second transfer follows the first."""
        self.client.say("PASV\r\nRETR f")
        self.assertEqual(self.finish(), [226, 227, 226])
        self.assertEqual([each.written for each in self.client.data.streams], [b"0123456789"] * 2)

    def test_status(self) -> None:
        """STAT is answered before the transfer ends."""
        self.assertEqual(finalCodes(self.client.say("STAT")), [211])
        self.assertEqual(self.finish(), [226])


class MistakeTests(SynchronousTestCase):
    def test_beforeLogin(self) -> None:
        """Ten lines of nonsense before login close the connection."""
        client = Client()
        self.assertEqual(client.codes(["BLAH"] * 10), [500] * 9 + [421])
        self.assertTrue(client.isClosed)

    def test_afterLogin(self) -> None:
        """After it they do not."""
        client = Client().logIn()
        self.assertEqual(client.codes(["BLAH"] * 100), [500] * 100)

    def test_longLines(self) -> None:
        """T-R4: 500 for a line that is too long, 421 for the third."""
        client = Client().logIn()
        long = "CWD " + "x" * 8200
        self.assertEqual(
            client.codes([long, "NOOP", long, "NOOP", long]), [500, 200, 500, 200, 421]
        )
        self.assertTrue(client.isClosed)

    def test_limits(self) -> None:
        """8192 bytes after login, 1024 before."""
        client = Client()
        self.assertEqual(client.code("NOOP " + "x" * 1020), 500)
        client.logIn()
        self.assertEqual(client.codes(["NOOP " + "x" * 8187, "NOOP " + "x" * 8188]), [200, 500])
        client = Client().logIn()
        self.assertEqual(client.codes(["REIN", "NOOP " + "x" * 1020]), [220, 500])

    def test_endless(self) -> None:
        """T-R4: a megabyte without an end of line is cut short."""
        client = Client()
        for _ in range(100):
            client.protocol.dataReceived(b"x" * 10_000)
        self.assertEqual(finalCodes(client.take()), [500, 421])
        self.assertTrue(client.isClosed)
        self.assertEqual(client.events(ProtocolViolation)[0].kind, "endless line")

    def test_otherProtocols(self) -> None:
        """HTTP, SMTP, SSH and TLS before login are closed without a word."""
        for line in (
            b"GET / HTTP/1.1", b"POST /x HTTP/1.0", b"Host: ftp.example.org", b"EHLO example.org",
            b"SSH-2.0-OpenSSH_9.2", b"\x16\x03\x01\x02\x00\x01\x00\x01", b"OPTIONS sip:x SIP/2.0",
        ):  # fmt: skip
            client = Client()
            self.assertEqual(client.say(line + b"\r\nUSER ann"), b"", line)
            self.assertTrue(client.isClosed)
            self.assertEqual(client.events(ProtocolViolation)[0].kind, "wrong protocol")

    def test_otherProtocolsAfterLogin(self) -> None:
        """After login they are unknown commands."""
        client = Client().logIn()
        self.assertEqual(client.codes(["GET /", "Host: x"]), [500, 500])


LINES = st.one_of(
    st.sampled_from([spec.verb for spec in COMMANDS if spec.verb != "QUIT"]),
    st.builds(
        lambda verb, argument: f"{verb} {argument}",
        st.sampled_from([spec.verb for spec in COMMANDS if spec.verb != "QUIT"]),
        st.one_of(
            st.sampled_from(
                ["ann", "secret", "/", "f", "..", "A", "I", "-la", "*", "ALL", "0", "5"]
            ),
            st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=8),
        ),
    ),
    st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=12),
)


class FuzzTests(SynchronousTestCase):
    @settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=150)
    @given(st.lists(LINES, max_size=25), st.integers(1, 40), st.booleans())
    def test_oneReplyPerLine(self, lines: list[str], size: int, loggedIn: bool) -> None:
        """T-D20: as many final replies as lines, however they are sent; nothing is logged."""
        client = Client(FTPSettings(maximumMistakes=10**6, maximumAttempts=10**6))
        client.tree.putFile("/f", b"0123456789")
        if loggedIn:
            client.logIn()
        for _ in range(30):
            client.data.stream.receive(b"")
        raw = "".join(line + "\r\n" for line in lines).encode()
        said = b""
        for start in range(0, len(raw), size):
            client.protocol.dataReceived(raw[start : start + size])
            # Uploads end at once.
            client.data.stream.receive(b"")
            said += client.take()
        if client.isClosed:
            self.assertNotEqual(client.events(ProtocolViolation), [])
        else:
            self.assertEqual(len(finalCodes(said)), len(lines), (lines, said))
        client.disconnect()
        self.assertEqual(self.flushLoggedErrors(), [])

    @settings(deadline=None, max_examples=100)
    @given(st.lists(st.binary(max_size=60), max_size=20))
    def test_anyBytes(self, pieces: list[bytes]) -> None:
        """Bytes of any kind neither raise nor make a reply that is none."""
        client = Client(FTPSettings(maximumMistakes=10**6)).logIn()
        for piece in pieces:
            client.protocol.dataReceived(piece + b"\n")
            # Refused Telnet options are no replies.
            finalCodes(re.sub(rb"\xff[\xfc\xfe][\x00-\xff]", b"", client.take()))
        client.disconnect()
        self.assertEqual(self.flushLoggedErrors(), [])


class CostTests(SynchronousTestCase):
    def test_idleSession(self) -> None:
        """An idle session, logged in, is less than 1.5 KiB of Python objects."""
        client = Client().logIn()
        client.code("NOOP")
        shared = {id(each) for each in (client.factory, client.factory.listener, client.transport)}
        account = client.protocol._session.account  # type: ignore[union-attr]
        shared |= {id(account), id(client.protocol._session.representation)}  # type: ignore[union-attr]
        self.assertLess(sizeOf(client.protocol, shared), 1536)


def sizeOf(root: Any, shared: set[int]) -> int:
    """Bytes of C{root} and what it alone refers to."""
    seen = set(shared)
    waiting = [root]
    total = 0
    while waiting:
        each = waiting.pop()
        if id(each) in seen or isinstance(each, (type, FunctionType)):
            continue
        seen.add(id(each))
        if type(each).__module__.startswith(("twisted.", "zope.", "tests.")):
            continue
        if type(each).__name__ in ("Deadlines", "Listener", "module", "PassivePorts"):
            continue
        total += sys.getsizeof(each)
        waiting += gc.get_referents(each)
    return total
