"""
Bytes of the control connection: Telnet, lines, replies.
"""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from filehub.paths import decodeName
from filehub.protocols.ftp.wire import (
    MAXIMUM_DISCARDED,
    Command,
    CommandDecoder,
    Malformed,
    Reply,
    encodeInner,
    encodeOpening,
    encodeReply,
)

Event = Command | Malformed


def takeAll(decoder: CommandDecoder) -> list[Event]:
    """Everything that can be taken."""
    events = []
    while (event := decoder.take()) is not None:
        events.append(event)
    return events


def decode(*pieces: bytes, limit: int = 100) -> list[Event]:
    """What a decoder makes of these pieces."""
    decoder = CommandDecoder(limit)
    events = []
    for piece in pieces:
        decoder.feed(piece)
        events += takeAll(decoder)
    return events


class LineTests(SynchronousTestCase):
    def assertDecodes(self, raw: bytes, *expected: Event) -> None:
        """The same whether it comes at once or byte by byte."""
        self.assertEqual(decode(raw), list(expected))
        self.assertEqual(decode(*[raw[i : i + 1] for i in range(len(raw))]), list(expected))

    def test_verbAndArgument(self) -> None:
        """The verb is upper case; all after one space is the argument."""
        self.assertDecodes(b"retr  a b \r\n", Command("RETR", " a b "))
        self.assertDecodes(b"PASS \r\n", Command("PASS", ""))
        self.assertDecodes(b"PASS\r\n", Command("PASS", ""))
        self.assertDecodes(b"LIST\t-la\r\n", Command("LIST", "-la"))
        self.assertDecodes(b"\r\n", Command("", ""))

    def test_pipelined(self) -> None:
        """Several lines in one piece are several commands."""
        self.assertDecodes(
            b"USER a\r\nPASS b\r\nPWD\r\n",
            Command("USER", "a"),
            Command("PASS", "b"),
            Command("PWD"),
        )

    def test_lineEnds(self) -> None:
        """A bare LF ends a line; CR NUL is a CR; a CR alone is data."""
        self.assertDecodes(b"NOOP\nMKD a\r\0b\r\n", Command("NOOP"), Command("MKD", "a\rb"))
        self.assertDecodes(b"MKD a\rb\r\n", Command("MKD", "a\rb"))
        self.assertDecodes(b"MKD a\0b\r\n", Command("MKD", "a\0b"))

    def test_anyBytes(self) -> None:
        """Bytes that are not UTF-8 come through."""
        raw = bytes(range(0x80, 0xD0))
        self.assertDecodes(b"DELE " + raw + b"\r\n", Command("DELE", decodeName(raw)))
        self.assertDecodes("DELE é\r\n".encode(), Command("DELE", "é"))

    def test_verbsAreAscii(self) -> None:
        """No other script's letters become a verb."""
        (event,) = decode("\u017fize x\r\n".encode())
        assert isinstance(event, Command)
        self.assertNotEqual(event.verb, "SIZE")

    def test_limit(self) -> None:
        """The limit counts what is between verb and line end; one more is too long."""
        fits = b"NOOP " + b"x" * 95
        self.assertDecodes(fits + b"\r\n", Command("NOOP", "x" * 95))
        self.assertDecodes(fits + b"x\r\nPWD\r\n", Malformed.TOO_LONG, Command("PWD"))
        self.assertDecodes(fits + b"x\nPWD\r\n", Malformed.TOO_LONG, Command("PWD"))

    def test_tooLongAtOnce(self) -> None:
        """A line beyond the limit is reported before it ends, once, and then skipped."""
        decoder = CommandDecoder(100)
        decoder.feed(b"x" * 200)
        self.assertEqual(takeAll(decoder), [Malformed.TOO_LONG])
        decoder.feed(b"x" * 200)
        self.assertEqual(takeAll(decoder), [])
        self.assertTrue(decoder.isEmpty)
        decoder.feed(b"y\r\nPWD\r\n")
        self.assertEqual(takeAll(decoder), [Command("PWD")])

    def test_endless(self) -> None:
        """A line that does not end is reported as endless, once, and never kept."""
        decoder = CommandDecoder(100)
        events = []
        for _ in range(20):
            decoder.feed(b"x" * 10_000)
            events += takeAll(decoder)
            self.assertTrue(decoder.isEmpty)
        self.assertGreater(20 * 10_000, 2 * MAXIMUM_DISCARDED)
        self.assertEqual(events, [Malformed.TOO_LONG, Malformed.ENDLESS])

    def test_limitIsRaised(self) -> None:
        """After login longer lines are allowed."""
        decoder = CommandDecoder(10)
        decoder.limit = 100
        decoder.feed(b"RETR " + b"x" * 50 + b"\r\n")
        self.assertEqual(takeAll(decoder), [Command("RETR", "x" * 50)])

    def test_clear(self) -> None:
        """What was not taken can be forgotten (before TLS)."""
        decoder = CommandDecoder()
        decoder.feed(b"AUTH TLS\r\nDELE x\r\nRE")
        decoder.take()
        self.assertFalse(decoder.isEmpty)
        decoder.clear()
        self.assertTrue(decoder.isEmpty)
        self.assertEqual(takeAll(decoder), [])

    @given(
        st.lists(
            st.sampled_from(
                [
                    b"RETR",
                    b" ",
                    b"x",
                    b"\r",
                    b"\n",
                    b"\0",
                    b"\t",
                    b"\xff",
                    b"\xc3\xa4",
                    b"list",
                    b"",
                ]
            )
        )
    )
    def test_whole(self, pieces: list[bytes]) -> None:
        """What is taken for one whole command is what it would have been decoded to."""
        raw = b"".join(pieces)
        for limit in (5, 100):
            command = CommandDecoder(limit).whole(raw)
            if command is not None:
                self.assertEqual(decode(raw, limit=limit), [command])
        if raw.isascii() and raw.decode("ascii").isprintable() and len(raw) < 99:
            self.assertIsNotNone(CommandDecoder(100).whole(raw + b"\r\n"))

    def test_wholeWaitsItsTurn(self) -> None:
        """Nothing overtakes what has come before."""
        for before in (b"RE", b"PWD\r\nx", b"\xff", b"x" * 200):
            decoder = CommandDecoder(100)
            decoder.feed(before)
            decoder.take()
            self.assertIsNone(decoder.whole(b"NOOP\r\n"), before)

    def test_secretsAreNotShown(self) -> None:
        """No log shows a password by showing a command."""
        self.assertNotIn("hunter2", repr([Command("PASS", "hunter2"), Command("ACCT", "hunter2")]))
        self.assertIn("file", repr(Command("RETR", "file")))

    @given(st.lists(st.binary(max_size=30)), st.binary(max_size=30))
    def test_fragmentation(self, pieces: list[bytes], rest: bytes) -> None:
        """How bytes are cut makes no difference; nothing is ever raised."""
        whole = b"\n".join(pieces) + rest
        expected = decode(whole, limit=40)
        for size in (1, 2, 7):
            cut = [whole[i : i + size] for i in range(0, len(whole), size)]
            self.assertEqual(decode(*cut, limit=40), expected)

    @given(
        st.lists(st.sampled_from([b"\xff", b"\xfa", b"\xf0", b"\xfb", b"\r", b"\n", b"\0", b"A"]))
    )
    def test_telnetFragmentation(self, pieces: list[bytes]) -> None:
        """The same for what is all special."""
        self.assertEqual(decode(*pieces), decode(b"".join(pieces)))

    @given(st.binary(max_size=300))
    def test_oneEventPerLine(self, raw: bytes) -> None:
        """Every line end is at most one event, so that replies can be counted."""
        self.assertLessEqual(len(decode(raw + b"\n", limit=20)), raw.count(b"\n") + 1)


class TelnetTests(SynchronousTestCase):
    def assertDecodes(self, raw: bytes, *expected: Event) -> None:
        self.assertEqual(decode(raw), list(expected))
        self.assertEqual(decode(*[raw[i : i + 1] for i in range(len(raw))]), list(expected))

    def test_abort(self) -> None:
        """What announces an ABOR is taken away: IP and Synch, in the known variants."""
        for prefix in (
            b"\xff\xf4\xff\xf2",
            b"\xff\xf4\xf2",
            b"\xff\xf4",
            b"\xff\xf2",
            b"\xff\xf4\xff\xff",
        ):
            (event, *_) = decode(prefix + b"ABOR\r\n")
            assert isinstance(event, Command)
            self.assertTrue(event.verb.endswith("ABOR"), prefix)
        self.assertDecodes(b"\xff\xf4\xff\xf2ABOR\r\n", Command("ABOR"))

    def test_doubled(self) -> None:
        """IAC IAC is one byte 255."""
        self.assertDecodes(b"RETR a\xff\xffb\r\n", Command("RETR", decodeName(b"a\xffb")))

    def test_single(self) -> None:
        """A 255 that no Telnet command follows is data, also at the end of the line."""
        self.assertDecodes(b"RETR a\xffb\r\n", Command("RETR", decodeName(b"a\xffb")))
        self.assertDecodes(
            b"RETR a\xff\r\nPWD\r\n", Command("RETR", decodeName(b"a\xff")), Command("PWD")
        )
        self.assertDecodes(b"RETR a\xff\n", Command("RETR", decodeName(b"a\xff")))

    def test_eraseCommands(self) -> None:
        """Telnet's editing commands, which crashed others, vanish."""
        self.assertDecodes(b"\xff\xf7NO\xff\xf8OP\r\n", Command("NOOP"))

    def test_many(self) -> None:
        """A long run of 255 is half as long a run of data."""
        self.assertEqual(
            decode(b"\xff" * 10_000 + b"\n", limit=8192), [Command(decodeName(b"\xff" * 5000))]
        )

    def test_negotiation(self) -> None:
        """Options are refused, each once, and are no part of the line."""
        decoder = CommandDecoder()
        decoder.feed(b"\xff\xfd\x01\xff\xfb\x03NO\xff\xfd\x01\xff\xfc\x05\xff\xfe\x06OP\r\n")
        self.assertEqual(takeAll(decoder), [Command("NOOP")])
        self.assertEqual(decoder.refusals, b"\xff\xfc\x01\xff\xfe\x03")

    def test_subnegotiation(self) -> None:
        """Subnegotiations vanish; one that never ends is over at the end of the line."""
        self.assertDecodes(b"\xff\xfa\x18\x01\xff\xff\xff\xf0PWD\r\n", Command("PWD"))
        self.assertDecodes(b"NOOP\xff\xfa\x18abc\r\nPWD\r\n", Command("NOOP"), Command("PWD"))


class ReplyTests(SynchronousTestCase):
    def test_oneLine(self) -> None:
        """Code, space, text."""
        self.assertEqual(encodeReply(Reply(200, ("OK.",))), b"200 OK.\r\n")

    def test_severalLines(self) -> None:
        """Inner lines are indented, so none can be taken for the last."""
        self.assertEqual(
            encodeReply(Reply(211, ("Features:", "UTF8", "211 End", "End"))),
            b"211-Features:\r\n UTF8\r\n 211 End\r\n211 End\r\n",
        )

    def test_telnet(self) -> None:
        """255 is doubled on its way out."""
        self.assertEqual(encodeReply(Reply(257, (decodeName(b'"\xff"'),))), b'257 "\xff\xff"\r\n')

    def test_halfPair(self) -> None:
        """Text that no bytes can be made of does no harm."""
        self.assertEqual(encodeReply(Reply(200, ("a\ud800",))), b"200 a?\r\n")

    def test_pieces(self) -> None:
        """Opening and inner lines of a long reply."""
        self.assertEqual(encodeOpening(213, "Status of /a\r\nb:"), b"213-Status of /a??b:\r\n")
        self.assertEqual(encodeInner(b"a\r\n213 b\xff\r\n"), b" a\r\n 213 b\xff\xff\r\n")
        self.assertEqual(encodeInner(b""), b"")

    @given(st.integers(100, 659), st.lists(st.text(), min_size=1, max_size=5))
    def test_noInjection(self, code: int, lines: Any) -> None:
        """Whatever the text: each line is the code's or indented, and only the last ends."""
        raw = encodeReply(Reply(code, tuple(lines)))
        self.assertTrue(raw.endswith(b"\r\n"))
        found = raw[:-2].split(b"\r\n")
        self.assertEqual(len(found), len(lines))
        self.assertIsNone(re.search(rb"[\x00-\x1f\x7f]", b"".join(found)))
        self.assertTrue(found[-1].startswith(b"%d " % code))
        for line in found[:-1]:
            self.assertTrue(line.startswith((b"%d-" % code, b" ")))
