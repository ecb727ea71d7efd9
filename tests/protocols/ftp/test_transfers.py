"""
RETR, STOR, APPE, STOU, REST, ALLO, ABOR: bytes, and the truth about them.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from filehub.accounts.records import AccountLimits
from filehub.attributes import Disposition
from filehub.errors import (
    ConnectFailed,
    NoSpace,
    PeerGone,
    ProtectionRequired,
    Stalled,
    StorageUnavailable,
)
from filehub.events import Direction, Outcome, TransferEnded
from filehub.paths import ROOT
from filehub.protocols.ftp.ongoing import resultOf
from filehub.protocols.ftp.settings import FTPSettings
from tests.protocols.ftp.doubles import Client, finalCodes


class TransferTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.client = Client().logIn()
        self.tree = self.client.tree
        self.tree.putFile("/f", b"0123456789")

    def ended(self) -> TransferEnded:
        """The one transfer that was reported since the last time."""
        (event,) = self.client.events(TransferEnded)
        self.client.sink.events.clear()
        assert isinstance(event, TransferEnded)
        return event


class DownloadTests(TransferTests):
    def test_whole(self) -> None:
        """150 with the length, the bytes, a clean end, 226."""
        said, data = self.client.retrieve("RETR f")
        self.assertEqual(
            said,
            b"150 Opening BINARY mode data connection (10 bytes).\r\n226 Transfer complete.\r\n",
        )
        self.assertEqual(data, b"0123456789")
        self.assertEqual(self.client.data.streams[0].end, "finished")
        event = self.ended()
        self.assertEqual(
            (event.outcome, event.direction, event.nbytes, str(event.path), event.account),
            (Outcome.COMPLETED, Direction.DOWNLOAD, 10, "/f", "ann"),
        )

    def test_restart(self) -> None:
        """REST counts once; the length in 150 is what is left."""
        self.assertEqual(self.client.say("REST 7"), b"350 The next transfer starts at 7.\r\n")
        said, data = self.client.retrieve("RETR f")
        self.assertIn(b"(3 bytes)", said)
        self.assertEqual(data, b"789")
        self.assertEqual(self.client.retrieve("RETR f")[1], b"0123456789")
        self.client.code("REST 10")
        self.assertEqual(self.client.retrieve("RETR f")[1], b"")

    def test_restartBeyondTheEnd(self) -> None:
        """554, no 150, and the next transfer starts at the beginning (T-D19)."""
        self.client.code("REST 11")
        said, _ = self.client.retrieve("RETR f")
        self.assertEqual(finalCodes(said), [554])
        self.assertNotIn(b"150", said)
        self.assertEqual(self.client.retrieve("RETR f")[1], b"0123456789")

    def test_restartIsForgotten(self) -> None:
        """T-D19: any transfer command uses REST up, also one that fails."""
        for line in ("RETR none", "LIST", "NLST none", "MLSD none"):
            self.client.code("REST 5")
            self.client.retrieve(line)
            self.assertEqual(self.client.retrieve("RETR f")[1], b"0123456789", line)

    def test_text(self) -> None:
        """TYPE A translates line ends and does not promise a length."""
        self.tree.putFile("/t", b"a\nb\n")
        self.client.code("TYPE A")
        said, data = self.client.retrieve("RETR t")
        self.assertEqual(data, b"a\r\nb\r\n")
        self.assertIn(b"150 Opening ASCII mode data connection.\r\n", said)

    def test_textUnchanged(self) -> None:
        """With conversion off TYPE A sends bytes, and REST and SIZE work."""
        client = Client(FTPSettings(asciiConvert=False)).logIn()
        client.tree.putFile("/t", b"a\nb\n")
        client.code("TYPE A")
        self.assertEqual(client.say("SIZE t"), b"213 4\r\n")
        self.assertEqual(client.code("REST 2"), 350)
        self.assertEqual(client.retrieve("RETR t")[1], b"b\n")

    def test_missing(self) -> None:
        """No 150, 550, and the data connection is closed."""
        said, _ = self.client.retrieve("RETR none")
        self.assertEqual(said, b"550 /none: no such file or directory\r\n")
        self.assertFalse(self.client.data.isArmed)
        self.assertEqual(self.client.events(TransferEnded), [])

    def test_directory(self) -> None:
        """A directory is no file."""
        self.tree.putDirectory("/d")
        self.assertEqual(finalCodes(self.client.retrieve("RETR d")[0]), [550])

    def test_notArmed(self) -> None:
        """Without PASV or PORT it is 425 for every transfer command."""
        lines = ["RETR f", "STOR g", "APPE g", "STOU", "LIST", "NLST", "MLSD"]
        self.assertEqual(self.client.codes(lines), [425] * 7)

    def test_noConnection(self) -> None:
        """The client never connects: 150, then 425."""
        self.client.code("PASV")
        self.client.data.problem = ConnectFailed("no data connection within the allowed time")
        said = self.client.say("RETR f")
        self.assertTrue(said.startswith(b"150 "))
        self.assertEqual(finalCodes(said), [425])
        self.assertIs(self.ended().outcome, Outcome.FAILED)

    def test_unprotected(self) -> None:
        """A failed TLS handshake is 522."""
        self.client.code("PASV")
        self.client.data.problem = ProtectionRequired()
        self.assertEqual(finalCodes(self.client.say("RETR f")), [522])

    def test_clientResets(self) -> None:
        """T-D12: a client that goes away is 426 and no success."""
        self.client.code("PASV")
        self.client.data.stream.break_()
        self.assertEqual(finalCodes(self.client.say("RETR f")), [426])
        event = self.ended()
        self.assertEqual((event.outcome, event.nbytes), (Outcome.PEER_GONE, 0))

    def test_stalled(self) -> None:
        """T-D11: a client that reads nothing is given up after the stall time."""
        self.client.code("PASV")
        stream = self.client.data.stream
        stream.isBlocked = True
        self.client.say("RETR f")
        self.client.clock.pump([1.0] * 119)
        self.assertEqual(self.client.take(), b"")
        self.client.clock.pump([1.0] * 20)
        self.assertEqual(finalCodes(self.client.take()), [426])
        self.assertIs(self.ended().outcome, Outcome.STALLED)
        self.assertEqual(stream.end, "aborted")

    def test_stallOfTheAccount(self) -> None:
        """The account's own stall time goes before the listener's."""
        session = self.client.protocol._session
        assert session is not None and session.account is not None
        session.account.limits = AccountLimits(stall=10.0)
        self.client.code("PASV")
        self.client.data.stream.isBlocked = True
        self.client.say("RETR f")
        self.client.clock.pump([1.0] * 8)
        self.assertEqual(self.client.take(), b"")
        self.client.clock.pump([1.0] * 5)
        self.assertEqual(finalCodes(self.client.take()), [426])

    def test_connectsLater(self) -> None:
        """150 goes out at once; the client may connect after it."""
        self.client.code("PASV")
        self.client.data.isSlow = True
        self.assertTrue(self.client.say("RETR f").startswith(b"150 "))
        self.client.data.connect()
        self.assertEqual(self.client.take(), b"226 Transfer complete.\r\n")

    def test_ourFault(self) -> None:
        """A bug is 451 and one log entry; the session lives."""

        class Broken:
            async def openForReading(self, path: Any) -> Any:
                raise ZeroDivisionError

        self.client.protocol._session.account.fileSystem = Broken()  # type: ignore[union-attr]
        said, _ = self.client.retrieve("RETR f")
        self.assertEqual(said, b"451 Internal error.\r\n")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.client.code("NOOP"), 200)


class UploadTests(TransferTests):
    def test_whole(self) -> None:
        """The file is there when 226 is said."""
        said = self.client.store("STOR new", b"abc", b"def")
        self.assertEqual(
            said, b"150 Ready to receive in BINARY mode.\r\n226 Transfer complete.\r\n"
        )
        self.assertEqual(self.tree.content("/new"), b"abcdef")
        event = self.ended()
        self.assertEqual(
            (event.outcome, event.direction, event.nbytes),
            (Outcome.COMPLETED, Direction.UPLOAD, 6),
        )

    def test_empty(self) -> None:
        """No bytes are a file too."""
        self.client.store("STOR new")
        self.assertEqual(self.tree.content("/new"), b"")

    def test_invisibleUntilWhole(self) -> None:
        """The old file stands until the new one is whole."""
        self.client.code("PASV")
        stream = self.client.data.stream
        stream.receive(b"new")
        self.client.say("STOR f")
        self.assertEqual(self.tree.content("/f"), b"0123456789")
        stream.receive(b"er", b"")
        self.assertEqual(finalCodes(self.client.take()), [226])
        self.assertEqual(self.tree.content("/f"), b"newer")

    def test_broken(self) -> None:
        """T-D12, T-P14: a reset is 426, the old file stands, nothing new appears."""
        for line in ("STOR f", "APPE f", "STOR none", "STOU"):
            self.client.code("PASV")
            self.client.data.stream.receive(b"partial")
            self.client.data.stream.break_()
            self.assertEqual(finalCodes(self.client.say(line)), [426], line)
            self.assertIs(self.ended().outcome, Outcome.PEER_GONE)
        self.assertEqual(self.tree.content("/f"), b"0123456789")
        self.client.users.fileSystem = self.tree.viewFor("somebody else")
        self.client.logIn()
        self.assertEqual(self.client.retrieve("NLST")[1], b"f\r\n")

    def test_append(self) -> None:
        """APPE continues a file, or begins one; REST does not matter."""
        self.client.code("REST 3")
        self.client.store("APPE f", b"abc")
        self.assertEqual(self.tree.content("/f"), b"0123456789abc")
        self.client.store("APPE g", b"abc")
        self.assertEqual(self.tree.content("/g"), b"abc")

    def test_restart(self) -> None:
        """REST and STOR replace the rest of a file."""
        self.client.code("REST 4")
        self.client.store("STOR f", b"x")
        self.assertEqual(self.tree.content("/f"), b"0123x")

    def test_restartBeyondTheEnd(self) -> None:
        """Behind the end of the file it is 554."""
        self.client.code("REST 11")
        self.assertEqual(finalCodes(self.client.store("STOR f", b"x")), [554])

    def test_restartImpossible(self) -> None:
        """Storage that cannot continue files says so with a 50x: clients then use APPE."""

        class Plain:
            """Not an IRandomAccess."""

        client = Client(fileSystem=Plain()).logIn()
        client.code("REST 4")
        self.assertEqual(finalCodes(client.store("STOR f", b"x")), [504])

    def test_text(self) -> None:
        """TYPE A stores LF for CRLF, also where a piece ends between."""
        self.client.code("TYPE A")
        self.client.store("STOR t", b"a\r", b"\nb\r\n", b"c\r")
        self.assertEqual(self.tree.content("/t"), b"a\nb\nc\r")

    def test_unique(self) -> None:
        """T-P15: STOU says the name in 150; each has its own; an argument means nothing."""
        names = set()
        for line in ("STOU", "STOU f", "STOU"):
            said = self.client.store(line, b"abc")
            self.assertTrue(said.startswith(b"150 FILE: ftp-"))
            name = said.split(b"\r\n")[0].removeprefix(b"150 FILE: ").decode()
            self.assertEqual(finalCodes(said), [226])
            self.assertEqual(self.tree.content("/" + name), b"abc")
            names.add(name)
        self.assertEqual(len(names), 3)
        self.assertEqual(self.tree.content("/f"), b"0123456789")

    def test_uniqueTaken(self) -> None:
        """Names that are taken are passed over, ten times; then it is 450."""

        class Same:
            value = 1

            def getrandbits(self, bits: int) -> int:
                return self.value

        self.client.factory.listener.random = Same()  # type: ignore[assignment]
        self.assertEqual(finalCodes(self.client.store("STOU", b"a")), [226])
        self.assertEqual(finalCodes(self.client.store("STOU", b"b")), [450])
        self.assertEqual(self.tree.content("/ftp-0000000000000001"), b"a")

    def test_controlCharacters(self) -> None:
        """T-P19: names that would forge listings are not made."""
        for verb in ("STOR", "APPE", "MKD"):
            self.assertEqual(self.client.code(verb.encode() + b" a\x1bb"), 553)
        self.assertEqual(self.client.codes(["RNFR f", b"RNTO a\r\0b"]), [350, 553])

    def test_storageFails(self) -> None:
        """An error while writing, or only at the end, is the error's code and no file."""

        class Handle:
            position = 0
            ended = ""

            def __init__(self, atWrite: bool) -> None:
                self.atWrite = atWrite

            async def writeAt(self, offset: int, data: bytes) -> None:
                if self.atWrite:
                    raise NoSpace(ROOT.child("x"))

            async def commit(self) -> None:
                raise StorageUnavailable(ROOT.child("x"))

            async def abort(self) -> None:
                self.ended += "abort"

        for atWrite, code in ((True, 452), (False, 451)):
            handle = Handle(atWrite)

            class Storage:
                async def openForWriting(self, path: Any, disposition: Any, **hint: Any) -> Any:
                    return handle  # noqa: B023

            client = Client(fileSystem=Storage()).logIn()
            self.assertEqual(finalCodes(client.store("STOR x", b"abc")), [code])
            self.assertEqual(handle.ended, "abort")
            self.assertEqual(client.data.streams[0].end == "finished", not atWrite)
            (event,) = client.events(TransferEnded)
            self.assertIs(event.outcome, Outcome.FAILED)

    def test_announced(self) -> None:
        """ALLO is passed on as the size hint, once."""
        hints = []
        view = self.tree.viewFor("ann")

        class Storage:
            async def openForWriting(
                self, path: Any, disposition: Disposition, *, sizeHint: Any = None
            ) -> Any:
                hints.append(sizeHint)
                return await view.openForWriting(path, disposition, sizeHint=sizeHint)

        client = Client(fileSystem=Storage()).logIn()
        self.assertEqual(client.codes(["ALLO 3", "ALLO 3 R 80", "ALLO 5 r 1"]), [200, 200, 200])
        client.store("STOR x", b"abc")
        client.store("STOR x", b"abc")
        self.assertEqual(hints, [5, None])
        for bad in ("x", "-1", "1 R", "1 R x", "\u0661", "9" * 19, "9" * 20, "1 2"):
            self.assertEqual(client.code(f"ALLO {bad}"), 501, bad)


class RestartTests(TransferTests):
    def test_numbers(self) -> None:
        """T-D18: digits only, up to 2^63-1."""
        for good in ("0", "5", " 7", "2147483648", "4294967296", str(2**63 - 1)):
            self.assertEqual(self.client.code(f"REST {good}"), 350, good)
        for bad in (
            "-1", "+1", "1e9", "0x1", "18446744073709551615", str(2**63), "\u0663", "1 2", "1.0",
            "99999999999999999999", "x", " ",
        ):  # fmt: skip
            self.assertEqual(self.client.code(f"REST {bad}"), 501, bad)

    def test_text(self) -> None:
        """In TYPE A only 0 makes sense, whenever TYPE is said."""
        self.client.code("TYPE A")
        self.assertEqual(self.client.codes(["REST 1", "REST 0"]), [501, 350])
        self.client.codes(["TYPE I", "REST 5", "TYPE A"])
        self.assertEqual(finalCodes(self.client.retrieve("RETR f")[0]), [501])
        self.client.code("TYPE I")
        self.assertEqual(self.client.retrieve("RETR f")[1], b"0123456789")


class AbortTests(TransferTests):
    def start(self, line: str) -> Any:
        """A transfer that is in the middle; its stream."""
        self.client.code("PASV")
        stream = self.client.data.stream
        stream.isBlocked = True
        self.assertTrue(self.client.say(line).startswith(b"150 "))
        return stream

    def test_download(self) -> None:
        """426 for RETR, then 226 for ABOR; the data connection is reset."""
        stream = self.start("RETR f")
        self.assertEqual(
            self.client.say("ABOR"), b"426 Transfer aborted\r\n226 ABOR successful.\r\n"
        )
        self.assertEqual(stream.end, "aborted")
        self.assertIs(self.ended().outcome, Outcome.ABORTED)

    def test_telnet(self) -> None:
        """The same with what Telnet puts before it."""
        self.start("RETR f")
        self.assertEqual(finalCodes(self.client.say(b"\xff\xf4\xff\xf2ABOR")), [426, 226])

    def test_upload(self) -> None:
        """What an ABOR interrupts is not published."""
        for line in ("STOR f", "STOR new", "APPE f"):
            self.start(line).receive(b"partial")
            self.assertEqual(finalCodes(self.client.say("ABOR")), [426, 226])
        self.assertEqual(self.tree.content("/f"), b"0123456789")
        self.assertEqual(self.client.code("SIZE f"), 213)

    def test_listing(self) -> None:
        """A listing can be interrupted; it is no transfer to report."""
        for line in ("LIST", "NLST", "MLSD"):
            self.start(line)
            self.assertEqual(finalCodes(self.client.say("ABOR")), [426, 226])
        self.assertEqual(self.client.events(TransferEnded), [])

    def test_beforeTheConnection(self) -> None:
        """While the client has not connected."""
        self.client.code("PASV")
        self.client.data.isSlow = True
        self.client.say("RETR f")
        self.assertEqual(finalCodes(self.client.say("ABOR")), [426, 226])
        self.assertEqual(self.client.code("NOOP"), 200)

    def test_inOrder(self) -> None:
        """Commands that were queued before ABOR are answered before it."""
        self.start("RETR f")
        self.assertEqual(self.client.say("PWD\r\nSYST"), b"")
        self.assertEqual(finalCodes(self.client.say("ABOR\r\nNOOP")), [426, 257, 215, 226, 200])

    def test_twice(self) -> None:
        """A storm of ABORs is one reply for each."""
        self.start("RETR f")
        self.assertEqual(finalCodes(self.client.say("ABOR\r\nABOR\r\nABOR")), [426, 226, 226, 226])

    def test_nothing(self) -> None:
        """With nothing to abort it is one 226; a listener is closed by it."""
        self.assertEqual(self.client.code("ABOR"), 226)
        self.client.code("PASV")
        self.assertEqual(self.client.code("ABOR"), 226)
        self.assertFalse(self.client.data.isArmed)

    def test_tooLate(self) -> None:
        """All bytes have come and are being committed: the upload counts, then 226."""
        committing: Deferred[None] = Deferred()

        class Handle:
            position = 0

            async def writeAt(self, offset: int, data: bytes) -> None:
                """Nothing to do."""

            async def commit(self) -> None:
                await committing

        class Storage:
            async def openForWriting(self, path: Any, disposition: Any, **hint: Any) -> Any:
                return Handle()

        client = Client(fileSystem=Storage()).logIn()
        client.store("STOR x", b"abc")
        self.assertEqual(client.say("ABOR"), b"")
        committing.callback(None)
        self.assertEqual(finalCodes(client.take()), [226, 226])


class LostControlTests(TransferTests):
    def test_download(self) -> None:
        """T-D10: nothing of a session outlives its control connection."""
        self.client.code("PASV")
        stream = self.client.data.stream
        stream.isBlocked = True
        self.client.say("RETR f")
        self.client.disconnect()
        self.assertEqual(stream.end, "aborted")
        self.assertEqual(self.client.users.loggedOut, ["ann"])
        self.assertIs(self.ended().outcome, Outcome.PEER_GONE)
        self.assertEqual(self.client.clock.getDelayedCalls(), [])

    def test_upload(self) -> None:
        """An upload that was not whole is not published."""
        self.client.code("PASV")
        self.client.data.stream.receive(b"partial")
        self.client.say("STOR f")
        self.client.disconnect()
        self.assertEqual(self.tree.content("/f"), b"0123456789")
        self.assertEqual(self.client.users.loggedOut, ["ann"])

    def test_killed(self) -> None:
        """A client that dies ends both connections: the half upload is no whole one."""
        self.client.protocol.hasEnded = lambda: True  # type: ignore[method-assign]
        self.assertEqual(finalCodes(self.client.store("STOR f", b"half")), [426])
        self.assertIs(self.ended().outcome, Outcome.PEER_GONE)
        self.assertEqual(self.tree.content("/f"), b"0123456789")

    def test_armed(self) -> None:
        """A listener that nobody used is closed."""
        self.client.code("PASV")
        self.client.disconnect()
        self.assertFalse(self.client.data.isArmed)

    def test_committing(self) -> None:
        """A commit under way is waited for before the account is ended."""
        committing: Deferred[None] = Deferred()
        log: list[str] = []

        class Handle:
            position = 0

            async def writeAt(self, offset: int, data: bytes) -> None:
                """Nothing to do."""

            async def commit(self) -> None:
                await committing
                log.append("committed")

        class Storage:
            async def openForWriting(self, path: Any, disposition: Any, **hint: Any) -> Any:
                return Handle()

        client = Client(fileSystem=Storage()).logIn()
        client.store("STOR x", b"abc")
        client.disconnect()
        self.assertEqual((log, client.users.loggedOut), ([], []))
        committing.callback(None)
        self.assertEqual((log, client.users.loggedOut), (["committed"], ["ann"]))


class ResultTests(SynchronousTestCase):
    def test_interruption(self) -> None:
        """Why somebody broke it off counts, not what the pump then saw."""
        result = resultOf(PeerGone(), Stalled())
        self.assertIs(result.outcome, Outcome.STALLED)
        self.assertIs(resultOf(None, Stalled()).outcome, Outcome.COMPLETED)
        self.assertTrue(resultOf(ValueError(), None).isOurFault)


class WaitingTests(TransferTests):
    def test_slowOpen(self) -> None:
        """Opening may take its time; ABOR works meanwhile, with two replies."""
        opening: Deferred[None] = Deferred()

        class Storage:
            async def openForReading(self, path: Any) -> Any:
                await opening

        client = Client(fileSystem=Storage()).logIn()
        client.code("PASV")
        self.assertEqual(client.say("RETR x"), b"")
        self.assertEqual(finalCodes(client.say("ABOR")), [426, 226])
        self.assertEqual(client.code("NOOP"), 200)

    def test_limiter(self) -> None:
        """The account's limiters are asked, each for its direction."""
        asked: list[tuple[str, int]] = []

        class Limiter:
            grain = 1

            def __init__(self, name: str) -> None:
                self.name = name

            def grant(self, nbytes: int) -> float:
                asked.append((self.name, nbytes))
                return 0.0

        from filehub.accounts.records import AccountLimits

        client = Client()
        client.users.limits = AccountLimits(download=Limiter("down"), upload=Limiter("up"))  # type: ignore[arg-type]
        client.logIn()
        client.store("STOR x", b"abc")
        client.retrieve("RETR x")
        sums = {way: sum(n for name, n in asked if name == way) for way in ("up", "down")}
        self.assertEqual(sums, {"up": 3, "down": 3})
