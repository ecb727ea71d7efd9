"""
What RFC 913 leaves open, one test for each question, numbered as in
C{docs/protocols/rfc913.rst}.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from filehub.accounts.guard import GuardedFileSystem
from filehub.accounts.records import AccountLimits
from filehub.attributes import FileType
from filehub.credentials import AccountPassword
from filehub.errors import NoSpace, PermissionDenied
from filehub.interfaces import IDirectoryCredentials
from filehub.paths import VirtualPath
from filehub.protocols.rfc913.settings import RFC913Settings
from filehub.vfs.memory import MemoryTree
from tests.accounts.doubles import policy as policyOf
from tests.protocols.rfc913.doubles import Account, Peer


def settings(**changes: Any) -> RFC913Settings:
    return RFC913Settings(hostName="mit", failureDelay=2.0, **changes)


def peer(**files: bytes) -> Peer:
    """Somebody who is logged in, and these files."""
    server = Peer().loggedIn()
    for name, content in files.items():
        server.tree.putFile(name, content)
    return server


class ResolutionTests(SynchronousTestCase):
    def test_01_number(self) -> None:
        """1: the number is exactly one space and digits."""
        self.assertEqual(peer(f=b"x" * 69).say("RETR f"), b" 69\0")

    def test_02_rawBytes(self) -> None:
        """2: SEND is answered with the bytes and nothing before, after or between."""
        server = peer(f=b"+a\0-b\0!c")
        server.say("RETR f")
        self.assertEqual(server.say("SEND"), b"+a\0-b\0!c")
        self.assertEqual(server.say("TYPE B"), b"+Using Binary mode\0")

    def test_03_nothing(self) -> None:
        """3: an empty file is a zero, and no byte; an empty upload has two replies."""
        server = peer(f=b"")
        self.assertEqual(server.say("RETR f"), b" 0\0")
        self.assertEqual(server.say("SEND"), b"")
        self.assertEqual(server.say("STOR NEW g"), b"+File does not exist, will create new file\0")
        self.assertEqual(server.say("SIZE 0"), b"+ok, waiting for file\0+Saved /g\0")
        self.assertEqual(server.stored("g"), b"")

    def test_04_otherCommands(self) -> None:
        """4: another command cancels what is pending, without a word, and is carried out."""
        for first, second in (
            ("RETR f", "SEND"),
            ("RETR f", "STOP"),
            ("STOR OLD f", "SIZE 1"),
            ("NAME f", "TOBE g"),
        ):
            for other, answer in (
                ("TYPE B", b"+Using Binary mode\0"),
                ("LIST F", b"+/\r\nf\r\n\0"),
                ("ACCT x", b"! Account valid, logged-in\0"),
                ("NOPE", b"-Unknown command\0"),
                ("??", b"-Unknown command\0"),
            ):
                server = peer(f=b"old")
                server.say(first)
                self.assertEqual(server.say(other), answer, (first, other))
                self.assertEqual(server.say(second)[:1], b"-", (first, other, second))
                self.assertEqual(server.stored("f"), b"old")
                self.assertFalse(server.isClosed)

    def test_04_openersReplace(self) -> None:
        """4: a second RETR takes the place of the first."""
        server = peer(f=b"1", g=b"22")
        server.say("RETR f")
        self.assertEqual(server.say("RETR g"), b" 2\0")
        self.assertEqual(server.say("SEND"), b"22")

    def test_04_secondHalvesAlone(self) -> None:
        """4: SEND, STOP, TOBE and SIZE without what they belong to are refused."""
        server = peer(f=b"x")
        for command in ("SEND", "STOP", "TOBE x", "SIZE 1"):
            self.assertEqual(server.say(command)[:1], b"-", command)
        server.say("RETR f")
        for command in ("TOBE x", "SIZE 1"):
            self.assertEqual(server.say(command)[:1], b"-", command)

    def test_05_errorsDoNotClose(self) -> None:
        """5: an error leaves the connection open."""
        server = peer()
        for command in ("RETR none", "KILL none", "CDIR none", "FOO", "LIST X", "TYPE Z"):
            self.assertEqual(server.say(command)[:1], b"-", command)
        self.assertFalse(server.isClosed)

    def test_05_wrongLogins(self) -> None:
        """5: wrong logins are answered late; the third closes the connection."""
        server = Peer()
        server.say("USER mkl")
        for _ in range(2):
            self.assertEqual(server.say("PASS bar"), b"")
            server.clock.advance(1.9)
            self.assertEqual(server.received(), b"")
            server.clock.advance(0.1)
            self.assertEqual(server.received(), b"-Wrong password, try again\0")
        server.say("PASS bar")
        server.clock.advance(2)
        self.assertEqual(server.received(), b"-Too many failed logins\0")
        self.assertTrue(server.isClosed)

    def test_06_userAgain(self) -> None:
        """6: USER begins anew: avatar, pending command, directory and type are gone."""
        server = peer(f=b"a\nb")
        server.tree.putDirectory("d")
        server.say("CDIR d")
        server.say("TYPE A")
        server.say("RETR /f")
        self.assertEqual(server.say("USER mkl"), b"+User-id valid, send account and password\0")
        self.assertEqual(server.users.loggedOut, ["mkl"])
        self.assertEqual(server.say("SEND"), b"-Log in first\0")
        self.assertEqual(server.say("LIST F"), b"-Log in first\0")
        self.assertEqual(server.say("PASS foo"), b"! Logged in\0")
        self.assertEqual(server.say("SEND"), b"-Nothing to SEND for\0")
        self.assertEqual(server.say("RETR f"), b" 3\0")

    def test_07_userFirst(self) -> None:
        """7: ACCT and PASS before USER are refused."""
        server = Peer()
        self.assertEqual(server.say("PASS foo"), b"-Say USER first\0")
        self.assertEqual(server.say("ACCT acct"), b"-Say USER first\0")
        self.assertEqual(server.users.asked, [])

    def test_08_accountsNone(self) -> None:
        """8, none: an account is welcome and not used."""
        server = Peer()
        server.say("USER mkl")
        self.assertEqual(server.say("ACCT whatever"), b"+Account valid, send password\0")
        self.assertEqual(server.say("PASS foo"), b"! Logged in\0")
        self.assertEqual(server.say("ACCT whatever"), b"! Account valid, logged-in\0")
        self.assertEqual(server.say("PASS again"), b"! Logged in\0")

    def test_08_accountsOptional(self) -> None:
        """8, optional: a given account is verified together with the password."""
        for account, answer in (
            ("acct", b"! Logged in\0"),
            ("wrong", b"-Wrong password, try again\0"),
        ):
            server = Peer(settings(accounts="optional"))
            server.say("USER mkl")
            self.assertEqual(server.say(f"ACCT {account}"), b"+Account valid, send password\0")
            server.send(b"PASS foo\0")
            server.clock.advance(2)
            self.assertEqual(server.received(), answer)
            self.assertEqual(
                server.users.asked, [AccountPassword(b"mkl", b"foo", account.encode())]
            )
        server = Peer(settings(accounts="optional"))
        server.say("USER mkl")
        self.assertEqual(server.say("PASS foo"), b"! Logged in\0")

    def test_08_accountsRequired(self) -> None:
        """8, required: both in either order; the password alone is never acknowledged."""
        for password, expected in (("foo", b"! Account valid, logged-in\0"), ("bar", b"")):
            server = Peer(settings(accounts="required"))
            server.say("USER mkl")
            self.assertEqual(server.say(f"PASS {password}"), b"+Send account\0")
            self.assertEqual(server.users.asked, [])
            self.assertEqual(server.say("ACCT acct"), expected)
        server.clock.advance(2)
        self.assertEqual(server.received(), b"-Invalid account, try again\0")
        server.say("ACCT acct")
        self.assertEqual(server.say("PASS foo"), b"! Logged in\0")

    def test_08_checkerAsks(self) -> None:
        """8: whatever the policy, a checker that wants an account gets to ask for it."""
        for policy in ("none", "optional"):
            server = Peer(settings(accounts=policy))
            server.users.wantsAccount = True
            server.say("USER mkl")
            self.assertEqual(server.say("PASS foo"), b"+Send account\0")
            self.assertEqual(server.say("ACCT acct"), b"! Account valid, logged-in\0")
            server = Peer(settings(accounts=policy))
            server.users.wantsAccount = True
            server.say("USER mkl")
            server.say("ACCT acct")
            self.assertEqual(server.say("PASS foo"), b"! Logged in\0")

    def test_09_enumeration(self) -> None:
        """9: every name is answered alike; only anonymous ones are logged in at once."""
        server = Peer()
        for name in ("mkl", "nobody", "root"):
            self.assertEqual(
                server.say(f"USER {name}"), b"+User-id valid, send account and password\0"
            )
        for name in ("anonymous", "Guest", "FTP"):
            self.assertEqual(Peer().say(f"USER {name}"), f"!{name} logged in\0".encode())
        server.users.anonymous = False
        self.assertEqual(server.say("USER guest"), b"+User-id valid, send account and password\0")

    def test_09_literal(self) -> None:
        """9, option: unknown names are refused as in the RFC, late and only so often."""
        server = Peer(knownUser=lambda name: name == b"mkl")
        self.assertEqual(server.say("USER mkl")[:1], b"+")
        server.say("USER nobody")
        server.clock.advance(2)
        self.assertEqual(server.received(), b"-Invalid user-id, try again\0")

    def test_10_nothingBeforeLogin(self) -> None:
        """10: CDIR and all the others are refused before a login."""
        server = Peer()
        for command in (
            "CDIR /",
            "TYPE A",
            "LIST F",
            "KILL f",
            "NAME f",
            "TOBE g",
            "RETR f",
            "SEND",
            "STOP",
            "STOR NEW f",
            "SIZE 1",
        ):
            self.assertEqual(server.say(command), b"-Log in first\0", command)

    def test_12_paths(self) -> None:
        """12: paths are virtual and absolute; C{..} stays at the root; nothing is nowhere."""
        server = peer()
        server.tree.putDirectory("a/b")
        self.assertEqual(server.say("CDIR a"), b"!Changed working dir to /a\0")
        self.assertEqual(server.say("CDIR b"), b"!Changed working dir to /a/b\0")
        self.assertEqual(server.say("CDIR ../../../.."), b"!Changed working dir to /\0")
        self.assertEqual(server.say("CDIR /a//b/."), b"!Changed working dir to /a/b\0")
        self.assertEqual(server.say("CDIR"), b"-Can't connect to directory because: no name\0")
        self.assertEqual(server.say("CDIR ")[:1], b"-")

    def test_13_lists(self) -> None:
        """13: the header is the directory's path, every line ends in CRLF, names are bare."""
        server = peer(b=b"1", a=b"2")
        server.tree.putDirectory("c d/e")
        self.assertEqual(server.say("LIST F"), b"+/\r\na\r\nb\r\nc d\r\n\0")
        self.assertEqual(server.say("LIST F c d"), b"+/c d\r\ne\r\n\0")
        self.assertEqual(server.say("LIST F c d/e/../e/"), b"+/c d/e\r\n\0")

    def test_14_listForms(self) -> None:
        """14: F and V in any case and nothing else; a file has no list."""
        server = peer(a=b"1")
        for command in ("LIST", "LIST ", "LIST X", "LIST FV", "LIST /", "LIST F a", "LIST F no"):
            self.assertEqual(server.say(command)[:1], b"-", command)
        self.assertEqual(server.say("LIST f"), b"+/\r\na\r\n\0")
        self.assertEqual(server.say("LIST v")[:4], b"+/\r\n")

    def test_15_verbose(self) -> None:
        """15: mode, size, owner, date in UTC, and the name last."""
        server = peer(a=b"12345")
        server.tree.putDirectory("d")
        self.assertEqual(
            server.say("LIST V"),
            b"+/\r\n"
            b"-rw-r-----            5 -        2026-11-24T21:34:00Z a\r\n"
            b"drwxr-x---            0 -        2026-11-24T21:34:00Z d\r\n\0",
        )

    def test_16_spaces(self) -> None:
        """16: an argument goes to the NUL, with every space in it."""
        server = peer()
        self.assertEqual(
            server.say("STOR NEW  a  b "), b"+File does not exist, will create new file\0"
        )
        self.assertEqual(server.say("SIZE 1"), b"+ok, waiting for file\0")
        server.send(b"x")
        self.assertEqual(server.received(), b"+Saved / a  b \0")
        self.assertEqual(server.say("RETR  a  b "), b" 1\0")
        self.assertEqual(server.say("NAME  a  b \r\n"), b"+File exists\0")
        self.assertEqual(server.say("TOBE c"), b"+/ a  b  renamed to /c\0")

    def test_17_names(self) -> None:
        """17: UTF-8 and other bytes come and go unchanged."""
        server = peer()
        for name in ("ü€".encode(), b"\xff\xfe"):
            server.say(b"STOR NEW " + name)
            self.assertEqual(server.say("SIZE 0")[-len(name) - 1 : -1], name)
            self.assertIn(b"\r\n" + name + b"\r\n", server.say("LIST F"))
            self.assertEqual(server.say(b"RETR " + name), b" 0\0")

    def test_17_controls(self) -> None:
        """17: names with control characters are not listed and not made."""
        server = peer(f=b"")
        server.tree.putFile("a\r\nb", b"")
        server.tree.putFile("\x1b[2J", b"")
        self.assertEqual(server.say("LIST F"), b"+/\r\nf\r\n\0")
        self.assertEqual(server.say("LIST V").count(b"\r\n"), 2)
        self.assertEqual(server.say("STOR NEW a\nb")[:1], b"-")
        server.say("NAME f")
        self.assertEqual(server.say("TOBE a\x7fb")[:1], b"-")
        self.assertNotIn(b"\n", server.say("NAME no\nwhere"))

    def test_17_option(self) -> None:
        """17, option: such names are shown escaped, one line each."""
        server = Peer(settings(showControls=True)).loggedIn()
        server.tree.putFile("a\r\nü", b"")
        self.assertEqual(server.say("LIST F"), "+/\r\na\\x0d\\x0aü\r\n\0".encode())

    def test_18_emptyCommands(self) -> None:
        """18: stray NULs are ignored and cancel nothing."""
        server = peer(f=b"x")
        server.say("RETR f")
        self.assertEqual(server.say(b"\0\0"), b"")
        self.assertEqual(server.say("SEND"), b"x")

    def test_19_unknown(self) -> None:
        """19: an unknown command is an error; one that does not end closes."""
        server = peer()
        self.assertEqual(server.say("HELO x"), b"-Unknown command\0")
        server.send(b"KILL " + b"x" * 5000)
        self.assertEqual(server.received(), b"-Command too long\0")
        self.assertTrue(server.isClosed)

    def test_20_strict(self) -> None:
        """20: line ends end no command."""
        server = Peer()
        server.send(b"USER mkl\r\nPASS foo\r\n")
        self.assertEqual(server.received(), b"")

    def test_20_lenient(self) -> None:
        """20, option: they do for people with netcat."""
        server = Peer(settings(lenientFraming=True))
        server.send(b"USER mkl\r\nPASS foo\nSTOR NEW f\r\nSIZE 3\r\na\nbDONE\r\n")
        self.assertEqual(server.stored("f"), b"a\nb")
        self.assertIn(b"closing", server.received())

    def test_21_text(self) -> None:
        """21: the number is the converted length, and what is sent has it."""
        server = peer(f=b"a\nb\rc\r\n")
        self.assertEqual(server.say("TYPE a"), b"+Using Ascii mode\0")
        self.assertEqual(server.say("RETR f"), b" 11\0")
        self.assertEqual(server.say("SEND"), b"a\r\nb\r\0c\r\0\r\n")
        server.say("STOR NEW g")
        server.say("SIZE 11")
        server.send(b"a\r\nb\r\0c\r\0\r\n")
        self.assertEqual(server.received(), b"+Saved /g\0")
        self.assertEqual(server.stored("g"), b"a\nb\rc\r\n")

    def test_21_highBit(self) -> None:
        """21: bytes with the high bit pass; by option they are refused."""
        server = peer(f=b"\xff\n")
        server.say("TYPE A")
        self.assertEqual(server.say("RETR f"), b" 3\0")
        self.assertEqual(server.say("SEND"), b"\xff\r\n")
        server = Peer(settings(strictText=True)).loggedIn()
        server.tree.putFile("f", b"\xff\n")
        server.say("TYPE A")
        self.assertEqual(server.say("RETR f"), b"-TYPE A carries 7-bit characters only\0")
        server.say("STOR NEW g")
        server.say("SIZE 3")
        server.send(b"a\xffc")
        self.assertEqual(
            server.received(), b"-Couldn't save because TYPE A carries 7-bit characters only\0"
        )
        self.assertIsNone(server.stored("g"))
        self.assertEqual(server.say("TYPE B"), b"+Using Binary mode\0")
        self.assertEqual(server.say("RETR f"), b" 2\0")

    def test_21_largeText(self) -> None:
        """21: a file that is too large to be counted is refused in TYPE A alone."""
        server = Peer(settings(maximumText=10)).loggedIn()
        server.tree.putFile("f", b"x" * 11)
        server.say("TYPE A")
        self.assertEqual(server.say("RETR f"), b"-File too large for TYPE A, use TYPE B\0")
        server.say("TYPE B")
        self.assertEqual(server.say("RETR f"), b" 11\0")

    def test_22_continuous(self) -> None:
        """22: C is B."""
        server = peer(f=b"a\r\nb\0")
        self.assertEqual(server.say("TYPE C"), b"+Using Continuous mode\0")
        self.assertEqual(server.say("RETR f"), b" 5\0")
        self.assertEqual(server.say("SEND"), b"a\r\nb\0")

    def test_23_changes(self) -> None:
        """23: what RETR opened is what SEND sends, whatever has the name by then."""
        server = peer(f=b"old")
        server.say("RETR f")
        server.tree.putFile("f", b"newer")
        self.assertEqual(server.say("SEND"), b"old")

    def test_23_shrinks(self) -> None:
        """23: a file that became shorter closes the connection, in TYPE A too."""
        for type in "BA":
            server = peer(f=b"0123456789")
            server.say(f"TYPE {type}")
            server.say("RETR f")
            server.protocol._session.pending.source._content = b"01234"  # type: ignore[union-attr]
            self.assertEqual(server.say("SEND"), b"01234")
            self.assertTrue(server.isClosed)
            server.clock.advance(0)
            self.assertEqual(server.events.transfers, [("download", "/f", "failed", 5)])

    def test_23_changesInPlace(self) -> None:
        """23: in TYPE A, content of another converted length is never passed off as whole."""
        server = peer(f=b"0123456789")
        server.say("TYPE A")
        server.say("RETR f")
        server.protocol._session.pending.source._content = b"01234\n6789"  # type: ignore[union-attr]
        self.assertLess(len(server.say("SEND")), 10)
        self.assertTrue(server.isClosed)

    def test_24_new(self) -> None:
        """24: NEW on an existing file is refused."""
        self.assertEqual(
            peer(f=b"").say("STOR NEW f"),
            b"-File exists, but system doesn't support generations\0",
        )

    def test_24_generations(self) -> None:
        """24, option: NEW makes the next free generation, and says which."""
        server = Peer(settings(generations=True)).loggedIn()
        server.tree.putFile("f", b"0")
        server.tree.putFile("f.~1~", b"1")
        self.assertEqual(
            server.say("STOR NEW f"), b"+File exists, will create new generation of file\0"
        )
        server.say("SIZE 1")
        server.send(b"2")
        self.assertEqual(server.received(), b"+Saved /f.~2~\0")
        self.assertEqual([server.stored(f"f{n}") for n in ("", ".~1~", ".~2~")], [b"0", b"1", b"2"])
        self.assertEqual(server.say("STOR NEW g"), b"+File does not exist, will create new file\0")

    def test_25_forbidden(self) -> None:
        """25: who may not write hears so at STOR, also for OLD and APP."""
        server = peer(f=b"")
        server.tree.putDirectory("d")

        async def openForWriting(*_: object, **__: object) -> None:
            raise PermissionDenied

        for mode in ("OLD", "APP", "NEW"):
            self.assertEqual(server.say(f"STOR {mode} no/where")[:1], b"-")
            self.assertEqual(server.say(f"STOR {mode} d")[:1], b"-")
            self.assertEqual(server.say(f"STOR {mode}")[:1], b"-")
        server.account.fileSystem.openForWriting = openForWriting
        for mode in ("OLD", "APP", "NEW"):
            self.assertEqual(server.say(f"STOR {mode} f"), b"-Permission denied\0")
            self.assertEqual(server.say("SIZE 1"), b"-Nothing to SIZE for\0")

    def test_25_replies(self) -> None:
        """25: OLD and APP say whether there is a file."""
        server = peer(f=b"")
        self.assertEqual(server.say("STOR OLD f"), b"+Will write over old file\0")
        self.assertEqual(server.say("STOR OLD g"), b"+Will create new file\0")
        self.assertEqual(server.say("STOR APP f"), b"+Will append to file\0")
        self.assertEqual(server.say("STOR app g"), b"+Will create file\0")

    def test_26_atomic(self) -> None:
        """26: nothing is visible before the last byte; a lost connection changes nothing."""
        for mode, name, whole in (("OLD", "f", b"12"), ("APP", "f", b"old12"), ("NEW", "g", b"12")):
            server = peer(f=b"old")
            before = server.stored(name)
            server.say(f"STOR {mode} {name}")
            server.say("SIZE 2")
            server.send(b"1")
            self.assertEqual(server.stored(name), before)
            server.send(b"2")
            self.assertEqual(server.stored(name), whole)
            server.say(f"STOR {mode} {name}x")
            server.say("SIZE 2")
            server.send(b"1")
            server.transport.lose()
            self.assertIsNone(server.stored(f"{name}x"))
            self.assertEqual(server.events.transfers[-1], ("upload", f"/{name}x", "peer gone", 1))

    def test_27_writeErrors(self) -> None:
        """27: an upload that cannot be stored is read to its end, and commands follow."""
        server = peer(f=b"old")
        server.say("STOR OLD f")
        server.say("SIZE 300000")
        server.tree.capacity = 1000
        for _ in range(3):
            self.assertEqual(server.received(), b"")
            server.send(b"KILL f\0TYPE B\0".ljust(100_000, b"\0"))
        self.assertEqual(server.received(), b"-Couldn't save because not enough room\0")
        self.assertEqual(server.stored("f"), b"old")
        self.assertEqual(server.say("TYPE B"), b"+Using Binary mode\0")
        self.assertEqual(server.events.transfers, [("upload", "/f", "failed", 300_000)])

    def test_27_bounded(self) -> None:
        """27: over the bound the answer comes at once and the connection closes."""
        server = Peer(settings(maximumDiscarded=1000)).loggedIn()
        server.say("STOR NEW f")
        server.say("SIZE 9000000")
        server.tree.capacity = 1000
        # More than is gathered in memory before a write is tried.
        for _ in range(6):
            server.send(b"x" * 600_000)
            server.clock.advance(0.001)
        self.assertEqual(server.received(), b"-Couldn't save because not enough room\0")
        self.assertTrue(server.isClosed)

    def test_28_bytesAfterRefusal(self) -> None:
        """28: bytes behind a refused SIZE are not commands: the connection closes."""
        server = peer(victim=b"x")
        server.say("STOR NEW f")
        server.send(b"SIZE -1\0KILL victim\0")
        self.assertEqual(server.received(), b"-Not a size\0")
        self.assertTrue(server.isClosed)
        self.assertEqual(server.stored("victim"), b"x")
        self.assertEqual([each.kind for each in server.events], ["bytes after a refused SIZE"])  # type: ignore[attr-defined]

    def test_28_withoutBytes(self) -> None:
        """28: otherwise the session goes on."""
        server = peer()
        server.say("STOR NEW f")
        self.assertEqual(server.say("SIZE x"), b"-Not a size\0")
        self.assertEqual(server.say("SIZE 1"), b"-Nothing to SIZE for\0")

    def test_29_sizes(self) -> None:
        """29: anything but digits up to 2^63-1 is refused, and STOR is over."""
        for text in ("", "-1", "1e3", "9223372036854775808", "99999999999999999999999", "1 "):
            server = peer()
            server.say("STOR NEW f")
            self.assertEqual(server.say(f"SIZE {text}")[:1], b"-", text)
            self.assertEqual(server.say("SIZE 1")[:1], b"-", text)

    def test_29_room(self) -> None:
        """29: what cannot fit is refused at SIZE, for APP too."""
        for mode in ("NEW", "OLD", "APP"):
            tree = MemoryTree(capacity=100)
            server = Peer(tree=tree).loggedIn()
            server.say(f"STOR {mode} f")
            self.assertEqual(server.say("SIZE 101"), b"-Not enough room, don't send it\0", mode)
            server.say(f"STOR {mode} f")
            self.assertEqual(server.say("SIZE 100"), b"+ok, waiting for file\0", mode)

    def test_29_unknownRoom(self) -> None:
        """29: where room is not known, or not to be known, the upload is tried."""
        server = peer()

        async def space(path: object) -> None:
            raise PermissionDenied

        server.account.fileSystem.space = space
        server.say("STOR APP f")
        self.assertEqual(server.say("SIZE 1000"), b"+ok, waiting for file\0")

    def test_29_quota(self) -> None:
        """29: the size is told to the storage before a byte comes."""
        server = peer()
        hints = []
        openForWriting = server.account.fileSystem.openForWriting

        async def spy(*args: Any, sizeHint: int | None = None) -> Any:
            hints.append(sizeHint)
            return await openForWriting(*args, sizeHint=sizeHint)

        server.account.fileSystem.openForWriting = spy
        server.say("STOR NEW f")
        server.say("SIZE 5")
        self.assertEqual(hints, [None, 5])

    def test_30_kill(self) -> None:
        """30: KILL removes files; directories and wildcards it does not know."""
        server = peer(f=b"", g=b"")
        server.tree.putDirectory("d")
        self.assertEqual(server.say("KILL d"), b"-Not deleted because it is a directory\0")
        self.assertEqual(server.say("KILL *"), b"-Not deleted because file doesn't exist\0")
        self.assertEqual(server.say("KILL"), b"-Not deleted because no name\0")
        self.assertEqual(server.say("KILL f"), b"+/f deleted\0")
        self.assertEqual(server.say("LIST F"), b"+/\r\nd\r\ng\r\n\0")

    def test_31_tobe(self) -> None:
        """31: TOBE onto an existing name is refused, and the sequence is over."""
        server = peer(f=b"1", g=b"2")
        self.assertEqual(server.say("NAME f"), b"+File exists\0")
        self.assertEqual(
            server.say("TOBE g"),
            b"-File wasn't renamed because file exists\0",
        )
        self.assertEqual(server.say("TOBE h"), b"-Nothing to TOBE for\0")
        self.assertEqual((server.stored("f"), server.stored("g")), (b"1", b"2"))

    def test_32_done(self) -> None:
        """32: DONE is always accepted, and the close comes after the reply."""
        server = Peer()
        server.send(b"DONE\0")
        self.assertEqual(server.transport.state, "closing")
        self.assertEqual(server.received(), b"+mit closing connection\0")
        self.assertEqual(server.transport.state, "lost")

    def test_33_directories(self) -> None:
        """33: a directory cannot be retrieved, and can be renamed."""
        server = peer()
        server.tree.putDirectory("d")
        self.assertEqual(server.say("RETR d"), b"-It is a directory\0")
        self.assertEqual(server.say("NAME d"), b"+File exists\0")
        self.assertEqual(server.say("TOBE e"), b"+/d renamed to /e\0")
        self.assertEqual(server.tree.find(VirtualPath(["e"])).type, FileType.DIRECTORY)

    def test_34_times(self) -> None:
        """34: 60 seconds for a login, 300 without a command, 60 without a byte."""
        server = Peer()
        server.say("USER mkl")
        server.clock.advance(59)
        self.assertFalse(server.isClosed)
        server.clock.advance(2)
        self.assertTrue(server.isClosed)
        server = peer()
        server.clock.advance(299)
        server.say("TYPE B")
        server.clock.advance(299)
        self.assertFalse(server.isClosed)
        server.clock.advance(3)
        self.assertTrue(server.isClosed)
        server = peer()
        server.say("STOR NEW f")
        server.say("SIZE 10")
        for _ in range(5):
            server.send(b"x")
            for _ in range(55):
                server.clock.advance(1)
        self.assertFalse(server.isClosed)
        for _ in range(80):
            server.clock.advance(1)
        self.assertTrue(server.isClosed)
        self.assertEqual(server.events.transfers, [("upload", "/f", "stalled", 5)])
        self.assertIsNone(server.stored("f"))

    def test_34_accounts(self) -> None:
        """34: an account's own idle and stall times go before the listener's, changed or not."""
        server = Peer()
        server.account.limits = AccountLimits(idle=20.0, stall=5.0)
        server.loggedIn()
        server.say("STOR NEW f")
        server.say("SIZE 10")
        server.send(b"x")
        for _ in range(8):
            server.clock.advance(1)
        self.assertTrue(server.isClosed)
        self.assertEqual(server.events.transfers, [("upload", "/f", "stalled", 1)])
        server = Peer()
        server.account.limits = AccountLimits(idle=20.0)
        server.loggedIn()
        server.account.limits = AccountLimits(idle=40.0)
        session = server.protocol._session
        assert session is not None
        session.limitsChanged()
        server.clock.advance(38)
        self.assertFalse(server.isClosed)
        server.clock.advance(4)
        self.assertTrue(server.isClosed)

    def test_35_passwords(self) -> None:
        """35: a password is in no event and in no log."""
        server = Peer()
        server.say("USER mkl")
        server.users.login = lambda *_: 1 / 0  # type: ignore[assignment,return-value]
        self.assertEqual(server.say("PASS geheim"), b"-Internal error\0")
        (logged,) = self.flushLoggedErrors(ZeroDivisionError)
        self.assertNotIn("geheim", str(logged))
        self.assertNotIn("geheim", repr(list(server.events)))


@implementer(IDirectoryCredentials)
class Gate:
    """C{/secret} wants what C{needs} says; the words are C{open} and C{sesame}."""

    def __init__(self, *needs: str) -> None:
        self.needs = frozenset(needs)
        self.opened: list[str] = []

    def wanted(self, path: VirtualPath) -> frozenset[str]:
        return self.needs if path.name == "secret" else frozenset()

    async def unlock(
        self, path: VirtualPath, *, account: bytes | None, password: bytes | None
    ) -> None:
        words = {"account": b"open", "password": b"sesame"}
        given = {"account": account, "password": password}
        if any(given[need] != words[need] for need in self.needs):
            raise PermissionDenied(path)
        self.opened.append(str(path))


class DirectoryCredentialTests(SynchronousTestCase):
    """Question 11: what the C{+} of CDIR protects."""

    def server(self, *needs: str) -> Peer:
        tree = MemoryTree()
        tree.putDirectory("secret")
        self.gate = Gate(*needs)
        account = Account("mkl", tree.viewFor("mkl"), gate=self.gate)
        return Peer(tree=tree, account=account).loggedIn()

    def test_11_plainDenial(self) -> None:
        """11: without a permission layer that asks, denied is denied."""
        server = peer()
        server.tree.putDirectory("d")
        denied = b"-Can't connect to directory because: permission denied\0"
        server.account.fileSystem = GuardedFileSystem(
            server.account.fileSystem, policyOf({"/": "lradfmw"})
        )
        self.assertEqual(server.say("CDIR d"), denied)
        self.assertEqual(server.say("CDIR none"), denied)

    def test_11_password(self) -> None:
        """11: one that asks gets the password, for that directory alone."""
        server = self.server("password")
        self.assertEqual(server.say("CDIR secret"), b"+directory ok, send account/password\0")
        self.assertEqual(server.say("PASS sesame"), b"!Changed working dir to /secret\0")
        self.assertEqual(self.gate.opened, ["/secret"])
        self.assertEqual(len(server.users.asked), 1)

    def test_11_both(self) -> None:
        """11: account and password come in either order."""
        for first, second, answer in (
            ("PASS sesame", "ACCT open", b"+Send account\0"),
            ("ACCT open", "PASS sesame", b"+Send password\0"),
        ):
            server = self.server("account", "password")
            server.say("CDIR secret")
            self.assertEqual(server.say(first), answer)
            self.assertEqual(server.say(second), b"!Changed working dir to /secret\0")

    def test_11_wrong(self) -> None:
        """11: a wrong one leaves login and directory as they were; too many close."""
        server = self.server("password")
        for attempt in range(3):
            server.say("CDIR secret")
            self.assertEqual(server.say("PASS wrong"), b"")
            server.clock.advance(2)
            answer = server.received()
            if attempt < 2:
                self.assertEqual(answer, b"-Invalid password\0")
                self.assertEqual(server.say("LIST F"), b"+/\r\nsecret\r\n\0")
                self.assertEqual(server.users.loggedOut, [])
                # Over: this is the login's PASS again.
                self.assertEqual(server.say("PASS sesame"), b"! Logged in\0")
        self.assertTrue(server.isClosed)

    def test_11_cancelled(self) -> None:
        """11: any other command cancels it, with the directory unchanged."""
        server = self.server("password")
        server.say("CDIR secret")
        self.assertEqual(server.say("LIST F"), b"+/\r\nsecret\r\n\0")
        self.assertEqual(server.say("PASS sesame"), b"! Logged in\0")
        self.assertEqual(self.gate.opened, [])

    def test_11_storage(self) -> None:
        """11: other troubles of the permission layer are no wrong password."""
        server = self.server("password")

        async def unlock(*_: object, **__: object) -> None:
            raise NoSpace

        self.gate.unlock = unlock  # type: ignore[method-assign,assignment]
        server.say("CDIR secret")
        self.assertEqual(
            server.say("PASS x"), b"-Can't connect to directory because: not enough room\0"
        )
