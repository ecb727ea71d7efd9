"""
Trees, copies, space, mounts, the names of programs, and SITE.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from filehub.accounts.records import AccountLimits
from filehub.attributes import FileType, QuotaUsage, SpaceUsage
from filehub.events import ClientNamed, NameChanged
from filehub.paths import ROOT, VirtualPath
from filehub.protocols.ftp import copying, replies, trees
from filehub.protocols.ftp.settings import FTPSettings, SiteCommand
from filehub.protocols.ftp.wire import Reply
from filehub.usage import ITransferQuotas, Scope, TransferQuota, TransferState
from filehub.vfs.forwarding import ForwardingFileSystem
from filehub.vfs.memory import MemoryTree
from filehub.vfs.mount import MountTable
from tests.accounts.verbs import link
from tests.protocols.ftp.doubles import Client, finalCodes


def at(path: str) -> Any:
    """The path of this name."""
    return ROOT.join(path)


def withLinks(capacity: int | None = None) -> tuple[MemoryTree, Client]:
    """A tree that follows links, and a client of it."""
    tree = MemoryTree(links="within-root", capacity=capacity)
    return tree, Client(fileSystem=tree.viewFor("ann")).logIn()


class Extended(SynchronousTestCase):
    def setUp(self) -> None:
        self.tree, self.client = withLinks()
        self.tree.putFile("/d/one", b"1" * 10)
        self.tree.putFile("/d/e/two", b"2" * 20)
        self.tree.putFile("/d/e/f/three", b"3" * 30)
        self.tree.putFile("/outside/kept", b"kept")
        link(self.tree, "/d/e/link", "/outside")
        link(self.tree, "/alias", "/outside")

    def account(self) -> Any:
        """The avatar."""
        session = self.client.protocol._session
        assert session is not None
        return session.account

    def exists(self, path: str) -> bool:
        parent = self.tree.find(at(path).parent)
        return at(path).name in parent.children


class TreeTests(Extended):
    """DSIZ, RMDA, SITE RMDIR."""

    def test_size(self) -> None:
        """DSIZ counts all files below, and nothing behind links."""
        self.assertEqual(self.client.say("DSIZ d"), b"213 60\r\n")
        self.assertEqual(self.client.say("DSIZ d/e/f"), b"213 30\r\n")
        self.assertEqual(self.client.say("DSIZ"), b"213 64\r\n")
        self.assertEqual(self.client.say("DSIZ alias"), b"213 4\r\n")
        self.assertEqual(self.client.codes(["DSIZ d/one", "DSIZ none"]), [550, 550])

    def test_remove(self) -> None:
        """RMDA removes a directory and all that is in it, links but not where they lead."""
        self.assertEqual(self.client.code("RMDA d"), 250)
        self.assertFalse(self.exists("/d"))
        self.assertEqual(self.tree.content("/outside/kept"), b"kept")

    def test_siteRemove(self) -> None:
        """SITE RMDIR is the same."""
        self.assertEqual(self.client.code("SITE RMDIR d/e"), 250)
        self.assertEqual(list(self.tree.find(at("/d")).children), ["one"])

    def test_noTree(self) -> None:
        """No files, no links to directories, no root, nothing that is not there."""
        lines = ["RMDA d/one", "RMDA alias", "RMDA none", "RMDA /", "SITE RMDIR alias"]
        self.assertEqual(self.client.codes(lines), [550] * 5)
        self.assertEqual(self.client.code("RMDA"), 501)
        self.assertTrue(self.exists("/d/one") and self.exists("/outside/kept"))

    def test_throughLinks(self) -> None:
        """A link on the way to the directory is followed, as everywhere."""
        self.tree.putFile("/outside/x/y", b"")
        self.assertEqual(self.client.code("RMDA alias/x"), 250)
        self.assertEqual(list(self.tree.find(at("/outside")).children), ["kept"])

    def test_bounded(self) -> None:
        """Too large a tree is refused before anything of it is gone."""
        client = Client(
            FTPSettings(maximumTreeEntries=5), fileSystem=self.tree.viewFor("ann")
        ).logIn()
        self.assertEqual(client.codes(["DSIZ d", "RMDA d", "DSIZ d/e"]), [504, 504, 213])
        self.assertEqual(self.client.say("DSIZ d"), b"213 60\r\n")

    def test_time(self) -> None:
        """So is one that takes too long."""
        self.patch(trees, "MAXIMUM_SECONDS", -1.0)
        self.assertEqual(self.client.codes(["DSIZ d", "RMDA d"]), [504, 504])
        self.assertTrue(self.exists("/d/one"))

    def test_mounts(self) -> None:
        """What is mounted below is not the directory's to lose."""
        inner = MemoryTree()
        inner.putFile("/x", b"x")
        table = MountTable({ROOT: self.tree.viewFor("ann"), at("/d/m"): inner.viewFor("ann")})
        self.client = Client(fileSystem=table).logIn()
        self.account().mounts = (ROOT, at("/d/m"))
        self.assertEqual(self.client.codes(["RMDA d", "RMDA d/m", "RMDA /"]), [550] * 3)
        self.assertEqual(inner.content("/x"), b"x")
        self.assertTrue(self.exists("/d/one"))
        self.assertEqual(self.client.code("RMDA d/e"), 250)

    def test_interrupted(self) -> None:
        """ABOR ends a long removal; what is not removed by then stays."""
        waiting: Deferred[Any] = Deferred()
        inner = self.tree.viewFor("ann")

        class Slow(ForwardingFileSystem):
            def removeFile(self, path: Any) -> Any:
                async def remove() -> None:
                    await waiting

                return remove()

        client = Client(fileSystem=Slow(inner)).logIn()
        self.assertEqual(client.say("RMDA d"), b"")
        self.assertIn(b"RMDA /d", client.say("STAT"))
        self.assertEqual(finalCodes(client.say("ABOR")), [426, 226])
        self.assertEqual(self.client.say("DSIZ d"), b"213 60\r\n")


class CopyTests(Extended):
    """COMB, SITE CPFR, CPTO and COPY."""

    def setUp(self) -> None:
        super().setUp()
        for name in ("p1", "p2", "p 3"):
            self.tree.putFile(f"/{name}", name.encode())

    def test_combine(self) -> None:
        """COMB joins parts in the order in which they are named, and removes them."""
        self.assertEqual(self.client.code('COMB whole p2 "p 3" p1'), 250)
        self.assertEqual(self.tree.content("/whole"), b"p2p 3p1")
        for name in ("p1", "p2", "p 3"):
            self.assertFalse(self.exists(f"/{name}"))

    def test_told(self) -> None:
        """What came into being by these ways is in the log, too."""
        self.client.code("COMB whole p1 p2")
        (event,) = self.client.events(NameChanged)
        self.assertEqual((event.verb, event.path, event.account), ("combine", at("/whole"), "ann"))

        class Plain(ForwardingFileSystem):
            capabilities = ()

        client = Client(fileSystem=Plain(self.tree.viewFor("ann"))).logIn()
        client.code("SITE COPY whole copy")
        (event,) = client.events(NameChanged)
        self.assertEqual(
            (event.verb, event.path, event.target), ("copy", at("/whole"), at("/copy"))
        )

    def test_appended(self) -> None:
        """An existing file is continued."""
        self.assertEqual(self.client.code('COMB p1 "p 3" p2'), 250)
        self.assertEqual(self.tree.content("/p1"), b"p1p 3p2")

    def test_missingPart(self) -> None:
        """If a part is missing, nothing is made and nothing removed."""
        self.assertEqual(self.client.codes(["COMB whole p1 none", "COMB p2 p1 d"]), [550, 550])
        self.assertFalse(self.exists("/whole"))
        self.assertEqual(self.tree.content("/p1") + self.tree.content("/p2"), b"p1p2")
        self.assertEqual(self.tree.parts, {})

    def test_wrong(self) -> None:
        """A target that is its own part, one path only, quotes without end."""
        for line in ("COMB p1 p1", "COMB p1 p2 p2", "COMB p1", 'COMB x "p1', 'COMB x ""', "COMB"):
            self.assertEqual(self.client.code(line), 501, line)
        self.assertEqual(self.tree.content("/p1"), b"p1")

    def test_full(self) -> None:
        """Without room for the whole, parts stay and nothing is published."""
        self.tree.capacity = self.tree.used() + 3
        self.assertEqual(self.client.code("COMB whole p1 p2"), 452)
        self.assertFalse(self.exists("/whole"))
        self.assertTrue(self.exists("/p1"))

    def test_partStays(self) -> None:
        """A part that cannot be removed is no reason to undo the whole."""

        class Sticky(ForwardingFileSystem):
            def removeFile(self, path: Any) -> Any:
                return self.inner.removeFile(path if path.name != "p1" else at("none"))

        client = Client(fileSystem=Sticky(self.tree.viewFor("ann"))).logIn()
        said = client.say("COMB whole p1 p2")
        self.assertEqual(said, b"250 Combined; not all parts could be removed.\r\n")
        self.assertEqual(self.tree.content("/whole"), b"p1p2")
        self.assertFalse(self.exists("/p2"))

    def test_copy(self) -> None:
        """CPFR and CPTO copy a file, also over another one; COPY does it at once."""
        self.assertEqual(self.client.codes(["SITE CPFR p1", "SITE CPTO copy"]), [350, 250])
        self.assertEqual(self.tree.content("/copy"), b"p1")
        self.assertEqual(self.client.codes(["SITE CPFR p 3", "SITE CPTO copy"]), [350, 250])
        self.assertEqual(self.tree.content("/copy"), b"p 3")
        self.assertEqual(self.client.code('SITE COPY "p 3" "other copy"'), 250)
        self.assertEqual(self.tree.content("/other copy"), b"p 3")

    def test_order(self) -> None:
        """CPTO needs a CPFR right before it."""
        self.assertEqual(self.client.code("SITE CPTO copy"), 503)
        for between in ("NOOP", "SITE HELP", "SITE CPFR none", "BLAH", "USER ann"):
            self.client.code("SITE CPFR p1")
            self.client.code(between)
            self.client.codes(["USER ann", "PASS secret"] if between == "USER ann" else [])
            self.assertEqual(self.client.code("SITE CPTO copy"), 503, between)
        self.assertFalse(self.exists("/copy"))

    def test_copyWrong(self) -> None:
        """Directories are not copied, and not copied onto."""
        self.assertEqual(self.client.codes(["SITE CPFR d", "SITE CPFR none"]), [550, 550])
        self.assertEqual(self.client.codes(["SITE CPFR p1", "SITE CPTO d"]), [350, 550])
        self.assertEqual(self.client.codes(["SITE COPY p1", "SITE COPY a b c"]), [501, 501])

    def test_betweenStorages(self) -> None:
        """Where the storage cannot copy, bytes are read and written, piece by piece."""
        self.patch(copying, "_PIECE", 7)
        other = MemoryTree()
        table = MountTable({ROOT: self.tree.viewFor("ann"), at("/m"): other.viewFor("ann")})
        client = Client(fileSystem=table).logIn()
        self.tree.putFile("/long", bytes(range(100)))
        self.assertEqual(client.code("SITE COPY long m/long"), 250)
        self.assertEqual(other.content("/long"), bytes(range(100)))
        self.assertEqual(client.code("COMB m/long p1 p2"), 250)
        self.assertEqual(other.content("/long"), bytes(range(100)) + b"p1p2")

        class Plain(ForwardingFileSystem):
            capabilities = ()

        client = Client(fileSystem=Plain(self.tree.viewFor("ann"))).logIn()
        self.assertEqual(client.code("SITE COPY long copy"), 250)
        self.assertEqual(self.tree.content("/copy"), bytes(range(100)))


@implementer(ITransferQuotas)
class Moved(AccountLimits):
    """Limits with transfer quotas."""

    def __init__(self, states: list[TransferState]) -> None:
        super().__init__()
        object.__setattr__(self, "states", states)

    def transfers(self) -> list[TransferState]:
        """See L{ITransferQuotas.transfers}."""
        found: list[TransferState] = vars(self)["states"]
        return found


class SpaceTests(Extended):
    """AVBL, ALLO, SITE QUOTA."""

    def setUp(self) -> None:
        super().setUp()
        self.tree.capacity = 1000
        self.free = 1000 - self.tree.used()

    def test_AVBL(self) -> None:
        """The bytes that may be written at a place that there is."""
        free = f"213 {self.free}\r\n".encode()
        self.assertEqual(self.client.say("AVBL"), free)
        self.assertEqual(self.client.say("AVBL d"), free)
        self.assertEqual(self.client.code("AVBL none"), 550)

    def test_ALLO(self) -> None:
        """What fits is announced; what does not fit now is 452; what never will, 552."""
        self.assertEqual(self.client.code(f"ALLO {self.free}"), 200)
        self.assertEqual(self.client.code(f"ALLO {self.free + 1}"), 452)
        self.assertEqual(self.client.code("ALLO 1000"), 452)
        self.assertEqual(self.client.code("ALLO 1001"), 552)
        self.assertEqual(self.client.code("ALLO 10 R 5"), 200)

    def test_QUOTA(self) -> None:
        """For people."""
        said = self.client.say("SITE QUOTA")
        self.assertEqual(finalCodes(said), [200])
        for line in (f"Free: {self.free} bytes", "Total: 1000 bytes", f"Used: {1000 - self.free} "):
            self.assertIn(line.encode(), said)
        self.tree.capacity = None
        self.assertNotIn(b"Total", self.client.say("SITE QUOTA d"))

    def test_quotas(self) -> None:
        """All that hold there are told, and those of what is moved, with their end."""
        quota = TransferQuota(10, 20, 25, 3, 4)
        state = TransferState(Scope("group", "staff"), quota, (1, 2, 3, 4), 86400)
        self.account().limits = Moved([state, TransferState(Scope("server"), quota, (0,) * 4, 0)])
        said = self.client.say("SITE QUOTA")
        for line in (
            " Uploaded (group staff): 1 of 10 bytes",
            " Downloaded (group staff): 2 of 20 bytes",
            " Moved (group staff): 3 of 25 bytes",
            " Uploaded (group staff): 3 of 3 files",
            " Downloaded (group staff): 4 of 4 files",
            " Begins again (group staff): 1970-01-02 00:00 UTC",
            " Uploaded (server): 0 of 10 bytes",
        ):
            self.assertIn(line.encode() + b"\r\n", said)

        class Quotas(ForwardingFileSystem):
            async def space(self, path: VirtualPath) -> SpaceUsage:
                return SpaceUsage(5, 9, (QuotaUsage(at("/d"), 4, 9, 1, 2),))

        client = Client(fileSystem=Quotas(self.tree.viewFor("ann"))).logIn()
        said = client.say("SITE QUOTA")
        self.assertIn(b" Stored in /d: 4 of 9 bytes\r\n Stored in /d: 1 of 2 files\r\n", said)

    def test_unknown(self) -> None:
        """A storage that does not know its room is taken as roomy."""

        class Plain(ForwardingFileSystem):
            capabilities = ()

        client = Client(fileSystem=Plain(self.tree.viewFor("ann"))).logIn()
        self.assertEqual(client.codes(["AVBL", "SITE QUOTA", "ALLO 99999"]), [504, 504, 200])


class MountTests(Extended):
    """SMNT."""

    def test_byName(self) -> None:
        """To the root of a mount, by its path or its last name."""
        self.account().mounts = (ROOT, at("/d"), at("/d/e"), at("/outside/kept"))
        for line, where in (
            ("SMNT d", "/d"), ("SMNT e", "/d/e"), ("SMNT /d/e/", "/d/e"), ("SMNT /", "/"),
        ):  # fmt: skip
            self.assertEqual(self.client.code(line), 250, line)
            self.assertIn(f'"{where}"'.encode(), self.client.say("PWD"))
        self.assertEqual(self.client.codes(["SMNT none", "SMNT kept", "SMNT alias"]), [550] * 3)

    def test_ambiguous(self) -> None:
        """A name that two mounts end with is none's."""
        self.account().mounts = (at("/d/e"), at("/outside/e"))
        self.assertEqual(self.client.code("SMNT e"), 550)

    def test_none(self) -> None:
        """Where nothing is mounted by a name there is no such command."""
        self.assertEqual(self.client.code("SMNT d"), 502)
        self.account().mounts = (ROOT,)
        self.assertEqual(self.client.code("SMNT /"), 502)


class IdentificationTests(SynchronousTestCase):
    """CLNT and CSID."""

    def test_CLNT(self) -> None:
        """The client's name is told to observers once, and shown by STAT."""
        client = Client().logIn()
        self.assertEqual(client.codes(["CLNT Test 1.0", "CLNT Test 1.0", "CLNT"]), [200] * 3)
        (event,) = client.events(ClientNamed)
        self.assertEqual(event.program, "Test 1.0")
        self.assertIn(b"\r\n Client: Test 1.0\r\n", client.say("STAT"))

    def test_hostile(self) -> None:
        """It is cut, and has no control characters."""
        client = Client()
        client.say("CLNT a\x1b[2J" + "x" * 400)
        (event,) = client.events(ClientNamed)
        self.assertEqual(event.program, "a?[2J" + "x" * 123)

    def test_CSID(self) -> None:
        """Names are exchanged; ours has no version unless the operator wants it to."""
        client = Client()
        said = client.say("CSID Name=Test; Version=1.2;")
        self.assertEqual(said, b"200 Name=FileHub; CaseSensitive=1; DirSep=/;\r\n")
        self.assertEqual(client.events(ClientNamed)[0].program, "Test 1.2")
        self.assertIn(b"; Version=", Client(FTPSettings(tellsVersion=True)).say("CSID Name=x"))


class SiteTests(Extended):
    """The rest of SITE."""

    def test_SYMLINK(self) -> None:
        """A link means the same to everybody, wherever it is made from."""
        self.client.code("CWD d")
        for line, path, text in (
            ("SITE SYMLINK one first", "/d/first", "one"),
            ("SITE SYMLINK /d/one /d/e/f/up", "/d/e/f/up", "../../one"),
            ("SITE SYMLINK /outside in", "/d/in", "../outside"),
            ('SITE SYMLINK "no such" dangling', "/d/dangling", "no such"),
            ("SITE SYMLINK . e/here", "/d/e/here", ".."),
        ):
            self.assertEqual(self.client.code(line), 200, line)
            node = self.tree.find(at(path))
            self.assertEqual((node.type, node.target), (FileType.SYMLINK, text))
        self.assertEqual(self.client.code("SITE SYMLINK x first"), 553)
        self.assertEqual(self.client.codes(["SITE SYMLINK x", "SITE SYMLINK a b c"]), [501, 501])

    def test_linkAcrossMounts(self) -> None:
        """A link cannot lead out of its storage."""
        self.account().mounts = (ROOT, at("/outside"))
        self.assertEqual(self.client.code("SITE SYMLINK outside/kept d/l"), 553)
        self.assertFalse(self.exists("/d/l"))

    def test_noLinks(self) -> None:
        """Where links are refused, none are made."""
        client = Client().logIn()
        self.assertEqual(client.code("SITE SYMLINK a b"), 504)

    def test_MKDIR(self) -> None:
        """A directory with those above it; what is there already is all right."""
        lines = ["SITE MKDIR new/a/b c", "SITE MKDIR new/a/b c", "SITE MKDIR d", "SITE MKDIR x"]
        self.assertEqual(self.client.codes(lines), [200] * 4)
        self.assertTrue(self.exists("/new/a/b c"))
        lines = ["SITE MKDIR d/one", "SITE MKDIR d/one/x/y", "SITE MKDIR"]
        self.assertEqual(self.client.codes(lines), [550, 550, 200])

    def test_UMASK(self) -> None:
        """New files and directories lack what is withheld; what is replaced stays as it is."""
        self.assertEqual(self.client.say("SITE UMASK"), b"200 The umask is 000.\r\n")
        self.client.store("STOR before", b"1")
        usual = self.tree.find(at("/before")).mode
        self.assertEqual(self.client.say("SITE UMASK 0177"), b"200 The umask is 177.\r\n")
        self.client.store("STOR new", b"1")
        self.client.store("STOR before", b"2")
        lines = ["MKD made", "SITE MKDIR x/y", "SITE COPY new copy", "COMB all copy", "SITE UMASK"]
        self.assertEqual(self.client.codes(lines), [257, 200, 250, 250, 200])
        for path in ("/new", "/made", "/x", "/x/y", "/all"):
            self.assertEqual(self.tree.find(at(path)).mode & 0o177, 0, path)
        self.assertEqual(self.tree.find(at("/before")).mode, usual)
        self.assertEqual(
            self.client.codes(["SITE UMASK 0", "SITE UMASK 9", "SITE UMASK x"]), [501] * 3
        )
        self.client.code("SITE UMASK 000")
        self.client.store("STOR after", b"1")
        self.assertEqual(self.tree.find(at("/after")).mode, usual)

    def test_umaskEnds(self) -> None:
        """It belongs to the login; where there are no bits, there is none."""
        self.client.code("SITE UMASK 077")
        self.client.codes(["USER ann", "PASS secret"])
        self.assertEqual(self.client.say("SITE UMASK"), b"200 The umask is 000.\r\n")

        class Plain:
            """A storage without permission bits."""

        client = Client(fileSystem=Plain()).logIn()
        self.assertEqual(client.codes(["SITE UMASK 077", "SITE UMASK 000"]), [504, 200])

    def test_IDLE(self) -> None:
        """The time to be idle is shown and set, within bounds."""
        said = self.client.say("SITE IDLE")
        self.assertEqual(said, b"200 Idle time is 300 seconds, 7200 at the most.\r\n")
        self.assertEqual(self.client.code("SITE IDLE 600"), 200)
        self.client.clock.advance(599)
        self.assertFalse(self.client.isClosed)
        self.assertIn(b"is 600 seconds", self.client.say("SITE IDLE"))
        lines = ["SITE IDLE 9", "SITE IDLE 7201", "SITE IDLE x", "SITE IDLE -1", "SITE IDLE 10"]
        self.assertEqual(self.client.codes(lines), [501] * 4 + [200])
        self.client.clock.advance(11)
        self.assertTrue(self.client.isClosed)

    def test_accountsIdle(self) -> None:
        """An account with a time of its own cannot have more."""
        client = Client()
        client.users.limits = AccountLimits(idle=60.0)
        client.logIn()
        self.assertEqual(client.codes(["SITE IDLE 61", "SITE IDLE 30"]), [501, 200])

    def test_unknown(self) -> None:
        """Unknown is 500, disabled is 504, and HELP tells neither."""
        client = Client(FTPSettings(disabled=frozenset(["SITE CHMOD", "RMDA"]))).logIn()
        self.assertEqual(client.codes(["SITE CHMOD 600 f", "SITE EXEC ls"]), [504, 500])
        self.assertEqual(client.codes(["SITE  ", "site   help", "SITE \t"]), [500, 214, 500])
        self.assertNotIn(b"CHMOD", client.say("SITE HELP"))
        self.assertEqual(client.code("RMDA d"), 502)
        self.assertNotIn(b"RMDA", client.say("FEAT"))

    def test_embedders(self) -> None:
        """An application adds commands, which are listed and answered as the others."""
        asked = []

        async def greet(session: Any, argument: str) -> Reply:
            asked.append((session.account.name, argument))
            await session.fileSystem.stat(session.path(argument))
            return replies.reply(200, "Hello.")

        commands = {"GREET": SiteCommand("SITE GREET path", greet)}
        client = Client(
            FTPSettings(siteCommands=commands), fileSystem=self.tree.viewFor("ann")
        ).logIn()
        self.assertEqual(client.say("site greet d/one"), b"200 Hello.\r\n")
        self.assertEqual(asked, [("ann", "d/one")])
        self.assertEqual(client.code("SITE GREET none"), 550)
        self.assertIn(b"\r\n SITE GREET path\r\n", client.say("SITE HELP"))
        self.assertEqual(client.code("SITE CHMOD 600 d/one"), 200)
