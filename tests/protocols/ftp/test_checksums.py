"""
HASH and its elders, and RANG.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from filehub.accounts.guard import GuardedFileSystem
from filehub.interfaces import IChecksums
from filehub.protocols.ftp.arguments import ranged, unquoted, words
from filehub.protocols.ftp.checksums import MAXIMUM_FILES
from filehub.protocols.ftp.settings import FTPSettings
from filehub.vfs.forwarding import ForwardingFileSystem
from filehub.vfs.memory import MemoryTree
from tests.accounts.doubles import policy
from tests.protocols.ftp.doubles import Client, finalCodes

CONTENT = bytes(range(256))


def hexOf(algorithm: str, data: bytes = CONTENT) -> str:
    """In capital letters."""
    return hashlib.new(algorithm, data).hexdigest().upper()


class ChecksumTests(SynchronousTestCase):
    """The commands."""

    def setUp(self) -> None:
        self.client = Client().logIn()
        self.client.tree.putFile("/f", CONTENT)
        self.client.tree.putFile("/two words", b"2")
        self.client.tree.putFile('/in "quotes"', b"3")
        self.client.tree.putFile("/empty", b"")
        self.client.tree.putDirectory("/d")

    def says(self, line: str, answer: str) -> None:
        """What is answered, without the line's end."""
        self.assertEqual(self.client.say(line), f"{answer}\r\n".encode(), line)

    def test_HASH(self) -> None:
        """HASH tells algorithm, range, digest and name."""
        digest = hexOf("sha256").lower()
        self.says("HASH f", f"213 SHA-256 0-255 {digest} f")
        self.says("HASH /f", f"213 SHA-256 0-255 {digest} /f")
        self.says("HASH two words", f"213 SHA-256 0-0 {hexOf('sha256', b'2').lower()} two words")
        self.says("HASH empty", f"213 SHA-256 0-0 {hexOf('sha256', b'').lower()} empty")

    def test_algorithms(self) -> None:
        """OPTS HASH chooses, FEAT marks what is chosen, and a new login begins anew."""
        self.assertIn(b"\r\n HASH CRC32;MD5;SHA-1;SHA-256*;SHA-512\r\n", self.client.say("FEAT"))
        self.says("OPTS HASH", "200 SHA-256")
        for name, algorithm in (("SHA-1", "sha1"), ("sha-512", "sha512"), ("MD5", "md5")):
            self.says(f"OPTS HASH {name}", f"200 {name.upper()}")
            digest = hexOf(algorithm).lower()
            self.says("HASH f", f"213 {name.upper()} 0-255 {digest} f")
        self.says("OPTS HASH CRC32", "200 CRC32")
        self.says("HASH f", f"213 CRC32 0-255 {zlib.crc32(CONTENT):08x} f")
        self.assertEqual(self.client.code("OPTS HASH SHAKE-128"), 504)
        self.says("OPTS HASH", "200 CRC32")
        self.assertIn(b"\r\n HASH CRC32*;MD5;SHA-1;SHA-256;SHA-512\r\n", self.client.say("FEAT"))
        self.client.codes(["REIN", "USER ann", "PASS secret"])
        self.says("OPTS HASH", "200 SHA-256")

    def test_elders(self) -> None:
        """XCRC and its like answer with the bare digest."""
        self.says("XCRC f", f"250 {zlib.crc32(CONTENT):08X}")
        for verb, algorithm in (
            ("XMD5", "md5"), ("XSHA", "sha1"), ("XSHA1", "sha1"), ("XSHA256", "sha256"),
            ("XSHA512", "sha512"),
        ):  # fmt: skip
            self.says(f"{verb} f", f"250 {hexOf(algorithm)}")

    def test_MD5(self) -> None:
        """MD5 repeats the name; MMD5 takes several."""
        one, two = hexOf("md5"), hexOf("md5", b"2")
        self.says("MD5 f", f"251 f {one}")
        self.says('MD5 "two words"', f'251 "two words" {two}')
        self.says("MMD5 f, two words", f"252 f {one}, two words {two}")
        self.assertEqual(self.client.codes(["MMD5 f,", "MMD5 f,none"]), [501, 550])
        self.assertEqual(self.client.code("MMD5 " + ",".join("f" * (MAXIMUM_FILES + 1))), 501)

    def test_ranges(self) -> None:
        """Numbers behind the name are a range; its last byte is not counted."""
        self.says("XMD5 f 10 20", f"250 {hexOf('md5', CONTENT[10:20])}")
        self.says("XMD5 f 10", f"250 {hexOf('md5', CONTENT[10:])}")
        self.says("XMD5 f 0 256", f"250 {hexOf('md5')}")
        self.says("XMD5 f 256 256", f"250 {hexOf('md5', b'')}")
        self.says('XMD5 "two words" 0 1', f"250 {hexOf('md5', b'2')}")
        self.assertEqual(
            self.client.codes(["XMD5 f 20 10", "XMD5 f 257", "XMD5 f 0 257", "XMD5 none 1 2"]),
            [501, 554, 554, 550],
        )
        huge = "9" * 19
        self.assertEqual(self.client.code(f"XMD5 f {huge} {huge}"), 554)

    def test_names(self) -> None:
        """A name may be in quotes, end in numbers, or have quotes of its own."""
        self.client.tree.putFile("/f 10 20", b"name")
        self.says("XMD5 f 10 20", f"250 {hexOf('md5', b'name')}")
        self.says("XMD5 two words", f"250 {hexOf('md5', b'2')}")
        self.says('XMD5 "in ""quotes"""', f"250 {hexOf('md5', b'3')}")
        self.says('XMD5 in "quotes"', f"250 {hexOf('md5', b'3')}")

    def test_noFile(self) -> None:
        """Directories and what is not there have no checksum."""
        for verb in ("HASH", "XCRC", "XSHA512", "MD5", "MMD5"):
            self.assertEqual(
                self.client.codes([f"{verb} d", f"{verb} none", f"{verb} /"]), [550] * 3
            )
            self.assertEqual(self.client.code(verb), 501)

    def test_notLoggedIn(self) -> None:
        """Nobody is told a checksum without a login."""
        client = Client()
        self.assertEqual(client.codes(["HASH f", "XCRC f", "MD5 f", "RANG 0 1"]), [530] * 4)

    def test_permission(self) -> None:
        """A digest of what may not be read would tell what is in it."""
        tree = MemoryTree()
        tree.putFile("/f", CONTENT)
        guarded = GuardedFileSystem(tree.viewFor("ann"), policy({"/": "elafdwmMT"}))
        client = Client(fileSystem=guarded).logIn()
        lines = ["HASH f", "XCRC f", "XMD5 f 1 2", "MD5 f", "MMD5 f"]
        self.assertEqual(client.codes(lines), [550] * 5)

    def test_switchedOff(self) -> None:
        """An operator may do without: they are no commands then, and FEAT is silent."""
        client = Client(FTPSettings(checksums=False)).logIn()
        self.assertEqual(client.codes(["HASH f", "XCRC f", "OPTS HASH"]), [502, 502, 501])
        features = client.say("FEAT")
        for name in (b"HASH", b"XCRC", b"MD5", b"XSHA"):
            self.assertNotIn(name, features)

    def test_noSuchStorage(self) -> None:
        """A storage without checksums says so."""

        class Plain(ForwardingFileSystem):
            capabilities = ()

        tree = MemoryTree()
        tree.putFile("/f", CONTENT)
        client = Client(fileSystem=Plain(tree.viewFor("ann"))).logIn()
        self.assertEqual(client.code("HASH f"), 504)


@implementer(IChecksums)
class Slow(ForwardingFileSystem):
    """
    @ivar held: fired when the digest is there.
    """

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.isCancelled = False
        self.held: Deferred[bytes] = Deferred(self._cancelled)

    def _cancelled(self, held: Deferred[bytes]) -> None:
        self.isCancelled = True

    def digest(self, *args: Any, **kwargs: Any) -> Any:
        async def wait() -> bytes:
            return await self.held

        return wait()


class LongTests(SynchronousTestCase):
    """Of a large file."""

    def setUp(self) -> None:
        tree = MemoryTree()
        tree.putFile("/f", CONTENT)
        self.slow = Slow(tree.viewFor("ann"))
        self.client = Client(fileSystem=self.slow).logIn()
        self.assertEqual(self.client.say("HASH f"), b"")

    def test_idle(self) -> None:
        """It may take longer than a session may be idle."""
        for _ in range(10):
            self.client.clock.advance(299)
        self.assertFalse(self.client.isClosed)
        self.slow.held.callback(b"\x01\x02")
        self.assertEqual(self.client.take(), b"213 SHA-256 0-255 0102 f\r\n")
        self.client.clock.advance(299)
        self.assertFalse(self.client.isClosed)
        self.client.clock.advance(2)
        self.assertTrue(self.client.isClosed)

    def test_status(self) -> None:
        """STAT tells what is going on; other commands wait for their turn."""
        self.assertIn(b"HASH /f", self.client.say("STAT"))
        self.assertEqual(self.client.say("PWD"), b"")
        self.slow.held.callback(b"\x01")
        self.assertEqual(finalCodes(self.client.take()), [213, 257])

    def test_ABOR(self) -> None:
        """ABOR ends it: 426 for the checksum, 226 for itself."""
        self.assertEqual(finalCodes(self.client.say("ABOR")), [426, 226])
        self.assertTrue(self.slow.isCancelled)
        self.assertEqual(self.client.code("NOOP"), 200)

    def test_connectionLost(self) -> None:
        """So does the end of the connection."""
        self.client.disconnect()
        self.assertTrue(self.slow.isCancelled)
        self.assertEqual(self.client.users.loggedOut, ["ann"])


class RangeTests(SynchronousTestCase):
    """RANG."""

    def setUp(self) -> None:
        self.client = Client().logIn()
        self.client.tree.putFile("/f", CONTENT)

    def test_download(self) -> None:
        """The first and the last byte that are sent, once."""
        said = self.client.say("RANG 10 19")
        self.assertEqual(said, b"350 Restarting at 10. End byte range at 19.\r\n")
        replies, data = self.client.retrieve("RETR f")
        self.assertIn(b"(10 bytes)", replies)
        self.assertEqual(data, CONTENT[10:20])
        self.assertEqual(self.client.retrieve("RETR f")[1], CONTENT)

    def test_ends(self) -> None:
        """One byte; more than there is; nothing but beyond."""
        for line, expected in (
            ("RANG 0 0", CONTENT[:1]),
            ("RANG 255 255", CONTENT[255:]),
            ("RANG 250 1000", CONTENT[250:]),
            ("RANG 256 300", b""),
        ):
            self.assertEqual(self.client.code(line), 350)
            self.assertEqual(self.client.retrieve("RETR f")[1], expected, line)
        self.client.code("RANG 257 300")
        self.assertEqual(finalCodes(self.client.retrieve("RETR f")[0]), [554])

    def test_reset(self) -> None:
        """1 0 is the whole file again; REST and RANG take each other's place."""
        self.assertEqual(self.client.codes(["RANG 5 6", "RANG 1 0"]), [350, 350])
        self.assertEqual(self.client.retrieve("RETR f")[1], CONTENT)
        self.client.codes(["RANG 5 6", "REST 250"])
        self.assertEqual(self.client.retrieve("RETR f")[1], CONTENT[250:])
        self.client.codes(["REST 250", "RANG 5 6"])
        self.assertEqual(self.client.retrieve("RETR f")[1], CONTENT[5:7])

    def test_listing(self) -> None:
        """A listing uses it up, too."""
        self.client.code("RANG 5 6")
        self.client.retrieve("NLST")
        self.assertEqual(self.client.retrieve("RETR f")[1], CONTENT)

    def test_checksum(self) -> None:
        """HASH and its elders are of the range, once."""
        digest = hexOf("sha256", CONTENT[10:20]).lower()
        self.client.code("RANG 10 19")
        said = self.client.say("HASH f")
        self.assertEqual(said, f"213 SHA-256 10-19 {digest} f\r\n".encode())
        self.assertIn(b" 0-255 ", self.client.say("HASH f"))
        self.client.code("RANG 10 19")
        self.assertEqual(
            self.client.say("XMD5 f"), f"250 {hexOf('md5', CONTENT[10:20])}\r\n".encode()
        )

    def test_upload(self) -> None:
        """Uploads into the middle of a file are refused, and nothing is written."""
        for line in ("STOR f", "APPE f", "STOU"):
            self.client.code("RANG 5 6")
            self.assertEqual(finalCodes(self.client.store(line, b"new")), [501])
            self.assertEqual(self.client.tree.content("/f"), CONTENT)

    def test_text(self) -> None:
        """As REST, it needs bytes that are counted as they are sent."""
        self.client.codes(["TYPE A", "RANG 0 6"])
        self.assertEqual(finalCodes(self.client.retrieve("RETR f")[0]), [501])

    def test_wrong(self) -> None:
        """What is no range changes nothing."""
        for line in ("RANG 5", "RANG 6 5", "RANG -1 5", "RANG a b", "RANG 0 9223372036854775808"):
            self.assertEqual(self.client.code(line), 501, line)
        self.assertEqual(self.client.code("RANG"), 501)
        self.assertEqual(self.client.retrieve("RETR f")[1], CONTENT)


class ArgumentTests(SynchronousTestCase):
    """Names in quotes, and numbers behind them."""

    def test_words(self) -> None:
        """Words, some of them in quotes."""
        for text, expected in (
            ("a b", ["a", "b"]), ('"a b" c', ["a b", "c"]), ('a "b ""c"""', ["a", 'b "c"']),
            (" a  b ", ["a", "b"]), ("", []), ('""', [""]), ('"a', None), ('a "b"c', None),
        ):  # fmt: skip
            self.assertEqual(words(text), expected, text)

    def test_unquoted(self) -> None:
        """Only what is in quotes as a whole loses them."""
        for text, expected in (
            ('"a b"', "a b"), ('"a""b"', 'a"b'), ("a b", "a b"), ('"a" b', '"a" b'), ('"', '"'),
        ):  # fmt: skip
            self.assertEqual(unquoted(text), expected, text)

    def test_ranged(self) -> None:
        """One or two numbers at the end."""
        for text, expected in (
            ("f 1 2", ("f", 1, 2)), ("f 1", ("f", 1, None)), ("f 1  2", ("f", 1, 2)),
            ("a 0 1 2", ("a 0", 1, 2)), ("f", None), ("12", None), ("f x", None),
            ("f " + "9" * 20, None),
        ):  # fmt: skip
            self.assertEqual(ranged(text), expected, text)
