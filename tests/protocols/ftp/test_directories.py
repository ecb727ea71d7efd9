"""
LIST, NLST, MLSD and STAT: what is listed, and how much is held for it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from filehub.attributes import DirectoryEntry, FileAttributes, FileType
from filehub.errors import PeerGone
from filehub.paths import ROOT
from tests.protocols.ftp.doubles import Client, finalCodes

FILE = FileAttributes(FileType.REGULAR, 5, 1_600_000_000.0)


class Directory:
    """
    A directory of so many entries.

    @ivar pages: how many pages were read.
    """

    def __init__(self, count: int, size: int = 100) -> None:
        self.entries = [DirectoryEntry(f"f{number:06d}", FILE) for number in range(count)]
        self.size = size
        self.pages = 0
        self.closed = 0
        self.problem: Exception | None = None

    async def openDirectory(self, path: Any) -> Any:
        return self

    async def nextPage(self) -> Any:
        if self.problem is not None and self.pages == 1:
            raise self.problem
        start = self.pages * self.size
        self.pages += 1
        return self.entries[start : start + self.size]

    async def close(self) -> None:
        self.closed += 1


class ListingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.client = Client().logIn()
        tree = self.client.tree
        for path in ("/b.txt", "/a.txt", "/.hidden", "/dir/x.bin", "/dir/y.txt", "/-R", "/sp ace"):
            tree.putFile(path, b"12345")

    def list(self, line: str) -> list[bytes]:
        """The lines of a listing that succeeds."""
        said, data = self.client.retrieve(line)
        self.assertEqual(finalCodes(said), [226], line)
        return data.split(b"\r\n")[:-1]

    def names(self, line: str) -> list[bytes]:
        """The last words of the lines of LIST."""
        return [each.rpartition(b" ")[2] for each in self.list(line)]


class ListTests(ListingTests):
    def test_format(self) -> None:
        """Lines of ls -l, sorted, without dot files."""
        lines = self.list("LIST")
        self.assertEqual(self.names("LIST"), [b"-R", b"a.txt", b"b.txt", b"dir", b"ace"])
        self.assertRegex(lines[1], rb"^-rw-r-----   1 \S+ +\S+ +5 \w{3} [ \d]\d [ \d:]{5} a\.txt$")
        self.assertTrue(lines[3].startswith(b"d"))

    def test_flags(self) -> None:
        """Leading words with a dash are flags; known ones work, others do not matter."""
        for flags in ("-a", "-la", "-al", "-aL", "-lan", "-A", "-lZa", "-l -a"):
            self.assertIn(b".hidden", self.names(f"LIST {flags}"), flags)
        self.assertEqual(self.names("LIST -r")[0], b"ace")
        self.assertEqual(self.names("LIST -la dir"), [b"x.bin", b"y.txt"])
        self.assertEqual(self.names("LIST -d dir"), [b"dir"])

    def test_dashes(self) -> None:
        """A name that begins with a dash is asked for with -- or ./"""
        self.assertEqual(self.names("LIST -- -R"), [b"-R"])
        self.assertEqual(self.names("LIST ./-R"), [b"./-R"])

    def test_spaces(self) -> None:
        """A name with a space is one name."""
        self.assertEqual(self.list("NLST sp ace"), [b"sp ace"])
        self.assertEqual(self.list("NLST -l sp ace"), [b"sp ace"])

    def test_patterns(self) -> None:
        """Wildcards in the last segment; no match is an empty listing."""
        self.assertEqual(self.names("LIST *.txt"), [b"a.txt", b"b.txt"])
        self.assertEqual(self.names("LIST dir/?.b*"), [b"x.bin"])
        self.assertEqual(self.names("LIST *.nothing"), [])
        self.assertEqual(finalCodes(self.client.retrieve("LIST none*/x")[0]), [550])

    def test_literalFirst(self) -> None:
        """What looks like a pattern and exists is taken for a name."""
        self.client.tree.putFile("/[a]", b"")
        self.assertEqual(self.names("LIST [a]"), [b"[a]"])
        self.client.tree.putFile("/q*/in", b"")
        self.assertEqual(self.names("LIST q*"), [b"in"])

    def test_missing(self) -> None:
        """Neither file nor directory: 550 without 150."""
        for line in ("LIST none", "NLST none", "MLSD none"):
            said, _ = self.client.retrieve(line)
            self.assertEqual(finalCodes(said), [550])
            self.assertNotIn(b"150", said)

    def test_empty(self) -> None:
        """An empty directory is 150, nothing, 226."""
        self.client.tree.putDirectory("/empty")
        for verb in ("LIST", "NLST", "MLSD"):
            self.assertEqual(self.list(f"{verb} empty"), [])


class NamesTests(ListingTests):
    def test_relative(self) -> None:
        """Names come back such that RETR takes them."""
        self.assertEqual(self.list("NLST dir"), [b"dir/x.bin", b"dir/y.txt"])
        self.assertEqual(self.list("NLST /dir/"), [b"/dir/x.bin", b"/dir/y.txt"])
        self.assertEqual(self.list("NLST dir/*.txt"), [b"dir/y.txt"])
        self.assertEqual(self.list("NLST a.txt"), [b"a.txt"])
        self.assertEqual(self.list("NLST *.txt"), [b"a.txt", b"b.txt"])

    def test_controls(self) -> None:
        """B9: one entry is one line, whatever its name."""
        self.client.tree.putFile("/x\r\ny\x1b[2J", b"")
        lines = self.list("NLST x*")
        self.assertEqual(lines, [b"x??y?[2J"])


class FactsTests(ListingTests):
    def test_format(self) -> None:
        """All entries, dot files too; facts, one space, the name."""
        self.client.code("OPTS MLST type;size;")
        lines = self.list("MLSD")
        self.assertIn(b"type=file;size=5; .hidden", lines)
        self.assertIn(b"type=dir; dir", lines)
        self.assertIn(b"type=file;size=5; sp ace", lines)

    def test_file(self) -> None:
        """MLSD of a file is 501 (RFC 3659 7.2)."""
        said, _ = self.client.retrieve("MLSD a.txt")
        self.assertEqual(finalCodes(said), [501])

    def test_links(self) -> None:
        """A link has the facts of what it leads to; one that leads nowhere is a link."""
        self.client.tree.links = "within-root"
        view = self.client.tree.viewFor("ann")
        for name, target in (("tofile", "a.txt"), ("todir", "dir"), ("lost", "nothing")):
            made = view.makeLink(ROOT.child(name), target)
            self.assertRaises(StopIteration, made.send, None)
        self.client.code("OPTS MLST type;size;")
        lines = self.list("MLSD")
        self.assertIn(b"type=file;size=5; tofile", lines)
        self.assertIn(b"type=dir; todir", lines)
        self.assertTrue([line for line in lines if b"link" in line and line.endswith(b" lost")])
        self.assertIn(b"tofile -> a.txt", b"\n".join(self.list("LIST")))


class StatusTests(ListingTests):
    def test_directory(self) -> None:
        """STAT with a directory is its LIST on the control connection, indented."""
        said = self.client.say("STAT dir")
        lines = said.split(b"\r\n")[:-1]
        self.assertEqual(lines[0], b"212-Status of /dir:")
        self.assertEqual(lines[1:-1], [b" " + line for line in self.list("LIST dir")])
        self.assertEqual(lines[-1], b"212 End of status.")

    def test_file(self) -> None:
        """With a file it is 213."""
        self.assertEqual(finalCodes(self.client.say("STAT a.txt")), [213])
        self.assertEqual(self.client.code("STAT none"), 550)

    def test_waitsForTheClient(self) -> None:
        """T-R6: a client that does not read its reply stops the listing."""
        directory = Directory(10_000)
        client = Client(fileSystem=directory).logIn()
        client.protocol.pauseProducing()
        client.say("STAT")
        client.protocol.resumeProducing()
        client.take()
        client.protocol.dataReceived(b"STAT /\r\n")
        client.take()
        self.assertEqual(directory.pages, 101)

        directory.pages = 0
        writes = 0
        write = client.transport.write

        def congested(data: bytes) -> None:
            nonlocal writes
            writes += 1
            write(data)
            if writes == 5:
                client.protocol.pauseProducing()

        client.transport.write = congested
        client.protocol.dataReceived(b"STAT /\r\n")
        self.assertLess(directory.pages, 10)
        client.protocol.resumeProducing()
        self.assertEqual(finalCodes(client.take()), [212])
        self.assertEqual(directory.closed, 2)


class LargeDirectoryTests(SynchronousTestCase):
    def test_streamed(self) -> None:
        """T-R7: pages are read only as fast as the client takes them."""
        directory = Directory(100_000, 500)
        client = Client(fileSystem=directory).logIn()
        client.code("PASV")
        stream = client.data.stream
        stream.isBlocked = True
        client.say("LIST")
        self.assertLess(directory.pages, 5)
        stream.unblock()
        self.assertEqual(finalCodes(client.take()), [226])
        self.assertEqual(stream.written.count(b"\r\n"), 100_000)
        self.assertEqual(directory.closed, 1)

    def test_closedWhenBroken(self) -> None:
        """The directory is closed also when the client goes away."""
        directory = Directory(100_000, 500)
        client = Client(fileSystem=directory).logIn()
        client.code("PASV")
        client.data.stream.break_(PeerGone())
        self.assertEqual(finalCodes(client.say("NLST")), [426])
        self.assertEqual(directory.closed, 1)

    def test_sorted(self) -> None:
        """An order that was asked for is kept up to ten thousand entries."""
        directory = Directory(10_000, 100)
        client = Client(fileSystem=directory).logIn()
        _, data = client.retrieve("NLST -r")
        self.assertTrue(data.startswith(b"f009999\r\nf009998\r\n"))

    def test_tooLargeToSort(self) -> None:
        """Beyond that all are listed, in the storage's order."""
        directory = Directory(10_500, 100)
        client = Client(fileSystem=directory).logIn()
        _, data = client.retrieve("NLST -r")
        self.assertTrue(data.startswith(b"f000000\r\n"))
        self.assertEqual(data.count(b"\r\n"), 10_500)

    def test_readingFails(self) -> None:
        """A directory that cannot be read to its end is no success."""
        directory = Directory(1000)
        directory.problem = OSError("bad sector")
        client = Client(fileSystem=directory).logIn()
        self.assertEqual(finalCodes(client.retrieve("LIST")[0]), [451])
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.assertEqual(directory.closed, 1)

    def test_goneWhileClosing(self) -> None:
        """The client of a STAT leaves while the directory is being closed: it is closed."""
        closing: Deferred[None] = Deferred()

        class Slow(Directory):
            async def close(self) -> None:
                await closing
                self.closed += 1

        directory = Slow(10)
        client = Client(fileSystem=directory).logIn()
        client.say("STAT /")
        client.disconnect()
        closing.callback(None)
        self.assertEqual(directory.closed, 1)

    def test_goneWhileReading(self) -> None:
        """The client is lost while a page is being read: the directory is closed."""
        waiting: Deferred[None] = Deferred()

        class Slow(Directory):
            async def nextPage(self) -> Any:
                await waiting

        directory = Slow(10)
        client = Client(fileSystem=directory).logIn()
        client.retrieve("LIST")
        client.disconnect()
        self.assertEqual(directory.closed, 1)
        self.assertEqual(client.users.loggedOut, ["ann"])
