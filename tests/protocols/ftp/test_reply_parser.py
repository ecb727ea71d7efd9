"""L{filehub.protocols.ftp.reply_parser}: what servers say, however it is cut."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from filehub.protocols.ftp.reply_parser import MAXIMUM_REPLY, NotFTP, ReplyParser, ServerReply

TRANSCRIPT = (
    b"220-Welcome\r\n220-again with code\r\n 220 indented\r\nno code\r\n220 ready\r\n"
    b"331 Password, please.\n"
    b"211-Features:\r\n MLST type*;\r\n211 End\r\n"
    b'257 "/a""b"\xff\r\n'
    b"200\r\n"
)
EXPECTED = [
    ServerReply(220, ("Welcome", "again with code", " 220 indented", "no code", "ready")),
    ServerReply(331, ("Password, please.",)),
    ServerReply(211, ("Features:", " MLST type*;", "End")),
    ServerReply(257, ('"/a""b"\udcff',)),
    ServerReply(200, ("",)),
]


class ReplyParserTests(SynchronousTestCase):
    @given(st.lists(st.integers(1, len(TRANSCRIPT)), max_size=20))
    def test_anyFragmentation(self, cuts: list[int]) -> None:
        """The replies are the same however the bytes arrive."""
        parser = ReplyParser()
        found: list[ServerReply] = []
        last = 0
        for cut in [*sorted(cuts), len(TRANSCRIPT)]:
            found += parser.feed(TRANSCRIPT[last:cut])
            last = max(last, cut)
        self.assertEqual(found, EXPECTED)

    def test_whatIsNotFTP(self) -> None:
        """Lines that cannot be replies are an error, not an endless wait."""
        for data in (b"HTTP/1.1 400 Bad Request\r\n", b"999 x\r\n", b"\r\n", b"SSH-2.0-x\r\n"):
            with self.subTest(data=data), self.assertRaises(NotFTP):
                ReplyParser().feed(data)

    def test_bounded(self) -> None:
        """Neither an endless line nor an endless reply is kept."""
        with self.assertRaises(NotFTP):
            ReplyParser().feed(b"2" * (MAXIMUM_REPLY + 1))
        parser = ReplyParser()
        parser.feed(b"220-hello\r\n")
        with self.assertRaises(NotFTP):
            for _ in range(MAXIMUM_REPLY):
                parser.feed(b"x" * 1000 + b"\r\n")
