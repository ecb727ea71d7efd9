"""
The bytes of LIST, NLST, MLSD and MLST.
"""

import time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from filehub.attributes import DirectoryEntry, FileAttributes, FileType
from filehub.errors import InvalidName
from filehub.protocols.ftp.facts import (
    FACTS,
    FactFormatter,
    factsFeature,
    factsReply,
    formatTime,
    parseFacts,
    parseTime,
    permissionFact,
    splitTime,
)
from filehub.protocols.ftp.listing import (
    ListFormatter,
    Pattern,
    arrange,
    formatNames,
    namePrefix,
    parseListArguments,
    splitPattern,
)

#: 2026-11-24 21:34:00 UTC.
NOW = 1795556040.0
DAY = 86400.0


def entry(
    name: str = "name",
    kind: FileType = FileType.REGULAR,
    size: int = 0,
    modified: float = NOW,
    mode: int | None = 0o644,
    owner: str | None = "owner",
    group: str | None = "group",
    links: int | None = 1,
    uniqueId: str | None = None,
    target: str | None = None,
) -> DirectoryEntry:
    attributes = FileAttributes(kind, size, modified, None, mode, owner, group, links, uniqueId)
    return DirectoryEntry(name, attributes, target)


class ArgumentTests(SynchronousTestCase):
    def assertParsed(self, text: str, flags: str, path: str) -> None:
        request = parseListArguments(text)
        self.assertEqual(
            (request.flags, request.path, request.text), (frozenset(flags), path, text)
        )

    def test_flags(self) -> None:
        """The flags that clients send are known, alone or together."""
        for text in (
            "-a",
            "-l",
            "-la",
            "-al",
            "-aL",
            "-lA",
            "-lan",
            "-R",
            "-t",
            "-S",
            "-r",
            "-1",
            "-F",
            "-d",
        ):
            self.assertParsed(text, text[1:], "")
        self.assertParsed("-l -a -t", "lat", "")

    def test_unknownLettersAreIgnored(self) -> None:
        """A letter that means nothing here, and a long option, change nothing."""
        self.assertParsed("-CZq", "", "")
        self.assertParsed("--color -l x", "l", "x")

    def test_pathWithSpaces(self) -> None:
        """Only leading words are flags; the path keeps every other space."""
        self.assertParsed("-la dir with  space ", "la", "dir with  space ")
        self.assertParsed("dir -l", "", "dir -l")
        self.assertParsed("-l  led", "l", " led")

    def test_namesThatLookLikeFlags(self) -> None:
        """C{--} ends the flags, and a lone hyphen is a name."""
        self.assertParsed("-- -name", "", "-name")
        self.assertParsed("-l -- -name", "l", "-name")
        self.assertParsed("-", "", "-")
        self.assertParsed("-l - x", "l", "- x")

    def test_hiddenAndOrdered(self) -> None:
        """C{-a} and C{-A} show dot files; C{-t}, C{-S} and C{-r} ask for an order."""
        self.assertTrue(parseListArguments("-A").showsHidden)
        self.assertTrue(parseListArguments("-la").showsHidden)
        self.assertFalse(parseListArguments("-l").showsHidden)
        self.assertTrue(parseListArguments("-r").isOrdered)
        self.assertFalse(parseListArguments("-la").isOrdered)

    def test_orders(self) -> None:
        """Newest first, largest first, by name, and each of them turned round."""
        entries = [
            entry("b", size=1, modified=3),
            entry("a", size=2, modified=1),
            entry("c", size=3, modified=2),
        ]

        def order(flags: str) -> str:
            return "".join([each.name for each in arrange(entries, frozenset(flags))])

        self.assertEqual(
            [order(each) for each in ("", "r", "t", "tr", "S", "Sr")],
            ["abc", "cba", "bca", "acb", "cab", "bac"],
        )


class PatternTests(SynchronousTestCase):
    def test_split(self) -> None:
        """Wildcards count in the last segment only; the rest is the directory."""
        for text, directory, pattern in [
            ("*.txt", "", "*.txt"),
            ("/*.txt", "/", "*.txt"),
            ("a/b/?", "a/b", "?"),
            ("a*/b", "a*/b", None),
            ("a*/[b]", "a*", "[b]"),
            ("plain", "plain", None),
            ("", "", None),
        ]:
            found, compiled = splitPattern(text)
            self.assertEqual((found, compiled and compiled.text), (directory, pattern))

    def test_matching(self) -> None:
        """Star, question mark and sets match; everything else is literal."""
        for pattern, name, expected in [
            ("*.txt", "a.txt", True),
            ("*.txt", "a.txt\n", False),
            ("*.txt", "a.TXT", False),
            ("a?c", "abc", True),
            ("a?c", "ac", False),
            ("[a-c]x", "bx", True),
            ("[!a-c]x", "bx", False),
            ("{a,b}*", "a", False),
            ("a\\*", "a\\b", True),
            ("a\\*", "a*", False),
            ("[", "[", True),
            ("*\udcff*", "x\udcffy", True),
        ]:
            self.assertIs(Pattern(pattern).matches(name), expected, (pattern, name))

    def test_dotFiles(self) -> None:
        """A leading dot is matched by a dot, or by anything when hidden names are shown."""
        self.assertFalse(Pattern("*").matches(".x"))
        self.assertTrue(Pattern(".*").matches(".x"))
        self.assertTrue(Pattern("*").matches(".x", hidden=True))

    def test_bounded(self) -> None:
        """Twenty stars are refused; stars in a row are one."""
        self.assertRaises(InvalidName, Pattern, "a*" * 20)
        self.assertTrue(Pattern("*" * 100 + "b").matches("ab"))

    def test_linear(self) -> None:
        """The worst pattern and the worst name take no time to speak of."""
        pattern = Pattern("*a*a*a*a*b")
        before = time.process_time()
        self.assertFalse(pattern.matches("a" * 255))
        self.assertLess(time.process_time() - before, 0.01)

    def test_prefix(self) -> None:
        """NLST gives names relative to the way they were asked."""
        self.assertEqual(namePrefix("", None), "")
        self.assertEqual(namePrefix("a", None), "a/")
        self.assertEqual(namePrefix("/a/", None), "/a/")
        self.assertEqual(namePrefix("a/*.c", Pattern("*.c")), "a/")
        self.assertEqual(namePrefix("*.c", Pattern("*.c")), "")


class TimeTests(SynchronousTestCase):
    def test_parse(self) -> None:
        """Fourteen digits, and perhaps a fraction, are a time in UTC."""
        self.assertEqual(parseTime("20261124213400"), NOW)
        self.assertEqual(parseTime("20261124213400.25"), NOW + 0.25)
        self.assertEqual(parseTime("19700101000000"), 0)
        self.assertEqual(parseTime("20240229000000"), 1709164800)
        self.assertEqual(parseTime("20161231235960"), parseTime("20170101000000"))

    def test_refused(self) -> None:
        """Nothing else is."""
        for text in [
            "",
            "2026112421340",
            "202611242134001",
            "20261124213400.",
            "20261124213400.x",
            "20261124213400 ",
            "20261324213400",
            "20260024213400",
            "20260230213400",
            "20230229000000",
            "20261124243400",
            "20261124216000",
            "20261124213461",
            "00000101000000",
            "+2026112421340",
            "20261124213400".replace("2", "\N{FULLWIDTH DIGIT TWO}"),
            "20261124213400." + "1" * 33,
        ]:
            self.assertRaises(ValueError, parseTime, text)

    @given(st.integers(-62135596800, 253402300799))
    def test_roundTrip(self, seconds: int) -> None:
        """What is formatted is parsed to the same second."""
        self.assertEqual(parseTime(formatTime(seconds + 0.0)), seconds)

    def test_impossibleTimes(self) -> None:
        """A time that no calendar has does not end a listing."""
        for moment in (float("inf"), float("nan"), 1e30, -1e30):
            self.assertEqual(formatTime(moment), "19700101000000")
            page = [entry(modified=moment)]
            self.assertIn(b" Jan  1  1970 name\r\n", ListFormatter(NOW).page(page))
            self.assertEqual(
                FactFormatter(["modify"]).page(page), b"modify=19700101000000; name\r\n"
            )

    def test_split(self) -> None:
        """A time, a space and a name are told from a name with a space."""
        self.assertEqual(splitTime("20261124213400 a b"), (NOW, "a b"))
        self.assertEqual(splitTime("20261124213400  a"), (NOW, " a"))
        self.assertIsNone(splitTime("20261124213400"))
        self.assertIsNone(splitTime("20261124213400 "))
        self.assertIsNone(splitTime("name with space"))


class ListTests(SynchronousTestCase):
    def line(self, *entries: DirectoryEntry, flags: str = "") -> bytes:
        return ListFormatter(NOW, frozenset(flags)).page(entries)

    def test_file(self) -> None:
        """A file of today."""
        self.assertEqual(
            self.line(entry("a b", size=1234)),
            b"-rw-r--r--   1 owner    group        1234 Nov 24 21:34 a b\r\n",
        )

    def test_directory(self) -> None:
        """A directory, and the C{-F} mark."""
        folder = entry("d", FileType.DIRECTORY, 4096, NOW - 40 * DAY, 0o755, links=3)
        line = b"drwxr-xr-x   3 owner    group        4096 Oct 15 21:34 d"
        self.assertEqual(self.line(folder), line + b"\r\n")
        self.assertEqual(self.line(folder, flags="F"), line + b"/\r\n")
        self.assertEqual(self.line(entry(mode=0o755), flags="F")[-7:], b"name*\r\n")

    def test_link(self) -> None:
        """A link tells where it leads if it may, also where nothing is there."""
        link = entry("l", FileType.SYMLINK, 3, mode=0o777, target="a\nb")
        self.assertEqual(
            self.line(link), b"lrwxrwxrwx   1 owner    group           3 Nov 24 21:34 l -> a?b\r\n"
        )
        self.assertEqual(self.line(link._replace(linkTarget=None))[-3:], b"l\r\n")

    def test_year(self) -> None:
        """Half a year ago and tomorrow show the year instead of the time."""
        self.assertIn(b" May 28 21:34 ", self.line(entry(modified=NOW - 180 * DAY)))
        self.assertIn(b" May 28  2026 ", self.line(entry(modified=NOW - 180 * DAY - 60)))
        self.assertIn(b" Nov 24 21:35 ", self.line(entry(modified=NOW + 60)))
        self.assertIn(b" Nov 25  2026 ", self.line(entry(modified=NOW + DAY)))
        self.assertIn(b" Dec 31  1969 ", self.line(entry(modified=-1)))

    def test_unknown(self) -> None:
        """What the storage does not know has a usual value."""
        self.assertEqual(
            self.line(entry(mode=None, owner=None, group="", links=None)),
            b"-rw-r--r--   1 ftp      ftp             0 Nov 24 21:34 name\r\n",
        )
        self.assertEqual(self.line(entry(kind=FileType.DIRECTORY, mode=None))[:10], b"drwxr-xr-x")
        self.assertEqual(self.line(entry(kind=FileType.OTHER))[:10], b"prw-r--r--")

    def test_ownersAreOneWord(self) -> None:
        """An owner with a space or a line end in it does not shift the columns."""
        self.assertIn(
            b" Domain_Users a?b_c    ", self.line(entry(owner="Domain Users", group="a\x1bb c"))
        )

    def test_mixedKinds(self) -> None:
        """Entries that differ in kind or mode only are told apart within one page."""
        page = self.line(
            entry("a"),
            entry("b", FileType.DIRECTORY),
            entry("c", mode=0o600),
            entry("d"),
            entry("e", FileType.SYMLINK),
        )
        self.assertEqual(
            [line[:10] for line in page.split(b"\r\n")],
            [b"-rw-r--r--", b"drw-r--r--", b"-rw-------", b"-rw-r--r--", b"lrw-r--r--", b""],
        )

    def test_emptyPage(self) -> None:
        """Nothing gives nothing."""
        self.assertEqual(self.line(), b"")
        self.assertEqual(formatNames([]), b"")
        self.assertEqual(FactFormatter().page([]), b"")

    def test_manyTimes(self) -> None:
        """More distinct times and owners than are remembered come out right."""
        entries = [
            entry(str(n), modified=NOW - n * DAY, owner=f"o{n}", group=None) for n in range(5000)
        ]
        lines = self.line(*entries).split(b"\r\n")
        facts = FactFormatter(["modify", "UNIX.owner"]).page(entries).split(b"\r\n")
        for n, line in enumerate(lines[:-1]):
            moment = time.gmtime(NOW - n * DAY)
            clock = "21:34" if n <= 180 else f" {moment.tm_year}"
            date = f"{time.strftime('%b', moment)} {moment.tm_mday:2} {clock}"
            expected = f"o{n:<7} ftp             0 {date} {n}"
            self.assertEqual(line[15:].decode(), expected)
            day = time.strftime("%Y%m%d", moment)
            self.assertEqual(facts[n].decode(), f"modify={day}213400;UNIX.owner=o{n}; {n}")


class NameTests(SynchronousTestCase):
    NASTY = (
        "a\rb",
        "a\nb",
        "\x1b[2J",
        " lead",
        "   ",
        "\x7f",
        "\x85",
        "\u202e",
        "\udcff\udc80",
        "ü",
        "a;b",
    )

    def test_oneLineEach(self) -> None:
        """Whatever is in the names, there is one line an entry and no control byte."""
        entries = [entry(name) for name in self.NASTY]
        for page in (
            formatNames(entries, "\n/"),
            ListFormatter(NOW).page(entries),
            FactFormatter().page(entries),
        ):
            self.assertEqual(page.count(b"\r"), len(entries))
            self.assertEqual(page.count(b"\n"), len(entries))
            self.assertEqual(min(page.replace(b"\r\n", b"")), 0x20)
            self.assertIn(b"\xff\x80\r\n", page)
            self.assertIn(" ü\r\n".encode().lstrip(), page)

    def test_names(self) -> None:
        """NLST gives the names and the prefix that was asked for."""
        self.assertEqual(formatNames([entry("a"), entry(" b\n")], "d/"), b"d/a\r\nd/ b?\r\n")

    def test_notFromBytes(self) -> None:
        """A name that no bytes stand for does not end the listing."""
        self.assertEqual(formatNames([entry("a\ud800"), entry("b")]), b"a?\r\nb\r\n")


class FactTests(SynchronousTestCase):
    def test_everything(self) -> None:
        """All facts of a file, in RFC 3659's form, one space before the name."""
        facts = FactFormatter(FACTS, "elradfmwMT")
        self.assertEqual(
            facts.line(" x;y", entry(size=5, uniqueId="k1").attributes),
            b"type=file;size=5;modify=20261124213400;perm=adfrw;unique=k1;"
            b"UNIX.mode=0644;UNIX.owner=owner;UNIX.group=group;  x;y",
        )

    def test_directories(self) -> None:
        """Directories have no size, and the two special ones say which they are."""
        facts = FactFormatter(("type", "size", "perm"), "elradfmwMT")
        folder = entry(kind=FileType.DIRECTORY, size=4096).attributes
        self.assertEqual(facts.line("d", folder), b"type=dir;perm=cdeflmp; d")
        self.assertEqual(facts.line(".", folder, "cdir"), b"type=cdir;perm=cdeflmp; .")
        self.assertEqual(facts.line("..", folder, "pdir"), b"type=pdir;perm=cdeflmp; ..")
        self.assertEqual(facts.line("d", folder), b"type=dir;perm=cdeflmp; d")

    def test_otherKinds(self) -> None:
        """Links and special files have types that clients skip."""
        facts = FactFormatter(("type", "size"))
        self.assertEqual(
            facts.line("l", entry(kind=FileType.SYMLINK).attributes), b"type=OS.unix=symlink; l"
        )
        self.assertEqual(
            facts.line("p", entry(kind=FileType.OTHER).attributes), b"type=OS.unix=special; p"
        )

    def test_unknownFactsAreLeftOut(self) -> None:
        """What the storage does not know is not invented."""
        bare = entry(mode=None, owner=None, group=None).attributes
        self.assertEqual(
            FactFormatter().line("x", bare), b"type=file;size=0;modify=20261124213400;perm=; x"
        )

    def test_noFacts(self) -> None:
        """A client may want none; the space before the name stays."""
        self.assertEqual(FactFormatter(()).page([entry()]), b" name\r\n")

    def test_injection(self) -> None:
        """A value cannot end its fact or its line."""
        nasty = entry(owner="a;b c", group="g\r\n%", uniqueId="1;type=dir; x")
        self.assertEqual(
            FactFormatter(("unique", "UNIX.owner", "UNIX.group")).page([nasty]),
            b"unique=1%3Btype=dir%3B%20x;UNIX.owner=a%3Bb%20c;UNIX.group=g%0D%0A%25; name\r\n",
        )

    def test_permissions(self) -> None:
        """Each of our letters grants its letters of RFC 3659 7.5.5 and no other."""
        table = {
            "e": ("", "e"),
            "l": ("", "l"),
            "r": ("r", ""),
            "a": ("a", ""),
            "d": ("d", "dp"),
            "f": ("f", "f"),
            "m": ("", "m"),
            "w": ("w", "c"),
            "M": ("", ""),
            "T": ("", ""),
        }
        for letter, (file, directory) in table.items():
            self.assertEqual(permissionFact(letter, FileType.REGULAR), file)
            self.assertEqual(permissionFact(letter, FileType.DIRECTORY), directory)

    def test_permissionsByName(self) -> None:
        """Rules may differ from entry to entry."""
        facts = FactFormatter(("perm",), lambda name: "r" if name == "a" else "")
        self.assertEqual(facts.page([entry("a"), entry("b")]), b"perm=r; a\r\nperm=; b\r\n")

    def test_options(self) -> None:
        """OPTS MLST selects, in any case and order; unknown facts are ignored."""
        self.assertEqual(
            parseFacts("Modify;TYPE;unix.MODE;bogus;"), ("type", "modify", "UNIX.mode")
        )
        self.assertEqual(parseFacts(""), ())
        self.assertEqual(factsReply(("modify", "type")), "MLST OPTS type;modify;")
        self.assertEqual(factsReply(()), "MLST OPTS ")
        self.assertEqual(
            factsFeature(("type", "size")),
            "type*;size*;modify;perm;unique;UNIX.mode;UNIX.owner;UNIX.group;",
        )


class SpeedTests(SynchronousTestCase):
    def test_largeDirectories(self) -> None:
        """50,000 entries cost a fraction of a second (the bound is wide: machines differ)."""
        entries = [
            entry(f"file-{n}", modified=NOW - 97.3 * n, uniqueId=f"u{n:x}") for n in range(50_000)
        ]
        for page in (ListFormatter(NOW).page, FactFormatter(FACTS, "elr").page, formatNames):
            before = time.process_time()
            page(entries)
            self.assertLess(time.process_time() - before, 1.0)
