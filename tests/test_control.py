"""
Tests of L{filehub.control} and of the commands C{filehub who} and C{filehub kick}.
"""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import threading
from io import StringIO
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from rich.console import Console
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from filehub.cli import who
from filehub.cli.configured import Failed
from filehub.cli.main import cli
from filehub.control import Control, Row, ask
from filehub.credentials import Address
from filehub.errors import StorageUnavailable
from filehub.paths import ROOT
from filehub.registry import SessionCaps, SessionRegistry
from filehub.transfer.progress import Progress


class ControlTests(SynchronousTestCase):
    """One question on one connection."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.registry = SessionRegistry(self.clock, SessionCaps(perAddress=1000))
        self.told: list[tuple[str, str]] = []

    def admit(self, host: str, account: str | None = None) -> Any:
        slot = self.registry.admit(
            "ftp",
            Address(host, 4000),
            Address("192.0.2.1", 21),
            secure=True,
            disconnect=lambda reason: self.told.append((host, reason)),
        )
        slot.account = account
        return slot

    def rows(self, question: object) -> list[Any]:
        """All that is answered, as fast as it can be read."""
        transport = StringTransport()
        protocol = Control(self.registry)
        protocol.makeConnection(transport)
        protocol.dataReceived(json.dumps(question).encode() + b"\n")
        while transport.producer is not None:
            transport.producer.resumeProducing()
        self.assertTrue(transport.disconnecting)
        return [json.loads(line) for line in transport.value().splitlines()]

    def test_who(self) -> None:
        """Everybody, with what is known of them, however many they are."""
        self.admit("203.0.113.7", "ada").doing("RETR /a\nb")
        self.clock.advance(61)
        for _ in range(249):
            self.admit("2001:db8::1")
        rows = self.rows({"ask": "who"})
        self.assertEqual(rows.pop(), {"whole": True})
        self.assertEqual(len(rows), 250)
        del rows[0]["process"]
        self.assertEqual(
            rows[0],
            {
                "session": 1,
                "protocol": "ftp",
                "secure": True,
                "account": "ada",
                "address": "203.0.113.7",
                "port": 4000,
                "seconds": 61.0,
                "activity": "RETR /a\nb",
                "bytes": None,
                "moving": None,
            },
        )
        self.assertEqual(rows[-1]["account"], None)

    def test_moving(self) -> None:
        """Of a file on its way, what has moved of it and since when; afterwards nothing."""
        slot = self.admit("203.0.113.7")
        progress = Progress()
        self.clock.advance(5)
        slot.doing("RETR", ROOT.child("a"), progress)
        self.clock.advance(0.25)
        progress.nbytes = 1000
        row, _ = self.rows({"ask": "who"})
        self.assertEqual((row["bytes"], row["moving"], row["seconds"]), (1000, 0.25, 5.2))
        slot.doing("")
        row, _ = self.rows({"ask": "who"})
        self.assertEqual((row["bytes"], row["moving"]), (None, None))

    def test_leave(self) -> None:
        """Whoever matches all that is said is sent away, and nobody else."""
        for host, account in (("203.0.113.7", "ada"), ("203.0.113.8", "ada"), ("192.0.2.9", "bob")):
            self.admit(host, account)
        question = {"ask": "leave", "reason": "out\r\n230 In"}
        for more, expected in (
            ({"session": 3}, ["192.0.2.9"]),
            ({"account": "ada", "address": "203.0.113.8/32"}, ["203.0.113.8"]),
            ({"address": "203.0.113.0/24"}, ["203.0.113.7", "203.0.113.8"]),
            ({"session": 1, "account": "bob"}, []),
        ):
            self.told.clear()
            rows = self.rows(question | more)
            self.assertEqual(rows.pop(), {"whole": True})
            self.assertEqual([row["address"] for row in rows], expected)
            self.assertEqual(self.told, [(host, "out??230 In") for host in expected])

    def test_nonsense(self) -> None:
        """What is no question gets no answer, and ends nobody's session."""
        self.admit("203.0.113.7")
        for question in ([], 1, {}, {"ask": "why"}, {"ask": "leave"}):
            self.assertEqual(self.rows(question), [])
        self.assertEqual(self.rows({"ask": "leave", "reason": "", "address": "here"}), [])
        self.assertEqual(self.told, [])


class AskTests(SynchronousTestCase):
    """The sockets of a state folder."""

    def setUp(self) -> None:
        # The name of a socket may be no longer than 107 octets.
        self.state = Path(tempfile.mkdtemp(prefix="filehub-"))
        self.addCleanup(shutil.rmtree, self.state)
        self.folder = self.state / "control"
        self.folder.mkdir(parents=True)
        self.file = self.state / "filehub.toml"
        self.file.write_text(
            f'[server]\nstate = "{self.state}"\n[ftp]\nlisten = ["tcp:2121"]\n'
            f'[[mount]]\npath = "/"\nsource = "{self.state.as_uri()}"\n'
        )

    def serve(self, name: str, answer: bytes) -> None:
        """A process that answers this."""
        listening = socket.socket(socket.AF_UNIX)
        self.addCleanup(listening.close)
        listening.bind(str(self.folder / name))
        listening.listen()
        listening.settimeout(10)

        def work() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=work)
        thread.start()
        self.addCleanup(thread.join, 10)

    def test_all(self) -> None:
        """All processes are asked; what a killed one has left is removed."""
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(self.folder / "1"))
        self.serve("2", b'{"session": 2}\n{"whole": true}\n')
        self.serve("3", b'{"session": 3}\n{"whole": true}\n')
        rows = ask(self.state, {"ask": "who"})
        self.assertEqual(rows, [{"session": 2}, {"session": 3}])
        self.assertFalse((self.folder / "1").exists())

    def test_none(self) -> None:
        """Without a server there is no answer, which is not the same as nobody."""
        self.assertIsNone(ask(self.state, {"ask": "who"}))
        self.folder.rmdir()
        self.assertIsNone(ask(self.state, {"ask": "who"}))
        done = CliRunner().invoke(cli, ["who", "--config", str(self.file)])
        self.assertEqual((done.exit_code, "no server runs" in done.output), (1, True))

    def test_broken(self) -> None:
        """Half an answer is an error, and not a shorter list."""
        for answer in (b"", b'{"session": 2}\n', b'{"session"', b"\xff\n"):
            self.serve("2", answer)
            self.assertRaises(StorageUnavailable, ask, self.state, {"ask": "who"})
            (self.folder / "2").unlink()

    def test_shown(self) -> None:
        """A name that a client chose drives no terminal; in a pipe it is in one line."""
        row = {
            "session": 2, "process": 7, "protocol": "ftp", "secure": True, "account": "a[red]",
            "address": "192.0.2.1", "port": 1, "seconds": 3725.9,
            "activity": "RETR /\x1b[31m" + "x" * 200, "bytes": 3_000_000, "moving": 2.0,
        }  # fmt: skip
        self.serve("2", json.dumps(row).encode() + b'\n{"whole": true}\n')
        done = CliRunner().invoke(cli, ["who", "--config", str(self.file)])
        self.assertEqual(done.exit_code, 0, done.output)
        name = r"RETR /\x1b[31m" + "x" * 200
        for expected in ("ftp TLS", "a[red]", "1:02:05", name, "3.0 MB", "1.5 MB/s", "1 session"):
            self.assertIn(expected, done.output)
        self.assertNotIn("\x1b", done.output)

    def test_whole(self) -> None:
        """A name that is too long for its column is broken, and nothing of it is lost."""
        name = "/" + "-".join(f"part{each}" for each in range(20))
        row = {
            "session": 123456, "process": 7, "protocol": "ftp", "secure": True, "account": "ada",
            "address": "2001:db8:1:2:3:4:5:6", "port": 1, "seconds": 9.0, "activity": name,
            "bytes": 3_000_000, "moving": 2.0,
        }  # fmt: skip
        console = Console(width=80, file=StringIO())
        console.print(who._shown([row], {}))
        lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
        begin = lines[0].index("does")
        self.assertEqual("".join(line[begin:].strip() for line in lines[1:-1]), name)

    def test_watched(self) -> None:
        """The rate is that since the last look, unless another transfer began meanwhile."""

        def row(nbytes: int | None, moving: float | None) -> Row:
            return {"bytes": nbytes, "moving": moving}

        for before, now, expected in (
            (None, row(4_000, 2.0), "2.0 kB/s"),
            (row(4_000, 2.0), row(5_000, 3.0), "1.0 kB/s"),
            (row(4_000, 2.0), row(500, 0.5), "1.0 kB/s"),
            (row(4_000, 0.2), row(500, 0.5), "1.0 kB/s"),
            (row(None, None), row(500, 0.5), "1.0 kB/s"),
            (row(4_000, 2.0), row(None, None), ""),
            (None, row(0, 0.0), ""),
        ):
            self.assertEqual(who._rate(now, before), expected)

    def test_watchedToTheEnd(self) -> None:
        """That the server has ended is said when the screen is again what it was before."""
        row = {
            "session": 2, "process": 7, "protocol": "ftp", "secure": False, "account": None,
            "address": "192.0.2.1", "port": 1, "seconds": 1.0, "activity": "", "bytes": None,
            "moving": None,
        }  # fmt: skip
        answers = iter([[row], [row], None])
        screen = StringIO()
        self.patch(who, "ask", lambda state, question: next(answers))
        self.patch(who, "_INTERVAL", 0.0)
        self.patch(who, "_console", lambda: Console(file=screen, force_terminal=True))
        self.assertIn("no server runs", str(self.assertRaises(Failed, who._watch, self.file)))
        self.assertIn("192.0.2.1", screen.getvalue())
        self.assertTrue(screen.getvalue().endswith("\x1b[?1049l"), screen.getvalue()[-40:])

    def test_watchedBy(self) -> None:
        """To look again and again takes a terminal, and somebody who looks."""
        for options, reason in ((["--watch"], "terminal"), (["--watch", "--as-json"], "people")):
            done = CliRunner().invoke(cli, ["who", "--config", str(self.file), *options])
            self.assertEqual((done.exit_code, reason in done.output), (2, True), done.output)

    def test_which(self) -> None:
        """Nobody is sent away by a command that does not say whom."""
        self.serve("2", b'{"whole": true}\n')
        done = CliRunner().invoke(cli, ["kick", "--config", str(self.file)])
        self.assertEqual(done.exit_code, 2)
        done = CliRunner().invoke(cli, ["kick", "--config", str(self.file), "9"])
        self.assertEqual((done.exit_code, "no such session" in done.output), (1, True), done.output)
