"""
Bytes and values of RFC 913.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from filehub.protocols.rfc913.wire import (
    MAXIMUM_COMMAND,
    Code,
    Command,
    CommandParser,
    Malformed,
    NotRFC913,
    Reply,
    ReplyParser,
    encodeCommand,
    encodeReply,
    parseSize,
)


def commands(*pieces: bytes, lenient: bool = False) -> list[Command | Malformed]:
    """What a parser makes of these pieces."""
    parser = CommandParser(lenient)
    found = []
    for piece in pieces:
        parser.feed(piece)
        while (event := parser.next()) is not None:
            found.append(event)
    return found


class CommandTests(SynchronousTestCase):
    def test_framing(self) -> None:
        """Four letters in any case, one space, the argument, one NUL."""
        self.assertEqual(
            commands(b"user MKL\0DONE\0List F a b \0"),
            [Command("USER", "MKL"), Command("DONE", ""), Command("LIST", "F a b ")],
        )

    def test_argumentIsKept(self) -> None:
        """Only the first space separates; nothing is trimmed but CR and LF at the end."""
        self.assertEqual(commands(b"KILL  x \0"), [Command("KILL", " x ")])
        self.assertEqual(commands(b"KILL x\r\n\0"), [Command("KILL", "x")])
        self.assertEqual(commands(b"KILL a\r\nb\0"), [Command("KILL", "a\r\nb")])

    def test_names(self) -> None:
        """Names are UTF-8; what is none comes through as it is."""
        self.assertEqual(commands("KILL ü\0".encode()), [Command("KILL", "ü")])
        self.assertEqual(commands(b"KILL \xff\0"), [Command("KILL", "\udcff")])

    def test_malformed(self) -> None:
        """Anything but four letters is no command."""
        for frame in (b"KIL x", b"KILLS x", b"K1LL x", b" KILL", b"\xc3\xa4\xc3\xa4", b"KILL\tx"):
            self.assertEqual(commands(frame + b"\0"), [Malformed.SYNTAX], frame)

    def test_emptyCommands(self) -> None:
        """A NUL too many is no command (B2 row 18)."""
        self.assertEqual(commands(b"\0\0DONE\0\0\0"), [Command("DONE")])
        self.assertEqual(commands(b"\r\n\0DONE\0"), [Command("DONE")])

    def test_limit(self) -> None:
        """4096 bytes are a command; one more ends everything (B2 row 19)."""
        most = b"KILL " + b"x" * (MAXIMUM_COMMAND - 5)
        self.assertEqual(commands(most + b"\0"), [Command("KILL", "x" * (MAXIMUM_COMMAND - 5))])
        self.assertEqual(commands(most + b"x\0DONE\0"), [Malformed.ENDLESS])
        self.assertEqual(commands(most + b"x", b"\0DONE\0"), [Malformed.ENDLESS])

    def test_memoryIsBounded(self) -> None:
        """After too long a command nothing is kept of what follows."""
        parser = CommandParser()
        parser.feed(b"x" * 5000)
        parser.next()
        parser.feed(b"x" * 1_000_000)
        self.assertEqual(parser.buffered, 0)

    def test_lenient(self) -> None:
        """Lenient framing takes LF, CRLF and NUL (B2 row 20)."""
        self.assertEqual(
            commands(b"USER a\r\nPASS b\nDONE\0LIST F\n", lenient=True),
            [Command("USER", "a"), Command("PASS", "b"), Command("DONE"), Command("LIST", "F")],
        )

    def test_strict(self) -> None:
        """Strict framing takes NUL only (B2 row 20)."""
        self.assertEqual(commands(b"USER a\r\nPASS b\n"), [])

    def test_rest(self) -> None:
        """What follows a command can be taken as it is."""
        parser = CommandParser()
        parser.feed(b"SIZE 3\0a\0bDONE\0")
        self.assertEqual(parser.next(), Command("SIZE", "3"))
        self.assertEqual(parser.takeRest(), b"a\0bDONE\0")
        self.assertIsNone(parser.next())
        self.assertEqual(parser.buffered, 0)

    def test_passwordsAreNotShown(self) -> None:
        """The representation of a command has no argument in it (B2 row 35)."""
        self.assertNotIn("secret", repr(Command("PASS", "secret")))

    @given(st.binary(max_size=300), st.lists(st.integers(1, 20)), st.booleans())
    def test_fragmentation(self, data: bytes, sizes: list[int], lenient: bool) -> None:
        """The pieces in which bytes come make no difference."""
        pieces, rest = [], data
        for size in sizes:
            pieces.append(rest[:size])
            rest = rest[size:]
        pieces.append(rest)
        self.assertEqual(commands(*pieces, lenient=lenient), commands(data, lenient=lenient))

    def test_size(self) -> None:
        """A size is digits up to 2^63-1 and nothing else (B2 row 29)."""
        for text, value in (("0", 0), ("007", 7), ("9223372036854775807", 2**63 - 1)):
            self.assertEqual(parseSize(text), value)
        bad = ["", "-1", "+1", " 1", "1 ", "1.0", "0x1", "9223372036854775808", "1" * 20, "\u0661"]
        for text in bad:
            self.assertRaises(ValueError, parseSize, text)


class ReplyTests(SynchronousTestCase):
    def test_encoding(self) -> None:
        """One character, the text, one NUL; CRLF between lines."""
        self.assertEqual(encodeReply(Reply(Code.SUCCESS, ("ok",))), b"+ok\0")
        self.assertEqual(encodeReply(Reply(Code.NUMBER, ("69",))), b" 69\0")
        self.assertEqual(encodeReply(Reply(Code.ERROR, ("a", "b"))), b"-a\r\nb\0")
        self.assertEqual(encodeReply(Reply(Code.LOGGED_IN, ())), b"!\0")

    @given(st.lists(st.text(st.characters(codec="utf-8") | st.sampled_from("\0\r\n\x1b"))))
    def test_nothingGetsIn(self, lines: list[str]) -> None:
        """No text can end a reply early, or add a line."""
        data = encodeReply(Reply(Code.ERROR, tuple(lines)))
        self.assertEqual(data.count(b"\0"), 1)
        self.assertTrue(data.endswith(b"\0"))
        self.assertEqual(data.count(b"\r\n"), max(0, len(lines) - 1))
        self.assertEqual(set(data.replace(b"\r\n", b"")) & {*range(1, 32), 127}, set())

    def test_bytesTravel(self) -> None:
        """Names that are not UTF-8 come out as the bytes they are."""
        self.assertEqual(encodeReply(Reply(Code.SUCCESS, ("\udcff",))), b"+\xff\0")
        self.assertEqual(encodeReply(Reply(Code.SUCCESS, ("\ud800",))), b"+?\0")


def replies(*pieces: bytes) -> list[Reply]:
    """What a client's parser makes of these pieces."""
    parser = ReplyParser()
    found = []
    for piece in pieces:
        parser.feed(piece)
        while (reply := parser.next()) is not None:
            found.append(reply)
    return found


class ReplyParserTests(SynchronousTestCase):
    def test_numbers(self) -> None:
        """A number with a blank, without, or with a number sign (B2 row 1)."""
        for frame in (b" 69\0", b"69\0", b"#69\0", b" #69\0", b"  69 \0", b" 69\r\n\0"):
            self.assertEqual(replies(frame), [Reply(Code.NUMBER, ("69",))], frame)

    def test_texts(self) -> None:
        """The first character decides, with or without a blank after it."""
        self.assertEqual(replies(b"! ok\0"), [Reply(Code.LOGGED_IN, (" ok",))])
        self.assertEqual(replies(b"+\0"), [Reply(Code.SUCCESS, ("",))])
        self.assertEqual(replies(b"-no\0"), [Reply(Code.ERROR, ("no",))])

    def test_lines(self) -> None:
        """Lines end in CRLF, or in LF alone (B2 row 13)."""
        self.assertEqual(replies(b"+/\r\na\nb\r\n\0"), [Reply(Code.SUCCESS, ("/", "a", "b", ""))])

    def test_padding(self) -> None:
        """Replies padded with NULs are replies (B2 row 18)."""
        padded = b"+a".ljust(255, b"\0") + b"!b".ljust(255, b"\0")
        expected = [Reply(Code.SUCCESS, ("a",)), Reply(Code.LOGGED_IN, ("b",))]
        self.assertEqual(replies(padded), expected)
        self.assertEqual(replies(*[bytes([each]) for each in padded]), expected)

    def test_otherProtocols(self) -> None:
        """Something else is told at once."""
        self.assertRaises(NotRFC913, replies, b"220 ftp\r\n\0")
        self.assertRaises(NotRFC913, replies, b"SSH-2.0\r\n\0")

    def test_bounded(self) -> None:
        """A reply that does not end is given up."""
        self.assertRaises(NotRFC913, replies, b"+" + b"x" * 70000)

    def test_commands(self) -> None:
        """Commands are encoded with one NUL, and no other can get in."""
        self.assertEqual(encodeCommand("LIST", "F", "a b"), b"LIST F a b\0")
        self.assertEqual(encodeCommand("DONE"), b"DONE\0")
        self.assertRaises(ValueError, encodeCommand, "KILL", "a\0b")
        self.assertRaises(ValueError, encodeCommand, "KILL", "x" * 4092)

    @given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=50))
    def test_roundTrip(self, text: str) -> None:
        """What a client sends is what a server reads, but for CR and LF at the end."""
        expected = text.rstrip("\r\n") if text else ""
        self.assertEqual(commands(encodeCommand("KILL", text)), [Command("KILL", expected)])
